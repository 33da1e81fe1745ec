"""What imports mean: known ones by table, all others unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infwasi_sign.domain import capabilities as tables
from infwasi_sign.domain.capabilities import CAPABILITIES, capabilities
from infwasi_sign.domain.interfaces import APP_IMPORTS, WASI_NN_INTERFACES
from tests.conftest import ROOT


def given_by(*imports: str) -> dict[str, tuple[str, ...]]:
    """The capabilities that there are."""
    return {name: found for name, found in capabilities(imports).items() if found}


def test_an_app_infers_and_does_nothing_else() -> None:
    assert given_by(*APP_IMPORTS) == {"inference": tuple(sorted(WASI_NN_INTERFACES))}
    assert tuple(capabilities(APP_IMPORTS)) == CAPABILITIES


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("wasi:sockets/tcp@0.2.0", "network"),
        ("wasi:sockets/ip-name-lookup@0.2.3", "network"),
        ("wasi:http/outgoing-handler@0.2.0", "network"),
        ("wasi:http/types@0.3.0-rc-2025-09-16", "network"),
        ("wasi:filesystem/preopens@0.2.0", "filesystem"),
        ("wasi:cli/environment@0.2.0", "environment"),
        ("wasi:clocks/wall-clock@0.2.0", "clocks"),
        ("wasi:random/insecure-seed@0.2.0", "random"),
        ("wasi:nn/graph@0.2.0-rc-2024-10-28", "inference"),
        ("infwasi:llm/engine@0.1.0", "inference"),
        ("wasi:keyvalue/store@0.2.0-draft", "storage"),
        ("wasi:logging/logging", "terminal"),
        ("wasi:cli/stdout@0.2.0", "terminal"),
        ("wasi:cli/exit@0.2.0", "process"),
    ],
)
def test_a_known_interface_gives_its_capability(name: str, capability: str) -> None:
    assert given_by(name) == {capability: (name,)}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "env",
            "wasi:cli",
            "wasi:cli/",
            "wasi:cli/run-command@0.2.0",
            "acme:vault/secrets@1.0.0",
        ),
        *("wasi:clocksx/wall-clock@0.2.0", "WASI:clocks/wall-clock@0.2.0", "wasi:nn /graph@0.2.0"),
        *("wasi:nn/graph/../../x@0.2.0", "wasi:nn/graph@0.2.0 ", "wasi:nn/gr\u0430ph@0.2.0"),
        *("unlocked-dep=<wasi:http/types>", "wasi:io/poll@0.3.0", "wasi:io/other@0.2.0"),
        *("infwasi:llm/types@0.2.0", "infwasi:llm/other@0.1.0", "wasi_snapshot_preview1.fd_write"),
    ],
)
def test_what_is_in_no_table_is_unknown(name: str) -> None:
    assert given_by(name) == {"unknown": (name,)}


@pytest.mark.parametrize(
    "name",
    ["infwasi:llm/types@0.1.0", "infwasi:llm/settings@0.1.0", "wasi:io/streams@0.2.3"],
)
def test_what_hands_out_nothing_is_no_capability(name: str) -> None:
    assert given_by(name) == {}


@given(st.lists(st.text(max_size=20), max_size=5))
def test_no_import_is_lost(imports: list[str]) -> None:
    found = capabilities(imports)
    assert sorted(set(imports)) == sorted(name for names in found.values() for name in names)


def test_the_table_in_the_documents_is_the_code() -> None:
    page = (ROOT / "docs" / "ml-bom-facts.md").read_text()
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    for name, capability in {**tables._PACKAGES, **tables._INTERFACES}.items():
        word = name.removeprefix("wasi:cli/")
        wild = "`terminal-*`" if word.startswith("terminal-") else f"{word}`"
        assert wild in rows[capability], name
