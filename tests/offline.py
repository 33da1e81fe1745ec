"""`python -m tests.offline WORDS`: the command line in a process that gets no socket."""

import os
import sys
from typing import Final

USED: Final = 99  # the exit code of a process that tried


def _forbid(event: str, _: tuple[object, ...]) -> None:
    """End the process: an exception could be caught (docs.python.org, audit events)."""
    if event.startswith("socket."):
        os.write(2, f"a socket was used: {event}\n".encode())
        os._exit(USED)


if __name__ == "__main__":
    sys.addaudithook(_forbid)
    from infwasi_sign.cli import main

    main()
