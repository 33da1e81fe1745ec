"""A token of SoftHSM in a temporary folder, and the keys that the tests ask it for."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, Session
from pkcs11.util.ec import encode_named_curve_parameters

PIN = "8642"
LABEL = "infwasi tests"
NEEDS = "SoftHSM is not installed (Debian: softhsm2)"

_CONFIGURATION = """\
directories.tokendir = {folder}
objectstore.backend = file
log.level = ERROR
"""
_EDWARDS25519 = b"\x13\x0cedwards25519"  # PKCS #11 version 3.1 section 6.3.3


def softhsm() -> Path | None:
    """The module, where distributions put it."""
    named = os.environ.get("INFWASI_TEST_SOFTHSM")
    places = (
        [Path(named)]
        if named
        else [
            *Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"),
            *(Path(f"/usr/{lib}/softhsm/libsofthsm2.so") for lib in ("lib", "lib64", "local/lib")),
            Path("/usr/lib64/pkcs11/libsofthsm2.so"),
        ]
    )
    return next((place for place in places if place.is_file()), None)


def make_token(folder: Path, module: Path) -> dict[str, str]:
    """A token with keys; gives the environment in which it is found."""
    tokens = folder / "tokens"
    tokens.mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(_CONFIGURATION.format(folder=tokens))
    environment = {
        "SOFTHSM2_CONF": str(configuration),
        "INFWASI_PKCS11_MODULE": str(module),
        "INFWASI_PKCS11_PIN": PIN,
    }
    words = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--module", str(module)]
    subprocess.run(
        [*words, "--pin", PIN, "--so-pin", "97531"],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    )
    return environment


def knows_ed25519() -> bool:
    """Whether the module was built with EdDSA."""
    module = os.environ["INFWASI_PKCS11_MODULE"]
    token = pkcs11.lib(module).get_token(token_label=LABEL)
    return Mechanism.EDDSA in token.slot.get_mechanisms()


def fill(module: Path) -> None:
    """Make the keys; the environment is that of the token already."""
    token = pkcs11.lib(str(module)).get_token(token_label=LABEL)
    with token.open(rw=True, user_pin=PIN) as session:
        _pair(session, b"\x01", "release")
        _edwards(session, b"\x02", "edwards")
        _pair(session, b"\x03", "p384", curve="secp384r1")
        _pair(session, b"\x04", "twin")
        _pair(session, b"\x05", "twin")
        _pair(session, b"\x06", "lonely")[0].destroy()
        _pair(session, b"\x07", "careful", private={Attribute.ALWAYS_AUTHENTICATE: True})
        # a private key beside the public key of another
        other, _ = _pair(session, b"\x18", "other")
        _pair(session, b"\x08", "crossed")[0].destroy()
        other.copy({Attribute.ID: b"\x08", Attribute.LABEL: "crossed"})


def _pair(
    session: Session,
    key_id: bytes,
    label: str,
    *,
    curve: str = "secp256r1",
    private: dict[Any, Any] | None = None,
) -> tuple[Any, Any]:
    domain = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters(curve)}, local=True
    )
    return domain.generate_keypair(
        id=key_id, label=label, store=True, private_template=private or {}
    )


def _edwards(session: Session, key_id: bytes, label: str) -> None:

    if not knows_ed25519():
        return
    domain = session.create_domain_parameters(
        KeyType.EC_EDWARDS, {Attribute.EC_PARAMS: _EDWARDS25519}, local=True
    )
    domain.generate_keypair(
        id=key_id,
        label=label,
        store=True,
        mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
    )
