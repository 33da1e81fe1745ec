"""Which statements about vulnerabilities are about a package, and who is believed about what."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from infwasi_sign.domain.bom import derive_bom, read_bom
from infwasi_sign.domain.bom_document import BomComponent, BomDocument
from infwasi_sign.domain.bom_inputs import BomInputs
from infwasi_sign.domain.declared import Vulnerability
from infwasi_sign.domain.declared_codec import declared_tree, read_declared
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import JsonValue, canonical
from infwasi_sign.domain.vex_statement import VexStatement
from infwasi_sign.errors import MalformedError, UndecidedError

_KINDS: Final = {"SHA-256": "sha256", "BLAKE3": "blake3"}


def attach(
    inputs: BomInputs, statements: Iterable[VexStatement], where: str
) -> tuple[BomInputs, tuple[str, ...]]:
    """Declare what is stated about the subject of a BOM.

    Also gives the ids of the vulnerabilities that are stated for other products only.

    Raises:
        MalformedError: it says what a BOM cannot declare.
        UndecidedError: nothing is about the subject.
    """
    names = names_of(read_bom(canonical(derive_bom(inputs))))
    found: list[Vulnerability] = []
    passed_over: list[str] = []
    for statement in statements:
        refs = references(statement, names)
        if refs:
            found.append(
                Vulnerability(
                    id=statement.id,
                    state=statement.state,
                    source=statement.source,
                    justification=statement.justification,
                    detail=statement.detail,
                    affects=refs,
                )
            )
        else:
            passed_over.append(statement.id)
    if not found:
        raise UndecidedError(
            "no statement is about this",
            where=where,
            expected=f"a product such as {', '.join(sorted(names)[:3])[:200]}",
        )
    declared = replace(inputs.declared, vulnerabilities=(*inputs.declared.vulnerabilities, *found))
    read_declared(declared_tree(declared), where)  # whatever a verifier would refuse is not written
    return replace(inputs, declared=declared), tuple(dict.fromkeys(passed_over))


def names_of(bom: BomDocument) -> Mapping[str, frozenset[str]]:
    """References of components by every name that a statement may use for them.

    Names are bom-refs, package URLs, digests and BOM-Links. The app, which has no package URL of
    its own, is also `pkg:generic/NAME@VERSION`.
    """
    found: dict[str, set[str]] = {}
    serial = str(bom.tree.get("serialNumber", "")).removeprefix("urn:uuid:")
    for ref, component in bom.components.items():
        for name in (ref, f"urn:cdx:{serial}/1#{ref}", *_digests(component), *_purls(component)):
            found.setdefault(name, set()).add(ref)
    version = bom.subject.tree.get("version")
    own = f"pkg:generic/{bom.subject.name}"
    for name in (own, f"{own}@{version}" if isinstance(version, str) else own):
        found.setdefault(name, set()).add(bom.subject.ref)
    return {name: frozenset(refs) for name, refs in found.items()}


def references(statement: VexStatement, names: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """The components that a statement is about, sorted."""
    said = frozenset().union(*statement.products)
    return tuple(sorted({ref for name in said for ref in names.get(name, ())}))


def states(bom: BomDocument, of_operator: Sequence[VexStatement] = ()) -> tuple[str, ...]:
    """`STATE:ID` of all that is stated, sorted: the packer's statements and the operator's.

    About the same vulnerability of the same component the operator is believed: he may know more,
    and he may know better than to trust the packer's reasons.
    """
    # Of two words of one of them about the same, both count.
    known: dict[tuple[str, str], set[str]] = {}
    for name, ref, state in _stated(bom):
        known.setdefault((name, ref), set()).add(state)
    names = names_of(bom) if of_operator else {}
    overruling: dict[tuple[str, str], set[str]] = {}
    for statement in of_operator:
        for ref in references(statement, names):
            overruling.setdefault((statement.id, ref), set()).add(statement.state)
    return tuple(
        sorted(
            {
                f"{state}:{name}"
                for (name, _), all_of in (known | overruling).items()
                for state in all_of
            }
        )
    )


def _stated(bom: BomDocument) -> list[tuple[str, str, str]]:
    found = []
    value = bom.tree.get("vulnerabilities", [])
    for item in value if isinstance(value, list) else ():
        match item:
            case {"id": str(name), "analysis": {"state": str(state)}, "affects": list(affects)}:
                for one in affects:
                    ref = one.get("ref") if isinstance(one, dict) else None
                    found.append((name, ref if isinstance(ref, str) else "", state))
            case _:
                raise MalformedError("a vulnerability without a state", where="bom.vulnerabilities")
    if len(found) > LIMITS.declared_vulnerabilities * LIMITS.declared_list:
        raise MalformedError("too many vulnerabilities", where="bom.vulnerabilities")
    return found


def _digests(component: BomComponent) -> list[str]:
    value: JsonValue = component.tree.get("hashes", [])
    found = []
    for one in value if isinstance(value, list) else ():
        match one:
            case {"alg": str(kind), "content": str(digest)} if kind in _KINDS:
                found.append(f"{_KINDS[kind]}:{digest}")
            case _:
                pass
    return found


def _purls(component: BomComponent) -> list[str]:
    """A package URL, and the same without its version: that means every version."""
    purl = component.tree.get("purl")
    if not isinstance(purl, str):
        return []
    plain = purl.partition("#")[0].partition("?")[0]
    return [purl, plain, plain.rpartition("@")[0] or plain]
