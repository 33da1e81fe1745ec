"""VEX: read strictly, attached to what it is about, honoured; the operator's word counts more."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.domain import rules, vex_match
from infwasi_sign.domain.bom import read_bom
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.policy_warnings import vulnerability_warnings, warnings
from infwasi_sign.domain.vex import read_vex
from infwasi_sign.domain.vex_match import names_of, references, states
from infwasi_sign.errors import MalformedError, RefusedError, UndecidedError
from tests import forge
from tests.command_line import infwasi
from tests.conftest import ROOT
from tests.gguf_forge import tiny_gguf
from tests.policy_support import MINIMAL, load, verify_under, write_policy
from tests.vex_samples import CYCLONEDX_VEX, ID, OPENVEX, SOURCE, data, openvex

NOT_AFFECTED = {"justification": "component_not_present"}
REFUSING = f'{MINIMAL}[vulnerabilities]\nrefuse = ["exploitable", "in_triage"]\n'
OPERATOR = f'{REFUSING}vex = "vex.json"\n'


def packed(folder: Path, *documents: dict[str, Any]) -> Path:
    statements = tuple(one for value in documents for one in read_vex(data(value), "vex"))
    return forge.make_package(folder, vex=statements)


def refusal(document: Any) -> str:
    raw = document if isinstance(document, bytes) else data(document)
    with pytest.raises(MalformedError) as caught:
        read_vex(raw, "vex")
    return str(caught.value)


def verdict(folder: Path, policy: str, package: Path, vex: dict[str, Any] | None = None) -> str:
    """What a policy says of a package: `verified`, or the refusal."""
    write_policy(folder, policy)
    if vex is not None:
        (folder / "vex.json").write_bytes(data(vex))
    try:
        verify_under(load(folder, policy), package).close()
    except RefusedError as error:
        return f"{error.kind}: {error}"
    return "verified"


# --- reading ---------------------------------------------------------------------------------


def test_openvex_is_read_in_the_words_of_cyclonedx() -> None:
    (statement,) = read_vex(data(OPENVEX), "vex")
    assert (statement.id, statement.state) == (ID, "not_affected")
    assert statement.justification == "code_not_reachable"
    assert (statement.source, statement.detail) == (SOURCE, "The parser is never called.")
    assert statement.products == (frozenset({"pkg:generic/capital@1.0.0"}),)


def test_cyclonedx_is_read_and_components_lend_their_names() -> None:
    document = copy.deepcopy(CYCLONEDX_VEX)
    document["metadata"]["component"] |= {
        "purl": "pkg:generic/capital@1.0.0",
        "hashes": [{"alg": "SHA-256", "content": "AB"}, {"alg": "MD5", "content": "cd"}],
    }
    (statement,) = read_vex(data(document), "vex")
    assert (statement.state, statement.detail) == ("exploitable", "By a long prompt.")
    assert statement.products == (frozenset({"pkg:generic/capital@1.0.0", "sha256:ab"}),)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("not_affected", "not_affected"),
        ("affected", "exploitable"),
        ("fixed", "resolved"),
        ("under_investigation", "in_triage"),
    ],
)
def test_every_status_of_openvex_is_a_state(status: str, state: str) -> None:
    more = NOT_AFFECTED if status == "not_affected" else {}
    assert read_vex(data(openvex(status, **more)), "vex")[0].state == state


def test_a_reason_that_cyclonedx_has_no_word_for_is_kept() -> None:
    reason = "vulnerable_code_cannot_be_controlled_by_adversary"
    (statement,) = read_vex(data(openvex("not_affected", justification=reason)), "vex")
    assert (statement.justification, statement.detail) == (None, f"OpenVEX: {reason}")


def _without(document: dict[str, Any], member: str) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    del (changed["vulnerabilities"] if "vulnerabilities" in changed else changed["statements"])[0][
        member
    ]
    return changed


ERRORS: list[tuple[Any, str]] = [
    (b"", "not JSON in vex"),
    ({}, "not a VEX document in vex (expected OpenVEX (@context) or CycloneDX (bomFormat))"),
    (OPENVEX | {"statements": []}, "no statement in vex (expected at least one)"),
    (CYCLONEDX_VEX | {"vulnerabilities": []}, "no statement in vex (expected at least one)"),
    (
        CYCLONEDX_VEX | {"specVersion": "1.4"},
        "unknown version in vex.specVersion (expected 1.5, 1.6, 1.7)",
    ),
    (
        _without(OPENVEX, "products"),
        "names no product in vex.statements[0] (expected products)",
    ),
    (
        _without(CYCLONEDX_VEX, "affects"),
        "names no product in vex.vulnerabilities[0] (expected affects)",
    ),
    (
        _without(CYCLONEDX_VEX, "analysis"),
        "member is missing in vex.vulnerabilities[0] (expected analysis)",
    ),
    (
        openvex(products=[]),
        "wrong number of items in vex.statements[0].products (expected 1 to 256, got 0)",
    ),
    (openvex(product={}), "a product without a name in vex.statements[0].products[0]"),
    (
        openvex("unaffected"),
        "unknown word in vex.statements[0].status (expected not_affected, affected, fixed, "
        "under_investigation, got unaffected)",
    ),
    (
        openvex("not_affected"),
        "a reason is missing in vex.statements[0] (expected justification or impact_statement)",
    ),
    (
        openvex("affected", **NOT_AFFECTED),
        "a justification of what affects in vex.statements[0] "
        "(got affected, component_not_present)",
    ),
    (openvex(state="fixed"), "unknown member in vex.statements[0] (got 'state')"),
    (
        OPENVEX | {"statements": OPENVEX["statements"] * 2},
        f"two statements about the same in vex (got {ID} for pkg:generic/capital@1.0.0)",
    ),
    (
        openvex(name="CVE-2026-1\u202e"),
        "a character that hides or reorders text in vex.statements[0].vulnerability.name "
        "(got U+202E)",
    ),
    (openvex(name=" "), "an empty name in vex.statements[0].vulnerability.name"),
    (
        OPENVEX | {"statements": OPENVEX["statements"] * (LIMITS.declared_vulnerabilities + 1)},
        "wrong number of items in vex.statements (expected at most 1024, got 1025)",
    ),
    (
        openvex(status_notes="x" * (LIMITS.vex_text_bytes + 1)),
        "too long in vex.statements[0].status_notes (expected at most 4096 bytes, got 4097)",
    ),
    (
        b" " * (LIMITS.vex_bytes + 1),
        f"too long in vex (expected at most {LIMITS.vex_bytes} bytes, got {LIMITS.vex_bytes + 1})",
    ),
]


@pytest.mark.parametrize(("document", "says"), ERRORS, ids=range(len(ERRORS)))
def test_what_can_be_understood_in_two_ways_is_refused(document: Any, says: str) -> None:
    assert refusal(document).startswith(says)


def test_deep_nesting_is_refused() -> None:
    assert "deep" in refusal(b'{"a":' * 5000 + b"1" + b"}" * 5000)


# --- attaching -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "refs"),
    [
        ("pkg:generic/capital@1.0.0", ["app"]),
        ("pkg:generic/capital", ["app"]),
        ("app", ["app"]),
        ("model:model:0", ["model:model:0"]),
        ("part:engine", ["part:engine"]),
        ({"hashes": {"sha-256": "MODEL"}}, ["model:model:0"]),
        ({"@id": "urn:x:other", "identifiers": {"purl": "pkg:generic/capital"}}, ["app"]),
    ],
)
def test_a_product_is_named_by_reference_package_url_or_digest(
    product: Any, refs: list[str], tmp_path: Path
) -> None:
    honest = forge.make_package(tmp_path / "honest")
    model = json.loads((honest / "bom.cdx.json").read_bytes())["components"][1]
    digest = next(h["content"] for h in model["hashes"] if h["alg"] == "SHA-256")
    named = json.loads(json.dumps(product).replace("MODEL", digest.upper()))
    package = packed(tmp_path / "vex", openvex(product=named))
    (found,) = json.loads((package / "bom.cdx.json").read_bytes())["vulnerabilities"]
    assert found["affects"] == [{"ref": ref} for ref in refs]
    assert found["analysis"]["state"] == "exploitable"


def test_the_digest_of_no_component_is_nobodys(tmp_path: Path) -> None:
    """The control of the digests above: one digit off, and nothing is meant."""
    with pytest.raises(UndecidedError, match="no statement is about this"):
        packed(tmp_path, openvex(product={"hashes": {"sha-256": "0" * 64}}))


@pytest.mark.parametrize(
    "product", ["pkg:generic/capital@1.0.1", "pkg:generic/capita", "pkg:generic/Capital", "*", "ap"]
)
def test_statements_about_other_products_alone_are_an_error(product: str, tmp_path: Path) -> None:
    with pytest.raises(UndecidedError) as caught:
        packed(tmp_path, openvex(product=product))
    assert str(caught.value).startswith("no statement is about this in --vex (expected a product")


def test_statements_about_others_are_passed_over(tmp_path: Path) -> None:
    other = openvex(product="pkg:generic/other", name="CVE-2026-9")
    package = packed(tmp_path, OPENVEX, other)
    bom = read_bom((package / "bom.cdx.json").read_bytes())
    assert states(bom) == (f"not_affected:{ID}",)
    assert [one.id for one in bom.declared().vulnerabilities] == [ID]


def test_what_a_bom_cannot_declare_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="vulnerability"):
        packed(tmp_path, openvex(name="x" * 300))


# --- honouring -------------------------------------------------------------------------------


def test_a_stated_vulnerability_is_refused_by_name(tmp_path: Path) -> None:
    package = packed(tmp_path, openvex("affected"))
    said = verdict(tmp_path / "policy", REFUSING, package)
    assert said == (
        "policy: the policy refuses vulnerabilities in policy.toml:8 vulnerabilities.refuse "
        f"(expected no vulnerability that is exploitable or in_triage, got exploitable:{ID})"
    )
    assert verdict(tmp_path / "policy", MINIMAL, package) == "verified"


def test_without_the_rule_the_same_package_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: nothing else stops it."""
    package = packed(tmp_path, openvex("affected"))
    monkeypatch.setattr(rules.Unaffected, "found", lambda *_: [])
    assert verdict(tmp_path / "policy", REFUSING, package) == "verified"


