"""Tries a user's inference component before it is packed, to learn what it needs.

The composed app answers two prompts in the host that will run it, with a model that says always
the same. Its memory cannot be looked into from outside, so the least memory is searched with which
it gives the same answers as with all that a package can have. A component has no clock and no
random numbers: the same component gives the same needs on every machine.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from infwasi_sign.domain.interfaces import APP_IMPORTS
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.needs import MEASURED, TOKEN_BYTES, GuestNeeds
from infwasi_sign.domain.settings import Settings
from infwasi_sign.errors import GuestError, RefusedError, UndecidedError
from infwasi_sign.ports import GuestGrants, GuestHost, LoadedModel, StopFlag
from infwasi_sign.quick_dataclass import dataclass

_PAGE: Final = 65_536  # WebAssembly core specification, section 4.2.8
_MOST_PAGES: Final = LIMITS.package_memory_bytes // _PAGE

_SHORT: Final = "Hello, is anybody there?"
# A long prompt is of words beyond Latin-1, which take most memory in Python and JavaScript.
_WORDS: Final = "many words \N{SLIGHTLY SMILING FACE} "
_HINT: Final = f"measure it yourself and state {' and '.join(sorted(MEASURED))} in [limits]"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    text: str
    failure: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Measures components in ``host``; ``model`` is the one that says always the same."""

    host: GuestHost
    model: LoadedModel
    stop: StopFlag

    def measure(self, app: bytes, settings: Settings) -> GuestNeeds:
        """What ``app``, which was composed with ``settings``, needs.

        1. it answers a short prompt, or else nothing can be learnt
        2. it answers a prompt about as long as the package permits, or says why not
        3. the least memory is found with which it says the same again

        Raises:
            RefusedError: the host would refuse it at every run.
            UndecidedError: it fails, or takes too long.
        """
        # 1.
        short = None if settings.default_prompt is not None else _SHORT
        answers = {short: self._answer(app, settings, short, _MOST_PAGES)}
        failure = answers[short].failure
        if failure is not None:
            raise UndecidedError(
                f"the component fails in its trial: {failure}",
                where="component.inference",
                hint=_HINT,
            )
        # 2.
        long = _long_prompt(settings.limits.prompt_bytes)
        complaint = None
        try:
            answers[long] = self._answer(app, settings, long, _MOST_PAGES)
            complaint = answers[long].failure
        except RefusedError as error:
            complaint = error.sentence()

        # 3.
        def suffices(pages: int) -> bool:
            return all(
                self._answer_within(app, settings, prompt, pages) == answer
                for prompt, answer in answers.items()
            )

        return GuestNeeds(
            memory_bytes=_least(suffices) * _PAGE,
            output_bytes=max(
                min(settings.max_tokens, LIMITS.max_tokens) * TOKEN_BYTES,
                *(len(answer.text.encode()) for answer in answers.values()),
            ),
            complaint=complaint,
        )

    def _answer_within(
        self, app: bytes, settings: Settings, prompt: str | None, pages: int
    ) -> _Outcome | None:
        """Nothing where the host refuses: with more memory it did not."""
        try:
            return self._answer(app, settings, prompt, pages)
        except RefusedError:
            return None

    def _answer(self, app: bytes, settings: Settings, prompt: str | None, pages: int) -> _Outcome:
        grants = GuestGrants(
            imports=APP_IMPORTS,
            models={settings.model: self.model},
            limits=replace(
                settings.limits,
                memory_bytes=pages * _PAGE,
                output_bytes=LIMITS.output_bytes,
                wall_clock_seconds=LIMITS.trial_seconds,
            ),
            max_tokens=min(settings.max_tokens, LIMITS.max_tokens),
            seed=settings.seed or 0,
        )
        pieces: list[str] = []
        failure = None
        try:
            self.host.run(app, grants, prompt, self.stop, pieces.append)
        except GuestError as error:
            failure = error.sentence()
        except RefusedError as error:
            if error.where == "limits.wall-clock-seconds":
                # Else what is signed would depend on how fast the machine is.
                raise UndecidedError(
                    "the component takes too long in its trial",
                    where="component.inference",
                    expected=f"at most {LIMITS.trial_seconds} s",
                    hint=_HINT,
                ) from error
            raise
        self.stop.raise_if_stopped()  # an answer that was cut off says nothing about needs
        return _Outcome(text="".join(pieces), failure=failure)


def _long_prompt(permitted_bytes: int) -> str:
    """Seven eighths of what is permitted: the words that the component adds count as well."""
    words = _WORDS.encode()
    size_bytes = permitted_bytes * 7 // 8
    return (words * (size_bytes // len(words) + 1))[:size_bytes].decode(errors="ignore")


def _least(suffices: Callable[[int], bool]) -> int:
    """The least number of pages that suffices; the most that a package can have does.

    Doubles from below, because a start that fails costs least.
    """
    low, high = 0, 1
    while high < _MOST_PAGES and not suffices(high):
        low, high = high, min(2 * high, _MOST_PAGES)
    while high - low > 1:
        middle = (low + high) // 2
        if suffices(middle):
            high = middle
        else:
            low = middle
    return high
