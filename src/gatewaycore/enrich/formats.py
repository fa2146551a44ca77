"""Clients whose user agent says more than its grammar shows: where Homebrew names the processor, and dnf the distribution.

Every function reads one client's own format, given the whole agent and its comments, and answers the fields of
`gatewaycore.enrich.client.Client` that it knows better than a generic reading. An agent that only resembles the format yields less,
never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from gatewaycore.enrich.platforms import find_os, normal_os

__all__ = ["FORMATS", "Fields"]

#: Fields of `Client` by name, text ones only.
Fields = dict[str, str | None]

_DISTRO: Final = re.compile(r"(.*?) (\d[\w.]*)")
_CONDA_DISTRO: Final = re.compile(r"Linux/\S{1,64} ([\w-]+)/(\d\S*)")


def _apt(agent: str, comments: list[str]) -> Fields:
    """Read "Debian APT-HTTP/1.3 (2.6.1)", where 1.3 is the protocol's number."""
    distro = agent.partition(" ")[0]
    version: Fields = {"version": comments[0].partition(" ")[0]} if comments else {}
    return version | {"os": "linux", "distro": None if "/" in distro else distro}


def _dnf(_agent: str, comments: list[str]) -> Fields:
    """Read "libdnf (Fedora Linux 44; container; Linux.x86_64)": os-release's NAME and VERSION_ID, variant, platform."""
    parts = [part.strip() for part in comments[0].split(";")] if comments else []
    if len(parts) < 3:
        return {}
    distro, _, version = parts[0].rpartition(" ")
    os, _, arch = parts[-1].partition(".")
    return {"os": normal_os(os), "arch": arch, "distro": distro or version, "distro_version": version if distro else None, "kernel": None}


def _zypper(agent: str, _comments: list[str]) -> Fields:
    """Read "ZYpp 17.31.15 (curl 8.5.0) openSUSE-Tumbleweed-x86_64"."""
    distro, _, arch = agent.rpartition(")")[2].strip().rpartition("-")
    return {"os": "linux", "arch": arch, "distro": distro} if distro else {"os": "linux"}


def _homebrew(_agent: str, comments: list[str]) -> Fields:
    """Read "(Macintosh; Intel Mac OS X 14.7)" and "(Linux; x86_64 Ubuntu 24.04.2 LTS)"."""
    system, _, rest = comments[0].partition(";") if comments else ("", "", "")
    arch, _, named = rest.strip().partition(" ")
    if not named:
        return {}
    found: Fields = {"arch": "x86_64" if arch == "Intel" else arch}
    if system == "Linux" and (distro := _DISTRO.match(named)):
        found |= {"distro": distro[1], "distro_version": distro[2]}
    return found


def _conda(agent: str, _comments: list[str]) -> Fields:
    """Read "Linux/6.8.0 ubuntu/24.04.2 glibc/2.39", where the distribution follows the kernel."""
    found = _CONDA_DISTRO.search(agent)
    return {"distro": found[1], "distro_version": found[2]} if found else {}


def _gradle(_agent: str, comments: list[str]) -> Fields:
    """Read "(Linux;6.8.0-64-generic;amd64) (Eclipse Adoptium;21.0.7;21.0.7+6-LTS)": platform, then Java."""
    platform = comments[0].split(";") if comments else []
    found: Fields = {}
    if len(platform) == 3:
        os = find_os(platform[0].lower())
        found = {"os": os, "arch": platform[2], "kernel" if os == "linux" else "os_version": platform[1]}
    java = comments[1].split(";") if len(comments) > 1 else []
    return found | ({"runtime": f"Java/{java[1]}"} if len(java) == 3 else {})


def _composer(_agent: str, comments: list[str]) -> Fields:
    """Read "(Darwin; 24.5.0; PHP 8.4.10; cURL 8.14.1)": the second is the system's own release."""
    parts = [part.strip() for part in comments[0].split(";")] if comments else []
    if len(parts) < 3 or not parts[1][:1].isdigit():
        return {}
    return {"os_version": parts[1]} if parts[0].startswith("Windows") else {"kernel": parts[1]}


def _bazel(agent: str, _comments: list[str]) -> Fields:
    """Read "Bazel/release 6.0.0" and "Bazel/1.0 dev": everything after the slash is the release's name."""
    return {"version": agent.partition("/")[2].removeprefix("release ").strip()}


#: Client name -> the reader of its format.
FORMATS: Final[Mapping[str, Callable[[str, list[str]], Fields]]] = {
    "apt": _apt,
    "dnf": _dnf,
    "zypper": _zypper,
    "homebrew": _homebrew,
    "conda": _conda,
    "gradle": _gradle,
    "composer": _composer,
    "bazel": _bazel,
}
