"""Verifying: the records of domains are looked at when they are due, by one process of a node, and when somebody asks for it.

What is seen is written into the state database; every process of every node serves by it within two seconds, see `following`.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from gatewaycore.access import Access, Domain, Principal
from gatewaycore.config import Config
from gatewaycore.errors import ConflictError, GatewayError, TooSoonError, UnknownError, words_of
from gatewaycore.locks import Lock
from gatewaycore.proving import Look, Place, Record, Records, VerificationSettings, records_for
from gatewaycore.proving.judging import STATES
from gatewaycore.proving.resolver import Resolver

_log = logging.getLogger("gatewaycore.domains")
LOCK: Final = "domains.lock"
"""Which process of a node looks, under the data-dir."""

_TURN_S: Final = 1.0
# DNS servers that never answer hold up their own domains, and few others: a batch of those takes less than a lease.
_AT_ONCE: Final = 32
_MOST: Final = 64
# Other processes, and other nodes, change states too.
_TELL_S: Final = 15.0
# Whoever wants one looked at now waits in one of the console's few threads: domains whose servers never answer must not hold all of them.
_BY_HAND: Final = 2
_WAIT_S: Final = 3


class Looks:
    """Looks at the records of domains. Threads share it.

    Args:
        access: where domains are.
        config: says how, whenever it is asked: it may be read anew.
        opened: opens what knows records.

    Attributes:
        seen: how often what was seen.
    """

    def __init__(self, access: Access, config: Callable[[], Config], opened: Callable[[VerificationSettings], Records] = Resolver) -> None:
        self._access = access
        self._config = config
        self._opened = opened
        self._records: tuple[VerificationSettings, Records] | None = None
        self._lock = threading.Lock()
        self._by_hand = threading.BoundedSemaphore(_BY_HAND)
        self.seen: Counter[str] = Counter()

    @property
    def settings(self) -> VerificationSettings:
        """How it is looked, now."""
        return self._config().gateway.verification

    def records_for(self, domain: Domain) -> list[Record]:
        """Return what is to be set for a domain; nothing where nothing is needed."""
        return records_for(domain.name, domain.challenge, self._config().gateway.place) if domain.proof == "records" else []

    def create(self, name: str, organisation: str, by: Principal) -> Domain:
        """Say that a domain is an organisation's, see `Domains.create`.

        Where nobody has to prove that, it is verified from the start, unless it is another one's; and looked at when somebody has to again.
        """
        made = self._access.domains.create(name, organisation, by)
        if self.settings.verify:
            return made
        try:
            return self._access.domains.note_state(made, "verified")
        except ConflictError:
            return made

    def look_now(self, name: str, by: Principal) -> Domain:
        """Look at a domain that somebody wants looked at. Takes as long as DNS servers do.

        Raises:
            UnknownError, AccessError: `by` may not.
            TooSoonError: it was looked at a moment ago; or others are, for somebody who did not wait for it either.
            ConfigError: nobody can be asked.
        """
        if not self.settings.verify:
            raise ConflictError("this gateway serves domains without a proof (verify: off)")
        self._open()
        if not self._by_hand.acquire(blocking=False):
            raise TooSoonError(f"others are being looked at: again in {_WAIT_S} s", _WAIT_S)
        try:
            found = self.look(self._access.domains.begin_look(name, by))
        finally:
            self._by_hand.release()
        if found is None:
            raise UnknownError(f"there is no domain {name[:80]!r} any more")
        return found

    def look(self, domain: Domain) -> Domain | None:
        """Look at a domain that was taken for that, and write down what was seen; None where it has been removed meanwhile.

        Raises:
            ConfigError: nobody can be asked.
            GatewayError: the state database cannot be reached.
        """
        settings, config = self.settings, self._config()
        place = config.gateway.place if settings.leads_here else Place()
        look = Look.at(domain.name, domain.challenge, place, self._open())
        with self._lock:
            self.seen[look.verdict] += 1
        return self._access.proofs.settle(domain, look, settings)

    def _open(self) -> Records:
        settings, opened = self.settings, self._records
        if opened is None or opened[0] != settings:
            opened = self._records = (settings, self._opened(settings))
        return opened[1]

    def supply(self) -> None:
        """Give organisations the domains that the gateway supplies."""
        settings = self._config().gateway
        self._access.proofs.supply(settings.base_domain, settings.username)


class Verifier:
    """Looks at what is due, in a thread, as long as no other process of this node does.

    Args:
        looks: looks.
        access: knows what is due.
        data: the data-dir.
        told: takes note of how many domains are in which state, and how often what was seen.
    """

    def __init__(
        self, looks: Looks, access: Access, data: Path, told: Callable[[Mapping[str, int], Mapping[str, int]], None] | None = None
    ) -> None:
        self._looks = looks
        self._access = access
        self._lock = Lock(data / LOCK)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._told = ""
        self._tell = told
        self._told_at = -math.inf

    def start(self) -> None:
        """Begin."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="gatewaycore-domains", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Look no more, and let another process do it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
        self._lock.let_go()
        if self._tell is not None:
            self._tell(dict.fromkeys(STATES, 0), dict(self._looks.seen))

    def turn(self) -> int:
        """Look at everything that is due, if it is this process that does; return how many that were.

        Raises:
            GatewayError: nobody can be asked, or the state database cannot be reached.
        """
        if not self._is_elected():
            return 0
        self._looks.supply()
        if not self._looks.settings.verify:
            return 0
        due = self._access.proofs.take_due(_MOST)
        if due:
            with ThreadPoolExecutor(min(_AT_ONCE, len(due)), "gatewaycore-look") as pool:
                for _ in pool.map(self._look, due):
                    pass
        if self._tell is not None and (due or time.monotonic() - self._told_at >= _TELL_S):
            self._tell(self._access.proofs.states(), dict(self._looks.seen))
            self._told_at = time.monotonic()
        return len(due)

    def _look(self, domain: Domain) -> None:
        if not self._stop.is_set():
            self._looks.look(domain)

    def _is_elected(self) -> bool:
        try:
            return self._lock.is_ours or self._lock.take()
        except OSError as error:
            raise GatewayError(f"{LOCK} cannot be used: {error.strerror}") from error

    def _run(self) -> None:
        while not self._stop.wait(_TURN_S):
            try:
                self.turn()
                self._told = ""
            except Exception as error:  # noqa: BLE001 - looked at again at the next turn; our own words, or its type, are logged once
                told = words_of(error)
                if told != self._told:
                    _log.error("the records of domains cannot be looked at: %s", told)
                self._told = told
