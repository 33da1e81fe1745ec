"""What a lying signer may write into a BOM: each lie, and the member that verification names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.forge import bom_component

Json = dict[str, Any]


@dataclass(frozen=True)
class Lie:
    """A change of a BOM, and where it shows."""

    name: str
    why: str
    where: str
    tell: Callable[[Json], object]


LIES: Final[list[Lie]] = []
APP, MODEL = "file:app.wasm", "model:model:0"
OF_APP: Final = f"bom.components[{APP}]"
OF_MODEL: Final = f"bom.components[{MODEL}]"


def lie(why: str, where: str) -> Callable[[Callable[[Json], object]], Callable[[Json], object]]:
    """Register a function as a lie; its name is the lie's name."""

    def register(tell: Callable[[Json], object]) -> Callable[[Json], object]:
        name = getattr(tell, "__name__", "").replace("_", "-")
        LIES.append(Lie(name=f"bom-{name}", why=why, where=where, tell=tell))
        return tell

    return register


def put(item: Json, name: str, value: str) -> None:
    """A property, new or changed; the list stays sorted."""
    said = {one["name"]: one["value"] for one in item["properties"]} | {name: value}
    item["properties"] = [{"name": name, "value": said[name]} for name in sorted(said)]


def drop(item: Json, name: str) -> None:
    """Leave out a property."""
    item["properties"] = [one for one in item["properties"] if one["name"] != name]


@lie("another licence", f"{OF_MODEL}.licenses")
def licence(bom: Json) -> None:
    bom_component(bom, MODEL)["licenses"] = [{"license": {"id": "MIT"}}]


@lie("another architecture", f"{OF_MODEL}.properties[infwasi:gguf:architecture]")
def architecture(bom: Json) -> None:
    put(bom_component(bom, MODEL), "infwasi:gguf:architecture", "gemma3")


@lie("another architecture in the card", f"{OF_MODEL}.modelCard.modelParameters.architectureFamily")
def card_architecture(bom: Json) -> None:
    card = bom_component(bom, MODEL)["modelCard"]
    card["modelParameters"]["architectureFamily"] = "gemma3"


@lie(
    "the digest of another chat template",
    f"{OF_MODEL}.properties[infwasi:gguf:chat-template:sha256]",
)
def template(bom: Json) -> None:
    put(bom_component(bom, MODEL), "infwasi:gguf:chat-template:sha256", "ab" * 32)


@lie(
    "findings in a template, or none",
    f"{OF_MODEL}.properties[infwasi:gguf:chat-template:findings]",
)
def template_findings(bom: Json) -> None:
    put(bom_component(bom, MODEL), "infwasi:gguf:chat-template:findings", "harmless")


@lie("leaves out a part", f"{OF_APP}.components[part:inference]")
def part_dropped(bom: Json) -> None:
    parts = bom_component(bom, APP)["components"]
    parts.remove(next(part for part in parts if part["bom-ref"] == "part:inference"))


@lie(
    "leaves out a core module deep in a part",
    f"{OF_APP}.components[part:engine].components[part:engine/0]",
)
def module_dropped(bom: Json) -> None:
    parts = bom_component(bom, APP)["components"]
    engine = next(part for part in parts if part["bom-ref"] == "part:engine")
    del engine["components"][0]


@lie("the hash of another component", f"{OF_APP}.hashes")
def hash(bom: Json) -> None:  # noqa: A001 - the case is called so
    for item in bom_component(bom, APP)["hashes"]:
        item["content"] = "ab" * 32


@lie("the hash of another model", f"{OF_MODEL}.hashes")
def model_hash(bom: Json) -> None:
    for item in bom_component(bom, MODEL)["hashes"]:
        item["content"] = "ab" * 32


@lie("the hash of another model, the right one beside it", f"{OF_MODEL}.hashes")
def hash_added(bom: Json) -> None:
    hashes = bom_component(bom, MODEL)["hashes"]
    hashes.append({"alg": "SHA-512", "content": "ab" * 64})


@lie("claims what nobody said", f"{OF_MODEL}.modelCard.considerations.users")
def unknown_claimed(bom: Json) -> None:
    model = bom_component(bom, MODEL)
    model["modelCard"]["considerations"] = {"users": ["everybody"]}
    put(model, "infwasi:origin:modelCard.considerations.users", "user-declared")


