"""`infwasi verify --oms`: a model directory that carries only an OMS signature."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infwasi_sign.cli.delivery import Delivery
from infwasi_sign.cli.output import failures_delivered, package_progress
from infwasi_sign.cli.trust_options import TrustOptions
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.domain.confinement import LayerReport
    from infwasi_sign.domain.oms import OmsSurvey
    from infwasi_sign.domain.result import AcceptedModel, Circumstances
    from infwasi_sign.domain.signer import SignerIdentity
    from infwasi_sign.oms_verify import OmsVerifier, VerifiedModel

ROLE: Final = "resource"
"""What a result calls the files of a model: the word of OMS."""


def verify_model(
    location: Path,
    trust: TrustOptions,
    *,
    others: dict[str, bool],
    now: datetime,
    delivery: Delivery,
) -> None:
    """Verify a model directory by one signer, and deliver the result.

    ``others`` are the options of `verify` that mean nothing here, and whether they were given.

    Raises:
        InfwasiError: what was said in the result already.
    """
    from infwasi_sign.domain.result import Circumstances, PolicyUsed

    way = _way(trust)
    used = None if way is None else PolicyUsed(source=way)
    brought = Circumstances(location=str(location), at=now, policy=used)
    with failures_delivered(delivery.deliver, brought), ExitStack() as stack:
        from infwasi_sign.adapters.model_directory import open_model_directory
        from infwasi_sign.cli.confining import confinement_of
        from infwasi_sign.oms_verify import verify_oms

        _require_alone(_others(trust) | others)
        signatures = stack.enter_context(_verifier(location, trust, now))
        with open_model_directory(location) as model, package_progress() as progress:
            confinement = confinement_of(output=delivery.file, readable=(model.fileno(),))

            def begin(found: "OmsSurvey", signer: "SignerIdentity") -> None:
                confinement.before_measuring()
                size_bytes = sum(found.files.values())
                progress.begin_bytes(size_bytes, f"{location.name} by {signer.name}")

            verified = verify_oms(
                model, signatures=signatures, progress=progress.update, on_survey=begin
            )
        delivery.deliver(accepted_model(verified, brought, confinement.layers()))


def _way(trust: TrustOptions) -> str | None:
    """The option that says who is trusted; `require_one_way` sees to it that it is one."""
    ways = {
        "--key": trust.key_path is not None,
        "--certificate-roots": trust.certificate_roots is not None,
        "--identity": trust.identity is not None or trust.identity_pattern is not None,
    }
    return next((way for way, is_named in ways.items() if is_named), None)


@contextmanager
def _verifier(location: Path, trust: TrustOptions, now: datetime) -> "Iterator[OmsVerifier]":
    """Who decides in the mode that the options ask for; a stale trust root is said at the end."""
    from infwasi_sign.cli.named_signers import (
        named_holder,
        named_identity,
        named_root,
        require_one_way,
        say_if_stale,
    )

    require_one_way(trust)
    match _way(trust):
        case "--key" if trust.key_path is not None:
            from infwasi_sign.adapters.oms_keys import OmsKeyVerifier, load_oms_key

            yield OmsKeyVerifier(load_oms_key(trust.key_path), name=trust.key_path.stem)
        case "--certificate-roots":
            from infwasi_sign.adapters.certificate_verifier import (
                CertificateVerifier,
                OmsCertificateVerifier,
            )

            yield OmsCertificateVerifier(CertificateVerifier([named_holder(trust)], now))
        case "--identity":
            from infwasi_sign.adapters.sigstore_identity import KeylessVerifier, OmsKeylessVerifier

            root = named_root(trust, location)
            try:
                yield OmsKeylessVerifier(KeylessVerifier([named_identity(trust)], root, now))
            finally:
                say_if_stale(root, now)
        case _:
            raise UndecidedError(
                "nobody is trusted",
                expected="--key, --certificate-roots or --identity",
                hint="say whose signature counts: --key FILE",
            )


def accepted_model(
    model: "VerifiedModel", brought: "Circumstances", confined: "Iterable[LayerReport]" = ()
) -> "AcceptedModel":
    """A verified model directory as a result."""
    from infwasi_sign.domain.result import AcceptedModel, ComputedEntry

    signer = model.signer
    return AcceptedModel(
        circumstances=brought,
        signers=(signer,),
        payload=model.payload_digest,
        root=model.payload.root,
        files=tuple(
            ComputedEntry(
                name=file.path, role=ROLE, size_bytes=file.size_bytes, digests=(file.digest,)
            )
            for file in model.files
        ),
        ignored=model.ignored,
        confinement=tuple(confined),
    )


def _others(trust: TrustOptions) -> dict[str, bool]:
    return {
        "--policy": trust.policy_path is not None,
        "--name": trust.name is not None,
        "--pin": trust.pin,
    }


def _require_alone(others: Mapping[str, bool]) -> None:
    for name, is_given in others.items():
        if is_given:
            raise UndecidedError(
                f"{name} does not go with --oms",
                expected="--oms DIRECTORY with --key, --certificate-roots or --identity",
                hint=f"leave out {name}, or leave out --oms",
            )
