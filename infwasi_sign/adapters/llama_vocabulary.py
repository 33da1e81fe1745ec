"""Text to tokens and back, such that the text of a message never becomes a control token.

Works on the bindings that ``llama`` hands it; imports nothing of llama.cpp itself.
"""

import ctypes
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from infwasi_sign.adapters.chat_placeholders import Segment
from infwasi_sign.adapters.llama_bindings import metadata
from infwasi_sign.errors import UndecidedError

_STRETCH: Final = 2_048  # characters; a stack of 8 MiB is full after some 20,000
_WORD_ENDS: Final = re.compile(r"\S(?=\s)")
_PIECE_BYTES: Final = 256  # the longest tokens of published vocabularies are below 200 bytes
_NO_TOKEN: Final = -1  # llama.h, LLAMA_TOKEN_NULL
_SPACE_PREFIX_KEY: Final = b"tokenizer.ggml.add_space_prefix"


class Vocabulary:
    """The tokenizer of one loaded model."""

    def __init__(self, llama: Any, model: int) -> None:
        self._llama = llama
        self._vocab = llama.llama_model_get_vocab(model)
        kind = llama.llama_vocab_type(self._vocab)
        if kind == llama.LLAMA_VOCAB_TYPE_NONE:
            raise UndecidedError("the model has no tokenizer")
        self._is_split = kind == llama.LLAMA_VOCAB_TYPE_BPE
        self.size: int = llama.llama_vocab_n_tokens(self._vocab)
        self._bos: int = llama.llama_vocab_bos(self._vocab)
        self.bos_text = self._special_text(self._bos)
        self.eos_text = self._special_text(llama.llama_vocab_eos(self._vocab))
        self._adds_bos: bool = llama.llama_vocab_get_add_bos(self._vocab)
        says_space = metadata(llama, model, _SPACE_PREFIX_KEY) != b"false"
        self._adds_space = kind == llama.LLAMA_VOCAB_TYPE_SPM and says_space
        self._buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        self._to_piece = llama.llama_token_to_piece
        self._is_eog = llama.llama_vocab_is_eog

    def _special_text(self, token: int) -> str:
        if token == _NO_TOKEN:
            return ""
        text: bytes | None = self._llama.llama_vocab_get_text(self._vocab, token)
        return (text or b"").decode("utf-8", "replace")

    # --- out

    def is_end(self, token: int) -> bool:
        """Whether the model ends its answer with this token."""
        ends: bool = self._is_eog(self._vocab, token)
        return ends

    def piece(self, token: int) -> bytes:
        """The bytes of a token, maybe a part of a character; none for a control token."""
        length = self._to_piece(self._vocab, token, self._buffer, _PIECE_BYTES, 0, False)
        if length >= 0:
            return self._buffer.raw[:length]
        larger = ctypes.create_string_buffer(-length)
        length = self._to_piece(self._vocab, token, larger, len(larger), 0, False)
        return larger.raw[: max(0, length)]

    # --- in

    def prompt(self, segments: Sequence[Segment]) -> list[int]:
        """The tokens of a rendered prompt; BOS first where the model wants it and has not got it.

        NOTE: SentencePiece vocabularies put a space before every text that is tokenized. Cut texts
        must not get a second one, so a space that ends the template's text gives way to it.
        """
        tokens: list[int] = []
        markers: set[str] = set()
        begins_with_bos = bool(segments) and segments[0].text.startswith(self.bos_text or "\0")
        if self._adds_bos and self._bos != _NO_TOKEN and not begins_with_bos:
            tokens.append(self._bos)
        for segment in segments:
            if segment.is_template:
                markers.update(self._markers(self.tokenize(segment.text, parse_special=True)))
        for number, segment in enumerate(segments):
            text = segment.text
            if segment.is_template:
                is_followed = number + 1 < len(segments)
                if self._adds_space and is_followed and text.endswith(" "):
                    text = text[:-1]
                tokens += self.tokenize(text, parse_special=True)
            else:
                tokens += self._data(text, markers)
        return tokens

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """The tokens of one text, with no BOS or EOS added.

        NOTE: vocabularies of the kind BPE are split by `std::regex`, which calls itself for each
        character of a match, and some take whole sentences for one: 40 KiB end the process (stack
        overflow). So theirs are cut before. (Other kinds put a space before every text, also where
        it was cut; they use no expressions.)
        """
        return [
            token
            for part in (_within_reach(text) if self._is_split else [text])
            for token in self._tokenize(part, parse_special=parse_special)
        ]

    def _tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        data = text.encode("utf-8", "replace")
        room = len(data) + 2  # no tokenizer makes more tokens than bytes, but for the space prefix
        buffer = (self._llama.llama_token * room)()
        made: int = self._llama.llama_tokenize(
            self._vocab, data, len(data), buffer, room, False, parse_special
        )
        if made < 0:
            raise UndecidedError("the model's tokenizer fails")
        return list(buffer[:made])

    def _data(self, text: str, markers: set[str]) -> list[int]:
        """The tokens of a message: no control token, and no marker whatever the template uses.

        Each round cuts the text at the markers known so far and learns those that are left, so
        there are at most as many rounds as the text has different markers.
        """
        llama, vocab = self._llama, self._vocab
        while True:
            tokens: list[int] = []
            for part in _without(text, markers):
                tokens += self.tokenize(part, parse_special=False)
            for token in set(tokens):
                if llama.llama_vocab_is_control(vocab, token) or self._is_eog(vocab, token):
                    raise UndecidedError(
                        "the model's tokenizer makes control tokens of message text"
                    )
            found = set(self._markers(tokens)) - markers
            if not found:
                return tokens
            markers |= found

    def _markers(self, tokens: Sequence[int]) -> Iterator[str]:
        """Texts of tokens that a badly converted model has as `user defined` instead of control.

        They are recognised in any text, so ``prompt`` cuts them in the text of messages.
        """
        llama, vocab = self._llama, self._vocab
        for token in set(tokens):
            if llama.llama_vocab_get_attr(vocab, token) & llama.LLAMA_TOKEN_ATTR_USER_DEFINED:
                text: bytes = llama.llama_vocab_get_text(vocab, token)
                shown = text.decode("utf-8", "replace")
                if len(shown) > 1 and not shown.isspace():
                    yield shown


def _within_reach(text: str) -> list[str]:
    """The text in parts of at most ``_STRETCH`` characters, cut where a word ends if one does.

    Most vocabularies put a space to the word behind it, so such a cut changes no token.
    """
    parts: list[str] = []
    start = 0
    while len(text) - start > _STRETCH:
        ends = _WORD_ENDS.finditer(text, start, start + _STRETCH + 1)
        end = max((found.end() for found in ends), default=start + _STRETCH)
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]


def _without(text: str, markers: set[str]) -> list[str]:
    """The text in parts, cut after the first character of every marker in it."""
    cuts = {0, len(text)}
    for marker in markers:
        at = text.find(marker)
        while at >= 0:
            cuts.add(at + 1)
            at = text.find(marker, at + 1)
    return [text[start:end] for start, end in pairwise(sorted(cuts))]
