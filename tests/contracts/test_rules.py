"""Every type of package keeps the contract of rules."""

from __future__ import annotations

from typing import Any

from attrs import fields

from gatewaycore.config import read_config
from gatewaycore.rules import (
    RULES,
    CatchAllRule,
    CollectionRule,
    ContainerRule,
    EventRule,
    FileRule,
    InstallRule,
    NpmRule,
    PixelRule,
    PythonRule,
)
from gatewaycore.rules.access import hash_token
from gatewaycore.rules.file import RouteSettings
from gatewaycore.rules.python import PythonFile
from tests.contracts.rule import RuleContract

DOMAIN = "get.acme.example"
CDN = "https://cdn.acme.example"
WHEEL = "rocket_skates-1.2-py3-none-any.whl"


class TestFile(RuleContract):
    rules = (
        FileRule(name="f", domain=DOMAIN, incoming_path="/a"),
        FileRule(
            name="g",
            domain=DOMAIN,
            incoming_path="/{platform}/{version}",
            outgoing_url=CDN + "/{version}/{+platform}{?version}",
            redirect_status=301,
        ),
        FileRule(name="h", domain=DOMAIN, incoming_path="/all/{+x}", outgoing_url=CDN + "/{+x}"),
        FileRule(name="i", domain=DOMAIN, incoming_path="/host/{host}", outgoing_url="https://{host}/x", allowed_hosts=("a.example",)),
        FileRule(name="j", domain="*.acme.example", routes=(RouteSettings(incoming_regex="/(?<v>.*)", outgoing_url=CDN + "/{+v}/{v}"),)),
    )
    bad = (FileRule(name="f", domain=DOMAIN), FileRule(name="f", domain=DOMAIN, incoming_path="/a", redirect_status=200))


class TestEvent(RuleContract):
    rules = (
        EventRule(name="e", domain=DOMAIN, incoming_path="/v1/{event}"),
        EventRule(name="t", domain=DOMAIN, incoming_path="/t", access_tokens=(hash_token("x"),), response_status=204),
    )
    bad = (EventRule(name="e", domain=DOMAIN), EventRule(name="e", domain=DOMAIN, incoming_path="/", access_tokens=("x",)))


class TestPixel(RuleContract):
    rules = (PixelRule(name="p", domain=DOMAIN), PixelRule(name="q", domain=DOMAIN, incoming_path="/b.png", package_variable="x-pxid"))


class TestInstall(RuleContract):
    rules = (InstallRule(name="i", domain=DOMAIN),)


class TestCatchAll(RuleContract):
    rules = (
        CatchAllRule(name="c", domain=DOMAIN, redirect_target_domain="acme.example"),
        CatchAllRule(name="d", domain="*", redirect_target_domain="http://b.example:81"),
    )
    bad = (CatchAllRule(name="c", domain=DOMAIN, redirect_target_domain="a/b"),)


class TestContainer(RuleContract):
    rules = (
        ContainerRule(name="acme/x", domain=DOMAIN, backend="ghcr.example/acme/x"),
        CollectionRule(domain=DOMAIN, pattern="acme/*", backend="ghcr.example"),
        ContainerRule(name="acme/x", domain="*", backend="quay.example/acme/x", strategy="redirect", redirect_status=308),
        ContainerRule(name="acme/x", domain="p.example", backend="quay.example/acme/x", strategy="proxy"),
    )
    bad = (
        ContainerRule(name="A B", domain=DOMAIN, backend="ghcr.example/acme/x"),
        CollectionRule(domain=DOMAIN, pattern="acme/*", backend="a/b"),
    )


class TestPython(RuleContract):
    rules = (
        PythonRule(name="rocket-skates", domain=DOMAIN, files=(PythonFile(file_name=WHEEL, url=f"{CDN}/{WHEEL}"),)),
        PythonRule(name="empty", domain="*"),
    )
    bad = (PythonRule(name="-", domain=DOMAIN),)


class TestNpm(RuleContract):
    rules = (
        NpmRule(name="rocket-skates", domain=DOMAIN, registry="https://registry.example"),
        NpmRule(name="acme", domain=DOMAIN, registry="https://registry.example/npm/", scopes=("@acme",), packages=("x",)),
        NpmRule(name="acme", domain="*", registry="http://registry.example:81", redirect_status=301),
    )
    bad = (
        NpmRule(name="@", domain=DOMAIN, registry="https://registry.example"),
        NpmRule(name="x", domain=DOMAIN, registry="registry.example"),
    )


CONTRACTS = (TestFile, TestEvent, TestPixel, TestInstall, TestCatchAll, TestContainer, TestPython, TestNpm)


def test_the_whole_roster_is_held_to_the_contract() -> None:
    assert {type(rule) for contract in CONTRACTS for rule in contract.rules} >= set(RULES.values())


def test_every_tag_can_be_configured_with_what_must_be_given() -> None:
    enough = {
        "name": "acme-x",
        "domain": DOMAIN,
        "incoming-path": "/a",
        "backend": "ghcr.example/acme-x",
        "redirect-target-domain": "acme.example",
        "registry": "https://registry.example",
    }
    for tag, cls in RULES.items():
        settings: type[Any] = cls
        keys = {column.name.replace("_", "-") for column in fields(settings)}
        package = {"type": tag, **{key: value for key, value in enough.items() if key in keys}}
        assert read_config({"packages": [package]}).compile().router.count >= 1
