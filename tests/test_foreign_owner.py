"""Files of root's, held without a copy: by whom they cannot be changed, and what root's changes do.

Everything about permissions runs as a user who owns nothing, and shows first what that user is
denied. The test itself is root, the owner who attacks.
"""

import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infwasi_sign.adapters import foreign_owner, guarded_file, holding, keys
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.run import run
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.fakes import FakeBackend, FakeModel, FakeStopFlag
from tests.test_run import ASK, FakeHost
from tests.unprivileged import python_output, start_unprivileged, unprivileged_output

CONTENT = b"model bytes " * 1000
CHANGED = (
    "the file changed while in use: its size, times, owner or mode are not what it was opened with"
)
PRELOAD = ("hashlib", "infwasi_sign.adapters.guarded_file", "infwasi_sign.adapters.foreign_owner")

DENIED = """
def denied(act):
    try:
        act()
    except OSError as e:
        return errno.errorcode[e.errno]
    return "done"
path = sys.argv[1]
print(*(denied(act) for act in (
    lambda: os.open(path, os.O_WRONLY),
    lambda: os.truncate(path, 1),
    lambda: os.chmod(path, 0o666),
    lambda: os.chown(path, os.getuid(), -1),
    lambda: os.utime(path, ns=(0, 0)),
)))
"""
# The fixture's file is new, which is one reason to copy it: a test of its own shows that.
OPEN = """
from infwasi_sign.adapters import foreign_owner
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.errors import RefusedError
foreign_owner._SETTLED_NS = 0
folder, name = os.path.split(sys.argv[1])
file = LocalFile.open(name, directory=os.open(folder, os.O_RDONLY), most_bytes=1 << 20)
"""
GUARD = OPEN + "print(file.guard().label, '/', file.level_reason)\n"
ALL_DENIED = "EACCES EACCES EPERM EPERM EPERM"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory of root's that others may enter, on a file system where an owner counts."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        descriptor = os.open(name, os.O_RDONLY)
        kind = holding.file_system_type(descriptor)
        os.close(descriptor)
        if kind not in foreign_owner._FILE_SYSTEMS:
            pytest.skip(f"an owner means nothing on this file system (type 0x{kind:x})")
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def model(folder: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("only root can be the owner")
    path = folder / "model.gguf"
    path.write_bytes(CONTENT)
    path.chmod(0o644)
    return path


# --- when it is reached ----------------------------------------------------------------------


def test_holds_a_file_of_roots_without_a_copy(model: Path) -> None:
    output = unprivileged_output(
        DENIED + OPEN + "before = file.fileno()\n"
        "print(file.guard().label, '/', file.level_reason)\n"
        "print(file.fileno() == before, file.still_held(), len(file.read(20000)))\n"
        "print(file.measure(frozenset({Algorithm.SHA256}))[Algorithm.SHA256].hex\n"
        "      == hashlib.sha256(file.read(20000)).hexdigest())",
        model,
        preload=PRELOAD,
    )
    assert output.splitlines() == [
        ALL_DENIED,
        "foreign-owner / the package states no fs-verity digest; "
        "a lease is denied: the file belongs to another user; "
        "no copy is made of what only root can change",
        "True True 12000",
        "True",
    ]


def test_copies_a_file_of_roots_where_more_is_demanded(model: Path) -> None:
    output = unprivileged_output(
        DENIED + OPEN + "print(file.guard(lambda level: level >= LoadLevel.SEALED_MEMFD).label)",
        model,
        preload=PRELOAD,
    )
    assert output.splitlines() == [ALL_DENIED, "sealed-memfd"]


def test_copies_a_file_that_was_changed_just_now(model: Path) -> None:
    os.utime(model)
    snippet = GUARD.replace(
        "foreign_owner._SETTLED_NS = 0\n", "foreign_owner._SETTLED_NS = 1 << 60\n"
    )
    output = unprivileged_output(snippet, model, preload=PRELOAD)
    assert output.startswith("sealed-memfd /")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_copies_a_file_that_others_can_write(mode: int, model: Path) -> None:
    model.chmod(mode)
    assert unprivileged_output(GUARD, model, preload=PRELOAD).startswith("sealed-memfd /")


def test_copies_a_file_that_an_access_control_list_lets_others_write(model: Path) -> None:
    # posix_acl_xattr.h: version 2, then (tag, permissions, id) each: owner, user 65534, group,
    # mask, others
    entries = ((1, 6, 2**32 - 1), (2, 6, 65534), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1))
    acl = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, perm, who in (*entries, (32, 4, 2**32 - 1))
    )
    try:
        os.setxattr(model, "system.posix_acl_access", acl)
    except OSError:
        pytest.skip("no access control lists on this file system")
    snippet = "print(os.access(sys.argv[1], os.W_OK))\n" + GUARD
    output = unprivileged_output(snippet, model, preload=PRELOAD)
    assert output.startswith("True\nsealed-memfd /")


