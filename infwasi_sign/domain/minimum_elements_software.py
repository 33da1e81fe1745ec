"""What any software bill of materials must say: NTIA 2021, and CISA's draft of 2025.

Sources: NTIA, "The Minimum Elements For a Software Bill of Materials", 2021-07-12, section IV, data
fields; CISA, "2025 Minimum Elements for a Software Bill of Materials", draft of 2025-08-22, data
fields (those of NTIA, of which some have new names, and four more). Practices such as how often a
BOM is made are not in a document. The numbers are ours; neither list has any.
"""

from typing import Final

from infwasi_sign.domain.minimum_elements import Baseline, Each, Element
from infwasi_sign.domain.minimum_elements_g7 import G7

_MAKES: Final = "`infwasi pack` and `infwasi bom` write it"
_PRODUCER: Final = 'model-card.toml: [app] producer = "...", [model] producer = "..."'
_IDENTIFIER: Final = 'model-card.toml: [model] purl = "pkg:huggingface/..."'
_LICENCE: Final = 'model-card.toml: [app], [model] and [[dataset]] license = "..."'
_VERSION: Final = 'infwasi.toml: [package] version; model-card.toml: [model] version = "..."'
_HASH: Final = 'model-card.toml: [[dataset]] sha256 = "..."'  # our files always have theirs
_AUTHOR: Final = 'model-card.toml: [bom] author = "..."'

_PRODUCERS: Final = (
    *("manufacturer.name", "supplier.name", "authors[].name", "author", "publisher"),
    *("?manufacturer", "?supplier", "?publisher", "?authors"),
)
_IDENTIFIERS: Final = (
    *("purl", "cpe", "swid.tagId", "swhid[]", "omniborId[]"),
    *("#~doi|uuid|identifier", "?purl", "?dataset:identifier"),
)
_LICENCES: Final = (
    *("licenses[].expression", "licenses[].license.id", "licenses[].license.name", "?licenses"),
    "?dataset.licenses",
)
_AUTHORS: Final = (
    *("metadata.authors[].name", "metadata.authors[].email", "metadata.manufacturer.name"),
    "?authors",
)


def _list_of(
    prefix: str, rows: tuple[tuple[str, Each, tuple[str, ...], str, str], ...]
) -> tuple[Element, ...]:
    return tuple(
        Element(
            id=f"{prefix}-{number:02}",
            group="Data fields",
            title=title,
            each=each,
            places=places,
            key=key,
            member=member,
        )
        for number, (title, each, places, key, member) in enumerate(rows, 1)
    )


NTIA: Final = Baseline(
    name="NTIA",
    title="NTIA minimum elements (2021-07-12)",
    source="The Minimum Elements For a Software Bill of Materials, data fields",
    elements=_list_of(
        "NTIA",
        (
            (
                *("Supplier name", Each.COMPONENT, _PRODUCERS, _PRODUCER),
                "components[].supplier.name or manufacturer.name",
            ),
            ("Component name", Each.COMPONENT, ("name",), _MAKES, "components[].name"),
            (
                *("Version of the component", Each.COMPONENT, ("version", "?version"), _VERSION),
                "components[].version",
            ),
            (
                *("Other unique identifiers", Each.COMPONENT, _IDENTIFIERS, _IDENTIFIER),
                "components[].purl, cpe, swid, swhid or omniborId",
            ),
            (
                *("Dependency relationship", Each.DOCUMENT, ("@dependencies", "@aggregates")),
                *(_MAKES, "dependencies[] with refs that exist"),
            ),
            ("Author of SBOM data", Each.DOCUMENT, _AUTHORS, _AUTHOR, "metadata.authors[].name"),
            ("Timestamp", Each.DOCUMENT, ("metadata.timestamp",), _MAKES, "metadata.timestamp"),
        ),
    ),
)

CISA: Final = Baseline(
    name="CISA",
    title="CISA minimum elements (draft of 2025-08-22)",
    source="2025 Minimum Elements for a Software Bill of Materials, draft, data fields",
    elements=_list_of(
        "CISA",
        (
            ("SBOM author", Each.DOCUMENT, _AUTHORS, _AUTHOR, "metadata.authors[].name"),
            (
                *("Software producer", Each.COMPONENT, _PRODUCERS, _PRODUCER),
                "components[].manufacturer.name",
            ),
            ("Component name", Each.COMPONENT, ("name",), _MAKES, "components[].name"),
            (
                *("Component version", Each.COMPONENT, ("version", "?version"), _VERSION),
                "components[].version",
            ),
            (
                *("Software identifiers", Each.COMPONENT, _IDENTIFIERS, _IDENTIFIER),
                "components[].purl, cpe, swhid or omniborId",
            ),
            (
                *("Component hash", Each.PART, ("@hash", "?hashes", "?dataset.hashes"), _HASH),
                "components[].hashes[]",
            ),
            ("License", Each.COMPONENT, _LICENCES, _LICENCE, "components[].licenses[]"),
            (
                *("Dependency relationship", Each.DOCUMENT, ("@dependencies", "@aggregates")),
                *(_MAKES, "dependencies[] with refs that exist"),
            ),
            ("Tool name", Each.TOOL, ("name",), _MAKES, "metadata.tools.components[].name"),
            ("Timestamp", Each.DOCUMENT, ("metadata.timestamp",), _MAKES, "metadata.timestamp"),
            (
                *("Generation context", Each.DOCUMENT),
                ("metadata.lifecycles[].phase", "metadata.lifecycles[].name", "?lifecycles"),
                *(_MAKES, "metadata.lifecycles[].phase"),
            ),
        ),
    ),
)

BASELINES: Final = (G7, NTIA, CISA)
