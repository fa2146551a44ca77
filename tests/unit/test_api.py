"""The API: how it answers, whoever asks."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gatewaycore.importing import ImportOptions
from gatewaycore.importing.ledger import Ledger
from gatewaycore_asgi.console import Console
from gatewaycore_asgi.console.api import OPENAPI, PREFIX, Quota, UploadBounds, document, read_key, write_key
from gatewaycore_asgi.console.api.examples import EXAMPLES
from gatewaycore_asgi.console.api.limits import Limits
from gatewaycore_asgi.console.api.uploads import Upload
from gatewaycore_asgi.console.doors import COOKIE
from tests.databases import Postgres
from tests.events import lines_of, make_event
from tests.offices import DEFINITION, Office

NEW = {"organisation": "zebra", "definition": dict(DEFINITION)}
LINES = b'{"$time":"2026-01-01T00:00:00Z","$package":"cli","version":"1.0"}\n{"x":1}\n'


@pytest.fixture(params=["sqlite", "postgresql"])
def office(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Office]:
    server: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    with Office(tmp_path, server.create() if server else None) as opened:
        yield opened


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Office]:
    with Office(tmp_path) as opened:
        yield opened


def keys(page: Any) -> list[str]:
    return [one["key"] for one in page["items"]]


# --- the document ------------------------------------------------------------------------------------------------------------


def test_the_document_says_everything() -> None:
    found = document()
    assert found["openapi"].startswith("3.1")
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert path.startswith(f"{PREFIX}/"), where
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["tags"][0] in {tag["name"] for tag in found["tags"]}, where
            for status, answer in operation["responses"].items():
                assert answer["description"], (where, status)
                for media, content in answer.get("content", {}).items():
                    assert "examples" in content or content["schema"].get("format") == "binary", (where, status, media)
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (where, parameter["name"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_what_the_document_says(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document()["components"]}
    jsonschema.Draft202012Validator(schema).validate(json.loads(json.dumps(EXAMPLES[name])))


def test_the_document_is_for_everybody(small: Office) -> None:
    answer = small.ask("GET", OPENAPI, None)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["paths"] == json.loads(json.dumps(document()["paths"]))
    assert "http" not in json.dumps(answer.json()["servers"])


# --- who asks ----------------------------------------------------------------------------------------------------------------


def test_a_token_is_asked_for(small: Office) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer gwc_wrong"},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer "},
        {"Authorization": b"Bearer \xe4"},
    ):
        answer = small.ask("GET", "/me", None, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith('Bearer realm="gatewaycore"')
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"


def test_a_session_needs_what_its_page_knows(small: Office) -> None:
    begun = small.access.people.sign_in(small.secrets["zoe"])
    assert begun is not None
    session, cookie = begun
    headers = {"Cookie": f'_others=a b; x={{"a": 1}}; flag; {COOKIE}={cookie}'}
    assert small.ask("GET", "/me", None, headers=headers).json()["name"] == "zoe"
    assert small.ask("POST", "/packages", None, headers=headers, json=NEW).status_code == 403
    assert small.ask("POST", "/packages", None, headers={**headers, "X-CSRF-Token": "another"}, json=NEW).status_code == 403
    assert small.ask("POST", "/packages", None, headers={**headers, "X-CSRF-Token": session.csrf}, json=NEW).status_code == 201
    small.access.people.sign_out(cookie)
    assert small.ask("GET", "/me", None, headers=headers).status_code == 401


def test_a_user_is_made_with_a_token(office: Office) -> None:
    made = office.ask("POST", "/users", json={"name": "Eve"}).json()
    office.secrets["eve"] = made["secret"]
    assert made["user"]["name"] == "eve"
    assert office.ask("GET", "/me", "eve").json()["organisations"] == []
    assert office.ask("POST", "/users", json={"name": "eve"}).status_code == 409
    token = office.ask("POST", "/tokens", "eve", json={"name": "laptop", "scopes": ["read"]}).json()
    assert token["token"]["hint"] == token["secret"][-4:]
    assert office.ask("DELETE", "/users/eve").json()["disabled_at"] is not None
    assert office.ask("GET", "/me", "eve").status_code == 401


# --- packages ----------------------------------------------------------------------------------------------------------------


def test_a_package_is_made_changed_and_deleted(office: Office) -> None:
    made = office.ask("POST", "/packages", "zoe", json=NEW)
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, f"{PREFIX}/packages/tool", '"1"')
    assert office.changes[-1] == [("package", DEFINITION)]
    changed = {**DEFINITION, "outgoing-url": "https://cdn.zebra.example/{version}"}
    for match, status in ((None, 428), ('"7"', 412), ('"1"', 200), ('"1"', 412), ("*", 200), ('"9", "3"', 200)):
        headers = {} if match is None else {"If-Match": match}
        assert office.ask("PUT", "/packages/tool", "zoe", json={"definition": changed}, headers=headers).status_code == status
    assert office.ask("GET", "/packages/tool", "zoe").json()["definition"] == changed
    assert office.ask("POST", "/packages", "zoe", json=NEW).status_code == 409
    assert office.ask("DELETE", "/packages/tool", "zoe", headers={"If-Match": '"1"'}).status_code == 412
    assert office.ask("DELETE", "/packages/tool", "zoe").status_code == 204
    assert office.changes[-1] == []
    assert office.ask("GET", "/packages/tool", "zoe").status_code == 404


def test_a_name_is_told_as_a_header_can_hold_it(small: Office) -> None:
    name = "日本\r\nx: y"
    routes = {"routes": [{"incoming-path": "/a/{version}"}, {"incoming-path": "/b/{version}"}]}
    definition = {**{key: value for key, value in DEFINITION.items() if key != "incoming-path"}, **routes, "name": name}
    made = small.ask("POST", "/packages", json={"organisation": "zebra", "definition": definition})
    assert (made.status_code, made.headers["location"]) == (201, f"{PREFIX}/packages/%E6%97%A5%E6%9C%AC%0D%0Ax:%20y")
    page = small.ask("GET", f"{made.headers['location'].removeprefix(PREFIX)}/routes?limit=1")
    assert (len(page.json()["items"]), page.headers["link"].startswith(f"<{made.headers['location']}/routes?limit=1&")) == (1, True)


def test_a_package_of_the_file_is_read_only(office: Office) -> None:
    for path, definition in (
        ("/packages/cli", {**DEFINITION, "name": "cli"}),
        ("/collections/docker.acme.example%20acme~1*", {"domain": "docker.acme.example", "pattern": "acme/*", "backend": "ghcr.io"}),
    ):
        found = office.ask("GET", path).json()
        assert (found["is_read_only"], found["definition"]) == (True, None)
        assert office.ask("PUT", path, json={"definition": definition}, headers={"If-Match": "*"}).status_code == 409
        assert office.ask("DELETE", path).status_code == 409


def test_what_is_wrong_with_a_definition_is_told(small: Office) -> None:
    wrong = {"type": "fil", "name": "tool", "domain": "get.zebra.example"}
    answer = small.ask("POST", "/packages", json={"organisation": "zebra", "definition": wrong})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"where": "tool: type", "what": "unknown type 'fil'", "hint": "did you mean 'file'?"}]
    assert small.changes == []
    nameless = small.ask("POST", "/packages", json={"organisation": "zebra", "definition": {"type": "file"}}).json()
    assert nameless["errors"][0]["where"] == "definition.name"
    small.ask("POST", "/packages", json=NEW)
    renamed = small.ask("PUT", "/packages/tool", json={"definition": {**DEFINITION, "name": "x"}}, headers={"If-Match": "*"})
    assert renamed.json()["errors"][0]["where"] == "definition.name"


def test_a_password_is_not_shown_and_stays(small: Office) -> None:
    image = {"type": "container", "name": "zebra/app", "domain": "docker.zebra.example", "backend": "ghcr.io/zebra/app"}
    image["access-tokens"] = [f"sha256:{'0' * 64}"]  # type: ignore[assignment]
    secret = {**image, "credentials": {"username": "z", "password": "hunter2"}}
    shown = small.ask("POST", "/packages", json={"organisation": "zebra", "definition": secret})
    assert shown.json()["definition"]["credentials"] == {"username": "z", "password": "********"}
    again = small.ask("PUT", "/packages/zebra~1app", json={"definition": shown.json()["definition"]}, headers={"If-Match": '"1"'})
    assert again.status_code == 200
    assert small.access.holdings.definitions()[1] == [("package", secret)]
    assert "hunter2" not in small.ask("GET", "/audit").text + shown.text + again.text


def test_keys_with_slashes(small: Office) -> None:
    for path in ("/packages/acme~1rocket-skates", "/packages/acme%2Frocket-skates", "/packages/acme%7E1rocket-skates"):
        assert small.ask("GET", path).json()["key"] == "acme/rocket-skates"
        assert small.ask("GET", f"{path}/routes").json()["items"][0]["outgoing"] == "ghcr.io/acme/rocket-skates"
    assert small.ask("GET", "/packages/acme/rocket-skates").status_code == 404
    for key in ("acme/rocket-skates", "a~b", "a~1b", "~", "/"):
        assert read_key(write_key(key)) == key


def test_the_ways_into_a_package(tmp_path: Path) -> None:
    more = """
  - {type: catch-all, name: rest, domain: old.acme.example, redirect-target-domain: new.acme.example}
  - {type: npm, name: skates, domain: npm.acme.example, registry: "https://npm.index.example"}
  - {type: python, name: skates-py, domain: py.acme.example, index: "https://index.example/simple"}
  - {type: file, name: two, domain: get.acme.example, routes: [{incoming-path: /a/b/c}, {incoming-regex: "/d/(?<v>.*)"}]}
