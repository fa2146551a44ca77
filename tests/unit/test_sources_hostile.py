"""Sources that break while they are served: the last good rules stay, what is wrong is told with its place, and what is mended is taken."""

from __future__ import annotations

import errno
import logging
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest
from attrs import evolve

from gatewaycore.errors import ConfigError
from gatewaycore.rulebook import Standing
from gatewaycore.sources import files as files_room
from gatewaycore.sources import http as http_room
from gatewaycore.sources.copies import write_whole
from gatewaycore.sources.fetching import FetchError, fetch
from gatewaycore.sources.http import HttpFeed, HttpSource
from gatewaycore.watching import Watcher
from tests.unit.test_sources import House, Site, document, from_site, house, leads, package, site, until  # noqa: F401 - fixtures


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- files and folders ---------------------------------------------------------------------------------------------------


def becomes_nothing(path: Path) -> None:
    path.write_bytes(b"")


def becomes_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def leads_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.yaml")


def becomes_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def becomes_binary(path: Path) -> None:
    path.write_bytes(b"\x00\xff")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (becomes_nothing, "there is nothing in it (packages: [] says that there are none)"),
        (becomes_a_folder, "cannot be read: Is a directory"),
        (leads_nowhere, "cannot be read: No such file or directory"),
        (becomes_a_pipe, "cannot be read: it is no file"),
        (becomes_binary, "not UTF-8 at byte 1"),
    ],
)
def test_a_file_that_is_spoilt_holds_up_no_other(house: House, spoil: Callable[[Path], None], told: str) -> None:  # noqa: F811
    house.write(package("own"))
    path = house.team("a.yaml", package("a"))
    house.team("b.yaml", package("b"))
    service = house.open()
    spoil(path)
    house.team("b.yaml", package("b", "new"))
    assert service.reload()
    assert [leads(service, name) for name in ("a", "b")] == ["cdn", "new"]
    assert service.sources[1].error == f"{path}: {told}"
    # Whoever is started meanwhile has the copy.
    again = house.open()
    assert [leads(again, name) for name in ("a", "b")] == ["cdn", "new"]
    assert again.sources[1].error == f"{path}: {told}"
    path.rmdir() if path.is_dir() else path.unlink()
    house.team("a.yaml", package("a", "newer"))
    assert service.reload()
    assert (leads(service, "a"), service.sources[1].error) == ("newer", "")


def test_a_change_is_seen_whatever_its_time_and_size(house: House) -> None:  # noqa: F811
    house.write(package("own"))
    path = house.team("a.yaml", package("a", "cdn"))
    service = house.open()
    assert service.rulebook is not None
    before, seen = path.stat(), service.rulebook.signature()
    path.write_text(document(package("a", "new")))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert service.rulebook.signature() != seen
    assert service.reload()
    assert leads(service, "a") == "new"
    # So is one of who may read it.
    seen = service.rulebook.signature()
    path.chmod(0)
    assert service.rulebook.signature() != seen


def test_a_folder_with_no_files_any_more_leaves_its_rules(house: House) -> None:  # noqa: F811
    house.write(package("own"))
    path = house.team("a.yaml", package("a"))
    service = house.open()
    path.unlink()
    assert service.reload()
    assert leads(service, "a") == "cdn"
    assert service.sources[1].error == f"{house.teams}: holds no files any more (a file with packages: [] in it says that there are none)"
    assert leads(house.open(), "a") == "cdn"
    (house.teams / "none.yaml").write_text("packages: []\n")
    assert service.reload()
    assert (leads(service, "a"), service.sources[1].error) == (None, "")


def test_links_that_are_swapped_all_at_once_are_followed(house: House) -> None:  # noqa: F811
    # As Kubernetes puts a new ConfigMap in the place of another.
    house.write(package("own"))
    for number, to in enumerate(("cdn", "new"), 1):
        (house.teams / f"..{number}").mkdir()
        (house.teams / f"..{number}" / "a.yaml").write_text(document(package("a", to)))
    (house.teams / "..data").symlink_to("..1")
    (house.teams / "a.yaml").symlink_to("..data/a.yaml")
    service = house.open()
    house.watch(service)
    (house.teams / "..tmp").symlink_to("..2")
    os.replace(house.teams / "..tmp", house.teams / "..data")
    until(lambda: leads(service, "a") == "new")


