"""Consuming: from the stream of a sink `nats` to other sinks, each at its own pace, by as many processes as you like.

What the shipper does for the journal is done here for a stream: a sink that is down delays only itself, a line that it will never take is
set aside, and a batch is done with when the sink has it.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gatewaycore.errors import SinkError, words_of
from gatewaycore.shipper.cursor import file_name
from gatewaycore.shipper.set_aside import SetAside
from gatewaycore.shipper.shipping import SET_ASIDE
from gatewaycore.shipper.sifting import Sieve, sort_out
from gatewaycore.sinks import NatsStorage, Sink
from gatewaycore.sinks.nats import consume

_log = logging.getLogger("gatewaycore.consuming")
_LAST_S = 12.0
"""How long, when it is told to stop, it waits for the sinks to take what they are at."""
# What a name of a consumer may not hold for NATS: a full stop, a wildcard, a space.
_ODD = re.compile(r"[^A-Za-z0-9_-]")


class Sifted:
    """A sink that takes everything: what the one behind it will never take is set aside.

    Args:
        name: of the sink.
        sink: takes the rest.
        set_aside: keeps what it does not take.

    Attributes:
        taken: how many lines the sink has.
    """

    def __init__(self, name: str, sink: Sink, set_aside: SetAside) -> None:
        self.taken = 0
        self.set_aside = set_aside
        self._name = name
        self._sink = sink
        self._sieve = Sieve(sink)
        for wish in ("batch_bytes", "linger_s"):
            if hasattr(sink, wish):
                setattr(self, wish, getattr(sink, wish))

    def write(self, lines: Sequence[bytes]) -> None:
        """Keep a batch.

        Raises:
            SinkError: the sink takes nothing now, or what is to be set aside cannot be.
        """
        good, junk = sort_out(list(lines))
        try:
            refused = self._sieve.write(good)
            if junk or refused:
                self.set_aside.add([*junk, *refused])
        except Exception as error:  # noqa: BLE001 - a sink of another distribution may raise anything; it is told, and the batch comes again
            raise SinkError(f"sink {self._name} takes nothing now: {words_of(error)}") from None
        self.taken += len(good) - len(refused)

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()


class Consuming:
    """Feeds sinks from a stream, each in a thread of its own.

    Args:
        source: where the stream is.
        sinks: by name.
        data: where lines are set aside.
        durable: begins the names of the consumers, which end with the sinks': processes that say the same share the work.
    """

    def __init__(self, source: NatsStorage, sinks: Mapping[str, Sink], data: Path, durable: str = "gatewaycore") -> None:
        source.check()
        self._source = source
        self._durable = durable
        self._sinks = {name: Sifted(name, sink, _set_aside(data, name)) for name, sink in sinks.items()}

    @property
    def taken(self) -> int:
        """How many lines the sinks took since this began."""
        return sum(sink.taken for sink in self._sinks.values())

    @property
    def set_aside(self) -> int:
        """How many lines were set aside since this began."""
        return sum(sink.set_aside.count for sink in self._sinks.values())

    def run(self, stop: threading.Event) -> None:
        """Consume until `stop` is set, and close the sinks. What a sink that hangs has not taken comes again to another consumer."""
        threads = {name: self._start(name, sink, stop) for name, sink in self._sinks.items()}
        stop.wait()
        until = time.monotonic() + _LAST_S
        for name, thread in threads.items():
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                _log.warning("sink %s hangs, and is left as it is", name)

    def _start(self, name: str, sink: Sifted, stop: threading.Event) -> threading.Thread:
        durable = _ODD.sub("_", f"{self._durable}-{name}")

        def work() -> None:
            consume(self._source, sink, stop, durable=durable)
            sink.close()

        # A daemon, so that a sink which hangs does not keep the process from ending.
        thread = threading.Thread(target=work, name=f"gatewaycore-{durable}", daemon=True)
        thread.start()
        return thread


def _set_aside(data: Path, name: str) -> SetAside:
    return SetAside(data / SET_ASIDE / f"{file_name(name)}.jsonl", f"sink {name}")
