"""What a verification came to, as one documented form for machines (docs/results.md).

The form has a name, `RESULT_SCHEMA`, and a JSON schema, docs/schemas/result.v1.schema.json. A
member that is not in the schema is a new version of it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from infwasi_sign.domain.confinement import LayerReport
from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.refusals import hint_for
from infwasi_sign.domain.signer import SignerIdentity, TrustRootUsed
from infwasi_sign.errors import GuestError, InfwasiError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

RESULT_SCHEMA: Final = "urn:infwasi:result:v1"

JsonObject: TypeAlias = dict[str, object]


class Verdict(StrEnum):
    """The four ways a verification can end."""

    VERIFIED = "verified"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    GUEST_FAILED = "guest-failed"

    @property
    def exit_code(self) -> int:
        """The exit code that says the same (docs/format.md section 9)."""
        return {"verified": 0, "refused": 1, "undecided": 2, "guest-failed": 3}[self.value]


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyUsed:
    """By whose rules: where the policy came from (a file, or `--key`), and what it was."""

    source: str
    name: str | None = None
    digest: Digest | None = None
    is_file: bool = False  # else the caller has just typed it

    def to_json(self) -> JsonObject:
        """The member ``policy``."""
        digest = None if self.digest is None else str(self.digest)
        return _present(source=self.source, name=self.name, digest=digest)

    def __str__(self) -> str:
        digest = None if self.digest is None else str(self.digest)
        return " ".join(part for part in (self.name, self.source, digest) if part is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Circumstances:
    """What the caller brought to the verification, so that every result can say so.

    ``location`` is the package as the caller named it; ``at`` the time it was judged by;
    ``is_pinned`` says that the signer is trusted only because he was the first to be met.
    """

    location: str
    at: datetime
    policy: PolicyUsed | None = None
    is_pinned: bool = False

    def to_json(self) -> JsonObject:
        """The members that every result of a package has."""
        return {
            "location": _text(self.location),
            "at": format_time(self.at),
            "pinned": self.is_pinned,
        } | _present(policy=None if self.policy is None else self.policy.to_json())


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputedEntry:
    """One entry, its size in bytes, and the digests that were computed over it: no others.

    ``remembered_at`` is there if an earlier run computed them, at that time (ADR 20).
    ``fs_verity`` is that of fs-verity, in hex; where the level says so, by the kernel.
    """

    name: str
    role: str
    size_bytes: int
    digests: tuple[Digest, ...]
    remembered_at: datetime | None = None
    fs_verity: str | None = None

    @property
    def proofs(self) -> tuple[str, ...]:
        """The digests as people read them."""
        by_kernel = () if self.fs_verity is None else (f"fs-verity:{self.fs_verity}",)
        return (*(str(digest) for digest in self.digests), *by_kernel)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """Every step said yes; ``expires_at`` absent means never.

    ``strangers`` are the files of counter-signatures that count nothing; ``confinement`` are the
    layers by which the process that verified is confined.
    """

    circumstances: Circumstances
    package_name: str
    package_version: str
    sequence: int
    issued_at: datetime
    expires_at: datetime | None
    signers: tuple[SignerIdentity, ...]
    strangers: tuple[str, ...]
    statement: Digest
    entries: tuple[ComputedEntry, ...]
    level: str
    level_reason: str
    confinement: tuple[LayerReport, ...] = ()
    verdict = Verdict.VERIFIED  # of the class: nobody makes another

    def to_json(self) -> JsonObject:
        """The result for machines."""
        return {
            **_head(self.verdict),
            **self.circumstances.to_json(),
            "package": {"name": self.package_name, "version": self.package_version},
            "sequence": self.sequence,
            "issuedAt": format_time(self.issued_at),
            "expiresAt": None if self.expires_at is None else format_time(self.expires_at),
            "signers": [_signer_json(signer) for signer in self.signers],
            "strangers": list(self.strangers),
            "statement": str(self.statement),
            "entries": _entries(self.entries),
            "level": self.level,
            "levelReason": self.level_reason,
            "confinement": [layer.to_json() for layer in self.confinement],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedModel:
    """A model directory holds what its OMS signature says (docs/oms.md).

    ``payload`` is the digest of the signed bytes, ``root`` that over all files; ``ignored`` are
    paths that are there and that nobody signed.
    """

    circumstances: Circumstances
    signers: tuple[SignerIdentity, ...]
    payload: Digest
    root: Digest
    files: tuple[ComputedEntry, ...]
    ignored: tuple[str, ...]
    confinement: tuple[LayerReport, ...] = ()
    verdict = Verdict.VERIFIED  # of the class: nobody makes another

    def to_json(self) -> JsonObject:
        """The result for machines."""
        return {
            **_head(self.verdict),
            **self.circumstances.to_json(),
            "signers": [_signer_json(signer) for signer in self.signers],
            "omsPayload": str(self.payload),
            "omsRoot": str(self.root),
            "entries": _entries(self.files),
            "ignored": [_text(path) for path in self.ignored],
            "confinement": [layer.to_json() for layer in self.confinement],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class NotAccepted:
    """Some step said no, or could say nothing; made by `of`. ``kind`` is there if refused."""

    verdict: Verdict
    kind: RefusalKind | None
    what: str
    where: str | None
    expected: str | None
    got: str | None
    hint: str | None
    sentence: str
    circumstances: Circumstances | None

    @staticmethod
    def of(error: InfwasiError, circumstances: Circumstances | None = None) -> "NotAccepted":
        """The same facts as the error's line and its hint."""
        match error:
            case RefusedError():
                verdict = Verdict.REFUSED
            case GuestError():
                verdict = Verdict.GUEST_FAILED
            case _:
                verdict = Verdict.UNDECIDED
        return NotAccepted(
            verdict=verdict,
            kind=error.kind if isinstance(error, RefusedError) else None,
            what=error.what,
            where=error.where,
            expected=error.expected,
            got=error.got,
            hint=hint_for(error),
            sentence=error.sentence(),
            circumstances=circumstances,
        )

    @property
    def headline(self) -> str:
        """The one line that people see."""
        match self.verdict:
            case Verdict.REFUSED:
                return f"refused: {self.kind}: {self.sentence}"
            case Verdict.GUEST_FAILED:
                return f"guest failed: {self.sentence}"
            case _:
                return f"error: {self.sentence}"

    def to_json(self) -> JsonObject:
        """The result for machines."""
        return (
            _head(self.verdict)
            | ({} if self.circumstances is None else self.circumstances.to_json())
            | _present(
                kind=None if self.kind is None else str(self.kind),
                what=self.what,
                where=self.where,
                expected=self.expected,
                got=self.got,
                hint=self.hint,
            )
        )


