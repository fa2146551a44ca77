"""The documentation says what is true: rosters, settings, verbs and fields have their rows, and examples do what is written beside them.

How a page says what its blocks are, in an HTML comment on the line before one:

| comment | block |
|---|---|
| (none) | yaml: a configuration that loads. python: runs, with those before it on the page. json: one event. console: see below |
| ``fragment`` | yaml: a part of a configuration |
| ``refused`` | yaml: a configuration that is refused |
| ``expectations`` | yaml: expectations that hold for examples/gateway.yaml |
| ``from: PATH`` | yaml, python: lines that stand in that file |
| ``settings: NAME`` | table: the keys of that settings class, with type and default |
| ``requests`` | table: requests to the configuration before it, or to ``requests: PATH``, and their answers |

In a console block, ``gatewaycore`` commands are run and compared, but for ids and times, and for lines that are "..."; ``cat`` of a file
that is not there makes it.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from xml.etree import ElementTree

import attrs
import click
import pytest
import yaml
from attrs import NOTHING, fields, frozen
from click.testing import CliRunner
from tools.badge_pictures import pictures

from gatewaycore import ConfigError, Event, load
from gatewaycore._version import __version__
from gatewaycore.badges import CHARTS, PERIODS, STYLES, BadgeSettings
from gatewaycore.badges.options import PARAMETERS
from gatewaycore.badges.routes import FORMS
from gatewaycore.cli.commands import commands
from gatewaycore.cli.logs import FIELDS as LOG_FIELDS
from gatewaycore.config import ConsoleSettings, DomainDefaults, GatewaySettings
from gatewaycore.config.sections import SECTIONS
from gatewaycore.console_limits import ConsoleLimits
from gatewaycore.enrich import ENRICHMENTS, company
from gatewaycore.enrich.agent import Agent, Reason
from gatewaycore.enrich.providers import PROVIDERS
from gatewaycore.event import KINDS, MAX_TEXT, PLATFORMS
from gatewaycore.expectations import read_expectations, run_case
from gatewaycore.exporting import SETS
from gatewaycore.gateway import Gateway
from gatewaycore.importing.names import GIVEN_NAMES, PRESETS, RESERVED
from gatewaycore.journal import JournalSettings
from gatewaycore.operations import OperationsSettings, TracesSettings
from gatewaycore.operations.exposing import LOOKED_AT
from gatewaycore.operations.exposing import PREFIX as METRIC
from gatewaycore.operations.meters import METERS
from gatewaycore.owntraffic import OwnHeader, OwnTrafficSettings
from gatewaycore.proving import VerificationSettings
from gatewaycore.recorder import decode
from gatewaycore.rules import RULES, CollectionRule
from gatewaycore.rules.container.backend import Credentials
from gatewaycore.rules.container.clients import FAMILIES
from gatewaycore.rules.file import RouteSettings
from gatewaycore.rules.limits import Limits
from gatewaycore.rules.python import PythonFile
from gatewaycore.rules.variables import MAX_NAME, MAX_PARAMETERS, Meaning
from gatewaycore.shared_salts import SharedSalts
from gatewaycore.sinks import SINKS
from gatewaycore.sources import SOURCES
from gatewaycore.testing import simulate
from gatewaycore_asgi.console.api import PREFIX, document
from gatewaycore_asgi.console.api.problems import CODES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
EXAMPLE = ROOT / "examples" / "gateway.yaml"
# docs/changelog.md is CHANGELOG.md, so that the site has it too.
PAGES = [page for page in sorted(DOCS.glob("*.md")) if not page.is_symlink()]
TEXTS = [README, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")), *PAGES]

SETTINGS: Mapping[str, type] = {
    cls.__name__: cls
    for cls in (
        GatewaySettings,
        DomainDefaults,
        JournalSettings,
        OwnTrafficSettings,
        VerificationSettings,
        SharedSalts,
        OwnHeader,
        BadgeSettings,
        ConsoleLimits,
        ConsoleSettings,
        OperationsSettings,
        TracesSettings,
        Limits,
        *RULES.values(),
        RouteSettings,
        PythonFile,
        CollectionRule,
        Credentials,
        *SINKS.values(),
        *ENRICHMENTS.values(),
        *SOURCES.values(),
    )
    if fields(cls)
}

_FENCE = re.compile(r"```(\w*)\s*\Z")
_NOTE = re.compile(r"<!-- (.*) -->\s*\Z")
_HEADING = re.compile(r"(#{1,6}) (.+?)\s*\Z")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
_PATH = re.compile(r"`((?:src|tests|docs|examples|benchmarks)/[\w./*-]*|[\w-]+\.(?:py|md|toml|yml))(?:::(\w+))?`")
_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])"), "<hash>"),
)


@frozen
class Block:
    """A fenced block or a table, where it stands, and what the comment before it says."""

    page: Path
    line: int
    language: str
    text: str
    note: str
    section: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, its head first and without the line below it."""
        lines = [line.strip().strip("|").split("|") for line in self.text.splitlines()]
        return [[cell.strip() for cell in cells] for number, cells in enumerate(lines) if number != 1]


