"""How many examples a property test tries: ``nox -s property`` multiplies them."""

from __future__ import annotations

import os


def many(count: int) -> int:
    """Return `count`, times what EXAMPLES says."""
    return count * int(os.environ.get("EXAMPLES", "1"))
