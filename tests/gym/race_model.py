"""A language model of half a megabyte that llama.cpp loads and answers with.

The architecture is llama's, the weights follow from a seed, the tokens are the 256 bytes. It says
nothing sensible, and at temperature 0 always the same: letters, for nothing else has a weight.
"""

import struct
from array import array
from random import Random
from typing import Final

from tests.gguf_forge import (
    ARRAY,
    F32,
    I32,
    TENSOR_F32,
    Tensor,
    pair,
    strings,
    text_pair,
    tiny_gguf,
    u32_pair,
)
from tests.gguf_forge import array as gguf_array

CONTEXT_TOKENS: Final = 1024
_WIDTH, _INNER, _HEADS, _LAYERS = 64, 128, 4, 2
_END: Final = "<|end|>"
_NORMAL, _CONTROL = 1, 3  # llama.h, enum llama_token_type
_TEMPLATE: Final = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
_LETTERS: Final = range(ord("a"), ord("z") + 1)


def _byte_tokens() -> tuple[str, ...]:
    """GPT-2's letter for each byte: itself where it can be seen, else one from U+0100 on."""
    seen = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = iter(range(256, 512))
    return tuple(chr(byte if byte in seen else next(hidden)) for byte in range(256))


def race_model(seed: int) -> bytes:
    """The file; two seeds give two of one size, which differ in every weight and in the answer."""
    rng = Random(seed)  # noqa: S311 -- repeatable, not secret
    tokens = (*_byte_tokens(), _END)

    def weights(name: str, columns: int, rows: int) -> Tensor:
        scale = columns**-0.5
        values = array("f", [rng.gauss(0.0, scale) for _ in range(columns * rows)])
        return _tensor(name, (columns, rows), values)

    def norm(name: str) -> Tensor:
        return _tensor(name, (_WIDTH,), array("f", [1.0]) * _WIDTH)

    said = array("f", bytes(4 * _WIDTH * len(tokens)))
    for token in _LETTERS:
        start = token * _WIDTH
        said[start : start + _WIDTH] = array("f", [rng.gauss(0.0, 1.0) for _ in range(_WIDTH)])
    tensors = [weights("token_embd.weight", _WIDTH, len(tokens))]
    for layer in range(_LAYERS):
        name = f"blk.{layer}."
        tensors += [
            norm(f"{name}attn_norm.weight"),
            *(weights(f"{name}attn_{part}.weight", _WIDTH, _WIDTH) for part in "qkv"),
            weights(f"{name}attn_output.weight", _WIDTH, _WIDTH),
            norm(f"{name}ffn_norm.weight"),
            weights(f"{name}ffn_gate.weight", _WIDTH, _INNER),
            weights(f"{name}ffn_up.weight", _WIDTH, _INNER),
            weights(f"{name}ffn_down.weight", _INNER, _WIDTH),
        ]
    tensors += [norm("output_norm.weight"), _tensor("output.weight", (_WIDTH, len(tokens)), said)]
    return tiny_gguf(pairs=_pairs(tokens), tensors=tuple(tensors))


def _tensor(name: str, dimensions: tuple[int, ...], values: "array[float]") -> Tensor:
    return Tensor(name=name.encode(), dimensions=dimensions, type=TENSOR_F32, data=values.tobytes())


def _pairs(tokens: tuple[str, ...]) -> tuple[bytes, ...]:
    kinds = [_NORMAL] * 256 + [_CONTROL]
    return (
        text_pair("general.architecture", "llama"),
        text_pair("general.name", "race"),
        u32_pair("llama.context_length", CONTEXT_TOKENS),
        u32_pair("llama.embedding_length", _WIDTH),
        u32_pair("llama.block_count", _LAYERS),
        u32_pair("llama.feed_forward_length", _INNER),
        u32_pair("llama.attention.head_count", _HEADS),
        u32_pair("llama.rope.dimension_count", _WIDTH // _HEADS),
        pair("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
        text_pair("tokenizer.ggml.model", "gpt2"),
        text_pair("tokenizer.ggml.pre", "default"),
        pair("tokenizer.ggml.tokens", ARRAY, strings(*tokens)),
        pair(
            "tokenizer.ggml.token_type",
            ARRAY,
            gguf_array(I32, struct.pack(f"<{len(kinds)}i", *kinds), len(kinds)),
        ),
        pair("tokenizer.ggml.merges", ARRAY, strings("t h")),
        u32_pair("tokenizer.ggml.eos_token_id", len(tokens) - 1),
        text_pair("tokenizer.chat_template", _TEMPLATE),
    )