@pytest.mark.parametrize("status", ["fixed", "not_affected"])
def test_a_closed_state_passes(status: str, tmp_path: Path) -> None:
    more = NOT_AFFECTED if status == "not_affected" else {}
    package = packed(tmp_path, openvex(status, **more))
    assert verdict(tmp_path / "policy", REFUSING, package) == "verified"


def test_a_silent_package_passes_and_its_fact_is_empty(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    with verify_under(load(tmp_path / "policy", REFUSING), package) as verified:
        assert verified.facts["vulnerabilities"] == ()


def test_the_operators_word_counts_more_than_the_packers(tmp_path: Path) -> None:
    package = packed(tmp_path, openvex("not_affected", **NOT_AFFECTED))
    folder = tmp_path / "policy"
    said = verdict(folder, OPERATOR, package, openvex("affected"))
    assert said.startswith("policy: the policy refuses vulnerabilities in policy.toml:8")
    assert f"got exploitable:{ID}" in said
    assert verdict(folder, OPERATOR, package, openvex("not_affected", **NOT_AFFECTED)) == "verified"


def test_without_the_operators_word_the_packer_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    package = packed(tmp_path, openvex("not_affected", **NOT_AFFECTED))
    monkeypatch.setattr(vex_match, "references", lambda *_: ())
    assert verdict(tmp_path / "policy", OPERATOR, package, openvex("affected")) == "verified"


def test_the_operator_may_clear_what_the_packer_states_of_the_same_component(
    tmp_path: Path,
) -> None:
    package = packed(tmp_path, openvex("affected"))
    cleared = openvex("not_affected", "app", **NOT_AFFECTED)
    assert verdict(tmp_path / "policy", OPERATOR, package, cleared) == "verified"


@pytest.mark.parametrize("product", ["model:model:0", "pkg:generic/other", "capital"])
def test_the_operator_clears_nothing_else(product: str, tmp_path: Path) -> None:
    package = packed(tmp_path, openvex("affected"))
    cleared = openvex("not_affected", product, **NOT_AFFECTED)
    assert "exploitable" in verdict(tmp_path / "policy", OPERATOR, package, cleared)


@pytest.mark.parametrize(
    ("name", "is_cleared"),
    [
        pytest.param("other", False, id="attack"),
        pytest.param("capital", True, id="control"),
    ],
)
def test_a_bom_of_another_product_clears_no_namesake_of_its_refs(
    name: str, is_cleared: bool, tmp_path: Path
) -> None:
    """Every package has an `app`; a vendor's statement about his is about no other."""
    package = packed(tmp_path, openvex("affected"))
    document = copy.deepcopy(CYCLONEDX_VEX)
    document["metadata"]["component"] |= {"name": name, "version": "1.0.0"}
    document["vulnerabilities"][0]["analysis"] = {"state": "not_affected"}
    said = verdict(tmp_path / "policy", OPERATOR, package, document)
    assert (said == "verified") is is_cleared, said


def test_refuses_a_document_that_describes_two_things_by_one_ref() -> None:
    document = copy.deepcopy(CYCLONEDX_VEX)
    document["components"] = [document["metadata"]["component"]]
    with pytest.raises(MalformedError, match="a bom-ref stands twice"):
        read_vex(data(document), "vex")


def test_of_two_words_of_the_operator_about_one_component_both_count(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    both = openvex("affected") | {
        "statements": [
            *openvex("affected")["statements"],
            *openvex("not_affected", "app", **NOT_AFFECTED)["statements"],
        ]
    }
    assert "exploitable" in verdict(tmp_path / "policy", OPERATOR, package, both)


def test_the_operator_may_know_what_the_packer_never_heard_of(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path)
    said = verdict(tmp_path / "policy", OPERATOR, package, openvex("under_investigation", "app"))
    assert f"got in_triage:{ID}" in said


def test_an_accepted_vulnerability_passes_until_its_day(tmp_path: Path) -> None:
    package = packed(tmp_path, openvex("affected"))
    allow = f'{REFUSING}allow = [{{ id = "{ID}", reason = "no prompt", until = 2026-11-24 }}]\n'
    assert verdict(tmp_path / "policy", allow, package) == "verified"
    over = allow.replace("2026-11-24", "2026-11-23")
    assert "exploitable" in verdict(tmp_path / "policy", over, package)
    other = allow.replace(ID, "CVE-2026-123")
    assert "exploitable" in verdict(tmp_path / "policy", other, package)


def test_expressions_see_the_same(tmp_path: Path) -> None:
    package = packed(tmp_path, openvex("affected"))
    rule = "[[rule]]\ncel = 'vulnerabilities.all(v, !v.startsWith(\"exploitable:\"))'\n"
    said = verdict(tmp_path / "policy", f'{MINIMAL}{rule}message = "open"\n', package)
    assert said.startswith("policy: the policy refuses vulnerabilities: open")


@pytest.mark.parametrize("content", [b"", b"{}", data(OPENVEX | {"statements": []})])
def test_an_operators_file_that_says_nothing_is_no_verdict(content: bytes, tmp_path: Path) -> None:
    tmp_path.joinpath("vex.json").write_bytes(content)
    with pytest.raises(UndecidedError):
        load(tmp_path, OPERATOR)


def test_an_operators_file_that_is_not_there_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(UndecidedError, match=re.escape("vex.json")):
        load(tmp_path, OPERATOR)


def test_an_operators_file_that_others_can_change_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "vex.json"
    path.write_bytes(data(OPENVEX))
    path.chmod(0o666)
    with pytest.raises(UndecidedError, match="VEX document"):
        load(tmp_path, OPERATOR)
    path.chmod(0o600)
    assert load(tmp_path, OPERATOR).vex


def test_check_warns_where_nobody_but_packers_states_anything() -> None:
    (warning,) = vulnerability_warnings(parse_policy(REFUSING.encode(), where="p.toml"))
    assert warning.startswith("p.toml:8 vulnerabilities.refuse sees only what packers state")
    assert not vulnerability_warnings(parse_policy(OPERATOR.encode(), where="p.toml"))
    assert not vulnerability_warnings(parse_policy(MINIMAL.encode(), where="p.toml"))


def test_check_warns_of_an_acceptance_that_is_over() -> None:
    text = f'{REFUSING}allow = [{{ id = "{ID}", reason = "x", until = 2026-11-23 }}]\n'
    file = parse_policy(text.encode(), where="p.toml")
    assert f"p.toml:8 vulnerabilities.refuse no longer permits '{ID}'" in warnings(
        file.rules, forge.NOW
    )


def test_a_bom_that_hides_a_vulnerability_disagrees(tmp_path: Path) -> None:
    """A lying signer cannot drop from the list what he declared."""
    package = packed(tmp_path, openvex("affected"))
    with forge.edited_bom(package) as bom:
        bom["vulnerabilities"][0]["analysis"]["state"] = "resolved"
    assert verdict(tmp_path / "policy", REFUSING, package).startswith("disagree: ")


def test_the_words_of_the_page_are_those_of_the_reader() -> None:
    page = (ROOT / "docs" / "vex.md").read_text()
    for status in ("affected", "under_investigation", "fixed"):
        (state,) = re.findall(rf"\| `{status}` \| `([a-z_]+)`", page)
        assert read_vex(data(openvex(status)), "vex")[0].state == state


def test_names_are_compared_as_they_are(tmp_path: Path) -> None:
    bom = read_bom((forge.make_package(tmp_path) / "bom.cdx.json").read_bytes())
    names = names_of(bom)
    serial = str(bom.tree["serialNumber"]).removeprefix("urn:uuid:")
    (link,) = read_vex(data(openvex(product=f"urn:cdx:{serial}/1#app")), "vex")
    assert references(link, names) == ("app",)
    (foreign,) = read_vex(data(openvex(product=f"urn:cdx:{serial[::-1]}/1#app")), "vex")
    assert references(foreign, names) == ()


# --- the commands ----------------------------------------------------------------------------


def test_make_attaches_and_says_what_it_passed_over(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    statements = [
        *openvex("affected", "pkg:generic/tiny")["statements"],
        *openvex("affected", "other", name="CVE-2026-9")["statements"],
    ]
    (tmp_path / "vex.json").write_bytes(data(OPENVEX | {"statements": statements}))
    done = infwasi("bom", "make", "tiny.gguf", "--vex", "vex.json", cwd=tmp_path)
    assert (done.code, done.said) == (
        0,
        ["note: passed over, for they are about other products: CVE-2026-9"],
    )
    (document,) = done.documents
    assert [one["id"] for one in document["vulnerabilities"]] == [ID]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "error: not JSON in vex.json"),
        (data(OPENVEX | {"statements": []}), "error: no statement in vex.json"),
        (None, "error: no such file in vex.json"),
    ],
)
def test_a_file_that_states_nothing_is_a_usage_error(
    content: bytes | None, says: str, tmp_path: Path
) -> None:
    (tmp_path / "tiny.gguf").write_bytes(tiny_gguf())
    if content is not None:
        (tmp_path / "vex.json").write_bytes(content)
    done = infwasi("bom", "make", "tiny.gguf", "--vex", "vex.json", cwd=tmp_path)
    assert done.code == 2
    assert done.said[0].startswith(says)
