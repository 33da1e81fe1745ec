"""The peer at its fastest: model_signing by its API with BLAKE3, which its command line has not.

`python benchmarks/model_signing_blake3.py sign|verify FOLDER SIGNATURE KEY`
"""

import sys
from pathlib import Path
from typing import Any

from model_signing import hashing


def main() -> None:
    action, folder, signature, key = sys.argv[1], *map(Path, sys.argv[2:])
    api: Any = hashing  # not typed
    config = api.Config().use_file_serialization(hashing_algorithm="blake3")
    if action == "sign":
        from model_signing import signing  # noqa: PLC0415 - verifying needs it not

        api = signing
        signer = api.Config().use_elliptic_key_signer(private_key=key)
        signer.set_hashing_config(config).sign(folder, signature)
    else:
        from model_signing import verifying  # noqa: PLC0415 - signing needs it not

        api = verifying
        verifier = api.Config().use_elliptic_key_verifier(public_key=key)
        verifier.set_hashing_config(config).verify(folder, signature)


if __name__ == "__main__":
    main()
