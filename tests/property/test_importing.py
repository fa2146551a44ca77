"""Import and export: what goes out comes back, whatever it holds; and no line brings anything down, or an address in."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import make_event
from tests.examples import many
from tests.strategies import addresses

from gatewaycore.callers import Callers
from gatewaycore.event import KINDS, Event
from gatewaycore.exporting import JournalSource, Selection, write_csv, write_ndjson
from gatewaycore.exporting.columns import OWN
from gatewaycore.importing.fields import flatten, is_own, read_object
from gatewaycore.importing.making import Maker, keys_of_periods
from gatewaycore.importing.names import GIVEN_NAMES, RESERVED, LineError, Names
from gatewaycore.importing.own import from_cells, from_object
from gatewaycore.importing.packages import Packages
from gatewaycore.importing.reading import Source
from gatewaycore.importing.records import read_objects, read_rows, read_table
from gatewaycore.recorder import decode, encode
from gatewaycore.rules import EventRule

LATEST = datetime(2026, 12, 1, tzinfo=UTC)

# Everything that JSON, CSV and spreadsheets take for something else.
text = st.one_of(
    st.sampled_from(["=1", "'=1", "''@", "-", "+a", "\t", "\r\n", '"', '""', ",", ";", "null", "true", "é", "\u2028", "[address]"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
events = st.builds(
    lambda columns, variables, kind, time: attrs.evolve(make_event(time=time), kind=kind, variables=variables, **columns),
    st.dictionaries(
        st.sampled_from(["page", "version", "platform", "arch", "user_agent", "country", "region", "city", "company", "package", "target"]),
        text,
    ),
    st.dictionaries(text, text | st.just(""), max_size=4),
    st.sampled_from(KINDS),
    st.integers(700_000_000_000_000, 1_790_000_000_000_000).map(lambda us: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)),
)


@settings(max_examples=many(100), deadline=None)
@given(st.lists(events, max_size=5))
def test_what_goes_out_comes_back(given_events: list[Event]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "n-1-1.jsonl").write_bytes(b"".join(map(encode, given_events)))
        for form, write in (("csv", write_csv), ("ndjson", write_ndjson)):
            out = io.BytesIO()
            write(out, OWN, JournalSource(folder, lambda _: 0).rows(OWN, Selection()))
            (folder / form).write_bytes(out.getvalue())
            with Source(folder / form) as source:
                found: list[Event] = []
                if form == "csv":
                    table = read_table(source, "utf-8", None)
                    assert table.is_own
                    records = read_rows(source, table, "utf-8")
                else:
                    records = read_objects(source, "utf-8")
                for record in records:
                    assert not isinstance(record.value, LineError), record.value
                    assert is_own(record.value)
                    found.append(from_cells(record.value, LATEST) if form == "csv" else from_object(record.value, LATEST))
            assert found == given_events


def make_maker() -> Maker:
    seen: Counter[bytes] = Counter()

    def occurrence(key: bytes) -> int:
        seen[key] += 1
        return seen[key] - 1

    packages = Packages([(EventRule(name="usage", domain="in.acme.example", incoming_path="/v1"), "event")], "usage")
    return Maker(packages, Callers(()), Callers(()), keys_of_periods(b"k" * 32, LATEST, "month"), occurrence, LATEST)


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
lines = st.dictionaries(st.sampled_from([*sorted(RESERVED), *sorted(GIVEN_NAMES), "a", "version"]) | text, values, max_size=6)


@settings(max_examples=many(300), deadline=None)
@given(lines, st.booleans())
def test_a_line_is_an_event_or_refused(line: dict[str, Any], timed: bool) -> None:
    data = json.dumps({**line, "$time": "2024-05-06"} if timed else line).encode()
    try:
        found = make_maker().make(Names({}).apply(flatten(read_object(data))))
    except LineError:
        return
    if isinstance(found, tuple):
        assert decode(found[1]).time == found[0]


@settings(max_examples=many(100), deadline=None)
@given(addresses, addresses, st.sampled_from(["{}", "x{}", "({})", "https://a.example/?ip={}&b"]))
def test_no_address_comes_in_and_no_id_tells_it(address: str, other: str, form: str) -> None:
    def made(one: str) -> bytes:
        said = form.format(one)
        fields = {"$time": "2024-05-06", "$remote_address": one, "$user_agent": said, "$version": said, "a": said, "$referrer": said}
        found = make_maker().make(fields)
        assert isinstance(found, tuple)
        return found[1]

    line = made(address)
    assert address.encode() not in line
    # The rest is the same, but for identifiers: so the id has nothing of the address.
    assert decode(line).variables == decode(made(other)).variables
    assert decode(line).id == decode(made(other)).id
