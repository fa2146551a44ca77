"""A week's traffic from real clients, in two minutes: every sink, a crash, an import and an export; and afterwards no address anywhere.

What time does to it, the salts of days and months, is in tests/property/test_week.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from attrs import frozen

from gatewaycore.sinks import SINKS
from tests.addresses import escapes, found_in, spellings, stand_in
from tests.clickhouse import Clickhouse
from tests.databases import Postgres
from tests.e2e.images import OCI, write_layout
from tests.e2e.origin import Origin
from tests.e2e.report import Table
from tests.e2e.running import DEADLINE_S, Client, Gateway, Programs, module, tool
from tests.e2e.test_privacy import DIGEST, NEAR, ROUGH, config, lay_indexes, requests
from tests.e2e.test_python import FILE, REQUIREMENT, WHEEL, WHEEL_PATH, pip, uv
from tests.kafka import Kafka
from tests.queues import Nats
from tests.receiver import Delivery, Receiver
from tests.stores import Stores, files

pytestmark = pytest.mark.e2e

OPTED_OUT = "optedout"
"""Stands in everything that somebody sends who has opted out, and in nothing else."""
POISON = "poison"
"""What the receiver of webhooks never takes; what it was offered is looked through all the same."""
CLAIMED = "203.0.113.99"
"""Whom a client that nobody trusts says that it speaks for."""
IMPORTED = ("203.0.113.61", "2001:db8:61::a7", "::ffff:203.0.113.62")

_LARGE = 8_000_000
"""Bytes from which on a place is searched for the usual spellings only: the files of servers would take minutes."""


@frozen
class Caller:
    """Somebody who calls.

    Attributes:
        address: the caller's own.
        bound: where its connections come from.
        says: what the proxy there, or the caller itself, says of it.
    """

    address: str
    bound: str
    says: tuple[str, ...] = ()

    def curl(self, *options: str, place: str) -> list[str]:
        """Return curl's arguments for one request."""
        family = "-6" if ":" in self.bound else "-4"
        fields = [part for line in self.says for part in ("-H", line)]
        # Registries' errors, headers and pages name what was asked for; what the gateway itself says does not.
        quiet = ["-o", os.devnull] if "-I" in options or "/v2/" in place else []
        common = ["-s", "-g", "--path-as-is", family, "--interface", self.bound, "--max-time", str(int(DEADLINE_S))]
        return [*common, *fields, *quiet, *options, place]


DIRECT = (Caller("127.0.0.101", "127.0.0.101"), Caller("127.0.0.102", "127.0.0.102", (f"X-Forwarded-For: {CLAIMED}",)))
HERE6 = Caller("::1", "::1")
BEHIND = (
    Caller("203.0.113.7", NEAR, ("X-Forwarded-For: 203.0.113.7",)),
    Caller("203.0.113.18", NEAR, (f"X-Forwarded-For: {CLAIMED}, 203.0.113.18:4711",)),
    Caller("203.0.113.29", NEAR, ('Forwarded: For="[::FFFF:203.0.113.29]:4711";proto=https;by=_hidden',)),
    Caller("2001:db8:7::99", NEAR, ("X-Forwarded-For: 2001:DB8:0007:0:0::99",)),
    Caller("2001:db8:8:88::1:2", NEAR, ('Forwarded: for="[2001:0db8:0008:0088:0000:0000:0001:0002]:4711"',)),
)
FRONTED = {name: f"203.0.113.{number}" for number, name in enumerate(("wget", "pip", "uv", "skopeo", "python"), 41)}
"""Clients that cannot say where they call from: each comes through a proxy of its own."""


def sought() -> set[str]:
    """Return all addresses but ::1, which is too short to be told from other bytes: that is looked for in texts only."""
    return {caller.address for caller in (*DIRECT, *BEHIND)} | {*FRONTED.values(), *IMPORTED, CLAIMED, NEAR}


def spelled(address: str) -> Iterator[list[str]]:
    """Yield curl's arguments for requests with an address in every spelling, "~" standing for the gateway."""
    for text in spellings(address):
        # Behind "1." an IPv4 address would be a part of a version, and stay.
        before = "1." if "::" in text or text.count(":") > 4 else "1-"
        for escaped in escapes(text):
            link = f"http://{text}/{escaped}?from={escaped}"
            yield ["-A", f"probe/1 ({text}; {escaped})", "-e", link, f"~/get/{escaped}/{before}{escaped}?ip={escaped}&{escaped}=x"]
        yield ["-A", f"{'x' * (1_024 - len(text) // 2)}{text}", f"~/a.png?page=http://{escapes(text)[1]}/"]
        yield ["--json", json.dumps({"ip": text, text: 1, "deep": [{"x": f"at {text}!"}]}), f"~/v1/start?from={escapes(text)[0]}"]


