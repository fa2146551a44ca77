"""The API: whose numbers are whose, and how much of everything there may be."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.config import read_config
from gatewaycore.console_limits import ConsoleLimits
from gatewaycore.exporting import Selection, Source
from gatewaycore.following import open_access
from gatewaycore.service import event_source
from gatewaycore.state import State
from gatewaycore_asgi.console.api import Slots, UploadBounds
from gatewaycore_asgi.console.api.problems import StatusError
from tests.consoles import House
from tests.events import make_event
from tests.offices import DEFINITION, Office

COLLECTION = {"domain": "docker.zebra.example", "pattern": "zebra/*", "backend": "ghcr.io"}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    # Making something asks the store, which would not look again for two seconds.
    monkeypatch.setattr("gatewaycore.stats.lake.FRESH_S", 0.0)
    with Office(tmp_path) as opened:
        yield opened


class Runner:
    """Runs what is asked in a loop of its own, whichever thread asks."""

    def run(self, what: Any) -> Any:
        return asyncio.run(what)

    def close(self) -> None:
        """Close nothing."""


def pull(office: Office, *images: str) -> None:
    """Have images that were pulled, in the lake and in the state."""
    for image in images:
        office.keep(package=image, kind="pull", package_type="container")
    state = State(office.service.data / "state.sqlite3")
    state.save("for tests", b"", [make_event(package=image, kind="pull", package_type="container") for image in images])
    state.close()


def test_images_of_a_collection_are_its_organisations(small: Office) -> None:
    small.prove("docker.zebra.example", "zebra")
    answer = small.ask("POST", "/collections", "zoe", json={"organisation": "zebra", "definition": COLLECTION})
    assert answer.status_code == 201, answer.text
    pull(small, "zebra/app", "acme/app")
    all_time = "/stats/totals?period=all"
    assert small.ask("GET", all_time, "zoe").json()["now"]["pulls"] == 1
    assert small.ask("GET", f"{all_time}&package=zebra/app", "zoe").json()["now"]["pulls"] == 1
    assert small.ask("GET", all_time, "mia").json()["now"]["pulls"] == 1
    for path in ("/stats/totals?package=zebra/app", "/events?package=zebra/app", "/exports?package=zebra/app", "/packages/zebra~1app"):
        assert small.ask("GET", path, "mia").status_code == 404, path
        assert small.ask("GET", path, "zoe").status_code == 200, path
    assert small.ask("GET", "/packages/zebra~1app", "zoe").json()["organisation"] == "zebra"
    assert "acme/app" not in small.ask("GET", "/exports?format=csv&columns=package", "zoe").text
    assert [one["package"] for one in small.ask("GET", "/events?columns=package", "mia").json()["items"]] == ["acme/app"]
    # They are shared as packages are.
    assert small.ask("PUT", "/packages/zebra~1app/sharing", "mia", json={"is_public": True}).status_code == 404
    assert small.ask("PUT", "/packages/zebra~1app/sharing", "zoe", json={"is_public": True}).json()["is_public"]
    assert small.ask("GET", all_time + "&package=zebra/app", "mia").json()["now"]["pulls"] == 1


def test_no_collection_is_made_of_what_is_counted_already(small: Office) -> None:
    small.prove("docker.zebra.example", "zebra")
    small.keep(package="left-pad")
    made = {"organisation": "zebra", "definition": {**COLLECTION, "pattern": "left-*"}}
    answer = small.ask("POST", "/collections", "zoe", json=made)
    assert (answer.status_code, "there are numbers of what fits" in answer.json()["detail"]) == (409, True)
    answer = small.ask("POST", "/collections", "zoe", json={**made, "definition": {**COLLECTION, "pattern": "acme/x-*"}})
    assert (answer.status_code, "fits images of a collection" in answer.json()["detail"]) == (409, True)


# --- exports ----------------------------------------------------------------------------------------------------------------


class Slow:
    """A source whose rows come when they are let to.

    Args:
        source: what they are of.
        may: is set when they may come.
        asked: counts how often they were asked for.
    """

    def __init__(self, source: Source, may: threading.Event, asked: threading.Semaphore) -> None:
        self._source = source
        self._may = may
        self._asked = asked

    def rows(self, columns: Mapping[str, str], wanted: Selection) -> Iterator[Any]:
        self._asked.release()
        assert self._may.wait(60)
        yield from self._source.rows(columns, wanted)


def test_few_exports_are_sent_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may, asked = threading.Event(), threading.Semaphore(0)
    monkeypatch.setattr("gatewaycore_asgi.console.api.handlers.events.event_source", lambda *rest: Slow(event_source(*rest), may, asked))
    with Office(tmp_path, slots=Slots(3, 2)) as office:
        office.keep(package="cli")
        answers: dict[str, list[int]] = {"root": [], "mia": []}

        def export(who: str) -> None:
            answers[who].append(office.ask_of(office.api, "", "GET", "/exports", who).status_code)

        # Each in a loop of its own: the office's would answer one after the other.
        monkeypatch.setattr(office, "_runner", Runner())
        threads = [threading.Thread(target=export, args=(who,)) for who in ("root", "root", "mia")]
        for thread in threads:
            thread.start()
            assert asked.acquire(timeout=60)
        own, others = office.ask("GET", "/exports", "root"), office.ask("GET", "/exports", "omar")
        assert (own.status_code, "2 exports of yours" in own.json()["detail"], own.headers["retry-after"]) == (429, True, "5")
        assert (others.status_code, "3 exports are being sent" in others.json()["detail"]) == (503, True)
        assert others.headers["retry-after"] == "5"
        # The head alone costs nothing, and takes no place.
        head = office.ask("HEAD", "/exports?format=csv", "root")
        assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/csv")
        assert not asked.acquire(timeout=0)
        may.set()
        for thread in threads:
            thread.join()
        assert answers == {"root": [200, 200], "mia": [200]}
        assert office.ask("GET", "/exports", "root").status_code == 200


def test_a_slot_is_free_again_whatever_happens() -> None:
    slots = Slots(2, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.taken("ada"):
            raise ZeroDivisionError
    with ExitStack() as held:
        held.enter_context(slots.taken("ada"))
        held.enter_context(slots.taken("bob"))
        for who, status in (("ada", 429), ("cy", 503)):
            with pytest.raises(StatusError) as caught:
                held.enter_context(slots.taken(who))
            assert caught.value.status == status
    with slots.taken("cy"):
        pass


def test_few_tables_are_written_at_once(tmp_path: Path) -> None:
    with ExitStack() as opened:
        house = House(tmp_path, opened)
        browser, path = house.browser("bob"), "/package?name=acme/app&format=csv&table=version"
        assert browser.get(path).status_code == 200
        with house.console.slots.taken(house.principal("bob").user.id), house.console.slots.taken(house.principal("bob").user.id):
            refused = browser.get(path)
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
            assert "Too much at once" in refused.text
            head = browser.ask("HEAD", path)
            assert (head.status_code, head.headers["content-type"]) == (200, "text/csv; charset=utf-8")
            assert house.browser("cy").get(path).status_code == 200
        assert browser.get(path).status_code == 200


# --- sizes and numbers --------------------------------------------------------------------------------------------------------


def test_what_is_kept_of_imports_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore_asgi.console.api.handlers.imports._CHECKED", 1)
    with Office(tmp_path, bounds=UploadBounds(most_bytes=1_000, kept_bytes=1_500)) as office:
        folder = office.service.data / "uploads"
        folder.mkdir()
        (folder / "another.data").write_bytes(b"x" * 1_000)
        answer = office.ask("POST", "/imports", content=b"y" * 600)
        assert (answer.status_code, "1,500 bytes wait" in answer.json()["detail"]) == (409, True)
        # Of some nobody knows how much it will be.

        async def pieces() -> Any:
            for _ in range(6):
                yield b"y" * 100

        answer = office.ask("POST", "/imports", content=pieces())
        assert (answer.status_code, "1,500 bytes wait" in answer.json()["detail"]) == (409, True)
        assert [one.name for one in folder.iterdir()] == ["another.data"]
        assert office.ask("POST", "/imports", content=b"y" * 400).status_code == 202


def test_limits_are_what_the_configuration_says(tmp_path: Path) -> None:
    limits = {"requests": 3, "window-s": 60, "import-bytes": 10, "packages": 0, "exports": 1, "exports-each": 1}
    console = f"console: {json.dumps({'domain': 'console.example', 'limits': limits})}"
    config = read_config({"console": {"domain": "console.example", "limits": limits}}).console
    assert config is not None
    assert config.limits == ConsoleLimits(requests=3, import_bytes=10, packages=0, exports=1, exports_each=1)
    with Office(tmp_path, more_sections=console, quota=None) as office:
        assert office.ask("GET", "/me", "zoe").headers["ratelimit-policy"] == '"token";q=3;w=60'
        assert office.ask("POST", "/imports", content=b"x" * 11).status_code == 413
        made = {"organisation": "zebra", "definition": dict(DEFINITION)}
        answer = office.ask("POST", "/packages", "zoe", json=made)
        assert (answer.status_code, "console.limits.packages" in answer.json()["detail"]) == (409, True)
        assert office.ask("POST", "/packages", json=made).status_code == 201
        assert [office.ask("GET", "/me", "zoe").status_code for _ in range(2)] == [200, 429]
        access = open_access(office.service.config, office.service.data)
        access.close()


def test_what_is_left_out_says_so_to_whoever_may_change_it(small: Office) -> None:
    made = {**DEFINITION, "domain": "get.zebra.example"}
    assert small.ask("POST", "/packages", "zoe", json={"organisation": "zebra", "definition": made}).status_code == 201
    told = small.ask("GET", "/packages/tool", "zoe").json()
    assert (told["left_out"], small.ask("GET", "/packages", "zoe").json()["items"]) == (None, [told])
    small.access.groups.set_role("zebra", "mia", "member", None)
    with small.access.database.writing() as connection:
        connection.exec_driver_sql('UPDATE holdings SET definition = \'{"type": "fil", "name": "tool"}\' WHERE key = \'tool\'')
        connection.exec_driver_sql("UPDATE counters SET value = value + 1")
    small.follower.look()
    assert "unknown type 'fil'" in small.ask("GET", "/packages/tool", "zoe").json()["left_out"]
    assert small.ask("GET", "/packages/tool", "mia").json()["left_out"] is None
    entry = small.ask("GET", "/audit", "zoe").json()["items"][0]
    assert (entry["action"], entry["subject"], "unknown type 'fil'" in entry["details"]["why"]) == ("package.leave-out", "tool", True)
    assert small.ask("DELETE", "/packages/tool", "zoe").status_code == 204
