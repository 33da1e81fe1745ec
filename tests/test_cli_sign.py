"""Transcripts of `sign` and `renew`: thresholds and renewals from end to end, and every refusal."""

import os
import pty
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infwasi_sign.adapters.key_files import write_key_pair
from infwasi_sign.adapters.keys import KeyKind
from infwasi_sign.testing.sigstore import PrivateSigstore
from tests import certificate_authority, forge
from tests.command_line import TIMEOUT_SECONDS, Done, arguments, environment, infwasi
from tests.gguf_forge import tiny_gguf
from tests.key_support import pkcs8_pem
from tests.signing_support import tree
from tests.test_conditions import MODULES
from tests.unprivileged import unprivileged_output

PACKAGE = "dist/capital-1.0.0"
PROJECT = '[package]\nname = "capital"\nversion = "1.0.0"\n[model]\npath = "tiny.gguf"\n'
NAMES = ("alice", "bob", "carol")
POLICY = "version = 1\n" + "".join(
    f'[[signer]]\nname = "{name}"\nkeys = [{{ file = "{name}.pub" }}]\n' for name in NAMES
)
TWO = '[[package]]\nname = "capital"\nthreshold = 2\n'
PACKED = 1_700_000_000  # 2023-11-14
BY_ALICE = ("--trust-key", "alice.pub")

