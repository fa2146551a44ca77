"""Consuming: from the stream of a sink `nats` to other sinks, each at its own pace, by as many processes as you like.

What the shipper does for the journal is done here for a stream: a sink that is down delays only itself, a line that it will never take is
set aside, and a batch is done with when the sink has it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from gatewaycore.sinks import NatsStorage, Sink
from gatewaycore.sinks.nats import Consumer
from gatewaycore.sinks.set_aside import SET_ASIDE, SetAside

_log = logging.getLogger("gatewaycore.consuming")
_LAST_S = 12.0
"""How long, when it is told to stop, it waits for the sinks to take what they are at."""
# What a name of a consumer may not hold for NATS: a full stop, a wildcard, a space.
_ODD = re.compile(r"[^A-Za-z0-9_-]")


class Consuming:
    """Feeds sinks from a stream, each in a thread of its own.

    Args:
        source: where the stream is.
        sinks: by name.
        data: where lines are set aside.
        durable: begins the names of the consumers, which end with the sinks': processes that say the same share the work.
    """

    def __init__(self, source: NatsStorage, sinks: Mapping[str, Sink], data: Path, durable: str = "gatewaycore") -> None:
        self._sinks = dict(sinks)
        self._set_aside = {name: SetAside.of(data / SET_ASIDE, name) for name in sinks}
        self._consumers = {
            name: Consumer(source, sink, self._set_aside[name], _ODD.sub("_", f"{durable}-{name}"), f"sink {name}")
            for name, sink in sinks.items()
        }

    @property
    def taken(self) -> int:
        """How many lines the sinks took since this began."""
        return sum(consumer.taken for consumer in self._consumers.values())

    @property
    def set_aside(self) -> int:
        """How many lines were set aside since this began."""
        return sum(kept.count for kept in self._set_aside.values())

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, and close the sinks. What a sink that hangs has not taken comes again to another consumer."""
        threads = {name: self._start(name, stop) for name in self._sinks}
        stop.wait()
        until = time.monotonic() + _LAST_S
        for name, thread in threads.items():
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                _log.warning("sink %s hangs, and is left as it is", name)

    def _start(self, name: str, stop: threading.Event) -> threading.Thread:
        def work() -> None:
            self._consumers[name].run(stop)
            self._sinks[name].close()

        # A daemon, so that a sink which hangs does not keep the process from ending.
        thread = threading.Thread(target=work, name=f"gatewaycore-{name}", daemon=True)
        thread.start()
        return thread
