"""Managing: tokens, organisations with their members and domains, imports, and the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlencode

from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gatewaycore.access import ROLES, SCOPES, Access, Principal, Role, Scope, may_grant
from gatewaycore.errors import AccessError, ConfigError, GatewayError, UnknownError
from gatewaycore.importing.ledger import Ledger
from gatewaycore_asgi.console.doors import Asking, Visit
from gatewaycore_asgi.console.forms import Form, showing, taking
from gatewaycore_asgi.console.requests import base_of, last

if TYPE_CHECKING:
    from gatewaycore_asgi.console.app import Console

Answer = Response[Any]
Shown: TypeAlias = Callable[[Asking, str, int], Answer]

DAYS: Final = (30, 90, 365)
"""After how many days a token may be over; or never."""

_ENTRIES: Final = 50
_MOST_IMPORTS: Final = 100


def words(error: GatewayError) -> tuple[str, int]:
    """Return what is wrong, for a page, and the status that says so."""
    if isinstance(error, ConfigError):
        return "; ".join(f"{one.where}: {one.what}" + (f" ({one.hint})" if one.hint else "") for one in error.problems), 400
    return str(error), error.status if isinstance(error, AccessError) else 503


class Managing:
    """The pages on which people, tokens and domains are managed.

    Args:
        console: whose.
        access: knows, and changes, who may do what.
    """

    def __init__(self, console: Console, access: Access) -> None:
        self._console = console
        self._access = access

    def handlers(self) -> Sequence[HTTPRouteHandler]:
        """Return what answers."""
        return [
            showing("/tokens", self._tokens),
            showing("/settings", lambda request: self._settings(request, last(request, "name"))),
            showing("/people", self._people),
            showing("/imports", self._imports),
            showing("/audit", self._audit),
            taking("/tokens", self._make_token),
            taking("/tokens/revoke", self._revoke_token),
            taking("/settings/member", self._on_organisation(self._set_member)),
            taking("/settings/member/remove", self._on_organisation(self._remove_member)),
            taking("/settings/domain", self._on_organisation(self._add_domain)),
            taking("/settings/domain/remove", self._on_organisation(self._remove_domain)),
            taking("/people", self._make_user),
            taking("/people/disable", self._disable_user),
            taking("/people/organisation", self._make_organisation),
        ]

    def _visit(self, request: Asking) -> Visit:
        return self._console.doors.visit(request)

    # --- tokens --------------------------------------------------------------------------------------------------------

    def _tokens(self, request: Asking, wrong: str = "", status: int = 200, secret: str = "", form: Form | None = None) -> Answer:
        principal = self._visit(request).principal
        context = {
            "tokens": self._access.people.tokens(principal.user, principal),
            "current": principal.token_id,
            "organisations": self._access.groups.organisations(principal),
            "may": principal.holds("admin"),
            "scopes": SCOPES,
            "days": DAYS,
            "wrong": wrong,
            "secret": secret,
            "form": form or Form({}),
        }
        return self._console.pages.show(request, "tokens.html", "/tokens", "Tokens", context, status)

    def _make_token(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        scopes = cast("tuple[Scope, ...]", form.all("scope"))
        organisation = form.one("organisation")
        try:
            reach = self._access.groups.organisation(organisation, principal)[0].id if organisation else principal.organisation_id
            days = int(form.one("days")) if form.one("days").isdecimal() else None
            over = None if not days else datetime.now(UTC) + timedelta(days=min(days, 3650))
            _, secret = self._access.people.create_token(principal.user, form.one("name"), scopes, over, reach, by=principal)
        except (ConfigError, AccessError) as error:
            return self._tokens(request, *words(error), form=form)
        # Not after a redirect: it is shown here, once, and is nowhere else.
        return self._tokens(request, secret=secret)

    def _revoke_token(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        try:
            self._access.people.revoke_token(form.one("id"), principal)
        except AccessError as error:
            return self._tokens(request, *words(error))
        return _to(request, "/tokens")

    # --- organisations -------------------------------------------------------------------------------------------------

    def _settings(self, request: Asking, name: str, wrong: str = "", status: int = 200) -> Answer:
        principal = self._visit(request).principal
        try:
            organisation, role = self._access.groups.organisation(name, principal)
            members = self._access.groups.members(name, principal)
            domains = self._access.domains.seen_by(principal, [organisation.id])
            packages, collections = (
                [one for one in self._access.holdings.seen_by(principal, kind) if one.holding.organisation_id == organisation.id]
                for kind in ("package", "collection")
            )
        except UnknownError as error:
            raise NotFoundException from error
        context = {
            "organisation": organisation,
            "role": role,
            "members": members,
            "domains": domains,
            "packages": packages,
            "collections": collections,
            "grants": [one for one in ROLES if may_grant(role, one)],
            "may": role != "member",
            "makes": self._console.made is not None,
            "wrong": wrong,
        }
        place = (("name", organisation.name),)
        return self._console.pages.show(request, "settings.html", "/settings", organisation.title, context, status, place)

    def _on_organisation(self, act: Callable[[Principal, str, Form], None]) -> Callable[[Asking, Form], Answer]:
        """Return what takes a form about an organisation, and shows its page again."""

        def take(request: Asking, form: Form) -> Answer:
            principal = self._visit(request).check(form)
            name = form.one("name")
            try:
                act(principal, name, form)
            except (ConfigError, AccessError) as error:
                return self._settings(request, name, *words(error))
            return _to(request, "/settings", name)

        return take

    def _set_member(self, principal: Principal, name: str, form: Form) -> None:
        self._access.groups.set_role(name, form.one("user"), cast(Role, form.one("role")), principal)

    def _remove_member(self, principal: Principal, name: str, form: Form) -> None:
        self._access.groups.remove(name, form.one("user"), principal)

    def _add_domain(self, principal: Principal, name: str, form: Form) -> None:
        self._access.domains.create(form.one("domain"), name, principal)

    def _remove_domain(self, principal: Principal, name: str, form: Form) -> None:
        self._access.domains.delete(form.one("domain"), principal)

    # --- people --------------------------------------------------------------------------------------------------------

    def _people(self, request: Asking, wrong: str = "", status: int = 200, secret: str = "", whose: str = "") -> Answer:
        principal = self._visit(request).principal
        try:
            users = self._access.people.users(principal)
        except AccessError as error:
            raise NotFoundException from error
        organisations = [one for one, _ in self._access.groups.organisations(principal)]
        context = {"users": users, "organisations": organisations, "wrong": wrong, "secret": secret, "whose": whose}
        return self._console.pages.show(request, "people.html", "/people", "People", context, status)

    def _make_user(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        try:
            user = self._access.people.create_user(form.one("user"), is_operator=form.one("operator") == "yes", by=principal)
            # Whoever runs the gateway hands it over: nobody has another way in.
            over = datetime.now(UTC) + timedelta(days=DAYS[0])
            _, secret = self._access.people.create_token(user, "first sign-in", ("admin",), over)
        except (ConfigError, AccessError) as error:
            return self._people(request, *words(error))
        return self._people(request, secret=secret, whose=user.name)

    def _disable_user(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        try:
            self._access.people.disable_user(form.one("user"), principal)
        except AccessError as error:
            return self._people(request, *words(error))
        return _to(request, "/people")

    def _make_organisation(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        try:
            self._access.groups.create(form.one("organisation"), form.one("title"), by=principal)
        except (ConfigError, AccessError) as error:
            return self._people(request, *words(error))
        return _to(request, "/people")

    # --- imports, and what was changed ---------------------------------------------------------------------------------

    def _imports(self, request: Asking) -> Answer:
        principal = self._visit(request).principal
        # They are of the whole gateway: so are the names of their files.
        if not principal.runs_the_gateway or not principal.holds("read"):
            raise NotFoundException
        found = Ledger(self._console.service.data).imports()[:_MOST_IMPORTS]
        return self._console.pages.show(request, "imports.html", "/imports", "Imports", {"imports": found})

    def _audit(self, request: Asking) -> Answer:
        principal = self._visit(request).principal
        organisations = self._access.groups.organisations(principal)
        mine = [one.id for one, role in organisations if role != "member"]
        if not mine or not principal.holds("read"):
            raise NotFoundException
        entries = self._access.trail.entries(None if principal.runs_the_gateway else mine, last(request, "before") or None, _ENTRIES)
        context = {"entries": entries, "most": _ENTRIES, "titles": {one.id: one.title for one, _ in organisations}}
        return self._console.pages.show(request, "audit.html", "/audit", "Audit log", context)


def _to(request: Asking, path: str, name: str = "") -> Answer:
    query = f"?{urlencode({'name': name})}" if name else ""
    return Redirect(f"{base_of(request)}{path}{query}", status_code=303)
