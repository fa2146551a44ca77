"""Outgoing URLs: where a matched request is sent, and the proof that it cannot be sent anywhere else.

A user's template names the target; the request fills in values. Whatever the values, scheme and authority stay the template's own: an
open redirect would make the gateway's good name a phisher's tool.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, unquote

from attrs import define

from gatewaycore.errors import TemplateError
from gatewaycore.template import Expander, UrlTemplate, escape

_CONSTANT_AUTHORITY = re.compile(r"https?://[^/?#{}]+(?=[/?#]|\Z)", re.IGNORECASE)
_plain_value = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*").fullmatch
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\\u2028\u2029]")
_QUERY_SAFE = "!$&'()*+,;=:@/?%-._~"
_PATH_SAFE = "!$&'()*+,;=:@/%-._~"
# Possessive: a run of plain characters is one step, and none is ever given back.
_QUERY_PLAIN = re.compile(r"(?:[A-Za-z0-9!$&'()*+,;=:@/?._~-]++|%[0-9A-Fa-f]{2})*+")
_PATH_PLAIN = re.compile(r"(?:[A-Za-z0-9!$&'()*+,;=:@/._~-]++|%[0-9A-Fa-f]{2})*+")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOT_SEGMENTS = frozenset({"..", "."})
_DELIMITER = re.compile(r"[?#&;=]")
# What would end the part of the URL in which a value stands; ";" parts parameters for some servers, as "&" does.
_IN_PATH = str.maketrans({"?": "%3F", "#": "%23"})
_IN_VALUE = str.maketrans({"#": "%23", "&": "%26", ";": "%3B"})
_IN_NAME = str.maketrans({"#": "%23", "&": "%26", ";": "%3B", "=": "%3D"})


def safe_value(value: str) -> bool:
    """Tell whether a decoded value may go into a URL: no control character, no backslash, no "." or ".." segment."""
    return _plain_value(value) is not None or _safe(value)


def _safe(value: str) -> bool:
    return not _FORBIDDEN.search(value) and _DOT_SEGMENTS.isdisjoint(value.split("/"))


def safe_path(path: str) -> bool:
    """Tell the same of a whole wire path, its escapes seen through once and, for proxies that decode twice, a second time."""
    if "%" not in path:
        return safe_value(path)
    once = _unescape(path)
    return safe_value(once) and safe_value(_unescape(once))


def wire_path(path: str) -> str:
    """Return `path` with everything percent-encoded that a URL's path may not hold (RFC 3986 §3.3)."""
    return path if _PATH_PLAIN.fullmatch(path) else quote(_STRAY_PERCENT.sub("%25", path), safe=_PATH_SAFE, errors="replace")


def wire_query(query: str) -> str:
    """Return `query` with everything percent-encoded that a URL's query may not hold (RFC 3986 §3.4)."""
    return query if _QUERY_PLAIN.fullmatch(query) else quote(_STRAY_PERCENT.sub("%25", query), safe=_QUERY_SAFE, errors="replace")


def carry(url: str, query: str) -> str:
    """Return `url` with the request's `query` added: parameters that `url` has already win, and a fragment stays last."""
    if not query:
        return url
    body, hash_mark, fragment = url.partition("#")
    base, question_mark, own = body.partition("?")
    if own:
        names = {_name(part) for part in own.split("&")}
        query = "&".join(part for part in query.split("&") if _name(part) not in names)
    joined = "&".join(part for part in (own, wire_query(query)) if part)
    return f"{base}{'?' if joined or question_mark else ''}{joined}{hash_mark}{fragment}"


