"""The main job on the real model, and six ways to tamper with it; `make demo` runs this.

Every step is a command that you can type; the script only prints them, runs them in a scratch
folder and checks what they say.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
INFWASI = Path(sys.executable).parent / "infwasi"
QUESTION = "What is the capital of Sweden?"

PROJECT = """\
[package]
name = "capital"
version = "1.0.0"

[model]
path = "models/SmolLM2-135M-Instruct.Q4_1.gguf"

[prompt]
system = "Answer in one short sentence."
default = "What is the capital of Sweden?"

[sampling]
temperature = 0.0
max-tokens = 64
seed = 7
"""


def infwasi(*arguments: str, expect: int = 0) -> str:
    """Run a command as a person would and show what happens; returns its standard output."""
    shown = " ".join(f'"{a}"' if " " in a else a for a in arguments)
    print(f"\n$ infwasi {shown}", flush=True)
    done = subprocess.run(
        [INFWASI, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    text = done.stdout.decode()
    print(text, end="", flush=True)
    if done.returncode != expect:
        raise SystemExit(f"demo failed: exit code {done.returncode}, expected {expect}")
    return text


def refuse(what: str, kind: str, package: Path, key: str = "release.pub") -> None:
    """A tampered package: one line with its kind, exit code 1, not one token."""
    print(f"\n--- {what}", flush=True)
    text = infwasi("verify-and-run", str(package), "--key", key, QUESTION, expect=1)
    lines = [line for line in text.splitlines() if not line.startswith("hint: ")]
    if len(lines) != 1 or not lines[0].startswith(f"refused: {kind}: "):
        raise SystemExit(f"demo failed: expected one line with the kind {kind}")


def flip(path: Path, offset: int) -> None:
    """Change one bit of one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def tampered(original: Path, folder: str) -> Path:
    """A copy under the same name in another folder, to be spoiled."""
    target = Path(folder) / original.name
    shutil.copytree(original, target)
    return target


def main() -> None:
    """Make, verify, run, inspect; then tamper."""
    with tempfile.TemporaryDirectory(prefix="infwasi-demo-") as folder:
        os.chdir(folder)
        os.environ["INFWASI_PASSPHRASE"] = "correct horse battery staple"
        os.environ["INFWASI_STATE_DIR"] = str(Path(folder) / "state")
        Path("models").mkdir()
        Path("models", MODEL.name).symlink_to(MODEL)

        infwasi("init", "--name", "capital")
        Path("infwasi.toml").write_text(PROJECT)
        infwasi("keygen", "release")
        infwasi("pack", "--sign", "--key", "release.key")
        package = Path("dist/capital-1.0.0")
        infwasi("verify", str(package), "--key", "release.pub")
        infwasi("inspect", str(package))
        answer = infwasi("verify-and-run", str(package), "--key", "release.pub", QUESTION)
        if "Stockholm" not in answer:
            raise SystemExit("demo failed: the answer does not contain Stockholm")

        spoiled = tampered(package, "model")
        flip(spoiled / "model.gguf", 50_000_000)
        refuse("one bit of the model is flipped", "digest", spoiled)
        shutil.rmtree("model")

        spoiled = tampered(package, "component")
        flip(spoiled / "app.wasm", 2_000)
        refuse("one bit of the component is flipped", "digest", spoiled)
        shutil.rmtree("component")

        spoiled = tampered(package, "bom")
        bom = spoiled / "bom.cdx.json"
        bom.write_text(bom.read_text().replace("Apache-2.0", "MIT-000000"))
        refuse("the BOM states another licence", "digest", spoiled)
        shutil.rmtree("bom")

        spoiled = tampered(package, "manifest")
        text = (spoiled / "manifest.sigstore.json").read_text()
        other = "B" if text[400] == "A" else "A"  # still base64, so that the signature decides
        (spoiled / "manifest.sigstore.json").write_text(text[:400] + other + text[401:])
        refuse("one character of the manifest is changed", "signature", spoiled)

        (spoiled / "manifest.sigstore.json").unlink()
        refuse("the manifest is taken away", "unsigned", spoiled)
        shutil.rmtree("manifest")

        infwasi("keygen", "stranger")
        refuse("somebody else's key is trusted", "signer", package, key="stranger.pub")
    print("\ndemo: answered from verified bytes; six tampered packages refused")


if __name__ == "__main__":
    main()
