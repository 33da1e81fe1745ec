"""Seams of packing and verifying: who signs, where files lie, who measures and who writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from infwasi_sign.domain.digest import Algorithm, Digest, Update
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:  # a seam costs nobody the import of what lies behind it
    from pathlib import Path

    from infwasi_sign.domain.bundle import Bundle
    from infwasi_sign.domain.gguf import GgufHeader
    from infwasi_sign.domain.gguf_landmarks import Landmarks
    from infwasi_sign.domain.identity_record import Remembered
    from infwasi_sign.domain.manifest import FsVerity, PartClaim
    from infwasi_sign.domain.model_digests import ModelDigests
    from infwasi_sign.domain.rollback import SequenceRecord
    from infwasi_sign.domain.settings import Settings
    from infwasi_sign.domain.signer import SignerIdentity

Progress: TypeAlias = Callable[[int], None]
"""Called with the number of bytes just processed."""

Tee: TypeAlias = Callable[[Iterable[memoryview]], Iterator[memoryview]]
"""Passes a stream of windows on, and does something with each on the way."""


# --- signing ---------------------------------------------------------------------------------


class Signer(Protocol):
    """Something that can sign: a key file, a token, a service."""

    def public_key(self) -> bytes:
        """The SubjectPublicKeyInfo, DER (RFC 5280 section 4.1)."""
        ...

    def sign(self, data: bytes) -> bytes:
        """A signature over ``data``: DER ECDSA with the curve's hash, or pure Ed25519."""
        ...


class Sealer(Protocol):
    """One signing act by one signer: a statement, and the companion that lies beside it."""

    def seal(self, payload: bytes) -> Bundle:
        """A bundle over an in-toto statement, verified as others will before it is given.

        Raises:
            UndecidedError: the signer cannot sign now, or made what does not verify.
        """
        ...

    def companion(self, payload: bytes) -> bytes:
        """The content of `model.sig` over an OMS payload, by the same key or certificate.

        Raises:
            UndecidedError: as `seal`, or there is an obstacle.
        """
        ...

    @property
    def obstacle(self) -> str | None:
        """Why this signer can make no companion, if it cannot."""
        ...

    @property
    def known_as(self) -> str | None:
        """What `material.NameSigner` will call them, where that is known before they sign."""
        ...


