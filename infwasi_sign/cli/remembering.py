"""What was accepted before: asked during verification, moved on only when the answer was yes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from infwasi_sign.adapters.state_file import open_state
from infwasi_sign.adapters.state_folder import NotKeptError
from infwasi_sign.cli.output import say
from infwasi_sign.domain.rollback import SequenceRecord
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import SequenceState
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.adapters.identity_cache import LocalIdentityCache
    from infwasi_sign.domain.policy import Policy
    from infwasi_sign.verify import VerifiedPackage


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """The state of one policy; ``demanded_at`` is the line of it that demands that one is kept."""

    state: SequenceState
    policy_id: str
    demanded_at: str | None = None

    def known(self, package: str) -> SequenceRecord | None:
        """What was accepted of ``package``. Raises as `ports.SequenceState.read`."""
        with _naming_the_demand(self.demanded_at):
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
        with _naming_the_demand(self.demanded_at):
            return self.state.advance(self.policy_id, record)


def open_memory(policy_id: str, *, required: bool, demanded_at: str | None = None) -> Memory:
    """The caller's state under one policy.

    ``required`` is what the caller demands, ``demanded_at`` the line of the policy that does; the
    policy counts where something is accepted.

    Raises:
        UndecidedError: there is no place for it, and one of them demands one.
    """
    with _naming_the_demand(demanded_at):
        is_required = required or demanded_at is not None
        state = open_state(os.environ, os.geteuid(), required=is_required)
    return Memory(state=state, policy_id=policy_id, demanded_at=demanded_at)


def open_identity_cache(policy: "Policy", *, paranoid: bool) -> "LocalIdentityCache | None":
    """What earlier runs measured, where the policy allows it and the caller does not forbid it."""
    if paranoid or not policy.may_use_identity_cache:
        return None
    from infwasi_sign.adapters.identity_cache import LocalIdentityCache

    cache = LocalIdentityCache.open(os.environ, os.geteuid())
    if cache is None:
        say("note: the model is hashed: there is no cache folder that is ours alone")
    return cache


def close_identity_cache(cache: "LocalIdentityCache | None") -> None:
    """Nothing is asked of it any more; say why a model was hashed in spite of it."""
    if cache is not None:
        cache.close()
        if cache.reason is not None:
            say(f"note: the model was hashed: {cache.reason}")


@contextmanager
def _naming_the_demand(demanded_at: str | None) -> Iterator[None]:
    """Say whose demand it is that nothing can be kept."""
    try:
        yield
    except NotKeptError as error:
        if demanded_at is None:
            raise
        raise UndecidedError(
            "the policy demands that what was accepted is remembered",
            where=demanded_at,
            got=error.sentence(),
            hint=error.hint,
        ) from error
