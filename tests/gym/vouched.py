"""The honest package in the other modes: under a certificate, under an identity, with companions.

An identity's is made by a private Sigstore, one of each version of Rekor. Keys and times are those
of the run, so that two runs make other bytes that say the same.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from infwasi_sign.adapters.keys import TrustedKey, parse_public_key
from infwasi_sign.adapters.oms_keys import sign_oms
from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.adapters.sigstore_identity import TrustedIdentity
from infwasi_sign.adapters.sigstore_signer import KeylessSigner, read_token
from infwasi_sign.domain.bundle import (
    PAYLOAD_TYPE,
    Bundle,
    Envelope,
    encode_bundle,
    pae,
)
from infwasi_sign.domain.certified import CertificateTrust, TimestampRule
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.material import Certified
from infwasi_sign.domain.oms_bundle import (
    OmsBundle,
    OmsCertificateMaterial,
    encode_oms_bundle,
)
from infwasi_sign.domain.trust_root import TrustRoot, parse_trust_root
from infwasi_sign.testing.sigstore import PrivateSigstore
from tests import certificate_authority as authority
from tests.certificate_authority import Issued
from tests.forge import MANIFEST, NOW, TRUSTED

ALICE: Final = "alice@example.test"
MALLORY: Final = "mallory@example.test"

TRUSTED_KEY: Final = TrustedKey(
    name="trusted", public_key=parse_public_key(TRUSTED.public_key(), where="key")
)
BY_KEY: Final = TrustedSigners(keys=(TRUSTED_KEY,))


def certificate_trust(rule: TimestampRule = TimestampRule.REQUIRED) -> CertificateTrust:
    """The release team of the company, as a policy has it."""
    return authority.trusting(intermediates=(authority.ISSUING_CA,), rule=rule)


@dataclass(frozen=True)
class Instance:
    """A Sigstore instance that is gone, and what it vouched for."""

    issuer: str
    config: Mapping[str, Any]
    bundle: Bundle  # over the statement
    again: Bundle  # over the same, by the same identity, under another certificate
    other: Bundle  # over that of another package, by the same identity
    by_mallory: Bundle  # over the statement, by somebody else
    companion: bytes
    companion_again: bytes  # over the same, under another certificate

    def root(self, config: Mapping[str, Any] | None = None) -> TrustRoot:
        """Whom verifiers believe."""
        data = json.dumps(self.config if config is None else config).encode()
        return parse_trust_root(data, source="gym", written_at=NOW)

    def identity(self, **changes: str | None) -> TrustedIdentity:
        """Alice, or something near to her."""
        wanted: dict[str, Any] = {"name": "alice", "issuer": self.issuer, "identity": ALICE}
        return TrustedIdentity(**{**wanted, **changes})

    def signers(self, **changes: str | None) -> TrustedSigners:
        """A policy that trusts her and nobody else."""
        return TrustedSigners(identities=(self.identity(**changes),), trust_root=self.root)


@dataclass(frozen=True)
class Vouched:
    """Files of one honest package that is signed in each mode, each with its companion."""

    keyed: Mapping[str, bytes]
    certified: Mapping[str, bytes]
    keyless: tuple[Mapping[str, bytes], Mapping[str, bytes]]  # with Rekor v1, and v2
    instances: tuple[Instance, Instance]
    stranger: Bundle  # by Alice, says another instance

    @staticmethod
    def make(keyed: Mapping[str, bytes], weather: Mapping[str, bytes]) -> "Vouched":
        """Sign what ``keyed`` says in the other modes; ``weather`` is another package."""
        statement, oms = payload_of(keyed[MANIFEST]), payload_of(keyed[OMS_FILE])
        other = payload_of(weather[MANIFEST])
        first = _instance(1, statement, other, oms)
        second = _instance(2, statement, other, oms)
        with PrivateSigstore() as running:
            stranger = keyless_signer(running).sign(statement)
        return Vouched(
            keyed=keyed,
            certified={
                **keyed,
                MANIFEST: encode_bundle(certified(statement)),
                OMS_FILE: certified_companion(oms),
            },
            keyless=(_under(first, keyed), _under(second, keyed)),
            instances=(first, second),
            stranger=stranger,
        )


def _under(instance: Instance, keyed: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return {**keyed, MANIFEST: encode_bundle(instance.bundle), OMS_FILE: instance.companion}


def _instance(version: Literal[1, 2], statement: bytes, other: bytes, oms: bytes) -> Instance:
    with PrivateSigstore(rekor_version=version) as running:
        again, signer = keyless_signer(running), keyless_signer(running)
        return Instance(
            issuer=running.issuer,
            config=json.loads(running.trust_config()),
            again=again.sign(statement),
            other=again.sign(other),
            by_mallory=keyless_signer(running, MALLORY).sign(statement),
            companion_again=encode_bundle(again.sign(oms)),
            bundle=signer.sign(statement),
            companion=encode_bundle(signer.sign(oms)),
        )


def keyless_signer(instance: PrivateSigstore, identity: str = ALICE) -> KeylessSigner:
    """Somebody who signs under one certificate."""
    now = datetime.now(UTC)
    root = parse_trust_root(instance.trust_config(), source="gym", written_at=now)
    return KeylessSigner(read_token(instance.token(identity)), root, now)


def payload_of(bundle: bytes) -> bytes:
    """What a bundle of any mode is over."""
    return base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])


def certified(
    payload: bytes,
    holder: Issued = authority.RELEASE,
    *,
    timestamps: tuple[bytes, ...] | None = None,
) -> Bundle:
    """A payload signed with a certificate, stamped if nothing else is said."""
    signature = holder.sign(pae(PAYLOAD_TYPE, payload))
    if timestamps is None:
        timestamps = (authority.TIME.stamp(signature, NOW),)
    envelope = Envelope(payload=payload, payload_type=PAYLOAD_TYPE, signature=signature)
    return Bundle(
        envelope=envelope, material=Certified(certificate=holder.der, timestamps=timestamps)
    )


def certified_companion(payload: bytes, holder: Issued = authority.RELEASE) -> bytes:
    """A `model.sig` under a certificate."""
    bundle = certified(payload, holder)
    assert isinstance(bundle.material, Certified)
    material = OmsCertificateMaterial(
        certificates=(holder.der, authority.ISSUING_CA.der), timestamps=bundle.material.timestamps
    )
    return encode_oms_bundle(OmsBundle(envelope=bundle.envelope, material=material))


def keyed_companion(payload: bytes) -> bytes:
    """A `model.sig` by the trusted key."""
    return sign_oms(TRUSTED, payload)
