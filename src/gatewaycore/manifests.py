"""Which pull a request for a manifest belongs to, among those of one client and one image.

A client here is an address with a User-Agent: often several machines behind one address that pull the same image at the same moment. What
tells their pulls apart is how each begins. All that is known of real clients:

| client | begins with | then |
|---|---|---|
| skopeo, podman, buildah, crane | ping, GET tag | GET digest of one architecture |
| dockerd, graph drivers | ping, HEAD tag, GET digest | GET digest of one architecture |
| dockerd with containerd's store, containerd, BuildKit | HEAD tag, GET digest | GET digest of one or of all architectures |
| oras-py | GET tag | GET digest of one architecture |
| ``docker manifest inspect`` | ping, GET tag, and where there are several architectures both again | GET digest of each |

Redirected to a registry that wants a token, containerd, BuildKit and dockerd with containerd's store come twice: they get a 401 where they
were sent, and begin again at the gateway, which has seen nothing of that.

By digest they do the same with the digest for the tag. Those that keep what they have fetched (containerd, dockerd) leave out what they
have. There may be a HEAD and nothing else, which is no pull; a HEAD and a GET for one architecture alone; or a HEAD and blobs, after an
image was removed and its manifest was not yet: a pull whose GET nobody needed.

Where the registry's answer was seen, its `Docker-Content-Digest` tells what a tag stands for (OCI distribution-spec v1.1 §Pulling
manifests); where the client was redirected, that is concluded from what it asks for next.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from gatewaycore.event import Event

Key: TypeAlias = tuple[str, str, str]
"""The domain, the package, and who asks."""

MOST_TOGETHER = 1_000
"""Open pulls of one client and one image; beyond it the oldest is let go."""

# A child is asked for as soon as its parent has been read.
_CHILD_MS = 2_000
# Sooner than this nobody who pings has begun anew: it is another machine's ping.
_PING_MS = 500
_REPEAT_MS = 10_000
_MOST_GOT = 256
_MOST_BLOBS = 256

# First product of the User-Agent, lower-case: asks for a tag once to see what it is, and again when it is an index; between the two there
# is a ping, and after the last question always a blob.
_ASKS_TWICE = ("docker-client",)
# The same: after a 401 of the registry that they were redirected to, they ask the gateway once more for what they have just asked for.
_COMES_AGAIN = ("containerd", "docker", "buildkit")


class Answer(msgspec.Struct, frozen=True):
    """What the first GET of a pull was answered with, or its HEAD where there was no GET."""

    status: int
    decision: Literal["redirect", "proxy", "respond"]
    target: str | None = None


class Open(msgspec.Struct):
    """A pull that may be asked for more, or, as long as there is no `answer`, what may become one.

    Attributes:
        id: of the pull.
        first: the event that it began with; None when it has been told.
        tag: that was asked for.
        digest: what the tag stands for, or what was asked for.
        is_sure: the digest was asked for by name or told by the registry.
        headed: it began with HEAD.
        pinged: it began with a ping.
        asked_ms: when its last manifest was asked for.
        asked_turn: the same, in turns of its group.
        last_ms: the same, and its blobs.
        answer: what makes it a pull.
        got: digests of manifests that were asked for with GET.
        tags_got: how often the tag was.
        blobs: that were asked for, each by the beginning of its digest.
    """

    id: str
    first: Event | None
    tag: str | None
    digest: str | None
    is_sure: bool
    headed: bool
    pinged: bool
    asked_ms: int
    asked_turn: int
    last_ms: int
    answer: Answer | None = None
    got: list[str] = []
    tags_got: int = 0
    blobs: list[int] = []


class Group(msgspec.Struct):
    """The open pulls of one client and one image, in the order in which they began.

    Attributes:
        key: whose and of what.
        last_ms: when anything was asked for.
        turn: how many things were; many fit into one millisecond.
        blob_turn: which of them was the last blob.
    """

    key: Key
    pulls: list[Open] = []
    last_ms: int = 0
    turn: int = 0
    blob_turn: int = 0

    def begin(self, event: Event, number: str, now: int, *, pinged: bool) -> Open:
        """Open another, which gets the id `number`."""
        reference = event.version or ""
        by_digest = ":" in reference
        digest = reference if by_digest else event.variables.get("digest")
        tag = None if by_digest else reference
        self._see(now)
        one = Open(number, event, tag, digest, digest is not None, event.method == "HEAD", pinged, now, self.turn, now)
        self.pulls.append(one)
        return one

    def join(self, one: Open, event: Event, now: int) -> None:
        """Add a GET to a pull."""
        reference = event.version or ""
        if one.answer is None:
            one.answer = Answer(event.status, event.decision, event.target)
        self._see(now)
        one.asked_ms = one.last_ms = now
        one.asked_turn = self.turn
        if ":" in reference:
            if reference not in one.got and len(one.got) < _MOST_GOT:
                one.got.append(reference)
            if one.digest is None or (not one.is_sure and self._meanings(one).get(one.tag) == reference):
                one.digest = reference
            return
        one.tags_got += 1
        told = event.variables.get("digest")
        if told is not None:
            one.digest, one.is_sure = told, True

    def see_blob(self, event: Event, now: int) -> Open | None:
        """Note a blob; return the pull that it has made of a HEAD, if it has.

        It is the youngest pull's that has not asked for it yet, and stays open for it. Where all have, somebody has begun anew.
        """
        self._see(now)
        self.blob_turn = self.turn
        blob = _short(event.variables.get("digest", ""))
        pulls = [one for one in reversed(self.pulls) if one.answer is not None]
        owner = next((one for one in pulls if blob not in one.blobs), None)
        if owner is not None:
            if len(owner.blobs) < _MOST_BLOBS:
                owner.blobs.append(blob)
            owner.last_ms = now
            return None
        if pulls:
            pulls[0].last_ms = now
        if "range" in event.variables or event.method != "GET" or not 200 <= event.status < 400:
            # The rest of what somebody has begun to fetch, or nothing at all.
            return None
        for one in reversed(self.pulls):
            if one.answer is None and one.first is not None:
                one.answer = Answer(one.first.status, one.first.decision, one.first.target)
                one.digest = one.digest or self._meanings().get(one.tag)
                one.asked_ms = one.last_ms = now
                one.blobs.append(blob)
                return one
        return None

    def _see(self, now: int) -> None:
        self.last_ms = now
        self.turn += 1

    def prune(self, until: int) -> int:
        """Forget what nobody has asked for since `until`; return how many there were."""
        before = len(self.pulls)
        if before and self.pulls[0].last_ms <= until:
            self.pulls = [one for one in self.pulls if one.last_ms > until]
        return before - len(self.pulls)

    def find(self, event: Event, now: int, pinged_ms: int) -> Open | None:
        """Return the pull that a request belongs to; None when it begins one.

        Args:
            event: the request; statuses of failure belong to none.
            now: when it was recorded.
            pinged_ms: when its client has last asked for a ping that nothing has followed yet; 0 when there is none.
        """
        reference = event.version or ""
        if event.method == "HEAD":
            # None also for a reference that waits for its GET already: two machines behind one address do that.
            return self._once_more(reference, event, now)
        return self._by_digest(reference, now, pinged_ms) if ":" in reference else self._by_tag(reference, event, now)

    def _once_more(self, reference: str, event: Event, now: int) -> Open | None:
        """Return the pull that has just begun with this same HEAD, where its client was redirected to a registry that wants a token."""
        if not self.pulls or event.decision != "redirect" or (event.user_agent or "").lower().partition("/")[0] not in _COMES_AGAIN:
            return None
        last = self.pulls[-1]
        same = last.answer is None and reference in (last.tag, last.digest)
        return last if same and last.asked_turn == self.turn and now - last.asked_ms <= _CHILD_MS else None

    def _by_tag(self, tag: str, event: Event, now: int) -> Open | None:
        for one in reversed(self.pulls):
            if one.answer is None and one.tag == tag:
                return one
        if self.pulls and (event.user_agent or "").lower().startswith(_ASKS_TWICE):
            last = self.pulls[-1]
            again = last.tag == tag and last.tags_got == 1 and not last.got
            if again and self.blob_turn <= last.asked_turn and now - last.asked_ms <= _REPEAT_MS:
                return last
        return None

    def _by_digest(self, digest: str, now: int, pinged_ms: int) -> Open | None:
        heads = [one for one in reversed(self.pulls) if one.answer is None]
        parents = [one for one in reversed(self.pulls) if one.answer is not None]
        # The youngest, or one that others have overtaken.
        lacking = [one for one in parents if digest not in one.got and (one is parents[0] or self._is_fresh(one, now))]
        parent = next((one for one in lacking if one.digest == digest), lacking[0] if lacking else None)
        if heads:
            # The youngest first: who asks HEAD and finds that he has it all leaves it behind, and the next one goes on at once.
            meanings = self._meanings()
            expected = [one.digest or meanings.get(one.tag) for one in heads]
            for wanted in (digest, None):
                if wanted in expected:
                    return heads[expected.index(wanted)]
            # They all wait for something else: for what they have already, or for what the tag meant before. Or this is the child that
            # another pull lacks, where it is known for a child, or comes on the heels of its parent.
            if parent is None or not (self._is_child(digest) or (not pinged_ms and self._is_fresh(parent, now))):
                return heads[0]
        if parent is not None:
            begun = pinged_ms > 0 and (self.blob_turn > parent.asked_turn or now - parent.asked_ms > _PING_MS)
            return None if begun else parent
        return self._again(digest, parents, now, pinged_ms)

    def _meanings(self, but: Open | None = None) -> dict[str | None, str]:
        """Return what each tag stands for, as the youngest pull of it knows."""
        return {one.tag: one.digest for one in self.pulls if one is not but and one.tag is not None and one.digest is not None}

    def _is_child(self, digest: str) -> bool:
        return any(one.digest != digest and digest in one.got for one in self.pulls)

    def _is_fresh(self, one: Open, now: int) -> bool:
        """Tell whether a pull is most likely still reading manifests."""
        return self.blob_turn <= one.asked_turn and now - one.asked_ms <= _CHILD_MS

    def _again(self, digest: str, parents: list[Open], now: int, pinged_ms: int) -> Open | None:
        """Return the pull that asks once more for what it has, as after a broken connection; None where that is how another begins."""
        if pinged_ms:
            return None
        for one in parents:
            if one.tag is None and one.digest == digest and not one.headed:
                return None
            if one.pinged or one.headed or now - one.asked_ms <= _CHILD_MS:
                return one
        return None


def _short(digest: str) -> int:
    try:
        return int(digest.partition(":")[2][:12], 16)
    except ValueError:
        return 0
