"""Every command reads what a gateway serves: its file, its sources or their last good copies, and what was made in its console."""

from __future__ import annotations

import contextlib
import json
import shutil

import pytest
from click.testing import CliRunner, Result

from gatewaycore import Service, load
from gatewaycore.cli.commands import commands
from gatewaycore.errors import ConfigError
from gatewaycore.following import Follower, open_access
from gatewaycore.locks import is_locked
from gatewaycore.testing import simulate
from tests.unit.test_access import join
from tests.unit.test_sources import GET, House, Site, document, house, leads, package, site  # noqa: F401 - fixtures


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [str(one) for one in arguments])


def explained(house: House, name: str) -> Result:  # noqa: F811
    return run("explain", house.file, f"https://{GET}/{name}", "--data-dir", house.folder / "data", "--json")


def where(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return str(json.loads(result.stdout)["location"])


@pytest.fixture
def served(house: House, site: Site) -> House:  # noqa: F811
    """A gateway with a folder of teams and a URL, that has run once."""
    site.put("/rules.yaml", document(package("far")))
    sources = f"[{{type: directory, path: '{house.teams}'}}, {{type: http, url: '{site.url}/rules.yaml'}}]"
    more = "badges: {domains: [b.acme.example], packages: [near]}\n"
    house.write(package("own"), sources=sources, more=f"{more}gateway: {{data-dir: '{house.folder}/data'}}\n")
    house.team("a.yaml", package("near"))
    house.open()
    house.close()
    house._opened.clear()
    return house


# --- commands ------------------------------------------------------------------------------------------------------------


def test_every_command_sees_the_sources(served: House) -> None:
    for name in ("own", "near", "far"):
        told = explained(served, name)
        assert where(told) == f"https://cdn.acme.example/{name}"
        assert told.stderr == ""
    listed = run("packages", served.file)
    assert [name in listed.stdout for name in ("own", "near", "far")] == [True] * 3
    (served.teams / "b.yaml").write_text(document(package("more").replace(GET, "more.acme.example")))
    assert "more.acme.example" in run("domains", "list", served.file).stdout
    # Those that need no rules do not stumble over a badge of a package that stands in a source.
    for command in (("journal", "stat", served.file), ("imports", "-c", served.file), ("export", "-c", served.file)):
        told = run(*command)
        assert told.exit_code == 0, told.output
    (served.folder / "events.jsonl").write_text('{"$time": "2026-10-05T08:30:00Z", "event": "start"}\n')
    told = run("import", served.folder / "events.jsonl", "-c", served.file, "--package", "far", "--dry-run")
    assert told.exit_code == 0, told.output
    (served.folder / "x.gateway-test.yaml").write_text(
        f"config: gateway.yaml\ntests: [{{request: 'GET https://{GET}/near', expect: {{status: 302}}}}]\n"
    )
    assert run("test", served.folder / "x.gateway-test.yaml").exit_code == 0
    assert simulate(load(served.file), "GET", f"https://{GET}/far").status == 302


def test_what_cannot_be_reached_is_read_from_its_copy(served: House, site: Site, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    site.put("/rules.yaml", "", 503)
    told = explained(served, "far")
    assert where(told) == "https://cdn.acme.example/far"
    said = f"{site.url}/rules.yaml: warning: rules.yaml is answered 503; the last good copy is read\n"
    assert told.stderr == said
    checked = run("check", served.file)
    assert checked.exit_code == 0
    assert "warning: stale: rules.yaml is answered 503; the last good copy is read" in checked.output
    assert run("diff", served.file, served.file).exit_code == 0
    load(served.file)
    assert caplog.text.count("the last good copy is") == 3
    # Nobody has noted anything: the next one asks again.
    site.put("/rules.yaml", document(package("far", "new")))
    told = explained(served, "far")
    assert (where(told), told.stderr) == ("https://new.acme.example/far", "")
    shutil.rmtree(served.folder / "data")
    site.put("/rules.yaml", "", 503)
    told = run("packages", served.file)
    assert told.exit_code == 2
    assert "rules.yaml is answered 503, and there is no copy of it" in told.stderr
    assert "once it has given rules, a copy of them is kept" in told.stderr
    assert not (served.folder / "data").exists()


def test_what_is_bad_is_read_from_its_copy_and_told_by_check(served: House, site: Site) -> None:  # noqa: F811
    (served.teams / "a.yaml").write_text("packages: 3\n")
    site.put("/rules.yaml", "<!doctype html><title>Sign in</title>")
    told = explained(served, "near")
    assert where(told) == "https://cdn.acme.example/near"
    assert f"{served.teams}/a.yaml:1: packages: warning: expected a list" in told.stderr
    assert f"{site.url}/rules.yaml: warning: expected a mapping, found '<!doctype html>" in told.stderr
    assert told.stderr.count("the last good copy is read") == 2
    checked = run("check", served.file)
    assert checked.exit_code == 2
    assert f"{served.teams}/a.yaml:1: packages: error: expected a list" in checked.output
    for command in (("diff", served.file, served.file), ("test", served.folder)):
        assert run(*command).exit_code == 2


def test_who_ships_keeps_nobody_from_asking_urls(served: House, monkeypatch: pytest.MonkeyPatch) -> None:
    text = served.file.read_text().replace("sinks: []", f"sinks: [{{type: jsonl, path: '{served.folder}/out.jsonl'}}]")
    served.file.write_text(text)
    (lock,) = served.folder.glob("data/sources/*/lock")
    seen: list[bool] = []
    monkeypatch.setattr("gatewaycore.shipper.Shipper.run", lambda *_: seen.append(is_locked(lock)))
    assert run("ship", served.file).exit_code == 0
    assert seen == [False]


# --- processes that are started meanwhile --------------------------------------------------------------------------------


def test_who_starts_while_a_source_is_bad_takes_its_copy(served: House, site: Site, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    (served.teams / "a.yaml").write_text("packages: 3\n")
    served.team("b.yaml", package("b"))
    site.put("/rules.yaml", document(package("far", "new").replace("type: file", "type: fil")))
    service = served.open()
    assert [leads(service, name) for name in ("own", "near", "b", "far")] == ["cdn"] * 4
    _, teams, url = service.sources
    assert "a.yaml:1: packages: expected a list" in teams.error
    assert "unknown type 'fil'" in url.error
    assert "what was served before stays" in caplog.text
    # When they are mended, it goes on.
    served.team("a.yaml", package("near", "new"))
    site.put("/rules.yaml", document(package("far", "new")))
    assert service.rulebook is not None
    assert service.rulebook.feeds[1].ask()  # type: ignore[attr-defined]
    assert service.reload()
    assert [leads(service, name) for name in ("near", "far")] == ["new", "new"]
    assert [one.error for one in service.sources] == [""] * 3
    served.close()
    served._opened.clear()
    # The copies go with what is served: a file that was deleted is in none.
    (served.teams / "b.yaml").unlink()
    served.open()
    shutil.rmtree(served.teams)
    again = Service.from_file(served.file, served.folder / "data")
    served._opened.append(again)
    assert [leads(again, name) for name in ("near", "b")] == ["new", None]
    assert "cannot be read: No such file" in again.sources[1].error


def test_who_starts_with_something_new_and_bad_says_so(served: House) -> None:
    served.team("new.yaml", "x: {")
    with pytest.raises(ConfigError, match=r"new\.yaml"):
        served.open()
    served.file.write_text("packages: 3")
    with pytest.raises(ConfigError, match="expected a list"):
        served.open()


def test_copies_are_nobody_elses(served: House) -> None:
    folders = [served.folder / "data", *(one for one in (served.folder / "data" / "sources").rglob("*") if one.is_dir())]
    files = [one for one in (served.folder / "data" / "sources").rglob("*") if one.is_file()]
    assert len(files) >= 3
    assert {one.stat().st_mode & 0o777 for one in folders} == {0o700}
    assert {one.stat().st_mode & 0o777 for one in files if one.name != "lock"} == {0o600}


# --- what was made in the console ----------------------------------------------------------------------------------------


def test_what_was_made_in_the_console_is_seen_and_what_is_left_out_is_told(house: House) -> None:  # noqa: F811
    data = house.folder / "data"
    house.write(package("own"), more=f"console: {{domain: console.acme.example}}\ngateway: {{data-dir: '{data}'}}\n")
    assert explained(house, "made").exit_code == 0
    assert not data.exists()
    service = house.open()
    made = {"type": "file", "incoming-path": "/made", "outgoing-url": "https://cdn.acme.example/made"}
    with contextlib.closing(open_access(service.config, service.data)) as access:
        follower = Follower(service, access)
        follower.look()
        boss = join(access, "boss", operator=True)
        access.groups.create("labs", by=boss)
        access.groups.create("rival", by=boss)
        access.domains.create("own.labs.example", "labs", boss)
        access.domains.create("held.labs.example", "rival", boss)
        access.domains.vouch("held.labs.example", "rival", boss)
        access.holdings.create("package", "made", "home", {**made, "name": "made", "domain": GET}, follower.check, boss)
        for name in ("own", "nobody", "held"):
            one = {**made, "name": f"labs-{name}", "domain": f"{name}.labs.example"}
            access.holdings.create("package", one["name"], "labs", one, follower.check, boss)
        assert follower.look()
        held = [one.why for one in service.held_back]
        assert held == [
            "labs-own: domain: own.labs.example is not proved to be labs's"
            " (gatewaycore domains instructions FILE own.labs.example tells the records to set)",
            "labs-nobody: domain: nobody.labs.example is not said to be labs's"
            " (gatewaycore domains add FILE nobody.labs.example --organisation labs says so, and tells the records to set)",
            "labs-held: domain: held.labs.example is another organisation's (a domain that is its own)",
        ]
        assert [why in told for told, why in zip(service.sources[-1].doubled, held, strict=True)] == [True] * 3
        assert service.left_out == ()
        access.domains.vouch("own.labs.example", "labs", boss)
        assert follower.look()
        assert len(service.held_back) == len(service.sources[-1].doubled) == 2
    told = explained(house, "made")
    assert where(told) == "https://cdn.acme.example/made"
    assert told.stderr == "2 definitions of the console are left out: gatewaycore check tells which, and why\n"
    assert "labs-own" in run("packages", house.file).stdout
    checked = run("check", house.file)
    assert checked.exit_code == 0
    assert "labs-nobody: domain: warning: left-out: nobody.labs.example is not said to be labs's" in checked.output
    (data / "console.sqlite3").write_text("no database")
    told = explained(house, "own")
    assert where(told) == "https://cdn.acme.example/own"
    assert "what was made in the console is not seen: " in told.stderr


def test_check_asks_no_other_machine(house: House) -> None:  # noqa: F811
    state = "console: {domain: console.acme.example, state: 'postgresql://nobody:secret@127.0.0.1:1/none'}\n"
    house.write(package("own"), more=state)
    told = run("check", house.file)
    assert told.exit_code == 0, told.output
    assert "nothing wrong, nothing odd" in told.output
    assert "what was made in the console is not seen: " in explained(house, "own").stderr
