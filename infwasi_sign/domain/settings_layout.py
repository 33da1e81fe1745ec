"""The settings as the guest finds them in memory: the record `configuration`, then its texts.

The canonical ABI (component-model, CanonicalABI.md, "Storing") fixes the record; where the texts
lie is our choice, and there is just one: in the order of the fields, without gaps, the list of
stop strings aligned to 4. So an image has one byte form and can be read back from a component.
"""

import struct
from typing import Final

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.errors import MalformedError

_WHERE: Final = "settings image"

# record configuration, little-endian:
#   model (pointer, length) | system-prompt (tag, 3 padding, pointer, length) | default-prompt |
#   context-tokens | max-tokens | temperature | top-k | top-p | min-p | repeat-penalty |
#   seed (tag, 3 padding, value) | stop (pointer, count) | the four limits
_RECORD: Final = struct.Struct("<II B3xII B3xII I I fIfff B3xI II IIII")
_TEXT: Final = struct.Struct("<II")
ALIGNMENT: Final = 4  # of the record: its widest field


class _Image:
    """The bytes laid out so far, and where the next ones will lie."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.content = bytearray(_RECORD.size)

    def place(self, data: bytes) -> tuple[int, int]:
        address = self.base + len(self.content)
        self.content += data
        return address, len(data)

    def place_text(self, text: str) -> tuple[int, int]:
        return self.place(text.encode())

    def place_option(self, text: str | None) -> tuple[int, int, int]:
        # An absent payload is zero bytes, so that the image has one form.
        return (0, 0, 0) if text is None else (1, *self.place_text(text))

    def place_list(self, texts: tuple[str, ...]) -> tuple[int, int]:
        self.content += bytes(-len(self.content) % ALIGNMENT)
        at = len(self.content)
        self.content += bytes(_TEXT.size * len(texts))
        for index, text in enumerate(texts):
            _TEXT.pack_into(self.content, at + index * _TEXT.size, *self.place_text(text))
        return self.base + at, len(texts)


def memory_image(settings: Settings, base: int) -> bytes:
    """The bytes that make `get() = base` return ``settings``, to be loaded at address ``base``.

    ``base`` is a multiple of 4 and leaves room for the image below 2^32.
    """
    image = _Image(base)
    model = image.place_text(settings.model)
    system_prompt = image.place_option(settings.system_prompt)
    default_prompt = image.place_option(settings.default_prompt)
    stop = image.place_list(settings.stop)
    limits = settings.limits
    _RECORD.pack_into(
        image.content,
        0,
        *model,
        *system_prompt,
        *default_prompt,
        settings.context_tokens,
        settings.max_tokens,
        settings.temperature,
        settings.top_k,
        settings.top_p,
        settings.min_p,
        settings.repeat_penalty,
        int(settings.seed is not None),
        settings.seed or 0,
        *stop,
        limits.memory_bytes,
        limits.prompt_bytes,
        limits.output_bytes,
        limits.wall_clock_seconds,
    )
    return bytes(image.content)


def from_memory_image(image: bytes, base: int) -> Settings:
    """The settings that `memory_image` laid out; whatever else those bytes are is refused.

    Raises:
        MalformedError: bytes that `memory_image` does not make.
        RefusedError: kind `limit`; a value is out of range.
    """
    if base % ALIGNMENT or base < 0 or base + len(image) > 2**32:
        raise MalformedError("settings lie outside of memory", where=_WHERE, got=hex(base))
    if len(image) < _RECORD.size:
        raise MalformedError(
            "settings are cut off",
            where=_WHERE,
            expected=f"at least {_RECORD.size} bytes",
            got=str(len(image)),
        )
    fields = _RECORD.unpack_from(image)
    model, system_prompt, default_prompt = fields[0:2], fields[2:5], fields[5:8]
    scalars, seed, stop, limits = fields[8:15], fields[15:17], fields[17:19], fields[19:23]
    settings = Settings(
        model=_read_text(image, base, *model),
        system_prompt=_read_option(image, base, *system_prompt),
        default_prompt=_read_option(image, base, *default_prompt),
        context_tokens=scalars[0],
        max_tokens=scalars[1],
        temperature=scalars[2],
        top_k=scalars[3],
        top_p=scalars[4],
        min_p=scalars[5],
        repeat_penalty=scalars[6],
        seed=seed[1] if seed[0] else None,
        stop=_read_list(image, base, *stop),
        limits=GuestLimits(
            memory_bytes=limits[0],
            prompt_bytes=limits[1],
            output_bytes=limits[2],
            wall_clock_seconds=limits[3],
        ),
    )
    # Tags above 1, padding, gaps, overlaps, a second order, more decimals: none of it comes back.
    if memory_image(settings, base) != image:
        raise MalformedError("settings are not in their one byte form", where=_WHERE)
    return settings


def _slice(image: bytes, base: int, address: int, size: int) -> bytes:
    start = address - base
    if start < _RECORD.size or start + size > len(image):
        raise MalformedError(
            "text lies outside of the settings",
            where=_WHERE,
            expected=f"{base + _RECORD.size} to {base + len(image)}",
            got=f"{address} to {address + size}",
        )
    return image[start : start + size]


def _read_text(image: bytes, base: int, address: int, size: int) -> str:
    try:
        return _slice(image, base, address, size).decode()
    except UnicodeDecodeError as e:
        raise MalformedError(
            "text is not UTF-8", where=_WHERE, got=f"at {address + e.start}"
        ) from e


def _read_option(image: bytes, base: int, tag: int, address: int, size: int) -> str | None:
    return _read_text(image, base, address, size) if tag else None


def _read_list(image: bytes, base: int, address: int, count: int) -> tuple[str, ...]:
    if count > LIMITS.stop_strings:
        raise MalformedError(
            "too many stop strings",
            where=_WHERE,
            expected=f"at most {LIMITS.stop_strings}",
            got=str(count),
        )
    pairs = _slice(image, base, address, count * _TEXT.size)
    return tuple(_read_text(image, base, *pair) for pair in _TEXT.iter_unpack(pairs))
