"""The host against one guest that misbehaves in many ways (tests/guests/probe.c)."""

import gc
import json
import re
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import wasmtime
from wasmtime.component import Component

from infwasi_sign.adapters import (
    nn_interface,
    wasm_code,
    wasm_host,
    wasm_limits,
    wasm_settings,
)
from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.adapters.nn_generation import NnError, parse_options
from infwasi_sign.adapters.wasm_host import OFFERED, WasmtimeHost
from infwasi_sign.adapters.wasm_types import interfaces
from infwasi_sign.domain.chat import FinishReason, GenerationOptions, Message, Role, Summary
from infwasi_sign.domain.limits import LIMITS as BOUNDS
from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.errors import (
    GuestError,
    InfwasiError,
    MalformedError,
    RefusalKind,
    RefusedError,
    UndecidedError,
)
from infwasi_sign.ports import GuestGrants, StopReason
from tests.fakes import FakeModel, FakeStopFlag
from tests.guests import component_from_wat, probe

LIMITS = GuestLimits(
    memory_bytes=4 * 2**20, prompt_bytes=100_000, output_bytes=10_000, wall_clock_seconds=20
)
HOST = WasmtimeHost()


def grants(model: FakeModel, **changes: int) -> GuestGrants:
    limits = replace(LIMITS, **{k: v for k, v in changes.items() if hasattr(LIMITS, k)})
    return GuestGrants(
        imports=OFFERED,
        models={"model": model},
        limits=limits,
        max_tokens=changes.get("max_tokens", 100),
        seed=changes.get("seed", 3),
    )


def run(
    prompt: str | None,
    model: FakeModel | None = None,
    stop: FakeStopFlag | None = None,
    **changes: int,
) -> tuple[str, Summary]:
    model = FakeModel() if model is None else model
    pieces: list[str] = []
    summary = HOST.run(
        probe(), grants(model, **changes), prompt, stop or FakeStopFlag(), pieces.append
    )
    assert all(stream.is_closed for stream in model.streams)
    return "".join(pieces), summary


# --- answers


def test_streams_the_answer_and_counts_tokens() -> None:
    text, summary = run("sone two three")
    assert text == "one two three"
    assert summary == Summary(finish_reason=FinishReason.STOP, input_tokens=5, output_tokens=3)


def test_gives_pieces_as_they_come() -> None:
    pieces: list[str] = []
    model = FakeModel(pieces=[b"a", b"\xf0\x9f", b"", b"\x98\x80", b"b"])
    HOST.run(probe(), grants(model), "shi", FakeStopFlag(), pieces.append)
    assert pieces == ["a", "\U0001f600", "b"]


def test_uses_the_default_prompt_of_the_guest_when_there_is_none() -> None:
    assert run(None)[0] == "hello"


def test_passes_messages_and_options_to_the_model() -> None:
    model = FakeModel(pieces=[b"one", b" EN", b"D", b"x"])
    text, summary = run("aquestion", model)
    messages, options = model.asked[0]
    assert messages == (
        Message(role=Role.SYSTEM, content="be brief"),
        Message(role=Role.USER, content="question"),
        Message(role=Role.ASSISTANT, content="ok"),
    )
    assert options == GenerationOptions(
        max_tokens=3,
        temperature=0.5,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repeat_penalty=1.0,
        seed=7,
        stop=("END",),
    )
    assert (text, summary.finish_reason) == ("one ", FinishReason.STOP)


def test_the_guests_own_seed_is_used_and_the_requests_where_it_names_none() -> None:
    model = FakeModel()
    run("aquestion", model, seed=11)
    assert model.asked[0][1].seed == 7
    assert parse_options(b"{}", max_tokens=1, seed=11).seed == 11


def test_ends_at_the_tokens_granted() -> None:
    text, summary = run("sone two three", max_tokens=2)
    assert text == "one two"
    assert summary.finish_reason is FinishReason.LENGTH


def test_counts_tokens_over_all_generations() -> None:
    _, summary = run("qone two")
    assert (summary.input_tokens, summary.output_tokens) == (10, 4)
    model = FakeModel()
    assert run("qone two", model, max_tokens=3)[0] == "one"


