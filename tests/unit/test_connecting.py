"""Connecting: which addresses are connected to, over real sockets, by the blocking client and by the one of an event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import httpcore
import httpx
import pytest
import trustme
from attrs import define, field

from gatewaycore import connecting
from gatewaycore.connecting import Deadline, open_async_client, open_client
from gatewaycore.upstreams import failure
from tests.worlds import Upstream, plain

FINE = plain(200, [], b"ok")


class Ask(Protocol):
    """Makes a client, sends so many requests for a URL, one after the other, and closes the client."""

    def __call__(self, url: str, *, private: bool, times: int = 1, timeout: float | None = 10, jars: list[Any] | None = None) -> int: ...


def blocking(url: str, *, private: bool, times: int = 1, timeout: float | None = 10, jars: list[Any] | None = None) -> int:
    with open_client(private=private) as client:
        answers = [client.get(url, timeout=timeout) for _ in range(times)]
        (jars if jars is not None else []).append(client.cookies.jar)
    return answers[-1].status_code


def looping(url: str, *, private: bool, times: int = 1, timeout: float | None = 10, jars: list[Any] | None = None) -> int:
    async def run() -> int:
        async with open_async_client(private=private) as client:
            answers = [await client.get(url, timeout=timeout) for _ in range(times)]
            (jars if jars is not None else []).append(client.cookies.jar)
        return answers[-1].status_code

    return asyncio.run(run())


@pytest.fixture(params=[blocking, looping], ids=["blocking", "loop"])
def ask(request: pytest.FixtureRequest) -> Ask:
    made: Ask = request.param
    return made


@define
class Names:
    """Stands in for the system's resolver: says which addresses a name has, and counts who asks. What it does not know is asked of it."""

    table: dict[str, Callable[[], list[str]]] = field(factory=dict)
    asked: list[str] = field(factory=list)

    def say(self, name: str, *addresses: str) -> None:
        self.table[name] = lambda: list(addresses)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names, system = Names(), socket.getaddrinfo

    def look_up(host: str | bytes, port: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in names.table:
            return system(host, port, *args, **more)
        names.asked.append(name)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in names.table[name]()
        ]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return names


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float | None]]:
    """What is connected to, and how long it may take."""
    seen: list[tuple[str, float | None]] = []
    connect, connect_async = httpcore.SyncBackend.connect_tcp, httpcore.AnyIOBackend.connect_tcp

    def noted(self: Any, host: str, port: int, timeout: float | None = None, *more: Any) -> Any:
        seen.append((host, timeout))
        return connect(self, host, port, timeout, *more)

    async def noted_async(self: Any, host: str, port: int, timeout: float | None = None, *more: Any) -> Any:
        seen.append((host, timeout))
        return await connect_async(self, host, port, timeout, *more)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", noted)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", noted_async)
    return seen


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def port_of(upstream: Upstream) -> str:
    return upstream.authority.rpartition(":")[2]


@contextmanager
def serving(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    """Serve on loopback, and yield the port."""

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = False
        request_queue_size = 64

    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def assert_nobody_came(listener: socket.socket) -> None:
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# --- addresses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "inner.example"])
def test_an_address_of_this_machine(
    ask: Ask, names: Names, listening: socket.socket, tries: list[Any], host: str, caplog: pytest.LogCaptureFixture
) -> None:
    names.say("inner.example", "127.0.0.1", "10.0.0.1", "fd00::1")
    caplog.set_level(logging.INFO)
    port = listening.getsockname()[1]
    with pytest.raises(httpx.ConnectError) as caught:
        ask(f"http://{host}:{port}/v2/?token=s3cret", private=False)
    assert failure(caught.value) == "address"
    (record,) = [record for record in caplog.records if record.name.startswith("gatewaycore")]
    assert "allow-private-backends" in record.getMessage()
    said = " ".join(record.getMessage() for record in caplog.records if record.name != "asyncio")
    assert not any(secret in said for secret in ("s3cret", "/v2/", host, str(port)))
    assert tries == []
    assert_nobody_came(listening)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "inner.example"])
def test_an_address_of_this_machine_where_that_is_permitted(ask: Ask, names: Names, host: str) -> None:
    names.say("inner.example", "127.0.0.1")
    with Upstream(FINE) as upstream:
        assert ask(f"http://{host}:{port_of(upstream)}/", private=True) == 200
    assert upstream.received[0].headers["host"] == f"{host}:{port_of(upstream)}"


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254", "0.0.0.0"]
)
def test_where_clouds_keep_their_secrets(ask: Ask, names: Names, tries: list[Any], private: bool, address: str) -> None:
    names.say("evil.example", address)
    for host in ("evil.example", f"[{address}]" if ":" in address else address):
        with pytest.raises(httpx.ConnectError) as caught:
            ask(f"http://{host}/latest/meta-data/", private=private)
        assert failure(caught.value) == "address"
    assert tries == []


