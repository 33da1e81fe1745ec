"""`python -m tests.offline WORDS`: the command line in a process that gets no socket."""

import os
import sys
from typing import Final

USED: Final = 99  # the exit code of a process that tried


def _forbid(event: str, _: tuple[object, ...]) -> None:
    """End the process: an exception could be caught (docs.python.org, audit events)."""
    if not event.startswith("socket."):
        return
    if event == "socket.__new__" and _is_probe():
        raise OSError("there are no sockets here")
    os.write(2, f"a socket was used: {event}\n".encode())
    os._exit(USED)


def _is_probe() -> bool:
    """Whether it is urllib3, as it is imported, that looks whether this machine has IPv6.

    NOTE: sigstore-python imports it. The probe binds a socket, sends nothing, and can do without.
    """
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "_has_ipv6":
            return bool(frame.f_globals["__name__"] == "urllib3.util.connection")
    return False


if __name__ == "__main__":
    sys.addaudithook(_forbid)
    from infwasi_sign.cli import main

    main()
