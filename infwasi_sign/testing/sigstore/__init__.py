"""A private Sigstore for tests of code that signs without keys (docs/testing-keyless.md).

OIDC issuer, Fulcio, Certificate Transparency log, Rekor version 1 and 2, timestamp authority and
TUF repository on 127.0.0.1, with a switch for each fault. Not for anything but tests.
"""

from infwasi_sign.testing.sigstore.exchange import RequestError
from infwasi_sign.testing.sigstore.faults import Fault, Notice
from infwasi_sign.testing.sigstore.instance import IDENTITY, PrivateSigstore
from infwasi_sign.testing.sigstore.limits import LIMITS, InstanceLimits
from infwasi_sign.testing.sigstore.server import Asked

__all__ = [
    "IDENTITY",
    "LIMITS",
    "Asked",
    "Fault",
    "InstanceLimits",
    "Notice",
    "PrivateSigstore",
    "RequestError",
]
