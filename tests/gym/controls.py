"""Each check of verification, switched off: then a mutant gets through that it alone had stopped.

A check whose removal nobody notices is a check that the gym does not train. The switches are
monkeypatches and exist here only.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from infwasi_sign import matching, measure_entries
from infwasi_sign import verify as verification
from infwasi_sign.adapters import guarded_file, keys, measuring, package_directory
from infwasi_sign.domain import (
    agreement,
    bom_document,
    bundle,
    level_demand,
    manifest,
    rollback,
    rules,
    statement,
    strict_json,
    world,
)
from infwasi_sign.domain import (
    bom as bom_module,
)
from infwasi_sign.domain.component import ComponentFacts
from infwasi_sign.domain.digest import Algorithm, Digest, Update
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import Manifest
from infwasi_sign.domain.material import KeyHint
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusedError
from infwasi_sign.ports import GuardedFile, OpenedPackage, Progress
from tests.gym.control import Control, Switch
from tests.gym.draft import Draft, Honest, scratch
from tests.gym.mode_controls import MODE_CONTROLS
from tests.gym.oracle import ACCEPTED, judge, mutant
from tests.gym.spoil_signed import OTHER_TYPE
from tests.test_controls import (
    BOM,
    BUNDLE_FORM,
    BYTE_FORM,
    COMPANION,
    DECLARED,
    DIGEST,
    EQUAL,
    EVIDENCE,
    IMPORTS,
    NAME,
    NOTHING_ELSE,
    OWN_NAME,
    PARTS,
    SAME_PAYLOAD,
    SIGNATURE,
    SIZE,
    SUPPORTED,
    TIME,
    TIMES,
    nothing,
)

# --- switches that `tests/test_controls.py` does not have -------------------------------------


def _whoever_signed(self: keys.KeyVerifier, found: bundle.Bundle) -> SignerIdentity:
    """As `KeyVerifier.verify`, but the hint is believed to be right."""
    hint = self._trusted[0].public_key.hint
    return _VERIFY(self, replace(found, material=KeyHint(hint=hint)))


_VERIFY: Final = keys.KeyVerifier.verify


def _last_wins(_: object, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


def _members_known(
    self: strict_json.Cursor, required: Any, optional: Any = ()
) -> dict[str, strict_json.Cursor]:
    """As `Cursor.object`, but members that nobody knows are passed over."""
    if isinstance(self.value, dict):
        known = {name: self.value[name] for name in self.value if name in {*required, *optional}}
        return _OBJECT(strict_json.Cursor(known, self.path), required, optional)
    return _OBJECT(self, required, optional)


_OBJECT: Final = strict_json.Cursor.object


def _matched_by_size(found: Manifest, opened: OpenedPackage) -> Mapping[str, GuardedFile]:
    """As `match_files`, but any file of the right size will do."""
    by_size = {file.size_bytes: file for file in opened.files.values()}
    return {entry.name: by_size[entry.size_bytes] for entry in found.entries}


def _matched_without_surplus(found: Manifest, opened: OpenedPackage) -> Mapping[str, GuardedFile]:
    """As `match_files`, but a model that nobody needs is passed over."""
    if not any(entry.is_detached for entry in found.entries):
        assert isinstance(opened, package_directory.OpenedDirectory)
        return _MATCH_FILES(found, replace(opened, detached=()))
    return _MATCH_FILES(found, opened)


_MATCH_FILES: Final = matching.match_files


def _parts_that_are_known(app: ComponentFacts) -> tuple[manifest.PartClaim, ...]:
    """As `parts_of`, but what is no part is passed over."""
    known, seen = [], set()
    for child in app.children:
        with contextlib.suppress(RefusedError):
            (part,) = world.parts_of(replace(app, children=(child,)))
            if part.name not in seen:
                seen.add(part.name)
                known.append(part)
    return tuple(sorted(known, key=lambda part: part.name))


def _read_and_not_looked_behind(self: guarded_file.LocalFile, limit_bytes: int) -> bytes:
    """As `LocalFile.read`, but what was appended meanwhile is passed over."""
    return self.read_at(0, self.size_bytes)


def _pae_of_another_type(_: str, payload: bytes) -> bytes:
    """As `bundle.pae`, but the type of the payload is not what the bundle says."""
    return bundle.pae(OTHER_TYPE, payload)


def _no_folder_counts(folders: list[str]) -> None:
    """As `_require_folders`, but every folder may be there."""


_MEASURE: Final = measuring.measure


def _only_blake3(
    windows: Any,
    algorithms: frozenset[Algorithm],
    progress: Progress | None = None,
    also: Update | None = None,
) -> Mapping[Algorithm, Digest]:
    """As `measuring.measure`, but it computes less than it was asked for."""
    return _MEASURE(windows, algorithms & {Algorithm.BLAKE3}, progress, also)


def _answered_yes(rule: rules.Rule, *_: object) -> rules.Outcome:
    """As `_evaluate_expression`, but every expression holds."""
    return rules.Outcome(rule=rule, seen=(), is_met=True)


_FOLLOWING: Final = guarded_file._OPEN_FLAGS & ~os.O_NOFOLLOW
# The name of a tool is the only text of a true BOM that could be so long, and has its own bound.
_ROOMY: Final = replace(
    LIMITS, bom_bytes=LIMITS.bom_bytes * 2, bom_tool_characters=LIMITS.bom_bytes * 2
)

FILE_NAME: Switch = (package_directory, "_require_name", nothing)
FILE_COUNT: Switch = (package_directory, "_require_count", nothing)
FOLDERS: Switch = (package_directory, "_require_folders", _no_folder_counts)
REGULAR: Switch = (guarded_file, "require_regular", nothing)
NO_LINKS: Switch = (guarded_file, "_OPEN_FLAGS", _FOLLOWING)
FILE_SIZE: Switch = (guarded_file, "require_size", nothing)
BOM_SIZES: tuple[Switch, ...] = (
    (bom_document, "LIMITS", _ROOMY),
    (bom_module, "LIMITS", _ROOMY),
)
UNCHANGED: Switch = (guarded_file.LocalFile, "_require_unchanged", nothing)
HINT: Switch = (keys.KeyVerifier, "verify", _whoever_signed)
DOUBLES: Switch = (strict_json._Reader, "_object", _last_wins)
MEMBERS: Switch = (strict_json.Cursor, "object", _members_known)
KIND: Switch = (statement, "_refuse_predicate_type", nothing)
CONSISTENCY: Switch = (manifest, "_check_consistency", nothing)
MODELS: Switch = (manifest, "_check_models", nothing)
ENTRY: Switch = (manifest, "_check_entry", nothing)
MATCH: Switch = (verification, "match_files", _matched_by_size)
CANONICAL_BOM: Switch = (strict_json, "require_canonical", nothing)
ENOUGH: Switch = (verification, "decide_measured", nothing)
RULES: Switch = (verification, "require", nothing)
MEASURED_RULES: Switch = (level_demand, "require", nothing)
EXPRESSIONS: Switch = (rules, "_evaluate_expression", _answered_yes)
ROLLBACK: Switch = (rollback, "require_successor", nothing)
SEQUENCE: Switch = (verification, "decide_sequence", nothing)
VERITY: Switch = (measure_entries, "require_same_verity", nothing)
MEASURES_ALL: Switch = (measuring, "measure", _only_blake3)
SAME_DIRECTORY: Switch = (verification, "_require_named_directory", nothing)
PURPOSE: Switch = (keys, "pae", _pae_of_another_type)
NEEDED: Switch = (verification, "match_files", _matched_without_surplus)
UNIQUE: Switch = (manifest, "_require_unique", nothing)
LONGER: Switch = (guarded_file.LocalFile, "read", _read_and_not_looked_behind)
AS_LONG: Switch = (measuring, "_require_size", nothing)
HELD: Switch = (guarded_file.LocalFile, "_require_held", nothing)
ENDS_OF_WORLD: Switch = (agreement, "require_app", nothing)
KNOWN_PARTS: Switch = (agreement, "parts_of", _parts_that_are_known)


# --- the table --------------------------------------------------------------------------------


CONTROLS: Final = (
    Control(1, "hidden and unseen names", (FILE_NAME, NOTHING_ELSE), ("file-with-a-strange-name",)),
    Control(1, "number of files", (FILE_COUNT, NOTHING_ELSE), ("too-many-files",), 40),
    Control(1, "no other folders", (FOLDERS,), ("folders-beside",)),
    Control(1, "no links", (REGULAR, NO_LINKS), ("file-of-another-kind",)),
    Control(1, "size of files", (FILE_SIZE, *BOM_SIZES), ("bom-beyond-its-bound",), 3),
    Control(1, "the directory that was asked for", (SAME_DIRECTORY,), ("directory-exchanged",)),
    Control(2, "one byte form of the bundle", (BUNDLE_FORM,), ("bundle-written-otherwise",)),
    Control(2, "members of the bundle", (MEMBERS, BUNDLE_FORM), ("bundle-says-other",)),
    Control(2, "no member twice", (DOUBLES, BUNDLE_FORM), ("bundle-written-otherwise",)),
    Control(2, "signature", (SIGNATURE,), ("signed-by-a-stranger", "hint-of-another")),
    Control(2, "type under the signature", (PURPOSE,), ("signed-for-another-purpose",)),
    Control(2, "hint", (HINT,), ("hint-of-another",)),
    Control(2, "own name of a counter-signature", (OWN_NAME,), ("counter-signature-misnamed",)),
    Control(2, "the same statement", (SAME_PAYLOAD,), ("counter-signature-of-other",)),
    Control(2, "counter-signatures hold", (SIGNATURE,), ("counter-signature-damaged",)),
    Control(3, "one byte form of the statement", (BYTE_FORM,), ("statement-written-otherwise",)),
    Control(3, "no unknown members", (MEMBERS, BYTE_FORM), ("unknown-member",)),
    Control(3, "kind of statement", (KIND, BYTE_FORM), ("other-type-of-statement",)),
    Control(3, "members agree", (CONSISTENCY,), ("entries-in-another-order",)),
    Control(3, "names of models", (MODELS,), ("model-lies",)),
    Control(3, "names used once", (UNIQUE,), ("model-lies",)),
    Control(3, "ends after it begins", (TIMES,), ("times-lie",)),
    Control(3, "no model that nobody needs", (NEEDED,), ("model-inside-and-outside",)),
    Control(3, "evidence where it belongs", (ENTRY, BOM), ("evidence-lies",)),
    Control(3, "each entry its file", (MATCH,), ("file-renamed",)),
    Control(3, "each file an entry", (NOTHING_ELSE,), ("file-extra",)),
    Control(3, "no companion undeclared", (COMPANION,), ("companion-beside",)),
    Control(3, "nothing unsupported", (SUPPORTED, BOM), ("attachment-declared",)),
    Control(4, "name and version", (NAME,), ("package-renamed",)),
    Control(4, "expiry", (TIME,), ("read-too-late",)),
    Control(4, "not from the future", (TIME,), ("read-too-early",)),
    Control(4, "imports", (IMPORTS, EQUAL), ("imports-and-exports-lie",)),
    Control(4, "rules on claims", (RULES, MEASURED_RULES), ("rule-on-claims", "revoked")),
    Control(4, "enough signers", (RULES, MEASURED_RULES), ("too-few-signed",)),
    Control(4, "rules in CEL", (EXPRESSIONS,), ("rule-in-cel",)),
    Control(4, "no rollback", (ROLLBACK,), ("rolled-back",)),
    Control(4, "no jump", (SEQUENCE,), ("jumped-ahead",)),
    Control(5, "unchanged while read", (UNCHANGED, DIGEST), ("overwritten-after-opening",)),
    Control(5, "nothing appended", (UNCHANGED, LONGER), ("changed-after-opening",)),
    Control(5, "model no longer", (UNCHANGED, AS_LONG), ("changed-after-opening",)),
    Control(5, "held while measured", (HELD,), ("opened-for-writing-while-measured",)),
    Control(5, "size of entries", (SIZE, BOM), ("number-lies",)),
    Control(5, "digests", (DIGEST,), ("bit-flips",)),
    Control(5, "fs-verity digest", (VERITY,), ("digest-lies",), 1000),
    Control(6, "nothing but parts", (KNOWN_PARTS, BOM), ("part-smuggled-in",)),
    Control(6, "world of the app", (ENDS_OF_WORLD, IMPORTS, BOM), ("imports-smuggled-in",)),
    Control(6, "parts", (PARTS, BOM), ("parts-lie",)),
    Control(6, "statement and bytes", (EQUAL,), ("imports-and-exports-lie", "model-lies")),
    Control(6, "settings", (EQUAL,), ("digest-lies",)),
    Control(6, "declared model", (DECLARED, BOM), ("model-lies",)),
    Control(6, "evidence", (EVIDENCE, BOM), ("evidence-lies",)),
    Control(6, "BOM", (BOM,), ("bom-says-other", "bom-has-surplus", "tensors-signed")),
    Control(6, "one byte form of the BOM", (CANONICAL_BOM,), ("bom-written-otherwise",)),
    Control(
        7, "rules on what was measured", (MEASURED_RULES,), ("rule-on-measured", "level-demanded")
    ),
    Control(7, "all demanded digests", (ENOUGH, MEASURES_ALL), ("model-for-one-digest-only",)),
    *MODE_CONTROLS,
)


def run_control(one: Control, honest: Honest, seed: int) -> dict[str, Any]:
    """A line of the table: how many mutants were tried until one got through, and which it is."""
    line = {"step": one.step, "claim": one.claim, "checks": one.name}
    for number in range(one.attempts):
        draft, chosen = mutant(honest, seed, number, one.mutators)
        if _said(draft, one.switches) != ACCEPTED or draft.is_honest():
            continue
        alone = [_said(draft, _without(one.switches, kept)) for kept in one.switches]
        if ACCEPTED in alone and len(one.switches) > 1:
            continue  # another attack, which one of the checks alone had let through
        if _said(draft, ()) == ACCEPTED:
            return line | {"is_noticed": False, "why": f"accepts {chosen.name} {number} as it is"}
        found = {"mutator": chosen.name, "number": number, "tried": number + 1}
        return line | {"is_noticed": True, **found, "alone": alone if len(alone) > 1 else []}
    return line | {"is_noticed": False, "why": f"none of {one.attempts} mutants got through"}


def _without(switches: tuple[Switch, ...], kept: Switch) -> tuple[Switch, ...]:
    return tuple(switch for switch in switches if switch is not kept)


def _said(draft: Draft, switches: tuple[Switch, ...]) -> str:
    """The answer with some checks off; without them an exception of any kind may come out."""
    with (
        TemporaryDirectory(prefix="gym-", dir=scratch()) as name,
        pytest.MonkeyPatch.context() as off,
    ):
        for where, attribute, instead in switches:
            off.setattr(where, attribute, instead)
        try:
            return judge(draft, Path(name))[0]
        except Exception as error:
            return type(error).__name__


def run_controls(
    honest: Honest, seed: int, progress: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """The whole table."""
    table = []
    for one in CONTROLS:
        table.append(run_control(one, honest, seed))
        progress(table[-1])
    return table
