"""Mutators of what belongs to no mode alone: which mode is trusted, and the OMS companion."""

import base64
import hashlib
import json
from dataclasses import replace
from random import Random
from typing import Final

from infwasi_sign.adapters.oms_keys import sign_oms
from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.domain.bundle import encode_bundle, parse_bundle
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.manifest import OMS_FILE
from infwasi_sign.domain.material import Certified, KeyHint, Logged
from infwasi_sign.domain.oms import GIT_PATHS, PACKAGE_IGNORED, encode_oms_payload
from tests import certificate_authority as authority
from tests.forge import MANIFEST, STRANGER, TRUSTED
from tests.gym.draft import APP, BOM, MODEL, Draft, mutator
from tests.gym.spoil_certified import second_certificate
from tests.gym.vouched import (
    BY_KEY,
    certificate_trust,
    certified,
    certified_companion,
    payload_of,
)

_DIRECTORY: Final = "capital-1.0.0"


def _every_mode(draft: Draft) -> tuple[Draft, ...]:
    """The honest packages by key, certificate, and identity with either Rekor."""
    honest = draft.honest
    keyless = (Draft.keyless(honest, version) for version in (1, 2))
    return (Draft.companioned(honest), Draft.certified(honest), *keyless)


# --- modes ------------------------------------------------------------------------------------


@mutator("mode", 0.5)
def signed_in_another_mode(draft: Draft, rng: Random) -> None:
    """All is genuine, and the policy trusts the signer in other modes only."""
    every = _every_mode(draft)
    own = rng.choice(every)
    draft.become(own)
    others = [one.signers for one in every if one.signers is not own.signers]
    if own.signers.identities:
        others = [one for one in others if not one.identities]
    chosen = rng.sample(others, rng.choice((1, 1, 2)))
    draft.signers = TrustedSigners(
        keys=next((one.keys for one in chosen if one.keys), ()),
        certificates=next((one.certificates for one in chosen if one.certificates), ()),
        identities=next((one.identities for one in chosen if one.identities), ()),
        trust_root=draft.honest.vouched.instances[0].root,
    )


def _everybody(*versions: Draft) -> TrustedSigners:
    """The signers of every mode; the identity is that of a version that one signed, if any."""
    version = next((one for one in versions if one.signers.identities), versions[-1])
    return TrustedSigners(
        keys=BY_KEY.keys,
        certificates=(certificate_trust(),),
        identities=version.signers.identities,
        trust_root=version.signers.trust_root,
    )


@mutator("mode", 0.4)
def material_of_another_mode(draft: Draft, rng: Random) -> None:
    """One mode's envelope with another's material, under a policy that trusts all of them."""
    first, second = rng.sample(_every_mode(draft), 2)
    draft.become(first)
    bundle = parse_bundle(draft.content(MANIFEST))
    material = parse_bundle(second.content(MANIFEST)).material
    if isinstance(material, Logged) and rng.random() < 0.5:  # the entry in the log is taken away
        material = Certified(certificate=material.certificate, timestamps=material.timestamps)
    draft.files[MANIFEST] = encode_bundle(replace(bundle, material=material))
    draft.signers = _everybody(first, second)


@mutator("mode", 0.4)
def log_entry_taken_away(draft: Draft, rng: Random) -> None:
    """An identity's short-lived certificate passes for one of an authority, or for a key."""
    own = Draft.keyless(draft.honest, rng.choice((1, 2)))
    draft.become(own)
    bundle = parse_bundle(draft.content(MANIFEST))
    assert isinstance(bundle.material, Logged)
    leaf = bundle.material.certificate
    material: Certified | KeyHint = Certified(
        certificate=leaf, timestamps=rng.choice(((), bundle.material.timestamps))
    )
    if rng.random() < 0.3:
        material = KeyHint(hint=base64.b64encode(hashlib.sha256(leaf).digest()).decode())
    draft.files[MANIFEST] = encode_bundle(replace(bundle, material=material))
    if rng.random() < 0.5:
        draft.signers = replace(own.signers, certificates=(certificate_trust(),))


@mutator("mode", 0.4)
def bundle_taken_away(draft: Draft, rng: Random) -> None:
    """The signature is stripped, and what else is signed may go with it or stay."""
    draft.become(rng.choice(_every_mode(draft)))
    data = draft.content(MANIFEST)
    del draft.files[MANIFEST]
    choice = rng.randrange(4)
    if choice == 0:
        del draft.files[OMS_FILE]
    elif choice == 1:
        draft.add_signature(data)
    elif choice == 2:
        draft.files[rng.choice((f"{MANIFEST}.bak", "manifest.json", "bundle.json"))] = data


# --- companions -------------------------------------------------------------------------------


def _stated(draft: Draft) -> dict[str, str]:
    return {one["name"]: one["digest"]["sha256"] for one in draft.statement()["subject"]}


