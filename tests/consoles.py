"""Consoles for tests: a gateway with some events, its console, and somebody who asks it without a server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from gatewaycore.access import Access, Principal
from gatewaycore.event import Event
from gatewaycore.following import Follower
from gatewaycore.service import Service
from gatewaycore.sinks import LakeStorage
from gatewaycore_asgi.console import Console
from tests.events import lines_of, make_event

NOW = datetime(2026, 11, 15, 12, 30, tzinfo=UTC)
NASTY = '"><script>alert(1)</script>&\x1b[31m=1+1'
HOST = "https://console.acme.example"
CLIENT = ("127.0.0.1", 123)


def config(folder: Path, **sections: Any) -> dict[str, Any]:
    """Return a configuration of a few packages."""
    return {
        "gateway": {"data-dir": str(folder / "data")},
        "packages": [
            {
                "name": name,
                "type": "file",
                "domain": "get.acme.example",
                "incoming-path": f"/{place}/{{version}}",
                "outgoing-url": f"https://cdn.acme.example/{place}/{{version}}",
            }
            for place, name in enumerate(("cli", "acme/app", NASTY))
        ],
        "sinks": [{"type": "lake", "path": str(folder / "data" / "lake")}],
        **sections,
    }


def some_events() -> list[Event]:
    """Return events of this month and of the one before, some of them hostile."""
    events = [
        make_event(time=NOW - timedelta(hours=number, minutes=1), version=f"1.{number % 3}", country=("DE", "US", "SG", None)[number % 4])
        for number in range(200)
    ]
    events += [make_event(time=NOW - timedelta(days=35, hours=number), version="0.9") for number in range(40)]
    events += [
        make_event(
            time=NOW - timedelta(minutes=number + 1),
            package="acme/app",
            kind="pull",
            company="Acme Ltd",
            company_domain="acme.example",
            confidence=0.9,
            origin_id=f"{number:032x}",
        )
        for number in range(30)
    ]
    events += [
        make_event(
            time=NOW - timedelta(minutes=3),
            package=NASTY,
            version=NASTY,
            page=NASTY,
            company=NASTY,
            company_domain=None,
            confidence=1.0,
            client=NASTY,
            variables={NASTY: NASTY, "channel": NASTY},
            country="<b>",
        )
    ]
    return events


class Browser:
    """Asks a console, keeps its cookies, and follows no redirect by itself.

    Args:
        app: any ASGI application.
        base: the mount below which it is asked.
        host: what it is called.
    """

    def __init__(self, app: Any, base: str = "", host: str = HOST) -> None:
        self._app = app
        self._base = base
        self._host = host
        self.cookies = httpx.Cookies()

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Ask for a page."""
        return self.ask("GET", path, **options)

    def post(self, path: str, data: dict[str, Any], **options: Any) -> httpx.Response:
        """Send a form, as a browser does."""
        headers = {"origin": self._host, "sec-fetch-site": "same-origin", **options.pop("headers", {})}
        return self.ask("POST", path, data=data, headers=headers, **options)

    def csrf(self, path: str) -> str:
        """Return what the forms of a page carry."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found, path
        return found[1]

    def sign_in(self, secret: str, to: str = "/") -> httpx.Response:
        """Sign in with a token."""
        return self.post("/sign-in", {"csrf": self.csrf("/sign-in"), "token": secret, "next": to})

    def send(self, page: str, path: str, **fields: Any) -> httpx.Response:
        """Send a form of a page."""
        return self.post(path, {"csrf": self.csrf(page), **fields})

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask anything."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app, raise_app_exceptions=False, root_path=self._base, client=CLIENT)
            async with httpx.AsyncClient(transport=transport, base_url=self._host, cookies=self.cookies) as client:
                answer = await client.request(method, f"{self._base}{path}", **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())


@contextmanager
def serving(folder: Path, events: Sequence[Event] | None = None, **options: Any) -> Iterator[Console]:
    """Make a gateway that holds events, and its console."""
    sections = options.pop("sections", {})
    sink = LakeStorage(str(folder / "data" / "lake")).open()
    sink.write(lines_of(list(some_events() if events is None else events)))
    sink.close()
    file = folder / "gateway.yaml"
    file.write_text(json.dumps(config(folder, **sections)))
    with ExitStack() as opened:
        service = Service.from_file(file)
        opened.callback(service.close)
        console = Console(service, now=lambda: NOW, **options)
        opened.callback(console.close)
        yield console


class House:
    """A gateway whose console people sign in to: ada runs it, bob is an admin of acme and cy a member, dan is nobody anywhere.

    Args:
        folder: for all that is kept.
        opened: closes it.
    """

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        sink = LakeStorage(str(folder / "data" / "lake")).open()
        sink.write(lines_of(some_events()))
        sink.close()
        file = folder / "gateway.yaml"
        file.write_text(json.dumps(config(folder)))
        self.service = Service.from_file(file)
        opened.callback(self.service.close)
        self.access = Access(folder / "data" / "console.sqlite3")
        opened.callback(self.access.close)
        self.made = Follower(self.service, self.access)
        self.made.look()
        self.console = Console(self.service, self.access, made=self.made, now=lambda: NOW)
        opened.callback(self.console.close)
        people, groups = self.access.people, self.access.groups
        self.secrets: dict[str, str] = {}
        for name in ("ada", "bob", "cy", "dan"):
            user = people.create_user(name, is_operator=name == "ada")
            _, self.secrets[name] = people.create_token(user, "for tests", ("admin",))
        groups.create("acme", "Acme")
        groups.set_role("acme", "bob", "admin", None)
        groups.set_role("acme", "cy", "member", None)
        ada = self.principal("ada")
        self.access.holdings.move("acme/app", "acme", ada)

    def principal(self, name: str) -> Principal:
        """Return somebody, as their token says."""
        found = self.access.people.authenticate(self.secrets[name])
        assert found is not None
        return found

    def browser(self, name: str | None = None) -> Browser:
        """Return the browser of somebody who has signed in; of nobody without."""
        browser = Browser(self.console)
        if name is not None:
            answer = browser.sign_in(self.secrets[name])
            assert answer.status_code == 303, answer.text
        return browser
