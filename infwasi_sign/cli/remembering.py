"""What was accepted before: asked during verification, moved on only when the answer was yes."""

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from infwasi_sign.adapters.state_file import open_state
from infwasi_sign.domain.rollback import SequenceRecord
from infwasi_sign.ports import SequenceState

if TYPE_CHECKING:
    from infwasi_sign.verify import VerifiedPackage


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """The state of one policy."""

    state: SequenceState
    policy_id: str

    def known(self, package: str) -> SequenceRecord | None:
        """What was accepted of ``package``. Raises as `ports.SequenceState.read`."""
        return self.state.read(self.policy_id, package)

    def accept(self, package: "VerifiedPackage", now: datetime) -> str | None:
        """Remember a package that is about to run; gives a note if that cannot be done.

        Raises as `ports.SequenceState.advance`: also RefusedError, when another process accepted a
        newer release while this one was measured.
        """
        record = SequenceRecord(
            package=package.manifest.package_name,
            sequence=package.manifest.sequence,
            statement=package.statement_digest,
            accepted_at=now,
        )
        return self.state.advance(self.policy_id, record)


def open_memory(policy_id: str, *, required: bool) -> Memory:
    """The caller's state under one policy.

    Raises:
        UndecidedError: there is no place for it, and ``required`` demands one.
    """
    state = open_state(os.environ, os.geteuid(), required=required)
    return Memory(state=state, policy_id=policy_id)
