"""The certificate that goes with a signature, looked at before anything is signed."""

import re
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from infwasi_sign.adapters.certificate_files import parse_certificates_pem, read_certificates
from infwasi_sign.adapters.certificate_signer import SigningCertificate, load_signing_certificate
from infwasi_sign.adapters.certificates import verify_certificate
from infwasi_sign.adapters.keys import PrivateKey
from infwasi_sign.errors import UndecidedError
from infwasi_sign.ports import Signer
from tests.certificate_authority import (
    AHEAD,
    ISSUING_CA,
    NOW,
    OTHER_ROOT,
    OVER,
    RELEASE,
    ROOT_CA,
    SIGNS,
    Issued,
    ca,
    leaf,
    p256,
    trusting,
)
from tests.conftest import ROOT
from tests.key_support import P256, pkcs8_pem, write


def key_of(issued: Issued) -> PrivateKey:
    assert isinstance(issued.key, ec.EllipticCurvePrivateKey)
    return PrivateKey(secret=issued.key)


def pem(*issued: Issued) -> bytes:
    return b"".join(one.pem for one in issued)


RELEASE_KEY = key_of(RELEASE)


@dataclass(frozen=True)
class Files:
    """What an operator names; ``chain`` in a file of its own, if there is one."""

    certificate: tuple[Issued, ...] = (RELEASE,)
    chain: tuple[Issued, ...] = ()
    signer: Signer = RELEASE_KEY
    now: datetime = NOW


def load(files: Files, folder: Path) -> SigningCertificate:
    chain = write(folder / "chain.pem", pem(*files.chain), 0o644) if files.chain else None
    certificate = write(folder / "own.pem", pem(*files.certificate), 0o644)
    return load_signing_certificate(certificate, chain, signer=files.signer, now=files.now)


def undecided(files: Files, folder: Path) -> str:
    with pytest.raises(UndecidedError) as caught:
        load(files, folder)
    return str(caught.value).replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    "files",
    [
        Files(chain=(ISSUING_CA,)),
        Files(chain=(ISSUING_CA, ROOT_CA)),
        Files(certificate=(RELEASE, ISSUING_CA)),
        Files(certificate=(RELEASE, ISSUING_CA), chain=(ROOT_CA,)),
    ],
    ids=["two-files", "with-root", "one-file", "all"],
)
def test_gives_leaf_and_chain_without_root(files: Files, tmp_path: Path) -> None:
    found = load(files, tmp_path)
    assert found == SigningCertificate(leaf=RELEASE.der, chain=(ISSUING_CA.der,))


def test_a_leaf_alone_is_enough(tmp_path: Path) -> None:
    assert load(Files(), tmp_path) == SigningCertificate(leaf=RELEASE.der, chain=())


def test_what_is_loaded_signs_what_verifies(tmp_path: Path) -> None:
    files = Files(chain=(ISSUING_CA,))
    found = load(files, tmp_path)
    signer = verify_certificate(
        leaf=found.leaf,
        chain=found.chain,
        signature=files.signer.sign(b"this"),
        signed=b"this",
        timestamps=(),
        trust=trusting(),
        now=NOW,
    )
    assert signer.fingerprint == key_of(RELEASE).public.fingerprint


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            Files(signer=P256),
            "the certificate is for another key than the one that signs in FOLDER/own.pem "
            "(got 'CN=Release')",
        ),
        (
            Files(certificate=(ISSUING_CA, RELEASE)),
            "the certificate is for another key than the one that signs in FOLDER/own.pem "
            "(got 'CN=Example Issuing CA')",
        ),
        (
            Files(certificate=(leaf(ISSUING_CA, span=OVER),)),
            "the certificate has expired in FOLDER/own.pem (expected 2026-09-03T12:00:00Z to "
            "2026-10-23T12:00:00Z, got 2026-11-02T12:00:00Z)",
        ),
        (
            Files(certificate=(leaf(ISSUING_CA, span=AHEAD),)),
            "the certificate is not valid yet in FOLDER/own.pem (expected 2026-11-12T12:00:00Z to "
            "2027-01-01T12:00:00Z, got 2026-11-02T12:00:00Z)",
        ),
        (
            Files(certificate=(leaf(ISSUING_CA, usages=(SIGNS,)),)),
            "the certificate is not for signing code in certificate 'CN=Release' "
            "(expected extendedKeyUsage 1.3.6.1.5.5.7.3.3, got none)",
        ),
        (
            Files(certificate=(ISSUING_CA,), signer=key_of(ISSUING_CA)),
            "the certificate is that of a CA in certificate 'CN=Example Issuing CA'",
        ),
        (
            Files(chain=(OTHER_ROOT,)),
            "the chain is not in order in certificate 'CN=Other Root' "
            "(expected the CA that issued 'CN=Release')",
        ),
        (
            Files(chain=(ROOT_CA, ISSUING_CA)),
            "the chain is not in order in certificate 'CN=Example Root' "
            "(expected the CA that issued 'CN=Release')",
        ),
        (
            Files(chain=(ca("Example Issuing CA", ROOT_CA, key=p256("impostor")),)),
            "the chain is not in order in certificate 'CN=Example Issuing CA' "
            "(expected the CA that issued 'CN=Release')",
        ),
        (
            Files(
                certificate=(leaf(RELEASE, "Sub-release"), RELEASE),
                signer=key_of(leaf(RELEASE, "Sub-release")),
            ),
            "the chain is not in order in certificate 'CN=Release' "
            "(expected the CA that issued 'CN=Sub-release')",
        ),
        (
            Files(chain=(ISSUING_CA,) * 10),
            "too many certificates in FOLDER/own.pem (expected at most 10, got 11)",
        ),
    ],
    ids=[
        *("another-key", "ca-first", "expired", "early", "not-for-code", "ca", "another-ca"),
        *("upside-down", "impostor", "leaf-as-ca", "too-many"),
    ],
)
def test_nothing_is_signed_with_a_certificate_that_nobody_would_accept(
    files: Files, message: str, tmp_path: Path
) -> None:
    assert undecided(files, tmp_path) == message


