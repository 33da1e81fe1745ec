"""What each kind of refusal means, and what its reader can do: one table for text and machines."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from infwasi_sign.errors import InfwasiError, RefusalKind, RefusedError
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """One kind in a sentence; ``hint`` is what a refusal says that has no better one."""

    meaning: str
    hint: str


EXPLANATIONS: Final[Mapping[RefusalKind, Explanation]] = MappingProxyType(
    {
        RefusalKind.UNSIGNED: Explanation(
            meaning="The package has no signature, so nobody answers for it.",
            hint="get the signed package; who publishes it signs it with `infwasi pack --sign`",
        ),
        RefusalKind.MALFORMED: Explanation(
            meaning="Bytes are not what their format demands: damaged, or made to mislead.",
            hint="get a good copy from whoever made it; `infwasi inspect` shows what can be read",
        ),
        RefusalKind.SIGNATURE: Explanation(
            meaning="The signature does not belong to what it stands under.",
            hint="get the package again; if that does not help, do not use it, and tell its "
            "publisher",
        ),
        RefusalKind.SIGNER: Explanation(
            meaning="The signer is nobody whom the verifier trusts.",
            hint="trust a key only if its owner gave it to you by another way than the package",
        ),
        RefusalKind.DIGEST: Explanation(
            meaning="The bytes are not the bytes that were signed.",
            hint="get the package again from its publisher: these bytes were changed or damaged",
        ),
        RefusalKind.MISSING: Explanation(
            meaning="Something is not there that must be.",
            hint="the copy is incomplete: get the whole package again",
        ),
        RefusalKind.EXTRA: Explanation(
            meaning="Something is there that nobody signed.",
            hint="find out who put it there, or get the package again into an empty folder",
        ),
        RefusalKind.DISAGREE: Explanation(
            meaning="What is claimed and what the bytes say are two different things.",
            hint="whoever made it must build it again; a signature does not make a claim true",
        ),
        RefusalKind.POLICY: Explanation(
            meaning="A rule of the verifier does not permit it.",
            hint="use a package that meets the rule, or ask whoever keeps the policy",
        ),
        RefusalKind.EXPIRED: Explanation(
            meaning="The time for which the package was signed is over.",
            hint="ask its publisher for a newer package, and check the clock of this machine",
        ),
        RefusalKind.ROLLBACK: Explanation(
            meaning="The package is older than one that was accepted before.",
            hint="get the newest package from its publisher",
        ),
        RefusalKind.REVOKED: Explanation(
            meaning="The policy denies exactly this package, part, or signer.",
            hint="do not use it, and ask its publisher for a replacement",
        ),
        RefusalKind.LEVEL: Explanation(
            meaning="The bytes are not held as still, or the run is not confined as far, as is "
            "demanded.",
            hint="let nobody write to the file meanwhile; own it and keep it on ext4, xfs, btrfs "
            "or tmpfs",
        ),
        RefusalKind.LIMIT: Explanation(
            meaning="More is asked for than a bound permits.",
            hint="ask for no more than the bound; `infwasi inspect` shows the bounds of a package",
        ),
    }
)


def hint_for(error: InfwasiError) -> str | None:
    """The error's own hint, or else that of its kind."""
    if error.hint is None and isinstance(error, RefusedError):
        return EXPLANATIONS[error.kind].hint
    return error.hint
