"""Own traffic: told by network, by User-Agent or by a header field, and by nothing that only resembles them."""

from __future__ import annotations

from typing import Any

import pytest

from gatewaycore.errors import ConfigError
from gatewaycore.headers import Headers
from gatewaycore.owntraffic import OwnHeader, OwnTraffic, OwnTrafficSettings
from gatewaycore.rules.access import hash_token

V4 = "203.0.113.7"


def made(**settings: Any) -> OwnTraffic:
    own = OwnTrafficSettings(**settings).compile()
    assert own is not None
    return own


def test_nobody_is_own_unless_said() -> None:
    assert OwnTrafficSettings().compile() is None


@pytest.mark.parametrize(
    ("address", "own"),
    [
        (V4, True), ("203.0.114.1", False), (f"::ffff:{V4}", True), ("2001:db8::7", True), ("2001:db9::7", False), ("192.0.2.1", True),
        ("", False), ("testclient", False), ("fe80::1%eth0", False), ("203.0.113", False),
    ],
)  # fmt: skip
def test_networks(address: str, own: bool) -> None:
    traffic = made(networks=("203.0.113.9/24", "2001:db8::/32", "192.0.2.1"))
    assert traffic.sent(address, Headers()) is own
    assert traffic.sent(address, Headers({"User-Agent": "x"})) is own


@pytest.mark.parametrize(
    ("agent", "own"),
    [
        ("Acme-Monitor/1.0", True), ("x (acme-monitor)", True), ("acme monitor", False), (None, False), ("", False),
        ("acme-build/2", True), ("acme-deploy/2", True), ("x acme-build/2", False), ("ACME-BUILD/2", False), ("\xff(", False),
    ],
)  # fmt: skip
def test_user_agents(agent: str | None, own: bool) -> None:
    traffic = made(user_agents=("acme-MONITOR", "re:^acme-(build|deploy)/"))
    assert traffic.sent(V4, Headers() if agent is None else Headers({"User-Agent": agent})) is own


@pytest.mark.parametrize("value", ["rocket-fuel", hash_token("rocket-fuel"), "sha256:" + hash_token("rocket-fuel")[7:].upper()])
@pytest.mark.parametrize(
    ("sent", "own"),
    [
        ("rocket-fuel", True),
        ("rocket-fuel ", True),
        ("Rocket-Fuel", False),
        ("rocket-fuel2", False),
        ("", False),
        (hash_token("rocket-fuel"), False),
    ],
)
def test_a_header_field(value: str, sent: str, own: bool) -> None:
    traffic = made(header=OwnHeader(name="X-Acme-Own", value=value))
    assert traffic.sent(V4, Headers({"x-acme-OWN": sent})) is own
    assert traffic.sent(V4, Headers({"x-acme": sent})) is False


def test_one_of_them_is_enough() -> None:
    traffic = made(networks=("192.0.2.0/24",), header=OwnHeader(name="x-own", value="1"), user_agents=("monitor",))
    assert traffic.sent("192.0.2.1", Headers())
    assert traffic.sent(V4, Headers({"X-Own": "1"}))
    assert traffic.sent(V4, Headers({"X-Own": "2", "User-Agent": "a monitor"}))
    assert not traffic.sent(V4, Headers({"X-Own": "2", "User-Agent": "curl"}))


@pytest.mark.parametrize("pattern", ["", " ", "re:", "re:(", "re:(?=x)", "re:(a)\\1"])
def test_what_would_be_everybody_or_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError, match="user-agents"):
        OwnTrafficSettings(user_agents=(pattern,)).compile()


def test_a_value_is_shown_nowhere() -> None:
    assert "rocket-fuel" not in repr(OwnTrafficSettings(header=OwnHeader(name="x", value="rocket-fuel")))


def test_what_is_remembered_is_bounded() -> None:
    traffic = made(user_agents=("monitor",))
    long = "x" * 1024 + "monitor"
    assert not traffic.sent(V4, Headers({"User-Agent": long}))
    for number in range(5_000):
        assert traffic.sent(V4, Headers({"User-Agent": f"monitor/{number}"}))
    assert 0 < len(traffic._known) <= 4096
