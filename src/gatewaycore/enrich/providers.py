"""Cloud providers: their autonomous systems, and what they are called in files and columns.

Numbers are from the providers' own pages and the registries' records. A network that only carries a provider's name is not listed: an
internet access of the same company is no cloud.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["PROVIDERS", "SYSTEMS", "named_in"]

_SYSTEMS: Final[Mapping[str, str]] = {
    "aws": "16509 14618 7224 8987 10124 39111 62785 135630",
    "gcp": "15169 396982 19527 36384 36385 139070 139190",
    "azure": "8075 8068 8069 8070 8071 8072 8073 8074 12076",
    "oracle": "31898 54253",
    "alibaba": "37963 24429 34947 45096 45102 45103 45104 59028 59051 59052 59053 59054 59055 134963",
    "tencent": "45090 132203 132591 133478 137876",
    "digitalocean": "14061 62567 133165 135340 200130 201229 202018 202109 205301 393406 394362",
    "cloudflare": "13335 14789 132892 139242 202623 203898 209242 394536 395747",
    "akamai": (
        "20940 12222 16625 16702 17204 18680 18717 20189 21342 21357 21399 22207 22452 23454 23455 23903 24319 26008 "
        "30675 31107 31108 31109 31110 31377 32787 33047 33905 34164 34850 35204 35993 35994 36183 39836 43639 55409 "
        "55770 133103 393560 "
    ),
    "fastly": "54113 394192",
    "linode": "63949",
    "hetzner": "24940 212317 213230 215859",
    "ovh": "16276 35540",
    "vultr": "20473 64515",
    "scaleway": "12876 29447",
    "ibm": "36351",
    "huawei": "55990 131444 136907 140723 141180 149167 265443",
    "baidu": "38365 45076 55967",
    "yandex": "200350 210656",
    "upcloud": "202053 25697",
    "exoscale": "61098",
    "contabo": "51167 40021 141995",
    "leaseweb": "60781 7203 16265 19148 28753 30633 38731 59253 133752 136988 205544 393886 394380 395954 396190 396362",
    "ionos": "8560",
    "rackspace": "33070 10532 12200 15395 19994 27357 36248 39921 45187 53824 54636",
    "equinix-metal": "54825",
    "fly": "40509",
    "kamatera": "36007",
    "gcore": "199524 202422",
    "bunny": "200325",
    "sakura": "7684 9370 9371",
    "netcup": "197540",
    "godaddy": "26496 398101",
    "hostinger": "47583",
    "dreamhost": "26347",
}  # fmt: skip

SYSTEMS: Final[Mapping[int, str]] = MappingProxyType(
    {int(number): name for name, numbers in _SYSTEMS.items() for number in numbers.split()}
)
"""The number of an autonomous system -> the provider."""

PROVIDERS: Final = tuple(_SYSTEMS)
"""What the column `cloud` may say."""

# What else a provider is called in the names of files. Not "google": the list that DigitalOcean publishes is called google.csv.
_ALIASES: Final[Mapping[str, str]] = {
    **{name: name for name in PROVIDERS},
    "amazon": "aws",
    "microsoft": "azure",
    "oci": "oracle",
    "aliyun": "alibaba",
}


def named_in(file: str) -> str | None:
    """Return the provider that a file is called after: ``/srv/ranges/linode-geofeed.csv``; None when it is called after none."""
    stem = file.replace("\\", "/").rpartition("/")[2].lower()
    words = stem.replace(".", " ").replace("_", " ").replace("-", " ").split()
    for alias, provider in _ALIASES.items():
        wanted = alias.split("-")
        if any(words[at : at + len(wanted)] == wanted for at in range(len(words))):
            return provider
    return next((provider for alias, provider in _ALIASES.items() if len(alias) > 4 and stem.startswith(alias)), None)
