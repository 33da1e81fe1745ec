"""Every key of the declared facts: its form, and which elements of G7's list it fills."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from infwasi_sign.domain.declared import (
    DeclaredDataset,
    DeclaredMetric,
    EnergyConsumption,
    EthicalConsideration,
    FairnessAssessment,
    Vulnerability,
)
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.quick_dataclass import dataclass

APPROACHES: Final = (  # CycloneDX 1.7, modelParameters.approach.type
    *("supervised", "unsupervised", "reinforcement-learning", "semi-supervised"),
    "self-supervised",
)
ACTIVITIES: Final = (  # CycloneDX 1.7, energyConsumption.activity
    *("design", "data-collection", "data-preparation", "training", "fine-tuning", "validation"),
    *("deployment", "inference", "other"),
)
ENERGY_SOURCES: Final = (  # CycloneDX 1.7, energyProvider.energySource
    *("coal", "oil", "natural-gas", "nuclear", "wind", "solar", "geothermal", "hydropower"),
    *("biofuel", "unknown", "other"),
)
OPENNESS: Final = ("open", "closed", "partly")
PURPOSES: Final = ("training", "fine-tuning", "validation")
STATES: Final = (  # CycloneDX 1.7, impactAnalysisState
    *("resolved", "resolved_with_pedigree", "exploitable", "in_triage", "false_positive"),
    "not_affected",
)
JUSTIFICATIONS: Final = (  # CycloneDX 1.7, impactAnalysisJustification
    *("code_not_present", "code_not_reachable", "requires_configuration", "requires_dependency"),
    *("requires_environment", "protected_by_compiler", "protected_at_runtime"),
    *("protected_at_perimeter", "protected_by_mitigating_control"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What a text must look like; ``expected`` says it in an error and in docs/model-card.md."""

    expected: str
    longest: int  # characters
    pattern: re.Pattern[str] | None = None
    words: tuple[str, ...] = ()
    is_one_line: bool = True
    is_date: bool = False
    is_number: bool = False  # TOML may write it without quotes

    def fits(self, text: str) -> bool:
        """Whether a text of permitted length and characters is of this form."""
        if self.words:
            return text in self.words
        if self.pattern is not None and not self.pattern.fullmatch(text):
            return False
        return not self.is_date or _is_in_the_calendar(text)


def _is_in_the_calendar(text: str) -> bool:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True


def _words(words: tuple[str, ...]) -> Form:
    return Form(
        expected=f"{', '.join(words[:-1])} or {words[-1]}",
        longest=max(map(len, words)),
        words=words,
    )


_NAME_LENGTH: Final = LIMITS.declared_name_characters
_TEXT_LENGTH: Final = LIMITS.declared_text_characters

