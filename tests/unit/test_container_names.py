"""Image names and patterns: what clients accept, and what people write as a backend."""

from __future__ import annotations

import time

import pytest

from gatewaycore import ConfigError, GatewayError
from gatewaycore.rules.container import ImageName, ImagePattern
from gatewaycore.rules.container.names import api_host, is_digest, is_repository, is_tag, parse_backend, parse_registry

SHA256 = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("rocket", "docker.io", "library/rocket", None, None),
        ("rocket:1.0", "docker.io", "library/rocket", "1.0", None),
        (f"rocket@{SHA256}", "docker.io", "library/rocket", None, SHA256),
        (f"rocket:1.0@{SHA256}", "docker.io", "library/rocket", "1.0", SHA256),
        ("acme/rocket", "docker.io", "acme/rocket", None, None),
        ("acme/deep/rocket", "docker.io", "acme/deep/rocket", None, None),
        ("under_score/rocket", "docker.io", "under_score/rocket", None, None),
        ("docker.io/rocket", "docker.io", "library/rocket", None, None),
        ("index.docker.io/acme/rocket", "docker.io", "acme/rocket", None, None),
        ("ghcr.io/rocket", "ghcr.io", "rocket", None, None),
        ("ghcr.io/acme/rocket:v1", "ghcr.io", "acme/rocket", "v1", None),
        ("localhost/rocket", "localhost", "rocket", None, None),
        ("registry:5000/rocket:1", "registry:5000", "rocket", "1", None),
        ("[2001:db8::7]:5000/rocket", "[2001:db8::7]:5000", "rocket", None, None),
        ("Registry/rocket", "Registry", "rocket", None, None),
        ("ghcr.io/a__b/c---d/e.f", "ghcr.io", "a__b/c---d/e.f", None, None),
    ],
)
def test_references_mean_what_clients_take_them_for(text: str, registry: str, repository: str, tag: str | None, digest: str | None) -> None:
    assert ImageName.parse(text) == ImageName(registry, repository, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " rocket",
        "rocket\n",
        "/rocket",
        "acme/",
        "acme//rocket",
        "ghcr.io/",
        "acme/Rocket",
        "ghcr.io/acme/Rocket",
        "acme/rocket:",
        "acme/rocket:-1",
        "acme/rocket:" + "x" * 129,
        "acme/rocket@",
        "acme/rocket@sha256:abc",
        f"acme/rocket@{SHA256.upper()}",
        f"@{SHA256}",
        ":tag",
        "acme/_rocket",
        "acme/rock..et",
        "acme/rock___et",
        "acme/rock.-et",
        "-acme.com/rocket",
        "acme.com:port/rocket",
        "acme.com:70000/rocket",
        "[fe80::1%eth0]/rocket",
        "[2001:db8::7]",
        "ghcr.io/acme/röcket",
        "https://ghcr.io/acme/rocket",
        "ghcr.io/" + "a/" * 130 + "a",
        "ghcr.io/" + "a" * 250,
        "0123456789abcdef" * 4,
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(GatewayError, match="image name"):
        ImageName.parse(text)


def test_a_reference_prints_as_it_is_written() -> None:
    assert str(ImageName.parse(f"rocket:1@{SHA256}")) == f"docker.io/library/rocket:1@{SHA256}"
    assert str(ImageName.parse("ghcr.io/acme/rocket")) == "ghcr.io/acme/rocket"


@pytest.mark.parametrize(
    ("text", "registry", "repository"),
    [
        ("rocket", "docker.io", "library/rocket"),
        ("registry-1.docker.io/library/rocket", "docker.io", "library/rocket"),
        ("registry-1.docker.io/rocket", "docker.io", "library/rocket"),
        ("registry.hub.docker.com/acme/rocket:2", "docker.io", "acme/rocket"),
        ("Index.Docker.io/acme/rocket", "docker.io", "acme/rocket"),
        ("GHCR.io/acme/rocket", "ghcr.io", "acme/rocket"),
        ("docker pull ghcr.io/acme/rocket:1", "ghcr.io", "acme/rocket"),
        (f"$ sudo podman image pull -q ghcr.io/acme/rocket@{SHA256}\n", "ghcr.io", "acme/rocket"),
        ("docker pull --platform linux/amd64 acme/rocket", "docker.io", "acme/rocket"),
        ("docker pull acme/rocket --platform=linux/amd64", "docker.io", "acme/rocket"),
    ],
)
def test_a_backend_is_a_reference_or_a_pull_command(text: str, registry: str, repository: str) -> None:
    name = parse_backend(text)
    assert (name.registry, name.repository) == (registry, repository)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no repository name"),
        ("https://ghcr.io/acme/rocket", "a URL"),
        ("docker run acme/rocket", "nor a pull command"),
        ("docker pull", "0 images"),
        ("docker pull acme/a acme/b", "2 images"),
        ("docker pull --platform", "0 images"),
        ("[:::]:5000/rocket", "no IPv6 address"),
    ],
)
def test_a_backend_that_names_no_image_is_refused(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_backend(text)


def test_registries_have_one_name_and_one_host() -> None:
    for text in ("docker.io", "index.docker.io", "registry-1.docker.io", "Registry.Hub.Docker.com"):
        assert parse_registry(text) == "docker.io"
    assert parse_registry(" GHCR.io ") == "ghcr.io"
    assert api_host("docker.io") == "registry-1.docker.io"
    assert api_host("ghcr.io") == "ghcr.io"


@pytest.mark.parametrize("text", ["", "https://ghcr.io/", "ghcr.io/acme", "ghcr.io:x", "user@ghcr.io", "[:::]", "ghcr.io\n.evil"])
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_registry(text)


def test_long_refusals_are_cut() -> None:
    with pytest.raises(ConfigError) as caught:
        ImageName.parse("X" * 5000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (SHA256, True),
        ("sha512:" + "a" * 128, True),
        ("sha384:" + "a" * 96, True),
        ("sha256:" + "a" * 63, False),
        ("sha256:" + "g" * 64, False),
        ("sha512:" + "a" * 64, False),
        ("blake3:" + "a" * 64, True),
        ("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", True),
        ("SHA256:" + "a" * 64, False),
        ("sha256", False),
        (":abc", False),
        ("x:" + "a" * 300, False),
    ],
)
def test_digests(text: str, valid: bool) -> None:
    assert is_digest(text) is valid


