"""An in-toto statement about the BOM alone, for scanners that know no package of ours.

Its predicate is the BOM and its type the one of CycloneDX (github.com/in-toto/attestation,
spec/predicates/cyclonedx.md), so `cosign verify-blob-attestation --type cyclonedx` reads it.
"""

from typing import Final

from infwasi_sign.domain import strict_json
from infwasi_sign.domain.limits import KIB, LIMITS
from infwasi_sign.domain.manifest import EntryRole, Manifest
from infwasi_sign.domain.statement import STATEMENT_TYPE
from infwasi_sign.errors import UndecidedError

BOM_PREDICATE_TYPE: Final = "https://cyclonedx.org/bom"
_REST_OF_BUNDLE_BYTES: Final = 128 * KIB  # certificate, log entry and timestamps; they have 20 KiB


def encode_bom_statement(manifest: Manifest, bom: bytes) -> bytes:
    """The payload to sign: RFC 8785 bytes; its subjects are what the BOM describes.

    Raises:
        UndecidedError: a bundle over it would be larger than any reader takes.
    """
    payload = strict_json.canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": entry.name, "digest": {"sha256": entry.sha256.hex}}
                for entry in manifest.entries
                if entry.role is not EntryRole.BOM
            ],
            "predicateType": BOM_PREDICATE_TYPE,
            "predicate": strict_json.parse(bom, where="bom", limit_bytes=LIMITS.bom_bytes),
        }
    )
    most = (LIMITS.bundle_bytes - _REST_OF_BUNDLE_BYTES) * 3 // 4  # base64
    if len(payload) > most:
        raise UndecidedError(
            "the bill of materials is too large for an attestation",
            expected=f"at most {most} bytes",
            got=str(len(payload)),
            hint="leave out --attest-bom: the package itself signs the whole of it",
        )
    return payload
