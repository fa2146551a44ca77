"""Container clients as they were seen, for tests of pulls: what each asks for, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from gatewaycore.event import Event

DOMAIN, IMAGE = "docker.acme.example", "acme/rocket-skates"
START_MS = 1_700_000_000_000
AGENTS: Mapping[str, str] = {
    "skopeo": "skopeo/1.9.3",
    "dockerd": "docker/20.10.24+dfsg1 go/go1.19.8",
    "containerd": "containerd/2.4.0",
    "oras-py": "python-requests/2.34.2",
    "manifest": "Docker-Client/28.2.2 (linux)",
}


def digest(name: str) -> str:
    """Return the digest of something that only its name tells of."""
    return f"sha256:{sha256(name.encode()).hexdigest()}"


class Clock:
    """Makes events at given moments.

    Attributes:
        events: that were made.
    """

    def __init__(self) -> None:
        self.now = 0
        self.events: list[Event] = []
        self._made = 0

    def add(self, kind: str, at: int | None = None, who: str | None = "a", **columns: Any) -> Event:
        """Make an event that was recorded `at` so many milliseconds after the start; it came in a millisecond before."""
        ms = START_MS + (self.now if at is None else at)
        self._made += 1
        text = f"{ms:012x}"
        wanted: dict[str, Any] = {
            "id": f"{text[:8]}-{text[8:]}-7000-8000-{self._made:012x}",
            "time": datetime.fromtimestamp((ms - 1) / 1000, UTC),
            "domain": DOMAIN,
            "package": None if kind == "ping" else IMAGE,
            "package_type": "container",
            "rule": f"{DOMAIN}/{IMAGE}",
            "kind": kind,
            "method": "GET",
            "status": 302,
            "decision": "redirect",
            "target": "ghcr.example",
            "origin_id": who,
            "client": "docker",
        }
        event = Event(**{**wanted, **columns})
        self.events.append(event)
        return event

    def ask(self, *steps: str, who: str | None = "a", gap: int = 10, **columns: Any) -> Clock:
        """Make the events of steps, one after another.

        A step is "ping", "tags", "blob NAME", "HEAD REFERENCE" or a reference to GET; "D:NAME" is a digest. "=D:NAME" behind a reference is
        the digest that the registry told; "!401" a status.
        """
        for step in steps:
            self.now += gap
            self.add(**_step(step), who=who, **columns)
        return self


def _step(step: str) -> dict[str, Any]:
    words = step.split()
    if words[0] in ("ping", "tags"):
        return {"kind": "ping" if words[0] == "ping" else "metadata"}
    if words[0] == "blob":
        found: dict[str, Any] = {"kind": "blob", "variables": {"digest": digest(words[1])}}
        if len(words) > 2:
            found["variables"]["range"] = words[2]
        return found
    text, _, status = words[-1].partition("!")
    reference, _, told = text.partition("=")
    found = {"kind": "manifest", "version": _named(reference), "method": "HEAD" if words[0] == "HEAD" else "GET"}
    if told:
        found |= {"variables": {"digest": _named(told)}, "decision": "proxy", "status": 200}
    if status:
        found["status"] = int(status)
    return found


def _named(text: str) -> str:
    return digest(text[2:]) if text.startswith("D:") else text


def steps(client: str, tag: str, *, told: bool = False, several: bool = True) -> Iterator[str]:
    """Iterate over what one pull of `tag` asks for. Its index is called as the tag is, its one image ``<tag>-amd64``.

    Args:
        client: one of `AGENTS`.
        tag: of the image.
        told: the registry's answers are seen.
        several: architectures; else the tag is the image's.
    """
    known = f"=D:{tag}" if told else ""
    child = [f"D:{tag}-amd64"] if several else []
    blobs = ["blob config", "blob layer"]
    if client == "skopeo":
        yield from ("ping", f"{tag}{known}", *child, *blobs)
    elif client == "dockerd":
        yield from ("ping", f"HEAD {tag}{known}", f"D:{tag}", *child, *blobs)
    elif client == "containerd":
        children = [f"D:{tag}-{arch}" for arch in ("amd64", "arm64", "s390x")] if several else []
        yield from (f"HEAD {tag}{known}", f"D:{tag}", *children[:2], blobs[0], *children[2:], blobs[1])
    elif client == "oras-py":
        yield from (f"{tag}{known}", *child, *blobs)
    else:
        again = ["ping", f"{tag}{known}", *child, "blob config", *child] if several else []
        yield from ("ping", f"{tag}{known}", *again, "blob config")
