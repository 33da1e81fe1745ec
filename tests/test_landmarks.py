"""Where strings of a header end: only what this user found in the very same bytes (ADR 24).

The attack is a landmark that hides a pair of the header; the controls show what it would do.
"""

import shutil
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign.adapters.cache_folder import CacheFolder
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.adapters.landmark_cache import LandmarkCache
from infwasi_sign.adapters.local_key import LocalKey, load_or_create_key
from infwasi_sign.adapters.measuring import blake3_digest, measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain import gguf_cursor
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.gguf import GgufHeader, parse
from infwasi_sign.domain.gguf_landmarks import LEAST_STRINGS, MOST, Landmarks
from infwasi_sign.domain.policy import NamedPackage, Policy
from infwasi_sign.errors import MalformedError, RefusedError
from infwasi_sign.verify import VerifyRequest, verify
from tests import forge
from tests.gguf_forge import PAIRS, WatchedSource, array, pair, string, text_pair, tiny_gguf

WORDS = [f"word-{number}" for number in range(2 * LEAST_STRINGS)]
VOCABULARY = pair("tokenizer.ggml.merges", 9, array(8, b"".join(map(string, WORDS)), len(WORDS)))
MODEL = tiny_gguf(pairs=(*PAIRS, VOCABULARY, text_pair("general.comment", "after")))
START = MODEL.index(string("word-0"))
END = START + sum(len(string(word)) for word in WORDS)


