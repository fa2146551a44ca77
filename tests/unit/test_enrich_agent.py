"""Enrichment `client`: who is behind a user agent."""

from __future__ import annotations

import pytest

from gatewaycore.enrich import Caller, ClientEnrichment
from gatewaycore.enrich.agent import Agent, Reason, reasoned
from gatewaycore.enrich.client import Client, identify

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.mark.parametrize(
    ("user_agent", "agent"),
    [
        (BROWSER, "human"),
        ("curl/8.5.0", "unknown"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot"),
        ("bandersnatch/6.5.0 (cpython 3.11)", "mirror"),
        ("Mozilla/5.0 zgrab/0.x", "scanner"),
        ("", "unknown"),
    ],
)
def test_who_is_behind_it(user_agent: str, agent: Agent) -> None:
    assert reasoned(identify(user_agent))[0] == agent


@pytest.mark.parametrize(
    ("client", "agent"),
    [
        (Client(name="pip", ci=True), "ci"),
        (Client(name="devpi", kind="mirror", ci=True, bot=True), "mirror"),
        (Client(name="zgrab", kind="scanner", bot=True), "scanner"),
        (Client(name="x", ci=True, bot=True), "bot"),
        (Client(name="browser", kind="browser"), "human"),
        (Client(name=None), "unknown"),
    ],
)
def test_the_most_telling_counts(client: Client, agent: Agent) -> None:
    assert reasoned(client)[0] == agent


@pytest.mark.parametrize(
    ("user_agent", "agent", "reason"),
    [
        (BROWSER, "human", "browser"),
        ("curl/8.5.0", "unknown", "program"),
        ("-", "unknown", "unreadable"),
        ("npm/11.0.0 node/v22.1.0 linux x64 workspaces/false ci/gitlab", "ci", "build-system"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot", "crawler-name"),
        ("bandersnatch/6.5.0 (cpython 3.11)", "mirror", "mirror-name"),
        ("Mozilla/5.0 zgrab/0.x", "scanner", "scanner-name"),
    ],
)
def test_the_reason_is_told(user_agent: str, agent: Agent, reason: Reason) -> None:
    assert reasoned(identify(user_agent)) == (agent, reason)
    columns = ClientEnrichment().open().columns(Caller("", user_agent, "x"))
    assert (columns["agent"], columns["agent_reason"]) == (agent, reason)


def test_columns() -> None:
    enricher = ClientEnrichment().open()
    assert enricher.columns(Caller("203.0.113.7", None, "x")) == {}
    columns = enricher.columns(Caller("203.0.113.7", BROWSER, "x"))
    assert (columns["client"], columns["os"], columns["agent"], columns["device"]) == ("browser", "linux", "human", "desktop")
