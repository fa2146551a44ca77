"""The house: floors, purity, what is public, what is imported, and the smells that a machine can find."""

from __future__ import annotations

import ast
import configparser
import importlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
PACKAGES = ("gatewaycore", "gatewaycore_asgi", "gatewaycore_wsgi")
# Floors 0 to 4: what decides.
PURE = [
    "errors",
    "headers",
    "marks",
    "request",
    "decision",
    "template",
    "clientip",
    "addresses",
    "privacy",
    "owntraffic",
    "event",
    "route",
    "trie",
    "outgoing",
    "rules",
    "badges",
    "router",
    "targets",
    "gateway",
    "lint",
    "enrich",
]
IMPURE = frozenset(
    [
        "asyncio",
        "cattrs",
        "concurrent",
        "fcntl",
        "glob",
        "httpx",
        "io",
        "locale",
        "logging",
        "msgspec",
        "multiprocessing",
        "pathlib",
        "queue",
        "random",
        "secrets",
        "select",
        "selectors",
        "shutil",
        "signal",
        "sched",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "uuid",
        "yaml",
    ]
)
# Said by the interpreter of itself, or by attrs.
BOUGHT = frozenset({"threading"})


def modules(*under: str) -> Iterator[Path]:
    for name in under:
        path = SRC / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else (path.with_suffix(".py"),)


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Iterate over what a module imports, wherever it does."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.lineno, node.module or ""


def fresh(code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own, which finds our sources and whatever is installed."""
    before = f"import sys; sys.path[:0] = {[str(SRC)]!r}\n"
    return subprocess.run([sys.executable, "-I", *flags, "-c", before + code], capture_output=True, text=True, check=True, timeout=60)


def loaded_by(statement: str) -> set[str]:
    told = fresh(
        f"before = set(sys.modules)\n{statement}\nafter = set(sys.modules)\nimport json\nprint(json.dumps(sorted(after - before)))"
    )
    found: list[str] = json.loads(told.stdout)
    return set(found)


# --- floors --------------------------------------------------------------------------------------------------------------


def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser


def test_imports_keep_the_contracts() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    if not command.exists():
        pytest.skip("needs import-linter: pip install gatewaycore[dev]")
    done = subprocess.run(
        [command, "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC)},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_has_its_floor() -> None:
    floors = contracts()["importlinter:contract:floors"]["layers"]
    named = set(re.findall(r"gatewaycore\.(\w+)", floors))
    rooms = {path.stem for path in (SRC / "gatewaycore").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__", "__main__", "_version"} <= named


def test_what_decides_is_named_in_the_contract() -> None:
    sources = contracts()["importlinter:contract:sans-io"]["source_modules"]
    assert re.findall(r"gatewaycore\.(\w+)", sources) == PURE


# --- purity --------------------------------------------------------------------------------------------------------------


def test_importing_the_gateway_brings_in_nothing_impure() -> None:
    found = {name.partition(".")[0] for name in loaded_by("import gatewaycore.gateway")}
    assert found & IMPURE <= BOUGHT
    assert not found & {"uvicorn", "click", "rich", "maxminddb", "duckdb", "rfc3986", "re2", "uritemplate"}


def test_importing_the_rules_brings_in_nothing_impure() -> None:
    found = {name.partition(".")[0] for name in loaded_by("import gatewaycore.rules, gatewaycore.lint")}
    assert found & IMPURE <= BOUGHT
    assert not found & {"asyncio", "socket", "ssl", "httpx", "yaml", "cattrs"}


# Files are named by paths; the reader of databases is given one, and opens nothing itself. Two rooms read what enrichments are made of.
# One room reads and writes the JSON of indexes, in memory.
EXCUSED = {
    ("gatewaycore/enrich/databases.py", "os"),
    ("gatewaycore/enrich/files.py", "os"),
    ("gatewaycore/rules/indexes/documents.py", "msgspec"),
} | {
    (f"gatewaycore/enrich/{room}.py", name)
    for room, names in (
        ("copies", ("fcntl", "os", "tempfile")),
        ("verdicts", ("fcntl", "os", "signal", "subprocess", "time")),
        ("soundness", ("os",)),
    )
    for name in names
}


@pytest.mark.parametrize("path", list(modules(*(f"gatewaycore/{room}" for room in PURE))), ids=lambda path: str(path.relative_to(SRC)))
def test_what_decides_imports_nothing_impure(path: Path) -> None:
    place = str(path.relative_to(SRC))
    for line, name in imported(ast.parse(path.read_text())):
        top = name.partition(".")[0]
        assert top not in IMPURE | {"os"} or (place, top) in EXCUSED, f"{place}:{line} imports {name}"


@pytest.mark.parametrize("path", list(modules(*(f"gatewaycore/{room}" for room in PURE))), ids=lambda path: str(path.relative_to(SRC)))
def test_what_decides_asks_no_clock_and_opens_no_file(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"open", "input", "print", "exec", "eval", "compile", "__import__", "id.__call__"}, f"line {node.lineno}"
            assert not called.endswith((".now", ".utcnow", ".today")), f"line {node.lineno}"


def test_no_room_keeps_a_registry_that_grows() -> None:
    """Lower-case names of empty collections in a module's body: what is filled in from elsewhere."""
    found = []
    for path in modules(*PACKAGES):
        for node in ast.parse(path.read_text()).body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            empty = (isinstance(value, ast.List | ast.Set) and not value.elts) or (isinstance(value, ast.Dict) and not value.keys)
            if empty and isinstance(target, ast.Name) and not target.id.lstrip("_").isupper():
                found.append(f"{path.relative_to(SRC)}: {target.id}")
    assert found == []


# --- what is public ------------------------------------------------------------------------------------------------------


PUBLIC = {
    "gatewaycore": """Gateway Request Redirect Respond Collect Proxy Outcome Event Headers UrlTemplate Config Service load
        GatewayError ConfigError TemplateError __version__""",
    "gatewaycore.badges": "Badges BadgeSettings Figures FixedNumbers Listing Numbers Package Published Reference chart render",
    "gatewaycore.config": "Config DomainDefaults GatewaySettings Rosters read_config scarf_rules",
    "gatewaycore.enrich": """COLUMNS ENRICHMENTS Caller ClientEnrichment CloudEnrichment Column CompanyEnrichment Enricher Enrichment
        GeoEnrichment Refreshed""",
    "gatewaycore.rules": """RULES CatchAllRule CollectionRule ContainerRule EventRule FileRule InstallRule NpmRule PixelRule
        PythonRule""",
    "gatewaycore.rules.container": "CollectionRule ContainerRule ImageName ImagePattern",
    "gatewaycore.rules.npm": "NpmRegistry NpmRoute NpmRule",
    "gatewaycore.rules.python": "PythonFile PythonIndex PythonRoute PythonRule",
    "gatewaycore.sinks": "SINKS ClickhouseStorage JsonlStorage KafkaStorage LakeStorage NatsStorage PostgresStorage Sink Storage "
    "WebhookStorage",
    "gatewaycore.template": "Expander Matcher Open Tail UrlTemplate Value escape normalise",
    "gatewaycore_asgi": "GatewayApp",
    "gatewaycore_wsgi": "GatewayApp",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_package_exports_is_held(name: str) -> None:
    module = importlib.import_module(name)
    assert set(module.__all__) >= set(PUBLIC[name].split())
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, exported) for exported in module.__all__)
    assert set(module.__all__) <= set(dir(module))


