"""Licences as SPDX knows them: words of GGUF files and of Hugging Face to ids, and expressions.

A word becomes an id only where it can mean no other licence; ids ignore case (SPDX 3.0.1 annex B),
and GGUF files have them in lower case.
"""

import re
from typing import Final

# Ids of the SPDX License List 3.27 (spdx.org/licenses) that models, data sets and their code have.
# A test holds them to the list that CycloneDX 1.7 brings along.
_IDS: Final = """
0BSD AFL-3.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 APSL-2.0 Artistic-1.0
Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear BSD-4-Clause BSL-1.0 BUSL-1.1 C-UDA-1.0
CAL-1.0 CC-BY-1.0 CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-NC-1.0 CC-BY-NC-2.0 CC-BY-NC-2.5
CC-BY-NC-3.0 CC-BY-NC-4.0 CC-BY-NC-ND-1.0 CC-BY-NC-ND-2.0 CC-BY-NC-ND-2.5 CC-BY-NC-ND-3.0
CC-BY-NC-ND-4.0 CC-BY-NC-SA-1.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-2.5 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0
CC-BY-ND-1.0 CC-BY-ND-2.0 CC-BY-ND-2.5 CC-BY-ND-3.0 CC-BY-ND-4.0 CC-BY-SA-1.0 CC-BY-SA-2.0
CC-BY-SA-2.5 CC-BY-SA-3.0 CC-BY-SA-4.0 CC-PDDC CC0-1.0 CDDL-1.0 CDDL-1.1 CDLA-Permissive-1.0
CDLA-Permissive-2.0 CDLA-Sharing-1.0 CECILL-2.1 CECILL-B CECILL-C ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1
EUPL-1.2 GFDL-1.1 GFDL-1.2 GFDL-1.3 GFDL-1.3-only GFDL-1.3-or-later GPL-2.0 GPL-2.0-only
GPL-2.0-or-later GPL-3.0 GPL-3.0-only GPL-3.0-or-later HPND ISC LGPL-2.0 LGPL-2.0-only
LGPL-2.0-or-later LGPL-2.1 LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0 LGPL-3.0-only LGPL-3.0-or-later
LGPLLR LiLiQ-P-1.1 LiLiQ-R-1.1 LPL-1.02 LPPL-1.3c MIT MIT-0 MIT-CMU MPL-1.1 MPL-2.0
MS-PL MS-RL MulanPSL-2.0 NCSA ODbL-1.0 ODC-By-1.0 OFL-1.0 OFL-1.1 OGL-UK-3.0 OSL-3.0 PDDL-1.0
PolyForm-Noncommercial-1.0.0 PolyForm-Small-Business-1.0.0 PostgreSQL PSF-2.0 Python-2.0 SSPL-1.0
TCL Unlicense UPL-1.0 W3C WTFPL X11 Zlib ZPL-2.1 blessing etalab-2.0 curl
"""
_WORDS: Final = {  # of huggingface.co/docs/hub/repositories-licenses, where they are no id
    "c-uda": "C-UDA-1.0",
    "lgpl-lr": "LGPLLR",
    "odbl": "ODbL-1.0",
    "odc-by": "ODC-By-1.0",
    "pddl": "PDDL-1.0",
}
# SPDX License Exceptions (spdx.org/licenses/exceptions-index.html) that the above are found with.
_EXCEPTIONS: Final = ("Classpath-exception-2.0", "GCC-exception-3.1", "LLVM-exception")
_SPDX: Final = {name.lower(): name for name in _IDS.split()} | _WORDS
_SHAPES: Final = {"AND": "o", "OR": "o", "WITH": "w", "(": "(", ")": ")"}
_SHORTEST: Final = 3  # words of an expression: one id alone is none
_LONGEST: Final = 512  # characters of one
_UNSAID: Final = frozenset({"", "other", "unknown", "none", "n/a"})  # of Hugging Face and by hand


def spdx_id(word: str) -> str | None:
    """The SPDX id that a word means, if it means one."""
    return _SPDX.get(word.strip().lower())


def spdx_expression(text: str) -> str | None:
    """An expression in its proper case, if all of its ids are known ones (SPDX 3.0.1 annex B)."""
    words = re.findall(r"[()]|[^()\s]+", text[: _LONGEST + 1])
    if len(text) > _LONGEST or len(words) < _SHORTEST:
        return None
    proper = {name.lower(): name for name in (*_SHAPES, *_EXCEPTIONS)} | _SPDX
    known = [proper.get(word.lower(), "") for word in words]
    if not all(known):
        return None
    kinds = _SHAPES | dict.fromkeys(_EXCEPTIONS, "e")
    shape = "".join(kinds.get(word, "i") for word in known).replace("iwe", "i")
    while (shorter := re.sub(r"\(i(?:oi)*\)", "i", shape)) != shape:
        shape = shorter
    if re.fullmatch(r"i(?:oi)*", shape) is None:
        return None
    return " ".join(known).replace("( ", "(").replace(" )", ")")


def is_said(word: str | None) -> bool:
    """Whether the word tells any licence: `other` and `unknown` do not."""
    return word is not None and word.strip().lower() not in _UNSAID
