"""Importing sigstore-python without opening a socket.

It imports urllib3, which upon import binds a socket to ``::1`` to see whether there is IPv6
(urllib3 2, util/connection.py, ``_has_ipv6``). Verification must not open one, not even this.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ASKS: Final = "urllib3.util.connection"


@contextmanager
def unprobed() -> Iterator[None]:
    """What is imported within takes it that there is no IPv6, and does not look.

    Afterwards it is told what Python knows, so that who goes online later in this process does it
    as ever: where IPv6 does not work, the next address is tried.
    """
    if _ASKS in sys.modules:
        yield
        return
    known = socket.has_ipv6
    socket.has_ipv6 = False
    try:
        yield
    finally:
        socket.has_ipv6 = known
        asks = sys.modules.get(_ASKS)
        if asks is not None:
            asks.HAS_IPV6 = known  # type: ignore[attr-defined]  # a module that is not imported here
