"""docs/policy.md says what the code does: its keys, its facts, its examples."""

import re
from pathlib import Path

import pytest

from infwasi_sign.adapters.cel import CelCompiler
from infwasi_sign.adapters.policy_source import expression_rules
from infwasi_sign.domain import cel_subset
from infwasi_sign.domain.digest import Digest
from infwasi_sign.domain.facts import FACT_TYPES, claim_facts, signer_facts, variable
from infwasi_sign.domain.limits import KIB, LIMITS, MIB
from infwasi_sign.domain.policy import RunLimit
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.rules import FactValue
from infwasi_sign.errors import RefusalKind
from infwasi_sign.run import HOST_LIMITS
from tests import forge
from tests.conftest import ROOT
from tests.policy_support import LICENSED, MINIMAL, facts_of, load, verify_under
from tests.test_policy_file import DENIALS, PACKAGE_RULES, RULES, SCHEMA

PAGE = (ROOT / "docs" / "policy.md").read_text()
TYPES: dict[type, str] = {int: "number", str: "text", tuple: "texts"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head; code is bare."""
    _, _, rest = PAGE.partition(f"\n{heading}\n")
    assert rest, heading
    section = re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]
    table = section[section.index("|") :].split("\n\n")[0]
    lines = table.splitlines()
    return [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in lines[2:]]


def keys_of(section: str) -> set[str]:
    schema = SCHEMA["properties"].get(section, {})
    if "items" in schema:
        schema = SCHEMA["$defs"][schema["items"]["$ref"].rpartition("/")[2]]
    return set(schema["properties"])


@pytest.mark.parametrize(
    "section",
    [
        *("component", "model", "bom", "host", "load", "confinement", "sigstore"),
        *("run", "digests", "state", "vulnerabilities"),
    ],
)
def test_every_key_of_a_section_is_explained(section: str) -> None:
    assert {row[0] for row in rows(f"### [{section}]")} == keys_of(section)


@pytest.mark.parametrize("section", ["signer", "package", "rule", "deny"])
def test_every_key_of_a_repeated_section_is_explained(section: str) -> None:
    assert {row[0] for row in rows(f"### [[{section}]]")} == keys_of(section)


def test_every_section_is_explained() -> None:
    named = {*re.findall(r"^### \[+([a-z]+)\]+$", PAGE, re.MULTILINE)}
    top = {row[0] for row in rows("## What a policy says")}
    assert named | top == set(SCHEMA["properties"])


def test_each_key_is_about_the_fact_and_has_the_kind_that_the_page_says() -> None:
    said = {
        f"{section}.{row[0]}": (row[3], row[4])
        for section in (
            *("component", "model", "bom", "host", "load", "confinement", "sigstore"),
            "vulnerabilities",
        )
        for row in rows(f"### [{section}]")
        if row[3]
    }
    assert said == {name: (fact, str(kind)) for _, name, fact, _, kind in RULES}
    of_packages = {row[0]: (row[3], row[4]) for row in rows("### [[package]]")}
    assert of_packages.pop("name") == ("package.name", str(RefusalKind.POLICY))
    threshold = ("signer.names", str(RefusalKind.SIGNER))
    assert (of_packages.pop("signers"), of_packages.pop("threshold")) == (threshold, threshold)
    assert of_packages == {
        text.split(" ")[0]: (fact, str(kind)) for text, fact, _, kind in PACKAGE_RULES
    }
    denials = {row[0]: row[3] for row in rows("### [[deny]]") if row[3]}
    assert denials == {thing: fact for thing, fact, _ in DENIALS}
    assert {row[0] for row in rows("### [run]")} == set(RunLimit)


def test_the_facts_are_those_of_a_package_with_their_types(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path, model=LICENSED)
    loaded = load(tmp_path / "policy", MINIMAL)
    everything = facts_of(loaded, package)
    with verify_under(loaded, package) as verified:
        claims = {
            **claim_facts(verified.manifest, statement=verified.statement_digest, now=forge.NOW),
            **signer_facts(verified.signatures.signers),
        }
        measured = {**verified.facts, "host.libraries": ()}
        assert isinstance(verified.statement_digest, Digest)

    def when(fact: str) -> str:
        return "statement" if fact in claims else "measured" if fact in measured else "run"

    def kind(value: FactValue) -> str:
        return TYPES[type(value)]

    table = [tuple(row[:4]) for row in rows("## Facts")]
    assert sorted(table) == sorted(
        (fact, variable(fact), kind(value), when(fact)) for fact, value in everything.items()
    )
    seen = {fact: kind(value) for fact, value in everything.items()}
    assert seen == FACT_TYPES


def test_every_fact_that_a_rule_is_about_exists(tmp_path: Path) -> None:
    """A rule about a fact that nobody ever knows would never decide anything."""
    named = {
        *(fact for _, _, fact, _, _ in RULES),
        *(fact for _, fact, _, _ in PACKAGE_RULES),
        *(fact for _, fact, _ in DENIALS),
    }
    assert named <= {row[0] for row in rows("## Facts")}


def test_the_examples_are_policies() -> None:
    first, keys, certificates, identities, vulnerabilities, rule, denial = re.findall(
        r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
    )
    stated = parse_policy((MINIMAL + vulnerabilities).encode(), where="p")
    assert (len(stated.rules), stated.vex_file) == (2, "vex.json")
    assert len(parse_policy(first.encode(), where="p").rules) == 3
    ways = keys + certificates + identities
    file = parse_policy(
        MINIMAL.replace('keys = [{ file = "release.pub" }]', ways).encode(), where="p"
    )
    (signer,) = file.signers
    assert [len(signer.keys), len(signer.certificates), len(signer.identities)] == [2, 1, 1]
    compiled = expression_rules(parse_policy((MINIMAL + rule).encode(), where="p"))
    assert [one.facts for one in compiled] == [
        ("package.version",),
        ("model.parameters", "model.quantizations"),
    ]
    assert len(parse_policy((MINIMAL + denial).encode(), where="p").rules) == 2


def test_the_usual_expressions_are_expressions() -> None:
    part = PAGE.partition("\nUsual ones:\n")[2].partition("### ")[0]
    texts = re.findall(r"^- .*: `(.*)`$", part, re.MULTILINE)
    assert len(texts) == 6
    for text in texts:
        assert CelCompiler().compile(text, "page").constant is None


def test_the_page_names_what_expressions_may_have() -> None:
    part = PAGE.partition("### [[rule]]")[2].partition("### [[deny]]")[0]
    operators = {"@in": "in", "_[_]": "[]", "_?_:_": "? :", "-_": "-", "!_": "!"}
    for function in cel_subset._STEPS:
        name = operators.get(function, function.strip("_"))
        assert f"`{name}`" in part or name == "@not_strictly_false", function
    for bound in (
        LIMITS.expressions,
        LIMITS.expression_bytes,
        LIMITS.expression_elements,
        LIMITS.expression_text_bytes,
        LIMITS.expression_pattern_bytes,
    ):
        assert f" {bound} " in part


def test_every_link_of_the_page_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", PAGE)
    assert len(links) > 4
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_bounds_of_the_host_are_those_of_a_run() -> None:
    said = {row[0]: row[1] for row in rows("## Bounds of the host")}
    units = {"KiB": KIB, "MiB": MIB}
    bounds = {}
    for name, bound in said.items():
        number, _, unit = bound.replace(",", "").partition(" ")
        if number.isdigit():
            bounds[name] = int(number) * units.get(unit, 1)
    assert bounds == HOST_LIMITS
