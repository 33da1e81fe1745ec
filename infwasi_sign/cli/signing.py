"""What `pack`, `sign` and `renew` share: who signs, and what they are told before."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from infwasi_sign.cli.options import gathered_as, passphrase_options, passphrase_source
from infwasi_sign.cli.output import say
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.errors import UndecidedError
from infwasi_sign.quick_dataclass import dataclass

if TYPE_CHECKING:
    from infwasi_sign.adapters.sigstore_signer import Token
    from infwasi_sign.domain.trust_root import TrustRoot
    from infwasi_sign.ports import Sealer

TOKEN_VARIABLE: Final = "INFWASI_IDENTITY_TOKEN"  # noqa: S105 - its name, not its value
_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, kw_only=True, slots=True)
class SigningOptions:
    """What the command line says of who signs; the names are those of the parameters."""

    key_reference: str | None = None
    passphrase_fd: int | None = None
    passphrase_file: Path | None = None
    certificate: Path | None = None
    certificate_chain: Path | None = None
    timestamp_url: str | None = None
    identity_token: str | None = field(default=None, repr=False)  # as secret as a key
    trust_config: Path | None = None
    yes: bool = False

    def mode(self) -> SigningMode | None:
        """The mode that the options are for; ``None`` if they name nobody.

        Raises:
            UndecidedError: they are for several, or a token is empty.
        """
        is_keyless = self.identity_token is not None or self.trust_config is not None
        has_passphrase = self.passphrase_fd is not None or self.passphrase_file is not None
        if has_passphrase and self.key_reference is None:  # else a forgotten key is a publication
            raise UndecidedError("a passphrase needs its key", expected="--key")
        if self.identity_token is not None and not self.identity_token.strip():
            raise UndecidedError(
                "the identity token is empty",
                where="--identity-token",
                hint="give one, or leave the option out",
            )
        if self.key_reference is not None and is_keyless:
            raise UndecidedError(
                "a key and an identity are named",
                hint="one of them signs: leave out the other",
            )
        if self.certificate is not None:
            if self.key_reference is None:
                raise UndecidedError("a certificate needs its key", expected="--key")
            return SigningMode.CERTIFICATE
        if self.certificate_chain is not None or self.timestamp_url is not None:
            raise UndecidedError("chain and timestamp go with --certificate")
        if self.key_reference is not None:
            return SigningMode.KEY
        return SigningMode.KEYLESS if is_keyless else None

    def is_repeatable(self, pinned: SigningMode | None) -> bool:
        """Whether signing the same again is by the same signer in all bytes but the signature.

        A short-lived certificate and a timestamp are new each time; and nothing is published of a
        package that cannot be written afterwards.
        """
        mode = self.mode() or pinned
        return mode is SigningMode.KEY or (
            mode is SigningMode.CERTIFICATE and self.timestamp_url is None
        )


def signing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Who signs: parameter ``signing``."""

    decorated = gathered_as("signing", SigningOptions, command)
    for option in (
        click.option(
            "--yes",
            is_flag=True,
            help="Do not ask before a name becomes public, or a package is signed again.",
        ),
        click.option(
            "--trust-config",
            type=_FILE,
            help="Sign keyless with this Sigstore instance [default: the public one].",
        ),
        click.option(
            "--identity-token", help=f"Sign keyless as this OIDC token says [${TOKEN_VARIABLE}]."
        ),
        click.option(
            "--timestamp-url", help="Have the signature stamped by this RFC 3161 authority."
        ),
        click.option(
            "--certificate-chain", type=_FILE, help="The authorities above the certificate, PEM."
        ),
        click.option("--certificate", type=_FILE, help="The certificate of --key's key, PEM."),
        passphrase_options,
        click.option(
            "--key",
            "key_reference",
            help="Private key to sign with: a file, pkcs11:..., or PLUGIN:...",
        ),
    ):
        decorated = option(decorated)
    return decorated


