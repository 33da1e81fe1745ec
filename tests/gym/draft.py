"""A package in memory that a mutator may spoil, and the directory it is written to."""

import base64
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

from infwasi_sign.adapters.keys import sign_payload
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.domain import strict_json
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.fs_verity import FsVerityHash
from infwasi_sign.domain.rollback import SequenceRecord
from infwasi_sign.errors import MalformedError
from infwasi_sign.pack import Companion
from infwasi_sign.signatures import counter_signature_name
from tests import forge
from tests.forge import MANIFEST, NOW, TRUSTED, VectorSigner, numbered
from tests.gguf_forge import PAIRS, text_pair, tiny_gguf
from tests.gym.vouched import BY_KEY, Vouched, certificate_trust

APP, BOM, MODEL = "app.wasm", "bom.cdx.json", "model.gguf"
FILES: Final = (APP, BOM, MODEL, MANIFEST)
Json: TypeAlias = Any


@dataclass(frozen=True)
class Link:
    """A symbolic link; ``{outside}`` in the target is a folder next to the package."""

    target: str


@dataclass(frozen=True)
class Sparse:
    """A file of that many zero bytes, which takes no room."""

    size_bytes: int


@dataclass(frozen=True)
class Special:
    """Something that is no file: `fifo`, `socket`, `folder`."""

    kind: str


Node: TypeAlias = bytes | Link | Sparse | Special


@dataclass(frozen=True)
class Honest:
    """The bytes of honest packages, made once; mutants copy what they need."""

    capital: Mapping[str, bytes]
    weather: Mapping[str, bytes]  # another package of the same signer
    rival: Mapping[str, bytes]  # of the same name and version, with another model
    detached: Mapping[str, bytes]
    vouched: Vouched

    @staticmethod
    def make() -> "Honest":
        """Pack all of them, with the code that `infwasi pack` runs."""
        other_model = tiny_gguf(pairs=(*PAIRS, text_pair("general.author", "Mallory")))
        with tempfile.TemporaryDirectory(dir=scratch()) as name:
            folders = [Path(name, str(number)) for number in range(5)]
            for folder in folders:
                folder.mkdir()
            packages = (
                forge.make_package(folders[0]),
                forge.make_package(folders[1], name="weather"),
                forge.make_package(folders[2], model=other_model),
                forge.make_package(folders[3], is_detached=True),
                forge.make_package(folders[4], companion=Companion.REQUIRED),
            )
            capital, weather, rival, detached, keyed = (_read(package) for package in packages)
            return Honest(capital, weather, rival, detached, Vouched.make(keyed, weather))


