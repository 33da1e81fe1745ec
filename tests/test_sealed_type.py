"""Nothing but `verify` makes a `VerifiedPackage`: not for mypy, not at run time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAD = """\
import copy
import dataclasses
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import NoReturn

from infwasi_sign.ports import GuestHost, InferenceBackend, StopFlag
from infwasi_sign.run import RunRequest, plan, run
from infwasi_sign.verify import VerifiedPackage, VerifyRequest, verify


class Duck:
    settings = None
    manifest = None
    component = b""
    model_facts = None


"""

# Each attempt is one line; mypy must refuse that line with that code. The second is what Python
# itself says, where it is Python that says no and not the first use of what is missing.
ATTEMPTS = {
    "no_arguments": ("VerifiedPackage()", "call-arg", "missing 1 required"),
    "none": ("VerifiedPackage(None)", "arg-type", "only verify"),
    "object": ("VerifiedPackage(object())", "arg-type", "only verify"),
    "by_keyword": ("VerifiedPackage(proof=...)", "arg-type", "only verify"),
    "members": ("VerifiedPackage(None, manifest=None)", "call-arg", "unexpected keyword"),
    "subclass": ("type('Sub', (VerifiedPackage,), {})(None)", "misc", "only verify"),
    "replace": ("dataclasses.replace(Duck(), manifest=None)", "type-var", "dataclass instances"),
    "duck": ("plan(Duck(), RunRequest(prompt=None))", "arg-type", "not a VerifiedPackage"),
    "namespace": ("plan(SimpleNamespace(), RunRequest(prompt=None))", "arg-type", "not a Verified"),
    "settable": ("VerifiedPackage.forge = 1", "attr-defined", ""),
}
