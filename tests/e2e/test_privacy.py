"""Privacy: whatever clients do, their address is in nothing that the gateway writes: not in its data, and not in its log."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.e2e.origin import Origin
from tests.e2e.running import DEADLINE_S, Client, Gateway, Programs, tool

pytestmark = pytest.mark.e2e

NEAR = "127.0.0.77"
"""Where clients are bound to."""
FAR, FAR6 = "198.51.100.177", "2001:db8:77:88::99"
"""What a trusted proxy on `NEAR` says of its own clients."""

ROUGH = (
    b"GET /%s HTTP/1.1\r\nHost: \x00\r\n\r\n",
    b"\x16\x03\x01 %s",
    b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n%s",
)
"""What no client of HTTP would send."""

DIGEST = f"sha256:{'ab' * 32}"


def config(origin: Origin, sink: Path | None) -> dict[str, Any]:
    """Return packages of every type, one sink on standard output and one at `sink`, or the embedded ones."""
    image = {"type": "container", "domain": "localhost", "backend-scheme": "http", "strategy": "proxy"}
    host: dict[str, Any] = {"domain": "localhost"}
    file = {"file-name": "skates-1.0.zip", "url": f"{origin.url}/file"}
    target = origin.url + "/file?v={version}"
    packages = [
        {"name": "cli", "type": "file", **host, "incoming-path": "/get/{platform}/{version}", "outgoing-url": target},
        {"name": "any", "type": "file", **host, "incoming-path": "/any/{+path}"},
        {"name": "docs", "type": "pixel", **host, "incoming-path": "/a.png"},
        {"name": "usage", "type": "event", **host, "incoming-path": "/v1/{event}"},
        {"name": "skates", "type": "python", **host, "files": [file]},
        {"name": "wheels", "type": "python", **host, "index": f"{origin.url}/index"},
        {"name": "acme", "type": "npm", **host, "registry": f"{origin.url}/registry", "scopes": ["@acme"]},
        {"name": "old", "type": "catch-all", "domain": "*.localhost", "redirect-target-domain": origin.url},
        {"name": "acme/skates", **image, "backend": f"{origin.authority}/acme/skates"},
        # Nobody listens on port 1.
        {"name": "acme/gone", **image, "domain": "gone.localhost", "backend": "127.0.0.1:1/acme/gone"},
        {"name": "gone-wheels", "type": "python", **host, "index": "http://127.0.0.1:1/simple"},
        {"name": "gone", "type": "npm", **host, "registry": "http://127.0.0.1:1", "scopes": ["@gone"]},
    ]
    collection = {"domain": "localhost", "pattern": "acme/*", "backend": origin.authority, "backend-scheme": "http", "strategy": "proxy"}
    return {
        "gateway": {"trusted-proxies": [NEAR], "default-domain": "localhost", "allow-private-backends": True},
        "packages": packages,
        "collections": [collection],
        "sinks": [{"type": "jsonl", "path": "-"}, {"type": "jsonl", "path": str(sink)}] if sink else [],
    }


def lay_indexes(origin: Origin) -> None:
    """Lay ready a page of a Python index, and a document of an npm registry."""
    package = {"name": "@acme/wheels", "versions": {"1.0.0": {"name": "@acme/wheels", "version": "1.0.0", "dist": {"tarball": "/file"}}}}
    origin.files |= {"/index/wheels/": b'<a href="/file/wheels-1.0.zip">wheels</a>', "/registry/@acme/wheels": json.dumps(package).encode()}
    origin.types |= {"/index/wheels/": "text/html", "/registry/@acme/wheels": "application/json"}


def requests(address: str) -> Iterator[list[str]]:
    """Yield curl's arguments for one request each, "~" standing for the gateway: the address wherever a client can put it."""
    escaped = quote(address, safe="")
    dotted = "".join(f"%{ord(character):02X}" for character in address)
    agent, link = f"probe/1.0 (+http://{address}/)", f"Referer: http://{address}/page?from={address}"
    yield ["~/get/linux/1.0"]
    yield ["-I", "~/get/linux/1.0"]
    yield ["-L", "~/get/linux/1.0"]
    for spelling in (escaped, dotted):
        yield [f"~/get/{spelling}/{spelling}?ip={spelling}&{spelling}=ip&url=http%3A%2F%2F{spelling}%2F"]
        yield [f"~/any/{spelling}/x/{spelling}"]
        yield [f"~/a.png?page=http%3A%2F%2F{spelling}%2F"]
        yield [f"~/v1/{spelling}?{spelling}={spelling}"]
        yield [f"~/nothing/{spelling}"]
        yield [f"~/simple/{spelling}/"]
        yield [f"~/simple/skates/skates-1.0.zip?ip={spelling}"]
        yield [f"~/simple/wheels/?ip={spelling}"]
        yield [f"~/simple/wheels/wheels-1.0.zip?ip={spelling}"]
        for project in ("wheels", "gone-wheels"):
            yield [f"~/simple/{project}/{project}-{spelling}.zip.metadata"]
        yield [f"~/npm/@acme/wheels?ip={spelling}"]
        yield [f"~/npm/@acme/wheels/-/wheels-1.0.0.tgz?ip={spelling}"]
        yield [f"~/npm/@acme/wheels/{spelling}"]
        for scope in ("acme", "gone"):
            # IPv4 addresses are well-formed names of packages, too.
            yield [f"~/npm/@{scope}%2f{spelling}"]
            yield [f"~/npm/@{scope}/{spelling}/-/{spelling}-1.0.0.tgz"]
    yield ["~/simple/skates/"]
    yield ["-A", agent, "-H", link, "~/a.png"]
    yield ["-A", f"{address}/{address} ({address}; {address})", "-H", link, "~/get/linux/1.0"]
    yield ["-A", f'pip/24.0 {{"installer":{{"name":"pip","version":"{address}"}},"python":"{address}"}}', "~/simple/skates/"]
    yield ["-H", f"X-Real-IP: {address}", "-H", f"Client-IP: {address}", "-b", f"ip={address}", "~/get/linux/1.0"]
    deep = {"list": [address, {"x": f"at {address}!"}]}
    body = json.dumps({"ip": address, address: "ip", "deep": deep, "version": address, "platform": address})
    spelled = "".join(f"\\u{ord(character):04x}" for character in address)
    for text in (body, f"{body}\n{body}\n", f'[{{"ip": "{spelled}", "{spelled}": 1}}]'):
        yield ["--json", text, "~/v1/start"]
        yield ["--json", text, "~/get/linux/1.0"]
    yield ["-d", body, "~/get/linux/1.0"]
    yield ["-d", body[:-5], "~/v1/start"]
    yield ["-d", "@large", "~/v1/start"]
    yield ["-H", "Sec-GPC: 1", f"~/get/linux/1.0?ip={address}"]
    yield ["-A", agent, "~/v2/"]
    for name in ("acme/skates", "acme/cut", "acme/unknown"):
        yield ["-A", agent, f"~/v2/{name}/manifests/1.0?ip={escaped}"]
        yield [f"~/v2/{name}/blobs/{DIGEST}"]
    yield ["-I", "~/v2/acme/skates/manifests/1.0"]
    if ":" not in address:
        # Addresses are well-formed tags and names of images, and of hosts.
        yield [f"~/v2/acme/skates/manifests/{address}"]
        yield [f"~/v2/acme/{address}/manifests/1.0"]
    for host in (f"{address}.localhost" if ":" not in address else "old.localhost", "gone.localhost"):
        yield ["-H", f"Host: {host}", f"~/v2/acme/gone/manifests/1.0?ip={escaped}"]
        yield ["-H", f"Host: {host}", "-A", agent, f"~/from/{escaped}"]
    yield ["-H", f"Host: {f'[{address}]' if ':' in address else address}", "~/get/linux/1.0"]
    yield ["-H", f"Host: {address} {address}", "~/get/linux/1.0"]
    yield ["-0", "-H", "Host:", "~/get/linux/1.0"]
    upgrade = ["-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13"]
    yield [*upgrade, "-H", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", f"~/get/linux/{escaped}"]
    yield ["-X", "BREW", f"~/get/linux/{escaped}"]
    yield ["-H", f"X-Long: {address * (100_000 // len(address))}", "~/get/linux/1.0"]
    yield ["-H", f"Transfer-Encoding: {address}", "-d", "x", "~/get/linux/1.0"]


def load(gateway: Gateway, client: Client) -> None:
    """Send everything, for each of the addresses."""
    curl = [tool("curl", "curl"), "-s", "-g", "--path-as-is", "--interface", NEAR, "--max-time", str(int(DEADLINE_S)), "-o", os.devnull]
    (client.home / "large").write_text("x" * 3_000_000)
    for address, through in ((NEAR, []), (FAR, [f"X-Forwarded-For: {FAR}"]), (FAR6, [f'Forwarded: for="[{FAR6}]:4711";proto=https'])):
        headers = [part for line in through for part in ("-H", line)]
        for arguments in requests(address):
            *options, place = arguments
            # Several of these are nothing that a server could answer; that is their own affair.
            client.attempt(*curl, *headers, *options, place.replace("~", gateway.url, 1))
        for rough in ROUGH:
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=DEADLINE_S, source_address=(NEAR, 0)) as connection:
                connection.sendall(rough % address.encode())
                connection.shutdown(socket.SHUT_WR)
                with suppress(ConnectionError):
                    while connection.recv(65536):
                        pass


