"""Statements about vulnerabilities to test with, in both forms."""

import json
from typing import Any, Final

ID: Final = "CVE-2026-1234"
SOURCE: Final = "https://vulnerabilities.test/CVE-2026-1234"

OPENVEX: Final[dict[str, Any]] = {
    "@context": "https://openvex.dev/ns/v0.2.0",
    "@id": "https://acme.test/vex/1",
    "author": "Acme",
    "timestamp": "2026-11-23T12:00:00Z",
    "version": 1,
    "statements": [
        {
            "vulnerability": {"name": ID, "@id": SOURCE, "aliases": ["GHSA-x"]},
            "products": [{"@id": "pkg:generic/capital@1.0.0"}],
            "status": "not_affected",
            "justification": "vulnerable_code_not_in_execute_path",
            "impact_statement": "The parser is never called.",
        }
    ],
}
CYCLONEDX_VEX: Final[dict[str, Any]] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {"component": {"type": "application", "name": "capital", "bom-ref": "app"}},
    "vulnerabilities": [
        {
            "id": ID,
            "source": {"name": "Acme", "url": SOURCE},
            "analysis": {"state": "exploitable", "detail": "By a long prompt."},
            "affects": [{"ref": "app"}],
        }
    ],
}


def openvex(
    status: str = "affected",
    product: Any = "pkg:generic/capital@1.0.0",
    *,
    name: str = ID,
    **members: Any,
) -> dict[str, Any]:
    """A document with one statement."""
    statement = {
        "vulnerability": {"name": name},
        "products": [product if isinstance(product, dict) else {"@id": product}],
        "status": status,
        **members,
    }
    return OPENVEX | {"statements": [statement]}


def data(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
