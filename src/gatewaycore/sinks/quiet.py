"""Quiet: drivers that log by themselves, with the store's address in what they say, are not heard while a sink uses them.

What a sink has to say of its store, it says itself. An application that uses the same driver hears it as before: only what is logged in
the sink's own thread, while it is at work, is left out.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_at_work = threading.local()


def _is_heard(_: logging.LogRecord) -> bool:
    return not getattr(_at_work, "is_quiet", False)


@contextmanager
def quiet(*drivers: str) -> Iterator[None]:
    """Leave out what these packages log in this thread as long as what is within goes on; they have been imported.

    Args:
        drivers: names of packages.
    """
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        # A filter is asked by its own logger only, and lets everything else pass: it is left where it is.
        if name.partition(".")[0] in drivers and isinstance(logger, logging.Logger):
            logger.addFilter(_is_heard)
    _at_work.is_quiet = True
    try:
        yield
    finally:
        _at_work.is_quiet = False
