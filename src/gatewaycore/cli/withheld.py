"""What is kept out of the events of one request, for `explain`: found by comparing what was sent with what would be written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address

from gatewaycore.decision import Collect
from gatewaycore.event import MAX_TEXT, Event, Observation
from gatewaycore.gateway import Outcome
from gatewaycore.headers import Headers
from gatewaycore.owntraffic import OwnTraffic
from gatewaycore.privacy import opted_out, redact
from gatewaycore.rules.variables import MAX_PARAMETERS, query_variables

_COLUMNS = ("package", "version", "platform", "arch", "page")

# How the names of fields end that hold an address, or let somebody in: most of them are registered nowhere.
_TELLING = re.compile(
    r"(?:^|-)(?:ip|ipv6|clientip|addr|address|from|forwarded|forwarded-for|"
    r"cookie|authorization|auth|token|secret|password|(?:api|access|private)-?key|session|session-id|signature|credentials?|assertion|jwt)\Z"
)
_BETWEEN = re.compile(r"[\s,;=\"\[\]()<>]+")


def withheld(outcome: Outcome, body: bytes, events: Sequence[Event], own: OwnTraffic | None = None) -> list[str]:
    """Return what of a request is in none of its `events`, one sentence each, none of which holds the client's address."""
    request = outcome.request
    if opted_out(request.headers):
        return ["the client opted out (Sec-GPC or DNT): the request is served, and nothing is kept, counted or looked up"]
    if own is not None and own.sent(request.client_ip, request.headers):
        return ["the request is own traffic (gateway.own-traffic): it is served, and nothing is kept, counted or looked up"]
    if not events:
        return ["no event is written, so nothing of the request is kept"]
    if request.client_ip:
        told = ["the client's address: only keyed hashes of it are kept, and their key is rotated and destroyed"]
    else:
        told = ["no address was given, so nothing is kept that stands for one"]
    entries = _entries(outcome, body)
    observed = _observed(outcome, entries)
    if any(event.domain != request.host for event in events):
        told.append("the client's address in the column domain")
    for seen, event in zip(observed, events, strict=False):
        told += _redacted(seen, event, request.client_ip)
    told += _redacted_agent(request.headers, events)
    told += _unread(request.query, observed, request.client_ip)
    told += (f"{redact(name, request.client_ip)} of the body: the name is reserved" for name in _reserved(entries))
    told += (f"the field {name}" for name in _fields(request.headers, observed, request.client_ip))
    return list(dict.fromkeys(told))


def _entries(outcome: Outcome, body: bytes) -> Sequence[Mapping[str, str]]:
    decision = outcome.decision
    return decision.receive(body).entries if isinstance(decision, Collect) and len(body) <= decision.limit else ()


def _observed(outcome: Outcome, entries: Sequence[Mapping[str, str]]) -> list[Observation]:
    """Return what the rule saw, before any address is taken out."""
    match = outcome.match
    if match is None:
        return []
    seen = [match.route.observe(outcome.request, match, entry) for entry in entries or (None,)]
    return [one for one in seen if one is not None]


def _redacted(seen: Observation, event: Event, address: str) -> Iterator[str]:
    for name in _COLUMNS:
        before = getattr(seen, name)
        if before is not None and before[:MAX_TEXT] != getattr(event, name):
            yield f"the client's address in the column {name}"
    for name, value in seen.variables.items():
        kept = redact(name, address)
        if kept != name:
            yield f"the client's address in the name of the variable {kept}"
        if event.variables.get(kept) != value[:MAX_TEXT]:
            yield f"the client's address in the variable {kept}"


def _redacted_agent(headers: Headers, events: Sequence[Event]) -> Iterator[str]:
    sent = headers.get("user-agent") or ""
    kept = events[0].user_agent or ""
    if not sent.startswith(kept):
        yield "the client's address in the field user-agent"


def _unread(query: str, observed: Sequence[Observation], address: str) -> Iterator[str]:
    """Iterate over what the query says and no event holds."""
    sent = query_variables(query)
    kept = {pair for seen in observed for pair in seen.variables.items()}
    lost = [name for name, value in sent.items() if (name, value) not in kept]
    if sent and len(lost) == len(sent):
        yield "the query"
        return
    yield from (f"the parameter {redact(name, address)} of the query" for name in lost)
    if query.count("&") >= MAX_PARAMETERS:
        yield f"what the query holds after its first {MAX_PARAMETERS} parameters"


def _reserved(entries: Sequence[Mapping[str, str]]) -> Iterator[str]:
    meant = ("$version", "$type", "$referrer")
    return (name for entry in entries for name in entry if name.startswith("$") and name not in meant)


def _fields(headers: Headers, observed: Sequence[Observation], address: str) -> Iterator[str]:
    """Iterate over the fields that tell who somebody is or let somebody in, none of which is kept."""
    pages = [seen.page for seen in observed if seen.page]
    for name in dict.fromkeys(headers):
        lines = headers.get_all(name)
        if name == "referer":
            if not any(line.startswith(page) for line in lines for page in pages):
                yield name
        elif name not in ("host", "user-agent") and (_TELLING.search(name) or any(_holds_address(line, address) for line in lines)):
            yield name


def _holds_address(line: str, address: str) -> bool:
    return redact(line, address) != line or any(map(_is_address, _BETWEEN.split(line)))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
