"""The contract of `Rule` and of the `Route`s it compiles to. Inherit `RuleContract` and name a rule, or several that share a host:

class TestTeapot(RuleContract):
    rules = (TeapotRule(name="tea", domain="tea.acme.example"),)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, assert_never

import attrs
import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatewaycore.decision import MOST_TURNS, STATUSES, Collect, Decision, Proxy, Read, Reception, Redirect, Relay, Respond, Upstream
from gatewaycore.errors import ConfigError
from gatewaycore.event import KINDS
from gatewaycore.gateway import Gateway
from gatewaycore.headers import Headers
from gatewaycore.outgoing import authority
from gatewaycore.request import Request
from gatewaycore.route import Api, ApiRoute, Everything, Regex, Route, Rule
from gatewaycore.template import Matcher
from tests import strategies
from tests.examples import many

# One test method serves many classes: that is what a contract is.
thorough = settings(deadline=None, max_examples=many(150), suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow])


class RuleContract:
    """What every rule must keep, whatever it is a rule for.

    Attributes:
        rules: settings, minimal or rich, that compile together.
        bad: settings that cannot be compiled.
    """

    rules: ClassVar[Sequence[Rule]]
    bad: ClassVar[Sequence[Rule]] = ()

    @property
    def routes(self) -> list[Route]:
        """The routes of all rules."""
        return [route for rule in self.rules for route in rule.compile()]

    @property
    def gateway(self) -> Gateway:
        """A gateway of these rules alone; made once for each class."""
        cls = type(self)
        if "_gateway" not in vars(cls):
            cls._gateway = Gateway.compile(self.routes)  # type: ignore[attr-defined]
        found: Gateway = vars(cls)["_gateway"]
        return found

    def draw(self, data: st.DataObject, *, lines: st.SearchStrategy[list[tuple[str, str]]] | None = None) -> Request:
        """Draw a request for one of the rules' domains."""
        router = self.gateway.router
        hosts = [domain.replace("*", "any.example") if domain == "*" else domain.replace("*", "any") for domain in router.domains]
        return data.draw(strategies.requests(hosts, strategies.targets(list(router.routes())), lines))

    # --- settings ---

    def test_settings_are_frozen_and_equal_by_value(self) -> None:
        made: Sequence[Any] = self.rules
        for rule in made:
            assert rule == attrs.evolve(rule)
            with pytest.raises(FrozenInstanceError):
                setattr(rule, attrs.fields(type(rule))[0].name, None)

    def test_compiling_twice_gives_the_same(self) -> None:
        for rule in self.rules:
            assert [route.label for route in rule.compile()] == [route.label for route in rule.compile()]

    def test_bad_settings_are_refused_on_purpose(self) -> None:
        for rule in self.bad:
            with pytest.raises(ConfigError):
                rule.compile()

    # --- routes ---

    def test_routes_keep_their_protocol(self) -> None:
        assert self.routes
        for route in self.routes:
            assert isinstance(route, Route)
            assert isinstance(route.pattern, Matcher | Regex | Everything | Api)
            assert route.domain == route.domain.lower()
            assert route.label.startswith(route.domain)
            assert route.label.isprintable()
            assert isinstance(route.priority, int)
            assert isinstance(route.steady, bool)
            assert route.package is None or isinstance(route.package, str)

    def test_routes_of_a_protocol_are_joined_into_one_that_matches(self) -> None:
        for route in self.routes:
            pattern = route.pattern
            if isinstance(pattern, Api):
                same = [other for other in self.routes if other.pattern == pattern and other.domain == route.domain]
                assert isinstance(pattern.join(same), ApiRoute)
                assert all(prefix.startswith("/") and not prefix.endswith("/") and prefix.count("/") <= 2 for prefix in pattern.prefixes)

    # --- answers ---

    @thorough
    @given(data=st.data())
    def test_deciding_is_total(self, data: st.DataObject) -> None:
        request = self.draw(data)
        # What an earlier example has left at hand would be answered with, and nothing be drawn for it.
        self.gateway.forget()
        outcome = self.gateway.decide(request)
        self.check(outcome.decision, request, data)

    def check(self, decision: Decision, request: Request, data: st.DataObject) -> None:
        """Follow a decision to its end."""
        match decision:
            case Redirect():
                check_redirect(decision, request.method)
            case Respond():
                check_respond(decision)
            case Collect(limit):
                assert limit > 0
                check_respond(decision.too_large)
                reception = decision.receive(data.draw(strategies.bodies)[:limit])
                assert isinstance(reception, Reception)
                self.check(reception.decision, request, data)
                assert all(isinstance(text, str) for entry in reception.entries for item in entry.items() for text in item)
            case Proxy():
                check_proxy(decision, data)
            case _:
                assert_never(decision)

    @thorough
    @given(data=st.data())
    def test_observing_is_total(self, data: st.DataObject) -> None:
        request = self.draw(data)
        outcome = self.gateway.decide(request)
        if outcome.match is None:
            return
        entries: Sequence[dict[str, str] | None] = (
            None,
            {},
            data.draw(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)),
        )
        for entry in entries:
            seen = outcome.match.route.observe(request, outcome.match, entry)
            if seen is not None:
                assert seen.kind in KINDS
                assert seen.rule.isprintable()
                assert seen.package_type
                texts = [seen.package, seen.version, seen.platform, seen.arch, seen.page, *seen.variables, *seen.variables.values()]
                assert all(text is None or isinstance(text, str) for text in texts)

    @thorough
    @given(data=st.data())
    def test_a_steady_route_reads_nothing_but_method_host_path_and_query(self, data: st.DataObject) -> None:
        one = self.draw(data)
        one.method = data.draw(st.sampled_from(["GET", "HEAD"]))
        first = Gateway(self.gateway.router).decide(one)
        if first.match is None or not first.match.route.steady:
            return
        lines = Headers(data.draw(strategies.header_lists()))
        other = attrs.evolve(one, headers=lines, client_ip=data.draw(strategies.addresses), scheme="http")
        second = Gateway(self.gateway.router).decide(other)
        assert second.decision == first.decision
        assert second.match is not None
        assert second.match.route is first.match.route
        assert second.match.route.observe(other, second.match) == first.match.route.observe(one, first.match)

    @thorough
    @given(data=st.data())
    def test_the_same_request_is_always_answered_the_same(self, data: st.DataObject) -> None:
        request = self.draw(data)
        first = self.gateway.decide(request)
        second = Gateway(self.gateway.router).decide(request)
        assert second.rule == first.rule
        if isinstance(first.decision, Redirect | Respond):
            assert second.decision == first.decision


