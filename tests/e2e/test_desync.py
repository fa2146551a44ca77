"""Hostile upstreams and clients behind real servers: on a connection that is kept, every answer is where it belongs."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.e2e import apps
from tests.e2e.running import DEADLINE_S, Gateway, Programs, module
from tests.worlds import Received, Upstream, Write

pytestmark = pytest.mark.e2e

SERVERS = {
    "gunicorn": (
        [
            "--bind",
            "127.0.0.1:0",
            "--threads",
            "2",
            "tests.e2e.apps:wsgi()",
        ],
        r"Listening at: http://127\.0\.0\.1:(\d+)",
    ),
    "waitress": (["--listen", "127.0.0.1:0", "--call", "tests.e2e.apps:wsgi"], r"Serving on http://127\.0\.0\.1:(\d+)"),
}
HEADS = {
    "longer": b"Content-Length: 50\r\nTransfer-Encoding: chunked",
    "shorter": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    "dated": b"Content-Length: 5\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT",
    "two": b"Content-Length: 5\r\nContent-Length: 6",
    "broken": b"Content-Length: 1000000",
    "cut": b"Content-Length: 50",
}


def answer(received: Received, write: Write) -> None:
    tag = received.target.rpartition("/")[2]
    body = b"x" * 300_000 if tag == "broken" else b"hello"
    head = HEADS[tag]
    write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + (b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in head else body))


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(answer) as server:
        yield server


@pytest.fixture(scope="module", params=[*SERVERS, "uvicorn"])
def gateway(request: pytest.FixtureRequest, shared_programs: Programs, upstream: Upstream) -> Gateway:
    config = {
        "packages": [
            {
                "name": "acme/tool",
                "type": "container",
                "domain": "localhost",
                "backend": f"{upstream.authority}/acme/tool",
                "backend-scheme": "http",
                "allow-private-backends": True,
                "strategy": "proxy",
            },
            {"name": "usage", "type": "event", "domain": "in.localhost", "incoming-path": "/v1", "limits": {"body-bytes": 1000}},
            {"name": "old", "type": "catch-all", "domain": "old.localhost", "redirect-target-domain": "acme.example"},
        ]
    }
    name = str(request.param)
    if name == "uvicorn":
        return shared_programs.serve(config, name=name)
    options, pattern = SERVERS[name]
    file = shared_programs.configure(config, name)
    server = shared_programs.start(f"{name} server", [*module(name), *options], **{apps.CONFIG: str(file)})
    return Gateway(server, server.listen(pattern), shared_programs.folder / name)


NEXT = b"GET /next HTTP/1.1\r\nHost: old.localhost\r\nConnection: close\r\n\r\n"


def talk(gateway: Gateway, *requests: bytes) -> bytes:
    """Send requests one behind the other on one connection; return what comes back until the server closes it."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE_S) as client:
        client.sendall(b"".join(requests))
        pieces = []
        try:
            while piece := client.recv(65_536):
                pieces.append(piece)
        except ConnectionResetError:
            # What a server does to a client whose body it has not read.
            pass
        return b"".join(pieces)


def pull(tag: str) -> bytes:
    return b"GET /v2/acme/tool/manifests/%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % tag.encode()


@pytest.mark.parametrize("tag", ["longer", "shorter"])
def test_the_next_answer_is_not_taken_for_the_body(gateway: Gateway, tag: str) -> None:
    first, _, rest = talk(gateway, pull(tag), NEXT).partition(b"\r\n\r\n")
    head = first.lower()
    body, _, second = rest.partition(b"HTTP/1.1 ")
    assert head.startswith(b"http/1.1 200")
    assert b"hello" in body
    # Framed by the server itself.
    assert b"content-length" not in head
    if b"transfer-encoding: chunked" in head:
        assert body == b"5\r\nhello\r\n0\r\n\r\n"
    assert second == b"" or second.startswith(b"30")
    if b"connection: close" not in head:
        assert b"location: https://acme.example/next" in second.lower()


def test_an_answer_that_breaks_off_ends_the_connection(gateway: Gateway) -> None:
    seen = talk(gateway, pull("broken"), NEXT)
    assert seen.startswith(b"HTTP/1.1 200")
    assert b"acme.example" not in seen
    assert len(seen) < 1_000_000


def test_what_the_client_is_told_is_what_is_recorded(gateway: Gateway) -> None:
    for tag in ("cut", "two"):
        seen = talk(gateway, pull(tag), NEXT)
        assert int(seen[9:12]) == gateway.events()[-1 if b"acme.example" not in seen else -2].status
    assert seen.startswith(b"HTTP/1.1 502")


def test_one_date(gateway: Gateway) -> None:
    head = talk(gateway, pull("dated"), NEXT).partition(b"\r\n\r\n")[0].lower()
    assert head.count(b"\r\ndate:") == 1
    assert b"2024" not in head


@pytest.mark.parametrize(("size", "status"), [(1000, b"200"), (1001, b"413")])
def test_leading_zeros_do_not_hide_a_length(gateway: Gateway, size: int, status: bytes) -> None:
    head = b"POST /v1 HTTP/1.1\r\nHost: in.localhost\r\nConnection: close\r\nContent-Length: " + b"0" * 21 + b"%d\r\n\r\n" % size
    # A server may refuse so many digits by itself.
    assert talk(gateway, head + b"{}".ljust(size))[9:12] in (status, b"400")
