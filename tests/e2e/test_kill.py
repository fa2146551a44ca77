"""``kill -9`` of a server under load: whoever had an answer is in the journal, and nobody's address is anywhere."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.served import Served

CONFIG = """\
packages:
  - name: cli
    type: file
    domain: get.acme.example
    incoming-path: "/{request}/cli.tgz"
    outgoing-url: "https://cdn.acme.example/{request}.tgz"
  - {name: usage, type: event, domain: in.acme.example, incoming-path: "/v1/{request}"}
sinks: []
"""
REQUESTS = 10_000
CONNECTIONS = 16
# Addresses that could be taken for nothing else; loopback has sixteen million.
ADDRESSES = [f"127.77.{number}.213" for number in range(1, CONNECTIONS + 1)]
SECONDS = 30.0


class Load:
    """Keep-alive clients, each with its own address, that ask until the server is gone.

    Args:
        port: of the server.
        kill_after: the number of answers after which `kill` is called, once.
        kill: ends the server.
    """

    def __init__(self, port: int, kill_after: int, served: Served) -> None:
        self._port = port
        self._kill_after = kill_after
        self._served = served
        self._numbers: Iterator[int] = itertools.count()
        self.asked: set[str] = set()
        self.answered: set[str] = set()

    async def run(self) -> None:
        await asyncio.wait_for(asyncio.gather(*(self._client(address) for address in ADDRESSES)), SECONDS)

    async def _client(self, address: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        try:
            for number in self._numbers:
                if number >= REQUESTS:
                    return
                name = f"{address.replace('.', 'x')}-{number}"
                self.asked.add(name)
                writer.write(_request(name, number, address))
                await writer.drain()
                await _answer(reader)
                self.answered.add(name)
                if len(self.answered) == self._kill_after:
                    self._served.kill()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


def _request(name: str, number: int, address: str) -> bytes:
    """Write a download, a query, a body or a HEAD: each way in which an answer may end; some hold the address, as careless scripts do."""
    agent = f"User-Agent: load/{number % 50}\r\n" if number % 7 else f"User-Agent: load (from {address})\r\n"
    if number % 4 == 0:
        return f"GET /{name}/cli.tgz HTTP/1.1\r\nHost: get.acme.example\r\n{agent}\r\n".encode()
    if number % 4 == 1:
        return f"HEAD /{name}/cli.tgz?from={address} HTTP/1.1\r\nHost: get.acme.example\r\n{agent}\r\n".encode()
    if number % 4 == 2:
        return f"GET /v1/{name}?ip={address} HTTP/1.1\r\nHost: in.acme.example\r\n{agent}\r\n".encode()
    body = f'{{"ip": "{address}"}}'
    return f"POST /v1/{name} HTTP/1.1\r\nHost: in.acme.example\r\n{agent}Content-Length: {len(body)}\r\n\r\n{body}".encode()


async def _answer(reader: asyncio.StreamReader) -> None:
    """Read one answer to its very end; none of them has a body."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 302", b"HTTP/1.1 200")), head
    assert b"content-length: 0" in head.lower()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.e2e
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kill_after", [1, 500, 7_000])
def test_whoever_was_answered_is_in_the_journal(config: Path, tmp_path: Path, workers: int, kill_after: int) -> None:
    with Served(config, tmp_path / "data", ["--workers", str(workers)]) as served:
        load = Load(served.port, kill_after, served)
        asyncio.run(load.run())
        assert served.process.returncode is not None, "it was never killed"
        assert kill_after <= len(load.answered) < REQUESTS
        kept = [event["variables"]["request"] for event in served.events()]
        assert load.answered - set(kept) == set()
        # Nor is anything there that nobody asked for, or twice.
        assert set(kept) <= load.asked
        assert len(kept) == len(set(kept))
        _no_address(tmp_path, served)


@pytest.mark.e2e
def test_no_answer_is_ahead_of_its_event(config: Path, tmp_path: Path) -> None:
    """Freeze the server the moment its answer is read: what it has not written by then, a kill would have lost."""
    with Served(config, tmp_path / "data") as served, socket.create_connection(("127.0.0.1", served.port), 20, (ADDRESSES[0], 0)) as client:
        late = []
        for number in range(400):
            client.sendall(_request(f"n{number}", number, ADDRESSES[0]))
            assert client.recv(65536).endswith(b"\r\n\r\n")
            served.send(signal.SIGSTOP)
            try:
                if served.events()[-1:] == [] or served.events()[-1]["variables"]["request"] != f"n{number}":
                    late.append(number)
            finally:
                served.send(signal.SIGCONT)
        assert late == []


@pytest.mark.e2e
def test_ten_thousand_requests_and_an_orderly_end(config: Path, tmp_path: Path) -> None:
    with Served(config, tmp_path / "data", ["--workers", "2", "--log-level", "debug"]) as served:
        load = Load(served.port, -1, served)
        asyncio.run(load.run())
        assert len(load.answered) == REQUESTS
        assert served.stop() == 0
        assert {event["variables"]["request"] for event in served.events()} == load.answered
        assert len(served.events()) == REQUESTS
        _no_address(tmp_path, served)


def _no_address(folder: Path, served: Served) -> None:
    """Look through every file, and everything that was logged, for the clients' addresses, as text and as the bytes of one."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".jsonl" for path in files)
    texts = {str(path): path.read_bytes() for path in files} | {"standard error": served.errors.encode()}
    for address in ADDRESSES:
        for name, text in texts.items():
            assert address.encode() not in text, f"{address} in {name}"
            # The salts are random bytes: four of them may be anything.
            assert name.endswith(".salt") or bytes(map(int, address.split("."))) not in text, f"{address} in {name}"
