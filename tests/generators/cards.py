"""What a developer writes down of a model, in our form and in that of Hugging Face."""

import tomllib
from typing import Any, Final

FIFTEEN_LINES: Final = """\
bom.author = "Example Ltd"
app = {producer = "Example Ltd", area = "geography lessons", data-usage = "public questions"}
training.approach = "self-supervised"
security.contact = "mailto:security@example.com"
[model]
version = "1.0.0"
description = "A small language model that answers in English"
purl = "pkg:huggingface/HuggingFaceTB/SmolLM2-135M-Instruct"
url = "https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct"
released = "2024-10-31"
[[dataset]]
name = "smoltalk"
url = "https://huggingface.co/datasets/HuggingFaceTB/smoltalk"
license = "Apache-2.0"
provenance = "made with other models and collected from the web"
"""

README: Final = """\
---
license: apache-2.0
language: [en]
base_model: HuggingFaceTB/SmolLM2-135M
datasets: [HuggingFaceTB/smoltalk]
pipeline_tag: text-generation
library_name: transformers
---
# SmolLM2-135M-Instruct
A small language model that answers in English.
"""


def card(text: str) -> dict[str, Any]:
    """The tree of a `model-card.toml`."""
    return tomllib.loads(text)
