"""A pytest plugin that answers sigstore-conformance's one download, a public OIDC token.

``-p tests.conformance.beacon`` in the suite's own environment; nothing of ours but this file is
needed there. With a private Sigstore it is a token of that (see `client`), else one that nobody
signed, which is enough for verifying.
"""

import base64
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import urllib3

INSTANCE = "INFWASI_CONFORMANCE_INSTANCE"


def _token() -> bytes:
    if INSTANCE in os.environ:
        return Path(os.environ[INSTANCE], "token").read_bytes()
    claims = {
        "email": "nobody@example.test",
        "iss": "https://issuer.test",
        "exp": int(time.time()) + 3600,
    }
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    encoded = (base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return b".".join((*encoded, b"x"))


# The suite's conftest takes the function by its name, and is imported after its plugins.
urllib3.request = lambda *_, **__: SimpleNamespace(data=_token())  # type: ignore[assignment]
