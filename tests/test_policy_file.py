"""Policy files, read strictly: every error in whole, and the published schema beside the parser."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError, validators  # type: ignore[import-untyped]  # it has no types

from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.policy import RunLimit
from infwasi_sign.domain.policy_expressions import ExpressionSpec
from infwasi_sign.domain.policy_file import parse_policy
from infwasi_sign.domain.policy_warnings import warnings
from infwasi_sign.domain.rules import (
    AnyOf,
    AtLeast,
    AtMost,
    CountAtLeast,
    Holds,
    Including,
    Matching,
    NoneOf,
    OneOf,
    Rule,
    Test,
    Unaffected,
    VersionAtLeast,
)
from infwasi_sign.errors import RefusalKind, UndecidedError
from tests.conftest import ROOT
from tests.policy_support import MINIMAL

A, B = "sha256:" + "a" * 64, "blake3:" + "b" * 64
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def parse(text: str) -> tuple[Rule, ...]:
    return parse_policy(text.encode(), where="p.toml").rules


def refusal(text: str | bytes) -> str:
    with pytest.raises(UndecidedError) as caught:
        parse_policy(text if isinstance(text, bytes) else text.encode(), where="p.toml")
    return str(caught.value)


# --- what a policy says ----------------------------------------------------------------------


def test_the_smallest_policy_has_one_rule() -> None:
    file = parse_policy(MINIMAL.encode(), where="p.toml")
    assert [(rule.name, rule.test, rule.place) for rule in file.rules] == [
        ("package.name", Matching(patterns=("*",)), "p.toml:6")
    ]
    (signer,) = file.signers
    (key,) = signer.keys
    assert (signer.name, key.file, key.pem, key.not_after) == ("release", "release.pub", None, None)
    assert (key.path, key.place) == ("signer[0].keys[0]", "p.toml:4")
    assert (file.limits, file.digests) == ({}, frozenset({Algorithm.BLAKE3}))
    assert file.named_digests == frozenset()


RULES: list[tuple[str, str, str, Test, RefusalKind]] = [
    (
        '[vulnerabilities]\nrefuse = ["exploitable", "in_triage"]',
        "vulnerabilities.refuse",
        "vulnerabilities",
        Unaffected(states=("exploitable", "in_triage")),
        RefusalKind.POLICY,
    ),
    (
        '[component]\nimports = ["wasi:nn/*"]',
        "component.imports",
        "component.imports",
        Matching(patterns=("wasi:nn/*",)),
        RefusalKind.POLICY,
    ),
    (
        "[component]\nmax-bytes = 7",
        "component.max-bytes",
        "component.size",
        AtMost(number=7),
        RefusalKind.POLICY,
    ),
    (
        f'[component]\ndigests = ["{A}", "{B}"]',
        "component.digests",
        "component.digests",
        AnyOf(values=(A, B)),
        RefusalKind.POLICY,
    ),
    (
        '[model]\narchitectures = ["llama"]',
        "model.architectures",
        "model.architectures",
        OneOf(values=("llama",)),
        RefusalKind.POLICY,
    ),
    (
        '[model]\nlicenses = ["Apache-2.0", "MIT"]',
        "model.licenses",
        "model.licenses",
        OneOf(values=("apache-2.0", "mit")),
        RefusalKind.POLICY,
    ),
    (
        '[model]\nquantizations = ["Q4_0"]',
        "model.quantizations",
        "model.quantizations",
        OneOf(values=("Q4_0",)),
        RefusalKind.POLICY,
    ),
    (
        f'[model]\ndigests = ["{B}"]',
        "model.digests",
        "model.digests",
        AnyOf(values=(B,)),
        RefusalKind.POLICY,
    ),
    (
        f'[model]\nchat-templates = ["{A}"]',
        "model.chat-templates",
        "model.chat-templates",
        OneOf(values=(A,)),
        RefusalKind.POLICY,
    ),
    (
        "[model]\nmax-bytes = 7",
        "model.max-bytes",
        "model.size",
        AtMost(number=7),
        RefusalKind.POLICY,
    ),
    (
        "[model]\nmax-parameters = 7",
        "model.max-parameters",
        "model.parameters",
        AtMost(number=7),
        RefusalKind.POLICY,
    ),
    (
        '[bom]\nrequire = ["infwasi:size"]',
        "bom.require",
        "bom.properties",
        Including(values=("infwasi:size",)),
        RefusalKind.POLICY,
    ),
    (
        f'[host]\nlibraries = ["{A}"]',
        "host.libraries",
        "host.libraries",
        OneOf(values=(A,)),
        RefusalKind.POLICY,
    ),
    (
        "[sigstore]\nmaximum-age-days = 7",
        "sigstore.maximum-age-days",
        "trust-root.age-days",
        AtMost(number=7),
        RefusalKind.EXPIRED,
    ),
    (
        '[load]\nminimum-level = "foreign-owner"',
        "load.minimum-level",
        "load.level",
        OneOf(values=("foreign-owner", "private-copy", "sealed-memfd", "read-lease", "fs-verity")),
        RefusalKind.LEVEL,
    ),
    (
        '[confinement]\nrequire = ["no-dumps", "seccomp"]',
        "confinement.require",
        "confinement.layers",
        Including(values=("no-dumps", "seccomp")),
        RefusalKind.LEVEL,
    ),
]


@pytest.mark.parametrize(("text", "name", "fact", "test", "kind"), RULES)
def test_a_key_is_one_rule_with_its_line(
    text: str, name: str, fact: str, test: Test, kind: RefusalKind
) -> None:
    (rule,) = parse(MINIMAL + text)[1:]
    assert rule == Rule(name=name, fact=fact, test=test, place="p.toml:8", kind=kind)


PACKAGE_RULES: list[tuple[str, str, Test, RefusalKind]] = [
    (
        'minimum-version = "1.2"',
        "package.version",
        VersionAtLeast(version="1.2"),
        RefusalKind.POLICY,
    ),
    ("minimum-sequence = 7", "package.sequence", AtLeast(number=7), RefusalKind.POLICY),
    ("maximum-age-days = 7", "package.age-days", AtMost(number=7), RefusalKind.EXPIRED),
    ('expires = ["yes"]', "package.expires", OneOf(values=("yes",)), RefusalKind.POLICY),
]


@pytest.mark.parametrize(("text", "fact", "test", "kind"), PACKAGE_RULES)
def test_rules_of_a_package_are_about_those_of_its_pattern(
    text: str, fact: str, test: Test, kind: RefusalKind
) -> None:
    names, rule = parse(f'{MINIMAL}[[package]]\nname = "weather"\n{text}\n')
    assert names.test == Matching(patterns=("*", "weather"))
    assert rule == Rule(
        name=f"package[1].{text.split(' ', maxsplit=1)[0]}",
        fact=fact,
        test=test,
        place="p.toml:9",
        kind=kind,
        when=("package.name", "weather"),
    )


# What packages must have been signed by, and the test that it makes.
THRESHOLDS = [
    ('signers = ["release"]', "signers", CountAtLeast(number=1, values=("release",))),
    ("threshold = 1", "threshold", CountAtLeast(number=1)),
    (
        'signers = ["release"]\nthreshold = 1',
        "threshold",
        CountAtLeast(number=1, values=("release",)),
    ),
    (
        'signers = ["release", "y", "release"]\nthreshold = 2',
        "threshold",
        CountAtLeast(number=2, values=("release", "y")),
    ),
    ("threshold = 2", "threshold", CountAtLeast(number=2)),
]
TWO = MINIMAL.replace(
    "[[package]]", '[[signer]]\nname = "y"\nkeys = [{ file = "y.pub" }]\n[[package]]'
)


@pytest.mark.parametrize(("text", "key", "test"), THRESHOLDS)
def test_who_must_sign_a_package_is_one_rule(text: str, key: str, test: Test) -> None:
    _, rule = parse(TWO + text + "\n")
    assert (rule.name, rule.fact, rule.test, rule.kind) == (
        f"package[0].{key}",
        "signer.names",
        test,
        RefusalKind.SIGNER,
    )
    assert rule.when == ("package.name", "*")


DENIALS = [
    ("key", "signer.keys", A),
    ("identity", "signer.identities", "release@acme.example"),
    ("statement", "statement.digest", A),
    ("model", "model.digests", B),
    ("component", "component.digests", B),
    ("part", "component.parts", A),
    ("library", "host.libraries", A),
    ("package", "package.release", "capital 1.0.0-rc.1"),
    ("package", "package.release", "capital sequence 12"),
]


@pytest.mark.parametrize(("thing", "fact", "value"), DENIALS)
def test_a_denial_is_the_first_rule_and_says_why_and_when(
    thing: str, fact: str, value: str
) -> None:
    text = f'[[deny]]\nreason = "lost"\ndate = 2026-01-02\n{thing} = ["{value}"]\n'
    denial, _ = parse(MINIMAL + text)
    assert denial == Rule(
        name=f"deny[0].{thing}",
        fact=fact,
        test=NoneOf(values=(value,), is_folded=thing == "identity"),
        place="p.toml:10",
        kind=RefusalKind.REVOKED,
        reason="lost (2026-01-02)",
    )


def test_an_expression_is_read_with_its_line_and_not_compiled() -> None:
    text = (
        "[[rule]]\ncel = '''\nno expression\n'''\nmessage = \"x\"\n"
        '[[rule]]\nmessage = "y"\nkind = "expired"\npackage = "cap*"\ncel = "now > 1"\n'
    )
    file = parse_policy((MINIMAL + text).encode(), where="p.toml")
    assert file.expressions == (
        ExpressionSpec(
            name="rule[0].cel",
            text="no expression\n",
            message="x",
            place="p.toml:8",
            kind=RefusalKind.POLICY,
            package=None,
        ),
        ExpressionSpec(
            name="rule[1].cel",
            text="now > 1",
            message="y",
            place="p.toml:16",
            kind=RefusalKind.EXPIRED,
            package="cap*",
        ),
    )
    test = Holds(text="now > 1", facts=("now",), evaluate=lambda _: True)
    assert file.expressions[1].rule(test) == Rule(
        name="rule[1].cel",
        fact="now",
        test=test,
        place="p.toml:16",
        kind=RefusalKind.EXPIRED,
        when=("package.name", "cap*"),
        reason="y",
    )


def test_a_demand_of_a_memory_is_its_place() -> None:
    assert parse_policy(MINIMAL.encode(), where="p.toml").memory_demanded_at is None
    file = parse_policy((MINIMAL + "[state]\nrequire = true").encode(), where="p.toml")
    assert file.memory_demanded_at == "p.toml:8 state.require"


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("", None),
        ("[model]\nmax-bytes = 7", None),
        ("[model]\nidentity-cache = false", None),
        ("[model]\nidentity-cache = true", "p.toml:8 model.identity-cache"),
    ],
)
def test_the_identity_cache_is_off_unless_the_policy_says_so(more: str, place: str | None) -> None:
    assert parse_policy((MINIMAL + more).encode(), where="p.toml").identity_cache_at == place
    assert "model.identity-cache" not in {rule.name for rule in parse(MINIMAL + more)}


def test_limits_of_runs_are_read() -> None:
    text = "[run]\n" + "".join(f"{name} = {number}\n" for number, name in enumerate(RunLimit, 1))
    limits = parse_policy((MINIMAL + text).encode(), where="p.toml").limits
    assert limits == {name: number for number, name in enumerate(RunLimit, 1)}


@pytest.mark.parametrize(
    ("text", "digests"),
    [
        ('[digests]\nrequire = ["sha256"]', {"sha256"}),
        ('[digests]\nrequire = ["blake3", "sha256"]', {"blake3", "sha256"}),
        ("[digests]", {"blake3"}),
        # a digest by which a rule knows the model is computed, not believed
        (f'[model]\ndigests = ["{A}"]', {"blake3", "sha256"}),
        (f'[model]\ndigests = ["{B}"]', {"blake3"}),
        (
            f'[[deny]]\nmodel = ["{A}"]\nreason = "x"\ndate = 2026-01-01',
            {"blake3", "sha256"},
        ),
    ],
)
def test_digests_to_compute(text: str, digests: set[str]) -> None:
    assert set(parse_policy((MINIMAL + text).encode(), where="p.toml").digests) == digests


def test_lines_are_found_however_the_document_is_laid_out() -> None:
    text = (
        "# comment with \"\"\" and '''\r\n"
        "version = 1\n"
        'description = """\n[model]\nmax-bytes = 1\n"""\n'
        "[[signer]]\n"
        'name = "x"  # """\n'
        "[[signer.keys]]\n"
        'file = "a.pub"\n'
        "not-after = 2026-01-01T00:00:00Z\n"
        "[[ signer . keys ]]\n"
        'file = "b.pub"\n'
        '"not-after" = 2027-01-01T00:00:00Z\n'
        "[[package]]\n"
        'name = "*"\n'
        "[model]\n"
        "licenses = [\n"
        '  "a", # "b",\n'
        '  "c]" ]\n'
        "'max-bytes' = 1\n"
    )
    file = parse_policy(text.encode(), where="p.toml")
    assert [key.place for key in file.signers[0].keys] == ["p.toml:11", "p.toml:14"]
    assert [(rule.name, rule.place) for rule in file.rules] == [
        ("package.name", "p.toml:16"),
        ("model.licenses", "p.toml:18"),
        ("model.max-bytes", "p.toml:21"),
    ]