NAME: Final = Form(
    expected=f"a line of at most {_NAME_LENGTH} characters",
    longest=_NAME_LENGTH,
    pattern=re.compile(r"\S(?:.*\S)?"),
)
TEXT: Final = Form(
    expected=f"a text of at most {_TEXT_LENGTH} characters",
    longest=_TEXT_LENGTH,
    pattern=re.compile(r".*\S.*", re.DOTALL),
    is_one_line=False,
)
# What RFC 3987 section 2.2 lets stand in an IRI, of ASCII. A user in it would be a secret, or a
# trap for the eye.
_URI: Final = r"(?:[A-Za-z0-9._~:/?#!$&'()*+,;=-]|%[0-9A-Fa-f]{2})"
_ADDRESS: Final = (
    rf"https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{{1,5}})?(?:[/?#](?:{_URI}|@)*)?"
)
URL: Final = Form(
    expected="an http or https address without a user",
    longest=LIMITS.declared_url_characters,
    pattern=re.compile(_ADDRESS),
)
CONTACT: Final = Form(
    expected="mailto:NAME@HOST, or an http or https address",
    longest=LIMITS.declared_url_characters,
    pattern=re.compile(rf"mailto:[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+|{_ADDRESS}"),
)
PURL: Final = Form(
    expected="a package URL such as pkg:huggingface/ORG/NAME@COMMIT",
    longest=LIMITS.declared_url_characters,
    pattern=re.compile(rf"pkg:[a-z][a-z0-9.+-]*/(?:{_URI}|@)+"),  # purl-spec, "components"
)
SHA256: Final = Form(
    expected="64 lower-case hexadecimal digits", longest=64, pattern=re.compile("[0-9a-f]{64}")
)
DATE: Final = Form(
    expected="a date or a time with its zone, RFC 3339",
    longest=35,
    pattern=re.compile(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
        r"(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2}))?"
    ),
    is_date=True,
    is_number=True,
)
# 15 digits are what every binary64 number keeps (IEEE 754, DBL_DIG).
QUANTITY: Final = Form(
    expected="a number that is not negative, of at most 15 significant digits",
    longest=36,
    pattern=re.compile(r"(?=[0.]*(?:\.?[0-9]){0,15}\Z)(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"),
    is_number=True,
)
VALUE: Final = Form(
    expected=NAME.expected, longest=NAME.longest, pattern=NAME.pattern, is_number=True
)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a table, or a table in `[model]`.

    ``field`` is its name in the data class; ``fills`` are the elements of G7's list that it gives a
    value (docs/ml-bom.md).
    """

    field: str
    form: Form
    fills: tuple[str, ...] = ()
    is_list: bool = False
    is_required: bool = False


_OPEN: Final = _words(OPENNESS)

TABLES: Final[Mapping[str, Mapping[str, Key]]] = {
    "bom": {"author": Key("bom_author", NAME, ("MD-01",))},
    "app": {
        "producer": Key("app_producer", NAME, ("SLP-03",)),
        "description": Key("app_description", TEXT),
        "area": Key("app_area", TEXT, ("SLP-09",)),
        "data-usage": Key("app_data_usage", TEXT, ("SLP-07",)),
        "license": Key("app_license", NAME),
    },
    "model": {
        "version": Key("model_version", NAME, ("MDL-03",)),
        "description": Key("model_description", TEXT, ("MDL-06",)),
        "producer": Key("model_producer", NAME, ("MDL-05",)),
        "authors": Key("model_authors", NAME, ("MDL-05",), is_list=True),
        "license": Key("model_license", NAME, ("MDL-12",)),
        "license-url": Key("model_license_url", URL, ("MDL-12",)),
        "url": Key("model_url", URL, ("MDL-13",)),
        "purl": Key("model_purl", PURL, ("MDL-02",)),
        "released": Key("model_released", DATE, ("MDL-04",)),
        "task": Key("model_task", NAME, ("MDL-09",)),
        "inputs": Key("model_inputs", NAME, ("SLP-08", "MDL-10"), is_list=True),
        "outputs": Key("model_outputs", NAME, ("SLP-08", "MDL-10"), is_list=True),
        "base-models": Key("model_base_models", NAME, ("MDL-06",), is_list=True),
        "languages": Key("model_languages", NAME, ("MDL-10",), is_list=True),
        "tags": Key("model_tags", NAME, is_list=True),
        "library": Key("model_library", NAME),
    },
    "model.openness": {
        "weights": Key("openness_weights", _OPEN, ("MDL-12",)),
        "architecture": Key("openness_architecture", _OPEN, ("MDL-12",)),
        "data": Key("openness_data", _OPEN, ("MDL-12",)),
        "training": Key("openness_training", _OPEN, ("MDL-12",)),
    },
    "training": {
        "approach": Key("training_approach", _words(APPROACHES), ("MDL-11",)),
        "description": Key("training_description", TEXT, ("MDL-11",)),
        "hardware": Key("training_hardware", TEXT, ("MDL-11",)),
        "co2-tonnes": Key("training_co2_tonnes", QUANTITY, ("MDL-11",)),
    },
    "use": {
        "users": Key("use_users", TEXT, is_list=True),
        "cases": Key("use_cases", TEXT, ("SLP-09",), is_list=True),
        "limitations": Key("use_limitations", TEXT, is_list=True),
        "tradeoffs": Key("use_tradeoffs", TEXT, is_list=True),
    },
    "security": {
        "controls": Key("security_controls", TEXT, ("SP-01",), is_list=True),
        "compliance": Key("security_compliance", TEXT, ("SP-02",)),
        "contact": Key("security_contact", CONTACT, ("SP-03",)),
        "advisories": Key("security_advisories", URL, ("SP-04",)),
    },
    "infrastructure": {"hardware": Key("infrastructure_hardware", TEXT, ("INF-02",))},
}
"""The tables; `model.openness` lies in `model`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """An array of tables, such as `[[dataset]]`."""

    field: str
    row: type
    keys: Mapping[str, Key]
    most: int = LIMITS.declared_rows
    unique: str | None = None  # the key of which no two rows have the same value


