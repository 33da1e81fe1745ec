"""Finds a policy, reads it from a file that only its owner can change, loads its signers' keys.

The places, in this order: ``--policy FILE``, ``$INFWASI_POLICY``, the user's configuration folder,
``/etc/infwasi``. Never the current folder and never the package or a folder above it: what comes
with a package does not say by whose rules it is judged.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.atomic import hint_for_error
from infwasi_sign.adapters.key_files import load_public_key, parse_public_pem
from infwasi_sign.adapters.keys import PublicKey, TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.trusted_file import read_trusted
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.domain.policy_file import KeySpec, PolicyFile, parse_policy
from infwasi_sign.domain.rules import AtMost, Rule
from infwasi_sign.errors import RefusalKind, UndecidedError

VARIABLE: Final = "INFWASI_POLICY"
SYSTEM_POLICY: Final = Path("/etc/infwasi/policy.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPolicy:
    """A policy file with the keys of its signers; ``digest`` is SHA-256 of its bytes, ``data``."""

    path: Path
    data: bytes = field(repr=False)
    digest: Digest
    file: PolicyFile
    keys: tuple[TrustedKey, ...]
    key_rules: tuple[Rule, ...]

    def policy(
        self, package: NamedPackage | DirectoryNamed, digests: frozenset[Algorithm]
    ) -> Policy:
        """The rules for one package; ``digests`` are computed besides those the file demands."""
        return Policy(
            package=package,
            digests=self.file.digests | digests,
            rules=(*self.file.rules, *self.key_rules),
            limits=self.file.limits,
            source=str(self.path),
            digest=self.digest,
        )


def find_policy(explicit: Path | None, environment: Mapping[str, str]) -> Path:
    """The policy file to use.

    Raises:
        UndecidedError: there is none; whom to trust is never guessed.
    """
    if explicit is not None:
        return explicit
    if named := environment.get(VARIABLE):
        if not Path(named).is_absolute():
            raise UndecidedError(
                f"${VARIABLE} is not an absolute path",
                got=named,
                hint="a policy is never looked for in the current folder",
            )
        return Path(named)
    for path in _usual_places(environment):
        if _is_there(path):
            return path
    raise UndecidedError(
        "nothing says whom to trust",
        expected="--key FILE, --policy FILE or a policy in its usual place",
        hint="`infwasi policy init PACKAGE` writes a policy to start from",
    )


def require_outside(policy: Path, package: Path) -> None:
    """Also a policy that the caller named is not one that came with the package.

    Raises:
        UndecidedError: it lies in the directory of the package.
    """
    inside = os.path.join(os.path.realpath(package), "")
    if os.path.realpath(policy).startswith(inside):
        raise UndecidedError(
            "the policy lies in the package that it is to judge",
            where=str(policy),
            hint="what comes with a package does not say by whose rules it is judged",
        )


def _usual_places(environment: Mapping[str, str]) -> Sequence[Path]:
    # A relative path in these variables counts as none (XDG Base Directory Specification 0.8,
    # "Environment variables").
    candidates = (
        Path(environment.get("XDG_CONFIG_HOME", "")),
        Path(environment.get("HOME", "")) / ".config",
    )
    folders = [folder for folder in candidates if folder.is_absolute()][:1]
    return [*(folder / "infwasi" / "policy.toml" for folder in folders), SYSTEM_POLICY]


def _is_there(path: Path) -> bool:
    """Whether the name exists; a link to nothing does, and is an error later, not "no policy"."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        reason = (error.strerror or "an input error").lower()
        raise UndecidedError(
            f"cannot look for {path}", got=reason, hint=hint_for_error(error)
        ) from error
    return True


def load_policy(path: Path) -> LoadedPolicy:
    """Read a policy and the keys that it names; paths of key files begin where it lies.

    Raises:
        UndecidedError: it cannot be read or trusted, or says something that no policy can say.
    """
    data = read_trusted(path, LIMITS.toml_bytes, "policy")
    file = parse_policy(data, where=path.name)
    keys: list[TrustedKey] = []
    rules: list[Rule] = []
    for signer in file.signers:
        for spec in signer.keys:
            key = _load_key(spec, path.parent)
            keys.append(TrustedKey(name=signer.name, public_key=key))
            if spec.not_after is not None:
                rules.append(_not_after(spec, key))
    return LoadedPolicy(
        path=path,
        data=data,
        digest=measure_bytes(data)[Algorithm.SHA256],
        file=file,
        keys=tuple(keys),
        key_rules=tuple(rules),
    )


def _load_key(spec: KeySpec, folder: Path) -> PublicKey:
    if spec.file is not None:
        return load_public_key(folder / spec.file)
    return parse_public_pem((spec.pem or "").encode(), spec.place)


def _not_after(spec: KeySpec, key: PublicKey) -> Rule:
    """A key has no trusted clock of its own, so its time is over for old packages as well."""
    assert spec.not_after is not None  # noqa: S101 - the caller looked
    return Rule(
        name="not-after",
        fact="now",
        test=AtMost(number=int(spec.not_after.timestamp())),
        place=spec.place,
        kind=RefusalKind.EXPIRED,
        when=("signer.key", f"sha256:{key.fingerprint}"),
        reason=f"the time of this key ended at {format_time(spec.not_after)}",
    )
