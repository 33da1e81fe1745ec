"""Reading GGUF headers: what real files say, and what is refused."""

import ctypes
import dataclasses
import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from infwasi_sign.domain import gguf_cursor, gguf_values
from infwasi_sign.domain.gguf import (
    GgmlType,
    GgufArray,
    GgufHeader,
    ModelFacts,
    QuantizationCount,
    ValueType,
    model_facts,
    parse,
)
from infwasi_sign.domain.gguf_types import FILE_TYPES, GGML_BLOCKS, Scalar
from infwasi_sign.domain.limits import KIB, LIMITS, MIB
from infwasi_sign.errors import MalformedError, RefusalKind
from tests import gguf_forge as forge
from tests.gguf_forge import Tensor, WatchedSource, tiny_gguf

MOST_READS = 11  # 256 KiB doubled ten times is LIMITS.gguf_header_bytes


def read(data: bytes) -> GgufHeader:
    return parse(WatchedSource(data))


def everything(header: GgufHeader) -> dict[str, tuple[object, ...]]:
    """Each key with its type, and all elements of arrays, inner ones included."""

    def expand(value: Scalar | GgufArray) -> object:
        if isinstance(value, GgufArray):
            return (value.element_type, [expand(each) for each in header.elements(value)])
        return value

    return {key: (each.type, expand(each.value)) for key, each in header.metadata.items()}


# --- against the reference ----------------------------------------------------------------------


def assert_equals_reference(header: GgufHeader, path: Path) -> None:
    reference = GGUFReader(path)
    fields = {k: f for k, f in reference.fields.items() if not k.startswith("GGUF.")}
    assert header.version == reference.fields["GGUF.version"].contents()
    assert list(header.metadata) == list(fields)
    ours = everything(header)
    for key, reference_field in fields.items():
        kinds = [ValueType(kind) for kind in reference_field.types]
        contents = reference_field.contents()
        if kinds[0] is ValueType.ARRAY:
            found = header.metadata[key].value
            assert isinstance(found, GgufArray)
            assert found.count == len(contents)
            if contents:
                assert ours[key] == (ValueType.ARRAY, (kinds[-1], contents)), key
        else:
            assert ours[key] == (kinds[0], contents), key
            assert type(ours[key][1]) is type(contents), key
    assert header.alignment == reference.alignment
    assert header.data_offset == reference.data_offset
    assert [
        (t.name, list(t.dimensions), int(t.type), header.data_offset + t.offset, t.size_bytes)
        for t in header.tensors
    ] == [
        (t.name, t.shape.tolist(), int(t.tensor_type), t.data_offset, t.n_bytes)
        for t in reference.tensors
    ]
    assert [t.element_count for t in header.tensors] == [
        int(t.n_elements) for t in reference.tensors
    ]
    assert header.header_bytes == path.read_bytes()[: header.data_offset]


@pytest.mark.model
def test_reads_the_real_model_as_the_reference_does(model_path: Path) -> None:
    source = WatchedSource(model_path.read_bytes())
    header = parse(source)
    assert_equals_reference(header, model_path)
    assert sum(size for _, size in source.reads) <= 2 * header.data_offset
    assert source.reads[0] == (0, 256 * KIB)


