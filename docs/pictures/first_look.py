"""Draw the picture at the top of the README: a real report beside real answers, light and dark.

    python docs/pictures/first_look.py

Needs Chromium and its driver, the packages of the service, and selenium.
"""  # noqa: INP001 - a program, not a package

from __future__ import annotations

import html
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from pathlib import Path

from selenium import webdriver

FOLDER = Path(__file__).resolve().parent

REPOSITORY = FOLDER.parent.parent

REPORT = REPOSITORY / "models" / "animals" / "1" / "report.html"

ROWS = (
    {"height_cm": 172, "weight_kg": 95},
    {"height_cm": "tall", "wieght_kg": 95},
)

WIDTH, HEIGHT = 1440, 720

REPORT_WIDTH, REPORT_HEIGHT = 860, 980

QUALITY = 82

START_S = 30

LINE = 82
"""Characters of a line in the terminal."""

PAGE = """<!doctype html><meta charset="utf-8"><style>
:root {{ color-scheme: {scheme}; --ground: {ground}; --edge: {edge}; --ink: {ink}; --soft: {soft};
  --key: {key}; --text: {text}; --number: {number}; }}
* {{ box-sizing: border-box; margin: 0 }}
body {{ width: {width}px; height: {height}px; padding: 28px; display: grid; gap: 28px;
  grid-template-columns: 640px 1fr; background: var(--ground); font: 15px/1.5 system-ui, sans-serif; }}
figure {{ border: 1px solid var(--edge); border-radius: 10px; overflow: hidden; display: flex;
  flex-direction: column; height: {inner}px; background: {pane} }}
figcaption {{ padding: 9px 16px; color: var(--soft); border-bottom: 1px solid var(--edge);
  font-size: 14px }}
img {{ width: 100% }}
pre {{ padding: 16px; color: var(--ink); white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 "DejaVu Sans Mono", monospace }}
b {{ font-weight: 600 }} .key {{ color: var(--key) }} .text {{ color: var(--text) }}
.number {{ color: var(--number) }} .prompt {{ color: var(--soft) }}
</style><figure><figcaption>models/animals/1/report.html</figcaption><img src="{picture}"></figure>
<figure><figcaption>a terminal</figcaption><pre>{answers}</pre></figure>"""

COLORS = {
    "light": {
        "ground": "#ffffff",
        "pane": "#fbfbfa",
        "edge": "#d6d6d2",
        "ink": "#24292f",
        "soft": "#6a6f76",
        "key": "#0550ae",
        "text": "#116329",
        "number": "#953800",
    },
    "dark": {
        "ground": "#0d1117",
        "pane": "#151a21",
        "edge": "#30363d",
        "ink": "#d7dde4",
        "soft": "#8b949e",
        "key": "#79c0ff",
        "text": "#7ee787",
        "number": "#ffa657",
    },
}

TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:e-?\d+)?)')


def answers() -> list[str]:
    """Return the commands and the service's answers, as marked-up text."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = [sys.executable, "-m", "pigeonhole", "serve", "--default-model", "bodymass"]
    with subprocess.Popen(
        [*serve, "--port", str(port), "--workers", "1"], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    ) as process:
        try:
            return [_exchange(port, row) for row in ROWS]
        finally:
            process.terminate()


def _exchange(port: int, row: dict[str, object]) -> str:
    body = json.dumps({"instances": [row]})
    command = f"$ curl -s localhost:8000/predict -d '{body}'"
    answer = _post(f"http://127.0.0.1:{port}/predict", body.encode())
    answer.pop("id", None)
    for problem in answer.get("problems", []):
        problem.pop("pointer")
    shown = _layout(answer)
    marked = TOKEN.sub(_marked, html.escape(shown, quote=False))
    return f'<span class="prompt">{html.escape(command, quote=False)}</span>\n{marked}'


def _layout(value: object, indent: str = "") -> str:
    """Return JSON in which only what is too long for a line is broken up."""
    line = json.dumps(value)
    if len(indent) + len(line) <= LINE or not isinstance(value, (dict, list)):
        return line
    deeper = indent + "  "
    items = (
        [f"{json.dumps(key)}: {_layout(each, deeper)}" for key, each in value.items()]
        if isinstance(value, dict)
        else [_layout(each, deeper) for each in value]
    )
    start, end = ("{", "}") if isinstance(value, dict) else ("[", "]")
    inside = f",\n{deeper}".join(items)
    return f"{start}\n{deeper}{inside}\n{indent}{end}"


def _marked(found: re.Match[str]) -> str:
    if found[3]:
        return f'<span class="number">{found[3]}</span>'
    kind = "key" if found[2] else "text"
    return f'<span class="{kind}">{found[1]}</span>{found[2] or ""}'


def _post(url: str, body: bytes) -> dict[str, object]:
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, body) as response:  # noqa: S310 - our own address
                return json.load(response)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def screenshot(
    driver: webdriver.Chrome, page: str, size: tuple[int, int], scheme: str, form: str
) -> bytes:
    """Return a picture of a page, in a color scheme."""
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1.25, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(page)
    options = {"format": form} | ({"quality": QUALITY} if form == "webp" else {})
    return b64decode(driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"])


def main() -> None:
    """Write both pictures."""
    options = webdriver.ChromeOptions()
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "hide-scrollbars"):
        options.add_argument(f"--{flag}")
    for flag in ("disable-background-networking", "disable-component-update", "disable-sync"):
        options.add_argument(f"--{flag}")
    shown = "\n\n".join(answers())
    service = webdriver.ChromeService(shutil.which("chromedriver"))  # not one from the network
    driver = webdriver.Chrome(options, service)
    try:
        for scheme, colors in COLORS.items():
            size = (REPORT_WIDTH, REPORT_HEIGHT)
            report = screenshot(driver, REPORT.as_uri(), size, scheme, "png")
            page = PAGE.format(
                **colors,
                scheme=scheme,
                width=WIDTH,
                height=HEIGHT,
                inner=HEIGHT - 56,
                picture=f"data:image/png;base64,{b64encode(report).decode()}",
                answers=shown,
            )
            with tempfile.NamedTemporaryFile("w", suffix=".html", encoding="utf-8") as file:
                file.write(page)
                file.flush()
                path = Path(file.name).as_uri()
                picture = screenshot(driver, path, (WIDTH, HEIGHT), scheme, "webp")
            (FOLDER / f"first-look-{scheme}.webp").write_bytes(picture)
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