def test_without_room_for_copies_rules_are_served(
    house: House,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house.write(package("own"))
    house.team("a.yaml", package("a"))
    monkeypatch.setattr(files_room, "write_whole", no_room)
    service = house.open()
    house.team("a.yaml", package("a", "new"))
    assert service.reload()
    assert leads(service, "a") == "new"
    assert caplog.text.count("no copies can be kept for whoever starts while it is bad: No space left on device") == 1
    monkeypatch.undo()
    assert service.reload()
    (house.teams / "a.yaml").write_text("packages: 3")
    assert leads(house.open(), "a") == "new"


def test_halves_of_files_are_no_copies(house: House) -> None:  # noqa: F811
    house.write(package("own"))
    path = house.team("a.yaml", package("a"))
    house.open()
    copy = next(house.folder.glob("data/sources/*/a.yaml"))
    half = copy.with_name("b.yaml.1.new")
    half.write_text("packages:")
    path.write_text("packages: 3")
    assert leads(house.open(), "a") == "cdn"
    assert half.exists()
    # What cannot be put in its place is not left beside it.
    copy.unlink()
    copy.mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(copy, b"packages: []")
    assert sorted(one.name for one in copy.parent.iterdir()) == ["a.yaml", "b.yaml.1.new"]


# --- http ----------------------------------------------------------------------------------------------------------------


def opened(house: House, site: Site) -> tuple[House, HttpFeed]:  # noqa: F811
    site.put("/rules.yaml", document(package("a")))
    house.write(package("own"), sources=from_site(site))
    service = house.open()
    assert service.rulebook is not None
    (feed,) = service.rulebook.feeds
    assert isinstance(feed, HttpFeed)
    return house, feed


def test_what_arrives_while_rules_are_read_is_not_taken_unread(house: House, site: Site) -> None:  # noqa: F811
    _, feed = opened(house, site)
    service = house._opened[0]
    site.put("/rules.yaml", document(package("a", "new")))
    assert feed.ask()
    trial = service.rulebook.read()
    site.put("/rules.yaml", "packages: 3")
    assert feed.ask()
    service.rulebook.take(trial)
    assert "new.acme.example" in next(house.folder.glob("data/sources/*/good.yaml")).read_text()
    assert service.reload()
    assert "expected a list" in service.sources[1].error
    assert leads(service, "a") == "new"


def test_what_arrives_while_the_file_is_bad_is_served_when_that_is_mended(house: House, site: Site) -> None:  # noqa: F811
    _, feed = opened(house, site)
    service = house._opened[0]
    house.file.write_text("packages: 3")
    site.put("/rules.yaml", document(package("a", "new")))
    assert feed.ask()
    feed._etag = ""
    assert not feed.ask()
    assert not service.reload()
    house.write(package("own"), sources=from_site(site))
    # It has been asked, and says that nothing has changed.
    assert not feed.ask()
    assert service.reload()
    assert leads(service, "a") == "new"
    assert [one.error for one in service.sources] == ["", ""]


def test_what_does_not_go_with_others_is_served_when_they_have_changed(house: House, site: Site) -> None:  # noqa: F811
    image = "  - {name: acme/%s, type: container, domain: docker.acme.example, strategy: proxy, backend: %s/acme/%s}\n"
    site.put("/rules.yaml", document(package("a")))
    sources = f"[{{type: directory, path: '{house.teams}'}}, {{type: http, url: '{site.url}/rules.yaml'}}]"
    house.write(package("own"), sources=sources)
    house.team("b.yaml", image % ("b", "ghcr.io", "b"))
    service = house.open()
    site.put("/rules.yaml", document(package("a", "new"), image % ("c", "quay.io", "c")))
    assert service.rulebook is not None
    assert service.rulebook.feeds[1].refresh()
    assert service.reload()
    assert (leads(service, "a"), "comes from ghcr.io" in service.sources[2].error) == ("cdn", True)
    house.team("b.yaml", package("b"))
    assert service.reload()
    assert (leads(service, "a"), service.sources[2].error) == ("new", "")


def test_who_is_asked_to_read_again_asks_urls_too(house: House, site: Site, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    opened(house, site)
    service = house._opened[0]
    watcher = Watcher(service, watches=False)
    site.put("/rules.yaml", document(package("a", "new")))
    watcher.ask()
    assert watcher.look()
    assert watcher._wake.is_set()
    assert watcher.look()
    assert leads(service, "a") == "new"
    site.put("/rules.yaml", "", 500)
    for _ in range(2):
        watcher.ask()
        assert watcher.look()
    # Told once for each reason.
    assert caplog.text.count("rules.yaml is answered 500; what was served before stays") == 1
    assert (service.sources[1].is_stale, leads(service, "a")) == (True, "new")


def test_the_other_processes_of_a_node_know_what_is_wrong(house: House, site: Site) -> None:  # noqa: F811
    _, feed = opened(house, site)
    first, second = house._opened[0], house.open()
    site.put("/rules.yaml", "packages: 3")
    assert feed.ask()
    assert first.reload()
    assert second.sources[1].error == first.sources[1].error != ""
    assert [one.is_stale for one in (first.sources[1], second.sources[1])] == [False, False]
    site.put("/rules.yaml", document(package("a")))
    assert feed.ask()
    assert first.reload()
    assert [one.sources[1].error for one in (first, second)] == ["", ""]


def test_without_room_what_a_url_gives_is_served(
    house: House,  # noqa: F811
    site: Site,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, feed = opened(house, site)
    service = house._opened[0]
    monkeypatch.setattr(http_room, "write_whole", no_room)
    site.put("/rules.yaml", document(package("a", "new")))
    assert feed.ask()
    for _ in range(2):
        assert service.reload()
        assert leads(service, "a") == "new"
    assert "no copy of it can be kept: No space left on device" in caplog.text
    assert not feed.ask()
    site.put("/rules.yaml", "", 500)
    with pytest.raises(FetchError):
        feed.ask()
    assert service.sources[1].is_stale


def test_redirects_and_impossible_urls(site: Site) -> None:  # noqa: F811
    with pytest.raises(FetchError, match="it cannot be fetched: InvalidURL"):
        fetch(HttpSource(url="http://a\x00.example/"))
    site.put("/r", "", 302)
    with pytest.raises(FetchError, match="r is answered 302, and redirects are not followed"):
        fetch(HttpSource(url=f"{site.url}/r"))


def test_a_tag_beyond_ascii_is_asked_past(house: House, site: Site) -> None:  # noqa: F811
    site.tag = '"caf\xe9"'
    _, feed = opened(house, site)
    assert not feed.ask()
    site.put("/rules.yaml", document(package("a", "new")))
    assert feed.ask()


def test_whatever_goes_wrong_a_url_is_asked_again(
    house: House,  # noqa: F811
    site: Site,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, feed = opened(house, site)
    monkeypatch.setattr(http_room, "random", SimpleNamespace(uniform=lambda *_: 0.01))
    asks = [RuntimeError("of a client"), OSError(errno.EMFILE, "no more files"), None]
    asked, stop, woken = Event(), Event(), Event()

    def ask() -> bool:
        error = asks.pop(0) if asks else None
        if error is not None:
            raise error
        asked.set()
        return True

    monkeypatch.setattr(feed, "ask", ask)
    thread = Thread(target=feed.run, args=(stop, woken.set))
    thread.start()
    assert woken.wait(30)
    stop.set()
    thread.join()
    assert asked.is_set()
    assert "of a client" not in caplog.text
    assert caplog.text.count("what was served before stays") == 2
    asks.append(RuntimeError())
    assert not feed.refresh()


def test_a_copy_that_was_taken_without_a_signature_is_no_signed_one(site: Site, tmp_path: Path) -> None:  # noqa: F811
    site.put("/rules.yaml", "packages: []")
    source = HttpSource(url=f"{site.url}/rules.yaml")
    feed = source.open(tmp_path)
    feed.settle(feed.documents(), "")
    feed.close()
    assert source.peek(tmp_path).kept()
    signed = evolve(source, public_key=b64encode(b"k" * 32).decode())
    for look_at in (signed.open, signed.peek):
        with pytest.raises(ConfigError, match=r"rules.yaml.sig is answered 404, and there is no copy of it"):
            look_at(tmp_path)


def test_what_stands_in_a_query_is_not_told(site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    # As serve has it: httpx itself tells every URL.
    caplog.set_level(logging.WARNING, "httpx")
    source = HttpSource(url=f"{site.url}/rules.yaml?sig=s3cret")
    with pytest.raises(ConfigError) as raised:
        source.open(tmp_path)
    site.put("/rules.yaml?sig=s3cret", "packages: []")
    feed = source.open(tmp_path)
    (document,) = feed.documents()
    feed.settle([document], "")
    site.answers.clear()
    assert not feed.refresh()
    feed.close()
    told = f"{raised.value}{feed.place}{document.name}{feed.kept()[0].name}{feed.error}{caplog.text}"
    assert "s3cret" not in told
    assert feed.place == document.name != HttpSource(url=f"{site.url}/rules.yaml?sig=other").place


@pytest.mark.parametrize("token", ["caf\xe9", "a\nb: c"])
def test_a_token_that_no_field_may_hold(token: str) -> None:
    with pytest.raises(ConfigError, match="token: it holds what no field may hold"):
        HttpSource(url="https://rules.acme.example/r.yaml", token=token)


def test_the_first_words_hold_nothing_that_was_found() -> None:
    standing = Standing("directory", "teams", error="teams/a.yaml: expected a mapping, found 'hunter2' (it begins with packages:)")
    assert standing.words == "teams/a.yaml: expected a mapping, found text"
