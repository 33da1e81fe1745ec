"""A result as text, as JSON, as a summary for GitHub: pure functions from `VerifyResult` to text.

SARIF has a file of its own (`sarif`).
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import assert_never

from infwasi_sign.cli.output import json_line
from infwasi_sign.domain.confinement import LayerReport, describe_layers
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.result import (
    Accepted,
    AcceptedModel,
    Circumstances,
    ComputedEntry,
    NotAccepted,
    VerifyResult,
)
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.domain.text import escape_controls, harmless_line


class Format(StrEnum):
    """The forms of a result, by the words of ``--format``."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


def render(result: VerifyResult, form: Format) -> str:
    """The result in one of its forms, with a line end; every form but text is ASCII."""
    match form:
        case Format.TEXT:
            return "".join(f"{line}\n" for line in text_lines(result))
        case Format.JSON:
            return json_line(result.to_json())
        case Format.SARIF:
            from infwasi_sign.cli.sarif import sarif

            return json_line(sarif(result))
        case Format.GITHUB:
            return github_summary(result)
        case _:
            assert_never(form)


# --- text ------------------------------------------------------------------------------------


def signed_by(name: str, version: str, signers: Iterable[SignerIdentity]) -> str:
    """One line that says what is about to be measured or run, and who says so."""
    return f"{name} {version}, signed by {_who(signers)}"


def _who(signers: Iterable[SignerIdentity]) -> str:
    return ", ".join(f"{signer.name} ({_by(signer, digits=16)})" for signer in signers)


def _by(signer: SignerIdentity, *, digits: int) -> str:
    """What says that it was them: a key, or a certificate for a name that somebody vouches for."""
    match signer.mode:
        case SigningMode.KEY:
            return f"{signer.algorithm} sha256:{signer.fingerprint[:digits]}"
        case SigningMode.CERTIFICATE:
            return f"certificate for {signer.identity}"
        case SigningMode.KEYLESS:
            return f"{signer.identity}, says {signer.issuer}"
        case _:
            assert_never(signer.mode)


def _trust_roots(signers: Iterable[SignerIdentity]) -> list[str]:
    """By what identities were judged; one trust root is for all of them."""
    return sorted({str(one.trust_root) for one in signers if one.trust_root is not None})


def text_lines(result: VerifyResult) -> list[str]:
    """Lines for people; names in them are harmless and none can become two."""
    match result:
        case Accepted():
            lines = _accepted_lines(result)
        case AcceptedModel():
            lines = _model_lines(result)
        case NotAccepted(hint=None):
            lines = [result.headline]
        case NotAccepted():
            lines = [result.headline, f"hint: {result.hint}"]
        case _:
            assert_never(result)
    return [harmless_line(line) for line in lines]


def _accepted_lines(result: Accepted) -> list[str]:
    who = signed_by(result.package_name, result.package_version, result.signers)
    lines = [
        f"verified: {who}",
        f"  issued {format_time(result.issued_at)}, expires {_expiry(result)}, "
        f"sequence {result.sequence}",
    ]
    lines += [f"  counts nothing: {file}, by nobody who is trusted" for file in result.strangers]
    for entry in result.entries:
        lines.append(f"  {entry.role:<10} {entry.name}  {entry.size_bytes:,} bytes")
        lines += [f"             {proof}{_how_known(entry)}" for proof in entry.proofs]
    # A flag was typed a line above; a policy file was maybe found by itself.
    lines += [f"  trust root {root}" for root in _trust_roots(result.signers)]
    policy = result.circumstances.policy
    if policy is not None and policy.is_file:
        lines.append(f"  policy     {policy}")
    if result.circumstances.is_pinned:
        lines.append("  pinned     trusted on first use: nobody vouches for this signer")
    return lines + _confinement_lines(result.confinement)


def _how_known(entry: ComputedEntry) -> str:
    """Nothing for a digest that was computed in this run."""
    if entry.remembered_at is None:
        return ""
    return f" (from the identity cache of {format_time(entry.remembered_at)})"


def _model_lines(result: AcceptedModel) -> list[str]:
    lines = [f"verified: model directory, signed by {_who(result.signers)}"]
    for entry in result.files:
        lines.append(f"  {entry.role:<10} {entry.name}  {entry.size_bytes:,} bytes")
        lines += [f"             {digest}" for digest in entry.proofs]
    lines += [f"  trust root {root}" for root in _trust_roots(result.signers)]
    lines += [f"  ignored    {path}  not signed, not looked at" for path in result.ignored]
    return lines + _confinement_lines(result.confinement)


