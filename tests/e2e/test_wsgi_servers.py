"""WSGI servers: what they hand out decoded is known as it was on the wire, and every request is recorded."""

from __future__ import annotations

import pytest

from tests.e2e import apps
from tests.e2e.origin import Origin
from tests.e2e.running import Client, Gateway, Programs, module, tool

pytestmark = pytest.mark.e2e

SERVERS = {
    "gunicorn": (
        ["--bind", "127.0.0.1:0", "--workers", "2", "--threads", "2", "tests.e2e.apps:wsgi()"],
        r"Listening at: http://127\.0\.0\.1:(\d+)",
    ),
    "waitress": (["--listen", "127.0.0.1:0", "--call", "tests.e2e.apps:wsgi"], r"Serving on http://127\.0\.0\.1:(\d+)"),
}


@pytest.fixture(params=SERVERS)
def gateway(request: pytest.FixtureRequest, programs: Programs, origin: Origin) -> Gateway:
    origin.files |= {"/docs/a/b.txt": b"a/b\n", "/files/a/b.txt": b"a, b\n", "/docs/Straße 1.txt": b"street\n"}
    routes = [
        {"incoming-path": "/{name}.txt", "outgoing-url": origin.url + "/docs/{name}.txt"},
        {"incoming-path": "/{folder}/{name}.txt", "outgoing-url": origin.url + "/files/{folder}/{name}.txt"},
    ]
    file = programs.configure({"packages": [{"name": "texts", "type": "file", "domain": "localhost", "routes": routes}]})
    options, pattern = SERVERS[request.param]
    server = programs.start("server", [*module(request.param), *options], **{apps.CONFIG: str(file)})
    return Gateway(server, server.listen(pattern), programs.folder / "gateway")


def test_escapes_are_kept(client: Client, gateway: Gateway, origin: Origin) -> None:
    curl = [tool("curl", "curl"), "-fsSL"]
    assert client.run(*curl, f"{gateway.url}/a%2Fb.txt?v=1%2B1").output == b"a/b\n"
    assert client.run(*curl, f"{gateway.url}/a/b.txt").output == b"a, b\n"
    assert [request.path for request in origin.received] == ["/docs/a%2Fb.txt?v=1%2B1", "/files/a/b.txt"]
    escaped, plain = gateway.events()
    assert escaped.variables == {"name": "a/b", "v": "1+1"}
    assert plain.variables == {"folder": "a", "name": "b"}
    for event in (escaped, plain):
        assert (event.status, event.decision, event.client, event.domain) == (302, "redirect", "curl", "localhost")


def test_names_of_all_alphabets(client: Client, gateway: Gateway) -> None:
    curl = [tool("curl", "curl"), "-fsSL"]
    assert client.run(*curl, f"{gateway.url}/Stra%C3%9Fe%201.txt").output == b"street\n"
    (event,) = gateway.events()
    assert event.variables == {"name": "Straße 1"}


def test_post_and_opt_out(client: Client, gateway: Gateway, origin: Origin) -> None:
    curl = [tool("curl", "curl"), "-fsSL"]
    assert client.run(*curl, "-H", "Sec-GPC: 1", f"{gateway.url}/a/b.txt").output == b"a, b\n"
    assert client.run(*curl, "-d", '{"seats": 3}', f"{gateway.url}/a/b.txt").output == b"a, b\n"
    assert [request.method for request in origin.received] == ["GET", "POST"]
    (event,) = gateway.events()
    assert (event.method, event.status, event.variables) == ("POST", 307, {"folder": "a", "name": "b", "seats": "3"})
