"""Scarf manifests: what their rules become, and what is said of those that cannot become anything."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.config import Config, read_config
from gatewaycore.errors import ConfigError
from gatewaycore.request import Request
from gatewaycore.rules import CatchAllRule, CollectionRule, ContainerRule, EventRule, FileRule, InstallRule, PixelRule, PythonRule
from gatewaycore.rules.python import PythonFile
from gatewaycore.testing import simulate


def manifest(*rules: Any) -> Config:
    return read_config({"rules": list(rules)})


def problems(*rules: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        manifest(*rules)
    return [str(problem) for problem in caught.value.problems]


def rule(kind: str, **keys: Any) -> dict[str, Any]:
    given = {
        "type": kind,
        "domain": "get.acme.example",
        "package-id": "p1",
        **{key.replace("_", "-"): value for key, value in keys.items()},
    }
    return {key: value for key, value in given.items() if value is not ...}


def python(**keys: Any) -> dict[str, Any]:
    defaults = {"package_name": "numpy", "file_name": "numpy-1.0.tar.gz", "version": "1.0", "backend_url": "https://files.index.example/1"}
    return rule("python-v1", **{**defaults, **keys})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            rule("file-v1", incoming_path="/{v}/x", outgoing_url="https://cdn.acme.example/{v}", owner="acme", unknown=[1]),
            FileRule(
                name="p1",
                id="p1",
                domain="get.acme.example",
                incoming_path="/{v}/x",
                outgoing_url="https://cdn.acme.example/{v}",
                redirect_status=307,
            ),
        ),
        (
            rule("file-v1", incoming_path="x", outgoing_url="", package_name="rockets"),
            FileRule(name="rockets", id="p1", domain="get.acme.example", incoming_path="/x", redirect_status=307),
        ),
        (
            rule("file-v2", incoming_path=" ^/x/(?<version>[0-9]+)$ ", outgoing_url="https://cdn.acme.example/{version}"),
            FileRule(
                name="p1",
                id="p1",
                domain="get.acme.example",
                incoming_regex="/x/(?<version>[0-9]+)",
                outgoing_url="https://cdn.acme.example/{version}",
                redirect_status=307,
            ),
        ),
        (
            rule("catch-all-v1", redirect_target_domain="acme.example"),
            CatchAllRule(name="p1", id="p1", domain="get.acme.example", redirect_target_domain="acme.example", redirect_status=307),
        ),
        (
            rule("telemetry-v1", incoming_path="/events", access_tokens=["s3cret"]),
            EventRule(
                name="p1",
                id="p1",
                domain="get.acme.example",
                incoming_path="/events",
                access_tokens=(f"sha256:{sha256(b's3cret').hexdigest()}",),
            ),
        ),
        (
            rule("telemetry-v1", incoming_path="/events", outgoing_url="", owner=None),
            EventRule(name="p1", id="p1", domain="get.acme.example", incoming_path="/events"),
        ),
        (
            rule("pixel", package_id=..., content_type="application/json", body="{}"),
            PixelRule(name="pixel", domain="get.acme.example", package_variable="x-pxid", content_type="application/json", body="{}"),
        ),
        (
            rule("docker-v1", registry="ghcr.example", repository_name="acme/x"),
            ContainerRule(name="acme/x", id="p1", domain="get.acme.example", backend="ghcr.example/acme/x", redirect_status=307),
        ),
        (
            rule("docker-v1", registry="ghcr.example", repository_name="acme/x", always_proxy=True),
            ContainerRule(
                name="acme/x", id="p1", domain="get.acme.example", backend="ghcr.example/acme/x", strategy="proxy", redirect_status=307
            ),
        ),
        (
            rule("docker-v2", package_id=..., registry="docker.io", pattern="library/*", rule_id="4"),
            CollectionRule(id="4", domain="get.acme.example", pattern="library/*", backend="docker.io", redirect_status=307),
        ),
        (
            python(hash_value={"type": "md5", "hash": "0a" * 16}, gpg_sig=True, requires_python=">=3"),
            PythonRule(
                name="numpy",
                id="p1",
                domain="get.acme.example",
                files=(
                    PythonFile(
                        file_name="numpy-1.0.tar.gz",
                        url="https://files.index.example/1",
                        version="1.0",
                        hashes={"md5": "0a" * 16},
                        gpg_sig=True,
                        requires_python=">=3",
                    ),
                ),
                redirect_status=307,
            ),
        ),
    ],
)
def test_rules_become(written: dict[str, Any], expected: object) -> None:
    assert manifest(written).rules == (expected,)


def test_an_expression_is_looked_for_anywhere_in_the_path() -> None:
    gateway = manifest(rule("file-v2", incoming_path="x-(?<version>[0-9]+)|^/latest", outgoing_url=None)).compile()
    assert gateway.decide(Request("GET", "get.acme.example", "/dl/x-42.tgz")).match.variables["version"] == "42"  # type: ignore[union-attr]
    assert gateway.decide(Request("GET", "get.acme.example", "/latest/x")).rule is not None
    assert gateway.decide(Request("GET", "get.acme.example", "/not/latest")).rule is None


def test_files_of_a_project_become_one_package() -> None:
    other = python(domain="py.acme.example", file_name="numpy-2.0.tar.gz")
    config = manifest(python(), other, python(file_name="numpy-1.1.tar.gz", hash_value=None), python(), python(package_id="p2"))
    listing = [(rule.domain, rule.id, [file.file_name for file in rule.files]) for rule in config.rules if isinstance(rule, PythonRule)]
    assert listing == [
        ("get.acme.example", "p1", ["numpy-1.0.tar.gz", "numpy-1.1.tar.gz"]),
        ("py.acme.example", "p1", ["numpy-2.0.tar.gz"]),
        ("get.acme.example", "p2", ["numpy-1.0.tar.gz"]),
    ]


def test_a_rule_that_stands_there_twice_counts_once() -> None:
    image = rule("docker-v1", registry="ghcr.example", repository_name="acme/x")
    file = rule("file-v1", incoming_path="/x", outgoing_url=None)
    config = manifest(image, file, {**image, "owner": "somebody"}, dict(reversed(file.items())))
    assert len(config.rules) == 2


def test_no_token_listed_lets_nobody_in() -> None:
    (event,) = manifest(rule("telemetry-v1", incoming_path="/events", access_tokens=[])).rules
    assert isinstance(event, EventRule)
    assert event.access_tokens


def test_its_user_may_add_sections() -> None:
    config = read_config(
        {"rules": [rule("file-v1", incoming_path="/x")], "gateway": {"redirect-status": 302, "data-dir": "d"}, "made-by": 1}
    )
    assert config.gateway.data_dir == "d"
    assert config.rules[0].redirect_status == 302  # type: ignore[attr-defined]
    assert read_config({"rules": None}).rules == ()


def test_built_in_hosts() -> None:
    config = read_config({"rules": []}, scarf_hosts=True)
    assert [type(rule) for rule in config.rules] == [PixelRule, InstallRule]
    gateway = config.compile()
    assert gateway.decide(Request("GET", "static.scarf.sh", "/a.png", "x-pxid=1")).rule == "static.scarf.sh/a.png"
    assert gateway.decide(Request("POST", "scarf.sh", "/package-event/install")).rule == "scarf.sh/package-event/install"
    assert read_config({"packages": []}, scarf_hosts=True).rules == config.rules


def test_problems() -> None:
    assert problems(
        "x",
        {"domain": "a.example"},
        rule("file-v3"),
        rule("file-v1"),
        rule("file-v1", incoming_path=5),
        rule("file-v1", incoming_path="/{a}{b}"),
        rule("docker-v1", registry="ghcr.example", repository_name="acme/x", always_proxy="perhaps"),
        rule("telemetry-v1", incoming_path="/x", access_tokens="s3cret"),
        python(hash_value="0a"),
        python(file_name="numpy-1.1.tar.gz", backend_url=7),
        rule("catch-all-v1", redirect_target_domain="acme.example", domain="https://x.example"),
    ) == [
        "rules[0]: expected a mapping, found 'x'",
        "rules[1].type: is missing (one of catch-all-v1, docker-v1, docker-v2, file-v1, file-v2, pixel, python-v1, telemetry-v1)",
        "rules[2].type: unknown type 'file-v3' (did you mean 'file-v2'?)",
        "rules[3].incoming-path: is missing",
        "rules[4].incoming-path: expected text, found 5 (write it in quotes)",
        "rules[5].incoming-path: two variables need a literal between them\n    /{a}{b}\n     ^^^^^^",
        "rules[6].always-proxy: expected true or false, found 'perhaps'",
        "rules[7].access-tokens: expected a list of texts",
        "rules[8].hash-value: expected a mapping with type and hash",
        "rules[9].backend-url: expected text, found 7 (write it in quotes)",
        "rules[10].domain: 'https://x.example' is no domain (write x.example)",
    ]
    with pytest.raises(ConfigError, match="rules: expected a list, found a mapping"):
        read_config({"rules": {}})


def test_what_packages_refuse_is_placed_at_the_rules_own_keys() -> None:
    with pytest.raises(ConfigError) as caught:
        manifest(
            rule("file-v2", incoming_path="(x"),
            rule("docker-v1", registry="ghcr.example", repository_name="acme/X"),
            rule("docker-v2", package_id=..., registry="ghcr.example/x", pattern="*", rule_id="4"),
            python(),
            python(file_name="numpy-1.1.tar.gz", backend_url="no url"),
        )
    assert [problem.where for problem in caught.value.problems] == [
        "rules[0].incoming-path",
        "rules[1].repository-name",
        "rules[1].registry",
        "rules[2].registry",
        "rules[4]",
    ]


def test_problems_have_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("manifest.json").write_text(json.dumps({"rules": [rule("file-v1", incoming_path="/x"), rule("file-v1")]}, indent=1))
    with pytest.raises(ConfigError) as caught:
        read_config("manifest.json")
    assert [str(problem) for problem in caught.value.problems] == ["manifest.json:9: rules[1].incoming-path: is missing"]


def test_official_image_of_docker_hub_keeps_its_path() -> None:
    # A manifest's name is the path asked for, even where Docker Hub has the image below "library/".
    gateway = read_config({"rules": [rule("docker-v1", registry="docker.io", repository_name="rocket-skates")]}).compile()
    seen = simulate(gateway, "GET", "https://get.acme.example/v2/rocket-skates/manifests/1")
    assert seen.upstream == "https://registry-1.docker.io/v2/rocket-skates/manifests/1"
    assert [event.package for event in seen.events] == ["p1"]


def test_built_in_hosts_are_switched_on_by_the_settings() -> None:
    gateway = read_config({"rules": [], "gateway": {"scarf-hosts": True}}).compile()
    seen = simulate(gateway, "GET", "https://static.scarf.sh/a.png?x-pxid=p1")
    assert (seen.status, [event.package for event in seen.events]) == (200, ["p1"])
    assert simulate(read_config({"rules": []}).compile(), "GET", "https://static.scarf.sh/a.png?x-pxid=p1").status == 404
