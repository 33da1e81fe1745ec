"""One generation behind wasi:nn: what a guest may ask, what it may use, what it gets back.

The convention is written down in docs/wasi-nn.md. Nothing here knows wasmtime or llama.cpp.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Final, NoReturn, TypeAlias

from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Role, Summary
from infwasi_sign.domain.limits import KIB, LIMITS
from infwasi_sign.domain.settings import SAMPLING_MAX, SAMPLING_MIN, SEED_MAX
from infwasi_sign.domain.text import PieceJoiner
from infwasi_sign.errors import InfwasiError, RefusalKind, RefusedError
from infwasi_sign.ports import GuestGrants, LoadedModel, StopFlag, TokenStream
from infwasi_sign.quick_dataclass import dataclass

OPTIONS_BYTES: Final = 64 * KIB  # 16 stop strings of 256 bytes, escaped, are below 25 KiB
ROLES: Final = {"prompt": Role.USER} | {str(role): role for role in Role}

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Inputs: TypeAlias = Sequence[tuple[str, bytes]]


class NnError(Exception):
    """What becomes a ``wasi:nn`` error resource: a code of that interface and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        self.sentence = sentence
        super().__init__(f"{code}: {sentence}")


def limit_error(what: str, where: str, expected: str, got: str | None = None) -> RefusedError:
    """A limit that the host holds was reached."""
    return RefusedError(RefusalKind.LIMIT, what, where=where, expected=expected, got=got)


# --- options ---------------------------------------------------------------------------------


def _number(low: float, high: float) -> Callable[[str, Json], float]:
    def check(key: str, value: Json) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NnError("invalid-argument", f"option {key} is not a number")
        if not low <= value <= high:
            raise NnError("invalid-argument", f"option {key} is not between {low:g} and {high:g}")
        return float(value)

    return check


def _integer(low: int, high: int) -> Callable[[str, Json], int]:
    def check(key: str, value: Json) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise NnError("invalid-argument", f"option {key} is not an integer")
        if not low <= value <= high:
            raise NnError("invalid-argument", f"option {key} is not between {low} and {high}")
        return value

    return check


def _stop_strings(key: str, value: Json) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > LIMITS.stop_strings:
        raise NnError(
            "invalid-argument", f"option {key} is not a list of at most {LIMITS.stop_strings}"
        )
    texts = tuple(text for text in value if isinstance(text, str))
    fits = all(
        1 <= len(text.encode("utf-8", "surrogatepass")) <= LIMITS.stop_string_bytes
        for text in texts
    )
    if len(texts) != len(value) or not fits:
        raise NnError(
            "invalid-argument",
            f"option {key} holds more than strings of 1 to {LIMITS.stop_string_bytes} bytes",
        )
    return texts


_N_PREDICT: Final = _integer(1, 2**31 - 1)
_TEMP: Final = _number(0, SAMPLING_MAX)
_TOP_K: Final = _integer(0, 2**31 - 1)
_SHARE: Final = _number(0, 1)
_PENALTY: Final = _number(SAMPLING_MIN, SAMPLING_MAX)
_SEED: Final = _integer(0, SEED_MAX)
_KEYS: Final = frozenset(
    ("n-predict", "temp", "top-k", "top-p", "min-p", "repeat-penalty", "seed", "stop")
)


def parse_options(data: bytes, *, max_tokens: int, seed: int) -> GenerationOptions:
    """The options of a guest; what it leaves out is off.

    ``max_tokens`` is the most it may ask for; ``seed`` is used where it names none.

    Raises:
        NnError: `invalid-argument`; not JSON, an unknown or doubled key, a wrong type or range.
    """
    given = _object(data)
    unknown = sorted(given.keys() - _KEYS)
    if unknown:
        raise NnError("invalid-argument", f"unknown option {unknown[0][:40]!r}")
    asked = _N_PREDICT("n-predict", given.get("n-predict", max_tokens))
    return GenerationOptions(
        max_tokens=min(asked, max_tokens),
        temperature=_TEMP("temp", given.get("temp", 0.0)),
        top_k=_TOP_K("top-k", given.get("top-k", 0)),
        top_p=_SHARE("top-p", given.get("top-p", 1.0)),
        min_p=_SHARE("min-p", given.get("min-p", 0.0)),
        repeat_penalty=_PENALTY("repeat-penalty", given.get("repeat-penalty", 1.0)),
        seed=_SEED("seed", given.get("seed", seed)),
        stop=_stop_strings("stop", given.get("stop", [])),
    )


def _object(data: bytes) -> Mapping[str, Json]:
    def unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise NnError("invalid-argument", "options hold a key twice")
        return found

    def finite(text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise NnError("invalid-argument", "options hold a number that is too large")
        return value

    def refuse(text: str) -> NoReturn:
        raise NnError("invalid-argument", f"options hold {text}")

    if len(data) > OPTIONS_BYTES:
        raise NnError("too-large", f"options are longer than {OPTIONS_BYTES} bytes")
    try:
        parsed: Json = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=unique,
            parse_float=finite,
            parse_constant=refuse,
        )
    except (ValueError, RecursionError) as e:
        raise NnError("invalid-argument", "options are not JSON in UTF-8") from e
    if not isinstance(parsed, dict):
        raise NnError("invalid-argument", "options are not a JSON object")
    return parsed


# --- what a request may use ------------------------------------------------------------------


