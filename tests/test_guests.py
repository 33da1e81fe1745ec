"""The stock guests and the example, run against a scripted wasi:nn host."""

import pytest

from infwasi_sign.adapters.composer import WasmToolsComposer
from tests.fake_nn import Failed, FakeNN, Script
from tests.guest_builds import build_classify
from tests.settings_samples import make_settings

TEXT = "Hello, wörld"
SUMMARY = ("stop", 7, 3)
OPTIONS = {
    "n-predict": 64,
    "temp": 0.7,
    "top-k": 40,
    "top-p": 0.95,
    "min-p": 0.05,
    "repeat-penalty": 1.1,
    "seed": 7,
    "stop": ["\n\n", 'say "stop"'],
}


@pytest.fixture(scope="module")
def app() -> bytes:
    return WasmToolsComposer().compose(make_settings(), None).app


@pytest.fixture(scope="session")
def classify(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    part = build_classify(tmp_path_factory.mktemp("classify"))
    return WasmToolsComposer().compose(make_settings(), part).app


def test_computes_the_whole_text(app: bytes) -> None:
    host = FakeNN(app)
    assert host.compute("Hi?") == (TEXT, SUMMARY)
    assert host.loaded == ["model"]
    assert host.asked == [[("system", "Be brief."), ("user", "Hi?"), ("options", OPTIONS)]]
    assert host.live == {}


def test_streams_the_pieces(app: bytes) -> None:
    host = FakeNN(app)
    generation = host.start("Hi?")
    assert list(generation) == ["Hello", ", ", "wörld"]
    assert generation.summary() == SUMMARY
    assert generation.next() is None
    assert host.live == {}
    generation.drop()
    assert host.live == {}


def test_dropping_early_gives_every_handle_back(app: bytes) -> None:
    host = FakeNN(app)
    generation = host.start("Hi?")
    assert generation.next() == "Hello"
    assert generation.summary() == ("cancelled", 7, 1)
    assert len(host.live) == 1
    generation.drop()
    assert host.live == {}


def test_uses_the_default_prompt_only_when_none_is_given(app: bytes) -> None:
    host = FakeNN(app)
    host.compute(None)
    host.compute("")
    users = [dict(asked)["user"] for asked in host.asked]
    assert users == ["What is the capital of Sweden?", ""]


def test_leaves_out_what_the_settings_leave_out() -> None:
    settings = make_settings(system_prompt=None, seed=None, stop=(), temperature=0.0)
    host = FakeNN(WasmToolsComposer().compose(settings, None).app)
    host.compute("Hi?")
    options = OPTIONS | {"temp": 0, "stop": []}
    del options["seed"]
    assert host.asked == [[("user", "Hi?"), ("options", options)]]


def test_fails_without_any_prompt() -> None:
    host = FakeNN(WasmToolsComposer().compose(make_settings(default_prompt=None), None).app)
    for ask in (host.compute, host.start):
        with pytest.raises(Failed) as caught:
            ask(None)
        assert caught.value.case == "invalid-argument"
        assert caught.value.sentence == "no prompt was given and the package has no default"
    assert host.loaded == []


@pytest.mark.parametrize(
    ("code", "case"),
    [
        ("invalid-argument", "invalid-argument"),
        ("invalid-encoding", "invalid-argument"),
        ("timeout", "timeout"),
        ("runtime-error", "runtime"),
        ("unsupported-operation", "unsupported"),
        ("too-large", "too-large"),
        ("not-found", "not-found"),
        ("security", "security"),
        ("unknown", "runtime"),
    ],
)
@pytest.mark.parametrize("step", ["load", "init", "prompt", "piece 2", "end"])
def test_errors_become_failures_and_leave_no_handle(
    app: bytes, step: str, code: str, case: str
) -> None:
    host = FakeNN(app, Script(refusals={step: (code, "no such luck")}))
    with pytest.raises(Failed) as caught:
        host.compute("Hi?")
    assert (caught.value.case, caught.value.sentence) == (case, "no such luck")
    assert host.live == {}


def test_a_failed_stream_can_be_dropped(app: bytes) -> None:
    host = FakeNN(app, Script(refusals={"piece 2": ("timeout", "too late")}))
    generation = host.start("Hi?")
    assert generation.next() == "Hello"
    with pytest.raises(Failed, match=r"^timeout: too late$"):
        generation.next()
    generation.drop()
    assert host.live == {}


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("prompt", []),
        ("prompt", [("output", "U8", [1], b"x")]),
        ("prompt", [("usage", "I32", [1], b"\1\0\0\0")] * 2),
        ("prompt", [("usage", "I32", [0], b"")]),
        ("piece 1", []),
        ("piece 1", [("output", "U8", [0], b"")]),
        ("piece 1", [("usage", "I32", [1], b"\1\0\0\0")]),
        ("piece 1", [("output", "U8", [1], b"x")] * 2),
        ("end", [("summary", "I32", [2], bytes(8))]),
        ("end", [("summary", "I32", [3], b"\4" + bytes(11))]),
    ],
)
def test_another_convention_is_a_failure_and_leaves_no_handle(
    app: bytes, step: str, answer: list[tuple[str, str, list[int], bytes]]
) -> None:
    host = FakeNN(app, Script(raw={step: answer}))
    with pytest.raises(Failed) as caught:
        host.compute("Hi?")
    assert caught.value.case == "runtime"
    assert caught.value.sentence == "the host does not follow the wasi:nn convention"
    assert host.live == {}


