"""Gently: heavy work in a thread beside an event loop, so that no request waits for it.

Three things of the interpreter would make them wait. A thread that computes keeps the interpreter's lock for five milliseconds each time
another one wants it, and a request wants it several times. The collector of garbage walks through everything that was made since, at one
go. And a structure of a million objects is taken apart at one go, too, by whoever lets go of it last.

The first two are settings of the process: this is for those to whom it belongs.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

SWITCH_S: Final = 0.0002
"""How long a request waits for the interpreter's lock, each time it wants it, while there is heavy work."""


@contextmanager
def gently() -> Iterator[None]:
    """Do heavy work without keeping other threads from theirs. What is made in it is left alone by the collector for good.

    Cyclic garbage that arises meanwhile, in any thread, is never collected: what is made here must need no collector when it is let go of.
    """
    before, collects = sys.getswitchinterval(), gc.isenabled()
    gc.disable()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        if collects:
            # Otherwise the next collection would look at all that was made: hundreds of milliseconds for a hundred thousand rules.
            gc.freeze()
            gc.enable()


def let_go(pieces: list[Any]) -> None:
    """Let go of what is large one piece after another, so that other threads have their turn in between.

    Args:
        pieces: what it was made of, those that hold others before what they hold. Nobody holds the whole any more. Empty afterwards.
    """
    pieces.reverse()
    while pieces:
        pieces.pop()
