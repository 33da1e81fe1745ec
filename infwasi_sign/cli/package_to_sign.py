"""What `sign` and `renew` share: a package is verified, shown and agreed to before it is signed."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from infwasi_sign.adapters.native_host import library_digests
from infwasi_sign.adapters.package_editing import EditableStore
from infwasi_sign.cli.options import PackageOptions
from infwasi_sign.cli.output import failures_as_json, is_terminal, package_progress, say
from infwasi_sign.cli.remembering import open_memory
from infwasi_sign.cli.renderers import text_lines
from infwasi_sign.cli.signing import SigningOptions, opened_sealer
from infwasi_sign.cli.trusting import Trust, choose_trust
from infwasi_sign.cli.verdicts import accepted, circumstances
from infwasi_sign.cli.verification import verify_trusting
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.policy import Policy
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.verify import VerifiedPackage, VerifyRequest

if TYPE_CHECKING:
    from infwasi_sign.ports import Sealer


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageToSign:
    """A package that was verified by the caller's rules, and who signs it."""

    verified: VerifiedPackage
    trust: Trust
    store: EditableStore


@contextmanager
def package_to_sign(
    options: PackageOptions, policy: Policy, trust: Trust, now: datetime, *, renewing: bool = False
) -> Iterator[PackageToSign]:
    """Verify a package with every digest, and say on standard error what it is.

    ``policy`` is that of ``trust``, or less of it. What goes wrong is also said as JSON.
    """
    store = EditableStore()
    memory = open_memory(trust.policy_id, required=False)
    with package_progress() as progress:
        request = VerifyRequest(
            location=options.package,
            policy=policy,
            now=now,
            detached=() if options.model_path is None else (options.model_path,),
            progress=progress.update,
            on_claims=progress.begin,
            libraries=library_digests,
            known=memory.known,
            accept_jump=options.accept_jump,
            renewing=renewing,
        )
        verified = verify_trusting(request, trust, store)
    with verified:
        # It may be one that `verify` refuses: with too few signatures yet, or beyond its end.
        head, *rest = text_lines(accepted(verified, circumstances(options.package, now, policy)))
        for line in (head.replace("verified:", "to be signed:", 1), *rest):
            say(line)
        yield PackageToSign(verified=verified, trust=trust, store=store)


def chosen_trust(options: PackageOptions) -> Trust:
    """Whom to trust, with every digest of every entry."""
    return choose_trust(options.package, options.trust, digests=frozenset(Algorithm))


@contextmanager
def failures_told(options: PackageOptions, now: datetime) -> Iterator[None]:
    """What goes wrong, as JSON too where the caller reads JSON."""
    with failures_as_json(options.as_json, circumstances(options.package, now)):
        yield


@contextmanager
def sealer_by_consent(
    signing: SigningOptions, now: datetime
) -> Iterator[Callable[[str], "Sealer"]]:
    """Gives a function that asks a question and then gives whoever signs.

    A key is opened before, for a wrong passphrase is to be told before minutes of work; an identity
    only after the answer, for it is published by being used.
    """
    with ExitStack() as open_until_done:
        opened = opened_sealer(signing, None, now)
        sealer = None
        if signing.mode() in {SigningMode.KEY, SigningMode.CERTIFICATE}:
            sealer = open_until_done.enter_context(opened)

        def asked(question: str) -> "Sealer":
            _require_consent(signing, question)
            return sealer or open_until_done.enter_context(opened)

        yield asked


def _require_consent(signing: SigningOptions, question: str) -> None:
    """A person at a terminal is asked; without one, a key or an identity that was named is a yes.

    Raises:
        UndecidedError: the answer is no, or nobody named anybody who signs.
    """
    if signing.yes:
        return
    if is_terminal(sys.stdin):
        if not click.confirm(question, err=True):
            raise UndecidedError("nothing was signed")
    elif signing.mode() is None:
        raise UndecidedError(
            "nobody is there to be asked whether to sign",
            hint="name who signs, by --key or --identity-token; or say --yes",
        )
