"""`infwasi` and `python -m infwasi_sign`."""

import gc

# Importing makes many objects that stay: to look for garbage among them costs and finds none.
gc.disable()

import sys  # noqa: E402 - the collector is off first

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # where the caller stands: whoever left a `click.py` there is not asked

import contextlib  # noqa: E402
import os  # noqa: E402
from typing import NoReturn  # noqa: E402

from infwasi_sign import cli  # noqa: E402


def main() -> NoReturn:
    """Run the command line, and end the process without taking the interpreter apart.

    All that must happen at the end has happened when `cli.main` exits: leases are given back,
    files closed, output flushed, the watcher ended. Taking modules apart one by one would only
    take time (20 ms after a run).
    """
    try:
        cli.main()
    except SystemExit as end:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or never there
            sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)


if __name__ == "__main__":
    main()
