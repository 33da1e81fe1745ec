"""What the tests of the state share: records, a state, and how child processes begin."""

from datetime import UTC, datetime
from pathlib import Path

from infwasi_sign.adapters.state_file import StateFile
from infwasi_sign.adapters.state_folder import StateFolder
from infwasi_sign.domain.rollback import SequenceRecord
from tests.test_rollback import POLICY, statement

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
FILE = f"{POLICY}.json"


def record(sequence: int, text: str | None = None, package: str = "capital") -> SequenceRecord:
    of = statement(str(sequence) if text is None else text)
    return SequenceRecord(package=package, sequence=sequence, statement=of, accepted_at=NOW)


def state(folder: Path, *, required: bool = True) -> StateFile:
    return StateFile(StateFolder(folder), required=required)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


PRELUDE = """
import json, os, signal, sys
from pathlib import Path
from infwasi_sign.adapters.state_file import StateFile
from infwasi_sign.adapters.state_folder import StateFolder
from infwasi_sign.errors import InfwasiError
from tests.state_support import POLICY, record

folder = Path(sys.argv[1])

def state(required=True):
    return StateFile(StateFolder(folder), required=required)

def outcome(act):
    try:
        return act()
    except OSError as error:
        return f"denied: {error.strerror}"
    except InfwasiError as error:
        return str(error)
"""
