"""What the commands print: one voice for failures, names made harmless, JSON in one order."""

import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from infwasi_sign.domain.chat import FinishReason, Summary
from infwasi_sign.domain.text import escape_controls
from infwasi_sign.errors import GuestError, InfwasiError, RefusedError

if TYPE_CHECKING:
    from infwasi_sign.domain.manifest import Manifest
    from infwasi_sign.ports import SignerIdentity

Command = TypeVar("Command", bound=Callable[..., Any])


def say(text: str) -> None:
    """One line for people, on standard error, with control characters shown and not obeyed."""
    click.echo(escape_controls(text), err=True)


def show(*lines: str) -> None:
    """Lines of data for people, on standard output; none of them can become two."""
    click.echo("\n".join(escape_controls(line, keep_layout=False) for line in lines))


def emit_json(value: Mapping[str, object]) -> None:
    """One JSON object on one line, members sorted."""
    click.echo(json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")))


def failure_json(error: InfwasiError) -> dict[str, object]:
    """The same facts as the line on standard error (docs/format.md section 9)."""
    verdict = {1: "refused", 2: "undecided", 3: "guest-failed"}[error.exit_code]
    facts = {
        "type": "verdict",
        "verdict": verdict,
        "kind": str(error.kind) if isinstance(error, RefusedError) else None,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "got": error.got,
        "hint": error.hint,
    }
    return {name: value for name, value in facts.items() if value is not None}


@contextmanager
def failures_as_json(is_wanted: bool) -> Iterator[None]:
    """Also print a failure as JSON, where the caller reads JSON."""
    try:
        yield
    except InfwasiError as error:
        if is_wanted:
            emit_json(failure_json(error))
        raise


def report_failure(error: BaseException) -> int:
    """Print one line, and a hint where something can be done; returns the exit code."""
    match error:
        case SystemExit(code=code):
            # click's way out where nobody reads standard output; its 1 would say refused.
            return 2 if code else 0
        case KeyboardInterrupt() | click.Abort():
            say("interrupted")
            return 130  # 128 + SIGINT, as shells report it
        case InfwasiError():
            return _report(_headline(error), error.hint, error.exit_code)
        case click.ClickException():
            return _report_usage(error)
        case _:
            return _report_system_failure(error)


def _report_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the help, and not a word about errors
        return error.exit_code
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = None if context is None else f"{context.command_path} --help shows examples"
    return _report(f"error: {error.format_message()}", hint, 2)


def _headline(error: InfwasiError) -> str:
    match error:
        case RefusedError():
            return f"refused: {error.kind}: {error.sentence()}"
        case GuestError():
            return f"guest failed: {error.sentence()}"
        case _:
            return f"error: {error.sentence()}"


def _report(line: str, hint: str | None, exit_code: int) -> int:
    say(line.replace("\n", " "))
    if hint is not None:
        say(f"hint: {hint}")
    return exit_code


def _report_system_failure(error: BaseException) -> int:
    """Errors of the operating system, and our own mistakes: never a verdict."""
    match error:
        case OSError(errno=errno.EPIPE):
            return 2  # nobody reads any more; there is nobody to tell
        case OSError():
            place = f" in {error.filename}" if error.filename else ""
            say(f"error: {(error.strerror or str(error)).lower()}{place}")
        case MemoryError():
            say("error: out of memory")
        case _:
            if os.environ.get("INFWASI_TRACEBACK"):
                traceback.print_exception(error, file=sys.stderr)
            reason = str(error).split("\n", 1)[0][:200]
            say(f"error: internal error: {type(error).__name__}: {reason}")
            say("hint: please report this; INFWASI_TRACEBACK=1 shows where it happened")
    return 2


@contextmanager
def progress_bar(label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while it is a terminal; silence otherwise."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total_bytes, label=label, file=sys.stderr) as bar:
        yield bar.update


class AnswerWriter:
    """Writes an answer piece by piece: exact bytes to a pipe, harmless ones to a terminal."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._is_terminal = sys.stdout.isatty()
        self._ends_line = True

    def write(self, text: str) -> None:
        """Write one piece and flush it: who reads sees tokens as they come."""
        if self._as_json:
            emit_json({"type": "piece", "text": text})
            return
        shown = escape_controls(text, keep_layout=True) if self._is_terminal else text
        sys.stdout.buffer.write(shown.encode())
        sys.stdout.buffer.flush()
        self._ends_line = text.endswith("\n")

    def end(self, summary: Summary, seed: int) -> None:
        """Finish the line, and say how the answer ended."""
        if self._as_json:
            emit_json(
                {
                    "type": "result",
                    "finishReason": str(summary.finish_reason),
                    "inputTokens": summary.input_tokens,
                    "outputTokens": summary.output_tokens,
                    "seed": seed,
                }
            )
            return
        if not self._ends_line:
            sys.stdout.buffer.write(b"\n")
            sys.stdout.buffer.flush()
        if summary.finish_reason is not FinishReason.STOP:
            say(f"answer ended early: {summary.finish_reason} after {summary.output_tokens} tokens")


class PackageProgress:
    """A bar over everything that verification measures, once the statement says how much it is."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, manifest: "Manifest", signer: "SignerIdentity") -> None:
        """The signature is good and the statement read; now come the bytes."""
        if sys.stderr.isatty():
            total = sum(entry.size_bytes for entry in manifest.entries)
            label = f"measuring {manifest.package_name} by {escape_controls(signer.name)}"
            self._bar = click.progressbar(length=total, label=label, file=sys.stderr)
            self._bar.__enter__()

    def update(self, size_bytes: int) -> None:
        """So many bytes more were measured."""
        if self._bar is not None:
            self._bar.update(size_bytes)

    def end(self) -> None:
        """Leave the line to others; a second call does nothing."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = None


@contextmanager
def package_progress() -> Iterator[PackageProgress]:
    """A `PackageProgress` that is ended on every way out."""
    progress = PackageProgress()
    try:
        yield progress
    finally:
        progress.end()
