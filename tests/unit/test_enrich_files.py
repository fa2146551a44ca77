"""Files that are replaced while they are asked: taken up, or told of and left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gatewaycore.enrich import files as room
from gatewaycore.enrich.files import Refreshed, Watched, read_text, refresh_all
from gatewaycore.errors import ConfigError, Problem
from tests.networks import replace


def both(paths: Sequence[str]) -> str:
    return "+".join(map(read_text, paths))


@pytest.fixture
def watched(tmp_path: Path) -> Watched[str]:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    return Watched.open({"lists[0]": str(tmp_path / "a"), "lists[1]": str(tmp_path / "b")}, both)


def test_what_stays_is_read_once(watched: Watched[str]) -> None:
    assert watched.value == "a+b"
    value = watched.value
    for _ in range(2):
        assert watched.refresh() == Refreshed()
    assert watched.value is value


def test_another_file_is_read(watched: Watched[str], tmp_path: Path) -> None:
    replace(tmp_path / "b", "other")
    assert watched.refresh() == Refreshed(swapped=True)
    assert watched.value == "a+other"
    assert watched.refresh() == Refreshed()


def test_a_file_of_the_same_size_and_time_is_another_one_all_the_same(watched: Watched[str], tmp_path: Path) -> None:
    import os

    before = (tmp_path / "a").stat()
    replace(tmp_path / "a", "x")
    os.utime(tmp_path / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.refresh().swapped
    assert watched.value == "x+b"


def test_what_cannot_be_used_is_told_once_and_the_old_one_stays(watched: Watched[str], tmp_path: Path) -> None:
    replace(tmp_path / "a", b"\xff\xfe")
    told = watched.refresh()
    assert told.problems == (Problem(str(tmp_path / "a"), "is no text in UTF-8", "unpack it, if it is compressed"),)
    assert not told.swapped
    assert watched.value == "a+b"
    assert watched.refresh() == Refreshed()
    (tmp_path / "a").unlink()
    assert watched.refresh().problems[0].what == "cannot be read: No such file or directory"
    assert watched.refresh() == Refreshed()
    replace(tmp_path / "a", "back")
    assert watched.refresh().swapped
    assert watched.value == "back+b"


def test_several_are_refreshed_whatever_the_first_says(tmp_path: Path) -> None:
    names = [str(replace(tmp_path / name, name)) for name in ("a", "b", "c")]
    every = [Watched([name], both) for name in names]
    assert refresh_all(every) == Refreshed()
    replace(tmp_path / "a", b"\xff")
    replace(tmp_path / "c", "new")
    told = refresh_all(every)
    assert (told.swapped, [problem.where for problem in told.problems]) == (True, [names[0]])
    assert [one.value for one in every] == ["a", "b", "new"]


def test_at_first_a_fault_has_its_key(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(ConfigError, match=r"^lists\[1\]: .*/none cannot be read: No such file or directory$"):
        Watched.open({"lists[0]": str(tmp_path / "a"), "lists[1]": str(tmp_path / "none")}, both)
    with pytest.raises(ConfigError, match="cannot be read"):
        Watched.open({"x": str(tmp_path)}, both)


def test_text_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", 10)
    assert read_text(str(replace(tmp_path / "a", "\ufeff" + "x" * 7))) == "x" * 7
    with pytest.raises(ConfigError, match="is too long"):
        read_text(str(replace(tmp_path / "a", "x" * 11)))


def test_a_path_that_is_none_is_no_file(tmp_path: Path) -> None:
    assert room._stamp("a\0b") is None
    assert room._stamp(str(tmp_path / "none")) is None
