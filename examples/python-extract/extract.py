"""An inference component in Python: takes the name of a person out of a text, as JSON.

The model proposes and the code decides: a name that does not stand in the text is none.
"""

import json
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import engine, settings
from wit_world.imports.types import (
    Completion,
    Failure_InvalidArgument,
    Message,
    Options,
    Role,
    Sampling,
    Summary,
)

# Turns of a conversation: small models follow examples better than instructions.
EXAMPLES = (
    ("Yesterday Maria Lopez opened the meeting.", "Maria Lopez"),
    ("Please call Peter Brown about the order.", "Peter Brown"),
    ("The letter was signed by Aiko Tanaka.", "Aiko Tanaka"),
)
INSTRUCTION = "Write the name of the person in the text, and nothing else."

# A name is short; the likeliest tokens, to the end of the line, so that a text has always one name.
ONE_NAME = Options(
    max_tokens=16,
    sampling=Sampling(
        temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0, seed=None
    ),
    stop=["\n"],
)


def conversation(text: str) -> list[Message]:
    """The instruction, the examples and the text; what the text says is data."""
    turns = [Message(Role.SYSTEM, INSTRUCTION)]
    for example, name in EXAMPLES:
        turns += [Message(Role.USER, f"Text: {example}"), Message(Role.ASSISTANT, name)]
    return [*turns, Message(Role.USER, f"Text: {text}")]


def find_name(answer: str, text: str) -> str | None:
    """The name in the model's answer, if the text has it as whole words."""
    name = answer.strip().strip(".\"'").removeprefix("Name: ")
    if not name or not name[0].isupper():
        return None
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    return None if found is None else found.group()


class Generation(exports.inference.Generation):
    """One answer: a single piece of JSON."""

    def __init__(self, text: str, inner: engine.Generation) -> None:
        self._text = text
        self._inner = inner
        self._is_answered = False

    def next(self) -> str | None:
        """Read the model's answer to its end, so that the summary is complete."""
        if self._is_answered:
            return None
        answer = ""
        while (piece := self._inner.next()) is not None:
            answer += piece
        self._is_answered = True
        return json.dumps({"name": find_name(answer, self._text)}, ensure_ascii=False)

    def summary(self) -> Summary:
        """The engine's own."""
        return self._inner.summary()


class Inference(exports.Inference):
    """What the host calls. A failure of the engine is an `Err`, and passes through as it is."""

    def start(self, prompt: str | None) -> Generation:
        """Ask the model about the prompt, or about the package's default prompt."""
        configuration = settings.get()
        text = configuration.default_prompt if prompt is None else prompt
        if text is None:
            raise Err(Failure_InvalidArgument("no text was given to take a name from"))
        with engine.Model.load(configuration.model) as model:
            return Generation(text, model.start(conversation(text), ONE_NAME))

    def compute(self, prompt: str | None) -> Completion:
        """The same in one call, for other hosts."""
        generation = self.start(prompt)
        text = generation.next() or ""
        return Completion(text, generation.summary())
