"""Whose images are that collections admit, on whose domain a package stays, and how many of everything there may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gatewaycore.access import Access, Kind, Principal
from gatewaycore.console_limits import ConsoleLimits
from gatewaycore.errors import AccessError, ConfigError, ConflictError, UnknownError
from tests.databases import Postgres
from tests.unit.test_access import anything, join, proved

LIMITS = ConsoleLimits(packages=2, collections=1, domains=2, members=2, tokens=3)


@pytest.fixture(params=["sqlite", "postgresql"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Access]:
    place: str | Path = tmp_path / "console.sqlite3"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        place = server.create()
    opened = Access(place, "acme", limits=LIMITS)
    yield opened
    opened.close()


@pytest.fixture
def boss(access: Access) -> Principal:
    return join(access, "boss", operator=True)


@pytest.fixture
def zoe(access: Access, boss: Principal) -> Principal:
    """Return the owner of zebra, which has a domain; mia is a member of acme, the home organisation, and lab an owner of labs."""
    for name in ("zebra", "labs"):
        access.groups.create(name, by=boss)
    found = join(access, "zoe")
    access.people.create_user("mia")
    access.people.create_user("lab")
    access.groups.set_role("zebra", "zoe", "owner", boss)
    access.groups.set_role("acme", "mia", "member", boss)
    access.groups.set_role("labs", "lab", "owner", boss)
    proved(access, "docker.zebra.com", "zebra", boss)
    proved(access, "docker.labs.com", "labs", boss)
    return found


def make_collection(access: Access, pattern: str, by: Principal, place: str = "zebra", counted: tuple[str, ...] = ()) -> None:
    domain = f"docker.{place}.com"
    definition = {"domain": domain, "pattern": pattern, "backend": "ghcr.io"}
    access.holdings.create("collection", f"{domain} {pattern}", "zebra", definition, anything, by, counted_keys=lambda: counted)


def test_images_of_a_collection_are_its_organisations(access: Access, boss: Principal, zoe: Principal) -> None:
    mia, lab = join(access, "mia"), join(access, "lab")
    make_collection(access, "zebra/*", zoe)
    access.holdings.adopt([("collection", "docker.acme.com acme/*")])
    pulled = ["acme/app", "zebra/app", "somebody/else"]
    assert access.holdings.look("zebra/app", zoe).role == "owner"
    assert access.holdings.numbers_seen_by(zoe, pulled) == ("zebra/app",)
    assert access.holdings.images_seen_by(zoe, pulled) == {"zebra/app": access.groups.organisation("zebra", boss)[0].id}
    # Not the home organisation's, whose what nobody has made otherwise is.
    assert access.holdings.numbers_seen_by(mia, pulled) == ("acme/app", "somebody/else")
    for who in (mia, lab):
        with pytest.raises(UnknownError):
            access.holdings.look("zebra/app", who)
    with pytest.raises(UnknownError):
        access.holdings.numbers_seen_by(lab, pulled)
    assert access.holdings.numbers_seen_by(boss, pulled) is None
    # The collection is given away, and its images with it.
    access.domains.delete("docker.zebra.com", boss)
    proved(access, "docker.zebra.com", "labs", boss)
    access.holdings.move("docker.zebra.com zebra/*", "labs", boss, "collection")
    assert access.holdings.numbers_seen_by(lab, pulled) == ("zebra/app",)
    # It is gone: what was counted is neither the home organisation's nor whoever's makes the next one.
    access.holdings.delete("collection", "docker.zebra.com zebra/*", lab)
    for who in (mia, lab, zoe):
        with pytest.raises(UnknownError):
            access.holdings.look("zebra/app", who)
    assert access.holdings.look("zebra/app", boss).role == "owner"
    proved(access, "docker.zoo.com", "zebra", boss)
    with pytest.raises(ConflictError, match="fits images of a collection of another organisation"):
        make_collection(access, "*/app", zoe, "zoo")


def test_an_image_is_shared_and_given_roles_as_a_package_is(access: Access, boss: Principal, zoe: Principal) -> None:
    mia, lab = join(access, "mia"), join(access, "lab")
    make_collection(access, "zebra/*", zoe)
    assert access.holdings.share("zebra/app", True, zoe).is_public
    assert access.holdings.look("zebra/app", None).role is None
    assert access.holdings.public() == {"zebra/app"}
    access.holdings.set_role("zebra/other", "lab", "member", zoe)
    assert access.holdings.look("zebra/other", lab).role == "member"
    assert [one.user.name for one in access.holdings.members("zebra/other", zoe)] == ["lab"]
    assert access.holdings.look("zebra/app", mia).role is None
    with pytest.raises(AccessError):
        access.holdings.share("zebra/app", False, mia)
    for key in ("zebra/third", "nothing"):
        with pytest.raises(UnknownError):
            access.holdings.share(key, True, mia)
        with pytest.raises(UnknownError):
            access.holdings.set_role(key, "mia", "owner", mia)
    access.groups.set_role("zebra", "mia", "member", zoe)
    with pytest.raises(AccessError, match="takes the role admin"):
        access.holdings.share("zebra/third", True, mia)
    assert [one.holding.key for one in access.holdings.seen_by(zoe)] == ["zebra/app", "zebra/other"]


def test_the_most_specific_collection_has_an_image(access: Access, boss: Principal, zoe: Principal) -> None:
    access.holdings.adopt([("collection", "docker.acme.com */*")])
    with pytest.raises(ConflictError, match="an operator may make it"):
        make_collection(access, "zebra/*", zoe)
    make_collection(access, "zebra/*", boss)
    assert access.holdings.look("zebra/app", zoe).role == "owner"
    with pytest.raises(UnknownError):
        access.holdings.look("acme/app", zoe)


def test_a_collection_opens_no_numbers_of_another_organisation(access: Access, boss: Principal, zoe: Principal) -> None:
    access.holdings.adopt([("package", "rockets"), ("collection", "docker.acme.com acme/{web, app-*}")])
    access.holdings.create("package", "deep/er/name", "labs", {"name": "deep/er/name"}, anything, boss)
    access.holdings.delete("package", "deep/er/name", boss)
    for pattern, why in (
        ("rock*", "fits a package"),
        ("deep/*/*", "fits a package"),
        ("*/web", "fits images"),
        ("ac*/app-1", "fits images"),
        ("acme/*-server", "fits images"),
    ):
        with pytest.raises(ConflictError, match=why):
            make_collection(access, pattern, zoe)
    with pytest.raises(ConflictError, match="there are numbers of what fits 'left-\\*'"):
        make_collection(access, "left-*", zoe, counted=("right", "left-pad"))
    # What is wrong with a pattern is told by those who check definitions.
    make_collection(access, "zebra/{", zoe)
    access.holdings.delete("collection", "docker.zebra.com zebra/{", zoe)
    made = {"name": "zebra/own", "domain": "docker.zebra.com"}
    access.holdings.create("package", "zebra/own", "zebra", made, anything, zoe)
    make_collection(access, "zebra/*", zoe, counted=("zebra/own", "acme/web"))
    # Of what its own collection has admitted there are numbers, and they are its own.
    made = {"name": "zebra/app", "domain": "docker.zebra.com"}
    assert access.holdings.create("package", "zebra/app", "zebra", made, anything, zoe, lambda _: True).key == "zebra/app"


def test_a_package_stays_on_domains_of_its_organisation(access: Access, boss: Principal, zoe: Principal) -> None:
    made = {"name": "stripes", "domain": "docker.zebra.com"}
    access.holdings.create("package", "stripes", "zebra", made, anything, zoe)
    access.groups.set_role("labs", "zoe", "admin", boss)
    with pytest.raises(AccessError, match=r"docker\.zebra\.com is no verified domain"):
        access.holdings.move("stripes", "labs", zoe)
    access.domains.delete("docker.zebra.com", zoe)
    access.domains.create("docker.zebra.com", "labs", zoe)
    with pytest.raises(AccessError, match="is no verified domain"):
        access.holdings.move("stripes", "labs", zoe)
    access.domains.vouch("docker.zebra.com", "labs", boss)
    access.holdings.move("stripes", "labs", zoe)
    # On the gateway's own, which is the home organisation's.
    access.holdings.create("package", "plain", "labs", {"name": "plain"}, anything, boss)
    access.groups.set_role("labs", "zoe", "owner", boss)
    with pytest.raises(AccessError, match="say on which verified domain"):
        access.holdings.move("plain", "zebra", zoe)


def test_there_is_only_so_much_of_everything(access: Access, boss: Principal, zoe: Principal) -> None:
    def package(name: str, by: Principal) -> None:
        access.holdings.create("package", name, "zebra", {"name": name, "domain": "docker.zebra.com"}, anything, by)

    for name in ("a", "b"):
        package(name, zoe)
    make_collection(access, "zebra/*", zoe)
    access.domains.create("more.zebra.com", "zebra", zoe)
    access.groups.set_role("zebra", "mia", "member", zoe)
    access.people.create_token(zoe.user, "two", ["read"], by=zoe)
    access.people.create_token(zoe.user, "three", ["read"], by=zoe)
    access.holdings.set_role("a", "mia", "member", zoe)
    access.holdings.set_role("a", "lab", "member", zoe)
    access.people.create_user("max")
    calls: list[tuple[Callable[[], object], str]] = [
        (lambda: package("c", zoe), "2 packages"),
        (lambda: make_collection(access, "zoo/*", zoe), "1 collections"),
        (lambda: access.domains.create("most.zebra.com", "zebra", zoe), "2 domains"),
        (lambda: access.groups.set_role("zebra", "lab", "member", zoe), "2 members"),
        (lambda: access.holdings.set_role("a", "max", "member", zoe), "2 members"),
    ]
    for call, what in calls:
        with pytest.raises(ConflictError, match=rf"there are {what} already.*console\.limits"):
            call()
    with pytest.raises(ConflictError, match="zoe has 3 tokens"):
        access.people.create_token(zoe.user, "four", ["read"], by=zoe)
    # A role that is another one now is no member more; and whoever runs the gateway is held by none of them.
    access.groups.set_role("zebra", "mia", "admin", zoe)
    package("c", boss)
    access.groups.set_role("zebra", "lab", "member", boss)
    access.groups.set_role("labs", "zoe", "owner", boss)
    access.holdings.create("package", "d", "labs", {"name": "d"}, anything, boss)
    with pytest.raises(ConflictError, match="2 packages already"):
        access.holdings.move("d", "zebra", zoe)


def test_packages_that_name_others_are_operators_to_make(access: Access, zoe: Principal) -> None:
    on: dict[str, Any] = {"name": "a", "domain": "docker.zebra.com"}
    wrong: list[dict[str, Any]] = [{**on, "type": "install"}, {**on, "scopes": ["@acme"]}]
    for definition in wrong:
        with pytest.raises(AccessError, match="packages that name others"):
            access.holdings.create("package", "a", "zebra", definition, anything, zoe)


def test_a_definition_that_others_need_is_not_deleted(access: Access, zoe: Principal) -> None:
    for name in ("a", "b"):
        access.holdings.create("package", name, "zebra", {"name": name, "domain": "docker.zebra.com"}, anything, zoe)

    def needs_a(definitions: list[tuple[Kind, Mapping[str, Any]]]) -> None:
        if [one["name"] for _, one in definitions] == ["b"]:
            raise ConfigError([])

    with pytest.raises(ConfigError):
        access.holdings.delete("package", "a", zoe, needs_a)
    assert len(access.holdings.definitions()[1]) == 2
    access.holdings.delete("package", "b", zoe, needs_a)


def test_what_is_left_out_is_written_down_once(access: Access, boss: Principal, zoe: Principal) -> None:
    access.holdings.create("package", "a", "zebra", {"name": "a", "domain": "docker.zebra.com"}, anything, zoe)
    for why in ("broken", "broken", "torn", "", ""):
        access.holdings.note_served({("package", "a"): why} if why else {})
    zebra = access.groups.organisation("zebra", boss)[0].id
    found = [(one.actor, one.action, one.details) for one in access.trail.entries([zebra], limit=3)]
    assert found == [
        (None, "package.serve", {}),
        (None, "package.leave-out", {"why": "torn"}),
        (None, "package.leave-out", {"why": "broken"}),
    ]
