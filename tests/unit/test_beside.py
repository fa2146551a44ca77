"""A gateway and another application behind one server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gatewaycore import Config, Service
from gatewaycore.config import read_config
from gatewaycore_asgi import GatewayApp
from gatewaycore_asgi.beside import Beside
from gatewaycore_asgi.types import Message, Receive, Scope, Send

CONFIG = {
    "gateway": {"trusted-proxies": ["127.0.0.1/32"]},
    "packages": [
        {"name": "a", "type": "file", "domain": "get.acme.example", "incoming-path": "/x", "outgoing-url": "https://cdn.example/x"}
    ],
}


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    config: Config = read_config(CONFIG)
    opened = Service.open(config, tmp_path / "data")
    yield opened
    opened.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"host": "console.acme.example"}, 200, "http"),
        ({"host": "Console.Acme.example:8080"}, 200, "http"),
        ({"host": "get.acme.example"}, 302, None),
        ({"host": "get.acme.example", "referer": "https://console.acme.example/"}, 302, None),
        ({"host": "gw", "x-forwarded-host": "console.acme.example", "x-forwarded-proto": "https"}, 200, "https"),
        ({"host": "x y console.acme.example"}, 400, None),
    ],
)
async def test_who_answers(service: Service, fields: dict[str, str], status: int, text: str | None) -> None:
    app = Beside(GatewayApp(service), other, "console.acme.example")
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gw") as client:
        answer = await client.get("/x", headers=fields)
    assert answer.status_code == status
    assert text is None or answer.text == text


@pytest.mark.anyio
async def test_what_a_stranger_forwards_does_not_count(service: Service) -> None:
    app = Beside(GatewayApp(service), other, "console.acme.example")
    transport = httpx.ASGITransport(app=app, client=("203.0.113.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://get.acme.example") as client:
        answer = await client.get("/x", headers={"x-forwarded-host": "console.acme.example"})
    assert answer.status_code == 302


@pytest.mark.anyio
async def test_the_end_is_told(service: Service) -> None:
    told: list[str] = []
    sent: list[Message] = []
    messages: Iterator[dict[str, Any]] = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    app = Beside(GatewayApp(service), other, "console.acme.example", lambda: told.append("closed"))
    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert ([one["type"] for one in sent], told) == (["lifespan.startup.complete", "lifespan.shutdown.complete"], ["closed"])
