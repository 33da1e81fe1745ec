"""Judges SPDX documents by spdx3-validate, offline: its schema, shapes and context are files here.

They are published at spdx.org and in no package registry, so they come from the folder
`spdx-3.0.1` of the external vectors (CONTRIBUTING.md).
"""

import email.message
import io
import json
import os
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.response import addinfourl

import pytest
from spdx3_validate import core
from spdx3_validate.spdx_versions import SPDX_VERSIONS

_TYPES: Final = {
    ".jsonld": "application/ld+json",
    ".json": "application/json",
    ".ttl": "text/turtle",
}
_ADDRESSES: Final = {
    "https://spdx.org/rdf/3.0.1/spdx-context.jsonld": "spdx-context.jsonld",
    "https://spdx.org/rdf/3.0.1/spdx-model.ttl": "spdx-model.ttl",
    "https://spdx.org/schema/3.0.1/spdx-json-schema.json": "spdx-json-schema.json",
}


def published() -> Path:
    """The folder with what spdx.org publishes."""
    vectors = os.environ.get("INFWASI_EXTERNAL_VECTORS")
    folder = None if vectors is None else Path(vectors) / "spdx-3.0.1"
    if folder is None or not folder.is_dir():
        pytest.skip("INFWASI_EXTERNAL_VECTORS names no folder with spdx-3.0.1")
    return folder


class _Offline(urllib.request.HTTPSHandler):
    """Answers for spdx.org from files; nothing else is asked for, and no socket is opened."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def https_open(self, req: urllib.request.Request) -> Any:  # as urllib calls it
        name = _ADDRESSES[req.full_url]
        headers = email.message.Message()
        headers["Content-Type"] = _TYPES[Path(name).suffix]
        data = (self._folder / name).read_bytes()
        answer = addinfourl(io.BytesIO(data), headers, req.full_url, 200)
        answer.msg = "OK"  # type: ignore[attr-defined]  # what urllib looks at
        return answer


@contextmanager
def _spdx_org(folder: Path) -> Iterator[None]:
    urllib.request.install_opener(urllib.request.build_opener(_Offline(folder)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rdflib about itself
            yield
    finally:
        urllib.request.install_opener(urllib.request.build_opener())


class Judge:
    """spdx3-validate with what spdx.org publishes, read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self._version,) = (one for one in SPDX_VERSIONS if one.pretty == "3.0.1")
        with _spdx_org(folder):
            schema, self._shapes = core.load_validation_data(self._version)
        self._validator = core.schema_validator(schema)

    def complaints(self, document: dict[str, Any]) -> list[str]:
        """What its JSON Schema has against a document; if that is nothing, its SHACL shapes."""
        return self.schema_complaints(document) or self.shape_complaints(document)

    def schema_complaints(self, document: dict[str, Any]) -> list[str]:
        """By JSON Schema alone, which takes no time."""
        errors = self._validator.iter_errors(document)
        return [f"schema: {one.json_path}: {one.message}"[:300] for one in errors]

    def shape_complaints(self, *documents: dict[str, Any]) -> list[str]:
        """By SHACL shapes: all documents together, for that takes 12 s however small they are."""
        graph = [
            json.loads(json.dumps(one).replace('"_:creation"', f'"_:creation{at}"'))
            for at, document in enumerate(documents)
            for one in document["@graph"]
        ]
        text = json.dumps({"@context": documents[0]["@context"], "@graph": graph})
        with _spdx_org(self._folder):
            read = core.Document.from_text("bom.spdx.json", text)
            return core.check_graph(read.graph, self._shapes, self._version, True)
