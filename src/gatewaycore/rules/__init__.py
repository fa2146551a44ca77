"""One file (or folder) for each package type, and the roster of them all.

Adding a package type is a file and a line in `RULES`: the configuration's tags, `check`, the docs' tables and the contract tests all
read this roster. Types of other distributions join through the entry point group ``gatewaycore.rules``, which only the service reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gatewaycore.route import Rule
from gatewaycore.rules.catch_all import CatchAllRule
from gatewaycore.rules.container import CollectionRule, ContainerRule
from gatewaycore.rules.event import EventRule
from gatewaycore.rules.file import FileRule
from gatewaycore.rules.install import InstallRule
from gatewaycore.rules.npm import NpmRule
from gatewaycore.rules.pixel import PixelRule
from gatewaycore.rules.python import PythonRule

RULES: Mapping[str, type[Rule]] = MappingProxyType(
    {
        "catch-all": CatchAllRule,
        "container": ContainerRule,
        "event": EventRule,
        "file": FileRule,
        "install": InstallRule,
        "npm": NpmRule,
        "pixel": PixelRule,
        "python": PythonRule,
    }
)

__all__ = [
    "RULES",
    "CatchAllRule",
    "CollectionRule",
    "ContainerRule",
    "EventRule",
    "FileRule",
    "InstallRule",
    "NpmRule",
    "PixelRule",
    "PythonRule",
]