@dataclass(kw_only=True, slots=True)
class Ledger:
    """What one request may use and has used, over all its generations.

    ``cause`` is why the host said no last; a guest that then gives up gave up because of it.
    """

    grants: GuestGrants
    stop: StopFlag
    deadline: float  # of time.monotonic
    input_tokens: int = 0
    output_tokens: int = 0
    reserved_tokens: int = 0
    busy: set[int] = field(default_factory=set)  # id() of the models that generate now
    cause: InfwasiError | None = None

    def check_deadline(self) -> None:
        """Raise when the wall clock of the request has run out."""
        if time.monotonic() >= self.deadline:
            raise self.deadline_error()

    def deadline_error(self) -> RefusedError:
        """The refusal that says how long the request was allowed to run."""
        seconds = self.grants.limits.wall_clock_seconds
        return limit_error("run took too long", "limits.wall-clock-seconds", f"at most {seconds} s")

    def refuse(self, code: str, cause: InfwasiError) -> NoReturn:
        """Answer the guest with an error and remember why."""
        self.cause = cause
        raise NnError(code, cause.sentence()) from cause

    def total(self, reason: FinishReason) -> Summary:
        """The tokens of the whole request, with ``reason``."""
        return Summary(
            finish_reason=reason, input_tokens=self.input_tokens, output_tokens=self.output_tokens
        )


# --- a generation ----------------------------------------------------------------------------


class Generation:
    """A token stream turned into pieces of whole characters, with its bookkeeping.

    Its tokens are reserved from the ledger at the start and settled at the end, so all
    generations of a request together stay within the request's ``max_tokens``.
    """

    def __init__(self, ledger: Ledger, model: LoadedModel, inputs: Inputs) -> None:
        self._ledger = ledger
        self._model = model  # kept, so that its id() stays its own
        self.summary: Summary | None = None
        if id(model) in ledger.busy:
            raise NnError("runtime-error", "another generation of this model is running")
        messages, options = _request(inputs, ledger)
        self._joiner = PieceJoiner(options.stop)
        try:
            self._stream: TokenStream = model.start(messages, options)
        except RefusedError as e:
            ledger.refuse("too-large", e)
        except InfwasiError as e:
            ledger.refuse("runtime-error", e)
        self._reserved = options.max_tokens
        ledger.reserved_tokens += self._reserved
        ledger.busy.add(id(model))
        self.input_tokens = self._stream.summary().input_tokens
        ledger.input_tokens += self.input_tokens

    def next_text(self) -> str | None:
        """The next piece of text, never empty; ``None`` at the end, when ``summary`` is there."""
        ledger, joiner = self._ledger, self._joiner
        while self.summary is None:
            if ledger.stop.reason() is not None:
                self._finish(FinishReason.CANCELLED)
                return None
            ledger.check_deadline()
            try:
                piece = self._stream.next_piece()
            except InfwasiError as e:
                self.close()
                ledger.refuse("runtime-error", e)
            if piece is None:
                text = joiner.flush()
                reason = FinishReason.STOP if joiner.finished else None
                self._finish(reason)
            else:
                text = joiner.push(piece)
                if joiner.finished:
                    self._finish(FinishReason.STOP)
            if text:
                return text
        return None

    def close(self) -> None:
        """Free the stream and settle its tokens; may be called at any time, more than once."""
        if self.summary is None:
            self._finish(FinishReason.CANCELLED)

    def _finish(self, reason: FinishReason | None) -> None:
        ended = self._stream.summary()
        self.summary = Summary(
            finish_reason=ended.finish_reason if reason is None else reason,
            input_tokens=ended.input_tokens,
            output_tokens=ended.output_tokens,
        )
        self._ledger.reserved_tokens -= self._reserved
        self._ledger.output_tokens += ended.output_tokens
        self._ledger.busy.discard(id(self._model))
        self._stream.close()


def _request(inputs: Inputs, ledger: Ledger) -> tuple[tuple[Message, ...], GenerationOptions]:
    messages: list[Message] = []
    options: bytes | None = None
    asked_bytes = 0
    for name, data in inputs:
        if name == "options":
            if options is not None:
                raise NnError("invalid-argument", "input options is given twice")
            options = data
            continue
        role = ROLES.get(name)
        if role is None:
            raise NnError("invalid-argument", f"unknown input {name[:40]!r}")
        asked_bytes += 0 if role is Role.SYSTEM else len(data)
        try:
            messages.append(Message(role=role, content=data.decode("utf-8")))
        except UnicodeDecodeError as e:
            raise NnError("invalid-argument", f"input {name} is not UTF-8") from e
    if not messages:
        raise NnError("invalid-argument", "no message is given")
    allowed_bytes = ledger.grants.limits.prompt_bytes
    if asked_bytes > allowed_bytes:
        ledger.refuse("too-large", prompt_limit_error(asked_bytes, allowed_bytes))
    left = ledger.grants.max_tokens - ledger.output_tokens - ledger.reserved_tokens
    if left < 1:
        at_most = f"at most {ledger.grants.max_tokens} tokens in all generations"
        ledger.refuse("too-large", limit_error("no tokens are left", "max-tokens", at_most))
    parsed = parse_options(options or b"{}", max_tokens=left, seed=ledger.grants.seed)
    return tuple(messages), parsed


def prompt_limit_error(got_bytes: int, allowed_bytes: int) -> RefusedError:
    """The prompt is longer than what was granted."""
    return limit_error(
        "prompt is too long",
        "limits.prompt-bytes",
        f"at most {allowed_bytes} bytes",
        f"{got_bytes} bytes",
    )
