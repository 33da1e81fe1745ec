"""BOMs that a page is made of: a hostile one, one of another tool, and large ones."""

import json
from pathlib import Path
from typing import Any

from infwasi_sign.adapters.html_page import render_page
from infwasi_sign.domain.bom_page import bom_page

# Everything that a page could be attacked by; each runs a script, loads something, or lies.
SCRIPT = "<script>window.canary=1</script>"
ATTACKS = (
    SCRIPT,
    '"><img id="injected" src="http://127.0.0.1:9/x.png" onerror="window.canary=2">',
    "</title></style></textarea><svg onload=window.canary=3><script>window.canary=4</script>",
    "' onmouseover='window.canary=5' style='position:fixed;inset:0;background:red' x='",
    "</style><style>*{display:none!important}body{background:url(http://127.0.0.1:9/y)}</style>",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}{# x #}",
    "<iframe srcdoc='<script>parent.canary=6</script>'></iframe><base href='http://127.0.0.1:9/'>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/z'><link rel=stylesheet href=//a>",
    "\u202egnp.exe\u202c \u2066isolated\u2069 zero\u200bwidth \x00\x1b[31mred\x07 \ufeffmark",
    "ab\u0301\u0327" * 40 + "W" * 400,
)
ADDRESSES = (
    "javascript:window.canary=7",
    "JaVaScRiPt:window.canary=8//https://x",
    "data:text/html,<script>window.canary=9</script>",
    "https://good.example@evil.example/",
    "https://ex\u0430mple.org/",
    "http://127.0.0.1:9/a b",
    "//evil.example/x",
    "https://example.org/fine?a=1&b=2",
    "file:///etc/passwd",
    "https://" + "a" * 3000 + ".example/",
)


def attack(at: int) -> str:
    return ATTACKS[at % len(ATTACKS)]


def hostile_bom(components: int = 10_000) -> dict[str, Any]:
    """A BOM that attacks wherever it holds a text of others."""
    references = [{"type": attack(at), "url": url} for at, url in enumerate(ADDRESSES)]
    properties = [
        {"name": attack(at), "value": attack(at + 1) + "x" * 20_000 * (at == 3)} for at in range(12)
    ]
    properties += [
        {"name": f"infwasi:{name}", "value": attack(at)}
        for at, name in enumerate(
            (
                *("gguf:file-type", "gguf:bits-per-weight", "gguf:chat-template:findings"),
                *("gguf:parameters", "size", "capability:network", "settings:x", "origin:name"),
                *("component:imports", "wasm:kind", "security:contact", "origin:gguf:y"),
            )
        )
    ]
    properties.append({"name": "infwasi:gguf:quantization", "value": f"Q4_1:3 {SCRIPT}:4 F32:0"})
    model = {
        "type": "machine-learning-model",
        "bom-ref": attack(1),
        "name": attack(8),
        "version": attack(2),
        "purl": attack(3),
        "description": attack(0) * 600,
        "manufacturer": {"name": attack(5)},
        "authors": [{"name": attack(4)}, {"email": attack(6)}],
        "licenses": [{"license": {"name": attack(2)}}, {"expression": attack(0)}],
        "hashes": [{"alg": attack(1), "content": attack(0)}],
        "externalReferences": references,
        "properties": properties,
        "pedigree": {"ancestors": [{"name": attack(0), "purl": attack(1)}]},
        "modelCard": {
            "modelParameters": {
                "task": attack(2),
                "architectureFamily": attack(4),
                "datasets": [{"name": attack(1), "contents": {"url": ADDRESSES[0]}}],
                "inputs": [{"format": attack(1)}],
            },
            "considerations": {
                "users": [*ATTACKS],
                "ethicalConsiderations": [{"name": attack(0), "mitigationStrategy": attack(1)}],
            },
        },
    }
    listed: list[dict[str, Any]] = [model]
    listed += (
        {"type": "library", "name": f"{at} {attack(at)}", "version": attack(at + 1)}
        for at in range(components)
    )
    nested: dict[str, Any] = {"type": "library", "name": "innermost"}
    for depth in range(12):
        nested = {"type": "library", "name": f"depth {depth} " + "n" * 60, "components": [nested]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": attack(1),
        "serialNumber": attack(2),
        "version": 1,
        "metadata": {
            "timestamp": attack(0),
            "tools": [{"vendor": attack(0), "name": attack(1), "version": attack(2)}, "tool"],
            "component": {
                "type": "application",
                "name": attack(8) + attack(1) + SCRIPT,
                "version": attack(2),
                "properties": properties,
            },
        },
        "components": [nested, *listed, "not a component", 7],
        "services": [{"name": attack(0), "endpoints": list(ADDRESSES), "data": [{"flow": SCRIPT}]}],
        "externalReferences": references,
        "vulnerabilities": [
            {
                "id": attack(at),
                "description": attack(at + 1),
                "analysis": {"state": "exploitable" if at % 2 else SCRIPT, "detail": attack(2)},
                "source": {"name": attack(3), "url": ADDRESSES[at]},
                "affects": [{"ref": attack(4)}],
                "ratings": [{"severity": attack(5)}],
            }
            for at in range(len(ATTACKS))
        ],
        "declarations": {"anything": SCRIPT},
    }


FOREIGN: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "metadata": {
        "timestamp": "2025-03-01T00:00:00Z",
        "tools": [{"vendor": "somebody", "name": "scanner", "version": "2.1"}],
        "component": {"type": "application", "name": "shop", "version": "4.2.0"},
    },
    "components": [
        {
            "type": "library",
            "bom-ref": "pkg:pypi/click@8.2",
            "name": "click",
            "version": "8.2",
            "purl": "pkg:pypi/click@8.2",
            "licenses": [{"license": {"id": "BSD-3-Clause"}}],
        },
        {"type": "library", "name": "unlicensed", "version": "1"},
    ],
    "vulnerabilities": [{"id": "CVE-2025-0001", "analysis": {"state": "not_affected"}}],
}
"""What a scanner of another project writes."""


def page_of(document: Any, *, is_package: bool = False) -> str:
    """The page as text, rendered in this process."""
    return render_page(
        "bom.html",
        page=bom_page(document),
        is_package=is_package,
        source="bom.cdx.json",
        size_bytes=1,
        sha256="00" * 32,
        made_by="0",
    ).decode()


def write_bom(folder: Path, document: Any) -> Path:
    file = folder / "some.cdx.json"
    file.write_text(json.dumps(document))
    return file
