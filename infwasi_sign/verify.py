"""Decides whether a package is what its signer and a policy say; only it makes `VerifiedPackage`.

The steps of docs/format.md section 7, in this order; the first failure is the answer:

1. bounds     sizes, counts, names, types of files, before anything is parsed
2. signature  the packer's bundle, by somebody the caller trusts, and all others over its payload
3. statement  one byte form, known type, roles complete, every file an entry and every entry a file;
              the OMS companion exactly if it is declared, over exactly the payload that is stated
4. policy     on what the statement says, before gigabytes are read
5. measure    every entry's size and digests, through the descriptor that will be used
6. agree      component, model header and BOM say what the statement says
7. policy     on what was measured
"""

from collections.abc import Callable, Mapping
from dataclasses import InitVar, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Never, Self, final

from infwasi_sign.domain.agreement import agree
from infwasi_sign.domain.component import ComponentFacts
from infwasi_sign.domain.digest import Algorithm, Digest, MeasureBytes
from infwasi_sign.domain.facts import claim_facts, measured_facts, signer_facts
from infwasi_sign.domain.gguf_facts import ModelFacts
from infwasi_sign.domain.level_demand import LevelDemand, require_rules_and_level
from infwasi_sign.domain.load_level import LoadLevel
from infwasi_sign.domain.manifest import EntryRole, Manifest
from infwasi_sign.domain.policy import (
    DirectoryNamed,
    Policy,
    decide,
    decide_claims,
    decide_measured,
    require,
)
from infwasi_sign.domain.rollback import SequenceRecord, decide_sequence
from infwasi_sign.domain.settings import Settings
from infwasi_sign.domain.signer import SignerIdentity
from infwasi_sign.domain.statement import parse_statement
from infwasi_sign.errors import UndecidedError
from infwasi_sign.matching import match_files, require_supported
from infwasi_sign.measure_entries import (
    MeasuredEntry,
    demanded_digests,
    measure_entries,
)
from infwasi_sign.ports import (
    GuardedFile,
    IdentityCache,
    LandmarkStore,
    OpenedPackage,
    PackageStore,
    Progress,
    SignatureVerifier,
)
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.read_headers import HeaderReader
from infwasi_sign.signatures import Signatures, check_companion, check_signatures

if TYPE_CHECKING:
    from infwasi_sign.domain.rules import Facts


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyRequest:
    """One verification: where, by which rules, at what time, and whether the bytes will be used.

    ``hold`` keeps the model still, at ``demanded`` or better, from before it is measured until the
    result is closed. ``progress`` hears every block of bytes that was hashed. ``libraries`` gives
    the digests of the native libraries, and is asked only if a rule is about them. ``on_facts``
    hears what the statement says before a rule is held to it; it is not known to be true yet.
    ``identities`` is used if a model is held and the policy allows it, ``landmarks`` for models
    whose BLAKE3 was computed in this verification.
    ``on_held`` is called when every model is held, before the first byte of one is measured: the
    last moment to give up what measuring and parsing do not need.
    ``renewing``: that the package has ended is no obstacle; everything else is judged by ``now``.
    """

    location: Path
    policy: Policy
    now: datetime
    detached: tuple[Path, ...] = ()
    hold: bool = False
    demanded: LoadLevel = LoadLevel.NONE
    progress: Progress | None = None
    on_claims: Callable[[Manifest, SignerIdentity], None] | None = None
    on_facts: "Callable[[Facts], None] | None" = None
    on_held: Callable[[], None] | None = None
    libraries: Callable[[], tuple[str, ...]] = tuple
    known: Callable[[str], SequenceRecord | None] | None = None
    accept_jump: bool = False
    identities: IdentityCache | None = None
    landmarks: LandmarkStore | None = None
    renewing: bool = False


