"""The command line: thin commands, each in a file of its own, imported only when it is called.

Only this package prints and exits. Exit codes: 0 done, 1 refused, 2 no verdict, 3 the verified
guest failed, 130 interrupted.
"""

import contextlib
import gc
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit; no traceback ever leaves this function."""
    _occupy_standard_descriptors()
    try:
        code = _called(sys.argv[1:])
    except BaseException as error:  # the edge: everything becomes one line and a code
        code = _reported(error)
    _flush_or_forget()
    if len(threading.enumerate()) > 1:
        # A thread is still in native code (compiling, importing); nobody needs its result, and
        # the watcher that could end it is gone. Everything is flushed and closed by now.
        os._exit(code)
    sys.exit(code)


def _called(arguments: Sequence[str]) -> int:
    """The exit code of the command that the arguments call.

    A run does not wait for click, a tenth of what it waits for, if it is asked for so plainly that
    click would understand the same.
    """
    if arguments[:1] == ["verify-and-run"]:
        from infwasi_sign.cli.plain_run import plain_run

        plain = plain_run(arguments[1:])
        if plain is not None:
            from infwasi_sign.cli.running import run_package

            run_package(plain)
            return 0
    from infwasi_sign.cli.group import cli

    # What a command gives to `Context.exit` comes back from here, as does what it returns.
    return cli.main(list(arguments), prog_name="infwasi", standalone_mode=False) or 0


def collect_from_now() -> None:
    """Let the collector work again (`__main__` switched it off), but not on what is imported."""
    gc.freeze()
    gc.enable()


def _reported(error: BaseException) -> int:
    try:
        from infwasi_sign.cli.output import report_failure

        return report_failure(error)
    except (ImportError, MemoryError, OSError):
        # Too little memory, or no file left, even to say which.
        with contextlib.suppress(OSError):
            os.write(2, b"error: too little memory or too few files to go on\n")
        return 2


def _occupy_standard_descriptors() -> None:
    """Where the caller closed 0, 1 or 2, the next file opened would get that number.

    What libraries print would then go into it. For Python the stream stays closed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _flush_or_forget() -> None:
    """A reader that went away must not turn into a traceback at interpreter exit."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = None
