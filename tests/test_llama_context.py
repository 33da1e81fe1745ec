"""Tests of how large llama.cpp's context is made, and when."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infwasi_sign.adapters.llama import LlamaBackend, LlamaModel
from infwasi_sign.adapters.llama_bindings import bindings
from infwasi_sign.adapters.llama_context import LlamaContext
from tests.fakes import FakeStopFlag
from tests.test_llama import OpenFile, answer, options, user

QUESTION = user("What is the capital of Sweden?")


@pytest.fixture
def model(model_path: Path) -> Iterator[LlamaModel]:
    file = OpenFile(model_path)
    loaded = LlamaBackend(FakeStopFlag(), n_threads=1).load(file, 2048)
    file.close()
    yield loaded
    loaded.close()


def size(model: LlamaModel) -> int:
    tokens: int = model._llama.llama_n_ctx(model._context.handle)
    return tokens


@pytest.mark.model
def test_a_model_that_nobody_asks_has_no_context(model: LlamaModel) -> None:
    assert model._context.handle is None


@pytest.mark.model
def test_the_context_is_as_large_as_prompt_and_answer_can_be(model: LlamaModel) -> None:
    answer(model, QUESTION, options(max_tokens=2))
    assert size(model) == 256
    model.start(QUESTION, options(max_tokens=256)).close()
    assert size(model) == 512
    model.start(QUESTION, options(max_tokens=10_000)).close()
    assert size(model) == 2048  # as granted


@pytest.mark.model
def test_a_smaller_generation_keeps_the_larger_context(model: LlamaModel) -> None:
    model.start(QUESTION, options(max_tokens=600)).close()
    handle = model._context.handle
    model.start(QUESTION, options(max_tokens=2)).close()
    assert (model._context.handle, size(model)) == (handle, 768)


@pytest.mark.model
def test_its_size_changes_no_answer(model: LlamaModel) -> None:
    small = answer(model, QUESTION, options())
    model.start(QUESTION, options(max_tokens=2000)).close()
    assert size(model) == 2048
    assert answer(model, QUESTION, options()) == small


class FakeBindings:
    """The real bindings, but for a model that is not there, and a context that has no memory."""

    def __init__(self, header: dict[bytes, bytes], trained: int = 8192) -> None:
        self._header = header
        self._trained = trained
        self.asked: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(bindings(), name)

    def llama_model_n_ctx_train(self, _model: int) -> int:
        return self._trained

    def llama_model_n_embd(self, _model: int) -> int:
        return 576

    def llama_model_meta_val_str(self, _model: int, key: bytes, value: Any, _size: int) -> int:
        if key not in self._header:
            return -1
        value.value = self._header[key]
        return len(self._header[key])

    def llama_init_from_model(self, _model: int, params: SimpleNamespace) -> int:
        self.asked.append(params.n_ctx)
        return 7

    def llama_n_ctx(self, _context: int) -> int:
        return self.asked[-1]

    def llama_set_abort_callback(self, *_: object) -> None:
        pass


def context_of(fake: FakeBindings, granted_tokens: int = 4096) -> LlamaContext:
    return LlamaContext(
        fake,
        1,
        granted_tokens=granted_tokens,
        n_threads=1,
        can_abort=True,
        stop=FakeStopFlag(),
    )


def test_a_model_with_two_sets_of_rope_factors_gets_all_that_is_granted() -> None:
    """Else llama.cpp would compute a short text with other factors than before."""
    phi = {
        b"general.architecture": b"phi3",
        b"phi3.rope.scaling.original_context_length": b"4096",
    }
    fake = FakeBindings(phi, trained=131_072)
    context_of(fake, 8192).empty(300)
    assert fake.asked == [8192]
    fake = FakeBindings({b"general.architecture": b"llama"}, trained=131_072)
    context_of(fake, 8192).empty(300)
    assert fake.asked == [300]


def test_a_model_whose_length_is_no_whole_step_gets_all_that_is_granted() -> None:
    """Its largest context is longer than it was trained for, which may choose other factors."""
    fake = FakeBindings({b"general.architecture": b"llama"}, trained=1000)
    context_of(fake, 8192).empty(300)
    assert fake.asked == [1024]


@pytest.mark.parametrize(
    ("granted", "trained", "room"),
    [(300, 8192, 300), (9000, 8192, 8192), (9000, 1000, 1024), (300, 0, 300)],
)
def test_there_is_room_for_what_is_granted_and_trained(
    granted: int, trained: int, room: int
) -> None:
    fake = FakeBindings({b"general.architecture": b"llama"}, trained=trained)
    context = context_of(fake, granted)
    assert context.room == room
    context.empty(100_000)
    assert fake.asked == [room]
