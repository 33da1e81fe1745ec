"""The settings that are baked into the config component; the signed half of a prompt."""

import hashlib
import math
from typing import Final, TypeAlias

import rfc8785

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass

_U32_MAX: Final = 2**32 - 1
_I32_MAX: Final = 2**31 - 1  # llama.cpp keeps top-k in an int32
SEED_MAX: Final = 2**32 - 2  # llama.h: LLAMA_DEFAULT_SEED 0xFFFFFFFF asks for a random seed
_WASM_PAGE: Final = 65_536  # WebAssembly core specification, section 4.2.8

# Below 16 the f32 neighbours lie less than a millionth apart, so that six decimals survive the
# guest's f32 and come back as the same decimal; nobody samples above 10.
SAMPLING_MAX: Final = 10.0
SAMPLING_MIN: Final = 0.000_001  # the repeat penalty is a divisor

_JsonValue: TypeAlias = "str | int | float | tuple[str, ...] | dict[str, int]"


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestLimits:
    """What the package asks the host to grant; the smallest of policy, package and caller wins.

    Raises:
        MalformedError: a value is not an integer.
        RefusedError: kind `limit`; a value is out of range.
    """

    memory_bytes: int
    prompt_bytes: int
    output_bytes: int
    wall_clock_seconds: int

    def __post_init__(self) -> None:
        _check_integer("limits.memoryBytes", self.memory_bytes, _WASM_PAGE, _U32_MAX)
        _check_integer("limits.promptBytes", self.prompt_bytes, 1, _U32_MAX)
        _check_integer("limits.outputBytes", self.output_bytes, 1, _U32_MAX)
        _check_integer("limits.wallClockSeconds", self.wall_clock_seconds, 1, _U32_MAX)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What `infwasi:llm/settings.get` returns to the guest; one that exists is valid.

    Floats are kept to six decimals, so that the f32 of the guest and the decimal of the manifest
    name the same number.

    Raises:
        MalformedError: a value has the wrong type, or a text is not Unicode.
        RefusedError: kind `limit`; a value is out of range, or a text or all together too long.
    """

    model: str
    system_prompt: str | None
    default_prompt: str | None
    context_tokens: int
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    seed: int | None
    stop: tuple[str, ...]
    limits: GuestLimits

    def __post_init__(self) -> None:
        self._check_texts()
        _check_integer("contextTokens", self.context_tokens, 1, LIMITS.context_tokens)
        _check_integer("maxTokens", self.max_tokens, 1, LIMITS.context_tokens)
        _check_integer("topK", self.top_k, 0, _I32_MAX)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0, SEED_MAX)
        for name, where, low, high in (
            ("temperature", "temperature", 0.0, SAMPLING_MAX),
            ("top_p", "topP", 0.0, 1.0),
            ("min_p", "minP", 0.0, 1.0),
            ("repeat_penalty", "repeatPenalty", SAMPLING_MIN, SAMPLING_MAX),
        ):
            # The one place that writes to a frozen value: before anybody has seen it.
            object.__setattr__(self, name, _six_decimals(where, getattr(self, name), low, high))

    def _check_texts(self) -> None:
        model_bytes = _check_text("model", self.model, LIMITS.file_name_bytes)
        if model_bytes == 0:
            raise _out_of_range("model", "at least 1 byte", "0")
        total_bytes = model_bytes
        for where, prompt in (
            ("systemPrompt", self.system_prompt),
            ("defaultPrompt", self.default_prompt),
        ):
            if prompt is not None:
                total_bytes += _check_text(where, prompt, LIMITS.settings_bytes)
        _check_type("stop", self.stop, tuple)
        if len(self.stop) > LIMITS.stop_strings:
            raise _out_of_range("stop", f"at most {LIMITS.stop_strings}", str(len(self.stop)))
        for index, text in enumerate(self.stop):
            where = f"stop[{index}]"
            size_bytes = _check_text(where, text, LIMITS.stop_string_bytes)
            if size_bytes == 0:
                raise _out_of_range(where, "at least 1 byte", "0")
            total_bytes += size_bytes
        if total_bytes > LIMITS.settings_bytes:
            raise _out_of_range("texts", f"at most {LIMITS.settings_bytes} bytes", str(total_bytes))

    def to_json(self) -> bytes:
        """The settings as canonical JSON, camelCase keys, what is ``None`` left out.

        Source: RFC 8785.
        """
        document: dict[str, _JsonValue] = {
            "contextTokens": self.context_tokens,
            "limits": {
                "memoryBytes": self.limits.memory_bytes,
                "outputBytes": self.limits.output_bytes,
                "promptBytes": self.limits.prompt_bytes,
                "wallClockSeconds": self.limits.wall_clock_seconds,
            },
            "maxTokens": self.max_tokens,
            "minP": self.min_p,
            "model": self.model,
            "repeatPenalty": self.repeat_penalty,
            "stop": self.stop,
            "temperature": self.temperature,
            "topK": self.top_k,
            "topP": self.top_p,
        }
        if self.system_prompt is not None:
            document["systemPrompt"] = self.system_prompt
        if self.default_prompt is not None:
            document["defaultPrompt"] = self.default_prompt
        if self.seed is not None:
            document["seed"] = self.seed
        return rfc8785.dumps(document)

    def facts(self) -> dict[str, str]:
        """What a bill of materials says of the settings, as text: `none` where nothing is set.

        Prompts are told by their SHA-256 and their size, for they may be what somebody wants to
        keep; the decimals have no zeros at their end.
        """
        found = {
            "model": self.model,
            "context-tokens": str(self.context_tokens),
            "max-tokens": str(self.max_tokens),
            "temperature": _decimal(self.temperature),
            "top-k": str(self.top_k),
            "top-p": _decimal(self.top_p),
            "min-p": _decimal(self.min_p),
            "repeat-penalty": _decimal(self.repeat_penalty),
            "seed": "none" if self.seed is None else str(self.seed),
            "stop": rfc8785.dumps(self.stop).decode() if self.stop else "none",
            "limit:memory-bytes": str(self.limits.memory_bytes),
            "limit:prompt-bytes": str(self.limits.prompt_bytes),
            "limit:output-bytes": str(self.limits.output_bytes),
            "limit:wall-clock-seconds": str(self.limits.wall_clock_seconds),
        }
        for name, prompt in (
            ("system-prompt", self.system_prompt),
            ("default-prompt", self.default_prompt),
        ):
            data = None if prompt is None else prompt.encode()
            digest = "none" if data is None else hashlib.sha256(data).hexdigest()
            found[f"{name}:sha256"] = digest
            found[f"{name}:size"] = str(len(data or b""))
        return found

    def digest(self) -> Digest:
        """SHA-256 of `to_json`; what the manifest states."""
        return Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(self.to_json()).hexdigest())


def _decimal(value: float) -> str:
    return f"{value:.6f}".rstrip("0").removesuffix(".")


def _check_type(where: str, value: object, wanted: type) -> None:
    # bool is an int to Python, and to nobody else.
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise MalformedError(
            "wrong type",
            where=f"settings.{where}",
            expected=wanted.__name__,
            got=type(value).__name__,
        )


def _out_of_range(where: str, expected: str, got: str) -> RefusedError:
    return RefusedError(
        RefusalKind.LIMIT,
        "setting out of range",
        where=f"settings.{where}",
        expected=expected,
        got=got,
    )


def _check_integer(where: str, value: int, low: int, high: int) -> None:
    _check_type(where, value, int)
    if not low <= value <= high:
        raise _out_of_range(where, f"{low} to {high}", str(value)[:40])


def _check_text(where: str, value: str, limit_bytes: int) -> int:
    """The size of ``value`` in bytes of UTF-8, once it is known to have one within the limit."""
    _check_type(where, value, str)
    try:
        size_bytes = len(value.encode())
    except UnicodeEncodeError as e:
        raise MalformedError(
            "text has a lone surrogate", where=f"settings.{where}", got=f"at character {e.start}"
        ) from e
    if size_bytes > limit_bytes:
        raise _out_of_range(where, f"at most {limit_bytes} bytes", str(size_bytes))
    return size_bytes


def _six_decimals(where: str, value: object, low: float, high: float) -> float:
    if isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= high else math.inf
    if not isinstance(value, float):
        raise MalformedError(
            "wrong type", where=f"settings.{where}", expected="float", got=type(value).__name__
        )
    # Adding zero turns -0.0, which JSON cannot name, into 0.0.
    rounded = round(value, 6) + 0.0
    # The rounded value, because the f32 of the lower bound lies below it. NaN fails both.
    if not low <= rounded <= high:
        raise _out_of_range(where, f"{low:g} to {high:g}", repr(value))
    return rounded
