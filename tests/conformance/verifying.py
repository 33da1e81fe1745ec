"""What the conformance suite asks, answered by our verifiers as far as our format goes.

- A bundle v0.3 around a DSSE envelope goes to `read_bundle` and to the very adapters of
  `infwasi verify`: `KeylessVerifier`, `KeyVerifier`.
- A bundle v0.1 or v0.2, or one around a `messageSignature`, is outside of our format. If it is
  signed by an identity, sigstore-python verifies it, with the trust root as ours cuts it
  (`TrustRoot.at`). If it is signed by a key, of which sigstore-python knows nothing, the key is
  used here, and sigstore-python has to verify the log entry.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key
from sigstore._internal.trust import KeyringPurpose
from sigstore.hashes import Hashed
from sigstore.models import Bundle, ClientTrustConfig, TransparencyLogEntry
from sigstore.verify import Verifier, policy
from sigstore_models.bundle.v1 import Bundle as RawBundle
from sigstore_models.common.v1 import HashAlgorithm

from infwasi_sign.adapters.key_files import public_key_der
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.sigstore_identity import KeylessVerifier, TrustedIdentity, said
from infwasi_sign.domain.bundle import PAYLOAD_TYPE, pae, read_bundle
from infwasi_sign.domain.trust_root import TrustRoot, parse_trust_root
from infwasi_sign.errors import RefusalKind, RefusedError

_PUBLIC: Final = "https://tuf-repo-cdn.sigstore.dev"  # docs.sigstore.dev, "Public good"
_STAGING: Final = "https://tuf-repo-cdn.sigstage.dev"
_V03: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Judge(StrEnum):
    """Who verified."""

    OURS = "infwasi"
    STOCK = "sigstore-python"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """Who must have signed: an identity, or whoever has a key."""

    identity: str = ""
    issuer: str = ""
    key: bytes | None = None  # PEM


@dataclass(frozen=True, kw_only=True)
class Question:
    """Did ``signer`` sign what has this SHA-256, by what ``trusted_root`` believes?"""

    bundle: bytes
    sha256: bytes
    signer: Signer
    trusted_root: bytes


def embedded_trusted_root(*, staging: bool = False) -> bytes:
    """The trusted root that comes with sigstore-python; nothing is fetched."""
    folder = quote(_STAGING if staging else _PUBLIC, safe="")
    return (files("sigstore") / "_store" / folder / "trusted_root.json").read_bytes()


def verify(question: Question) -> Judge:
    """Who says yes.

    Raises:
        RefusedError: nobody does.
        UndecidedError: the trusted root is none.
    """
    if question.signer.key is not None:
        return _verify_key(question, question.signer.key)
    if _is_foreign(question.bundle):
        _verify_foreign(question)
        return Judge.STOCK
    now = datetime.now(UTC)
    identity = TrustedIdentity(
        name="signer", identity=question.signer.identity, issuer=question.signer.issuer
    )
    bundle = read_bundle(question.bundle)
    KeylessVerifier([identity], lambda: _root(question), now).verify(bundle)
    _require_subject(bundle.envelope.payload, question.sha256)
    return Judge.OURS


def _is_foreign(data: bytes) -> bool:
    """Whether it says that it is in another format than ours; what says nothing is for ours."""
    try:
        value = json.loads(data)
    except ValueError:
        return False
    if not isinstance(value, dict):
        return False
    return value.get("mediaType") != _V03 or "messageSignature" in value


def _root(question: Question) -> TrustRoot:
    return parse_trust_root(
        question.trusted_root, source="trusted root", written_at=datetime.now(UTC)
    )


def _require_subject(payload: bytes, sha256: bytes) -> None:
    subjects = json.loads(payload)["subject"]
    if sha256.hex() not in {one["digest"].get("sha256") for one in subjects}:
        raise RefusedError(RefusalKind.DIGEST, "the artifact is no subject of the statement")


# --- outside of our format: identities --------------------------------------------------------


def _verify_foreign(question: Question) -> None:
    root = _root(question)
    try:
        _ask_stock(question, root)
    except RefusedError:
        raise
    except Exception as e:  # besides its own errors it lets those of its libraries through
        raise RefusedError(RefusalKind.SIGNATURE, "sigstore-python refuses", got=said(e)) from e


def _ask_stock(question: Question, root: TrustRoot) -> None:
    bundle = Bundle.from_json(question.bundle)
    config = ClientTrustConfig.from_json(root.at(_moments(bundle)))
    verifier = Verifier(trusted_root=config.trusted_root)
    signer = question.signer
    wanted = policy.AllOf(
        [
            policy.Identity(identity=signer.identity),
            policy.AnyOf([policy.OIDCIssuerV2(signer.issuer), policy.OIDCIssuer(signer.issuer)]),
        ]
    )
    if bundle._inner.dsse_envelope is None:
        hashed = Hashed(algorithm=HashAlgorithm.SHA2_256, digest=question.sha256)
        verifier.verify_artifact(hashed, bundle, wanted)
        return
    kind, payload = verifier.verify_dsse(bundle, wanted)
    if kind != PAYLOAD_TYPE:
        raise RefusedError(RefusalKind.SIGNATURE, "payload is of another type")
    _require_subject(payload, question.sha256)


def _moments(bundle: Bundle) -> Sequence[datetime]:
    """The times that it claims; sigstore-python judges them."""
    data = bundle.verification_material.timestamp_verification_data
    stamps = () if data is None else data.rfc3161_timestamps
    integrated = bundle.log_entry._inner.integrated_time
    return [
        *(one.tst_info.gen_time for one in stamps),
        *([datetime.fromtimestamp(integrated, UTC)] if integrated else []),
    ]


# --- keys -------------------------------------------------------------------------------------


def _verify_key(question: Question, pem: bytes) -> Judge:
    public_key = parse_public_key(public_key_der(pem, where="key"), where="key")
    if not _is_foreign(question.bundle):
        bundle = read_bundle(question.bundle)
        KeyVerifier([TrustedKey(name="signer", public_key=public_key)]).verify(bundle)
        _require_subject(bundle.envelope.payload, question.sha256)
        return Judge.OURS
    try:
        raw = RawBundle.from_json(question.bundle.decode())
    except ValueError as e:
        raise RefusedError(RefusalKind.MALFORMED, "not a bundle", got=said(e)) from e
    if raw.verification_material.public_key is None:
        raise RefusedError(RefusalKind.SIGNER, "not signed by a key")
    signature, digest = _signed_by_key(raw, question.sha256, public_key.spki_der)
    _require_logged(raw, signature, digest, question)
    return Judge.OURS


def _signed_by_key(raw: RawBundle, sha256: bytes, der: bytes) -> tuple[bytes, bytes]:
    """The signature, and the SHA-256 of what it is over, once the key has verified it."""
    if raw.dsse_envelope is not None:
        (only,) = raw.dsse_envelope.signatures
        signature, payload = only.sig, raw.dsse_envelope.payload
        _require_subject(payload, sha256)
        digest = hashlib.sha256(pae(raw.dsse_envelope.payload_type, payload)).digest()
    else:
        assert raw.message_signature is not None
        signature, digest = raw.message_signature.signature, sha256
    key = load_der_public_key(der)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise RefusedError(RefusalKind.SIGNER, "a digest alone is only signed by ECDSA here")
    try:
        key.verify(signature, digest, ec.ECDSA(Prehashed(SHA256())))
    except InvalidSignature as e:
        raise RefusedError(RefusalKind.SIGNATURE, "signature is not that of the key") from e
    return signature, digest


def _require_logged(raw: RawBundle, signature: bytes, digest: bytes, question: Question) -> None:
    """Each log entry verifies, and is about this signature by this key over these bytes."""
    for entry in raw.verification_material.tlog_entries:
        integrated = datetime.fromtimestamp(entry.integrated_time or 0, UTC)
        config = ClientTrustConfig.from_json(_root(question).at([integrated]))
        keyring = config.trusted_root.rekor_keyring(KeyringPurpose.VERIFY)
        try:
            TransparencyLogEntry(entry)._verify(keyring)
            _require_entry(json.loads(entry.canonicalized_body), signature, digest, question)
        except RefusedError:
            raise
        except Exception as e:  # of many kinds, as in `sigstore_identity`; all of them are a no
            raise RefusedError(
                RefusalKind.SIGNATURE, "the log entry does not verify", got=said(e)
            ) from e


def _require_entry(body: Any, signature: bytes, digest: bytes, question: Question) -> None:
    assert question.signer.key is not None
    spec = body["spec"]
    claimed = (
        (body["kind"], body["apiVersion"]),
        b64decode(spec["signature"]["content"]),
        spec["data"]["hash"],
        load_pem_public_key(b64decode(spec["signature"]["publicKey"]["content"])),
    )
    if claimed != (
        ("hashedrekord", "0.0.1"),
        signature,
        {"algorithm": "sha256", "value": digest.hex()},
        load_pem_public_key(question.signer.key),
    ):
        raise RefusedError(RefusalKind.SIGNATURE, "the log entry is about something else")
