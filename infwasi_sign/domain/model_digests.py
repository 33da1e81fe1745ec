"""Which digests of a model there are and what each is over (docs/format.md section 6)."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from infwasi_sign.domain.digest import Algorithm, Digest
from infwasi_sign.domain.gguf_header import GgufHeader
from infwasi_sign.domain.limits import LIMITS
from infwasi_sign.domain.manifest import FsVerity
from infwasi_sign.errors import MalformedError
from infwasi_sign.quick_dataclass import dataclass

DIGEST_BYTES: Final = 32  # both algorithms


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorDigests:
    """One BLAKE3 digest per tensor, over exactly its bytes, in the order of the tensor table."""

    concatenated: bytes

    def __post_init__(self) -> None:
        if len(self.concatenated) % DIGEST_BYTES:
            raise MalformedError(
                "tensor digests are not whole",
                expected=f"a multiple of {DIGEST_BYTES} bytes",
                got=str(len(self.concatenated)),
            )

    def __len__(self) -> int:
        return len(self.concatenated) // DIGEST_BYTES

    def __getitem__(self, index: int) -> Digest:
        if not 0 <= index < len(self):
            raise IndexError(index)
        start = index * DIGEST_BYTES
        value = self.concatenated[start : start + DIGEST_BYTES]
        return Digest(algorithm=Algorithm.BLAKE3, hex=value.hex())

    def __iter__(self) -> Iterator[Digest]:
        return (self[index] for index in range(len(self)))

    def to_text(self) -> str:
        """The compact form: base64 (RFC 4648 section 4) of all digests one after the other."""
        return base64.b64encode(self.concatenated).decode("ascii")

    @staticmethod
    def parse_text(text: str, *, where: str) -> "TensorDigests":
        """Read the compact form back; no other spelling of the same bytes is accepted.

        Raises:
            MalformedError: naming ``where``.
        """
        longest = LIMITS.gguf_tensors * DIGEST_BYTES * 4 // 3 + 4
        if len(text) > longest:
            raise MalformedError(
                "too many tensor digests",
                where=where,
                expected=f"at most {longest} characters",
                got=str(len(text)),
            )
        try:
            concatenated = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as e:
            raise MalformedError(
                "not base64", where=where, expected="RFC 4648 section 4", got=repr(text)[:80]
            ) from e
        if (
            len(concatenated) % DIGEST_BYTES
            or base64.b64encode(concatenated).decode("ascii") != text
        ):
            raise MalformedError(
                "not tensor digests",
                where=where,
                expected=f"base64 of a multiple of {DIGEST_BYTES} bytes",
                got=repr(text)[:80],
            )
        return TensorDigests(concatenated=concatenated)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDigests:
    """What one pass over a model gives. ``tensor_root`` is :func:`tensor_root` of ``tensors``."""

    sha256: Digest
    blake3: Digest
    fs_verity: FsVerity
    tensors: TensorDigests
    tensor_root: Digest


def header_digest(header: GgufHeader) -> Digest:
    """SHA-256 of the bytes [0, data_offset): metadata, tensor table and padding."""
    return _sha256(header.header_bytes)


def tensor_table_digest(header: GgufHeader) -> Digest:
    """SHA-256 of the tensor table as it stands in the file: names, shapes, types, offsets."""
    return _sha256(header.tensor_table_bytes)


def chat_template_digest(template: str) -> Digest:
    """SHA-256 of a chat template's UTF-8 bytes, which are its bytes in the file."""
    return _sha256(template.encode())


def tensor_root(tensors: TensorDigests, blake3: Callable[[bytes], Digest]) -> Digest:
    """BLAKE3 of the tensors' 32-byte digests, one after the other in table order.

    ``blake3`` is `measuring.blake3_digest`, or a fake: no library is known here.
    """
    return blake3(tensors.concatenated)


def _sha256(data: bytes) -> Digest:
    return Digest(algorithm=Algorithm.SHA256, hex=hashlib.sha256(data).hexdigest())