class Store:
    """A LandmarkStore in memory that believes whatever it is told."""

    def __init__(self, landmarks: Landmarks) -> None:
        self.landmarks = landmarks
        self.kept: list[tuple[Digest, bytes]] = []
        self.asked: list[Digest] = []

    def recall(self, model: Digest) -> Landmarks:
        self.asked.append(model)
        return self.landmarks

    def keep(self, model: Digest, landmarks: Landmarks) -> None:
        self.kept.append((model, landmarks.encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[CacheFolder]:
    opened = CacheFolder.open(tmp_path / "cache")
    assert opened is not None
    yield opened
    opened.close()


def key_of(folder: CacheFolder) -> LocalKey:
    key = load_or_create_key(folder)
    assert key is not None
    return key


def read(data: bytes, landmarks: Landmarks) -> GgufHeader:
    return parse(WatchedSource(data), landmarks=landmarks)


def found_in(data: bytes) -> Landmarks:
    landmarks = Landmarks()
    read(data, landmarks)
    return landmarks


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many strings each call of the hot loop was to step over."""
    counts: list[int] = []
    loop = gguf_cursor._skip_strings

    def counted(buffer: bytes, position: int, count: int) -> tuple[int, int]:
        counts.append(count)
        return loop(buffer, position, count)

    monkeypatch.setattr(gguf_cursor, "_skip_strings", counted)
    return counts


# --- reading ----------------------------------------------------------------------------------


def test_the_second_reading_steps_over_no_vocabulary_and_finds_the_same(steps: list[int]) -> None:
    first = found_in(MODEL)
    assert first.found == {(START, len(WORDS)): END}
    assert len(WORDS) in steps
    steps.clear()
    known = Landmarks.decode(first.encode())
    assert read(MODEL, known) == parse(WatchedSource(MODEL))
    assert steps.count(len(WORDS)) == 1  # that of the reading without
    assert known.found == {}


@pytest.mark.parametrize("place", [(START, len(WORDS) - 1), (START + 1, len(WORDS))])
def test_a_landmark_of_another_place_or_count_is_not_taken(
    place: tuple[int, int], steps: list[int]
) -> None:
    assert read(MODEL, Landmarks({place: END - 5})) == parse(WatchedSource(MODEL))
    assert steps.count(len(WORDS)) == 2


def test_short_arrays_are_no_landmarks_and_there_are_few() -> None:
    landmarks = Landmarks()
    landmarks.note(0, LEAST_STRINGS - 1, 9)
    assert landmarks.found == {}
    for number in range(2 * MOST):
        landmarks.note(number, LEAST_STRINGS, 9)
    assert len(landmarks.found) == MOST
    again = Landmarks.decode(landmarks.encode())
    again.note(MOST, LEAST_STRINGS, 9)
    assert (len(again._known), again.found) == (MOST, {})


@pytest.mark.parametrize("data", [b"x", bytes(25), bytes(24 * (MOST + 1))])
def test_what_is_not_of_the_form_says_nothing(data: bytes) -> None:
    assert Landmarks.decode(data).end_of(0, 0) is None


@pytest.mark.parametrize("end", [len(MODEL) + 1, 2**63])
def test_a_landmark_beyond_the_file_is_an_error_and_no_wait(end: int) -> None:
    with pytest.raises(MalformedError):
        read(MODEL, Landmarks({(START, len(WORDS)): end}))


# --- keeping ----------------------------------------------------------------------------------


def test_what_was_kept_is_recalled_for_the_same_bytes_alone(folder: CacheFolder) -> None:
    cache = LandmarkCache(folder, key_of(folder))
    cache.keep(blake3_digest(MODEL), found_in(MODEL))
    assert cache.recall(blake3_digest(MODEL)).end_of(START, len(WORDS)) == END
    assert cache.recall(blake3_digest(b"other")).end_of(START, len(WORDS)) is None


def names(folder: CacheFolder) -> Sequence[Path]:
    return sorted(folder.path.glob("*.landmarks"))


@pytest.mark.parametrize("attack", ["moved", "changed", "other key", "cut", "longer", "readable"])
def test_an_entry_that_is_not_ours_for_these_bytes_says_nothing(
    attack: str, folder: CacheFolder
) -> None:
    cache, model = LandmarkCache(folder, key_of(folder)), blake3_digest(MODEL)
    cache.keep(model, found_in(MODEL))
    (entry,) = names(folder)
    data = entry.read_bytes()
    match attack:
        case "moved":
            cache.keep(blake3_digest(b"other"), found_in(MODEL))
            other = next(path for path in names(folder) if path != entry)
            shutil.copy(other, entry)
        case "changed":
            entry.write_bytes(data[:-8] + struct.pack("<Q", END - 5))
        case "other key":
            cache = LandmarkCache(folder, LocalKey(b"k" * 32))
        case "cut":
            entry.write_bytes(data[:-1])
        case "longer":
            entry.write_bytes(data + bytes(24 * MOST))
        case "readable":
            entry.chmod(0o644)
    assert cache.recall(model).end_of(START, len(WORDS)) is None


def test_control_without_the_mac_a_changed_entry_is_believed(
    folder: CacheFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, model = LandmarkCache(folder, key_of(folder)), blake3_digest(MODEL)
    cache.keep(model, found_in(MODEL))
    (entry,) = names(folder)
    entry.write_bytes(entry.read_bytes()[:-8] + struct.pack("<Q", END - 5))
    monkeypatch.setattr(LocalKey, "is_mac", lambda *_: True)
    assert cache.recall(model).end_of(START, len(WORDS)) == END - 5


def test_what_another_process_is_writing_stays(folder: CacheFolder) -> None:
    aside = folder.path / ".code.0123456789abcdef.tmp"
    aside.write_bytes(bytes(1_000_000))
    LandmarkCache(folder, key_of(folder)).keep(blake3_digest(MODEL), found_in(MODEL))
    assert aside.exists()
    assert len(names(folder)) == 1


def test_a_folder_that_takes_nothing_is_no_error(folder: CacheFolder) -> None:
    cache = LandmarkCache(folder, key_of(folder))
    folder.close()
    cache.keep(blake3_digest(MODEL), found_in(MODEL))
    assert cache.recall(blake3_digest(MODEL)).end_of(START, len(WORDS)) is None


# --- verifying --------------------------------------------------------------------------------


def verified(package: Path, store: Store, **fields: Any) -> None:
    """One verification, which begins with what ``store`` knows."""
    key = parse_public_key(forge.TRUSTED.public_key(), where="key")
    fields.setdefault("policy", Policy(package=NamedPackage(name="capital")))
    request = VerifyRequest(location=package, now=forge.NOW, landmarks=store, **fields)
    verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier([TrustedKey(name="trusted", public_key=key)]),
        measure_bytes=measure_bytes,
    ).close()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge.make_package(tmp_path_factory.mktemp("landmarks"), model=MODEL)


def test_a_verification_keeps_what_it_found_and_the_next_one_uses_it(
    package: Path, steps: list[int]
) -> None:
    store = Store(Landmarks())
    verified(package, store)
    assert store.kept == [(blake3_digest(MODEL), found_in(MODEL).encode())]
    steps.clear()
    known = Store(Landmarks.decode(store.kept[0][1]))
    verified(package, known)
    assert (known.asked, known.kept) == ([blake3_digest(MODEL)], [])
    assert len(WORDS) not in steps


def test_of_a_model_whose_blake3_was_not_computed_nothing_is_asked(package: Path) -> None:
    only_sha256 = Policy(
        package=NamedPackage(name="capital"), digests=frozenset({Algorithm.SHA256})
    )
    store = Store(found_in(MODEL))
    verified(package, store, policy=only_sha256)
    assert (store.asked, store.kept) == ([], [])


def test_a_false_landmark_that_was_believed_is_refused_all_the_same(package: Path) -> None:
    """As far as it goes: the header's digest and facts are held to the signed ones as always."""
    behind = MODEL.index(b"general.comment") - 8
    assert behind == END
    after = len(text_pair("general.comment", "after"))
    store = Store(Landmarks({(START, len(WORDS)): END + after}))
    with pytest.raises(RefusedError):
        verified(package, store)
    assert store.kept == []


def test_nothing_is_kept_of_a_package_that_is_refused(tmp_path: Path) -> None:
    package = forge.make_package(tmp_path, model=MODEL)
    with forge.lie(package) as said:
        said["predicate"]["models"][0]["architecture"] = "other"
    store = Store(Landmarks())
    with pytest.raises(RefusedError):
        verified(package, store)
    assert store.kept == []
