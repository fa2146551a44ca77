"""The API: whose numbers are whose, and how much of everything there may be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewaycore.state import State
from tests.events import make_event
from tests.offices import Office

COLLECTION = {"domain": "docker.zebra.example", "pattern": "zebra/*", "backend": "ghcr.io"}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    # Making something asks the store, which would not look again for two seconds.
    monkeypatch.setattr("gatewaycore.stats.lake.FRESH_S", 0.0)
    with Office(tmp_path) as opened:
        yield opened


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
