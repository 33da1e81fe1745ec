"""`infwasi trust`: fetch, show."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infwasi_sign.cli.output import emit_json, failures_as_json, say, show
from infwasi_sign.errors import UndecidedError

if TYPE_CHECKING:
    from datetime import datetime

    from infwasi_sign.domain.trust_authorities import Authority
    from infwasi_sign.domain.trust_root import TrustRoot

_FILE = click.Path(path_type=Path)


@click.group(name="trust")
def command() -> None:
    """Fetch or show the trust root by which identities are judged, offline.

    \b
    Examples:
      infwasi trust fetch
      infwasi trust show
      infwasi trust show /etc/infwasi/trust-root.json --json | jq .authorities
    """


@command.command(name="fetch")
@click.option("--url", help="TUF repository of the Sigstore instance [default: the public one].")
@click.option("--root", "root_path", type=_FILE, help="The repository's first root.json.")
@click.option("--staging", is_flag=True, help="The staging instance of the public one.")
@click.option(
    "--output", "output_file", type=_FILE, help="[default: ~/.config/infwasi/trust-root.json]"
)
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def fetch_command(
    url: str | None, root_path: Path | None, staging: bool, output_file: Path | None, as_json: bool
) -> None:
    """Fetch the newest trust root by TUF and say what it changes. Nothing else here is online.

    \b
    Examples:
      infwasi trust fetch
      infwasi trust fetch --url https://tuf.example.org --root root.json --output private.json
    """
    from infwasi_sign.adapters.trust_root import prepare_place, user_trust_root, write_trust_root
    from infwasi_sign.cli.clock import now_utc
    from infwasi_sign.domain.trust_root import changes, parse_trust_root

    with failures_as_json(as_json):
        path = output_file or user_trust_root(os.environ)
        if path is None:
            raise UndecidedError("there is no home directory", hint="name a file: --output FILE")
        if output_file is None:
            prepare_place(path)
        now = now_utc()
        data = _fetched(url, root_path, staging, now)
        found = parse_trust_root(data, source=str(path), written_at=now)
        before = _before(path)
        write_trust_root(path, data)
        if before is not None and before.instance != found.instance:
            say(f"warning: this was the trust root of {before.instance or 'nobody knows whom'}")
        new = None if before is None else changes(before, found)
        if as_json:
            emit_json({**_as_json(found, now), "changes": new})
            return
        show(f"{path}: {found.instance}, {len(found.authorities)} authorities and logs")
        if new is not None:
            show(*(new or ("nothing changed",)))


def _fetched(url: str | None, root_path: Path | None, staging: bool, now: "datetime") -> bytes:
    from infwasi_sign.adapters.trust_fetch import (
        PUBLIC_INSTANCE,
        STAGING_INSTANCE,
        fetch_trust_root,
    )
    from infwasi_sign.adapters.trusted_file import read_trusted
    from infwasi_sign.domain.limits import LIMITS

    if staging and url is not None:
        raise UndecidedError("--staging and --url exclude each other")
    root = None if root_path is None else read_trusted(root_path, LIMITS.tuf_root_bytes, "root")
    if url is None:
        url = STAGING_INSTANCE if staging else PUBLIC_INSTANCE
    return fetch_trust_root(url, environment=os.environ, now=now, root=root)


def _before(path: Path) -> "TrustRoot | None":
    """What was there, for comparison only; that it is no trust root is no reason to keep it."""
    from infwasi_sign.adapters.trust_root import load_trust_root

    if not path.exists():
        return None
    try:
        return load_trust_root(path)
    except UndecidedError as error:
        say(f"note: what was there is replaced: {error.sentence()}")
        return None


@command.command(name="show")
@click.argument("file", required=False, type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
def show_command(file: Path | None, as_json: bool) -> None:
    """Show a trust root [default: the one that verification uses]: how old, whom it lists.

    \b
    Examples:
      infwasi trust show
      infwasi trust show private.json
    """
    from infwasi_sign.adapters.trust_root import find_trust_root, load_trust_root
    from infwasi_sign.cli.clock import now_utc

    with failures_as_json(as_json):
        root = load_trust_root(file or find_trust_root(os.environ))
        now = now_utc()
        if as_json:
            emit_json(_as_json(root, now))
        else:
            show(*_as_text(root, now))


def _as_json(root: "TrustRoot", now: "datetime") -> dict[str, object]:
    from infwasi_sign.domain.manifest import format_time

    return {
        "type": "trust-root",
        "source": root.source,
        "digest": str(root.digest),
        "instance": root.instance,
        "fetchedAt": format_time(root.fetched_at) if root.is_dated else None,
        "ageDays": root.age_days(now),
        "canSign": root.can_sign,
        "authorities": [
            {
                "kind": one.kind,
                "name": one.name,
                "fingerprints": list(one.fingerprints),
                "validFrom": None if one.valid_from is None else one.valid_from.isoformat(),
                "validTo": None if one.valid_to is None else one.valid_to.isoformat(),
                "isValid": one.covers([now]),
            }
            for one in root.authorities
        ],
    }


def _as_text(root: "TrustRoot", now: "datetime") -> list[str]:
    from infwasi_sign.domain.manifest import format_time
    from infwasi_sign.domain.trust_root import STALE_DAYS

    age = root.age_days(now)
    dated = "fetched" if root.is_dated else "does not say when it was fetched; written"
    stale = "; `infwasi trust fetch` gets the newest" if age > STALE_DAYS else ""
    lines = [
        f"trust root {root.source}",
        f"  {root.digest}",
        f"  instance   {root.instance or 'not named'}",
        f"  {dated} {format_time(root.fetched_at)}, {age} days ago{stale}",
        f"  {'names' if root.can_sign else 'names no'} services to sign with",
    ]
    for one in root.authorities:
        lines.append(f"{one.kind} {one.name}, {_validity(one, now)}")
        lines += [f"  sha256:{fingerprint}" for fingerprint in one.fingerprints]
    return lines


def _validity(one: "Authority", now: "datetime") -> str:
    if one.valid_to is not None and one.valid_to < now:
        return f"retired at {one.valid_to.isoformat()}"
    start = "always" if one.valid_from is None else f"since {one.valid_from.isoformat()}"
    end = "" if one.valid_to is None else f" until {one.valid_to.isoformat()}"
    return f"valid {start}{end}"
