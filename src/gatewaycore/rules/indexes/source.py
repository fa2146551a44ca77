"""Source: one upstream index, and what is believed of it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from attrs import frozen

from gatewaycore.errors import ConfigError, Problem
from gatewaycore.outgoing import authority
from gatewaycore.rules.leading import loses_tls, origin

TTL_S = 60
STALE_S = 86_400
LONGEST_S = 10 * 365 * 86_400
"""Whatever is longer is as good as that: no page outlives its process. Who means "for ever" writes any number of nines."""
PAGE_BYTES = 32 * 1024 * 1024
"""The largest page that is read. The largest of real ones hold some ten thousand files, in a third of this."""


@frozen
class Source:
    """An upstream index.

    Attributes:
        url: what pages stand below; ends with "/".
        private: whether it may be at an address of a private network or of this machine, and lead there.
        hosts: hosts that it may redirect to, beside its own: "mirror.acme.com:8443".
        ttl: how long a page is believed before its upstream is asked whether it has changed.
        stale: how long after that it is still shown, where the upstream fails.
        page_bytes: the largest page that is read.
    """

    url: str
    private: bool = False
    hosts: frozenset[str] = frozenset()
    ttl: timedelta = timedelta(seconds=TTL_S)
    stale: timedelta = timedelta(seconds=STALE_S)
    page_bytes: int = PAGE_BYTES

    @classmethod
    def parse(cls, text: str, *, private: bool = False, hosts: tuple[str, ...] = (), ttl_s: int = TTL_S, stale_s: int = STALE_S) -> Source:
        """Make a source of settings.

        Raises:
            ConfigError: `text` is not the URL of an index. It is not repeated where it may hold a password.
        """
        if "@" in text:
            what = "a username or a password stands in the URL"
            raise ConfigError([Problem("index", what, "the gateway shows no credentials to an index: name one that anybody may read")])
        if authority(text) is None or "?" in text or "#" in text or not text.isascii():
            raise ConfigError([Problem("index", f"{text!r} is not the URL of an index", "https://host/path, without a query")])
        scheme, _, rest = text.partition("://")
        url = f"{scheme.lower()}://{rest.rstrip('/')}/"
        return cls(url, private, frozenset(hosts), _span(ttl_s), _span(stale_s))

    @property
    def name(self) -> str:
        """Its host, with a port where it has one: for people."""
        return urlsplit(self.url).netloc

    def permits(self, url: str) -> bool:
        """Tell whether it may redirect to `url`: within its own host, or to one that is listed, and never from https to http."""
        here, there = urlsplit(self.url), urlsplit(url)
        own = origin(here.scheme, here.netloc)
        # A server that sends everybody from http to https is itself still.
        if origin(there.scheme, there.netloc) in (own, own.replace("http://", "https://", 1)):
            return True
        if loses_tls(self.url, url):
            return False
        return there.netloc.lower() in self.hosts or (there.hostname in self.hosts and there.port in (None, 80, 443))


def _span(seconds: int) -> timedelta:
    return timedelta(seconds=min(seconds, LONGEST_S))
