"""Which programs made a WebAssembly binary, as its `producers` section says."""

from infwasi_sign.domain.wasm_binary import WasmBudget, WasmReader
from infwasi_sign.quick_dataclass import dataclass

PRODUCERS_SECTION = "producers"


@dataclass(frozen=True, kw_only=True, slots=True)
class Producer:
    """One entry of the `producers` section: `processed-by`, `wit-component`, `0.262.0`."""

    field: str
    name: str
    version: str


def read_producers(reader: WasmReader, budget: WasmBudget) -> list[Producer]:
    """The entries in the order of the file; the reader stands behind the section's name.

    Source: github.com/WebAssembly/tool-conventions, ProducersSection.md.

    Raises:
        MalformedError: they are cut off, or bytes are left over, or there are too many names.
    """
    found = []
    for _ in range(reader.u32()):
        budget.spend(reader)
        field = reader.name()
        for _ in range(reader.u32()):
            budget.spend(reader)
            found.append(Producer(field=field, name=reader.name(), version=reader.name()))
    reader.require_end()
    return found
