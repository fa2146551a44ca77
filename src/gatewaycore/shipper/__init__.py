"""Shipper: journal -> sinks, with a cursor for each, so that a dead sink delays only itself.

At least once: a cursor moves after its sink has said that a batch is safe. Runs as one thread of one process of a node (the others find the
lock taken), or by itself. A sink is one lane, with a thread of its own; what counts pulls is another. A segment that all lanes have read is
removed.
"""

from __future__ import annotations

from gatewaycore.shipper.lanes import Lane, Turn
from gatewaycore.shipper.shipping import Shipper

__all__ = ["Lane", "Shipper", "Turn"]