def check_redirect(redirect: Redirect, method: str) -> None:
    """Hold a redirect to what clients can follow, and to where it may lead."""
    assert redirect.status in STATUSES
    assert method in ("GET", "HEAD") or redirect.status in (307, 308)
    assert redirect.location.isascii()
    assert redirect.location.isprintable()
    assert not set(redirect.location) & set(' \\<>"{}|^`')
    # Of the URL without what may be long: what leads elsewhere stands before it.
    assert authority("/".join(redirect.location.partition("?")[0].split("/", 3)[:3])) is not None
    check_lines(redirect.headers)
    assert dict(redirect.lines)[b"location"] == redirect.location.encode()


def check_respond(answer: Respond) -> None:
    """Hold an answer to what can be sent."""
    assert 200 <= answer.status <= 599
    check_lines(answer.headers)


def check_lines(headers: Headers) -> None:
    """Hold header lines to RFC 9110 §5.5: no line breaks, no zeros."""
    for name, value in headers.raw:
        assert name == name.lower()
        assert not set(name + value) & set(b"\r\n\0")


ANSWERS = [
    *(
        [("location", text)]
        for text in ("", "/v2/", "//evil.example/", "https://evil.example/", "http://[", "\\evil", "http://169.254.169.254/")
    ),
    *(
        [("www-authenticate", f'Bearer realm="{text}",service="s"')]
        for text in ("https://quay.example/token", "https://evil.example/", "x")
    ),
    [("www-authenticate", "Basic realm=x"), ("link", "</v2/acme/x/tags/list?last=a>; rel=next"), ("retry-after", "5")],
]


def check_proxy(proxy: Proxy, data: st.DataObject) -> None:
    """Hold a conversation to its turns, whatever the upstream says."""
    conversation = proxy.open()
    step = conversation.start()
    for _ in range(MOST_TURNS):
        if isinstance(step, Read):
            step = step.receive(data.draw(st.one_of(st.none(), st.binary(max_size=40), st.just(b'{"token": "t", "tags": []}'))))
        if not isinstance(step, Upstream):
            break
        assert step.url.isascii()
        assert authority("/".join(step.url.split("/", 3)[:3])) is not None
        check_lines(step.headers)
        if data.draw(st.booleans()):
            lines = data.draw(strategies.header_lists())
            more = data.draw(st.sampled_from(ANSWERS))
            step = conversation.receive(data.draw(st.sampled_from([200, 206, 301, 307, 401, 404, 429, 500])), Headers([*lines, *more]))
        else:
            step = conversation.fail(data.draw(st.sampled_from(["connect", "timeout", "protocol", "address"])))
    else:
        raise AssertionError("a conversation without an end")
    if isinstance(step, Respond):
        check_respond(step)
    elif isinstance(step, Relay):
        check_lines(step.headers)
