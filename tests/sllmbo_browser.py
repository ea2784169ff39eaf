"""
Chromium, driven over its debugging pipe: what a page shows, whether it complains, and how it prints.
"""

import base64
import contextlib
import json
import os
import select
import subprocess
import tempfile
from pathlib import Path

_PATIENCE = 60
"""Seconds."""


class Browser:
    """
    One headless Chromium with one page.

    Args:
        path: The program.
    """

    def __init__(self, path):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--remote-debugging-pipe",
        ]
        command = [path, *options, "--no-first-run", f"--user-data-dir={self._profile.name}", "about:blank"]
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *command]
        self._process = subprocess.Popen(shell, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb")
        self._number, self._rest = 0, b""
        self.events = []
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._call("Browser.close")
        self._process.wait(timeout=20)
        self._in.close()
        with contextlib.suppress(OSError):
            self._out.close()
        self._profile.cleanup()

    def call(self, method, **params):
        """Call *method* of the debugging protocol on the page."""
        return self._call(method, session=self._session, **params)

    def open(self, path, *, width=1280, height=900, dark=False, media=""):
        """Show the file at *path* until its first pictures are drawn, and return the seconds of CPU that it took."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._navigate("about:blank")
        self.call("Performance.enable", timeDomain="threadTicks")
        self.events.clear()
        self._navigate(Path(path).resolve().as_uri())
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => requestIdleCallback("
            "() => done(1)))))"
        )
        metrics = {metric["name"]: metric["value"] for metric in self.call("Performance.getMetrics")["metrics"]}
        self.call("Performance.disable")
        return metrics["TaskDuration"]

    def evaluate(self, expression):
        """Return the value of a JavaScript expression; a promise's when it is there."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def draw_all(self):
        """Scroll through the page until every picture is drawn."""
        self.evaluate(
            "(async () => { for (const box of document.querySelectorAll('[data-figure]')) while (!box.dataset.drawn) "
            "{ box.scrollIntoView(); await new Promise(done => setTimeout(done, 20)); } scrollTo(0, 0); })()"
        )

    def press(self, key, code):
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)

    def complaints(self):
        """Return what was thrown, logged as an error, refused or asked of the network since the page was opened."""
        found = []
        for event in self.events:
            method, told = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(told["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
                found.append(str(told["args"]))
            elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(
                ("file:", "about:", "data:")
            ):
                found.append(told["request"]["url"])
        return found

    def screenshot(self, path):
        """Write a picture of the whole page to *path*."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=int(size["width"]),
            height=int(size["height"]),
            deviceScaleFactor=1,
            mobile=False,
        )
        self.draw_all()
        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))

    def print(self, path):
        """Print the page to a PDF file at *path*."""
        data = self.call(
            "Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=False
        )
        Path(path).write_bytes(base64.b64decode(data["data"]))

    def _call(self, method, *, session=None, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def _navigate(self, url):
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def _read(self):
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], _PATIENCE)
            assert ready, "Chromium is silent"
            more = os.read(self._in.fileno(), 1 << 16)
            assert more, "Chromium ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)
