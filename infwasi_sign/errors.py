"""What can go wrong, by whose fault; only ``cli`` prints these or exits.

::

    InfwasiError
    ├── RefusedError      exit 1   the package is not what it must be; has a `kind`
    │   └── MalformedError         kind `malformed`: bytes that do not parse
    ├── UndecidedError    exit 2   no verdict: usage, unreadable input, no trust root, not supported
    └── GuestError        exit 3   the verified guest failed
"""

from enum import StrEnum
from typing import ClassVar


class RefusalKind(StrEnum):
    """The stable word a refusal carries (docs/format.md section 9)."""

    UNSIGNED = "unsigned"
    MALFORMED = "malformed"
    SIGNATURE = "signature"
    SIGNER = "signer"
    DIGEST = "digest"
    MISSING = "missing"
    EXTRA = "extra"
    DISAGREE = "disagree"
    POLICY = "policy"
    EXPIRED = "expired"
    ROLLBACK = "rollback"
    REVOKED = "revoked"
    LEVEL = "level"
    LIMIT = "limit"


class InfwasiError(Exception):
    """Base of every error this package raises on purpose.

    ``what`` is one clause in lower case without a full stop; ``where`` names the file, field or
    offset; ``expected`` and ``got`` are short; ``hint`` says what the reader can do.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.hint = hint
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """One line: what, where, expected, got (the hint is not part of it)."""
        text = self.what
        if self.where is not None:
            text += f" in {self.where}"
        seen = [
            f"{label} {value}"
            for label, value in (("expected", self.expected), ("got", self.got))
            if value is not None
        ]
        return f"{text} ({', '.join(seen)})" if seen else text


class RefusedError(InfwasiError):
    """The package, or what it would do, is refused."""

    exit_code = 1

    def __init__(
        self,
        kind: RefusalKind,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.kind = kind
        super().__init__(what, where=where, expected=expected, got=got, hint=hint)


class MalformedError(RefusedError):
    """Bytes that are not what their format demands; every parser raises this and nothing else."""

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(
            RefusalKind.MALFORMED, what, where=where, expected=expected, got=got, hint=hint
        )


class UndecidedError(InfwasiError):
    """No verdict was reached: bad usage, unreadable input, nothing to trust, not supported."""

    exit_code = 2


class GuestError(InfwasiError):
    """The component was verified and started, and then failed."""

    exit_code = 3
