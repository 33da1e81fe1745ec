"""Nothing but `verify` makes a `VerifiedPackage`: not for mypy, not at run time."""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.run import RunRequest, plan
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.conftest import ROOT

# Each function tries it in its own way, with a real package to copy from. The comment stands where
# mypy must report: the code, and after it what Python says when the function is called.
ATTEMPTS = """\
import dataclasses
from types import SimpleNamespace

from infwasi_sign.run import RunRequest, plan, run
from infwasi_sign.verify import VerifiedPackage

REQUEST = RunRequest(prompt=None)


class Duck:
    def __init__(self, package: VerifiedPackage) -> None:
        self.manifest = package.manifest
        self.settings = package.settings
        self.model_facts = package.model_facts
        self.component = b"another"


def constructor_without_anything(package: VerifiedPackage) -> None:
    VerifiedPackage()  # [call-arg] TypeError: .* missing 14 required keyword-only arguments


def constructor_without_proof(package: VerifiedPackage) -> None:
    VerifiedPackage(  # [call-arg] TypeError: .* missing 1 .* argument: 'proof'
        manifest=package.manifest,
        signatures=package.signatures,
        statement_digest=package.statement_digest,
        component=b"another",
        bom=package.bom,
        component_facts=package.component_facts,
        settings=package.settings,
        model_facts=package.model_facts,
        entries=package.entries,
        policy=package.policy,
        facts=package.facts,
        _models=package._models,
        _opened=package._opened,
    )


def constructor_with_another_proof(package: VerifiedPackage) -> None:
    VerifiedPackage(
        proof=object(),  # [arg-type] TypeError: only verify\\(\\) makes a VerifiedPackage
        manifest=package.manifest,
        signatures=package.signatures,
        statement_digest=package.statement_digest,
        component=b"another",
        bom=package.bom,
        component_facts=package.component_facts,
        settings=package.settings,
        model_facts=package.model_facts,
        entries=package.entries,
        policy=package.policy,
        facts=package.facts,
        _models=package._models,
        _opened=package._opened,
    )


def constructor_with_the_stolen_proof(package: VerifiedPackage) -> None:
    from infwasi_sign.verify import _PROOF

    VerifiedPackage(
        proof=_PROOF,  # [arg-type] nothing
        manifest=package.manifest,
        signatures=package.signatures,
        statement_digest=package.statement_digest,
        component=b"another",
        bom=package.bom,
        component_facts=package.component_facts,
        settings=package.settings,
        model_facts=package.model_facts,
        entries=package.entries,
        policy=package.policy,
        facts=package.facts,
        _models=package._models,
        _opened=package._opened,
    )


def subclass(package: VerifiedPackage) -> None:
    class Sub(VerifiedPackage):  # [misc] TypeError: only verify\\(\\) makes a VerifiedPackage
        component = b"another"


def replace(package: VerifiedPackage) -> None:
    dataclasses.replace(package, component=b"another")  # [call-arg] .*Error: .*proof


def replace_of_a_duck(package: VerifiedPackage) -> None:
    dataclasses.replace(Duck(package), manifest=package.manifest)  # [type-var] TypeError: replace


def another_component(package: VerifiedPackage) -> None:
    package.component = b"another"  # [misc] FrozenInstanceError: .* 'component'


def another_manifest(package: VerifiedPackage) -> None:
    package.manifest = package.manifest  # [misc] FrozenInstanceError: .* 'manifest'


def another_model(package: VerifiedPackage) -> None:
    package._models["model"] = package._models["model"]  # [index] TypeError: 'mappingproxy'


def other_facts(package: VerifiedPackage) -> None:
    del package.model_facts["model"]  # [attr-defined] TypeError: 'mappingproxy'


def duck(package: VerifiedPackage) -> None:
    plan(Duck(package), REQUEST)  # [arg-type] TypeError: not a VerifiedPackage: Duck


def namespace(package: VerifiedPackage) -> None:
    copy = SimpleNamespace(manifest=package.manifest, settings=package.settings)
    plan(copy, REQUEST)  # [arg-type] TypeError: not a VerifiedPackage: SimpleNamespace


def nothing(package: VerifiedPackage) -> None:
    plan(None, REQUEST)  # [arg-type] TypeError: not a VerifiedPackage: NoneType


def duck_that_runs(package: VerifiedPackage) -> None:
    from tests.fakes import FakeBackend, FakeStopFlag
    from tests.test_run import FakeHost

    run(
        Duck(package),  # [arg-type] TypeError: not a VerifiedPackage: Duck
        REQUEST,
        host=FakeHost(),
        backend=FakeBackend(),
        stop=FakeStopFlag(),
        on_piece=print,
    )
"""

