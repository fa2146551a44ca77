"""Examples: one answer of each kind, for those who read the document."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from gatewaycore.stats import Filter, plain
from gatewaycore.stats.periods import whole_days
from gatewaycore.stats.questions import Breakdown, Companies, Company, Figures, Kept, Point, Retention, Series, Share, Totals

_AT: Final = "2026-11-02T09:30:00Z"
_ID: Final = "0196a3b2-7c1e-7d40-8a55-3f1c2b9d0e47"
_DEFINITION: Final = {"type": "file", "name": "cli", "domain": "get.acme.com", "incoming-path": "/cli/{version}"}
_ORGANISATION: Final = {"name": "acme", "title": "Acme Ltd", "role": "owner", "is_home": True, "created_at": _AT}
_MEMBER: Final = {"name": "ada", "role": "admin", "since": _AT}
_USER: Final = {"name": "ada", "is_operator": False, "created_at": _AT, "disabled_at": None}
_TOKEN: Final = {
    "id": _ID,
    "name": "dashboard export",
    "hint": "x7Qe",
    "scopes": ["read"],
    "organisation": "acme",
    "created_at": _AT,
    "expires_at": "2027-11-02T09:30:00Z",
    "used_on": None,
}
_SECRET: Final = "gwc_shown-once-and-never-again"  # noqa: S105 - nobody's
_PACKAGE: Final = {
    "key": "cli",
    "kind": "package",
    "organisation": "acme",
    "role": "admin",
    "is_public": False,
    "is_read_only": False,
    "definition": _DEFINITION,
    "left_out": None,
    "version": 3,
    "created_at": _AT,
    "updated_at": _AT,
}
_ROUTE: Final = {
    "domain": "get.acme.com",
    "incoming": "/cli/{version}",
    "outgoing": "https://cdn.acme.com/cli-{version}.tgz",
    "rule": "get.acme.com/cli/{version}",
}
_PIXEL: Final = {
    "key": "docs",
    "organisation": "acme",
    "url": "https://get.acme.com/docs.png",
    "html": '<img src="https://get.acme.com/docs.png" alt="" referrerpolicy="no-referrer-when-downgrade">',
}
_DOMAIN: Final = {
    "name": "get.acme.com",
    "organisation": "acme",
    "state": "pending",
    "reason": "there is no TXT record _gatewaycore-challenge.get.acme.com",
    "proof": "records",
    "records": [
        {"type": "TXT", "name": "_gatewaycore-challenge.get.acme.com", "value": "Jq8rWm3tT0kZ5xvB1cNf7Yp2", "instead": False},
        {"type": "CNAME", "name": "get.acme.com", "value": "gateway.example", "instead": False},
        {"type": "A", "name": "get.acme.com", "value": "203.0.113.7", "instead": True},
    ],
    "seen": {"txt": [], "more_txt": 0, "cname": ["gateway.example"], "addresses": []},
    "checked_at": _AT,
    "next_at": _AT,
    "failing_since": None,
    "verified_at": None,
    "created_at": _AT,
}
_ENTRY: Final = {
    "id": _ID,
    "at": _AT,
    "actor": "ada",
    "token_id": _ID,
    "action": "package.create",
    "subject": "cli",
    "organisation": "acme",
    "details": {"definition": _DEFINITION},
}
_IMPORT: Final = {
    "id": _ID,
    "status": "done",
    "reason": "",
    "is_dry_run": False,
    "can_resume": False,
    "bytes": 48_201,
    "total": 1_000,
    "imported": 997,
    "failed": 2,
    "left_out": {"opted-out": 1},
    "errors": [{"line": 17, "reason": "$time is no time"}],
    "first": "2026-01-01T00:00:04Z",
    "last": "2026-10-31T23:59:51Z",
    "created_at": _AT,
    "changed_at": _AT,
    "events": [],
}
_EVENT: Final = {"id": _ID, "time": _AT, "package": "cli", "kind": "download", "version": "1.2.3", "country": "DE"}

_BEGAN: Final = datetime(2026, 11, 2, tzinfo=UTC)
_ABOUT: Final[Mapping[str, Any]] = {
    "period": whole_days(date(2026, 11, 2), date(2026, 11, 8), ZoneInfo("UTC"), "2026-11-02..2026-11-08"),
    "filter": Filter(packages=("cli",)),
}
_FIGURES: Final = Figures(count=120, downloads=120, sources=48, endpoints=41, companies=3)
_COMPANY: Final = Company("acme.com", "Acme Ltd", 0.9, 17, 4, 1, _BEGAN, _BEGAN)
_ANSWERS: Final = (
    Totals(**_ABOUT, now=_FIGURES, before=Figures(count=100, downloads=100)),
    Series(**_ABOUT, unit="day", points=(Point(_BEGAN, _FIGURES),)),
    Breakdown(**_ABOUT, by="version", total=120, values=2, shares=(Share("1.2.3", 90, 40, 12), Share(None, 30, 9, 0))),
    Companies(**_ABOUT, number=3, companies=(_COMPANY,)),
    Retention(**_ABOUT, package="cli", versions=(Kept("1.2.3", 40, 31, 9),)),
)


def _page(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"items": [one], "next": None}


EXAMPLES: Final[Mapping[str, Any]] = {
    **{type(one).__name__: plain(one) for one in _ANSWERS},
    "OrganisationTold": _ORGANISATION,
    "OrganisationPage": _page(_ORGANISATION),
    "NewOrganisation": {"name": "acme", "title": "Acme Ltd"},
    "NewTitle": {"title": "Acme Limited"},
    "Me": {
        "name": "ada",
        "is_operator": False,
        "token_id": _ID,
        "scopes": ["write"],
        "organisation": None,
        "organisations": [_ORGANISATION],
    },
    "MemberTold": _MEMBER,
    "MemberPage": _page(_MEMBER),
    "NewRole": {"role": "admin"},
    "UserTold": _USER,
    "UserPage": _page(_USER),
    "NewUser": {"name": "ada"},
    "MadeUser": {"user": _USER, "secret": _SECRET},
    "TokenPage": _page(_TOKEN),
    "NewToken": {"name": "dashboard export", "scopes": ["read"], "organisation": "acme", "expires_at": "2027-11-02T09:30:00Z"},
    "MadeToken": {"token": _TOKEN, "secret": _SECRET},
    "PackageTold": _PACKAGE,
    "PackagePage": _page(_PACKAGE),
    "NewPackage": {"organisation": "acme", "definition": _DEFINITION},
    "NewDefinition": {"definition": {**_DEFINITION, "outgoing-url": "https://cdn.acme.com/cli-{version}.tgz"}},
    "NewSharing": {"is_public": True},
    "NewOwner": {"organisation": "acme"},
    "RoutePage": _page(_ROUTE),
    "PixelPage": _page(_PIXEL),
    "DomainTold": _DOMAIN,
    "DomainPage": _page(_DOMAIN),
    "NewDomain": {"name": "get.acme.com", "organisation": "acme"},
    "EntryPage": _page(_ENTRY),
    "EventPage": _page(_EVENT),
    "ImportTold": _IMPORT,
    "ImportPage": _page(_IMPORT),
    "Told": {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "what was sent cannot be used",
        "instance": "/api/v1/packages",
        "errors": [{"where": "packages[cli].domain", "what": "is missing", "hint": "domain: get.acme.com"}],
    },
}
"""By the name of the model."""
