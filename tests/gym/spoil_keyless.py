"""Mutators of packages under an identity that a Sigstore instance vouches for."""

import copy
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.domain.bundle import Bundle, encode_bundle, parse_bundle
from infwasi_sign.domain.material import LogEntry, Logged
from tests.forge import MANIFEST
from tests.gym.draft import Draft, mutator
from tests.gym.vouched import ALICE, MALLORY, Instance

_KINDS: Final = ("certificateAuthorities", "ctlogs", "tlogs", "timestampAuthorities")


def _keyless(draft: Draft, rng: Random, version: int | None = None) -> tuple[Bundle, Instance, int]:
    version = version or rng.choice((1, 2))
    draft.become(Draft.keyless(draft.honest, version))
    instance = draft.honest.vouched.instances[version - 1]
    return parse_bundle(draft.content(MANIFEST)), instance, version


def _put(draft: Draft, bundle: Bundle) -> None:
    draft.files[MANIFEST] = encode_bundle(bundle)


def _material(bundle: Bundle) -> Logged:
    assert isinstance(bundle.material, Logged)
    return bundle.material


@mutator("keyless", 0.8)
def keyless_parts_of_another(draft: Draft, rng: Random) -> None:
    """Mix and match: some parts are those of another bundle, genuine each."""
    bundle, instance, _ = _keyless(draft, rng)
    vouched = draft.honest.vouched
    donor = rng.choice((instance.again, instance.other, instance.by_mallory, vouched.stranger))
    parts = ["signature", "certificate", "entry", "timestamps"]
    if donor is instance.other:
        parts.append("payload")
    taken = set(rng.sample(parts, rng.randrange(1, len(parts))))
    envelope, material = bundle.envelope, _material(bundle)
    theirs = {part: getattr(donor.envelope, part) for part in taken & {"payload", "signature"}}
    evidence = {part: getattr(_material(donor), part) for part in taken - theirs.keys()}
    _put(
        draft,
        replace(
            bundle,
            envelope=replace(envelope, **theirs),
            material=replace(material, **evidence),
        ),
    )


