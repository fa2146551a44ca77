"""Configurations that are read again: what has not changed is neither parsed nor compiled, and everything means the same."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.config import Beside, Config, MadeRule, Reader, Rosters, read_config
from gatewaycore.config.json_source import parse_json_lists
from gatewaycore.config.places import SourceError
from gatewaycore.config.rereading import JSON, YAML, Sheet
from gatewaycore.errors import ConfigError
from gatewaycore.gently import SWITCH_S, gently, let_go
from gatewaycore.testing import simulate

DOCKER = "  - {name: acme/app, type: container, domain: docker.acme.example, backend: ghcr.io/acme/app}\n"


def package(number: int, host: str = "cdn", more: str = "") -> str:
    domain = f"get{number % 3}.acme.example"
    lines = [
        f"- name: tool-{number}",
        "  type: file",
        f"  domain: {domain}",
        f"  incoming-path: /{number}",
        f"  outgoing-url: https://{host}.acme.example/{number}",
    ]
    return "".join(f"  {line}\n" for line in [*lines, *([f"  {more}"] if more else [])])


def document(*packages: str, head: str = "", tail: str = "") -> str:
    return f"{head}packages:\n{''.join(packages)}{tail}"


class Book:
    """A file that is written and read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = Reader(path)

    def read(self, text: str, **options: Any) -> Config:
        self.path.write_text(text)
        return self.reader.read(**options)


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "gateway.yaml")


def leads(config: Config, number: int) -> str | None:
    return simulate(config.compile(), "GET", f"https://get{number % 3}.acme.example/{number}").location


def test_what_has_not_changed_is_kept(book: Book) -> None:
    before = book.read(document(*map(package, range(9))))
    after = book.read(document(*(package(number, "new" if number == 4 else "cdn") for number in range(9))))
    assert [one is other for one, other in zip(before.packages, after.packages, strict=True)] == [number != 4 for number in range(9)]
    assert [leads(after, number) for number in (3, 4)] == ["https://cdn.acme.example/3", "https://new.acme.example/4"]
    # A domain that has the same rules as before has the same index.
    hosts = [config.compile().router._hosts for config in (before, after)]
    assert [hosts[0][name] is hosts[1][name] for name in sorted(hosts[0])] == [True, False, True]
    targets = [
        simulate(config.compile(), "GET", "https://get1.acme.example/.well-known/redirect-targets.json").body for config in (before, after)
    ]
    assert [b"new.acme" in told for told in targets] == [False, True]


@pytest.mark.parametrize("text", ["added", "removed", "moved", "everything", "a comment", "nothing"])
def test_whatever_changes_it_means_the_same(book: Book, text: str) -> None:
    whole = list(map(package, range(6)))
    changed = {
        "added": document(*whole[:3], package(7), *whole[3:]),
        "removed": document(*whole[:2], *whole[4:]),
        "moved": document(*whole[3:], *whole[:3]),
        "everything": document(*(package(number, "new") for number in range(6))),
        "a comment": document(*whole[:3], "  # here\n", *whole[3:]),
        "nothing": document(*whole),
    }[text]
    book.read(document(*whole))
    assert book.read(changed) == read_config(book.path)
    assert book.read(document(*whole)) == read_config(book.path)


def test_what_entries_inherit_counts(book: Book) -> None:
    before = book.read(document(*map(package, range(3))))
    after = book.read(document(*map(package, range(3)), head="gateway: {redirect-status: 301}\n"))
    assert [rule.redirect_status for rule in (*before.packages, *after.packages)] == [302] * 3 + [301] * 3  # type: ignore[attr-defined]
    # Settings that no entry inherits leave them as they are.
    last = book.read(document(*map(package, range(3)), head="gateway: {redirect-status: 301, redirect-targets: false}\n"))
    assert [one is other for one, other in zip(after.packages, last.packages, strict=True)] == [True] * 3
    assert last.compile().targets is None


def test_anchors_are_read_as_a_whole(book: Book) -> None:
    head = "gateway: {redirect-status: &status 307}\n"
    text = document(package(1, more="redirect-status: *status"), package(2), head=head)
    book.read(text)
    assert book.read(text.replace("307", "308")).packages[0].redirect_status == 308  # type: ignore[attr-defined]


def test_a_bad_version_is_told_with_its_line_and_forgotten(book: Book) -> None:
    good = document(*map(package, range(4)))
    book.read(good)
    with pytest.raises(ConfigError) as raised:
        book.read(good.replace("/2\n", "/{\n"))
    assert [problem.where.rpartition("gateway.yaml")[2] for problem in raised.value.problems] == [
        ":15: packages[2].incoming-path",
        ":16: packages[2].outgoing-url",
    ]
    with pytest.raises(ConfigError, match=r"gateway\.yaml:22:1: not YAML"):
        book.read(good.replace("name: tool-1", "name: 'tool-1"))
    assert book.read(good) == read_config(book.path)


