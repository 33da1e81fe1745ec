"""Reads statements about vulnerabilities: OpenVEX 0.2.0 and CycloneDX 1.5 to 1.7, as JSON.

https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md; CycloneDX: `vulnerabilities`. What a
statement says comes out in CycloneDX's words. Doubt means no: a statement about nothing, a state
that nobody knows, or two statements about the same are errors, and so is a file without any.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.declared_keys import JUSTIFICATIONS, STATES, URL
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import Cursor
from infwasi_sign.domain.text import find_hidden
from infwasi_sign.domain.vex_statement import VexStatement
from infwasi_sign.errors import MalformedError

_OPENVEX: Final = "https://openvex.dev/ns"
_VERSIONS: Final = ("1.5", "1.6", "1.7")
_STATUSES: Final = {  # OpenVEX, "Status Labels"
    "not_affected": "not_affected",
    "affected": "exploitable",
    "fixed": "resolved",
    "under_investigation": "in_triage",
}
_REASONS: Final[Mapping[str, str | None]] = {  # OpenVEX, "Status Justifications"
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": None,  # CycloneDX has no such word
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
_DOCUMENT: Final = ("@id", "author", "timestamp", "version", "role", "last_updated", "tooling")
_TEXTS: Final = ("status_notes", "impact_statement", "action_statement")
_STATEMENT: Final = (
    *("@id", "version", "timestamp", "last_updated", "supplier", "products", "justification"),
    *("action_statement_timestamp", *_TEXTS),
)
_HASHES: Final = {"sha-256": "sha256", "blake3": "blake3", "SHA-256": "sha256", "BLAKE3": "blake3"}


def read_vex(data: bytes, where: str) -> tuple[VexStatement, ...]:
    """The statements of a document, in its order.

    Raises:
        MalformedError: naming the member: it is no such document, says nothing, or says it in a way
            that can be understood in two.
    """
    root = Cursor(strict_json.parse(data, where=where, limit_bytes=LIMITS.vex_bytes), where)
    match root.value:
        case {"bomFormat": "CycloneDX"}:
            found = tuple(_cyclonedx(root))
        case {"@context": str(context)} if context.startswith(_OPENVEX):
            found = tuple(_openvex(root))
        case _:
            expected = "OpenVEX (@context) or CycloneDX (bomFormat)"
            raise MalformedError("not a VEX document", where=where, expected=expected)
    if not found:
        raise MalformedError("no statement", where=where, expected="at least one")
    _require_unambiguous(found, where)
    return found


def _require_unambiguous(statements: Iterable[VexStatement], where: str) -> None:
    seen: set[tuple[str, str]] = set()
    for statement in statements:
        for name in sorted(frozenset().union(*statement.products)):
            key = (statement.id, name)
            if key in seen:
                raise MalformedError(
                    "two statements about the same",
                    where=where,
                    got=f"{_shown(statement.id)} for {_shown(name)}",
                )
            seen.add(key)


# --- OpenVEX ---------------------------------------------------------------------------------


def _openvex(root: Cursor) -> Iterator[VexStatement]:
    members = root.object(("@context", "statements"), _DOCUMENT)
    for item in members["statements"].array(LIMITS.declared_vulnerabilities):
        yield _openvex_statement(item)


def _openvex_statement(item: Cursor) -> VexStatement:
    members = item.object(("vulnerability", "status"), _STATEMENT)
    status = members["status"].string()
    if status not in _STATUSES:
        raise _unknown(members["status"], _STATUSES)
    reason = members["justification"].string() if "justification" in members else None
    if reason is not None and reason not in _REASONS:
        raise _unknown(members["justification"], _REASONS)
    texts = {name: _text(members[name]) for name in _TEXTS if name in members}
    if status == "not_affected" and reason is None and "impact_statement" not in texts:
        expected = "justification or impact_statement"  # OpenVEX, "Status Labels"
        raise MalformedError("a reason is missing", where=item.path, expected=expected)
    if reason is not None and status != "not_affected":
        raise MalformedError(
            "a justification of what affects", where=item.path, got=f"{status}, {reason}"
        )
    word = None if reason is None else _REASONS[reason]
    unnamed = f"OpenVEX: {reason}" if reason is not None and word is None else None
    name, source = _openvex_vulnerability(members["vulnerability"])
    return VexStatement(
        id=name,
        state=_STATUSES[status],
        source=source,
        justification=word,
        detail="\n".join(filter(None, (unnamed, *texts.values()))) or None,
        products=_products(members.get("products"), item.path),
    )


def _openvex_vulnerability(cursor: Cursor) -> tuple[str, str | None]:
    if isinstance(cursor.value, str):
        return _name(cursor), None
    members = cursor.object(("name",), ("@id", "description", "aliases"))
    address = members["@id"].string() if "@id" in members else None
    return _name(members["name"]), address if address and _is_url(address) else None


def _products(cursor: Cursor | None, where: str) -> tuple[frozenset[str], ...]:
    if cursor is None:
        raise MalformedError("names no product", where=where, expected="products")
    items = cursor.array(LIMITS.vex_products, 1)
    return tuple(_product(item) for item in items)


def _product(item: Cursor) -> frozenset[str]:
    if isinstance(item.value, str):
        return frozenset({_name(item)})
    members = item.object((), ("@id", "identifiers", "hashes", "subcomponents"))
    names = set()
    if "@id" in members:
        names.add(_name(members["@id"]))
    if "identifiers" in members:
        known = members["identifiers"].object((), ("purl", "cpe22", "cpe23"))
        names |= {_name(value) for value in known.values()}
    if "hashes" in members:
        value = members["hashes"].value
        hashes = members["hashes"].object((), tuple(value) if isinstance(value, dict) else ())
        names |= {
            f"{_HASHES[kind]}:{_name(digest).lower()}"
            for kind, digest in hashes.items()
            if kind in _HASHES
        }
    if not names:
        raise MalformedError("a product without a name", where=item.path)
    return frozenset(names)


# --- CycloneDX -------------------------------------------------------------------------------


def _cyclonedx(root: Cursor) -> Iterator[VexStatement]:
    members = _members(root)
    version = members["specVersion"].string() if "specVersion" in members else ""
    if version not in _VERSIONS:
        raise MalformedError(
            "unknown version", where=f"{root.path}.specVersion", expected=", ".join(_VERSIONS)
        )
    names = _names_by_ref(members)
    if "vulnerabilities" in members:
        for item in members["vulnerabilities"].array(LIMITS.declared_vulnerabilities):
            yield _cyclonedx_statement(item, names)


def _cyclonedx_statement(item: Cursor, names: Mapping[str, frozenset[str]]) -> VexStatement:
    members = _members(item, "id", "analysis")
    analysis = _members(members["analysis"], "state")
    state = analysis["state"].string()
    if state not in STATES:
        raise _unknown(analysis["state"], STATES)
    reason = analysis["justification"].string() if "justification" in analysis else None
    if reason is not None and reason not in JUSTIFICATIONS:
        raise _unknown(analysis["justification"], JUSTIFICATIONS)
    affects = members.get("affects")
    if affects is None:
        raise MalformedError("names no product", where=item.path, expected="affects")
    products = []
    for one in affects.array(LIMITS.vex_products, 1):
        ref = _name(_members(one, "ref")["ref"])
        local = ref.rpartition("#")[2] if ref.startswith("urn:cdx:") else ref
        # NOTE: every package of ours has an `app`: of what the document describes that name alone
        # would be about all of them.
        products.append(names.get(local) or frozenset({ref}))
    source = _members(members["source"]) if "source" in members else {}
    address = source["url"].string() if "url" in source else None
    return VexStatement(
        id=_name(members["id"]),
        state=state,
        source=address if address and _is_url(address) else None,
        justification=reason,
        detail=_text(analysis["detail"]) if "detail" in analysis else None,
        products=tuple(products),
    )


def _names_by_ref(members: Mapping[str, Cursor]) -> dict[str, frozenset[str]]:
    """Package URLs and digests of the components that the document describes, and BOM-Links."""
    found: dict[str, frozenset[str]] = {}
    queue = (
        list(members["components"].array(LIMITS.bom_components)) if "components" in members else []
    )
    metadata = _members(members["metadata"]) if "metadata" in members else {}
    subject = metadata.get("component")
    queue += [] if subject is None else [subject]
    link = _link(members)
    while queue:
        if len(found) > LIMITS.bom_components:
            raise MalformedError("too many components", where="components")
        cursor = queue.pop()
        component = _members(cursor)
        if "components" in component:
            queue += component["components"].array(LIMITS.bom_components)
        if "bom-ref" not in component:
            continue
        ref = _name(component["bom-ref"])
        if ref in found:
            raise MalformedError("a bom-ref stands twice", where=cursor.path, got=_shown(ref))
        names = {_name(component["purl"])} if "purl" in component else set()
        if cursor is subject and not names and "name" in component:
            version = f"@{_name(component['version'])}" if "version" in component else ""
            names.add(f"pkg:generic/{_name(component['name'])}{version}")
        if "hashes" in component:
            for one in component["hashes"].array(len(_HASHES) * 8):
                pair = _members(one, "alg", "content")
                if (kind := _HASHES.get(pair["alg"].string())) is not None:
                    names.add(f"{kind}:{_name(pair['content']).lower()}")
        if names and link is not None:
            names.add(f"{link}#{ref}")
        found[ref] = frozenset(names)
    return found


def _link(members: Mapping[str, Cursor]) -> str | None:
    """What a BOM-Link to the document begins with; versions but the first are not ours."""
    if "serialNumber" not in members:
        return None
    return f"urn:cdx:{_name(members['serialNumber']).removeprefix('urn:uuid:')}/1"


def _members(cursor: Cursor, *required: str) -> dict[str, Cursor]:
    """The members of an object of CycloneDX, which has many that say nothing here."""
    others = tuple(cursor.value) if isinstance(cursor.value, dict) else ()
    return cursor.object(required, others)


# --- values ----------------------------------------------------------------------------------


def _name(cursor: Cursor) -> str:
    text = cursor.string(LIMITS.vex_name_bytes)
    if not text.strip() or text != text.strip():
        raise MalformedError("an empty name", where=cursor.path)
    return _plain(text, cursor, keep_layout=False)


def _text(cursor: Cursor) -> str | None:
    text = cursor.string(LIMITS.vex_text_bytes).strip()
    return _plain(text, cursor, keep_layout=True) or None


def _plain(text: str, cursor: Cursor, *, keep_layout: bool) -> str:
    if hidden := find_hidden(text, keep_layout=keep_layout):
        raise MalformedError(
            "a character that hides or reorders text",
            where=cursor.path,
            got=f"U+{ord(hidden):04X}",
        )
    return text


def _is_url(text: str) -> bool:
    return len(text) <= URL.longest and URL.fits(text)


def _unknown(cursor: Cursor, known: Iterable[str]) -> MalformedError:
    return MalformedError(
        "unknown word",
        where=cursor.path,
        expected=", ".join(known),
        got=_shown(cursor.string()),
    )


def _shown(text: str) -> str:
    return ascii(text[:80])[1:-1]
