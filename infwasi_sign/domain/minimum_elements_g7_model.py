"""The other 23 elements of the G7's "SBOM for AI": those of each model and each dataset.

`minimum_elements_g7` has the source. Dataset elements that a BOM without datasets says to be
unknown are found by our tags of the model.
"""

from typing import Final

from infwasi_sign.domain.minimum_elements import Each, Element

_MAKES: Final = "`infwasi pack` and `infwasi bom` write it"


def _model(
    number: int, title: str, places: tuple[str, ...], *, key: str = _MAKES, member: str
) -> Element:
    return Element(
        id=f"MDL-{number:02}",
        group="Models",
        title=title,
        each=Each.MODEL,
        places=places,
        key=key,
        member=member if member.startswith("metadata") else f"components[].{member}",
    )


def _dataset(
    number: int, title: str, places: tuple[str, ...], *, tag: str, key: str, member: str
) -> Element:
    return Element(
        id=f"DP-{number:02}",
        group="Datasets",
        title=title,
        each=Each.DATASET,
        places=(*places, f"?dataset.{tag}", f"model ?dataset.{tag}"),
        key=f"model-card.toml: [[dataset]] {key}",
        member=member,
    )


def _card(key: str, value: str = '"..."', table: str = "[model]") -> str:
    return f"model-card.toml: {table} {key} = {value}"


MODELS: Final = (
    _model(1, "Model name", ("name",), member="name"),
    _model(
        2,
        "Model identifier",
        (
            *("purl", "cpe", "swid.tagId", "swhid[]", "omniborId[]"),
            *("#~doi|uuid|gguf-uuid|general-uuid", "?purl"),
        ),
        key=_card("purl", '"pkg:huggingface/..."'),
        member="purl, swhid, omniborId or cpe",
    ),
    _model(3, "Model version", ("version", "?version"), key=_card("version"), member="version"),
    _model(
        4,
        "Model timestamp",
        (
            "releaseNotes.timestamp",
            "#~released|release-date",
            "?releaseNotes.timestamp",
            "?releaseNotes",
            "?model:released",
        ),
        key=_card("released", '"2024-11-02T00:00:00Z"'),
        member="releaseNotes.timestamp",
    ),
    _model(
        5,
        "Model producer",
        (
            *("manufacturer.name", "supplier.name", "authors[].name", "author", "publisher"),
            *("?manufacturer", "?publisher", "?authors"),
        ),
        key=_card("producer"),
        member="manufacturer.name",
    ),
    _model(
        6,
        "Model description",
        ("description", "?description"),
        key=_card("description"),
        member="description (and pedigree.ancestors for what it is made from)",
    ),
    _model(
        7,
        "Model hash value",
        ("@hash", "?hashes"),
        member="hashes[] of SHA-256 or another algorithm that NIST approved",
    ),
    _model(8, "Model hash algorithm", ("@hash-algorithm", "?hashes"), member="hashes[].alg"),
    _model(
        9,
        "Model properties",
        (
            "modelCard.modelParameters.architectureFamily",
            "modelCard.modelParameters.modelArchitecture",
            "#cdx:ai-ml:model:parameter:count",
            "#cdx:ai-ml:model:hyperparameter:*",
            "#~architecture|parameters|parameter-count|quantization|serialization-format",
            "?modelCard.modelParameters.architectureFamily",
        ),
        member="modelCard.modelParameters.architectureFamily",
    ),
    _model(
        10,
        "Model input/output properties",
        (
            "modelCard.modelParameters.inputs[].format",
            "modelCard.modelParameters.outputs[].format",
            "#cdx:ai-ml:model:modality",
            "#cdx:ai-ml:model:tokenizer",
            "#~modality|modalities|context-length|tokenizer",
            "?modelCard.modelParameters.inputs",
        ),
        key=_card("inputs", '["text"]'),
        member="modelCard.modelParameters.inputs[].format",
    ),
    _model(
        11,
        "Model training properties",
        (
            "modelCard.modelParameters.approach.type",
            "#cdx:ai-ml:model:parameter:tune_method",
            "#infwasi:model:training:*",
            "#~training|training-description|tune-method",
            "?modelCard.modelParameters.approach.type",
            "?modelCard.modelParameters.approach",
            "?model:training:description",
        ),
        key=_card("approach", '"self-supervised"', "[training]"),
        member="modelCard.modelParameters.approach.type",
    ),
    _model(
        12,
        "Model license",
        (
            "licenses[].expression",
            "licenses[].license.id",
            "licenses[].license.name",
            "?licenses",
        ),
        key=_card("license", '"Apache-2.0"'),
        member="licenses[].license.id",
    ),
    _model(
        13,
        "Model external references",
        ("externalReferences[].url", "?externalReferences"),
        key=_card("url", '"https://..."'),
        member="externalReferences[].url",
    ),
)

