"""The configuration: what it says when all is well, and exactly what it says when it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from attrs import field, frozen

from gatewaycore.config import Config, DomainDefaults, GatewaySettings, Rosters, close_enrichers, open_enrichers, read_config
from gatewaycore.config.opening import check_sinks
from gatewaycore.enrich import ENRICHMENTS, Caller, ClientEnrichment, Refreshed
from gatewaycore.errors import ConfigError, MissingExtraError, Problem
from gatewaycore.owntraffic import OwnHeader, OwnTrafficSettings
from gatewaycore.request import Request
from gatewaycore.route import Api
from gatewaycore.rules import RULES, CatchAllRule, CollectionRule, ContainerRule, EventRule, FileRule, PixelRule
from gatewaycore.rules.file import RouteSettings
from gatewaycore.rules.limits import Limits
from gatewaycore.sinks import JsonlStorage, LakeStorage, Sink
from tests.networks import write_database

HASHED = "sha256:" + "0a" * 32


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, name: str = "gateway.yaml", environ: Mapping[str, str] | None = None) -> Config:
    Path(name).write_text(text, encoding="utf-8")
    return read_config(name, environ=environ or {})


def problems(source: Any, name: str = "gateway.yaml") -> list[str]:
    if isinstance(source, str):
        Path(name).write_text(source, encoding="utf-8")
        source = name
    with pytest.raises(ConfigError) as caught:
        read_config(source, environ={})
    return [str(problem) for problem in caught.value.problems]


def package(**keys: Any) -> dict[str, Any]:
    keys = {"name": "cli", "type": "file", "domain": "get.acme.example", "incoming-path": "/x", **keys}
    return {key.replace("_", "-"): value for key, value in keys.items() if value is not ...}


# --- what is read --------------------------------------------------------------------------------------------------------

EVERYTHING = f"""
gateway:
  redirect-status: 303
  trusted-proxies: [10.0.0.0/8, "2001:db8::/32", 192.0.2.1]
  base-domain: gateway.acme.example
  username: acme
  default-domain: get.acme.example
  limits: {{events: 10}}
  salt-rotation: day
domains:
  Get.Acme.Example: {{redirect-status: 301}}