@pytest.mark.model
def test_tells_the_facts_of_the_real_model(model_path: Path) -> None:
    facts = model_facts(read(model_path.read_bytes()))
    assert facts.chat_template is not None
    assert dataclasses.replace(facts, chat_template=None) == ModelFacts(
        architecture="llama",
        name="Smollm2 135M 8k Lc100K Mix1 Ep2",
        version=None,
        basename="smollm2",
        size_label="135M",
        organization="HuggingFaceTB",
        author=None,
        finetune="8k-lc100k-mix1-ep2",
        description=None,
        quantized_by=None,
        license="apache-2.0",
        license_name=None,
        license_link=None,
        url=None,
        doi=None,
        uuid=None,
        repo_url=None,
        source_url=None,
        source_doi=None,
        source_uuid=None,
        source_repo_url=None,
        base_models=(),
        datasets=(),
        general=(
            ("general.architecture", "llama"),
            ("general.basename", "smollm2"),
            ("general.file_type", "3"),
            ("general.finetune", "8k-lc100k-mix1-ep2"),
            ("general.languages", '["en"]'),
            ("general.license", "apache-2.0"),
            ("general.name", "Smollm2 135M 8k Lc100K Mix1 Ep2"),
            ("general.organization", "HuggingFaceTB"),
            ("general.quantization_version", "2"),
            ("general.size_label", "135M"),
            ("general.type", "model"),
        ),
        languages=("en",),
        tags=(),
        context_length=8192,
        embedding_length=576,
        block_count=30,
        file_type="Q4_1",
        quantization=(
            QuantizationCount(type_name="F32", tensor_count=61, size_bytes=140_544),
            QuantizationCount(type_name="Q4_1", tensor_count=210, size_bytes=66_355_200),
            QuantizationCount(type_name="Q8_0", tensor_count=1, size_bytes=30_081_024),
        ),
        parameter_count=134_515_008,
        bits_per_weight=8 * (140_544 + 66_355_200 + 30_081_024) / 134_515_008,
        tokenizer_model="gpt2",
        tokenizer_pre="smollm",
        chat_template=None,
        has_tokenizer=True,
    )
    assert facts.can_chat


def test_reads_what_the_reference_writer_writes(tmp_path: Path) -> None:
    path = tmp_path / "written.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    writer.add_uint8("x.u8", 255)
    writer.add_int8("x.i8", -128)
    writer.add_uint16("x.u16", 65_535)
    writer.add_int16("x.i16", -32_768)
    writer.add_uint32("x.u32", 2**32 - 1)
    writer.add_int32("x.i32", -(2**31))
    writer.add_float32("x.f32", 0.1)
    writer.add_uint64("x.u64", 2**64 - 1)
    writer.add_int64("x.i64", -(2**63))
    writer.add_float64("x.f64", 0.1)
    writer.add_bool("x.true", True)
    writer.add_bool("x.false", False)
    writer.add_string("x.text", "grüße\n")
    writer.add_array("x.texts", ["", "a", "ö"])
    writer.add_array("x.ints", [1, -2, 3])
    writer.add_array("x.floats", [1.5, -0.0])
    writer.add_array("x.bools", [True, False])
    writer.add_tensor("f32", np.arange(10, dtype=np.float32).reshape(5, 2))
    writer.add_tensor("f16", np.arange(3, dtype=np.float16))
    writer.add_tensor(
        "q8",
        np.zeros((4, 34), dtype=np.uint8),
        raw_dtype=gguf.GGMLQuantizationType.Q8_0,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read(path.read_bytes())
    assert header.alignment == 64
    assert_equals_reference(header, path)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [8, 32, 4096])
def test_reads_what_the_forge_makes_as_the_reference_does(
    version: int, alignment: int, tmp_path: Path
) -> None:
    path = tmp_path / "forged.gguf"
    path.write_bytes(tiny_gguf(version=version, alignment=alignment, states_alignment=True))
    assert_equals_reference(read(path.read_bytes()), path)


def test_knows_the_tensor_types_of_the_reference() -> None:
    reference = {
        kind.name: (int(kind), *sizes)
        for kind, sizes in gguf.GGML_QUANT_SIZES.items()
        if kind.name != "Q8_1"  # 40 bytes there, 36 in ggml: see the note in gguf_types.py
    }
    ours = {kind.name: (int(kind), *sizes) for kind, sizes in GGML_BLOCKS.items()}
    assert len(reference) >= 30
    assert {name: ours[name] for name in reference} == reference
    assert set(ours) - set(reference) == {"Q8_1", "Q2_0"}


def test_knows_the_tensor_types_of_the_library_that_runs_them() -> None:
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    library = ctypes.CDLL(str(Path(spec.origin).parent / "lib" / "libggml-base.so"))
    library.ggml_type_size.restype = ctypes.c_size_t
    library.ggml_blck_size.restype = ctypes.c_int64
    library.ggml_type_name.restype = ctypes.c_char_p
    for kind in GgmlType:
        assert library.ggml_type_name(int(kind)).decode().upper() == kind.name
        assert kind.block_elements == library.ggml_blck_size(int(kind))
        assert kind.block_bytes == library.ggml_type_size(int(kind))


def test_knows_the_file_types_of_the_reference() -> None:
    reference = {
        int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in gguf.LlamaFileType
        if kind is not gguf.LlamaFileType.GUESSED  # never written
    }
    assert {**reference, 41: "Q2_0"} == FILE_TYPES


