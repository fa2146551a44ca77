"""Marked requests, through both adapters: what a trusted proxy sends twice is one event, and nobody else can say that it is."""

from __future__ import annotations

import time
from pathlib import Path
from uuid import uuid4

import pytest

from gatewaycore import Service
from gatewaycore.recorder import decode
from gatewaycore.segments import read_lines, segments
from tests.adapters import ADAPTERS, Adapter
from tests.worlds import Asked

FILE = """
packages:
  - {name: cli, type: file, domain: get.acme.example, incoming-path: "/{version}", outgoing-url: "https://cdn.acme.example/{version}"}
  - {name: usage, type: event, domain: in.acme.example, incoming-path: /v1}
sinks: []
"""


def ids(folder: Path) -> list[str]:
    return [decode(line).id for segment in segments(folder) for line in read_lines(segment, limit_bytes=1 << 30)[0]]


def asked(header: str) -> list[Asked]:
    """Return a request for a file and one with two events in its body, each several times, as a proxy sends them to several nodes."""
    one, other = ((header, f"{time.time_ns() // 1_000_000}-{uuid4()}") for _ in range(2))
    # The third answer of its kind is one that the gateway keeps.
    files = [Asked("GET", "https://get.acme.example/1.2", (one,))] * 3
    return [*files, *[Asked("POST", "https://in.acme.example/v1", (other,), b'{"a": "1"}\n{"a": "2"}')] * 2]


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
@pytest.mark.parametrize(
    ("settings", "header", "is_believed"),
    [
        ("trusted-proxies: [203.0.113.0/24], request-id-header: x-acme-request", "X-Acme-Request", True),
        ("trusted-proxies: [203.0.113.0/24], request-id-header: x-acme-request", "X-Request-Id", False),
        ("trusted-proxies: [203.0.113.0/24]", "X-Request-Id", False),
        ("trusted-proxies: [192.0.2.0/24], request-id-header: X-Request-Id", "X-Request-Id", False),
    ],
)
def test_what_a_trusted_proxy_sends_twice_is_one_event(
    tmp_path: Path, adapter: Adapter, settings: str, header: str, is_believed: bool
) -> None:
    file, requests = tmp_path / "gateway.yaml", asked(header)
    file.write_text(FILE + f"gateway: {{data-dir: {tmp_path / 'data'}, {settings}}}\n")
    for _ in range(2):
        with Service.from_file(file) as service:
            adapter.ask(service, requests)
    found = ids(tmp_path / "data" / "journal")
    assert len(found) == 14
    assert len(set(found)) == (3 if is_believed else 14)


def test_a_reload_takes_another_field(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(FILE + f"gateway: {{data-dir: {tmp_path}, trusted-proxies: [203.0.113.0/24]}}\n")
    with Service.from_file(file) as service:
        assert service.trusted.marks == b""
        file.write_text(file.read_text().replace("24]", "24], request-id-header: X-Acme"))
        assert service.reload()
        assert service.trusted.marks == b"x-acme"
