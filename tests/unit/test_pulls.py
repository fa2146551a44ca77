"""Pulls: one event for each real pull, whatever the client asks for on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
from attrs import evolve

from gatewaycore import manifests
from gatewaycore import pulls as room
from gatewaycore.event import Event
from gatewaycore.pulls import OPEN_MS, QUIET_MS, Pulls, derive, pull_id, recorded_ms
from tests.pulling import AGENTS, DOMAIN, IMAGE, START_MS, Clock, digest, steps


def told(events: Sequence[Event]) -> list[tuple[str | None, str | None]]:
    """Return the tag of each pull, and what its digest is called."""
    names = {digest(name): name for name in ("T", "U", "V", "c", "d", "e", "T-amd64", "U-amd64", "T-arm64")}
    found = sorted(derive(events), key=lambda event: event.time)
    return [(pull.variables.get("tag"), names.get(pull.variables.get("digest", ""))) for pull in found]


def asked(*steps: str, gap: int = 10, agent: str = "") -> list[tuple[str | None, str | None]]:
    return told(Clock().ask(*steps, gap=gap, user_agent=agent or None).events)


# --- clients -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("several", [False, True], ids=["one architecture", "several"])
@pytest.mark.parametrize("is_told", [False, True], ids=["redirected", "proxied"])
@pytest.mark.parametrize("client", AGENTS)
def test_twenty_pulls_in_a_row_are_twenty(client: str, is_told: bool, several: bool) -> None:
    clock = Clock()
    for number in range(20):
        clock.ask(*steps(client, "U" if number % 4 == 3 else "T", told=is_told, several=several), user_agent=AGENTS[client])
    found = told(clock.events)
    assert Counter(tag for tag, _ in found) == {"T": 15, "U": 5}
    if is_told or client in ("dockerd", "containerd"):
        assert {(tag, name) for tag, name in found} == {("T", "T"), ("U", "U")}
    elif several:
        # Where the answer was not seen, the architecture that was chosen is all that is known.
        assert {(tag, name) for tag, name in found} == {("T", "T-amd64"), ("U", "U-amd64")}
    else:
        assert {name for _, name in found} == {None}


@pytest.mark.parametrize("begin", [["ping"], ["ping", "HEAD D:T"], ["HEAD D:T"], []])
def test_by_digest(begin: list[str]) -> None:
    pull = [*begin, "D:T", "D:c", "blob 1"]
    assert asked(*pull, *pull, *pull) == [(None, "T")] * 3


def test_different_digests_one_after_another() -> None:
    pulls = [["ping", f"D:{name}", f"blob {name}"] for name in ("T", "U", "V")]
    assert asked(*pulls[0], *pulls[1], *pulls[2]) == [(None, "T"), (None, "U"), (None, "V")]
    # Without a blob between them, time tells.
    assert asked("ping", "D:T", "ping", "D:U", gap=600) == [(None, "T"), (None, "U")]


def test_head_alone_is_no_pull() -> None:
    assert asked("HEAD T", "HEAD T", "ping", "HEAD D:T") == []


def test_a_head_that_led_to_nothing_lends_its_tag_to_nobody() -> None:
    assert asked("HEAD T", "HEAD T", "HEAD U", "D:U") == [("U", "U")]
    assert asked("HEAD T=D:T", "HEAD U=D:U", "D:U", "HEAD V=D:V", "HEAD T=D:T", "D:V") == [("U", "U"), ("V", "V")]


def test_head_and_get_of_one_reference() -> None:
    assert asked("HEAD T", "T", "HEAD T", "T=D:T") == [("T", None), ("T", "T")]


def test_refused_requests_belong_to_none() -> None:
    assert asked("HEAD T!401", "HEAD T", "D:T!401", "D:T!401", "D:T") == [("T", "T")]
    assert asked("ping", "T!401", "T", "D:c") == [("T", "c")]
    assert asked("ping", "T!404", "T!500", "T!0", "HEAD D:T!404") == []


def test_tags_are_asked_for_with_a_ping_of_their_own() -> None:
    inspect = ["ping", "T", "D:c", "blob 1", "ping", "tags"]
    assert asked(*inspect, *inspect, gap=600) == [("T", "c")] * 2


def test_a_second_architecture_is_a_second_pull() -> None:
    # containerd keeps the index.
    first = ["HEAD T=D:T", "D:T", "D:c", "blob 1"]
    assert asked(*first, "HEAD T=D:T", "D:d", "blob 2") == [("T", "T")] * 2


def test_a_tag_that_has_moved() -> None:
    assert asked("HEAD T", "D:U", "blob 1", "HEAD T", "D:V", "blob 2") == [("T", "U"), ("T", "V")]
    assert asked("HEAD T", "D:U", "HEAD T", "D:V", gap=2_100) == [("T", "U"), ("T", "V")]


def test_a_pull_whose_manifest_was_still_there() -> None:
    first = ["ping", "HEAD T", "D:T", "D:c", "blob 1", "blob 2"]
    second = ["ping", "HEAD T", "blob 1", "blob 2", "blob 2 bytes=5-"]
    assert asked(*first, *second, *first, *second) == [("T", "T")] * 4
    assert asked("HEAD T=D:T", "blob 1", "blob 2") == [("T", "T")]
    (pull,) = derive(Clock().ask("HEAD T", "blob 1").events)
    assert (pull.method, pull.status, pull.decision) == ("GET", 302, "redirect")


def test_a_head_takes_nobodys_blobs() -> None:
    clock = Clock().ask("HEAD T=D:T", "D:T", "blob 1", "HEAD T=D:T", "blob 2", "blob 3", "blob 2 bytes=7-")
    assert told(clock.events) == [("T", "T")]
    # Nor what was not found, nor a HEAD of a blob.
    clock.add("blob", clock.now, variables={"digest": digest("2")}, status=404)
    clock.add("blob", clock.now, variables={"digest": digest("2")}, method="HEAD")
    clock.add("blob", clock.now, variables={"digest": "sha256:none"})
    assert told(clock.events) == [("T", "T")]


def test_blobs_alone_are_nothing() -> None:
    assert asked("blob 1", "blob 2", "tags") == []
    assert asked("ping", "T", "blob 1", "blob 1", "blob 2") == [("T", None)]


def test_what_comes_twice_after_a_broken_connection_is_no_second_pull() -> None:
    assert asked("HEAD T", "D:T", "D:T", "D:c", "D:c") == [("T", "T")]
    assert asked("ping", "T", "D:c", "D:c") == [("T", "c")]
    # Who begins with nothing is believed for a moment.
    assert asked("T", "D:c", "D:c") == [("T", "c")]
    assert asked("T", "D:c", "D:c", gap=2_100) == [("T", "c"), (None, "c")]


def test_all_architectures_between_their_blobs() -> None:
    found = asked("ping", "T=D:T", "D:c", "blob 1", "D:d", "blob 2", "D:e", "blob 3", gap=20_000)
    assert found == [("T", "T")]


def test_a_very_large_index_is_read_to_its_end() -> None:
    children = [f"D:{number}" for number in range(manifests._MOST_GOT + 5)]
    blobs = [f"blob {number}" for number in range(manifests._MOST_BLOBS + 5)]
    assert asked("ping", "T=D:T", *children, *blobs) == [("T", "T")]


# --- machines behind one address -----------------------------------------------------------------------------------------


def test_they_pull_one_image_at_the_same_moment() -> None:
    assert asked("ping", "ping", "T", "T", "D:c", "D:c", "blob 1", "blob 1") == [("T", "c")] * 2
    assert asked("HEAD T", "HEAD T", "HEAD T", "D:T", "D:T", "D:c", "D:T", "D:c", "D:c") == [("T", "T")] * 3
    assert asked("ping", "T", "ping", "D:c", "T", "D:c") == [("T", "c")] * 2
    assert asked("HEAD T=D:T", "HEAD U=D:U", "D:U", "D:T") == [("T", "T"), ("U", "U")]


def test_one_of_them_has_it_all() -> None:
    # The HEAD in the middle led to nothing: the child is the other one's.
    assert asked("HEAD T", "D:T", "HEAD T", "D:c", "blob 1") == [("T", "T")]
    assert asked("HEAD T", "D:T", "D:c", "HEAD T", "D:T", "HEAD T", "blob 1", "D:c") == [("T", "T")] * 2


def test_a_child_is_not_taken_for_what_the_tag_means() -> None:
    # The first HEAD knows nothing yet, and gets the child of the other: set right when its own digest is asked for.
    assert asked("HEAD T", "D:T", "blob 1", "HEAD T", "D:c", "D:T") == [("T", "T")] * 2


def test_two_families_behind_one_address_are_two_clients() -> None:
    clock = Clock()
    for one, other in zip(steps("dockerd", "T"), steps("skopeo", "T"), strict=False):
        clock.ask(one, who="dockerd").ask(other, who="skopeo")
    assert len(told(clock.events)) == 2


def test_without_an_address_user_agents_tell() -> None:
    clock = Clock()
    for agent in ("skopeo/1", "docker/20", None):
        clock.now = 0
        clock.ask("HEAD T", "D:T", who=None, user_agent=agent)
    assert told(clock.events) == [("T", "T")] * 3


def test_other_images_and_domains_are_other_pulls() -> None:
    clock = Clock()
    others: list[dict[str, Any]] = [{"package": "acme/a"}, {"package": "acme/b"}, {"domain": "other.example"}]
    for columns in others:
        clock.now = 0
        clock.ask("ping", "HEAD T", "D:T", "D:c", **columns)
    assert told(clock.events) == [("T", "T")] * 3


# --- the event -----------------------------------------------------------------------------------------------------------


def test_a_pull_has_the_columns_of_its_first_event() -> None:
    clock = Clock()
    columns: dict[str, Any] = {"client": "docker", "client_version": "20", "country": "GB", "agent": "ci", "endpoint_id": "e", "bytes": 700}
    clock.ask("HEAD T", **columns)
    clock.ask("D:T", status=200, decision="proxy", target="other.example", **columns)
    first = clock.events[0]
    (pull,) = derive(clock.events)
    assert pull == evolve(
        first,
        id=pull.id,
        kind="pull",
        method="GET",
        status=200,
        decision="proxy",
        target="other.example",
        version="T",
        variables={"tag": "T", "digest": digest("T")},
        bytes=0,
    )
    by_digest = next(derive(Clock().ask("D:U").events))
    assert (by_digest.version, by_digest.variables) == (digest("U"), {"digest": digest("U")})


def test_its_id_is_always_the_same_and_sorts_with_its_first_event() -> None:
    first = Clock().add("manifest", 5)
    made = UUID(pull_id(first))
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert made.int >> 80 == recorded_ms(first) == START_MS + 5
    assert pull_id(first) == str(made)
    assert pull_id(Clock().add("manifest", 6)) != str(made)
    # An id that tells no time.
    assert recorded_ms(evolve(first, id="x")) == START_MS + 4


def test_it_is_told_once_and_after_a_while() -> None:
    clock, pulls = Clock(), Pulls()
    pulls.take(clock.ask("HEAD T", "D:T").events)
    asked_at = START_MS + clock.now
    assert pulls.settle(asked_at + QUIET_MS - 1) == []
    (pull,) = pulls.settle(asked_at + QUIET_MS)
    assert (pull.version, pulls.settle(asked_at + QUIET_MS)) == ("T", [])
    # A late child belongs to it, and changes nothing.
    clock.now = OPEN_MS
    pulls.take([clock.add("manifest", version=digest("c"))])
    assert pulls.settle(asked_at + 2 * OPEN_MS) == []
    assert pulls._groups == {}


def test_after_a_minute_it_is_over() -> None:
    clock = Clock().ask("HEAD T", "D:T", "HEAD U")
    clock.ask("D:T", "D:c", gap=OPEN_MS + 1)
    # The second GET stands alone: neither the pull nor the HEAD waits any more.
    assert told(clock.events) == [("T", "T"), (None, "T"), (None, "c")]


def test_its_own_events_and_others_are_passed_over() -> None:
    clock = Clock().ask("HEAD T", "D:T")
    clock.add("pull", version="T")
    clock.add("download", package_type="file", version="T")
    clock.add("manifest", package_type="file", version="T")
    clock.add("manifest")
    assert told(clock.events) == [("T", "T")]
    assert told([*clock.events, *clock.events]) == [("T", "T")]


# --- time, order, memory -------------------------------------------------------------------------------------------------


def test_what_was_recorded_later_waits() -> None:
    clock, pulls = Clock(), Pulls()
    head, get = clock.ask("HEAD T", "D:T", gap=900).events
    # The file with the GET was read first.
    pulls.take([get])
    assert pulls.settle(START_MS + 800) == []
    pulls.take([head])
    assert [pull.version for pull in pulls.settle(START_MS + 60_000)] == ["T"]


def test_within_a_millisecond_the_one_that_came_in_first_is_first() -> None:
    clock = Clock()
    get = clock.add("manifest", 5, version=digest("T"))
    head = clock.add("manifest", 5, version="T", method="HEAD")
    head.time = evolve(get).time.replace(microsecond=1)
    assert told([get, head]) == [("T", "T")]


def test_a_clock_that_is_set_back_tells_what_is_open() -> None:
    clock, pulls = Clock(), Pulls()
    pulls.take(clock.ask("HEAD T", "D:T", "ping").events)
    now = START_MS + clock.now
    assert pulls.settle(now) == []
    # A little is nothing.
    assert pulls.settle(now - 1_000) == []
    assert [pull.version for pull in pulls.settle(now - 3_600_000)] == ["T"]
    assert (pulls.clock, pulls._groups, pulls._pings, pulls._open) == (now - 3_600_000, {}, {}, 0)


def test_everything_held_can_be_kept_and_taken_up_again() -> None:
    clock, pulls = Clock(), Pulls()
    pulls.take(clock.ask("ping", "HEAD T=D:T", "D:T", "ping", "HEAD U", "blob 1").events)
    pulls.settle(START_MS + clock.now)
    pulls.take(clock.ask("D:U").events[-1:])
    for _ in range(3):
        pulls = Pulls.restore(pulls.dump())
    assert pulls._open == 2
    assert len(pulls._pending) == 1
    assert [pull.version for pull in pulls.settle(START_MS + 60_000)] == ["T", "U"]
    assert Pulls.restore(pulls.dump()).settle(START_MS + 300_000) == []
    with pytest.raises(msgspec.DecodeError):
        Pulls.restore(b"\x01")


def test_of_too_many_the_oldest_are_told_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_OPEN", 3)
    clock, pulls = Clock(), Pulls()
    for number in range(5):
        clock.ask("ping", "HEAD T", "D:T", who=str(number))
    pulls.take(clock.events)
    assert [pull.origin_id for pull in pulls.settle(START_MS + clock.now)] == ["0", "1"]
    assert (pulls.dropped, pulls._open, len(pulls._groups)) == (2, 3, 3)
    clock.ask(*["ping"] * 5, gap=0)
    assert len(list(pulls.settle(START_MS + 60_000))) == 3


def test_of_too_many_of_one_client_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_TOGETHER", 3)
    pulls = Pulls()
    pulls.take(Clock().ask(*["T"] * 5).events)
    assert len(pulls.settle(START_MS + 1_000)) == 2
    assert len(pulls.settle(START_MS + 60_000)) == 3
    # A HEAD that has led to nothing yet is let go unsaid.
    pulls = Pulls()
    pulls.take(Clock().ask(*["HEAD T"] * 5).events)
    assert pulls.settle(START_MS + 1_000) == []
    assert (pulls.dropped, pulls._open) == (2, 3)


def test_pings_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_OPEN", 3)
    clock, pulls = Clock(), Pulls()
    for number in range(5):
        clock.ask("ping", who=str(number))
    pulls.take(clock.events)
    pulls.settle(START_MS + clock.now)
    assert [who for _, who in pulls._pings] == ["2", "3", "4"]
    pulls.settle(START_MS + clock.now + OPEN_MS)
    assert pulls._pings == {}


def test_what_lies_in_the_future_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_PENDING", 4)
    clock, pulls = Clock(), Pulls()
    clock.now = 10 * OPEN_MS
    pulls.take(clock.ask(*["T"] * 10).events)
    assert pulls.settle(START_MS) == []
    assert len(pulls._pending) == 4
    # The others count as if they were of now.
    assert len(pulls.settle(START_MS + QUIET_MS)) == 6
    assert (DOMAIN, IMAGE, "a") in pulls._groups


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_what_is_attached_to_an_image_is_no_pull(suffix: str) -> None:
    attached = f"sha256-{'a1' * 32}{suffix}"
    assert asked("ping", "T", "blob 1", f"HEAD {attached}", attached) == [("T", None)]
    assert asked(attached) == []
    assert asked("sha256-abc") == [("sha256-abc", None)]