def test_copies_a_file_of_another_user_than_root(model: Path) -> None:
    os.chown(model, 12345, 12345)
    output = unprivileged_output(DENIED + GUARD, model, preload=PRELOAD)
    assert output.startswith(f"{ALL_DENIED}\nsealed-memfd /")


def test_copies_a_file_from_where_an_owner_means_nothing(model: Path) -> None:
    output = unprivileged_output(
        GUARD.replace("foreign_owner._SETTLED_NS = 0\n", "foreign_owner._FILE_SYSTEMS = {}\n"),
        model,
        preload=PRELOAD,
    )
    assert output.startswith("sealed-memfd /")


PRIVILEGES = {
    "root": "",
    "root who steps back": "os.setresuid(65534, 65534, 0)\n",
    "a capability": "libc.prctl(8, 1, 0, 0, 0)\nos.setresuid(65534, 65534, 65534)\n",
}


@pytest.mark.parametrize("who", PRIVILEGES)
def test_who_could_change_it_is_not_held_back_by_its_owner(who: str, model: Path) -> None:
    output = python_output(
        "import ctypes, os, sys\nlibc = ctypes.CDLL(None)\n"
        "import infwasi_sign.adapters.guarded_file\n"
        "from infwasi_sign.adapters import foreign_owner\n"
        "foreign_owner._SETTLED_NS = 0\n"
        "descriptor = os.open(sys.argv[1], os.O_RDONLY)\n"
        f"{PRIVILEGES[who]}"
        "print(foreign_owner.obstacle_to_foreign_owner(descriptor))",
        model,
    )
    assert output == "the runner is root or has capabilities"


# --- what the owner does is noticed ----------------------------------------------------------

WAITING = (
    DENIED
    + GUARD
    + """
sys.stdout.flush()
sys.stdin.readline()
for use in (
    lambda: file.measure(frozenset({Algorithm.SHA256})), lambda: file.read(20000), file.require_same
):
    try:
        use()
        print("not noticed")
    except RefusedError as e:
        print(e.kind, "/", e)
"""
)


def rewrite(path: Path) -> None:
    before = path.stat()
    with path.open("r+b") as writer:
        writer.write(b"EVIL")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange_folder(path: Path) -> None:
    folder = path.parent
    folder.rename(f"{folder}.old")
    folder.mkdir(mode=0o755)
    path.write_bytes(b"EVIL" * 3000)


def attacked(attack: Callable[[Path], None], model: Path, snippet: str = WAITING) -> list[str]:
    with start_unprivileged(snippet, model, preload=PRELOAD) as child:
        assert child.stdout is not None
        denied, level = child.stdout.readline().strip(), child.stdout.readline()
        assert (denied, level.split(" / ")[0]) == (ALL_DENIED, "foreign-owner")
        attack(model)
        output, errors = child.communicate("go on\n", timeout=60)
    assert (child.returncode, errors) == (0, "")
    return output.splitlines()


