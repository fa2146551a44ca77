"""Who is calling: names, platforms, build systems and crawlers read from user agents."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewaycore.enrich.client import AGENT_CHARS, Client, identify
from gatewaycore.enrich.clients import KINDS, NAMES
from gatewaycore.enrich.crawlers import find_crawler, find_named_crawler
from gatewaycore.enrich.platforms import find_device, normal_os
from gatewaycore.enrich.products import normal, split

PIP = {
    "ci": True,
    "cpu": "aarch64",
    "distro": {"name": "Alpine Linux", "version": "3.20.1"},
    "implementation": {"name": "CPython", "version": "3.13.1"},
    "installer": {"name": "pip", "version": "26.3"},
    "python": "3.13.1",
    "system": {"name": "Linux", "release": "6.6.30"},
}
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"


def told(agent: str, *fields: str) -> tuple[object, ...]:
    client = identify(agent)
    return tuple(getattr(client, field) for field in fields)


# --- package clients ----------------------------------------------------------------------------------------


def test_pip_tells_everything_in_its_json() -> None:
    assert identify(f"pip/26.3 {json.dumps(PIP)}") == Client(
        name="pip",
        version="26.3",
        os="linux",
        arch="aarch64",
        runtime="CPython/3.13.1",
        ci=True,
        kind="package",
        distro="Alpine Linux",
        distro_version="3.20.1",
        kernel="6.6.30",
    )


def test_pip_outside_a_build_system_says_null_which_is_unknown() -> None:
    assert identify("pip/26.3 " + json.dumps(PIP | {"ci": None})).ci is None


def test_pip_names_the_versions_of_macos_and_windows_differently() -> None:
    mac = PIP | {"system": {"name": "Darwin", "release": "24.5.0"}, "distro": {"name": "macOS", "version": "15.5"}}
    windows = PIP | {"system": {"name": "Windows", "release": "11"}, "distro": None}
    assert told("uv/0.13.9 " + json.dumps(mac), "name", "os", "os_version", "kernel") == ("uv", "macos", "15.5", "24.5.0")
    assert told("pip/26.3 " + json.dumps(windows), "os", "os_version", "kernel") == ("windows", "11", None)


def test_pip_without_an_implementation_falls_back_to_its_python() -> None:
    facts = {"python": "3.12.0"}
    assert told("pip/24.0 " + json.dumps(facts), "runtime", "os", "kind") == ("Python/3.12.0", None, "package")


@pytest.mark.parametrize(
    "text", ["{", '{"ci": }', "[]", "{" * 900 + "}", '{"a":' + "[" * 1990 + "}", '{"cpu": 7, "system": "x"}', '["a"] }']
)
def test_json_that_is_none_still_names_the_client(text: str) -> None:
    assert told(f"pip/26.3 {text}", "name", "version", "arch", "bot") == ("pip", "26.3", None, False)


@pytest.mark.parametrize(
    ("agent", "name", "version", "os", "arch", "runtime"),
    [
        ("poetry/2.5.1 CPython/3.11.7 Linux/6.18", "poetry", "2.5.1", "linux", None, "CPython/3.11.7"),
        ("npm/11.19.1 node/v20.20.2 linux x64 workspaces/false", "npm", "11.19.1", "linux", "x64", "node/v20.20.2"),
        ("pnpm/9.15.9 npm/? node/v22.1.0 win32 arm64", "pnpm", "9.15.9", "windows", "arm64", "node/v22.1.0"),
        ("npm/? node/v22.1.0 darwin arm64", "npm", None, "macos", "arm64", "node/v22.1.0"),
        ("got (https://github.com/sindresorhus/got)", "got", None, None, None, None),
        ("Python-urllib/3.12 setuptools/70.0", "setuptools", "70.0", None, None, "Python/3.12"),
        ("setuptools/70.0 Python-urllib/3.12", "setuptools", "70.0", None, None, "Python/3.12"),
        ("urlgrabber/3.10 yum/3.4.3", "yum", "3.4.3", None, None, None),
        ("devpi-server/6.10.0 (py3.11.2; linux)", "devpi", "6.10.0", "linux", None, None),
        ("cargo 1.80.0 (376290515 2024-07-16)", "cargo", "1.80.0", None, None, None),
        ("cargo/1.80.0", "cargo", "1.80.0", None, None, None),
        ("Apache-Maven/3.9.9 (Java 21.0.2; Windows 11 10.0)", "maven", "3.9.9", "windows", None, "Java/21.0.2"),
        ("Ruby, RubyGems/3.5.9 x86_64-linux Ruby/3.3.1 (2024-04-23 patchlevel 55)", "rubygems", "3.5.9", "linux", "x86_64", "Ruby/3.3.1"),
        ("RubyGems/3.4.1 x64-mingw-ucrt Ruby/3.2.0", "rubygems", "3.4.1", "windows", "x64", "Ruby/3.2.0"),
        ("HashiCorp Terraform/1.9.0 (+https://www.terraform.io)", "terraform", "1.9.0", None, None, None),
        ("Mozilla/5.0 (Windows NT 10.0; en-US) PowerShell/7.4.1", "powershell", "7.4.1", "windows", None, None),
        ("Bazel/release 7.1.0", "bazel", "7.1.0", None, None, None),
        ("fetch libfetch/2.0", "fetch", "2.0", None, None, None),
        ("libcurl-agent/1.0", "libcurl-agent", "1.0", None, None, None),
        ("Python/3.12 aiohttp/3.9.5", "aiohttp", "3.9.5", None, None, "Python/3.12"),
        ("Wget/1.21.3", "wget", "1.21.3", None, None, None),
        ("curl/8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0", "curl", "8.5.0", "linux", "x86_64", None),
        ("axios/1.6.2", "axios", "1.6.2", None, None, None),
        ("MyUpdater/3.2 (FreeBSD; amd64)", "myupdater", "3.2", "freebsd", "amd64", None),
        ("MyUpdater/3.2 CFNetwork/1494.0.7 Darwin/23.4.0", "myupdater", "3.2", None, None, None),
    ],
)
def test_clients(agent: str, name: str, version: str | None, os: str | None, arch: str | None, runtime: str | None) -> None:
    assert told(agent, "name", "version", "os", "arch", "runtime", "bot") == (name, version, os, arch, runtime, False)


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Debian APT-HTTP/1.3 (2.6.1)", ("apt", "2.6.1", "linux", None, None, "Debian", None)),
        ("apt-http/1.3", ("apt", "1.3", "linux", None, None, None, None)),
        ("libdnf (Fedora Linux 41; workstation; Linux.aarch64)", ("dnf", None, "linux", None, "aarch64", "Fedora Linux", "41")),
        ("libdnf (Rawhide; generic; Linux.x86_64)", ("dnf", None, "linux", None, "x86_64", "Rawhide", None)),
        ("libdnf", ("dnf", None, None, None, None, None, None)),
        ("ZYpp 17.35.0 (curl 8.6.0) openSUSE-Leap-15.6-x86_64", ("zypper", "17.35.0", "linux", None, "x86_64", "openSUSE-Leap-15.6", None)),
        ("ZYpp 17.35.0 (curl 8.6.0)", ("zypper", "17.35.0", "linux", None, None, None, None)),
        ("Homebrew/5.0.1 (Macintosh; arm64 Mac OS X 15.1) curl/8.7.1", ("homebrew", "5.0.1", "macos", "15.1", "arm64", None, None)),
        ("Homebrew/5.0.1 (Macintosh; Intel Mac OS X 14.2)", ("homebrew", "5.0.1", "macos", "14.2", "x86_64", None, None)),
        ("Homebrew/5.0.1 (Linux; x86_64 Debian 12) curl/7.88.1", ("homebrew", "5.0.1", "linux", None, "x86_64", "Debian", "12")),
        ("Homebrew/5.0.1", ("homebrew", "5.0.1", None, None, None, None, None)),
        ("conda/24.9.2 CPython/3.12.7 Linux/6.1.0 debian/12 glibc/2.36", ("conda", "24.9.2", "linux", None, None, "debian", "12")),
        ("conda/24.9.2", ("conda", "24.9.2", None, None, None, None, None)),
        ("Gradle/8.9 (Linux;6.1.0;amd64) (Debian;17.0.12;17.0.12+7)", ("gradle", "8.9", "linux", None, "amd64", None, None)),
        ("Gradle/8.9 (Windows 11;10.0;amd64) (Debian;17.0.12;17.0.12+7)", ("gradle", "8.9", "windows", "10.0", "amd64", None, None)),
        ("Gradle/8.9", ("gradle", "8.9", None, None, None, None, None)),
        ("Composer/2.7.7 (Windows NT; 10.0; PHP 8.3.8; streams)", ("composer", "2.7.7", "windows", "10.0", None, None, None)),
        ("Composer/2.7.7", ("composer", "2.7.7", None, None, None, None, None)),
    ],
)
def test_formats_of_their_own(agent: str, expected: tuple[object, ...]) -> None:
    assert told(agent, "name", "version", "os", "os_version", "arch", "distro", "distro_version") == expected


def test_kernels_and_runtimes_of_those_formats() -> None:
    assert told("Gradle/8.9 (Linux;6.1.0;amd64) (Debian;17.0.12;17.0.12+7)", "kernel", "runtime") == ("6.1.0", "Java/17.0.12")
    assert told("Composer/2.7.7 (Linux; 6.1.0-22-amd64; PHP 8.3.8; cURL 8.6.0)", "kernel", "runtime") == ("6.1.0-22-amd64", "PHP/8.3.8")
    assert identify("libdnf (Fedora Linux 41; workstation; Linux.x86_64)").kernel is None


@pytest.mark.parametrize(
    ("agent", "name", "version"),
    [
        ("NuGet Command Line/6.10.1 (Microsoft Windows NT 10.0.20348.0)", "nuget", "6.10.1"),
        ("NuGet+Command+Line/6.10.1+(Microsoft+Windows+NT+10.0.20348.0)", "nuget", "6.10.1"),
        ("NuGet%20Command%20Line/6.10.1", "nuget", "6.10.1"),
        ("NuGet Package Explorer/6.0.64 (Microsoft Windows NT 10.0.22621.0)", "nuget package explorer", "6.0.64"),
        ("ReSharperPlatformVs17/233.0 (Microsoft Windows NT 10.0.22621.0)", "jetbrains resharper platform vs2022", "233.0"),
        ("ReSharperPlatformVs99/1.0", "jetbrains resharper platform vs99", "1.0"),
        ("Xamarin Studio/6.3.0 (Microsoft Windows NT 6.2.9200.0)", "xamarin studio", "6.3.0"),
        ("JetBrains TeamCity 2024.03 (Linux 6.1)", "jetbrains teamcity", "2024.03"),
    ],
)
def test_nuget_writes_names_with_spaces(agent: str, name: str, version: str) -> None:
    assert told(agent, "name", "version", "bot") == (name, version, False)


# --- containers ---------------------------------------------------------------------------------------------


def test_docker_believes_its_own_platform_and_not_the_one_of_who_asked_it() -> None:
    agent = (
        r"docker/28.0.4 go/go1.23.7 git-commit/6430e49 kernel/6.10.14 os/linux arch/arm64 UpstreamClient(Docker-Client/28.0.4 \(windows\))"
    )
    assert identify(agent) == Client(
        name="docker",
        version="28.0.4",
        os="linux",
        arch="arm64",
        runtime="go/go1.23.7",
        kind="container",
        kernel="6.10.14",
    )


@pytest.mark.parametrize(
    ("agent", "name", "version"),
    [
        ("Docker-Client/28.2.2 (linux)", "docker", "28.2.2"),
        ("containerd/2.3.4+unknown", "containerd", "2.3.4+unknown"),
        ("containers/5.23.1 (github.com/containers/image)", "containers", "5.23.1"),
        ("Buildah/1.28.2", "buildah", "1.28.2"),
        ("buildkit/v0.32 moby/v28.0", "buildkit", "v0.32"),
        ("crane/(devel) go-containerregistry/(devel)", "crane", None),
        ("oras-go", "oras-go", None),
        ("Helm/3.18.4", "helm", "3.18.4"),
        ("kaniko/unset", "kaniko", None),
        ("docker/", "docker", None),
    ],
)
def test_container_clients(agent: str, name: str, version: str | None) -> None:
    assert told(agent, "name", "version", "kind", "bot") == (name, version, "container", False)


# --- build systems ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("npm/11.0.0 node/v22.1.0 linux x64 workspaces/false ci/gitlab", "gitlab"),
        ("bundler/2.6.9 rubygems/3.6.9 ruby/3.4.4 (x86_64-pc-linux-gnu) command/install ci/ci 0123456789abcdef", "ci"),
        ("NuGet MSBuild Task/6.14.0 (Unix 6.8.0.64, CI: Azure DevOps)", "Azure DevOps"),
        ("git/2.45.1 (github-actions-checkout)", None),
    ],
)
def test_build_systems(agent: str, name: str | None) -> None:
    assert told(agent, "ci", "ci_name", "bot") == (True, name, False)


def test_silence_about_build_systems_proves_nothing() -> None:
    assert identify("npm/11.0.0 node/v22.1.0 linux x64 workspaces/false").ci is None


# --- browsers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (CHROME, ("131.0.0.0", "linux", None, "desktop")),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", ("133.0", "windows", "10.0", "desktop")),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Version/18.1 Safari/604.1",
            ("18.1", "ios", "18.1", "mobile"),
        ),
        ("Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605 Version/12.1 Safari/604.1", ("12.1", "ios", "12.2", "tablet")),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/130.0 Mobile Safari/537.36", ("130.0", "android", "14", "mobile")),
        ("Mozilla/5.0 (Linux; Android 13; CUBOT TAB 50) Chrome/130.0 Safari/537.36", ("130.0", "android", "13", "tablet")),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0; http://toolbar.example)", ("8.0", "windows", "5.1", "desktop")),
        ("Mozilla/5.0 (compatible; Konqueror/4.5; FreeBSD) KHTML/4.5.4 (like Gecko)", (None, "freebsd", None, "desktop")),
        ("Lynx/2.9.0 libwww-FM/2.14", (None, None, None, None)),
    ],
)
def test_browsers(agent: str, expected: tuple[object, ...]) -> None:
    assert told(agent, "name", "bot") == ("browser", False)
    assert told(agent, "version", "os", "os_version", "device") == expected


# --- crawlers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "name", "version"),
    [
        ("ExampleBot/2.1 (+https://crawler.example/about)", "examplebot", "2.1"),
        ("Mozilla/5.0 (compatible; examplebot/3.0; +https://crawler.example/)", "examplebot", "3.0"),
        (f"{CHROME} (compatible; Sifter/1.0; +https://sifter.example)", "sifter", "1.0"),
        (CHROME.replace("Chrome/", "HeadlessChrome/"), "headlesschrome", "131.0.0.0"),
        ("Mozilla/5.0 (compatible; Sifter; sifter@example.org)", "sifter", None),
        ("Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1) +http://sifter.example", "unknown", None),
        ("Sifter (sifter@example.org)", "sifter", None),
        ("Sifter/1.0 (www.sifter.example)", "sifter", "1.0"),
        ("WhatsApp/2.23.20 A", "whatsapp", "2.23.20"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "facebookexternalhit", "1.1"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "slackbot-linkexpanding", "1.0"),
        ("check_http/v2.3 (nagios-plugins 2.3)", "check_http", "2.3"),
        ("Example Uptime Monitor", "uptime", None),
        ("https://sifter.example/robot.html", "unknown", None),
        ("snap link preview; robots", "robots", None),
        ("npm-crawler/1.0", "npm-crawler", "1.0"),
        ("python-requests/2.32.0 ExampleCrawler/1.0", "examplecrawler", "1.0"),
    ],
)
def test_crawlers(agent: str, name: str, version: str | None) -> None:
    client = identify(agent)
    assert client.bot
    if name != "unknown":
        assert name in (client.name or "")
        assert client.version == version


def test_scanners_are_bots_of_their_own_kind() -> None:
    assert told("Mozilla/5.0 zgrab/0.x", "name", "kind", "bot") == ("zgrab", "scanner", True)


@pytest.mark.parametrize(
    "agent",
    [
        "python-requests/2.32.0",
        "Go-http-client/2.0",
        "Java/17.0.1",
        "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
        "regclient/regctl (https://github.com/regclient/regclient)",
        "Vagrant/2.4.1 (+https://www.vagrantup.com; ruby3.1.4)",
        "pip/26.3 search-spider",
        "cargo-audit/0.20",
        "nix-prefetch-url/1.0 (https://example.org)",
        "cookiecutter/2.6.0",
        "libdnf (Bottle Linux 1; monitor; Linux.x86_64)",
        "SomeLibrary/1.0 (https://github.com/example/somelibrary)",
    ],
)
def test_clients_and_libraries_are_never_crawlers(agent: str) -> None:
    assert identify(agent).bot is False


def test_every_client_in_the_table_is_no_crawler() -> None:
    assert [product for product in NAMES if identify(f"{product}/1.0").bot] == []


def test_what_is_asked_of_crawlers_in_lower_case() -> None:
    assert find_crawler(CHROME.lower(), browser=True) is None
    assert find_crawler("archive-it/1.0", browser=False) == "archive-it"
    assert find_named_crawler("okhttp/4.12 (+https://robot.example)") is None


# --- anything at all ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["", " ", "-", "(null)", "None", "undefined", "+ %20"])
def test_nobody(agent: str) -> None:
    assert identify(agent).name is None or agent == "+ %20"


def test_comments_alone_name_nobody() -> None:
    assert told("(linux; amd64)", "name", "os", "arch") == (None, "linux", "amd64")


@given(st.text(max_size=400) | st.text(alphabet='aB1/.;:+()\\ {}"@-_%', max_size=400))
def test_total_bounded_and_deterministic(agent: str) -> None:
    client = identify(agent)
    assert client == identify(agent)
    assert client.bot in (True, False)
    for value in (client.name, client.version, client.os, client.os_version, client.arch, client.runtime, client.ci_name, client.distro):
        assert value is None or 0 < len(value) <= 96


@pytest.mark.parametrize("head", ["", "Mozilla/5.0 (compatible; ", "docker/1 ", 'pip/1 {"a":', "python-requests/2 "])
@pytest.mark.parametrize(
    "piece", ["(", ")", "\\", " ", "a/", "+(", "a+", "compatible;", "http://", "a@a.", "bot", "[", " a", "vuln", "Linux/", "www."]
)
def test_an_agent_made_to_hurt_costs_little(head: str, piece: str) -> None:
    agent = head + piece * 20_000
    started = time.process_time()
    identify(agent)
    # It is some milliseconds; a backtracking expression would take minutes, and a busy machine does not matter.
    assert time.process_time() - started < 10


def test_what_lies_beyond_the_cut_is_not_read() -> None:
    assert identify("curl/8.5.0 " + "x" * AGENT_CHARS + " bot").bot is False


# --- taking apart -------------------------------------------------------------------------------------------


def test_products_and_comments() -> None:
    products, comments = split(r"a/1 (one (two) \) three) b (four")
    assert [tuple(product) for product in products] == [("a", "1"), ("b", "")]
    assert comments == [r"one (two) \) three", "four"]


def test_a_plus_in_a_version_stays() -> None:
    assert normal("containerd/2.1.3+unknown") == "containerd/2.1.3+unknown"
    assert normal("pdm/2.1+g1") == "pdm/2.1+g1"
    assert normal("Mozilla/5.0+(X11;+Linux)") == "Mozilla/5.0 (X11; Linux)"


@pytest.mark.parametrize(
    ("name", "expected"), [("Darwin", "macos"), ("win32", "windows"), ("Linux", "linux"), ("SunOS", "solaris"), ("plan9", "plan9")]
)
def test_operating_systems_have_one_name(name: str, expected: str) -> None:
    assert normal_os(name) == expected


def test_a_device_nobody_names_is_unknown() -> None:
    assert find_device("lynx/2.9.0", None) is None


def test_the_table_holds_lower_case_names_of_known_kinds() -> None:
    assert all(product == product.lower() and name == name.lower() and kind in KINDS for product, (name, kind) in NAMES.items())
