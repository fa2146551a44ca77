"""Events: what they have room for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args, get_type_hints

from attrs import fields

from gatewaycore.enrich import COLUMNS
from gatewaycore.enrich.agent import Agent
from gatewaycore.event import KINDS, PLATFORMS, SCHEMA, Event, Observation

WANTED = [
    "id",
    "schema",
    "time",
    "domain",
    "package",
    "package_type",
    "rule",
    "kind",
    "method",
    "status",
    "decision",
    "target",
    "version",
    "platform",
    "arch",
    "page",
    "variables",
    "client",
    "client_version",
    "client_runtime",
    "os",
    "device",
    "agent",
    "agent_reason",
    "user_agent",
    "country",
    "region",
    "city",
    "company",
    "company_domain",
    "connection",
    "cloud",
    "confidence",
    "origin_id",
    "endpoint_id",
    "bytes",
]


def test_an_event_has_every_column_of_the_design_and_none_for_an_address() -> None:
    columns = [column.name for column in fields(Event)]
    assert [name for name in columns if name != "platform_recognised"] == WANTED
    assert not {"address", "ip", "client_ip", "remote_addr", "headers", "path", "query"} & set(columns)


def test_enrichers_fill_columns_that_events_have() -> None:
    assert {column.name for column in fields(Event)} >= COLUMNS


def test_vocabularies() -> None:
    assert set(KINDS) == {"pull", "manifest", "blob", "download", "metadata", "view", "event", "install", "ping"}
    assert len(PLATFORMS) == 12
    assert get_args(get_type_hints(Event)["agent"]) == get_args(Agent)


def test_defaults() -> None:
    event = Event(
        id="x",
        time=datetime.now(UTC),
        domain="d",
        package_type="file",
        rule="r",
        kind="download",
        method="GET",
        status=302,
        decision="redirect",
    )
    assert (event.schema, event.agent, event.bytes, dict(event.variables)) == (SCHEMA, "unknown", 0, {})
    assert dict(Observation("p", "file", "r", "download").variables) == {}