def test_lines_of_inline_tables_are_found() -> None:
    text = (
        "version = 1\n"
        'signer = [{ name = "x", keys = [{ file = "a" },\n'
        '  { file = "b", not-after = 2026-01-01 00:00:00Z } ] }]\n'
        "package = [\n"
        '  { name = "a" },\n'
        '  { name = "b", minimum-sequence = 1 } ]\n'
        "component.max-bytes = 3\n"
    )
    file = parse_policy(text.encode(), where="p.toml")
    assert [key.place for key in file.signers[0].keys] == ["p.toml:2", "p.toml:3"]
    assert [rule.place for rule in file.rules] == ["p.toml:5", "p.toml:6", "p.toml:7"]


# --- what is refused -------------------------------------------------------------------------

SIGNER = '[[signer]]\nname = "r"\nkeys = [{ file = "a.pub" }]\n'
PACKAGE = '[[package]]\nname = "*"\n'
SECTIONS = (
    "bom, component, confinement, deny, description, digests, host, load, model, package, rule, "
    "run, signer, sigstore, state, version, vulnerabilities"
)
TEXTS = "an array of texts, not empty"
SHA256 = "sha256: and 64 digits of 0-9 a-f"
DIGEST = "sha256: or blake3:, and 64 digits of 0-9 a-f"
DENIED = "key, identity, statement, model, component, part, library, package"

