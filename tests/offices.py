"""An office: a gateway whose console several people use, with the API in front, in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from gatewaycore.access import Access, Kind, Principal, Scope
from gatewaycore.console_limits import DEFAULT_CONSOLE_LIMITS
from gatewaycore.following import Follower
from gatewaycore.service import Service
from gatewaycore.sinks import LakeStorage
from gatewaycore_asgi.console.api import Api, Quota
from tests.e2e.running import DEADLINE_S
from tests.events import lines_of, make_event

CONFIG = """
gateway:
  base-domain: gateway.example
packages:
  - {type: file, name: cli, domain: get.acme.example, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
  - {type: pixel, name: docs, domain: get.acme.example, incoming-path: /docs.png}
  - {type: container, name: acme/rocket-skates, domain: docker.acme.example, backend: ghcr.io/acme/rocket-skates}
collections:
  - {domain: docker.acme.example, pattern: "acme/*", backend: ghcr.io}
"""
COLLECTION = "docker.acme.example acme/*"
DEFINITION: Mapping[str, Any] = {"type": "file", "name": "tool", "domain": "get.zebra.example", "incoming-path": "/tool/{version}"}


class Office:
    """Two organisations, `acme` (of the file) and `zebra`, and people with every role in them.

    Args:
        folder: of the data-dir.
        state: of the state database; a file in the data-dir without.
        more: more packages of the file.
        more_sections: more sections of it.
        arguments: of the API.
    """

    def __init__(self, folder: Path, state: str | None = None, more: str = "", more_sections: str = "", **arguments: Any) -> None:
        path = folder / "gateway.yaml"
        path.write_text(CONFIG.replace("collections:\n", f"{more.strip(chr(10))}\ncollections:\n") + more_sections)
        self.service = Service.from_file(path, folder / "data")
        settings = self.service.config.console
        limits = DEFAULT_CONSOLE_LIMITS if settings is None else settings.limits
        self.access = Access(state or folder / "console.sqlite3", "acme", limits=limits)
        self.follower = Follower(self.service, self.access)
        self.follower.look()
        self.changes: list[list[tuple[Kind, Mapping[str, Any]]]] = []
        self.api = Api(self.service, self.access, self.follower.check, self.changed, **{"quota": Quota(requests=1_000_000), **arguments})
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(self.api), base_url="http://console.example")
        self.secrets: dict[str, str] = {}
        self.operator = self.join("root", operator=True)
        self.access.groups.create("zebra", "Zebra", by=self.operator)
        for name, role in (("omar", "owner"), ("ada", "admin"), ("mia", "member"), ("nils", "member")):
            self.join(name)
            self.access.groups.set_role("acme", name, role, None)  # type: ignore[arg-type]
        self.join("nobody")
        self.access.groups.remove("acme", "nils", self.operator)
        self.join("zoe")
        self.access.groups.set_role("zebra", "zoe", "owner", None)
        self.prove("get.zebra.example", "zebra")

    def prove(self, name: str, organisation: str) -> None:
        """Have a domain that is an organisation's, as its records say."""
        self.access.domains.note_state(self.access.domains.create(name, organisation, self.operator), "verified")

    def changed(self) -> None:
        """Serve what there is now, and note it."""
        self.follower.look()
        self.changes.append(self.access.holdings.definitions()[1])

    def join(self, name: str, *, operator: bool = False) -> Principal:
        """Let somebody in, with a token for everything."""
        self.access.people.create_user(name, is_operator=operator)
        return self.token(name, name, ["admin"])

    def token(self, label: str, user: str, scopes: list[Scope], organisation: str | None = None, *, is_over: bool = False) -> Principal:
        """Make somebody a token, which is called `label` here."""
        found = self.access.people.find_user(user)
        assert found is not None
        home = None
        if organisation is not None:
            home = next(one.id for one, _ in self.access.groups.organisations(self.operator) if one.name == organisation)
        token, secret = self.access.people.create_token(found, "for tests", scopes, None, home)
        self.secrets[label] = secret
        by = self.access.people.authenticate(secret)
        assert by is not None
        if is_over:
            from gatewaycore.access.tables import TOKENS

            with self.access.database.writing() as connection:
                over = datetime.now(UTC) - timedelta(seconds=1)
                connection.execute(TOKENS.update().where(TOKENS.c.id == token.id).values(expires_at=over))
        return by

    def keep(self, **columns: Any) -> None:
        """Have an event in the lake."""
        sink = LakeStorage(str(self.service.data / "lake")).open()
        sink.write(lines_of([make_event(**columns)]))
        sink.close()

    def ask(self, method: str, path: str, who: str | None = "root", **more: Any) -> httpx.Response:
        """Ask the API as somebody, by the label of their token; the path is below ``/api/v1``."""
        headers = dict(more.pop("headers", {}))
        if who is not None and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.secrets[who]}"

        async def ask() -> httpx.Response:
            # Where it waits for ever, the test fails and shows where, instead of being silent.
            async with asyncio.timeout(DEADLINE_S):
                return await self._client.request(method, f"/api/v1{path}", headers=headers, **more)

        return self._runner.run(ask())

    def ask_of(self, app: Any, root: str, method: str, path: str, who: str, **more: Any) -> httpx.Response:
        """Ask another application that is mounted below `root`."""

        async def ask() -> httpx.Response:
            mounted = httpx.ASGITransport(app, root_path=root)
            async with httpx.AsyncClient(transport=mounted, base_url="http://console.example") as client:
                headers = {"Authorization": f"Bearer {self.secrets[who]}"}
                return await client.request(method, f"{root}/api/v1{path}", headers=headers, **more)

        return self._runner.run(ask())

    def wait(self, number: str) -> dict[str, Any]:
        """Return an import when it is over."""
        for _ in range(600):
            found: dict[str, Any] = self.ask("GET", f"/imports/{number}").json()
            if found["status"] in ("done", "aborted"):
                return found
            time.sleep(0.02)
        raise AssertionError(f"the import is {found['status']}")

    def close(self) -> None:
        """Close everything."""
        self._runner.run(self._client.aclose())
        self._runner.close()
        self.api.close()
        self.access.close()
        self.service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
