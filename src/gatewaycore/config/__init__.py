"""The configuration: YAML, JSON, a mapping or a Scarf manifest -> `Config`.

From the ground up: `faults` (what is wrong), `places` (where), `yaml_source` and `json_source` (text -> plain data), `rereading` (a text
that has changed), `structure` (plain data -> settings classes), `vocabulary` (domains, statuses, tokens), `model` (Config), `entries`
(lists of rules, and which of two that say the same is served), `sections` (plain data -> Config), `manifest` (Scarf's rules), `reading`
(files, and everything together), `sifting` (of what was made elsewhere, what can be served), `opening` (what a Config names outside of
itself).
"""

from __future__ import annotations

from gatewaycore.config.manifest import scarf_rules
from gatewaycore.config.model import Config, ConsoleSettings, DomainDefaults, GatewaySettings, MadeRule, Rosters
from gatewaycore.config.opening import check_outside, close_enrichers, open_enrichers
from gatewaycore.config.reading import Beside, Reader, read_config
from gatewaycore.config.sifting import LeftOut, sift, words_of

__all__ = [
    "Beside",
    "Config",
    "ConsoleSettings",
    "DomainDefaults",
    "GatewaySettings",
    "LeftOut",
    "MadeRule",
    "Reader",
    "Rosters",
    "check_outside",
    "close_enrichers",
    "open_enrichers",
    "read_config",
    "scarf_rules",
    "sift",
    "words_of",
]