def test_rules_that_cannot_be_together_are_told_where_they_stand(book: Book) -> None:
    passed = DOCKER.replace("backend:", "strategy: proxy, backend:")
    other = passed.replace("ghcr.io/acme/app", "quay.io/acme/other").replace("name: acme/app", "name: acme/other")
    good = document(passed, *map(package, range(3)))
    book.read(good)
    # The one that is new is named, and so is the one that was there.
    with pytest.raises(ConfigError, match=r"gateway\.yaml:[0-9]+: packages\["):
        book.read(document(passed, *map(package, range(3)), other))
    with pytest.raises(ConfigError, match=r"gateway\.yaml:2: packages\[0\]\.domain: docker\.acme\.example is the console's"):
        book.read(good + "console: {domain: docker.acme.example}\n")
    assert book.read(good) == read_config(book.path)


def test_protocols_are_joined_anew(book: Book) -> None:
    before = book.read(document(DOCKER, package(1)))
    after = book.read(document(DOCKER, package(2)))
    one, other = (config.compile().router._hosts["docker.acme.example"] for config in (before, after))
    assert one is not other
    assert before.packages[0] is after.packages[0]


def test_json_is_read_again_too(tmp_path: Path) -> None:
    book = Book(tmp_path / "gateway.json")
    packages = [{"name": f"p{n}", "type": "pixel", "domain": "px.acme.example", "incoming-path": f"/{n}"} for n in range(5)]
    before = book.read(json.dumps({"packages": packages, "collections": []}, indent=1))
    packages[2]["incoming-path"] = "/new"
    after = book.read(json.dumps({"packages": packages, "collections": []}, indent=1))
    assert [one is other for one, other in zip(before.packages, after.packages, strict=True)] == [True, True, False, True, True]
    assert after == read_config(book.path)
    packages.append({"name": "last", "type": "pixel", "domain": "px.acme.example", "incoming-path": "/last"})
    assert book.read(json.dumps({"packages": packages, "collections": []}, indent=1)) == read_config(book.path)
    with pytest.raises(ConfigError, match="not JSON"):
        book.read(json.dumps({"packages": packages})[:-2])


@pytest.mark.parametrize("text", ["[1]", "{1: 2}", '{"a": 1} x', '{"a": 1, "a": 2}', '{"a" 1}', '{"a": [1 2]}', "", "NaN"])
def test_json_that_is_no_object_is_told_by_who_reads_all_of_it(text: str) -> None:
    try:
        data, extents = parse_json_lists(text)
    except ValueError:
        return
    assert (data, extents) == ([1], None)


def test_lists_of_another_shape_are_read_as_a_whole(tmp_path: Path) -> None:
    sheet = Sheet.read(YAML, "packages: [a, b, c]\n")
    sheet.know("packages", ["A", "B", "C"])
    assert sheet.read_again("packages: [a, x, c]\n").data == {"packages": ["a", "x", "c"]}
    assert sheet.read_again("[]").data == []
    assert sheet.line("packages", 3) is None
    assert sheet.line("collections", 0) is None
    flow = Sheet.read(JSON, '{"packages": ["a", "b"]}')
    flow.know("packages", ["A", "B"])
    assert flow.read_again('{"packages": ["a", "x"]}').data == {"packages": ["A", "x"]}
    # Behind what was taken away there is a comma, and then nothing.
    with pytest.raises(SourceError):
        flow.read_again('{"packages": ["a",]}')
    block = Sheet.read(YAML, "packages:\n- a\n- b\n- c\n")
    block.know("packages", ["A", "B", "C"])
    # A document's end, and what is no list any more.
    for text in ("packages:\n- a\n---\n- c\n", "packages:\n- a\n: b\n- c\n"):
        with pytest.raises(SourceError):
            block.read_again(text)
    assert block.read_again("packages:\n- a\n- b\n# c\n").data == {"packages": ["A", "b"]}
    large = "x" * 70_000
    long = Sheet.read(YAML, f"packages:\n- {large}\n- b\n- {large}\n")
    long.know("packages", ["A", "B", "C"])
    assert long.read_again(f"packages:\n- {large}\n- new\n- {large}\n").data == {"packages": ["A", "new", "C"]}
    # The piece behind the change is no list by itself.
    assert flow.read_again('{"packages": ["a", "b"], "x": ["c"]}').data == {"packages": ["A", "B"], "x": ["c"]}


