"""Declared facts for a command: a model-card.toml, or the front matter of a README.md."""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infwasi_sign.cli.output import say
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.project import MODEL_CARD_FILE
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infwasi_sign.domain.project import Project
    from infwasi_sign.domain.strict_json import JsonValue

# As much of a README as can be front matter, with the two lines around it.
_BEGINNING_BYTES: Final = max(LIMITS.toml_bytes, LIMITS.front_matter_bytes + 16)
_README_SUFFIXES: Final = frozenset({".md", ".markdown"})


def model_card_path(project: "Project", base: Path, flag: Path | None) -> Path | None:
    """The flag's file, else that of `[model-card]`, else a model-card.toml beside infwasi.toml."""
    if flag is not None:
        return flag
    if project.model_card_path is not None:
        return base / project.model_card_path
    beside = base / MODEL_CARD_FILE
    return beside if os.path.lexists(beside) else None


def read_model_card(path: Path) -> Declared:
    """Read what a file declares, and say how much it is.

    A name that ends in `.md`, or a first line `---`, means front matter.

    Raises:
        UndecidedError: there is no such file, or it is not what it must be.
    """
    try:
        data = read_beginning(path, _BEGINNING_BYTES + 1)
    except FileNotFoundError:
        raise UndecidedError("no such file", where=str(path)) from None
    if path.suffix.lower() in _README_SUFFIXES or data.startswith((b"---", b"\xef\xbb\xbf---")):
        from infwasi_sign.adapters.front_matter import read_front_matter

        found = read_front_matter(data, where=str(path))
        declared = found.declared
        if found.passed_over:
            say(f"note: passed over in {path}: {_listed(found.passed_over)}")
    else:
        from infwasi_sign.domain.declared_file import parse_model_card

        declared = parse_model_card(data, where=str(path))
    count = _facts(declared)
    facts = "one fact" if count == 1 else f"{count} facts"
    tagged = f"{facts} (tagged user-declared)"
    say(f"note: {path} declares {tagged if count else 'nothing'}")
    return declared


def say_what_is_unknown(bom: "Mapping[str, JsonValue]", package: Path) -> None:
    """How much of the G7's list the bill of materials cannot say, and who tells what is missing."""
    from infwasi_sign.domain.minimum_elements import judge
    from infwasi_sign.domain.minimum_elements_g7 import G7
    from infwasi_sign.domain.minimum_elements_view import State

    (judgement,) = judge(bom, [G7])
    if left := len(judgement.findings) - judgement.count(State.VALUE):
        say(
            f"note: the bill of materials does not know {left} of the G7's"
            f" {len(judgement.findings)} elements: infwasi bom check {package} says which"
        )


def read_beginning(path: Path, most: int) -> bytes:
    """The first bytes of a regular file.

    Raises:
        FileNotFoundError: there is none.
        UndecidedError: it cannot be read.
    """
    try:
        # O_NONBLOCK: a pipe without a writer would hold us up before we can refuse it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UndecidedError("not a regular file", where=str(path))
            return file.read(most)
    except FileNotFoundError:
        raise
    except OSError as error:
        from infwasi_sign.adapters.atomic import storage_error

        raise storage_error(error, path, "read the file") from error


def _facts(declared: Declared) -> int:
    """How many keys have a value; a table of an array counts as one."""
    from infwasi_sign.domain.declared_codec import declared_tree

    count = 0
    for part in declared_tree(declared).values():
        match part:
            case dict():
                count += sum(len(one) if isinstance(one, dict) else 1 for one in part.values())
            case list():
                count += len(part)
    return count


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    shown = ", ".join(name[:60] for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
