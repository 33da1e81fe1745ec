"""Step 2 of verification: who signed, in every bundle of a package, over one statement.

The packer's bundle is `manifest.sigstore.json`; others who signed the same bytes have theirs in
`signatures/`, each under its own SHA-256. A counter-signature by somebody the policy does not name
counts nothing and is listed; one that is damaged, or is over other bytes, refuses the package.
"""

from dataclasses import dataclass

from infwasi_sign.domain.bundle import Bundle, parse_bundle
from infwasi_sign.domain.digest import Algorithm, MeasureBytes
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import MANIFEST_FILE, SIGNATURES_FOLDER
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import GuardedFile, OpenedPackage, SignatureVerifier


@dataclass(frozen=True, kw_only=True, slots=True)
class CounterSignature:
    """A further bundle; ``signer`` is absent if it is by nobody whom the policy names."""

    file: str
    signer: SignerIdentity | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Signatures:
    """All that signed ``payload``; the packer is somebody the policy names."""

    payload: bytes
    packer: SignerIdentity
    others: tuple[CounterSignature, ...]

    @property
    def signers(self) -> tuple[SignerIdentity, ...]:
        """Everybody who counts, the packer first; one person with two keys stands twice."""
        return (self.packer, *(other.signer for other in self.others if other.signer is not None))

    @property
    def strangers(self) -> tuple[str, ...]:
        """The files of those who count nothing."""
        return tuple(other.file for other in self.others if other.signer is None)


def check_signatures(
    opened: OpenedPackage, verifier: SignatureVerifier, measure_bytes: MeasureBytes
) -> Signatures:
    """Verify every bundle of a package.

    Raises:
        RefusedError: the packer's is not by a trusted signer, or any is damaged.
    """
    bundle = parse_bundle(opened.files[MANIFEST_FILE].read(LIMITS.bundle_bytes))
    packer = verifier.verify(bundle)
    others = tuple(
        CounterSignature(file=name, signer=_counter_signer(file, bundle, verifier, measure_bytes))
        for name, file in sorted(opened.files.items())
        if name.startswith(f"{SIGNATURES_FOLDER}/")
    )
    return Signatures(payload=bundle.envelope.payload, packer=packer, others=others)


def _counter_signer(
    file: GuardedFile, first: Bundle, verifier: SignatureVerifier, measure_bytes: MeasureBytes
) -> SignerIdentity | None:
    data = file.read(LIMITS.bundle_bytes)
    _require_own_name(file.name, measure_bytes(data)[Algorithm.SHA256].hex)
    bundle = parse_bundle(data)
    _require_same_payload(file.name, bundle, first)
    try:
        return verifier.verify(bundle)
    except RefusedError as error:
        if error.kind is not RefusalKind.SIGNER:
            raise
        return None


def _require_own_name(name: str, sha256: str) -> None:
    if name != counter_signature_name(sha256):
        raise RefusedError(
            RefusalKind.DIGEST,
            "the counter-signature is not the one that its name says",
            where=name,
            got=f"sha256:{sha256}",
        )


def _require_same_payload(name: str, bundle: Bundle, first: Bundle) -> None:
    if bundle.envelope.payload != first.envelope.payload:
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the counter-signature is over another statement",
            where=name,
            hint="take it away, or have it signed anew with `infwasi sign`",
        )


def counter_signature_name(sha256: str) -> str:
    """The file of a counter-signature, from the hex SHA-256 of its bundle."""
    return f"{SIGNATURES_FOLDER}/{sha256}.sigstore.json"