def forms(address: str) -> set[bytes]:
    """Return how the address may stand in a file: as text, escaped, and packed."""
    packed = ip_address(address).packed
    texts = {address, quote(address, safe=""), "".join(f"%{ord(character):02X}" for character in address)}
    texts |= {packed.hex(), packed.hex(":"), str(int.from_bytes(packed, "big")), ip_address(address).exploded}
    return {form for text in texts for form in (text.encode(), text.upper().encode(), text.encode("utf-16-le"))} | {packed}


def line_of(content: bytes, form: bytes) -> bytes:
    """Return the line that holds `form`, as far as that."""
    end = content.index(form) + len(form)
    return content[content.rfind(b"\n", 0, end - len(form)) + 1 : end]


@pytest.mark.parametrize(("workers", "level", "shipped"), [(1, "debug", False), (1, "info", True), (2, "info", True)])
def test_no_address_at_rest(workers: int, level: str, shipped: bool, client: Client, programs: Programs, origin: Origin) -> None:
    for name in ("skates", "cut"):
        origin.files |= {f"/v2/acme/{name}/manifests/1.0": b"{}" * 200, f"/v2/acme/{name}/blobs/{DIGEST}": bytes(300_000)}
    origin.files |= {"/v2/": b"{}", "/file": b"eight wheels\n"}
    lay_indexes(origin)
    origin.files |= {f"/v2/acme/{NEAR}/manifests/1.0": b"{}", f"/v2/acme/skates/manifests/{NEAR}": b"{}"}
    origin.cut |= {path for path in origin.files if "/cut/" in path}
    sink = programs.folder / "gateway" / "shipped.jsonl" if shipped else None
    gateway = programs.serve(config(origin, sink), "--workers", str(workers), "--log-level", level)
    load(gateway, client)
    client.run(tool("curl", "curl"), "-fsS", "-o", os.devnull, f"{gateway.url}/get/linux/last")

    events = gateway.events()
    # Everything was there to be written down, and without the address there is still something to see.
    assert {event.kind for event in events} == {"download", "view", "event", "metadata", "manifest", "blob", "ping"}
    assert {event.decision for event in events} == {"redirect", "respond", "proxy"}
    assert len(events) > 100
    for package, kind in (("wheels", "metadata"), ("wheels", "download"), ("@acme/wheels", "metadata"), ("@acme/wheels", "download")):
        assert any((event.package, event.kind, event.status < 400) == (package, kind, True) for event in events), (package, kind)
    assert any(event.package == "@gone/[address]" for event in events)
    assert any("[address]" in str(event.variables) for event in events)
    assert any("[address]" in (event.user_agent or "") for event in events)
    assert events[-1].version == "last"

    assert gateway.program.stop() == 0
    written = {path: path.read_bytes() for path in (*gateway.data_dir.rglob("*"), gateway.program.log) if path.is_file()}
    assert any(path.suffix == ".jsonl" for path in written)
    if sink:
        assert b'"version":"last"' in written[sink]
    everything = {**written, Path("names"): "\n".join(map(str, written)).encode()}
    kept = {form for address in (NEAR, FAR, FAR6) for form in forms(address)}
    assert not [(path.name, line_of(content, form)) for path, content in everything.items() for form in kept if form in content]
