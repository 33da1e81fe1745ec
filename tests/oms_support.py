"""What the tests of OMS signatures share: model directories, their signatures, and a forger."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from infwasi_sign.adapters.key_files import public_pem
from infwasi_sign.adapters.keys import PrivateKey
from infwasi_sign.adapters.model_directory import open_model_directory
from infwasi_sign.adapters.oms_keys import OmsKeyVerifier, parse_oms_key, sign_oms
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms import GIT_PATHS, encode_oms_payload
from infwasi_sign.domain.oms_bundle import OmsBundle
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.oms_verify import VerifiedModel, verify_oms
from tests.key_support import OTHER_P256, P256, spki

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "onnx.txt": b"beside the folder of almost this name",
    "onnx/decoder/model.onnx": b"nested",
    "onnx/model.onnx": b"also nested",
}
IGNORED = (*GIT_PATHS, "model.sig")
HASHES = {"secp256r1": SHA256(), "secp384r1": SHA384(), "secp521r1": SHA512()}
ANYBODY = SignerIdentity(name="anybody", fingerprint="00" * 32, algorithm="none")


def digest(data: bytes) -> Digest:
    return Digest(algorithm=Algorithm.SHA256, hex=sha256(data).hexdigest())


def payload_of(
    files: Mapping[str, bytes] = FILES, ignored: tuple[str, ...] = IGNORED, subject: str = "model"
) -> bytes:
    pairs = ((name, digest(content)) for name, content in files.items())
    return encode_oms_payload(subject, pairs, ignored)


def make_model(folder: Path, payload: bytes | None = None, signer: PrivateKey = P256) -> Path:
    """A model directory with nested files and its signature; `trusted.pub` lies beside it."""
    model = folder / "model"
    for name, content in FILES.items():
        path = model / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (model / "model.sig").write_bytes(sign_oms(signer, payload or payload_of()))
    (folder / "trusted.pub").write_text(public_pem(P256.public))
    (folder / "other.pub").write_text(public_pem(OTHER_P256.public))
    return model


def change_statement(change: Callable[[Any], object]) -> bytes:
    """An honest payload, bent, in the one byte form; whoever signs it signs the bent one."""
    value = json.loads(payload_of())
    change(value)
    return written(value)


def written(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def reroot(value: Any) -> None:
    """Make the root digest fit the resources again."""
    raw = b"".join(bytes.fromhex(one["digest"]) for one in value["predicate"]["resources"])
    value["subject"][0]["digest"]["sha256"] = sha256(raw).hexdigest()


def resign(model: Path, change: Callable[[Any], object], *, signed: bool = False) -> None:
    """Change the payload within `model.sig`; the signature stays as it was unless ``signed``."""
    path = model / "model.sig"
    bundle = json.loads(path.read_bytes())
    envelope = bundle["dsseEnvelope"]
    value = json.loads(base64.b64decode(envelope["payload"]))
    change(value)
    envelope["payload"] = base64.b64encode(written(value)).decode()
    path.write_bytes(sign_oms(P256, written(value)) if signed else written(bundle))


def verify_with(model: Path, signer: PrivateKey = P256) -> VerifiedModel:
    key = parse_oms_key(signer.public_key(), where="key")
    with open_model_directory(model) as opened:
        return verify_oms(opened, signatures=OmsKeyVerifier(key, name="trusted"))


@dataclass(frozen=True)
class AnyOmsSigner:
    """Trusts whoever signed a bundle of its mode."""

    mode: SigningMode

    def verify(self, bundle: OmsBundle) -> SignerIdentity:
        assert bundle.mode is self.mode
        return ANYBODY


@dataclass(frozen=True)
class CurveSigner:
    """A key of any curve that signs; implements `ports.Signer`."""

    secret: ec.EllipticCurvePrivateKey

    def public_key(self) -> bytes:
        return spki(self.secret)

    def sign(self, data: bytes) -> bytes:
        return self.secret.sign(data, ec.ECDSA(HASHES[self.secret.curve.name]))
