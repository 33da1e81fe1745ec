"""fs-verity: our digest against another's, the door to the kernel, and what `guard` makes of both.

What a kernel that has it does stands in tests/verity; here the kernel is a fake, but for what every
kernel says where there is none.
"""

import base64
import ctypes
import fcntl
import hashlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign import measure_entries
from infwasi_sign.adapters import fs_verity, guarded_file
from infwasi_sign.adapters.fs_verity import KernelDigest
from infwasi_sign.adapters.guarded_file import LocalFile
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.cli.verdicts import accepted, circumstances
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.fs_verity import FsVerityHash
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import FsVerity
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify
from tests import forge
from tests.command_line import make_timeless
from tests.policy_support import BLAKE3, MINIMAL, load
from tests.test_result import require_fits

KIB: Final = 1024
SALT: Final = "80" + "00" * 30 + "07"

# By `fsverity digest` of fsverity-utils 1.5 (Debian's package fsverity 1.5-1.1), of the bytes
# i * i % 251: size, block size, salt, digest.
VECTORS: Final = [
    (0, 4096, "", "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"),
    (1, 4096, "", "b803429503d95915829b29fdbc8bbad142f3abfd11b1cadf5526582e685c0551"),
    (4095, 4096, "", "7b1a27907a07a0f6b0e8b87c9a3a4531c1dc9022216ba0a5c550f5c05741e6dc"),
    (4096, 4096, "", "9d106808423ca6675114d5168db41c8d36a354bbeec989321d5ad2cca0c25234"),
    (4097, 4096, "", "0c964880091132fbd34ce5cea1eea900f7084d11d4ac9a289d14619e1e037e6b"),
    # 128 digests fill a block: a tree of two levels ends, one of three begins
    (512 * KIB, 4096, "", "a3d99892f5cf1edf019187fd2d1232b9fb4640c6f4dcd345d31fbaf710320019"),
    (512 * KIB + 1, 4096, "", "a23ec84ee9b608eb186c5e9093ae1beb546de1939a275b727f26aeb6c60f3f9d"),
    (1024 * KIB + 1, 4096, "", "103f535faf644c062a74dce87d80b22055c1f96fd88d78eb64dcaf9d255d36ba"),
    (1, 1024, "", "564b7eb7ffda106d78a6b4aa080769012ec9a79ad64e0bff064211de3640fd52"),
    (33 * KIB, 1024, "", "3702ba00ce3d8d07ded8e0f9b622b335b1eb80275f9ad9e4423adbfff6de72d3"),
    (1025 * KIB, 1024, "", "df76a59a01059c406bddca0c2622483cb87ea3cfdb445c3daed0276a72a27910"),
    (70000, 65536, "", "ba4e52b8a7ba98199ac47d0c6c2a6086100f2af19a62c46ae7ccb13b3cdbd3ab"),
    (4097, 4096, "00ff", "ad597f4064b4e9563e0d7d543d3053f486fb9382163e0e20de95a13bda82de26"),
    (
        1024 * KIB + 1,
        4096,
        SALT,
        "a4f62456e85cdf1fca3988f0c2cbf8db896e7b83a901cb869625ec2fd1b23750",
    ),
]


def content(size: int) -> bytes:
    return bytes(index * index % 251 for index in range(size))


def hash_of(data: bytes, block_size: int = 4096, salt: str = "") -> FsVerityHash:
    made = FsVerityHash(block_size=block_size, salt=bytes.fromhex(salt))
    made.update(data)
    return made


# --- the digest ------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "block_size", "salt", "digest"), VECTORS)
def test_the_digest_is_that_of_fsverity_utils(
    size: int, block_size: int, salt: str, digest: str
) -> None:
    made = hash_of(content(size), block_size, salt)
    assert made.stated() == FsVerity(digest=digest, block_size=block_size, salt=salt)


@given(st.lists(st.integers(0, 9000), max_size=40))
def test_pieces_give_the_digest_of_the_whole(sizes: list[int]) -> None:
    data = content(sum(sizes))
    made, at = FsVerityHash(), 0
    for size in sizes:
        made.update(memoryview(data)[at : at + size])
        made.digest()  # asking changes nothing
        at += size
    assert made.hexdigest() == hash_of(data).hexdigest()


