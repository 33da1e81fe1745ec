"""What a confined process tries, and the words for how that ended. For child processes only.

Each attempt is harmless and does what it says in a process that is not confined: that is its
control. `Scene` makes beforehand what an attempt needs, for a confined process makes nothing.
"""

import ctypes
import errno
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WORKS = "works"
_libc = ctypes.CDLL(None, use_errno=True)


class Scene:
    """Sockets that listen, a folder of one's own, a file in it, and all attempts by name."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        with open(f"{folder}/mine", "w") as file:
            file.write("mine")
        # somebody of the same user who is not confined; ends when we do
        self._other = subprocess.Popen(
            ["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._abstract = socket.socket(socket.AF_UNIX)
        self._abstract.bind(f"\0infwasi-{os.getpid()}")
        self._abstract.listen()
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._clients = [socket.socket(), socket.socket(socket.AF_UNIX)]
        self.attempts: Mapping[str, Callable[[], object]] = {
            "open": lambda: os.open("/etc/passwd", os.O_RDONLY),
            "make": lambda: os.open(f"{folder}/made", os.O_WRONLY | os.O_CREAT),
            "rename": lambda: Path(folder, "mine").rename(Path(folder, "mine")),
            "remove": lambda: Path(folder, "nothing").rmdir(),
            "memfd": lambda: os.memfd_create("x"),
            "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
            "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            "unix": lambda: socket.socket(socket.AF_UNIX),
            "socket pair": socket.socketpair,
            "connect": lambda: self._clients[0].connect(self._tcp.getsockname()),
            "connect abstract": lambda: self._clients[1].connect(self._abstract.getsockname()),
            "datagram": lambda: self._datagrams.sendto(b"x", self._datagrams.getsockname()),
            "fork": _fork,
            "spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
            "exec": lambda: os.execv("/nowhere/at/all", ["x"]),  # noqa: S606 - the attempt
            "signal": lambda: os.kill(self._other.pid, 0),
            "trace": lambda: _system_call(101, 2, 2**22 + 1, 0, 0),  # PTRACE_PEEKDATA of nobody
            "raise the limit": _raise_limit,
        }
        Path(folder, "nothing").mkdir()

    def close(self) -> None:
        for each in (self._tcp, self._abstract, self._datagrams, *self._clients):
            each.close()

    def tried(self, names: Sequence[str] = ()) -> dict[str, str]:
        """How each of these attempts ends, or all: `works`, or the name of the error."""
        return {name: ended(self.attempts[name]) for name in names or self.attempts}


def ended(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        # not there, nobody has this number, connected already: nothing forbade it
        if error.errno in {errno.ENOENT, errno.ESRCH, errno.EISCONN}:
            return WORKS
        return errno.errorcode[error.errno or 0]
    return WORKS


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _raise_limit() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    more = (512, max(512, before[1]))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, more)
    except (OSError, ValueError) as error:  # ValueError: "not allowed to raise maximum limit"
        raise OSError(errno.EPERM, "not raised") from error


def _system_call(number: int, *arguments: int) -> None:
    if os.uname().machine != "x86_64":
        raise OSError(errno.EPERM, "another number here")
    if _libc.syscall(number, *arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Waiting:
    """A thread that is there now and does what it is told later."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._what: Callable[[], dict[str, str]] = dict
        self._found: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._told.wait()
        self._found = self._what()

    def do(self, what: Callable[[], dict[str, str]]) -> dict[str, str]:
        self._what = what
        self._told.set()
        self._thread.join()
        return self._found


class Worker:
    """A thread that ggml, the library below llama.cpp, made for itself to compute a graph."""

    def __init__(self) -> None:
        from infwasi_sign.adapters.llama_bindings import bindings  # noqa: PLC0415 - not for every child

        file = bindings().__file__
        assert file is not None
        folder = Path(file).parent / "lib"
        self._base = ctypes.CDLL(str(folder / "libggml-base.so"))
        self._cpu = ctypes.CDLL(str(folder / "libggml-cpu.so"))
        for name in ("ggml_init", "ggml_new_tensor_1d", "ggml_map_custom1", "ggml_new_graph"):
            getattr(self._base, name).restype = ctypes.c_void_p

    def do(self, what: Callable[[], dict[str, str]]) -> dict[str, str]:
        """``what``, called by the second of two workers, while we wait for both."""
        found: dict[str, str] = {}
        us = threading.get_native_id()

        def compute(_dst: int, _src: int, number: int, _count: int, _data: int) -> None:
            if number == 1:
                assert threading.get_native_id() != us
                found.update(what())

        callback = _CustomOp(compute)
        base = self._base
        context = ctypes.c_void_p(base.ggml_init(_InitParams(1 << 20, None, False)))
        tensor = ctypes.c_void_p(base.ggml_new_tensor_1d(context, 0, ctypes.c_int64(4)))
        mapped = ctypes.c_void_p(base.ggml_map_custom1(context, tensor, callback, 2, None))
        graph = ctypes.c_void_p(base.ggml_new_graph(context))
        base.ggml_build_forward_expand(graph, mapped)
        assert self._cpu.ggml_graph_compute_with_ctx(context, graph, 2) == 0
        base.ggml_free(context)
        return found


class _InitParams(ctypes.Structure):  # ggml.h, struct ggml_init_params
    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


_CustomOp = ctypes.CFUNCTYPE(  # ggml.h, ggml_custom1_op_t
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p
)
