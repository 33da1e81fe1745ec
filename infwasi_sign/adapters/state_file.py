"""What was accepted before, one file per policy in the state folder."""

from collections.abc import Mapping
from typing import Final

from infwasi_sign.adapters.state_folder import NotKeptError, StateFolder, state_folder
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.rollback import (
    SequenceRecord,
    encode_state,
    parse_state,
    require_successor,
)
from infwasi_sign.errors import MalformedError, UndecidedError
from infwasi_sign.ports import SequenceState
from infwasi_sign.quick_dataclass import dataclass

_SUFFIX: Final = ".json"
_HEX: Final = frozenset("0123456789abcdef")


class StateFile:
    """Remembers the highest accepted sequence of each package; implements `ports.SequenceState`.

    Where nothing can be kept and nobody demands it (``required`` is false), `read` knows nothing
    and `advance` says why in a note.
    """

    def __init__(self, folder: StateFolder, *, required: bool = True) -> None:
        self.folder = folder
        self._required = required

    def read(self, policy_id: str, package: str) -> SequenceRecord | None:
        """What was accepted of ``package`` under the policy.

        Raises:
            UndecidedError: the state is damaged, unreadable, or could have been changed by others.
        """
        try:
            records = self.records(policy_id)
        except NotKeptError:
            if self._required:
                raise
            return None
        return next((record for record in records if record.package == package), None)

    def advance(self, policy_id: str, record: SequenceRecord) -> str | None:
        """Remember that a package was accepted; gives a note if that was neither done nor demanded.

        Raises:
            RefusedError: kind `rollback`; meanwhile another process accepted a newer one.
            UndecidedError: as `read`, or nothing can be written.
        """

        def change(data: bytes | None) -> bytes | None:
            records = {known.package: known for known in self._parse(policy_id, data)}
            if (known := records.get(record.package)) is not None and _is_known(known, record):
                return None
            records[record.package] = record
            if len(records) > LIMITS.state_packages:
                raise UndecidedError(
                    "the state is full",
                    where=str(self.folder.path / _file_name(policy_id)),
                    expected=f"at most {LIMITS.state_packages} packages",
                    hint="`infwasi state reset PACKAGE` forgets one",
                )
            return encode_state(policy_id, records.values())

        try:
            known = self.read(policy_id, record.package)
            if known is None or not _is_known(known, record):  # else a read-only folder does
                self.folder.update(_file_name(policy_id), change)
        except NotKeptError as e:
            if self._required:
                raise
            return _note(e)
        return None

    def policies(self) -> tuple[str, ...]:
        """The ids of the policies under which something was accepted."""
        names = (name.removesuffix(_SUFFIX) for name in self.folder.names())
        return tuple(name for name in names if _is_policy_id(name))

    def records(self, policy_id: str) -> tuple[SequenceRecord, ...]:
        """All that was accepted under a policy, sorted by name. Raises as `read`."""
        return self._parse(policy_id, self.folder.read(_file_name(policy_id)))

    def forget(self, policy_id: str, package: str) -> None:
        """Let the next release of ``package`` be as the first. Raises as `advance`."""

        def change(data: bytes | None) -> bytes | None:
            records = self._parse(policy_id, data)
            kept = [record for record in records if record.package != package]
            return None if len(kept) == len(records) else encode_state(policy_id, kept)

        self.folder.update(_file_name(policy_id), change)

    def _parse(self, policy_id: str, data: bytes | None) -> tuple[SequenceRecord, ...]:
        if data is None:
            return ()
        name = _file_name(policy_id)
        try:
            return parse_state(data, policy=policy_id, where=name)
        except MalformedError as e:
            raise self.folder.damaged(name, e) from e


@dataclass(frozen=True, slots=True)
class NoState:
    """Remembers nothing, and says so each time; implements `ports.SequenceState`."""

    reason: NotKeptError

    def read(self, policy_id: str, package: str) -> SequenceRecord | None:  # noqa: ARG002 -- the port's signature
        """Nothing is known of any package."""
        return None

    def advance(self, policy_id: str, record: SequenceRecord) -> str:  # noqa: ARG002 -- the port's signature
        """The note that nothing was remembered."""
        return _note(self.reason)


def open_state(environment: Mapping[str, str], user: int, *, required: bool) -> SequenceState:
    """The state of ``user``, whether or not anything is there yet.

    Raises:
        UndecidedError: there is no place for it, and ``required`` demands one.
    """
    try:
        folder = state_folder(environment, user)
    except NotKeptError as e:
        if required:
            raise
        return NoState(e)
    return StateFile(StateFolder(folder), required=required)


def _file_name(policy_id: str) -> str:
    if not _is_policy_id(policy_id):  # it becomes a file name
        raise UndecidedError(
            "not a policy id", expected="64 lower-case hex digits", got=ascii(policy_id[:80])
        )
    return f"{policy_id}{_SUFFIX}"


def _is_policy_id(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)


def _is_known(known: SequenceRecord, record: SequenceRecord) -> bool:
    """Whether ``record`` says nothing new; raises RefusedError if it may not follow ``known``."""
    require_successor(
        known, package=record.package, sequence=record.sequence, statement=record.statement
    )
    return known.sequence == record.sequence


def _note(reason: NotKeptError) -> str:
    return f"{reason.sentence()}; an older release will not be noticed"
