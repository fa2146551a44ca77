"""Following: a service serves what is made in the console, beside its file, in every process of every node.

The process in which something is made serves it at once; the others look every two seconds whether there is anything new. While the state
database cannot be reached, what was served before stays, also in a process that is started meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from weakref import ref

from gatewaycore.access import CONSOLE_STATE, Access, Kind
from gatewaycore.access.proofs import HeldBack
from gatewaycore.config import Config, LeftOut, MadeRule
from gatewaycore.errors import ConfigError, GatewayError, Problem, words_of
from gatewaycore.proving import plain
from gatewaycore.route import package_of
from gatewaycore.rules import CollectionRule
from gatewaycore.service import Service
from gatewaycore.spare import SPARE, Made, Spare

_log = logging.getLogger("gatewaycore.following")
LOOK_S: Final = 2.0
_UNREACHED: Final = "the state database cannot be reached: "
_UNSEEN: Final = "what is made in the console is not seen: "
_SHOWN: Final = 200
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
    state: str | Path = CONSOLE_STATE if settings is None or settings.state is None else settings.state
    if "://" not in str(state):
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = data / state
    if settings is None:
        return Access(state)
    return Access(state, settings.organisation, limits=settings.limits)


def spare_of(config: Config, data: Path) -> Spare | None:
    """Return where it is kept on this node what was last served of what is made in the console.

    Args:
        config: says where it is made.
        data: the data-dir.

    Returns:
        None where the database is a file of this node itself.
    """
    state = None if config.console is None else config.console.state
    return Spare(data / SPARE) if state is not None and "://" in state else None


def serve_spare(service: Service, spare: Spare | None, why: str) -> frozenset[str]:
    """Serve what was last served of what is made in the console, for its database cannot be reached.

    Args:
        service: opened from a file.
        spare: has it.
        why: it cannot be reached.

    Returns:
        the domains that organisations held.
    """
    made = None if spare is None else spare.read()
    if made is not None and service.take_rules(rules_of(made.definitions)):
        _tell(service, str(made.version), _UNREACHED + why, is_stale=True)
        return made.names
    _tell(service, None, _UNREACHED + why, is_stale=True)
    return frozenset()


def _tell(service: Service, version: str | None = None, error: str = "", *, is_stale: bool = False) -> None:
    book, console = service.rulebook, service.config.console
    if book is not None:
        book.tell_console("" if console is None else console.domain, version, error, is_stale=is_stale)
    if service.desk is not None:
        service.desk.wake()


def key_of(kind: Kind, definition: Mapping[str, Any]) -> str:
    """Return what a definition is known by: a package's id or name, which its events call it; a collection's domain and pattern."""
    if kind == "collection":
        return f"{definition.get('domain', '')} {definition.get('pattern', '')}".strip()
    return str(definition.get("id") or definition.get("name") or "")


def rules_of(definitions: Iterable[tuple[Kind, Mapping[str, Any]]]) -> list[MadeRule]:
    """Return definitions as a service takes them."""
    return [MadeRule(_SECTIONS[kind], key_of(kind, definition) or kind, definition) for kind, definition in definitions]


def listed(config: Config) -> Iterator[tuple[Kind, str]]:
    """Iterate over the packages and collections of a configuration, as kind and key.

    Collections that were made elsewhere are left out: as compiled, they may be called otherwise than who made them has called them.
    """
    for rule in config.packages:
        name = package_of(rule)
        if name:
            yield "package", name
    # Those that were made come last.
    for rule in config.collections[: len(config.collections) - config.made_collections]:
        if isinstance(rule, CollectionRule):
            yield "collection", f"{rule.domain} {rule.pattern}"


def left_out(service: Service) -> dict[tuple[Kind, str], str]:
    """Return what was made and is not served, by kind and key, and why: it cannot be, or its domain is not proved."""
    kinds = {section: kind for kind, section in _SECTIONS.items()}
    return {(kinds[one.rule.section], one.rule.name): one.why for one in (*service.left_out, *service.held_back)}


def made_in(access: Access, config: Config) -> tuple[list[MadeRule], tuple[LeftOut, ...]]:
    """Return what was made and is to be served beside a configuration, and what is held back, for whoever only wants to look.

    Raises:
        GatewayError: the state database cannot be reached.
    """
    served = access.proofs.served(verify=config.gateway.verification.verify, own=domains_of(config, ()))
    return rules_of(served.definitions), held_back_of(served.held_back)


def held_back_of(held_back: Iterable[HeldBack]) -> tuple[LeftOut, ...]:
    """Return definitions whose domain is not proved with what is wrong, and what to do."""
    return tuple(LeftOut(rule, (_unproved(one, rule),)) for one in held_back for rule in rules_of([(one.kind, one.definition)]))


def _unproved(one: HeldBack, rule: MadeRule) -> Problem:
    if one.is_anothers:
        what, hint = f"{one.domain} is another organisation's", "a domain that is its own"
    elif one.is_named:
        what = f"{one.domain} is not proved to be {one.organisation}'s"
        hint = f"gatewaycore domains instructions FILE {one.domain} tells the records to set"
    else:
        what = f"{one.domain} is not said to be {one.organisation}'s"
        hint = f"gatewaycore domains add FILE {one.domain} --organisation {one.organisation} says so, and tells the records to set"
    return Problem(f"{rule.name}: domain", what, hint, about=rule)


def domains_of(config: Config, made: Iterable[MadeRule]) -> frozenset[str]:
    """Return the domains of a configuration file and its sources.

    Args:
        config: of them, and of what was made elsewhere.
        made: that, as far as it is in `config`: what is left out is not.
    """
    found = Counter(getattr(rule, "domain", None) or "" for rule in config.rules)
    found.subtract(plain(str(one.keys.get("domain") or "")) for one in made)
    return frozenset(name for name, count in found.items() if count > 0 and name)


def served_of(service: Service) -> Iterator[MadeRule]:
    """Iterate over what was made and is served."""
    without = {id(one.rule) for one in service.left_out}
    return (one for one in service.made if id(one) not in without)


class Follower:
    """Lets a service serve what is made in the console.

    Args:
        service: opened from a file.
        access: where it is made. It is not closed with this.
        spare: where it is kept what is served, for when the database cannot be reached; None where it is not.

    Attributes:
        names: domains that organisations hold: what is made on others is not served, unless the configuration lets it.
    """

    def __init__(self, service: Service, access: Access, spare: Spare | None = None) -> None:
        self._service = service
        self._access = access
        self._spare = spare
        self._version = 0
        self._refused = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # No more than that: whoever held the whole would let go of it at one go.
        self._adopted: ref[Config] | None = None
        self._noted: Mapping[tuple[Kind, str], str] | None = None
        # Whether domains have to be proved, and which are the file's: as it is now, and as it was when it was last found out what to serve.
        self._ways: tuple[bool, frozenset[str]] = (True, frozenset())
        self._served_by: object = None
        self._held_back: list[tuple[Kind, Mapping[str, Any]]] = []
        self.names: frozenset[str] = frozenset()

    def check(self, definitions: list[tuple[Kind, Mapping[str, Any]]]) -> None:
        """Find out whether definitions can be served beside the file, but for those that cannot be already.

        Raises:
            ConfigError: with every problem found; each says first which definition it is about.
        """
        # What is on a domain that is not its organisation's is served by nobody, and in nobody's way.
        found = self._service.check_rules(rules_of(one for one in definitions if one not in self._held_back)).left_out
        known = [one.rule for one in self._service.left_out]
        problems = [problem for one in found if one.rule not in known for problem in one.problems]
        if problems:
            raise ConfigError(problems)

    def look(self) -> bool:
        """Serve what there is now, if it is anything new; tell whether it was.

        Raises:
            GatewayError: the state database cannot be reached: what was served before stays.
        """
        with self._lock:
            config = self._service.config
            if self._adopted is None or config is not self._adopted():
                # Read for the first time, or anew.
                is_first, self._adopted = self._adopted is None, ref(config)
                self._access.holdings.adopt(listed(config))
                # A file that could not be used can be now, perhaps.
                self._refused = self._version
                self._ways = config.gateway.verification.verify, domains_of(config, served_of(self._service))
                if is_first and not self._service.made:
                    # Where nothing was ever made, there is nothing to take, unless something else was served before.
                    self._served_by = self._ways
                    if self._access.holdings.rules_version() == 0:
                        self._keep(Made(0, (), frozenset()))
            del config
            if self._noted is not None:
                self._note()
            if self._served_by == self._ways and self._access.holdings.rules_version() in (self._version, self._refused):
                return False
            verify, own = self._ways
            served = self._access.proofs.served(verify=verify, own=own)
            # Also where the rules cannot be used: whose a domain is stands beside them.
            self.names, self._served_by = served.names, self._ways
            self._held_back = [(one.kind, one.definition) for one in served.held_back]
            if not self._service.take_rules(rules_of(served.definitions), held_back_of(served.held_back)):
                # Told once, and not every two seconds.
                self._refused = served.version
                self._tell(error="what was made last cannot be served, and what was served before stays: see the log")
                return False
            self._tell(str(served.version))
            self._version, self._adopted = served.version, ref(self._service.config)
            self._keep(Made(served.version, served.definitions, served.names))
            self._note()
            return True

    def _note(self) -> None:
        """Write down what is left out, where that has changed."""
        found = left_out(self._service)
        if found != self._noted:
            self._access.holdings.note_served(found)
            self._noted = found
            book = self._service.rulebook
            if book is not None:
                book.tell_left_out(f"{kind} {key[:_SHOWN]!r} is left out: {why}" for (kind, key), why in found.items())

    def _keep(self, made: Made) -> None:
        """Keep what is served on this node."""
        try:
            if self._spare is not None:
                self._spare.keep(made)
        except OSError as error:
            # Served it is all the same.
            _log.error("what is made in the console cannot be kept for when its database is down: %s", error.strerror)

    def _tell(self, version: str | None = None, error: str = "", *, is_stale: bool = False) -> None:
        _tell(self._service, version, error, is_stale=is_stale)

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
        except Exception as error:  # noqa: BLE001 - looked at again in a moment; our own words, or its type, are told
            self._tell(error=(_UNREACHED if isinstance(error, GatewayError) else _UNSEEN) + words_of(error), is_stale=True)
            if not told:
                _log.error("what is made in the console is not seen, and what was served before stays: %s", words_of(error))
            return False
        if told:
            self._tell()
        return True

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
            self._thread = None