def _confinement_lines(layers: tuple[LayerReport, ...]) -> list[str]:
    """By what the process that verified was confined; nothing where it was a library's caller."""
    return [f"  confined   {describe_layers(layers)}"] if layers else []


def _expiry(result: Accepted) -> str:
    return "never" if result.expires_at is None else format_time(result.expires_at)


# --- GitHub ----------------------------------------------------------------------------------


def github_summary(result: VerifyResult) -> str:
    """A job summary (GitHub Actions, "Adding a job summary").

    Values stand in ``<code>`` within an HTML table: Markdown is not parsed in it up to the next
    empty line (GitHub Flavored Markdown section 4.6), and mentions and links are not made in code.
    So escaping HTML is enough, and control characters, line ends among them, are shown.
    """
    match result:
        case Accepted():
            body = _facts_table(_accepted_rows(result)) + "\n" + _entries_table(result.entries)
        case AcceptedModel():
            body = _facts_table(_model_rows(result)) + "\n" + _entries_table(result.files)
        case NotAccepted():
            body = _facts_table(_failure_rows(result))
        case _:
            assert_never(result)
    kind = f": {result.kind}" if isinstance(result, NotAccepted) and result.kind else ""
    summary = f"### infwasi: {result.verdict}{kind}\n\n{body}"
    return summary.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _accepted_rows(result: Accepted) -> list[tuple[str, str]]:
    level = f"{result.level} ({result.level_reason})" if result.level_reason else result.level
    return [
        ("package", f"{result.package_name} {result.package_version}"),
        *(("signer", f"{s.name} {_by(s, digits=64)}") for s in result.signers),
        *(("trust root", root) for root in _trust_roots(result.signers)),
        *(("counts nothing", file) for file in result.strangers),
        ("issued", format_time(result.issued_at)),
        ("expires", _expiry(result)),
        ("sequence", str(result.sequence)),
        ("statement", str(result.statement)),
        ("level", level),
        *_confinement_rows(result.confinement),
        *_circumstance_rows(result.circumstances),
    ]


def _model_rows(result: AcceptedModel) -> list[tuple[str, str]]:
    return [
        *(("signer", f"{s.name} {s.algorithm} sha256:{s.fingerprint}") for s in result.signers),
        *(("trust root", root) for root in _trust_roots(result.signers)),
        ("OMS payload", str(result.payload)),
        ("OMS root", str(result.root)),
        *(("ignored, not signed", path) for path in result.ignored),
        *_confinement_rows(result.confinement),
        *_circumstance_rows(result.circumstances),
    ]


def _confinement_rows(layers: tuple[LayerReport, ...]) -> list[tuple[str, str]]:
    return [("confined", describe_layers(layers))] if layers else []


def _failure_rows(result: NotAccepted) -> list[tuple[str, str]]:
    members = (
        ("what", result.what),
        ("where", result.where),
        ("expected", result.expected),
        ("got", result.got),
        ("hint", result.hint),
    )
    rows = [(name, value) for name, value in members if value is not None]
    if result.circumstances is not None:
        rows += _circumstance_rows(result.circumstances)
    return rows


def _circumstance_rows(circumstances: Circumstances) -> list[tuple[str, str]]:
    rows = [("location", circumstances.location), ("judged at", format_time(circumstances.at))]
    if circumstances.policy is not None:
        rows.append(("policy", str(circumstances.policy)))
    if circumstances.is_pinned:
        rows.append(("pinned", "trusted on first use: nobody vouches for this signer"))
    return rows


def _facts_table(rows: Iterable[tuple[str, str]]) -> str:
    return _table(f"<th>{name}</th><td>{_code(value)}</td>" for name, value in rows)


def _entries_table(entries: Iterable[ComputedEntry]) -> str:
    head = "<th>role</th><th>entry</th><th>bytes</th><th>computed</th>"
    rows = (
        f"<td>{_code(entry.role)}</td><td>{_code(entry.name)}</td><td>{entry.size_bytes:,}</td>"
        f"<td>{'<br>'.join(_code(f'{proof}{_how_known(entry)}') for proof in entry.proofs)}</td>"
        for entry in entries
    )
    return _table([head, *rows])


def _table(rows: Iterable[str]) -> str:
    return "<table>\n" + "".join(f"<tr>{row}</tr>\n" for row in rows) + "</table>\n"


def _code(value: str) -> str:
    import html  # 1 ms that only summaries need

    return f"<code>{html.escape(escape_controls(value, keep_layout=False))}</code>"
