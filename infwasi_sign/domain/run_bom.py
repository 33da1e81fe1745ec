"""The BOM of a run: which host, which libraries, how fast. Never signed, never in a package.

Facts of a host differ from machine to machine, so the signed BOM has none of them. This one points
at it by BOM-Link and digest (CycloneDX, "BOM-Link": ``urn:cdx:<serial number>/<version>``).
"""

from typing import Final

from infwasi_sign.domain.model_card import ModelCard, PerformanceMetric, QuantitativeAnalysis
from infwasi_sign.domain.model_card_json import card_to_json
from infwasi_sign.domain.origin import ORIGIN_PREFIX, Origin
from infwasi_sign.domain.strict_json import JsonValue
from infwasi_sign.quick_dataclass import dataclass

RUN_PROFILE: Final = "run-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class HostLibrary:
    """A native library that a run loads, by its file's name."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HostFacts:
    """What runs a package on this machine; ``processor`` and memory where the system tells them.

    ``packages`` are names and versions of the Python distributions that take part.
    """

    system: str
    machine: str
    processor: str | None
    cores: int
    memory_bytes: int | None
    python: str
    packages: tuple[tuple[str, str], ...]
    libraries: tuple[HostLibrary, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """Medians of ``runs`` whole processes that verified the package and answered ``prompt``.

    Times are in seconds. ``first_token_seconds`` counts from the start of the process,
    ``load_seconds`` is what llama.cpp took for the model. ``peak_memory_bytes`` is resident memory,
    the mapped model included.
    """

    runs: int
    prompt_sha256: str
    input_tokens: int
    output_tokens: int
    first_token_seconds: float
    load_seconds: float
    tokens_per_second: float | None
    peak_memory_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSubject:
    """The package that ran, or would: where its signed BOM is found."""

    name: str
    version: str
    bom_serial_number: str
    bom_sha256: str
    statement_sha256: str


def run_bom(
    subject: RunSubject, host: HostFacts, run: RunFacts | None, *, timestamp: str
) -> dict[str, JsonValue]:
    """A CycloneDX 1.7 document, without a serial number; ``run`` if something was measured."""
    components: list[JsonValue] = [_processor(host), *_packages(host), *_libraries(host)]
    if run is not None:
        components.append(_measured(subject, run))
    refs: list[JsonValue] = [_ref(component) for component in components]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "lifecycles": [{"phase": "operations"}],
            "component": {
                "bom-ref": "app",
                "type": "application",
                "name": subject.name,
                "version": subject.version,
                "externalReferences": [
                    {
                        "type": "bom",
                        "url": _bom_link(subject.bom_serial_number),
                        "hashes": [{"alg": "SHA-256", "content": subject.bom_sha256}],
                    }
                ],
                "properties": _properties({"infwasi:statement:sha256": subject.statement_sha256}),
            },
            "properties": _properties({"infwasi:bom:profile": RUN_PROFILE}),
        },
        "components": components,
        "dependencies": [
            {"ref": "app", "dependsOn": refs},
            *({"ref": ref} for ref in refs),
        ],
    }


def _bom_link(serial_number: str) -> str:
    return f"urn:cdx:{serial_number.removeprefix('urn:uuid:')}/1"


def _processor(host: HostFacts) -> JsonValue:
    told = {
        "infwasi:host:system": host.system,
        "infwasi:host:machine": host.machine,
        "infwasi:host:cores": str(host.cores),
    }
    if host.memory_bytes is not None:
        told["infwasi:host:memory-bytes"] = str(host.memory_bytes)
    return {
        "bom-ref": "host:processor",
        "type": "device",
        "name": host.processor or f"unknown {host.machine} processor",
        "properties": _properties(told),
    }


def _packages(host: HostFacts) -> list[JsonValue]:
    python: JsonValue = {
        "bom-ref": "host:python",
        "type": "platform",
        "name": "Python",
        "version": host.python,
    }
    libraries: list[JsonValue] = [
        {
            "bom-ref": f"pypi:{name}",
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version.replace('+', '%2B')}",
        }
        for name, version in host.packages
    ]
    return [python, *libraries]


def _libraries(host: HostFacts) -> list[JsonValue]:
    return [
        {
            "bom-ref": f"host:{library.name}",
            "type": "library",
            "name": library.name,
            "hashes": [{"alg": "SHA-256", "content": library.sha256}],
            "properties": _properties({f"{ORIGIN_PREFIX}*": str(Origin.MEASURED)}),
        }
        for library in host.libraries
    ]


def _measured(subject: RunSubject, run: RunFacts) -> JsonValue:
    """The model as it ran; which one it was, the signed BOM tells."""
    metrics = {
        "seconds to the first token, whole process": f"{run.first_token_seconds:.3f}",
        "seconds to load the model": f"{run.load_seconds:.3f}",
        "peak resident memory in bytes": str(run.peak_memory_bytes),
    }
    if run.tokens_per_second is not None:
        metrics["tokens per second"] = f"{run.tokens_per_second:.1f}"
    conditions = f"{run.input_tokens} tokens of prompt, {run.output_tokens} of answer"
    card = ModelCard(
        quantitative_analysis=QuantitativeAnalysis(
            performance_metrics=tuple(
                PerformanceMetric(type=name, value=value, slice=conditions)
                for name, value in sorted(metrics.items())
            )
        )
    )
    return {
        "bom-ref": "run",
        "type": "machine-learning-model",
        "name": f"{subject.name}, measured",
        "modelCard": card_to_json(card),
        "properties": _properties(
            {
                f"{ORIGIN_PREFIX}*": str(Origin.MEASURED),
                "infwasi:run:prompt:sha256": run.prompt_sha256,
                "infwasi:run:runs": str(run.runs),
            }
        ),
    }


def _ref(component: JsonValue) -> str:
    assert isinstance(component, dict)  # noqa: S101 - made above
    return str(component["bom-ref"])


def _properties(values: dict[str, str]) -> list[JsonValue]:
    return [{"name": name, "value": value} for name, value in sorted(values.items())]