def test_nothing_is_exported_beside_the_list() -> None:
    module = importlib.import_module("gatewaycore")
    assert set(module.__all__) == set(PUBLIC["gatewaycore"].split())
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018 - asking is the test


# DESIGN, "Public names": the dotted path of each, and of what users call on it.
NAMES = [
    "gatewaycore.testing.simulate",
    "gatewaycore.UrlTemplate.parse",
    "gatewaycore.UrlTemplate.match",
    "gatewaycore.UrlTemplate.expand",
    "gatewaycore.Gateway.decide",
    "gatewaycore.privacy.opted_out",
    "gatewaycore.enrich.client.identify",
    "gatewaycore.enrich.client.Client",
    "gatewaycore.enrich.geo.GeoDatabase.open",
    "gatewaycore.enrich.geo.GeoDatabase.lookup",
    "gatewaycore.enrich.geo.Place",
    "gatewaycore.badges.chart",
    "gatewaycore.badges.render",
    "gatewaycore.rules.container.ImageName.parse",
    "gatewaycore.rules.container.ImagePattern.parse",
    "gatewaycore.rules.container.ImagePattern.match",
    "gatewaycore_asgi.GatewayApp.from_file",
    "gatewaycore_wsgi.GatewayApp.from_file",
]


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_where_they_are_said_to_be(name: str) -> None:
    parts = name.split(".")
    found: Any = None
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        break
    assert callable(found)
    assert found.__doc__


@pytest.mark.parametrize("package", PACKAGES)
def test_types_are_published(package: str) -> None:
    assert (SRC / package / "py.typed").exists()


