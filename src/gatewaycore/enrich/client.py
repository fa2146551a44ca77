"""Who is calling: the client, its version, and the machine it runs on, as far as a User-Agent tells.

This room knows the formats that package managers, container engines and browsers write, and reads the rest by the grammar of
RFC 9110 §10.1.5. It believes what it reads: a user agent is a claim, good for statistics and never for a decision about access.

Nothing here raises, and nothing here takes longer for an agent made to hurt: the text is cut first, and no expression backtracks
over more than a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import attrs

from gatewaycore.enrich.clients import KINDS, NAMES
from gatewaycore.enrich.crawlers import find_crawler, find_named_crawler, is_scanner
from gatewaycore.enrich.formats import FORMATS
from gatewaycore.enrich.platforms import find_arch, find_device, find_os, find_os_version, find_runtime, normal_os
from gatewaycore.enrich.products import Product, normal, split

__all__ = ["Client", "identify"]

#: What is read of a user agent. The longest that pip writes is near 1,000 characters.
AGENT_CHARS: Final = 2048
#: What is kept of one name or version: a column of a report, not a place to smuggle text through.
_VALUE_CHARS: Final = 96
_CACHED: Final = 8192

# These say what a program is made with, not which program it is.
_ANONYMOUS: Final = frozenset(("library", "runtime"))
_RANKS: Final = {kind: (rank if kind in _ANONYMOUS else 0) for rank, kind in enumerate(KINDS)}

_NOBODY: Final = frozenset(
    ("", "-", "_", "*", "(null)", "null", "(none)", "none", "nil", "undefined", "unknown", "(unknown)", "n/a", '""', "''")
)

# Clients with a family of plug-ins and helpers around them: "cargo-audit", "npm-check-updates", "nix-prefetch-url".
_FAMILIES: Final = frozenset(
    "pip npm pnpm yarn uv poetry pdm conda cargo gem bundler composer gradle maven nuget nix docker helm kubectl git terraform apt".split()  # noqa: SIM905 - a table
)

# "Mozilla/5.0", and what telephones and text browsers sent instead.
_BROWSER: Final = (
    "mozilla/", "opera/", "lynx/", "elinks/", "elinks (", "links (", "links/", "w3m/", "dillo/", "netsurf/", "ncsa_mosaic", "konqueror/",
    "ucweb", "docomo/", "kddi-", "softbank/", "vodafone/", "j-phone/", "nokia", "sonyericsson", "blackberry", "samsung-", "lg-", "lge-",
    "mot-", "sec-", "sie-", "zte-", "huawei", "htc-", "htc_", "mobilesafari/", "safari/", "chrome/", "firefox/", "seamonkey/", "galeon/",
    "epiphany/", "k-meleon/", "icab/", "omniweb/", "ibrowse/", "amaya/", "qutebrowser/", "vivaldi/", "brave/", "edge/",
)  # fmt: skip
_BUILD: Final = (
    "github-actions", "github actions", "githubactions", "gitlab-ci", "gitlab-runner", "circleci", "travis", "jenkins", "teamcity",
    "buildkite", "appveyor", "vsts-task", "azure-pipelines", "azure pipelines", "bitbucket-pipelines", "cirrus-ci", "woodpecker-ci",
    "semaphoreci",
)  # fmt: skip
_CI: Final = re.compile(r"(?:^|\s)ci/([^\s;()]+)|[(,;]\s*ci: ([^,;)]+)", re.IGNORECASE)
_FACTS: Final = re.compile(r"(?<!\S)(os|arch|kernel)/([^\s()]+)")
_ENGINES: Final = re.compile(
    r"(Edg|EdgA|EdgiOS|Edge|OPR|Vivaldi|SamsungBrowser|YaBrowser|UCBrowser|FxiOS|CriOS|Firefox|Chrome|MSIE|Version|rv)[/ :](\d[\w.]*)"
)
# The most telling of the names that a browser gives itself: nearly all say "Chrome" or "Version" for the sake of old pages.
_ENGINE_RANK: Final = {"rv": 0, "Version": 1, "MSIE": 2, "Chrome": 3, "Firefox": 4, "CriOS": 4, "FxiOS": 4} | dict.fromkeys(
    ("Edg", "EdgA", "EdgiOS", "Edge", "OPR", "Vivaldi", "SamsungBrowser", "YaBrowser", "UCBrowser"), 5
)
_FOLLOWS: Final = re.compile(r"[/ ]v?(\d[\w.+-]*)")
_KERNEL: Final = re.compile(r"(?<![\w-])(?:Linux|Darwin)[/ ](\d[^\s;,()]*)")
_JSON: Final = re.compile(r"([\w.-]+)/(\S+)\s+(\{.*)", re.DOTALL)

_RESHARPER: Final = re.compile(r"resharperplatformvs(\d+)")
# Visual Studio's internal number -> the year it is sold under.
_YEARS: Final = {"10": "2010", "11": "2012", "12": "2013", "14": "2015", "15": "2017", "16": "2019", "17": "2022"}


@attrs.frozen
class Client:
    """What a user agent claims about itself. None always means "it does not say".

    Args:
        name: lower-case product name: "pip", "docker", "curl", "browser"; a crawler's own name.
        version: as sent, "v" included.
        os: "linux", "macos", "windows", "ios", "android", "freebsd"...
        os_version: dots between the numbers; a Linux kernel's release is `kernel`.
        arch: as sent ("amd64", "x86_64", "x64"); Homebrew's "Intel" is "x86_64".
        runtime: what runs it: "CPython/3.11.7", "node/v20.20.2", "Java/17.0.4", "go/go1.24.5".
        device: "desktop", "mobile", "tablet" for browsers, "server" for mirrors.
        ci: True when the agent says that a build system runs it; never False, because silence proves nothing.
        bot: a crawler, preview, monitor, feed fetcher or scanner; never a package client, an HTTP library or a browser.
        kind: "package", "container", "mirror", "tool", "library", "runtime", "browser", "bot", "scanner", or None for a stranger.
        ci_name: the build system, as sent.
        distro: the distribution's name, as sent.
        distro_version: its version.
        kernel: the kernel's release.
    """

    name: str | None
    version: str | None = None
    os: str | None = None
    os_version: str | None = None
    arch: str | None = None
    runtime: str | None = None
    device: str | None = None
    ci: bool | None = None
    bot: bool = False
    kind: str | None = None
    ci_name: str | None = None
    distro: str | None = None
    distro_version: str | None = None
    kernel: str | None = None


_NO_ONE: Final = Client(None)


def identify(user_agent: str) -> Client:
    """Read a User-Agent header field.

    Args:
        user_agent: the field's value; anything at all, the empty string included.

    Returns:
        what it says. The same text always gives the same answer.
    """
    return _identify(user_agent[:AGENT_CHARS])


@lru_cache(maxsize=_CACHED)
def _identify(agent: str) -> Client:
    agent = normal(agent)
    lower = agent.lower()
    if lower in _NOBODY:
        return _NO_ONE
    if lower[-1] == "}" and (facts := _JSON.match(agent)) and (client := _installer(facts[1], facts[2], facts[3])):
        return client
    products, comments = split(agent)
    product, name, kind = _choose(products)
    if kind is None or kind in _ANONYMOUS or (not product.version and len(products) > 1):
        # A library's user agent may carry its caller's name, and a lone word ("Snap ...") may only look like a client's;
        # a client that gives its version is never a crawler, whatever else it says.
        browser = kind is None and (lower.startswith(_BROWSER) or lower == "mozilla")
        crawler = find_crawler(lower, browser) if kind is None else find_named_crawler(lower)
        if crawler:
            return _bot(crawler, lower)
        if browser:
            return _browser(agent, lower)
    if kind is None:
        # "fetch libfetch/2.0": the rest of the words were no part of the name.
        name, kind = _first_word(product.name) or (name, None)
    return _plain(agent, lower, product, name, kind, comments)


def _first_word(product: str) -> tuple[str, str] | None:
    word, space, _ = product.lower().partition(" ")
    return NAMES.get(word) if space else None


def _choose(products: list[Product]) -> tuple[Product, str | None, str | None]:
    """Choose the product that says most: "Python-urllib/3.6 setuptools/1.0" is setuptools, "Boto3/1.6 Botocore/1.9" is Boto3."""
    if not products:
        return Product(""), None, None
    chosen = (products[0], *_look_up(products[0].name))
    if chosen[2] in _ANONYMOUS or (chosen[2] is None and products[0].name.lower() == "mozilla"):
        for product in products[1:]:
            name, kind = _look_up(product.name)
            if kind and _RANKS[kind] < _RANKS[chosen[2] or "library"]:
                chosen = (product, name, kind)
    return chosen


def _look_up(product: str) -> tuple[str | None, str | None]:
    lower = product.lower()
    if row := NAMES.get(lower):
        return row
    if lower.startswith("nuget") and "explorer" not in lower:
        # "NuGet Command Line", "NuGet VS VSIX", "NuGet .NET Core MSBuild Task": one client, many doors.
        return "nuget", "package"
    if lower.endswith(" apt-http"):
        return "apt", "package"
    if found := _RESHARPER.match(lower):
        return f"jetbrains resharper platform vs{_YEARS.get(found[1], found[1])}", "package"
    before, _, last = lower.rpartition(" ")
    if before and (row := NAMES.get(last)) and row[1] not in _ANONYMOUS:
        # "HashiCorp Terraform", "Ruby, RubyGems": the maker's name in front.
        return row
    if lower.partition("-")[0] in _FAMILIES and find_named_crawler(lower) is None:
        return _short(lower), "package"
    return _short(lower), None


def _plain(agent: str, lower: str, product: Product, name: str | None, kind: str | None, comments: list[str]) -> Client:
    facts = dict(_FACTS.findall(agent))
    os = normal_os(facts["os"]) if "os" in facts else _os(lower)
    kernel = _KERNEL.search(agent)
    ci = _CI.search(agent)
    client = Client(
        name=name,
        version=_version(product.version),
        os=_short(os),
        os_version=_short(find_os_version(lower, os)) if os else None,
        arch=_short(facts.get("arch") or find_arch(agent)),
        runtime=_short(find_runtime(agent)),
        device="server" if kind == "mirror" else None,
        ci=True if ci or any(system in lower for system in _BUILD) else None,
        kind=kind,
        ci_name=_short((ci[1] or ci[2]).strip()) if ci else None,
        kernel=_short(facts.get("kernel") or (kernel[1] if kernel else None)),
    )
    form = FORMATS.get(name or "")
    if form is None:
        return client
    told = {field: _short(value) for field, value in form(agent, comments).items()}
    return attrs.evolve(client, **told)  # type: ignore[arg-type]  # a form answers text fields only


def _os(lower: str) -> str | None:
    if "cfnetwork/" in lower and "x86_64" not in lower:
        # Apple's library says "Darwin" on every device that Apple makes.
        return None
    return find_os(lower)


def _browser(agent: str, lower: str) -> Client:
    os = find_os(lower)
    return Client(
        name="browser",
        version=_browser_version(agent),
        os=os,
        os_version=_short(find_os_version(lower, os)) if os else None,
        arch=_short(find_arch(agent)),
        device=find_device(lower, os),
        kind="browser",
    )


def _browser_version(agent: str) -> str | None:
    found = max(_ENGINES.finditer(agent), key=lambda found: _ENGINE_RANK[found[1]], default=None)
    return _short(found[2]) if found else None


def _bot(crawler: str, lower: str) -> Client:
    at = lower.find(crawler)
    found = _FOLLOWS.match(lower, at + len(crawler)) if at >= 0 else None
    kind = "scanner" if is_scanner(crawler) else "bot"
    return Client(name=_short(crawler), version=_short(found[1]) if found else None, bot=True, kind=kind)


def _installer(product: str, version: str, text: str) -> Client | None:
    """Read the JSON of pip's `user_agent()`, which uv writes as well; its words are those of PEP 508's environment."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    name, kind = _look_up(product)
    system = _word(data, "system", "name")
    os = normal_os(system) if system else None
    distro_version = _word(data, "distro", "version")
    runtime, runtime_version = _word(data, "implementation", "name"), _word(data, "implementation", "version")
    if runtime is None and _word(data, "python"):
        runtime, runtime_version = "Python", _word(data, "python")
    release = _word(data, "system", "release")
    return Client(
        name=name,
        version=_version(version),
        os=os,
        os_version=distro_version if os == "macos" else release if os == "windows" else None,
        arch=_word(data, "cpu"),
        runtime=_short("/".join(filter(None, (runtime, runtime_version)))),
        ci=True if data.get("ci") is True else None,
        kind=kind or "package",
        distro=_word(data, "distro", "name"),
        distro_version=distro_version,
        kernel=None if os == "windows" else release,
    )


def _word(data: Mapping[str, object], *keys: str) -> str | None:
    value: object = data
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return _short(value) if isinstance(value, str) else None


def _version(text: str) -> str | None:
    # "npm/?" and "Homebrew/4.X.Y" are ways to say that nobody knows; only the first is worthless.
    return None if text in {"?", "unset"} else _short(text)


def _short(text: str | None) -> str | None:
    return text[:_VALUE_CHARS] if text else None
