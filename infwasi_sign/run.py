"""Loads a verified package into a guest with just the permitted imports and streams its answer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from infwasi_sign.domain.chat import Summary
from infwasi_sign.domain.confinement import Layer
from infwasi_sign.domain.facts import CONFINEMENT_LAYERS, LOAD_LEVEL
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.policy import Policy, RunLimit, decide, require
from infwasi_sign.domain.settings import GuestLimits
from infwasi_sign.errors import GuestError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import GuardedFile, GuestGrants, GuestHost, InferenceBackend, StopFlag
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.verify import VerifiedPackage

if TYPE_CHECKING:
    from infwasi_sign.domain.rules import Facts

PACKAGE: Final = "package"
HOST: Final = "host"
POLICY: Final = "policy"
CALLER: Final = "caller"

# Bounds of the host that nobody narrows, by the place that its errors name.
HOST_LIMITS: Final[Mapping[str, int]] = {
    "component-bytes": LIMITS.component_bytes,
    "function-bytes": LIMITS.function_bytes,
    "function-local-bytes": LIMITS.function_local_bytes,
    "handles": LIMITS.handles,
    "list-elements": LIMITS.list_elements,
    "tensor-bytes": LIMITS.tensor_bytes,
    "wasm-instances": LIMITS.wasm_instances,
    "wasm-memories": LIMITS.wasm_memories,
    "wasm-table-elements": LIMITS.wasm_table_elements,
    "wasm-tables": LIMITS.wasm_tables,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """What the caller asks of a verified package; each limit can only narrow what it allows.

    ``layers`` are those by which the process is confined, or will be before the model is parsed;
    a policy can demand some.
    ``host_memory_bytes`` is of this process, and ``machine_bytes`` what the machine has for it.
    """

    prompt: str | None
    max_tokens: int | None = None
    seed: int | None = None
    timeout_seconds: int | None = None
    host_memory_bytes: int | None = None
    machine_bytes: int = LIMITS.host_memory_bytes
    layers: tuple[Layer, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectiveLimit:
    """The smallest of several bounds, and whose it is."""

    name: str
    value: int
    whose: str

    def __str__(self) -> str:
        return f"{self.name} {self.value} (set by the {self.whose})"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlan:
    """The limits a run will have, decided before anything is loaded."""

    max_tokens: EffectiveLimit
    timeout_seconds: EffectiveLimit
    context_tokens: EffectiveLimit
    memory_bytes: EffectiveLimit
    prompt_bytes: EffectiveLimit
    output_bytes: EffectiveLimit
    host_memory_bytes: EffectiveLimit
    seed: int


def plan(package: VerifiedPackage, request: RunRequest) -> RunPlan:
    """Narrow what the package allows by what policy, host and caller say.

    Raises:
        RefusedError: kind `limit`; the prompt is too long, or the package fixes another seed;
            kind `level`; the policy demands that the model is held, or the process confined,
            and it is not.
        UndecidedError: the model cannot chat, or the prompt is not text.
    """
    VerifiedPackage.require(package)
    _decide(package, request.layers)
    settings = package.settings
    if not package.model_facts[package.manifest.models[0].name].can_chat:
        raise UndecidedError(
            "the model cannot chat: it has no tokenizer or no chat template",
            where=package.manifest.models[0].shards[0],
        )
    granted = settings.limits
    bound = partial(_smallest, package.policy)
    decided = RunPlan(
        max_tokens=bound(
            RunLimit.MAX_TOKENS, settings.max_tokens, LIMITS.max_tokens, request.max_tokens
        ),
        timeout_seconds=bound(
            RunLimit.TIMEOUT_SECONDS,
            granted.wall_clock_seconds,
            LIMITS.wall_clock_seconds,
            request.timeout_seconds,
        ),
        context_tokens=bound(
            RunLimit.CONTEXT_TOKENS, settings.context_tokens, LIMITS.context_tokens
        ),
        memory_bytes=bound(
            RunLimit.MEMORY_BYTES, granted.memory_bytes, LIMITS.package_memory_bytes
        ),
        prompt_bytes=bound(RunLimit.PROMPT_BYTES, granted.prompt_bytes, LIMITS.prompt_bytes),
        output_bytes=bound(RunLimit.OUTPUT_BYTES, granted.output_bytes, LIMITS.output_bytes),
        host_memory_bytes=bound(
            RunLimit.HOST_MEMORY_BYTES,
            None,  # the statement of a package cannot say
            min(LIMITS.host_memory_bytes, request.machine_bytes),
            request.host_memory_bytes,
        ),
        seed=_seed(settings.seed, request.seed),
    )
    _check_prompt(request.prompt, decided.prompt_bytes)
    return decided


def _decide(package: VerifiedPackage, layers: tuple[Layer, ...]) -> None:
    """Verifying alone holds nothing, so a rule about the level may not be decided yet."""
    of_this_run: Facts = {
        LOAD_LEVEL: package.level.label,
        CONFINEMENT_LAYERS: tuple(str(layer) for layer in layers),
    }
    require(decide(package.policy, {**package.facts, **of_this_run}))


def _seed(package: int | None, caller: int | None) -> int:
    """The package's, else the caller's, else one by chance: known in every case."""
    if package is None:
        return _seed_by_chance() if caller is None else caller
    if caller not in (None, package):
        raise RefusedError(
            RefusalKind.LIMIT,
            "the package fixes another seed",
            where="--seed",
            expected=str(package),
            got=str(caller),
            hint="leave out --seed",
        )
    return package


def _seed_by_chance() -> int:
    import secrets  # noqa: PLC0415 - 1 ms that most runs need not wait for

    return secrets.randbelow(2**32 - 1)


def _smallest(
    policy: Policy,
    name: RunLimit,
    package: int | None,
    host: int,
    caller: int | None = None,
) -> EffectiveLimit:
    stated = (
        (package, PACKAGE),
        (host, HOST),
        (policy.limits.get(name), POLICY),
        (caller, CALLER),
    )
    bounds = [(value, whose) for value, whose in stated if value is not None]
    value, whose = min(bounds, key=lambda bound: bound[0])
    return EffectiveLimit(name=name, value=value, whose=whose)


def _check_prompt(prompt: str | None, limit: EffectiveLimit) -> None:
    if prompt is None:
        return
    try:
        size_bytes = len(prompt.encode())
    except UnicodeEncodeError as error:
        raise UndecidedError("the prompt is not UTF-8 text") from error
    if size_bytes > limit.value:
        raise RefusedError(
            RefusalKind.LIMIT,
            "the prompt is too long",
            expected=f"at most {limit}",
            got=f"{size_bytes} bytes",
        )


def run(
    package: VerifiedPackage,
    request: RunRequest,
    *,
    host: GuestHost,
    backend: InferenceBackend,
    stop: StopFlag,
    on_piece: Callable[[str], None],
    confine: Callable[[], tuple[Layer, ...]] | None = None,
) -> Summary:
    """Answer one prompt; only a `VerifiedPackage` can be run.

    ``confine`` is called once the component is being compiled, before the model is parsed. It gives
    the layers that are in force from then on, and those decide; until then ``request.layers`` may
    promise them.

    Raises:
        RefusedError: kinds `limit`, `level`; a limit was reached, the bytes did not hold still, or
            the process is not confined as the policy demands.
        UndecidedError: the model cannot chat.
        GuestError: the guest trapped or reported a failure.
        KeyboardInterrupt: the caller stopped it.
    """
    decided = plan(package, request)
    claim = package.manifest.models[0]
    host.prepare(package.component)  # is compiled while llama.cpp maps the model
    file = package.model_file(claim.name)
    if confine is not None:
        _decide(package, confine())
    begun = time.monotonic()
    model = backend.load(file, decided.context_tokens.value)
    load_seconds = time.monotonic() - begun
    try:
        # Where no lease tells of a change, one has to look: now, at each piece, when all is over.
        file.require_same()
        grants = GuestGrants(
            imports=frozenset(package.manifest.component.imports),
            models=dict.fromkeys((claim.name, *claim.aliases), model),
            limits=_granted(decided),
            max_tokens=decided.max_tokens.value,
            seed=decided.seed,
        )
        watched = partial(_say_if_same, file, on_piece)
        summary = host.run(package.component, grants, request.prompt, stop, watched)
    except RefusedError as error:
        raise _with_whose(error, decided) from error
    except GuestError as error:
        if error.hint is None:
            raise
        # Too little memory is a trap like any other: it is said how much there was, and by whom.
        hint = f"if its memory ran out: its limit is {decided.memory_bytes}"
        raise GuestError(error.what, hint=hint) from error
    finally:
        model.close()
        stop.raise_if_stopped()  # it wins over whatever the stopped code said
        file.require_same()  # as does this: what was said came from other bytes
    return replace(summary, load_seconds=load_seconds)


def _say_if_same(file: GuardedFile, on_piece: Callable[[str], None], piece: str) -> None:
    file.require_same()
    on_piece(piece)


def _with_whose(error: RefusedError, decided: RunPlan) -> RefusedError:
    """The host knows how much is granted; here it is known who granted no more."""
    reached = {
        "limits.memory-bytes": decided.memory_bytes,
        "limits.output-bytes": decided.output_bytes,
        "limits.prompt-bytes": decided.prompt_bytes,
        "limits.wall-clock-seconds": decided.timeout_seconds,
        "max-tokens": decided.max_tokens,
        "context-tokens": decided.context_tokens,
    } | {
        name: EffectiveLimit(name=name, value=value, whose=HOST)
        for name, value in HOST_LIMITS.items()
    }
    if error.kind is not RefusalKind.LIMIT or error.where not in reached:
        return error
    return RefusedError(
        error.kind,
        error.what,
        expected=f"at most {reached[error.where]}",
        got=error.got,
        hint=error.hint,
    )


def _granted(decided: RunPlan) -> GuestLimits:
    return GuestLimits(
        memory_bytes=decided.memory_bytes.value,
        prompt_bytes=decided.prompt_bytes.value,
        output_bytes=decided.output_bytes.value,
        wall_clock_seconds=decided.timeout_seconds.value,
    )
