"""The report: answers to the usual questions of one period, and how they are shown outside of a terminal.

| room | knows |
|---|---|
| `contents` | what is in a report, and how numbers, changes and times are written |
| `charts` | bars in SVG |
| `page` | a report as one HTML file, with no script and nothing from elsewhere |
| `picture` | a report as one picture: SVG, and PNG through the extra ``console`` |
"""

from __future__ import annotations

from gatewaycore.stats.report.contents import SECTIONS, Report, ask
from gatewaycore.stats.report.page import draw_page
from gatewaycore.stats.report.picture import draw_picture, to_png

__all__ = ["SECTIONS", "Report", "ask", "draw_page", "draw_picture", "to_png"]