def test_repeats_the_summary_at_every_further_compute() -> None:
    assert run("zone")[0] == ""


def test_runs_the_stock_app() -> None:
    settings = Settings(
        model="model",
        system_prompt="Be brief.",
        default_prompt="Hello?",
        context_tokens=512,
        max_tokens=50,
        temperature=0.25,
        top_k=40,
        top_p=0.5,
        min_p=0.125,
        repeat_penalty=1.5,
        seed=7,
        stop=("END", '\n"x'),
        limits=LIMITS,
    )
    app = WasmToolsComposer().compose(settings, None).app
    model = FakeModel(pieces=[b"Hi", b" \xe2\x82", b"\xac EN", b"D no"])
    pieces: list[str] = []
    summary = HOST.run(app, grants(model), None, FakeStopFlag(), pieces.append)
    messages, options = model.asked[0]
    assert [(m.role, m.content) for m in messages] == [
        (Role.SYSTEM, "Be brief."),
        (Role.USER, "Hello?"),
    ]
    assert options == GenerationOptions(
        max_tokens=50,
        temperature=0.25,
        top_k=40,
        top_p=0.5,
        min_p=0.125,
        repeat_penalty=1.5,
        seed=7,
        stop=("END", '\n"x'),
    )
    assert "".join(pieces) == "Hi € "
    assert summary == Summary(finish_reason=FinishReason.STOP, input_tokens=5, output_tokens=4)


# --- wasi:nn errors


@pytest.mark.parametrize(
    ("prompt", "case", "sentence"),
    [
        ("nother", "not-found", "no model named 'other'"),
        ("n../model.gguf", "not-found", "no model named '../model.gguf'"),
        ("b/etc/passwd", "security", "models are loaded by name only"),
        ("bGGUF", "unsupported", "models are loaded by name only"),
        ("rtext", "invalid-argument", "unknown input 'tool'"),
        ("N", "invalid-argument", "no message is given"),
        ("y", "invalid-argument", "input 'user' is not U8 with its length as dimension"),
        ("D", "invalid-argument", "input 'user' is not U8 with its length as dimension"),
        ("u", "invalid-argument", "input user is not UTF-8"),
        ("i", "invalid-argument", "inputs are given to a running generation"),
        ("O", "invalid-argument", "input options is given twice"),
        ('o{"n_predict":1}', "invalid-argument", "unknown option 'n_predict'"),
        ("2hi", "runtime", "another generation of this model is running"),
    ],
)
def test_answers_misuse_with_an_error(prompt: str, case: str, sentence: str) -> None:
    with pytest.raises(GuestError) as caught:
        run(prompt)
    assert str(caught.value) == f"the guest failed with {case}: {sentence}"


def test_makes_a_failure_of_the_guest_one_printable_line() -> None:
    with pytest.raises(GuestError) as caught:
        run("e4")
    assert str(caught.value) == "the guest failed with security: the guest says no\\u{a}really"


# --- handles


@pytest.mark.parametrize("letter", ["f", "w", "d", "m", "?"])
def test_a_wrong_handle_is_a_trap(letter: str) -> None:
    with pytest.raises(GuestError, match=r"^the guest trapped: ") as caught:
        run(f"{letter}text")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("letter", ["h", "k"])
def test_refuses_too_many_live_handles(letter: str) -> None:
    with pytest.raises(RefusedError) as caught:
        run(f"{letter}x", FakeModel(pieces=[]))
    expected = "guest holds too many handles in handles (expected at most 4096)"
    if letter == "h":
        assert str(caught.value) == expected
    assert caught.value.kind is RefusalKind.LIMIT


def test_dropped_handles_are_forgotten() -> None:
    with pytest.raises(GuestError, match=r"^the guest failed with runtime: done$"):
        run("Hx")


# --- limits


def test_refuses_a_prompt_over_the_granted_bytes_before_anything_runs() -> None:
    model = FakeModel()
    with pytest.raises(RefusedError) as caught:
        run("s" + "x" * 1000, model, prompt_bytes=1000)
    assert str(caught.value) == (
        "prompt is too long in limits.prompt-bytes (expected at most 1000 bytes, got 1001 bytes)"
    )
    assert model.asked == []