@lie("claims a data set that nobody named", "bom.components[dataset:0]")
def dataset_claimed(bom: Json) -> None:
    bom["components"].append({"bom-ref": "dataset:0", "type": "data", "name": "clean"})


@lie("does not say that something is unknown", f"{OF_MODEL}.properties[infwasi:origin:purl]")
def unknown_hidden(bom: Json) -> None:
    drop(bom_component(bom, MODEL), "infwasi:origin:purl")


@lie("denies a capability", f"{OF_APP}.properties[infwasi:capability:inference]")
def capability(bom: Json) -> None:
    put(bom_component(bom, APP), "infwasi:capability:inference", "none")


@lie("another temperature", f"{OF_APP}.properties[infwasi:settings:temperature]")
def temperature(bom: Json) -> None:
    put(bom_component(bom, APP), "infwasi:settings:temperature", "0.7")


@lie(
    "the digest of another system prompt",
    f"{OF_APP}.properties[infwasi:settings:system-prompt:sha256]",
)
def prompt(bom: Json) -> None:
    put(bom_component(bom, APP), "infwasi:settings:system-prompt:sha256", "ab" * 32)


@lie("another census of tensor types", f"{OF_MODEL}.properties[infwasi:gguf:quantization]")
def quantization(bom: Json) -> None:
    put(bom_component(bom, MODEL), "infwasi:gguf:quantization", "F32:1 Q8_0:2")


@lie("a base model that the file does not name", f"{OF_MODEL}.pedigree.ancestors")
def base_model(bom: Json) -> None:
    ancestor = {"bom-ref": "base:model:0:0", "type": "machine-learning-model", "name": "Other"}
    bom_component(bom, MODEL)["pedigree"] = {"ancestors": [ancestor]}


@lie("a component that is not there", "bom.components[model:other:0]")
def component_added(bom: Json) -> None:
    model = json.loads(json.dumps(bom_component(bom, MODEL)))
    bom["components"].append(model | {"bom-ref": "model:other:0"})


@lie("a property that the profile does not know", f"{OF_MODEL}.properties[infwasi:gguf:mood]")
def property_added(bom: Json) -> None:
    put(bom_component(bom, MODEL), "infwasi:gguf:mood", "good")


@lie("a member that the profile does not know", f"{OF_MODEL}.publisher")
def member_added(bom: Json) -> None:
    bom_component(bom, MODEL)["publisher"] = "Trusted Models Ltd"


@lie("calls measured what a file says of itself", f"{OF_MODEL}.properties[infwasi:origin:licenses]")
def origin_changed(bom: Json) -> None:
    put(bom_component(bom, MODEL), "infwasi:origin:licenses", "measured")


@lie("names another package", "bom.metadata.component.name")
def name(bom: Json) -> None:
    bom["metadata"]["component"]["name"] = "weather"


@lie("another time", "bom.metadata.timestamp")
def timestamp(bom: Json) -> None:
    bom["metadata"]["timestamp"] = "2026-11-23T12:04:00Z"


@lie(
    "another maker, without saying that it is declared", "bom.metadata.component.manufacturer.name"
)
def maker(bom: Json) -> None:
    bom["metadata"]["component"]["manufacturer"] = {"name": "Trusted Apps Ltd"}


@lie("declares a task, and says nothing of it", f"{OF_MODEL}.modelCard.modelParameters.task")
def declared_hidden(bom: Json) -> None:
    put(bom["metadata"], "infwasi:declared", '{"model":{"task":"text-generation"}}')


@lie("an advisory that nobody declared", "bom.vulnerabilities")
def vulnerability(bom: Json) -> None:
    bom["vulnerabilities"] = [
        {"id": "CVE-2026-1", "analysis": {"state": "not_affected"}, "affects": [{"ref": "app"}]}
    ]


@lie("leaves out what the app needs", "bom.dependencies[app].dependsOn")
def dependency(bom: Json) -> None:
    (app,) = (edge for edge in bom["dependencies"] if edge["ref"] == "app")
    app["dependsOn"] = [APP]


@lie("says that nothing flows out", "bom.services[service:inference].data[answer]")
def data_flow(bom: Json) -> None:
    del bom["services"][0]["data"][1]


@lie("another profile", "bom.metadata.properties[infwasi:bom:profile]")
def profile(bom: Json) -> None:
    put(bom["metadata"], "infwasi:bom:profile", "2")
