"""Every case in tests/cases, in every world: what a configuration makes of a request, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen

from tests.worlds import VOLATILE, WORLDS, Answered, Asked, Received, Upstream, World, Write, open_service, plain

ANYTHING = "*"


@frozen
class Case:
    """One entry of a case file."""

    file: str
    config: Mapping[str, Any]
    upstream: Mapping[str, Any]
    given: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.file}: {self.given['name']}"

    @property
    def asked(self) -> Asked:
        request = self.given["request"]
        # A body of a certain size: JSON, blank but for an object, so that the size is all that can be wrong with it.
        sized = b"{}".ljust(request["body-bytes"]) if "body-bytes" in request else b""
        body = request.get("body", "").encode() or sized
        written = request.get("headers", {})
        lines = written.items() if isinstance(written, dict) else ((name, value) for name, value in written)
        return Asked(request.get("method", "GET"), request["url"], tuple(lines), body)


def read_cases() -> Iterator[Case]:
    for path in sorted(Path(__file__).with_name("cases").glob("*.yaml")):
        data = yaml.safe_load(path.read_text())
        for given in data["cases"]:
            yield Case(path.stem, data["config"], data.get("upstream", {}), given)


CASES = list(read_cases())


@pytest.fixture
def upstream(case: Case) -> Iterator[Upstream | None]:
    if not case.upstream:
        yield None
        return

    def script(received: Received, write: Write) -> None:
        said = case.upstream[f"{received.method} {received.target}"]
        plain(said["status"], [(name, value) for name, value in said["headers"]], said["body"].encode())(received, write)

    with Upstream(script) as server:
        yield server


def ask(world: World, case: Case, upstream: Upstream | None, data: Path) -> Answered:
    config = case.config
    if upstream is not None:
        config = yaml.safe_load(yaml.safe_dump(dict(config)).replace("$UPSTREAM", upstream.authority))
    service = open_service(config, data)
    try:
        return world.ask(service, case.asked)
    finally:
        service.close()


# What only a server can be told (a length that is not the body's) has no case in the core.
IN_WORLDS = [(case, name) for case in CASES for name in WORLDS if name != "core" or case.given.get("core", True)]


@pytest.mark.parametrize(("case", "world"), [pytest.param(case, WORLDS[name], id=f"{case}: {name}") for case, name in IN_WORLDS])
def test_case(case: Case, world: World, upstream: Upstream | None, tmp_path: Path) -> None:
    seen = ask(world, case, upstream, tmp_path)
    answer = case.given["answer"]
    assert seen.status == answer["status"]
    assert_answer(seen, answer)
    if seen.decision is not None and "decision" in case.given:
        assert seen.decision == case.given["decision"]
    assert len(seen.events) == len(case.given["events"])
    for event, wanted in zip(seen.events, case.given["events"], strict=True):
        named = {key: value for key, value in wanted.items() if key != "bytes" or seen.body is not None}
        assert {key: event[key] for key in named} == named
    if upstream is not None and "upstream-saw" in case.given:
        assert_received(upstream, case.given["upstream-saw"])


def assert_answer(seen: Answered, answer: Mapping[str, Any]) -> None:
    if "location" in answer:
        assert seen.location == answer["location"]
    if seen.body is None and answer["status"] == 400:
        return
    for name, value in answer.get("headers", {}).items():
        assert name in seen.headers
        assert value in (ANYTHING, seen.headers[name])
    for name, values in answer.get("repeated", {}).items():
        if seen.body is not None:
            assert seen.headers.get_all(name) == values
    for name in answer.get("absent", ()):
        assert name not in seen.headers
    if seen.body is None:
        return
    if "body" in answer:
        assert seen.body == answer["body"].encode()
    if "begins-hex" in answer:
        assert seen.body.startswith(bytes.fromhex(answer["begins-hex"]))
    if "contains" in answer:
        assert answer["contains"].encode() in seen.body


def assert_received(upstream: Upstream, wanted: Mapping[str, Any]) -> None:
    (received,) = upstream.received
    for name, value in wanted["headers"].items():
        assert received.headers.get_all(name) == [value]
    assert received.headers.get_all("host") == [upstream.authority]
    for name in wanted["absent"]:
        assert name not in received.headers


@pytest.mark.parametrize("case", CASES, ids=str)
def test_worlds_agree(case: Case, upstream: Upstream | None, tmp_path: Path) -> None:
    """Not only on what the case names: on every header line, every byte and every field of an event."""
    asgi, wsgi = (ask(WORLDS[name], case, upstream, tmp_path / name) for name in ("asgi", "wsgi"))
    assert comparable(asgi) == comparable(wsgi)
    if case.given.get("core", True) and asgi.status != 400:
        core = ask(WORLDS["core"], case, upstream, tmp_path / "core")
        if core.body is not None:
            assert comparable(core) == comparable(asgi)


def comparable(seen: Answered) -> tuple[Any, ...]:
    events = [{key: value for key, value in event.items() if key not in VOLATILE} for event in seen.events]
    return seen.status, sorted(seen.headers.items()), seen.body, events


def test_no_address_at_rest(tmp_path: Path) -> None:
    """Whatever the case: no file that the gateway writes holds the client's address."""
    for number, case in enumerate(CASES):
        if case.upstream:
            continue
        for name in ("asgi", "wsgi"):
            data = tmp_path / f"{number}-{name}"
            service = open_service(case.config, data)
            WORLDS[name].ask(service, case.asked)
            service.close()
            assert not [path for path in data.rglob("*") if path.is_file() and b"203.0.113.7" in path.read_bytes()]