def test_refuses_a_message_of_the_guest_over_the_granted_bytes() -> None:
    with pytest.raises(RefusedError) as caught:
        run("B")
    assert caught.value.kind is RefusalKind.LIMIT
    assert caught.value.got == "400000 bytes"


def test_refuses_an_answer_over_the_granted_bytes() -> None:
    with pytest.raises(RefusedError) as caught:
        run("sone two three", output_bytes=5)
    assert (
        str(caught.value) == "answer is too long in limits.output-bytes (expected at most 5 bytes)"
    )


def test_refuses_endless_generations_by_the_tokens_of_the_request() -> None:
    with pytest.raises(RefusedError) as caught:
        run("Qone two")
    assert str(caught.value) == (
        "no tokens are left in max-tokens (expected at most 100 tokens in all generations)"
    )


def test_a_memory_bomb_stays_within_the_granted_bytes() -> None:
    with pytest.raises(GuestError, match=r"^the guest failed with runtime: no more memory$"):
        run("g")


def test_refuses_a_guest_that_needs_more_memory_than_granted() -> None:
    with pytest.raises(RefusedError) as caught:
        run("sx", memory_bytes=65536)
    assert caught.value.kind is RefusalKind.LIMIT
    assert re.fullmatch(
        r"component cannot be started: it needs more memory in limits\.memory-bytes"
        r" \(expected at most 65536 bytes, got \d{6,7} bytes\)",
        str(caught.value),
    )


