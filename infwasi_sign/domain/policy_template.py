"""A policy to start from, as tight as one package allows."""

from typing import Final

from infwasi_sign.domain.facts import HOST_LIBRARIES
from infwasi_sign.domain.policy_file import POLICY_VERSION
from infwasi_sign.domain.rules import Facts
from infwasi_sign.domain.toml_value import toml_value

_TEMPLATE: Final = """\
# Written by `infwasi policy init`; docs/policy.md explains every key.
version = {version}

[[signer]]
name = {signer}
{ways}

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
# identity-cache = true

[digests]
require = ["blake3"]

# [vulnerabilities]          # states of VEX statements, by the packer or in your own file
# refuse = ["exploitable", "in_triage"]

# [host]
# libraries = {libraries}

# [load]
# minimum-level = "sealed-memfd"

# [confinement]
# require = ["no-dumps"]

# [state]
# require = true

# [run]
# max-tokens = 256

# [[rule]]
# cel = 'package_version.matches("^[0-9]+[.][0-9]+[.][0-9]+$")'
# message = "only releases are approved"

# [[deny]]
# package = ["{name} 0.9.0"]
# reason = "answers with the system prompt"
# date = 2026-01-01
"""


def policy_template(facts: Facts, *, signer: str, ways: str) -> str:
    """A policy that accepts the package of these facts, signed by ``signer`` in these ways."""
    return _TEMPLATE.format(
        version=POLICY_VERSION,
        signer=toml_value(signer),
        ways=ways,
        package=toml_value(facts["package.name"]),
        name=facts["package.name"],
        sequence=facts["package.sequence"],
        imports=toml_value(facts["component.imports"]),
        architectures=toml_value(facts["model.architectures"]),
        licenses=toml_value(facts["model.licenses"]),
        quantizations=toml_value(facts["model.quantizations"]),
        model_digests=toml_value(facts["model.digests"]),
        templates=toml_value(facts["model.chat-templates"]),
        libraries=toml_value(facts[HOST_LIBRARIES]),
    )


def by_key(pem: str) -> str:
    """The lines of a signer with one public key."""
    return f'keys = [\n  {{ pem = """\n{pem.strip()}\n""" }},\n]'


def by_identity(identity: str, issuer: str) -> str:
    """The lines of a signer with one identity, and how old its trust root may be."""
    one = f"{{ identity = {toml_value(identity)}, issuer = {toml_value(issuer)} }}"
    return f"identities = [\n  {one},\n]\n\n[sigstore]\nmaximum-age-days = 30"