FAR_AHEAD = (
    "warning: the sequence is more than a year ahead of the time in seconds: "
    "verifiers refuse it without --accept-jump"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package by alice, the keys of three, and a policy; tests only read it."""
    folder = tmp_path_factory.mktemp("sign")
    (folder / "infwasi.toml").write_text(PROJECT.replace("[model]", "valid-days = 36500\n[model]"))
    (folder / "tiny.gguf").write_bytes(tiny_gguf())
    (folder / "two.toml").write_text(POLICY + TWO)
    for name in NAMES:
        write_key_pair(folder / name, KeyKind.P256, None)
    write_key_pair(folder / "edward", KeyKind.ED25519, None)
    env = {"SOURCE_DATE_EPOCH": str(PACKED)}
    done = infwasi("pack", "--sign", "--key", "alice.key", cwd=folder, env=env)
    assert done.transcript == (0, f"{PACKAGE}\n", [])
    return folder


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place, tmp_path / "copy"))


def short(done: Done) -> tuple[int, list[str]]:
    """Exit code and the last lines: what was shown of the package is left out."""
    shown = ("to be signed: ", "  ")
    return done.code, [line for line in done.said if not line.startswith(shown)]


# --- thresholds ------------------------------------------------------------------------------


def test_two_of_three_from_end_to_end(folder: Path) -> None:
    verify = ("verify", PACKAGE, "--policy", "two.toml", "--quiet")
    too_few = (
        "refused: signer: the policy refuses signer.names in two.toml:13 package[0].threshold "
        "(expected at least 2 of them, got alice)"
    )
    assert infwasi(*verify, cwd=folder).said[0] == too_few
    before = tree(folder / PACKAGE)
    done = infwasi("sign", PACKAGE, "--policy", "two.toml", "--key", "bob.key", cwd=folder)
    assert short(done) == (0, [])
    file = done.out.strip()
    assert {name: tree(folder / PACKAGE)[name] for name in before} == before
    assert (folder / file).parent == folder / PACKAGE / "signatures"
    assert infwasi(*verify, cwd=folder).transcript == (0, "", [])


def test_what_is_signed_is_shown_first(folder: Path) -> None:
    done = infwasi("sign", PACKAGE, "--policy", "two.toml", "--key", "bob.key", cwd=folder)
    assert done.said[0].startswith("to be signed: capital 1.0.0, signed by alice (ecdsa-p256-sha")
    assert done.said[1] == (
        f"  issued 2023-11-14T22:13:20Z, expires 2123-10-21T22:13:20Z, sequence {PACKED}"
    )
    assert sum(line.strip().startswith(("blake3:", "sha256:")) for line in done.said) == 6


def test_a_policy_says_what_is_still_missing(folder: Path) -> None:
    (folder / "three.toml").write_text(POLICY + TWO.replace("2", "3"))
    words = ("sign", PACKAGE, "--policy", "three.toml", "--json", "--key")
    done = infwasi(*words, "bob.key", cwd=folder)
    missing = "three.toml:13 package[0].threshold expects at least 3 of them, got alice, bob"
    assert short(done) == (0, [f"note: not enough yet: {missing}"])
    (document,) = done.documents
    assert (document["signer"], document["missing"]) == ("bob", missing)
    done = infwasi(*words, "carol.key", cwd=folder)
    assert (done.documents[0]["signer"], done.documents[0]["missing"]) == ("carol", None)
    assert infwasi("verify", PACKAGE, "--policy", "three.toml", "-q", cwd=folder).code == 0


def test_all_other_rules_of_the_policy_hold(folder: Path) -> None:
    (folder / "small.toml").write_text(POLICY + TWO + "[component]\nmax-bytes = 100\n")
    done = infwasi("sign", PACKAGE, "--policy", "small.toml", "--key", "bob.key", cwd=folder)
    assert done.code == 1
    assert done.said[0].startswith("refused: policy: the policy refuses component.size in ")
    assert not (folder / PACKAGE / "signatures").exists()


def test_who_the_policy_does_not_name_is_told_so(folder: Path) -> None:
    done = infwasi("sign", PACKAGE, "--policy", "two.toml", "--key", "edward.key", cwd=folder)
    code, (counts, missing) = short(done)
    assert (code, counts.startswith("note: the policy names nobody who signs as sha256:")) == (
        0,
        True,
    )
    assert missing.startswith("note: not enough yet: ")


# --- refusals --------------------------------------------------------------------------------


def test_nobody_signs_twice(folder: Path) -> None:
    words = ("sign", PACKAGE, *BY_ALICE, "--key", "bob.key")
    file = infwasi(*words, cwd=folder).out.strip().removeprefix(f"{PACKAGE}/")
    code, (said,) = short(infwasi(*words, cwd=folder))
    assert (code, said.startswith(f"error: this signer signed already in {file} (got sha256:")) == (
        2,
        True,
    )
    code, (said,) = short(infwasi("sign", PACKAGE, *BY_ALICE, "--key", "alice.key", cwd=folder))
    assert code == 2
    assert said.startswith("error: this signer packed the package, and counts already (got sha256:")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("--key", "bob.key"),
            2,
            "error: nothing says whom to trust "
            "(expected --trust-key FILE, --policy FILE or a policy in its usual place)",
        ),
        (("--trust-key", "bob.pub", "--key", "bob.key"), 1, "refused: signer: signed by a key "),
        ((*BY_ALICE, "--key", "no.key"), 2, "error: cannot read no.key"),
        (
            (*BY_ALICE, "--policy", "two.toml", "--key", "bob.key"),
            2,
            "error: --policy and --trust-key exclude each other",
        ),
        (BY_ALICE, 2, "error: nobody is there to be asked whether to sign"),
        ((*BY_ALICE, "--yes"), 2, "error: nothing to sign with (expected a key, an identity "),
        (
            (*BY_ALICE, "--key", "bob.key", "--identity-token", "x"),
            2,
            "error: a key and an identity are named",
        ),
        ((*BY_ALICE, "--identity-token", "", "--yes"), 2, "error: the identity token is empty"),
    ],
)
@pytest.mark.parametrize("command", ["sign", "renew"])
def test_is_refused(
    words: tuple[str, ...], code: int, says: str, command: str, folder: Path
) -> None:
    before = tree(folder)
    done = infwasi(command, PACKAGE, *words, cwd=folder)
    found, lines = short(done)
    assert (found, done.out) == (code, "")
    assert lines[0].startswith(says), lines
    assert tree(folder) == before


def test_a_failure_is_json_where_json_is_read(folder: Path) -> None:
    done = infwasi(
        "sign", PACKAGE, "--trust-key", "bob.pub", "--key", "bob.key", "--json", cwd=folder
    )
    (document,) = done.documents
    assert (done.code, document["type"], document["kind"]) == (1, "verdict", "signer")


def test_a_changed_package_is_refused(folder: Path) -> None:
    forge.flip(folder / PACKAGE / "model.gguf", -1)
    for command in ("sign", "renew"):
        done = infwasi(command, PACKAGE, *BY_ALICE, "--key", "bob.key", cwd=folder)
        assert done.code == 1
        assert done.said[0].startswith("refused: digest: the model differs from what was signed")


# --- consent ---------------------------------------------------------------------------------


def answered(folder: Path, answer: str, *words: str) -> tuple[int, str]:
    """A command whose standard input is a terminal on which somebody types."""
    controller, terminal = pty.openpty()
    try:
        os.write(controller, answer.encode())
        done = subprocess.run(
            arguments(*words),
            stdin=terminal,
            capture_output=True,
            cwd=folder,
            env=environment(),
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    finally:
        os.close(controller)
        os.close(terminal)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("command", "question"),
    [("sign", "sign capital 1.0.0"), ("renew", "sign a new statement of capital 1.0.0")],
)
def test_a_person_is_asked_once_they_have_seen_it(
    folder: Path, command: str, question: str
) -> None:
    words = (command, PACKAGE, *BY_ALICE, "--key", "bob.key")
    before = tree(folder)
    code, said = answered(folder, "n\n", *words)
    assert code == 2
    assert said.index("to be signed: ") < said.index(f"{question} [y/N]: ")
    assert said.endswith("error: nothing was signed\n")
    assert tree(folder) == before
    assert answered(folder, "n\n", *words, "--yes")[0] == 0
    assert tree(folder) != before


def test_a_yes_is_a_yes(folder: Path) -> None:
    assert answered(folder, "y\n", "sign", PACKAGE, *BY_ALICE, "--key", "bob.key")[0] == 0


# --- renew -----------------------------------------------------------------------------------


def test_a_renewal_from_end_to_end(folder: Path) -> None:
    policy = ("--policy", "two.toml")
    verify = ("verify", PACKAGE, *policy, "--quiet")
    sign = ("sign", PACKAGE, *policy, "--key")
    assert infwasi(*sign, "bob.key", cwd=folder).code == 0
    assert infwasi(*verify, "--commit", cwd=folder).code == 0
    shutil.copytree(folder / PACKAGE, folder / "old/capital-1.0.0")
    done = infwasi(
        *("renew", PACKAGE, *policy, "--key", "alice.key", "--valid-days", "90", "--json"),
        cwd=folder,
    )
    assert short(done) == (0, ["note: must sign again: bob"])
    (document,) = done.documents
    assert document["sequence"] > PACKED
    issued, expires = (datetime.fromisoformat(document[n]) for n in ("issuedAt", "expiresAt"))
    assert expires - issued == timedelta(days=90)
    assert document["mustSignAgain"] == ["bob"]
    # who approved the old statement did not approve this one
    assert infwasi(*verify, cwd=folder).said[0].endswith("(expected at least 2 of them, got alice)")
    assert infwasi(*sign, "carol.key", cwd=folder).code == 0
    assert infwasi(*verify, "--commit", cwd=folder).code == 0
    # and the old one, though whole and signed, does not come back
    done = infwasi("verify", "old/capital-1.0.0", *policy, "--quiet", cwd=folder)
    assert done.code == 1
    assert done.said[0] == (
        "refused: rollback: a newer release was accepted before in sequence "
        f"(expected at least {document['sequence']}, got {PACKED})"
    )
    for command in ("sign", "renew"):
        done = infwasi(command, "old/capital-1.0.0", *policy, "--key", "carol.key", cwd=folder)
        assert done.said[0].startswith("refused: rollback: ")


def test_the_time_can_be_fixed(folder: Path) -> None:
    renew = ("renew", PACKAGE, *BY_ALICE, "--key", "alice.key")
    done = infwasi(*renew, cwd=folder, env={"SOURCE_DATE_EPOCH": str(PACKED)})
    assert short(done) == (
        2,
        [
            "error: the sequence does not move forward "
            f"(expected more than {PACKED}, got {PACKED})",
            "hint: --sequence NUMBER; without it, it is the time of issue (see SOURCE_DATE_EPOCH)",
        ],
    )
    done = infwasi(*renew, cwd=folder, env={"SOURCE_DATE_EPOCH": str(PACKED + 60)})
    assert done.transcript[:2] == (0, f"{PACKAGE}\n")
    done = infwasi("verify", PACKAGE, "--key", "alice.pub", "--json", cwd=folder)
    (document,) = done.documents
    assert (document["issuedAt"], document["sequence"]) == ("2023-11-14T22:14:20Z", PACKED + 60)
    # as long as before
    assert document["expiresAt"] == "2123-10-21T22:14:20Z"
    done = infwasi(*renew, "--json", cwd=folder, env={"SOURCE_DATE_EPOCH": "noon"})
    (document,) = done.documents
    assert (done.code, document["what"], document["where"]) == (
        2,
        "not a time",
        "SOURCE_DATE_EPOCH",
    )


def test_for_ever_is_said(folder: Path) -> None:
    done = infwasi(
        "renew", PACKAGE, *BY_ALICE, "--key", "alice.key", "--valid-days", "0", cwd=folder
    )
    assert short(done) == (0, ["note: this package never expires"])


def test_a_sequence_far_ahead_is_said_and_refused_by_verifiers(folder: Path) -> None:
    last = str(2**53 - 1)
    done = infwasi(
        "renew", PACKAGE, *BY_ALICE, "--key", "alice.key", "--sequence", last, cwd=folder
    )
    assert short(done) == (0, [FAR_AHEAD])
    verified = infwasi("verify", PACKAGE, "--key", "alice.pub", cwd=folder)
    assert verified.said[0].startswith("refused: rollback: the release is more than a year ahead ")


def test_a_companion_needs_a_key_that_can(folder: Path) -> None:
    done = infwasi("renew", PACKAGE, *BY_ALICE, "--key", "edward.key", cwd=folder)
    assert short(done) == (
        2,
        [
            "error: no OMS companion is possible, and the package has one "
            "(got OMS has no Ed25519 keys)",
            "hint: renew with a key that can sign one, or pack again with --no-oms",
        ],
    )


def test_only_its_packer_renews_what_has_ended(folder: Path) -> None:
    shutil.rmtree(folder / PACKAGE)
    now = datetime.now(UTC).replace(microsecond=0)
    forge.make_package(
        folder / "dist",
        signer=forge.TRUSTED,
        issued_at=now - timedelta(days=9),
        valid_for=timedelta(days=2),
    )
    (folder / "forge.pub").write_bytes(forge.TRUSTED.public_pem())
    trust = ("--trust-key", "forge.pub")
    done = infwasi("sign", PACKAGE, *trust, "--key", "bob.key", cwd=folder)
    assert done.said[0].startswith("refused: expired: the manifest has expired in expiresAt ")
    code, (note, error, hint) = short(
        infwasi("renew", PACKAGE, *trust, "--key", "bob.key", cwd=folder)
    )
    assert (code, note) == (2, "note: it has ended, so only its own packer can renew it")
    assert error.startswith(
        "error: the package has ended, and only its own packer can renew it (expected sha256:"
    )
    assert hint == "hint: pack it again"


# --- what the machine does -------------------------------------------------------------------

AS_NOBODY = """
import os, sys
os.chdir(sys.argv[1])
os.dup2(1, 2)
sys.argv[:] = ["infwasi", *sys.argv[2:]]
try:
    infwasi_sign.cli.main()
except SystemExit as end:
    print("exit code", end.code)
"""


@pytest.fixture
def others(place: Path) -> Iterator[Path]:
    """A folder that everybody may read and enter, and only root may change."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    shutil.copytree(place / "dist", folder / "dist")
    shutil.copy2(place / "alice.pub", folder)
    key = folder / "key"
    key.mkdir()
    shutil.copy2(place / "bob.key", key / "bob.key")
    os.chown(key / "bob.key", 65534, 65534)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sign", "error: cannot write the counter-signature: permission denied in "),
        ("renew", "error: cannot write the package: permission denied in "),
    ],
)
def test_a_folder_of_others_is_not_written_to(command: str, says: str, others: Path) -> None:
    modules = (
        *MODULES,
        *("infwasi_sign.cli", "infwasi_sign.cli.sign_command", "infwasi_sign.cli.renew_command"),
        *("infwasi_sign.cli.package_to_sign", "infwasi_sign.countersign", "infwasi_sign.renew"),
        *("infwasi_sign.adapters.sealing", "infwasi_sign.adapters.signer_source"),
        *("infwasi_sign.adapters.package_renewal",),
        *("infwasi_sign.adapters.oms_keys", "infwasi_sign.adapters.attestation_file"),
        "encodings.utf_16_be",
    )
    before = tree(others)
    words = (command, PACKAGE, *BY_ALICE, "--key", "key/bob.key")
    said = unprivileged_output(AS_NOBODY, others, *words, preload=modules).splitlines()
    lines = [line for line in said if not line.startswith(("to be signed: ", "  "))]
    assert lines[0].startswith(says), said
    assert lines[1:] == [
        "hint: check the owner and the mode of the file and of its directory",
        "exit code 2",
    ]
    assert tree(others) == before


