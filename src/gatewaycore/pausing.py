"""Pausing: how long whoever has failed waits before another try, ever longer from failure to failure."""

from __future__ import annotations

_FIRST_S, _LONGEST_S = 1.0, 60.0


def next_pause_s(pause_s: float) -> float:
    """Return how long to pause after one more failure: twice as long as before, in seconds, within bounds.

    Args:
        pause_s: how long the pause after the failure before was; 0 after the first one.
    """
    return min(max(2 * pause_s, _FIRST_S), _LONGEST_S)