def test_a_file_that_others_can_write_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "own.pem", RELEASE.pem, 0o666)
    with pytest.raises(UndecidedError) as caught:
        read_certificates(path)
    assert str(caught.value) == (
        f"certificate can be written by others than its owner in {path} (got mode 0666)"
    )


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "own.pem", RELEASE.pem * 500, 0o644)
    with pytest.raises(UndecidedError) as caught:
        read_certificates(path)
    assert str(caught.value) == f"too long in {path} (expected at most 262144 bytes)"


def test_reads_blocks_in_their_order() -> None:
    text = b"\n" + RELEASE.pem + b"\r\n\n" + ISSUING_CA.pem.replace(b"\n", b"\r\n")
    assert parse_certificates_pem(text, where="x") == (RELEASE.der, ISSUING_CA.der)


NOTHING_ELSE = "not a file of certificates in x (expected PEM blocks CERTIFICATE and nothing else)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", NOTHING_ELSE),
        (b"\n", NOTHING_ELSE),
        (RELEASE.der, NOTHING_ELSE),
        (b"Certificate:\n" + RELEASE.pem, NOTHING_ELSE),
        (RELEASE.pem + b"more", NOTHING_ELSE),
        (RELEASE.pem.replace(b"CERTIFICATE", b"PUBLIC KEY"), NOTHING_ELSE),
        (b"-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n", "not base64 in x"),
    ],
    ids=["empty", "blank", "der", "text-before", "text-after", "label", "base64"],
)
def test_refuses_other_text(text: bytes, message: str) -> None:
    with pytest.raises(UndecidedError) as caught:
        parse_certificates_pem(text, where="x")
    assert str(caught.value) == message


def test_an_unreadable_block_names_its_place(tmp_path: Path) -> None:
    text = RELEASE.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    path = write(tmp_path / "own.pem", text, 0o644)
    with pytest.raises(UndecidedError) as caught:
        load_signing_certificate(path, None, signer=key_of(RELEASE), now=NOW)
    assert str(caught.value) == f"not a certificate that can be read in {path}: certificate 2"


def test_the_commands_of_the_docs_make_a_certificate_that_is_accepted(tmp_path: Path) -> None:
    (commands,) = re.findall(
        r"```bash\n(.*?)```", (ROOT / "docs/certificates.md").read_text(), re.S
    )
    write(tmp_path / "release.key", pkcs8_pem(RELEASE_KEY.secret))
    subprocess.run(
        ["bash", "-euc", commands], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    now = datetime.now(UTC) + timedelta(seconds=1)
    (tmp_path / "release.pem").chmod(0o644)
    found = load_signing_certificate(
        tmp_path / "release.pem", tmp_path / "root.pem", signer=RELEASE_KEY, now=now
    )
    trust = replace(trusting(), roots=read_certificates(tmp_path / "root.pem"))
    signer = verify_certificate(
        leaf=found.leaf,
        chain=found.chain,
        signature=RELEASE_KEY.sign(b"this"),
        signed=b"this",
        timestamps=(),
        trust=trust,
        now=now,
    )
    assert (signer.identity, found.chain) == ("release@example.com", ())
