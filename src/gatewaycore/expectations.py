"""Expectations: requests, and what they should be answered with, kept in YAML beside the configuration they hold for.

    config: gateway.yaml
    tests:
      - name: linux tarball
        request: GET https://get.acme.example/linux/1.2.3/rocket-skates.tgz
        expect: {decision: redirect, status: 302, events: [{version: 1.2.3}]}

This room reads such files and compares; who runs them (the command line, pytest) shows the result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs
from attrs import field, frozen
from cattrs.errors import BaseValidationError

from gatewaycore.config.faults import Fault, Invalid, faults_of, invalid, show, show_path, unknown_key
from gatewaycore.config.faults import Path as Steps
from gatewaycore.config.places import Place, SourceError
from gatewaycore.config.structure import REFUSALS, Read, Vocabulary, keys_of, listed, make_converter, mapped, text, truth, whole
from gatewaycore.config.yaml_source import Plain, parse_yaml, yaml_lines
from gatewaycore.decision import DecisionName
from gatewaycore.errors import ConfigError, Problem, RequestError
from gatewaycore.event import Event
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.testing import Seen, make_request, simulate

SUFFIX = ".gateway-test.yaml"
"""What the names of files with expectations end in."""

_METHOD = re.compile(r"[A-Z][A-Z-]*")
_COLUMNS = frozenset(column.name for column in attrs.fields(Event))

Wanted: TypeAlias = Mapping[str, Any]
"""Columns of an event and what they should hold; None for a column that should be empty."""


@frozen(kw_only=True)
class Answer:
    """What stands in for an upstream answers, to whatever it is asked.

    Attributes:
        status: 200 unless told otherwise.
        headers: field lines.
        body: as text; matters where the gateway reads it: a token, a list of tags.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


@frozen(kw_only=True)
class Expect:
    """What should be seen; what is not said is not looked at.

    Attributes:
        decision: "redirect", "proxy" or "respond".
        status: of the answer.
        location: the whole Location.
        upstream: the URL of the first request to an upstream.
        rule: the label of the rule that should win.
        headers: fields of the answer; None for one that should not be there.
        body: the whole body, as text.
        events: as many as should be recorded, in order; of each, the columns that are named.
        no_events: nothing at all is recorded.
    """

    decision: DecisionName | None = None
    status: int | None = None
    location: str | None = None
    upstream: str | None = None
    rule: str | None = None
    headers: Mapping[str, str | None] = field(factory=dict)
    body: str | None = None
    events: tuple[Wanted, ...] | None = None
    no_events: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse what would always hold, and what never could."""
        if not any(getattr(self, key.name) not in (None, False, {}) for key in attrs.fields(Expect)):
            raise invalid("nothing is expected", f"name at least one of {', '.join(sorted(keys_of(Expect)))}")
        if self.no_events and self.events:
            raise invalid("events and no-events contradict each other", "keep one of them")


@frozen(kw_only=True)
class Case:
    """One request and what should come of it.

    Attributes:
        request: method and absolute URL: ``GET https://get.acme.example/install.sh``; the method may be left out.
        expect: what should be seen.
        name: what it is called; the request when it has no name.
        headers: field lines of the request.
        body: of the request, as text.
        client_ip: who calls.
        upstream: answers in place of an upstream.
    """

    request: tuple[str, str]
    expect: Expect
    name: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    client_ip: str = ""
    upstream: Answer = Answer()

    @property
    def title(self) -> str:
        """The name, or the request."""
        return self.name or " ".join(self.request)


@frozen(kw_only=True)
class _File:
    """The keys of a file: the configuration, relative to the file; whether that product's own hosts are served too; the cases."""

    tests: tuple[Case, ...]
    config: str = "gateway.yaml"
    scarf_hosts: bool = False


