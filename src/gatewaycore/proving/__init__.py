"""Proving: whether a domain is an organisation's, and leads here, by its DNS records.

`settings` says how it is looked at, `names` which names are domains and what their records have to hold, `resolver` asks, `looking` puts
the answers together, and `judging` says what becomes of the domain. Nothing here knows a database, and only `resolver` a socket.
"""

from __future__ import annotations

from gatewaycore.proving.judging import Judgement, Standing, State, judge, pause_s
from gatewaycore.proving.looking import Look, Records, Seen
from gatewaycore.proving.names import Place, Record, challenge_name, plain, read_domain, records_for, supplied
from gatewaycore.proving.settings import VerificationSettings

__all__ = [
    "Judgement", "Look", "Place", "Record", "Records", "Seen", "Standing", "State", "VerificationSettings", "challenge_name", "judge",
    "pause_s", "plain", "read_domain", "records_for", "supplied",
]  # fmt: skip
