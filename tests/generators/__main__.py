"""Has our generator and others describe the same model, and judges all by the same checker.

`make generators` installs the others and runs this. It writes docs/ml-bom.json, and the tables of
docs/ml-bom.md again from it; a test holds the page to the data. The others' processes can make no
socket (`no_sockets`), and their telemetry is off.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from infwasi_sign.adapters.cyclonedx_validation import check_schema
from infwasi_sign.domain.minimum_elements import judge
from infwasi_sign.domain.minimum_elements_software import BASELINES
from infwasi_sign.domain.minimum_elements_view import State, view_of
from tests.conftest import ROOT
from tests.generators.cards import FIFTEEN_LINES, README
from tests.generators.page import DATA, PAGE, filled, tables

MODEL: Final = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
NO_SOCKETS: Final = Path(__file__).parent / "no_sockets"
TIMEOUT_SECONDS: Final = 300

PROJECT: Final = """\
[package]
name = "capital"
version = "1.0.0"

[model]
path = "models/SmolLM2-135M-Instruct.Q4_1.gguf"

[prompt]
system = "Answer in one short sentence."
default = "What is the capital of Sweden?"
"""


class Scene:
    """A scratch folder with the model, and the programs that are run in it."""

    def __init__(self, folder: Path, others: Path) -> None:
        self.folder = folder
        self._others = others
        self.sockets = folder / "sockets"
        models = folder / "models"
        models.mkdir()
        shutil.copyfile(MODEL, models / MODEL.name)

    def other(self, *words: str) -> None:
        """Run a program of another project, without network."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(NO_SOCKETS),
            "INFWASI_SOCKETS_SEEN": str(self.sockets),
            **{f"AISBOM_{word}": "1" for word in ("NO_TELEMETRY", "OFFLINE", "NO_OSV")},
        }
        self._run([str(self._others / words[0]), *words[1:]], environment)

    def infwasi(self, *words: str) -> None:
        """Run our own program."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {**kept, "SOURCE_DATE_EPOCH": "1796083200", "LANG": "C.UTF-8"}
        environment["INFWASI_STATE_DIR"] = str(self.folder / "state")
        self._run([str(Path(sys.executable).parent / "infwasi"), *words], environment)

    def read(self, name: str) -> bytes:
        """What a program wrote."""
        return (self.folder / name).read_bytes()

    def _run(self, command: list[str], environment: dict[str, str]) -> None:
        subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            check=True,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
        )


def ours(scene: Scene) -> bytes:
    (scene.folder / "infwasi.toml").write_text(PROJECT)
    scene.infwasi("keygen", "--no-passphrase", "release")
    scene.infwasi("pack", "--sign", "--key", "release.key")
    return scene.read("dist/capital-1.0.0/bom.cdx.json")


def ours_with_a_card(scene: Scene) -> bytes:
    (scene.folder / "model-card.toml").write_text(FIFTEEN_LINES)
    scene.infwasi("pack", "--sign", "--key", "release.key", "--model-card", "model-card.toml", "--out", "card")
    return scene.read("card/capital-1.0.0/bom.cdx.json")


def aisbom(scene: Scene) -> bytes:
    scene.other("aisbom", "scan", "models", "--offline", "--output", "aisbom.json")
    return scene.read("aisbom.json")


def toolkit(scene: Scene) -> bytes:
    return _toolkit(scene, "toolkit.json")


def toolkit_with_a_card(scene: Scene) -> bytes:
    (scene.folder / "models" / "README.md").write_text(README)
    return _toolkit(scene, "toolkit-card.json", "--model-version", "1.0.0")


def _toolkit(scene: Scene, output: str, *more: str) -> bytes:
    scene.other(
        *("toolkit-mlsbom", "generate", "--root", "models", "--include", "*.gguf"),
        *("--name", "SmolLM2-135M-Instruct", "--format", "cyclonedx", "--out", output, *more),
    )
    return scene.read(output)


# The order matters: the card of the last one lies beside the model.
GENERATORS: Final = {
    "infwasi": (ours, "infwasi pack, as it is"),
    "infwasi, card": (ours_with_a_card, "infwasi pack, with a model-card.toml of 15 lines"),
    "aisbom": (aisbom, "aisbom-cli 1.7.0: aisbom scan models --offline"),
    "toolkit": (toolkit, "toolkit-ml-provenance 1.0.0: toolkit-mlsbom generate"),
    "toolkit, card": (
        toolkit_with_a_card,
        "the same, with a README.md of Hugging Face's form and --model-version",
    ),
}


def result(data: bytes) -> dict[str, Any]:
    """What the checker says of one BOM, and what that BOM has in it."""
    document: dict[str, Any] = json.loads(data)
    schema = check_schema(data, document, is_xml=False)
    model = view_of(document).models[0]
    return {
        "specVersion": document["specVersion"],
        "isValid": schema.is_valid,
        "lists": {
            judgement.baseline.name: {
                finding.element.id: str(finding.state) for finding in judgement.findings
            }
            for judgement in judge(document, BASELINES)
        },
        "components": len(view_of(document).components),
        "document": sorted(document),
        "metadata": sorted(document["metadata"]),
        "model": sorted(model.tree),
        "card": sorted(_leaves(model.tree.get("modelCard"))),
        "properties": len(model.properties),
        "tags": len(model.origins),
    }


def _leaves(card: Any, path: str = "") -> list[str]:
    """The members of a card down to the second level."""
    if not isinstance(card, dict):
        return []
    return [
        f"{name}.{inner}" if isinstance(value, dict) else name
        for name, value in card.items()
        for inner in (value if isinstance(value, dict) else [""])
    ]


def main() -> None:
    """Run all, and write data and page."""
    others = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), others)
        found = {
            name: {"command": command, **result(make(scene))}
            for name, (make, command) in GENERATORS.items()
        }
        sockets = scene.sockets.read_text().splitlines() if scene.sockets.exists() else []
    titles = {element.id: element.title for one in BASELINES for element in one.elements}
    data = {
        "model": MODEL.name,
        "titles": titles,
        "generators": found,
        "socketsRefused": len(sockets),
    }
    DATA.write_text(json.dumps(data, indent=1, sort_keys=False) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), tables(data)))
    for name, one in found.items():
        states = list(one["lists"]["G7"].values())
        print(name, {str(state): states.count(str(state)) for state in State})  # noqa: T201 - a report
    print("sockets refused:", *(sockets or ["none was asked for"]), sep="\n  ")  # noqa: T201 - likewise


if __name__ == "__main__":
    main()
