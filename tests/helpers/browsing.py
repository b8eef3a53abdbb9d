"""Check a built site: without a browser what its files say, and in headless Chromium what a reader sees.

    python tests/helpers/browsing.py build/site

checks all files and then opens every page, on a phone and on a desk, in dark and in light. Tests use the same functions
on a small site. Nothing is fetched: an address outside the site is a fault where a page loads it, and a link elsewhere.
"""

import base64
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import websocket

PHONE, DESK = (390, 844), (1280, 800)  # width and height of the window, pixels
LOADED = {  # elements that make a browser load something, by the attribute that says what
    ("img", "src"), ("script", "src"), ("iframe", "src"), ("link", "href"), ("source", "src"), ("object", "data"),
}  # fmt: skip
DRAWN = """[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => "no picture: " + i.src).concat(
  document.documentElement.scrollWidth > innerWidth + 1 ? ["wider than the window: " +
    [...document.querySelectorAll("article *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 &&
      !e.closest(".table-wrapper, .output, .highlight, pre, .math"))
    .slice(0, 3).map(e => e.tagName + "." + e.className).join(", ")] : [],
  [...document.querySelectorAll("math")].filter(m => !m.getBoundingClientRect().width).map(m => "formula not drawn"))"""


class _Page(HTMLParser):
    """What a page points to, as (element, attribute, address), and its anchors."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("id", "name"):
                self.anchors.add(value)
            if name in ("href", "src", "data") and value and tag != "template":
                self.links.append((tag, name, value))


def faults(site):
    """Sentences on dead links, missing pictures and what a page would load from elsewhere, in the folder ``site``."""
    pages = {path: _Page(path.read_text()) for path in sorted(Path(site).resolve().rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(Path(site).resolve()).as_posix()
        for tag, attribute, address in page.links:
            parts = urlsplit(address)
            if parts.scheme in ("data", "mailto"):
                continue
            if parts.scheme or parts.netloc:
                if (tag, attribute) in LOADED:
                    found.append(f"{name} loads {address}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{name} points to {address}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name} points to {address}, which has no such anchor")
    for path in sorted(Path(site).rglob("*.css")):
        for address in re.findall(r"url\([\"']?((?:https?:)?//[^)\"']+)", path.read_text()):
            found.append(f"{path.name} loads {address}")
    return found


def chromium():
    """The browser's command, or None where none is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """A headless Chromium, driven by its DevTools protocol, that can reach no network."""

    def __init__(self, socket):
        self.socket, self.count, self.said = socket, 0, []

    def do(self, method, **params):
        """Call one method of the protocol and wait for its answer; what the page says meanwhile is kept."""
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = self._next()
            if message.get("id") == self.count:
                assert "error" not in message, message
                return message["result"]

    def _next(self):
        message = json.loads(self.socket.recv())
        event, about = message.get("method"), message.get("params", {})
        if event == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.said.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
        elif event == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.said.append(" ".join(str(argument.get("value")) for argument in about["args"]))
        elif event == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description", details["text"]))
        return message

    def open(self, path, window=DESK, theme="light"):
        """Show the page and return what is wrong with it: errors on the console, and what is not or badly drawn."""
        self.said.clear()
        width, height = window
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=window == PHONE,
        )
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self.do("Page.navigate", url=Path(path).resolve().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass
        return [*self.evaluate(DRAWN), *self.said]

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        return self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)["result"][
            "value"
        ]

    def drag(self, x, y, across):
        """Press the mouse at a point of the window, and let it go so many pixels to the right."""
        for kind, far, buttons in [("mousePressed", 0, 1), ("mouseMoved", across, 1), ("mouseReleased", across, 0)]:
            self.do("Input.dispatchMouseEvent", type=kind, x=x + far, y=y, button="left", buttons=buttons, clickCount=1)

    def show(self, selector):
        """Scroll to an element, and return its middle: x and y in the window."""
        return self.evaluate(
            f"""(async () => {{ const shown = document.querySelector("{selector}");
            shown.scrollIntoView({{block: "center", behavior: "instant"}});
            for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
            const {{x, y, width, height}} = shown.getBoundingClientRect();
            return [x + width / 2, y + height / 2]; }})()"""
        )

    def picture(self):
        """What is seen, as PNG."""
        return base64.b64decode(self.do("Page.captureScreenshot")["data"])


@contextmanager
def browser():
    """A `Browser` while the block runs."""
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-port=0", "--disable-background-networking", f"--user-data-dir={profile}"]
        options += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--hide-scrollbars", "about:blank"]
        process = subprocess.Popen([chromium(), *options], stderr=subprocess.PIPE, text=True)
        try:
            line = next(line for line in process.stderr if "DevTools listening on " in line)
            port = urlsplit(line.split()[-1]).port
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [target for target in json.load(answer) if target["type"] == "page"]
            socket = websocket.create_connection(page["webSocketDebuggerUrl"], suppress_origin=True, timeout=60)
            driven = Browser(socket)
            for domain in ("Page", "Log", "Runtime"):
                driven.do(f"{domain}.enable")
            yield driven
            socket.close()
        finally:
            process.terminate()
            process.wait()
            process.stderr.close()


def main(site):
    found = faults(site)
    pages = sorted(Path(site).rglob("*.html"))
    if chromium():
        with browser() as driven:
            for path in pages:
                for window, theme in [(PHONE, "dark"), (DESK, "light")]:
                    name = path.relative_to(site)
                    found += [
                        f"{name}, {window[0]} pixels wide, {theme}: {fault}"
                        for fault in driven.open(path, window, theme)
                    ]
    else:
        print("No Chromium here: only the files were checked.")
    print(*found, f"{len(pages)} pages, {len(found)} faults", sep="\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