# --- values ----------------------------------------------------------------------------------


def test_reads_every_value_type() -> None:
    values: list[tuple[str, int, bytes, Scalar]] = [
        ("u8", forge.U8, b"\xff", 255),
        ("i8", forge.I8, b"\xff", -1),
        ("u16", forge.U16, b"\xff\xff", 65_535),
        ("i16", forge.I16, b"\xff\xff", -1),
        ("u32", forge.U32, b"\xff" * 4, 2**32 - 1),
        ("i32", forge.I32, b"\xff" * 4, -1),
        ("f32", forge.F32, struct.pack("<f", 1.5), 1.5),
        ("bool", forge.BOOL, b"\1", True),
        ("string", forge.STRING, forge.string("ä"), "ä"),
        ("u64", forge.U64, b"\xff" * 8, 2**64 - 1),
        ("i64", forge.I64, b"\xff" * 8, -1),
        ("f64", forge.F64, struct.pack("<d", 0.1), 0.1),
    ]
    header = read(tiny_gguf(pairs=tuple(forge.pair(k, kind, raw) for k, kind, raw, _ in values)))
    assert everything(header) == {k: (ValueType(kind), value) for k, kind, _, value in values}


def test_reads_nested_arrays() -> None:
    inner = forge.array(forge.U8, b"\1\2", 2)
    empty = forge.array(forge.STRING, b"", 0)
    deep = forge.array(forge.ARRAY, forge.array(forge.ARRAY, inner + empty, 2), 1)
    header = read(tiny_gguf(pairs=(forge.pair("deep", forge.ARRAY, deep),)))
    arrays, u8, text = ValueType.ARRAY, ValueType.UINT8, ValueType.STRING
    assert everything(header) == {
        "deep": (arrays, (arrays, [(arrays, [(u8, [1, 2]), (text, [])])]))
    }


def test_holds_arrays_as_places_and_not_as_elements() -> None:
    payload = forge.strings("a", "bc")
    data = tiny_gguf(pairs=(forge.pair("k", forge.ARRAY, payload),))
    header = read(data)
    array = header.metadata["k"].value
    start = data.index(payload) + 12
    assert array == GgufArray(
        element_type=ValueType.STRING, count=2, offset=start, size_bytes=len(payload) - 12
    )
    assert header.materialise(array, at_most=2) == ("a", "bc")


def test_refuses_to_materialise_more_than_was_asked_for() -> None:
    header = read(tiny_gguf(pairs=(forge.pair("k", forge.ARRAY, forge.strings("a", "bc")),)))
    array = header.metadata["k"].value
    assert isinstance(array, GgufArray)
    with pytest.raises(MalformedError) as caught:
        header.materialise(array, at_most=1)
    assert str(caught.value) == (
        f"array is too long in array at byte {array.offset} (expected at most 1 elements, got 2)"
    )


def test_refuses_a_string_element_that_is_not_utf8_when_it_is_read() -> None:
    header = read(tiny_gguf(pairs=(forge.pair("k", forge.ARRAY, forge.strings("a", b"x\xff")),)))
    array = header.metadata["k"].value
    assert isinstance(array, GgufArray)
    elements = header.elements(array)
    assert next(elements) == "a"
    with pytest.raises(MalformedError) as caught:
        next(elements)
    place = array.offset + 9 + 8 + 1
    assert str(caught.value) == f"string is not UTF-8 in element [1] at byte {place}"


@pytest.mark.parametrize(
    "array",
    [
        GgufArray(element_type=ValueType.UINT8, count=1, offset=10**6, size_bytes=1),
        GgufArray(element_type=ValueType.UINT8, count=1, offset=-1, size_bytes=1),
        GgufArray(element_type=ValueType.UINT32, count=2, offset=0, size_bytes=7),
        GgufArray(element_type=ValueType.STRING, count=1, offset=0, size_bytes=4),
        GgufArray(element_type=ValueType.STRING, count=1, offset=0, size_bytes=24),
    ],
)
def test_refuses_an_array_of_another_header(array: GgufArray) -> None:
    header = read(tiny_gguf())
    with pytest.raises(MalformedError) as caught:
        list(header.elements(array))
    assert str(caught.value) == (f"array is not of this header in array at byte {array.offset}")