"""
    with Office(tmp_path, more=more) as office:
        found = {
            key: [(one["incoming"], one["outgoing"]) for one in office.ask("GET", f"/packages/{key}/routes").json()["items"]]
            for key in ("rest", "skates", "skates-py", "two")
        }
    assert found == {
        "rest": [("/*", "https://new.acme.example/*")],
        "skates": [("/skates", "https://npm.index.example")],
        "skates-py": [("/simple/skates-py/", "https://index.example/simple")],
        "two": [("/a/b/c", None), ("~/d/(?<v>.*)", None)],
    }


def test_sharing_and_giving_away(office: Office) -> None:
    office.ask("POST", "/packages", "zoe", json=NEW)
    assert office.ask("GET", "/packages/tool", "mia").status_code == 404
    assert office.ask("PUT", "/packages/tool/sharing", "zoe", json={"is_public": True}).json()["version"] == 2
    seen = office.ask("GET", "/packages/tool", "mia").json()
    assert (seen["role"], seen["is_public"], seen["definition"]) == (None, True, None)
    assert office.ask("GET", "/stats/totals?package=tool", "mia").status_code == 200
    assert office.ask("PUT", "/packages/tool/organisation", "zoe", json={"organisation": "acme"}).status_code == 404
    assert office.ask("PUT", "/packages/tool/organisation", json={"organisation": "acme"}).json()["organisation"] == "acme"


# --- lists, bodies, fields -----------------------------------------------------------------------------------------------------


def test_lists_come_in_pages(office: Office) -> None:
    seen, path = [], "/packages?limit=1"
    while path:
        answer = office.ask("GET", path)
        seen += keys(answer.json())
        link = answer.headers.get("link", "")
        assert bool(link) == (answer.json()["next"] is not None)
        path = link.partition(">")[0].removeprefix(f"<{PREFIX}")
    assert seen == ["acme/rocket-skates", "cli", "docs"]
    assert office.ask("GET", "/packages?cursor=%C3%A4").json()["errors"][0]["where"] == "cursor"
    for limit in ("0", "1001", "x"):
        assert office.ask("GET", f"/packages?limit={limit}").status_code == 422
    changes = office.ask("GET", "/audit?limit=2").json()
    more = office.ask("GET", "/audit", params={"limit": 2, "cursor": changes["next"]}).json()
    ids = [one["id"] for one in (*changes["items"], *more["items"])]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 4


def test_bodies_are_what_they_should_be(small: Office) -> None:
    for more, status, where in (
        ({"json": {"is_public": "true"}}, 422, "is_public"),
        ({"json": {"is_public": 1}}, 422, "is_public"),
        ({"json": {"is_public": True, "else": 1}}, 422, "else"),
        ({"json": []}, 422, "body"),
        ({"content": b"{"}, 400, None),
        ({"content": b"\xff"}, 400, None),
        ({"content": b""}, 422, "body"),
        ({"content": b"is_public=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415, None),
        ({"content": b" " * (1024 * 1024 + 1)}, 413, None),
    ):
        answer = small.ask("PUT", "/packages/cli/sharing", **more)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert [one["where"] for one in answer.json()["errors"]][:1] == ([where] if where else [])


def test_forms_methods_and_paths(small: Office) -> None:
    for accept, status in (
        ("image/png", 406),
        ("*/*;q=0", 406),
        ("text/html, */*;q=0.1", 200),
        ("application/*", 200),
        ("", 200),
        ("application/problem+json", 200),
    ):
        assert small.ask("GET", "/me", headers={"Accept": accept}).status_code == status
    refused = small.ask("POST", "/packages/cli")
    assert (refused.status_code, refused.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, PUT")
    refused = small.ask("POST", "/openapi.json")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert small.ask("OPTIONS", "/packages/cli").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"
    assert small.ask("GET", "/nothing").json()["title"] == "Not Found"
    head = small.ask("HEAD", "/me")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


def test_what_fails_is_told_and_not_how(small: Office, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("203.0.113.7")

    small.api._means.names = fail  # type: ignore[assignment,method-assign]
    answer = small.ask("GET", "/packages")
    assert (answer.status_code, answer.json()["detail"]) == (500, "Something went wrong here; it is in the server's log.")
    assert "ValueError at" in caplog.text
    assert "203.0.113.7" not in caplog.text + answer.text


# --- once --------------------------------------------------------------------------------------------------------------------


def test_a_request_with_a_key_is_done_once(office: Office) -> None:
    headers = {"Idempotency-Key": "a"}
    first, second = (office.ask("POST", "/packages", "zoe", json=NEW, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code, first.content) == (201, 201, second.content)
    assert (first.headers["etag"], second.headers["etag"]) == ('"1"', '"1"')
    assert ("idempotent-replayed" in first.headers, second.headers["idempotent-replayed"]) == (False, "true")
    assert len(office.changes) == 1
    another = office.ask("POST", "/packages", "zoe", json={**NEW, "organisation": "acme"}, headers=headers)
    assert another.status_code == 409
    # Somebody else's key is another one.
    assert office.ask("POST", "/packages", json=NEW, headers=headers).json()["detail"].startswith("there is a package")
    assert office.ask("POST", "/packages", json=NEW, headers={"Idempotency-Key": "x" * 256}).status_code == 400


def test_what_failed_may_be_tried_again(small: Office) -> None:
    headers = {"Idempotency-Key": "a"}
    assert small.ask("POST", "/organisations", json={"name": "!"}, headers=headers).status_code == 422
    assert small.ask("POST", "/organisations", json={"name": "!"}, headers=headers).status_code == 422
    assert small.ask("POST", "/organisations", json={"name": "yak"}, headers=headers).status_code == 201
    big = small.ask("POST", "/organisations", content=b" " * (1024 * 1024 + 1), headers={"Idempotency-Key": "b"})
    assert big.status_code == 413


def test_no_secret_is_kept_for_later(small: Office, tmp_path: Path) -> None:
    body, headers = {"name": "x", "scopes": ["read"]}, {"Idempotency-Key": "a"}
    secret = small.ask("POST", "/tokens", json=body, headers=headers).json()["secret"]
    again = small.ask("POST", "/tokens", json=body, headers=headers)
    assert (again.status_code, "shown once" in again.json()["detail"]) == (409, True)
    with sqlite3.connect(tmp_path / "console.sqlite3") as connection:
        kept = b"".join(row[0] or b"" for row in connection.execute("SELECT body FROM answers"))
    connection.close()
    assert secret.encode() not in kept


# --- limits ------------------------------------------------------------------------------------------------------------------


def test_a_token_has_its_quota(tmp_path: Path) -> None:
    now = [0.0]
    with Office(tmp_path, quota=Quota(requests=3, window_s=60), clock=lambda: now[0]) as office:
        answers = [office.ask("GET", "/me") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert [one.headers["ratelimit"] for one in answers] == [
            '"token";r=2;t=20', '"token";r=1;t=40', '"token";r=0;t=20', '"token";r=0;t=20',
        ]  # fmt: skip
        assert (answers[3].headers["retry-after"], answers[3].headers["ratelimit-policy"]) == ("20", '"token";q=3;w=60')
        assert office.ask("GET", "/me", "zoe").status_code == 200
        now[0] = 20.0
        assert office.ask("GET", "/me").status_code == 200
        assert office.ask("GET", "/me").status_code == 429


def test_of_very_many_tokens_the_first_are_forgotten() -> None:
    limits = Limits(Quota(requests=1), lambda: 0.0)
    for number in range(10_001):
        limits.take(str(number))
    assert len(limits._paid) == 10_000
    assert (limits.take("0").is_over, limits.take("10000").is_over) == (False, True)


# --- numbers and events --------------------------------------------------------------------------------------------------------


def test_numbers_are_of_what_one_may_see(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    # Making a package asks the store, which would not look again for two seconds.
    monkeypatch.setattr("gatewaycore.stats.lake.FRESH_S", 0.0)
    office.ask("POST", "/packages", "zoe", json=NEW)
    time = datetime(2026, 11, 1, 12, tzinfo=UTC)
    for package in ("cli", "cli", "tool", "acme/pulled"):
        office.keep(package=package, time=time)
    period = {"period": "2026-11"}

    def count(who: str, **more: Any) -> int:
        return int(office.ask("GET", "/stats/totals", who, params={**period, **more}).json()["now"]["count"])

    assert (count("root"), count("mia"), count("zoe")) == (4, 2, 1)
    assert (count("root", package="tool"), count("mia", package=["cli"]), count("zoe", only="country=US")) == (1, 2, 0)
    assert office.ask("GET", "/stats/totals?package=tool", "mia").status_code == 404
    assert len(office.ask("GET", "/events", "zoe").json()["items"]) == 1
    assert office.ask("GET", "/exports?format=csv&columns=package", "mia").text == "package\r\ncli\r\ncli\r\n"
    by = office.ask("GET", "/stats/breakdown", params={**period, "by": "packages"}).json()
    assert {one["value"]: one["count"] for one in by["shares"]} == {"cli": 2, "tool": 1, "acme/pulled": 1}
    series = office.ask("GET", "/stats/series", params={**period, "unit": "week", "week_start": "sunday"}).json()
    assert series["points"][0]["figures"]["count"] == 4
    kept = office.ask("GET", "/stats/retention", params={"period": "all", "package": "cli"}).json()
    assert sum(one["endpoints"] for one in kept["versions"]) == 2
    assert office.ask("GET", "/stats/companies", params=period).json()["number"] == 0


def test_numbers_that_nobody_has_made_a_package_for_are_nobody_elses(small: Office) -> None:
    small.keep(package="left-pad")
    new = {"organisation": "zebra", "definition": {**DEFINITION, "name": "left-pad"}}
    answer = small.ask("POST", "/packages", "zoe", json=new)
    assert (answer.status_code, "there are numbers of 'left-pad' already" in answer.json()["detail"]) == (409, True)
    assert small.ask("GET", "/stats/totals?package=left-pad", "zoe").status_code == 404
    assert small.ask("POST", "/packages", json=new).status_code == 201


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/stats/totals?period=never", "period"),
        ("/stats/totals?tz=Mars", "tz"),
        ("/stats/totals?compare=never", "compare"),
        ("/stats/totals?only=x", "only"),
        ("/stats/totals?measure=x", "measure"),
        ("/stats/series?week_start=friday", "week_start"),
        ("/stats/breakdown?by=shoes", "by"),
        ("/stats/retention", "package"),
        ("/events?since=x", "since"),
        ("/events?where=x", "where"),
        ("/events?columns=x", "columns"),
        ("/exports?format=xml", "format"),
        ("/imports?cursor=%C3%A4", "cursor"),
    ],
)
def test_what_is_wrong_with_a_question_is_told(small: Office, path: str, where: str) -> None:
    answer = small.ask("GET", path)
    assert answer.status_code == 422
    assert [where in one["where"] for one in answer.json()["errors"]] == [True]


def test_events_in_pages_and_lines(small: Office) -> None:
    for number in range(5):
        small.keep(version=str(number))
    first = small.ask("GET", "/events?limit=2&columns=version,variables")
    assert first.json()["items"][0] == {"version": "4", "variables": first.json()["items"][0]["variables"]}
    lines = small.ask("GET", "/events", params={"cursor": first.json()["next"], "limit": 2}, headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line)["version"] for line in lines.text.splitlines()] == ["2", "1"]
    assert 'rel="next"' in lines.headers["link"]
    assert small.ask("GET", "/events?since=2027-01-01").json() == {"items": [], "next": None}


def test_an_export_is_what_the_command_writes(small: Office) -> None:
    for number in range(3):
        small.keep(version=str(number))
    lines = small.ask("GET", "/exports?columns=version,time").text.splitlines()
    assert sorted(json.loads(line)["version"] for line in lines) == ["0", "1", "2"]
    packed = small.ask("GET", "/exports?format=parquet")
    assert (packed.content[:4], packed.content[-4:], packed.headers["content-type"]) == (b"PAR1", b"PAR1", "application/vnd.apache.parquet")
    assert packed.headers["content-disposition"] == 'attachment; filename="events.parquet"'
    assert list(small.service.data.glob("*.parquet")) == []


def test_a_lake_that_cannot_be_read_is_a_problem(small: Office) -> None:
    small.keep()
    for log in (small.service.data / "lake" / "_delta_log").iterdir():
        log.write_text("{")
    for path in ("/events", "/exports", "/exports?format=parquet"):
        assert small.ask("GET", path).status_code == 503


# --- imports -----------------------------------------------------------------------------------------------------------------


def journal_of(office: Office) -> list[dict[str, Any]]:
    segments = sorted((office.service.data / "journal").glob("*.jsonl"))
    return [json.loads(line) for segment in segments for line in segment.read_bytes().splitlines()]


def send(office: Office, content: bytes, who: str = "root", path: str = "/imports", **more: Any) -> dict[str, Any]:
    answer = office.ask("POST", path, who, content=content, **more)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"{PREFIX}/imports/{answer.json()['id']}"
    return office.wait(answer.json()["id"])


def test_a_file_is_imported(office: Office) -> None:
    done = send(office, LINES)
    assert (done["status"], done["total"], done["imported"], done["failed"]) == ("done", 2, 1, 1)
    assert done["errors"] == [{"line": 2, "reason": "$time is missing"}]
    assert [one["version"] for one in journal_of(office)] == ["1.0"]
    assert send(office, LINES)["imported"] == 1
    assert len(journal_of(office)) == 1
    packed = send(office, gzip.compress(b"when,version\n2026-01-02,2.0\n"), path="/imports?package=cli&map=when=$time&format=csv")
    assert (packed["status"], packed["imported"]) == ("done", 1)
    assert office.ask("GET", "/imports?limit=2").json()["items"][0]["id"] == packed["id"]
    assert len(office.ask("GET", "/imports", params={"cursor": office.ask("GET", "/imports?limit=2").json()["next"]}).json()["items"]) == 1
    assert office.ask("DELETE", f"/imports/{packed['id']}").status_code == 204
    assert office.ask("GET", f"/imports/{packed['id']}").status_code == 404
    assert list((office.service.data / "uploads").glob("*.data")) == []


def test_a_dry_run_keeps_nothing(small: Office) -> None:
    tried = send(small, LINES, path="/imports?dry_run=true")
    assert (tried["status"], tried["is_dry_run"], tried["imported"], tried["can_resume"]) == ("done", True, 1, False)
    assert tried["events"][0]["package"] == "cli"
    assert journal_of(small) == []


def test_nobody_imports_into_packages_of_others(office: Office) -> None:
    office.ask("POST", "/packages", "zoe", json=NEW)
    lines = b'{"$time":"2026-01-01T00:00:00Z","$package":"cli"}\n' + lines_of([make_event(package="cli")])[0]
    mine = office.ask("POST", "/imports", "zoe", content=lines).json()
    found = office.wait(mine["id"])
    assert (found["imported"], found["failed"]) == (0, 2)
    assert journal_of(office) == []
    assert office.ask("POST", "/imports?package=cli", "zoe", content=lines).status_code == 404
    assert office.ask("POST", "/imports?package=cli", "mia", content=lines).status_code == 403
    assert office.ask("GET", f"/imports/{mine['id']}", "ada").status_code == 404
    # The same file, from somebody who may.
    assert send(office, lines)["imported"] == 2


def test_a_token_of_one_organisation_sees_what_was_sent_with_it(office: Office) -> None:
    office.token("narrow", "root", ["admin"], "acme")
    wide, narrow = (office.ask("POST", "/imports?dry_run=true", who, content=LINES).json()["id"] for who in ("root", "narrow"))
    assert [office.ask("GET", f"/imports/{number}", "narrow").status_code for number in (wide, narrow)] == [404, 200]
    assert [one["id"] for one in office.ask("GET", "/imports", "narrow").json()["items"]] == [narrow]
    assert [one["id"] for one in office.ask("GET", "/imports").json()["items"][:2]] == [narrow, wide]
    for number in (wide, narrow):
        office.wait(number)


def test_what_cannot_be_imported_is_refused(small: Office) -> None:
    for path, more, status in (
        ("/imports", {"headers": {"Content-Type": "image/png"}}, 415),
        ("/imports", {"headers": {"Content-Encoding": "br"}}, 415),
        ("/imports?from=nobody", {}, 422),
        ("/imports?map=x", {}, 422),
        ("/imports?format=xml", {}, 422),
        ("/imports?package=unknown", {}, 422),
    ):
        answer = small.ask("POST", path, content=LINES, **more)  # type: ignore[arg-type]
        found = answer.status_code if answer.status_code != 202 else small.wait(answer.json()["id"])["status"]
        assert found in (status, "aborted"), path
    for path in ("/imports/none", "/imports/..%2Fx"):
        assert small.ask("GET", path).status_code == 404


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with Office(tmp_path, bounds=UploadBounds(most_bytes=100)) as office:

        async def pieces() -> Any:
            for _ in range(20):
                yield b"x" * 10

        assert office.ask("POST", "/imports", content=b"x" * 101).status_code == 413
        assert office.ask("POST", "/imports", content=pieces()).status_code == 413
        assert list((office.service.data / "uploads").iterdir()) == []


def test_an_import_waits_is_aborted_and_goes_on(small: Office) -> None:
    # The command line imports: whoever comes meanwhile waits.
    ledger = Ledger(small.service.data)
    assert ledger.acquire()
    waiting = small.ask("POST", "/imports", content=LINES).json()
    behind = small.ask("POST", "/imports", content=LINES + b"\n").json()
    assert small.ask("DELETE", f"/imports/{waiting['id']}").status_code == 409
    assert small.ask("POST", f"/imports/{waiting['id']}/resume").status_code == 409
    for one in (waiting, behind):
        assert small.ask("POST", f"/imports/{one['id']}/abort").status_code == 202
    aborted = [small.wait(one["id"]) for one in (waiting, behind)]
    assert [(one["status"], one["can_resume"]) for one in aborted] == [("aborted", True)] * 2
    assert small.ask("POST", f"/imports/{waiting['id']}/abort").status_code == 409
    ledger.close()
    assert small.ask("POST", f"/imports/{waiting['id']}/resume").status_code == 202
    assert small.wait(waiting["id"])["status"] == "done"


def test_an_import_of_a_killed_process_goes_on(tmp_path: Path) -> None:
    with Office(tmp_path) as office:
        now, uploads = datetime.now(UTC), office.api._means.uploads
        found = office.access.people.find_user("root")
        assert found is not None
        one = Upload(
            id="0196a3b2-7c1e-7d40-8a55-3f1c2b9d0e47",
            user_id=found.id,
            options=ImportOptions(only=frozenset({"cli"})),
            is_dry_run=False,
            status="running",
            created_at=now,
            changed_at=now,
        )
        uploads.place(one.id).write_bytes(LINES)
        uploads._save(one)
        (told,) = office.ask("GET", "/imports").json()["items"]
        assert (told["status"], told["reason"], told["can_resume"]) == ("aborted", "the process that imported it has ended", True)
        assert office.ask("POST", f"/imports/{one.id}/resume").status_code == 202
        assert office.wait(one.id)["imported"] == 1


def test_whoever_is_an_admin_no_more_goes_on_with_nothing(small: Office) -> None:
    ledger = Ledger(small.service.data)
    assert ledger.acquire()
    number = small.ask("POST", "/imports", "ada", content=LINES).json()["id"]
    assert small.ask("POST", f"/imports/{number}/abort", "ada").status_code == 202
    assert small.wait(number)["can_resume"]
    ledger.close()
    small.access.groups.set_role("acme", "ada", "member", small.operator)
    assert small.ask("POST", f"/imports/{number}/resume", "ada").status_code == 403
    small.access.groups.set_role("acme", "ada", "admin", small.operator)
    assert small.ask("POST", f"/imports/{number}/resume", "ada").status_code == 202
    assert small.wait(number)["imported"] == 1


def test_what_was_sent_stays_for_a_day(small: Office) -> None:
    ledger = Ledger(small.service.data)
    assert ledger.acquire()
    first, second = (small.ask("POST", "/imports", content=LINES + b"\n" * number).json()["id"] for number in range(2))
    for number in (first, second):
        small.ask("POST", f"/imports/{number}/abort")
        assert small.wait(number)["can_resume"]
    ledger.close()
    # Whoever was killed while something was sent has left it, too.
    left = small.service.data / "uploads" / "0196a3b2-7c1e-7d40-8a55-3f1c2b9d0e47.data"
    left.write_bytes(LINES)
    yesterday = datetime.now(UTC).timestamp() - 25 * 3600
    for path in (left, left.with_name(f"{first}.data")):
        os.utime(path, (yesterday, yesterday))
    assert {one["id"]: one["can_resume"] for one in small.ask("GET", "/imports").json()["items"]} == {first: False, second: True}
    assert [path.stem for path in left.parent.glob("*.data")] == [second]


def test_what_is_being_sent_waits_too(small: Office) -> None:
    with ExitStack() as coming:
        for _ in range(16):
            coming.enter_context(small.api._means.uploads.coming())
        assert small.ask("POST", "/imports", content=LINES).status_code == 409
    small.wait(small.ask("POST", "/imports", content=LINES).json()["id"])


def test_few_imports_wait(small: Office) -> None:
    ledger = Ledger(small.service.data)
    assert ledger.acquire()
    answers = [small.ask("POST", "/imports", content=LINES + b"\n" * number).status_code for number in range(17)]
    assert answers == [202] * 16 + [409]
    ledger.close()


def test_domains_tell_their_records(office: Office) -> None:
    made = office.ask("POST", "/domains", "zoe", json={"name": "Get2.Zebra.Example", "organisation": "zebra"}).json()
    assert (made["name"], made["state"]) == ("get2.zebra.example", "pending")
    assert [(one["type"], one["name"]) for one in made["records"]] == [
        ("TXT", "_gatewaycore-challenge.get2.zebra.example"),
        ("CNAME", "get2.zebra.example"),
    ]
    assert made["records"][1]["value"] == "gateway.example"
    assert office.ask("GET", "/domains/get2.zebra.example", "zoe").json() == made
    assert office.ask("POST", "/domains", "zoe", json={"name": "203.0.113.7", "organisation": "zebra"}).status_code == 422


def test_the_console_serves_it_below_its_mount(tmp_path: Path) -> None:
    with Office(tmp_path) as office:
        console = Console(office.service, office.access, made=office.follower)
        for root in ("", "/console"):
            answer = office.ask_of(console, root, "GET", "/packages?limit=1", "root")
            assert answer.headers["link"].startswith(f"<{root}{PREFIX}/packages?limit=1&cursor=")
            described = office.ask_of(console, root, "GET", OPENAPI, "root").json()
            assert described["servers"] == [{"url": root or "/"}]
        made = office.ask_of(console, "/console", "POST", "/packages", "zoe", json=NEW)
        assert (made.status_code, made.headers["location"]) == (201, f"/console{PREFIX}/packages/tool")
        assert "get.zebra.example" in office.service.gateway.router.domains
        console.close()


def test_a_console_without_a_file_makes_nothing(tmp_path: Path) -> None:
    with Office(tmp_path) as office:
        console = Console(office.service, office.access)
        assert office.ask_of(console, "", "POST", "/packages", "root", json=NEW).status_code == 409
        console.close()
