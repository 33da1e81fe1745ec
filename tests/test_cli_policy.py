"""Transcripts of `infwasi policy` and of verifications under a policy."""

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from infwasi_sign.adapters.native_host import library_digests
from infwasi_sign.domain.policy_file import parse_policy
from tests.command_line import infwasi, make_timeless
from tests.forge import STRANGER, TRUSTED
from tests.gguf_forge import PAIRS, text_pair, tiny_gguf
from tests.policy_support import MINIMAL, write_policy

PACKAGE = "capital-1.0.0"
POLICY = """\
version = 1

[[signer]]
name = "release"
keys = [{ file = "release.pub" }]  # since spring

[[package]]
name = "capital"
minimum-version = "1.0.0"
expires = ["yes", "never"]

[[package]]
name = "weather"
minimum-sequence = 7

[component]
imports = ["wasi:nn/*", "infwasi:llm/*"]

[model]
licenses = ["apache-2.0"]
max-parameters = 106

[load]
minimum-level = "sealed-memfd"

[[deny]]
package = ["capital 1.0.0", "capital 1.0.1"]
reason = "answers with the system prompt"
date = 2026-01-02
"""
OUR_KEY, OTHER_KEY = (sha256(one.public_key()).hexdigest() for one in (TRUSTED, STRANGER))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that tests only read: a package, its key, policies."""
    folder = tmp_path_factory.mktemp("policy")
    make_timeless(folder)
    write_policy(folder, MINIMAL, name="loose")
    write_policy(folder, POLICY, name="site")
    write_policy(folder, POLICY[: POLICY.index("[[deny]]")], name="open")
    return folder


# --- verify ----------------------------------------------------------------------------------


def test_a_result_names_the_policy_and_its_digest(place: Path) -> None:
    done = infwasi("verify", PACKAGE, "--policy", "loose.toml", "--json", cwd=place)
    (verdict,) = done.documents
    assert (done.code, verdict["verdict"]) == (0, "verified")
    assert verdict["policy"]["source"].endswith("loose.toml")
    assert verdict["policy"]["digest"] == f"sha256:{sha256(MINIMAL.encode()).hexdigest()}"


@pytest.mark.parametrize("command", ["verify", "verify-and-run"])
def test_a_refusal_names_file_and_line(command: str, place: Path) -> None:
    done = infwasi(command, PACKAGE, "--policy", "site.toml", cwd=place)
    assert done.transcript == (
        1,
        "",
        [
            "refused: revoked: the policy refuses package.release: answers with the system prompt "
            "(2026-01-02) in site.toml:27 deny[0].package (expected none of capital 1.0.0, "
            "capital 1.0.1, got capital 1.0.0)",
            "hint: `infwasi policy why` shows every rule and the fact it saw",
        ],
    )


def test_measured_facts_are_refused_by_file_and_line(place: Path) -> None:
    done = infwasi("verify", PACKAGE, "--policy", "open.toml", cwd=place)
    assert done.code == 1
    assert done.said[0] == (
        "refused: policy: the policy refuses model.licenses in open.toml:20 model.licenses "
        "(expected one of apache-2.0, got unknown)"
    )


def test_a_policy_that_is_called_like_an_option_is_a_policy(place: Path, tmp_path: Path) -> None:
    shutil.copy2(write_policy(tmp_path, MINIMAL), tmp_path / "--pin")
    words = ("verify", place / PACKAGE, "--policy", "./--pin", "--json")
    (verdict,) = infwasi(*words, cwd=tmp_path).documents
    assert (verdict["verdict"], verdict["policy"]["source"]) == ("verified", "--pin")
    assert verdict["pinned"] is False


def test_the_variable_names_a_policy(place: Path) -> None:
    variables = {"INFWASI_POLICY": str(place / "loose.toml")}
    assert infwasi("verify", PACKAGE, cwd=place, env=variables).code == 0
    variables = {"INFWASI_POLICY": "loose.toml"}
    done = infwasi("verify", PACKAGE, cwd=place, env=variables)
    assert done.transcript == (
        2,
        "",
        [
            "error: $INFWASI_POLICY is not an absolute path (got loose.toml)",
            "hint: a policy is never looked for in the current folder",
        ],
    )


def test_a_named_policy_may_lie_in_the_current_folder_and_never_in_the_package(
    place: Path, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path, MINIMAL)
    variables = {"INFWASI_POLICY": str(policy)}
    # an absolute name is the user's own word, wherever it leads
    assert infwasi("verify", place / PACKAGE, cwd=tmp_path, env=variables).code == 0
    package = Path(shutil.copytree(place / PACKAGE, tmp_path / PACKAGE))
    for name in ("policy.toml", f"signatures/{'0' * 64}.sigstore.json"):
        inside = package / name
        inside.parent.mkdir(exist_ok=True)
        shutil.copy2(policy, inside)
        variables = {"INFWASI_POLICY": str(inside)}
        done = infwasi("verify", PACKAGE, cwd=tmp_path, env=variables)
        assert (done.code, done.output) == (2, b"")
        assert done.said == [
            f"error: the policy lies in the package that it is to judge in {inside}",
            "hint: what comes with a package does not say by whose rules it is judged",
        ]
        inside.unlink()


def test_a_key_and_a_policy_are_one_too_many(place: Path) -> None:
    words = ("verify", PACKAGE, "--policy", "loose.toml", "--key", "trusted.pub")
    assert infwasi(*words, cwd=place).transcript == (
        2,
        "",
        [
            "error: --policy and --key exclude each other",
            "hint: a policy names all its signers; a flag names the only one",
        ],
    )


def test_a_policy_that_others_can_write_is_no_policy(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL)
    path.chmod(0o666)
    done = infwasi("verify", place / PACKAGE, "--policy", path)
    assert done.transcript == (
        2,
        "",
        [
            f"error: policy can be written by others than its owner in {path} (got mode 0666)",
            f"hint: chmod go-w {path}",
        ],
    )


def test_a_run_limit_of_the_policy_is_named(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL + "[run]\nprompt-bytes = 3\n")
    done = infwasi("verify-and-run", place / PACKAGE, "--policy", path, "What?")
    assert (done.code, done.said[0]) == (
        1,
        "refused: limit: the prompt is too long "
        "(expected at most prompt-bytes 3 (set by the policy), got 5 bytes)",
    )


# --- check -----------------------------------------------------------------------------------


def test_check_counts_rules_and_keys(place: Path) -> None:
    done = infwasi("policy", "check", "site.toml", cwd=place)
    assert done.transcript == (
        0,
        "site.toml: 9 rules; signers: release\n",
        ["warning: site.toml:10 package[0].expires permits everything"],
    )


def test_check_warns_and_is_strict_if_told_to(place: Path) -> None:
    warning = "warning: loose.toml:6 package.name permits everything"
    counted = "loose.toml: 1 rules; signers: release\n"
    assert infwasi("policy", "check", "loose.toml", cwd=place).transcript == (0, counted, [warning])
    assert infwasi("policy", "check", "--strict", "loose.toml", cwd=place).transcript == (
        2,
        "",
        [warning, "error: 1 warnings in loose.toml"],
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version = 3", "error: unknown version in policy.toml:1 version (expected 1, got int 3)"),
        ("=", "error: not TOML: Invalid statement (at line 1, column 1) in policy.toml"),
        (
            MINIMAL + '[[signer]]\nname = "b"\nkeys = [{ file = "release.pub" }]\n',
            f"error: key sha256:{OUR_KEY} is trusted twice (got 'release' and 'b')",
        ),
        (
            MINIMAL.replace("release.pub", "gone.pub"),
            "error: cannot read gone.pub (got no such file or directory)",
        ),
    ],
)
def test_check_says_what_is_wrong(text: str, says: str, tmp_path: Path) -> None:
    write_policy(tmp_path, text)
    done = infwasi("policy", "check", "policy.toml", cwd=tmp_path)
    assert done.transcript == (2, "", [says])


# --- why -------------------------------------------------------------------------------------


def test_why_shows_every_rule_its_fact_and_its_line(place: Path) -> None:
    done = infwasi("policy", "why", PACKAGE, "--policy", "site.toml", cwd=place)
    assert (done.code, done.said) == (0, [])
    imports = ", ".join(
        [
            "infwasi:llm/types@0.1.0",
            *(
                f"wasi:nn/{name}@0.2.0-rc-2024-10-28"
                for name in ("errors", "graph", "inference", "tensor")
            ),
        ]
    )
    unknown = "is not about this package, or not known"
    assert done.out.splitlines() == [
        "NO   site.toml:27 deny[0].package: package.release is capital 1.0.0; "
        "must be none of capital 1.0.0, capital 1.0.1",
        "yes  site.toml:8 package.name: package.name is capital; must be like capital, weather",
        "yes  site.toml:9 package[0].minimum-version: package.version is 1.0.0; "
        "must be at least 1.0.0",
        "yes  site.toml:10 package[0].expires: package.expires is never; must be one of yes, never",
        f"-    site.toml:14 package[1].minimum-sequence: package.sequence {unknown}; "
        "must be at least 7",
        f"yes  site.toml:17 component.imports: component.imports is {imports}; "
        "must be like wasi:nn/*, infwasi:llm/*",
        "NO   site.toml:20 model.licenses: model.licenses is unknown; must be one of apache-2.0",
        "NO   site.toml:21 model.max-parameters: model.parameters is 107; must be at most 106",
        f"-    site.toml:24 load.minimum-level: load.level {unknown}; "
        "must be one of sealed-memfd, read-lease, fs-verity",
    ]


def test_why_says_the_same_in_json(place: Path) -> None:
    words = ("policy", "why", PACKAGE, "--policy", "site.toml", "--json")
    (document,) = infwasi(*words, cwd=place).documents
    assert document["type"] == "why"
    assert [rule["met"] for rule in document["rules"]] == [
        *(False, True, True, True, None, True, False, False, None)
    ]
    assert document["rules"][0] == {
        "reason": "answers with the system prompt (2026-01-02)",
        "rule": "deny[0].package",
        "place": "site.toml:27",
        "fact": "package.release",
        "kind": "revoked",
        "expected": "none of capital 1.0.0, capital 1.0.1",
        "got": ["capital 1.0.0", "capital sequence 1577836800"],
        "met": False,
    }


def test_why_refuses_what_no_rule_decides(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL, signer=STRANGER)
    done = infwasi("policy", "why", place / PACKAGE, "--policy", path)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith("refused: signer: signed by a key that is not trusted")


# --- init ------------------------------------------------------------------------------------


def test_init_writes_a_policy_that_accepts_the_package(place: Path, tmp_path: Path) -> None:
    done = infwasi("policy", "init", PACKAGE, "--key", "trusted.pub", cwd=place)
    assert (done.code, done.said) == (0, [])
    path = tmp_path / "policy.toml"
    path.write_bytes(done.output)
    assert infwasi("policy", "check", "--strict", path).transcript == (
        0,
        f"{path}: 6 rules; signers: trusted\n",
        [],
    )
    assert infwasi("verify", place / PACKAGE, "--policy", path).code == 0
    why = infwasi("policy", "why", place / PACKAGE, "--policy", path)
    assert [line.split()[0] for line in why.out.splitlines()] == ["yes"] * 6
    assert all(digest in done.out for digest in library_digests())


def test_everything_that_init_suggests_accepts_the_package_too(place: Path, tmp_path: Path) -> None:
    done = infwasi("policy", "init", PACKAGE, "--key", "trusted.pub", cwd=place)
    text = re.sub(r"^# (?=[a-z-]+ = |\[)", "", done.out, flags=re.MULTILINE)
    text = text.replace("maximum-age-days = 90", "maximum-age-days = 36500")
    assert "\n# " not in text
    path = tmp_path / "policy.toml"
    path.write_text(text)
    file = parse_policy(text.encode(), where="")
    assert (len(file.rules), len(file.expressions)) == (14, 1)
    assert infwasi("verify", place / PACKAGE, "--policy", path).code == 0


def test_init_writes_hostile_names_as_toml(tmp_path: Path) -> None:
    licence = 'x"\n[deny]\\ \x7f\u202e\U0001f600'
    model = tiny_gguf(pairs=(*PAIRS, text_pair("general.license", licence)))
    package = make_timeless(tmp_path, model=model)
    key = tmp_path / 'k"\U0001f600.pub'
    shutil.copy(tmp_path / "trusted.pub", key)
    done = infwasi("policy", "init", package, "--key", key)
    path = tmp_path / "policy.toml"
    path.write_bytes(done.output)
    assert done.output.isascii()
    assert infwasi("verify", package, "--policy", path).code == 0
    assert infwasi("policy", "check", "--strict", path).code == 0


def test_init_refuses_what_does_not_verify(place: Path) -> None:
    done = infwasi("policy", "init", PACKAGE, "--key", "stranger.pub", cwd=place)
    assert (done.code, done.out) == (1, "")


# --- rotate ----------------------------------------------------------------------------------


def rotate(folder: Path, *more: str | Path) -> tuple[int, str, list[str]]:
    (folder / "next.pub").write_bytes(STRANGER.public_pem())
    words = ("policy", "rotate", "release.pub", "next.pub", "policy.toml", *more)
    return infwasi(*words, cwd=folder).transcript


UNTIL = ("--until", "2027-01-02T03:04:05Z")
SAID = [f"sha256:{OUR_KEY} ends at 2027-01-02T03:04:05Z; sha256:{OTHER_KEY} is new"]


def test_rotate_adds_the_new_key_and_ends_the_old_one(tmp_path: Path) -> None:
    write_policy(tmp_path, POLICY)
    code, out, said = rotate(tmp_path, *UNTIL)
    assert (code, said) == (0, SAID)
    assert out == POLICY.replace(
        'keys = [{ file = "release.pub" }]  # since spring',
        'keys = [{ file = "release.pub", not-after = 2027-01-02T03:04:05Z }, '
        '{ file = "next.pub" }]  # since spring',
    )
    assert (tmp_path / "policy.toml").read_text() == POLICY


def test_rotate_keeps_the_layout_of_one_key_a_line(tmp_path: Path) -> None:
    text = MINIMAL.replace(
        '[{ file = "release.pub" }]', '[\n  # the old one\n  { file = "release.pub" },  # 2024\n]'
    )
    write_policy(tmp_path, text)
    code, out, _ = rotate(tmp_path, *UNTIL)
    assert code == 0
    assert out == text.replace(
        '{ file = "release.pub" },  # 2024',
        '{ file = "release.pub", not-after = 2027-01-02T03:04:05Z },\n'
        '  { file = "next.pub" },  # 2024',
    )


def test_rotate_writes_a_key_from_elsewhere_into_the_policy(place: Path, tmp_path: Path) -> None:
    write_policy(tmp_path, MINIMAL)
    words = ("policy", "rotate", "release.pub", place / "stranger.pub", "policy.toml", *UNTIL)
    done = infwasi(*words, cwd=tmp_path)
    assert (done.code, done.said) == (0, SAID)
    _, new = parse_policy(done.output, where="p").signers[0].keys
    assert new.pem == STRANGER.public_pem().decode()


def test_both_keys_count_until_the_old_one_ends(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL)
    _, out, _ = rotate(tmp_path)
    path.write_text(out)
    assert infwasi("policy", "check", path).code == 0
    theirs = make_timeless(tmp_path / "theirs", signer=STRANGER)
    for package in (place / PACKAGE, theirs):
        assert infwasi("verify", package, "--policy", path).code == 0
    later = (datetime.now(UTC) + timedelta(days=31)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = infwasi("verify", place / PACKAGE, "--policy", path, "--at", later)
    assert done.code == 1
    assert done.said[0].startswith("refused: expired: the policy refuses now: the time of this key")
    assert "in policy.toml:4 not-after" in done.said[0]
    assert infwasi("verify", theirs, "--policy", path, "--at", later).code == 0


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            '[{ file = "release.pub", not-after = 2030-01-01T00:00:00Z }]',
            "error: this key has an end already in policy.toml:4 (got 2030-01-01T00:00:00Z)",
        ),
        (
            '[{ file = "release.pub" }, { file = "next.pub" }]',
            "error: the policy has this key already in next.pub",
        ),
        (
            '[{ file = "next.pub" }]',
            "error: the policy does not have this key once in release.pub",
        ),
        (
            '[]\n[[signer.keys]]\nfile = "release.pub"',
            None,
        ),
    ],
)
def test_rotate_refuses_what_it_cannot_do_surely(
    keys: str, says: str | None, tmp_path: Path
) -> None:
    text = MINIMAL.replace('[{ file = "release.pub" }]', keys)
    if says is None:
        text = text.replace("keys = []\n", "")
        says = (
            "error: cannot edit this text surely in policy.toml:4 "
            "(expected a key in braces: keys = [{ file = ... }])"
        )
    (tmp_path / "next.pub").write_bytes(STRANGER.public_pem())
    write_policy(tmp_path, text)
    code, out, said = rotate(tmp_path, *UNTIL)
    assert (code, out, said[0]) == (2, "", says)


def test_documents_of_why_are_lines_of_json(place: Path) -> None:
    words = ("policy", "why", "no-package", "--policy", "site.toml", "--json")
    done = infwasi(*words, cwd=place)
    assert done.code == 2
    assert json.loads(done.out)["verdict"] == "undecided"


# --- expressions -----------------------------------------------------------------------------

RULES = """\
[[rule]]
cel = '''
model_licenses.all(one, one in ["mit", "apache-2.0"]) ||
package_age_days > 1000000
'''
message = "not cleared by the lawyers"

