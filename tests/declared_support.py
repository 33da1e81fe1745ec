"""Declared facts to test with: all that can be said, and any that are permitted."""

import re
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, Final

from hypothesis import strategies as st

from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.declared_file import model_card_template
from infwasi_sign.domain.declared_keys import (
    ARRAYS,
    CONTACT,
    DATE,
    PURL,
    QUANTITY,
    SHA256,
    TABLES,
    URL,
    Form,
    Key,
)
from infwasi_sign.domain.text import find_hidden

# The template with every example in force.
FILLED: Final = re.sub(r"(?m)^# (\[\[|[a-z])(?=\S* = |\S*\]\])", r"\1", model_card_template())

CARD: Final = """\
---
license: other
license_name: acme-open-1.0
license_link: https://acme.example/licence
language:
  - no
  - en
tags: [text-generation, "1.10"]
datasets:
- acme/talk
- acme/walk
base_model: acme/base-135M
pipeline_tag: text-generation
library_name: transformers
thumbnail: ~
widget:
- text: Hello
model-index:
- name: tiny
  results:
  - task: {type: text-generation, name: Text Generation}
    dataset: {type: mmlu, name: "MMLU, 5-shot", split: test}
    metrics:
    - type: accuracy
      value: 0.410
    - {type: confusion, value: [1, 2]}
co2_eq_emissions:
  emissions: 149200000.5
  source: CodeCarbon
  hardware_used: 8 A100
---
# Tiny
license: not read here
--- nor here
"""

SAMPLES: Final[Mapping[Form, tuple[str, ...]]] = {
    URL: ("https://x.test/a?b=c#d", "http://x.test", "https://192.0.2.1:8443/@a%20b"),
    CONTACT: ("mailto:security@x.test", "https://x.test/.well-known/security.txt"),
    PURL: ("pkg:huggingface/acme/tiny@0a1b#tiny.gguf", "pkg:generic/tiny"),
    SHA256: ("0" * 64, "abcdef0123456789" * 4),
    DATE: ("2024-02-29", "2024-11-01T12:00:00Z", "2024-11-01T12:00:00.5+01:00"),
    QUANTITY: ("0", "0.000000001234567", "123456789012345", "12.50", "0.0"),
}


def a_text(form: Form) -> st.SearchStrategy[str]:
    """Texts of a form."""
    if form.words:
        return st.sampled_from(form.words)
    if form in SAMPLES:
        return st.sampled_from(SAMPLES[form])
    # Short and mostly of a form from the start: Hypothesis gives up where it must discard much.
    letters = st.characters(
        exclude_categories=("C", "Zl", "Zp"),
        include_characters="" if form.is_one_line else "\n\t",
    )
    free = st.text(letters, min_size=1, max_size=12).filter(
        lambda text: find_hidden(text, keep_layout=not form.is_one_line) is None and form.fits(text)
    )
    return free | st.sampled_from(("x", "<b>x</b>", "Ærø, 東京", "a" * form.longest))


def _facts(keys: Mapping[str, Key]) -> dict[str, st.SearchStrategy[Any]]:
    return {
        key.field: st.lists(a_text(key.form), unique=True, max_size=3).map(tuple)
        if key.is_list
        else a_text(key.form)
        if key.is_required
        else st.none() | a_text(key.form)
        for key in keys.values()
    }


def any_declared() -> st.SearchStrategy[Declared]:
    """All that may be declared."""
    facts = {name: value for keys in TABLES.values() for name, value in _facts(keys).items()}
    facts |= {
        array.field: st.lists(
            st.builds(array.row, **_facts(array.keys)),
            max_size=2,
            unique_by=None if array.unique is None else attrgetter(array.unique),
        ).map(tuple)
        for array in ARRAYS.values()
    }
    return st.builds(Declared, **facts)
