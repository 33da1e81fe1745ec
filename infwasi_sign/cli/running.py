"""A run, from its options to its answer."""

import os
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from infwasi_sign.cli.clock import now_utc
from infwasi_sign.cli.confining import confinement_of
from infwasi_sign.cli.output import (
    AnswerWriter,
    emit_json,
    failures_as_json,
    package_progress,
    say,
)
from infwasi_sign.cli.run_options import RunOptions
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.limits import LIMITS, MIB
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from infwasi_sign.adapters.compiled_cache import CompiledCache
    from infwasi_sign.adapters.confinement import Confinement
    from infwasi_sign.adapters.opened_ahead import OpenedAhead
    from infwasi_sign.adapters.watcher import Watcher
    from infwasi_sign.cli.loading import Loading
    from infwasi_sign.cli.remembering import Memory
    from infwasi_sign.cli.trusting import Trust
    from infwasi_sign.domain.confinement import Layer
    from infwasi_sign.domain.result import Circumstances
    from infwasi_sign.ports import LandmarkStore
    from infwasi_sign.run import RunRequest
    from infwasi_sign.verify import VerifiedPackage, VerifyRequest

_DIGESTS: Final = frozenset({Algorithm.BLAKE3})  # unless a policy names others
_LAST_WORDS = {
    StopReason.INTERRUPT: "interrupted",
    StopReason.DEADLINE: "refused: limit: the run took too long and did not stop by itself",
    StopReason.LEASE: "refused: level: the model was opened for writing while in use",
    StopReason.MEMORY: "refused: limit: the run took too much memory and did not stop by itself",
}


def run_package(options: RunOptions) -> None:
    """Verify, and only if every byte is the signed one, load and answer.

    Raises:
        RefusedError, UndecidedError: the package is not accepted, or cannot be judged.
        GuestError: it was, and failed.
    """
    from infwasi_sign.adapters.compiled_cache import compiled_cache
    from infwasi_sign.adapters.host_memory import usable_memory_bytes
    from infwasi_sign.adapters.opened_ahead import OpenedAhead
    from infwasi_sign.adapters.process import forbid_dumps
    from infwasi_sign.adapters.watcher import Watcher
    from infwasi_sign.cli.loading import Loading
    from infwasi_sign.cli.verdicts import circumstances

    forbid_dumps()
    package, as_json = options.package, options.as_json
    # Before any thread exists: signals must reach the watcher and nobody else.
    watcher = Watcher(last_words=_LAST_WORDS)
    watcher.block_signals()
    with watcher, ExitStack() as held:
        with failures_as_json(as_json, circumstances(package, now_utc())):
            prompt = _read_standard_input() if options.prompt == "-" else options.prompt
            machine_bytes = usable_memory_bytes()
            if options.timeout_seconds is not None:  # the prompt is here; the rest counts later
                limit = f"timeout-seconds {options.timeout_seconds} (set by the caller)"
                watcher.arm(options.timeout_seconds, limit)
            cache = None if options.no_cache else compiled_cache(os.environ)
            log = say if options.verbose else None
            loading = Loading(watcher, cache=cache, threads=options.threads, log=log)
            held.callback(loading.close)
            store = held.enter_context(closing(OpenedAhead(package, options.detached)))
            chosen, memory, confinement = _chosen(options, cache, loading, store)
        now = now_utc()  # a prompt may have taken its time
        brought = circumstances(package, now, chosen.policy)
        from infwasi_sign.cli.remembering import close_identity_cache, open_identity_cache
        from infwasi_sign.cli.trusting import remember_pin

        identities = open_identity_cache(chosen.policy, paranoid=options.paranoid)
        if confinement is None:
            paths = [one for one in (_place(cache), identities and identities.path) if one]
            confinement = confinement_of(
                state=memory.state, trust=chosen, caches=tuple(paths), loads=True
            )
        begin_loading = partial(
            _begin_loading, confinement, loading, is_host_pinned=chosen.policy.is_host_pinned
        )
        with failures_as_json(as_json, brought):
            from infwasi_sign.run import RunRequest

            run_request = RunRequest(
                prompt=prompt,
                max_tokens=options.max_tokens,
                seed=options.seed,
                timeout_seconds=options.timeout_seconds,
                host_memory_bytes=None if options.memory_mib is None else options.memory_mib * MIB,
                machine_bytes=machine_bytes,
            )
            request = replace(
                _request(options, chosen, memory, now),
                on_held=begin_loading,
                identities=identities,
                landmarks=_landmarks(options, cache),
            )
            verified = held.enter_context(_verified(request, chosen, store, watcher, loading))
            close_identity_cache(identities)
            run_request = replace(run_request, layers=confinement.promised())
            remember = partial(remember_pin, chosen, verified)
            seed = _begin(
                verified, brought, run_request, memory, remember, watcher, confinement, as_json
            )
        with failures_as_json(as_json, brought, line="failure"):
            run_request = replace(run_request, seed=seed)  # the one that is reported
            _run(verified, run_request, loading, watcher, confinement, as_json)


def _chosen(
    options: RunOptions, cache: "CompiledCache | None", loading: "Loading", store: "OpenedAhead"
) -> "tuple[Trust, Memory, Confinement | None]":
    """Whom to trust, and what was accepted before; also the confinement, if it was put in force.

    The policy that one key is short for is known before that key is read, which is all that is read
    then: so the model is held and measured meanwhile, beside the imports of what judges it.
    """
    key, confinement = options.trust.key_path, None
    if key is not None and options.trust.is_one_key:
        import infwasi_sign.adapters.keys  # noqa: F401 - OpenSSL reads its configuration now
        from infwasi_sign.adapters.state_file import open_state

        place = _place(cache)
        confinement = confinement_of(
            state=open_state(os.environ, os.geteuid(), required=False),
            caches=() if place is None else (place,),
            readable=(key,),
            loads=True,
        )
        store.begin(_DIGESTS, partial(_begin_loading, confinement, loading))
    from infwasi_sign.cli.remembering import open_memory
    from infwasi_sign.cli.trusting import choose_trust

    chosen = choose_trust(options.package, options.trust, digests=_DIGESTS)
    memory = open_memory(chosen.policy_id, required=False, demanded_at=chosen.memory_demanded_at)
    return chosen, memory, confinement