def test_other_types_mean_other_rules(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(document(package(1)))
    known = [Rosters(), Rosters()]
    reader = Reader(path, rosters=lambda: known[0])
    first = reader.read()
    assert reader.read().packages[0] is first.packages[0]
    known.reverse()
    assert reader.read().packages[0] is not first.packages[0]


def test_what_was_made_elsewhere_is_kept_as_well(book: Book) -> None:
    made = [
        MadeRule("packages", f"m{n}", {"name": f"m{n}", "type": "pixel", "domain": "px.acme.example", "incoming-path": f"/{n}"})
        for n in (1, 2)
    ]
    before = book.read(document(package(1)), made=made)
    other = MadeRule("packages", "m2", {**made[1].keys, "incoming-path": "/3"})
    after = book.read(document(package(1)), made=[made[0], other])
    assert [one is two for one, two in zip(before.packages, after.packages, strict=True)] == [True, True, False]


# --- documents beside ----------------------------------------------------------------------------------------------------


def test_documents_beside_are_merged_and_the_first_comes_first(book: Book) -> None:
    team = Beside("team.yaml", document(package(2), package(1, "stolen"), package(1, "cdn").replace("tool-1", "other")))
    last = Beside("last.yaml", document(package(2), package(3)))
    config = book.read(document(package(1)), beside=[team, last])
    assert [leads(config, number) for number in (1, 2, 3)] == [f"https://cdn.acme.example/{number}" for number in (1, 2, 3)]
    told = [str(problem).replace(str(book.path), "gateway.yaml") for problem in config.doubled]
    assert told == [
        "team.yaml:7: packages[1]: is left out: get1.acme.example/1 is at gateway.yaml:2: packages[0] already (keep one of the two)",
        "team.yaml:12: packages[2]: is left out: get1.acme.example/1 is at gateway.yaml:2: packages[0] already (keep one of the two)",
        "last.yaml:2: packages[0]: is left out: get2.acme.example/2 is at team.yaml:2: packages[0] already (keep one of the two)",
    ]
    assert [problem.document for problem in config.doubled] == ["team.yaml", "team.yaml", "last.yaml"]
    # Read again, they are known, and left out all the same.
    again = book.read(document(package(1)), beside=[team, last])
    assert (again, len(again.doubled)) == (config, 3)
    # When the first one goes, the next takes its place.
    stolen = Beside("team.yaml", document(package(1, "stolen")))
    assert leads(book.read(document(package(1)), beside=[stolen]), 1) == "https://cdn.acme.example/1"
    assert leads(book.read(document(package(5)), beside=[stolen]), 1) == "https://stolen.acme.example/1"


def test_one_package_is_of_one_document(book: Book) -> None:
    moved = package(1).replace("/1", "/one")
    config = book.read(document(package(1)), beside=[Beside("team.yaml", document(moved))])
    assert [str(one).partition(" is left out: ")[2] for one in config.doubled] == [
        f"the package tool-1 is at {book.path}:2: packages[0] already (keep one of the two)"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gateway: {}\npackages: []\n", "team.yaml:1: gateway: only packages and collections are read here"),
        ("x", "team.yaml: expected a mapping, found 'x'"),
        ("", "team.yaml: there is nothing in it (packages: [] says that there are none)"),
        ("# all of it was taken out\n", "team.yaml: there is nothing in it"),
        ("packages: {a: b}", "team.yaml:1: packages: expected a list"),
        ("packages:\n- {name: x, type: fil}\n", "team.yaml:2: packages[0].type: unknown type 'fil'"),
        ("packages: [", "team.yaml:2:1: not YAML"),
        (
            "packages:\n- {name: a/b, type: container, domain: d.example, backend: ghcr.io/a/b, credentials: {username-env: HOME}}\n",
            "team.yaml:2: packages[0].credentials.username-env: the environment has no HOME",
        ),
    ],
)
def test_what_is_wrong_beside_is_told_with_its_document(book: Book, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        book.read(document(package(1)), beside=[Beside("team.yaml", text, has_environment=False)])
    assert str(raised.value).startswith(told)
    assert {problem.document for problem in raised.value.problems} == {"team.yaml"}
    assert leads(book.read(document(package(1)), beside=[Beside("team.yaml", "packages: []")]), 1)


# --- gently --------------------------------------------------------------------------------------------------------------


def test_heavy_work_lets_others_have_their_turn() -> None:
    before = sys.getswitchinterval()
    with gently():
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    assert (gc.isenabled(), sys.getswitchinterval()) == (True, before)
    gc.disable()
    try:
        with gently():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


def test_pieces_go_from_the_outside_in() -> None:
    gone: list[int] = []

    class Piece:
        def __init__(self, number: int, inner: Piece | None) -> None:
            self.inner = inner
            weakref.finalize(self, gone.append, number)

    pieces: list[Any] = []
    inner: Piece | None = None
    for number in range(3):
        inner = Piece(number, inner)
        pieces.insert(0, inner)
    del inner
    let_go(pieces)
    assert gone == [2, 1, 0]


def test_rules_that_are_let_go_of_need_no_collector(book: Book) -> None:
    """What is frozen is never collected: rules that hold each other would stay for good."""
    collection = 'collections: [{domain: docker.acme.example, pattern: "acme/*", backend: ghcr.io}]\n'
    text = document(DOCKER, *map(package, range(5)), tail=collection)
    gc.collect()
    gc.disable()
    try:
        config = book.read(text)
        rule, hosts = config.packages[1], config.compile().router._hosts
        gone = [weakref.ref(one) for one in (config, rule, hosts["get0.acme.example"].templates)]
        del config, rule, hosts
        book.read(text.replace("cdn", "new").replace("acme/app", "acme/new"))
        assert [one() for one in gone] == [None, None, None]
    finally:
        gc.enable()
