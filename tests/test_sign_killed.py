"""`sign` and `renew`, killed at every call: a reader finds the old package or the new one."""

import json
from pathlib import Path

import pytest

from tests.unprivileged import python_output

KILLED_AT_EACH_CALL = """
import errno, json, os, shutil, sys
from datetime import timedelta
from pathlib import Path
from infwasi_sign.adapters import package_writer
from infwasi_sign.adapters.sealing import KeySealer
from infwasi_sign.errors import InfwasiError
from infwasi_sign.renew import RenewRequest
from tests import forge
from tests.killing import die_at, is_killed_in_child
from tests.signing_support import SECURITY, add_signature, opened
from tests.test_renew import LATER, written

folder, what, system = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
CALLS = (
    *("mkdir", "open", "write", "fsync", "rename", "link", "unlink", "rmdir", "close"),
    *("scandir", "stat", "fstat"),
)
place = folder / "dist"
package = forge.make_package(folder / "ready")
target = place / package.name
plain_open, plain_link = os.open, os.link

def old_open(path, flags, *arguments, **named):
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        raise OSError(errno.EOPNOTSUPP, "no")
    return plain_open(path, flags, *arguments, **named)

def old_link(*arguments, **named):
    raise PermissionError(errno.EPERM, "no")

def act(number=None):
    verified, store = opened(target, now=LATER)
    if number is not None:
        die_at(number, CALLS, [(package_writer, "rename_at")])
    if what == "sign":
        add_signature(verified, store, KeySealer(signer=SECURITY))
    else:
        request = RenewRequest(issued_at=LATER, valid_for=timedelta(days=1), now=LATER)
        written(verified, store, KeySealer(signer=forge.TRUSTED), request)
    verified.close()

def seen():
    try:
        with opened(target, now=LATER)[0] as verified:
            if what == "sign":
                return "new" if verified.signatures.others else "old"
            return "new" if verified.manifest.issued_at == LATER else "old"
    except InfwasiError as error:
        return str(error)

if system == "old":
    os.open, os.link = old_open, old_link
number, is_killed = 0, True
while is_killed:
    number += 1
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    shutil.copytree(package, target)
    is_killed = is_killed_in_child(lambda: act(number))
    found = seen()
    if found == "old":
        act()  # whoever tries again succeeds, and clears up
    names = sorted(path.name for path in place.iterdir()) if found == "old" else None
    print(json.dumps([found, seen(), names, is_killed]))
"""


@pytest.mark.parametrize("what", ["sign", "renew"])
@pytest.mark.parametrize("system", ["new", "old"])
def test_killed_at_any_call_it_leaves_the_old_package_or_the_new_one(
    what: str, system: str, tmp_path: Path
) -> None:
    lines = python_output(KILLED_AT_EACH_CALL, tmp_path, what, system).splitlines()
    rounds = [json.loads(line) for line in lines]
    assert len(rounds) > 15
    assert {found for found, *_ in rounds} == {"old", "new"}
    assert {(found, is_killed) for found, _, _, is_killed in rounds if not is_killed} == {
        ("new", False)
    }
    for found, after, names, _ in rounds:
        assert after == "new"
        assert names == (["capital-1.0.0"] if found == "old" else None)