@define(slots=True, weakref_slot=False)
class Outgoing:
    """A compiled outgoing URL. Nobody mutates it.

    Attributes:
        constant: the URL when it holds no variables, else None.
        expander: fills in the variables.
        origin: the authority with its scheme when no variable can reach it: ``https://cdn.acme.com``; "" when variables do.
        allowed_hosts: the hosts the result may have when variables reach the authority.
    """

    constant: str | None
    expander: Expander | None
    origin: str
    allowed_hosts: frozenset[str] = frozenset()

    @classmethod
    def compile(cls, text: str, allowed_hosts: frozenset[str] = frozenset()) -> Outgoing:
        """Compile an outgoing URL template.

        Args:
            text: an absolute http or https URL, or a template of one.
            allowed_hosts: lower-case hosts; needed when variables reach the authority.

        Raises:
            TemplateError: it is no template, no absolute URL, or variables reach the authority and no host is allowed.
        """
        template = UrlTemplate.parse(text)
        origin = _CONSTANT_AUTHORITY.match(text)
        if not template.variables:
            constant = template.expand({})
            if not origin or authority(origin[0]) is None or _FORBIDDEN.search(text):
                raise TemplateError("an outgoing URL is absolute: https://host/path", text, (0, len(text)))
            return cls(constant, None, sys.intern(origin[0]))
        # The template's literal text must close the authority before the first variable: with ``https://cdn.acme.com{x}`` the value
        # ``.evil.example`` or ``@evil.example`` would be part of it.
        expander = template.expander()
        if origin and not _FORBIDDEN.search(text) and len(origin[0]) < len(expander.prefix):
            if authority(origin[0]) is None:
                raise TemplateError("not the beginning of an absolute URL", text, (0, origin.end()))
            return cls(None, expander, sys.intern(origin[0]))
        if not allowed_hosts:
            raise TemplateError(
                "variables reach the scheme or the host of this URL; list the hosts it may lead to under allowed-hosts",
                text,
                (0, len(text)),
            )
        return cls(None, expander, "", allowed_hosts)

    def locate(self, variables: Mapping[str, str], query: str) -> str | None:
        """Return the URL to send the client to, or None when a value must not go into one.

        Args:
            variables: decoded values.
            query: the request's own, raw, carried onto the URL.
        """
        if self.constant is not None:
            return carry(self.constant, query) if query else self.constant
        expander = self.expander
        if expander is None:
            return None
        plain, delimits = True, False
        for name in expander.variables:
            value = variables.get(name)
            if value is not None and not _plain_value(value):
                # Escapes are seen through once more: `{+x}` copies them, and a client takes "%2e%2e" for "..".
                if not _safe(value) or ("%" in value and not safe_value(_unescape(value))):
                    return None
                plain, delimits = False, delimits or _DELIMITER.search(value) is not None
        # `{+x}` copies a value that holds an escape as it stands; what a URL may not hold is encoded after it.
        location = expander.fill(variables) if plain else escape((_fenced if delimits else Expander.expand)(expander, variables))
        if query:
            location = carry(location, query)
        if self.origin:
            # Literal text up to and past the authority: equal by construction, and looked at again all the same.
            return location if location.startswith(self.origin) else None
        # Not the one that remembers: a location holds what its client has sent.
        found = _parse_authority(location)
        return location if found is not None and found in self.allowed_hosts else None

    @property
    def host(self) -> str | None:
        """The host every result has, or None when variables decide."""
        return authority(self.origin) if self.origin else None


def _fenced(expander: Expander, variables: Mapping[str, str]) -> str:
    """Expand so that every value stays in the part of the URL where the template has it: a path's in the path, a parameter's in it.

    RFC 6570 lets ``{+x}`` write delimiters. A "?" would put a query before the template's own, a "#" make that a fragment which no server
    gets, a "&" add a parameter that overrides one of the target's.
    """
    pieces = [piece for piece in expander.pieces(variables) if piece[0]]
    if len(pieces) == 1:
        # The value is the whole URL, as in ``{+url}``: there is nothing of the template's to displace.
        return pieces[0][0]
    url = ""
    for text, reserved in pieces:
        url += _fence(text, url) if reserved else text
    return url


def _fence(text: str, before: str) -> str:
    if "#" in before:
        return text
    _, query_mark, query = before.partition("?")
    if not query_mark:
        return text.translate(_IN_PATH)
    return text.translate(_IN_VALUE if "=" in query.rpartition("&")[2] else _IN_NAME)


@lru_cache(maxsize=4096)
def authority(url: str) -> str | None:
    """Return the lower-case ``host[:port]`` of an absolute http(s) URL of a configuration or a registry; see `_parse_authority`."""
    return _parse_authority(url)


def _parse_authority(url: str) -> str | None:
    """Return the lower-case ``host[:port]`` of an absolute http(s) URL without user information, or None when it is none (RFC 3986 §3)."""
    # Imported here: it takes a quarter of the time that importing gatewaycore may take, and only loading rules needs it.
    from rfc3986 import exceptions, uri_reference, validators

    try:
        parsed = uri_reference(url)
        validators.Validator().allow_schemes("http", "https").require_presence_of(
            "scheme", "host"
        ).forbid_use_of_password().check_validity_of("scheme", "host", "port").validate(parsed)
    except (exceptions.RFC3986Exception, ValueError):
        return None
    if parsed.userinfo is not None or not parsed.host or _FORBIDDEN.search(url):
        return None
    return str(parsed.authority).lower()


def _name(parameter: str) -> str:
    # Decoded: with "v%65rsion" the request would have the last word on the target's own "version".
    return _unescape(parameter.partition("=")[0].replace("+", " "))


def _unescape(text: str) -> str:
    return unquote(text, errors="replace")
