"""What rules can ask about: every fact by name, with its type and where it comes from.

docs/policy.md lists them for authors of policies; a test holds that list to this module.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from infwasi_sign.domain.agreement import Agreed
from infwasi_sign.domain.bom_document import BomDocument
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import EntryRole, Manifest
from infwasi_sign.domain.origin import ORIGIN_PREFIX
from infwasi_sign.domain.signer import SignerIdentity

if TYPE_CHECKING:
    from infwasi_sign.domain.rules import Facts, FactValue
    from infwasi_sign.domain.vex_statement import VexStatement

COMPUTED: Final = "digests.computed"
CONFINEMENT_LAYERS: Final = "confinement.layers"
HOST_LIBRARIES: Final = "host.libraries"
LOAD_LEVEL: Final = "load.level"
MODEL_DIGESTS: Final = "model.digests"
SIGNER_IDENTITIES: Final = "signer.identities"
SIGNER_NAMES: Final = "signer.names"
SIGNER_KEYS: Final = "signer.keys"
TRUST_AGE: Final = "trust-root.age-days"
VULNERABILITIES: Final = "vulnerabilities"


class FactType(StrEnum):
    """What the value of a fact is, in the words of docs/policy.md."""

    NUMBER = "number"
    TEXT = "text"
    TEXTS = "texts"


FACT_TYPES: Final[Mapping[str, FactType]] = MappingProxyType(
    {
        "now": FactType.NUMBER,
        "package.name": FactType.TEXT,
        "package.version": FactType.TEXT,
        "package.release": FactType.TEXTS,
        "package.sequence": FactType.NUMBER,
        "package.age-days": FactType.NUMBER,
        "package.expires": FactType.TEXT,
        SIGNER_NAMES: FactType.TEXTS,
        SIGNER_KEYS: FactType.TEXTS,
        "signer.modes": FactType.TEXTS,
        SIGNER_IDENTITIES: FactType.TEXTS,
        TRUST_AGE: FactType.NUMBER,
        "statement.digest": FactType.TEXT,
        "component.size": FactType.NUMBER,
        "component.imports": FactType.TEXTS,
        "component.digests": FactType.TEXTS,
        "component.parts": FactType.TEXTS,
        "model.architectures": FactType.TEXTS,
        "model.size": FactType.NUMBER,
        MODEL_DIGESTS: FactType.TEXTS,
        "model.chat-templates": FactType.TEXTS,
        "model.licenses": FactType.TEXTS,
        "model.quantizations": FactType.TEXTS,
        "model.parameters": FactType.NUMBER,
        "bom.properties": FactType.TEXTS,
        VULNERABILITIES: FactType.TEXTS,
        COMPUTED: FactType.TEXTS,
        HOST_LIBRARIES: FactType.TEXTS,
        LOAD_LEVEL: FactType.TEXT,
        CONFINEMENT_LAYERS: FactType.TEXTS,
    }
)


def variable(fact: str) -> str:
    """What an expression calls a fact: CEL's names have neither dots nor dashes of their own.

    `package` is a reserved word of CEL (cel-spec, langdef.md, "Syntax"), so `package.name` cannot
    be written with a dot.
    """
    return fact.replace(".", "_").replace("-", "_")


def signer_facts(signers: Sequence[SignerIdentity]) -> "Facts":
    """The facts of everybody who signed and is named by the policy (docs/policy.md).

    Where no identity signed, no trust root was asked, and its age is 0: were it unknown, a rule
    that names it would wait for ever, and whoever has a key could walk past it.
    """
    ages = [signer.trust_root.age_days for signer in signers if signer.trust_root is not None]
    return {
        SIGNER_NAMES: tuple(sorted({signer.name for signer in signers})),
        SIGNER_KEYS: tuple(sorted({f"sha256:{signer.fingerprint}" for signer in signers})),
        "signer.modes": tuple(sorted({str(signer.mode) for signer in signers})),
        SIGNER_IDENTITIES: tuple(sorted({s.identity for s in signers if s.identity is not None})),
        TRUST_AGE: max(ages, default=0),
    }


def claim_facts(manifest: Manifest, *, statement: Digest, now: datetime) -> "Facts":
    """The facts of a signed statement, before anything is measured (docs/policy.md)."""
    component = manifest.only(EntryRole.COMPONENT)
    models = [entry for entry in manifest.entries if entry.role is EntryRole.MODEL]
    return {
        "now": int(now.timestamp()),
        "package.name": manifest.package_name,
        "package.version": manifest.package_version,
        "package.release": (
            f"{manifest.package_name} {manifest.package_version}",
            f"{manifest.package_name} sequence {manifest.sequence}",
        ),
        "package.sequence": manifest.sequence,
        "package.age-days": (now - manifest.issued_at).days,
        "package.expires": "never" if manifest.expires_at is None else "yes",
        "statement.digest": str(statement),
        "component.size": component.size_bytes,
        "component.imports": manifest.component.imports,
        "component.digests": (str(component.sha256), str(component.blake3)),
        "component.parts": tuple(str(part.sha256) for part in manifest.component.parts),
        "model.architectures": tuple(model.architecture for model in manifest.models),
        "model.size": sum(entry.size_bytes for entry in models),
        MODEL_DIGESTS: tuple(str(d) for e in models for d in (e.sha256, e.blake3)),
        "model.chat-templates": tuple(
            str(model.chat_template) for model in manifest.models if model.chat_template
        ),
    }


def measured_facts(
    agreed: Agreed,
    computed: frozenset[Algorithm],
    level: LoadLevel | None,
    libraries: tuple[str, ...] | None,
    vex: "tuple[VexStatement, ...]" = (),
) -> "Facts":
    """The facts that only the bytes can tell, once they agree with the statement.

    ``level`` and ``libraries`` are ``None`` where nothing is held or measured: rules about them are
    then not decided, which only happens when nothing will run.
    ``vex`` is what the operator states about vulnerabilities.
    """
    models = agreed.models.values()
    facts: dict[str, FactValue] = {
        COMPUTED: tuple(sorted(str(algorithm) for algorithm in computed)),
        "model.licenses": tuple((model.license or "unknown").lower() for model in models),
        "model.quantizations": tuple(
            sorted({count.type_name for model in models for count in model.quantization})
        ),
        "model.parameters": sum(model.parameter_count for model in models),
        "bom.properties": tuple(
            sorted(
                {
                    name
                    for component in agreed.bom.components.values()
                    for name in component.properties
                    if not name.startswith(ORIGIN_PREFIX)
                }
            )
        ),
    }
    facts[VULNERABILITIES] = _vulnerabilities(agreed.bom, vex)
    if level is not None:
        facts[LOAD_LEVEL] = level.label
    if libraries is not None:
        facts[HOST_LIBRARIES] = libraries
    return facts


def _vulnerabilities(bom: BomDocument, vex: "tuple[VexStatement, ...]") -> tuple[str, ...]:
    if not vex and "vulnerabilities" not in bom.tree:
        return ()
    # Most packages state nothing, and a run should not read what reads it.
    from infwasi_sign.domain.vex_match import states  # noqa: PLC0415

    return states(bom, vex)
