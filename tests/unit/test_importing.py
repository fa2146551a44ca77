"""What a line becomes: names, times, ids, packages, identifiers; and what of it is kept nowhere."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewaycore.callers import Callers
from gatewaycore.enrich import Caller, Column
from gatewaycore.errors import ConfigError, GatewayError
from gatewaycore.event import Event
from gatewaycore.importing.counters import Counters
from gatewaycore.importing.fields import flatten, from_row, read_object, unfold
from gatewaycore.importing.ids import content_key, event_id, is_hash
from gatewaycore.importing.making import LeftOut, Maker, keys_of_periods
from gatewaycore.importing.names import LineError, Names, read_map
from gatewaycore.importing.own import from_cells, from_object
from gatewaycore.importing.packages import Packages
from gatewaycore.importing.reading import LINE_BYTES, Source
from gatewaycore.importing.records import check_encoding, form_of, read_objects, read_rows, read_table
from gatewaycore.importing.times import read_time
from gatewaycore.owntraffic import OwnTrafficSettings
from gatewaycore.recorder import decode, encode
from gatewaycore.rules import CatchAllRule, CollectionRule, ContainerRule, EventRule, FileRule, PixelRule
from gatewaycore.sinks.rows import pair
from tests.events import make_event

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
LATEST = datetime(2026, 11, 27, 12, tzinfo=UTC)
ADDRESS = "203.0.113.77"

RULES: list[tuple[Any, str]] = [
    (EventRule(name="usage", domain="in.acme.example", incoming_path="/v1/{event}"), "event"),
    (FileRule(name="cli", domain="*.acme.example", incoming_path="/{version}/cli.tgz", variables={"version": "release"}), "file"),
    (PixelRule(name="docs", id="px-1", domain="px.acme.example"), "pixel"),
    (PixelRule(name="cli", id="px-2", domain="px.acme.example", incoming_path="/b.png"), "pixel"),
    (ContainerRule(name="acme/rocket", domain="docker.acme.example", backend="ghcr.io/acme/rocket"), "container"),
    (CollectionRule(pattern="more/*", domain="docker.acme.example", backend="ghcr.io"), "container"),
    (CatchAllRule(name="old", domain="old.acme.example", redirect_target_domain="acme.example"), "catch-all"),
]


class Everything:
    """Says something of every address, and repeats it, as a careless database does."""

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        return {"country": "DE", "company": f"of {caller.address}", "arch": "arm64"} if caller.address else {}


def maker(*enrichers: Any, usual: str | None = "usage", own: OwnTrafficSettings | None = None) -> Maker:
    by_agent, callers = Callers(enrichers[:1]), Callers(enrichers[1:])
    seen: Counter[bytes] = Counter()

    def occurrence(key: bytes) -> int:
        seen[key] += 1
        return seen[key] - 1

    key = keys_of_periods(b"k" * 32, NOW, "month")
    return Maker(Packages(RULES, usual), by_agent, callers, key, occurrence, LATEST, own.compile() if own else None)


def made(fields: Mapping[str, str], using: Maker | None = None) -> Event:
    found = (using or maker()).make({"$time": "2024-05-06T07:08:09Z", **fields})
    assert not isinstance(found, LeftOut)
    event = decode(found[1])
    assert event.time == found[0]
    # As every sink takes it.
    assert pair([found[1]]) == [(found[1], event)]
    return event


def refused(fields: Mapping[str, str], using: Maker | None = None) -> str:
    with pytest.raises(LineError) as caught:
        (using or maker()).make(dict(fields))
    return str(caught.value)


# --- lines -----------------------------------------------------------------------------------------------------------------


def test_an_object_is_flattened_and_its_numbers_keep_their_text() -> None:
    found = flatten(read_object(b'{"a":{"b":"c","d":[1,{"e":2.50}]},"v":1.10,"n":9007199254740993,"t":true,"f":{"g":false},"z":null}'))
    assert found == {"a.b": "c", "a.d.0": "1", "a.d.1.e": "2.50", "v": "1.10", "n": "9007199254740993", "t": "true", "f.g": "false"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nope", "not JSON at character 1: Expecting value"),
        (b'{"a":1} x', "not JSON at character 9: Extra data"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 0 of a text"),
        (b'\xff{"a":1}', "not UTF-8 at byte 0"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b"[1]", "expected a JSON object, found an array"),
        (b"7", "expected a JSON object, found something else"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_object_is_refused_without_a_word_of_it(line: bytes, reason: str) -> None:
    with pytest.raises(LineError, match=f"^{re.escape(reason)}$"):
        read_object(line)


def test_what_is_nested_without_end_and_names_without_end_are_refused() -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = {"a": deep}
    with pytest.raises(LineError, match="nested too deeply"):
        flatten(deep)
    with pytest.raises(LineError, match="a name of more than 256"):
        flatten({"n" * 257: "x"})


def test_a_row_has_as_many_cells_as_there_are_columns() -> None:
    assert from_row(["a", "", "b"], ["1", "2", ""]) == {"a": "1"}
    with pytest.raises(LineError, match="1 cells, and 2 columns"):
        from_row(["a", "b"], ["1"])


def test_objects_in_cells_become_fields() -> None:
    assert unfold({"$headers": '{"DNT": ["0", "1"]}', "$variables": '{"a": {"b": 1}}'}) == {
        "$headers.DNT.0": "0",
        "$headers.DNT.1": "1",
        "$variables.a.b": "1",
    }
    for text in ("DNT: 1", "[1]", '"\ud800"'):
        with pytest.raises(LineError, match=r"^\$headers is no object$"):
            unfold({"$headers": text})


# --- names -----------------------------------------------------------------------------------------------------------------


def test_names_mean_what_the_operator_says() -> None:
    names = Names(read_map(["Clicked At=$time", "n=count", "secret=", "meta=$variables"]))
    fields = {"Clicked At": "1", "n": "2", "secret": "3", "secret.more": "4", "meta.a": "5", "other": "6"}
    assert names.apply(fields) == {"$time": "1", "count": "2", "$variables.a": "5", "other": "6"}


def test_a_map_names_what_there_is() -> None:
    with pytest.raises(ConfigError) as caught:
        read_map(["=x", "nothing", "a=$nothing", "b=$country"])
    assert [problem.what for problem in caught.value.problems] == ["'=x' is no pair", "'nothing' is no pair", "'$nothing' is no field"]
    assert read_map(["time=$unique_id"], "scarf")["time"] == "$unique_id"
    assert read_map([], "scarf")["state"] == "$region"


@pytest.mark.parametrize("name", ["$tim", "$os", "$", "$203.0.113.7", "$a b"])
def test_a_reserved_name_that_is_not_known_is_refused(name: str) -> None:
    names = Names({})
    for _ in range(2):
        with pytest.raises(LineError) as caught:
            names.apply({name: "x"})
        assert "203" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["ip", "IP Address", "remote_addr", "client-ip", "x-forwarded-for", "ipAddress", "address", "user_ip", "X-Real-IP", "ipv6"]
)
def test_a_column_of_addresses_is_not_taken_for_a_variable(name: str) -> None:
    with pytest.raises(LineError, match="map it to"):
        Names({}).apply({name: "203.0.113.7"})


@pytest.mark.parametrize("name", ["ipsum", "user", "source", "client", "zip", "description", "remote", "dressed"])
def test_other_columns_are_variables(name: str) -> None:
    assert Names({}).apply({name: "x"}) == {name: "x"}


def test_names_without_end_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.importing.names._MOST_KNOWN", 25)
    names = Names({})
    for number in range(100):
        assert names.apply({f"n{number}": "x"})
    assert len(names._known) <= 25


# --- times -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09+00:00"),
        ("2024-05-06 07:08:09", "2024-05-06T07:08:09+00:00"),
        ("2024-05-06T09:08:09.5+02:00", "2024-05-06T07:08:09.500000+00:00"),
        ("2024-05-06", "2024-05-06T00:00:00+00:00"),
        ("20240506", "2024-05-06T00:00:00+00:00"),
        ("1714979289", "2024-05-06T07:08:09+00:00"),
        ("1714979289.25", "2024-05-06T07:08:09.250000+00:00"),
        ("1714979289123", "2024-05-06T07:08:09.123000+00:00"),
        ("1714979289123456", "2024-05-06T07:08:09.123456+00:00"),
        ("1714979289123456789", "2024-05-06T07:08:09.123457+00:00"),
    ],
)
def test_times(text: str, iso: str) -> None:
    assert read_time(text, LATEST).isoformat() == iso


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("yesterday", "no time"),
        ("true", "no time"),
        ("-5", "no time"),
        ("NaN", "no time"),
        ("99999999999", "in the future"),
        ("99999999999999999999", "no time"),
        ("999999999999999999999", "no time"),
        ("0001-01-01T00:00:00+14:00", "no time"),
        ("1989-12-31T23:59:59Z", "before 1990"),
        ("0", "before 1990"),
        ("2026-11-28", "in the future"),
    ],
)
def test_what_is_no_time_within_reason(text: str | None, reason: str) -> None:
    with pytest.raises(LineError, match=reason):
        read_time(text, LATEST)


# --- ids -------------------------------------------------------------------------------------------------------------------


def test_ids_are_uuids_that_tell_the_time_and_how_often() -> None:
    key = content_key(b"a", b"b")
    assert key != content_key(b"a\0b"[:1] + b"b")
    ids = [event_id(datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC), key, number).decode() for number in range(50)]
    assert len(set(ids)) == 50
    for one in ids:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one)
        assert int(one[:8] + one[9:13], 16) == 1714979289123


def test_equal_lines_are_as_many_events_and_the_same_ones_the_next_time() -> None:
    def ids() -> list[str]:
        using = maker()
        return [made({"a": text}, using).id for text in ("x", "y", "x", "x")]

    assert len(set(ids())) == 4
    assert ids() == ids()
    # In another order, or with others between them, they are the same all the same.
    using = maker()
    assert {made({"a": text}, using).id for text in ("x", "z", "x", "y", "x")} >= set(ids())


def test_a_unique_id_is_the_event_whatever_else_it_says() -> None:
    assert made({"$unique_id": "1", "a": "x"}).id == made({"$unique_id": "1", "a": "y"}).id
    assert made({"$unique_id": "1"}).id != made({"$unique_id": "2"}).id
    assert made({"$unique_id": "1"}).id != made({"$unique_id": "1", "$package": "old"}).id
    assert "more than" in refused({"$time": "1714979289", "$unique_id": "x" * 1025})


def test_no_id_tells_an_address() -> None:
    """Ids are no keyed hashes: with anything of an address in them, whoever has the event could try all addresses."""
    for fields in ({}, {"$unique_id": "from {}"}, {"$user_agent": "curl ({})"}, {"a": "{}"}, {"$headers.X-Forwarded-For": "{}"}):
        both = [
            {name: value.format(address) for name, value in fields.items()} | {"$remote_address": address}
            for address in ("203.0.113.7", "198.51.100.22")
        ]
        assert made(both[0]).id == made(both[1]).id


@pytest.mark.parametrize("text", ["0123456789abcdef", "018f4cbb-37a8-7d4b-a9fb-78868e64b309", "A" * 64])
def test_hashes(text: str) -> None:
    assert is_hash(text)


@pytest.mark.parametrize("text", ["203.0.113.7", "2001:db8::1", "abc", "a" * 65, "xyzxyzxyzxyzxyzxyz"])
def test_no_hashes(text: str) -> None:
    assert not is_hash(text)
    assert "no hash" in refused({"$time": "1714979289", "$origin_id": text})


# --- events ----------------------------------------------------------------------------------------------------------------


def test_an_event_has_what_a_request_would_have_given_it() -> None:
    event = made({"$version": "1.10", "platform": "Linux", "page": "https://a.example", "arch": "arm64", "other": "é", "$type": "download"})
    assert (event.package, event.package_type, event.rule) == ("usage", "event", "in.acme.example/v1/{event}")
    assert (event.domain, event.kind, event.method, event.status, event.decision) == ("in.acme.example", "download", "POST", 200, "respond")
    assert (event.version, event.platform, event.platform_recognised, event.page, event.arch) == (
        "1.10", "Linux", True, "https://a.example", "arm64",
    )  # fmt: skip
    assert event.variables == {"platform": "Linux", "page": "https://a.example", "arch": "arm64", "other": "é"}
    assert (event.agent, event.origin_id, event.endpoint_id, event.user_agent) == ("unknown", None, None, None)


def test_packages_are_found_by_name_and_by_id() -> None:
    assert made({"$package": "px-1"}).kind == "view"
    assert made({"$pixel": "docs"}).package == "px-1"
    assert made({"$pixel": "cli"}).package == "px-2"
    assert made({"$package": "acme/rocket", "$version": "1.2"}).kind == "pull"
    assert made({"$package": "acme/rocket", "$type": "download"}).kind == "pull"
    assert made({"$package": "more/images"}).rule.endswith("more/*")
    assert made({"$package": "old"}).package_type == "catch-all"
    assert made({"$package": "", "$pixel": "docs"}).package == "px-1"
    file = made({"$package": "px-2"})
    assert file.package_type == "pixel"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"$package": "nothing"}, "there is no such package"),
        ({"$pixel": "usage"}, "there is no such pixel"),
        ({"$package": "cli"}, "several packages have this name: write the id of one"),
        ({"$domain": "not a host"}, "$domain is no host name"),
        ({"$type": "nothing"}, "$type is none of pull"),
        ({"$remote_address": "here"}, "$remote_address is no address"),
        ({"$remote_address": "1.2.3.256"}, "$remote_address is no address"),
        ({"$headers": "x"}, "$headers is no object"),
        ({"$headers.0": "DNT: 1"}, "$headers is no object of names and values"),
        ({"$headers.0.0": "DNT", "$headers.0.1": "1"}, "$headers is no object of names and values"),
        ({"$connection": "wire"}, "$connection is not what it should be"),
        ({"$confidence": "very"}, "$confidence is not what it should be"),
        ({"$confidence": "2"}, "$confidence is not what it should be"),
    ],
)
def test_what_is_not_taken(fields: dict[str, str], reason: str) -> None:
    assert refused({"$time": "1714979289", **fields}).startswith(reason)


def test_a_package_has_to_be_named() -> None:
    assert refused({"$time": "1714979289"}, maker(usual=None)).startswith("no package")
    with pytest.raises(ConfigError, match="--package: 'nothing': there is no such package"):
        maker(usual="nothing")


def test_which_variables_have_a_meaning_is_the_packages_affair() -> None:
    rules: list[tuple[Any, str]] = [
        (FileRule(name="f", domain="*.x.example", incoming_path="/{release}", variables={"version": "release"}), "file")
    ]
    using = maker()
    using._packages = Packages(rules, "f")
    event = made({"release": "7", "version": "8"}, using)
    assert (event.version, event.domain, event.kind, event.method) == ("7", "x.example", "download", "GET")


@pytest.mark.parametrize(
    "fields", [{"$headers.Sec-GPC": "1"}, {"$headers.dnt": "1"}, {"$headers.DNT.0": "0", "$headers.DNT.1": "1"}, {"$headers": '{"Dnt":1}'}]
)
def test_whoever_opted_out_is_left_out(fields: dict[str, str]) -> None:
    assert maker().make({"$time": "1714979289", **fields}) == LeftOut("opted-out")


def test_own_traffic_is_left_out() -> None:
    using = maker(own=OwnTrafficSettings(networks=("203.0.113.0/24",), user_agents=("monitor",)))
    for fields in ({"$remote_address": ADDRESS}, {"$user_agent": "a monitor"}, {"$headers.User-Agent": "monitor"}):
        assert using.make({"$time": "1714979289", **fields}) == LeftOut("own-traffic")
    assert made({"$headers.User-Agent": "curl", "$headers.X": "y"}, using).user_agent == "curl"


def test_headers_stand_in_for_what_is_not_said() -> None:
    fields = {"$pixel": "docs", "$headers.Referer": "https://a.example/", "$headers.User-Agent": "curl/8.5.0"}
    assert (made(fields).page, made(fields).user_agent) == ("https://a.example/", "curl/8.5.0")
    assert made({**fields, "$referrer": "https://b.example/"}).page == "https://b.example/"
    assert made({"$headers.Referer": "https://a.example/"}).page is None


def test_what_is_known_is_kept_and_wins() -> None:
    using = maker(Everything(), Everything())
    given = {"$country": "FR", "$connection": "ISP", "$confidence": "0.5", "$origin_id": "0" * 32, "$region": "IDF", "arch": "amd64"}
    event = made({"$remote_address": ADDRESS, **given}, using)
    assert (event.country, event.connection, event.confidence, event.origin_id, event.region) == ("FR", "isp", 0.5, "0" * 32, "IDF")
    assert event.endpoint_id is not None
    assert event.arch == "amd64"
    assert made({"$remote_address": ADDRESS, "$city": "X"}, using).arch == "arm64"


@pytest.mark.parametrize("address", [ADDRESS, "2001:db8::77"])
def test_no_address_is_anywhere(address: str) -> None:
    using = maker(Everything(), Everything())
    fields = {
        "$remote_address": address,
        "$user_agent": f"curl from {address}",
        "$referrer": f"https://a.example/?ip={address}",
        "$version": address,
        "$city": f"at {address}",
        "$headers.X-Forwarded-For": address,
        f"by {address}": "x",
        "a": address.replace(":", "%3A").replace(".", "%2E"),
    }
    event = made(fields, using)
    assert address not in encode(event).decode()
    assert "[address]" in (event.user_agent or "")
    assert event.version == "[address]"
    assert event.variables == {"by [address]": "x", "a": "[address]"}
    plain = made({"$remote_address": address, "arch": "x"}, using)
    assert (plain.company, plain.country, plain.arch) == ("of [address]", "DE", "x")


def test_identifiers_of_two_periods_cannot_be_compared() -> None:
    both = [made({"$remote_address": ADDRESS, "$time": text}) for text in ("2024-05-06", "2024-05-30", "2024-06-01", "2026-11-26")]
    assert both[0].origin_id == both[1].origin_id
    assert len({one.origin_id for one in both}) == 3
    assert keys_of_periods(b"k" * 32, NOW, "month")(NOW) == b"k" * 32
    daily = keys_of_periods(b"k" * 32, NOW, "day")
    assert daily(NOW) == b"k" * 32
    assert daily(NOW.replace(day=25)) != daily(NOW.replace(day=24))


# --- our own exports -------------------------------------------------------------------------------------------------------


def test_our_own_events_come_back_as_they_were() -> None:
    event = make_event(company="Acme", platform_recognised=True)
    line = json.loads(encode(event))
    assert from_object({**line, "region": None}, LATEST) == event
    cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in line.items()}
    assert from_cells({**cells, "day": "2026-11-02"}, LATEST) == event
    assert from_cells({**cells, "user_agent": "'=1"}, LATEST).user_agent == "=1"
    shifted = from_object({**line, "time": "2026-11-02T05:04:05+02:00"}, LATEST)
    assert encode(shifted).count(b'"2026-11-02T03:04:05Z"') == 1
    assert from_object(read_object(msgspec.json.encode({**line, "confidence": 0.25})), LATEST).confidence == 0.25


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "an event of schema 2, which a later version wrote"),
        ({"schema": 0}, "schema, status or bytes is no number that an event has"),
        ({"status": 99_999_999_999}, "schema, status or bytes is no number that an event has"),
        ({"status": -1}, "schema, status or bytes is no number that an event has"),
        ({"bytes": -1}, "schema, status or bytes is no number that an event has"),
        ({"bytes": 2**63}, "schema, status or bytes is no number that an event has"),
        ({"confidence": "nan"}, "confidence is no number"),
        ({"confidence": "1e400"}, "confidence is no number"),
        ({"domain": None}, "an event without domain"),
        ({"kind": "nothing"}, "kind is not what it should be"),
        ({"status": "x"}, "status is not what it should be"),
        ({"confidence": "x"}, "confidence is no number"),
        ({"strange": "x"}, "an event with a column that there is not"),
        ({"time": "2026-11-02T03:04:05"}, "time has no time zone"),
        ({"time": "2029-11-02T03:04:05Z"}, "time lies in the future"),
        ({"time": "1929-11-02T03:04:05Z"}, "time lies before 1990"),
        ({"id": "x"}, "id is no UUID"),
        ({"origin_id": "203.0.113.7"}, "an identifier is no hash in hexadecimal digits"),
        ({"variables": {str(number): "x" for number in range(200)}}, "more than 100 variables"),
        ({"user_agent": "x" * 3000}, "a text of more than 2048 characters"),
        ({"variables": ["x"]}, "variables is not what it should be"),
    ],
)
def test_what_is_no_event_of_ours(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(LineError, match=f"^{re.escape(reason)}$"):
        from_object({**json.loads(encode(make_event())), **change}, LATEST)


def test_what_is_no_row_of_ours() -> None:
    with pytest.raises(LineError, match="variables are no JSON object"):
        from_cells({"variables": "x"}, LATEST)


# --- files -----------------------------------------------------------------------------------------------------------------


def records(path: Path, encoding: str = "utf-8") -> list[tuple[int, Any]]:
    with Source(path) as source:
        if form_of(source.head) == "csv":
            table = read_table(source, encoding, None)
            found = list(read_rows(source, table, encoding))
        else:
            found = list(read_objects(source, encoding))
    return [(one.line, str(one.value) if isinstance(one.value, LineError) else one.value) for one in found]


def put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_lines_blank_ones_and_a_mark_at_the_beginning(tmp_path: Path) -> None:
    path = put(tmp_path / "e", b'\xef\xbb\xbf{"a":1}\r\n\n  \n{"b":2}\nx\n{"c":3}')
    assert records(path) == [(1, {"a": 1}), (4, {"b": 2}), (5, "not JSON at character 1: Expecting value"), (6, {"c": 3})]


def test_gzip_is_known_by_what_it_is(tmp_path: Path) -> None:
    text = b'{"a":1}\n' * 3
    assert records(put(tmp_path / "e.ndjson", gzip.compress(text[:8]) + gzip.compress(text[8:]))) == [(n, {"a": 1}) for n in (1, 2, 3)]
    assert records(put(tmp_path / "e.gz", text)) == [(n, {"a": 1}) for n in (1, 2, 3)]


def test_of_a_torn_stream_whole_lines_are_taken(tmp_path: Path) -> None:
    lines = b"".join(b'{"n":"%s"}\n' % os.urandom(40).hex().encode() for _ in range(5000))
    packed = gzip.compress(lines)
    found = records(put(tmp_path / "torn", packed[: len(packed) // 2]))
    assert len(found) > 1000
    assert all(isinstance(value, dict) and len(value["n"]) == 80 for _, value in found[:-1])
    assert found[-1] == (len(found), "the gzip stream is torn or damaged here: what comes behind it cannot be read")
    damaged = bytearray(packed)
    damaged[-6] ^= 0xFF
    assert "damaged" in records(put(tmp_path / "damaged", bytes(damaged)))[-1][1]
    assert "damaged" in records(put(tmp_path / "head", packed[:12]))[-1][1]


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    long = b'{"a":"' + b"x" * (3 * LINE_BYTES) + b'"}\n'
    wanted = [(1, {"a": 1}), (2, "longer than 1,048,576 bytes"), (3, {"b": 2})]
    assert records(put(tmp_path / "e", b'{"a":1}\n' + long + b'{"b":2}\n')) == wanted
    packed = gzip.compress(b'{"a":1}\n' + os.urandom(2 * LINE_BYTES).hex().encode())
    assert "torn" in records(put(tmp_path / "t", packed[:-200_000]))[-1][1]


def test_encodings(tmp_path: Path) -> None:
    path = put(tmp_path / "e", '{"a":"é"}\n'.encode("latin-1"))
    assert records(path) == [(1, "not UTF-8 at byte 0 of a text")]
    assert records(path, "latin-1") == [(1, {"a": "é"})]
    assert records(put(tmp_path / "c", b'{"a":"\x81"}\n'), "cp1252") == [(1, "not cp1252 at byte 6")]
    for name in ("utf-16", "cp037", "nothing", "rot13"):
        with pytest.raises(ConfigError, match="cannot be read"):
            check_encoding(name)
    check_encoding("cp1252")
    with pytest.raises(GatewayError, match="UTF-16"):
        records(put(tmp_path / "w", "{}".encode("utf-16")))


def test_what_is_one_array_is_told(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match="jq -c"):
        records(put(tmp_path / "e", b'[{"a":1},\n{"a":2}]'))
    assert records(put(tmp_path / "empty", b"")) == []


def test_rows_with_quotes_and_line_breaks(tmp_path: Path) -> None:
    text = b'when; what\n\n2024;"a ""b"";\nc"\n2025;x\n\n2026;y;z\n'
    assert records(put(tmp_path / "e", text)) == [
        (3, {"when": "2024", "what": 'a "b";\nc'}),
        (5, {"when": "2025", "what": "x"}),
        (7, "3 cells, and 2 columns"),
    ]


def test_what_is_no_row_costs_no_other(tmp_path: Path) -> None:
    long = b"1," + b"x" * (LINE_BYTES + 5) + b"\n"
    text = b'a,b\n1,"x"y\n1,\xff\n2,ok\n' + long + b'3,ok\n4,"never closed\n5,x\n'
    assert records(put(tmp_path / "e", text)) == [
        (2, "not CSV: ',' expected after '\"'"),
        (3, "not utf-8 at byte 2"),
        (4, {"a": "2", "b": "ok"}),
        (5, "longer than 1,048,576 bytes"),
        (6, {"a": "3", "b": "ok"}),
        (7, "not CSV: a quote that is never closed"),
    ]
    lines = b'a,b\n1,"never closed\n' + b"2,x\n" * 300_000
    found = records(put(tmp_path / "f", lines))
    assert found[0] == (2, "a record of more than 1,048,576 characters: most likely a quote that is never closed")
    assert found[-1] == (300_002, {"a": "2", "b": "x"})


def test_headers_that_cannot_be_used(tmp_path: Path) -> None:
    for data, what in [
        (b"a,a\n", "the column 'a' is there twice"),
        (b"\n\n \n", "there is nothing in it"),
        (b"a,\xff\n", "line 1: not utf-8 at byte 2"),
        (b"x" * (LINE_BYTES + 2), "line 1: longer than"),
    ]:
        with Source(put(tmp_path / "e", data)) as source, pytest.raises(GatewayError, match=what):
            read_table(source, "utf-8", None)


def test_a_source_goes_on_where_it_was(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + b"".join(b'{"n":%d}\n' % number for number in range(100))
    for path in (put(tmp_path / "a", text), put(tmp_path / "b", gzip.compress(text))):
        with Source(path) as source:
            lines = source.lines()
            for _ in range(40):
                next(lines)
            offset, line = source.offset, source.line
            source.rewind()
            assert source.position >= 0
            source.skip(offset, line)
            assert next(source.lines()) == b'{"n":40}\n'
            assert source.line == 41
    with Source(tmp_path / "b") as source:
        source.skip(10**9, 7)
        assert list(source.lines()) == []


# --- counters --------------------------------------------------------------------------------------------------------------


def test_counters_are_exact_when_they_spill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewaycore.importing.counters._MOST_HELD", 7)
    # So few bits that most new keys look as if they had been there.
    monkeypatch.setattr("gatewaycore.importing.counters._BITS", 16)
    counters, wanted = Counters.temporary(), Counter[bytes]()
    keys = [os.urandom(16) for _ in range(60)]
    for number in range(600):
        key = keys[number * number % 60]
        assert counters.count(key) == wanted[key]
        wanted[key] += 1
    counters.put(keys[0], 99)
    assert counters.get(keys[0]) == 99
    assert counters.get(b"x" * 16) == 0
    counters.close()


@pytest.mark.parametrize("address", [ADDRESS, "2001:db8:7::99"])
def test_a_cut_leaves_no_piece_of_an_address(address: str) -> None:
    for before in range(1024 - len(address), 1025):
        long = "x" * before + address + "y" * 3_000
        event = made({"$remote_address": address, "$user_agent": long, "$version": "x" * 1024 + long})
        for said, most, found in ((long, 1024, event.user_agent), ("x" * 1024 + long, 2048, event.version)):
            assert found
            assert said.replace(address, "[address]").startswith(found)
            assert most - len(address) <= len(found) <= most


@pytest.mark.parametrize("spelled", ["::ffff:cb00:714d", "0:0:0:0:0:FFFF:cb00:714d", "::ffff:203.0.113.77"])
def test_an_ipv4_address_inside_an_ipv6_one_is_redacted(spelled: str) -> None:
    event = made({"$remote_address": ADDRESS, "$user_agent": f"curl/8 ({spelled})", "x": f"at {spelled}", "$version": spelled})
    assert event.user_agent == "curl/8 ([address])"
    assert event.variables == {"x": "at [address]", "version": "[address]"} or event.variables == {"x": "at [address]"}
    assert event.version == "[address]"
