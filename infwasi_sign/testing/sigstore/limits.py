"""The bounds of an instance: it serves tests, and must not outlive or outgrow them."""

from typing import Final

from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceLimits:
    """What an instance takes on before it refuses; each number has its reason."""

    requests: int = 10_000
    """A signature needs 3; a test that needs more than 3,000 signatures has a loop without end."""

    body_bytes: int = 1 << 20
    """A statement with 1,024 subjects is about 200 kB; the bundle may have 1 MiB as well."""

    connections: int = 64
    """At the same time; 8 threads of a client with 3 services each need 24."""

    connection_seconds: float = 60
    """From the first to the last byte of a connection, however many requests it carries."""

    idle_seconds: float = 10
    """Wait for the next byte; sigstore-python itself gives a timestamp authority 5."""

    logins: int = 100
    """Browser flows that were begun but not ended, and ambient environments that were made."""

    run_seconds: int = 3600
    """Longest life of the command; a token lives as long."""


LIMITS: Final = InstanceLimits()