@pytest.mark.parametrize(
    ("finish", "reason"), [(0, "stop"), (1, "length"), (2, "context-full"), (3, "cancelled")]
)
def test_passes_the_finish_reason_on(app: bytes, finish: int, reason: str) -> None:
    assert FakeNN(app, Script(finish=finish)).compute("Hi?")[1] == (reason, 7, 3)


def test_generations_do_not_disturb_each_other(app: bytes) -> None:
    host = FakeNN(app)
    first, second = host.start("a"), host.start("b")
    assert [first.next(), second.next(), first.next()] == ["Hello", "Hello", ", "]
    first.drop()
    assert host.compute("c") == (TEXT, SUMMARY)
    assert list(second) == [", ", "wörld"]
    second.drop()
    assert host.live == {}


def test_sixty_four_generations_are_open_and_no_more(app: bytes) -> None:
    host = FakeNN(app)
    generations = [host.start("a") for _ in range(64)]
    with pytest.raises(Failed, match=r"^too-large: too many generations are open$"):
        host.start("a")
    for generation in generations:
        generation.drop()
    assert host.compute("a") == (TEXT, SUMMARY)
    assert host.live == {}


def test_a_long_stream_needs_no_more_memory_than_its_longest_piece(app: bytes) -> None:
    pieces = ("é" * 1000,) * 300
    host = FakeNN(app, Script(pieces=pieces), memory_bytes=2**17)
    generation = host.start("x" * 20_000)
    assert list(generation) == list(pieces)
    generation.drop()
    assert host.live == {}


def test_a_long_text_needs_no_more_memory_than_the_text(app: bytes) -> None:
    pieces = tuple(f"{index:x}é " for index in range(4096))
    host = FakeNN(app, Script(pieces=pieces, finish=1), memory_bytes=2**17)
    assert host.compute("x") == ("".join(pieces), ("length", 7, 4096))
    # At most the graph, the context and the three inputs: handles do not grow with the text.
    assert host.most_live <= 5
    assert host.live == {}


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("positive", "positive"),
        (" Negative.", "negative"),
        ("It is NEUTRAL", "neutral"),
        ("negative, not positive", "negative"),
        ("pos", "neutral"),
        ("", "neutral"),
        ("\0" * 4000 + "positive", "neutral"),
    ],
)
def test_classify_answers_with_one_label(classify: bytes, answer: str, label: str) -> None:
    host = FakeNN(classify, Script(pieces=tuple(answer)[:300]))
    pieces = len(tuple(answer)[:300])
    assert host.compute("It is fine.") == (label, ("stop", 7, pieces))
    generation = host.start("It is fine.")
    assert list(generation) == [label]
    assert generation.summary() == ("stop", 7, pieces)
    generation.drop()
    assert host.live == {}


def test_classify_asks_for_one_word_about_the_text(classify: bytes) -> None:
    host = FakeNN(classify)
    host.compute("It is fine.")
    assert host.asked[0][-2] == ("user", "Text: It is fine.")
    assert host.asked[0][-1][1] == {
        "n-predict": 8,
        "temp": 0,
        "top-k": 0,
        "top-p": 1,
        "min-p": 0,
        "repeat-penalty": 1,
        "stop": ["\n"],
    }


def test_classify_passes_failures_on(classify: bytes) -> None:
    host = FakeNN(classify, Script(refusals={"piece 2": ("security", "no")}))
    with pytest.raises(Failed, match=r"^security: no$"):
        host.compute("It is fine.")
    generation = host.start("It is fine.")
    with pytest.raises(Failed, match=r"^security: no$"):
        generation.next()
    generation.drop()
    assert host.live == {}
