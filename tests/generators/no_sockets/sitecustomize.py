"""Refuses every socket in the process that imports it at its start, and writes down each attempt.

PEP 578: CPython raises the event `socket.__new__` for each socket that is made, and `socket.getaddrinfo`
for each name that is looked up, before it does so.
"""

import os
import sys


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event.startswith("socket."):
        with open(os.environ["INFWASI_SOCKETS_SEEN"], "a") as seen:
            seen.write(f"{event} {arguments!r}\n")
        raise PermissionError(f"no network here: {event}")


sys.addaudithook(_refuse)
