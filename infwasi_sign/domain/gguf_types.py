"""The words of a GGUF file: value types, tensor types and what a header is made of.

Source: github.com/ggml-org/ggml `docs/gguf.md`; numbers and sizes of tensor types from
`ggml/include/ggml.h` and `ggml/src/ggml-common.h` of llama.cpp as llama-cpp-python 0.3.36 ships it.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from infwasi_sign.quick_dataclass import dataclass


class ValueType(IntEnum):
    """The type tag of a metadata value (gguf.md, `gguf_metadata_value_type`)."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12

    @property
    def label(self) -> str:
        """The word for people: `uint32`."""
        return self.name.lower()


SCALAR_FORMATS: Final = {
    ValueType.UINT8: "<B",
    ValueType.INT8: "<b",
    ValueType.UINT16: "<H",
    ValueType.INT16: "<h",
    ValueType.UINT32: "<I",
    ValueType.INT32: "<i",
    ValueType.FLOAT32: "<f",
    ValueType.BOOL: "<?",
    ValueType.UINT64: "<Q",
    ValueType.INT64: "<q",
    ValueType.FLOAT64: "<d",
}
"""How :mod:`struct` reads each type of fixed size, little-endian."""


class GgmlType(IntEnum):
    """How a tensor's numbers are stored (ggml.h, `ggml_type`).

    Numbers 4, 5, 31 to 33 and 36 to 38 were withdrawn and are in no file that llama.cpp loads.
    """

    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q4_1 = 3
    Q5_0 = 6
    Q5_1 = 7
    Q8_0 = 8
    Q8_1 = 9
    Q2_K = 10
    Q3_K = 11
    Q4_K = 12
    Q5_K = 13
    Q6_K = 14
    Q8_K = 15
    IQ2_XXS = 16
    IQ2_XS = 17
    IQ3_XXS = 18
    IQ1_S = 19
    IQ4_NL = 20
    IQ3_S = 21
    IQ2_S = 22
    IQ4_XS = 23
    I8 = 24
    I16 = 25
    I32 = 26
    I64 = 27
    F64 = 28
    IQ1_M = 29
    BF16 = 30
    TQ1_0 = 34
    TQ2_0 = 35
    MXFP4 = 39
    NVFP4 = 40
    Q1_0 = 41
    Q2_0 = 42

    @property
    def block_elements(self) -> int:
        """How many elements one block holds; 1 for types without blocks."""
        return GGML_BLOCKS[self][0]

    @property
    def block_bytes(self) -> int:
        """How many bytes one block takes."""
        return GGML_BLOCKS[self][1]


GGML_BLOCKS: Final = {
    GgmlType.F32: (1, 4),
    GgmlType.F16: (1, 2),
    GgmlType.Q4_0: (32, 18),
    GgmlType.Q4_1: (32, 20),
    GgmlType.Q5_0: (32, 22),
    GgmlType.Q5_1: (32, 24),
    GgmlType.Q8_0: (32, 34),
    # NOTE: the `gguf` package 0.19 says 40 here; `block_q8_1` has had two half floats, not two
    # floats, in front of its 32 bytes since ggml changed it, and llama.cpp is who maps the file.
    GgmlType.Q8_1: (32, 36),
    GgmlType.Q2_K: (256, 84),
    GgmlType.Q3_K: (256, 110),
    GgmlType.Q4_K: (256, 144),
    GgmlType.Q5_K: (256, 176),
    GgmlType.Q6_K: (256, 210),
    GgmlType.Q8_K: (256, 292),
    GgmlType.IQ2_XXS: (256, 66),
    GgmlType.IQ2_XS: (256, 74),
    GgmlType.IQ3_XXS: (256, 98),
    GgmlType.IQ1_S: (256, 50),
    GgmlType.IQ4_NL: (32, 18),
    GgmlType.IQ3_S: (256, 110),
    GgmlType.IQ2_S: (256, 82),
    GgmlType.IQ4_XS: (256, 136),
    GgmlType.I8: (1, 1),
    GgmlType.I16: (1, 2),
    GgmlType.I32: (1, 4),
    GgmlType.I64: (1, 8),
    GgmlType.F64: (1, 8),
    GgmlType.IQ1_M: (256, 56),
    GgmlType.BF16: (1, 2),
    GgmlType.TQ1_0: (256, 54),
    GgmlType.TQ2_0: (256, 66),
    GgmlType.MXFP4: (32, 17),
    GgmlType.NVFP4: (64, 36),
    GgmlType.Q1_0: (128, 18),
    GgmlType.Q2_0: (64, 18),
}
"""Elements per block and bytes per block of every tensor type."""

FILE_TYPES: Final = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}
"""What `general.file_type` says the majority of tensors is (llama.h, `llama_ftype`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufArray:
    """Where an array lies in the header; its elements are read when somebody asks for them.

    ``offset`` is the first element's, from the start of the file; ``size_bytes`` covers the
    elements and not the type and count in front of them.
    """

    element_type: ValueType
    count: int
    offset: int
    size_bytes: int


Scalar: TypeAlias = int | float | bool | str


@dataclass(frozen=True, kw_only=True, slots=True)
class GgufValue:
    """A metadata value and the type it was written with."""

    type: ValueType
    value: Scalar | GgufArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """One line of the tensor table. ``offset`` counts from the header's ``data_offset``.

    ``dimensions`` are in file order, the contiguous one first.
    """

    name: str
    dimensions: tuple[int, ...]
    type: GgmlType
    offset: int
    size_bytes: int

    @property
    def element_count(self) -> int:
        """The product of the dimensions."""
        product = 1
        for dimension in self.dimensions:
            product *= dimension
        return product
