"""The project's sessions: ``nox`` runs the default ones, ``nox -s NAME`` one of them.

| session | what it does |
|---|---|
| lint | ruff and import-linter |
| typing | mypy, strict |
| tests | unit, contracts, property, cases, examples and docs, on the oldest and the newest Python that are here |
| e2e | real clients and servers on loopback |
| docs | the documentation, strict |
| pythons | what `tests` runs, on every Python that is here |
| property | the property tests with many more examples |
| agreement | ten million events in the lake: DuckDB and ClickHouse must give the same answers |
| bench | every figure beside its budget |
"""

from __future__ import annotations

import os
import shutil

import nox

nox.options.sessions = ["lint", "typing", "tests", "e2e", "docs"]
# uv fills an environment in seconds where pip takes minutes.
nox.options.default_venv_backend = "uv|virtualenv"
# As pip does: else the first of many processes that begin at once compile the same modules, each for itself.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# They stand for those in between: each takes many minutes.
ENDS = list(dict.fromkeys((PYTHONS[0], next((one for one in reversed(PYTHONS) if shutil.which(f"python{one}")), PYTHONS[0]))))
# Floors 0 to 5: what decides, records and keeps.
HELD = [
    "src/gatewaycore/*.py",
    *(
        f"src/gatewaycore/{room}/*"
        for room in ("rules", "template", "enrich", "badges", "access", "proving", "stats", "synthetic", "sinks", "operations", "sources")
    ),
]
PATHS = ["src", "tests", "examples", "benchmarks", "tools", "noxfile.py"]


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and the direction of imports."""
    session.install("-e", ".[lint]")
    session.run("ruff", "check", *PATHS)
    session.run("ruff", "format", "--check", *PATHS)
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types."""
    session.install("-e", ".[dev]")
    session.run("mypy")


@nox.session(python=ENDS)
def tests(session: nox.Session) -> None:
    """Run everything that needs no other program but those that sinks write to; positional arguments go to pytest.

    Coverage is held on the oldest Python.
    """
    session.install("-e", ".[dev]")
    if session.python != PYTHONS[0] or session.posargs:
        session.run("pytest", "-n", "2", "-m", "not e2e", *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-n", "2", "-m", "not e2e")
    # A server that a test has killed leaves a torn file behind, which is passed over.
    session.run("coverage", "combine", "--quiet", success_codes=[0, 1])
    session.run("coverage", "report")
    session.run("coverage", "report", f"--include={','.join(HELD)}", "--fail-under=99")


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run what `tests` does on every Python that is here; positional arguments go to pytest."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-n", "2", "-m", "not e2e", *session.posargs)


@nox.session
def e2e(session: nox.Session) -> None:
    """Run real clients against real servers; CONTRIBUTING.md says what to install."""
    session.install("-e", ".[dev]")
    # A file at a time: its tests share servers.
    session.run("pytest", "-n", "2", "--dist", "loadfile", "-m", "e2e", "tests/e2e", *session.posargs)
    if not session.posargs:
        # It looks through all that its process holds, so that has run nothing else before.
        session.run("pytest", "-m", "e2e", "tests/property")


@nox.session
def property(session: nox.Session) -> None:
    """Run the property tests with many more examples."""
    session.install("-e", ".[dev]")
    session.run("pytest", "-m", "not e2e", "tests/property", "tests/contracts", *session.posargs, env={"EXAMPLES": "20"})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a broken link is an error."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", "--site-dir", session.create_tmp())


@nox.session
def agreement(session: nox.Session) -> None:
    """Ask ten questions about ten million events of two engines; takes minutes, and some GiB for a while. See tests/agreement.py."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.agreement", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Print each figure beside its budget; positional arguments go to the benchmarks."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "benchmarks", *session.posargs)