@dataclass
class Draft:
    """What is about to be verified: files by name, and how the verifier is asked."""

    honest: Honest
    files: dict[str, Node]
    directory: str = "capital-1.0.0"
    now: datetime = NOW + timedelta(seconds=30)
    digests: frozenset[Algorithm] = frozenset({Algorithm.BLAKE3})
    outside: dict[str, bytes] = field(default_factory=dict)
    models: tuple[str, ...] = ()  # files of ``outside`` that are named as detached models
    rules: str = ""  # of a policy file, after its signer and the name of its package
    hold: bool = False  # as before a run
    record: SequenceRecord | None = None  # of the release that was accepted before
    race: Callable[[Path], object] | None = None  # runs after the files were opened
    race_measuring: Callable[[Path], object] | None = None  # runs when part of the model was read
    asked: str | None = None  # the directory that the rules go by, if another one was opened
    signers: TrustedSigners = BY_KEY  # whom the policy trusts

    @staticmethod
    def of(honest: Honest) -> "Draft":
        """The honest package, still unspoiled."""
        return Draft(honest=honest, files=dict(honest.capital))

    @staticmethod
    def companioned(honest: Honest) -> "Draft":
        """An honest package by the trusted key, with its OMS companion."""
        return Draft(honest=honest, files=dict(honest.vouched.keyed))

    @staticmethod
    def certified(honest: Honest) -> "Draft":
        """An honest package under a certificate with a timestamp."""
        signers = TrustedSigners(certificates=(certificate_trust(),))
        return Draft(honest=honest, files=dict(honest.vouched.certified), signers=signers)

    @staticmethod
    def keyless(honest: Honest, version: int = 2) -> "Draft":
        """An honest package under an identity, with this version of Rekor."""
        vouched, at = honest.vouched, version - 1
        signers = vouched.instances[at].signers()
        return Draft(honest=honest, files=dict(vouched.keyless[at]), signers=signers)

    def become(self, other: "Draft") -> None:
        """Take the files and the signers of another draft."""
        self.files, self.signers = other.files, other.signers

    def is_honest(self) -> bool:
        """Whether nothing was changed at all, so that it must be accepted."""
        return self == Draft.of(self.honest)

    def content(self, name: str) -> bytes:
        """The bytes of a file that still is one."""
        node = self.files.get(name)
        return node if isinstance(node, bytes) else b""

    def sign(self, payload: bytes, signer: VectorSigner = TRUSTED) -> None:
        """Put a signed bundle over ``payload`` into the package."""
        self.files[MANIFEST] = encode_bundle(sign_payload(signer, payload))

    def counter_sign(self, payload: bytes, signer: VectorSigner = TRUSTED) -> str:
        """Add a bundle by a further signer; gives its name."""
        return self.add_signature(encode_bundle(sign_payload(signer, payload)))

    def add_signature(self, bundle: bytes) -> str:
        """Put bytes among the counter-signatures, under their own digest."""
        name = counter_signature_name(hashlib.sha256(bundle).hexdigest())
        self.files[name] = bundle
        return name

    def statement(self) -> Json:
        """The signed statement."""
        bundle = json.loads(self.content(MANIFEST))
        return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))

    def state(self, value: Json, signer: VectorSigner = TRUSTED) -> None:
        """Sign a statement, in RFC 8785 bytes where it has such."""
        self.sign(to_bytes(value), signer)

    def restate(self, *, bom: bool = True) -> None:
        """Bring sizes and digests of the statement up to date, and sign as the trusted signer.

        Without ``bom`` a BOM that is out of date stays so, and its entry is right all the same.
        """
        value = self.statement()
        if bom:
            self._restate_bom()
        for entry, subject in zip(value["predicate"]["entries"], value["subject"], strict=True):
            content = self.content(entry["name"])
            digests = measure_bytes(content)
            entry["size"] = len(content)
            entry["blake3"] = digests[Algorithm.BLAKE3].hex
            if "fsVerity" in entry:
                verity = FsVerityHash()
                verity.update(content)
                entry["fsVerity"]["digest"] = verity.hexdigest()
            subject["digest"]["sha256"] = digests[Algorithm.SHA256].hex
        self.state(value)

    def _restate_bom(self) -> None:
        """Hashes and sizes of component and model, as their bytes now have them."""
        bom = json.loads(self.content(BOM))
        files = zip(bom["components"], (APP, MODEL), strict=False)  # and then its data sets
        for component, name in files:
            content = self.content(name)
            digests = measure_bytes(content)
            for entry in component["hashes"]:
                key = Algorithm.SHA256 if entry["alg"] == "SHA-256" else Algorithm.BLAKE3
                entry["content"] = digests[key].hex
            for entry in component["properties"]:
                if entry["name"] == "infwasi:size":
                    entry["value"] = str(len(content))
        self.files[BOM] = numbered(bom)

    def write(self, folder: Path) -> Path:
        """Make the package below ``folder``; gives its directory."""
        outside = folder / "outside"
        outside.mkdir()
        for name, content in self.outside.items():
            (outside / name).write_bytes(content)
        package = folder / self.directory
        package.mkdir()
        for name, node in self.files.items():
            path = package / name
            if "/" in name:
                path.parent.mkdir(exist_ok=True)
            _write_node(path, node, outside)
        return package


def _write_node(path: Path, node: Node, outside: Path) -> None:
    match node:
        case bytes():
            path.write_bytes(node)
        case Link(target=target):
            path.symlink_to(target.replace("{outside}", str(outside)))
        case Sparse(size_bytes=size_bytes):
            path.touch()
            os.truncate(path, size_bytes)
        case Special(kind="fifo"):
            os.mkfifo(path)
        case Special(kind="socket"):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
        case Special():
            path.mkdir(exist_ok=True)


def to_bytes(value: Json) -> bytes:
    """RFC 8785 bytes of a value; of one that has none, something near to it."""
    try:
        return strict_json.canonical(value)
    except (MalformedError, RecursionError):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")


def scratch() -> str | None:
    """A folder in memory, where the system has one: mutants are written by the thousand."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None


def _read(package: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(package.iterdir())}


# --- the register -----------------------------------------------------------------------------

Spoil: TypeAlias = Callable[[Draft, Random], None]


@dataclass(frozen=True)
class Mutator:
    """One way to spoil a package. ``weight`` is how often it is chosen, relative to the others."""

    name: str
    group: str
    weight: float
    spoil: Spoil


MUTATORS: Final[dict[str, Mutator]] = {}


def mutator(group: str, weight: float = 1.0) -> Callable[[Spoil], Spoil]:
    """Register a function as a mutator under its own name."""

    def register(spoil: Spoil) -> Spoil:
        name = getattr(spoil, "__name__", "").replace("_", "-")
        assert name not in MUTATORS, f"two mutators are called {name}"
        MUTATORS[name] = Mutator(name=name, group=group, weight=weight, spoil=spoil)
        return spoil

    return register