def _flipped(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def _lying_entry(entry: LogEntry, version: int, rng: Random) -> LogEntry:
    """Another entry, as far as somebody vouches for it.

    With Rekor v2 nobody does for `logIndex`, and nothing is done with it: the proof says where the
    entry lies.
    """
    hashes = entry.hashes
    tricks: list[dict[str, Any]] = [
        {"log_id": _flipped(entry.log_id, rng)},
        {"kind": rng.choice(("hashedrekord", "dsse", "intoto", "", "DSSE"))},
        {"version": rng.choice(("0.0.1", "0.0.2", "0.0.3", ""))},
        {"proof_index": entry.proof_index + rng.choice((1, -1, 2**40))},
        {"root_hash": _flipped(entry.root_hash, rng)},
        {"tree_size": entry.tree_size + rng.choice((1, 2, 2**40))},
        {"hashes": (*hashes, rng.randbytes(32))},
        {"hashes": hashes[:-1]},
        {"hashes": (_flipped(hashes[0], rng), *hashes[1:])},
        {"checkpoint": entry.checkpoint.replace("\n", "\n\n", 1)},
        {"checkpoint": entry.checkpoint[: rng.randrange(1, len(entry.checkpoint) - 2)]},
        {"body": _flipped(entry.body, rng)},
    ]
    if version == 1 and entry.promise is not None and entry.integrated_time is not None:
        tricks += [
            {"log_index": entry.log_index + rng.choice((1, 2**40))},
            {"integrated_time": entry.integrated_time + rng.choice((1, -1, 3600, -86_400))},
            {"integrated_time": rng.choice((None, 0))},
            {"promise": _flipped(entry.promise, rng)},
        ]
    changes = [trick for trick in tricks if replace(entry, **trick) != entry]
    return replace(entry, **rng.choice(changes))


@mutator("keyless", 1)
def keyless_entry_lies(draft: Draft, rng: Random) -> None:
    """The log's entry says another place, tree, time or content than the log did."""
    bundle, _, version = _keyless(draft, rng)
    material = _material(bundle)
    entry = _lying_entry(material.entry, version, rng)
    _put(draft, replace(bundle, material=replace(material, entry=entry)))


@mutator("keyless", 0.6)
def keyless_bits(draft: Draft, rng: Random) -> None:
    """A bit of certificate, signature or payload is another one."""
    bundle, _, _ = _keyless(draft, rng)
    envelope, material = bundle.envelope, _material(bundle)
    choice = rng.randrange(3)
    if choice == 0:
        material = replace(material, certificate=_flipped(material.certificate, rng))
    elif choice == 1:
        envelope = replace(envelope, signature=_flipped(envelope.signature, rng))
    else:
        envelope = replace(envelope, payload=_flipped(envelope.payload, rng))
    _put(draft, Bundle(envelope=envelope, material=material))


@mutator("keyless", 0.8)
def keyless_timestamps_lie(draft: Draft, rng: Random) -> None:
    """A timestamp that is not over this signature, or is damaged, alone or beside the good one."""
    bundle, instance, version = _keyless(draft, rng)
    material = _material(bundle)
    (good,) = material.timestamps
    lies = [
        *_material(instance.again).timestamps,
        *_material(draft.honest.vouched.stranger).timestamps,
        good[: rng.randrange(len(good))] or b"x",
        rng.randbytes(40),
    ]
    lie = rng.choice(lies)
    chosen: tuple[bytes, ...] = rng.choice(((lie,), (good, lie), (lie, good), (good, good)))
    if version == 2 and rng.random() < 0.2:  # with Rekor v1 the log itself says the time
        chosen = ()
    _put(draft, replace(bundle, material=replace(material, timestamps=chosen)))


@mutator("keyless", 0.6)
def keyless_of_somebody_else(draft: Draft, rng: Random) -> None:
    """Genuine, and by another identity, or vouched for by another instance."""
    _, instance, _ = _keyless(draft, rng)
    _put(draft, rng.choice((instance.by_mallory, draft.honest.vouched.stranger)))


@mutator("keyless", 0.8)
def keyless_identity_rules(draft: Draft, rng: Random) -> None:
    """The policy means somebody of almost this name, or trusts another issuer."""
    _, instance, _ = _keyless(draft, rng)
    issuer = instance.issuer
    every: tuple[dict[str, str | None], ...] = (
        {"identity": rng.choice((ALICE[:-1], ALICE + "x", ALICE.upper(), ALICE[1:], "*", ""))},
        {"identity": MALLORY},
        {"issuer": rng.choice((issuer + "/", issuer[:-1], issuer.upper(), "*", ""))},
        {"issuer": draft.honest.vouched.instances[0].issuer + "x"},
        {"identity": None, "pattern": rng.choice(("alice", "*@example", "A*", "bob@*", "?"))},
        {"identity": None, "pattern": "*", "issuer": "https://accounts.example.test"},
    )
    draft.signers = instance.signers(**rng.choice(every))


def _ended(config: Any, kind: str, rng: Random) -> Any:
    """The trust root with all authorities of a kind out of use at the time of the signature."""
    config = copy.deepcopy(config)
    far = timedelta(minutes=rng.randrange(5, 10**6))
    member, moment = rng.choice((("end", -far), ("start", far)))
    for one in config["trustedRoot"][kind]:
        place = one if "validFor" in one else one["publicKey"]
        at = datetime.now(UTC) + moment
        place["validFor"] = {"start": "1970-01-01T00:00:00Z"} | {member: f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    return config


@mutator("keyless", 0.6)
def keyless_by_the_retired(draft: Draft, rng: Random) -> None:
    """An authority or a log that was not, or not any more, to be trusted; or none at all."""
    _, instance, _ = _keyless(draft, rng)
    kind = rng.choice(_KINDS)
    if rng.random() < 0.3:
        config = json.loads(json.dumps(instance.config))
        config["trustedRoot"][kind] = []
    else:
        config = _ended(instance.config, kind, rng)
    draft.signers = TrustedSigners(
        identities=(instance.identity(),), trust_root=lambda: instance.root(config)
    )
