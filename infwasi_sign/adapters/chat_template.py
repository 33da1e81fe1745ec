"""A model's chat template, rendered without ever seeing what the messages say.

With ``template_sandbox`` the only door to jinja2. A template is code out of a model file; a message
is text that somebody typed. They are kept apart: the template gets a placeholder for each message,
and where the placeholder comes out is where the message goes, as data that is tokenized without
control tokens.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from jinja2 import Template, TemplateError

from infwasi_sign.adapters.chat_placeholders import PRIVATE, MessageLostError, Placeholders, Segment
from infwasi_sign.adapters.template_sandbox import RaisedByTemplateError, SandboxEnvironment
from infwasi_sign.domain.chat import Message, Role
from infwasi_sign.domain.limits import KIB, LIMITS
from infwasi_sign.errors import UndecidedError

__all__ = ["Segment", "compile_ahead", "render", "warm_up"]

_COPIES: Final = 16
_WARM: Final = """{% for m in messages %}{{ m.content + '\\n' }}{% endfor %}"""
_FAILS: Final = "{{ 1 // 0 }}"

# Templates that are compiled and were not rendered yet, each with an environment and its meter.
_AHEAD: Final[dict[str, tuple[SandboxEnvironment, Template]]] = {}


def render(template: str, messages: Sequence[Message], bos: str, eos: str) -> tuple[Segment, ...]:
    """The prompt for the next answer, in order; no segment is empty.

    A template that refuses a system turn, or leaves it out, gets the system text at the beginning
    of the first user turn instead.

    Raises:
        UndecidedError: the template does not compile, fails, goes beyond its bounds, or does not
            print every message exactly once.
    """
    _require_bounded(template)
    if not PRIVATE.isdisjoint(template + bos + eos):
        raise UndecidedError("chat template uses characters that are reserved for placeholders")
    try:
        return _render(template, messages, bos, eos)
    except (RaisedByTemplateError, MessageLostError) as e:
        folded = _fold_system(messages)
        if folded is None:
            raise _undecided(e) from e
    try:
        return _render(template, folded, bos, eos)
    except RaisedByTemplateError as e:
        raise _undecided(e) from e


def compile_ahead(template: str) -> None:
    """Begin what `render` does, for the first time that it gets this template.

    Raises:
        Exception: what `render` will say better.
    """
    _require_bounded(template)
    _AHEAD[template] = _compiled(template)


def warm_up() -> None:
    """Have imported all that `render` imports at its first template, and at the first that fails.

    jinja2 and the codecs do so late, and in a process that opens no files any more it is too late.
    """
    for template in (_WARM, _FAILS):
        with suppress(UndecidedError):
            render(template, (Message(role=Role.USER, content="warm"),), "", "")


def _require_bounded(template: str) -> None:
    if len(template.encode("utf-8", "surrogatepass")) > LIMITS.chat_template_bytes:
        raise UndecidedError(
            "chat template is too long", expected=f"at most {LIMITS.chat_template_bytes} bytes"
        )


def _compiled(template: str) -> tuple[SandboxEnvironment, Template]:
    environment = SandboxEnvironment()
    return environment, environment.metered_template(template)


def _fold_system(messages: Sequence[Message]) -> tuple[Message, ...] | None:
    if len(messages) < 2 or messages[0].role is not Role.SYSTEM:
        return None
    system, first = messages[0], messages[1]
    if first.role is not Role.USER:
        return None
    content = f"{system.content}\n\n{first.content}"
    return (Message(role=Role.USER, content=content), *messages[2:])


def _undecided(error: Exception) -> UndecidedError:
    if isinstance(error, UndecidedError):
        return error
    return UndecidedError(f"chat template fails: {str(error)[:200] or type(error).__name__}")


def _render(template: str, messages: Sequence[Message], bos: str, eos: str) -> tuple[Segment, ...]:
    # Room for a strip, a split and a replacement of every message, and no more.
    table = Placeholders(_COPIES * sum(len(message.content) + 1 for message in messages) + KIB)
    turns = [
        {"role": str(message.role), "content": table.new(number, message.content)}
        for number, message in enumerate(messages)
    ]
    ahead = _AHEAD.pop(template, None)
    try:
        environment, compiled = _compiled(template) if ahead is None else ahead
        pieces = compiled.generate(
            messages=turns,
            add_generation_prompt=True,
            bos_token=bos,
            eos_token=eos,
            tools=None,
            documents=None,
        )
        text = environment.concat(pieces)
    except (RaisedByTemplateError, UndecidedError):
        raise
    except (
        TemplateError,
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        MemoryError,
        NotImplementedError,
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as e:  # all that a template can make jinja2 and the interpreter raise
        raise _undecided(e) from e
    return table.split(text, messages)
