"""Mutators of what the verifier is told: rules that a package breaks, what was accepted before."""

import hashlib
import json
from base64 import b64decode
from datetime import timedelta
from random import Random
from typing import Final

from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.rollback import JUMP_SECONDS, SequenceRecord
from tests.forge import MANIFEST, NOW, STRANGER, TRUSTED
from tests.gym.draft import APP, MODEL, Draft, mutator

_SEQUENCE: Final = int(NOW.timestamp())  # what pack gives a package that is issued then


_OTHER_SIGNER: Final = '\n[[signer]]\nname = "other"\nkeys = [{ file = "other.pub" }]'


def _named(data: bytes, rng: Random) -> str:
    digest = measure_bytes(data)[rng.choice(tuple(Algorithm))]
    return f"{digest.algorithm}:{digest.hex}"


def _payload(draft: Draft) -> bytes:
    return b64decode(json.loads(draft.content(MANIFEST))["dsseEnvelope"]["payload"])


@mutator("policy", 2)
def rule_on_claims(draft: Draft, rng: Random) -> None:
    """A rule on what the statement says."""
    other = rng.randbytes(32).hex()
    draft.rules = rng.choice(
        (
            f'minimum-version = "{rng.choice(("1.0.1", "2", "1.1.0", "10.0.0"))}"',
            f"minimum-sequence = {_SEQUENCE + rng.choice((1, 60, 10**6))}",
            'expires = ["never"]',
            f"[component]\nmax-bytes = {rng.randrange(1, 20_000)}",
            f'[component]\ndigests = ["{rng.choice(tuple(Algorithm))}:{other}"]',
            '[component]\nimports = ["wasi:nn/*"]',
            '[model]\narchitectures = ["gemma3", "Llama"]',
            f'[model]\ndigests = ["blake3:{other}"]',
            f'[model]\nchat-templates = ["sha256:{other}"]',
            f"[model]\nmax-bytes = {rng.randrange(1, 600)}",
        )
    )


@mutator("policy")
def package_too_old(draft: Draft, rng: Random) -> None:
    """Not expired, and older than the policy has it."""
    days = rng.randrange(2, 300)
    draft.now = NOW + timedelta(days=days)
    draft.rules = f"maximum-age-days = {rng.randrange(1, days)}"


@mutator("policy")
def too_few_signed(draft: Draft, rng: Random) -> None:
    """Another must have signed, or another too; strangers and the packer again do not count."""
    draft.rules = rng.choice(("threshold = 2", 'signers = ["other"]')) + _OTHER_SIGNER
    for signer in rng.choices((STRANGER, TRUSTED), k=rng.randrange(3)):
        draft.counter_sign(_payload(draft), signer)


@mutator("policy", 2)
def rule_on_measured(draft: Draft, rng: Random) -> None:
    """A rule on what only the bytes tell."""
    draft.rules = rng.choice(
        (
            '[model]\nquantizations = ["F32"]',
            '[model]\nlicenses = ["mit"]',
            f"[model]\nmax-parameters = {rng.randrange(1, 100)}",
            '[bom]\nrequire = ["infwasi:gguf:license"]',
        )
    )


@mutator("policy")
def level_demanded(draft: Draft, rng: Random) -> None:
    """A level that no file in a temporary folder reaches."""
    draft.hold = True
    draft.rules = '[load]\nminimum-level = "fs-verity"' + rng.choice(
        ("", "\n[run]\nmax-tokens = 5")
    )


@mutator("policy", 2)
def revoked(draft: Draft, rng: Random) -> None:
    """Something of the package is denied, among other things that are not."""
    part = rng.choice(draft.statement()["predicate"]["component"]["parts"])
    sha256 = hashlib.sha256
    thing, value = rng.choice(
        (
            ("key", f"sha256:{sha256(TRUSTED.public_key()).hexdigest()}"),
            ("statement", f"sha256:{sha256(_payload(draft)).hexdigest()}"),
            ("model", _named(draft.content(MODEL), rng)),
            ("component", _named(draft.content(APP), rng)),
            ("part", f"sha256:{part['sha256']}"),
            ("package", rng.choice(("capital 1.0.0", f"capital sequence {_SEQUENCE}"))),
        )
    )
    others = [] if thing == "package" else [f"sha256:{rng.randbytes(32).hex()}"]
    values = rng.sample([value, *others], 1 + len(others))
    draft.rules = f'[[deny]]\n{thing} = {json.dumps(values)}\nreason = "x"\ndate = 2026-01-01'


@mutator("policy", 2)
def rolled_back(draft: Draft, rng: Random) -> None:
    """A newer release was accepted before, or another one with the same sequence."""
    newer = rng.choice((0, 1, 60, 10**6, rng.randrange(1, 10**9)))
    draft.record = SequenceRecord(
        package="capital",
        sequence=_SEQUENCE + newer,
        statement=Digest(algorithm=Algorithm.SHA256, hex=rng.randbytes(32).hex()),
        accepted_at=NOW,
    )


@mutator("policy")
def jumped_ahead(draft: Draft, rng: Random) -> None:
    """A sequence that would shut out every release for more than a year."""
    value = draft.statement()
    ahead = rng.choice((60, 10**6, 2**53 - 1 - _SEQUENCE - JUMP_SECONDS))
    value["predicate"]["sequence"] = _SEQUENCE + JUMP_SECONDS + ahead
    draft.state(value)