ERRORS: list[tuple[str, str]] = [
    # the document
    ("", "unknown version in p.toml version (expected 1)"),
    ("version = 2", "unknown version in p.toml:1 version (expected 1, got int 2)"),
    ("version = 1.0", "unknown version in p.toml:1 version (expected 1, got float 1.0)"),
    ("version = true", "unknown version in p.toml:1 version (expected 1, got bool True)"),
    ('version = "1"', "unknown version in p.toml:1 version (expected 1, got str '1')"),
    ("\nversion = []", "unknown version in p.toml:2 version (expected 1, got list)"),
    ("version = 1\n[x]", f"unknown section in p.toml:2 x (expected {SECTIONS})"),
    ("version = 1\nmax = 3", f"unknown section in p.toml:2 max (expected {SECTIONS})"),
    (
        'version = 1\n"a\\nb" = 3',
        f"unknown section in p.toml 'a\\nb' (expected {SECTIONS})",
    ),
    (
        "version = 1\ndescription = 3",
        "wrong type in p.toml:2 description (expected a text that is not empty, got int 3)",
    ),
    # signers
    ("version = 1", "nobody is trusted in p.toml signer (expected [[signer]] entries)"),
    (
        "version = 1\nsigner = []",
        "nobody is trusted in p.toml:2 signer (expected [[signer]] entries)",
    ),
    (
        "version = 1\n[signer]",
        "wrong type in p.toml:2 signer (expected [[signer]], got dict)",
    ),
    (
        "version = 1\nsigner = [3]",
        "wrong type in p.toml:2 signer[0] (expected a table, got int 3)",
    ),
    (
        "version = 1\n[[signer]]\nkeys = []",
        "wrong type in p.toml:2 signer[0].name (expected a text that is not empty)",
    ),
    (
        'version = 1\n[[signer]]\nname = ""',
        "wrong type in p.toml:3 signer[0].name (expected a text that is not empty, got str '')",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"',
        "a signer has no keys in p.toml:2 signer[0].keys (expected keys or certificates or "
        "identities)",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = []',
        "a signer has no keys in p.toml:4 signer[0].keys (expected an array of keys)",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkey = "a.pub"',
        "unknown key in p.toml:4 signer[0].key (expected certificates, identities, keys, name)",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = ["a.pub"]',
        "wrong type in p.toml:4 signer[0].keys[0] (expected a table, got str 'a.pub')",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [\n{}]',
        "a key is given by `pem` or by `file` in p.toml:5 signer[0].keys[0]",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [{ file = "a", pem = "b" }]',
        "a key is given by `pem` or by `file` in p.toml:4 signer[0].keys[0]",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [{ file = 3 }]',
        "wrong type in p.toml:4 signer[0].keys[0].file "
        "(expected a text that is not empty, got int 3)",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [{ file = "a\\u0000" }]',
        "wrong type in p.toml:4 signer[0].keys[0].file "
        "(expected a text that is not empty, got str 'a\\x00')",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [{ pem = "" }]',
        "wrong type in p.toml:4 signer[0].keys[0].pem "
        "(expected a text that is not empty, got str '')",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [{ file = "a", until = 3 }]',
        "unknown key in p.toml:4 signer[0].keys[0].until (expected file, not-after, pem)",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\n'
        'keys = [{ file = "a", not-after = 2026-01-01T00:00:00 }]',
        "wrong type in p.toml:4 signer[0].keys[0].not-after "
        "(expected a time with its zone, got datetime 2026-01-01 00:00:00)",
    ),
    (
        'version = 1\n[[signer]]\nname = "r"\nkeys = [{ file = "a", not-after = 2026-01-01 }]',
        "wrong type in p.toml:4 signer[0].keys[0].not-after "
        "(expected a time with its zone, got date 2026-01-01)",
    ),
    (
        f"version = 1\n{SIGNER}{SIGNER}",
        "a signer stands twice in p.toml:6 signer[1].name (got str 'r')",
    ),
    # packages
    (
        f"version = 1\n{SIGNER}",
        "no package is permitted in p.toml package (expected [[package]] entries)",
    ),
    (
        f"version = 1\n{SIGNER}[[package]]\nminimum-sequence = 3",
        "wrong type in p.toml:5 package[0].name (expected a text that is not empty)",
    ),
    (
        f'version = 1\n{SIGNER}[[package]]\nname = ["a"]',
        "wrong type in p.toml:6 package[0].name (expected a text that is not empty, got list)",
    ),
    (
        f"version = 1\n{SIGNER}{PACKAGE}minimum-age = 3",
        "unknown key in p.toml:7 package[0].minimum-age (expected expires, maximum-age-days, "
        "minimum-sequence, minimum-version, name, signers, threshold)",
    ),
    (
        f"{MINIMAL}minimum-version = 1",
        "wrong type in p.toml:7 package[0].minimum-version "
        "(expected a text that is not empty, got int 1)",
    ),
    (
        f"{MINIMAL}minimum-sequence = -1",
        "wrong type in p.toml:7 package[0].minimum-sequence "
        "(expected an integer from 0 to 2^53 - 1, got int -1)",
    ),
    (
        f"{MINIMAL}maximum-age-days = 1.5",
        "wrong type in p.toml:7 package[0].maximum-age-days "
        "(expected an integer from 0 to 2^53 - 1, got float 1.5)",
    ),
    (
        f'{MINIMAL}expires = ["yes", "no"]',
        "can never hold in p.toml:7 package[0].expires[1] (expected yes or never, got str 'no')",
    ),
    # rules
    (
        f"{MINIMAL}model = 3",
        "unknown key in p.toml:7 package[0].model (expected expires, maximum-age-days, "
        "minimum-sequence, minimum-version, name, signers, threshold)",
    ),
    (f"model = 3\n{MINIMAL}", "wrong type in p.toml:1 model (expected a table, got int 3)"),
    (
        f"{MINIMAL}[[model]]",
        "wrong type in p.toml:7 model (expected a table, got list)",
    ),
    *(
        (MINIMAL.replace('keys = [{ file = "release.pub" }]', way), f"{what} in p.toml:4 {rest}")
        for way, what, rest in (
            ("keys = []", "a signer has no keys", "signer[0].keys (expected an array of keys)"),
            (
                "identities = []",
                "a signer has no identities",
                "signer[0].identities (expected an array of identities)",
            ),
            (
                'identities = [{ identity = "a" }]',
                "wrong type",
                "signer[0].identities[0].issuer (expected a text that is not empty)",
            ),
            (
                'identities = [{ issuer = "i" }]',
                "an identity is given by `identity` or by `identity-pattern`",
                "signer[0].identities[0]",
            ),
            (
                'identities = [{ identity = "a", identity-pattern = "a", issuer = "i" }]',
                "an identity is given by `identity` or by `identity-pattern`",
                "signer[0].identities[0]",
            ),
            (
                'certificates = [{ identity = "a", roots = "r.pem" }]',
                "can never hold",
                "signer[0].certificates[0] (expected timestamp-roots, or valid-at = "
                '"current-time")',
            ),
            (
                'certificates = [{ identity = "a", roots = "r.pem", valid-at = "never" }]',
                "wrong type",
                "signer[0].certificates[0].valid-at (expected timestamp or current-time, got str "
                "'never')",
            ),
        )
    ),
    (
        f"{MINIMAL}[load]\nlevel = 1",
        "unknown key in p.toml:8 load.level (expected minimum-level)",
    ),
    (
        f"{MINIMAL}[model]\narchitectures = []",
        f"wrong type in p.toml:8 model.architectures (expected {TEXTS}, got list)",
    ),
    (
        f'{MINIMAL}[model]\narchitectures = "llama"',
        f"wrong type in p.toml:8 model.architectures (expected {TEXTS}, got str 'llama')",
    ),
    (
        f'{MINIMAL}[model]\nlicenses = [\n"mit",\n3]',
        "wrong type in p.toml:10 model.licenses[1] (expected a text that is not empty, got int 3)",
    ),
    (
        f"{MINIMAL}[model]\nmax-bytes = true",
        "wrong type in p.toml:8 model.max-bytes "
        "(expected an integer from 0 to 2^53 - 1, got bool True)",
    ),
    (
        f"{MINIMAL}[model]\nmax-bytes = 9007199254740992",
        "wrong type in p.toml:8 model.max-bytes "
        "(expected an integer from 0 to 2^53 - 1, got int 9007199254740992)",
    ),
    (
        f"{MINIMAL}[model]\nmax-bytes = 0x{'f' * 40}",
        "wrong type in p.toml:8 model.max-bytes (expected an integer from 0 to 2^53 - 1, got int)",
    ),
    (
        f'{MINIMAL}[model]\ndigests = ["{"a" * 64}"]',
        f"can never hold in p.toml:8 model.digests[0] (expected {DIGEST}, got str '{'a' * 59})",
    ),
    (
        f'{MINIMAL}[component]\ndigests = ["sha512:ab"]',
        f"can never hold in p.toml:8 component.digests[0] (expected {DIGEST}, got str 'sha512:ab')",
    ),
    (
        f'{MINIMAL}[host]\nlibraries = ["blake3:ab"]',
        f"can never hold in p.toml:8 host.libraries[0] (expected {SHA256}, got str 'blake3:ab')",
    ),
    (
        f'{MINIMAL}[load]\nminimum-level = "best"',
        "unknown level in p.toml:8 load.minimum-level (expected none, foreign-owner, "
        "private-copy, sealed-memfd, read-lease, fs-verity, got str 'best')",
    ),
    (
        f'{MINIMAL}[digests]\nrequire = ["blake3", "md5"]',
        "unknown digest in p.toml:8 digests.require[1] (expected sha256, blake3, got str 'md5')",
    ),
    (
        f"{MINIMAL}[digests]\nrequire = []",
        f"wrong type in p.toml:8 digests.require (expected {TEXTS}, got list)",
    ),
    (
        f"{MINIMAL}[run]\nmax-token = 3",
        "unknown key in p.toml:8 run.max-token (expected context-tokens, "
        "host-memory-bytes, max-tokens, memory-bytes, output-bytes, prompt-bytes, timeout-seconds)",
    ),
    (
        f"{MINIMAL}[run]\nmax-tokens = 0",
        "nothing could run in p.toml:8 run.max-tokens (expected at least 1)",
    ),
    (
        f'{MINIMAL}[run]\nmax-tokens = "3"',
        "wrong type in p.toml:8 run.max-tokens "
        "(expected an integer from 0 to 2^53 - 1, got str '3')",
    ),
    # demands
    (
        f'{MINIMAL}[confinement]\nrequire = ["jail"]',
        "unknown layer in p.toml:8 confinement.require[0] (expected no-dumps, no-new-privs, "
        "rlimits, landlock, seccomp, got str 'jail')",
    ),
    (
        f"{MINIMAL}[confinement]\nrequire = []",
        f"wrong type in p.toml:8 confinement.require (expected {TEXTS}, got list)",
    ),
    (
        f"{MINIMAL}[state]\nrequire = false",
        "wrong type in p.toml:8 state.require (expected true, got bool False)",
    ),
    (
        f"{MINIMAL}[model]\nidentity-cache = 1",
        "wrong type in p.toml:8 model.identity-cache (expected true or false, got int 1)",
    ),
    (
        f"{MINIMAL}[state]\nrequire = 1",
        "wrong type in p.toml:8 state.require (expected true, got int 1)",
    ),
    (
        f"{MINIMAL}[state]\nrequired = true",
        "unknown key in p.toml:8 state.required (expected require)",
    ),
    (
        f'{MINIMAL}[vulnerabilities]\nrefuse = ["affected"]',
        "unknown state in p.toml:8 vulnerabilities.refuse[0] (expected exploitable, in_triage, "
        "not_affected, false_positive, resolved, resolved_with_pedigree, got str 'affected')",
    ),
    (
        f"{MINIMAL}[vulnerabilities]\nrefuse = []",
        f"wrong type in p.toml:8 vulnerabilities.refuse (expected {TEXTS}, got list)",
    ),
    (
        f'{MINIMAL}[vulnerabilities]\nallow = [{{ id = "x", reason = "y" }}]',
        "permits what is not refused in p.toml:8 vulnerabilities.allow "
        "(expected vulnerabilities.refuse)",
    ),
    (
        f'{MINIMAL}[vulnerabilities]\nrefuse = ["in_triage"]\nallow = [{{ id = "x" }}]',
        "wrong type in p.toml:9 vulnerabilities.allow[0].reason "
        "(expected a text that is not empty)",
    ),
    (
        f"{MINIMAL}[vulnerabilities]\nvex = 1",
        "wrong type in p.toml:8 vulnerabilities.vex (expected a text that is not empty, got int 1)",
    ),
    # expressions
    (
        f'{MINIMAL}[rule]\ncel = "true"',
        "wrong type in p.toml:7 rule (expected [[rule]], got dict)",
    ),
    (
        f'{MINIMAL}[[rule]]\nmessage = "x"',
        "wrong type in p.toml:7 rule[0].cel (expected a text that is not empty)",
    ),
    (
        f'{MINIMAL}[[rule]]\ncel = "true"',
        "wrong type in p.toml:7 rule[0].message (expected a text that is not empty)",
    ),
    (
        f'{MINIMAL}[[rule]]\ncel = true\nmessage = "x"',
        "wrong type in p.toml:8 rule[0].cel (expected a text that is not empty, got bool True)",
    ),
    (
        f'{MINIMAL}[[rule]]\ncel = "true"\nmessage = "x"\nkind = "digest"',
        "unknown kind in p.toml:10 rule[0].kind (expected policy, expired, level, limit, revoked, "
        "signer, got str 'digest')",
    ),
    (
        f'{MINIMAL}[[rule]]\ncel = "true"\nmessage = "x"\npackage = ""',
        "wrong type in p.toml:10 rule[0].package (expected a text that is not empty, got str '')",
    ),
    (
        f'{MINIMAL}[[rule]]\ncel = "true"\nmessage = "x"\nwhen = "y"',
        "unknown key in p.toml:10 rule[0].when (expected cel, kind, message, package)",
    ),
    (
        MINIMAL + '[[rule]]\ncel = "true"\nmessage = "x"\n' * (LIMITS.expressions + 1),
        f"too many rules in p.toml:{7 + 3 * LIMITS.expressions} rule[{LIMITS.expressions}] "
        f"(expected at most {LIMITS.expressions})",
    ),
    # denials
    (
        f'{MINIMAL}[deny]\nkey = ["{A}"]',
        "wrong type in p.toml:7 deny (expected [[deny]], got dict)",
    ),
    (
        f'{MINIMAL}[[deny]]\nreason = "x"\ndate = 2026-01-01',
        f"a denial is of one thing in p.toml:7 deny[0] (expected one of {DENIED})",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = ["{A}"]\nmodel = ["{A}"]\nreason = "x"\ndate = 2026-01-01',
        f"a denial is of one thing in p.toml:7 deny[0] (expected one of {DENIED})",
    ),
    (
        f'{MINIMAL}[[deny]]\nidentities = ["x"]',
        "unknown key in p.toml:8 deny[0].identities (expected component, date, identity, key, "
        "library, model, package, part, reason, statement)",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = ["{A}"]\ndate = 2026-01-01',
        "wrong type in p.toml:7 deny[0].reason (expected a text that is not empty)",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = ["{A}"]\nreason = "x"',
        "wrong type in p.toml:7 deny[0].date (expected a date)",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = ["{A}"]\nreason = "x"\ndate = "2026-01-01"',
        "wrong type in p.toml:10 deny[0].date (expected a date, got str '2026-01-01')",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = ["{A}"]\nreason = "x"\ndate = 2026-01-01T00:00:00Z',
        "wrong type in p.toml:10 deny[0].date "
        "(expected a date, got datetime 2026-01-01 00:00:00+00:00)",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = []\nreason = "x"\ndate = 2026-01-01',
        f"wrong type in p.toml:8 deny[0].key (expected {TEXTS}, got list)",
    ),
    (
        f'{MINIMAL}[[deny]]\nkey = ["{A.upper()}"]\nreason = "x"\ndate = 2026-01-01',
        f"can never hold in p.toml:8 deny[0].key[0] (expected {SHA256}, "
        f"got str 'SHA256:{'A' * 52})",
    ),
    (
        f'{MINIMAL}[[deny]]\npackage = ["capital"]\nreason = "x"\ndate = 2026-01-01',
        "can never hold in p.toml:8 deny[0].package[0] "
        "(expected NAME VERSION or NAME sequence NUMBER, got str 'capital')",
    ),
]