@frozen
class Suite:
    """One file of expectations.

    Attributes:
        path: the file.
        config: the configuration that they hold for, as seen from the working directory.
        scarf_hosts: the configuration is a Scarf manifest, and that product's own hosts are served too.
        cases: in the order of the file.
        lines: where each of them stands, from 1.
    """

    path: Path
    config: Path
    scarf_hosts: bool
    cases: tuple[Case, ...]
    lines: tuple[int, ...]


@frozen
class Difference:
    """One expectation that does not hold. `expected` and `seen` are text, ready to be shown."""

    what: str
    expected: str
    seen: str


@frozen
class Result:
    """What came of one case: it holds when there are no differences."""

    case: Case
    seen: Seen
    differences: tuple[Difference, ...]


# --- reading -------------------------------------------------------------------------------------------------------------


def read_expectations(path: str | Path) -> Suite:
    """Read one file.

    Raises:
        ConfigError: it cannot be read, or not all of it is understood; every problem, with its line.
    """
    path = Path(path)
    try:
        source = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError([Problem(str(path), f"cannot be read: {reason}")]) from error
    try:
        file: _File = _converter.structure(parse_yaml(source), _File)
    except SourceError as error:
        raise ConfigError([Problem(_where(path, place, fault.path), fault.what, fault.hint) for place, fault in error.faults]) from error
    except (*REFUSALS, BaseValidationError) as error:
        raise ConfigError(_placed(path, source, list(faults_of(error)))) from error
    places: list[Steps] = [("tests", number) for number in range(len(file.tests))]
    lines = yaml_lines(source, set(places))
    return Suite(path, path.parent / file.config, file.scarf_hosts, file.tests, tuple(lines.get(place, [0])[0] for place in places))


def find_expectations(path: str | Path) -> list[Path]:
    """Return the files of expectations that `path` stands for: itself; those of a folder; or those beside a configuration.

    Raises:
        ConfigError: there is none.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.rglob(f"*{SUFFIX}"))
    elif path.name.endswith(SUFFIX) or not path.is_file():
        return [path]
    else:
        found = sorted(path.parent.glob(f"*{SUFFIX}"))
    if not found:
        raise ConfigError([Problem(str(path), f"there is no *{SUFFIX} {'in' if path.is_dir() else 'beside'} it")])
    return found


def _where(path: Path, place: Place, steps: Steps) -> str:
    return f"{path}{place}" + (f": {show_path(steps)}" if steps else "")


def _placed(path: Path, source: str, faults: Iterable[Fault]) -> list[Problem]:
    faults = list(faults)
    lines = yaml_lines(source, {fault.path[:length] for fault in faults for length in range(1, len(fault.path) + 1)})
    problems = []
    for fault in faults:
        nearest = next((lines[fault.path[:length]] for length in range(len(fault.path), 0, -1) if fault.path[:length] in lines), [None])
        problems.append(Problem(_where(path, Place(nearest[-1]), fault.path), fault.what, fault.hint))
    return problems


def _request(raw: Any) -> tuple[str, str]:
    written = text(raw).strip()
    method, _, url = written.rpartition(" ")
    method = method.strip() or "GET"
    if not _METHOD.fullmatch(method):
        raise invalid(f"{show(method)} is no method", "write it as GET https://host/path")
    if not re.match(r"https?://", url, re.IGNORECASE):
        raise invalid(f"{show(url)} is no absolute URL", "write it as GET https://host/path")
    try:
        make_request(method, url)
    except RequestError as error:
        raise invalid(str(error), "write it as GET https://host/path") from error
    return method, url


def _field_lines(raw: Any) -> tuple[tuple[str, str], ...]:
    """Read field lines: a mapping, or a list of mappings where one field stands on several lines."""
    groups = listed(raw, lambda item: mapped(item, text)) if isinstance(raw, list | tuple) else (mapped(raw, text),)
    return tuple(line for group in groups for line in group.items())


def _absent_or_text(raw: Any) -> str | None:
    return None if raw is None else text(raw)


def _event(raw: Any) -> Wanted:
    if not isinstance(raw, Mapping):
        raise invalid(f"expected a mapping, found {show(raw)}", "columns of the event: {version: 1.2.3}")
    unknown = [unknown_key((), key, _COLUMNS) for key in raw if key not in _COLUMNS]
    if unknown:
        raise Invalid(unknown)
    return {key: mapped(value, _absent_or_text) if key == "variables" and value is not None else value for key, value in raw.items()}


def _words(read: Read) -> Read:
    return lambda raw: mapped(raw, read)


_VOCABULARY: Mapping[type, Vocabulary] = {
    Case: {"request": _request, "headers": _field_lines},
    Answer: {"headers": _field_lines},
    Expect: {"headers": _words(_absent_or_text), "events": lambda raw: listed(raw, _event)},
}
_converter = make_converter(_VOCABULARY, detailed=True)


# --- comparing -----------------------------------------------------------------------------------------------------------


def run_case(gateway: Gateway, case: Case) -> Result:
    """Send the case's request through `gateway`, and compare."""
    method, url = case.request
    answer = case.upstream.status, dict(case.upstream.headers), case.upstream.body.encode()
    # What one case has taught it, such as where a registry's tokens come from, must not show in the next.
    gateway.forget()
    seen = simulate(
        gateway, method, url, headers=case.headers, body=case.body.encode(), client_ip=case.client_ip, upstream=lambda _: answer
    )
    return Result(case, seen, tuple(_differences(case.expect, seen)))


