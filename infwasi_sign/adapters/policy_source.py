"""Finds a policy, reads it from a file that only its owner can change, loads its signers' keys.

The places, in this order: ``--policy FILE``, ``$INFWASI_POLICY``, the user's configuration folder,
``/etc/infwasi``. Never the current folder and never the package or a folder above it: what comes
with a package does not say by whose rules it is judged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Final

from infwasi_sign.adapters import trusted_file
from infwasi_sign.adapters.cel import CelCompiler
from infwasi_sign.adapters.certificate_files import read_certificates
from infwasi_sign.adapters.key_files import load_public_key, parse_public_pem
from infwasi_sign.adapters.keys import PublicKey, TrustedKey
from infwasi_sign.adapters.measuring import measure_bytes
from infwasi_sign.adapters.signature_modes import TrustedSigners
from infwasi_sign.adapters.sigstore_identity import TrustedIdentity
from infwasi_sign.adapters.trust_root import default_trust_root, load_trust_root
from infwasi_sign.adapters.trusted_file import configuration_folder, is_there, read_trusted
from infwasi_sign.domain.certified import CertificateTrust, TimestampRule
from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.facts import MODEL_DIGESTS, SIGNER_KEYS
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import format_time
from infwasi_sign.domain.policy import DirectoryNamed, NamedPackage, Policy
from infwasi_sign.domain.policy_file import PolicyFile, parse_policy
from infwasi_sign.domain.policy_signers import CertificateSpec, KeySpec, SignerSpec
from infwasi_sign.domain.rules import AtMost, Rule
from infwasi_sign.domain.trust_root import TrustRoot
from infwasi_sign.domain.vex_statement import VexStatement
from infwasi_sign.errors import MalformedError, RefusalKind, UndecidedError
from infwasi_sign.quick_dataclass import dataclass

VARIABLE: Final = "INFWASI_POLICY"
SYSTEM_POLICY: Final = Path("/etc/infwasi/policy.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedPolicy:
    """A policy file with the keys of its signers; ``digest`` is SHA-256 of its bytes, ``data``.

    ``expression_rules`` are its rules in CEL, compiled.
    """

    path: Path
    data: bytes = field(repr=False)
    digest: Digest
    file: PolicyFile
    signers: TrustedSigners
    key_rules: tuple[Rule, ...]
    expression_rules: tuple[Rule, ...] = ()
    vex: tuple[VexStatement, ...] = ()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in the order in which they are decided."""
        return (*self.file.rules, *self.expression_rules, *self.key_rules)

    def policy(
        self, package: NamedPackage | DirectoryNamed, digests: frozenset[Algorithm]
    ) -> Policy:
        """The rules for one package; ``digests`` are computed besides those the file demands."""
        of_expressions = _digests_of_expressions(self.expression_rules)
        return Policy(
            package=package,
            digests=self.file.digests | digests | of_expressions,
            named_digests=self.file.named_digests | of_expressions,
            rules=self.rules,
            limits=self.file.limits,
            source=str(self.path),
            digest=self.digest,
            is_file=True,
            vex=self.vex,
            may_use_identity_cache=self.file.identity_cache_at is not None,
        )


def find_policy(
    explicit: Path | None, environment: Mapping[str, str], *, key_flag: str = "--key"
) -> Path:
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
        if is_there(path):
            return path
    raise UndecidedError(
        "nothing says whom to trust",
        expected=f"{key_flag} FILE, --policy FILE or a policy in its usual place",
        hint="`infwasi policy init PACKAGE` writes a policy to start from",
    )


def require_outside(policy: Path, package: Path) -> None:
    """See `trusted_file.require_outside`."""
    trusted_file.require_outside(policy, package, "policy")


def _usual_places(environment: Mapping[str, str]) -> Sequence[Path]:
    folder = configuration_folder(environment)
    return [*([] if folder is None else [folder / "policy.toml"]), SYSTEM_POLICY]


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
    signers = TrustedSigners(
        keys=tuple(keys),
        certificates=tuple(
            _certificate(signer.name, spec, path.parent)
            for signer in file.signers
            for spec in signer.certificates
        ),
        identities=tuple(each for signer in file.signers for each in _identities(signer)),
        trust_root=_trust_root(file, path.parent),
    )
    return LoadedPolicy(
        path=path,
        data=data,
        digest=measure_bytes(data)[Algorithm.SHA256],
        file=file,
        signers=signers,
        key_rules=tuple(rules),
        expression_rules=expression_rules(file),
        vex=_vex(file, path.parent),
    )


def _vex(file: PolicyFile, folder: Path) -> tuple[VexStatement, ...]:
    """What the author of a policy states about vulnerabilities; trusted as the policy is."""
    if file.vex_file is None:
        return ()
    from infwasi_sign.domain.vex import read_vex  # noqa: PLC0415 - few policies have such a file

    path = folder / file.vex_file
    try:
        return read_vex(read_trusted(path, LIMITS.vex_bytes, "VEX document"), path.name)
    except MalformedError as error:  # of the operator's own file: no verdict on a package
        raise UndecidedError(
            error.what, where=error.where, expected=error.expected, got=error.got
        ) from error


def _certificate(name: str, spec: CertificateSpec, folder: Path) -> CertificateTrust:
    def read(file: str | None) -> tuple[bytes, ...]:
        return () if file is None else read_certificates(folder / file)

    rule = TimestampRule.REQUIRED if spec.is_timestamp_needed else TimestampRule.CURRENT_TIME
    return CertificateTrust(
        name=name,
        identity=spec.identity,
        roots=read(spec.roots),
        intermediates=read(spec.intermediates),
        timestamp_roots=read(spec.timestamp_roots),
        timestamp=rule,
    )


def _identities(signer: SignerSpec) -> tuple[TrustedIdentity, ...]:
    if not signer.identities:
        return ()
    return tuple(
        TrustedIdentity(
            name=signer.name, issuer=spec.issuer, identity=spec.identity, pattern=spec.pattern
        )
        for spec in signer.identities
    )


def _trust_root(file: PolicyFile, folder: Path) -> Callable[[], TrustRoot]:
    if file.trust_root is None or file.trust_root.file is None:
        return default_trust_root
    return partial(load_trust_root, folder / file.trust_root.file)


def expression_rules(file: PolicyFile) -> tuple[Rule, ...]:
    """The rules in CEL, compiled; their costs count together.

    Raises:
        UndecidedError: one is no expression, or they cost too much.
    """
    compiler = CelCompiler()
    return tuple(spec.rule(compiler.compile(spec.text, spec.where)) for spec in file.expressions)


def _digests_of_expressions(rules: tuple[Rule, ...]) -> frozenset[Algorithm]:
    """All, if one is about digests of models: which of them it means, only it knows."""
    return frozenset(Algorithm) if any(MODEL_DIGESTS in r.facts for r in rules) else frozenset()


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
        when=(SIGNER_KEYS, f"sha256:{key.fingerprint}"),
        reason=f"the time of this key ended at {format_time(spec.not_after)}",
    )
