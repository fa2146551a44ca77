"""Plain data -> Config, section by section: tags, inheritance, supplied domains, secrets from the environment.

Every fault is collected, and the rest is read on: whoever mends a configuration sees all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, TypeVar

from attrs import NOTHING, define, field, fields, frozen
from cattrs import Converter
from cattrs.errors import BaseValidationError

from gatewaycore.badges import BadgeSettings
from gatewaycore.config import vocabulary
from gatewaycore.config.faults import Fault, Invalid, Path, faults_of, kebab, missing, one_of, parse_path, show, suggest, unknown_key
from gatewaycore.config.model import INHERITED, REFUSED, Config, ConsoleSettings, DomainDefaults, GatewaySettings, Rosters, compile_rules
from gatewaycore.config.structure import REFUSALS, Vocabulary, keys_of, make_converter, mapped
from gatewaycore.errors import ConfigError, Problem, TemplateError
from gatewaycore.journal import JournalSettings
from gatewaycore.owntraffic import OwnHeader, OwnTrafficSettings
from gatewaycore.proving import VerificationSettings
from gatewaycore.route import Rule
from gatewaycore.rules import CollectionRule, ContainerRule
from gatewaycore.rules.container import Credentials
from gatewaycore.rules.limits import Limits
from gatewaycore.shared_salts import SharedSalts

T = TypeVar("T")

SECTIONS = frozenset({"gateway", "domains", "packages", "collections", "sinks", "enrich", "badges", "console"})
_CONTAINERS = (ContainerRule, CollectionRule)
_NO_DOMAIN = "write domain:, or both base-domain: and username: under gateway:"
# What the file lets its own packages reach. Those that are made elsewhere say so themselves, and not everybody may.
_FOR_FILES = frozenset({"allow-private-backends", "allowed-realms"})
_ENTRY_HINT = "an entry begins with - and has a type"


@frozen
class Entry:
    """One rule as written.

    Attributes:
        raw: its keys.
        path: where it stands.
        names: what its keys are called there, where that is not what they are called in `raw`.
        members: where the items of its `files` stand, when each is a rule of its own there.
        is_made: whether it stands in no file: whoever made it must not get at the environment.
    """

    raw: Any
    path: Path
    names: Mapping[str, str] = MappingProxyType({})
    members: Sequence[Path] = ()
    is_made: bool = False

    def place(self, path: Path) -> Path:
        """Return where something of `raw` stands."""
        base = self.path
        if self.members and len(path) > 1 and path[0] == "files" and isinstance(path[1], int):
            base, path = self.members[path[1]], path[2:]
        if path and isinstance(path[0], str):
            path = (self.names.get(path[0], path[0]), *path[1:])
        return base + path


@lru_cache(maxsize=8)
def _converters(rosters: Rosters) -> tuple[Converter, Converter]:
    words: dict[type, Vocabulary] = dict.fromkeys((*rosters.rules.values(), CollectionRule), vocabulary.RULE)
    words |= {
        GatewaySettings: vocabulary.GATEWAY,
        BadgeSettings: vocabulary.BADGES,
        ConsoleSettings: vocabulary.CONSOLE,
        DomainDefaults: vocabulary.DEFAULTS,
        Limits: vocabulary.LIMITS,
        JournalSettings: vocabulary.JOURNAL,
        OwnTrafficSettings: vocabulary.OWN_TRAFFIC,
        OwnHeader: vocabulary.OWN_HEADER,
        SharedSalts: vocabulary.SHARED_SALTS,
        VerificationSettings: vocabulary.VERIFICATION,
    }
    return make_converter(words, detailed=False), make_converter(words, detailed=True)


@define
class Builder:
    """Makes a Config, and keeps the faults found on the way."""

    rosters: Rosters
    environ: Mapping[str, str]
    file: str = ""
    faults: list[Fault] = field(factory=list)
    _above: Mapping[str, Any] = field(factory=dict)
    _defaults: dict[str, Mapping[str, Any]] = field(factory=dict)
    _known: dict[type, frozenset[str]] = field(factory=dict)

    def build(
        self,
        data: Mapping[str, Any],
        packages: Sequence[Entry],
        collections: Sequence[Entry],
        extra: Callable[[GatewaySettings], tuple[Rule, ...]],
    ) -> Config:
        """Make it.

        Args:
            data: the sections; those that hold rules are not read here.
            packages: the section `packages`.
            collections: the section `collections`.
            extra: gives the rules that nobody wrote, by the settings.
        """
        gateway = self._gateway(data.get("gateway"))
        domains = self._domains(data.get("domains"))
        entries = [*packages, *collections]
        made = [self._rule(entry, gateway, None) for entry in packages]
        made += [self._rule(entry, gateway, CollectionRule) for entry in collections]
        sinks = self._tagged(data.get("sinks"), ("sinks",), self.rosters.sinks)
        enrich = self._tagged(data.get("enrich"), ("enrich",), self.rosters.enrichments)
        badges = None if data.get("badges") is None else self._structure(BadgeSettings, data["badges"], partial(_under, ("badges",)))
        console = self._console(data.get("console"))
        tags = {cls: tag for tag, cls in self.rosters.sinks.items()}
        written = [(entry, rule) for entry, rule in zip(entries, made, strict=True) if rule is not None]
        config = Config(
            gateway=gateway,
            domains=domains,
            packages=(*(rule for _, rule in written if not isinstance(rule, CollectionRule)), *extra(gateway)),
            collections=tuple(rule for _, rule in written if isinstance(rule, CollectionRule)),
            sinks=sinks,
            sink_tags=tuple(tags[type(sink)] for sink in sinks or ()),
            file=self.file,
            badges=badges,
            console=console,
            **({} if enrich is None else {"enrich": enrich}),
        )
        self._compile(config, written)
        return config

    def _compile(self, config: Config, written: Sequence[tuple[Entry, Rule]]) -> None:
        """Compile the rules, for what is wrong with them, and leave the gateway in `config`."""
        compiled = compile_rules(config.rules)
        rules = config.rules
        if config.console is not None:
            self._apart(config.console, written)
        # A package that is faulty is no package yet.
        if config.badges is not None and not compiled.failed and not self.faults:
            self._known_packages(config, config.badges)
        if compiled.failed:
            entries = {id(rule): entry for entry, rule in written}
            for number, refusal in compiled.failed:
                self.faults += _refused(entries[id(rules[number])], refusal)
        if self.faults:
            return
        try:
            config.join(compiled.routes)
        except ConfigError as error:
            entries = {id(rule): entry for entry, rule in written}
            for problem in error.problems:
                maker = compiled.maker(problem.about)
                entry = None if maker is None else entries.get(id(rules[maker]))
                # Some rules nobody wrote.
                self.faults.append(Fault((), str(problem)) if entry is None else _together(entry, problem))

    def _apart(self, console: ConsoleSettings, written: Sequence[tuple[Entry, Rule]]) -> None:
        """Refuse packages on the console's domain: nobody would ever get there."""
        for entry, rule in written:
            if getattr(rule, "domain", None) == console.domain:
                self.faults.append(
                    Fault(entry.place(("domain",)), f"{console.domain} is the console's", "the console has a domain of its own")
                )

    def _known_packages(self, config: Config, badges: BadgeSettings) -> None:
        """Refuse names that no package has: nobody would ever see their badges, nor learn why."""
        listing = config.listing(badges)
        names = sorted({text for package in listing.packages for text in (package.key, package.name)})
        for place, text in listing.unknown():
            hint = suggest(text, names, "the name or the id of a package; one that ends with * stands for several")
            self.faults.append(Fault(("badges", "packages", place), f"there is no package {show(text)}", hint))

    def entries(self, raw: Any, name: str) -> list[Entry]:
        """Return the entries of the section `name`."""
        return [Entry(item, (name, position)) for position, item in enumerate(self._list(raw, (name,)) or ())]

    def unknown(self, data: Mapping[Any, Any]) -> None:
        """Refuse sections that nothing reads."""
        self.faults += [unknown_key((), key, SECTIONS) for key in data if key not in SECTIONS]

    def _gateway(self, raw: Any) -> GatewaySettings:
        if isinstance(raw, Mapping) and isinstance(raw.get("shared-salts"), Mapping):
            found = self._from_environment(raw["shared-salts"], keys_of(SharedSalts), ("gateway", "shared-salts"))
            raw = {**raw, "shared-salts": found}
        settings = self._structure(GatewaySettings, {} if raw is None else raw, lambda path: ("gateway", *path))
        if settings is None:
            # Its faults are told once, and not again by every package that inherits them.
            return GatewaySettings()
        self._above = {key: raw[key] for key in INHERITED if raw.get(key) is not None} if raw else {}
        return settings

    def _console(self, raw: Any) -> ConsoleSettings | None:
        if raw is None:
            return None
        if isinstance(raw, Mapping):
            raw = self._from_environment(raw, keys_of(ConsoleSettings), ("console",))
        return self._structure(ConsoleSettings, raw, partial(_under, ("console",)))

    def _domains(self, raw: Any) -> dict[str, DomainDefaults]:
        found: dict[str, DomainDefaults] = {}
        if raw is None:
            return found
        for written, value in (self._attempt(lambda: mapped(raw, _as_it_is), ("domains",)) or {}).items():
            path: Path = ("domains", written)
            name = self._attempt(partial(vocabulary.domain, written), path)
            settings = self._structure(DomainDefaults, {} if value is None else value, partial(_under, path))
            if name is None or settings is None:
                continue
            if name in found:
                self.faults.append(Fault(path, f"{name} stands there twice", "keep one of them"))
            found[name] = settings
            self._defaults[name] = _over(self._above, {key: item for key, item in (value or {}).items() if item is not None})
        return found

    def _rule(self, entry: Entry, gateway: GatewaySettings, cls: type[Rule] | None) -> Rule | None:
        raw = entry.raw
        if not isinstance(raw, Mapping):
            self.faults.append(Fault(entry.path, f"expected a mapping, found {show(raw)}", _ENTRY_HINT))
            return None
        tagged = cls is None
        if cls is None:
            cls = self._class(raw, entry.path, self.rosters.rules)
            if cls is None:
                return None
        known = self._known.get(cls)
        if known is None:
            known = self._known[cls] = keys_of(cls)
        own = {key: value for key, value in raw.items() if value is not None or key not in known}
        if tagged:
            del own["type"]
        if "domain" not in own and "domain" in known:
            supplied = _supplied(gateway, cls)
            if supplied is not None:
                own["domain"] = supplied
        if "credentials" in known and isinstance(own.get("credentials"), Mapping):
            environ = {} if entry.is_made else self.environ
            own["credentials"] = self._from_environment(own["credentials"], keys_of(Credentials), entry.place(("credentials",)), environ)
        above = self._above_of(own.get("domain"))
        if entry.is_made:
            above = {key: value for key, value in above.items() if key not in _FOR_FILES}
        if above:
            own = _over({key: value for key, value in above.items() if key in known}, own)
        before = len(self.faults)
        rule: Rule | None = self._structure(cls, own, entry.place)
        if rule is None:
            self._compile_rest(entry, cls, own, self.faults[before:])
        return rule

    def _compile_rest(self, entry: Entry, cls: type[Rule], own: Mapping[str, Any], faults: Sequence[Fault]) -> None:
        """Compile an entry without the keys that are faulty, for what else is wrong with it, where it can do without them."""
        spared = {kebab(one.name) for one in fields(cls) if one.default not in (NOTHING, None, ())}  # type: ignore[arg-type]
        keys = {fault.path[len(entry.path)] for fault in faults if len(fault.path) > len(entry.path)}
        wrong = {key for key in own if entry.place((key,))[-1] in keys}
        if not wrong or len(wrong) < len(keys) or not wrong <= spared:
            return
        try:
            _converters(self.rosters)[0].structure({key: value for key, value in own.items() if key not in wrong}, cls).compile()
        except (*REFUSALS, *REFUSED, BaseValidationError) as error:
            self.faults += _refused(entry, error)

    def _above_of(self, written: Any) -> Mapping[str, Any]:
        """Return what packages on a domain inherit."""
        if not self._defaults or not isinstance(written, str):
            return self._above
        try:
            return self._defaults.get(vocabulary.domain(written), self._above)
        except Invalid:
            return self._above

    def _class(self, raw: Mapping[Any, Any], path: Path, roster: Mapping[str, type[T]]) -> type[T] | None:
        tag = raw.get("type")
        if isinstance(tag, str):
            cls = roster.get(tag)
            if cls is not None:
                return cls
            self.faults.append(Fault((*path, "type"), f"unknown type {show(tag)}", suggest(tag, roster, one_of(sorted(roster)))))
        elif tag is None:
            self.faults.append(missing((*path, "type"), one_of(sorted(roster))))
        else:
            self.faults.append(Fault((*path, "type"), f"expected the name of a type, found {show(tag)}", one_of(sorted(roster))))
        return None

    def _tagged(self, raw: Any, path: Path, roster: Mapping[str, type[T]]) -> tuple[T, ...] | None:
        if raw is None:
            return None
        found: list[T] = []
        for position, item in enumerate(self._list(raw, path) or ()):
            here = (*path, position)
            entry = {"type": item} if isinstance(item, str) else item
            if not isinstance(entry, Mapping):
                self.faults.append(Fault(here, f"expected a mapping or the name of a type, found {show(item)}", _ENTRY_HINT))
                continue
            cls = self._class(entry, here, roster)
            if cls is None:
                continue
            settings = self._structure(cls, self._with_secrets(entry, keys_of(cls), here), partial(_under, here))
            if settings is not None:
                found.append(settings)
        return tuple(found)

    def _with_secrets(self, entry: Mapping[Any, Any], known: frozenset[str], path: Path) -> dict[Any, Any]:
        """Return the entry of a list without its type, and with the values that stand in the environment, those of mappings in it too."""
        found = self._from_environment({key: value for key, value in entry.items() if key != "type"}, known, path)
        for key, value in found.items():
            if isinstance(value, Mapping):
                found[key] = self._from_environment(value, None, (*path, key))
        return found

    def _from_environment(
        self, entry: Mapping[Any, Any], known: frozenset[str] | None, path: Path, environ: Mapping[str, str] | None = None
    ) -> dict[Any, Any]:
        """Return the entry with the values that stand in the environment: ``url-env: EVENTS_URL`` for ``url``.

        Args:
            entry: as written.
            known: the keys that there are; None where any key may be.
            path: where it stands.
            environ: where to look, if not where everything else does.
        """
        found, environ = dict(entry), self.environ if environ is None else environ
        for key, name in entry.items():
            wanted = key.removesuffix("-env") if isinstance(key, str) else key
            if wanted == key or (known is not None and (key in known or wanted not in known)):
                continue
            del found[key]
            if entry.get(wanted) is not None:
                self.faults.append(Fault((*path, key), f"stands beside {wanted}", "keep one of the two"))
            elif not isinstance(name, str) or not name:
                self.faults.append(Fault((*path, key), f"expected the name of an environment variable, found {show(name)}"))
            elif name in environ:
                found[wanted] = environ[name]
                continue
            else:
                self.faults.append(Fault((*path, key), f"the environment has no {name[:80]}", f"set it, or write {wanted}: instead"))
            # Something stands there, so that nothing is said to be missing as well.
            found.setdefault(wanted, "")
        return found

    def _list(self, raw: Any, path: Path) -> Sequence[Any] | None:
        if raw is None or isinstance(raw, list | tuple):
            return raw
        self.faults.append(Fault(path, f"expected a list, found {show(raw)}", _ENTRY_HINT))
        return None

    def _structure(self, cls: type[T], raw: Any, place: Callable[[Path], Path]) -> T | None:
        fast, careful = _converters(self.rosters)
        try:
            made: T = fast.structure(raw, cls)
        except REFUSALS as first:
            try:
                made = careful.structure(raw, cls)
            except (*REFUSALS, BaseValidationError) as error:
                found = faults_of(error)
            else:
                found = faults_of(first)
            self.faults += [Fault(place(fault.path), fault.what, _hint(fault)) for fault in found]
            return None
        return made

    def _attempt(self, read: Callable[[], T], path: Path) -> T | None:
        try:
            return read()
        except REFUSALS as error:
            self.faults += faults_of(error, path)
            return None