def _differences(expect: Expect, seen: Seen) -> Iterable[Difference]:
    for name in ("decision", "status", "rule", "location", "upstream"):
        wanted, found = getattr(expect, name), getattr(seen, name)
        if wanted is not None and wanted != found:
            yield Difference(name, _shown(wanted), _shown(found))
    yield from _headers(expect.headers, seen.headers)
    if expect.body is not None:
        body = seen.body.decode("utf-8", "replace")
        if body != expect.body:
            yield Difference("body", _shown(expect.body), _shown(body))
    if expect.no_events and seen.events:
        yield Difference("events", "none", _count(len(seen.events)))
    if expect.events is not None:
        yield from _events(expect.events, seen.events)


def _headers(expected: Mapping[str, str | None], seen: Headers) -> Iterable[Difference]:
    for name, wanted in expected.items():
        lines = seen.get_all(name)
        if wanted is None and lines:
            yield Difference(f"headers.{name}", _shown(None), _shown(", ".join(lines)))
        elif wanted is not None and wanted not in (*lines, ", ".join(lines)):
            yield Difference(f"headers.{name}", _shown(wanted), _shown(", ".join(lines) if lines else None))


def _events(expected: tuple[Wanted, ...], seen: list[Event]) -> Iterable[Difference]:
    if len(expected) != len(seen):
        yield Difference("events", _count(len(expected)), _count(len(seen)))
        return
    for number, (columns, event) in enumerate(zip(expected, seen, strict=True)):
        for column, wanted in columns.items():
            found = getattr(event, column)
            if column == "variables" and wanted is not None:
                for name, value in wanted.items():
                    if value != found.get(name):
                        yield Difference(f"events[{number}].variables.{name}", _shown(value), _shown(found.get(name)))
            elif not _same(wanted, found):
                yield Difference(f"events[{number}].{column}", _shown(wanted), _shown(found))


def _same(wanted: Any, found: object) -> bool:
    """Compare what YAML says with a column: ``302`` without quotes is a number where the column is one."""
    read: Read | None = truth if isinstance(found, bool) else whole if isinstance(found, int) else None
    if read is not None and isinstance(wanted, Plain):
        try:
            return bool(read(wanted) == found)
        except Invalid:
            return False
    if found is None or isinstance(found, Mapping):
        return wanted is None or wanted == found if not found else False
    return bool(wanted == (found if isinstance(found, str | int | float) else str(found)))


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return str(value) if not isinstance(value, str) or value else '""'


def _count(number: int) -> str:
    return f"{number} event" if number == 1 else f"{number} events"
