"""`indexes`: an upstream's page of ten thousand files: rewritten once, and then at hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from benchmarks.room import Effort, Figure, each_us, rate, settle
from gatewaycore.decision import Proxy, Read, Redirect, Respond, Upstream
from gatewaycore.headers import Headers
from gatewaycore.request import Request
from gatewaycore.rules.python import PythonIndex, PythonRule

GROUP = "indexes"
FILES = 10_000
_RULE = PythonRule(name="rocket-skates", domain="*", index="https://pkgs.acme.com/simple")
_NOW = datetime(2026, 1, 2, tzinfo=UTC)
_TYPES = {"JSON": "application/vnd.pypi.simple.v1+json", "HTML": "text/html"}
_PATH = "/simple/rocket-skates/"


def names(count: int) -> Iterator[str]:
    """Yield names of files, as a project with many versions and platforms has them."""
    for number in range(count):
        python, version = f"cp3{number % 10}", f"{number // 100}.{number // 10 % 10}.{number % 10}"
        yield f"rocket_skates-{version}-{python}-{python}-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


def pages(count: int) -> dict[str, bytes]:
    """Return a page in both forms, with all that public indexes say of a file."""
    files, links = [], []
    for number, name in enumerate(names(count)):
        digest = f"{number:064x}"
        url = f"https://files.acme.com/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{name}"
        files.append(
            {
                "filename": name,
                "url": url,
                "hashes": {"sha256": digest},
                "requires-python": ">=3.8",
                "size": 1_234_567,
                "upload-time": "2026-01-02T03:04:05.000006Z",
                "yanked": False,
                "core-metadata": {"sha256": digest},
                "provenance": f"https://pkgs.acme.com/integrity/{name}/provenance",
            }
        )
        links.append(
            f'<a href="{url}#sha256={digest}" data-requires-python="&gt;=3.8" data-core-metadata="sha256={digest}">{name}</a><br />'
        )
    data = {"meta": {"api-version": "1.1"}, "name": "rocket-skates", "files": files, "versions": []}
    return {"JSON": json.dumps(data).encode(), "HTML": "\n".join(["<!DOCTYPE html><html><body>", *links, "</body></html>"]).encode()}


def ask(index: PythonIndex, path: str, accept: str, body: bytes) -> float:
    """Ask for a page, or for a file, of which nothing is at hand; return how many milliseconds it takes here."""
    request = asking(path, accept)
    begin = time.perf_counter()
    match = index.match(request)
    if match is None:
        raise LookupError(path)
    decision = index.decide(request, match)
    if isinstance(decision, Proxy):
        conversation = decision.open()
        if not isinstance(conversation.start(), Upstream):
            raise TypeError
        step = conversation.receive(200, Headers([("content-type", accept)]))
        decision = step.receive(body) if isinstance(step, Read) else step  # type: ignore[assignment]  # a Respond, as is looked at below
    took = (time.perf_counter() - begin) * 1000
    if not isinstance(decision, Respond | Redirect) or decision.status not in (200, 302):
        raise TypeError(f"{decision!r}"[:200])
    return took


def asking(path: str, accept: str) -> Request:
    """Return a request."""
    return Request("GET", "py.acme.com", path, "", Headers([("accept", accept)]), received_at=_NOW)


def run(effort: Effort) -> Iterator[Figure]:
    """Yield the figures."""
    rounds = 5 if effort == "quick" else 21
    for form, body in pages(FILES).items():
        index = PythonIndex.join(_RULE.compile())
        # What is imported and compiled with the first page of all is no part of the others.
        ask(index, _PATH, _TYPES[form], body)
        settle()
        fresh = []
        for _ in range(rounds):
            index.forget()
            fresh.append(ask(index, _PATH, _TYPES[form], body))
        what = f"an index of {FILES:,} files in {form} ({len(body) / 1e6:.1f} MB)"
        yield rate(GROUP, f"{what}, rewritten", fresh, "ms", "300 ms", lambda ms: ms <= 300)
        seen = [ask(index, _PATH, _TYPES[form], b"") for _ in range(rounds * 10)]
        yield rate(GROUP, "… from the shelf", seen, "ms", "1 ms", lambda ms: ms <= 1)
    file = _PATH + next(names(1))
    match = index.match(asking(file, "*/*"))
    if match is None:
        raise LookupError(file)
    found = [each_us(lambda request: index.decide(request, match), [asking(file, "*/*")] * 500) for _ in range(rounds)]
    yield rate(GROUP, "one of its files, redirected", found, "µs")
