"""All services together, behind one context manager."""

import threading
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Final, Literal, Self

from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass
from infwasi_sign.testing.sigstore import documents
from infwasi_sign.testing.sigstore.careless import CarelessSigner
from infwasi_sign.testing.sigstore.ct_log import CtLog
from infwasi_sign.testing.sigstore.documents import Endpoints, ListedAuthority, ListedLog
from infwasi_sign.testing.sigstore.faults import Fault
from infwasi_sign.testing.sigstore.fulcio import Fulcio
from infwasi_sign.testing.sigstore.limits import LIMITS, InstanceLimits
from infwasi_sign.testing.sigstore.oidc import OidcIssuer
from infwasi_sign.testing.sigstore.rekor_v1 import RekorV1
from infwasi_sign.testing.sigstore.rekor_v2 import RekorV2
from infwasi_sign.testing.sigstore.server import Asked, Server
from infwasi_sign.testing.sigstore.signing_keys import Clock, key_id, machine_clock
from infwasi_sign.testing.sigstore.timestamp import TimestampAuthority
from infwasi_sign.testing.sigstore.tuf_repository import TufRepository

IDENTITY: Final = "alice@example.test"

# Other clients find a log's key by the host of its base URL, so the two logs, which listen at the
# same port, go by two names of this machine.
_HOST_V1: Final = "127.0.0.1"
_HOST_V2: Final = "localhost"
_TIMESTAMP_PATH: Final = "/api/v1/timestamp"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Services:
    url: str
    rekor_urls: tuple[str, str]
    timestamp_url: str
    oidc: OidcIssuer
    ct_log: CtLog
    fulcio: Fulcio
    rekor_v1: RekorV1
    rekor_v2: RekorV2
    timestamps: TimestampAuthority


