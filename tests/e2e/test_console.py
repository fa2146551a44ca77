"""The console in a browser: a journey through it, with the gateway beside it on one server; what a screen reader is told; what fits.

Chromium is Debian's, driven by Playwright. `tools/console_pictures.py` takes pictures of all pages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
import yaml

from gatewaycore.access import Access
from gatewaycore.following import Follower
from gatewaycore.service import Service
from gatewaycore.sinks import LakeStorage
from gatewaycore.synthetic import Scene
from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi.beside import Beside
from gatewaycore_asgi.console import Console
from tests.e2e.running import DEADLINE_S, missing, tool

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.e2e

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP *.acme.example 127.0.0.1, MAP * ~NOTFOUND",
]  # fmt: skip
DOMAIN = "console.acme.example"
FRESH_S = 15
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
WIDTH = "element => element.getBoundingClientRect().width"
CONFIG: dict[str, Any] = {
    "packages": [
        {
            "name": "acme/tool-0",
            "type": "file",
            "domain": "get.acme.example",
            "incoming-path": "/tool/{version}",
            "outgoing-url": "https://cdn.acme.example/tool/{version}",
        },
        {
            "name": "fresh",
            "type": "file",
            "domain": "get.acme.example",
            "incoming-path": "/fresh/{version}",
            "outgoing-url": "https://cdn.acme.example/fresh/{version}",
        },
    ],
    "badges": {"domains": ["get.acme.example"], "packages": ["acme/tool-0"]},
}
PAGES = {
    "home": "/",
    "package": "/package?name=acme/tool-0",
    "package-narrowed": "/package?name=acme/tool-0&only=country%3DDE&period=7d",
    "package-empty": "/package?name=fresh",
    "company": "/company?name=company-1.example",
    "organisation": "/organisation?name=home",
    "settings": "/settings?name=home",
    "new": "/new?organisation=home",
    "configure": "/configure?name=acme/tool-0",
    "tokens": "/tokens",
    "people": "/people",
    "imports": "/imports",
    "audit": "/audit",
    "api": "/api",
    "missing": "/nowhere",
}


class Site:
    """A gateway and its console behind one server, with a few months of synthetic events.

    Args:
        folder: for all that is kept.
        opened: ends it.
    """

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        data = folder / "data"
        sink = LakeStorage(str(data / "lake")).open()
        # Up to today, so that the usual period has something.
        first = datetime.now(UTC).date() - timedelta(days=75)
        for lines in Scene(events=12_000, first=first, days=75, packages=8, callers=1_500, companies=60).days_of_lines():
            sink.write(lines)
        sink.close()
        file = folder / "gateway.yaml"
        sinks = [{"type": "lake", "path": str(data / "lake")}]
        file.write_text(yaml.safe_dump({**CONFIG, "gateway": {"data-dir": str(data)}, "sinks": sinks}))
        service = Service.from_file(file)
        self.access = Access(data / "console.sqlite3")
        opened.callback(self.access.close)
        made = Follower(service, self.access)
        made.start()
        opened.callback(made.close)
        people = self.access.people
        _, self.secret = people.create_token(people.create_user("ada", is_operator=True), "for tests", ("admin",))
        console = Console(service, self.access, made=made)
        opened.callback(console.close)
        server = uvicorn.Server(
            uvicorn.Config(Beside(GatewayApp(service), console, DOMAIN), host="127.0.0.1", port=0, log_level="warning", ws="none")
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        end = time.monotonic() + DEADLINE_S
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < end
            time.sleep(0.02)

        def stop() -> None:
            server.should_exit = True
            thread.join(DEADLINE_S)

        opened.callback(stop)
        self.port: int = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://{DOMAIN}:{self.port}"

    def fetch(self, path: str) -> int:
        """Fetch something from the gateway, as anybody does; return the status."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", headers={"host": "get.acme.example", "user-agent": "curl/8.5.0"})
        return answer.status_code


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as opened:
        yield Site(tmp_path_factory.mktemp("site"), opened)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("needs playwright: pip install gatewaycore[dev]")
    path = tool("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def looking(chromium: Browser, site: Site, signs_in: bool = True, **options: Any) -> Iterator[Page]:
    """Open a browser window of its own, in which nothing may be blocked or fail."""
    context = chromium.new_context(base_url=site.url, **options)
    page = context.new_page()
    page.set_default_timeout(DEADLINE_S * 1000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security Policy" in message.text else None)
    page.on("request", lambda request: faults.append(request.url) if not request.url.startswith((site.url, "data:")) else None)
    if signs_in:
        page.goto("/sign-in")
        page.get_by_label("Token").fill(site.secret)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/")
    yield page
    context.close()
    assert faults == []


def test_a_journey(chromium: Browser, site: Site) -> None:
    from playwright.sync_api import expect

    with looking(chromium, site) as page:
        expect(page.get_by_role("heading", name="Packages", level=1)).to_be_visible()
        # A filter, by a link and by a choice.
        page.get_by_role("link", name="acme/tool-0").first.click()
        expect(page.get_by_role("heading", name="acme/tool-0")).to_be_visible()
        page.get_by_role("link", name="Germany").first.click()
        expect(page.get_by_role("link", name="country: DE")).to_be_visible()
        page.get_by_label("Period").select_option("7d")
        page.wait_for_url("**period=7d**")
        assert "only=country%3DDE" in page.url
        # Charts that can be pointed at, without a script that is made of text.
        page.wait_for_selector("figure[data-drawn=vega]")

        # A package is made, and served.
        page.goto("/new?organisation=home")
        page.get_by_label("Name", exact=True).fill("rocket")
        page.get_by_label("Domain").fill("get.acme.example")
        page.get_by_label("Incoming path").fill("/rocket/{version")
        page.get_by_role("button", name="Make it").click()
        expect(page.locator("#w-incoming-path")).to_be_visible()
        page.get_by_label("Incoming path").fill("/rocket/{version}")
        page.get_by_label("Outgoing URL").fill("https://cdn.acme.example/rocket/{version}")
        page.get_by_role("button", name="Make it").click()
        expect(page.get_by_role("heading", name="rocket")).to_be_visible()

        # Somebody is let in.
        page.goto("/people")
        page.get_by_label("Name", exact=True).fill("eve")
        page.get_by_role("button", name="Make a user").click()
        secret = page.locator(".secret").inner_text()
        page.goto("/configure?name=rocket")
        page.get_by_label("User").fill("eve")
        page.get_by_role("button", name="Give the role").click()
        expect(page.get_by_role("rowheader", name="eve")).to_be_visible()

        # A download appears by itself.
        page.goto("/package?name=rocket")
        expect(page.get_by_role("heading", name="There are no events of this package yet")).to_be_visible()
        assert site.fetch("/rocket/1.2.3") == 302
        expect(page.locator("#feed").get_by_text("1.2.3").first).to_be_visible(timeout=FRESH_S * 1000)
        page.reload()
        expect(page.locator(".tiles")).to_contain_text("Downloads")

        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/")
        page.goto("/package?name=rocket")
        expect(page.get_by_role("heading", name="rocket")).to_be_visible()
        page.goto("/package?name=fresh")
        expect(page.get_by_role("heading", name="There is no such page")).to_be_visible()


def test_it_works_without_a_script(chromium: Browser, site: Site) -> None:
    from playwright.sync_api import expect

    with looking(chromium, site, java_script_enabled=False) as page:
        page.goto("/package?name=acme/tool-0")
        expect(page.locator("svg.chart")).to_be_visible()
        expect(page.locator("svg.world")).to_be_visible()
        page.get_by_label("Period").select_option("7d")
        page.get_by_role("button", name="Show").click()
        assert "period=7d" in page.url
        page.get_by_label("Theme").select_option("dark")
        page.get_by_role("button", name="Set").click()
        expect(page.locator("html[data-theme=dark]")).to_be_attached()
        assert "period=7d" in page.url


def test_the_keyboard_is_enough(chromium: Browser, site: Site) -> None:
    with looking(chromium, site) as page:
        page.goto("/package?name=acme/tool-0")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


def test_keys_walk_through_choices_and_make_none(chromium: Browser, site: Site) -> None:
    from playwright.sync_api import expect

    with looking(chromium, site) as page:
        period, show = page.get_by_label("Period"), page.get_by_role("button", name="Show")
        before = page.url
        assert show.evaluate(WIDTH) == 1
        period.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(period).to_have_value("365d")
        page.keyboard.press("Tab")
        # Still in the form: several may be chosen before they are shown.
        expect(page.get_by_label("By", exact=True)).to_be_focused()
        assert page.url == before
        assert show.evaluate(WIDTH) > 1
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**period=365d**")
        expect(period).to_be_focused()

        # Or by going on.
        page.keyboard.press("ArrowUp")
        page.get_by_role("link", name="Packages").first.focus()
        page.wait_for_url("**period=90d**")

        # The button, which has the focus again.
        show.focus()
        page.keyboard.press("Shift+Tab")
        period.focus()
        page.keyboard.press("ArrowUp")
        show.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**period=30d**")
        expect(show).to_be_focused()


@pytest.mark.parametrize("options", [
    {"color_scheme": "light"},
    {"color_scheme": "dark"},
    # A narrow page hides and moves things; its colours are those of a wide one.
    {"color_scheme": "light", **PHONE},
], ids=["light", "dark", "phone"])  # fmt: skip
def test_no_page_shuts_anybody_out(chromium: Browser, site: Site, options: dict[str, Any]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found: dict[str, list[str]] = {}
    # The policy has no place for the script that looks.
    with looking(chromium, site, bypass_csp=True, **options) as page:
        for name, path in {**PAGES, "sign-in": "/sign-in"}.items():
            page.goto(path)
            result = Axe().run(page)
            grave = [one for one in result.response["violations"] if one["impact"] in ("serious", "critical")]
            if grave:
                found[name] = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in grave]
    assert found == {}


@pytest.mark.parametrize(("name", "options"), [
    ("light", {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}}),
    ("dark", {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}}),
    ("phone", {"color_scheme": "light", **PHONE}),
])  # fmt: skip
def test_every_page_fits(chromium: Browser, site: Site, name: str, options: dict[str, Any]) -> None:
    from playwright.sync_api import expect

    with looking(chromium, site, **options) as page:
        for title, path in PAGES.items():
            page.goto(path)
            if name != "phone":
                expect(page.locator("figure[data-chart]:not([data-drawn])")).to_have_count(0, timeout=DEADLINE_S * 1000)
            assert page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"], title
