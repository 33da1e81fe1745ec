"""`infwasi bom make`, which is also `infwasi bom TARGET`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from infwasi_sign.cli.bom_output import output_options
from infwasi_sign.cli.output import failures_as_json, package_progress, progress_bar
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infwasi_sign.cli.output import PackageProgress
    from infwasi_sign.domain.declared import Declared
    from infwasi_sign.domain.run_bom import RunFacts
    from infwasi_sign.domain.strict_json import JsonValue
    from infwasi_sign.domain.vex_statement import VexStatement
    from infwasi_sign.targets import Access

_FILE: Final = click.Path(path_type=Path)
_PROMPT: Final = "What is the capital of Sweden?"


@click.command(name="make")
@click.argument("target", type=_FILE)
@click.option(
    "--model-card",
    "card_path",
    type=_FILE,
    help="What bytes cannot say: a model-card.toml, or the README.md of a model.",
)
@click.option("--vex", "vex_path", type=_FILE, help="Statements about vulnerabilities: VEX.")
@click.option("--host", is_flag=True, help="The BOM of a run here: libraries, processor, versions.")
@click.option("--measure", is_flag=True, help="With --host, and how fast PACKAGE is here.")
@click.option("--runs", type=click.IntRange(1, 100), default=3, help="How often to measure.")
@click.option("--prompt", default=_PROMPT, help="What to ask when measuring.")
@click.option(
    "--max-tokens", type=click.IntRange(1), default=64, help="Of the answer that is measured."
)
@click.option("--key", "key_path", type=_FILE, help="With --measure: whose signature counts.")
@click.option("--policy", "policy_path", type=_FILE, help="With --measure: the policy that counts.")
@output_options
def command(
    target: Path,
    card_path: Path | None,
    vex_path: Path | None,
    host: bool,
    measure: bool,
    runs: int,
    prompt: str,
    max_tokens: int,
    key_path: Path | None,
    policy_path: Path | None,
    spec_version: str,
    output_format: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Describe TARGET: a GGUF model, a WebAssembly component, or a package.

    \b
    Examples:
      infwasi bom model.gguf > model.cdx.json
      infwasi bom model.gguf --model-card model-card.toml --output model.cdx.json
      infwasi bom app.wasm --format xml
      infwasi bom dist/capital-1.0.0 --spec-version 1.6
      infwasi bom dist/capital-1.0.0 --host > run.cdx.json
      infwasi bom dist/capital-1.0.0 --measure --key release.pub > run.cdx.json

    A package's is derived again from its bytes and must agree with the one in it; who signed it is
    not asked. Facts of this machine never stand in it, but in the BOM of a run, which points at it.
    """
    from infwasi_sign.cli.bom_output import deliver, require_deliverable

    with failures_as_json(as_json):
        require_deliverable(output, as_json=as_json, kept=(target, card_path, vex_path))
        if host or measure:
            _refuse_declared(card_path, vex_path)
            trust = _trust(key_path, policy_path)
            asked = (*trust, "--max-tokens", str(max_tokens), os.fspath(target))
            speed = _measured(asked, prompt, runs) if measure else None
            document = _run_document(target, speed, output)
        else:
            document = _document(target, _declared(card_path), _vex(vex_path), output)
        deliver(document, spec_version, output_format, output, as_json=as_json)


def _refuse_declared(*paths: Path | None) -> None:
    if any(path is not None for path in paths):
        raise UndecidedError(
            "the BOM of a run has nothing declared in it", where="--model-card, --vex"
        )


def _vex(path: Path | None) -> "tuple[VexStatement, ...]":
    from infwasi_sign.cli.declaring import read_vex_file

    return () if path is None else read_vex_file(path)


def _declared(card_path: Path | None) -> "Declared":
    from infwasi_sign.cli.declaring import read_model_card
    from infwasi_sign.domain.declared import Declared

    return Declared() if card_path is None else read_model_card(card_path)


def _document(
    target: Path, declared: "Declared", vex: "tuple[VexStatement, ...]", output: Path | None
) -> "dict[str, JsonValue]":
    from infwasi_sign import __version__
    from infwasi_sign.adapters.measuring import measure_bytes
    from infwasi_sign.cli.declaring import say_passed_over
    from infwasi_sign.cli.issuing import now_and_issued_at
    from infwasi_sign.describe import DescribeRequest, describe

    request = DescribeRequest(
        location=target,
        made_at=now_and_issued_at()[1],
        declared=declared,
        tools={"infwasi": __version__},
        vex=vex,
        on_passed_over=say_passed_over,
    )
    with package_progress() as progress:
        return describe(
            request, access=_access(target, output, progress), measure_bytes=measure_bytes
        )


def _access(target: Path, output: Path | None, progress: "PackageProgress") -> "Access":
    """Open everything, then confine, then read: bytes of others are parsed with nothing to lose."""
    from infwasi_sign.adapters.package_directory import DirectoryStore
    from infwasi_sign.adapters.target_access import measure_open_model, open_target_file
    from infwasi_sign.cli.confining import confinement_of
    from infwasi_sign.targets import Access

    confinement = confinement_of(output=output)

    def begin(total_bytes: int) -> None:
        progress.begin_bytes(total_bytes, target.name)
        confinement.before_measuring()

    return Access(
        store=DirectoryStore(),
        open_file=open_target_file,
        measure_model=measure_open_model,
        on_opened=begin,
        progress=progress.update,
    )


def _run_document(
    target: Path, speed: "RunFacts | None", output: Path | None
) -> "dict[str, JsonValue]":
    """Points at the package by its own BOM, which is checked against the bytes on the way."""
    from infwasi_sign.adapters.host_facts import host_facts
    from infwasi_sign.adapters.measuring import measure_bytes
    from infwasi_sign.cli.issuing import now_and_issued_at
    from infwasi_sign.describe import run_subject
    from infwasi_sign.domain.bom import serial_number
    from infwasi_sign.domain.manifest import format_time
    from infwasi_sign.domain.run_bom import run_bom

    host = host_facts()  # opens libraries, so before the process is confined
    with package_progress() as progress:
        subject = run_subject(
            target, access=_access(target, output, progress), measure_bytes=measure_bytes
        )
    timestamp = format_time(now_and_issued_at()[1])
    document = run_bom(subject, host, speed, timestamp=timestamp)
    return document | {"serialNumber": serial_number(document)}


def _trust(key_path: Path | None, policy_path: Path | None) -> "Iterator[str]":
    """Only what is verified is run, so whoever measures says whom to trust."""
    for flag, path in (("--key", key_path), ("--policy", policy_path)):
        if path is not None:
            yield from (flag, os.fspath(path))


def _measured(arguments: tuple[str, ...], prompt: str, runs: int) -> "RunFacts":
    from infwasi_sign.adapters.measured_runs import measure_runs

    with progress_bar("running", runs + 1) as progress:
        return measure_runs(arguments, prompt, runs=runs, progress=progress)
