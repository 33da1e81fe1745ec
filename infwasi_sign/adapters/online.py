"""What the few steps that go online share: which URLs they take, and a bound on all of the time."""

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeVar
from urllib.parse import urlsplit

from infwasi_sign.errors import UndecidedError

_T = TypeVar("_T")


def require_url(url: str, what: str) -> None:
    """An address that a message can hold; a password in it would be shown, and is refused.

    Raises:
        UndecidedError: it is none; ``what`` is how the message calls what it should be of.
    """
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
        is_usable = is_usable and parts.username is None and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or not url.isascii() or not url.isprintable() or " " in url:
        raise UndecidedError(
            f"not the URL of a {what}", expected="http:// or https://, a host, and no user"
        )


def in_time(work: Callable[[], _T], seconds: float, failed: Callable[[str], UndecidedError]) -> _T:
    """What ``work`` gives; the bound is for all of it, name look-up and headers too.

    Who drips one byte after the other is left alone with a thread that nobody waits for.

    Raises:
        UndecidedError: what ``failed`` makes of the reason that there is no answer.
    """
    answers: SimpleQueue[_T | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            answers.put(work())
        except BaseException as error:  # raised below, where somebody can answer
            answers.put(error)

    Thread(target=run, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty as e:
        raise failed(f"no whole answer in {seconds:g} s") from e
    if isinstance(answer, BaseException):
        raise answer
    return answer
