"""Enrichment `client`: what the User-Agent says of itself, and who is behind it as far as that tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from gatewaycore.enrich.caller import Caller, Column
from gatewaycore.enrich.client import Client, identify

Agent: TypeAlias = Literal["human", "ci", "mirror", "bot", "scanner", "unknown"]
Reason: TypeAlias = Literal["scanner-name", "mirror-name", "crawler-name", "build-system", "browser", "program", "unreadable"]


def reasoned(client: Client) -> tuple[Agent, Reason]:
    """Return who is behind a client, and why: the most telling of what it says of itself.

    A scanner is a crawler too, a mirror often runs in a build system, and a build system's browser is no human's.
    """
    if client.kind == "scanner":
        return "scanner", "scanner-name"
    if client.kind == "mirror":
        return "mirror", "mirror-name"
    if client.bot:
        return "bot", "crawler-name"
    if client.ci:
        return "ci", "build-system"
    if client.kind == "browser":
        return "human", "browser"
    # Somebody at a terminal and a job at night start the same programs.
    return "unknown", "unreadable" if client.name is None else "program"


@frozen
class ClientEnrichment:
    """Settings of the enrichment `client`: there are none."""

    def open(self) -> ClientEnricher:
        """Make the enricher."""
        return ClientEnricher()


class ClientEnricher:
    """Says client, client_version, client_runtime, os, device, arch, agent and agent_reason."""

    def columns(self, caller: Caller) -> Mapping[str, Column]:
        """Return the columns; without a User-Agent there are none."""
        if caller.user_agent is None:
            return {}
        client = identify(caller.user_agent)
        agent, reason = reasoned(client)
        return {
            "client": client.name,
            "client_version": client.version,
            "client_runtime": client.runtime,
            "os": client.os,
            "device": client.device,
            "arch": client.arch,
            "agent": agent,
            "agent_reason": reason,
        }