def _payload(
    files: dict[str, str], ignored: tuple[str, ...] = PACKAGE_IGNORED, subject: str = _DIRECTORY
) -> bytes:
    digests = [(name, Digest(algorithm=Algorithm.SHA256, hex=hex_)) for name, hex_ in files.items()]
    return encode_oms_payload(subject, digests, ignored)


@mutator("companion", 0.5)
def companion_taken_away(draft: Draft, rng: Random) -> None:
    """What is declared is not there; or it is there, and nobody declared it."""
    own = rng.choice(_every_mode(draft))
    draft.become(own)
    if rng.random() < 0.5:
        del draft.files[OMS_FILE]
        return
    draft.become(Draft.of(draft.honest))
    draft.files[OMS_FILE] = own.content(OMS_FILE)


@mutator("companion", 0.5)
def companion_of_another_payload(draft: Draft, rng: Random) -> None:
    """By the signer, over something else than the statement says."""
    draft.become(Draft.companioned(draft.honest))
    files = _stated(draft)
    changed = files | {rng.choice((APP, BOM, MODEL)): rng.randbytes(32).hex()}
    payload = rng.choice(
        (
            _payload(changed),
            _payload(files, (*PACKAGE_IGNORED, "more")),
            _payload(files, subject="weather-1.0.0"),
            payload_of(draft.content(MANIFEST)),
        )
    )
    draft.files[OMS_FILE] = sign_oms(TRUSTED, payload)


@mutator("companion", 0.5)
def companion_by_a_stranger(draft: Draft, rng: Random) -> None:
    """Over the right payload, by somebody else, or by nobody."""
    draft.become(Draft.companioned(draft.honest))
    data = draft.content(OMS_FILE)
    stranger = json.loads(sign_oms(STRANGER, payload_of(data)))
    bundle = json.loads(data)
    choice = rng.randrange(3)
    if choice == 0:
        bundle = stranger
    elif choice == 1:  # under the hint of the packer
        bundle["dsseEnvelope"] = stranger["dsseEnvelope"]
    else:
        signature = base64.b64encode(rng.randbytes(70)).decode()
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = signature
    draft.files[OMS_FILE] = json.dumps(bundle).encode()


@mutator("companion", 0.5)
def companion_says_other(draft: Draft, rng: Random) -> None:
    """A lying signer: statement and companion belong together and say two things of a file."""
    draft.become(Draft.companioned(draft.honest))
    files = _stated(draft)
    name = rng.choice((APP, BOM, MODEL))
    less = {other: sha256 for other, sha256 in files.items() if other != name}
    payload = rng.choice(
        (
            _payload(files | {name: rng.randbytes(32).hex()}),
            _payload(less),
            _payload(files | {"more": rng.randbytes(32).hex()}),
            _payload(less, (*PACKAGE_IGNORED, name)),
            _payload(files, GIT_PATHS),
        )
    )
    draft.files[OMS_FILE] = sign_oms(TRUSTED, payload)
    value = draft.statement()
    value["predicate"]["omsPayload"] = hashlib.sha256(payload).hexdigest()
    draft.state(value)


@mutator("companion", 0.5)
def companion_under_another_certificate(draft: Draft, rng: Random) -> None:
    """By the same holder, who has two; both are trusted, and only one signed the manifest."""
    if rng.random() < 0.4:
        draft.become(Draft.certified(draft.honest))
        payload = payload_of(draft.content(OMS_FILE))
        draft.files[OMS_FILE] = certified_companion(payload, second_certificate())
        return
    version = rng.choice((1, 2))
    draft.become(Draft.keyless(draft.honest, version))
    draft.files[OMS_FILE] = draft.honest.vouched.instances[version - 1].companion_again


@mutator("companion", 0.4)
def companion_of_another_mode(draft: Draft, rng: Random) -> None:
    """Over the right payload, in another mode than the manifest; all modes are trusted."""
    first, second = rng.sample(_every_mode(draft), 2)
    draft.become(first)
    draft.files[OMS_FILE] = second.content(OMS_FILE)
    draft.signers = _everybody(first, second)


@mutator("companion", 0.4)
def counter_signature_in_another_mode_damaged(draft: Draft, rng: Random) -> None:
    """Beside an honest packer, a further bundle by somebody trusted that does not hold."""
    draft.become(Draft.certified(draft.honest))
    payload = payload_of(draft.content(MANIFEST))
    bundle = certified(payload)
    material = bundle.material
    assert isinstance(material, Certified)
    choice = rng.randrange(3)
    if choice == 0:
        bundle = replace(bundle, material=replace(material, timestamps=()))
    elif choice == 1:
        broken = replace(bundle.envelope, signature=authority.RELEASE.sign(b"something else"))
        bundle = replace(bundle, envelope=broken)
    else:
        older = authority.TIME.stamp(bundle.envelope.signature, authority.MONTHS[0] - authority.DAY)
        bundle = replace(bundle, material=replace(material, timestamps=(older,)))
    draft.add_signature(encode_bundle(bundle))