@contextmanager
def opened_sealer(
    options: SigningOptions, pinned: SigningMode | None, now: datetime
) -> Iterator["Sealer"]:
    """Whoever signs, ready to sign; what can fail before the work fails here.

    ``pinned`` is what the project demands: a key that was forgotten is then an error, and not a
    publication of somebody's name.

    Raises:
        UndecidedError: nobody can sign, or in another mode than the project demands.
    """
    mode = options.mode()
    if pinned is not None and mode not in {pinned, None}:
        raise UndecidedError(
            "the project is signed in another mode",
            where="signing.mode",
            expected=str(pinned),
            got=str(mode),
        )
    match mode or pinned:
        case SigningMode.KEY | SigningMode.CERTIFICATE:
            yield _by_key(options, now)
        case SigningMode.KEYLESS | None:
            with _by_identity(options, now) as sealer:
                yield sealer


def _by_key(options: SigningOptions, now: datetime) -> "Sealer":
    from infwasi_sign.adapters.sealing import CertificateSealer, KeySealer
    from infwasi_sign.adapters.signer_source import open_signer

    if options.key_reference is None:
        raise UndecidedError(
            "nothing to sign with", where="signing.mode", hint="--key FILE, from `infwasi keygen`"
        )
    passphrase = passphrase_source(options.passphrase_fd, options.passphrase_file, confirm=False)
    signer = open_signer(options.key_reference, passphrase)
    if options.certificate is None:
        return KeySealer(signer=signer)
    from infwasi_sign.adapters.certificate_signer import load_signing_certificate

    certificate = load_signing_certificate(
        options.certificate, options.certificate_chain, signer=signer, now=now
    )
    return CertificateSealer(
        signer=signer, certificate=certificate, timestamp_url=options.timestamp_url, now=now
    )


# --- identities ------------------------------------------------------------------------------


@contextmanager
def _by_identity(options: SigningOptions, now: datetime) -> Iterator["Sealer"]:
    from infwasi_sign.adapters.sealing import KeylessSealer
    from infwasi_sign.adapters.sigstore_signer import KeylessSigner

    token, root = _token_and_root(options, now)
    say(f"signing as {token.identity}, says {token.issuer}")
    signer = KeylessSigner(token, root, now)
    yield KeylessSealer(signer=signer)
    if signer.certified_as is not None:
        say(f"verifiers name it: --identity {signer.certified_as} --issuer {token.issuer}")


def _token_and_root(options: SigningOptions, now: datetime) -> "tuple[Token, TrustRoot]":
    """An identity from a token, from the surroundings, or from the person at the terminal."""
    from infwasi_sign.adapters.passphrase import has_terminal
    from infwasi_sign.adapters.sigstore_signer import ambient_token, browser_token, read_token

    raw = options.identity_token or os.environ.get(TOKEN_VARIABLE)
    token = read_token(raw) if raw else ambient_token()
    if token is None and not has_terminal():
        raise UndecidedError(
            "nothing to sign with",
            expected="a key, an identity token, or a person at a terminal who logs in",
            hint="--key FILE, from `infwasi keygen`; or --identity-token, in a pipeline with OIDC; "
            "or run this in a terminal",
        )
    if token is None:
        _ask(is_told=options.yes)
    root = _signing_root(options.trust_config, now)
    return token or browser_token(root), root


def _ask(*, is_told: bool) -> None:
    """What everybody will be able to read for ever, before it is so."""
    say(
        "this signs with your identity, not with a key. For ever and for everybody to read in a "
        "public log: your mail address or account, who vouches for it, the time, and the digests "
        "of what is signed"
    )
    if not is_told and not click.confirm("log in and publish this", err=True):
        raise UndecidedError("nothing was signed", hint="sign with a key: --key FILE")


def _signing_root(path: Path | None, now: datetime) -> "TrustRoot":
    """The instance that was named, else the one of `infwasi trust fetch`, else the public one.

    Raises:
        UndecidedError: none can be used. One that is there and cannot be read does not become the
            public one, where everybody would read what was meant for a private log.
    """
    from infwasi_sign.adapters.trust_fetch import PUBLIC_INSTANCE, fetch_trust_root
    from infwasi_sign.adapters.trust_root import load_trust_root, usual_trust_root
    from infwasi_sign.domain.trust_root import parse_trust_root

    if path is not None:
        return load_trust_root(path)
    found = usual_trust_root(os.environ)
    if found is None:
        data = fetch_trust_root(PUBLIC_INSTANCE, environment=os.environ, now=now)
        return parse_trust_root(data, source=PUBLIC_INSTANCE, written_at=now)
    return load_trust_root(found)