def test_one_address_is_forbidden_and_one_refuses(ask: Ask, names: Names, tries: list[tuple[str, Any]]) -> None:
    names.say("many.example", "169.254.169.254", "127.0.0.2", "127.0.0.2", "fe80::1", "127.0.0.1")
    with Upstream(FINE) as upstream:
        assert ask(f"http://many.example:{port_of(upstream)}/", private=True) == 200
    assert [host for host, _ in tries] == ["127.0.0.2", "127.0.0.1"]
    assert upstream.received[0].headers["host"] == f"many.example:{port_of(upstream)}"


def test_every_address_refuses(ask: Ask, names: Names, tries: list[Any]) -> None:
    """Whoever answers for a name has no say in how often somebody knocks."""
    names.say("many.example", *(f"127.0.1.{number}" for number in range(1, 100)))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(httpx.ConnectError) as caught:
            ask(f"http://many.example:{closed.getsockname()[1]}/", private=True)
    assert failure(caught.value) == "connect"
    assert len(tries) == 8


def test_the_address_that_was_looked_at_is_the_one_that_is_used(ask: Ask, names: Names, tries: list[tuple[str, Any]]) -> None:
    """DNS rebinding: a name that has another address each time it is asked for."""
    turns = iter([["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"]])
    names.table["rebinding.example"] = lambda: next(turns)
    with Upstream(FINE) as upstream:
        assert ask(f"http://rebinding.example:{port_of(upstream)}/", private=True) == 200
    assert names.asked == ["rebinding.example"]
    assert [host for host, _ in tries] == ["127.0.0.1"]


@pytest.mark.parametrize("name", ["gone.example", f"{'a' * 64}.example"])
def test_a_name_that_has_no_address(ask: Ask, names: Names, name: str) -> None:
    def nothing() -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    names.table["gone.example"] = nothing
    with pytest.raises(httpx.ConnectError) as caught:
        ask(f"http://{name}/", private=True)
    assert failure(caught.value) == "connect"


# --- time ----------------------------------------------------------------------------------------------------------------


def test_a_name_that_takes_too_long(names: Names) -> None:
    """In an event loop alone: nothing can leave a resolver that blocks."""
    answer = threading.Event()

    def slow() -> list[str]:
        answer.wait(10)
        return ["127.0.0.1"]

    names.table["slow.example"] = slow

    async def run() -> None:
        async with open_async_client(private=True) as client:
            try:
                with pytest.raises(httpx.ConnectTimeout) as caught:
                    await client.get("http://slow.example/", timeout=httpx.Timeout(10, connect=0.05))
            finally:
                answer.set()
            assert failure(caught.value) == "timeout"

    asyncio.run(run())


def test_all_tries_together_take_no_longer_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(connecting, "time", SimpleNamespace(monotonic=lambda: now))
    share = connecting._shares(10)
    assert share(4) == 2.5
    now += 4
    assert share(3) == 2
    # One that was refused at once leaves its time to the others.
    assert share(2) == 3
    now += 20
    # Nothing is left, and 0 would tell a socket not to wait at all.
    assert 0 < (share(1) or 0) < 0.01


def test_no_timeout(ask: Ask, names: Names, tries: list[tuple[str, Any]]) -> None:
    names.say("many.example", "127.0.0.2", "127.0.0.1")
    with Upstream(FINE) as upstream:
        assert ask(f"http://many.example:{port_of(upstream)}/", private=True, timeout=None) == 200
    assert [timeout for _, timeout in tries] == [None, None]


@contextmanager
def sipping() -> Iterator[int]:
    """Take a little of what comes now and then; yield the port."""
    enough = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while not enough.wait(0.01) and self.request.recv(4096):
                pass

    with serving(Handler) as port:
        try:
            yield port
        finally:
            enough.set()


def test_a_server_that_takes_a_little_now_and_then() -> None:
    deadline = Deadline()
    with sipping() as port, open_client(private=True, deadline=deadline) as client:
        deadline.begin(0.3)
        with pytest.raises(httpx.WriteTimeout):
            client.post(f"http://127.0.0.1:{port}/", content=b"x" * 32_000_000)


def test_a_deadline_is_of_one_request(names: Names) -> None:
    names.say("kept.example", "127.0.0.1")
    deadline = Deadline()
    with keeping() as (port, counts, _), open_client(private=True, deadline=deadline) as client:
        url = f"http://kept.example:{port}/"
        assert client.get(url).status_code == 200
        deadline.begin(-1)
        with pytest.raises(httpx.WriteTimeout):
            client.get(url)
        with pytest.raises(httpx.ConnectTimeout):
            client.get(url)
        deadline.begin(10)
        for _ in range(2):
            assert client.get(url, timeout=None).status_code == 200
    assert counts == [1, 2]