@pytest.mark.parametrize(("text", "message"), ERRORS, ids=range(len(ERRORS)))
def test_says_what_is_wrong_and_where(text: str, message: str) -> None:
    assert refusal(text) == message


def test_says_where_it_is_no_toml() -> None:
    assert refusal("version = 1\nx = = 2") == (
        "not TOML: Invalid value (at line 2, column 5) in p.toml"
    )
    assert refusal(b"\xff").startswith("not TOML: 'utf-8' codec can't decode byte 0xff")
    assert refusal("version = 1\nversion = 1").startswith("not TOML: Cannot overwrite a value")


# --- the schema ------------------------------------------------------------------------------

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "policy.v1.schema.json").read_text())
# The schema is JSON's; these keywords read it in TOML's types, which have dates and tell 1 and 1.0
# apart.
DATES = {"date": date, "date-time": datetime}


def toml_type(
    validator: Any, kinds: str, value: object, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    wanted = DATES.get(schema.get("format", ""))
    if wanted is not None:
        if type(value) is not wanted or (isinstance(value, datetime) and value.tzinfo is None):
            yield ValidationError(f"{value!r} is no {schema['format']}")
    elif not validator.is_type(value, kinds) or (kinds == "integer" and type(value) is not int):
        yield ValidationError(f"{value!r} is not of type {kinds}")


VALIDATOR = validators.extend(Draft202012Validator, {"type": toml_type, "format": None})


def is_by_schema(text: str) -> bool:
    return bool(VALIDATOR(SCHEMA).is_valid(tomllib.loads(text)))


def is_by_parser(text: str) -> bool:
    try:
        parse_policy(text.encode(), where="p.toml")
    except UndecidedError:
        return False
    return True


CERTIFICATE = 'certificates = [{ identity = "a@b", roots = "r.pem", '
WAYS = [
    MINIMAL.replace('keys = [{ file = "release.pub" }]', way)
    for way in (
        CERTIFICATE + 'timestamp-roots = "t.pem" }]',
        CERTIFICATE + 'intermediates = "i.pem", valid-at = "current-time" }]',
        CERTIFICATE + 'timestamp-roots = "t.pem", valid-at = "timestamp" }]',
        'identities = [{ identity = "a@b", issuer = "https://i" }]',
        'identities = [{ identity-pattern = "*@b", issuer = "https://i" }]',
    )
]
GOOD = [
    MINIMAL,
    *(MINIMAL + text for text, *_ in RULES),
    *(f"{MINIMAL}{text}\n" for text, *_ in PACKAGE_RULES),
    *(
        f'{MINIMAL}[[deny]]\n{thing} = ["{value}"]\nreason = "lost"\ndate = 2026-01-02\n'
        for thing, _, value in DENIALS
    ),
    *(f"{MINIMAL}[run]\n{name} = 1" for name in RunLimit),
    *(TWO + text for text, *_ in THRESHOLDS),
    *WAYS,
    f"{MINIMAL}[state]\nrequire = true",
    f'{MINIMAL}[vulnerabilities]\nrefuse = ["resolved"]\nvex = "vex.json"\n'
    'allow = [{ id = "x", reason = "y" }, { id = "z", reason = "y", until = 2027-01-01 }]',
    f"{MINIMAL}[model]\nidentity-cache = true",
    f"{MINIMAL}[model]\nidentity-cache = false",
    f'{MINIMAL}[[rule]]\ncel = "now > 1"\nmessage = "x"',
    f'{MINIMAL}[[rule]]\ncel = "now > 1"\nmessage = "x"\nkind = "level"\npackage = "*"',
    MINIMAL + '[[rule]]\ncel = "true"\nmessage = "x"\n' * LIMITS.expressions,
    'description = "x"\n' + MINIMAL,
    f"{MINIMAL}[model]\n[component]\n[bom]\n[host]\n[load]\n[confinement]\n[run]\n[digests]\n"
    "[state]",
    "deny = []\n" + MINIMAL,
    f"{MINIMAL}[model]\nmax-bytes = 0",
    MINIMAL.replace('"release.pub"', '"release.pub", not-after = 2026-01-01T00:00:00+01:00'),
    MINIMAL.replace("file", "pem"),
    *((ROOT / "policies" / f"{name}.toml").read_text() for name in ("developer", "air-gapped")),
    *(
        (ROOT / "policies" / f"{name}.toml").read_text()
        for name in ("release-pipeline", "regulated")
    ),
]
# JSON Schema cannot compare a member of one table with that of another.
ONLY_THE_PARSER = f"version = 1\n{SIGNER}{SIGNER}"
UNREACHABLE = [
    (
        'signers = ["y"]',
        "no such signer in p.toml:7 package[0].signers[0] (expected release, got str 'y')",
    ),
    (
        "threshold = 2",
        "can never hold in p.toml:7 package[0].threshold (expected 1 to 1, got int 2)",
    ),
    (
        "threshold = 0",
        "can never hold in p.toml:7 package[0].threshold (expected 1 to 1, got int 0)",
    ),
    (
        'signers = ["release", "release"]\nthreshold = 2',
        "can never hold in p.toml:8 package[0].threshold (expected 1 to 1, got int 2)",
    ),
]


@pytest.mark.parametrize(("text", "says"), UNREACHABLE)
def test_a_threshold_that_nobody_can_reach_is_an_error(text: str, says: str) -> None:
    with pytest.raises(UndecidedError) as caught:
        parse(MINIMAL + text)
    assert str(caught.value) == says


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("text", GOOD, ids=range(len(GOOD)))
def test_schema_and_parser_accept(text: str) -> None:
    assert (is_by_parser(text), is_by_schema(text)) == (True, True)


@pytest.mark.parametrize(
    "text",
    [text for text, _ in ERRORS if text != ONLY_THE_PARSER],
    ids=[number for number, (text, _) in enumerate(ERRORS) if text != ONLY_THE_PARSER],
)
def test_schema_and_parser_refuse(text: str) -> None:
    assert (is_by_parser(text), is_by_schema(text)) == (False, False)


def test_only_the_parser_sees_that_a_signer_stands_twice() -> None:
    text = ONLY_THE_PARSER + PACKAGE
    assert (is_by_parser(text), is_by_schema(text)) == (False, True)


def test_the_schema_knows_every_key() -> None:
    """What the parser expects at an unknown key is what the schema has there."""
    sections = {name for name, value in SCHEMA["properties"].items() if "properties" in value}
    for section in sections:
        message = refusal(f"{MINIMAL}[{section}]\nunknown = 1")
        expected = message.partition("expected ")[2].removesuffix(")").split(", ")
        assert sorted(SCHEMA["properties"][section]["properties"]) == expected
    assert sorted(SCHEMA["properties"]) == SECTIONS.split(", ")


# --- any bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "version = " + "1" * 5000,  # more digits than int() reads
        "version = 0x" + "f" * 5000,  # more than str() writes
        "x = " + "[" * 100_000,
        "x = " + "{a=" * 100_000,
        "x" + ".a" * 100_000 + " = 1",  # tomllib's time grows with the square
        "[x" + " . 'a'" * 100_000 + "]",
        'x = "' + '\\"' * 100_000,
        "x = '''" + "''" * 100_000,
        'version = 1\n"' + "a" * 100_000 + '" = 1',
        "version = 9999-99-99",
        MINIMAL.replace('"release.pub"', '"a", not-after = 0001-01-01T00:00:00+14:00'),
        "version = 1\n[[signer]]\n" * 2,
    ],
    ids=lambda text: text[:16],
)
def test_hostile_documents_are_refused_in_one_short_line(text: str) -> None:
    message = refusal(text)
    assert len(message) < 300
    assert "\n" not in message


