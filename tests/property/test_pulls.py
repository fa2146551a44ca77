"""Pulls: however the requests of many clients fall between each other and among processes, as many pulls come out as there were."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import many
from tests.pulling import AGENTS, START_MS, Clock, digest, steps

from gatewaycore.event import Event
from gatewaycore.pulls import Pulls, derive, recorded_ms
from gatewaycore.recorder import decode, encode

clients = st.fixed_dictionaries(
    {
        "client": st.sampled_from(sorted(AGENTS)),
        "tags": st.lists(st.sampled_from(["1.0", "1.1", "latest"]), min_size=1, max_size=5),
        "told": st.booleans(),
        "several": st.booleans(),
        "start": st.integers(0, 3_000),
    }
)


@settings(max_examples=many(100), deadline=None)
@given(st.lists(clients, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_as_many_pulls_as_there_were(wanted: list[dict[str, Any]], chance: Random) -> None:
    clock = Clock()
    pulled: Counter[tuple[str, str]] = Counter()
    for number, one in enumerate(wanted):
        clock.now = one["start"]
        for tag in one["tags"]:
            gap = chance.randint(0, 900)
            for step in steps(one["client"], tag, told=one["told"], several=one["several"]):
                if one["client"] == "containerd" and chance.random() < 0.5:
                    clock.ask(f"{step}!401", who=str(number), gap=gap)
                clock.ask(step, who=str(number), user_agent=AGENTS[one["client"]], gap=gap)
        pulled.update((str(number), tag) for tag in one["tags"])
    chance.shuffle(clock.events)
    found = list(derive(clock.events))
    assert Counter((pull.origin_id, pull.version) for pull in found) == pulled
    told = [pull for pull in found if wanted[int(pull.origin_id or "")]["told"]]
    assert all(pull.variables["digest"] == digest(pull.variables["tag"]) for pull in told)


# Few names and many requests, so that everything meets everything.
references = st.sampled_from(["T", "U", "D:T", "D:U", "D:c", "D:d"])
statuses = st.sampled_from(["", "", "", "", "!401", "!404", "!0"])
told_digests = st.sampled_from(["", "", "=D:T", "=D:c"])
manifests = st.builds("{}{}{}{}".format, st.sampled_from(["HEAD ", "", ""]), references, told_digests, statuses)
requests = st.one_of(manifests, manifests, st.sampled_from(["ping", "tags", "blob 1", "blob 2", "blob 1 bytes=5-"]))
anything = st.lists(st.tuples(requests, st.sampled_from("ab"), st.sampled_from([0, 1, 50, 700, 4_000, 70_000])), max_size=30)


def happened(asked: list[tuple[str, str, int]]) -> list[Event]:
    clock = Clock()
    for step, who, gap in asked:
        clock.ask(step, who=who, gap=gap, user_agent="Docker-Client/28" if who == "b" else None)
    return clock.events


def is_get(event: Event) -> bool:
    return event.method == "GET" and event.kind in ("manifest", "blob") and 200 <= event.status < 400


@settings(max_examples=many(100), deadline=None)
@given(anything)
def test_never_more_pulls_than_requests_and_none_without_a_get(asked: list[tuple[str, str, int]]) -> None:
    events = happened(asked)
    found = list(derive(events))
    gets = Counter(event.origin_id for event in events if is_get(event))
    begun = Counter(event.origin_id for event in events if event.kind == "manifest" and 200 <= event.status < 400)
    for who, count in Counter(pull.origin_id for pull in found).items():
        assert count <= min(gets[who], begun[who])
    # Whoever has fetched a manifest has pulled.
    assert {event.origin_id for event in events if is_get(event) and event.kind == "manifest"} <= {pull.origin_id for pull in found}
    assert len({pull.id for pull in found}) == len(found)
    firsts = {(event.time, event.origin_id) for event in events if event.kind == "manifest"}
    for pull in found:
        assert (pull.time, pull.origin_id) in firsts
        assert (pull.kind, pull.method, pull.bytes, pull.version) == (
            "pull",
            "GET",
            0,
            pull.variables.get("tag", pull.variables.get("digest")),
        )
        assert decode(encode(pull)) == pull


@settings(max_examples=many(100), deadline=None)
@given(anything, st.data())
def test_bit_by_bit_they_are_the_same_as_all_at_once(asked: list[tuple[str, str, int]], data: st.DataObject) -> None:
    events = happened(asked)
    whole = sorted(derive(events), key=lambda pull: pull.id)
    # Two processes' files, read one after the other: of what is younger than the last look, one may be seen and the other not.
    pulls, left, found = Pulls(), data.draw(st.permutations(events)), []
    now = START_MS
    while left:
        now += data.draw(st.sampled_from([1, 500, 3_000, 30_000, 200_000]))
        seen = [event for event in left if recorded_ms(event) <= now or data.draw(st.booleans())]
        left = [event for event in left if event not in seen]
        pulls.take(seen)
        found += pulls.settle(now)
        if data.draw(st.booleans()):
            pulls = Pulls.restore(pulls.dump())
    found += pulls.settle(now + 10_000_000)
    assert sorted(found, key=lambda pull: pull.id) == whole
    assert pulls._open == 0
    assert not pulls._groups
    assert not pulls._waiting