_PROOF: Final = object()


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VerifiedPackage:
    """A package that passed every step; it owns the descriptors that were measured.

    Only `verify` makes one, and nobody changes it: a file that calls the constructor or sets a
    member fails mypy, and at run time it raises.
    """

    proof: InitVar[Never]  # no value has this type, so for mypy no call can be right
    manifest: Manifest
    signatures: Signatures = field(repr=False)
    statement_digest: Digest
    component: bytes = field(repr=False)
    bom: bytes = field(repr=False)
    component_facts: ComponentFacts = field(repr=False)
    settings: Settings
    model_facts: Mapping[str, ModelFacts] = field(repr=False)
    entries: tuple[MeasuredEntry, ...]
    policy: Policy = field(repr=False)
    facts: "Facts" = field(repr=False)
    _models: Mapping[str, GuardedFile]
    _opened: OpenedPackage

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only verify() makes a VerifiedPackage")

    def __init_subclass__(cls) -> None:
        raise TypeError("only verify() makes a VerifiedPackage")

    @property
    def signer(self) -> SignerIdentity:
        """The packer."""
        return self.signatures.packer

    @staticmethod
    def require(package: object) -> None:
        """Hold callers without a type checker to it, too.

        Raises:
            TypeError: ``package`` only looks like a `VerifiedPackage`.
        """
        if not isinstance(package, VerifiedPackage):
            raise TypeError(f"not a VerifiedPackage: {type(package).__name__}")

    def model_file(self, name: str) -> GuardedFile:
        """The descriptor of the model called ``name``, measured and still held."""
        return self._models[name]

    @property
    def level(self) -> LoadLevel:
        """The lowest level of any model."""
        return min(file.level for file in self._models.values())

    @property
    def level_reason(self) -> str:
        """Why that level is not a better one."""
        return next(file.level_reason for file in self._models.values() if file.level is self.level)

    def close(self) -> None:
        """Give back leases and descriptors."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def verify(
    request: VerifyRequest,
    *,
    store: PackageStore,
    signatures: SignatureVerifier,
    measure_bytes: MeasureBytes,
) -> VerifiedPackage:
    """Verify a package.

    Raises:
        RefusedError: some step says no; its kind says which way.
        UndecidedError: the package cannot be read, or needs what this version does not have.
    """
    # 1. bounds
    opened = store.open(request.location, request.detached)
    try:
        return _verify_opened(request, opened, signatures, measure_bytes)
    except BaseException:
        opened.close()
        raise


def _verify_opened(
    request: VerifyRequest,
    opened: OpenedPackage,
    signatures: SignatureVerifier,
    measure_bytes: MeasureBytes,
) -> VerifiedPackage:
    _require_named_directory(request.policy, opened)
    # 2. signature
    signed = check_signatures(opened, signatures, measure_bytes)
    # 3. statement
    manifest = parse_statement(signed.payload)
    files = match_files(manifest, opened)
    check_companion(opened, manifest, signed.packer, signatures, measure_bytes)
    require_supported(manifest)
    # 4. policy on the statement's facts
    statement = measure_bytes(signed.payload)[Algorithm.SHA256]
    claims = {
        **claim_facts(manifest, statement=statement, now=request.now),
        **signer_facts(signed.signers),
    }
    if request.on_facts is not None:
        request.on_facts(claims)
    require(decide(request.policy, claims))
    decide_claims(request.policy, manifest, _moment_of_judgement(request, manifest))
    if request.known is not None:
        decide_sequence(
            request.known(manifest.package_name),
            package=manifest.package_name,
            sequence=manifest.sequence,
            statement=statement,
            now=request.now,
            accept_jump=request.accept_jump,
        )
    if request.on_claims is not None:
        request.on_claims(manifest, signed.packer)
    # 5. measure
    demand = LevelDemand(caller=request.demanded, policy=request.policy, claims=claims)
    small, measured = measure_entries(
        manifest,
        files,
        measure_bytes,
        policy=request.policy,
        progress=request.progress,
        demand=demand if request.hold else None,
        on_held=request.on_held,
        identities=request.identities if request.policy.may_use_identity_cache else None,
    )
    component = small[EntryRole.COMPONENT]
    # 6. agree
    bom = small[EntryRole.BOM]

    headers = HeaderReader(files, measured, request.landmarks)
    agreed = agree(manifest, component, bom, headers.read, measure_bytes)
    headers.keep()
    # 7. policy on the measured facts
    computed = frozenset.intersection(
        *(frozenset(digest.algorithm for digest in entry.digests) for entry in measured)
    )
    held = min((files[m.shards[0]] for m in manifest.models), key=lambda file: file.level)
    level = held.level if request.hold else None
    libraries = request.libraries() if request.policy.is_host_pinned else None
    facts = {**claims, **measured_facts(agreed, computed, level, libraries, request.policy.vex)}
    require_rules_and_level(
        decide(request.policy, facts),
        caller=request.demanded,
        reached=held.level,
        reason=held.level_reason,
    )
    decide_measured(demanded_digests(request.policy, held), computed)

    return VerifiedPackage(
        proof=_PROOF,  # type: ignore[arg-type]  # the one place that makes one
        manifest=manifest,
        signatures=signed,
        statement_digest=statement,
        component=component,
        bom=small[EntryRole.BOM],
        component_facts=agreed.app,
        settings=agreed.settings,
        model_facts=agreed.models,
        entries=measured,
        policy=request.policy,
        facts=MappingProxyType(facts),
        _models=MappingProxyType({m.name: files[m.shards[0]] for m in manifest.models}),
        _opened=opened,
    )


def _moment_of_judgement(request: VerifyRequest, manifest: Manifest) -> datetime:
    """Now; for one who renews an ended package its last moment, as it was accepted until then."""
    if not request.renewing or manifest.expires_at is None:
        return request.now
    return min(request.now, manifest.expires_at)


def _require_named_directory(policy: Policy, opened: OpenedPackage) -> None:
    """The name that the rules go by is that of the directory that was opened, and no other's."""
    match policy.package:
        case DirectoryNamed(directory=directory) if directory != opened.directory_name:
            raise UndecidedError(
                "the package was exchanged while it was opened",
                where=directory,
                got=opened.directory_name,
            )
        case _:
            pass
