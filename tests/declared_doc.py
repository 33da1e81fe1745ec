"""What docs/model-card.md says of a key: the words are made here from the code, and compared."""

from infwasi_sign.domain.declared_keys import Key
from infwasi_sign.domain.limits import LIMITS


def stated_value(key: Key) -> str:
    """The cell that says what a value must be."""
    form = key.form
    value = form.expected
    if not form.words and "at most" not in value and form.pattern is not None:
        value += {64: "", 35: ""}.get(form.longest, f", at most {form.longest} characters")
    if form.is_number:
        value += "; quotes may be left out"
    return f"list of at most {LIMITS.declared_list}, each {value}" if key.is_list else value