DATASETS: Final = (
    _dataset(
        1,
        "Dataset name",
        ("data[].name", "name"),
        tag="name",
        key='name = "..."',
        member="components[] of type data: name",
    ),
    _dataset(
        2,
        "Dataset description",
        ("data[].description", "description", "?description"),
        tag="description",
        key='description = "..."',
        member="components[].data[].description",
    ),
    _dataset(
        3,
        "Dataset content",
        (
            "data[].contents.url",
            "data[].contents.attachment.content",
            "data[].contents.properties[].value",
            "?contents",
        ),
        tag="contents",
        key='url = "https://..."',
        member="components[].data[].contents",
    ),
    _dataset(
        4,
        "Dataset identifier",
        (
            *("purl", "swhid[]", "omniborId[]"),
            "#~identifier|doi",
            "externalReferences[type=distribution|website|vcs|documentation|source-distribution].url",
            "data[].contents.url",
            "?dataset:identifier",
            "?purl",
        ),
        tag="identifier",
        key='identifier = "doi:..."',
        member="components[].purl, or externalReferences[] of type distribution",
    ),
    _dataset(
        5,
        "Dataset hash",
        ("@hash", "?hashes"),
        tag="hashes",
        key='sha256 = "..."',
        member="components[].hashes[]",
    ),
    _dataset(
        6,
        "Dataset provenance",
        (
            "data[].governance.owners[].organization.name",
            "data[].governance.owners[].contact.name",
            "data[].governance.stewards[].organization.name",
            "data[].governance.custodians[].organization.name",
            "pedigree.ancestors[].name",
            "#~provenance",
            "?dataset:provenance",
        ),
        tag="provenance",
        key='provenance = "..."',
        member="components[].data[].governance",
    ),
    _dataset(
        7,
        "Dataset statistical properties",
        (
            "#~statistics|statistical-properties",
            "data[].graphics.collection[].name",
            "?dataset:statistics",
        ),
        tag="statistics",
        key='statistics = "..."',
        member="components[].properties[] (CycloneDX has no member for it)",
    ),
    _dataset(
        8,
        "Dataset sensitivity",
        (
            *("data[].classification", "data[].sensitiveData[]", "#~sensitivity"),
            *("?classification", "?sensitive"),
        ),
        tag="sensitiveData",
        key='classification = "public"',
        member="components[].data[].classification",
    ),
    _dataset(
        9,
        "Dataset dependency relationship",
        ("@dataset-dependency", "model ?modelCard.modelParameters.datasets"),
        tag="derived-from",
        key='name = "..." (and derived-from = ["..."])',
        member="modelCard.modelParameters.datasets[].ref",
    ),
    _dataset(
        10,
        "Dataset license",
        (
            "licenses[].expression",
            "licenses[].license.id",
            "licenses[].license.name",
            "?licenses",
        ),
        tag="licenses",
        key='license = "..."',
        member="components[].licenses[] of the component of type data",
    ),
)
