"""Operating systems, processors, language runtimes and devices, as user agents spell them.

This room knows spellings. It normalises an operating system's name (Darwin, OSX and Mac OS X are "macos") and leaves a processor's
as sent, because "amd64" and "x86_64" say which ecosystem is speaking.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["find_arch", "find_device", "find_os", "find_os_version", "find_runtime", "normal_os"]

# In order: Windows Phone says that it is Android and iOS as well, Android says "Linux", iOS says "like Mac OS X".
_SPELLINGS: Final = (
    ("windows phone", "windows phone"), ("windows mobile", "windows phone"), ("windowsmobile", "windows phone"), ("kaios", "kaios"),
    ("tizen", "tizen"), ("webos", "webos"), ("web0s", "webos"), ("android", "android"), ("iphone", "ios"), ("ipad", "ios"),
    ("ipod", "ios"), ("windows", "windows"), ("win32", "windows"), ("win64", "windows"), ("winnt", "windows"), ("win95", "windows"),
    ("win98", "windows"), ("mingw", "windows"), ("mswin", "windows"), ("cygwin", "windows"), ("msys", "windows"), (" cros ", "chromeos"),
    ("watchos", "watchos"), ("tvos", "tvos"), ("macintosh", "macos"), ("mac os", "macos"), ("macos", "macos"), ("mac_os", "macos"),
    ("mac_powerpc", "macos"), ("darwin", "macos"), ("osx", "macos"), ("freebsd", "freebsd"), ("openbsd", "openbsd"),
    ("netbsd", "netbsd"), ("dragonfly", "dragonfly"), ("sunos", "solaris"), ("solaris", "solaris"), ("symbian", "symbian"),
    ("symbos", "symbian"), ("series60", "symbian"), ("series 60", "symbian"), ("blackberry", "blackberry"), ("bb10", "blackberry"),
    ("playstation", "playstation"), ("nintendo", "nintendo"), ("haiku", "haiku"), ("linux", "linux"), ("ubuntu", "linux"),
    ("debian", "linux"), ("fedora", "linux"), ("opensuse", "linux"), ("alpine", "linux"), (" ios ", "ios"), (" ios/", "ios"),
    ("(ios", "ios"), (" aix", "aix"), ("(aix", "aix"), ("hp-ux", "hp-ux"),
)  # fmt: skip
# What a runtime's own constant may add: Go's GOOS, node's process.platform, Python's platform.system().
_NORMAL: Final = dict(_SPELLINGS) | {"ios": "ios", "aix": "aix", "linux2": "linux", "win": "windows", "mac": "macos", "mac os x": "macos"}

_VERSIONS: Final = {
    "windows": re.compile(r"windows (?:nt |phone )?(?:\d+[;/ ])?v?([\d.]*\d)"),
    "windows phone": re.compile(r"windows (?:phone|mobile)(?: os)? ?([\d.]*\d)"),
    "macos": re.compile(r"(?:mac ?os(?: x)?|osx)[ ;/_-](\d+(?:[._]\d+)*)"),
    "ios": re.compile(r"(?:\bos|ios)[ /](\d+(?:[._]\d+)*)"),
    "android": re.compile(r"android[ /-](\d+(?:\.\d+)*)"),
    "freebsd": re.compile(r"freebsd[ /]([\w.-]+)"),
    "chromeos": re.compile(r"cros \S+ ([\d.]+)"),
}  # fmt: skip

_ARCH: Final = re.compile(
    r"(?<![A-Za-z0-9])(x86_64|x86-64|amd64|x64|i[3-6]86|ia32|ia64|aarch64|arm64(?:e|ec)?|armv\d\w{0,3}|armhf|armel|arm|ppc64le|ppc64el|"
    r"ppc64|powerpc|s390x|riscv64(?:gc)?|riscv|mips64le|mips64el|mips64|mipsle|mipsel|mips|loong(?:arch)?64|sparc64|x86)(?![A-Za-z0-9])",
    re.IGNORECASE,
)

_RUNTIME: Final = re.compile(
    r"(?<![\w.+-])(cpython|pypy|graalpy|ironpython|jython|python(?:-urllib)?|node|deno|bun|go|jruby|truffleruby|ruby|"
    r"php|java|openjdk|perl|erlang|dotnet|rustc)[/ ](v?(?:go)?\d[\w.+~-]*)",
    re.IGNORECASE,
)
_SPELLED: Final = {
    "cpython": "CPython", "pypy": "PyPy", "graalpy": "GraalPy", "ironpython": "IronPython", "jython": "Jython", "python": "Python",
    "python-urllib": "Python", "jruby": "jruby", "ruby": "Ruby", "php": "PHP", "java": "Java", "openjdk": "Java", "perl": "Perl",
    "erlang": "Erlang",
}  # fmt: skip

_TABLET: Final = ("ipad", "tablet", "kindle", "silk/", "playbook", "sm-t", "sm-x", "gt-p", "nexus 7", "nexus 9", "nexus 10", "xoom")
_MOBILE: Final = ("mobi", "iphone", "ipod", "phone", "midp", "symb", "blackberry", "opera mini", "series60", "series 60")


def normal_os(name: str) -> str:
    """Normalise an operating system's own name, such as `platform.system()` or Go's GOOS: "Darwin" is "macos"."""
    lower = name.lower()
    return _NORMAL.get(lower) or find_os(lower) or lower


def find_os(agent: str) -> str | None:
    """Find the operating system that a lower-case user agent names, normalised."""
    for spelling, name in _SPELLINGS:
        if spelling in agent:
            return name
    return None


def find_os_version(agent: str, os: str) -> str | None:
    """Find the version that a lower-case user agent gives for a normalised operating system; dots between the numbers."""
    pattern = _VERSIONS.get(os)
    found = pattern.search(agent) if pattern else None
    return found[1].replace("_", ".") if found else None


def find_arch(agent: str) -> str | None:
    """Find the processor architecture, as sent."""
    found = _ARCH.search(agent)
    return found[1] if found else None


def find_runtime(agent: str) -> str | None:
    """Find the language runtime, as name and version: "CPython/3.11.7", "node/v20.20.2", "Java/17.0.4"."""
    found = _RUNTIME.search(agent)
    if not found:
        return None
    return f"{_SPELLED.get(found[1].lower(), found[1].lower())}/{found[2].rstrip('.')}"


def find_device(agent: str, os: str | None) -> str | None:
    """Say what kind of device a lower-case browser's user agent names: "mobile", "tablet" or "desktop"."""
    if any(word in agent for word in _TABLET) or (os == "android" and "mobi" not in agent):
        return "tablet"
    if any(word in agent for word in _MOBILE):
        return "mobile"
    return "desktop" if os in {"windows", "macos", "linux", "chromeos", "freebsd", "openbsd", "netbsd"} else None
