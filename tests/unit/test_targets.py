"""Which hosts a domain may redirect to; tests/cases/redirect-targets.yaml has the rest."""

from __future__ import annotations

import json
from typing import Any

from gatewaycore import load
from gatewaycore.gateway import TARGETS
from gatewaycore.targets import hosts_of, is_complete
from gatewaycore.testing import simulate

PACKAGES: list[dict[str, Any]] = [
    {
        "type": "npm",
        "name": "skates",
        "domain": "npm.acme.example",
        "registry": "https://npm.index.example/x",
        "allowed-hosts": ["a.example"],
    },
    {"type": "python", "name": "skates", "domain": "py.acme.example", "index": "https://index.example/simple"},
    {
        "type": "python",
        "name": "listed",
        "domain": "files.acme.example",
        "files": [{"file-name": "listed-1.0.zip", "url": "https://cdn.acme.example/listed-1.0.zip", "version": "1.0"}],
    },
]


def told(host: str, **settings: Any) -> Any:
    seen = simulate(load({"gateway": settings, "packages": PACKAGES}), "GET", f"https://{host}{TARGETS}")
    return json.loads(seen.body) if seen.status == 200 else seen.status


def test_indexes() -> None:
    assert told("npm.acme.example") == {"domain": "npm.acme.example", "hosts": ["a.example", "npm.index.example"], "complete": False}
    assert told("py.acme.example") == {"domain": "py.acme.example", "hosts": ["index.example"], "complete": False}
    assert told("files.acme.example") == {"domain": "files.acme.example", "hosts": ["cdn.acme.example"], "complete": True}
    assert told("unknown.example") == 404


def test_it_can_be_switched_off() -> None:
    assert told("npm.acme.example", **{"redirect-targets": False}) == 404


def test_what_others_add_leads_nowhere_that_is_told() -> None:
    assert (list(hosts_of(object())), is_complete(object())) == ([], True)
