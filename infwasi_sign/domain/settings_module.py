"""The core module of a config component: constant data, and a function that says where it lies.

It is written here byte by byte, so that no prompt can be more than data, and it has one byte form,
so that a reader can tell it from every other module.
"""

from typing import Final

from infwasi_sign.domain.interfaces import SETTINGS_INTERFACE
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.settings_layout import from_memory_image, memory_image
from infwasi_sign.domain.wasm_binary import CORE_VERSION, MAGIC, WasmReader, encode_u32
from infwasi_sign.errors import MalformedError

_BASE: Final = 1024  # where LLVM's linker begins too: a null pointer never hits the settings
_BASE_CONST: Final = b"\x41\x80\x08\x0b"  # i32.const 1024, end (signed LEB128)
_PAGE_BYTES: Final = 65_536

# Section ids of the core specification, section 5.5.2.
_TYPE, _FUNCTION, _MEMORY, _EXPORT, _CODE, _DATA = 1, 3, 5, 7, 10, 11
_FUNC_KIND, _MEMORY_KIND = b"\x00", b"\x02"  # section 5.5.10


def settings_module(settings: Settings) -> bytes:
    """The core module for the world `config-component`, before its type is embedded.

    Its memory is exactly as large as the settings need and cannot grow. `cabi_realloc` traps:
    nobody has a reason to allocate in it.
    """
    image = memory_image(settings, _BASE)
    pages = encode_u32((_BASE + len(image) + _PAGE_BYTES - 1) // _PAGE_BYTES)
    return b"".join(
        (
            MAGIC,
            CORE_VERSION,
            # () -> i32 for get, (i32, i32, i32, i32) -> i32 for cabi_realloc
            _section(_TYPE, b"\x60\x00\x01\x7f", b"\x60\x04\x7f\x7f\x7f\x7f\x01\x7f"),
            _section(_FUNCTION, b"\x00", b"\x01"),
            _section(_MEMORY, b"\x01" + pages + pages),
            _section(
                _EXPORT,
                _sized(b"memory") + _MEMORY_KIND + b"\x00",
                _sized(f"{SETTINGS_INTERFACE}#get".encode()) + _FUNC_KIND + b"\x00",
                _sized(b"cabi_realloc") + _FUNC_KIND + b"\x01",
            ),
            _section(_CODE, _sized(b"\x00" + _BASE_CONST), _sized(b"\x00\x00\x0b")),
            _section(_DATA, b"\x00" + _BASE_CONST + _sized(image)),
        )
    )


def read_settings_module(module: bytes) -> Settings:
    """The settings that `settings_module` put into ``module``.

    Raises:
        MalformedError: bytes that `settings_module` does not make.
        RefusedError: kind `limit`; a value is out of range.
    """
    reader = WasmReader(module, len(MAGIC) + len(CORE_VERSION), len(module))
    data_sections = [section for section in reader.sections() if section.id == _DATA]
    if len(data_sections) != 1:
        raise _not_ours(f"{len(data_sections)} data sections")
    reader = WasmReader(module, data_sections[0].start, data_sections[0].end)
    if reader.take(2 + len(_BASE_CONST)) != b"\x01\x00" + _BASE_CONST:
        raise _not_ours("another kind of data segment")
    settings = from_memory_image(reader.take(reader.u32()), _BASE)
    if settings_module(settings) != module:
        raise _not_ours("other bytes")
    return settings


def _not_ours(got: str) -> MalformedError:
    return MalformedError(
        "not the core module of a config component",
        where="component",
        expected="constant settings and nothing else",
        got=got,
    )


def _sized(content: bytes) -> bytes:
    return encode_u32(len(content)) + content


def _section(section_id: int, *items: bytes) -> bytes:
    return bytes((section_id,)) + _sized(encode_u32(len(items)) + b"".join(items))
