"""What the tests share that kill a process at each of its calls to the system, one after the other.

For snippets that run in a child process, for what is replaced here stays replaced.
"""

import os
import signal
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def die_at(
    number: int, calls: Sequence[str], others: Sequence[tuple[ModuleType, str]] = ()
) -> None:
    """Let this process end by SIGKILL when it makes its call ``number``, counted from 1.

    ``calls`` are functions of `os`; ``others``, of a module, are counted too.
    """
    left = number

    def counting(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counted

    for module, name in (*others, *((os, name) for name in calls)):
        setattr(module, name, counting(getattr(module, name)))


def is_killed_in_child(act: Callable[[], object]) -> bool:
    """Whether a child process that does ``act`` ends by a signal; else it must succeed."""
    child = os.fork()
    if child == 0:
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)
