"""What this machine would run a package with, for the BOM of a run."""

import os
import platform
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from infwasi_sign.adapters.native_host import libraries
from infwasi_sign.domain.run_bom import HostFacts, HostLibrary

_CPUINFO: Final = Path("/proc/cpuinfo")  # proc_cpuinfo(5); "model name" on x86 alone
_LONGEST_NAME: Final = 200


def host_facts() -> HostFacts:
    """Libraries, packages and processor, as the next run will find them.

    Raises:
        UndecidedError: a library is not installed, or cannot be read.
    """
    return HostFacts(
        system=f"{platform.system()} {platform.release()}",
        machine=platform.machine(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
        packages=_packages(),
        libraries=tuple(
            HostLibrary(name=name, sha256=digest.removeprefix("sha256:"))
            for name, digest in libraries()
        ),
    )


def _processor() -> str | None:
    try:
        with _CPUINFO.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return " ".join(value.split())[:_LONGEST_NAME]
    except OSError:
        pass  # nobody is told less than the truth by a name that is not there
    return None


def _packages() -> tuple[tuple[str, str], ...]:
    """The project and what it names itself; all of them are in sbom/infwasi.cdx.json."""
    try:
        needed = [text for text in requires("infwasi") or () if "extra ==" not in text]
        names = ["infwasi", *(_name(text) for text in needed)]
        return tuple(sorted((name, version(name)) for name in names))
    except PackageNotFoundError:
        return ()  # run from a checkout that is not installed


def _name(requirement: str) -> str:
    """`blake3` of `blake3<2,>=1.0.8` (PEP 508)."""
    end = next((at for at, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), None)
    return requirement[:end]
