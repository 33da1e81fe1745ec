"""A new key for a signer, written into the text of a policy; comments and layout stay."""

import copy
from datetime import datetime
from typing import Any

from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.policy_signers import KeySpec
from infwasi_sign.domain.toml_text import TomlText, read_toml
from infwasi_sign.domain.toml_value import toml_value
from infwasi_sign.errors import UndecidedError


def rotate(data: bytes, old: KeySpec, new: tuple[str, str], until: datetime, *, where: str) -> str:
    """The policy ``data`` with a second key after ``old``, which ends at ``until``.

    ``new`` is what the new key is given by and its value: ``("file", "new.pub")``.

    Raises:
        UndecidedError: the old key has an end already, or the text is written in a way that this
            function does not know how to edit.
    """
    if old.not_after is not None:
        raise UndecidedError(
            "this key has an end already", where=old.place, got=format_time(old.not_after)
        )
    toml = read_toml(data, where=where)
    edited = _edited(toml, old, f"{{ {new[0]} = {toml_value(new[1])} }}", format_time(until))
    if edited is None or read_toml(edited.encode(), where=where).document != _wanted(
        toml, old, new, until
    ):
        raise UndecidedError(
            "cannot edit this text surely",
            where=old.place,
            expected="a key in braces: keys = [{ file = ... }]",
            hint="add the new key by hand, and `not-after` to the old one",
        )
    return edited


def _edited(toml: TomlText, old: KeySpec, new: str, until: str) -> str | None:
    place = toml.places.get(old.path)
    if place is None or toml.text[place.start] != "{":
        return None
    before, entry, after = (
        toml.text[: place.start],
        toml.text[place.start : place.end],
        toml.text[place.end :],
    )
    indent = before[before.rfind("\n") + 1 :]
    between = f",\n{indent}" if not indent.strip() else ", "
    ended = f"{entry[:-1].rstrip()}, not-after = {until} }}"
    return f"{before}{ended}{between}{new}{after}"


def _wanted(toml: TomlText, old: KeySpec, new: tuple[str, str], until: datetime) -> dict[str, Any]:
    """What the edited document must say, and nothing else."""
    document: dict[str, Any] = copy.deepcopy(dict(toml.document))
    signer, key = (int(part.partition("]")[0]) for part in old.path.split("[")[1:])
    keys = document["signer"][signer]["keys"]
    keys[key]["not-after"] = until.replace(microsecond=0)
    keys.insert(key + 1, {new[0]: new[1]})
    return document