packages:
  - {{name: acme/rocket-skates, type: container, domain: docker.acme.example, backend: ghcr.example/acme/rocket-skates}}
  - name: rocket-skates-cli
    type: file
    domain: get.acme.example
    routes:
      - {{incoming-path: "/{{platform}}/{{version}}/x.tgz", outgoing-url: "https://cdn.acme.example/{{version}}/x-{{platform}}.tgz"}}
      - {{incoming-path: /install.sh, outgoing-url: https://cdn.acme.example/install.sh, priority: 2}}
  - {{name: docs, type: pixel, domain: "*.acme.example", incoming-path: /a.png}}
  - {{name: usage, type: event, domain: in.acme.example, incoming-path: "/v1/{{event}}", access-tokens: ["{HASHED}"], response-status: 204}}
  - {{name: old-site, type: catch-all, domain: old.acme.example, redirect-target-domain: acme.example, redirect-status: 308}}
collections:
  - {{domain: docker.acme.example, pattern: "acme/*", backend: ghcr.example, strategy: proxy}}
sinks:
  - jsonl
  - {{type: jsonl, path: events.jsonl}}
enrich:
  - client
"""


def test_every_section() -> None:
    limits = Limits(events=10)
    config = read(EVERYTHING)
    assert config == Config(
        gateway=GatewaySettings(
            redirect_status=303,
            trusted_proxies=("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"),
            base_domain="gateway.acme.example",
            username="acme",
            default_domain="get.acme.example",
            limits=limits,
            salt_rotation="day",
        ),
        domains={"get.acme.example": DomainDefaults(redirect_status=301)},
        packages=(
            ContainerRule(
                name="acme/rocket-skates", domain="docker.acme.example", backend="ghcr.example/acme/rocket-skates", redirect_status=303
            ),
            FileRule(
                name="rocket-skates-cli",
                domain="get.acme.example",
                routes=(
                    RouteSettings(
                        incoming_path="/{platform}/{version}/x.tgz", outgoing_url="https://cdn.acme.example/{version}/x-{platform}.tgz"
                    ),
                    RouteSettings(incoming_path="/install.sh", outgoing_url="https://cdn.acme.example/install.sh", priority=2),
                ),
                redirect_status=301,
                limits=limits,
            ),
            PixelRule(name="docs", domain="*.acme.example", incoming_path="/a.png"),
            EventRule(
                name="usage",
                domain="in.acme.example",
                incoming_path="/v1/{event}",
                access_tokens=(HASHED,),
                response_status=204,
                limits=limits,
            ),
            CatchAllRule(name="old-site", domain="old.acme.example", redirect_target_domain="acme.example", redirect_status=308),
        ),
        collections=(
            CollectionRule(domain="docker.acme.example", pattern="acme/*", backend="ghcr.example", strategy="proxy", redirect_status=303),
        ),
        sinks=(JsonlStorage(), JsonlStorage(path="events.jsonl")),
        enrich=(ClientEnrichment(),),
    )
    assert config.rules == (*config.packages, *config.collections)
    assert [config.sink_name(position) for position in range(2)] == ["jsonl", "jsonl-2"]


def test_a_mapping_and_json_say_the_same_as_yaml() -> None:
    data = {"gateway": {"redirect-status": 307}, "packages": [package(variables={"version": "release"}, priority=3)]}
    from_mapping = read_config(data)
    assert read(json.dumps(data), "gateway.json") == from_mapping
    assert read(json.dumps(data), "gateway") == from_mapping
    assert read(json.dumps(data), "gateway.yaml") == from_mapping
    assert read("{packages: [{name: x, type: pixel, domain: px.acme.example}]}", "flow").packages[0] == PixelRule(
        name="x", domain="px.acme.example"
    )
    assert read_config(Path("gateway.json")) == from_mapping


def test_nothing_said_means_the_defaults() -> None:
    config = read_config({})
    assert config == Config()
    assert config.gateway.data_dir == "gatewaycore-data"
    assert config.enrich == (ClientEnrichment(),)
    assert read_config({"sinks": [], "enrich": [], "packages": None}) == Config(sinks=(), enrich=())


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1.10", "1.10"),
        ("yes", "yes"),
        ("007", "007"),
        ("2024-01-01", "2024-01-01"),
        ("0x1f", "0x1f"),
        ("'null'", "null"),
        ('"302"', "302"),
        ("1e3", "1e3"),
        ("!!str 12", "12"),
        (".inf", ".inf"),
    ],
)
def test_text_is_what_was_written(written: str, value: str) -> None:
    rule = read(f"packages: [{{name: {written}, type: pixel, domain: px.acme.example}}]").packages[0]
    assert isinstance(rule, PixelRule)
    assert rule.name == value
    assert type(rule.name) is str


@pytest.mark.parametrize("nothing", ["", "~", "null", "Null"])
def test_null_means_absent(nothing: str) -> None:
    config = read(
        f"gateway:\n  redirect-status: 307\n  base-domain: {nothing}\npackages:\n"
        f"- name: x\n  type: file\n  domain: a.example\n  incoming-path: /x\n"
        f"  redirect-status: {nothing}\n  id: {nothing}\n  priority: {nothing}\n"
    )
    assert config.packages == (FileRule(name="x", domain="a.example", incoming_path="/x", redirect_status=307),)


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("No", False), ("on", True), ("OFF", False), ("true", True), ("False", False)])
def test_truth_values_have_the_words_of_yaml(word: str, value: bool) -> None:
    files = f"files: [{{file-name: x-1.tar.gz, url: https://files.index.example/x-1.tar.gz, gpg-sig: {word}, yanked: {word}}}]"
    (rule,) = read(f"packages: [{{name: x, type: python, domain: py.acme.example, {files}}}]").packages
    assert rule.files[0].gpg_sig is value  # type: ignore[attr-defined]
    assert rule.files[0].yanked is value  # type: ignore[attr-defined]


def test_aliases_repeat_values() -> None:
    config = read(
        "packages:\n- {name: a, type: file, domain: a.example, incoming-path: /a, "
        "limits: &l {events: 5}, variables: &v {version: release}}\n"
        "- {name: &n b, type: file, domain: b.example, incoming-path: /b, limits: *l, variables: *v, id: *n}\n"
    )
    assert config.packages[1] == FileRule(
        name="b", id="b", domain="b.example", incoming_path="/b", limits=Limits(events=5), variables={"version": "release"}
    )


def test_a_package_inherits_from_its_domain_and_that_from_the_gateway() -> None:
    config = read_config(
        {
            "gateway": {"redirect-status": 307, "strategy": "proxy", "limits": {"events": 7, "body-bytes": 70}},
            "domains": {"A.Example.": {"redirect-status": 301, "limits": {"events": 8}}, "b.example": {"strategy": "redirect"}},
            "packages": [
                package(name="1", domain="a.example"),
                package(name="2", domain="a.example", redirect_status=303, limits={"body-bytes": 90}),
                package(name="3", domain="b.example"),
                {"name": "x/y", "type": "container", "domain": "b.example", "backend": "ghcr.example/x/y"},
                {"name": "x/z", "type": "container", "domain": "c.example", "backend": "ghcr.example/x/z"},
            ],
        }
    )
    one, two, three, image, other = config.packages
    assert (one.redirect_status, one.limits) == (301, Limits(70, 8))  # type: ignore[attr-defined]
    assert (two.redirect_status, two.limits) == (303, Limits(90, 8))  # type: ignore[attr-defined]
    assert (three.redirect_status, three.limits) == (307, Limits(70, 7))  # type: ignore[attr-defined]
    assert (image.redirect_status, image.strategy) == (307, "redirect")  # type: ignore[attr-defined]
    assert other.strategy == "proxy"  # type: ignore[attr-defined]


def test_supplied_domains() -> None:
    config = read_config(
        {
            "gateway": {"base-domain": "gw.example", "username": "acme"},
            "packages": [package(domain=...), {"name": "x/y", "type": "container", "backend": "ghcr.example/x/y"}],
            "collections": [{"pattern": "x/*", "backend": "ghcr.example"}],
        }
    )
    assert [rule.domain for rule in config.rules] == ["acme.gateway.gw.example", "acme.docker.gw.example", "acme.docker.gw.example"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("GET.Acme.Example.", "get.acme.example"),
        ("*.acme.example", "*.acme.example"),
        ("*", "*"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_domains_are_normalised(written: str, domain: str) -> None:
    (rule,) = read_config({"packages": [package(domain=written)]}).packages
    assert rule.domain == domain  # type: ignore[attr-defined]


def test_secrets_come_from_the_environment() -> None:
    assert read("sinks: [{type: jsonl, path-env: WHERE}]", environ={"WHERE": "x.jsonl"}).sinks == (JsonlStorage(path="x.jsonl"),)


def test_other_distributions_add_types() -> None:
    rosters = Rosters(rules={**RULES, "link": CatchAllRule})
    data = {"packages": [{"type": "link", "name": "x", "domain": "x.example", "redirect-target-domain": "y.example"}]}
    assert isinstance(read_config(data, rosters=rosters).packages[0], CatchAllRule)
    wanted = "packages[0].type: unknown type 'link' (one of catch-all, container, event, file, install, npm, pixel, python)"
    assert problems(data) == [wanted]


@frozen
class Store:
    """Settings of a sink of another distribution."""

    password: str = field(repr=False)
    every_s: float = 1.0
    names: list[str] = field(factory=list)
    level: Literal[1, 2] = 1
    note: str | bool | None = "x"

    def open(self) -> Sink:
        raise NotImplementedError


def test_options_of_a_sink_come_from_the_environment_too() -> None:
    written = "sinks: [{type: lake, storage-options: {region: x, type: y, secret-key-env: KEY}}]"
    assert read(written, environ={"KEY": "hush"}).sinks == (
        LakeStorage(storage_options={"region": "x", "type": "y", "secret-key": "hush"}),
    )
    with pytest.raises(ConfigError) as caught:
        read(written + "\nenrich: []")
    assert [problem.where for problem in caught.value.problems] == ["gateway.yaml:1: sinks[0].storage-options.secret-key-env"]


STORES = Rosters(sinks={"store": Store})


@pytest.mark.parametrize(("written", "value"), [("1", 1.0), ("0.5", 0.5), ("1e3", 1000.0), (".5", 0.5)])
def test_numbers(written: str, value: float) -> None:
    Path("gateway.yaml").write_text(f"sinks: [{{type: store, password: x, every-s: {written}, names: [a, 1], level: 2, note: off}}]")
    assert read_config("gateway.yaml", rosters=STORES).sinks == (Store("x", value, ["a", "1"], 2, False),)
    assert read_config({"sinks": [{"type": "store", "password": "x", "every-s": value}]}, rosters=STORES).sinks == (Store("x", value),)


@pytest.mark.parametrize("state", ["mysql://gw:sesam@db.acme.example/gw", "http://db.acme.example", "postgresql://", " "])
def test_a_state_is_a_path_or_a_url_of_postgresql(state: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config({"console": {"domain": "console.acme.example", "state": state}})
    what = "console.state: is neither a path nor a URL of PostgreSQL (write postgresql://user:password@host/database, or console.sqlite3)"
    assert [str(problem) for problem in caught.value.problems] == [what]


@pytest.mark.parametrize("state", ["console.sqlite3", "postgresql://gw:sesam@db.acme.example/gw"])
def test_a_state_is_taken_as_written(state: str) -> None:
    console = read_config({"console": {"domain": "console.acme.example", "state": state}}).console
    assert console is not None
    assert console.state == state


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config({"sinks": [{"type": "store", "password": 31337, "every-s": "0.5", "level": True, "note": 4}]}, rosters=STORES)
    assert [str(problem) for problem in caught.value.problems] == [
        "sinks[0].password: not what is wanted here, and a secret, so it is not shown (text is written in quotes)",
        "sinks[0].every-s: expected a number, found '0.5' (write it without quotes)",
        "sinks[0].level: true is not one of 1, 2",
        "sinks[0].note: expected text, found 4 (write it in quotes)",
    ]


def test_a_secret_in_the_place_of_its_mapping_is_not_shown() -> None:
    image = {"name": "acme/x", "type": "container", "domain": "d.acme.example", "backend": "ghcr.io/acme/x", "credentials": "hunter2"}
    with pytest.raises(ConfigError) as caught:
        read_config({"packages": [image]})
    assert "packages[0].credentials: expected a mapping, and what is here may be a secret" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_was_read_is_compiled_already() -> None:
    config = read_config(
        {"gateway": {"default-domain": "get.acme.example"}, "packages": [package(outgoing_url="https://cdn.acme.example/x")]}
    )
    gateway = config.compile()
    assert config.compile() is gateway
    assert gateway.decide(Request("GET", "unknown.example", "/x")).rule == "get.acme.example/x"


def test_a_config_made_by_hand_compiles_too() -> None:
    config = Config(packages=(FileRule(name="x", domain="get.acme.example", incoming_path="/x"),))
    assert config.compile().decide(Request("GET", "get.acme.example", "/x")).rule == "get.acme.example/x"
    broken = Config(
        packages=(FileRule(name="x", domain="a.example", incoming_path="/{a}{b}"), FileRule(name="y", domain="a.example")),
    )
    with pytest.raises(ConfigError) as caught:
        broken.compile()
    assert [problem.where for problem in caught.value.problems] == ["packages[0].incoming-path", "packages[1].incoming-path"]
    strangers = Config(
        packages=(
            FileRule(name="x", domain="a.example", incoming_path="/x", routes=(RouteSettings(incoming_path="/y"),)),
            ContainerRule(name="acme/x", domain="a.example", backend="ghcr.example/acme/x", strategy="proxy"),
        ),
        collections=(CollectionRule(domain="a.example", pattern="acme/*", backend="quay.example", strategy="proxy"),),
    )
    with pytest.raises(ConfigError) as caught:
        strangers.compile()
    assert [problem.where for problem in caught.value.problems] == ["collections[0].backend"]


# --- what is wrong ---------------------------------------------------------------------------------------------------------

KNOWN_TYPES = "one of catch-all, container, event, file, install, npm, pixel, python"

IN_YAML = {
    "empty": ("", ["gateway.yaml: there is nothing in it (it begins with a section such as packages:)"]),
    "only comments": ("# nothing\n", ["gateway.yaml: there is nothing in it (it begins with a section such as packages:)"]),
    "a list": ("- x\n", ["gateway.yaml: expected a mapping, found a list (it begins with a section such as packages:)"]),
    "text": ("x", ["gateway.yaml: expected a mapping, found 'x' (it begins with a section such as packages:)"]),
    "unknown section": ("package: []\n", ["gateway.yaml:1: package: unknown key (did you mean 'packages'?)"]),
    "unknown section, nothing near": (
        "xyzzy: []\n",
        [
            "gateway.yaml:1: xyzzy: unknown key (known here: badges, collections, console, domains, enrich, gateway, "
            "operations, packages, sinks, sources, traces)"
        ],
    ),
    "unknown key": (
        "packages:\n- name: x\n  type: file\n  domain: a.example\n  incoming_path: /x\n",
        ["gateway.yaml:5: packages[0].incoming_path: unknown key (did you mean 'incoming-path'?)"],
    ),
    "unknown key without a value": (
        "gateway:\n  trusted-proxy:\n",
        ["gateway.yaml:2: gateway.trusted-proxy: unknown key (did you mean 'trusted-proxies'?)"],
    ),
    "unknown key deep down": (
        "packages:\n- name: x\n  type: file\n  domain: a.example\n  routes:\n"
        "  - incoming-path: /x\n  - incoming-path: /y\n    outgoing: z\n",
        ["gateway.yaml:8: packages[0].routes[1].outgoing: unknown key (did you mean 'outgoing-url'?)"],
    ),
    "merge key": (
        "x: &x {a: b}\ngateway:\n  <<: *x\n",
        [
            "gateway.yaml:1: x: unknown key (known here: badges, collections, console, domains, enrich, gateway, "
            "operations, packages, sinks, sources, traces)",
            "gateway.yaml:3: gateway.'<<': merge keys are not read (give packages what they share under gateway: or domains:)",
        ],
    ),
    "unknown type": (
        "packages:\n- {name: x,\n   type: fil}\n",
        ["gateway.yaml:3: packages[0].type: unknown type 'fil' (did you mean 'file'?)"],
    ),
    "no type": ("packages:\n- name: x\n", [f"gateway.yaml:2: packages[0].type: is missing ({KNOWN_TYPES})"]),
    "type is no text": (
        "packages:\n- type: [file]\n",
        [f"gateway.yaml:2: packages[0].type: expected the name of a type, found a list ({KNOWN_TYPES})"],
    ),
    "package is text": (
        "packages:\n- file\n",
        ["gateway.yaml:2: packages[0]: expected a mapping, found 'file' (an entry begins with - and has a type)"],
    ),
    "packages are a mapping": (
        "packages:\n  x: {type: file}\n",
        ["gateway.yaml:1: packages: expected a list, found a mapping (an entry begins with - and has a type)"],
    ),
    "no way in": (
        "packages:\n- {name: x, type: file, domain: a.example}\n",
        ["gateway.yaml:2: packages[0].incoming-path: is missing (give the package an incoming-path, or a list of routes)"],
    ),
    "no name": ("packages:\n- {type: pixel, domain: a.example}\n", ["gateway.yaml:2: packages[0].name: is missing"]),
    "no domain": (
        "gateway: {base-domain: gw.example}\npackages:\n- {name: x, type: pixel}\n",
        ["gateway.yaml:3: packages[0].domain: is missing (write domain:, or both base-domain: and username: under gateway:)"],
    ),
    "scalar types": (
        "gateway:\n  redirect-status: '302'\n  base-domain: {x}\n  trusted-proxies: 10.0.0.0/8\n  strategy: prox\n  salt-rotation: year\n",
        [
            "gateway.yaml:2: gateway.redirect-status: expected a whole number, found '302' (write it without quotes)",
            "gateway.yaml:3: gateway.base-domain: expected text, found a mapping (text that begins with { is written in quotes)",
            "gateway.yaml:4: gateway.trusted-proxies: expected a list, found '10.0.0.0/8' (write [ ] around it)",
            "gateway.yaml:5: gateway.strategy: 'prox' is not one of auto, redirect, proxy, broker (did you mean 'proxy'?)",
            "gateway.yaml:6: gateway.salt-rotation: 'year' is not one of month, day",
        ],
    ),
    "number that is none": (
        "packages:\n- name: x\n  type: pixel\n  domain: a.example\n  priority: 1_000\n",
        ["gateway.yaml:5: packages[0].priority: expected a whole number, found '1_000'"],
    ),
    "status": (
        "gateway:\n  redirect-status: 200\n",
        ["gateway.yaml:2: gateway.redirect-status: 200 is no redirect (one of 301, 302, 303, 307, 308)"],
    ),
    "response status": (
        "packages:\n- name: x\n  type: event\n  domain: a.example\n  incoming-path: /x\n  response-status: 201\n",
        ["gateway.yaml:6: packages[0].response-status: '201' is not one of 200, 204"],
    ),
    "network": (
        "gateway:\n  trusted-proxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/33\n",
        ["gateway.yaml:4: gateway.trusted-proxies[1]: '10.0.0.0/33' is no network (an address or a network in CIDR notation: 10.0.0.0/8)"],
    ),
    "domains": (
        "gateway: {base-domain: '*.a.example'}\ndomains: {'https://a.example/x': {}}\npackages:\n"
        "- {name: x, type: pixel, domain: 'a.example:8443'}\n- {name: x, type: pixel, domain: 'a b'}\n"
        "- {name: x, type: pixel, domain: 'a.*.example'}\n",
        [
            "gateway.yaml:1: gateway.base-domain: '*.a.example' is no domain (a host name such as get.acme.com)",
            "gateway.yaml:2: domains.'https://a.example/x': 'https://a.example/x' is no domain (write a.example)",
            "gateway.yaml:4: packages[0].domain: 'a.example:8443' is no domain (write a.example)",
            "gateway.yaml:5: packages[1].domain: 'a b' is no domain (a host name such as get.acme.com)",
            "gateway.yaml:6: packages[2].domain: 'a.*.example' is no domain (a host name such as get.acme.com)",
        ],
    ),
    "the same domain twice": (
        "domains:\n  a.example: {}\n  A.EXAMPLE: {}\n",
        ["gateway.yaml:3: domains.'A.EXAMPLE': a.example stands there twice (keep one of them)"],
    ),
    "limits": (
        "gateway:\n  limits:\n    body-bytes: 0\n    event: 1\n",
        [
            "gateway.yaml:3: gateway.limits.body-bytes: 0 is too small (a whole number from 1)",
            "gateway.yaml:4: gateway.limits.event: unknown key (did you mean 'events'?)",
        ],
    ),
    "a journal": (
        "gateway:\n  journal:\n    durable: never\n    keep-s: -1\n    keep-days: 0\n",
        [
            "gateway.yaml:3: gateway.journal.durable: 'never' is not one of process, disk",
            "gateway.yaml:4: gateway.journal.keep-s: -1 is too small (a whole number from 0)",
            "gateway.yaml:5: gateway.journal.keep-days: 0 is too small (a whole number from 1)",
        ],
    ),
    "allowed hosts": (
        "packages:\n- name: x\n  type: file\n  domain: a.example\n  incoming-path: /x\n  allowed-hosts: ['*.acme.example']\n",
        [
            "gateway.yaml:6: packages[0].allowed-hosts[0]: '*.acme.example' is no host "
            "(a host such as cdn.acme.com, with a port where it needs one; no wildcards)"
        ],
    ),
    "template": (
        "packages:\n- name: x\n  type: file\n  domain: a.example\n  routes:\n  - incoming-path: /ok\n  - incoming-path: /x/{a}{b}\n",
        ["gateway.yaml:7: packages[0].routes[1].incoming-path: two variables need a literal between them\n    /x/{a}{b}\n       ^^^^^^"],
    ),
    "a meaning that is none": (
        "packages:\n- name: x\n  type: file\n  domain: a.example\n  incoming-path: /x\n  variables:\n    release: version\n",
        ["gateway.yaml:7: packages[0].variables.release: no variable with a meaning (one of arch, package, page, platform, version)"],
    ),
    "sinks and enrichments": (
        "sinks:\n- jsonk\n- {type: jsonl, path-env: NOT_SET}\n- {type: jsonl, path: x, path-env: NOT_SET}\n- [x]\nenrich: client\n",
        [
            "gateway.yaml:2: sinks[0].type: unknown type 'jsonk' (did you mean 'jsonl'?)",
            "gateway.yaml:3: sinks[1].path-env: the environment has no NOT_SET (set it, or write path: instead)",
            "gateway.yaml:4: sinks[2].path-env: stands beside path (keep one of the two)",
            "gateway.yaml:5: sinks[3]: expected a mapping or the name of a type, found a list (an entry begins with - and has a type)",
            "gateway.yaml:6: enrich: expected a list, found 'client' (an entry begins with - and has a type)",
        ],
    ),
    "own traffic": (
        "gateway:\n  own-traffic:\n    networks: [10.0.0.0/8, 300.0.0.1]\n    user-agents:\n    - acme\n    - ' '\n    - 're:('\n"
        "    header:\n      name: X Own\n      value: sha256:short\n",
        [
            "gateway.yaml:3: gateway.own-traffic.networks[1]: '300.0.0.1' is no network "
            "(an address or a network in CIDR notation: 10.0.0.0/8)",
            "gateway.yaml:6: gateway.own-traffic.user-agents[1]: is empty, and would be every client's (a part of a User-Agent)",
            "gateway.yaml:7: gateway.own-traffic.user-agents[2]: RE2 does not take 're:(' "
            "(back-references and look-around are what it leaves out)",
            "gateway.yaml:9: gateway.own-traffic.header.name: 'X Own' is no name of a header field (a name such as X-Acme-Own)",
            "gateway.yaml:10: gateway.own-traffic.header.value: not what is wanted here, and a secret, so it is not shown "
            "(text is written in quotes)",
        ],
    ),
    "duplicate keys": (
        "gateway:\n  username: x\n  redirect-status: 302\n  username: y\ngateway: {}\n",
        [
            "gateway.yaml:4: gateway.username: this key stands there twice, on lines 2 and 4 (keep one of them)",
            "gateway.yaml:5: gateway: this key stands there twice, on lines 1 and 5 (keep one of them)",
        ],
    ),
    "tabs": (
        "gateway:\n\tusername: x\n",
        ["gateway.yaml:2:1: not YAML: found character that cannot start any token (indent with spaces: YAML takes no tabs)"],
    ),
    "star without quotes": (
        "packages:\n- domain: *.acme.example\n",
        [
            "gateway.yaml:2:12: not YAML: did not find expected alphabetic or numeric character "
            '(text that begins with * is written in quotes: "*.acme.com")'
        ],
    ),
    "colon in text": (
        "gateway: a: b\n",
        ['gateway.yaml:1:11: not YAML: mapping values are not allowed in this context (text with ": " or "{" in it is written in quotes)'],
    ),
    "unclosed": ("packages: [\n  x\n", ["gateway.yaml:3:1: not YAML: did not find expected ',' or ']', in what began on line 1"]),
    "control character": ("gateway: {username: a\x01}\n", ["gateway.yaml:1:22: not YAML: the character U+0001 is not allowed (remove it)"]),
    "two documents": (
        "gateway: {}\n---\ngateway: {}\n",
        ["gateway.yaml:2: a second document begins here (a configuration is one document; remove the ---)"],
    ),
    "tag": (
        "gateway: !!python/object:os.system x\n",
        ["gateway.yaml:1: the tag 'tag:yaml.org,2002:python/object:os.system' is not read (remove it; text is written in quotes)"],
    ),
    "tag on a collection": ("gateway: !!set {x}\n", ["gateway.yaml:1: the tag 'tag:yaml.org,2002:set' is not read (remove it)"]),
    "a key that is a collection": (
        "? [a]\n: b\n",
        ['gateway.yaml:1: a key must be text, and this one is a collection (text with ": " or "{" in it is written in quotes)'],
    ),
    "a key that is an alias": (
        "gateway: &x username\n*x : y\n",
        ['gateway.yaml:2: a key must be text, and this one is an alias (text that begins with * is written in quotes: "*.acme.com")'],
    ),
    "an alias inside of itself": (
        "gateway: &x\n  username: *x\n",
        [
            "gateway.yaml:2: the alias *x stands for nothing, or for what it stands in "
            '(text that begins with * is written in quotes: "*.acme.com")'
        ],
    ),
    "deep": ("gateway: " + "[" * 70 + "]" * 70, ["gateway.yaml:1: nested more than 64 levels deep"]),
    "bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
        ["gateway.yaml:5: the aliases up to here repeat more than 100000 values (give packages what they share under gateway:)"],
    ),
    "secrets are not repeated": (
        "packages:\n- name: x\n  type: event\n  domain: a.example\n  incoming-path: /x\n  access-tokens:\n  - hunter2\n",
        [
            "gateway.yaml:7: packages[0].access-tokens[0]: an access token that is not hashed "
            '(run "gatewaycore token hash" and write the sha256:… it prints)'
        ],
    ),
    "everything at once, in the order of the file": (
        "packages:\n- {name: x, type: fil}\n- {name: x, type: file, domain: a.example, incoming-path: '/{'}\n"
        "gateway: {redirect-status: 1}\n",
        [
            "gateway.yaml:2: packages[0].type: unknown type 'fil' (did you mean 'file'?)",
            "gateway.yaml:3: packages[1].incoming-path: '{' is never closed\n    /{\n     ^",
            "gateway.yaml:4: gateway.redirect-status: 1 is no redirect (one of 301, 302, 303, 307, 308)",
        ],
    ),
}


@pytest.mark.parametrize("case", IN_YAML)
def test_problems_in_yaml(case: str) -> None:
    text, expected = IN_YAML[case]
    assert problems(text) == expected


IN_JSON = {
    "syntax": ('{"packages": [\n', ["gateway.json:2:1: not JSON: Expecting value"]),
    "empty": ("", ["gateway.json:1:1: not JSON: Expecting value"]),
    "duplicate keys": (
        '{"gateway": {},\n "packages": [[], {"name": "x",\n "na\\u006de": "y"}], "gateway": {}}',
        [
            "gateway.json:3: packages[1].name: this key stands there twice, on lines 2 and 3 (keep one of them)",
            "gateway.json:3: gateway: this key stands there twice, on lines 1 and 3 (keep one of them)",
        ],
    ),
    "no number": ('{"gateway": {"redirect-status": NaN}}', ["gateway.json: not JSON: NaN is no JSON number"]),
    "scalar types": (
        '{"packages": [\n {"name": 1, "type": "pixel",\n  "domain": true,\n  "priority": "3", "variables": {"version": 1.10}}]}',
        [
            "gateway.json:2: packages[0].name: expected text, found 1 (write it in quotes)",
            "gateway.json:3: packages[0].domain: expected text, found true (write it in quotes)",
            "gateway.json:4: packages[0].priority: expected a whole number, found '3' (write it without quotes)",
            "gateway.json:4: packages[0].variables.version: expected text, found 1.1 (write it in quotes)",
        ],
    ),
    "deep": ("[" * 100_000, ["gateway.json: nested too deeply"]),
    "surrogate": (
        '{"packages": [{"name": "\\ud800", "type": "pixel", "domain": "a.example"}]}',
        ["gateway.json:1: packages[0].name: '\\ud800' is not Unicode text (a lone surrogate stands in it)"],
    ),
}


@pytest.mark.parametrize("case", IN_JSON)
def test_problems_in_json(case: str) -> None:
    text, expected = IN_JSON[case]
    assert problems(text, "gateway.json") == expected


IN_MAPPINGS = {
    "section is text": ({"gateway": "x"}, ["gateway: expected a mapping, found 'x' (known here: "]),
    "top-level key": ({1: []}, ["configuration: the key 1 is not text (write it in quotes)"]),
    "key": ({"packages": [package() | {1: 2}]}, ["packages[0]: the key 1 is not text (write it in quotes)"]),
    "key of a package": ({"packages": [{"type": "file", None: 2}]}, ["packages[0]: the key nothing is not text (write it in quotes)"]),
    "odd types": (
        {"packages": [package(name=b"x", domain={1}, priority=True, redirect_status=302.0, routes={}, variables=[], allowed_hosts=[None])]},
        [
            "packages[0].name: expected text, found a bytes",
            "packages[0].domain: expected text, found a set",
            "packages[0].routes: expected a list, found a mapping",
            "packages[0].redirect-status: expected a whole number, found 302.0",
            "packages[0].priority: expected a whole number, found true",
            "packages[0].variables: expected a mapping, found a list (write key: value)",
            "packages[0].allowed-hosts[0]: expected text, found nothing",
        ],
    ),
    "mapping values": (
        {"packages": [package(variables={1: "x", "version": None, "page": "x"})]},
        [
            "packages[0].variables: the key 1 is not text (write it in quotes)",
            "packages[0].variables.version: expected text, found nothing",
        ],
    ),
    "domains": ({"domains": [1]}, ["domains: expected a mapping, found a list (write key: value)"]),
    "environment": (
        {"sinks": [{"type": "jsonl", "path-env": 1}]},
        ["sinks[0].path-env: expected the name of an environment variable, found 1"],
    ),
    "a rule and a manifest": (
        {"rules": [], "packages": []},
        [
            "rules: unknown key (known here: badges, collections, console, domains, enrich, gateway, "
            "operations, packages, sinks, sources, traces)"
        ],
    ),
}


@pytest.mark.parametrize("case", IN_MAPPINGS)
def test_problems_in_mappings(case: str) -> None:
    data, expected = IN_MAPPINGS[case]
    found = problems(data)
    assert len(found) == len(expected)
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


def test_rules_that_cannot_share_a_host_name_the_file() -> None:
    text = """
packages:
- {name: x, type: python, domain: py.example, files: [{file-name: x-1.tar.gz, url: https://files.index.example/1}]}
- {name: x, type: python, domain: py.example, files: [{file-name: x-1.tar.gz, url: https://files.index.example/2}]}
"""
    (found,) = problems(text)
    assert found.startswith("gateway.yaml:4: packages[1]: 'x-1.tar.gz' is listed by another rule")


def test_rules_that_cannot_share_a_host_have_the_line_of_the_second() -> None:
    text = """
packages:
- {name: cli, type: file, domain: d.example, routes: [{incoming-path: /a}, {incoming-path: /b}]}
- {name: acme/x, type: container, domain: d.example, backend: ghcr.example/acme/x, strategy: redirect}
- name: acme/y
  type: container
  domain: d.example
  backend: quay.example/acme/y
collections:
- domain: d.example
  pattern: acme/*
  backend: ghcr.example
  strategy: proxy
"""
    (strategy,) = problems(text)
    assert strategy.startswith(
        "gateway.yaml:13: collections[0].strategy: acme/* is always proxied, so that its registry hands out the tokens;"
    )
    assert "acme/x comes from ghcr.example (token, https) and acme/y from quay.example (token, https)" in strategy
    (backend,) = problems(text.replace("quay.example/acme/y", "quay.example/acme/y\n  strategy: redirect"))
    assert backend.startswith(
        "gateway.yaml:8: packages[2].backend: acme/x comes from ghcr.example (token, https) and acme/y from quay.example"
    )


def test_in_a_manifest_too() -> None:
    image = {"type": "docker-v1", "domain": "d.example", "always-proxy": True}
    rules = [{**image, "package-id": name, "registry": f"{name}.example", "repository-name": "acme/x"} for name in ("one", "two")]
    (found,) = problems({"rules": rules})
    assert found.startswith("rules[1].registry: ")


@frozen(kw_only=True)
class Spoken:
    """A protocol of another distribution: settings and route in one."""

    name: str
    domain: str = "d.example"
    fine: bool = True
    priority: int = 0

    steady: ClassVar[bool] = False
    package: ClassVar[None] = None

    @property
    def label(self) -> str:
        return self.name

    @property
    def pattern(self) -> Api:
        return Api(self.name, ("/p",), self.join)

    def join(self, routes: Any) -> Any:
        if not self.fine:
            raise ConfigError([Problem("domain d.example", "has too much on it")])
        return routes[0]

    def compile(self) -> Any:
        return [self]

    def match(self, request: Request) -> None: ...
    def decide(self, request: Request, match: Any) -> Any: ...
    def observe(self, request: Request, match: Any, entry: Any = None) -> None: ...


def test_protocols_that_cannot_share_a_host_have_a_place_where_they_say_so() -> None:
    rosters = Rosters({**RULES, "spoken": Spoken})
    entries = [{"type": "spoken", "name": "one"}, {"type": "spoken", "name": "two"}, {"type": "spoken", "name": "three", "fine": False}]
    with pytest.raises(ConfigError) as caught:
        read_config({"packages": entries}, rosters=rosters)
    assert [str(problem) for problem in caught.value.problems] == [
        "configuration: domain d.example: has too much on it",
        "packages[1]: /p is claimed by one and by two (give one of them another domain)",
    ]
    with pytest.raises(ConfigError, match=r"^domain d\.example: has too much on it$"):
        Config(packages=(Spoken(name="x", fine=False),)).compile()


@pytest.mark.parametrize(
    ("status", "found"),
    [
        ("1", ["3: packages[0].redirect-status: 1 is no redirect", "8: packages[0].routes[1].incoming-path: '{' is never closed"]),
        ("302", ["8: packages[0].routes[1].incoming-path: '{' is never closed"]),
    ],
)
def test_one_package_is_told_of_everything_at_once(status: str, found: list[str]) -> None:
    text = f"""packages:
- name: x
  redirect-status: {status}
  type: file
  domain: a.example
  routes:
  - {{incoming-path: /ok, outgoing-url: "https://a.example/"}}
  - {{incoming-path: "/{{", outgoing-url: "https://"}}
  - {{incoming-path: /ok, incoming-regex: /x}}
  - {{incoming-regex: "("}}
  - {{incoming-path: "/{{"}}
  variables: {{release: x}}
"""
    others = [
        "8: packages[0].routes[1].outgoing-url: an outgoing URL is absolute",
        "9: packages[0].routes[2].incoming-path: give either incoming-path or incoming-regex",
        "10: packages[0].routes[3].incoming-regex: RE2 does not take this regular expression",
        "11: packages[0].routes[4].incoming-path: '{' is never closed",
        "12: packages[0].variables.release: no variable with a meaning",
    ]
    told = problems(text)
    for line, expected in zip(told, [*found, *others], strict=True):
        assert line.startswith(f"gateway.yaml:{expected}")


def test_what_a_faulty_key_would_change_is_not_guessed() -> None:
    told = problems({"packages": [package(incoming_path=3, outgoing_url="/x")]})
    assert [line.partition(": ")[0] for line in told] == ["packages[0].incoming-path"]


# --- enrichments -----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Odd:
    """An enrichment of another distribution."""

    how: str

    def open(self) -> Any:
        if self.how == "where":
            raise ConfigError([Problem("the moon", "is not full", "wait")])
        if self.how == "extra":
            raise ImportError("needs moon[full]")
        opened.append(self)
        return self

    def close(self) -> None:
        opened.remove(self)


opened: list[Odd] = []


def test_enrichments_that_cannot_be_opened_have_their_line() -> None:
    Path("gateway.yaml").write_text(
        "enrich:\n- client\n- type: geo\n  database: missing.mmdb\n- {type: odd, how: fine}\n"
        "- {type: odd, how: where}\n- {type: odd, how: extra}\n"
    )
    config = read_config("gateway.yaml", rosters=Rosters(enrichments={**ENRICHMENTS, "odd": Odd}))
    expected = [
        "gateway.yaml:4: enrich[1].database: missing.mmdb cannot be read: No such file or directory (the path of an .mmdb file)",
        "gateway.yaml:6: enrich[3]: the moon: is not full (wait)",
        "gateway.yaml:7: enrich[4]: cannot be used: needs moon[full]",
    ]
    with pytest.raises(ConfigError) as caught:
        open_enrichers(config)
    assert [str(problem) for problem in caught.value.problems] == expected
    assert opened == []
    Path("gateway.yaml").unlink()
    with pytest.raises(ConfigError, match=r"^gateway.yaml: enrich\[1\].database: "):
        open_enrichers(config)


def test_enrichments_that_cannot_be_opened_are_postponed_where_that_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    Path("gateway.yaml").write_text(
        "enrich:\n- {type: geo, database: x.mmdb}\n- {type: odd, how: fine}\n- {type: moon, how: extra}\n- {type: cloud, ranges: [c.csv]}\n"
    )
    moon = {"now": "extra"}

    @frozen(kw_only=True)
    class Moon(Odd):
        def open(self) -> Any:
            return Odd(how=moon["now"]).open()

    config = read_config("gateway.yaml", rosters=Rosters(enrichments={**ENRICHMENTS, "odd": Odd, "moon": Moon}))
    geo, _, later, cloud = enrichers = open_enrichers(config, lenient=True)
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [
        f"an enrichment cannot be used yet, and its columns stay empty: gateway.yaml:{said}"
        for said in (
            "2: enrich[0].database: x.mmdb cannot be read: No such file or directory",
            "4: enrich[2]: cannot be used: needs moon[full]",
            "5: enrich[3].ranges[0]: c.csv cannot be read: No such file or directory",
        )
    ]
    assert len(opened) == 1
    caplog.clear()
    caller = Caller("203.0.113.7", None, "x")
    for _ in range(2):
        for one in (geo, later, cloud):
            assert one.refresh() == Refreshed()  # type: ignore[attr-defined]
            assert one.columns(caller) == {}
    assert caplog.text == ""
    write_database(Path("x.mmdb"), {"203.0.113.0/24": {"country": "JP"}})
    Path("c.csv").write_text("203.0.113.0/24\n")
    moon["now"] = "fine"
    for one in (geo, later, cloud):
        assert [one.refresh(), one.refresh()] == [Refreshed(swapped=True), Refreshed()]  # type: ignore[attr-defined]
    assert geo.columns(caller)["country"] == "JP"
    assert cloud.columns(caller)["cloud"] == "cloudflare"
    assert [record.getMessage() for record in caplog.records] == [
        "GeoEnricher can be used now", "Odd can be used now", "CloudEnricher can be used now"
    ]  # fmt: skip
    write_database(Path("x.mmdb"), {"203.0.113.0/24": {"country": "KR"}})
    assert geo.refresh() == Refreshed(swapped=True)  # type: ignore[attr-defined]
    assert geo.columns(caller)["country"] == "KR"
    close_enrichers(enrichers)
    assert opened == []
    Path("x.mmdb").unlink()
    close_enrichers(open_enrichers(config, lenient=True))
    assert opened == []


def test_enrichments_of_a_mapping_have_a_place_too() -> None:
    config = read_config({"enrich": [{"type": "geo", "database": "missing.mmdb"}]})
    with pytest.raises(ConfigError, match=r"^enrich\[0\].database: missing.mmdb cannot be read"):
        open_enrichers(config)


def test_files_of_several_have_their_lines() -> None:
    Path("gateway.yaml").write_text(
        "enrich:\n- type: company\n  databases:\n  - a.mmdb\n  - b.mmdb\n- type: cloud\n  ranges: [c.json]\n- {type: cloud}\n"
    )
    with pytest.raises(ConfigError) as caught:
        open_enrichers(read_config("gateway.yaml"))
    assert [str(problem).partition(" (")[0] for problem in caught.value.problems] == [
        "gateway.yaml:4: enrich[0].databases[0]: a.mmdb cannot be read: No such file or directory",
        "gateway.yaml:7: enrich[1].ranges[0]: c.json cannot be read: No such file or directory",
        "gateway.yaml:8: enrich[2].ranges: names no file",
    ]


def test_sinks_of_others_are_checked_where_they_can_be() -> None:
    @frozen(kw_only=True)
    class Shy:
        def open(self) -> Sink:
            raise AssertionError

    @frozen(kw_only=True)
    class Store(Shy):
        how: str

        def check(self) -> None:
            if self.how == "where":
                raise ConfigError([Problem("sinks: store: how", "is odd", "mend it"), Problem("the moon", "is not full")])
            if self.how == "extra":
                raise MissingExtraError([Problem("sinks: store", "needs store", "pip install store")])
            if self.how == "import":
                raise ImportError("no store")

    rosters = Rosters(sinks={"shy": Shy, "store": Store})

    def checked(*hows: str, extras: bool = True) -> list[str]:
        sinks = ["shy", *({"type": "store", "how": how} for how in hows)]
        return [str(problem) for problem in check_sinks(read_config({"sinks": sinks}, rosters=rosters), extras=extras)]

    assert checked("fine") == []
    assert checked("extra", "fine", extras=False) == ["sinks[1]: needs store (pip install store)"]
    with pytest.raises(ConfigError) as caught:
        checked("fine", "where", "extra", "import")
    assert [str(problem) for problem in caught.value.problems] == [
        "sinks[2].how: is odd (mend it)",
        "sinks[2]: the moon: is not full",
        "sinks[3]: needs store (pip install store)",
        "sinks[4]: cannot be used: no store",
    ]
    assert check_sinks(Config()) == []


def test_own_traffic_is_read() -> None:
    section = {"networks": ["10.0.0.0/8"], "header": {"name": "X-Own", "value": " v "}, "user-agents": ["acme", "re:^x"]}
    settings = read_config({"gateway": {"own-traffic": section}}).gateway.own_traffic
    assert settings == OwnTrafficSettings(
        networks=("10.0.0.0/8",), header=OwnHeader(name="X-Own", value="v"), user_agents=("acme", "re:^x")
    )
    section["header"] = {"name": "X-Own", "value": HASHED}
    header = read_config({"gateway": {"own-traffic": section}}).gateway.own_traffic.header
    assert header == OwnHeader(name="X-Own", value=HASHED.lower())
    with pytest.raises(ConfigError, match=r"header\.value"):
        read_config({"gateway": {"own-traffic": {"header": {"name": "x", "value": " "}}}})


def test_enrichments_are_opened_in_their_order_and_closed() -> None:
    config = read_config({"enrich": [{"type": "odd", "how": "fine"}, "client"]}, rosters=Rosters(enrichments={**ENRICHMENTS, "odd": Odd}))
    enrichers = open_enrichers(config)
    assert len(enrichers) == 2
    assert len(opened) == 1
    close_enrichers(enrichers)
    assert opened == []


def test_files_that_cannot_be_read() -> None:
    Path("latin.yaml").write_bytes(b"gateway: {username: caf\xe9}\n")
    Path("folder").mkdir()
    assert problems(Path("latin.yaml")) == ["latin.yaml: not UTF-8: byte 0xe9 at 23 (save it as UTF-8)"]
    assert problems(Path("nowhere.yaml")) == ["nowhere.yaml: cannot be read: No such file or directory"]
    assert problems(Path("folder")) == ["folder: cannot be read: Is a directory"]
    with pytest.raises(ConfigError, match=r"'x\\x00y': cannot be read: "):
        read_config("x\0y")
    with pytest.raises(ConfigError, match="configuration: expected a path or a mapping, found 5"):
        read_config(5)  # type: ignore[arg-type]


def test_foreign_errors_are_chained() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("nowhere.yaml")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    with pytest.raises(ConfigError) as caught:
        read("a: b: c")
    assert caught.value.__cause__ is not None


def test_a_byte_order_mark_is_no_problem() -> None:
    Path("bom.yaml").write_bytes(b"\xef\xbb\xbfgateway: {username: x}\n")
    assert read_config("bom.yaml").gateway.username == "x"
