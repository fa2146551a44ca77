"""The contract of `Enrichment` and of the `Enricher` it opens. Inherit `EnrichmentContract` and make one:

class TestMoon(EnrichmentContract):
    def make(self, folder: Path) -> Enrichment:
        return Moon()
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import msgspec
import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewaycore.enrich import COLUMNS, Caller, Column, Enricher, Enrichment, Refreshed
from gatewaycore.event import Event
from gatewaycore.privacy import redact
from gatewaycore.recorder import decode
from tests.examples import many
from tests.strategies import AGENTS, addresses

thorough = settings(deadline=None, max_examples=many(150), suppress_health_check=[HealthCheck.differing_executors])
callers = st.builds(
    Caller,
    st.one_of(addresses, st.sampled_from(("", "testclient", "::1", "fe80::1%eth0", "::ffff:203.0.113.7", "203.0.113.7"))),
    st.one_of(st.none(), st.sampled_from(AGENTS), st.text(st.characters(max_codepoint=0xFF), max_size=60)),
    st.sampled_from(("get.acme.example", "x")),
)
LINE = (
    b'{"id":"x","time":"2026-01-01T00:00:00Z","domain":"d","package_type":"file","rule":"r","kind":"view","method":"GET","status":200,'
    b'"decision":"respond",%b}'
)


class EnrichmentContract:
    """What every enrichment must keep."""

    def make(self, folder: Path) -> Enrichment:
        """Make settings whose files, if there must be any, lie in `folder`."""
        raise NotImplementedError

    @property
    def enricher(self) -> Enricher:
        """One enricher for each class."""
        cls = type(self)
        if "_opened" not in vars(cls):
            with TemporaryDirectory() as folder:
                cls._opened = self.make(Path(folder)).open()  # type: ignore[attr-defined]
        found: Enricher = vars(cls)["_opened"]
        return found

    def test_settings_are_frozen_and_open(self, tmp_path: Path) -> None:
        made: Any = self.make(tmp_path)
        for field in attrs.fields(type(made)):
            with pytest.raises(FrozenInstanceError):
                setattr(made, field.name, None)
        assert isinstance(made.open().columns(Caller("", None, "x")), Mapping)

    @thorough
    @given(caller=callers)
    def test_it_is_total_and_says_columns_of_the_event_only(self, caller: Caller) -> None:
        found = self.enricher.columns(caller)
        assert set(found) <= COLUMNS
        assert all(value is None or isinstance(value, str | float) for value in found.values())
        self.check_event(found)

    def check_event(self, found: Mapping[str, Column]) -> None:
        """Hold columns to the types that events have."""
        said = {name: value for name, value in found.items() if value is not None} or {"agent": "unknown"}
        event: Event = decode(LINE % msgspec.json.encode(said)[1:-1])
        assert all(getattr(event, name) == value for name, value in said.items())

    @thorough
    @given(caller=callers)
    def test_it_never_says_the_address(self, caller: Caller) -> None:
        # As the recorder asks: what the user agent said of it is taken out before.
        agent = None if caller.user_agent is None else redact(caller.user_agent, caller.address)
        found = self.enricher.columns(attrs.evolve(caller, user_agent=agent))
        assert not caller.address or not any(caller.address in value for value in found.values() if isinstance(value, str))

    @thorough
    @given(caller=callers)
    def test_the_same_caller_is_always_told_the_same(self, caller: Caller) -> None:
        assert dict(self.enricher.columns(caller)) == dict(self.enricher.columns(attrs.evolve(caller)))

    def test_where_nothing_was_replaced_nothing_is_swapped(self, tmp_path: Path) -> None:
        made = self.make(tmp_path).open()
        refresh = getattr(made, "refresh", None)
        if refresh is not None:
            assert refresh() == Refreshed()
        close = getattr(made, "close", None)
        if close is not None:
            close()
            assert isinstance(made.columns(Caller("203.0.113.7", None, "x")), Mapping)