class SignatureVerifier(Protocol):
    """Decides who signed a bundle, from what the caller trusts and nothing in the bundle."""

    def verify(self, bundle: Bundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        Raises:
            RefusedError: kind `signer`, it is by nobody who is trusted, and all else that can be
                known of it is in order; kind `signature` or `expired`, it is not in order.
        """
        ...

    def verify_companion(self, data: bytes, packer: SignerIdentity) -> bytes:
        """The OMS payload that ``packer`` signed in a `model.sig`, by the key of the manifest.

        Raises:
            RefusedError: kinds `malformed`, `signature`, `signer`, `expired`.
        """
        ...


# --- files -----------------------------------------------------------------------------------


class EntryFile(Protocol):
    """A file of a package, opened once; what is measured is what is used."""

    @property
    def name(self) -> str:
        """How errors and reports call it."""
        ...

    @property
    def size_bytes(self) -> int:
        """The size in bytes when it was opened."""
        ...

    def read(self, limit_bytes: int) -> bytes:
        """The whole content. Raises RefusedError kind `limit` when it is longer."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``."""
        ...

    def fileno(self) -> int:
        """The descriptor that was measured; it stays this object's property."""
        ...


class GuardedFile(EntryFile, Protocol):
    """An entry that can be held still while it is measured and used."""

    def guard(
        self,
        is_enough: Callable[[LoadLevel], bool],
        stated: FsVerity | None,
        require_possible: Callable[[LoadLevel, str], None],
    ) -> LoadLevel:
        """Hold the bytes until closed, at a level that is enough if one is; `measure` is next."""
        ...

    def measure(
        self,
        algorithms: frozenset[Algorithm],
        progress: Progress | None = None,
        also: Update | None = None,
    ) -> Mapping[Algorithm, Digest]:
        """Digests of the whole content, in one pass over the descriptor, which ``also`` sees."""
        ...

    def require_same(self) -> None:
        """Raises RefusedError kind `level` when the bytes may not be those that were measured."""
        ...

    @property
    def level(self) -> LoadLevel:
        """How surely the bytes hold still now."""
        ...

    @property
    def level_reason(self) -> str:
        """Why not a better level; empty when it is the best."""
        ...


class IdentityCache(Protocol):
    """What earlier runs computed over files that have not changed since."""

    def recall(self, file: GuardedFile, wanted: frozenset[Algorithm]) -> Remembered | None:
        """The ``wanted`` digests of a file, if it is surely the one of an earlier run, unchanged.

        Called once it is guarded and before the process is confined: it looks into /sys.

        Raises:
            RefusedError: kind `level`; it is not held any more.
        """
        ...

    def keep(self, file: GuardedFile, digests: Mapping[Algorithm, Digest]) -> None:
        """Remember what was computed since `recall`, if nothing stands against it.

        Raises:
            RefusedError: as `recall`.
        """
        ...


class LandmarkStore(Protocol):
    """Where the strings in a model's header end, as an earlier run found."""

    def recall(self, model: Digest) -> Landmarks:
        """What was found in a model whose bytes have this digest; nothing, if in doubt."""
        ...

    def keep(self, model: Digest, landmarks: Landmarks) -> None:
        """Remember what was found; that it cannot be kept is no error."""
        ...


class OpenedPackage(Protocol):
    """A package whose files are open; nothing in it has been believed yet."""

    @property
    def directory_name(self) -> str:
        """The name of the real directory."""
        ...

    @property
    def files(self) -> Mapping[str, GuardedFile]:
        """Every file of the directory by name; counter-signatures as `signatures/<name>`."""
        ...

    @property
    def detached(self) -> tuple[GuardedFile, ...]:
        """The models that lie elsewhere, in the order given, each under its own file's name."""
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        ...


class PackageStore(Protocol):
    """Where packages live."""

    def open(self, location: Path, detached: Sequence[Path] = ()) -> OpenedPackage:
        """Open everything, relative to one directory descriptor, following no links.

        Raises:
            RefusedError: kinds `unsigned`, `missing`, `extra`, `malformed`, `limit`.
            UndecidedError: the location is no package, or cannot be read.
        """
        ...


class PackageTarget(Protocol):
    """A package in the making; nobody sees it before it is complete."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file."""
        ...

    def tee(self, name: str, windows: Iterable[memoryview]) -> Iterator[memoryview]:
        """Write a stream of windows to a file while somebody else consumes the same stream."""
        ...

    def require_space(self, size_bytes: int) -> None:
        """Fail before gigabytes are written, not after."""
        ...


class ModelSource(Protocol):
    """A model that is about to be packed."""

    @property
    def size_bytes(self) -> int:
        """The size in bytes when it was opened."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes from ``offset``."""
        ...

    def measure(
        self, header: GgufHeader, copy: Tee | None, progress: Progress | None
    ) -> ModelDigests:
        """All digests in one pass, which also feeds ``copy``."""
        ...


class SequenceState(Protocol):
    """What was accepted before, per policy and package name."""

    def read(self, policy_id: str, package: str) -> SequenceRecord | None:
        """The highest sequence that was accepted, ``None`` if nothing was.

        Raises:
            UndecidedError: the state is damaged, unreadable, or could have been changed by others.
        """
        ...

    def advance(self, policy_id: str, record: SequenceRecord) -> str | None:
        """Remember that a package was accepted; gives a note if that was neither done nor demanded.

        Raises:
            RefusedError: kind `rollback`; meanwhile somebody accepted a newer one.
            UndecidedError: as `read`, or nothing can be kept and that is demanded.
        """
        ...


# --- composing -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Composed:
    """An app and what it was made of; ``parts`` are sorted by name.

    People should see ``extra_exports``, beyond `infwasi:llm/inference`, which nobody calls.
    """

    app: bytes
    parts: tuple[PartClaim, ...]
    extra_exports: tuple[str, ...]


class Composer(Protocol):
    """Makes one component out of engine, config and inference."""

    def compose(self, settings: Settings, inference: bytes | None) -> Composed:
        """The app, byte for byte the same for the same inputs; stock inference when ``None``.

        Raises:
            RefusedError: kind `malformed` or `disagree`; the part does not fit the world.
        """
        ...

    def tools(self) -> Mapping[str, str]:
        """The tools that shape the bytes, by name and version (for the BOM)."""
        ...
