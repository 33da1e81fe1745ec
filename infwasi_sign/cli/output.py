"""What the commands print: one voice for failures, names made harmless, JSON in one order."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from infwasi_sign.domain.chat import FinishReason, Summary
from infwasi_sign.domain.text import escape_controls, harmless_line
from infwasi_sign.errors import InfwasiError, UndecidedError

if TYPE_CHECKING:
    import click

    from infwasi_sign.domain.manifest import Manifest
    from infwasi_sign.domain.result import Circumstances, NotAccepted
    from infwasi_sign.domain.signer import SignerIdentity

Command = TypeVar("Command", bound=Callable[..., Any])


def say(text: str) -> None:
    """One line for people, on standard error, with control characters shown and not obeyed."""
    try:
        _put(_painted(_fitting(harmless_line(text), sys.stderr), sys.stderr) + "\n", sys.stderr)
    except OSError:
        # There is no place left to say so. Python would try again at its end, and exit with 120.
        sys.stderr = None


def show(*lines: str) -> None:
    """Lines of data for people, on standard output; none of them can become two."""
    for line in lines:
        text = _fitting(harmless_line(line), sys.stdout)
        write_out(_painted(text, sys.stdout) + "\n")


def emit_json(value: Mapping[str, object]) -> None:
    """One JSON object on one line, members sorted."""
    write_out(json_line(value))


def json_line(value: Mapping[str, object]) -> str:
    """One object on one line of ASCII, members sorted; no build server takes it for a command."""
    import json  # 1 ms that people who read text need not wait for

    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    # Only texts hold `##`; the same text, see `harmless_line`. DEL is ASCII, and no terminal's.
    return text.replace("##", "#\\u0023").replace("\x7f", "\\u007f") + "\n"


def write_out(text: str) -> None:
    """Write to standard output now, or say why not: half a result is none.

    Raises:
        UndecidedError: standard output is closed, or takes no more.
        BrokenPipeError: nobody reads it any more.
    """
    with writing_out():
        _put(text, sys.stdout)


@contextlib.contextmanager
def writing_out() -> Iterator[None]:
    """Explain what goes wrong while standard output is written to."""
    if sys.stdout is None:
        raise UndecidedError("standard output is closed", hint="redirect it, or use --quiet")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        from infwasi_sign.adapters.atomic import storage_error

        raise storage_error(error, "standard output", "write the result") from error


def _put(text: str, stream: TextIO | None) -> None:
    if stream is not None:  # the caller closed it
        stream.write(text)
        stream.flush()


def _fitting(text: str, stream: TextIO | None) -> str:
    """Text as the stream can take it: without a locale that is ASCII, and the rest is shown."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


_COLOURS: Final = {"verified": "green", "refused": "red"}


