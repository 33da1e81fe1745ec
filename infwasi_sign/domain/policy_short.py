"""The policies that flags are short for, as text: so that every result names one by its digest.

`--key` and its kin are a policy with one signer and one package (docs/policy.md). The text below is
that policy; certificates and trust roots, which a policy names by files, stand in it by digest.
"""

from infwasi_sign.domain.toml_value import toml_value


def key_policy(*, asked: str, name: str, pem: str) -> bytes:
    """One key, given by its PEM text."""
    return _policy(asked, name, f"keys = [{{ pem = {toml_value(pem)} }}]")


def identity_policy(*, asked: str, name: str, issuer: str, wanted: str, is_pattern: bool) -> bytes:
    """One identity, or a pattern for it, and who vouches for it."""
    member = "identity-pattern" if is_pattern else "identity"
    text = f"{{ {member} = {toml_value(wanted)}, issuer = {toml_value(issuer)} }}"
    return _policy(asked, name, f"identities = [{text}]")


def certificate_policy(
    *,
    asked: str,
    identity: str,
    roots: tuple[str, ...],
    intermediates: tuple[str, ...],
    timestamp_roots: tuple[str, ...],
) -> bytes:
    """One holder of certificates; the authorities are the digests of their certificates.

    Without timestamp authorities the certificate must be valid now, as the flags have it.
    """
    members: dict[str, str | tuple[str, ...]] = {
        "identity": identity,
        "roots": roots,
        "intermediates": intermediates,
        "timestamp-roots": timestamp_roots,
    }
    if not timestamp_roots:
        members["valid-at"] = "current-time"
    text = ", ".join(f"{name} = {toml_value(value)}" for name, value in members.items() if value)
    return _policy(asked, identity, f"certificates = [{{ {text} }}]")


def _policy(asked: str, name: str, signer: str) -> bytes:
    lines = (
        "version = 1",
        "[[signer]]",
        f"name = {toml_value(name)}",
        signer,
        "[[package]]",
        f"name = {toml_value(asked)}",
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii")
