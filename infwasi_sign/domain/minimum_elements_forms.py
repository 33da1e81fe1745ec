"""What a text in a bill of materials must look like to be the value that its place is for."""

import re
from datetime import datetime
from typing import Final

_RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d))?$"
)

# What the value at a place must look like to be one, by the last name of the path.
_FORMS: Final = {
    "serialNumber": r"urn:uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "purl": r"pkg:[A-Za-z][A-Za-z0-9.+-]*/\S+",  # github.com/package-url/purl-spec
    "cpe": r"cpe:(2\.3:|/)\S+",  # NIST IR 7695 sections 6.1 and 6.2
    "swhid": r"swh:1:(cnt|dir|rel|rev|snp):[0-9a-f]{40}(;\S*)?",
    "omniborId": r"gitoid:(blob|tree|commit|tag):sha(1|256):[0-9a-f]{40,64}",
    "phase": r"design|pre-build|build|post-build|operations|discovery|decommission",
    "flow": r"inbound|outbound|bi-directional",
    "url": r"\S+",
    "bomFormat": r"CycloneDX",
    "specVersion": r"1\.\d{1,2}",
}
_FORM: Final = {name: re.compile(form) for name, form in _FORMS.items()}


def has_form(text: str, form: str) -> bool:
    """Whether it can be a value; ``form`` is the last name of the path to it."""
    if form == "timestamp":
        return is_time(text)
    pattern = _FORM.get(form)
    return pattern is None or pattern.fullmatch(text) is not None


def is_time(text: str) -> bool:
    """Whether it is a date, or a time as RFC 3339 writes it, that exists."""
    if _RFC_3339.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return False
    return True