CONTROL = """\
from infwasi_sign.domain.digest import MeasureBytes
from infwasi_sign.ports import PackageStore, SignatureVerifier
from infwasi_sign.run import RunPlan, RunRequest, plan
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify


def honest(
    request: VerifyRequest,
    store: PackageStore,
    signatures: SignatureVerifier,
    measure_bytes: MeasureBytes,
) -> RunPlan:
    package: VerifiedPackage = verify(
        request, store=store, signatures=signatures, measure_bytes=measure_bytes
    )
    with package:
        return plan(package, RunRequest(prompt="Hi?"))
"""

_COMMENT = re.compile(r"# \[(?P<code>[a-z-]+)\] (?P<says>.+)")
_REPORT = re.compile(r"(?P<file>\w+)\.py:(?P<line>\d+): error: .* \[(?P<code>[a-z-]+)\]")
_FUNCTION = re.compile(r"def (?P<name>[a-z_]+)\(package")


def expectations() -> Iterator[tuple[str, int, str, str]]:
    """Each attempt: its function, the line and code of mypy's error, Python's own words."""
    name = ""
    for number, line in enumerate(ATTEMPTS.splitlines(), 1):
        if found := _FUNCTION.match(line):
            name = found["name"]
        if found := _COMMENT.search(line):
            yield name, number, found["code"], found["says"]


EXPECTED = list(expectations())


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedPackage]:
    key = parse_public_key(forge.TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=forge.make_package(tmp_path_factory.mktemp("sealed")),
        policy=Policy(package=NamedPackage(name="capital")),
        now=forge.NOW,
    )
    with verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    ) as verified:
        yield verified


def test_every_attempt_says_what_it_expects() -> None:
    names = [name for name, *_ in EXPECTED]
    assert names == _FUNCTION.findall(ATTEMPTS)
    assert len(names) >= 14


def test_mypy_refuses_each_attempt_and_passes_the_honest_file(tmp_path: Path) -> None:
    (tmp_path / "attempts.py").write_text(ATTEMPTS)
    (tmp_path / "control.py").write_text(CONTROL)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", tmp_path / "attempts.py", tmp_path / "control.py"],
        capture_output=True,
        text=True,
        cwd=ROOT,  # for the settings of this project and its cache
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    reported: dict[tuple[str, int], set[str]] = defaultdict(set)
    for found in _REPORT.finditer(done.stdout):
        reported[found["file"], int(found["line"])].add(found["code"])
    assert reported == {("attempts", line): {code} for _, line, code, _ in EXPECTED}, done.stdout


@pytest.mark.parametrize(
    ("name", "says"),
    # Python keeps nobody from a private name, so the thief of the proof is left to mypy.
    [(name, says) for name, _, _, says in EXPECTED if says != "nothing"],
)
def test_python_refuses_the_attempt(name: str, says: str, package: VerifiedPackage) -> None:
    functions: dict[str, Any] = {"__name__": "attempts"}
    exec(compile(ATTEMPTS, "attempts.py", "exec"), functions)  # noqa: S102 - written above
    attempt: Callable[[VerifiedPackage], None] = functions[name]
    component = package.component
    with pytest.raises((TypeError, AttributeError, ValueError)) as caught:
        attempt(package)
    assert re.match(says, f"{type(caught.value).__name__}: {caught.value}"), caught.value
    assert package.component is component


def test_one_without_members_is_of_no_use() -> None:
    with pytest.raises(AttributeError):
        plan(VerifiedPackage.__new__(VerifiedPackage), RunRequest(prompt=None))
