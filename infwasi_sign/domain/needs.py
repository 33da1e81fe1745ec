"""What a user's inference component needs, from a trial to the limits that are signed."""

from dataclasses import replace
from typing import Final

from infwasi_sign.domain.limits import KIB, LIMITS, MIB
from infwasi_sign.domain.settings import GuestLimits
from infwasi_sign.quick_dataclass import dataclass

MEMORY: Final = "memory-mib"
OUTPUT: Final = "output-kib"
MEASURED: Final = frozenset((MEMORY, OUTPUT))
"""The keys of `[limits]` that a trial can fill; of the others it learns nothing."""

TOKEN_BYTES: Final = 32  # of text; the tokens of the common vocabularies have 4 on average

# A real text is another one than that of the trial: a quarter more, and then the next whole unit
# that a person would write (docs/components.md).
_MARGIN_NUMERATOR: Final = 5
_MARGIN_DENOMINATOR: Final = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestNeeds:
    """What a component was seen to need; ``memory_bytes`` of its largest linear memory.

    ``complaint`` is why it did not answer a prompt as long as is permitted.
    """

    memory_bytes: int
    output_bytes: int
    complaint: str | None = None

    def limits(self, given: GuestLimits, stated: frozenset[str]) -> GuestLimits:
        """``given`` with the measured limits, but for those that the developer stated."""
        measured = {}
        if MEMORY not in stated:
            measured["memory_bytes"] = _with_margin(
                self.memory_bytes, MIB, LIMITS.package_memory_bytes
            )
        if OUTPUT not in stated:
            measured["output_bytes"] = _with_margin(self.output_bytes, KIB, LIMITS.output_bytes)
        return replace(given, **measured)


def _with_margin(need: int, unit: int, most: int) -> int:
    roomy = -(-need * _MARGIN_NUMERATOR // _MARGIN_DENOMINATOR)
    return min(-(-roomy // unit) * unit, most)
