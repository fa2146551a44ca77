"""Operations: what whoever runs a gateway wants to know of it: whether it lives, whether it is ready, what it has counted, traces, its log.

Answered on a port of its own, where no rule of anybody can stand in the way, by one process of a node, for all of them: inside ``serve``
and the adapters alike.
"""

from __future__ import annotations

from gatewaycore.operations.settings import OperationsSettings, TracesSettings

__all__ = ["OperationsSettings", "TracesSettings"]
