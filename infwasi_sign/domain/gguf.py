"""GGUF, the file format of models: its header, and what the header says about the model.

Source: github.com/ggml-org/ggml `docs/gguf.md`. The reader is in `gguf_header`.
"""

from infwasi_sign.domain.gguf_cursor import ByteSource
from infwasi_sign.domain.gguf_facts import ModelFacts, QuantizationCount, model_facts
from infwasi_sign.domain.gguf_header import GgufHeader, parse
from infwasi_sign.domain.gguf_types import GgmlType, GgufArray, GgufValue, TensorInfo, ValueType

__all__ = [
    "ByteSource",
    "GgmlType",
    "GgufArray",
    "GgufHeader",
    "GgufValue",
    "ModelFacts",
    "QuantizationCount",
    "TensorInfo",
    "ValueType",
    "model_facts",
    "parse",
]
