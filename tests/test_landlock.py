"""What Landlock denies by itself, what it lets through, and what older kernels lack."""

import json

import pytest

from infwasi_sign.adapters.landlock import Abilities, Access
from tests.unprivileged import python_output, unprivileged_output

FIVE = (
    "ioctls of devices are not denied",
    "abstract Unix sockets are not denied",
    "signals are not denied",
)


@pytest.mark.parametrize(
    ("kernel", "asked", "lacks"),
    [
        ((1, 0), (0x1FFF, 0, 0, 0), ("truncating files is not denied", "TCP is not denied", *FIVE)),
        ((2, 0), (0x3FFF, 0, 0, 0), ("truncating files is not denied", "TCP is not denied", *FIVE)),
        ((3, 0), (0x7FFF, 0, 0, 0), ("TCP is not denied", *FIVE)),
        ((4, 0), (0x7FFF, 3, 0, 0), FIVE),
        ((5, 0), (0xFFFF, 3, 0, 0), FIVE[1:]),
        ((6, 0), (0xFFFF, 3, 1, 0), FIVE[2:]),  # there threads could not signal each other
        ((6, 2), (0xFFFF, 3, 3, 0), ()),
        ((7, 7), (0xFFFF, 3, 3, 0), ()),
        ((8, 7), (0xFFFF, 3, 3, 8), ()),
        ((99, 7), (0xFFFF, 3, 3, 8), ()),  # what is newer than us is not asked for
    ],
)
def test_each_kernel_is_asked_for_all_that_it_has(
    kernel: tuple[int, int], asked: tuple[int, int, int, int], lacks: tuple[str, ...]
) -> None:
    able = Abilities.of(*kernel)
    assert (able.files, able.net, able.scopes, able.flags) == asked
    assert able.lacks == lacks


def test_the_rights_are_the_bits_of_the_kernel() -> None:
    assert [int(right) for right in Access] == [1 << bit for bit in range(16)]


TRY = """
import ctypes, json, os, pathlib, tempfile
from infwasi_sign.adapters import landlock
from tests.confined import Scene
folder = pathlib.Path(tempfile.mkdtemp())
scene = Scene(str(folder))
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
{layer}
print(json.dumps(scene.tried({names})))
"""
PRELOAD = (
    "json",
    "subprocess",
    "pathlib",
    "tempfile",
    "infwasi_sign.adapters.landlock",
    "tests.confined",
)
NAMES = ("open", "make", "remove", "connect", "connect abstract", "signal")


@pytest.fixture(scope="module", autouse=True)
def landlock_is_here() -> None:
    snippet = "from infwasi_sign.adapters import landlock; print(landlock.restrict(()).version)"
    version = python_output(f"import ctypes; ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n{snippet}")
    if version == "None":
        pytest.skip("this kernel has no Landlock")
    if int(version.removeprefix("abi ")) < 6:
        pytest.skip("this kernel's Landlock denies less than the tests try")


@pytest.mark.parametrize("output", [python_output, unprivileged_output])
def test_it_denies_files_connections_and_signals(output: object) -> None:
    def tried(layer: str) -> dict[str, str]:
        snippet = TRY.format(layer=layer, names=NAMES)
        if output is python_output:
            return dict(json.loads(python_output(snippet)))
        return dict(json.loads(unprivileged_output(snippet, preload=PRELOAD)))

    # the control: without the layer all of it works
    assert tried("") == dict.fromkeys(NAMES, "works")
    denied = dict.fromkeys(("open", "make", "remove", "connect"), "EACCES")
    denied |= dict.fromkeys(("connect abstract", "signal"), "EPERM")
    assert tried("landlock.restrict(())") == denied


def test_what_is_allowed_goes_on_and_what_is_beside_it_does_not() -> None:
    layer = "landlock.restrict([(folder, landlock.REPLACE)])"
    names = ("open", "make", "rename", "remove")
    snippet = TRY.format(layer=layer, names=names)
    # a folder in it cannot be removed: only files are replaced
    expected = {"open": "EACCES", "make": "works", "rename": "works", "remove": "EACCES"}
    assert json.loads(python_output(snippet)) == expected


def test_a_descriptor_names_a_place_too_and_what_is_not_there_is_no_error() -> None:
    layer = (
        "landlock.restrict([(os.open('/etc', os.O_RDONLY), landlock.READ),"
        " (pathlib.Path('/no/such/place'), landlock.READ),"
        " (pathlib.Path('/etc/passwd'), landlock.REPLACE)])"
    )
    assert json.loads(python_output(TRY.format(layer=layer, names=("open", "make")))) == {
        "open": "works",
        "make": "EACCES",
    }


def test_threads_that_were_there_before_are_counted_where_the_kernel_does_not_bind_them() -> None:
    snippet = """
import ctypes
from infwasi_sign.adapters import landlock
from tests.confined import Waiting, ended
old = Waiting()
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
report = landlock.restrict(())
import os
attempt = lambda: {"open": ended(lambda: os.open("/etc/passwd", os.O_RDONLY))}
print(old.do(attempt)["open"], Waiting().do(attempt)["open"], *report.lacks)
"""
    old, new, *lacks = python_output(snippet).split(" ", 2)
    assert new == "EACCES"
    if old == "works":
        assert lacks == ["threads that were there before are not bound: 1"]
    else:  # from ABI 8 on
        assert (old, lacks) == ("EACCES", [])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ENOSYS", "this kernel, or the container's filter, has no Landlock (Linux 5.13)"),
        ("EOPNOTSUPP", "Landlock is switched off on this machine (boot parameter lsm=)"),
        ("EPERM", "the container does not allow it"),
    ],
)
def test_where_it_is_missing_it_says_why(code: str, reason: str) -> None:
    """As in a container: a filter that was there before answers in the kernel's place."""
    snippet = f"""
import ctypes, errno, struct
from infwasi_sign.adapters import landlock, seccomp
libc = ctypes.CDLL(None)
libc.prctl(38, 1, 0, 0, 0)
deny = (6, 0, 0, 0x50000 | errno.{code})
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), deny, (6, 0, 0, 0x7FFF0000)]
code = b"".join(struct.pack("=HBBI", *step) for step in steps)
import platform
seccomp._install(seccomp.ARCHITECTURES[seccomp.machine_name()], code)
report = landlock.restrict(())
print(report.standing, *report.lacks)
"""
    assert python_output(snippet) == f"missing {reason}"