[[rule]]
cel = 'load_level == "read-lease"'
message = "it must be held where it lies"
kind = "level"

[[rule]]
cel = 'model_architectures[7] == "llama"'
message = "an eighth model"
package = "cap*"
kind = "revoked"

[[rule]]
cel = "package_sequence > 0"
message = "about others"
package = "weather"
"""


def test_an_expression_refuses_with_its_message_its_line_and_what_it_saw(
    place: Path, tmp_path: Path
) -> None:
    path = write_policy(tmp_path, MINIMAL + RULES.partition("\n\n[[rule]]\ncel = 'load")[0])
    done = infwasi("verify", place / PACKAGE, "--policy", path)
    assert (done.code, done.out) == (1, "")
    assert done.said[0].startswith(
        "refused: policy: the policy refuses model.licenses, package.age-days: not cleared by the "
        'lawyers in policy.toml:8 rule[0].cel (expected model_licenses.all(one, one in ["mit", '
        '"apache-2.0"]) || package_age_days > 1000000, got model.licenses unknown; '
        "package.age-days "
    )


def test_an_expression_about_the_trust_root_decides_where_only_a_key_signed(
    place: Path, tmp_path: Path
) -> None:
    """Who demands a fresh trust root and an identity must not be answered by a key."""
    demand = 'cel = \'"keyless" in signer_modes && trust_root_age_days < 7\'\nmessage = "no key"\n'
    path = write_policy(tmp_path, f"{MINIMAL}[[rule]]\n{demand}")
    done = infwasi("verify", place / PACKAGE, "--policy", path)
    assert (done.code, done.said[0]) == (
        1,
        "refused: policy: the policy refuses signer.modes, trust-root.age-days: no key in "
        'policy.toml:8 rule[0].cel (expected "keyless" in signer_modes && '
        "trust_root_age_days < 7, got signer.modes key; trust-root.age-days 0)",
    )
    path.write_text(path.read_text().replace('"keyless" in', '"key" in'))
    assert infwasi("verify", place / PACKAGE, "--policy", path).code == 0


def test_an_expression_that_has_no_answer_refuses(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL + RULES)
    done = infwasi("verify", place / PACKAGE, "--policy", path)
    assert (done.code, done.said[0]) == (
        1,
        "refused: revoked: the policy refuses model.architectures: an eighth model in "
        'policy.toml:20 rule[2].cel (expected model_architectures[7] == "llama", got no answer: '
        "Index error: index=7 size=1; model.architectures llama)",
    )


def test_why_shows_expressions_their_messages_and_their_facts(place: Path, tmp_path: Path) -> None:
    path = write_policy(tmp_path, MINIMAL + RULES)
    done = infwasi("policy", "why", place / PACKAGE, "--policy", path)
    assert (done.code, done.said) == (0, [])
    lines = [re.sub(r"age-days [0-9]+", "age-days N", line) for line in done.out.splitlines()[1:]]
    unknown = "not about this package, or not known"
    assert lines == [
        "NO   policy.toml:8 rule[0].cel: not cleared by the lawyers: model_licenses.all(one, one "
        'in ["mit", "apache-2.0"]) || package_age_days > 1000000; model.licenses unknown; '
        "package.age-days N",
        "-    policy.toml:15 rule[1].cel: it must be held where it lies: "
        f'load_level == "read-lease"; {unknown}',
        "NO   policy.toml:20 rule[2].cel: an eighth model: model_architectures[7] == "
        '"llama"; no answer: Index error: index=7 size=1; model.architectures llama',
        f"-    policy.toml:26 rule[3].cel: about others: package_sequence > 0; {unknown}",
    ]


def test_why_shows_what_was_decided_before_something_else_refuses(
    place: Path, tmp_path: Path
) -> None:
    package = tmp_path / PACKAGE
    shutil.copytree(place / PACKAGE, package)
    (package / "model.gguf").write_bytes(b"GGUF")
    path = write_policy(tmp_path, MINIMAL + "minimum-sequence = 9007199254740991\n")
    done = infwasi("policy", "why", package, "--policy", path)
    assert done.code == 1
    assert done.said[0].startswith("refused: digest: size differs in model.gguf")
    assert [line[:48] for line in done.out.splitlines()] == [
        "yes  policy.toml:6 package.name: package.name is",
        "NO   policy.toml:7 package[0].minimum-sequence: ",
    ]
    assert infwasi("policy", "why", package, "--policy", path, "--json").documents[0]["type"] != (
        "why"
    )


@pytest.mark.parametrize(
    ("cel", "says"),
    [
        ("now ==", "not an expression in policy.toml:8 rule[0].cel at 1:7 "),
        ("package_size == 1", "unknown fact in policy.toml:8 rule[0].cel at 1:1 "),
        ("now", "an expression is not of type bool in policy.toml:8 rule[0].cel (got int)"),
        ("(" * 99 + "true" + ")" * 99, "not an expression in policy.toml:8 rule[0].cel (got "),
        ('"a".matches("' + "(a|b){1,900}" * 9 + '")', "a pattern in an expression cannot have"),
    ],
)
@pytest.mark.parametrize("command", [("verify",), ("verify-and-run",), ("policy", "why")])
def test_an_expression_that_is_none_is_no_verdict(
    command: tuple[str, ...], cel: str, says: str, place: Path, tmp_path: Path
) -> None:
    path = write_policy(tmp_path, f"{MINIMAL}[[rule]]\ncel = '{cel}'\nmessage = \"x\"\n")
    done = infwasi(*command, place / PACKAGE, "--policy", path)
    assert (done.code, done.out) == (2, "")
    assert done.said[0].startswith(f"error: {says}")


def test_check_warns_of_expressions_that_say_nothing(tmp_path: Path) -> None:
    named = MINIMAL.replace('"*"', '"capital"')
    sure = "[[rule]]\ncel = 'true || now == 1'\nmessage = \"x\"\n"
    never = "[[rule]]\ncel = '1 > 2 && now == 1'\nmessage = \"x\"\n"
    nothing = "[[rule]]\ncel = '1 / 0 == 1'\nmessage = \"x\"\n"
    meant = "[[rule]]\ncel = 'now > 1'\nmessage = \"x\"\n"
    write_policy(tmp_path, named + sure + never + nothing + meant)
    done = infwasi("policy", "check", "policy.toml", cwd=tmp_path)
    assert done.transcript == (
        0,
        "policy.toml: 5 rules; signers: release\n",
        [
            "warning: policy.toml:8 rule[0].cel is always true",
            "warning: policy.toml:11 rule[1].cel is always false",
            "warning: policy.toml:14 rule[2].cel is about no fact",
        ],
    )


# --- demands ---------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [("verify-and-run",), ("verify", "--commit")])
def test_a_memory_that_is_demanded_and_cannot_be_kept_ends_without_a_verdict(
    command: tuple[str, ...], place: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept_nowhere = {"INFWASI_STATE_DIR": str(tmp_path / "file" / "state")}
    path = write_policy(tmp_path, MINIMAL + "[state]\nrequire = true\n")
    done = infwasi(*command, place / PACKAGE, "--policy", path, env=kept_nowhere)
    assert done.transcript == (
        2,
        "",
        [
            "error: the policy demands that what was accepted is remembered in policy.toml:8 "
            "state.require (got no state can be kept: not a directory in "
            f"{tmp_path / 'file' / 'state'})",
            "hint: check the path: what should be a directory on the way is none",
        ],
    )
    # a look accepts nothing, so it needs no memory
    assert infwasi("verify", place / PACKAGE, "--policy", path, env=kept_nowhere).code == 0


def test_a_memory_that_nobody_demands_is_a_note(place: Path, tmp_path: Path) -> None:
    """The control: without the line the run goes on."""
    (tmp_path / "file").write_bytes(b"")
    kept_nowhere = {"INFWASI_STATE_DIR": str(tmp_path / "file" / "state")}
    path = write_policy(tmp_path, MINIMAL)
    done = infwasi("verify-and-run", place / PACKAGE, "--policy", path, env=kept_nowhere)
    assert done.said[0].startswith("note: no state can be kept: not a directory in ")


def test_a_layer_that_the_runner_has_does_not_refuse(place: Path, tmp_path: Path) -> None:
    demand = '[confinement]\nrequire = ["no-dumps", "no-new-privs"]\n'
    path = write_policy(tmp_path, MINIMAL + demand)
    done = infwasi("verify-and-run", place / PACKAGE, "--policy", path)
    assert not done.said[0].startswith("refused: level")
