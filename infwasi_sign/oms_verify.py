"""Verify a model directory that carries only an OMS signature (docs/oms.md section 4)."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.oms import (
    OmsPayload,
    OmsSurvey,
    names_old_release,
    old_release,
    parse_oms_payload,
)
from infwasi_sign.domain.oms_bundle import OmsBundle, parse_oms_bundle
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import Progress
from infwasi_sign.quick_dataclass import dataclass

# --- seams -----------------------------------------------------------------------------------


class OmsVerifier(Protocol):
    """Decides who signed an OMS bundle, in one mode, from what the caller trusts."""

    @property
    def mode(self) -> SigningMode:
        """What kind of bundle this verifier is for; no other kind is read for it."""
        ...

    def verify(self, bundle: OmsBundle) -> SignerIdentity:
        """The trusted signer of ``bundle``.

        Raises:
            RefusedError: kind `signature` (nobody trusted made it) or `signer`.
        """
        ...


class OpenedModel(Protocol):
    """A model directory, opened once: paths start at its descriptor, and no link is followed."""

    def signature(self) -> bytes:
        """The content of `model.sig`.

        Raises:
            RefusedError: kinds `unsigned`, `malformed`, `limit`.
        """
        ...

    def survey(self, ignored: Sequence[str]) -> OmsSurvey:
        """Everything in the directory; ``ignored`` paths are not entered.

        Raises:
            RefusedError: kind `malformed`, something is neither file nor directory; kind `limit`.
        """
        ...

    def measure(self, path: str, algorithm: Algorithm, progress: Progress | None) -> Digest:
        """The digest of one file, opened, read once and closed.

        Raises:
            RefusedError: kinds `missing`, `malformed`, `digest`, `level`, `limit`.
        """
        ...


# --- the use case ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedFile:
    """One signed file, its size in bytes, and the digest that was computed over it."""

    path: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedModel:
    """Every step said yes; ``ignored`` are paths that are there and that nobody signed."""

    signer: SignerIdentity
    payload: OmsPayload
    payload_digest: Digest
    files: tuple[VerifiedFile, ...]
    ignored: tuple[str, ...]


def verify_oms(
    model: OpenedModel,
    *,
    signatures: OmsVerifier,
    progress: Progress | None = None,
    on_survey: Callable[[OmsSurvey, SignerIdentity], None] | None = None,
) -> VerifiedModel:
    """Hold a model directory to its OMS signature.

    1. the bundle is one of the mode that the verifier is for
    2. somebody trusted signed its payload
    3. the payload is one of OMS v1.0; nothing in it was believed before
    4. every file that is signed is there, and no other
    5. each has the signed digest

    Only `model.sig` itself and what the signed payload ignores may be there besides. What is
    verified is what is there now: who uses the files later keeps others from writing to them.
    ``on_survey`` is called between steps 4 and 5, ``progress`` with the bytes that were measured.

    Raises:
        RefusedError: kinds `unsigned`, `malformed`, `signature`, `signer`, `missing`, `extra`,
            `digest`, `level`, `limit`.
        UndecidedError: something cannot be read, or is not supported.
    """
    # 1
    bundle = parse_oms_bundle(model.signature(), signatures.mode)
    # 2
    signer = _verify_signature(signatures, bundle)
    # 3
    payload = parse_oms_payload(bundle.envelope.payload)
    # 4
    found = model.survey((*payload.ignored, OMS_FILE))
    _require_all(payload.files.keys(), found.files.keys())
    _require_no_other(payload.files.keys(), found.files.keys())
    if on_survey is not None:
        on_survey(found, signer)
    # 5
    files = []
    for path, expected in sorted(payload.files.items()):
        computed = model.measure(path, payload.algorithm, progress)
        _require_digest(path, expected, computed)
        files.append(VerifiedFile(path=path, size_bytes=found.files[path], digest=computed))
    return VerifiedModel(
        signer=signer,
        payload=payload,
        payload_digest=Digest(
            algorithm=Algorithm.SHA256, hex=hashlib.sha256(bundle.envelope.payload).hexdigest()
        ),
        files=tuple(files),
        ignored=tuple(path for path in found.ignored if path != OMS_FILE),
    )


def _verify_signature(signatures: OmsVerifier, bundle: OmsBundle) -> SignerIdentity:
    """The trusted signer; that release 0.2 signed other bytes than it says is told as that."""
    try:
        return signatures.verify(bundle)
    except RefusedError as e:
        if names_old_release(bundle.envelope.payload):
            raise old_release() from e
        raise


def _require_all(signed: Collection[str], found: Collection[str]) -> None:
    if missing := set(signed) - set(found):
        raise RefusedError(RefusalKind.MISSING, "file is missing", where=min(missing))


def _require_no_other(signed: Collection[str], found: Collection[str]) -> None:
    if extra := set(found) - set(signed):
        raise RefusedError(
            RefusalKind.EXTRA,
            "file is not signed",
            where=min(extra),
            hint="take it out of the directory, or have the model signed with it",
        )


def _require_digest(path: str, expected: Digest, computed: Digest) -> None:
    if computed != expected:
        raise RefusedError(
            RefusalKind.DIGEST,
            "digest differs",
            where=path,
            expected=str(expected),
            got=str(computed),
        )
