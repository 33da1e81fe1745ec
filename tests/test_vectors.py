"""Every case of the forge, through the real verifier: the kind of the answer is the claim."""

import json
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.policy import DirectoryNamed, Policy
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.verify import VerifyRequest, verify
from tests import forge
from tests.forge import NOW, TRUSTED, Case
from tests.forge_cases import CASES
from tests.write_vectors import INDEX, index


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("honest"))


def verdict(package: Path, *, digests: frozenset[Algorithm] = frozenset({Algorithm.BLAKE3})) -> str:
    """``verified``, ``undecided`` or the kind of the refusal, with the sentence after it."""
    key = parse_public_key(TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=package,
        policy=Policy(package=DirectoryNamed(directory=package.name), digests=digests),
        now=NOW + timedelta(seconds=30),
    )
    try:
        verify(
            request,
            store=DirectoryStore(),
            signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
            measure_bytes=measure_bytes,
        ).close()
    except RefusedError as error:
        return f"{error.kind}: {error.sentence()}"
    except UndecidedError as error:
        return f"undecided: {error.sentence()}"
    return "verified"


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_vector(one: Case, honest: Path, tmp_path: Path) -> None:
    package = forge.build_case(one, tmp_path / "case", honest)
    said = verdict(package)
    assert said.split(":")[0] == one.expect, said
    assert one.says in said
    assert "\n" not in said


def test_there_are_vectors_of_every_kind_that_this_version_can_answer() -> None:
    kinds = Counter(one.expect for one in CASES)
    assert len(CASES) >= 80
    later = {"rollback", "revoked", "level"}  # a state, a deny list and a demand decide these
    assert set(kinds) == {str(kind) for kind in RefusalKind} - later | {"verified", "undecided"}


def test_all_digests_catch_a_signer_who_signs_two_models(honest: Path, tmp_path: Path) -> None:
    package = forge.build_case(Case("x", "digest", "", lambda _: None), tmp_path / "case", honest)
    with forge.lie(package) as value:
        value["subject"][2]["digest"]["sha256"] = "ab" * 32
    # the BOM repeats the statement's SHA-256, so the signer lies there too
    bom = package / "bom.cdx.json"
    true_digest = forge.statement(honest)["subject"][2]["digest"]["sha256"]
    bom.write_bytes(forge.replaced_in_bom(bom.read_bytes(), true_digest, "ab" * 32))
    with forge.lie(package) as value:
        digests = measure_bytes(bom.read_bytes())
        value["subject"][1]["digest"]["sha256"] = digests[Algorithm.SHA256].hex
        value["predicate"]["entries"][1]["blake3"] = digests[Algorithm.BLAKE3].hex
    assert verdict(package) == "verified"
    assert verdict(package, digests=frozenset(Algorithm)).startswith("digest: the model differs")


@pytest.mark.parametrize(
    "file", ["app.wasm", "bom.cdx.json", "model.gguf", "manifest.sigstore.json"]
)
def test_refuses_any_flipped_bit(file: str, honest: Path, tmp_path: Path) -> None:
    package = forge.build_case(Case("x", "digest", "", lambda _: None), tmp_path / "case", honest)
    size = (package / file).stat().st_size
    for offset in range(0, size, max(1, size // 40)):
        forge.flip(package / file, offset)
        assert verdict(package) != "verified", f"{file} at {offset}"
        forge.flip(package / file, offset)
    assert verdict(package) == "verified"


def test_vectors_are_the_same_at_every_run(tmp_path: Path) -> None:
    few = [one for one in CASES if one.name in {"honest", "stranger", "bom-licence"}]
    found = [
        {
            path.relative_to(tmp_path / run).as_posix(): path.read_bytes()
            for one in few
            for path in sorted(forge.build_case(one, tmp_path / run / one.name).rglob("*"))
        }
        for run in ("one", "two")
    ]
    assert len(found[0]) == 4 * len(few)
    assert found[0] == found[1]


def test_command_writes_the_vectors_for_others(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "tests.write_vectors", tmp_path / "out"],
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    for one in CASES:
        expect = json.loads((tmp_path / "out" / one.name / "expect.json").read_text())
        assert expect["expect"] == one.expect
        assert (tmp_path / "out" / one.name / "key.pub").is_file()
    # The same bytes as when they were recorded. What changes them on purpose (a guest, wasm-tools,
    # the BOM) is recorded anew before a release, and never after one.
    assert index(tmp_path / "out") == json.loads(INDEX.read_text())


def test_malformed_is_a_refusal() -> None:
    assert issubclass(MalformedError, RefusedError)


def test_a_directory_that_was_exchanged_gets_no_verdict(honest: Path, tmp_path: Path) -> None:
    key = parse_public_key(TRUSTED.public_key(), where="key")
    link = tmp_path / "capital-1.0.0"
    link.symlink_to(honest)
    other = forge.build_case(Case("x", "policy", "", lambda _: None), tmp_path / "other", honest)
    other = other.rename(other.parent / "elsewhere")
    request = VerifyRequest(
        location=link, policy=Policy(package=DirectoryNamed(directory=honest.name)), now=NOW
    )

    def outcome() -> str:
        try:
            verify(
                request,
                store=DirectoryStore(),
                signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
                measure_bytes=measure_bytes,
            ).close()
        except UndecidedError as error:
            return error.what
        return "verified"

    assert outcome() == "verified"
    link.unlink()
    link.symlink_to(other)  # after the name was read, and before the package is opened
    assert outcome() == "the package was exchanged while it was opened"
