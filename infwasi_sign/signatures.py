"""Step 2 of verification: who signed, in every bundle of a package, over one statement.

The packer's bundle is `manifest.sigstore.json`; others who signed the same bytes have theirs in
`signatures/`, each under its own SHA-256. A counter-signature by somebody the policy does not name
counts nothing and is listed; one that is damaged, or is over other bytes, refuses the package.
"""

from dataclasses import field

from infwasi_sign.domain.bundle import Bundle, parse_bundle
from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import MANIFEST_FILE, OMS_FILE, SIGNATURES_FOLDER, Manifest
from infwasi_sign.domain.material import Material
from infwasi_sign.domain.oms import PACKAGE_IGNORED, parse_oms_payload
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.errors import RefusalKind, RefusedError
from infwasi_sign.ports import GuardedFile, OpenedPackage, SignatureVerifier
from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CounterSignature:
    """A further bundle; ``signer`` is absent if it is by nobody whom the policy names."""

    file: str
    material: Material = field(repr=False)
    signer: SignerIdentity | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Signatures:
    """All that signed ``payload``; the packer is somebody the policy names."""

    payload: bytes
    material: Material = field(repr=False)  # of the packer's bundle
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
        RefusedError: the packer's is not by a trusted signer, any is damaged, or one key signed
            under two names.
    """
    bundle = parse_bundle(opened.files[MANIFEST_FILE].read(LIMITS.bundle_bytes))
    packer = verifier.verify(bundle)
    others = tuple(
        _counter_signature(name, file, bundle, verifier, measure_bytes)
        for name, file in sorted(opened.files.items())
        if name.startswith(f"{SIGNATURES_FOLDER}/")
    )
    _require_one_name_for_each_key(packer, others)
    return Signatures(
        payload=bundle.envelope.payload, material=bundle.material, packer=packer, others=others
    )


def _require_one_name_for_each_key(
    packer: SignerIdentity, others: tuple[CounterSignature, ...]
) -> None:
    """Thresholds count names, and a name must stand for a secret of its own.

    A policy can name one key twice without seeing it: as a key and in somebody's certificate, or
    in a certificate with the names of two holders.
    """
    names = {packer.fingerprint: packer.name}
    for other in others:
        if other.signer is None:
            continue
        name = names.setdefault(other.signer.fingerprint, other.signer.name)
        if name != other.signer.name:
            raise RefusedError(
                RefusalKind.SIGNER,
                "one key signed under two names",
                where=other.file,
                expected=name,
                got=other.signer.name,
                hint="take this signature away, or give each signer of the policy their own key",
            )


def check_companion(
    opened: OpenedPackage,
    manifest: Manifest,
    packer: SignerIdentity,
    verifier: SignatureVerifier,
    measure_bytes: MeasureBytes,
) -> None:
    """The OMS companion is there exactly if the statement says so, and then it is the one stated.

    1. declared and there, or neither
    2. signed by the packer, with the key that signed the manifest
    3. over exactly the payload whose digest is stated
    4. which says of the package's files what the statement says

    Raises:
        RefusedError: kinds `missing`, `extra`; of its signature; `digest`; `disagree`.
    """
    # 1
    _require_companion(manifest, opened)
    if manifest.oms_payload is None:
        return
    # 2
    payload = verifier.verify_companion(opened.files[OMS_FILE].read(LIMITS.bundle_bytes), packer)
    # 3
    _require_payload(measure_bytes(payload)[Algorithm.SHA256], manifest.oms_payload)
    # 4
    _require_same_files(payload, manifest)


def _require_companion(manifest: Manifest, opened: OpenedPackage) -> None:
    if (OMS_FILE in opened.files) != (manifest.oms_payload is not None):
        declared = manifest.oms_payload is not None
        raise RefusedError(
            RefusalKind.MISSING if declared else RefusalKind.EXTRA,
            "the OMS companion is declared but missing"
            if declared
            else "the package has an OMS companion that nobody declared",
            where=OMS_FILE,
        )


def _require_payload(computed: Digest, stated: Digest) -> None:
    if computed != stated:
        raise RefusedError(
            RefusalKind.DIGEST,
            "the OMS companion is over another payload than the stated one",
            where=OMS_FILE,
            expected=str(stated),
            got=str(computed),
        )


def _require_same_files(payload: bytes, manifest: Manifest) -> None:
    signed = parse_oms_payload(payload)
    stated = {entry.name: entry.sha256 for entry in manifest.entries if entry.is_own_file}
    if signed.files != stated or signed.ignored != PACKAGE_IGNORED:
        raise RefusedError(
            RefusalKind.DISAGREE,
            "the OMS companion says something else of the files than the statement",
            where=OMS_FILE,
        )


def _counter_signature(
    name: str,
    file: GuardedFile,
    first: Bundle,
    verifier: SignatureVerifier,
    measure_bytes: MeasureBytes,
) -> CounterSignature:
    data = file.read(LIMITS.bundle_bytes)
    _require_own_name(file.name, measure_bytes(data)[Algorithm.SHA256].hex)
    bundle = parse_bundle(data)
    _require_same_payload(file.name, bundle, first)
    try:
        signer = verifier.verify(bundle)
    except RefusedError as error:
        if error.kind is not RefusalKind.SIGNER:
            raise
        signer = None
    return CounterSignature(file=name, material=bundle.material, signer=signer)


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