OWNERS_ATTACKS: dict[str, Callable[[Path], None]] = {
    "rewrites it and sets the times back": rewrite,
    "cuts it short": lambda path: os.truncate(path, 100),
    "lets others write": lambda path: path.chmod(0o666),
    "gives it away": lambda path: os.chown(path, 65534, 65534),
}


@pytest.mark.parametrize("attack", OWNERS_ATTACKS)
def test_notices_that_the_owner(attack: str, model: Path) -> None:
    expected = f"level / {CHANGED} in model.gguf"
    assert attacked(OWNERS_ATTACKS[attack], model) == [expected] * 3


def written_through_a_mapping(model: Path, snippet: str) -> list[str]:
    """Somebody has the file mapped, with a page that is dirty already, and writes again."""
    with model.open("r+b") as writer, mmap.mmap(writer.fileno(), 0) as mapping:
        mapping[0:4] = b"VIL1"

        def attack(_: Path) -> None:
            mapping[0:4] = b"EVIL"

        return attacked(attack, model, snippet)


def test_notices_a_write_through_a_mapping_from_before(model: Path) -> None:
    expected = f"level / {CHANGED} in model.gguf"
    assert written_through_a_mapping(model, WAITING) == [expected] * 3


def test_control_without_writing_back_a_write_through_a_mapping_goes_unnoticed(model: Path) -> None:
    blind = WAITING.replace("_SETTLED_NS = 0", "_SETTLED_NS = 0\nos.fsync = lambda _: None")
    assert written_through_a_mapping(model, blind) == ["not noticed"] * 3


@pytest.fixture
def in_memory(model: Path) -> Iterator[Path]:
    """The same file on tmpfs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        Path(name).chmod(0o755)
        yield Path(shutil.copy(model, name))


def test_copies_a_file_from_tmpfs(in_memory: Path) -> None:
    assert unprivileged_output(GUARD, in_memory, preload=PRELOAD).startswith("sealed-memfd /")


def test_control_without_the_check_a_write_on_tmpfs_goes_unnoticed(in_memory: Path) -> None:
    blind = WAITING.replace(
        "_SETTLED_NS = 0", "_SETTLED_NS = 0\nforeign_owner._FILE_SYSTEMS = {0x1021994}"
    )
    assert written_through_a_mapping(in_memory, blind) == ["not noticed"] * 3


def test_keeps_the_open_file_when_its_folder_is_exchanged(model: Path) -> None:
    try:
        assert attacked(exchange_folder, model) == ["not noticed"] * 3  # nothing to notice
        snippet = (
            WAITING.partition("for use in")[0] + "print(file.read(20000) == b'model bytes ' * 1000)"
        )
        model.parent.rename(f"{model.parent}.new")
        Path(f"{model.parent}.old").rename(model.parent)
        Path(f"{model.parent}.new").rename(f"{model.parent}.evil")
        assert attacked(exchange_folder, model, snippet) == ["True"]
    finally:
        for name in (".old", ".evil"):
            subprocess.run(["rm", "-rf", f"{model.parent}{name}"], check=True)


def test_control_without_the_identity_a_rewritten_file_is_measured(model: Path) -> None:
    blind = WAITING.replace(
        "sys.stdin.readline()", "sys.stdin.readline()\nLocalFile.still_held = lambda _: True"
    )
    assert attacked(rewrite, model, blind) == ["not noticed"] * 3


@pytest.mark.parametrize(
    ("patch", "attack"),
    [
        ("foreign_owner._SHARED_WRITE = 0", lambda path: path.chmod(0o666)),
        ("foreign_owner._OWNER = 65534", lambda path: os.chown(path, 65534, 65534)),
    ],
    ids=["mode", "owner"],
)
def test_control_without_the_check_a_file_that_one_can_write_is_not_copied(
    patch: str, attack: Callable[[Path], None], model: Path
) -> None:
    attack(model)
    output = unprivileged_output(
        OPEN + "obstacle = foreign_owner.obstacle_to_foreign_owner\n"
        "print(obstacle(file.fileno()))\n"
        f"{patch}\n"
        "print(obstacle(file.fileno()))\n"
        "print(os.pwrite(os.open(sys.argv[1], os.O_WRONLY), b'EVIL', 0))",
        model,
        preload=PRELOAD,
    )
    before, *after = output.splitlines()
    assert "owner" in before or "belong" in before
    assert after == ["None", "4"]


def test_control_without_the_check_root_counts_as_shut_out(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_owner, "_SETTLED_NS", 0)
    with model.open("r+b") as file:
        assert foreign_owner.obstacle_to_foreign_owner(file.fileno()) is not None
        monkeypatch.setattr(foreign_owner, "_is_privileged", lambda: False)
        assert foreign_owner.obstacle_to_foreign_owner(file.fileno()) is None


# --- a run -----------------------------------------------------------------------------------


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the test is held to be somebody who cannot change the model."""
    monkeypatch.setattr(guarded_file, "take_read_lease", lambda _: "a lease is denied")
    monkeypatch.setattr(guarded_file, "obstacle_to_foreign_owner", lambda _: None)