def test_tags_and_repositories_have_their_lengths() -> None:
    assert is_tag("x" * 128)
    assert not is_tag("x" * 129)
    assert not is_tag("latest\n")
    assert is_repository("a" * 255)
    assert not is_repository("a" * 256)


@pytest.mark.parametrize(
    ("pattern", "fits", "not_these"),
    [
        ("library/*", ["library/redis", "library/a.b-c"], ["library", "library/", "library/a/b", "other/redis", ""]),
        ("*", ["redis"], ["", "library/redis"]),
        ("*/*", ["a/b"], ["a", "a/b/c"]),
        ("acme/{a, b}", ["acme/a", "acme/b"], ["acme/c", "acme/ab", "acme/a, b", "acme/{a, b}"]),
        ("acme/{a,b}-server", ["acme/a-server", "acme/b-server"], ["acme/a", "acme/-server"]),
        ("acme/{web-*, db}", ["acme/web-1", "acme/db"], ["acme/web-", "acme/db1"]),
        ("acme/{a,b}{1,2}", ["acme/a1", "acme/b2"], ["acme/a", "acme/ab"]),
        ("acme/web-*-prod", ["acme/web-1-prod", "acme/web--prod-prod"], ["acme/web--prod", "acme/web-prod", "acme/web-1-prod2"]),
        ("a*b*c", ["axbxc", "abbcc", "axbbbc"], ["abc", "abxc", "axbc", "axbxcd", "a/b/c"]),
        ("*a*", ["xax", "aaa"], ["a", "xa", "ax", "aa"]),
        ("acme/rocket", ["acme/rocket"], ["acme/rockets"]),
        (" acme/* ", ["acme/x"], ["acme"]),
    ],
)
def test_patterns(pattern: str, fits: list[str], not_these: list[str]) -> None:
    parsed = ImagePattern.parse(pattern)
    assert [name for name in fits if not parsed.match(name)] == []
    assert [name for name in not_these if parsed.match(name)] == []
    assert str(parsed) == pattern.strip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/acme/*",
        "acme/*/",
        "acme//*",
        "acme/**",
        "acme/{a",
        "acme/a}",
        "acme/{a,}",
        "acme/{}",
        "acme/{a/b}",
        "acme/{a,{b}}",
        "acme/a b",
        "acme/\x00",
        "{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}",
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="image pattern"):
        ImagePattern.parse(text)


def test_no_pattern_makes_a_match_slow() -> None:
    pattern = ImagePattern.parse("a*" * 100 + "b")
    name = "a" * 100_000
    started = time.process_time()
    assert not pattern.match(name)
    # It is some milliseconds; a backtracking expression would not end.
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("acme/*", "acme/app", True),
        ("acme/*", "acme/{app, web}", True),
        ("acme/*", "*/app", True),
        ("acme/*", "zebra/*", False),
        ("acme/*", "acme/*/*", False),
        ("a*z", "ab*yz", True),
        ("a*z", "b*z", False),
        ("a*y", "a*z", False),
        ("a*b*c", "a*x*c", True),
        ("{a, b}", "{c, b}", True),
        ("{a, b}", "{c, d}", False),
        ("{a, b*}", "{c, bb}", True),
    ],
)
def test_patterns_that_meet(one: str, other: str, meet: bool) -> None:
    pattern, another = ImagePattern.parse(one), ImagePattern.parse(other)
    assert (pattern.meets(another), another.meets(pattern)) == (meet, meet)
