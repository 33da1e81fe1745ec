"""Planning and running a verified package, with everything behind the seams faked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.chat import FinishReason, Summary
from infwasi_sign.domain.interfaces import APP_IMPORTS
from infwasi_sign.domain.limits import GIB, LIMITS, MIB
from infwasi_sign.domain.policy import NamedPackage, Policy, RunLimit
from infwasi_sign.domain.settings import GuestLimits, Settings
from infwasi_sign.errors import GuestError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import GuestGrants, StopFlag, StopReason
from infwasi_sign.run import HOST_LIMITS, RunPlan, RunRequest, _smallest, plan, run
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.fakes import FakeBackend, FakeStopFlag
from tests.gguf_forge import PAIRS, tiny_gguf

SUMMARY = Summary(finish_reason=FinishReason.STOP, input_tokens=5, output_tokens=2)
ASK = RunRequest(prompt="Hi?")


@dataclass
class FakeHost:
    """Remembers its grants, does what it is told, answers in two pieces."""

    act: Callable[[], None] = lambda: None
    granted: list[tuple[bytes, GuestGrants, str | None]] = field(default_factory=list)
    prepared: list[bytes] = field(default_factory=list)

    def prepare(self, component: bytes) -> None:
        self.prepared.append(component)

    def run(
        self,
        component: bytes,
        grants: GuestGrants,
        prompt: str | None,
        stop: StopFlag,  # noqa: ARG002 - the port's signature
        on_piece: Callable[[str], None],
    ) -> Summary:
        self.granted.append((component, grants, prompt))
        on_piece("Stock")
        self.act()
        on_piece("holm")
        return SUMMARY


def opened(folder: Path, settings: Settings = forge.SETTINGS, model: bytes | None = None) -> Path:
    return forge.make_package(folder, settings=settings, model=model)


def verified(location: Path) -> VerifiedPackage:
    key = parse_public_key(forge.TRUSTED.public_key(), where="key")
    return verify(
        VerifyRequest(
            location=location,
            policy=Policy(package=NamedPackage(name="capital")),
            now=forge.NOW,
        ),
        store=DirectoryStore(),
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedPackage]:
    with verified(opened(tmp_path_factory.mktemp("run"))) as one:
        yield one


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifiedPackage]:
    """A package that asks for more of everything than any host grants, and fixes no seed."""
    settings = replace(
        forge.SETTINGS,
        seed=None,
        max_tokens=LIMITS.max_tokens + 1,
        limits=GuestLimits(
            memory_bytes=LIMITS.package_memory_bytes + 65_536,
            prompt_bytes=LIMITS.prompt_bytes + 1,
            output_bytes=LIMITS.output_bytes + 1,
            wall_clock_seconds=LIMITS.wall_clock_seconds + 1,
        ),
    )
    with verified(opened(tmp_path_factory.mktemp("run"), settings)) as one:
        yield one


def run_fake(
    package: VerifiedPackage,
    request: RunRequest = ASK,
    *,
    host: FakeHost | None = None,
    backend: FakeBackend | None = None,
    stop: FakeStopFlag | None = None,
) -> tuple[Summary, str]:
    pieces: list[str] = []
    summary = run(
        package,
        request,
        host=host or FakeHost(),
        backend=backend or FakeBackend(),
        stop=stop or FakeStopFlag(),
        on_piece=pieces.append,
    )
    return summary, "".join(pieces)


# --- limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "value", "whose"),
    [(None, 64, "package"), (3, 3, "caller"), (64, 64, "package"), (65, 64, "package")],
)
def test_caller_narrows_tokens_and_never_widens_them(
    asked: int | None, value: int, whose: str, package: VerifiedPackage
) -> None:
    decided = plan(package, RunRequest(prompt=None, max_tokens=asked))
    assert str(decided.max_tokens) == f"max-tokens {value} (set by the {whose})"


@pytest.mark.parametrize(
    ("asked", "value", "whose"), [(None, 600, "package"), (5, 5, "caller"), (601, 600, "package")]
)
def test_caller_narrows_the_time_and_never_widens_it(
    asked: int | None, value: int, whose: str, package: VerifiedPackage
) -> None:
    decided = plan(package, RunRequest(prompt=None, timeout_seconds=asked))
    assert str(decided.timeout_seconds) == f"timeout-seconds {value} (set by the {whose})"


def test_host_narrows_what_a_package_asks_for(generous: VerifiedPackage) -> None:
    host = FakeHost()
    run_fake(generous, RunRequest(prompt=None, max_tokens=LIMITS.max_tokens + 1), host=host)
    ((_, grants, _),) = host.granted
    assert grants.max_tokens == LIMITS.max_tokens
    assert grants.limits == GuestLimits(
        memory_bytes=LIMITS.package_memory_bytes,
        prompt_bytes=LIMITS.prompt_bytes,
        output_bytes=LIMITS.output_bytes,
        wall_clock_seconds=LIMITS.wall_clock_seconds,
    )
    decided = plan(generous, ASK)
    assert (decided.max_tokens.whose, decided.timeout_seconds.whose) == ("host", "host")


def test_what_the_package_and_the_caller_say_reaches_the_guest(package: VerifiedPackage) -> None:
    host, backend = FakeHost(), FakeBackend()
    request = RunRequest(prompt="Hi?", max_tokens=3, timeout_seconds=9)
    summary, answer = run_fake(package, request, host=host, backend=backend)
    assert (replace(summary, load_seconds=None), answer) == (SUMMARY, "Stockholm")
    assert (summary.load_seconds or 0.0) > 0
    ((component, grants, prompt),) = host.granted
    assert component == package.component
    assert host.prepared == [package.component]
    assert prompt == "Hi?"
    assert grants == GuestGrants(
        imports=frozenset(package.manifest.component.imports),
        models={"model": backend.model},
        limits=GuestLimits(
            memory_bytes=16 * MIB,
            prompt_bytes=LIMITS.prompt_bytes,
            output_bytes=MIB,
            wall_clock_seconds=9,
        ),
        max_tokens=3,
        seed=7,
    )
    assert grants.imports <= APP_IMPORTS
    assert backend.loaded == [("model.gguf", 2048)]


# --- seed, prompt, chat ----------------------------------------------------------------------


@pytest.mark.parametrize("asked", [None, 7])
def test_seed_of_the_package_is_accepted(asked: int | None, package: VerifiedPackage) -> None:
    assert plan(package, RunRequest(prompt=None, seed=asked)).seed == 7


def test_refuses_another_seed_than_the_package_fixes(package: VerifiedPackage) -> None:
    with pytest.raises(RefusedError) as caught:
        plan(package, RunRequest(prompt=None, seed=8))
    assert caught.value.kind is RefusalKind.LIMIT
    assert str(caught.value) == "the package fixes another seed in --seed (expected 7, got 8)"


def test_caller_chooses_the_seed_where_the_package_fixes_none(generous: VerifiedPackage) -> None:
    host = FakeHost()
    run_fake(generous, RunRequest(prompt=None, seed=8), host=host)
    assert host.granted[0][1].seed == 8


def test_a_seed_is_chosen_where_nobody_fixes_one(generous: VerifiedPackage) -> None:
    seeds = {plan(generous, ASK).seed for _ in range(4)}
    assert len(seeds) > 1
    assert all(0 <= seed <= 2**32 - 2 for seed in seeds)  # llama.h: 2**32 - 1 is no seed


def test_prompt_up_to_the_limit_is_planned(package: VerifiedPackage) -> None:
    plan(package, RunRequest(prompt="ö" * (LIMITS.prompt_bytes // 2)))


def test_refuses_a_prompt_that_is_one_byte_too_long(package: VerifiedPackage) -> None:
    with pytest.raises(RefusedError) as caught:
        plan(package, RunRequest(prompt="ö" * (LIMITS.prompt_bytes // 2) + "x"))
    assert caught.value.kind is RefusalKind.LIMIT
    assert str(caught.value) == (
        "the prompt is too long (expected at most prompt-bytes 262144 (set by the package), "
        "got 262145 bytes)"
    )


def test_a_prompt_that_is_not_text_gives_no_verdict(package: VerifiedPackage) -> None:
    with pytest.raises(UndecidedError, match=r"^the prompt is not UTF-8 text$"):
        plan(package, RunRequest(prompt="broken \udcff"))


@pytest.mark.parametrize("missing", ["tokenizer.chat_template", "tokenizer.ggml.model"])
def test_a_model_that_cannot_chat_gives_no_verdict_and_is_not_loaded(
    missing: str, tmp_path: Path
) -> None:
    pairs = tuple(pair for pair in PAIRS if missing.encode() not in pair)
    backend = FakeBackend()
    location = opened(tmp_path, model=tiny_gguf(pairs=pairs))
    with verified(location) as package, pytest.raises(UndecidedError) as caught:
        run_fake(package, backend=backend)
    assert str(caught.value) == (
        "the model cannot chat: it has no tokenizer or no chat template in model.gguf"
    )
    assert backend.loaded == []


@pytest.mark.parametrize(
    ("policy", "machine", "caller", "decided"),
    [
        (None, 3 * GIB, None, "host-memory-bytes 3221225472 (set by the host)"),
        (2 * GIB, 3 * GIB, None, "host-memory-bytes 2147483648 (set by the policy)"),
        (2 * GIB, 3 * GIB, GIB, "host-memory-bytes 1073741824 (set by the caller)"),
        (GIB, 3 * GIB, 2 * GIB, "host-memory-bytes 1073741824 (set by the policy)"),
    ],
)
def test_memory_of_the_host_is_the_least_that_anybody_says(
    policy: int | None, machine: int, caller: int | None, decided: str, package: VerifiedPackage
) -> None:
    limits = {} if policy is None else {RunLimit.HOST_MEMORY_BYTES: policy}
    bounded = _smallest(
        replace(package.policy, limits=limits), RunLimit.HOST_MEMORY_BYTES, None, machine, caller
    )
    assert str(bounded) == decided
    request = replace(ASK, machine_bytes=machine, host_memory_bytes=caller)
    assert plan(package, request).host_memory_bytes.value == min(machine, caller or machine)


def test_every_limit_of_a_policy_is_one_of_the_plan() -> None:
    names = {name.replace("-", "_") for name in RunLimit}
    assert names | {"seed"} == set(RunPlan.__dataclass_fields__)


# --- stopping --------------------------------------------------------------------------------

STOPPED = {
    StopReason.INTERRUPT: (KeyboardInterrupt, None),
    StopReason.DEADLINE: (RefusedError, RefusalKind.LIMIT),
    StopReason.LEASE: (RefusedError, RefusalKind.LEVEL),
    StopReason.MEMORY: (RefusedError, RefusalKind.LIMIT),
}


def test_every_stop_reason_has_an_error() -> None:
    assert set(STOPPED) == set(StopReason)


@pytest.mark.parametrize("reason", StopReason)
@pytest.mark.parametrize("guest", ["returns", "fails"])
def test_a_stop_wins_over_what_the_stopped_guest_says(
    reason: StopReason, guest: str, package: VerifiedPackage
) -> None:
    stop, backend = FakeStopFlag(), FakeBackend()

    def act() -> None:
        stop.set(reason)
        if guest == "fails":
            raise GuestError("the guest trapped")

    error, kind = STOPPED[reason]
    with pytest.raises(error) as caught:
        run_fake(package, host=FakeHost(act), backend=backend, stop=stop)
    assert getattr(caught.value, "kind", None) is kind
    assert backend.model.is_closed


@pytest.mark.parametrize(
    "error", [GuestError("trap"), RefusedError(RefusalKind.LIMIT, "too much"), OSError(28, "full")]
)
def test_model_is_closed_and_the_error_kept_when_the_host_fails(
    error: Exception, package: VerifiedPackage
) -> None:
    backend = FakeBackend()

    def act() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        run_fake(package, host=FakeHost(act), backend=backend)
    assert caught.value is error
    assert backend.model.is_closed


@pytest.mark.parametrize(
    ("where", "reached"),
    [
        ("limits.memory-bytes", "memory-bytes 16777216 (set by the package)"),
        ("limits.output-bytes", "output-bytes 1048576 (set by the package)"),
        ("limits.prompt-bytes", "prompt-bytes 262144 (set by the package)"),
        ("limits.wall-clock-seconds", "timeout-seconds 9 (set by the caller)"),
        ("max-tokens", "max-tokens 64 (set by the package)"),
        ("context-tokens", f"context-tokens {forge.SETTINGS.context_tokens} (set by the package)"),
        *((name, f"{name} {value} (set by the host)") for name, value in HOST_LIMITS.items()),
    ],
)
def test_a_limit_that_was_reached_is_named_with_whose_it_is(
    where: str, reached: str, package: VerifiedPackage
) -> None:
    def act() -> None:
        raise RefusedError(RefusalKind.LIMIT, "too much", where=where, expected="less", got="more")

    with pytest.raises(RefusedError) as caught:
        run_fake(package, replace(ASK, timeout_seconds=9), host=FakeHost(act))
    assert caught.value.kind is RefusalKind.LIMIT
    assert str(caught.value) == f"too much (expected at most {reached}, got more)"


def test_a_trap_names_the_memory_it_may_have_lacked(package: VerifiedPackage) -> None:
    def act() -> None:
        raise GuestError("the guest trapped: unreachable", hint="if its memory ran out: it has 9")

    with pytest.raises(GuestError, match=r"^the guest trapped: unreachable$") as caught:
        run_fake(package, host=FakeHost(act))
    assert caught.value.hint == (
        "if its memory ran out: its limit is memory-bytes 16777216 (set by the package)"
    )


def test_model_is_closed_after_an_answer(package: VerifiedPackage) -> None:
    backend = FakeBackend()
    run_fake(package, backend=backend)
    assert backend.model.is_closed


def test_nothing_is_loaded_when_the_plan_is_refused(package: VerifiedPackage) -> None:
    backend, host = FakeBackend(), FakeHost()
    with pytest.raises(RefusedError):
        run_fake(package, RunRequest(prompt=None, seed=8), backend=backend, host=host)
    assert (backend.loaded, host.prepared, host.granted) == ([], [], [])
