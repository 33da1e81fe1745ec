"""What every part of the derivation is made with: tagged values, hashes, names, references."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from infwasi_sign.domain.origin import ORIGIN_PREFIX, OWN, Origin
from infwasi_sign.domain.strict_json import JsonValue

# Patterns of what few files have are compiled when one has it.
_URL: Final = (  # RFC 3986 appendix A; no literal address, which CycloneDX's validators refuse
    r"https?://[!#-;=?-Z_a-z~](?:%[0-9A-Fa-f]{2}|[!#$&-;=?-Z_a-z~])*"
)
_URL_CHARACTERS: Final = 2048
_VERSION_CHARACTERS: Final = 1024  # CycloneDX 1.7, "version"
_ADDRESS: Final = r"mailto:[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+"
_HUGGING_FACE: Final = r"https://(?:huggingface\.co|hf\.co)/([A-Za-z0-9][A-Za-z0-9_.-]*)/([A-Za-z0-9][A-Za-z0-9_.-]*)/?"
_PURL: Final = r"pkg:[a-z][a-z0-9.+-]*/[!-~]+"
_QUOTED: Final = {code: f"%{code:02X}" for code in (*range(0x21), ord("%"), 0x7F)}
# What a list has for no names at all must not be read where there is one.
_MISLEADING: Final = {"": "%", "none": "%6Eone"}


class Tagged:
    """A component (or service) in the making: each value comes with its origin.

    What nobody said is tagged as unknown and stands nowhere else.
    """

    def __init__(self, **members: JsonValue) -> None:
        self.tree: dict[str, JsonValue] = {
            name.replace("_", "-"): value for name, value in members.items()
        }
        self._properties: dict[str, str] = {}

    def tag(self, name: str, origin: Origin) -> None:
        """Say where the value under ``name`` comes from, which is written elsewhere."""
        self._properties[ORIGIN_PREFIX + name] = origin.value

    def member(self, name: str, value: JsonValue, origin: Origin) -> None:
        """A member of the component; unknown if the value is ``None`` or empty."""
        if value:
            self.tree[name] = value
            self.tag(name, origin)
        else:
            self.tag(name, Origin.UNKNOWN)

    def property(self, name: str, value: str | None, origin: Origin) -> None:
        """The property ``infwasi:<name>``; unknown if the value is ``None`` or empty."""
        if value:
            self._properties[OWN + name] = value
            self.tag(name, origin)
        else:
            self.tag(name, Origin.UNKNOWN)

    def plain(self, properties: Mapping[str, str]) -> None:
        """Properties below `infwasi:` that a tag with `*` covers."""
        for name, value in properties.items():
            self._properties[OWN + name] = value

    def finished(self) -> dict[str, JsonValue]:
        """The tree, with properties sorted by name."""
        found = self._properties
        self.tree["properties"] = [{"name": name, "value": found[name]} for name in sorted(found)]
        return self.tree


def first_said(from_file: str | None, from_user: str | None) -> tuple[str | None, Origin]:
    """What the file says of itself, else what the developer says."""
    if from_file:
        return from_file, Origin.FILE_DECLARED
    return from_user, Origin.USER_DECLARED


def hashes(sha256: str, blake3: str | None = None) -> JsonValue:
    """The member `hashes`."""
    found: list[JsonValue] = [{"alg": "SHA-256", "content": sha256}]
    if blake3 is not None:
        found.append({"alg": "BLAKE3", "content": blake3})
    return found


def listed(names: Iterable[str]) -> str:
    """Names separated by spaces, each `quoted`; one that would read as no name is not as it is."""
    return " ".join(_MISLEADING.get(name) or quoted(name) for name in names)


def quoted(name: str) -> str:
    """A name with its blanks, controls and per cent signs as `%20`."""
    if name.isprintable() and " " not in name and "%" not in name:
        return name
    return name.translate(_QUOTED)


def as_url(text: str | None) -> str | None:
    """The text, if it is an address of the web that may stand where CycloneDX demands one."""
    if text is None or len(text) > _URL_CHARACTERS:
        return None
    return text if re.fullmatch(_URL, text) else None


def as_version(text: str | None) -> str | None:
    """The text, if it is no longer than CycloneDX permits a version to be."""
    return text if text is not None and len(text) <= _VERSION_CHARACTERS else None


def as_contact(text: str | None) -> str | None:
    """An address of the web, or one of mail: `mailto:` and what follows."""
    if text is not None and len(text) <= _URL_CHARACTERS and re.fullmatch(_ADDRESS, text):
        return text
    return as_url(text)


def as_purl(text: str | None) -> str | None:
    """The text, if it is a package URL."""
    return text if text is not None and re.fullmatch(_PURL, text) else None


def hugging_face_purl(repo_url: str | None) -> str | None:
    """The package URL of a repository on Hugging Face (purl-spec, huggingface-definition.json).

    No commit is known, so the URL has no version.
    """
    found = None if repo_url is None else re.fullmatch(_HUGGING_FACE, repo_url)
    if found is None or found.group(1) in ("datasets", "spaces", "models", "docs"):
        return None
    return f"pkg:huggingface/{found.group(1)}/{found.group(2)}"


def reference(kind: str, url: str | None, comment: str | None = None) -> list[JsonValue]:
    """An item of `externalReferences`, or none if there is no address."""
    if url is None:
        return []
    found: dict[str, JsonValue] = {"type": kind, "url": url}
    if comment is not None:
        found["comment"] = comment
    return [found]


def people(names: Iterable[str]) -> JsonValue:
    """The member `authors`."""
    return [{"name": name} for name in names if name]


def organization(name: str | None) -> JsonValue:
    """An `organizationalEntity`, or nothing."""
    return {"name": name} if name else None
