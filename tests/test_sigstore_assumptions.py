"""What sigstore-python does and does not, as far as we go further (docs/adr 11 and 12)."""

import inspect
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sigstore.models import Bundle as SigstoreBundle
from sigstore.models import ClientTrustConfig
from sigstore.verify import Verifier

from infwasi_sign.domain.bundle import Bundle, encode_bundle
from infwasi_sign.domain.material import Logged
from infwasi_sign.testing.sigstore import PrivateSigstore
from tests.test_sigstore_identity import sign


class Anybody:
    """A policy of sigstore-python that has no wishes."""

    def verify(self, cert: object) -> None: ...


def accepted(config: str, bundle: Bundle) -> None:
    verifier = Verifier(trusted_root=ClientTrustConfig.from_json(config).trusted_root)
    verifier.verify_dsse(SigstoreBundle.from_json(encode_bundle(bundle)), Anybody())


def test_one_timestamp_is_verified_by_a_method_of_this_form() -> None:
    """It is private; without it every keyless bundle with a timestamp would be refused."""
    parameters = inspect.signature(Verifier._verify_signed_timestamp).parameters
    assert list(parameters) == ["self", "timestamp_response", "message"]


def test_a_timestamp_of_another_signature_is_passed_over_where_the_log_has_a_time() -> None:
    with PrivateSigstore(rekor_version=1) as instance:
        bundle, other = sign(instance), sign(instance)
    first, second = bundle.material, other.material
    assert isinstance(first, Logged)
    assert isinstance(second, Logged)
    bent = replace(bundle, material=replace(first, timestamps=second.timestamps))
    assert second.timestamps
    accepted(instance.trust_config().decode(), bent)


@pytest.mark.parametrize("kind", ["certificateAuthorities", "ctlogs", "tlogs"])
def test_who_was_retired_before_the_signature_is_believed(kind: str) -> None:
    with PrivateSigstore(rekor_version=2) as instance:
        bundle = sign(instance)
    config = json.loads(instance.trust_config())
    for one in config["trustedRoot"][kind]:
        place = one if "validFor" in one else one["publicKey"]
        end = datetime.now(UTC) - timedelta(days=1)
        place["validFor"]["end"] = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    accepted(json.dumps(config), bundle)