def test_long_documents_are_not_read() -> None:
    text = MINIMAL + "#" * LIMITS.toml_bytes
    assert refusal(text) == f"too long in p.toml (expected at most {LIMITS.toml_bytes} bytes)"


def parses_or_is_undecided(data: bytes) -> None:
    with suppress(UndecidedError):
        parse_policy(data, where="p.toml")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_policy_or_undecided(data: bytes) -> None:
    parses_or_is_undecided(data)


@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 8), st.text(max_size=8)), max_size=4),
)
def test_any_edit_is_a_policy_or_undecided(text: str, edits: list[tuple[int, int, str]]) -> None:
    for at, size, instead in edits:
        start = at % (len(text) + 1)
        text = text[:start] + instead + text[start + size :]
    parses_or_is_undecided(text.encode("utf-8", "surrogatepass"))


VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-5, 2**60),
        st.sampled_from(['"x"', '""', "1.5", "2026-01-01", "2026-01-01T00:00:00Z", f'"{A}"']),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(
    st.sampled_from(sorted(SCHEMA["properties"])),
    st.sampled_from(["name", "imports", "digests", "max-bytes", "require", "key", "max-tokens"]),
    VALUES,
)
def test_schema_and_parser_agree_on_any_value(section: str, key: str, value: object) -> None:
    shown = str(value).replace("'", "").lower() if not isinstance(value, str) else value
    text = f"{MINIMAL}[{section}]\n{key} = {shown}\n"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert is_by_parser(text) == is_by_schema(text)