class PrivateSigstore:
    """A Sigstore of one's own: real protocols and real cryptography, on 127.0.0.1 over http.

    ::

        with PrivateSigstore() as instance:
            config = ClientTrustConfig.from_json(instance.trust_config())
            context = SigningContext.from_trust_config(config)
            with context.signer(IdentityToken(instance.token("alice@example.test"))) as signer:
                bundle = signer.sign_artifact(b"hello")

    Each instance has keys of its own, which nobody else trusts; what was signed can be verified
    after its end with the `trusted_root`. An object is entered once. Everything but `requests` is
    the same from the beginning to after the end.
    """

    def __init__(
        self,
        *,
        faults: Collection[Fault] = frozenset(),
        rekor_version: Literal[1, 2] = 2,
        identity: str = IDENTITY,
        now: Clock = machine_clock,
        limits: InstanceLimits = LIMITS,
    ) -> None:
        """Choose what goes wrong, which Rekor is signed to, and what time it is.

        ``identity`` is who logs in with the browser. ``now`` is the clock of Fulcio, the logs and
        the timestamp authority; tokens and TUF metadata follow the clock of the machine, because
        clients hold them against it.

        Raises:
            ValueError: there is no such version, or a fault that means nothing with it.
        """
        if rekor_version not in {1, 2}:
            raise ValueError(f"rekor_version must be 1 or 2, got {rekor_version}")
        for fault in faults:
            if not fault.applies_to(rekor_version):
                raise ValueError(f"{fault.value} means nothing with rekor version {rekor_version}")
        self.faults: frozenset[Fault] = frozenset(faults)
        self.rekor_version: int = rekor_version
        self._identity = identity
        self._now = now
        self._server: Server | None = None
        self._limits = limits

    def __enter__(self) -> Self:
        if self._server is not None:
            raise RuntimeError("a PrivateSigstore is entered once")
        self._server = Server(self._limits)
        try:
            self._prepare(self._server)
        except BaseException:
            self._server.server_close()
            raise
        # Looks every 10 ms whether it is to stop, so that tests do not wait for it.
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop.

        Raises:
            RuntimeError: a service failed by a mistake of its own, and nothing else went wrong.
        """
        server = self._running()
        server.stop()
        self._thread.join()
        if server.failures and error is None:
            raise RuntimeError("the private Sigstore failed inside") from server.failures[0]

    @property
    def url(self) -> str:
        """Fulcio and Rekor version 1, `http://127.0.0.1:PORT`."""
        return self._entered().url

    @property
    def issuer(self) -> str:
        """The OIDC issuer, as certificates name it."""
        return self._entered().oidc.url

    @property
    def rekor_url(self) -> str:
        """The Rekor that is signed to."""
        return self._entered().rekor_urls[self.rekor_version - 1]

    @property
    def timestamp_url(self) -> str:
        """Where the timestamp authority takes requests."""
        return self._entered().timestamp_url

    @property
    def tuf_url(self) -> str:
        """The TUF repository, for `ClientTrustConfig.from_tuf` and `sigstore trust-instance`."""
        self._entered()
        return self._tuf.url

    @property
    def requests(self) -> list[Asked]:
        """What was asked so far, in the order of the answers."""
        return list(self._running().asked)

    def tuf_root(self) -> bytes:
        """The first `root.json`, from which a TUF client starts."""
        self._entered()
        return self._tuf.root

    def trusted_root(self) -> bytes:
        """`trusted_root.json`: whom verifiers believe."""
        self._entered()
        return documents.encode(self._root)

    def signing_config(self) -> bytes:
        """`signing_config.v0.2.json`: whom signers ask."""
        self._entered()
        return documents.encode(self._config)

    def trust_config(self) -> bytes:
        """ClientTrustConfig v0.1: trusted root and signing configuration in one file."""
        self._entered()
        return documents.client_trust_config(self._root, self._config)

    def token(self, identity: str = IDENTITY, **claims: JsonValue) -> str:
        """An OIDC token for the audience `sigstore`, valid for an hour.

        ``identity`` is a mail address or a URI; ``claims`` add to the token or replace in it.
        """
        return self._entered().oidc.token(identity, **claims)

    def ambient_environment(self, **claims: JsonValue) -> dict[str, str]:
        """Environment variables of a GitHub Actions job, in which clients find their token.

        The job is that of a made-up workflow of `example/project`; ``claims`` change it.
        """
        return self._entered().oidc.ambient_environment(**claims)

    def careless_dsse_bundle(
        self,
        payload: bytes,
        *,
        payload_type: str = "application/vnd.in-toto+json",
        identity: str = IDENTITY,
        **claims: JsonValue,
    ) -> bytes:
        """A bundle of a signer that checks nothing, so that a verifier meets every fault.

        Raises:
            RequestError: a service refused, as some faults have it.
        """
        return self._careless(identity, claims).sign_dsse(payload, payload_type)

    def careless_artifact_bundle(
        self, artifact: bytes, *, identity: str = IDENTITY, **claims: JsonValue
    ) -> bytes:
        """The same for an artifact that is signed without an envelope."""
        return self._careless(identity, claims).sign_artifact(artifact)

    def _careless(self, identity: str, claims: Mapping[str, JsonValue]) -> CarelessSigner:
        return CarelessSigner(
            ask=self._running().answer,
            token=self.token(identity, **claims),
            rekor_version=self.rekor_version,
            timestamp_path=None if self._is_without_timestamps else _TIMESTAMP_PATH,
        )

    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("a PrivateSigstore is used in a with statement")
        return self._server

    def _entered(self) -> _Services:
        self._running()
        return self._services

    def _prepare(self, server: Server) -> None:
        self._services = self._start_services(server.server_port)
        self._root = self._trusted_root()
        self._config = self._signing_config()
        self._tuf = TufRepository(
            url=f"{self.url}/tuf",
            files={
                "trusted_root.json": documents.encode(self._root),
                "signing_config.v0.2.json": documents.encode(self._config),
            },
            faults=self.faults,
        )
        self._route(server)

    def _start_services(self, port: int) -> _Services:
        url = f"http://{_HOST_V1}:{port}"
        oidc = OidcIssuer(url=f"{url}/oidc", identity=self._identity, faults=self.faults)
        ct_log = CtLog(faults=self.faults, now=self._now)
        return _Services(
            url=url,
            rekor_urls=(url, f"http://{_HOST_V2}:{port}"),
            timestamp_url=url + _TIMESTAMP_PATH,
            oidc=oidc,
            ct_log=ct_log,
            fulcio=Fulcio(claims_of=oidc.claims, ct_log=ct_log, faults=self.faults, now=self._now),
            rekor_v1=RekorV1(host=_HOST_V1, faults=self.faults, now=self._now),
            rekor_v2=RekorV2(host=_HOST_V2, faults=self.faults),
            timestamps=TimestampAuthority(faults=self.faults, now=self._now),
        )

    @property
    def _is_without_timestamps(self) -> bool:
        without = {Fault.TIMESTAMP_NOT_CONFIGURED, Fault.INTEGRATED_TIME_UNSIGNED}
        return not without.isdisjoint(self.faults)

    def _trusted_root(self) -> JsonValue:
        services = self._services
        logs = zip(services.rekor_urls, (services.rekor_v1.log, services.rekor_v2.log), strict=True)
        ct_key = services.ct_log.listed_key
        return documents.trusted_root(
            logs=[
                ListedLog(
                    url=url,
                    key=log.listed_key,
                    log_id=log.listed_id,
                    is_retired=Fault.LOG_RETIRED in self.faults,
                )
                for url, log in logs
            ],
            ct_log=ListedLog(
                url=f"{services.url}/ct",
                key=ct_key,
                log_id=key_id(ct_key),
                is_retired=Fault.CT_LOG_RETIRED in self.faults,
            ),
            certificate_authority=ListedAuthority(
                url=services.url,
                name="private fulcio",
                authority=services.fulcio.listed,
                is_retired=Fault.CA_RETIRED in self.faults,
            ),
            timestamp_authority=ListedAuthority(
                url=services.timestamp_url,
                name="private timestamp authority",
                authority=services.timestamps.listed,
                is_retired=Fault.TIMESTAMP_AUTHORITY_RETIRED in self.faults,
            ),
        )

    def _signing_config(self) -> JsonValue:
        return documents.signing_config(
            Endpoints(
                fulcio_url=self.url,
                issuer_url=self.issuer,
                rekor_url=self.rekor_url,
                rekor_version=self.rekor_version,
                timestamp_url=None if self._is_without_timestamps else self.timestamp_url,
            )
        )

    def _route(self, server: Server) -> None:
        services = self._services
        server.routes = {
            ("GET", "/oidc/.well-known/openid-configuration"): services.oidc.discovery,
            ("GET", "/oidc/keys"): services.oidc.keys,
            ("GET", "/oidc/auth"): services.oidc.authorize,
            ("POST", "/oidc/token"): services.oidc.exchange_code,
            ("GET", "/oidc/ambient"): services.oidc.ambient,
            ("GET", "/api/v2/trustBundle"): services.fulcio.trust_bundle,
            ("POST", "/api/v2/signingCert"): services.fulcio.signing_certificate,
            ("POST", "/api/v1/log/entries"): services.rekor_v1.create_entry,
            ("POST", "/api/v2/log/entries"): services.rekor_v2.create_entry,
            ("GET", "/api/v2/checkpoint"): services.rekor_v2.checkpoint,
            ("POST", _TIMESTAMP_PATH): services.timestamps.timestamp,
            ("GET", "/tuf/"): self._tuf.file,
        }
