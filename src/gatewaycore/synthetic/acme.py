"""Acme's year: what Acme distributes, under which configuration, and who fetches it. All of them are made up."""

from __future__ import annotations

from typing import Final

from attrs import frozen

CONFIG: Final = """\
# Everything that Acme distributes. Browsers and curl know that names below localhost are this machine.
gateway:
  username: acme
  data-dir: {data_dir}

packages:
  # docker pull docker.acme.localhost:{port}/acme/rocket-skates
  - name: acme/rocket-skates
    type: container
    domain: docker.acme.localhost
    backend: ghcr.io/acme/rocket-skates

  # curl -L http://get.acme.localhost:{port}/install.sh
  - name: rocket-skates-cli
    type: file
    domain: get.acme.localhost
    routes:
      - {{incoming-path: "/{{platform}}/{{version}}/rocket-skates.tgz", outgoing-url: "https://cdn.acme.example/{{version}}/rocket-skates-{{platform}}.tgz"}}
      - {{incoming-path: /install.sh, outgoing-url: "https://cdn.acme.example/install.sh"}}

  - name: rocket-skates
    type: python
    domain: py.acme.localhost
    files:
      - {{file-name: rocket_skates-2.0.0-py3-none-any.whl, url: "https://files.acme.example/rocket_skates-2.0.0-py3-none-any.whl"}}

  - name: "@acme/rocket-skates"
    type: npm
    domain: npm.acme.localhost
    registry: https://registry.acme.example

  # http://px.acme.localhost:{port}/a.png?page=readme
  - name: docs
    type: pixel
    domain: px.acme.localhost
    incoming-path: /a.png

  - name: usage
    type: event
    domain: in.acme.localhost
    incoming-path: "/v1/{{event}}"

  - name: post-install
    type: install
    domain: in.acme.localhost

  - name: old-site
    type: catch-all
    domain: old.acme.localhost
    redirect-target-domain: acme.example

collections:
  - {{domain: docker.acme.localhost, pattern: "acme/*", backend: ghcr.io}}

badges:
  domains: [badges.acme.localhost]
  packages:
    - acme/rocket-skates
    - rocket-skates-cli
    - rocket-skates
    - "@acme/rocket-skates"
    - docs
    - "acme/*"

console:
  domain: console.acme.localhost
  organisation: acme
"""
"""Of the gateway; what stands in braces is filled in."""


@frozen
class Offer:
    """One thing that Acme distributes.

    Attributes:
        package, type, kind: as events have them.
        domain: without the part that all have in common.
        label: of the rule's path.
        share: how often it is asked for, of all, when the year begins.
        growth: by how much that is multiplied by its end.
        clients: the families that fetch it, with their shares.
        releases: the days of its versions, from the year's beginning.
        decision, target: of the gateway.
        platforms: whether it has one.
    """

    package: str
    type: str
    kind: str
    domain: str
    label: str
    share: float
    growth: float
    clients: tuple[tuple[str, float], ...]
    releases: tuple[tuple[int, str], ...] = ()
    decision: str = "redirect"
    target: str | None = None
    platforms: bool = False


_VERSIONS = (
    (-200, "1.0.0"), (-70, "1.1.0"), (24, "1.2.0"), (31, "1.2.1"), (95, "1.3.0"), (163, "1.4.0"), (170, "1.4.1"), (246, "2.0.0"),
    (259, "2.0.1"), (318, "2.1.0"),
)  # fmt: skip
_DOCKERS = (("docker", 6.0), ("containerd", 5.0), ("skopeo", 0.5), ("scanner", 0.4))

OFFERS: Final = (
    Offer("acme/rocket-skates", "container", "pull", "docker", "/acme/rocket-skates", 26, 1.9, _DOCKERS, _VERSIONS, "redirect", "ghcr.io"),
    Offer("acme/anvil", "container", "pull", "docker", "/acme/*", 9, 1.1, _DOCKERS, _VERSIONS[1::2], "redirect", "ghcr.io"),
    Offer("acme/tunnel-paint", "container", "pull", "docker", "/acme/*", 1, 6.0, _DOCKERS, ((140, "0.1.0"), (230, "0.2.0"), (331, "0.3.0")),
          "redirect", "ghcr.io"),
    Offer("rocket-skates-cli", "file", "download", "get", "/{platform}/{version}/rocket-skates.tgz", 18, 1.5,
          (("curl", 5.0), ("wget", 1.0), ("firefox", 1.0), ("googlebot", 0.2)), _VERSIONS, "redirect", "cdn.acme.example", True),
    Offer("rocket-skates", "python", "download", "py", "/simple/rocket-skates/{file}", 20, 1.7,
          (("pip", 6.0), ("uv", 3.0), ("mirror", 0.8)), _VERSIONS, "redirect", "files.acme.example", True),
    Offer("@acme/rocket-skates", "npm", "download", "npm", "/npm/@acme/rocket-skates", 10, 2.4, (("npm", 5.0), ("pnpm", 2.0)),
          _VERSIONS[4:], "redirect", "registry.acme.example"),
    Offer("docs", "pixel", "view", "px", "/a.png", 16, 1.4, (("firefox", 3.0), ("chrome", 8.0), ("googlebot", 0.6)), (), "respond"),
    Offer("usage", "event", "event", "in", "/v1/{event}", 8, 2.0, (("rocket", 1.0),), _VERSIONS[2:], "respond", None, True),
    Offer("post-install", "install", "install", "in", "/package-event/install", 4, 2.2, (("npm", 1.0),), _VERSIONS[4:], "respond"),
    Offer("old-site", "catch-all", "download", "old", "/{+path}", 3, 0.3, (("firefox", 2.0), ("chrome", 4.0), ("googlebot", 1.5)), (),
          "redirect", "acme.example"),
)  # fmt: skip

