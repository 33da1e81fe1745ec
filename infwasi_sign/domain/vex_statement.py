"""What somebody states about a vulnerability, as `vex` reads it and a policy carries it."""

from infwasi_sign.quick_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class VexStatement:
    """What somebody says of one vulnerability; words are CycloneDX's.

    ``products`` has for each product the names by which it may be known: package URLs, digests
    (`sha256:...`), bom-refs. There is at least one product, and one name of each.
    """

    id: str
    state: str
    products: tuple[frozenset[str], ...]
    source: str | None = None
    justification: str | None = None
    detail: str | None = None