def _painted(line: str, stream: TextIO | None) -> str:
    """The verdict in its colour, on terminals whose user has nothing against it (no-color.org)."""
    word, colon, rest = line.partition(":")
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if word in _COLOURS and colon and is_wanted and is_terminal(stream):
        import click

        return click.style(word, fg=_COLOURS[word], bold=True) + colon + rest
    return line


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at ``stream``; a closed one is None."""
    return stream is not None and stream.isatty()


@contextlib.contextmanager
def failures_as_json(
    is_wanted: bool, circumstances: "Circumstances | None" = None, *, line: str = "verdict"
) -> Iterator[None]:
    """Also print a failure as JSON, where the caller reads JSON (docs/results.md).

    ``line`` is the type of the line: `failure` once a verdict was given, for there is one verdict.
    """

    def emit(failure: "NotAccepted") -> None:
        if is_wanted:
            emit_json({**failure.to_json(), "type": line})

    with failures_delivered(emit, circumstances):
        yield


@contextlib.contextmanager
def failures_delivered(
    deliver: Callable[["NotAccepted"], None], circumstances: "Circumstances | None"
) -> Iterator[None]:
    """Give a failure to ``deliver`` too; that it cannot be delivered never hides what it was."""
    from infwasi_sign.domain.result import NotAccepted

    try:
        yield
    except (InfwasiError, OSError, MemoryError, ImportError, RuntimeError) as error:
        failure = as_failure(error)
        if failure is None:
            raise
        try:
            deliver(NotAccepted.of(failure, circumstances))
        except (InfwasiError, OSError) as undelivered:
            if str(undelivered) != str(failure):  # else that is what went wrong in the first place
                report_failure(undelivered)
        raise failure from error


def as_failure(error: BaseException) -> InfwasiError | None:
    """Our errors, and those of the operating system in our words; nothing else has a verdict."""
    match error:
        case InfwasiError():
            return error
        case OSError() if error.errno != errno.EPIPE:  # then nobody is there to be told
            from infwasi_sign.adapters.atomic import system_error

            return system_error(error)
        case _:
            return _exhausted(error)


def _exhausted(error: BaseException) -> UndecidedError | None:
    """What the interpreter raises where the machine has too little of something."""
    match error:
        case MemoryError():
            return UndecidedError("out of memory", hint="close other programs or raise `ulimit -v`")
        case RecursionError():
            return UndecidedError(
                "nested too deeply", hint="give up the input, or please report what it was"
            )
        case RuntimeError(args=("can't start new thread",)):  # CPython has no type for it
            return UndecidedError("no thread can be started", hint="raise `ulimit -u` or `-v`")
        case ImportError():
            # Our own modules are there, so this is a library that could not be mapped or opened.
            return UndecidedError(
                f"a part of infwasi cannot be loaded: {_first_line(error)}",
                hint="raise `ulimit -v` and `ulimit -n`, or install infwasi again",
            )
        case _:
            return None


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0][:200]


def report_failure(error: BaseException) -> int:
    """Print one line, and a hint where something can be done; returns the exit code."""
    from infwasi_sign.domain.result import NotAccepted

    failure = as_failure(error)
    if failure is not None:
        facts = NotAccepted.of(failure)
        return _report(facts.headline, facts.hint, failure.exit_code)
    match error:
        case SystemExit(code=code):
            # click's way out where nobody reads standard output; its 1 would say refused.
            return 2 if code else 0
        case KeyboardInterrupt():
            return _report_interrupt()
        case OSError():
            return 2
        case _:
            return _report_other(error)


def _report_interrupt() -> int:
    say("interrupted")
    return 130  # 128 + SIGINT, as shells report it


def _report_other(error: BaseException) -> int:
    """What click has to say; else it is a mistake of ours."""
    click = sys.modules.get("click")  # late in a run it could not be imported, and is not needed
    if click is not None and isinstance(error, click.Abort):
        return _report_interrupt()
    if click is not None and isinstance(error, click.ClickException):
        return _report_usage(error)
    return _report_mistake(error)


def _report_usage(error: "click.ClickException") -> int:
    import click

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the help, and not a word about errors
        return error.exit_code
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = None if context is None else f"{context.command_path} --help shows examples"
    return _report(f"error: {error.format_message()}", hint, 2)


def _report(line: str, hint: str | None, exit_code: int) -> int:
    say(line.replace("\n", " "))
    if hint is not None:
        say(f"hint: {hint}")
    return exit_code


def _report_mistake(error: BaseException) -> int:
    """Our own mistakes: never a verdict."""
    if os.environ.get("INFWASI_TRACEBACK"):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    line = f"error: internal error: {type(error).__name__}: {_first_line(error)}"
    return _report(line, "please report this; INFWASI_TRACEBACK=1 shows where it happened", 2)


@contextlib.contextmanager
def progress_bar(label: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while it is a terminal; silence otherwise."""
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    import click

    with click.progressbar(length=total_bytes, label=label, file=sys.stderr) as bar:
        yield bar.update


class AnswerWriter:
    """Writes an answer piece by piece: exact bytes to a pipe, harmless ones to a terminal."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._is_terminal = is_terminal(sys.stdout)
        self._ends_line = True

    def write(self, text: str) -> None:
        """Write one piece and flush it: who reads sees tokens as they come."""
        if self._as_json:
            emit_json({"type": "piece", "text": text})
            return
        shown = escape_controls(text, keep_layout=True) if self._is_terminal else text
        self._write(shown.encode())
        self._ends_line = text.endswith("\n")

    def end(self, summary: Summary, seed: int) -> None:
        """Finish the line, and say how the answer ended."""
        if self._as_json:
            emit_json(
                {
                    "type": "result",
                    "finishReason": str(summary.finish_reason),
                    "inputTokens": summary.input_tokens,
                    "loadSeconds": round(summary.load_seconds or 0.0, 6),
                    "outputTokens": summary.output_tokens,
                    "seed": seed,
                }
            )
            return
        if not self._ends_line:
            self._write(b"\n")
        if summary.finish_reason is not FinishReason.STOP:
            say(f"answer ended early: {summary.finish_reason} after {summary.output_tokens} tokens")

    @staticmethod
    def _write(data: bytes) -> None:
        with writing_out():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()


class PackageProgress:
    """A bar over everything that verification measures, once the statement says how much it is."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, manifest: "Manifest", signer: "SignerIdentity") -> None:
        """The signature is good and the statement read; now come the bytes."""
        total = sum(entry.size_bytes for entry in manifest.entries)
        self.begin_bytes(total, f"{manifest.package_name} by {signer.name}")

    def begin_bytes(self, total_bytes: int, what: str) -> None:
        """The same for anything that has a size and a name."""
        if is_terminal(sys.stderr):
            import click

            label = f"measuring {escape_controls(what, keep_layout=False)}"
            self._bar = click.progressbar(length=total_bytes, label=label, file=sys.stderr)
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


@contextlib.contextmanager
def package_progress() -> Iterator[PackageProgress]:
    """A `PackageProgress` that is ended on every way out."""
    progress = PackageProgress()
    try:
        yield progress
    finally:
        progress.end()
