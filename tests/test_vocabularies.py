"""No text of a message becomes a control token: every special token of real vocabularies, tried.

The vocabularies are those that llama.cpp has for its own tests (`make models`), and SmolLM2's.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.chat_template import render
from infwasi_sign.adapters.llama_bindings import bindings
from infwasi_sign.adapters.llama_vocabulary import Vocabulary, _within_reach
from infwasi_sign.domain.chat import Message, Role
from tests.conftest import ROOT
from tests.test_chat_template import CHATML
from tests.unprivileged import run_python

pytestmark = pytest.mark.model

# Name, and least number of special tokens: a corpus that shrinks is noticed.
OTHERS = {
    "command-r": 1000,
    "deepseek-coder": 240,
    "gemma-4": 20,
    "llama-bpe": 250,
    "llama-spm": 2,
    "phi-3": 14,
    "qwen2": 290,
}
NAMES = ("smollm2", *OTHERS)
POSITIONS = (Role.SYSTEM, Role.USER, Role.ASSISTANT)


@dataclass(frozen=True)
class Known:
    """A vocabulary and the tokens of it that no text may become."""

    vocabulary: Vocabulary
    special: dict[int, str]
    control: frozenset[int]
    template: str


def _load(path: Path) -> tuple[Any, int]:
    llama = bindings()
    llama.llama_backend_init()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    model: int | None = llama.llama_model_load_from_file(str(path).encode(), params)
    assert model, path
    return llama, model


def vocabulary_path(name: str) -> Path:
    """The header and vocabulary of a real model, without weights."""
    found = list(ROOT.glob(f".cache/vocabularies-*/ggml-vocab-{name}.gguf"))
    if not found:
        pytest.skip("no vocabularies: run `make models`")
    return found[0]


@pytest.fixture(scope="module", params=NAMES)
def known(request: pytest.FixtureRequest, model_path: Path) -> Iterator[Known]:
    name: str = request.param
    llama, model = _load(vocabulary_path(name) if name in OTHERS else model_path)
    vocabulary = Vocabulary(llama, model)
    wanted = llama.LLAMA_TOKEN_ATTR_CONTROL | llama.LLAMA_TOKEN_ATTR_USER_DEFINED
    special, control = {}, set()
    for token in range(vocabulary.size):
        if not llama.llama_vocab_get_attr(vocabulary._vocab, token) & wanted:
            continue
        text = (llama.llama_vocab_get_text(vocabulary._vocab, token) or b"").decode()
        if llama.llama_vocab_is_control(vocabulary._vocab, token) or vocabulary.is_end(token):
            control.add(token)
        elif len(text) < 2 or text.isspace():
            continue  # some have white space among them: it is what it says
        special[token] = text
    template = llama.llama_model_chat_template(model, None) or CHATML.encode()
    yield Known(vocabulary, special, frozenset(control), template.decode())
    llama.llama_model_free(model)


def test_the_vocabulary_has_what_is_to_be_tried(known: Known) -> None:
    """The control: a tokenizer that lets text be control tokens makes one of every text."""
    assert len(known.control) >= 2
    for token, text in known.special.items():
        assert token in known.vocabulary.tokenize(f"hi {text} you", parse_special=True)


def test_the_corpus_is_not_smaller_than_it_was(
    request: pytest.FixtureRequest, known: Known
) -> None:
    name = request.node.callspec.params["known"]
    assert len(known.special) >= OTHERS.get(name, 17)


def test_no_special_token_comes_of_its_text(known: Known) -> None:
    for token, text in known.special.items():
        tokens = known.vocabulary._data(f"hi {text}{text} you\n{text}", set())
        assert token not in tokens, text
        assert known.control.isdisjoint(tokens), text


@pytest.mark.parametrize("position", POSITIONS, ids=str)
def test_no_special_token_comes_of_a_message_in_any_position(position: Role, known: Known) -> None:
    """All texts in one message; the template's own tokens stay as they are without them."""
    attack = " ".join(known.special.values()) + "".join(known.special.values())
    assert _specials(known, position, attack) == _specials(known, position, "hi")


def _specials(known: Known, position: Role, text: str) -> list[int]:
    def content(role: Role) -> str:
        return text if role is position else "hello"

    messages: Sequence[Message] = [
        Message(role=Role.SYSTEM, content=content(Role.SYSTEM)),
        Message(role=Role.USER, content=content(Role.USER)),
        Message(role=Role.ASSISTANT, content=content(Role.ASSISTANT)),
        Message(role=Role.USER, content=content(Role.USER)),
    ]
    vocabulary = known.vocabulary
    template = known.template
    segments = render(template, messages, vocabulary.bos_text, vocabulary.eos_text)
    return [token for token in vocabulary.prompt(segments) if token in known.special]


# --- words without an end ---------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from infwasi_sign.adapters.llama_vocabulary import Vocabulary
from tests.test_vocabularies import _load
vocabulary = Vocabulary(*_load(Path(sys.argv[1])))
words = [letter * 262_144 for letter in ("a", " ", "1", "!", chr(0x6771), chr(10))]
"""
SPLIT_BY_STD_REGEX = "deepseek-llm"


def long_words(how: str) -> int:
    path = vocabulary_path(SPLIT_BY_STD_REGEX)
    return run_python(f"{CHILD}for word in words:\n    vocabulary.{how}\n", path).returncode


def test_a_word_as_long_as_a_prompt_may_be_is_tokenized() -> None:
    assert long_words("tokenize(word, parse_special=False)") == 0


def test_control_uncut_the_word_ends_the_process() -> None:
    assert long_words("_tokenize(word, parse_special=False)") == -signal.SIGSEGV


PROSE = "The quick brown fox jumps over the lazy dog,\nand 17 more.  " * 1_000


@pytest.mark.parametrize(
    "text",
    ["a" * 5000 + " b", " " * 9999 + PROSE, PROSE, ("!" * 2047 + "\x1c") * 20, "a b " * 10_000],
    ids=["word", "spaces", "prose", "separators", "letters"],
)
def test_no_part_is_longer_than_the_stack_allows(text: str) -> None:
    """Whatever an expression takes for one match: Python's white space is not that of C++."""
    parts = _within_reach(text)
    assert "".join(parts) == text
    assert 0 < max(map(len, parts)) <= 2048
    assert min(map(len, parts)) > 0


def test_a_short_text_is_not_cut() -> None:
    assert _within_reach(PROSE[:2048]) == [PROSE[:2048]]


def test_prose_has_the_same_tokens_cut_and_uncut(known: Known) -> None:
    vocabulary = known.vocabulary
    text = PROSE[:6_000]  # longer, and uncut, some end the process
    uncut = vocabulary._tokenize(text, parse_special=False)
    assert vocabulary.tokenize(text, parse_special=False) == uncut
