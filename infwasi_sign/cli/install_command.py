"""`infwasi install`."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.options import package_options
from infwasi_sign.cli.output import emit_json, failures_as_json, package_progress, say, show
from infwasi_sign.cli.trust_options import TrustOptions

if TYPE_CHECKING:
    from infwasi_sign.adapters.installation import Installation
    from infwasi_sign.domain.manifest import Manifest
    from infwasi_sign.verify import VerifiedPackage, VerifyRequest


@click.command(name="install")
@package_options
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace a package of this name and version.")
def command(
    package: Path,
    trust: TrustOptions,
    model_path: Path | None,
    as_json: bool,
    accept_jump: bool,
    folder: Path,
    force: bool,
) -> None:
    """Check PACKAGE, copy it to FOLDER/NAME-VERSION, and have the kernel hold its model there.

    \b
    Examples:
      infwasi install downloads/capital-1.0.0 /srv/packages --key release.pub
      infwasi install downloads/capital-1.0.0 /srv/packages --policy site.toml --force

    Where the file system has fs-verity (ext4 made with `-O verity`, btrfs, f2fs), it is switched
    on for the copy of the model: then nobody can change it, root included, and a run hashes
    nothing. Else it is said how surely a run will hold it, and why no more surely. The copy
    appears whole, once it has been checked itself, or not at all.
    """
    from infwasi_sign.adapters.installation import open_installation
    from infwasi_sign.adapters.native_host import library_digests
    from infwasi_sign.adapters.package_editing import EditableStore
    from infwasi_sign.adapters.process import clear_up_when_ended, forbid_dumps
    from infwasi_sign.cli.clock import now_utc
    from infwasi_sign.cli.remembering import open_memory
    from infwasi_sign.cli.trusting import choose_trust
    from infwasi_sign.cli.verdicts import circumstances
    from infwasi_sign.cli.verification import verify_trusting
    from infwasi_sign.domain.digest import Algorithm
    from infwasi_sign.install import install
    from infwasi_sign.verify import VerifyRequest

    forbid_dumps()
    clear_up_when_ended()
    now = now_utc()
    with failures_as_json(as_json, circumstances(package, now)):
        chosen = choose_trust(package, trust, digests=frozenset({Algorithm.BLAKE3}))
        memory = open_memory(chosen.policy_id, required=False)
        store = EditableStore()

        def verified(request: "VerifyRequest") -> "VerifiedPackage":
            return verify_trusting(request, chosen, store)

        def target(manifest: "Manifest") -> AbstractContextManager["Installation"]:
            name = f"{manifest.package_name}-{manifest.package_version}"
            return open_installation(folder / name, replace_other=force)

        with package_progress() as progress:
            installed = install(
                VerifyRequest(
                    location=package,
                    policy=chosen.policy,
                    now=now,
                    detached=() if model_path is None else (model_path,),
                    progress=progress.update,
                    on_claims=progress.begin,
                    libraries=library_digests,
                    known=memory.known,
                    accept_jump=accept_jump,
                ),
                verify=verified,
                files=lambda: store.files,
                target=target,
            )
    manifest = installed.manifest
    place = folder / f"{manifest.package_name}-{manifest.package_version}"
    because = f" ({installed.level_reason})" if installed.level_reason else ""
    if installed.unprotected is not None:
        say(f"note: the model is not under fs-verity: {installed.unprotected}")
    say(f"a run by this user will hold the model by {installed.level.label}{because}")
    if as_json:
        emit_json(
            {
                "package": str(place),
                "level": installed.level.label,
                "levelReason": installed.level_reason,
            }
        )
    else:
        show(str(place))
