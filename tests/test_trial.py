"""What a component needs is measured: always the same, enough, and no more than that."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from infwasi_sign.adapters.canned_model import TOKEN, CannedModel, NeverStopped
from infwasi_sign.adapters.composer import WasmToolsComposer
from infwasi_sign.adapters.nn_generation import limit_error
from infwasi_sign.adapters.wasm_host import OFFERED, WasmtimeHost
from infwasi_sign.domain.chat import FinishReason, Summary
from infwasi_sign.domain.limits import LIMITS, MIB
from infwasi_sign.domain.needs import MEASURED, TOKEN_BYTES, GuestNeeds
from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.errors import GuestError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import GuestGrants, StopFlag
from infwasi_sign.trial import Trial
from tests.fakes import FakeModel
from tests.guest_builds import built
from tests.guests import probe
from tests.settings_samples import LIMITS_SAMPLE, make_settings
from tests.unprivileged import python_output

PAGE = 65_536
MOST = LIMITS.package_memory_bytes // PAGE
SUMMARY = Summary(finish_reason=FinishReason.STOP, input_tokens=1, output_tokens=1)
TOO_LITTLE = limit_error("it needs more memory", "limits.memory-bytes", "at most so many bytes")


@dataclass
class NeedyHost:
    """Answers `yes` from so many pages on, and a long prompt from so many more."""

    start_pages: int = 1
    long_pages: int = 0
    too_little: Exception = TOO_LITTLE
    short_failure: Exception | None = None
    long_failure: Exception | None = None
    grants: list[GuestGrants] = field(default_factory=list)

    def prepare(self, component: bytes) -> None:
        raise NotImplementedError

    def run(
        self,
        component: bytes,  # noqa: ARG002 - the port's signature
        grants: GuestGrants,
        prompt: str | None,
        stop: StopFlag,  # noqa: ARG002
        on_piece: Callable[[str], None],
    ) -> Summary:
        self.grants.append(grants)
        is_long = prompt is not None and len(prompt) > 1000
        failure = self.long_failure if is_long else self.short_failure
        if failure is not None:
            raise failure
        if grants.limits.memory_bytes < PAGE * (self.long_pages if is_long else self.start_pages):
            raise self.too_little
        on_piece("yes")
        return SUMMARY


def measured(host: NeedyHost, **changes: object) -> GuestNeeds:
    trial = Trial(host=host, model=FakeModel(), stop=NeverStopped())
    return trial.measure(b"app", make_settings(**changes))


# --- the search


@pytest.mark.parametrize("pages", [1, 2, 3, 64, 65, 197, 4097, MOST - 1, MOST])
def test_finds_the_least_memory_that_suffices(pages: int) -> None:
    assert measured(NeedyHost(start_pages=pages)).memory_bytes == pages * PAGE


def test_a_long_prompt_may_need_more() -> None:
    host = NeedyHost(start_pages=197, long_pages=230)
    assert measured(host).memory_bytes == 230 * PAGE


@pytest.mark.parametrize(
    "too_little",
    [TOO_LITTLE, GuestError("the guest trapped: unreachable"), GuestError("no more memory")],
)
def test_any_other_answer_means_that_it_was_too_little(too_little: Exception) -> None:
    host = NeedyHost(start_pages=9, too_little=too_little)
    assert measured(host).memory_bytes == 9 * PAGE


def test_grants_what_a_run_would_and_memory_in_plenty() -> None:
    host = NeedyHost()
    measured(host, max_tokens=LIMITS.max_tokens + 1, seed=None)
    first = host.grants[0]
    assert first.imports == OFFERED
    assert first.limits == replace(
        LIMITS_SAMPLE, memory_bytes=LIMITS.package_memory_bytes, wall_clock_seconds=60
    )
    assert (first.max_tokens, first.seed, set(first.models)) == (LIMITS.max_tokens, 0, {"model"})


# --- what cannot be measured


def test_stops_at_a_component_that_fails() -> None:
    failure = GuestError("the guest failed with runtime: no such luck")
    with pytest.raises(UndecidedError) as caught:
        measured(NeedyHost(short_failure=failure))
    assert str(caught.value) == (
        "the component fails in its trial: the guest failed with runtime: no such luck"
        " in component.inference"
    )
    assert caught.value.hint == (
        "measure it yourself and state memory-mib and output-kib in [limits]"
    )


def test_a_component_that_the_host_refuses_is_refused() -> None:
    refusal = RefusedError(RefusalKind.LIMIT, "component cannot be started: too many tables")
    with pytest.raises(RefusedError) as caught:
        measured(NeedyHost(short_failure=refusal))
    assert caught.value is refusal


def test_a_component_that_needs_more_than_any_package_may_have_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"^it needs more memory in limits\.memory-bytes"):
        measured(NeedyHost(start_pages=MOST + 1))


def test_what_depends_on_the_speed_of_the_machine_is_not_measured() -> None:
    slow = limit_error("run took too long", "limits.wall-clock-seconds", "at most 60 s")
    for host in (NeedyHost(short_failure=slow), NeedyHost(start_pages=9, too_little=slow)):
        with pytest.raises(UndecidedError) as caught:
            measured(host)
        assert str(caught.value) == (
            "the component takes too long in its trial in component.inference"
            " (expected at most 60 s)"
        )


@pytest.mark.parametrize(
    "failure",
    [
        GuestError("the guest failed with too-large: at most 1000 characters"),
        limit_error("answer is too long", "limits.output-bytes", "at most 1 bytes"),
    ],
)
def test_a_long_prompt_may_fail_and_people_hear_of_it(failure: Exception) -> None:
    needs = measured(NeedyHost(start_pages=5, long_failure=failure))
    assert (needs.memory_bytes, needs.complaint) == (5 * PAGE, str(failure))


# --- from needs to limits


@pytest.mark.parametrize(
    ("need", "limit_mib"),
    [(1, 1), (819 * 1024, 1), (820 * 1024, 2), (197 * PAGE, 16), (2**29, 640), (2**30, 1024)],
)
def test_memory_gets_a_quarter_more_up_to_the_next_mebibyte(need: int, limit_mib: int) -> None:
    needs = GuestNeeds(memory_bytes=need, output_bytes=1)
    assert needs.limits(LIMITS_SAMPLE, frozenset()).memory_bytes == limit_mib * MIB


def test_answers_get_a_quarter_more_up_to_the_next_kibibyte() -> None:
    def limit(need: int) -> int:
        needs = GuestNeeds(memory_bytes=1, output_bytes=need)
        return needs.limits(LIMITS_SAMPLE, frozenset()).output_bytes

    assert [limit(need) for need in (3, 8192, 8193, 2**20)] == [1024, 10_240, 11_264, 2**20]


def test_what_the_developer_states_wins_and_what_is_not_measured_stays() -> None:
    needs = GuestNeeds(memory_bytes=2**25, output_bytes=2**13)
    assert needs.limits(LIMITS_SAMPLE, MEASURED) == LIMITS_SAMPLE
    assert needs.limits(LIMITS_SAMPLE, frozenset({"memory-mib"})) == GuestLimits(
        memory_bytes=LIMITS_SAMPLE.memory_bytes,
        output_bytes=10_240,
        prompt_bytes=LIMITS_SAMPLE.prompt_bytes,
        wall_clock_seconds=LIMITS_SAMPLE.wall_clock_seconds,
    )


def test_an_answer_may_be_as_long_as_what_the_model_says() -> None:
    assert measured(NeedyHost(), max_tokens=100).output_bytes == 100 * TOKEN_BYTES
    assert len(TOKEN) == TOKEN_BYTES


# --- in the real host


def real_trial() -> Trial:
    return Trial(host=WasmtimeHost(), model=CannedModel(), stop=NeverStopped())


def answer(app: bytes, settings: Settings, memory_bytes: int, prompt: str) -> str:
    limits = replace(settings.limits, memory_bytes=memory_bytes)
    grants = GuestGrants(
        imports=OFFERED, models={"model": CannedModel()}, limits=limits, max_tokens=64, seed=0
    )
    pieces: list[str] = []
    WasmtimeHost().run(app, grants, prompt, NeverStopped(), pieces.append)
    return "".join(pieces)


def test_a_real_component_needs_the_same_in_every_trial_and_no_page_less(tmp_path: Path) -> None:
    settings = make_settings()
    app = WasmToolsComposer().compose(settings, built("classify", tmp_path)).app
    needs = real_trial().measure(app, settings)
    assert needs == real_trial().measure(app, settings)
    assert needs.complaint is None
    prompt = "word " * 45_000
    assert answer(app, settings, needs.memory_bytes, prompt) == "neutral"
    with pytest.raises((GuestError, RefusedError)):
        answer(app, settings, needs.memory_bytes - PAGE, prompt)


def test_an_endless_component_ends_its_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infwasi_sign.trial._SHORT", "l")  # the probe's endless loop
    monkeypatch.setattr("infwasi_sign.trial.LIMITS", replace(LIMITS, trial_seconds=1), raising=True)
    with pytest.raises(UndecidedError, match=r"^the component takes too long in its trial"):
        real_trial().measure(probe(), make_settings(default_prompt=None))


INTERRUPTED = """
import os, signal, threading, time
from dataclasses import replace
from infwasi_sign import trial
from infwasi_sign.adapters.canned_model import CannedModel
from infwasi_sign.adapters.process import SignalFlag, clear_up_when_ended
from infwasi_sign.adapters.wasm_host import WasmtimeHost
from tests.guests import probe
from tests.settings_samples import make_settings

trial._SHORT = "l"  # the probe's endless loop
trial.LIMITS = replace(trial.LIMITS, trial_seconds=3600)
clear_up_when_ended()
host = WasmtimeHost()
host.prepare(probe())

def end():
    while not any(thread.name == "epoch" for thread in threading.enumerate()):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.{number})

threading.Thread(target=end, daemon=True).start()
try:
    with SignalFlag() as stop:
        trial.Trial(host=host, model=CannedModel(), stop=stop).measure(
            probe(), make_settings(default_prompt=None)
        )
except KeyboardInterrupt:
    print("interrupted", signal.set_wakeup_fd(-1))
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_endless_component_is_interrupted_in_its_trial(number: str) -> None:
    assert python_output(INTERRUPTED.replace("{number}", number)) == "interrupted -1"