@given(st.integers(0, 20_000), st.integers(0, 7))
def test_any_flipped_bit_gives_another_digest(at: int, bit: int) -> None:
    data = bytearray(content(20_001))
    data[at] ^= 1 << bit
    assert hash_of(bytes(data)).hexdigest() != hash_of(content(20_001)).hexdigest()


@pytest.mark.parametrize("block_size", [0, 512, 1000, 131_072])
def test_a_block_size_that_linux_has_not_is_a_programming_error(block_size: int) -> None:
    with pytest.raises(ValueError, match=f"not a block size: {block_size}"):
        FsVerityHash(block_size=block_size)


def test_a_salt_that_has_no_room_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="not a salt: 33 bytes"):
        FsVerityHash(salt=bytes(33))


def test_pack_states_the_digest_of_the_model(place: Path) -> None:
    package = place / "capital-1.0.0"
    bundle = json.loads((package / "manifest.sigstore.json").read_text())
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    stated = {entry["name"]: entry.get("fsVerity") for entry in payload["predicate"]["entries"]}
    digest = hash_of((package / "model.gguf").read_bytes()).hexdigest()
    assert stated == {
        "app.wasm": None,
        "bom.cdx.json": None,
        "model.gguf": {"digest": digest, "blockSize": 4096, "salt": ""},
    }


# --- the door to the kernel ------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    make_timeless(tmp_path)
    return tmp_path


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "model.gguf"
    path.write_bytes(content(5000))
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def test_where_there_is_none_the_kernel_is_not_asked() -> None:
    file = os.memfd_create("x")
    assert fs_verity.kernel_digest(file) == "no fs-verity on this file system (type 0x1021994)"
    assert fs_verity.enable(file) == "no fs-verity on this file system (type 0x1021994)"
    os.close(file)


def test_who_serves_a_file_system_is_not_believed(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", Kernel(content(5000)))
    monkeypatch.setattr(fs_verity, "file_system_type", lambda _: 0x65735546)
    assert fs_verity.obstacle_to_fs_verity(
        descriptor, hash_of(content(5000)).stated(), "model.gguf"
    ) == ("no fs-verity on this file system (type 0x65735546)")


def test_control_without_that_check_fuse_says_what_it_likes(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "ioctl", Kernel(b"what was signed"))
    monkeypatch.setattr(fs_verity, "_obstacle_of_place", lambda _: None)
    stated = hash_of(b"what was signed").stated()
    assert fs_verity.obstacle_to_fs_verity(descriptor, stated, "model.gguf") is None


def test_a_real_kernel_without_it_says_why(descriptor: int) -> None:
    said = fs_verity.kernel_digest(descriptor)
    if isinstance(said, KernelDigest):
        pytest.fail("fs-verity is on, and nobody switched it on")
    assert "fs-verity" in said


class Kernel:
    """What a kernel with fs-verity answers, for a file of these bytes."""

    def __init__(self, data: bytes, **parameters: Any) -> None:
        self.hash = hash_of(data, **parameters)
        self.algorithm = 1
        self.has_metadata = True

    def __call__(self, _: int, request: int, argument: Any) -> None:
        match request:
            case 0xC0046686:
                digest = self.hash.digest()
                if self.algorithm == 2:
                    digest = hashlib.sha512(digest).digest()
                argument[: 4 + len(digest)] = (
                    struct.pack("=HH", self.algorithm, len(digest)) + digest
                )
            case 0xC0286687 if self.has_metadata:
                kind, offset, length, address, _reserved = struct.unpack("=5Q", argument)
                assert (kind, offset, length) == (2, 0, 256)
                data = self.hash._descriptor()
                ctypes.memmove(address, data, len(data))
            case 0xC0286687:
                raise OSError(25, "not a typewriter")
            case _:
                raise AssertionError(hex(request))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[Kernel], None]:
    """Switches the kernel that is asked."""

    def switch(fake: Kernel) -> None:
        monkeypatch.setattr(fcntl, "ioctl", fake)
        monkeypatch.setattr(fs_verity, "_obstacle_of_place", lambda _: None)

    return switch


def test_what_the_kernel_says_is_read(descriptor: int, kernel: Callable[[Kernel], None]) -> None:
    kernel(Kernel(content(5000), block_size=1024, salt="00ff"))
    assert fs_verity.kernel_digest(descriptor) == KernelDigest(
        algorithm=1,
        digest=hash_of(content(5000), 1024, "00ff").digest(),
        block_size=1024,
        salt=b"\0\xff",
    )


