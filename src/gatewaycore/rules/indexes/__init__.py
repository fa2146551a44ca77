"""Indexes: what an upstream says of its packages, read through the gateway, with links that lead back to it.

This room knows how such pages are fetched and within which limits, in which forms they are shown, how long they are believed, and what is
done when their upstream fails. What stands in a page is the business of a `Dialect`; each package manager has one, and its own rule and
paths. A rule names the projects that are served: no other is asked for, and no second index stands behind the first.
"""

from __future__ import annotations

from gatewaycore.rules.indexes.dialect import Dialect, Fetched, PageError, Written
from gatewaycore.rules.indexes.forms import Form, Forms
from gatewaycore.rules.indexes.live import Live
from gatewaycore.rules.indexes.route import Asked, IndexRoute, Layout, ProjectRoute, index_pattern
from gatewaycore.rules.indexes.shelf import Shelf
from gatewaycore.rules.indexes.source import Source

__all__ = [
    "Asked",
    "Dialect",
    "Fetched",
    "Form",
    "Forms",
    "IndexRoute",
    "Layout",
    "Live",
    "PageError",
    "ProjectRoute",
    "Shelf",
    "Source",
    "Written",
    "index_pattern",
]