def _landmarks(options: RunOptions, cache: "CompiledCache | None") -> "LandmarkStore | None":
    from infwasi_sign.adapters.landmark_cache import LandmarkCache

    if cache is None or options.paranoid:
        return None
    return LandmarkCache(cache.folder, cache.key)


def _place(cache: "CompiledCache | None") -> "Path | None":
    return None if cache is None else cache.folder.path


def _begin_loading(
    confinement: "Confinement", loading: "Loading", *, is_host_pinned: bool = False
) -> None:
    """As soon as the model is held: imports beside the hash, in threads that are confined."""
    confinement.before_measuring()
    if not is_host_pinned:  # else libraries are measured before they are used
        loading.begin()


def _read_standard_input() -> str:
    if sys.stdin is None:
        raise UndecidedError("standard input is closed", hint="give the prompt as an argument")
    data = sys.stdin.buffer.read(LIMITS.prompt_bytes + 1)
    if len(data) > LIMITS.prompt_bytes:
        raise RefusedError(
            RefusalKind.LIMIT,
            "the prompt is too long",
            where="standard input",
            expected=f"at most {LIMITS.prompt_bytes} bytes",
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UndecidedError(
            "the prompt is not UTF-8 text", where=f"standard input at byte {error.start}"
        ) from error


def _request(
    options: RunOptions, trust: "Trust", memory: "Memory", now: "datetime"
) -> "VerifyRequest":
    from infwasi_sign.adapters.native_host import library_digests
    from infwasi_sign.verify import VerifyRequest

    return VerifyRequest(
        location=options.package,
        policy=trust.policy,
        now=now,
        detached=options.detached,
        hold=True,
        libraries=library_digests,
        known=memory.known,
        accept_jump=options.accept_jump,
        demanded=options.demanded,
    )


def _verified(
    request: "VerifyRequest",
    trust: "Trust",
    store: "OpenedAhead",
    watcher: "Watcher",
    loading: "Loading",
) -> "VerifiedPackage":
    """Verify, and hold the model still from before it is measured."""
    from infwasi_sign.cli.verification import verify_trusting

    with package_progress() as progress:

        def advance(size_bytes: int) -> None:
            watcher.raise_if_stopped()
            loading.measured(size_bytes)
            progress.update(size_bytes)

        request = replace(request, progress=advance, on_claims=progress.begin)
        return verify_trusting(request, trust, store)


def _begin(
    verified: "VerifiedPackage",
    brought: "Circumstances",
    request: "RunRequest",
    memory: "Memory",
    remember: "Callable[[datetime], None]",
    watcher: "Watcher",
    confinement: "Confinement",
    as_json: bool,
) -> int:
    """Remember the package and give the verdict: the last moment to say no. Gives the seed."""
    from infwasi_sign.adapters.host_memory import bound_address_space
    from infwasi_sign.cli.renderers import text_lines
    from infwasi_sign.cli.verdicts import accepted
    from infwasi_sign.domain.confinement import describe_layers
    from infwasi_sign.run import plan

    decided = plan(verified, request)
    watcher.arm(decided.timeout_seconds.value, str(decided.timeout_seconds))
    watcher.bound_memory(decided.host_memory_bytes.value, str(decided.host_memory_bytes))
    bound_address_space(decided.host_memory_bytes.value, watcher.meter)
    # Remembered before the first token: what has run cannot be followed by something older.
    note = memory.accept(verified, now_utc())
    remember(now_utc())
    result = accepted(verified, brought, confinement.layers())
    if note is not None:
        say(f"note: {note}")
    because = f" ({verified.level_reason})" if verified.level_reason else ""
    say(text_lines(result)[0])
    seed = f"; seed {decided.seed}" if verified.settings.temperature > 0 else ""
    known = "; its digest is from the identity cache" if _is_remembered(verified) else ""
    say(f"model held by {verified.level.label}{because}{known}; {decided.max_tokens}{seed}")
    say(f"confined by {describe_layers(confinement.layers())}")
    if as_json:
        emit_json(result.to_json())
    return decided.seed


def _is_remembered(verified: "VerifiedPackage") -> bool:
    return any(entry.remembered_at is not None for entry in verified.entries)


def _run(
    verified: "VerifiedPackage",
    request: "RunRequest",
    loading: "Loading",
    watcher: "Watcher",
    confinement: "Confinement",
    as_json: bool,
) -> None:
    from infwasi_sign.adapters.process import layers_in_force
    from infwasi_sign.cli import collect_from_now
    from infwasi_sign.run import run

    host, backend = loading.host(), loading.backend()
    name = verified.manifest.models[0].name
    template = verified.model_facts[name].chat_template

    def confine() -> "tuple[Layer, ...]":
        """Everything is opened and imported that the run needs; then no more is."""
        backend.prepare(verified.model_file(name))
        if template is not None:
            backend.expect(template)
        host.settle()
        confinement.before_loading()
        loading.go_on()
        collect_from_now()
        return layers_in_force()

    answer = AnswerWriter(as_json)
    summary = run(
        verified,
        request,
        host=host,
        backend=backend,
        stop=watcher,
        on_piece=answer.write,
        confine=confine,
    )
    answer.end(summary, request.seed or 0)