def test_reads_strings_across_the_ends_of_reads() -> None:
    words = [("w" * (index % 23)) for index in range(60_000)]
    big = "x" * (700 * KIB)
    pairs = (
        forge.pair("k", forge.ARRAY, forge.strings(*words, big, "end")),
        forge.u32_pair("after", 7),
    )
    source = WatchedSource(tiny_gguf(pairs=pairs))
    header = parse(source)
    array = header.metadata["k"].value
    assert isinstance(array, GgufArray)
    assert header.materialise(array, at_most=10**6) == (*words, big, "end")
    assert header.metadata["after"].value == 7
    assert len(source.reads) == 4


def test_reads_no_tensor_data() -> None:
    tensor = Tensor(name=b"t", dimensions=(MIB // 4,), type=forge.TENSOR_F32, data=bytes(MIB))
    source = WatchedSource(tiny_gguf(tensors=(tensor,)))
    parse(source)
    assert source.reads == [(0, 256 * KIB)]


@pytest.mark.parametrize("pads_last", [True, False])
def test_accepts_the_last_tensor_with_and_without_padding(pads_last: bool) -> None:
    assert len(read(tiny_gguf(pads_last=pads_last)).tensors) == 3


@pytest.mark.parametrize("trailing", [b"", b"\0" * 5])
def test_accepts_a_file_without_tensors(trailing: bytes) -> None:
    data = tiny_gguf(tensors=(), pairs=forge.PAIRS[:1], trailing=trailing)
    header = read(data)
    assert header.tensors == ()
    assert header.tensor_table_bytes == b""
    assert header.header_bytes == data[: len(data) - len(trailing)]


def test_says_where_the_tensor_table_lies() -> None:
    data = tiny_gguf()
    header = read(data)
    assert header.tensor_table_bytes.startswith(forge.string("a.weight"))
    assert header.metadata_end == data.index(forge.string("a.weight"))
    assert data[header.tensor_table_end : header.data_offset].strip(b"\0") == b""
    assert header.header_bytes == data[: header.data_offset]
    assert header.file_bytes == len(data)


# --- refusals --------------------------------------------------------------------------------

ONE = Tensor(name=b"t", dimensions=(8,), type=forge.TENSOR_F32, data=bytes(32))
ARCH = forge.text_pair("general.architecture", "llama")
ARCH_END = 24 + len(ARCH)


def with_pair(raw: bytes) -> bytes:
    """``raw`` as the second of two pairs, which then begins at ``ARCH_END``."""
    return tiny_gguf(pairs=(ARCH, raw))


def with_array(raw: bytes) -> bytes:
    return with_pair(forge.pair("k", forge.ARRAY, raw))


def with_tensor(**lies: object) -> bytes:
    """A file without metadata, whose one tensor begins at byte 24."""
    lying = dataclasses.replace(ONE, **lies)  # type: ignore[arg-type] # fields by name, each test right
    return tiny_gguf(pairs=(), tensors=(lying,))


def nested(depth: int) -> bytes:
    raw = forge.array(forge.U8, b"", 0)
    for _ in range(depth - 1):
        raw = forge.array(forge.ARRAY, raw, 1)
    return raw


K = "metadata[1] 'k'"
VALUE = ARCH_END + 8 + 1  # where the type of the pair 'k' is
AFTER_ARRAY_HEAD = len(with_array(forge.array(0, b"", 0))) - VALUE - 16

REFUSALS: dict[str, tuple[bytes, str]] = {
    "empty file": (
        b"",
        "file is truncated in the fixed part at byte 0 (expected 4 bytes, got 0)",
    ),
    "other magic": (
        tiny_gguf(magic=b"GGML"),
        "not a GGUF file in the fixed part at byte 0 (expected b'GGUF', got b'GGML')",
    ),
    "cut in the fixed part": (
        tiny_gguf()[:23],
        "file is truncated in the fixed part at byte 16 (expected 24 bytes, got 23)",
    ),
    "version 1": (
        tiny_gguf(version=1),
        "GGUF version is not supported in the fixed part at byte 4 (expected 2 or 3, got 1)",
    ),
    "version 0": (
        tiny_gguf(version=0),
        "GGUF version is not supported in the fixed part at byte 4 (expected 2 or 3, got 0)",
    ),
    "big-endian": (
        tiny_gguf(version=3 << 24),
        "file is big-endian in the fixed part at byte 4 (expected little-endian)",
    ),
    "2^60 tensors": (
        tiny_gguf(tensor_count=2**60),
        "too many tensors in the fixed part at byte 8 "
        "(expected at most 65536, got 1152921504606846976)",
    ),
    "2^60 pairs": (
        tiny_gguf(pair_count=2**60),
        "too many metadata pairs in the fixed part at byte 16 "
        "(expected at most 65536, got 1152921504606846976)",
    ),
    "more tensors than fit": (
        tiny_gguf(pairs=(), tensors=(), tensor_count=1, trailing=bytes(32)),
        "more tensors than the file can hold in the fixed part at byte 8 "
        "(expected at most 0, got 1)",
    ),
    "more pairs than fit": (
        tiny_gguf(pairs=(), tensors=(), pair_count=3, trailing=bytes(41)),
        "more metadata pairs than the file can hold in the fixed part at byte 16 "
        "(expected at most 2, got 3)",
    ),
    "empty key": (
        with_pair(forge.pair("", forge.U8, b"\0")),
        f"not a name in metadata[1] at byte {ARCH_END} (expected printable ASCII, got b'')",
    ),
    "key with a control character": (
        with_pair(forge.pair("a\nb", forge.U8, b"\0")),
        f"not a name in metadata[1] at byte {ARCH_END} (expected printable ASCII, got b'a\\nb')",
    ),
    "key that is not ASCII": (
        with_pair(forge.pair("é", forge.U8, b"\0")),
        f"not a name in metadata[1] at byte {ARCH_END} "
        "(expected printable ASCII, got b'\\xc3\\xa9')",
    ),
    "key too long": (
        with_pair(forge.pair("k" * 65_536, forge.U8, b"\0")),
        f"string is too long in metadata[1] at byte {ARCH_END} "
        "(expected at most 65535 bytes, got 65536)",
    ),
    "key beyond the file": (
        tiny_gguf(pairs=(forge.string("k", length=60_000) + bytes(9),)),
        f"file is truncated in metadata[0] at byte 24 "
        f"(expected 60032 bytes, got {len(tiny_gguf(pairs=(bytes(18),)))})",
    ),
    "duplicate key": (
        with_pair(ARCH),
        f"duplicate key in metadata[1] 'general.architecture' at byte {ARCH_END}",
    ),
    "unknown value type": (
        with_pair(forge.pair("k", 13, b"\0")),
        f"unknown value type in {K} at byte {VALUE} (expected 0 to 12, got 13)",
    ),
    "bool of 2": (
        with_pair(forge.pair("k", forge.BOOL, b"\2")),
        f"bool is neither 0 nor 1 in {K} at byte {VALUE + 4} (got 2)",
    ),
    "bool of 255 in an array": (
        with_array(forge.array(forge.BOOL, b"\0\1\xff", 3)),
        f"bool is neither 0 nor 1 in {K} at byte {VALUE + 4 + 12 + 2} (got 255)",
    ),
    "string that is not UTF-8": (
        with_pair(forge.pair("k", forge.STRING, forge.string(b"ab\xff"))),
        f"string is not UTF-8 in {K} at byte {VALUE + 4 + 8 + 2}",
    ),
    "string with NUL": (
        with_pair(forge.pair("k", forge.STRING, forge.string("é\0b"))),
        f"string contains NUL in {K} at byte {VALUE + 4 + 8 + 2}",
    ),
    "string of 2^64 - 1 bytes": (
        with_pair(forge.pair("k", forge.STRING, forge.string("", length=2**64 - 1))),
        f"string is too long in {K} at byte {VALUE + 4} "
        "(expected at most 16777216 bytes, got 18446744073709551615)",
    ),
    "array of an unknown type": (
        with_array(forge.array(99, b"", 0)),
        f"unknown value type in {K} at byte {VALUE + 4} (expected 0 to 12, got 99)",
    ),
    "array of 2^60 numbers": (
        with_array(forge.array(forge.U32, b"", 2**60)),
        f"array is longer than the file in {K} at byte {VALUE + 8} "
        f"(expected at most {AFTER_ARRAY_HEAD // 4} elements, "
        "got 1152921504606846976)",
    ),
    "array of 2^64 - 1 strings": (
        with_array(forge.array(forge.STRING, b"", 2**64 - 1)),
        f"array is longer than the file in {K} at byte {VALUE + 8} "
        f"(expected at most {AFTER_ARRAY_HEAD // 8} elements, "
        "got 18446744073709551615)",
    ),
    "string of 2^63 bytes in an array": (
        with_array(
            forge.array(forge.STRING, forge.string("ab") + forge.string("", length=2**63), 2)
        ),
        f"string is too long in {K} at byte {VALUE + 16 + 10} "
        "(expected at most 16777216 bytes, got 9223372036854775808)",
    ),
    "string in an array beyond the file": (
        with_array(forge.array(forge.STRING, forge.string("", length=5000), 1)),
        f"file is truncated in {K} at byte {VALUE + 16 + 8 + 5000} "
        f"(expected {VALUE + 16 + 8 + 5000} bytes, "
        f"got {len(with_array(forge.array(0, bytes(8), 8)))})",
    ),
    "arrays nested too deep": (
        with_array(nested(5)),
        f"arrays are nested too deep in {K} at byte {VALUE + 4 + 4 * 12} "
        "(expected at most 4 levels)",
    ),
    "alignment of another type": (
        with_pair(forge.pair("general.alignment", forge.U64, struct.pack("<Q", 32))),
        "value has the wrong type in metadata 'general.alignment' (expected uint32, got uint64)",
    ),
    **{
        f"alignment {number}": (
            with_pair(forge.u32_pair("general.alignment", number)),
            "not an alignment in metadata 'general.alignment' "
            f"(expected a power of two, 8 or more, got {number})",
        )
        for number in (0, 1, 4, 24, 33)
    },
    "empty tensor name": (
        with_tensor(name=b""),
        "not a name in tensors[0] at byte 24 (expected printable ASCII, got b'')",
    ),
    "tensor name too long": (
        with_tensor(name=b"n" * 65),
        "string is too long in tensors[0] at byte 24 (expected at most 64 bytes, got 65)",
    ),
    "duplicate tensor name": (
        tiny_gguf(pairs=(), tensors=(ONE, ONE)),
        "duplicate tensor name in tensors[1] 't' at byte 57",
    ),
    "no dimensions": (
        with_tensor(dimension_count=0),
        "wrong number of dimensions in tensors[0] 't' at byte 33 (expected 1 to 4, got 0)",
    ),
    "five dimensions": (
        with_tensor(dimensions=(1, 1, 1, 1, 1)),
        "wrong number of dimensions in tensors[0] 't' at byte 33 (expected 1 to 4, got 5)",
    ),
    "dimension of zero": (
        with_tensor(dimensions=(8, 0)),
        "impossible number of elements in tensors[0] 't' at byte 33 "
        "(expected 1 to 9223372036854775806, got 0)",
    ),
    "product that overflows": (
        with_tensor(dimensions=(2**32, 2**32)),
        "impossible number of elements in tensors[0] 't' at byte 33 "
        "(expected 1 to 9223372036854775806, got 18446744073709551616)",
    ),
    "unknown tensor type": (
        with_tensor(type=99),
        "unknown tensor type in tensors[0] 't' at byte 45 (got 99)",
    ),
    "withdrawn tensor type": (
        with_tensor(type=4),
        "unknown tensor type in tensors[0] 't' at byte 45 (got 4)",
    ),
    "row of broken blocks": (
        with_tensor(dimensions=(31, 32), type=forge.TENSOR_Q4_0),
        "rows are not whole blocks of Q4_0 in tensors[0] 't' at byte 53 "
        "(expected a multiple of 32 elements, got 31)",
    ),
    "offset that is not aligned": (
        with_tensor(offset=8),
        "tensor offset is not aligned in tensors[0] 't' at byte 49 "
        "(expected a multiple of 32, got 8)",
    ),
    "first tensor not at the start": (
        with_tensor(offset=32),
        "tensor data leaves a gap in tensors[0] 't' at byte 49 (expected offset 0, got 32)",
    ),
    "offset beyond everything": (
        with_tensor(offset=2**64 - 32),
        "tensor data leaves a gap in tensors[0] 't' at byte 49 "
        "(expected offset 0, got 18446744073709551584)",
    ),
    "overlapping tensors": (
        tiny_gguf(pairs=(), tensors=(ONE, dataclasses.replace(ONE, name=b"u", offset=0))),
        "tensor data overlaps the one before it in tensors[1] 'u' at byte 82 "
        "(expected offset 32, got 0)",
    ),
    "padding that is not zero": (
        tiny_gguf(pairs=(), tensors=(ONE,), padding=b"x"),
        "padding is not zero in the padding of the header at byte 57",
    ),
    "cut in the table": (
        tiny_gguf(pairs=(), tensors=(ONE, dataclasses.replace(ONE, name=b"u")))[:90],
        "file is truncated in the padding of the header at byte 90 (expected 96 bytes, got 90)",
    ),
    "cut in the data": (
        tiny_gguf(pairs=(), tensors=(ONE,))[:-1],
        "file is truncated in tensors[0] 't' at byte 64 (expected 96 bytes, got 95)",
    ),
    "data larger than the file": (
        with_tensor(dimensions=(2**40,)),
        "file is truncated in tensors[0] 't' at byte 64 (expected 4398046511168 bytes, got 96)",
    ),
    "bytes after the end": (
        tiny_gguf(pairs=(), tensors=(ONE,), trailing=b"\0"),
        "bytes after the end in the file at byte 96 (expected at most 96 bytes, got 97)",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refuses(case: str) -> None:
    data, message = REFUSALS[case]
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert str(caught.value) == message
    assert caught.value.kind is RefusalKind.MALFORMED


def test_refuses_a_source_that_gives_less_than_its_size() -> None:
    data = tiny_gguf()
    with pytest.raises(MalformedError) as caught:
        parse(WatchedSource(data[:30], size_bytes=len(data)))
    assert str(caught.value) == (
        f"file is truncated in the fixed part at byte 0 (expected {len(data)} bytes, got 30)"
    )


def test_refuses_every_truncation() -> None:
    data = tiny_gguf(pads_last=False)
    for size in range(len(data)):
        with pytest.raises(MalformedError):
            read(data[:size])


def _with_limits(monkeypatch: pytest.MonkeyPatch, **bounds: int) -> None:
    narrow = dataclasses.replace(LIMITS, **bounds)
    for module in (gguf_cursor, gguf_values):
        monkeypatch.setattr(module, "LIMITS", narrow)


def test_refuses_a_header_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    _with_limits(monkeypatch, gguf_header_bytes=300 * KIB)
    source = WatchedSource(with_pair(forge.text_pair("k", "x" * (300 * KIB))))
    with pytest.raises(MalformedError) as caught:
        parse(source)
    end = VALUE + 4 + 8 + 300 * KIB
    assert str(caught.value) == (
        f"header is too long in {K} at byte {VALUE + 4} "
        f"(expected at most 307200 bytes, got at least {end})"
    )
    assert sum(size for _, size in source.reads) <= 300 * KIB


def test_refuses_more_array_elements_in_all_arrays_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _with_limits(monkeypatch, gguf_array_elements=1000)
    inner = forge.array(forge.U8, bytes(300), 300)
    data = with_array(forge.array(forge.ARRAY, inner + inner, 2))
    with pytest.raises(MalformedError) as caught:
        read(data)
    assert str(caught.value) == (  # an inner array counts for 256
        f"too many array elements in {K} at byte {VALUE + 4 + 12 + 312 + 12} "
        "(expected at most 1000 in all arrays together, got 300 more after 812)"
    )


# --- facts -----------------------------------------------------------------------------------


def test_tells_the_facts_of_a_tiny_model() -> None:
    facts = model_facts(read(tiny_gguf()))
    assert (facts.architecture, facts.name, facts.context_length) == ("llama", "tiny", 64)
    assert facts.file_type is None
    assert facts.parameter_count == 8 + 96 + 3
    assert facts.bits_per_weight == 8 * (32 + 54 + 6) / 107
    assert facts.chat_template == forge.TEMPLATE
    assert facts.can_chat


@pytest.mark.parametrize(("drop", "has_tokenizer"), [(5, True), (4, False), (3, False)])
def test_cannot_chat_without_template_tokens_or_tokenizer(drop: int, has_tokenizer: bool) -> None:
    pairs = forge.PAIRS[:drop] + forge.PAIRS[drop + 1 :]
    facts = model_facts(read(tiny_gguf(pairs=pairs)))
    assert facts.has_tokenizer is has_tokenizer
    assert not facts.can_chat


def test_tells_no_bits_per_weight_of_a_file_without_tensors() -> None:
    facts = model_facts(read(tiny_gguf(tensors=())))
    assert facts.parameter_count == 0
    assert facts.bits_per_weight is None


@pytest.mark.parametrize(
    ("number", "label"), [(15, "Q4_K_M"), (3, "Q4_1"), (5, "unknown (5)"), (999, "unknown (999)")]
)
def test_names_the_file_type(number: int, label: str) -> None:
    data = tiny_gguf(pairs=(*forge.PAIRS, forge.u32_pair("general.file_type", number)))
    assert model_facts(read(data)).file_type == label


def _facts_of(*pairs: bytes) -> Callable[[], ModelFacts]:
    return lambda: model_facts(read(tiny_gguf(pairs=pairs)))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (_facts_of(), "architecture is missing in metadata 'general.architecture'"),
        (
            _facts_of(forge.text_pair("general.architecture", "")),
            "architecture is missing in metadata 'general.architecture'",
        ),
        (
            _facts_of(ARCH, forge.u32_pair("general.name", 1)),
            "value has the wrong type in metadata 'general.name' (expected string, got uint32)",
        ),
        (
            _facts_of(ARCH, forge.text_pair("general.languages", "en")),
            "value has the wrong type in metadata 'general.languages' "
            "(expected array of string, got string)",
        ),
        (
            _facts_of(ARCH, forge.pair("general.tags", forge.ARRAY, forge.array(0, b"\0", 1))),
            "value has the wrong type in metadata 'general.tags' "
            "(expected array of string, got array of uint8)",
        ),
        (
            _facts_of(ARCH, forge.pair("llama.context_length", forge.I32, b"\1\0\0\0")),
            "value has the wrong type in metadata 'llama.context_length' "
            "(expected unsigned integer, got int32)",
        ),
        (
            _facts_of(ARCH, forge.text_pair("tokenizer.chat_template", "x" * (256 * KIB + 1))),
            "chat template is too long in metadata 'tokenizer.chat_template' "
            "(expected at most 262144 bytes, got 262145)",
        ),
    ],
)
def test_refuses_facts(facts: Callable[[], ModelFacts], message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        facts()
    assert str(caught.value) == message


# --- any bytes -------------------------------------------------------------------------------

RICH = tiny_gguf(
    pairs=(
        *forge.PAIRS,
        forge.pair("flags", forge.ARRAY, forge.array(forge.BOOL, b"\0\1", 2)),
        forge.pair("deep", forge.ARRAY, nested(3)),
        forge.pair("f", forge.F64, struct.pack("<d", 2.5)),
    ),
    states_alignment=True,
    alignment=64,
)

CHANGES = st.lists(
    st.tuples(
        st.integers(0, len(RICH) - 1),
        st.sampled_from(["set", "insert", "delete", "u64"]),
        st.one_of(st.sampled_from([0, 1, 2, 8, 9, 255]), st.integers(0, 255)),
    ),
    min_size=1,
    max_size=4,
)


def _changed(changes: list[tuple[int, str, int]]) -> bytes:
    data = bytearray(RICH)
    for place, how, byte in changes:
        match how:
            case "set":
                data[place : place + 1] = bytes([byte])
            case "insert":
                data[place:place] = bytes([byte])
            case "delete":
                del data[place : place + byte]
            case "u64":
                data[place : place + 8] = struct.pack("<Q", (1 << (byte % 64)) - 1)
    return bytes(data)


def _read_all(data: bytes) -> None:
    source = WatchedSource(data)
    try:
        header = parse(source)
        everything(header)
        model_facts(header)
    except MalformedError:
        pass
    assert len(source.reads) <= MOST_READS


@settings(max_examples=400, deadline=None)
@given(CHANGES)
def test_mutated_headers_are_read_or_malformed(changes: list[tuple[int, str, int]]) -> None:
    _read_all(_changed(changes))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_after_the_version_are_read_or_malformed(rest: bytes) -> None:
    _read_all(b"GGUF\3\0\0\0" + rest)
