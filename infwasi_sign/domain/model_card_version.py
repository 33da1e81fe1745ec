"""What of a model card an older version of CycloneDX has a place for."""

from typing import Any, Final, TypeVar, cast

from infwasi_sign.domain.model_card import ExternalReference, Hash
from infwasi_sign.domain.model_card_layout import LAYOUTS

_T = TypeVar("_T")

# Words of `externalReference.type` and `hash.alg` that came with 1.7; a card has such references
# only where it has energy providers, which came with 1.6.
_NEW_TYPES: Final = frozenset({"patent", "patent-family", "patent-assertion", "citation"})
_NEW_HASHES: Final = frozenset({"Streebog-256", "Streebog-512"})


def at_version(value: _T, version: str) -> _T:
    """The card, or data, without members that ``version`` ("1.5") does not know.

    A reference of a newer type is of the type "other" before, as the schema says of that word.
    """
    return cast("_T", _at(value, version))


def _at(value: Any, version: str) -> object:
    if isinstance(value, tuple):
        return tuple(_at(item, version) for item in value if _is_known(item, version))
    layout = LAYOUTS.get(type(value))
    if layout is None:
        return value
    kept = {
        member.field: _at(getattr(value, member.field), version)
        for member in layout.members
        if member.since <= version  # versions are compared as texts until there is a 1.10
    }
    if isinstance(value, ExternalReference) and value.type in _NEW_TYPES and version < "1.7":
        kept["type"] = "other"
    return type(value)(**kept)


def _is_known(item: object, version: str) -> bool:
    return not (isinstance(item, Hash) and item.alg in _NEW_HASHES and version < "1.7")
