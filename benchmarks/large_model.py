"""A model of any size that llama.cpp loads and computes: a small one with more and wider layers.

Its layers are repeated and their weights written as F16, until the file is as large as wanted (up
to 512 layers, LLAMA_MAX_LAYERS). What it says is no sense; how long it takes is that of a model of
its size.
"""

import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from infwasi_sign.adapters.package_directory import open_outside
from infwasi_sign.domain.gguf import GgufHeader, parse
from infwasi_sign.domain.limits import LIMITS

_F16: Final = 1  # ggml.h, enum ggml_type
_Q4_1: Final = 3
_BLOCK_WEIGHTS: Final = 32
_Q4_1_BLOCK: Final = np.dtype([("d", "<f2"), ("m", "<f2"), ("q", "u1", (16,))])  # ggml-common.h
_ALIGNMENT: Final = 32  # gguf.md: where the metadata says nothing else
_LAYER: Final = "blk."

Tensor = tuple[str, tuple[int, ...], int, bytes]
"""Name, dimensions, type of ggml, data."""


def large_model(source: Path, target: Path, size_bytes: int) -> Path:
    """Write ``target`` from ``source``, a model of at least ``size_bytes``; gives ``target``."""
    with closing(open_outside(source, most_bytes=LIMITS.model_bytes)) as file:
        header = parse(file)
        data = source.read_bytes()
    layers: dict[int, list[Tensor]] = {}
    others: list[Tensor] = []
    for tensor in _tensors(header, data):
        number, _, _ = tensor[0].removeprefix(_LAYER).partition(".")
        if tensor[0].startswith(_LAYER):
            layers.setdefault(int(number), []).append(tensor)
        else:
            others.append(tensor)
    each = sum(len(tensor[3]) for tensor in layers[0])
    count = -(-(size_bytes - sum(len(tensor[3]) for tensor in others)) // each)
    _write(target, _metadata(header, data, count), [*others, *_repeated(layers, count)])
    return target


def _tensors(header: GgufHeader, data: bytes) -> Iterator[Tensor]:
    for tensor in header.tensors:
        start = header.data_offset + tensor.offset
        raw = data[start : start + tensor.size_bytes]
        if tensor.type == _Q4_1:
            yield tensor.name, tensor.dimensions, _F16, _widened(raw)
        else:
            yield tensor.name, tensor.dimensions, int(tensor.type), raw


def _widened(raw: bytes) -> bytes:
    """Q4_1 as F16: each block has a scale, a minimum, and low nibbles before high ones."""
    blocks = np.frombuffer(raw, dtype=_Q4_1_BLOCK)
    nibbles = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1)
    weights: np.ndarray = nibbles * blocks["d"][:, None].astype("f4") + blocks["m"][:, None].astype(
        "f4"
    )
    return bytes(weights.astype("<f2").tobytes())


def _repeated(layers: dict[int, list[Tensor]], count: int) -> Iterator[Tensor]:
    for number in range(count):
        for name, dimensions, kind, raw in layers[number % len(layers)]:
            rest = name.removeprefix(_LAYER).partition(".")[2]
            yield f"{_LAYER}{number}.{rest}", dimensions, kind, raw


def _metadata(header: GgufHeader, data: bytes, layers: int) -> bytes:
    """The metadata as it stands, with another number of layers."""
    metadata = bytearray(data[: header.metadata_end])
    key = b".block_count"
    value = metadata.index(key) + len(key) + 4  # after the type, which is u32
    metadata[value : value + 4] = struct.pack("<I", layers)
    return bytes(metadata)


def _write(target: Path, metadata: bytes, tensors: list[Tensor]) -> None:
    table, offset = b"", 0
    for name, dimensions, kind, raw in tensors:
        table += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(dimensions))
        table += struct.pack(f"<{len(dimensions)}QIQ", *dimensions, kind, offset)
        offset += len(raw) + -len(raw) % _ALIGNMENT
    head = metadata[:8] + struct.pack("<Q", len(tensors)) + metadata[16:] + table
    with target.open("wb") as out:
        out.write(head + bytes(-len(head) % _ALIGNMENT))
        for *_, raw in tensors:
            out.write(raw + bytes(-len(raw) % _ALIGNMENT))
