"""What `verify` and `verify-and-run` share: the request, the adapters, the verdict."""

from datetime import UTC, datetime
from pathlib import Path

from infwasi_sign.adapters.key_files import load_public_key
from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.package_directory import DirectoryStore
from infwasi_sign.domain.digest import Algorithm
from infwasi_sign.domain.manifest import Manifest, format_time
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.ports import SignerIdentity
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify


def key_policy(package: Path, name: str | None, digests: frozenset[Algorithm]) -> Policy:
    """The policy that ``--key`` stands for: that one key, and one package by name."""
    wanted = (
        NamedPackage(name=name)
        if name is not None
        else DirectoryNamed(directory=package.resolve().name)
    )
    return Policy(package=wanted, digests=digests)


def verify_with_key(request: VerifyRequest, key_path: Path) -> VerifiedPackage:
    """Verify by the rules of a single trusted key, called by its file's name."""
    trusted = TrustedKey(name=key_path.stem, public_key=load_public_key(key_path))
    return verify(
        request,
        store=DirectoryStore(),
        signatures=KeyVerifier([trusted]),
        measure_bytes=measure_bytes,
    )


def now_utc() -> datetime:
    """The clock, read once per command."""
    return datetime.now(UTC)


def signed_by(manifest: Manifest, signer: SignerIdentity) -> str:
    """One line that says what is about to be measured or run, and who says so."""
    return (
        f"{manifest.package_name} {manifest.package_version}, "
        f"signed by {signer.name} ({signer.algorithm} sha256:{signer.fingerprint[:16]})"
    )


def verdict_json(package: VerifiedPackage) -> dict[str, object]:
    """The verdict for machines; names exactly the digests that were computed."""
    manifest = package.manifest
    expires = None if manifest.expires_at is None else format_time(manifest.expires_at)
    return {
        "type": "verdict",
        "verdict": "verified",
        "package": {"name": manifest.package_name, "version": manifest.package_version},
        "sequence": manifest.sequence,
        "issuedAt": format_time(manifest.issued_at),
        "expiresAt": expires,
        "signer": {
            "name": package.signer.name,
            "algorithm": package.signer.algorithm,
            "fingerprint": package.signer.fingerprint,
        },
        "statement": str(package.statement_digest),
        "entries": [
            {
                "name": entry.name,
                "role": str(entry.role),
                "size": entry.size_bytes,
                "computed": {str(d.algorithm): d.hex for d in entry.digests},
            }
            for entry in package.entries
        ],
        "level": package.level.label,
        "levelReason": package.level_reason,
    }


def verdict_text(package: VerifiedPackage) -> list[str]:
    """The verdict for people, in lines."""
    manifest = package.manifest
    expires = "never" if manifest.expires_at is None else format_time(manifest.expires_at)
    lines = [
        f"verified: {signed_by(manifest, package.signer)}",
        f"  issued {format_time(manifest.issued_at)}, expires {expires}, "
        f"sequence {manifest.sequence}",
    ]
    for entry in package.entries:
        lines.append(f"  {entry.role!s:<10} {entry.name}  {entry.size_bytes:,} bytes")
        lines += [f"             {digest}" for digest in entry.digests]
    return lines
