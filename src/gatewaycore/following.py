"""Following: a service serves what is made in the console, beside its file, in every process of every node.

The process in which something is made serves it at once; the others look every two seconds whether there is anything new.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gatewaycore.access import STATE, Access, Kind
from gatewaycore.access.domains import plain
from gatewaycore.config import Config, MadeRule
from gatewaycore.errors import GatewayError, words_of
from gatewaycore.rules import CollectionRule
from gatewaycore.service import Service

_log = logging.getLogger("gatewaycore.following")
LOOK_S: Final = 2.0
_SECTIONS: Final[Mapping[Kind, str]] = {"package": "packages", "collection": "collections"}


def open_access(config: Config, data: Path) -> Access:
    """Open the state database of a gateway's console.

    Args:
        config: says where it is.
        data: the data-dir.

    Raises:
        ConfigError: it cannot be used, or the extra is not installed.
    """
    settings = config.console
    state: str | Path = STATE if settings is None or settings.state is None else settings.state
    if "://" not in str(state):
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = data / state
    return Access(state, "home" if settings is None else settings.organisation)


def key_of(kind: Kind, definition: Mapping[str, Any]) -> str:
    """Return what a definition is known by: a package's id or name, which its events call it; a collection's domain and pattern."""
    if kind == "collection":
        return f"{definition.get('domain', '')} {definition.get('pattern', '')}".strip()
    return str(definition.get("id") or definition.get("name") or "")


def rules_of(definitions: Iterable[tuple[Kind, Mapping[str, Any]]]) -> list[MadeRule]:
    """Return definitions as a service takes them."""
    return [MadeRule(_SECTIONS[kind], key_of(kind, definition) or kind, definition) for kind, definition in definitions]


def listed(config: Config, made: Sequence[MadeRule] = ()) -> Iterator[tuple[Kind, str]]:
    """Iterate over the packages and collections of a configuration, as kind and key.

    Args:
        config: of a file, and of what was made elsewhere.
        made: that. Its collections are left out: as compiled, they may be called otherwise than who made them has called them.
    """
    for rule in config.packages:
        name = getattr(rule, "id", None) or getattr(rule, "name", None)
        if name:
            yield "package", name
    # Those that were made come last.
    own = len(config.collections) - sum(one.section == _SECTIONS["collection"] for one in made)
    for rule in config.collections[:own]:
        if isinstance(rule, CollectionRule):
            yield "collection", f"{rule.domain} {rule.pattern}"


def domains_of(config: Config, made: Sequence[MadeRule]) -> set[str]:
    """Return the domains of a configuration file.

    Args:
        config: of the file, and of what was made elsewhere.
        made: that.
    """
    found = Counter(getattr(rule, "domain", None) or "" for rule in config.rules)
    found.subtract(plain(str(one.keys.get("domain") or "")) for one in made)
    return {name for name, count in found.items() if count > 0 and name}


class Follower:
    """Lets a service serve what is made in the console.

    Args:
        service: opened from a file.
        access: where it is made. It is not closed with this.

    Attributes:
        names: domains that organisations hold: what is made on others is not served, unless the configuration lets it.
    """

    def __init__(self, service: Service, access: Access) -> None:
        self._service = service
        self._access = access
        self._version = 0
        self._refused = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._adopted: Config | None = None
        self._verify = True
        self.names: frozenset[str] = frozenset()

    def check(self, definitions: list[tuple[Kind, Mapping[str, Any]]]) -> None:
        """Find out whether definitions can be served beside the file.

        Raises:
            ConfigError: with every problem found; each says first which definition it is about.
        """
        self._service.check_rules(rules_of(definitions))

    def look(self) -> bool:
        """Serve what there is now, if it is anything new; tell whether it was.

        Raises:
            GatewayError: the state database cannot be reached: what was served before stays.
        """
        with self._lock:
            if self._service.config is not self._adopted:
                # Read for the first time, or anew.
                self._adopted = self._service.config
                self._access.holdings.adopt(listed(self._adopted, self._service.made))
            verify, before = self._adopted.gateway.verification.verify, self._verify
            if verify is before and self._access.holdings.rules_version() in (self._version, self._refused):
                return False
            self._verify = verify
            served = self._access.proofs.served(verify=verify, own=domains_of(self._adopted, self._service.made))
            # Also where the rules cannot be used: whose a domain is stands beside them.
            self.names = served.names
            if not self._service.take_rules(rules_of(served.definitions)):
                # Told once, and not every two seconds.
                self._refused = served.version
                return False
            self._version, self._adopted = served.version, self._service.config
            return True

    def start(self) -> None:
        """Begin to look, in a thread. What there is now is served before this returns, unless the database cannot be reached."""
        if self._thread is None:
            self._try()
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="gatewaycore-following", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        failing = False
        while not self._stop.wait(LOOK_S):
            failing = not self._try(told=failing)

    def _try(self, *, told: bool = False) -> bool:
        try:
            self.look()
        except GatewayError as error:
            if not told:
                _log.error("what is made in the console is not seen, and what was served before stays: %s", words_of(error))
            return False
        return True

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