VerifyResult: TypeAlias = Accepted | AcceptedModel | NotAccepted


def _entries(entries: Iterable[ComputedEntry]) -> list[JsonObject]:
    return [
        {"name": entry.name, "role": entry.role, "size": entry.size_bytes} | _digests(entry)
        for entry in entries
    ]


def _digests(entry: ComputedEntry) -> JsonObject:
    """``computed`` has what this run computed: who looks for a digest there finds no other."""
    digests = {str(d.algorithm): d.hex for d in entry.digests}
    by_kernel = _present(**{"fs-verity": entry.fs_verity})
    if entry.remembered_at is None:
        return {"computed": digests | by_kernel}
    remembered = {"digests": digests, "computedAt": format_time(entry.remembered_at)}
    return {"computed": by_kernel, "remembered": remembered}


def _head(verdict: Verdict) -> JsonObject:
    # `type` tells this line from the others of `verify-and-run --json`.
    return {"schema": RESULT_SCHEMA, "type": "verdict", "verdict": str(verdict)}


def _present(**members: str | Mapping[str, object] | None) -> JsonObject:
    return {
        name: _text(value) if isinstance(value, str) else value
        for name, value in members.items()
        if value is not None
    }


def _signer_json(signer: SignerIdentity) -> JsonObject:
    return {
        "name": _text(signer.name),
        "mode": str(signer.mode),
        "algorithm": signer.algorithm,
        "fingerprint": signer.fingerprint,
    } | _present(
        identity=None if signer.identity is None else _text(signer.identity),
        issuer=None if signer.issuer is None else _text(signer.issuer),
        signedAt=None if signer.signed_at is None else format_time(signer.signed_at),
        trustRoot=None if signer.trust_root is None else _trust_root_json(signer.trust_root),
    )


def _trust_root_json(root: TrustRootUsed) -> JsonObject:
    return {
        "source": _text(root.source),
        "digest": str(root.digest),
        "ageDays": root.age_days,
    }


def _text(value: str) -> str:
    """File names may hold bytes that are no text, and JSON may not (RFC 7493 section 2.1)."""
    return value.encode("utf-8", "backslashreplace").decode()
