"""The ML-BOM as a function: equal inputs give equal bytes, and verification computes them again.

sbom/README.md describes the document, ADR 22 why it is made so. No member of it comes from
anywhere but `BomInputs`: of those, all is measured but ``declared`` and ``tools``.
"""

from infwasi_sign.domain.bom_document import BomComponent, BomDocument, read_bom
from infwasi_sign.domain.bom_inputs import BomInputs, ModelSubject, WasmSubject
from infwasi_sign.domain.strict_json import JsonValue

__all__ = [
    "BomComponent",
    "BomDocument",
    "BomInputs",
    "ModelSubject",
    "WasmSubject",
    "bom_bytes",
    "derive_bom",
    "read_bom",
]


def derive_bom(inputs: BomInputs) -> dict[str, JsonValue]:
    """The whole document, serial number included."""
    raise NotImplementedError


def bom_bytes(document: dict[str, JsonValue]) -> bytes:
    """The one byte form of a document (RFC 8785)."""
    raise NotImplementedError