# --- identities ------------------------------------------------------------------------------


def test_an_identity_signs_once_and_nothing_is_published_twice(folder: Path) -> None:
    with PrivateSigstore(rekor_version=2) as instance:
        (folder / "config.json").write_bytes(instance.trust_config())
        token = ("--identity-token", instance.token("carol@example.test"))
        words = ("sign", PACKAGE, *BY_ALICE, *token, "--trust-config", "config.json")
        done = infwasi(*words, cwd=folder)
        assert (done.code, "signing as carol@example.test" in done.errors) == (0, True)
        code, lines = short(infwasi(*words, cwd=folder))
        assert code == 2
        assert lines[-1].endswith(f"(got carol@example.test of {instance.issuer})")
        assert lines[-1].startswith("error: this signer signed already in signatures/")
        (folder / "both.toml").write_text(
            POLICY
            + '[[signer]]\nname = "carol-in-ci"\nidentities = [{ identity = "carol@example.test", '
            + f'issuer = "{instance.issuer}" }}]\n[sigstore]\ntrust-root = "config.json"\n'
            + TWO
        )
        done = infwasi("verify", PACKAGE, "--policy", "both.toml", "--json", cwd=folder)
        (document,) = done.documents
        assert [signer["name"] for signer in document["signers"]] == ["alice", "carol-in-ci"]


