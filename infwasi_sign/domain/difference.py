"""What changed between two packages, models or components, down to the tensor, key or setting.

A side is a flat list of items, each with a digest; two sides differ in the items that only one has
or whose digests differ. A container (a file, a header) whose digest differs although all its items
are the same is told too: no byte changes without a word.
"""

import difflib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import chain
from typing import Final

from infwasi_sign.quick_dataclass import dataclass

_COMPARED_LINES: Final = 400  # difflib takes quadratic time
_SHOWN_LINE: Final = 400
_SHOWN_NAMES: Final = 1  # of a section in the summary; "and 3 more" says the rest


class Section(StrEnum):
    """What an item is part of, in the order in which changes are told."""

    DECLARED = "declared"
    SETTING = "setting"
    COMPONENT = "component"
    METADATA = "metadata"
    TENSOR = "tensor"
    TOOL = "tool"
    LAYOUT = "layout"
    RELEASE = "release"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing that can change: it did if its digest did, or what it is (a tensor's type).

    ``value`` is a short form for people; ``text`` is the whole of a value that is text, so that its
    lines can be compared.
    """

    section: Section
    name: str
    value: str
    digest: str
    size_bytes: int | None = None
    text: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What is the same on both sides if nothing changed."""
        return self.digest, self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """A file or header: its digest covers the items whose section and name prefix it is given.

    ``rest`` says what differs where its bytes do and none of those items.
    """

    name: str
    digest: str
    size_bytes: int
    sections: frozenset[Section]
    prefix: str = ""
    rest: str = "that are none of its parts"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One side: its items by section and name, and the containers that hold them.

    ``findings`` are what is remarkable about the chat templates (domain/template_code.py).
    """

    title: str
    kind: str
    items: Mapping[tuple[Section, str], Item]
    containers: tuple[Container, ...]
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An item before and after; ``None`` where it is not there."""

    section: Section
    name: str
    old: Item | None
    new: Item | None

    @property
    def verb(self) -> str:
        """What happened to it."""
        if self.old is None:
            return "added"
        return "removed" if self.new is None else "changed"

    def text_lines(self) -> tuple[str, ...]:
        """The lines that differ, as a unified diff without its head, if both sides are texts.

        Empty where they are too long to be compared, or have one line each, which is shown anyhow.
        """
        if self.old is None or self.new is None or self.old.text is None or self.new.text is None:
            return ()
        before, after = self.old.text.splitlines(), self.new.text.splitlines()
        sizes = (len(before), len(after))
        if max(sizes) > _COMPARED_LINES or sizes == (1, 1):
            return ()
        lines = difflib.unified_diff(before, after, lineterm="", n=1)
        return tuple(line[:_SHOWN_LINE] for line in lines if not line.startswith(("---", "+++")))


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Every change, in the order of `Section`, and the containers with other bytes."""

    old: Snapshot
    new: Snapshot
    changes: tuple[Change, ...]
    containers: tuple[tuple[Container | None, Container | None], ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not compared, and the findings about chat templates that came or went."""
        old, new = set(self.old.findings), set(self.new.findings)
        return (
            *self.old.notes,
            *self.new.notes,
            *(f"a finding came: {finding}" for finding in sorted(new - old)),
            *(f"a finding went: {finding}" for finding in sorted(old - new)),
        )

    @property
    def summary(self) -> str:
        """One line: "only tokenizer.chat_template", or what else changed."""
        told = [change for change in self.changes if change.section is not Section.RELEASE]
        if not self.changes:
            return "nothing"
        if not told:
            names = ", ".join(change.name for change in self.changes)
            return f"only the release ({names})"
        words = list(_grouped(tuple(told)))
        return f"only {words[0]}" if len(words) == 1 else "; ".join(words)


def compare(old: Snapshot, new: Snapshot) -> Difference:
    """The changes from ``old`` to ``new``."""
    changes = []
    for key in {**old.items, **new.items}:  # in the order of the files, old ones first
        before, after = old.items.get(key), new.items.get(key)
        if before is None or after is None or before.identity != after.identity:
            changes.append(Change(section=key[0], name=key[1], old=before, new=after))
    pairs = tuple(_changed_containers(old, new))
    changes += _unexplained(pairs, changes)
    order = {section: at for at, section in enumerate(Section)}
    changes.sort(key=lambda change: order[change.section])  # stable: file order within a section
    return Difference(old=old, new=new, changes=tuple(changes), containers=pairs)


def _changed_containers(
    old: Snapshot, new: Snapshot
) -> Iterator[tuple[Container | None, Container | None]]:
    before = {container.name: container for container in old.containers}
    after = {container.name: container for container in new.containers}
    for name in {**before, **after}:
        left, right = before.get(name), after.get(name)
        if left is None or right is None or left.digest != right.digest:
            yield left, right


def _unexplained(
    pairs: tuple[tuple[Container | None, Container | None], ...], changes: list[Change]
) -> list[Change]:
    """Containers whose bytes differ where no item of theirs does: padding, order, wrapping."""
    found: list[Change] = []
    for left, right in pairs:
        if left is None or right is None:
            continue  # the items that came or went say it
        sections = left.sections & right.sections
        if any(
            change.section in sections and change.name.startswith(left.prefix)
            for change in chain(changes, found)
        ):
            continue
        found.append(
            Change(
                section=Section.LAYOUT,
                name=f"bytes of {left.name} {left.rest}",
                old=_as_item(left),
                new=_as_item(right),
            )
        )
    return found


def _as_item(container: Container) -> Item:
    return Item(
        section=Section.LAYOUT,
        name=container.name,
        value=f"{container.size_bytes} bytes",
        digest=container.digest,
        size_bytes=container.size_bytes,
    )


def _grouped(changes: tuple[Change, ...]) -> Iterator[str]:
    """A few words for each section: its first name, and how many more."""
    for section in Section:
        names = [change.name for change in changes if change.section is section]
        if names:
            shown = ", ".join(names[:_SHOWN_NAMES])
            more = len(names) - _SHOWN_NAMES
            yield f"{shown} and {more} more" if more > 0 else shown
