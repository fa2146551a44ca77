"""Whatever a registry sends, and whatever is asked of one: a document is written or refused, and leads nobody astray."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from gatewaycore.decision import Respond
from gatewaycore.rules.indexes import Fetched, PageError
from gatewaycore.rules.npm.packument import ABBREVIATED, WHOLE, OneVersion, PackumentDialect, dist_tags
from gatewaycore.rules.npm.paths import Asked, is_package_name, read

ORIGIN = b"https://npm.example"

links = st.sampled_from(
    [
        "https://cdn.example/x.tgz",
        "/x.tgz",
        "x.tgz?a=b#c",
        "https://127.0.0.1/",
        "ftp://x/",
        "javascript:0",
        "https://a@b.example/",
        "http://[",
    ]
) | st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
numbers = st.sampled_from(["1.0.0", "1.0.0-rc.1+b", "../1", "", "a b"]) | st.text(max_size=5)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return documents that may be whole, or have anything in any place."""
    sound = draw(st.booleans())
    versions: dict[str, Any] = {}
    for number in draw(st.lists(numbers, max_size=4)):
        dist = {"integrity": "sha512-x", **draw(st.dictionaries(st.text(max_size=5), values, max_size=2)), "tarball": draw(links)}
        versions[number] = {"extra": draw(values), "name": "@acme/x", "version": number, "dist": dist}
        if not sound and draw(st.booleans()):
            versions[number][draw(st.sampled_from(["dist", "name", "version", "scripts"]))] = draw(values)
    whole = {"name": "@acme/x", "dist-tags": {"latest": draw(numbers)}, "versions": versions, "extra": draw(values)}
    if not sound:
        whole[draw(st.sampled_from([*whole, "time"]))] = draw(values)
    return whole


def written(body: bytes, media_type: str, form: int) -> tuple[bytes, dict[str, str]] | None:
    page = Fetched("@acme/x", "https://registry.example/@acme%2fx", media_type, None, body)
    try:
        made = PackumentDialect().write(page, form)
    except PageError:
        return None
    return ORIGIN.join(made.pieces), dict(made.files)


forms = st.sampled_from([0, 1])
types = st.sampled_from([WHOLE, ABBREVIATED, "text/html", ""])


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | values.map(json.dumps).map(str.encode), types, forms)
def test_every_page_is_written_or_refused(body: bytes, media_type: str, form: int) -> None:
    written(body, media_type, form)


@given(documents(), types, forms)
def test_what_is_written_is_a_document_whose_tarballs_are_the_gateways(document: dict[str, Any], media_type: str, form: int) -> None:
    made = written(json.dumps(document).encode(), media_type, form)
    if made is None:
        return
    body, files = made
    shown = json.loads(body)
    assert shown["name"] == "@acme/x"
    assert set(shown["dist-tags"].values()) <= set(shown["versions"])
    for number, manifest in shown["versions"].items():
        name = f"x-{number}.tgz"
        assert manifest["dist"]["tarball"] == f"https://npm.example/npm/@acme/x/-/{name}"
        asked = document["versions"][number]
        assert {**manifest["dist"], "tarball": 0} == {**asked["dist"], "tarball": 0}
        assert OneVersion(number)(body) is not None
        # The link that is shown is one that is understood.
        found = read(urlsplit(manifest["dist"]["tarball"]).path)
        assert found == Asked("@acme/x", "tarball", name, number)
        assert name in files
    assert dist_tags(body) is not None
    for url in files.values():
        assert url.startswith(("http://", "https://"))
        assert url.isascii()
        assert url.isprintable()


pieces = st.sampled_from(
    ["@", "acme", "/", "%2f", "%2F", "%40", "%252f", "-", "x", ".", "..", "tgz", "package", "dist-tags", "1.0.0", "npm", "v1", "é"]
)


@given(st.lists(pieces | st.text(max_size=3), max_size=10).map("".join))
def test_every_path_is_read(rest: str) -> None:
    assert read(f"/npm{rest}") is None or rest[:1] in ("", "/")
    found = read(f"/npm/{rest}")
    assert found is not None
    if isinstance(found, Asked):
        assert is_package_name(found.package)
    if isinstance(found, Respond):
        assert (found.status, list(json.loads(found.body))) == (404, ["error"])


names = st.from_regex(r"(@[a-z0-9][a-z0-9._-]{0,5}/)?[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)


@given(names, st.data())
def test_every_spelling_of_a_name_is_the_name(name: str, data: st.DataObject) -> None:
    spelled = "".join(data.draw(st.sampled_from([char, f"%{ord(char):02x}", f"%{ord(char):02X}"])) for char in name)
    assert read(f"/npm/{spelled}") == Asked(name)
    assert read(f"/npm/{spelled}/latest") == Asked(name, "version", "latest")
    assert read(f"/npm/-/package/{spelled}/dist-tags") == Asked(name, "dist-tags")
