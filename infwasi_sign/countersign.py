"""Adds one signature to a package that was verified: over the very bytes that its packer signed.

1. room     at most 16 beside the packer's, and one for each signer
2. sign     the payload that was verified, as it came
3. verify   what was signed: the same payload, in one byte form, by one who did not sign before, and
            whom the policy does not deny
4. write    beside the others, if the package is still what was verified
"""

from typing import Protocol

from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle
from infwasi_sign.domain.digest import Algorithm, MeasureBytes
from infwasi_sign.domain.facts import signer_facts
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.material import NameSigner
from infwasi_sign.domain.policy import Policy, decide, require, without_thresholds
from infwasi_sign.domain.rules import Facts, expectation, shortfall
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusalKind, RefusedError, UndecidedError
from infwasi_sign.ports import Sealer, SignatureVerifier
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.signatures import Signatures, counter_signature_name
from infwasi_sign.verify import VerifiedPackage


class SignatureTarget(Protocol):
    """The counter-signatures of one package that was verified."""

    def add(self, name: str, data: bytes) -> None:
        """Add a whole file, by its name in the package, if the package is still what was verified.

        Raises:
            UndecidedError: it is not, or nothing can be written.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Countersigned:
    """What was added. ``signer`` is absent if it is by nobody whom the caller's policy names.

    ``missing`` is what the policy's thresholds still ask for, in its own words.
    """

    file: str
    made_by: str
    signer: SignerIdentity | None
    missing: str | None


def require_room(signatures: Signatures, known_as: str | None, name_signer: NameSigner) -> None:
    """Whether one more signature has a place, by this signer if it is known who it will be.

    Raises:
        UndecidedError: it has none.
    """
    most = LIMITS.signatures - 1
    if len(signatures.others) >= most:
        raise UndecidedError(
            "the package has all the counter-signatures that it may have",
            expected=f"at most {most}",
            hint="take one away that nobody needs; each is a file in signatures/",
        )
    if known_as is not None:
        _require_new(signatures, known_as, name_signer)


def countersign(
    package: VerifiedPackage,
    *,
    policy: Policy,
    sealer: Sealer,
    verifier: SignatureVerifier,
    name_signer: NameSigner,
    measure_bytes: MeasureBytes,
    target: SignatureTarget,
) -> Countersigned:
    """Sign a verified package as one signer more.

    ``policy`` is the whole of the caller's, with the thresholds that were left out to verify it.

    Raises:
        RefusedError: the policy denies the new signer, and with them it would refuse the package.
        UndecidedError: there is no room, the signer signed already, cannot sign, or signed
            something else; or the package is not what was verified any more.
    """
    VerifiedPackage.require(package)
    signatures = package.signatures
    # 1. room
    require_room(signatures, sealer.known_as, name_signer)
    # 2. sign
    bundle = sealer.seal(signatures.payload)
    # 3. verify
    data = encode_bundle(bundle)
    _require_same_payload(parse_bundle(data), signatures.payload)
    signer = _trusted(bundle, verifier)
    made_by = name_signer(bundle.material)
    _require_new(signatures, made_by, name_signer)
    signers = (*signatures.signers, *(() if signer is None else (signer,)))
    facts = {**package.facts, **signer_facts(signers)}
    require(decide(without_thresholds(policy), facts))
    # 4. write
    file = counter_signature_name(measure_bytes(data)[Algorithm.SHA256].hex)
    target.add(file, data)
    return Countersigned(file=file, made_by=made_by, signer=signer, missing=_missing(policy, facts))


def _require_same_payload(bundle: Bundle, payload: bytes) -> None:
    if bundle.envelope.payload != payload:
        raise UndecidedError("what was signed is not the statement of the package")


def _require_new(signatures: Signatures, name: str, name_signer: NameSigner) -> None:
    if name_signer(signatures.material) == name:
        raise UndecidedError("this signer packed the package, and counts already", got=name)
    for other in signatures.others:
        if name_signer(other.material) == name:
            raise UndecidedError("this signer signed already", where=other.file, got=name)


def _trusted(bundle: Bundle, verifier: SignatureVerifier) -> SignerIdentity | None:
    """Whom the caller's trust calls the new signer, if anybody; a bad signature is no stranger."""
    try:
        return verifier.verify(bundle)
    except RefusedError as error:
        if error.kind is RefusalKind.SIGNER:
            return None
        raise UndecidedError("what was signed does not verify", got=error.sentence()) from error


def _missing(policy: Policy, facts: Facts) -> str | None:
    """The first threshold that is not met yet; all other rules are by now."""
    for outcome in decide(policy, facts):
        if outcome.is_met is False:
            rule = outcome.rule
            wanted, found = expectation(rule.test), shortfall(outcome)
            return f"{rule.place} {rule.name} expects {wanted}, got {found}"
    return None
