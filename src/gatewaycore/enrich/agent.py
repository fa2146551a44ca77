"""Enrichment `client`: what the User-Agent says of itself, and who is behind it as far as that tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from gatewaycore.enrich.caller import Caller, Column
from gatewaycore.enrich.client import Client, identify

Agent: TypeAlias = Literal["human", "ci", "mirror", "bot", "scanner", "unknown"]


def agent_of(client: Client) -> Agent:
    """Return who is behind a client: the most telling of what it says of itself."""
    if client.kind == "scanner":
        return "scanner"
    if client.kind == "mirror":
        return "mirror"
    if client.bot:
        return "bot"
    if client.ci:
        return "ci"
    return "human" if client.kind == "browser" else "unknown"


@frozen
class ClientEnrichment:
    """Settings of the enrichment `client`: there are none."""

    def open(self) -> ClientEnricher:
        """Make the enricher."""
        return ClientEnricher()


class ClientEnricher:
    """Says client, client_version, client_runtime, os, device, arch and agent."""

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return the columns; without a User-Agent there are none."""
        if caller.user_agent is None:
            return {}
        client = identify(caller.user_agent)
        return {
            "client": client.name,
            "client_version": client.version,
            "client_runtime": client.runtime,
            "os": client.os,
            "device": client.device,
            "arch": client.arch,
            "agent": agent_of(client),
        }
