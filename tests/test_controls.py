"""Each check of verification, switched off: then its attack gets through.

A test of refusals means nothing until it is shown that it could fail. The switch is a monkeypatch
and exists here only.
"""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infwasi_sign import matching, measure_entries, signatures
from infwasi_sign import verify as verification
from infwasi_sign.adapters import keys
from infwasi_sign.domain import agreement, bundle, manifest, policy, statement
from infwasi_sign.domain.signer import SignerIdentity
from tests import forge
from tests.bom_lies import LIES
from tests.forge_cases import CASES
from tests.test_vectors import honest, verdict

__all__ = ["honest"]


def nothing(*_: object, **__: object) -> None:
    """A check that never says no."""


def anybody(*_: object) -> SignerIdentity:
    return SignerIdentity(name="anybody", fingerprint="00" * 32, algorithm="none")


class EqualToAll:
    """What every comparison takes for the same."""

    def __ne__(self, _: object) -> bool:
        return False

    def __eq__(self, _: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # nobody keeps it in a set


def equal_to_all(_: object) -> EqualToAll:
    return EqualToAll()


BUNDLE_FORM = (bundle, "encode_bundle", equal_to_all)
SIGNATURE = (keys.KeyVerifier, "verify", anybody)
BYTE_FORM = (statement, "_require_byte_form", nothing)
NOTHING_ELSE = (matching, "_require_nothing_else", nothing)


def believed(_: object, data: bytes, __: object) -> bytes:
    """The payload of a companion, whoever signed it."""
    payload = json.loads(data)["dsseEnvelope"]["payload"]
    return base64.b64decode(payload)


COMPANION = (signatures, "_require_companion", nothing)
COMPANION_SIGNED = (keys.KeyVerifier, "verify_companion", believed)
COMPANION_STATED = (signatures, "_require_payload", nothing)
COMPANION_FILES = (signatures, "_require_same_files", nothing)
OWN_NAME = (signatures, "_require_own_name", nothing)
SAME_PAYLOAD = (signatures, "_require_same_payload", nothing)
SUPPORTED = (verification, "require_supported", nothing)
TIMES = (manifest, "_check_times", nothing)
NAME = (policy, "_require_name", nothing)
IMPORTS = (policy, "_require_imports", nothing)
TIME = (policy, "_require_time", nothing)
SIZE = (measure_entries, "_require_size", nothing)
DIGEST = (measure_entries, "_require_digest", nothing)
PARTS = (agreement, "_require_parts", nothing)
DECLARED = (agreement, "_require_declared_model", nothing)
EVIDENCE = (agreement, "_require_evidence", nothing)
EQUAL = (agreement, "_require_equal", nothing)
BOM = (agreement, "_require_bom", nothing)

# The attacks that pass once these checks are off. Where two checks see an attack, both are named,
# and the test shows that each of them alone still refuses it.
CONTROLS: list[tuple[tuple[tuple[object, str, Callable[..., Any]], ...], tuple[str, ...]]] = [
    ((SIGNATURE,), ("stranger", "hint-of-another", "payload-changed")),
    ((BYTE_FORM,), ("not-canonical",)),
    ((NOTHING_ELSE,), ("extra-file",)),
    ((COMPANION,), ("oms-companion-extra",)),
    ((OWN_NAME,), ("counter-signature-misnamed",)),
    (
        (SAME_PAYLOAD,),
        ("counter-signature-over-another-statement", "counter-signature-left-behind"),
    ),
    ((SIGNATURE,), ("counter-signature-damaged",)),
    ((BUNDLE_FORM,), ("counter-signature-in-another-form",)),
    ((COMPANION_SIGNED,), ("oms-companion-by-a-stranger", "oms-companion-signature")),
    ((COMPANION_STATED,), ("oms-companion-of-another-release",)),
    (
        (COMPANION_FILES,),
        ("oms-companion-says-other", "oms-companion-leaves-out", "oms-companion-ignores-more"),
    ),
    ((SUPPORTED, BOM), ("lora", "projector", "shards")),
    ((NAME,), ("renamed", "version-renamed")),
    ((TIME,), ("expired",)),
    ((TIMES, TIME), ("expires-before-issue",)),
    ((IMPORTS, EQUAL), ("imports-files",)),
    ((DIGEST,), ("model-bit",)),
    ((SIZE, BOM), ("size-differs",)),
    ((PARTS, BOM), ("part-differs",)),
    ((EQUAL,), ("imports-differ", "exports-differ", "architecture-differs")),
    ((EQUAL,), ("settings-differ", "template-differs", "template-hidden")),
    ((DECLARED, BOM), ("model-renamed",)),
    ((EVIDENCE, BOM), ("header-differs", "tensor-table-differs")),
    (
        (BOM,),
        (
            "tensors-differ",
            "bom-number",
            *(one.name for one in LIES),
        ),
    ),
]


@pytest.mark.parametrize(
    ("checks", "attack"),
    [(checks, attack) for checks, attacks in CONTROLS for attack in attacks],
    ids=lambda value: value if isinstance(value, str) else "+".join(name for _, name, _ in value),
)
def test_without_the_check_the_attack_gets_through(
    checks: tuple[tuple[object, str, Callable[..., Any]], ...],
    attack: str,
    honest: Path,
    tmp_path: Path,
) -> None:
    (one,) = (one for one in CASES if one.name == attack)
    package = forge.build_case(one, tmp_path, honest)
    for kept in checks:
        with pytest.MonkeyPatch.context() as switch:
            for where, name, instead in checks:
                if name != kept[1]:
                    switch.setattr(where, name, instead)
            assert verdict(package) != "verified", f"not noticed by {kept[1]}"
    with pytest.MonkeyPatch.context() as switch:
        for where, name, instead in checks:
            switch.setattr(where, name, instead)
        assert verdict(package) == "verified"