def test_before_linux_5_12_the_parameters_stay_unknown(
    descriptor: int, kernel: Callable[[Kernel], None]
) -> None:
    old = Kernel(content(5000))
    old.has_metadata = False
    kernel(old)
    found = fs_verity.kernel_digest(descriptor)
    assert isinstance(found, KernelDigest)
    assert (found.block_size, found.salt) == (None, None)


# --- the rung --------------------------------------------------------------------------------

DIFFERS = "the fs-verity digest differs from what was signed in model.gguf (expected sha256:"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LocalFile]:
    (tmp_path / "model.gguf").write_bytes(content(5000))
    directory = os.open(tmp_path, os.O_RDONLY)
    opened = LocalFile.open("model.gguf", directory=directory, most_bytes=1 << 20)
    os.close(directory)
    yield opened
    opened.close()


def never(*_: object) -> str | None:
    raise AssertionError("a lower rung was tried")


def test_what_the_kernel_holds_needs_no_lease_and_no_copy(
    file: LocalFile, kernel: Callable[[Kernel], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(Kernel(content(5000)))
    for rung in ("take_read_lease", "obstacle_to_foreign_owner", "sealed_copy", "private_copy"):
        monkeypatch.setattr(guarded_file, rung, never)
    before = file.fileno()
    assert file.guard(stated=hash_of(content(5000)).stated()) is LoadLevel.FS_VERITY
    assert (file.level_reason, file.still_held(), file.fileno()) == ("", True, before)
    assert file.read(5000) == content(5000)


@pytest.mark.parametrize("has_metadata", [True, False])
def test_a_file_that_the_kernel_holds_to_another_digest_is_refused(
    has_metadata: bool, file: LocalFile, kernel: Callable[[Kernel], None]
) -> None:
    other = Kernel(b"another model")
    other.has_metadata = has_metadata
    kernel(other)
    stated = hash_of(content(5000)).stated()
    with pytest.raises(RefusedError) as refusal:
        file.guard(stated=stated)
    assert refusal.value.kind is RefusalKind.DIGEST
    got = hash_of(b"another model").hexdigest()
    assert str(refusal.value) == f"{DIFFERS}{stated.digest}, got sha256:{got})"


def test_control_without_the_comparison_another_model_is_held(
    file: LocalFile, kernel: Callable[[Kernel], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(Kernel(b"another model"))
    monkeypatch.setattr(fs_verity, "require_same_verity", lambda *_: None)
    assert file.guard(stated=hash_of(content(5000)).stated()) is LoadLevel.FS_VERITY


OTHERS = [
    ("fs-verity is on with another hash function (number 2)", 2, 4096, ""),
    (
        "fs-verity is on with other parameters than the signed ones (block size 1024, salt none)",
        *(1, 1024, ""),
    ),
    (
        "fs-verity is on with other parameters than the signed ones (block size 4096, salt 00ff)",
        *(1, 4096, "00ff"),
    ),
]


@pytest.mark.parametrize(("reason", "algorithm", "block_size", "salt"), OTHERS)
def test_a_digest_of_another_kind_says_nothing_and_the_next_rung_is_tried(  # noqa: PLR0917 - a table
    reason: str,
    algorithm: int,
    block_size: int,
    salt: str,
    file: LocalFile,
    kernel: Callable[[Kernel], None],
) -> None:
    other = Kernel(content(5000), block_size=block_size, salt=salt)
    other.algorithm = algorithm
    kernel(other)
    level = file.guard(stated=hash_of(content(5000)).stated())
    assert level < LoadLevel.FS_VERITY
    assert file.level_reason.startswith(reason)


def test_without_a_statement_the_kernel_is_not_asked(
    file: LocalFile, kernel: Callable[[Kernel], None]
) -> None:
    kernel(Kernel(b"another model"))
    assert file.guard() < LoadLevel.FS_VERITY
    assert file.level_reason.startswith("the package states no fs-verity digest")


# --- a verification --------------------------------------------------------------------------


def verified(place: Path, policy: Policy, *, hold: bool = True) -> VerifiedPackage:
    key = parse_public_key(forge.TRUSTED.public_key(), where="key")
    request = VerifyRequest(
        location=place / "capital-1.0.0", policy=policy, now=forge.NOW, hold=hold
    )
    return verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    )


@pytest.fixture
def protected(place: Path, kernel: Callable[[Kernel], None]) -> Path:
    """A package whose model the kernel holds to what was signed."""
    kernel(Kernel((place / "capital-1.0.0" / "model.gguf").read_bytes()))
    return place


def computed(package: VerifiedPackage) -> dict[str, str]:
    value: Any = accepted(package, circumstances(Path("x"), forge.NOW)).to_json()
    require_fits(value)
    (model,) = [entry for entry in value["entries"] if entry["role"] == "model"]
    found: dict[str, str] = model["computed"]
    return found


def test_a_model_that_the_kernel_has_measured_is_not_hashed(
    protected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalFile, "measure", never)
    stated = hash_of((protected / "capital-1.0.0" / "model.gguf").read_bytes()).hexdigest()
    with verified(protected, Policy(package=NamedPackage(name="capital"))) as package:
        assert (package.level, package.level_reason) == (LoadLevel.FS_VERITY, "")
        assert computed(package) == {"fs-verity": stated}


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ("", set()),
        ('[digests]\nrequire = ["sha256"]\n', {"sha256"}),
        ('[digests]\nrequire = ["blake3", "sha256"]\n', {"blake3", "sha256"}),
        ('[model]\ndigests = ["sha256:{sha256}"]\n', {"sha256"}),
        (
            '[[rule]]\ncel = \'model_digests.exists(d, d == "sha256:{sha256}")\'\nmessage = "x"\n',
            {"blake3", "sha256"},
        ),
    ],
)
def test_a_digest_that_a_policy_names_is_computed_all_the_same(
    rules: str, named: set[str], protected: Path
) -> None:
    data = (protected / "capital-1.0.0" / "model.gguf").read_bytes()
    text = MINIMAL + rules.replace("{sha256}", hashlib.sha256(data).hexdigest())
    policy = load(protected, text).policy(NamedPackage(name="capital"), BLAKE3)
    with verified(protected, policy) as package:
        assert set(computed(package)) == named | {"fs-verity"}
        assert package.level is LoadLevel.FS_VERITY


def test_what_is_not_held_is_hashed(protected: Path) -> None:
    with verified(protected, Policy(package=NamedPackage(name="capital")), hold=False) as package:
        assert set(computed(package)) == {"blake3"}


ALL = Policy(package=NamedPackage(name="capital"), digests=frozenset(Algorithm))


def test_who_computes_every_digest_computes_that_of_fs_verity_too(place: Path) -> None:
    with verified(place, ALL, hold=False) as package:
        assert set(computed(package)) == {"blake3", "fs-verity", "sha256"}
    with forge.lie(place / "capital-1.0.0") as value:
        value["predicate"]["entries"][2]["fsVerity"]["digest"] = "ab" * 32
    with pytest.raises(RefusedError, match="the fs-verity digest differs") as refusal:
        verified(place, ALL, hold=False)
    assert refusal.value.kind is RefusalKind.DIGEST


def test_control_without_the_comparison_a_signers_other_digest_passes(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forge.lie(place / "capital-1.0.0") as value:
        value["predicate"]["entries"][2]["fsVerity"]["digest"] = "ab" * 32
    monkeypatch.setattr(measure_entries, "require_same_verity", lambda *_: None)
    verified(place, ALL, hold=False).close()


def test_another_model_under_fs_verity_is_refused_before_it_is_hashed(
    place: Path, kernel: Callable[[Kernel], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel(Kernel(b"another model"))
    monkeypatch.setattr(LocalFile, "measure", never)
    with pytest.raises(RefusedError, match="the fs-verity digest differs") as refusal:
        verified(place, Policy(package=NamedPackage(name="capital")))
    assert refusal.value.kind is RefusalKind.DIGEST


def test_a_digest_that_is_demanded_is_still_held_to_the_statement(
    protected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The signer's two digests are of two files: only whoever demands one of them can see it.
    model = protected / "capital-1.0.0" / "model.gguf"
    signed = model.read_bytes()
    model.write_bytes(signed[:-1] + bytes((signed[-1] ^ 1,)))
    policy = Policy(
        package=NamedPackage(name="capital"), named_digests=frozenset({Algorithm.BLAKE3})
    )
    with pytest.raises(RefusedError, match="the model differs from what was signed"):
        verified(protected, policy)
