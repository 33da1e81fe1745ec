"""What a command line says of a run."""

from pathlib import Path

from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """The parameters of `verify-and-run`, by their names there."""

    package: Path
    trust: TrustOptions
    model_path: Path | None = None
    as_json: bool = False
    accept_jump: bool = False
    prompt: str | None = None
    max_tokens: int | None = None
    seed: int | None = None
    timeout_seconds: int | None = None
    memory_mib: int | None = None
    threads: int | None = None
    require_level: str = LoadLevel.NONE.label
    paranoid: bool = False
    no_cache: bool = False
    verbose: bool = False

    @property
    def detached(self) -> tuple[Path, ...]:
        """The models that lie outside the package."""
        return () if self.model_path is None else (self.model_path,)

    @property
    def demanded(self) -> LoadLevel:
        """The level that ``require_level`` names."""
        return next(level for level in LoadLevel if level.label == self.require_level)