def test_an_identity_renews_its_own_package_with_its_companion(folder: Path) -> None:
    shutil.rmtree(folder / "dist")
    with PrivateSigstore(rekor_version=2) as instance:
        (folder / "config.json").write_bytes(instance.trust_config())

        def by(name: str) -> tuple[str, ...]:
            token = instance.token(f"{name}@example.test")
            return ("--identity-token", token, "--trust-config", "config.json")

        trust = (
            *("--identity", "carol@example.test", "--issuer", instance.issuer),
            *("--trust-root", "config.json"),
        )
        env = {"SOURCE_DATE_EPOCH": str(PACKED)}
        assert infwasi("pack", "--sign", *by("carol"), cwd=folder, env=env).code == 0
        assert infwasi("renew", PACKAGE, *trust, *by("carol"), cwd=folder).code == 0
        done = infwasi("verify", PACKAGE, *trust, "--json", cwd=folder)
        (document,) = done.documents
        assert (done.code, document["sequence"] > PACKED) == (0, True)
        assert (folder / PACKAGE / "model.sig").is_file()
        # by somebody else while it lasts: then it is theirs, and carol must sign again
        done = infwasi(
            "renew",
            PACKAGE,
            *trust,
            *by("dave"),
            "--sequence",
            "9999999999",
            "--accept-jump",
            "--json",
            cwd=folder,
        )
        assert done.documents[-1]["mustSignAgain"] == ["carol@example.test"]
        assert done.documents[-1]["signedBy"] == f"dave@example.test of {instance.issuer}"
        done = infwasi("verify", PACKAGE, *trust, "--accept-jump", cwd=folder)
        assert done.said[0].startswith("refused: signer: signed by an identity that is not trusted")