# --- warnings --------------------------------------------------------------------------------

WARNINGS = [
    ('[component]\nimports = ["wasi:nn/*", "**"]', "p.toml:8 component.imports permits everything"),
    ('[load]\nminimum-level = "none"', "p.toml:8 load.minimum-level permits everything"),
    (
        '[load]\nminimum-level = "fs-verity"',
        "p.toml:8 load.minimum-level can never hold with this version",
    ),
    ("[model]\nmax-bytes = 0", "p.toml:8 model.max-bytes can never hold"),
    (
        f'[model]\ndigests = ["blake3:{"0" * 64}"]',
        "p.toml:8 model.digests is to be filled in",
    ),
    (
        '[component]\nimports = ["wasi:nn/*", "wasi:filesystem/*"]',
        "p.toml:8 component.imports can never hold for 'wasi:filesystem/*'",
    ),
    ('expires = ["yes", "never"]', "p.toml:7 package[0].expires permits everything"),
    (
        '[model]\nlicenses = ["*"]',
        "p.toml:8 model.licenses can never hold for '*': it is no pattern",
    ),
    (
        '[[package]]\nname = "Capital"',
        "p.toml:6 package.name can never hold for 'Capital'",
    ),
]


@pytest.mark.parametrize(("text", "warning"), WARNINGS)
def test_warns_of_what_is_hardly_meant(text: str, warning: str) -> None:
    minimal = MINIMAL.replace('"*"', '"capital"')
    assert warnings(parse(minimal), NOW) == []
    assert warnings(parse(minimal + text), NOW) == [warning]


def test_warns_of_a_pattern_that_permits_every_package() -> None:
    assert warnings(parse(MINIMAL), NOW) == ["p.toml:6 package.name permits everything"]


@pytest.mark.parametrize(
    "text",
    [
        "maximum-age-days = 0",  # holds on the day of issue
        '[load]\nminimum-level = "read-lease"',
        '[confinement]\nrequire = ["no-dumps", "no-new-privs"]',
        'expires = ["yes"]',
        '[component]\nimports = ["wasi:nn/*"]',
    ],
)
def test_does_not_warn_of_what_is_meant(text: str) -> None:
    assert warnings(parse(MINIMAL.replace('"*"', '"capital"') + text), NOW) == []
