"""What the sinks share: lines -> events, and a count of what is none."""

from __future__ import annotations

import logging

import pytest

from gatewaycore.recorder import encode
from gatewaycore.sinks.rows import Intake, batch_key, check_name, check_positive, without_extra
from tests.events import make_event

GOOD = make_event()
TORN = [
    b"\n",
    b'{"id":"x\n',
    b"[]\n",
    b'{"id":"\xff"}\n',
    encode(make_event(id="nobody")),
    encode(GOOD).replace(b'Z"', b'"', 1),
]


def test_events_come_in_their_order() -> None:
    other = make_event()
    assert Intake("x").read([encode(other), encode(GOOD)]) == [other, GOOD]


def test_what_is_no_event_is_counted_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    intake = Intake("store")
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert intake.read([*TORN[:3], encode(GOOD), *TORN[3:]]) == [GOOD]
        assert intake.skipped == 0
        for _ in range(2):
            intake.settle()
    assert intake.skipped == len(TORN)
    assert [record.getMessage() for record in caplog.records] == ["store: 6 lines are skipped: they are not events"]


def test_a_batch_has_a_key_of_its_own() -> None:
    assert batch_key(["a", "b"]) == batch_key(["a", "b"]) != batch_key(["b", "a"])
    assert len(batch_key([])) == 32


def test_a_driver_that_is_not_there() -> None:
    assert str(without_extra("store", "shop")) == "sinks: store: needs gatewaycore[shop] (pip install 'gatewaycore[shop]')"


def test_settings_are_checked() -> None:
    check_name(None, None, "events_2")
    check_positive(None, None, 0.1)
    for name in ("", "2x", 'a"b', "x" * 49, "é"):
        with pytest.raises(ValueError, match="is not a name"):
            check_name(None, None, name)
    for number in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="is not more than 0"):
            check_positive(None, None, number)
