"""`infwasi verify --oms`: a model directory that carries only an OMS signature."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from infwasi_sign.cli.delivery import Delivery
from infwasi_sign.cli.options import TrustOptions
from infwasi_sign.cli.output import failures_delivered, package_progress
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.domain.result import AcceptedModel, Circumstances
    from infwasi_sign.oms_verify import VerifiedModel

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
    """Verify a model directory by one key, and deliver the result.

    ``others`` are the options of `verify` that mean nothing here, and whether they were given.

    Raises:
        InfwasiError: what was said in the result already.
    """
    from infwasi_sign.domain.result import Circumstances, PolicyUsed

    key_path = trust.key_path
    used = None if key_path is None else PolicyUsed(source="--key")
    brought = Circumstances(location=str(location), at=now, policy=used)
    with failures_delivered(delivery.deliver, brought):
        from infwasi_sign.adapters.model_directory import open_model_directory
        from infwasi_sign.adapters.oms_keys import OmsKeyVerifier, load_oms_key
        from infwasi_sign.oms_verify import verify_oms

        _require_alone(_others(trust) | others)
        if key_path is None:
            raise UndecidedError("no key is trusted", hint="say whose signature counts: --key FILE")
        signatures = OmsKeyVerifier(load_oms_key(key_path), name=key_path.stem)
        with open_model_directory(location) as model, package_progress() as progress:
            verified = verify_oms(
                model,
                signatures=signatures,
                progress=progress.update,
                on_survey=lambda found, signer: progress.begin_bytes(
                    sum(found.files.values()), f"{location.name} by {signer.name}"
                ),
            )
        delivery.deliver(accepted_model(verified, brought))


def accepted_model(model: "VerifiedModel", brought: "Circumstances") -> "AcceptedModel":
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
    )


def _others(trust: TrustOptions) -> dict[str, bool]:
    return {
        "--policy": trust.policy_path is not None,
        "--identity": trust.identity is not None,
        "--identity-pattern": trust.identity_pattern is not None,
        "--issuer": trust.issuer is not None,
        "--trust-root": trust.trust_root is not None,
        "--name": trust.name is not None,
        "--pin": trust.pin,
    }


def _require_alone(others: Mapping[str, bool]) -> None:
    for name, is_given in others.items():
        if is_given:
            raise UndecidedError(
                f"{name} does not go with --oms",
                expected="--oms DIRECTORY --key FILE",
                hint=f"leave out {name}, or leave out --oms",
            )
