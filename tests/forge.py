"""Makes packages, honest ones and every kind of dishonest one; each case says what must come of it.

Everything is made from source and is the same at every run: the keys are derived from their names
and ECDSA is deterministic (RFC 6979). They protect nothing. The cases are in `forge_cases.py`.
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from infwasi_sign.adapters.canned_model import CannedModel, NeverStopped
from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.adapters.keys import sign_payload
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.model_source import open_model
from infwasi_sign.adapters.oms_keys import sign_oms
from infwasi_sign.adapters.package_writer import PackageWriter
from infwasi_sign.adapters.sealing import KeySealer
from infwasi_sign.adapters.wasm_host import WasmtimeHost
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bom import serial_number
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.fs_verity import FsVerityHash
from infwasi_sign.domain.gguf import parse
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.model_digests import header_digest, tensor_table_digest
from infwasi_sign.domain.oms import PACKAGE_IGNORED, encode_oms_payload
from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.pack import Companion, PackRequest, pack
from infwasi_sign.signatures import counter_signature_name
from infwasi_sign.trial import Trial
from tests.gguf_forge import tiny_gguf

NOW: Final = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
MANIFEST: Final = "manifest.sigstore.json"
# Of P-256 (SEC 2 section 2.4.2): private keys are 1 to n - 1.
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class VectorSigner:
    """A P-256 key that follows from its name; its signatures follow from what is signed."""

    name: str

    @property
    def secret(self) -> ec.EllipticCurvePrivateKey:
        number = int.from_bytes(hashlib.sha256(f"infwasi vector {self.name}".encode()).digest())
        return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())

    def public_key(self) -> bytes:
        return self.secret.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def public_pem(self) -> bytes:
        return self.secret.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, data: bytes) -> bytes:
        return self.secret.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True))


TRUSTED: Final = VectorSigner("trusted")
STRANGER: Final = VectorSigner("stranger")

SETTINGS: Final = Settings(
    model="model",
    system_prompt="Answer in one short sentence.",
    default_prompt="What is the capital of Sweden?",
    context_tokens=2048,
    max_tokens=64,
    temperature=0.0,
    top_k=40,
    top_p=0.95,
    min_p=0.05,
    repeat_penalty=1.0,
    seed=7,
    stop=(),
    limits=GuestLimits(
        memory_bytes=16 << 20, prompt_bytes=256 << 10, output_bytes=1 << 20, wall_clock_seconds=600
    ),
)

TRIAL: Final = Trial(host=WasmtimeHost(), model=CannedModel(), stop=NeverStopped())


def make_package(
    folder: Path,
    *,
    name: str = "capital",
    version: str = "1.0.0",
    model: bytes | None = None,
    settings: Settings = SETTINGS,
    signer: VectorSigner | None = TRUSTED,
    issued_at: datetime = NOW,
    valid_for: timedelta | None = timedelta(days=365),
    is_detached: bool = False,
    inference: bytes | None = None,
    companion: Companion = Companion.NONE,
    declared: Declared = Declared(),  # noqa: B008 - frozen
) -> Path:
    """An honest package ``folder/name-version``, made by the very code that `infwasi pack` runs."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}-{version}"
    source = folder / f"{name}-{version}.gguf"
    source.write_bytes(tiny_gguf() if model is None else model)
    request = PackRequest(
        name=name,
        version=version,
        settings=settings,
        inference=inference,
        is_detached=is_detached,
        issued_at=issued_at,
        valid_for=valid_for,
        now=issued_at,
        tools={"infwasi": "vector"},
        companion=companion,
        declared=declared,
    )
    with open_model(source) as opened, PackageWriter(target) as writer:
        pack(
            request,
            composer=WasmToolsComposer(),
            measure_needs=TRIAL.measure,
            model=opened,
            measure_bytes=measure_bytes,
            sealer=None if signer is None else KeySealer(signer=signer),
            target=writer,
        )
        writer.commit()
    if not is_detached:
        source.unlink()
    return target


# --- tools for tampering ----------------------------------------------------------------------


def flip(path: Path, offset: int) -> None:
    """Change one bit of one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def bundle_json(package: Path) -> dict[str, Any]:
    value = json.loads((package / MANIFEST).read_bytes())
    assert isinstance(value, dict)
    return value


def write_bundle(package: Path, bundle: dict[str, Any]) -> None:
    (package / MANIFEST).write_text(json.dumps(bundle, separators=(",", ":")) + "\n")


def statement(package: Path) -> dict[str, Any]:
    """The signed statement, as JSON."""
    payload = base64.b64decode(bundle_json(package)["dsseEnvelope"]["payload"])
    value = json.loads(payload)
    assert isinstance(value, dict)
    return value


def sign_bytes(package: Path, payload: bytes, signer: VectorSigner = TRUSTED) -> None:
    """Put a signed bundle over any payload into the package."""
    (package / MANIFEST).write_bytes(encode_bundle(sign_payload(signer, payload)))


def counter_sign(
    package: Path, signer: VectorSigner = TRUSTED, payload: bytes | None = None
) -> Path:
    """Add a bundle by a further signer, over the package's statement if nothing else is said."""
    if payload is None:
        payload = base64.b64decode(bundle_json(package)["dsseEnvelope"]["payload"])
    return add_signature(package, encode_bundle(sign_payload(signer, payload)))