@pytest.mark.parametrize("things", ["tables", "table-elements", "instances", "memories"])
def test_refuses_a_guest_that_needs_more_of_what_the_host_bounds(
    things: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = replace(BOUNDS, **{f"wasm_{things.replace('-', '_')}": 0})
    monkeypatch.setattr(wasm_host, "LIMITS", bounds)
    monkeypatch.setattr(wasm_limits, "LIMITS", bounds)
    with pytest.raises(RefusedError) as caught:
        run("sx")
    assert caught.value.kind is RefusalKind.LIMIT
    assert re.fullmatch(
        f"component cannot be started: it needs more {things.replace('-', ' ')}"
        rf" in wasm-{things} \(expected at most 0, got \d+\)",
        str(caught.value),
    )


def test_a_trap_says_how_much_memory_there_was() -> None:
    with pytest.raises(GuestError, match=r"^the guest trapped: ") as caught:
        run("f")
    assert caught.value.hint == (
        "if its memory ran out: it may have 4194304 bytes (limits.memory-bytes)"
    )


def test_an_endless_loop_ends_at_the_deadline() -> None:
    with pytest.raises(RefusedError) as caught:
        run("l", wall_clock_seconds=1)
    assert (
        str(caught.value) == "run took too long in limits.wall-clock-seconds (expected at most 1 s)"
    )


def test_a_slow_model_ends_at_the_deadline() -> None:
    model = FakeModel(pieces=[b"x"] * 100, on_next=lambda _: time.sleep(0.1))
    with pytest.raises(RefusedError, match=r"^run took too long"):
        run("shi", model, wall_clock_seconds=1)


# --- stopping


def test_stops_between_two_tokens() -> None:
    stop = FakeStopFlag()
    model = FakeModel(pieces=[b"x"] * 100, on_next=lambda made: stop.set() if made == 3 else None)
    text, summary = run("shi", model, stop)
    assert summary.finish_reason is FinishReason.CANCELLED
    assert text == "x" * summary.output_tokens
    assert 3 <= summary.output_tokens <= 4


def test_stops_a_guest_that_loops() -> None:
    stop = FakeStopFlag()
    timer = threading.Timer(0.1, stop.set, (StopReason.LEASE,))
    timer.start()
    _, summary = run("l", None, stop)
    assert summary.finish_reason is FinishReason.CANCELLED
    timer.join()


# --- exceptions


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_an_exception_in_a_host_call_comes_out_as_itself(error: type[BaseException]) -> None:
    def fail(made: int) -> None:
        if made == 2:
            raise error

    model = FakeModel(pieces=[b"x"] * 9, on_next=fail)
    with pytest.raises(error):
        run("shi", model)
    assert model.streams[0].is_closed
    assert run("sagain")[0] == "again"


def test_an_exception_of_the_reader_closes_the_generation() -> None:
    model = FakeModel(pieces=[b"x"] * 9)

    def broken(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        HOST.run(probe(), grants(model), "shi", FakeStopFlag(), broken)
    assert model.streams[0].is_closed


@pytest.mark.parametrize(
    "error",
    [
        RefusedError(RefusalKind.LIMIT, "prompt does not fit the context"),
        UndecidedError("the model has no chat template"),
        GuestError("llama.cpp failed while decoding"),
    ],
)
def test_what_the_backend_refuses_is_what_the_caller_sees(error: InfwasiError) -> None:
    with pytest.raises(type(error)) as caught:
        run("shi", FakeModel(error=error))
    assert caught.value is error


def test_exceptions_do_not_cross_between_threads() -> None:
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        host = WasmtimeHost()
        for _ in range(5):
            try:
                host.run(probe(), grants(failing(number)), "shi", FakeStopFlag(), lambda _: None)
            except ValueError as e:
                if e.args != (number,):
                    wrong.append(e)

    def failing(number: int) -> FakeModel:
        def fail(_: int) -> None:
            raise ValueError(number)

        return FakeModel(pieces=[b"x"], on_next=fail)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- imports and exports


def test_refuses_bytes_that_are_no_component() -> None:
    for wasm in (b"", b"(component)", b"\0asm\x01\0\0\0", probe()[:-9]):
        with pytest.raises(MalformedError, match=r"^(not a component|cut off in component)"):
            HOST.run(wasm, grants(FakeModel()), "x", FakeStopFlag(), print)


def test_refuses_an_import_that_is_not_granted() -> None:
    narrow = replace(grants(FakeModel()), imports=OFFERED - {nn_interface.GRAPH})
    with pytest.raises(RefusedError) as caught:
        HOST.run(probe(), narrow, "sx", FakeStopFlag(), print)
    assert caught.value.kind is RefusalKind.DISAGREE
    assert str(caught.value) == (
        f"component imports what the package does not declare: {nn_interface.GRAPH}"
    )


def test_refuses_an_import_that_is_granted_but_never_offered() -> None:
    name = "wasi:filesystem/preopens@0.2.0"
    wasm = component_from_wat(f'(component (import "{name}" (instance)))')
    wide = replace(grants(FakeModel()), imports=OFFERED | {name})
    with pytest.raises(RefusedError) as caught:
        HOST.run(wasm, wide, "sx", FakeStopFlag(), print)
    assert caught.value.kind is RefusalKind.POLICY
    assert str(caught.value) == f"component imports what this host never offers: {name}"


def test_refuses_an_import_of_another_type() -> None:
    wasm = component_from_wat(
        f"""(component (import "{nn_interface.GRAPH}" (instance
              (export "load-by-name" (func (param "name" u32) (result u32))))))"""
    )
    with pytest.raises(RefusedError) as caught:
        HOST.run(wasm, grants(FakeModel()), "sx", FakeStopFlag(), print)
    assert str(caught.value) == (
        f"component imports a function of another type in {nn_interface.GRAPH} load-by-name"
        " (expected (string) -> result<own, own>, got (u32) -> u32)"
    )


@pytest.mark.parametrize(
    ("wat", "message"),
    [
        ("(component)", "component does not export infwasi:llm/inference@0.1.0"),
        (
            '(component (instance $i) (export "infwasi:llm/inference@0.1.0" (instance $i)))',
            "component exports infwasi:llm/inference@0.1.0 without [method]generation.next,"
            " [method]generation.summary, compute, start",
        ),
    ],
)
def test_refuses_missing_exports(wat: str, message: str) -> None:
    with pytest.raises(RefusedError) as caught:
        HOST.run(component_from_wat(wat), grants(FakeModel()), "x", FakeStopFlag(), print)
    assert str(caught.value) == message


# --- nothing is left behind


def test_three_hundred_requests_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[weakref.ref[nn_interface.NnSession]] = []
    original = nn_interface.NnSession.close

    def closed(self: nn_interface.NnSession) -> None:
        original(self)
        sessions.append(weakref.ref(self))
        assert self.live_handles == 0

    monkeypatch.setattr(nn_interface.NnSession, "close", closed)
    model = FakeModel(pieces=[b"x", b"y"])
    prompts = ["shi", "qhi", "fhi", "e6", "zhi", "nother"]

    def some(count: int) -> None:
        for number in range(count):
            try:
                HOST.run(
                    probe(), grants(model), prompts[number % 6], FakeStopFlag(), lambda _: None
                )
            except GuestError:
                continue

    some(6)
    gc.collect()
    before = threading.active_count()
    some(300)
    gc.collect()
    assert threading.active_count() == before
    assert [session for session in sessions if session() is not None] == []
    assert all(stream.is_closed for stream in model.streams)
    assert len(sessions) >= 300


def test_keeps_the_compiled_component_for_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled: list[int] = []

    def counted(engine: wasmtime.Engine, wasm: bytes) -> Component:
        compiled.append(len(wasm))
        return Component(engine, wasm)

    monkeypatch.setattr(wasm_code, "Component", counted)
    host = WasmtimeHost()
    host.prepare(probe())
    for _ in range(2):
        host.run(probe(), grants(FakeModel()), "shi", FakeStopFlag(), lambda _: None)
    assert len(compiled) == 1


def test_a_large_component_is_compiled_in_another_way_and_does_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wasm_settings, "_LARGE_BYTES", 0)
    pieces: list[str] = []
    WasmtimeHost().run(probe(), grants(FakeModel()), "sone two", FakeStopFlag(), pieces.append)
    assert "".join(pieces) == "one two"


# --- options


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"[]", "options are not a JSON object"),
        (b"{", "options are not JSON in UTF-8"),
        (b"\xff", "options are not JSON in UTF-8"),
        (b"[" * 60_000, "options are not JSON in UTF-8"),
        (b'{"temp":1,"temp":2}', "options hold a key twice"),
        (b'{"temp":NaN}', "options hold NaN"),
        (b'{"temp":1e999}', "options hold a number that is too large"),
        (b'{"temp":"1"}', "option temp is not a number"),
        (b'{"temp":true}', "option temp is not a number"),
        (b'{"temp":-1}', "option temp is not between 0 and 10"),
        (b'{"top-k":1.5}', "option top-k is not an integer"),
        (b'{"top-k":true}', "option top-k is not an integer"),
        (b'{"n-predict":0}', "option n-predict is not between 1 and 2147483647"),
        (b'{"seed":-1}', "option seed is not between 0 and 4294967294"),
        (b'{"stop":"x"}', "option stop is not a list of at most 16"),
        (b'{"stop":[""]}', "option stop holds more than strings of 1 to 256 bytes"),
        (b'{"stop":[1]}', "option stop holds more than strings of 1 to 256 bytes"),
        (b'{"model-url":"x"}', "unknown option 'model-url'"),
        (b'{"temp":null}', "option temp is not a number"),
    ],
)
def test_refuses_options(data: bytes, sentence: str) -> None:
    with pytest.raises(NnError) as caught:
        parse_options(data, max_tokens=9, seed=3)
    assert (caught.value.code, caught.value.sentence) == ("invalid-argument", sentence)


def test_options_that_are_left_out_are_off() -> None:
    options = parse_options(b"{}", max_tokens=9, seed=3)
    assert options == GenerationOptions(
        max_tokens=9,
        temperature=0.0,
        top_k=0,
        top_p=1.0,
        min_p=0.0,
        repeat_penalty=1.0,
        seed=3,
        stop=(),
    )
    asked = json.dumps({"n-predict": 5, "temp": 1, "stop": ["a"]}).encode()
    assert parse_options(asked, max_tokens=9, seed=1).max_tokens == 5


def test_signatures_of_the_guest_are_those_the_host_expects() -> None:
    """What we assume of wasmtime-py's type objects: the probe is made of the same WIT."""
    engine = wasmtime.Engine()
    imports = interfaces(engine, Component(engine, probe())).imports
    check: Callable[..., None] = wasm_host._check_functions
    for name, functions in nn_interface.FUNCTIONS.items():
        check(name, imports[name], functions, "imports")
