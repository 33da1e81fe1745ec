"""A result as SARIF 2.1.0 (OASIS Standard), for code scanning.

A refusal is a result of level `error` whose rule is its kind. A verified package is a run without
results, which also closes what an earlier run reported. No verdict is no result either, but a
notification of an invocation that did not succeed (section 3.20.21).
"""

import os
from typing import Final
from urllib.parse import quote

from infwasi_sign import __version__
from infwasi_sign.domain.refusals import EXPLANATIONS
from infwasi_sign.domain.result import JsonObject, NotAccepted, Verdict, VerifyResult
from infwasi_sign.domain.text import escape_controls
from infwasi_sign.errors import RefusalKind

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_KINDS: Final = tuple(RefusalKind)


def sarif(result: VerifyResult) -> JsonObject:
    """A log of one run (section 3.13); the result for machines lies in the run's properties."""
    found = []
    if isinstance(result, NotAccepted) and result.kind is not None:
        found.append(_result(result, result.kind))
    run: JsonObject = {
        "tool": {
            "driver": {
                "name": "infwasi",
                "version": __version__,
                "rules": [_rule(kind) for kind in _KINDS],
            }
        },
        "invocations": [_invocation(result)],
        "results": found,
        "properties": {"result": result.to_json()},
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(kind: RefusalKind) -> JsonObject:
    """A reportingDescriptor (section 3.49)."""
    explanation = EXPLANATIONS[kind]
    return {
        "id": str(kind),
        "shortDescription": {"text": explanation.meaning},
        "help": {"text": f"{explanation.meaning} What to do: {explanation.hint}."},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "supply-chain"]},
    }


def _invocation(result: VerifyResult) -> JsonObject:
    """How the program ended (section 3.20); refusing is a success of the program."""
    invocation: JsonObject = {
        "executionSuccessful": result.verdict in {Verdict.VERIFIED, Verdict.REFUSED},
        "exitCode": result.verdict.exit_code,
    }
    if isinstance(result, NotAccepted) and result.kind is None:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": _message(result)}]
    return invocation


def _result(refusal: NotAccepted, kind: RefusalKind) -> JsonObject:
    """A result (section 3.27). GitHub shows none without a physical location."""
    found: JsonObject = {
        "ruleId": str(kind),
        "ruleIndex": _KINDS.index(kind),
        "kind": "fail",
        "level": "error",
        "message": _message(refusal),
    }
    location: JsonObject = {}
    if refusal.circumstances is not None:
        uri = _uri(refusal.circumstances.location)
        location["physicalLocation"] = {"artifactLocation": {"uri": uri}}
    if refusal.where is not None:
        location["logicalLocations"] = [{"fullyQualifiedName": _plain(refusal.where)}]
    return found | ({"locations": [location]} if location else {})


def _message(failure: NotAccepted) -> JsonObject:
    text = _plain(failure.sentence)
    return {"text": text if failure.hint is None else f"{text}. Hint: {_plain(failure.hint)}"}


def _plain(text: str) -> str:
    """Text that leads no viewer: no control characters, no placeholders, no embedded links.

    Sections 3.11.5 and 3.11.6: `{0}` is a placeholder, `[text](target)` a link.
    """
    shown = escape_controls(text, keep_layout=False)
    return shown.replace("{", "{{").replace("}", "}}").replace("](", "] (")


def _uri(path: str) -> str:
    """A URI reference (RFC 3986): absolute paths as `file:`, others relative, every byte kept."""
    quoted = quote(os.fsencode(path), safe="/")
    return f"file://{quoted}" if path.startswith("/") else quoted
