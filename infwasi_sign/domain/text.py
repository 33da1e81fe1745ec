"""Text on its way out: whole characters from token bytes, and control characters made visible."""

import codecs
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

# C0 without tab and newline, DEL, C1 (ECMA-48); soft hyphen; zero-width characters; bidirectional
# controls (Unicode Standard Annex 9, "Trojan Source"); line and paragraph separators; invisible
# operators; interlinear annotation; lone surrogates; tag characters.
_HIDDEN: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
# Characters that show as nothing at all (Unicode, Default_Ignorable_Code_Point, and the blank
# braille pattern): in an answer they belong to emoji and scripts, in a name they only mislead.
_INVISIBLE: Final = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0080-\U000e0fff"
)
_COMMAND: Final = re.compile(r"##(?=\[|vso\[)")
_LINE_COMMAND: Final = re.compile(r"^(\s*)::")


def escape_controls(text: str, *, keep_layout: bool = True) -> str:
    r"""Show every character that could move, hide or reorder text on a terminal as ``\u{..}``.

    Tab and newline stay when ``keep_layout`` is true; names and one-line messages pass false.
    """
    if text.isascii() and text.isprintable():
        return text
    return _unsafe(keep_layout).sub(lambda match: f"\\u{{{ord(match.group()):x}}}", text)


def spelled_out(text: str, *, is_xml: bool) -> str:
    """A document of JSON or XML with the same meaning, in which a terminal finds no commands.

    Neither form spells out C1 controls, among them CSI, nor what reorders text.
    """
    return _unsafe(keep_layout=True).sub(
        lambda match: (
            f"&#x{ord(match.group()):x};" if is_xml else json.dumps(match.group()).strip('"')
        ),
        text,
    )


@cache
def _unsafe(keep_layout: bool) -> re.Pattern[str]:
    """Compiled when somebody needs it: most texts are printable ASCII."""
    return re.compile(f"[{_HIDDEN}]" if keep_layout else f"[\t\n{_HIDDEN}{_INVISIBLE}]")


def visible_pieces(text: str, *, keep_layout: bool) -> Iterator[tuple[str, bool]]:
    r"""The text in pieces: those that show as they are, and ``\u{..}`` for what would not (true).

    Joined they are `escape_controls`; apart they can be told from a text that spells ``\u{..}``.
    """
    at = 0
    for match in _unsafe(keep_layout).finditer(text):
        if match.start() > at:
            yield text[at : match.start()], False
        yield f"\\u{{{ord(match.group()):x}}}", True
        at = match.end()
    if at < len(text):
        yield text[at:], False


def find_hidden(text: str, *, keep_layout: bool = True) -> str | None:
    """The first character that `escape_controls` would show in another way, if there is one."""
    if text.isascii() and text.isprintable():
        return None
    found = _unsafe(keep_layout).search(text)
    return None if found is None else found.group()


def harmless_line(text: str) -> str:
    r"""One line for people: `escape_controls`, and nothing that a build server obeys.

    GitHub's runner takes ``::command::`` at the beginning of a line, blanks aside, and
    ``##[command]`` anywhere for its own (github.com/actions/runner, ActionCommand.cs); Azure
    Pipelines take ``##vso[``.
    """
    shown = _COMMAND.sub(r"#\\u{23}", escape_controls(text, keep_layout=False))
    return _LINE_COMMAND.sub(r"\1\\u{3a}:", shown)


class PieceJoiner:
    """Joins the bytes of tokens into text of whole characters that ends before a stop string.

    Bytes that can never be UTF-8 become U+FFFD, exactly as ``bytes.decode(errors="replace")`` does.
    Text that may be the beginning of a stop string is held back until it is known not to be one.
    Of several stop strings the one that is complete first counts, so the result does not depend
    on where the bytes are cut.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._stop = tuple(text for text in stop if text)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_partial = False
        self._held = ""
        self.finished = False

    def push(self, piece: bytes) -> str:
        """Take the bytes of the next token; give the text that is certain (maybe empty)."""
        if self._is_partial or not piece.isascii():
            text = self._decoder.decode(piece)
            self._is_partial = bool(self._decoder.getstate()[0])
        else:
            text = piece.decode("ascii")
        return self._until_stop(text) if self._stop else text

    def flush(self) -> str:
        """The rest, at the end of the tokens: held text, and U+FFFD for an unfinished character."""
        if self.finished:
            return ""
        text = self._decoder.decode(b"", final=True)
        self._is_partial = False
        if not self._stop:
            return text
        text = self._until_stop(text)
        rest, self._held = self._held, ""
        return text + rest

    def _until_stop(self, text: str) -> str:
        if self.finished:
            return ""
        held = self._held + text
        found = [
            (start + len(stop), start) for stop in self._stop if (start := held.find(stop)) >= 0
        ]
        if found:
            self.finished = True
            self._held = ""
            return held[: min(found)[1]]
        keep = max(_overlap(held, stop) for stop in self._stop)
        cut = len(held) - keep
        self._held = held[cut:]
        return held[:cut]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of ``text`` that is a beginning of ``stop``, but not all of it."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