def _refused(entry: Entry, error: Exception) -> Iterator[Fault]:
    """Iterate over what is wrong with an entry that cannot be compiled."""
    for fault in faults_of(error):
        path = (_find(entry.raw, error.source) if isinstance(error, TemplateError) else None) or fault.path
        yield Fault(entry.place(path), fault.what, fault.hint)


def _together(entry: Entry, problem: Problem) -> Fault:
    """Return what is wrong with an entry beside another one."""
    return Fault(entry.place(parse_path(problem.where)), problem.what, problem.hint)


def _hint(fault: Fault) -> str:
    return _NO_DOMAIN if fault == missing(("domain",)) else fault.hint


def _under(above: Path, path: Path) -> Path:
    return above + path


def _as_it_is(raw: Any) -> Any:
    return raw


def _over(above: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `own` keys over those from `above`; of limits, each one by itself."""
    both = {**above, **own}
    upper, lower = above.get("limits"), own.get("limits")
    if isinstance(upper, Mapping) and isinstance(lower, Mapping):
        both["limits"] = {**upper, **{key: value for key, value in lower.items() if value is not None}}
    return both


def _supplied(gateway: GatewaySettings, cls: type) -> str | None:
    if gateway.base_domain is None or gateway.username is None:
        return None
    return f"{gateway.username}.{'docker' if cls in _CONTAINERS else 'gateway'}.{gateway.base_domain}"


def _find(raw: Any, text: str) -> Path | None:
    """Return the path of the value `text` in the keys of a rule."""
    open_: list[tuple[Path, Any]] = [((), raw)]
    while open_:
        path, value = open_.pop()
        if isinstance(value, str):
            if value == text and path:
                return path
        elif len(path) < 4 and isinstance(value, Mapping | list | tuple):
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            open_ += [((*path, key), item) for key, item in items if isinstance(key, str | int)][::-1]
    return None
