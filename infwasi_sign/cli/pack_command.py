"""`infwasi pack`."""

import os
import sys
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign import __version__
from infwasi_sign.cli.declaring import (
    model_card_path,
    read_beginning,
    read_model_card,
    say_what_is_unknown,
)
from infwasi_sign.cli.issuing import now_and_issued_at, say_if_far_ahead
from infwasi_sign.cli.output import (
    emit_json,
    failures_as_json,
    is_terminal,
    progress_bar,
    say,
    show,
)
from infwasi_sign.cli.signing import SigningOptions, opened_sealer, signing_options
from infwasi_sign.domain.declared import Declared
from infwasi_sign.domain.limits import KIB, LIMITS, MIB
from infwasi_sign.domain.material import SigningMode
from infwasi_sign.domain.needs import MEMORY, OUTPUT
from infwasi_sign.domain.project import PROJECT_FILE, Project, parse_project
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.adapters.package_writer import Existing
    from infwasi_sign.domain.needs import GuestNeeds
    from infwasi_sign.domain.settings import Settings
    from infwasi_sign.pack import Companion, Packed
    from infwasi_sign.ports import Sealer


@click.command(name="pack")
@click.option("--sign/--no-sign", default=False, help="Sign the package. [default: no-sign]")
@signing_options
@click.option("--no-oms", is_flag=True, help="Write no OMS companion for `model_signing`.")
@click.option("--require-oms", is_flag=True, help="Fail if there can be no OMS companion.")
@click.option(
    "--attest-bom",
    is_flag=True,
    help="Also write NAME-VERSION.bom.sigstore.json: the BOM as an attestation, for scanners.",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path(PROJECT_FILE),
    show_default=True,
    help="The project file.",
)
@click.option("--model", "model_path", type=click.Path(path_type=Path), help="The GGUF model.")
@click.option(
    "--model-card",
    type=click.Path(path_type=Path),
    help="What bytes cannot say: a model-card.toml, or a README.md with front matter."
    " [default: model-card.toml beside infwasi.toml, if it is there]",
)
@click.option("--name", help="Package name.")
@click.option("--version", help="Package version.")
@click.option("--system", "system_prompt", help="System prompt.")
@click.option("--prompt", "default_prompt", help="Default prompt.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("dist"),
    show_default=True,
    help="The folder in which NAME-VERSION appears.",
)
@click.option("--model-mode", type=click.Choice(["copy", "detach"]), help="[default: copy]")
@click.option("--force", is_flag=True, help="Replace a different package of this name and version.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    sign: bool,
    signing: SigningOptions,
    no_oms: bool,
    require_oms: bool,
    attest_bom: bool,
    config_path: Path,
    model_path: Path | None,
    model_card: Path | None,
    name: str | None,
    version: str | None,
    system_prompt: str | None,
    default_prompt: str | None,
    output: Path,
    model_mode: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Compose, describe and sign a package from infwasi.toml.

    \b
    Examples:
      infwasi pack --sign --key release.key
      infwasi pack --sign --key release.key --version 1.0.1 --output /srv/packages
      infwasi pack --sign --key "pkcs11:token=release;object=signer"
      infwasi pack --sign --key ca.key --certificate ca.pem --timestamp-url http://tsa.acme.example
      infwasi pack --sign --key release.key --attest-bom
      infwasi pack --sign --key release.key --model-card README.md
      infwasi pack --sign                            as the identity of this pipeline, or yours
      infwasi pack                                   unsigned: every verifier refuses it

    Flags win over the file. SOURCE_DATE_EPOCH fixes the time, and with it every byte but the
    signature.
    """
    overrides: dict[str, object] = {
        target: value
        for target, value in (
            ("model_path", model_path),
            ("name", name),
            ("version", version),
            ("system_prompt", system_prompt),
            ("default_prompt", default_prompt),
            ("model_mode", model_mode),
        )
        if value is not None
    }
    from infwasi_sign.pack import Companion

    with failures_as_json(as_json):
        if signing.mode() is not None and not sign:
            raise UndecidedError("who signs was said without --sign", hint="add --sign")
        if no_oms and require_oms:
            raise UndecidedError("--no-oms and --require-oms exclude each other")
        if attest_bom and not sign:
            raise UndecidedError("an attestation is signed", hint="add --sign")
        project = parse_project(_read_project(config_path), overrides, where=str(config_path))
        companion = Companion.REQUIRED if require_oms else Companion.IF_POSSIBLE
        if no_oms:
            companion = Companion.NONE
        now, issued_at = now_and_issued_at()
        card = model_card_path(project, config_path.parent, model_card)
        declared = Declared() if card is None else read_model_card(card)
        # The key is opened, and who holds it asked, before minutes of work and not after.
        opened = opened_sealer(signing, _pinned(project), now) if sign else nullcontext()
        with opened as sealer:
            times = (now, issued_at)
            is_same_again = not sign or signing.is_repeatable(_pinned(project))
            _pack(
                project,
                config_path.parent,
                model_path,
                declared,
                sealer,
                companion,
                times,
                output,
                _existing(force=force, is_same_again=is_same_again),
                attest_bom,
                as_json,
            )


def _pinned(project: Project) -> SigningMode | None:
    return None if project.signing_mode is None else SigningMode(project.signing_mode)


def _existing(*, force: bool, is_same_again: bool) -> "Existing":
    """What to do with a package that is there: without a fixed time no second one is the same.

    That is said before the work, and before anything is published.
    """
    from infwasi_sign.adapters.package_writer import Existing

    if force:
        return Existing.REPLACE
    if "SOURCE_DATE_EPOCH" in os.environ and is_same_again:
        return Existing.REPLACE_IF_SAME
    return Existing.KEEP


def _read_project(path: Path) -> bytes:
    try:
        data = read_beginning(path, LIMITS.toml_bytes + 1)
    except FileNotFoundError:
        if path == Path(PROJECT_FILE):
            return b""
        raise UndecidedError("no such file", where=str(path)) from None
    if len(data) > LIMITS.toml_bytes:
        raise UndecidedError(
            "too long", where=str(path), expected=f"at most {LIMITS.toml_bytes} bytes"
        )
    return data


def _pack(
    project: Project,
    base: Path,
    model_flag: Path | None,
    declared: Declared,
    sealer: "Sealer | None",
    companion: "Companion",
    times: tuple[datetime, datetime],
    output: Path,
    existing: "Existing",
    attest_bom: bool,
    as_json: bool,
) -> None:
    from infwasi_sign.adapters.attestation_file import AttestationFile
    from infwasi_sign.adapters.composer import WasmToolsComposer
    from infwasi_sign.adapters.measuring import measure_bytes
    from infwasi_sign.adapters.model_source import open_model, read_component
    from infwasi_sign.adapters.package_writer import Existing, PackageWriter
    from infwasi_sign.adapters.process import clear_up_when_ended, forbid_dumps
    from infwasi_sign.domain.manifest import MODEL_FILE, require_package_names
    from infwasi_sign.pack import PackRequest, pack

    forbid_dumps()
    clear_up_when_ended()
    require_package_names(project.name, project.version)
    now, issued_at = times
    inference = None
    if project.inference_path is not None:
        inference = read_component(base / project.inference_path)
    target = output / f"{project.name}-{project.version}"
    location = model_flag if model_flag is not None else base / Path(project.model_path)
    with (
        open_model(location) as model,
        PackageWriter(target, existing=existing) as writer,
        AttestationFile(target, overwrite=existing is not Existing.KEEP) as attestation,
        progress_bar("measuring the model", model.size_bytes) as progress,
    ):
        if attest_bom:
            attestation.require_free()
        request = PackRequest(
            name=project.name,
            version=project.version,
            settings=project.settings(),
            inference=inference,
            stated_limits=project.stated_limits,
            is_detached=project.model_mode == "detach",
            issued_at=issued_at,
            valid_for=timedelta(days=project.valid_days) if project.valid_days else None,
            sequence=project.sequence,
            now=now,
            tools={"infwasi": __version__},
            declared=declared,
            companion=companion,
            attests_bom=attest_bom,
            progress=progress,
        )
        packed = pack(
            request,
            composer=WasmToolsComposer(),
            measure_needs=_measure_needs,
            model=model,
            measure_bytes=measure_bytes,
            sealer=sealer,
            target=writer,
        )
        is_protected = not request.is_detached and writer.protect(MODEL_FILE) is None
        if packed.attestation is not None:
            attestation.write(packed.attestation)
        writer.commit()
        attestation.commit()
    if is_protected:
        say("note: fs-verity is on for the model in the package: nobody can change it any more")
    if inference is not None:
        _say_limits(packed, project.stated_limits)
    if not attest_bom and attestation.path.exists():
        say(f"note: {attestation.path} is about another bill of materials")
    # What a pipeline packs again and again, without a card, it need not be told each time.
    if declared != Declared() or is_terminal(sys.stderr):
        say_what_is_unknown(packed.bom, target)
    _say_notes(packed, companion)
    say_if_far_ahead(packed.manifest.sequence, now)
    if as_json:
        beside = {} if packed.attestation is None else {"bomAttestation": str(attestation.path)}
        emit_json({"package": str(target), "signed": packed.is_signed, **beside})
    else:
        show(str(target), *([] if packed.attestation is None else [str(attestation.path)]))


def _say_notes(packed: "Packed", companion: "Companion") -> None:
    """What the developer may not have expected."""
    from infwasi_sign.pack import Companion

    if packed.extra_exports:
        say(f"note: exported and never called: {', '.join(packed.extra_exports)}")
    if not packed.model.can_chat:
        say("warning: the model cannot chat (no tokenizer or no chat template): run will refuse it")
    if packed.manifest.expires_at is None:
        say("note: this package never expires")
    if packed.is_signed and packed.no_companion is not None and companion is not Companion.NONE:
        say(f"note: no OMS companion for `model_signing`: {packed.no_companion}")
    if not packed.is_signed:
        say("warning: not signed: every verifier refuses this package; sign it with --sign --key")


def _measure_needs(app: bytes, settings: "Settings") -> "GuestNeeds":
    from infwasi_sign.adapters.canned_model import CannedModel
    from infwasi_sign.adapters.process import SignalFlag
    from infwasi_sign.adapters.wasm_host import WasmtimeHost
    from infwasi_sign.trial import Trial

    with SignalFlag() as stop:
        return Trial(host=WasmtimeHost(), model=CannedModel(), stop=stop).measure(app, settings)


def _say_limits(packed: "Packed", stated: frozenset[str]) -> None:
    """What was measured of the developer's own component, and which limits it has now."""
    needs = packed.needs
    if needs is None:
        say("note: all limits of the component are stated, so nothing was measured")
        return
    limits = packed.settings.limits
    written = ", ".join(
        f"{key} {value // unit}{' (stated)' if key in stated else ''}"
        for key, value, unit in (
            (MEMORY, limits.memory_bytes, MIB),
            (OUTPUT, limits.output_bytes, KIB),
        )
    )
    say(
        f"measured: memory {needs.memory_bytes / MIB:.1f} MiB,"
        f" answer {needs.output_bytes / KIB:.1f} KiB; limits: {written}"
    )
    if limits.memory_bytes < needs.memory_bytes:
        say("warning: the stated memory-mib is less than the component needed in its trial")
    if needs.complaint is not None:
        say(f"note: a prompt as long as is permitted fails: {needs.complaint}")
