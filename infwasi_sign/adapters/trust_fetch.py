"""Fetching the trust root of a Sigstore instance by TUF: the one online step besides signing.

The door of ``tuf``. Its client is used here itself, because sigstore-python's own way out of it is
private, believes what lies in its cache where it has no first root, and reads files again after
they were verified. Here every fetch starts from a root that was given or came with sigstore-python;
what earlier fetches left behind only keeps a repository from going back (TUF specification 1.0.33,
section 5), and each target is verified as the bytes that are used.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from infwasi_sign.adapters.atomic import storage_error
from infwasi_sign.adapters.online import in_time, require_url
from infwasi_sign.adapters.sigstore_identity import require_readable, said
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.strict_json import JsonValue, parse
from infwasi_sign.domain.trust_root import TRUST_CONFIG, encode_fetched, parse_trust_root
from infwasi_sign.errors import MalformedError, UndecidedError

if TYPE_CHECKING:
    from tuf.ngclient import Updater

PUBLIC_INSTANCE: Final = "https://tuf-repo-cdn.sigstore.dev"  # docs.sigstore.dev, "Public good"
STAGING_INSTANCE: Final = "https://tuf-repo-cdn.sigstage.dev"

_TARGETS: Final = {
    "trustedRoot": "trusted_root.json",
    "signingConfig": "signing_config.v0.2.json",
}


def fetch_trust_root(
    url: str, *, environment: Mapping[str, str], now: datetime, root: bytes | None = None
) -> bytes:
    """The trust root of the instance whose TUF repository is at ``url``, as a file of ours.

    ``root`` is the repository's first `root.json`, needed for any but the two public ones.

    Raises:
        UndecidedError: nothing says how to believe the repository; it cannot be reached in time,
            is not signed as its root demands, or gives nothing that can be used.
    """
    require_url(url, "TUF repository")
    url = url.rstrip("/")
    first = _embedded_root(url) if root is None else root
    metadata = _metadata_folder(environment) / quote(url, safe="")
    config = in_time(
        lambda: _fetched(url, first, metadata),
        LIMITS.tuf_total_seconds,
        lambda reason: _failed(url, reason),
    )
    data = encode_fetched(config, instance=url, fetched_at=now)
    found = parse_trust_root(data, source=url, written_at=now)
    require_readable(found)
    return data


def _embedded_root(url: str) -> bytes:
    """The first root of a public instance, which came with sigstore-python's package.

    NOTE: where it lies is no promise; a test looks whether it still does.
    """
    if url in {PUBLIC_INSTANCE, STAGING_INSTANCE}:
        place = files("sigstore").joinpath("_store", quote(url, safe=""), "root.json")
        try:
            return place.read_bytes()
        except OSError as e:
            raise storage_error(e, str(place), "read the first root") from e
    raise UndecidedError(
        "nothing says how to believe this repository",
        where=url,
        hint="--root ROOT.json: its first root, got by a way that you trust",
    )


def _metadata_folder(environment: Mapping[str, str]) -> Path:
    """XDG Base Directory Specification 0.8: data that is kept."""
    for name, below in (("XDG_DATA_HOME", "infwasi/tuf"), ("HOME", ".local/share/infwasi/tuf")):
        base = environment.get(name, "")
        if base.startswith("/"):  # the specification: relative paths are to be ignored
            return Path(base, below)
    raise UndecidedError("there is no home directory to keep TUF metadata in", hint="set HOME")


def _fetched(url: str, root: bytes, metadata: Path) -> str:
    """A ClientTrustConfig as JSON text."""
    from tuf.ngclient import Updater, UpdaterConfig, Urllib3Fetcher  # noqa: PLC0415 - 0.2 s

    try:
        metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as e:
        raise storage_error(e, metadata, "keep TUF metadata") from e
    try:
        updater = Updater(
            metadata_dir=str(metadata),
            metadata_base_url=url,
            target_base_url=f"{url}/targets/",
            fetcher=Urllib3Fetcher(socket_timeout=LIMITS.tuf_wait_seconds),
            config=UpdaterConfig(root_max_length=LIMITS.tuf_root_bytes),
            bootstrap=root,
        )
        updater.refresh()
        config: dict[str, JsonValue] = {"mediaType": TRUST_CONFIG}
        for member, name in _TARGETS.items():
            config[member] = _target(updater, name)
        return json.dumps(config)
    except MalformedError as e:
        raise _failed(url, e.sentence()) from e
    except OSError as e:  # those of connections come wrapped
        raise storage_error(e, metadata, "keep TUF metadata") from e
    except Exception as e:  # of many kinds: TUF's, HTTP's, those of the file system
        raise _failed(url, _reason(e)) from e


def _target(updater: "Updater", name: str) -> JsonValue:
    found = updater.get_targetinfo(name)
    if found is None:
        raise MalformedError("is not in the repository", where=name)
    if found.length > LIMITS.trust_root_bytes:
        raise MalformedError(
            "too long",
            where=name,
            expected=f"at most {LIMITS.trust_root_bytes} bytes",
            got=str(found.length),
        )
    with tempfile.TemporaryDirectory() as folder:
        path = updater.download_target(found, os.path.join(folder, "target"))
        data = Path(path).read_bytes()
    found.verify_length_and_hashes(data)  # check and use the same bytes
    return parse(data, where=name, limit_bytes=LIMITS.trust_root_bytes)


def _reason(error: Exception) -> str:
    """python-tuf calls each broken connection slow; what happened is behind it."""
    cause = error.__cause__
    return said(cause if isinstance(cause, Exception) else error)


def _failed(url: str, reason: str) -> UndecidedError:
    return UndecidedError(
        "the trust root cannot be fetched",
        where=url,
        got=reason,
        hint="it is needed now and then, not for each verification: --trust-root FILE names one",
    )
