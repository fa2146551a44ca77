"""Plain data -> Config, section by section: tags, inheritance, supplied domains, secrets from the environment.

Every fault is collected, and the rest is read on: whoever mends a configuration sees all of it at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, TypeVar

from attrs import NOTHING, define, field, fields, frozen
from cattrs import Converter
from cattrs.errors import BaseValidationError

from gatewaycore.badges import BadgeSettings
from gatewaycore.config import vocabulary
from gatewaycore.config.entries import Doubled, Entry, Known, Listed, Places, claims
from gatewaycore.config.faults import Fault, Invalid, Path, faults_of, kebab, missing, one_of, parse_path, show, suggest, unknown_key
from gatewaycore.config.model import INHERITED, REFUSED, Config, ConsoleSettings, DomainDefaults, GatewaySettings, Rosters, compile_rules
from gatewaycore.config.structure import REFUSALS, Vocabulary, keys_of, make_converter, mapped
from gatewaycore.console_limits import ConsoleLimits
from gatewaycore.errors import ConfigError, Problem, TemplateError
from gatewaycore.journal import JournalSettings
from gatewaycore.operations import OperationsSettings, TracesSettings
from gatewaycore.owntraffic import OwnHeader, OwnTrafficSettings
from gatewaycore.proving import VerificationSettings
from gatewaycore.route import Route, Rule
from gatewaycore.rules import CollectionRule, ContainerRule
from gatewaycore.rules.container import Credentials
from gatewaycore.rules.limits import Limits
from gatewaycore.shared_salts import SharedSalts
from gatewaycore.sources import SOURCES, HttpSource, Source

T = TypeVar("T")

SECTIONS = frozenset(
    {"gateway", "domains", "packages", "collections", "sinks", "enrich", "badges", "console", "operations", "traces", "sources"}
)
_CONTAINERS = (ContainerRule, CollectionRule)
_NO_DOMAIN = "write domain:, or both base-domain: and username: under gateway:"
# What the file lets its own packages reach. Those that are made elsewhere say so themselves, and not everybody may.
_FOR_FILES = frozenset({"allow-private-backends", "allowed-realms"})
_ENTRY_HINT = "an entry begins with - and has a type"


@frozen
class Inherited:
    """What the rest of a configuration adds to each entry: where it is the same, an entry that is the same means the same."""

    above: Mapping[str, Any]
    defaults: Mapping[str, Mapping[str, Any]]
    supplied: tuple[str | None, str | None]


class OtherwiseError(Exception):
    """Entries that were read before would mean something else now."""


@lru_cache(maxsize=8)
def _converters(rosters: Rosters) -> tuple[Converter, Converter]:
    words: dict[type, Vocabulary] = dict.fromkeys((*rosters.rules.values(), CollectionRule), vocabulary.RULE)
    words |= {
        GatewaySettings: vocabulary.GATEWAY,
        BadgeSettings: vocabulary.BADGES,
        ConsoleSettings: vocabulary.CONSOLE,
        ConsoleLimits: vocabulary.CONSOLE_LIMITS,
        OperationsSettings: vocabulary.OPERATIONS,
        TracesSettings: vocabulary.TRACES,
        DomainDefaults: vocabulary.DEFAULTS,
        Limits: vocabulary.LIMITS,
        JournalSettings: vocabulary.JOURNAL,
        OwnTrafficSettings: vocabulary.OWN_TRAFFIC,
        OwnHeader: vocabulary.OWN_HEADER,
        SharedSalts: vocabulary.SHARED_SALTS,
        HttpSource: vocabulary.HTTP_SOURCE,
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
    made: list[list[Known]] = field(factory=list)
    inherited: Inherited = field(init=False)
    _known: dict[type, frozenset[str]] = field(factory=dict)

    def build(
        self,
        data: Mapping[str, Any],
        lists: Sequence[Listed],
        extra: Callable[[GatewaySettings], tuple[Rule, ...]],
        told: Callable[[Doubled], Problem],
        before: tuple[Inherited, Config] | None = None,
    ) -> Config:
        """Make it. What was made of each list is in `made` afterwards, when there is no fault.

        Args:
            data: the sections; those that hold rules are not read here.
            lists: of packages and of collections, in order.
            extra: gives the rules that nobody wrote, by the settings.
            told: gives the words for an entry that another document has already.
            before: what was made before, and what it inherited; the `Known` entries are of then.

        Raises:
            OtherwiseError: known entries inherit something else now: they are to be read as any other.
        """
        gateway = self._gateway(data.get("gateway"))
        domains = self._domains(data.get("domains"))
        self.inherited = Inherited(self._above, self._defaults, (gateway.base_domain, gateway.username))
        if before is not None and before[0] != self.inherited:
            raise OtherwiseError
        made = [[self._made(entry, gateway, listed.section) for entry in listed.entries] for listed in lists]
        sinks = self._tagged(data.get("sinks"), ("sinks",), self.rosters.sinks)
        enrich = self._tagged(data.get("enrich"), ("enrich",), self.rosters.enrichments)
        badges = None if data.get("badges") is None else self._structure(BadgeSettings, data["badges"], partial(_under, ("badges",)))
        console = self._console(data.get("console"))
        operations = self._section("operations", OperationsSettings, data.get("operations"))
        traces = self._section("traces", TracesSettings, data.get("traces"))
        tags = {cls: tag for tag, cls in self.rosters.sinks.items()}
        packages = [rule for listed, rules in zip(lists, made, strict=True) if listed.section == "packages" for rule in rules if rule]
        collections = [rule for listed, rules in zip(lists, made, strict=True) if listed.section != "packages" for rule in rules if rule]
        packages += extra(gateway)
        known = {id(entry.rule): entry.routes for listed in lists for entry in listed.entries if isinstance(entry, Known)}
        compiled = compile_rules((*packages, *collections), known)
        # Comprehensions, here and below: whoever waits for the interpreter's lock has it between two steps of one.
        parts = {id(rule): part for rule, part in zip((*packages, *collections), compiled.parts, strict=True)}
        doubled: list[Doubled] = []
        if any(listed.rank for listed in lists) and not compiled.failed and not self.faults:
            doubled = claims(lists, made, parts)
            lost = {id(one.rule) for one in doubled}
            packages = [rule for rule in packages if id(rule) not in lost]
            collections = [rule for rule in collections if id(rule) not in lost]
        config = Config(
            gateway=gateway,
            domains=domains,
            packages=tuple(packages),
            collections=tuple(collections),
            sinks=sinks,
            sink_tags=tuple(tags[type(sink)] for sink in sinks or ()),
            file=self.file,
            badges=badges,
            console=console,
            made_collections=sum(len(listed.made) for listed in lists if listed.section == "collections"),
            operations=operations,
            traces=traces,
            sources=self._tagged(data.get("sources"), ("sources",), SOURCES) or (),
            doubled=tuple(map(told, doubled)),
            **({} if enrich is None else {"enrich": enrich}),
        )
        places = Places(lists, made)
        if console is not None:
            self._apart(console, places)
        # A package that is faulty is no package yet; and with a console, packages come and go.
        if badges is not None and console is None and not compiled.failed and not self.faults:
            self._known_packages(config, badges)
        for number, refusal in compiled.failed:
            self.faults += _refused(places.entry(config.rules[number]), refusal)
        if not self.faults:
            self._join(config, places, [parts[id(rule)] for rule in config.rules], None if before is None else before[1])
        if not self.faults:
            self.made = places.known(parts)
        return config

    def sources(self, data: Mapping[str, Any]) -> tuple[tuple[Source, ...], str]:
        """Return the settings of the sources, and the data-dir: what has to be known before there is a whole to read."""
        settings = data.get("gateway")
        written = settings.get("data-dir") if isinstance(settings, Mapping) else None
        return self._tagged(data.get("sources"), ("sources",), SOURCES) or (), str(written or GatewaySettings().data_dir)

    def _made(self, entry: Entry | Known, gateway: GatewaySettings, section: str) -> Rule | None:
        if isinstance(entry, Known):
            return entry.rule
        return self._rule(entry, gateway, None if section == "packages" else CollectionRule)

    def _join(self, config: Config, places: Places, parts: Sequence[Sequence[Route]], before: Config | None) -> None:
        """Put the rules together, for what is wrong with them, and leave the gateway in `config`."""
        try:
            config.join([route for part in parts for route in part], before)
        except ConfigError as error:
            for problem in error.problems:
                number = next((at for at, part in enumerate(parts) for one in part if one is problem.about), None)
                rule = None if number is None else config.rules[number]
                # Some rules nobody wrote.
                entry = None if rule is None else places.find(rule)
                self.faults.append(Fault((), str(problem)) if entry is None else _together(entry, problem))

    def _apart(self, console: ConsoleSettings, places: Places) -> None:
        """Refuse packages on the console's domain: nobody would ever get there."""
        for rules in places.made:
            for rule in rules:
                if rule is not None and getattr(rule, "domain", None) == console.domain:
                    place = places.entry(rule).place(("domain",))
                    self.faults.append(Fault(place, f"{console.domain} is the console's", "the console has a domain of its own"))

    def _known_packages(self, config: Config, badges: BadgeSettings) -> None:
        """Refuse names that no package has: nobody would ever see their badges, nor learn why."""
        listing = config.listing(badges)
        names = sorted({text for package in listing.packages for text in (package.key, package.name)})
        for place, text in listing.unknown():
            hint = suggest(text, names, "the name or the id of a package; one that ends with * stands for several")
            self.faults.append(Fault(("badges", "packages", place), f"there is no package {show(text)}", hint))

    def entries(self, raw: Any, path: Path, *, has_environment: bool = True) -> list[Entry | Known]:
        """Return the entries of a list; those that are known are taken as they are."""
        items = self._list(raw, path) or ()
        return [item if type(item) is Known else Entry(item, (*path, at), has_environment=has_environment) for at, item in enumerate(items)]

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

    def _section(self, name: str, cls: type[T], raw: Any) -> T | None:
        """Read a section of settings, with what it takes from the environment."""
        if raw is None:
            return None
        if isinstance(raw, Mapping):
            raw = self._with_secrets(raw, keys_of(cls), (name,))
        return self._structure(cls, raw, partial(_under, (name,)))

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
            environ = self.environ if entry.has_environment and not entry.is_made else {}
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
