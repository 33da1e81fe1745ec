"""What a thread makes ahead of time: its value, its failure, and who hears of it."""

import threading

import pytest

from infwasi_sign.adapters.background import Background, BackgroundHost
from infwasi_sign.errors import MalformedError
from infwasi_sign.ports import GuestGrants
from tests.fakes import FakeStopFlag
from tests.settings_samples import LIMITS_SAMPLE

GRANTS = GuestGrants(imports=frozenset(), models={}, limits=LIMITS_SAMPLE, max_tokens=1, seed=7)


def test_gives_the_value_that_another_thread_made() -> None:
    made = Background(threading.current_thread)

    assert made.get() is not threading.current_thread()
    assert made.get() is made.get()


def test_begins_before_anybody_asks() -> None:
    began = threading.Event()

    made = Background(began.set)

    assert began.wait(60)
    made.get()


def test_raises_what_making_raised() -> None:
    def fail() -> None:
        raise MalformedError("not a component", where="component")

    made = Background(fail)

    for _ in range(2):
        with pytest.raises(MalformedError, match=r"^not a component in component$"):
            made.get()


@pytest.mark.parametrize("is_prepared", [False, True])
def test_host_says_in_run_what_is_wrong_with_the_component(is_prepared: bool) -> None:
    host = BackgroundHost()
    if is_prepared:
        host.prepare(b"no component")

    with pytest.raises(MalformedError, match=r"^not a component in component$"):
        host.run(b"no component", GRANTS, None, FakeStopFlag(), lambda _: None)
