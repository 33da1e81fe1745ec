"""Settings for tests."""

from typing import Any

from hypothesis import strategies as st

from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.settings import GuestLimits, Settings

LIMITS_SAMPLE = GuestLimits(
    memory_bytes=16 * 2**20, prompt_bytes=2**18, output_bytes=2**20, wall_clock_seconds=600
)

_VALUES: dict[str, Any] = {
    "model": "model",
    "system_prompt": "Be brief.",
    "default_prompt": "What is the capital of Sweden?",
    "context_tokens": 2048,
    "max_tokens": 64,
    "temperature": 0.7,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.1,
    "seed": 7,
    "stop": ("\n\n", 'say "stop"'),
    "limits": LIMITS_SAMPLE,
}


def make_settings(**changes: Any) -> Settings:
    """Plausible settings, with these changes."""
    return Settings(**(_VALUES | changes))


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


_positive = st.integers(1, 2**32 - 1)
_tokens = st.integers(1, LIMITS.context_tokens)
_texts = st.text(max_size=200)

any_settings: st.SearchStrategy[Settings] = st.builds(
    Settings,
    model=st.text(min_size=1, max_size=60),
    system_prompt=st.none() | _texts,
    default_prompt=st.none() | _texts,
    context_tokens=_tokens,
    max_tokens=_tokens,
    temperature=_numbers(0, 10),
    top_k=st.integers(0, 2**31 - 1),
    top_p=_numbers(0, 1),
    min_p=_numbers(0, 1),
    repeat_penalty=_numbers(0.000_001, 10),
    seed=st.none() | st.integers(0, 2**32 - 2),
    stop=st.lists(st.text(min_size=1, max_size=60), max_size=LIMITS.stop_strings).map(tuple),
    limits=st.builds(
        GuestLimits,
        memory_bytes=st.integers(65_536, 2**32 - 1),
        prompt_bytes=_positive,
        output_bytes=_positive,
        wall_clock_seconds=_positive,
    ),
)
