"""The layers by which the process of a run is confined, by the names that policies use."""

from enum import StrEnum


class Layer(StrEnum):
    """One layer: what the process cannot do any more, whatever runs in it."""

    NO_DUMPS = "no-dumps"  # no core file, and no reading by processes of the same user
    NO_NEW_PRIVS = "no-new-privs"  # prctl(2), PR_SET_NO_NEW_PRIVS
    RLIMITS = "rlimits"  # setrlimit(2): no new file, socket or memfd
    LANDLOCK = "landlock"  # landlock(7)
    SECCOMP = "seccomp"  # seccomp(2)
