"""The client protocol of sigstore-conformance (its docs/cli_protocol.md), in front of infwasi.

``python -m tests.conformance.client verify-bundle --bundle FILE ... FILE_OR_DIGEST`` ends with 0 if
it verifies, else with 1 and one line. Where no trusted root or signing configuration is named, it
is the one that comes with sigstore-python, or that of the private Sigstore whose folder
``INFWASI_CONFORMANCE_INSTANCE`` names (``python -m infwasi_sign.testing.sigstore --dir FOLDER``).
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sigstore.models import ClientTrustConfig
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext

from infwasi_sign.adapters.sigstore_signer import KeylessSigner, read_token
from infwasi_sign.domain.bundle import encode_bundle
from infwasi_sign.domain.trust_root import TRUST_CONFIG, parse_trust_root
from infwasi_sign.errors import InfwasiError
from tests.conformance.verifying import Question, Signer, embedded_trusted_root, verify

INSTANCE: Final = "INFWASI_CONFORMANCE_INSTANCE"
_DIGEST: Final = re.compile("sha256:([0-9a-f]{64})")


def main(words: Sequence[str]) -> int:
    """Sign or verify; the exit code."""
    options = _parse(words)
    try:
        if options.command == "sign-bundle":
            _sign(options)
        else:
            sys.stderr.write(f"verified by {verify(_question(options))}\n")
    except InfwasiError as e:
        sys.stderr.write(f"refused: {e}\n")
        return 1
    return 0


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.conformance.client", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    signing, verifying = (commands.add_parser(name) for name in ("sign-bundle", "verify-bundle"))
    for one in (signing, verifying):
        one.add_argument("--staging", action="store_true")
        one.add_argument("--bundle", type=Path, required=True)
        one.add_argument("--trusted-root", type=Path)
        one.add_argument("file")
    signing.add_argument("--in-toto", action="store_true")
    signing.add_argument("--identity-token", required=True)
    signing.add_argument("--signing-config", type=Path)
    verifying.add_argument("--certificate-identity", default="")
    verifying.add_argument("--certificate-oidc-issuer", default="")
    verifying.add_argument("--key", type=Path)
    return parser.parse_args(words)


def _trusted_root(options: argparse.Namespace) -> bytes:
    path: Path | None = options.trusted_root
    if path is None and INSTANCE in os.environ:
        path = Path(os.environ[INSTANCE], "trusted_root.json")
    if path is None:
        return embedded_trusted_root(staging=options.staging)
    return path.read_bytes()


def _question(options: argparse.Namespace) -> Question:
    path = Path(options.file)
    digest = _DIGEST.fullmatch(options.file)
    if digest is not None and not path.exists():
        sha256 = bytes.fromhex(digest[1])
    else:
        sha256 = hashlib.sha256(path.read_bytes()).digest()
    return Question(
        bundle=options.bundle.read_bytes(),
        sha256=sha256,
        signer=Signer(
            identity=options.certificate_identity,
            issuer=options.certificate_oidc_issuer,
            key=None if options.key is None else options.key.read_bytes(),
        ),
        trusted_root=_trusted_root(options),
    )


def _sign(options: argparse.Namespace) -> None:
    """A statement by `KeylessSigner`; a `messageSignature`, which we never write, by stock."""
    config_path: Path | None = options.signing_config
    if config_path is None:
        config_path = Path(os.environ[INSTANCE], "signing_config.json")
    config = json.dumps(
        {
            "mediaType": TRUST_CONFIG,
            "trustedRoot": json.loads(_trusted_root(options)),
            "signingConfig": json.loads(config_path.read_bytes()),
        }
    )
    data = Path(options.file).read_bytes()
    if options.in_toto:
        now = datetime.now(UTC)
        root = parse_trust_root(config.encode(), source=str(config_path), written_at=now)
        signer = KeylessSigner(read_token(options.identity_token), root, now)
        options.bundle.write_bytes(encode_bundle(signer.sign(data)))
        return
    context = SigningContext.from_trust_config(ClientTrustConfig.from_json(config))
    with context.signer(IdentityToken(options.identity_token)) as stock:
        options.bundle.write_text(stock.sign_artifact(data).to_json())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