def test_a_certificate_signs_beside_a_key(folder: Path) -> None:
    now = datetime.now(UTC)
    span = (now - timedelta(days=1), now + timedelta(days=1))  # the command reads the clock
    authority = certificate_authority.ca("acme", span=span)
    holder = certificate_authority.leaf(authority, span=span)
    (folder / "leaf.pem").write_bytes(holder.pem)
    (folder / "root.pem").write_bytes(authority.pem)
    key = folder / "leaf.key"
    key.write_bytes(pkcs8_pem(holder.key))
    key.chmod(0o600)
    words = ("sign", PACKAGE, *BY_ALICE, "--key", "leaf.key")
    assert short(infwasi(*words, "--certificate", "leaf.pem", cwd=folder)) == (0, [])
    (folder / "acme.toml").write_text(
        POLICY
        + '[[signer]]\nname = "acme"\ncertificates = [{ roots = "root.pem", '
        + f'identity = "{certificate_authority.IDENTITY}", valid-at = "current-time" }}]\n'
        + TWO
    )
    done = infwasi("verify", PACKAGE, "--policy", "acme.toml", "--json", cwd=folder)
    (document,) = done.documents
    assert [signer["name"] for signer in document["signers"]] == ["alice", "acme"]
    # the same key without its certificate is the same signer
    code, (said,) = short(infwasi(*words, cwd=folder))
    assert (code, said.startswith("error: this signer signed already in signatures/")) == (2, True)