def read_blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    note, section, at = "", "", 0
    while at < len(lines):
        line, start = lines[at], at
        at += 1
        fence, heading = _FENCE.match(line), _HEADING.match(line)
        if fence or line.startswith("|"):
            end = at
            while end < len(lines) and lines[end].startswith("```" if fence else "|") != bool(fence):
                end += 1
            text = "\n".join(lines[at if fence else start : end]) + "\n"
            yield Block(page, start + 1, fence[1] if fence else "table", text, note, section)
            at = end + 1 if fence else end
        elif heading:
            section = heading[2]
        found = _NOTE.match(line)
        note = found[1] if found else ""


BLOCKS = [block for page in TEXTS for block in read_blocks(page)]


def blocks(language: str, *notes: str) -> list[Block]:
    """Return the blocks of one language whose comment begins with one of `notes`."""
    return [block for block in BLOCKS if block.language == language and any(re.match(rf"{note}(\Z|:)", block.note) for note in notes)]


def each(found: Sequence[Block]) -> pytest.MarkDecorator:
    assert found
    return pytest.mark.parametrize("block", found, ids=str)


def headings(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return [found[2] for line in text.splitlines() if (found := _HEADING.match(line))]


def first_column(page: str) -> set[str]:
    return {row[0] for block in BLOCKS if block.page.name == page and block.language == "table" for row in block.rows}


# --- rosters, settings, fields, verbs ------------------------------------------------------------------------------------


def test_every_section_and_type_has_its_heading() -> None:
    known = headings(DOCS / "configuration.md")
    for name in (*SECTIONS, *RULES, *SINKS, *ENRICHMENTS, *SOURCES):
        assert f"`{name}`" in known


def test_every_settings_class_has_one_table() -> None:
    assert sorted(block.note.partition(": ")[2] for block in blocks("table", "settings")) == sorted(SETTINGS)


_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    bool: "true or false",
    float: "number",
    Limits: "limits",
    ConsoleLimits: "limits",
    JournalSettings: "journal",
    Credentials: "credentials",
    OwnTrafficSettings: "own traffic",
    VerificationSettings: "verification",
    SharedSalts: "shared salts",
    OwnHeader: "header",
}
_LISTS: Mapping[Any, str] = {str: "list of text", RouteSettings: "list of routes", PythonFile: "list of files"}