ARRAYS: Final[Mapping[str, Rows]] = {
    "dataset": Rows(
        "datasets",
        DeclaredDataset,
        {
            "name": Key("name", NAME, ("DP-01", "DP-09"), is_required=True),
            "description": Key("description", TEXT, ("DP-02",)),
            "url": Key("url", URL, ("DP-03",)),
            "identifier": Key("identifier", NAME, ("DP-04",)),
            "sha256": Key("sha256", SHA256, ("DP-05",)),
            "license": Key("license", NAME, ("DP-10",)),
            "provenance": Key("provenance", TEXT, ("DP-06",)),
            "statistics": Key("statistics", TEXT, ("DP-07",)),
            "classification": Key("classification", NAME, ("DP-08",)),
            "sensitive": Key("sensitive", TEXT, ("DP-08",), is_list=True),
            "derived-from": Key("derived_from", NAME, ("DP-09",), is_list=True),
            "purpose": Key("purpose", _words(PURPOSES)),
        },
        unique="name",
    ),
    "ethics": Rows(
        "ethics",
        EthicalConsideration,
        {
            "name": Key("name", TEXT, is_required=True),
            "mitigation": Key("mitigation", TEXT),
        },
    ),
    "fairness": Rows(
        "fairness",
        FairnessAssessment,
        {
            "group": Key("group", TEXT, is_required=True),
            "benefits": Key("benefits", TEXT),
            "harms": Key("harms", TEXT),
            "mitigation": Key("mitigation", TEXT),
        },
    ),
    "energy": Rows(
        "energy",
        EnergyConsumption,
        {
            "activity": Key("activity", _words(ACTIVITIES), is_required=True),
            "kwh": Key("kwh", QUANTITY, is_required=True),
            "provider": Key("provider", NAME, is_required=True),
            "source": Key("source", _words(ENERGY_SOURCES), is_required=True),
            "provided-kwh": Key("provided_kwh", QUANTITY),
            "co2-tonnes": Key("co2_tonnes", QUANTITY),
            "co2-offset-tonnes": Key("co2_offset_tonnes", QUANTITY),
        },
    ),
    "metric": Rows(
        "metrics",
        DeclaredMetric,
        {
            "type": Key("type", NAME, ("KPI-01", "KPI-02"), is_required=True),
            "value": Key("value", VALUE, is_required=True),
            "slice": Key("slice", NAME),
            "lower": Key("lower", VALUE),
            "upper": Key("upper", VALUE),
        },
        LIMITS.declared_metrics,
    ),
    "vulnerability": Rows(
        "vulnerabilities",
        Vulnerability,
        {
            "id": Key("id", NAME, ("SP-04",), is_required=True),
            "state": Key("state", _words(STATES), is_required=True),
            "source": Key("source", URL),
            "justification": Key("justification", _words(JUSTIFICATIONS)),
            "detail": Key("detail", TEXT),
            "affects": Key("affects", NAME, is_list=True),
        },
        LIMITS.declared_vulnerabilities,
    ),
}
"""The arrays of tables. `vulnerability` is no part of the file: `pack --vex` gives it."""