@pytest.fixture
def package(tmp_path: Path, foreign: None) -> Iterator[VerifiedPackage]:
    location = forge.make_package(tmp_path)
    key = keys.parse_public_key(forge.TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=location,
        policy=Policy(package=NamedPackage(name="capital")),
        now=forge.NOW,
        hold=True,
    )
    with verify(
        request,
        store=DirectoryStore(),
        signatures=keys.KeyVerifier([keys.TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    ) as one:
        assert one.level is LoadLevel.FOREIGN_OWNER
        yield one


def model_of(folder: Path) -> Path:
    return folder / "capital-1.0.0" / "model.gguf"


class Loading(FakeBackend):
    """Another backend, that attacks before it loads."""

    def __init__(self, attack: Callable[[], None]) -> None:
        super().__init__()
        self.attack = attack

    def load(self, file: object, context_tokens: int) -> FakeModel:  # noqa: ARG002
        self.attack()
        return self.model


def begin(package: VerifiedPackage, backend: FakeBackend, host: FakeHost) -> list[str]:
    pieces: list[str] = []
    run(package, ASK, host=host, backend=backend, stop=FakeStopFlag(), on_piece=pieces.append)
    return pieces


def test_a_file_rewritten_between_hash_and_load_runs_nothing(
    package: VerifiedPackage, tmp_path: Path
) -> None:
    host = FakeHost()
    with pytest.raises(RefusedError) as refusal:
        begin(package, Loading(lambda: rewrite(model_of(tmp_path))), host)
    assert (refusal.value.kind, str(refusal.value)) == (
        RefusalKind.LEVEL,
        f"{CHANGED} in model.gguf",
    )
    assert host.granted == []


def test_a_file_rewritten_while_it_runs_says_nothing_more(
    package: VerifiedPackage, tmp_path: Path
) -> None:
    backend, pieces = FakeBackend(), list[str]()
    with pytest.raises(RefusedError) as refusal:
        run(
            package,
            ASK,
            host=FakeHost(act=lambda: rewrite(model_of(tmp_path))),
            backend=backend,
            stop=FakeStopFlag(),
            on_piece=pieces.append,
        )
    assert str(refusal.value) == f"{CHANGED} in model.gguf"
    assert (pieces, backend.model.is_closed) == (["Stock"], True)


def test_a_file_rewritten_after_the_last_piece_gives_no_result(
    package: VerifiedPackage, tmp_path: Path
) -> None:
    backend = FakeBackend()
    backend.model.close = lambda: rewrite(model_of(tmp_path))  # type: ignore[method-assign]
    with pytest.raises(RefusedError) as refusal:
        begin(package, backend, FakeHost())
    assert str(refusal.value) == f"{CHANGED} in model.gguf"


def test_control_without_the_second_look_both_are_answered(
    package: VerifiedPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFile, "require_same", lambda _: None)
    attack = lambda: rewrite(model_of(tmp_path))  # noqa: E731
    assert begin(package, Loading(attack), FakeHost(act=attack)) == ["Stock", "holm"]