CLIENTS: Final = {
    "docker": (("docker/{} go/go1.22.5 kernel/6.8.0 os/linux arch/amd64", ("26.1.3", "27.1.1", "28.0.1")),),
    "containerd": (("containerd/{}", ("1.7.20", "2.0.1")),),
    "skopeo": (("skopeo/{}", ("1.14.2",)),),
    "scanner": (("Mozilla/5.0 (compatible; CensysInspect/{}; +https://about.censys.io/)", ("1.1",)),),
    "curl": (("curl/{}", ("7.88.1", "8.5.0", "8.9.1")),),
    "wget": (("Wget/{}", ("1.21.4",)),),
    "pip": (
        ('pip/{0} {{"ci":null,"cpu":"x86_64","installer":{{"name":"pip","version":"{0}"}},"python":"3.12.3","system":{{"name":"Linux"}}}}',
         ("23.0.1", "24.2", "25.0")),
        ('pip/{0} {{"ci":true,"cpu":"x86_64","installer":{{"name":"pip","version":"{0}"}},"python":"3.11.9","system":{{"name":"Linux"}}}}',
         ("24.2", "25.0")),
    ),
    "uv": (("uv/{}", ("0.4.18", "0.5.9")),),
    "mirror": (("bandersnatch/{} (cpython 3.12.3-final0, Linux x86_64)", ("6.6.0",)),),
    "npm": (
        ("npm/{} node/v22.9.0 linux x64 workspaces/false", ("10.8.2", "11.0.0")),
        ("npm/{} node/v20.18.0 linux x64 workspaces/false ci/github-actions", ("10.8.2",)),
    ),
    "pnpm": (("pnpm/{} npm/? node/v20.18.0 linux x64", ("9.12.1",)),),
    "firefox": (("Mozilla/5.0 (X11; Linux x86_64; rv:{0}) Gecko/20100101 Firefox/{0}", ("128.0", "131.0")),),
    "chrome": (
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{} Safari/537.36",
         ("127.0.0.0", "130.0.0.0")),
    ),
    "googlebot": (("Mozilla/5.0 (compatible; Googlebot/{}; +http://www.google.com/bot.html)", ("2.1",)),),
    "rocket": (("rocket-skates/{}", ("1.4.1", "2.0.1", "2.1.0")),),
}  # fmt: skip
"""By family: User-Agents and the versions that they have; where there are two, the second is that of build systems."""

PAGES: Final = (
    ("https://docs.acme.example/", 20), ("https://docs.acme.example/install", 16), ("https://docs.acme.example/quickstart", 13),
    ("https://docs.acme.example/guides/steering", 7), ("https://docs.acme.example/guides/braking", 5),
    ("https://docs.acme.example/reference/cli", 6), ("https://github.com/acme/rocket-skates", 14),
    ("https://acme.example/blog/rocket-skates-2", 5), ("https://acme.example/pricing", 4), ("", 2),
)  # fmt: skip
PLATFORMS: Final = (
    ("linux", "amd64", 52),
    ("linux", "arm64", 17),
    ("darwin", "arm64", 19),
    ("darwin", "amd64", 5),
    ("windows", "amd64", 7),
)

PLACES: Final = (
    ("US", "California", "San Francisco", -8, 14), ("US", "Virginia", "Ashburn", -5, 12), ("US", "New York", "New York", -5, 8),
    ("DE", "Hesse", "Frankfurt", 1, 8), ("DE", "Berlin", "Berlin", 1, 6), ("IN", "Karnataka", "Bengaluru", 5, 9),
    ("GB", "England", "London", 0, 7), ("FR", "Île-de-France", "Paris", 1, 5), ("IE", "Leinster", "Dublin", 0, 4),
    ("BR", "São Paulo", "São Paulo", -3, 5), ("JP", "Tokyo", "Tokyo", 9, 6), ("NL", "North Holland", "Amsterdam", 1, 4),
    ("CN", "Shanghai", "Shanghai", 8, 4), ("PL", "Mazovia", "Warsaw", 1, 3), ("CA", "Ontario", "Toronto", -5, 4),
    ("AU", "New South Wales", "Sydney", 10, 3), ("SG", None, "Singapore", 8, 3), ("SE", "Stockholm", "Stockholm", 1, 2),
    ("KR", "Seoul", "Seoul", 9, 2), ("ZA", "Gauteng", "Johannesburg", 2, 1), ("NZ", "Auckland", "Auckland", 12, 1),
)  # fmt: skip
"""Country, region, city, hours that clocks are ahead, and the share of callers."""

CLOUDS: Final = (("aws", 45), ("gcp", 20), ("azure", 22), ("hetzner", 6), ("digitalocean", 5), ("oracle", 2))

_FIRST = (
    "Northwind", "Contoso", "Globex", "Initech", "Umbrella", "Soylent", "Hooli", "Vandelay", "Wonka", "Stark", "Wayne", "Tyrell",
    "Cyberdyne", "Aperture", "Monarch", "Zephyr", "Bluebird", "Kestrel", "Juniper", "Marigold", "Granite", "Copper", "Harbour", "Lantern",
    "Meridian", "Nimbus", "Orchard", "Pinnacle", "Quarry", "Riverbend",
)  # fmt: skip
_SECOND = (
    "Robotics",
    "Logistics",
    "Software",
    "Bank",
    "Health",
    "Energy",
    "Aerospace",
    "Foods",
    "Media",
    "Insurance",
    "Motors",
    "University",
)
COMPANIES: Final = tuple(
    f"{first} {_SECOND[(place + turn) % len(_SECOND)]}" for turn in range(len(_SECOND)) for place, first in enumerate(_FIRST)
)
