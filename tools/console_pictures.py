"""Take the pictures of docs/images/console: every page of a demo's console, light, dark, and as wide as a phone.

    pip install playwright pillow
    python tools/console_pictures.py

It starts ``gatewaycore demo`` on loopback and drives Debian's Chromium. Pictures are cut to what a screen shows, and to 128 colours.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images" / "console"
PAGES = {
    "sign-in": "/sign-in",
    "home": "/",
    "package": "/package?name=acme/rocket-skates",
    "company": "/company?name=northwind-robotics.example",
    "organisation": "/organisation?name=acme",
    "settings": "/settings?name=acme",
    "configure": "/configure?name=acme/rocket-skates",
    "new": "/new?organisation=acme",
    "tokens": "/tokens",
    "people": "/people",
    "imports": "/imports",
    "sources": "/sources",
    "audit": "/audit",
}
LOOKS: Mapping[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1200, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1200, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 780}, "color_scheme": "light"},
}
_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync")
_COLOURS = 128


@contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """Start a demo; give the console's URL and a token."""
    command = [sys.executable, "-m", "gatewaycore", "demo", "--events", "60000", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        told = ""
        for line in process.stderr or ():
            told += line
            if "Ctrl-C" in line:
                break
        console, token = re.search(r"console +(\S+)", told), re.search(r"sign in +(\S+)", told)
        if console is None or token is None:
            raise SystemExit(told)
        yield console[1], token[1]
    finally:
        process.terminate()
        process.wait(30)


def take(page: Page, name: str) -> None:
    """Write what a page shows."""
    from PIL import Image

    page.wait_for_timeout(2500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    picture.save(FOLDER / f"{name}.png", optimize=True)
    sys.stdout.write(f"{name}.png\n")


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with demo() as (base, token), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=_OPTIONS)
        for look, options in LOOKS.items():
            page = browser.new_context(base_url=base, **options).new_page()
            page.set_default_timeout(60_000)
            for name, path in PAGES.items():
                page.goto(path)
                take(page, f"{name}-{look}")
                if name == "sign-in":
                    page.fill("#token", token)
                    page.press("#token", "Enter")
                    page.wait_for_url(base + "/")
        browser.close()


if __name__ == "__main__":
    main()
