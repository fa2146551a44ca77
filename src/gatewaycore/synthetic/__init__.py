"""Synthetic events: downloads that never were, the same for the same seed, in lines as a recorder would write them.

| room | makes |
|---|---|
| `scene` | as many events as one likes, of packages that differ in nothing but their numbers: for tests and measurements |
| `acme` | who and what there is in Acme's year: packages, companies, places, clients |
| `year` | Acme's year, as somebody would have had it: for looking at |

Nobody's address is in them, for there is none.
"""

from __future__ import annotations

from gatewaycore.synthetic.scene import Scene
from gatewaycore.synthetic.year import Year

__all__ = ["Scene", "Year"]
