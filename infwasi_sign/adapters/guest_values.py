"""What a guest hands over becomes Python objects: bounded, and without a leak.

Part of the one door to wasmtime. wasmtime-py 50 makes an object of each element of a list before
any code of ours is called, which neither an epoch nor a deadline interrupts (a million buffers took
5 to 8 s and 380 MiB), and does not free the box around the payload of a `result` and an `option`
(`wasmtime_component_val_delete` where its C header asks for `_val_free`). Both are put right here,
for the calls of our own requests only: whoever else uses wasmtime in this process gets its own.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from wasmtime import WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import ListType
from wasmtime.component._types import VariantLikeType

from infwasi_sign.adapters.nn_generation import Ledger, limit_error
from infwasi_sign.domain.limits import LIMITS

_ITEM_BYTES: Final = ctypes.sizeof(ffi.wasmtime_component_val_t)
_U8_OFFSET: Final = ffi.wasmtime_component_val_t.of.offset  # a union: its u8 is its first byte

_ours = threading.local()


@contextmanager
def our_values(ledger: Ledger) -> Iterator[None]:
    """Within this, in this thread, values of guests are converted as it is said above."""
    before = getattr(_ours, "ledger", None)
    _ours.ledger = ledger
    try:
        yield
    finally:
        _ours.ledger = before


def _converted(self: ListType, value: Any) -> Any:
    ledger: Ledger | None = getattr(_ours, "ledger", None)
    if ledger is None:
        return _LIST(self, value)
    size = value.of.list.size
    is_bytes = self._is_bytes()
    most, name, unit = (
        (LIMITS.tensor_bytes, "tensor-bytes", "bytes")
        if is_bytes
        else (LIMITS.list_elements, "list-elements", "elements")
    )
    if size > most or not is_bytes:
        return _LIST(self, value) if size <= most else _refuse(ledger, value, name, most, unit)
    try:
        return ctypes.string_at(value.of.list.data, size * _ITEM_BYTES)[_U8_OFFSET::_ITEM_BYTES]
    finally:
        ffi.wasmtime_component_vallist_delete(ctypes.byref(value.of.list))


def _refuse(ledger: Ledger, value: Any, name: str, most: int, unit: str) -> None:
    size = value.of.list.size
    ffi.wasmtime_component_vallist_delete(ctypes.byref(value.of.list))
    ledger.cause = limit_error(
        "guest gives too long a list", name, f"at most {most} {unit}", f"{size} {unit}"
    )
    raise WasmtimeError("list is too long")  # the guest is trapped, and the cause is said


def _lifted(self: VariantLikeType, tag: str, box: Any) -> Any:
    """As wasmtime-py; then the box is freed.

    No function that we offer takes an `option`, `result` or `variant`: these are answers of
    exports, which belong to the caller. A test holds that.
    """
    payload = _LIFT(self, tag, box)
    if getattr(_ours, "ledger", None) is not None and box:
        ffi.wasmtime_component_val_free(box)
    return payload


_LIST: Final = ListType.convert_from_c
_LIFT: Final = VariantLikeType._lift
# No subclass will do: wasmtime-py makes these types itself.
ListType.convert_from_c = _converted  # type: ignore[method-assign, assignment]  # see above
VariantLikeType._lift = _lifted  # type: ignore[method-assign, assignment]  # see above
