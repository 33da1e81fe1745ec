"""The part of a policy that says whom to trust: `[[signer]]` and `[sigstore]`.

A signer is a person or a pipeline under one name, and may sign by any of the ways that are written
there: keys, certificates of an authority, identities that a Sigstore instance vouches for.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar

from infwasi_sign.domain.policy_reader import Reader, Table
from infwasi_sign.quick_dataclass import dataclass

CODE_SIGNING_TIME: Final = ("timestamp", "current-time")

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySpec:
    """A public key of a signer: its PEM text, or a file beside the policy.

    ``path`` is where the document has it: ``signer[0].keys[1]``.
    """

    path: str
    pem: str | None
    file: str | None
    not_after: datetime | None
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CertificateSpec:
    """Certificates of one holder by an authority; the files are PEM, beside the policy.

    ``is_timestamp_needed``: without one, the certificate must be valid when it is verified.
    """

    path: str
    identity: str
    roots: str
    intermediates: str | None
    timestamp_roots: str | None
    is_timestamp_needed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentitySpec:
    """An identity and who vouches for it; the pattern's stars and question marks are wildcards."""

    path: str
    identity: str | None
    pattern: str | None
    issuer: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SignerSpec:
    """Somebody who may sign, by the name that results show."""

    name: str
    keys: tuple[KeySpec, ...]
    certificates: tuple[CertificateSpec, ...]
    identities: tuple[IdentitySpec, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustRootSpec:
    """The file with the trust root of a Sigstore instance; without one, that of the user."""

    file: str | None
    place: str


def read_signers(reader: Reader) -> tuple[SignerSpec, ...]:
    """All `[[signer]]` tables.

    Raises:
        UndecidedError: nobody is trusted, or somebody by nothing, or something is misspelled.
    """
    signers: list[SignerSpec] = []
    ways = ("keys", "certificates", "identities")
    for key, table in reader.tables("signer", frozenset({"name", *ways})):
        name = reader.text(table.get("name"), f"{key}.name")
        if any(signer.name == name for signer in signers):
            raise reader.error("a signer stands twice", f"{key}.name", got=name)
        if not table.keys() & set(ways):
            raise reader.error("a signer has no keys", f"{key}.keys", expected=" or ".join(ways))
        signers.append(
            SignerSpec(
                name=name,
                keys=_each(reader, table, key, "keys", _key),
                certificates=_each(reader, table, key, "certificates", _certificate),
                identities=_each(reader, table, key, "identities", _identity),
            )
        )
    if not signers:
        raise reader.error("nobody is trusted", "signer", expected="[[signer]] entries")
    return tuple(signers)


def read_trust_root(reader: Reader) -> TrustRootSpec | None:
    """The `[sigstore]` table's file; its age is a rule.

    Raises:
        UndecidedError: something is misspelled.
    """
    if "sigstore" not in reader.document:
        return None
    known = frozenset({"trust-root", "maximum-age-days"})
    table = reader.table(reader.document["sigstore"], "sigstore", known)
    file = table.get("trust-root")
    return TrustRootSpec(
        file=None if file is None else reader.text(file, "sigstore.trust-root"),
        place=reader.place("sigstore"),
    )


def _each(
    reader: Reader, table: Table, key: str, name: str, read: Callable[[Reader, object, str], _T]
) -> tuple[_T, ...]:
    if name not in table:
        return ()
    items = table[name]
    if not isinstance(items, list) or not items:
        raise reader.error(
            f"a signer has no {name}", f"{key}.{name}", expected=f"an array of {name}"
        )
    return tuple(read(reader, item, f"{key}.{name}[{i}]") for i, item in enumerate(items))


def _key(reader: Reader, value: object, key: str) -> KeySpec:
    table = reader.table(value, key, frozenset({"pem", "file", "not-after"}))
    if ("pem" in table) == ("file" in table):
        raise reader.error("a key is given by `pem` or by `file`", key)
    return KeySpec(
        path=key,
        pem=_optional(reader, table, key, "pem"),
        file=_optional(reader, table, key, "file"),
        not_after=_moment(reader, table.get("not-after"), f"{key}.not-after"),
        place=reader.place(f"{key}.not-after"),
    )


def _certificate(reader: Reader, value: object, key: str) -> CertificateSpec:
    known = {"identity", "roots", "intermediates", "timestamp-roots", "valid-at"}
    table = reader.table(value, key, frozenset(known))
    valid_at = table.get("valid-at", "timestamp")
    if valid_at not in CODE_SIGNING_TIME:
        raise reader.error(
            "wrong type", f"{key}.valid-at", expected=" or ".join(CODE_SIGNING_TIME), got=valid_at
        )
    is_needed = valid_at == "timestamp"
    if is_needed and "timestamp-roots" not in table:
        raise reader.error(
            "can never hold",
            key,
            expected='timestamp-roots, or valid-at = "current-time"',
        )
    return CertificateSpec(
        path=key,
        identity=reader.text(table.get("identity"), f"{key}.identity"),
        roots=reader.text(table.get("roots"), f"{key}.roots"),
        intermediates=_optional(reader, table, key, "intermediates"),
        timestamp_roots=_optional(reader, table, key, "timestamp-roots"),
        is_timestamp_needed=is_needed,
    )


def _identity(reader: Reader, value: object, key: str) -> IdentitySpec:
    table = reader.table(value, key, frozenset({"identity", "identity-pattern", "issuer"}))
    if ("identity" in table) == ("identity-pattern" in table):
        raise reader.error("an identity is given by `identity` or by `identity-pattern`", key)
    return IdentitySpec(
        path=key,
        identity=_optional(reader, table, key, "identity"),
        pattern=_optional(reader, table, key, "identity-pattern"),
        issuer=reader.text(table.get("issuer"), f"{key}.issuer"),
    )


def _optional(reader: Reader, table: Table, key: str, name: str) -> str | None:
    return reader.text(table[name], f"{key}.{name}") if name in table else None


def _moment(reader: Reader, value: object, key: str) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise reader.error("wrong type", key, expected="a time with its zone", got=value)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:  # year 1 or 9999, and in UTC another
        raise reader.error("out of range", key, got=value) from error
