"""A real browser without a screen: takes pictures of an HTML file, and measures it as it is laid out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from html import unescape
from pathlib import Path
from typing import Any

from inventory.errors import HostFailed, InputError

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
LIMIT_S = 120
# The page stands in a frame as wide as the device: a browser's own window has a least width that phones are below.
FRAME = """<!doctype html><html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<style>html, body {{ margin: 0 }} iframe {{ border: 0; width: {width}px; height: {height}px; display: block }}</style></head>
<body><iframe src="{page}"></iframe><pre id="found"></pre><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement, style = frame.contentWindow.getComputedStyle(page.body);
  const beyond = [...page.querySelectorAll("main *")].filter(each => !each.closest(".wide, .track, svg")
    && each.getBoundingClientRect().right > {width} + 1).map(each => each.tagName + "." + each.className);
  document.getElementById("found").textContent = JSON.stringify({{
    width: root.scrollWidth, height: root.scrollHeight, paper: style.backgroundColor, ink: style.color, beyond,
    headings: [...page.querySelectorAll("h1, h2")].map(each => each.textContent.trim()),
    charts: [...page.querySelectorAll(".chart svg")].map(each => [each.getBoundingClientRect().width, each.getBoundingClientRect().height]),
    bars: page.querySelectorAll(".bar").length, rows: page.querySelectorAll("tbody tr").length,
    fetched: frame.contentWindow.performance.getEntriesByType("resource").map(each => each.name) }});
}};
</script></body></html>
"""


def program() -> str | None:
    """The browser's program, where there is one."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def measure(page: Path, width: int, height: int = 900, *, dark: bool = False) -> dict[str, Any]:
    """How a page is laid out on a device so many pixels wide. Raises HostFailed where the browser does not say."""
    out = _run(page, width, height, dark, ["--dump-dom", "--virtual-time-budget=5000"]).decode("utf-8", "replace")
    found = re.search(r'<pre id="found">(.+?)</pre>', out, re.DOTALL)
    if not found:
        raise HostFailed("the browser did not lay the page out", mend="open it yourself")
    return dict(json.loads(unescape(found[1])))


def picture(page: Path, image: Path, width: int, height: int, *, dark: bool = False) -> None:
    """A picture (PNG) of the top of a page on a device so many pixels wide and high."""
    _run(page, width, height, dark, [f"--screenshot={image.resolve()}", "--virtual-time-budget=2000"])
    if not image.exists():
        raise HostFailed("the browser took no picture", mend="open the page yourself")


def side_by_side(page: Path, image: Path, devices: Sequence[tuple[int, bool]], height: int) -> None:
    """A picture of a page on several devices beside each other, each so wide, in light or dark."""
    frames = "".join(
        f'<iframe src="{page.resolve().as_uri()}" style="width: {width}px; height: {height}px; color-scheme: {"dark" if dark else "light"}"></iframe>'
        for width, dark in devices
    )
    outer = f"<!doctype html><style>body {{ margin: 0; display: flex; gap: 16px; background: #c9ced2 }} iframe {{ border: 0; flex: none }}</style>{frames}"
    _browse(outer, sum(width for width, _ in devices) + 16 * (len(devices) - 1), height, False,
            [f"--screenshot={image.resolve()}", "--virtual-time-budget=2000"])  # fmt: skip


def _run(page: Path, width: int, height: int, dark: bool, words: list[str]) -> bytes:
    return _browse(FRAME.format(width=width, height=height, page=page.resolve().as_uri()), width, height, dark, words)


def _browse(page: str, width: int, height: int, dark: bool, words: list[str]) -> bytes:
    """Opens a page of its own in a browser that knows no network. Raises InputError where there is no browser."""
    browser = program()
    if browser is None:
        raise InputError("there is no browser here", mend="apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="runbook-browser-") as folder:
        outer = Path(folder) / "frame.html"
        outer.write_text(page)
        options = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}/profile",
            f"--window-size={max(width, 500)},{height}", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        ]  # fmt: skip
        done = subprocess.run(
            [browser, *options, *words, outer.as_uri()], capture_output=True, timeout=LIMIT_S, check=False
        )
        return done.stdout