def add_signature(package: Path, bundle: bytes) -> Path:
    """Put bytes among the counter-signatures, under their own digest."""
    path = package / counter_signature_name(hashlib.sha256(bundle).hexdigest())
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bundle)
    return path


def oms_files(package: Path) -> dict[str, str]:
    """Names and SHA-256 of what a companion signs."""
    return {one["name"]: one["digest"]["sha256"] for one in statement(package)["subject"]}


def oms_payload(
    package: Path,
    *,
    subject: str | None = None,
    files: dict[str, str] | None = None,
    ignored: tuple[str, ...] = PACKAGE_IGNORED,
) -> bytes:
    """What the companion of a package says, or something else."""
    stated = oms_files(package) if files is None else files
    digests = [
        (name, Digest(algorithm=Algorithm.SHA256, hex=sha256)) for name, sha256 in stated.items()
    ]
    return encode_oms_payload(subject or package.name, digests, ignored)


def companion(package: Path, payload: bytes, signer: VectorSigner = TRUSTED) -> None:
    """Put a signed companion over any payload into the package."""
    (package / OMS_FILE).write_bytes(sign_oms(signer, payload))


def state_companion(package: Path, payload: bytes) -> None:
    """A companion over a payload, and a manifest that states just this one: a lying signer."""
    companion(package, payload)
    with lie(package) as value:
        value["predicate"]["omsPayload"] = hashlib.sha256(payload).hexdigest()


@contextmanager
def lie(package: Path, signer: VectorSigner = TRUSTED) -> Iterator[dict[str, Any]]:
    """Edit the statement and sign it again: a careless or lying signer whom we trust."""
    value = statement(package)
    yield value
    sign_bytes(package, strict_json.canonical(value), signer)


def restate(package: Path, *, subjects: bool = True) -> None:
    """Bring sizes and digests of the statement up to date with the files, and sign again."""
    with lie(package) as value:
        for entry, subject in zip(value["predicate"]["entries"], value["subject"], strict=True):
            path = package / entry["name"]
            if subjects and path.is_file():
                digests = measure_bytes(path.read_bytes())
                entry["size"] = path.stat().st_size
                entry["blake3"] = digests[Algorithm.BLAKE3].hex
                if "fsVerity" in entry:
                    verity = FsVerityHash()
                    verity.update(path.read_bytes())
                    entry["fsVerity"]["digest"] = verity.hexdigest()
                subject["digest"]["sha256"] = digests[Algorithm.SHA256].hex


def restate_evidence(package: Path) -> None:
    """Bring what is signed about the model's header up to date too."""
    with open_model(package / "model.gguf") as model, lie(package) as value:
        header = parse(model)
        value["predicate"]["entries"][2]["gguf"] |= {
            "headerSize": len(header.header_bytes),
            "header": header_digest(header).hex,
            "tensorCount": len(header.tensors),
            "tensorTable": tensor_table_digest(header).hex,
        }


@contextmanager
def edited_bom(package: Path) -> Iterator[dict[str, Any]]:
    """Edit the BOM, number it anew, and sign again."""
    path = package / "bom.cdx.json"
    value = json.loads(path.read_bytes())
    yield value
    path.write_bytes(numbered(value))
    restate(package)


def numbered(bom: dict[str, Any]) -> bytes:
    """The bytes of a BOM with the serial number that its content has."""
    return strict_json.canonical(bom | {"serialNumber": serial_number(bom)})


def replaced_in_bom(bom: bytes, old: str, new: str) -> bytes:
    """A BOM that says something else wherever it said ``old``, and is consistent again."""
    value = json.loads(bom.replace(old.encode(), new.encode()))
    assert isinstance(value, dict)
    return numbered(value)


def bom_component(bom: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = (item for item in bom["components"] if item["bom-ref"] == ref)
    assert isinstance(found, dict)
    return found


# --- cases ------------------------------------------------------------------------------------

Make = Callable[[Path], Path | None]


@dataclass(frozen=True)
class Case:
    """One package and what a verifier must say to it.

    ``expect`` is a refusal's kind, ``verified``, or ``undecided``. ``make`` gets an honest package
    to spoil, and returns another path only if the package lies elsewhere afterwards.
    """

    name: str
    expect: str
    why: str
    make: Make
    fresh: dict[str, Any] = field(default_factory=dict)
    says: str = ""


CASES: Final[list[Case]] = []


def case(expect: str, why: str, *, says: str = "", **fresh: Any) -> Callable[[Make], Make]:
    """Register a function as a case; its name is the case's name, its text the README."""

    def register(make: Make) -> Make:
        name = getattr(make, "__name__", "").replace("_", "-")
        CASES.append(Case(name=name, expect=expect, why=why, make=make, fresh=fresh, says=says))
        return make

    return register


def build_case(one: Case, folder: Path, honest: Path | None = None) -> Path:
    """Make the package of a case below ``folder``; ``honest`` is a ready package to copy."""
    folder.mkdir(parents=True, exist_ok=True)
    if one.fresh or honest is None:
        package = make_package(folder, **one.fresh)
    else:
        package = folder / honest.name
        shutil.copytree(honest, package)
    return one.make(package) or package
