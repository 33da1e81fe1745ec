"""`infwasi state`."""

import os
import sys
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.output import emit_json, failures_as_json, say, show
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from infwasi_sign.adapters.pins import PinStore
    from infwasi_sign.adapters.state_file import StateFile
    from infwasi_sign.domain.pins import Pin
    from infwasi_sign.domain.rollback import SequenceRecord


@click.group(name="state")
def command() -> None:
    """Show or reset what was accepted before, by which older releases are noticed.

    \b
    Examples:
      infwasi state show
      infwasi state show --json | jq .policies
      infwasi state reset capital
    """


@command.command(name="show")
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def show_command(as_json: bool) -> None:
    """Show the highest accepted sequence of each package, and the pinned keys.

    \b
    Example:
      infwasi state show
    """
    with failures_as_json(as_json):
        state, pins = _open()
        found = [(policy, state.records(policy)) for policy in state.policies()]
        if as_json:
            emit_json(_as_json(str(state.folder.path), found, pins.pins()))
        else:
            show(*_as_text(str(state.folder.path), found, pins.pins()))


@command.command(name="reset")
@click.argument("package")
@click.option("--policy-id", default=None, help="Only under this policy (default: under all).")
@click.option("--pin", "forget_pin", is_flag=True, help="Forget the package's pinned key, too.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset_command(package: str, policy_id: str | None, forget_pin: bool, yes: bool) -> None:
    """Forget what was accepted of PACKAGE, such that its next release is taken as the first.

    \b
    Examples:
      infwasi state reset capital
      infwasi state reset capital --pin --yes
    """
    state, pins = _open()
    policies = [
        policy
        for policy in (state.policies() if policy_id is None else (policy_id,))
        if state.read(policy, package) is not None
    ]
    pin = pins.read(package) if forget_pin else None
    if not policies and pin is None:
        raise UndecidedError("there is nothing to forget", where=str(state.folder.path))
    for policy in policies:
        say(f"policy {policy}: {_record_text(state.read(policy, package))}")
    if pin is not None:
        say(f"pin: {_pin_text(pin)}")
    _confirm(package, yes)
    for policy in policies:
        state.forget(policy, package)
    if pin is not None:
        pins.forget(package)
    say(f"forgotten: the next release of {package} is taken as the first")


def _open() -> "tuple[StateFile, PinStore]":
    from infwasi_sign.adapters.pins import PinStore
    from infwasi_sign.adapters.state_file import StateFile
    from infwasi_sign.adapters.state_folder import StateFolder, state_folder

    folder = StateFolder(state_folder(os.environ, os.geteuid()))
    return StateFile(folder), PinStore(folder)


def _confirm(package: str, yes: bool) -> None:
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UndecidedError("there is nobody to ask", hint="--yes forgets without asking")
    if not click.confirm(f"Forget what was accepted of {package}?", err=True):
        raise click.Abort


def _as_json(
    folder: str, found: "list[tuple[str, tuple[SequenceRecord, ...]]]", pins: "tuple[Pin, ...]"
) -> dict[str, object]:
    from infwasi_sign.domain.manifest import format_time

    return {
        "type": "state",
        "folder": folder,
        "policies": [
            {
                "id": policy,
                "packages": [
                    {
                        "name": record.package,
                        "sequence": record.sequence,
                        "statement": str(record.statement),
                        "acceptedAt": format_time(record.accepted_at),
                    }
                    for record in records
                ],
            }
            for policy, records in found
        ],
        "pins": [
            {
                "name": pin.package,
                "fingerprint": pin.fingerprint,
                "pinnedAt": format_time(pin.pinned_at),
            }
            for pin in pins
        ],
    }


def _as_text(
    folder: str, found: "list[tuple[str, tuple[SequenceRecord, ...]]]", pins: "tuple[Pin, ...]"
) -> list[str]:
    lines = [f"state folder {folder}"]
    for policy, records in found:
        lines.append(f"policy {policy}")
        lines += [f"  {_record_text(record)}" for record in records]
    if pins:
        lines += ["pinned keys", *(f"  {_pin_text(pin)}" for pin in pins)]
    return lines if found or pins else [*lines, "nothing was accepted yet"]


def _record_text(record: "SequenceRecord | None") -> str:
    from infwasi_sign.domain.manifest import format_time

    if record is None:
        return "nothing"
    return (
        f"{record.package}  sequence {record.sequence}  {record.statement}  "
        f"accepted {format_time(record.accepted_at)}"
    )


def _pin_text(pin: "Pin") -> str:
    from infwasi_sign.domain.manifest import format_time

    return f"{pin.package}  sha256:{pin.fingerprint}  pinned {format_time(pin.pinned_at)}"