def in_words(kind: Any) -> str:
    """Return what the documentation calls a field's type."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return _LISTS[get_args(kind)[0]]
    if type(None) in get_args(kind):
        return " or ".join(in_words(one) for one in get_args(kind) if one is not type(None))
    return _WORDS.get(kind) or "mapping of text"


def default_in_words(default: Any) -> str:
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs types Factory as a function
        default = default.factory()
    if default is NOTHING:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, Limits):
        return "see [`limits`](#limits)"
    if isinstance(default, ConsoleLimits):
        return "see [`limits`](#limits-of-console)"
    if isinstance(default, JournalSettings):
        return "see [`journal`](#journal)"
    if isinstance(default, OwnTrafficSettings):
        return "see [`own-traffic`](#own-traffic)"
    if isinstance(default, VerificationSettings):
        return "see [`verification`](#verification)"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default not in ((), {}) else "empty"


@each(blocks("table", "settings"))
def test_settings_table(block: Block) -> None:
    cls = SETTINGS[block.note.partition(": ")[2]]
    hints = get_type_hints(cls)
    wanted = [[f"`{one.name.replace('_', '-')}`", in_words(hints[one.name]), default_in_words(one.default)] for one in fields(cls)]
    head, *rows = block.rows
    assert head == ["Key", "Type", "Default", "Meaning"]
    assert [row[:3] for row in rows] == wanted
    assert all(row[3] for row in rows)
    examples = "\n".join(one.text for one in BLOCKS if one.page == block.page and one.section == block.section and one.language == "yaml")
    for row in rows:
        assert re.search(rf"(?:^|[\s{{,-]){row[0].strip('`')}:", examples), f"no example of {row[0]}"


def test_every_column_of_an_event_has_its_row() -> None:
    head, *rows = next(block.rows for block in BLOCKS if block.page.name == "events.md" and block.note == "columns")
    assert head[0] == "Column"
    assert [row[0] for row in rows] == [f"`{column.name}`" for column in fields(Event)]
    assert all(all(row) for row in rows)


def test_every_confidence_has_its_row() -> None:
    _, *rows = next(block.rows for block in BLOCKS if block.page.name == "configuration.md" and block.note == "confidence")
    weights = (company.TYPED_USER, company.USER, company.TYPED_NETWORK, company.NETWORK, company.DOMAIN)
    assert [row[0] for row in rows] == [f"`{weight}`" for weight in weights]
    assert f"`{company.AGREEMENT}` more" in (DOCS / "configuration.md").read_text()


def test_every_reason_and_every_provider_is_told() -> None:
    _, *rows = next(block.rows for block in BLOCKS if block.page.name == "events.md" and block.section == "Who is behind it")
    assert {row[0] for row in rows} == {f"`{agent}`" for agent in get_args(Agent)}
    assert [row[1] for row in rows] == [f"`{reason}`" for reason in get_args(Reason)]
    text = (DOCS / "configuration.md").read_text()
    for provider in PROVIDERS:
        assert f"`{provider}`" in text


def test_what_a_badge_takes_is_told() -> None:
    text = (DOCS / "badges.md").read_text()
    for name in (*PARAMETERS, *PERIODS, *STYLES, *CHARTS):
        assert f"`{name}`" in text
    for source, _, _ in FORMS:
        assert f"`{source.partition('{')[0]}" in text


def test_pictures_of_badges_are_what_is_answered() -> None:
    """But for the shapes of logos, which may change with the package that they are from."""

    def without_logo(svg: bytes) -> bytes:
        return re.sub(rb'(?<=<path fill="#)(\w+" d=")[^"]*', rb"\1", svg)

    drawn = list(pictures())
    assert drawn
    for file, said, svg in drawn:
        assert without_logo(file.read_bytes()) == without_logo(svg), f"{file.name}: run tools/badge_pictures.py"
        title = ElementTree.fromstring(svg).attrib["aria-label"]
        assert title.partition(";")[0] == said


def test_kinds_platforms_and_variables_with_a_meaning_are_told() -> None:
    text = (DOCS / "events.md").read_text()
    for name in (*KINDS, *(column.name for column in fields(Meaning)), *PLATFORMS, "$version", "$type", "$referrer"):
        assert f"`{name}`" in text


def test_every_name_of_an_import_and_every_column_of_an_export_is_told() -> None:
    _, *rows = next(block.rows for block in BLOCKS if block.page.name == "import-export.md" and block.note == "import-names")
    assert {name.strip("`") for row in rows for name in row[0].split(", ")} == RESERVED | set(GIVEN_NAMES)
    text = (DOCS / "import-export.md").read_text()
    for name in (*SETS, *SETS["scarf"], *PRESETS):
        assert f"`{name}`" in text or f" {name}`" in text


def test_every_operation_and_every_problem_of_the_api_has_its_row() -> None:
    rows = {tuple(row) for block in BLOCKS if block.page.name == "api.md" and block.language == "table" for row in block.rows}
    found = {
        (f"`{method.upper()} {path.removeprefix(PREFIX)}`", operation["summary"])
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }
    assert found <= rows
    assert {(str(status), words) for status, words in CODES.items()} <= rows


def test_every_metric_and_every_field_of_the_log_has_its_row() -> None:
    head, *rows = next(block.rows for block in BLOCKS if block.page.name == "operations.md" and block.note == "metrics")
    assert head == ["Metric", "Kind", "Labels", "Says"]
    endings = {"counter": "_total"}
    assert rows == [
        [f"`{METRIC}{name}{endings.get(one.kind, '')}`", one.kind, ", ".join(f"`{label}`" for label in one.labels) or "none", one.help]
        for name, one in {**METERS, **LOOKED_AT}.items()
    ]
    fields_told = next(block.rows for block in BLOCKS if block.page.name == "operations.md" and block.rows[0] == ["Field", "Holds"])
    assert [row[0] for row in fields_told[1:]] == [f"`{name}`" for name in LOG_FIELDS]


def test_what_is_recorded_at_most_is_told() -> None:
    for page in ("events.md", "operations.md"):
        text = (DOCS / page).read_text()
        for most in (MAX_TEXT, MAX_NAME, MAX_PARAMETERS):
            assert f"{most:,}" in text


def test_every_client_family_has_its_row() -> None:
    head, *rows = next(block.rows for block in BLOCKS if block.page.name == "containers.md" and block.note == "families")
    say = {True: "redirect", False: "proxy"}
    for row, one in zip(rows, FAMILIES, strict=True):
        product = f"`{one.product}`" + (f" with `{one.marker}`" if one.marker else "")
        always = one.redirect.anonymous and one.redirect.credentials
        assert row == [one.name, product, say[always], say[one.redirect.anonymous], say[one.after_own_ping.anonymous]]
    assert head == ["Client", "User-Agent", "Any image", "A public image", "A public image beside those of another registry"]


def walk(group: click.Group, name: str) -> Iterator[tuple[str, click.Command]]:
    for verb, command in group.commands.items():
        yield f"{name} {verb}", command
        if isinstance(command, click.Group):
            yield from walk(command, f"{name} {verb}")


@pytest.mark.parametrize(
    ("name", "command"), list(walk(commands, "gatewaycore")), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_verb_has_its_heading_and_every_option_its_row(name: str, command: click.Command) -> None:
    assert f"`{name}`" in headings(DOCS / "cli.md")
    tables = [block for block in BLOCKS if block.page.name == "cli.md" and block.section == f"`{name}`" and block.language == "table"]
    rows = {row[0]: row[1] for block in tables if block.rows[0][0] == "Option" for row in block.rows[1:]}
    wanted = {}
    for option in command.params:
        if isinstance(option, click.Option):
            default = option.to_info_dict()["default"]
            said = "off" if option.is_flag else f"`{default}`" if default not in (None, "", ()) else "none"
            wanted[", ".join(f"`{one}`" for one in option.opts)] = said
    assert rows == wanted


# --- examples ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder such as a reader works in: the examples, and one configuration of its own."""
    shutil.copytree(EXAMPLE.parent, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(EXAMPLE, tmp_path / "gateway.yaml")
    # A source that is spoken of.
    (tmp_path / "teams").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTS_FILE", "events.jsonl")
    for name in environment_of(*(path.read_text() for path in EXAMPLE.parent.glob("*.yaml"))):
        monkeypatch.setenv(name, "of the environment")
    return tmp_path


def environment_of(*texts: str) -> set[str]:
    """Return the variables that configurations take values from."""
    return {name for text in texts for name in re.findall(r"-env: (\w+)", text)}


def configured(block: Block, folder: Path) -> Gateway:
    # A Scarf manifest is JSON, and so YAML too.
    file = folder / "documented.yaml"
    file.write_text(block.text)
    return load(file)


@each(blocks("yaml", ""))
def test_configuration_loads(block: Block, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment_of(block.text):
        monkeypatch.setenv(name, "of the environment")
    assert configured(block, here).router.count


@each(blocks("yaml", "fragment"))
def test_fragment_is_yaml(block: Block) -> None:
    assert yaml.safe_load(block.text)


@each(blocks("yaml", "refused"))
def test_configuration_is_refused(block: Block, here: Path) -> None:
    with pytest.raises(ConfigError):
        configured(block, here)


@each(blocks("yaml", "expectations"))
def test_expectations_hold(block: Block, here: Path) -> None:
    file = here / "documented.gateway-test.yaml"
    file.write_text(block.text)
    suite = read_expectations(file)
    gateway = load(suite.config, scarf_hosts=suite.scarf_hosts)
    assert [run_case(gateway, case).differences for case in suite.cases] == [()] * len(suite.cases)


@each([*blocks("yaml", "from"), *blocks("python", "from")])
def test_lines_stand_in_their_file(block: Block) -> None:
    assert block.text in (ROOT / block.note.partition(": ")[2]).read_text()


@pytest.mark.parametrize("page", sorted({block.page for block in blocks("python", "")}), ids=lambda page: page.name)
def test_python_runs(page: Path, here: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "documented"}
    for block in blocks("python", ""):
        if block.page == page:
            exec(compile("\n" * block.line + block.text, str(page), "exec"), namespace)
    gateway = load(here / "gateway.yaml")
    fixtures = {"gateway": gateway, "simulate": partial(simulate, gateway)}
    for name, test in namespace.items():
        if name.startswith("test_"):
            test(**{parameter: fixtures[parameter] for parameter in inspect.signature(test).parameters})


def before(block: Block) -> Block:
    return [one for one in blocks("yaml", "") if one.page == block.page and one.line < block.line][-1]


@each(blocks("table", "requests"))
def test_requests_are_answered_as_written(block: Block, here: Path) -> None:
    file = block.note.partition(": ")[2]
    gateway = load(ROOT / file) if file else configured(before(block), here)
    head, *rows = block.rows
    for row in rows:
        given = {name: cell.replace("`", "") for name, cell in zip(head, row, strict=True)}
        method, _, url = given["Request"].rpartition(" ")
        headers = [line.split(": ", 1) for line in given.get("With", "").split("; ") if line]
        seen = simulate(gateway, method or "GET", url, headers=[(name, value) for name, value in headers])
        answer = f"proxy {seen.upstream}" if seen.upstream else f"{seen.status} {seen.location}" if seen.location else f"{seen.status}"
        assert answer == given["Answer"], given["Request"]
        if "Rule" in given:
            assert (seen.rule or "") == given["Rule"]
        if "Variables" in given:
            found = dict(seen.events[0].variables) if seen.events else {}
            assert ", ".join(f"{name}={value}" for name, value in found.items()) == given["Variables"]


@each(blocks("json", ""))
def test_event_is_an_event(block: Block) -> None:
    assert decode(block.text.encode()).schema == 1


def test_the_readmes_event_is_what_its_request_writes() -> None:
    (written,) = [decode(block.text.encode()) for block in blocks("json", "") if block.page == README]
    (asked,) = re.findall(r"\$ curl -i -H 'Host: (\S+)' http://localhost:8080(\S+)", README.read_text())
    agent = {"User-Agent": written.user_agent or ""}
    (seen,) = simulate(load(EXAMPLE), "GET", f"http://{asked[0]}{asked[1]}", headers=agent, client_ip="127.0.0.1").events
    for column in fields(Event):
        if column.name not in ("id", "time", "origin_id", "endpoint_id"):
            assert getattr(written, column.name) == getattr(seen, column.name)


@frozen
class Command:
    """A line behind "$ ", what is piped into it, and what is written below it."""

    words: list[str]
    stdin: str
    output: str


def read_commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        piped = re.fullmatch(r"printf (\S+) \| (.*)", line)
        yield Command(shlex.split(piped[2] if piped else line), piped[1] if piped else "", output)


def plain(text: str) -> str:
    for pattern, word in _VOLATILE:
        text = pattern.sub(word, text)
    return text.strip("\n")


def runs(block: Block) -> bool:
    return re.search(r"(^\$ |\| )gatewaycore (?!serve|demo|ship|token new)", block.text, re.MULTILINE) is not None


@each([block for block in blocks("console", "") if runs(block)])
def test_commands_print_what_is_written(block: Block, here: Path) -> None:
    for command in read_commands(block):
        if command.words[0] == "cat" and not Path(command.words[1]).exists():
            Path(command.words[1]).write_text(command.output)
        elif command.words[0] == "gatewaycore":
            printed = CliRunner().invoke(commands, command.words[1:], input=command.stdin, prog_name="gatewaycore").output
            wanted = re.escape(plain(command.output)).replace(r"\.\.\.", "(?s:.*)")
            assert re.fullmatch(wanted, plain(printed)), f"{shlex.join(command.words)}\n{printed}"


# --- the whole -----------------------------------------------------------------------------------------------------------


def slug(heading: str) -> str:
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)).strip().lower())


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for found in _LINK.finditer(text):
        target, _, anchor = (found[1] or found[2]).partition("#")
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.is_relative_to(ROOT)
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in map(slug, headings(file)), f"{page.name}: {target}#{anchor}"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_named_files_and_tests_are_there(page: Path) -> None:
    for name, test in _PATH.findall(page.read_text()):
        found = list(ROOT.glob(name.rstrip("/"))) or (name.count("/") == 0 and [*ROOT.glob(f"src/*/**/{name}"), *ROOT.glob(f"docs/{name}")])
        assert found or name in MENTIONED, f"{page.name}: {name}"
        assert not test or re.search(rf"def {test}\b", found[0].read_text()), f"{page.name}: {name}::{test}"


