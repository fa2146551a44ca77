"""Rules as people write them, as many as wanted, and requests for them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.route import Route
from gatewaycore.rules.file import FileRule

DOMAIN = "get.acme.com"
HEADERS = Headers([("host", DOMAIN), ("user-agent", "curl/8.4.0"), ("accept", "*/*")])


def incoming(number: int) -> str:
    """Return an incoming path, a template; all of them on one domain, which is the hardest for an index."""
    return f"/tool-{number}/{{version}}/tool-{number}-{{platform}}.tgz"


def outgoing(number: int) -> str:
    """Return where it leads."""
    return f"https://cdn.acme.com/tool-{number}/{{version}}/{{platform}}.tgz"


def routes(count: int) -> Iterator[Route]:
    """Yield `count` compiled rules, each with text of its own as a file would give it; its settings are dropped at once."""
    for number in range(count):
        domain = "".join(DOMAIN)
        yield from FileRule(name=f"tool-{number}", domain=domain, incoming_path=incoming(number), outgoing_url=outgoing(number)).compile()


def gateway(count: int) -> Gateway:
    """Compile a gateway of `count` rules."""
    return Gateway.compile(routes(count))


class Paths:
    """Paths that nobody has asked for before, each for one rule out of `count`, the same sequence in each run."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._random = random.Random(count)
        self._next = 0

    def take(self, size: int) -> list[str]:
        """Return the next `size` of them."""
        begin, self._next = self._next, self._next + size
        numbers = [self._random.randrange(self._count) for _ in range(size)]
        return [f"/tool-{number}/1.{at}.0/tool-{number}-linux.tgz" for at, number in enumerate(numbers, begin)]


def requests(paths: Sequence[str]) -> list[Request]:
    """Return a request for each path."""
    return [Request("GET", DOMAIN, path, "", HEADERS, "198.51.100.7") for path in paths]


def packages(count: int) -> list[dict[str, Any]]:
    """Return what a gateway.yaml of `count` packages holds under ``packages``."""
    return [
        {
            "name": f"tool-{number}",
            "type": "file",
            "domain": f"get{number % 1000}.acme.com",
            "incoming-path": incoming(number),
            "outgoing-url": outgoing(number),
        }
        for number in range(count)
    ]


def write_yaml(path: Path, count: int) -> None:
    """Write a gateway.yaml of `count` packages, one key a line as a person would."""
    lines = ["packages:"]
    for package in packages(count):
        lines.extend(f"{'  - ' if key == 'name' else '    '}{key}: {json.dumps(value)}" for key, value in package.items())
    path.write_text("\n".join(lines) + "\n")


def write_json(path: Path, count: int) -> None:
    """Write the same as JSON."""
    path.write_text(json.dumps({"packages": packages(count)}, indent=1))
