"""A policy to start from, as tight as one package allows."""

import json
from typing import Final

from infwasi_sign.domain.policy_file import VERSION
from infwasi_sign.domain.rules import Facts, FactValue

_TEMPLATE: Final = '''\
# Written by `infwasi policy init`; docs/policy.md explains every key.
version = {version}

[[signer]]
name = {signer}
keys = [
  {{ pem = """
{pem}
""" }},
]

[[package]]
name = {package}
minimum-sequence = {sequence}
# maximum-age-days = 90

[component]
imports = {imports}

[model]
architectures = {architectures}
licenses = {licenses}
quantizations = {quantizations}
# digests = {model_digests}
# chat-templates = {templates}

[digests]
require = ["blake3"]

# [load]
# minimum-level = "sealed-memfd"

# [run]
# max-tokens = 256

# [[deny]]
# package = ["{name} 0.9.0"]
# reason = "answers with the system prompt"
# date = 2026-01-01
'''


def policy_template(facts: Facts, pem: str) -> str:
    """A policy that accepts the package of these facts, signed by the key in ``pem``."""
    return _TEMPLATE.format(
        version=VERSION,
        signer=_toml(facts["signer.name"]),
        pem=pem.strip(),
        package=_toml(facts["package.name"]),
        name=facts["package.name"],
        sequence=facts["package.sequence"],
        imports=_toml(facts["component.imports"]),
        architectures=_toml(facts["model.architectures"]),
        licenses=_toml(facts["model.licenses"]),
        quantizations=_toml(facts["model.quantizations"]),
        model_digests=_toml(facts["model.digests"]),
        templates=_toml(facts["model.chat-templates"]),
    )


def _toml(value: FactValue) -> str:
    """A TOML value; JSON's strings of ASCII are TOML's basic strings (TOML 1.0.0, "String")."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