MENTIONED = frozenset({"utils.py", "acme_gateway.py"})
"""Files that there are not: none of ours, and one of a reader's own."""


def test_the_navigation_lists_every_page() -> None:
    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        else:
            for one in entry.values() if isinstance(entry, dict) else entry:
                yield from files(one)

    listed = list(files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(listed) == sorted(page.name for page in DOCS.glob("*.md"))


def sessions() -> tuple[list[str], set[str]]:
    """Return the default sessions of the noxfile, and all of them."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    default: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "nox.options.sessions":
            default = ast.literal_eval(node.value)
    return default, {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}


def test_the_test_command_runs_the_default_sessions() -> None:
    (command,) = [block.text.strip() for block in BLOCKS if block.note == "test-command"]
    assert command == "pip install nox uv && python -m nox"
    default, known = sessions()
    assert {"lint", "typing", "tests", "e2e"} <= set(default) <= known
    tables = [block.rows for block in BLOCKS if block.page.name == "CONTRIBUTING.md" and block.language == "table"]
    said = {row[0]: row[2] for rows in tables if rows[0][0] == "Session" for row in rows[1:]}
    assert said == {f"`{name}`": "yes" if name in default else "no" for name in known}


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[\[>=<~!]", one)[0] for one in project["dependencies"]}
    server = {re.split(r"[\[>=<~!]", one)[0] for one in project["optional-dependencies"]["server"]}
    told = {name for cell in first_column("architecture.md") for name in cell.split(", ")}
    assert wanted | server <= told


@each(blocks("toml", ""))
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


def test_the_changelog_has_this_version() -> None:
    assert any(heading.startswith(f"[{__version__}] - ") for heading in headings(ROOT / "CHANGELOG.md"))
