"""A headless Chromium, driven over its debugging pipe: pages at a width, real clicks and keys, and what went wrong."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

CHROMIUM = Path("/usr/bin/chromium")
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
         "--remote-debugging-pipe"]  # fmt: skip
FIRST_FREE = 10  # file descriptors above those that Chromium reads and writes, 3 and 4
PATIENCE = 60_000  # milliseconds
AT_REST = """async (one) => {
  let before = [], now = [NaN];
  while (String(before) !== String(now)) {
    one.scrollIntoView({block: "center", behavior: "instant"});
    await new Promise((done) => setTimeout(done, 50));
    const {x, y, width, height} = one.getBoundingClientRect();
    [before, now] = [now, [x + width / 2, y + height / 2]];
  }
  return now;
}"""


class Browser:
    """One Chromium with one tab.

    Attributes
    ----------
    faults
        What the open page wrote to the console, threw, or was forbidden by its policy.
    requests
        Addresses that the open page requested, its own among them.
    """

    def __init__(self, to: int, of: int) -> None:
        self.faults: list[str] = []
        self.requests: list[str] = []
        self._to, self._of, self._rest, self._last, self._session = to, of, b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol and wait for its answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._last:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, page: Path, width: int = 1280, scheme: str = "light", media: str = "screen") -> None:
        """Open a page in a window of this width, with these media features, and wait until it is drawn."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        phone = width < 640
        height = 844 if phone else 900
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.faults, self.requests = [], []
        self.call("Page.navigate", url=page.as_uri())
        self.run(
            "new Promise((done) => { if (document.readyState === 'complete' && location.href !== 'about:blank') done();"
            " else addEventListener('load', done); }).then(() => new Promise((done) => setTimeout(done, 150)))"
        )

    def run(self, script: str) -> Any:
        """Evaluate a script in the page, wait for its promise, and return what it gives."""
        result = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, timeout=PATIENCE
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def click(self, selector: str) -> None:
        """Scroll to an element, wait until the page is at rest, and press and release the mouse in its middle."""
        box = self.run(f"({AT_REST})(document.querySelector({json.dumps(selector)}))")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def type(self, text: str) -> None:
        """Type into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release one key, such as Tab, 9; Enter, 13, writes a carriage return."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **named)
        self.call("Input.dispatchKeyEvent", type="keyUp", **named)

    def picture(self, file: Path) -> None:
        """Save what the window shows as a PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._of, 1 << 20)
            assert part, "the browser has ended"
            self._rest += part
        text, self._rest = self._rest.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                self.faults.append(f"console: {[one.get('value') for one in params['args']]}")
            case "Runtime.exceptionThrown":
                self.faults.append(f"thrown: {params['exceptionDetails']['text']}")
            case "Log.entryAdded":
                self.faults.append(f"log: {params['entry']['text']}")
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a Chromium with its profile in a folder, and end it."""
    pipes = [os.pipe(), os.pipe()]
    theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, FIRST_FREE) for end in (pipes[0][0], pipes[1][1])]
    start = f'exec "$@" 3<&{theirs[0]} 4>&{theirs[1]}'
    command = ["bash", "-c", start, "bash", str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    with subprocess.Popen(command, pass_fds=theirs, stderr=subprocess.DEVNULL) as process:
        for end in (*theirs, pipes[0][0], pipes[1][1]):
            os.close(end)
        try:
            yield Browser(pipes[0][1], pipes[1][0])
        finally:
            process.kill()
            os.close(pipes[0][1])
            os.close(pipes[1][0])
