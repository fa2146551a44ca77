"""Badges and small charts: numbers -> SVG, and a request for a badge -> its answer.

This room draws, and knows who may see which number; it does not count. `Numbers` is what it asks of those who do.
"""

from __future__ import annotations

from gatewaycore.badges.answers import Badges
from gatewaycore.badges.charts import CHARTS, chart
from gatewaycore.badges.drawing import STYLES, render
from gatewaycore.badges.figures import PERIODS, Figures, FixedNumbers, Numbers, Period, Question
from gatewaycore.badges.listing import Listing, Package, Published, Reference
from gatewaycore.badges.routes import BadgeRoute, BadgeSettings

__all__ = [
    "CHARTS",
    "PERIODS",
    "STYLES",
    "BadgeRoute",
    "BadgeSettings",
    "Badges",
    "Figures",
    "FixedNumbers",
    "Listing",
    "Numbers",
    "Package",
    "Period",
    "Published",
    "Question",
    "Reference",
    "chart",
    "render",
]
