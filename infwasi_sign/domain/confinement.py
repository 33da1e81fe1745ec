"""The layers by which a process is confined, by the names that policies use."""

from collections.abc import Iterable
from enum import StrEnum

from infwasi_sign.quick_dataclass import dataclass


class Layer(StrEnum):
    """One layer: what the process cannot do any more, whatever runs in it."""

    NO_DUMPS = "no-dumps"  # no core file, and no reading by processes of the same user
    NO_NEW_PRIVS = "no-new-privs"  # prctl(2), PR_SET_NO_NEW_PRIVS
    RLIMITS = "rlimits"  # setrlimit(2): no new file, socket or memfd
    LANDLOCK = "landlock"  # landlock(7)
    SECCOMP = "seccomp"  # seccomp(2)


class Standing(StrEnum):
    """Since when a layer holds; what cannot be put in force before loading ends the run."""

    IN_FORCE = "in-force"
    BEFORE_LOADING = "before-loading"  # not yet: from just before the model is parsed
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerReport:
    """One layer of a process: where it stands, its version, and what it lacks here, and why."""

    layer: Layer
    standing: Standing
    version: str | None = None
    lacks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """A member of ``confinement`` (docs/results.md section 1.2)."""
        version = {} if self.version is None else {"version": self.version}
        return {
            "layer": str(self.layer),
            "standing": str(self.standing),
            **version,
            "lacks": list(self.lacks),
        }

    def __str__(self) -> str:
        name = str(self.layer) if self.version is None else f"{self.layer} {self.version}"
        lacks = f" (lacks: {'; '.join(self.lacks)})" if self.lacks else ""
        return f"{name}{lacks}"


def describe_layers(reports: Iterable[LayerReport]) -> str:
    """All layers on one line for people: those in force, those to come, those that are missing."""
    by_standing: dict[Standing, list[LayerReport]] = {standing: [] for standing in Standing}
    for report in reports:
        by_standing[report.standing].append(report)
    parts = [", ".join(map(str, by_standing[Standing.IN_FORCE])) or "nothing"]
    if later := by_standing[Standing.BEFORE_LOADING]:
        parts.append(f"before the model is loaded also {', '.join(map(str, later))}")
    parts.extend(
        f"not by {report.layer}: {'; '.join(report.lacks)}"
        for report in by_standing[Standing.MISSING]
    )
    return "; ".join(parts)
