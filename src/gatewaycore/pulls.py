"""Pulls: what the manifest requests of container clients add up to. No clock and no file: events come in, pulls come out.

A pull is one client's manifest requests for one image close together, at least one of them a GET, or a HEAD with blobs behind it; HEAD
alone is no pull. Docker and containerd ask HEAD for the tag and GET for digests alone; the tag belongs to the pull all the same. Which
request belongs to which pull is `gatewaycore.manifests`' affair; this room knows time, order and memory.

Time is when events were recorded, as their ids tell: a client asks its next question after the answer to the last one was recorded,
whichever process gave it. Where a proxy marks requests, it is when they came to the proxy, in the same order. So events are put into that
order before they are looked at, and the same events give the same pulls, with the same ids, whether they are read one by one or all at
once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from operator import itemgetter

import attrs
import msgspec

from gatewaycore.event import Event
from gatewaycore.manifests import MOST_TOGETHER, Answer, Group, Key, Open

QUIET_MS = 5_000
"""A pull is told when its client has asked for no manifest for so long."""
OPEN_MS = 60_000
"""What comes later than this after a manifest or a blob of the same client and image belongs to another pull."""
MOST_OPEN = 50_000
MOST_PENDING = 100_000
"""Bounds on what is held: pulls that may still be asked for more, and events whose turn has not come."""

_STEP_MS = 60_000
_END_MS = 1 << 62
_ORDER = itemgetter(0, 1, 2)
_KINDS = frozenset({"manifest", "blob", "metadata", "ping"})
_CONTAINER = "container"
# Signatures, attestations and other attachments of an image have a tag of this form (OCI distribution-spec v1.1 §Referrers Tag Schema;
# cosign), and are no image.
_ATTACHED = re.compile(r"sha(?:256|512)-[0-9a-f]{32,128}(?:\..{1,64})?")


class _State(msgspec.Struct):
    clock: int
    groups: list[Group]
    pings: list[tuple[str, str, int]]
    pending: list[Event]
    dropped: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_State).decode


def recorded_ms(event: Event) -> int:
    """Return when an event was recorded, in milliseconds since the epoch: its id says so (RFC 9562 §5.7)."""
    try:
        return int(event.id[:8] + event.id[9:13], 16)
    except ValueError:
        return int(event.time.timestamp() * 1000)


def pull_id(first: Event) -> str:
    """Return the id of the pull that began with `first`: a UUIDv7 that is the same each time it is asked for."""
    bits = int.from_bytes(blake2b(first.id.encode(), digest_size=10).digest(), "big")
    text = f"{recorded_ms(first) & 0xFFFFFFFFFFFF:012x}7{bits >> 68:03x}{0x8000 | (bits >> 48) & 0x3FFF:04x}{bits & 0xFFFFFFFFFFFF:012x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def derive(events: Iterable[Event]) -> Iterator[Event]:
    """Iterate over the pulls in a finite list of events, in any order; pulls among them are passed over."""
    pulls = Pulls()
    pulls.take(events)
    yield from pulls.settle(_END_MS)


class Pulls:
    """Makes pulls of events that come in bit by bit.

    Attributes:
        clock: up to when events have been looked at, in milliseconds since the epoch.
        dropped: pulls that could not be kept open, because there were too many: what came for them later may have counted anew.
    """

    def __init__(self) -> None:
        self.clock = 0
        self.dropped = 0
        self._pending: list[tuple[int, float, str, Event]] = []
        # Both in the order in which they were touched last.
        self._groups: dict[Key, Group] = {}
        self._pings: dict[tuple[str, str], int] = {}
        # In the order in which they are due.
        self._waiting: dict[str, Open] = {}
        self._open = 0

    def take(self, events: Iterable[Event]) -> None:
        """Take events of containers, in any order; others are passed over. They are looked at when `settle` reaches their time."""
        self._pending += [_in_order(event) for event in events if event.kind in _KINDS and event.package_type == _CONTAINER]

    def settle(self, now_ms: int) -> list[Event]:
        """Return the pulls that are complete, each once.

        Args:
            now_ms: up to when everything that was recorded has been taken; what is later waits. It may stand still; where it falls back by
                more than a minute the machine's clock has been set, and what was open is told at once.
        """
        found: list[Event] = []
        if now_ms < self.clock - _STEP_MS:
            found += self._tell(list(self._waiting.values()))
            self._groups.clear()
            self._pings.clear()
            self._open, self.clock = 0, now_ms
        self._pending.sort(key=_ORDER)
        surplus, seen, last = len(self._pending) - MOST_PENDING, 0, ""
        for at, _, number, event in self._pending:
            if at > now_ms and seen >= surplus:
                break
            seen += 1
            if number == last:
                # A line that came twice.
                continue
            last = number
            found += self._pass(min(at, now_ms))
            found += self._see(event)
        del self._pending[:seen]
        return found + self._pass(now_ms)

    def dump(self) -> bytes:
        """Return everything that is held, for `restore`."""
        pings = [(domain, who, at) for (domain, who), at in self._pings.items()]
        return _encode(_State(self.clock, list(self._groups.values()), pings, [event for *_, event in self._pending], self.dropped))

    @classmethod
    def restore(cls, data: bytes) -> Pulls:
        """Return what was dumped.

        Raises:
            msgspec.DecodeError: it is something else, or of another version.
        """
        state = _decode(data)
        pulls = cls()
        pulls.clock, pulls.dropped = state.clock, state.dropped
        pulls.take(state.pending)
        pulls._groups = {group.key: group for group in state.groups}
        pulls._pings = {(domain, who): at for domain, who, at in state.pings}
        held = [one for group in state.groups for one in group.pulls]
        waiting = sorted((one for one in held if one.answer is not None and one.first is not None), key=lambda one: (one.asked_ms, one.id))
        pulls._waiting = {one.id: one for one in waiting}
        pulls._open = len(held)
        return pulls

    def _pass(self, now_ms: int) -> list[Event]:
        """Let time pass: tell what has been quiet, forget what is over."""
        now = self.clock = max(self.clock, now_ms)
        due = []
        for one in self._waiting.values():
            if one.asked_ms + QUIET_MS > now:
                break
            due.append(one)
        while self._groups:
            key, group = next(iter(self._groups.items()))
            if group.last_ms + OPEN_MS > now:
                break
            del self._groups[key]
            self._open -= len(group.pulls)
        while self._pings:
            origin, at = next(iter(self._pings.items()))
            if at + OPEN_MS > now:
                break
            del self._pings[origin]
        return self._tell(due)

    def _tell(self, pulls: Iterable[Open]) -> list[Event]:
        found = []
        for one in pulls:
            first, answer = one.first, one.answer
            if self._waiting.pop(one.id, None) is not None and first is not None and answer is not None:
                found.append(_event(one, first, answer))
                # What was told is told once; who has asked for what is kept.
                one.first = None
        return found

    def _see(self, event: Event) -> list[Event]:
        # Who sent no address is told apart by the User-Agent.
        who = event.origin_id or event.user_agent or ""
        origin = (event.domain, who)
        if event.kind == "ping":
            self._pings.pop(origin, None)
            self._pings[origin] = self.clock
            if len(self._pings) > MOST_OPEN:
                del self._pings[next(iter(self._pings))]
            return []
        key = (event.domain, event.package or "", who)
        if event.kind == "blob":
            self._fetch(event, key)
            return []
        if event.kind == "metadata" or not 200 <= event.status < 400 or event.version is None or _ATTACHED.fullmatch(event.version):
            # A ping for something else. With 401 the client comes again, and the ping still stands for it.
            if event.status != 401:
                self._pings.pop(origin, None)
            return []
        return self._ask(event, key, origin)

    def _fetch(self, event: Event, key: Key) -> None:
        group = self._groups.pop(key, None)
        if group is not None:
            self._groups[key] = group
            one = group.see_blob(event, self.clock)
            if one is not None:
                self._waiting[one.id] = one

    def _ask(self, event: Event, key: Key, origin: tuple[str, str]) -> list[Event]:
        """Put a request for a manifest where it belongs."""
        now = self.clock
        group = self._groups.pop(key, None) or Group(key)
        self._groups[key] = group
        self._open -= group.prune(now - OPEN_MS)
        one = group.find(event, now, self._pings.get(origin, 0))
        if one is None:
            one = group.begin(event, pull_id(event), now, pinged=self._pings.pop(origin, None) is not None)
            self._open += 1
        elif ":" not in (event.version or ""):
            self._pings.pop(origin, None)
        if event.method != "HEAD":
            group.join(one, event, now)
            if one.first is not None:
                self._waiting.pop(one.id, None)
                self._waiting[one.id] = one
        return self._make_room(group)

    def _make_room(self, group: Group) -> list[Event]:
        """Let go of the oldest where there are too many: at once, but not unsaid."""
        gone: list[Open] = []
        if len(group.pulls) > MOST_TOGETHER:
            gone.append(group.pulls.pop(0))
        while self._open - len(gone) > MOST_OPEN:
            gone += self._groups.pop(next(iter(self._groups))).pulls
        self._open -= len(gone)
        self.dropped += len(gone)
        return self._tell(gone)


def _in_order(event: Event) -> tuple[int, float, str, Event]:
    # Within one millisecond, the one that was asked first: the other may have been its consequence.
    return recorded_ms(event), event.time.timestamp(), event.id, event


def _event(one: Open, first: Event, answer: Answer) -> Event:
    named = {"tag": one.tag, "digest": one.digest}
    return attrs.evolve(
        first,
        id=one.id,
        kind="pull",
        method="GET",
        status=answer.status,
        decision=answer.decision,
        target=answer.target,
        version=one.tag or one.digest,
        variables={name: value for name, value in named.items() if value is not None},
        bytes=0,
    )