# --- TLS -----------------------------------------------------------------------------------------------------------------


@contextmanager
def tls_server(authority: trustme.CA, name: str) -> Iterator[tuple[int, list[str | None]]]:
    """Answer over TLS, with a certificate for `name`; yield the port, and the names that clients ask for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    wanted: list[str | None] = []
    context.sni_callback = lambda _, host, __: wanted.append(host)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with context.wrap_socket(self.request, server_side=True) as client:
                    client.recv(65_536)
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            except OSError:
                # A client that does not believe the certificate hangs up.
                pass

    with serving(Handler) as port:
        yield port, wanted


@pytest.fixture
def authorities() -> Iterator[None]:
    """Have the authorities read anew, and forget them afterwards."""
    connecting._tls.cache_clear()
    yield
    connecting._tls.cache_clear()


@pytest.mark.usefixtures("authorities")
class TestTls:
    def test_the_certificate_is_the_names(
        self, ask: Ask, names: Names, tries: list[tuple[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ours.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ours.pem"))
        names.say("registry.example", "127.0.0.1")
        names.say("other.example", "127.0.0.1")
        with tls_server(authority, "registry.example") as (port, wanted):
            assert ask(f"https://registry.example:{port}/", private=True) == 200
            with pytest.raises(httpx.ConnectError) as caught:
                ask(f"https://other.example:{port}/", private=True)
        assert any(isinstance(error, ssl.SSLCertVerificationError) for error in chain(caught.value))
        assert failure(caught.value) == "connect"
        assert wanted == ["registry.example", "other.example"]
        assert [host for host, _ in tries] == ["127.0.0.1", "127.0.0.1"]

    def test_a_deadline(self, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        authority, deadline = trustme.CA(), Deadline()
        authority.cert_pem.write_to_path(str(tmp_path / "ours.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ours.pem"))
        names.say("registry.example", "127.0.0.1")
        with tls_server(authority, "registry.example") as (port, _), open_client(private=True, deadline=deadline) as client:
            deadline.begin(10)
            assert client.get(f"https://registry.example:{port}/").status_code == 200
        with sipping() as port, open_client(private=True, deadline=deadline) as client:
            deadline.begin(0.2)
            with pytest.raises(httpx.ConnectTimeout):
                client.get(f"https://registry.example:{port}/")

    def test_an_authority_that_nobody_knows(self, ask: Ask, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        monkeypatch.delenv("SSL_CERT_DIR", raising=False)
        names.say("registry.example", "127.0.0.1")
        with tls_server(trustme.CA(), "registry.example") as (port, _), pytest.raises(httpx.ConnectError) as caught:
            ask(f"https://registry.example:{port}/", private=True)
        assert any(isinstance(error, ssl.SSLCertVerificationError) for error in chain(caught.value))


# --- connections ---------------------------------------------------------------------------------------------------------


@contextmanager
def keeping() -> Iterator[tuple[int, list[int], threading.Event]]:
    """Answer whatever comes on connections that are kept; yield the port, the requests of each connection, and what tells of a close."""
    counts: list[int] = []
    closed = threading.Event()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            number = len(counts)
            counts.append(0)
            while self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                counts[number] += 1
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nok")
            closed.set()

    with serving(Handler) as port:
        yield port, counts, closed


def test_connections_are_kept_and_closed(ask: Ask, names: Names) -> None:
    names.say("kept.example", "127.0.0.1")
    with keeping() as (port, counts, closed):
        assert ask(f"http://kept.example:{port}/", private=True, times=3) == 200
        assert closed.wait(10)
    assert counts == [3]
    # A connection that is there needs no address.
    assert names.asked == ["kept.example"]


def test_many_threads_share_a_client() -> None:
    together = threading.Barrier(8)
    with keeping() as (port, counts, _), open_client(private=True) as client:

        def work() -> None:
            together.wait(10)
            for _ in range(5):
                client.get(f"http://127.0.0.1:{port}/")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert sum(counts) == 40
    assert len(counts) <= 8


def test_no_cookie_is_kept(ask: Ask) -> None:
    """Not even where it is never sent: there are as many as there are paths."""
    jars: list[Any] = []
    with keeping() as (port, _, _):
        ask(f"http://127.0.0.1:{port}/a/b", private=True, jars=jars)
    assert [list(jar) for jar in jars] == [[]]


def test_the_environments_proxies_are_not_asked(ask: Ask, monkeypatch: pytest.MonkeyPatch, listening: socket.socket) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listening.getsockname()[1]}")
    with Upstream(plain(302, [("Location", "http://127.0.0.1:1/")], b"")) as upstream:
        # Nor is a redirect followed.
        assert ask(f"http://{upstream.authority}/", private=True) == 302
    assert_nobody_came(listening)