def test_public_classes_say_what_they_are() -> None:
    for name in ("gatewaycore", "gatewaycore.rules", "gatewaycore.enrich", "gatewaycore.sinks"):
        module: ModuleType = importlib.import_module(name)
        for exported in module.__all__:
            found = getattr(module, exported)
            if isinstance(found, type):
                assert (found.__doc__ or "").strip().endswith((".", "]", ")", "url-env``.", '"""')) or ":" in (found.__doc__ or ""), (
                    exported
                )


# --- importing -----------------------------------------------------------------------------------------------------------


def test_importing_gatewaycore_is_cheap(record_property: Any) -> None:
    """Wall time is reported, and only what is imported is asserted: a slow machine is no defect."""
    found = {name.partition(".")[0] for name in loaded_by("import gatewaycore")}
    assert not found & {
        "asyncio", "cattrs", "click", "deltalake", "duckdb", "httpx", "importlib_metadata", "json", "logging", "maxminddb", "msgspec",
        "packaging", "re2", "rfc3986", "rich", "socket", "ssl", "uritemplate", "uvicorn", "yaml",
    }  # fmt: skip
    taken = []
    for _ in range(5):
        report = fresh("import gatewaycore", "-X", "importtime").stderr
        (line,) = re.findall(r"\|\s*(\d+) \| gatewaycore$", report, re.MULTILINE)
        taken.append(int(line))
    record_property("import_gatewaycore_us", median(taken))


@pytest.mark.parametrize("package", [*PACKAGES, "gatewaycore.service", "gatewaycore.testing"])
def test_importing_starts_nothing(package: str, tmp_path: Path) -> None:
    # In a folder that no other test writes to.
    told = fresh(
        f"import threading, os\nos.chdir({str(tmp_path)!r})\n"
        f"before = set(os.listdir('.')), threading.active_count()\nimport {package}\n"
        "print(before == (set(os.listdir('.')), threading.active_count()))"
    )
    assert (told.stdout, told.stderr) == ("True\n", "")


def test_drivers_are_imported_when_they_are_opened() -> None:
    found = {name.partition(".")[0] for name in loaded_by("import gatewaycore.service, gatewaycore.testing")}
    assert not found & {
        "maxminddb",
        "duckdb",
        "deltalake",
        "psycopg",
        "clickhouse_connect",
        "nats",
        "confluent_kafka",
        "uvicorn",
        "click",
        "litestar",
    }


def test_the_core_needs_no_adapter_and_no_server() -> None:
    for path in modules("gatewaycore"):
        if "cli" not in path.parts:
            tops = {name.partition(".")[0] for _, name in imported(ast.parse(path.read_text()))}
            assert not tops & {"gatewaycore_asgi", "gatewaycore_wsgi", "uvicorn", "click", "rich", "starlette"}, path


# --- smells --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", list(modules(*PACKAGES)), ids=lambda path: str(path.relative_to(SRC)))
def test_nothing_is_printed_and_every_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module says what it knows"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in {"print", "pprint"}, f"line {node.lineno}"
        # What a pytest plugin asserts is a test's.
        assert not isinstance(node, ast.Assert) or path.stem == "pytest_plugin", f"line {node.lineno}: no assert on input"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: no bare except"


def test_rooms_have_names() -> None:
    for path in modules(*PACKAGES):
        assert path.stem not in {"utils", "util", "helpers", "common", "manager", "misc", "base"}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                assert not node.name.startswith("Base"), f"{path}: {node.name}"


def test_no_twins_of_asynchronous_functions() -> None:
    for path in modules("gatewaycore"):
        names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert not {name for name in names if f"a{name}" in names}, path


def test_adapters_keep_a_servers_words_to_themselves() -> None:
    for path in modules(*(f"gatewaycore/{room}" for room in PURE)):
        assert not re.search(r"\b(environ|scope|wsgi|asgi)\b[\[.]", path.read_text()), path


def test_one_room_reads_entry_points() -> None:
    readers = [
        path.relative_to(SRC).as_posix()
        for path in modules(*PACKAGES)
        if any(
            name.startswith(("importlib.metadata", "importlib_metadata", "pkg_resources"))
            for _, name in imported(ast.parse(path.read_text()))
        )
    ]
    assert readers == ["gatewaycore/plugins.py"]
    assert re.findall(r'"(rules|sinks|enrichments)": \(', (SRC / "gatewaycore/plugins.py").read_text()) == ["rules", "sinks", "enrichments"]