def opting_out() -> Iterator[list[str]]:
    """Yield curl's arguments for requests of somebody who has opted out."""
    for field in ("Sec-GPC: 1", "DNT: 1"):
        said = ["-H", field, "-A", OPTED_OUT, "-e", f"http://{OPTED_OUT}.example/"]
        yield [*said, f"~/get/{OPTED_OUT}/1?x={OPTED_OUT}"]
        yield [*said, f"~/a.png?x={OPTED_OUT}"]
        yield [*said, "--json", json.dumps({OPTED_OUT: OPTED_OUT}), "~/v1/start"]
        yield [*said, f"~/simple/skates/?{OPTED_OUT}"]
        yield [*said, f"~/v2/acme/skates/manifests/{OPTED_OUT}"]
        yield [*said, "-H", f"Host: {OPTED_OUT}.localhost", "~/from"]


def call(gateway: Gateway, client: Client, caller: Caller) -> bytes:
    """Send everything from one caller, on as few connections as curl likes; return the bodies of what the gateway has said."""
    command = [tool("curl", "curl")]
    for *options, place in (*requests(caller.address), *spelled(caller.address), *opting_out()):
        command += ["--next", *caller.curl(*options, place=place.replace("~", gateway.url, 1))]
    # Several of these are nothing that a server could answer; that is their own affair.
    found = client.attempt(*command)
    source = ((caller.bound, 0, 0, 0) if ":" in caller.bound else (caller.bound, 0))[:2]
    host = "::1" if ":" in caller.bound else "127.0.0.1"
    for rough in ROUGH:
        with socket.create_connection((host, gateway.port), DEADLINE_S, source) as connection, suppress(ConnectionError):
            connection.sendall(rough % caller.address.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    return found.output + found.said.encode()


@contextmanager
def fronted(gateway: Gateway, address: str) -> Iterator[str]:
    """Run a reverse proxy on `NEAR`, as operators have one, all of whose clients have this address; yield its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE_S, source_address=(NEAR, 0))
            try:
                connection.request(self.command, self.path, headers={**dict(self.headers.items()), "X-Forwarded-For": address})
                answer = connection.getresponse()
                body = answer.read()
            except (HTTPException, ConnectionError):
                self.close_connection = True
                return
            finally:
                connection.close()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def install(gateway: Gateway, client: Client) -> None:
    """Download, install and pull with the programs that people have."""
    one = {name: fronted(gateway, address) for name, address in FRONTED.items()}
    with one["wget"] as place:
        agent = f"Wget/1.21 (from {FRONTED['wget']})"
        client.run(tool("wget", "wget"), "-q", "-O", os.devnull, "-U", agent, f"http://{place}/get/{FRONTED['wget']}/1.0")
    with one["pip"] as place:
        client.run(*pip("install", f"http://{place}/simple", "--target", str(client.home / "pip"), REQUIREMENT))
    with one["uv"] as place:
        client.run(*uv(f"http://{place}/simple", "--target", str(client.home / "uv"), REQUIREMENT))
    with one["skopeo"] as place:
        copy = ["--insecure-policy", "copy", "--src-tls-verify=false", f"docker://{place}/acme/skates:1.0", f"oci:{client.home}/pulled:x"]
        client.run(tool("skopeo", "skopeo"), *copy)
    with one["python"] as place:
        asked = f"import urllib.request as u; u.urlopen('http://{place}/v1/start?ip={FRONTED['python']}').read()"
        client.run(sys.executable, "-c", asked)


def settings(origin: Origin, stores: Stores) -> dict[str, Any]:
    """Return the configuration of everything, with every sink."""
    whole = config(origin, None)
    whole["packages"].append(
        {"name": "rocket-skates", "type": "python", "domain": "localhost", "files": [{"file-name": FILE, "url": origin.url + WHEEL_PATH}]}
    )
    return {**whole, "sinks": stores.sinks}


def fill(origin: Origin, folder: Path) -> None:
    """Lay ready what the gateway leads to: a wheel, an image, one whose answers break off, and a file."""
    image = write_layout(folder, "1.0", "1.0-all")
    blobs = {f"sha256:{path.name}": path.read_bytes() for path in (folder / "blobs/sha256").iterdir()}
    for name in ("skates", "cut"):
        origin.files |= {f"/v2/acme/{name}/{kind}/{digest}": blob for digest, blob in blobs.items() for kind in ("manifests", "blobs")}
        origin.files |= {f"/v2/acme/{name}/manifests/1.0": blobs[image.manifest], f"/v2/acme/{name}/blobs/{DIGEST}": bytes(300_000)}
        origin.files[f"/v2/acme/{name}/manifests/{OPTED_OUT}"] = blobs[image.manifest]
    origin.files |= {"/v2/": b"{}", "/file": b"eight wheels\n", WHEEL_PATH: WHEEL.build()}
    lay_indexes(origin)
    origin.types |= {path: OCI.manifest for path in origin.files if "/manifests/" in path}
    origin.cut |= {path for path in origin.files if "/cut/" in path}


def serve(programs: Programs, file: Path, name: str, level: str) -> Gateway:
    """Serve with three workers, where there is IPv6 for both families."""
    host = "::" if socket.has_dualstack_ipv6() else "127.0.0.1"
    command = [*module("gatewaycore"), "serve", str(file), "--host", host, "--port", "0", "--workers", "3", "--log-level", level]
    program = programs.start(name, command)
    return Gateway(program, program.listen(r"http://\S+:(\d+)"), programs.folder / "gateway")


def refuse() -> Any:
    """Return how a receiver answers that is busy at first, and never takes some events."""
    busy = [503, 500]

    def answer(delivery: Delivery) -> tuple[int, Mapping[str, str]] | None:
        if busy:
            return busy.pop(), {}
        return (422, {}) if any(POISON.encode() in line for line in delivery.lines) else None

    return answer


def write_import(file: Path) -> None:
    """Write what another product has kept, addresses and all; a line of it is from somebody who has opted out, and some cannot be used."""
    rows: list[dict[str, Any]] = []
    for number, address in enumerate(IMPORTED * 10):
        text = spellings(address)[number % len(spellings(address))]
        agent = f"curl/8 ({text})" if number % 2 else f"{'x' * 1_020}{address}"
        row = {
            "$time": f"2026-01-02T03:04:{number:02d}Z",
            "$package": "usage",
            "$remote_address": address,
            "$user_agent": agent,
            "seen": text,
            "read": "fromafile",
        }
        rows.append({**row, text: "x", "$version": escapes(text)[number % 6], "deep": {"x": [f"at {text}"]}})
    rows.append({**rows[0], "$headers": {"DNT": "1"}, "said": OPTED_OUT})
    rows.append({**rows[0], "$remote_address": f"{IMPORTED[0]} and {IMPORTED[1]}"})
    rows.append({**rows[0], "$time": IMPORTED[0]})
    rows.append({**rows[0], "$package": IMPORTED[1]})
    rows.append({**rows[0], "ip": IMPORTED[1]})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + f'{{"$remote_address": "{IMPORTED[0]}", \n')


def search(places: Mapping[str, bytes], addresses: set[str], table: Table | None = None) -> dict[str, list[str]]:
    """Return what is found where; nothing where there is nothing."""
    found = {}
    for place, content in places.items():
        if len(content) < _LARGE:
            found[place] = found_in(content, addresses)
        else:
            # As text only what is of this machine: its four bytes, with zeros among them, stand anywhere.
            near = {address for address in addresses if address.startswith("127.")}
            found[place] = stand_in(content, addresses - near) + [address for address in near if address.encode() in content]
        if table:
            table.figures.append(f"a week's traffic: {place:<24} {len(content):>12,} bytes searched, {len(found[place])} addresses found")
    return {place: addresses for place, addresses in found.items() if addresses}


def gathered(contents: Mapping[str, bytes]) -> bytes:
    return b"\n".join(contents.values())


def places_of(data: Path) -> dict[str, bytes]:
    """Return what a data-dir holds, by what it is."""
    found: dict[str, bytes] = {}
    for name, content in files(data).items():
        place = f"data-dir, {name.partition('/')[0]}"
        found[place] = found.get(place, b"") + b"\n" + content
    return found


def planted(data: Path, copy: Path, address: str) -> None:
    """Check that an address is found which stands in a copy of a data-dir: in a database, in a journal, and in the name of a file."""
    shutil.copytree(data, copy)
    assert search(places_of(copy), {address}) == {}
    with sqlite3.connect(copy / "state.sqlite3") as state:
        state.execute("CREATE TABLE planted (x)")
        state.execute("INSERT INTO planted VALUES (?)", (f"from {address}",))
    state.close()
    journal = min((copy / "journal").glob("*.jsonl"))
    journal.write_bytes(journal.read_bytes() + f'{{"page":"http://{escapes(address)[2]}/"}}\n'.encode())
    (copy / f"{address}.log").touch()
    assert search(places_of(copy), sought()) == {f"data-dir, {name}": [address] for name in ("state.sqlite3", "journal", "names")}


def test_a_weeks_traffic_leaves_no_address(
    client: Client,
    programs: Programs,
    origin: Origin,
    postgres: Postgres,
    nats: Nats,
    clickhouse: Clickhouse,
    kafka: Kafka,
    table: Table,
) -> None:
    since = time.time()
    fill(origin, programs.folder / "layout")
    (client.home / "large").write_text("x" * 3_000_000)
    callers = [*DIRECT, *BEHIND, *([HERE6] if socket.has_dualstack_ipv6() else [])]
    curl = [tool("curl", "curl"), "-fsS", "-4", "-o", os.devnull]
    with Receiver(refuse()) as receiver, ThreadPoolExecutor(3) as pool:
        stores = Stores(programs.folder / "stores", postgres, nats, clickhouse, kafka, receiver)
        assert {sink["type"] for sink in stores.sinks} == set(SINKS)
        stores.folder.mkdir()
        file = programs.configure(settings(origin, stores))

        gateway = serve(programs, file, "before", "debug")
        bodies = list(pool.map(lambda caller: call(gateway, client, caller), callers[::2]))
        client.run(*curl, f"{gateway.url}/get/linux/first")
        os.killpg(gateway.program.pid, signal.SIGKILL)
        gateway.program.stop()
        # What a disk may make of a line: no sink takes it.
        broken = min((gateway.data_dir / "journal").glob("*.jsonl"))
        broken.write_bytes(broken.read_bytes().rpartition(b"\n")[0] + b'\n{"unreadable": true}\n')

        gateway = serve(programs, file, "after", "info")
        bodies += pool.map(lambda caller: call(gateway, client, caller), callers[1::2])
        client.run(*curl, f"{gateway.url}/get/linux/{POISON}")
        install(gateway, client)
        write_import(client.home / "old.ndjson")
        said = [client.attempt(*module("gatewaycore"), "import", "old.ndjson", "-c", str(file))]
        client.run(*curl, f"{gateway.url}/get/linux/last")
        assert gateway.program.stop() == 0
        said.append(client.run(*module("gatewaycore"), "ship", "--once", str(file)))
        said.append(client.run(*module("gatewaycore"), "export", "-c", str(file), "-o", str(programs.folder / "export.csv")))
        said.append(client.run(*module("gatewaycore"), "journal", "stat", str(file)))
        postgres.ask(stores.database, "CHECKPOINT")
        kept = stores.contents()

    # Everything was there to be written down, and without addresses there is still something to see.
    assert said[0].status == 1, said[0]
    for place, content in kept.items():
        assert [word for word in (b"first", b"last", b"[address]", b"fromafile") if word not in content] == [], place
    assert POISON.encode() in kept["postgres"]
    assert POISON.encode() not in b"".join(receiver.events.values())
    aside = b"".join(path.read_bytes() for path in (gateway.data_dir / "set-aside").iterdir())
    assert b"unreadable" in aside
    for agent in (b"Wget", b"pip", b"uv", b"skopeo", b"Python-urllib"):
        assert agent in kept["postgres"], agent

    places = {
        **places_of(gateway.data_dir),
        **kept,
        "files of sinks": gathered(files(stores.folder)),
        "files of PostgreSQL": gathered(files(postgres.folder, since)),
        "files of NATS": gathered(files(nats.program.log.parent, since)),
        "log before": (programs.folder / "before.log").read_bytes(),
        "log after": (programs.folder / "after.log").read_bytes(),
        "answers": b"\n".join(bodies),
        "commands": b"\n".join(one.output + one.said.encode() for one in said),
        "export": (programs.folder / "export.csv").read_bytes(),
    }
    assert search(places, sought(), table) == {}
    texts = [
        name for name in places if name in kept or name.startswith("log") or name in ("answers", "commands", "export", "data-dir, journal")
    ]
    assert search({name: places[name] for name in texts}, {HERE6.address}) == {}
    assert not [name for name, content in places.items() if OPTED_OUT.encode() in content]
    planted(gateway.data_dir, programs.folder / "copy", BEHIND[3].address)
