"""Making: packages and collections that are made in the console, who may see each, and whether everybody may."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlencode

from litestar import Response
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gatewaycore.access import ROLES, Access, Holding, Kind, Principal, Role, Seen, hidden, may_grant
from gatewaycore.errors import AccessError, ConfigError, Problem, UnknownError
from gatewaycore.following import key_of, left_out
from gatewaycore_asgi.console.doors import Asking, Visit
from gatewaycore_asgi.console.forms import Form, showing, taking
from gatewaycore_asgi.console.managing import words
from gatewaycore_asgi.console.recipes import COLLECTION, MORE, RECIPES, Recipe, definition_of, placed, values_of, write_yaml
from gatewaycore_asgi.console.requests import base_of, last

if TYPE_CHECKING:
    from gatewaycore_asgi.console.app import Console

Answer = Response[Any]


class Made(Protocol):
    """Lets a gateway serve what is made here."""

    def check(self, definitions: list[tuple[Kind, Mapping[str, Any]]]) -> None:
        """Find out whether definitions can be served beside the file.

        Raises:
            ConfigError: with every problem found.
        """
        ...

    def look(self) -> bool:
        """Serve what there is now."""
        ...


class Making:
    """The pages on which packages are made, changed and shared.

    Args:
        console: whose.
        access: knows them.
    """

    def __init__(self, console: Console, access: Access) -> None:
        self._console = console
        self._access = access

    def handlers(self) -> Sequence[HTTPRouteHandler]:
        """Return what answers."""
        return [
            showing("/new", lambda request: self._new(request, last(request, "organisation"), last(request, "type") or "file")),
            showing("/configure", lambda request: self._configure(request, _kind(last(request, "kind")), last(request, "name"))),
            taking("/new", self._make),
            taking("/configure", self._change),
            taking("/configure/delete", self._delete),
            taking("/configure/share", self._on_package(self._share)),
            taking("/configure/member", self._on_package(self._set_member)),
            taking("/configure/member/remove", self._on_package(self._remove_member)),
        ]

    def _visit(self, request: Asking) -> Visit:
        return self._console.doors.visit(request)

    @property
    def _made(self) -> Made:
        if self._console.made is None:
            raise NotFoundException
        return self._console.made

    # --- new ones ------------------------------------------------------------------------------------------------------

    def _new(self, request: Asking, organisation: str, tag: str, form: Form | None = None, error: Exception | None = None) -> Answer:
        principal = self._visit(request).principal
        recipe = RECIPES.get(tag)
        if recipe is None or self._console.made is None:
            raise NotFoundException
        places = [one for one, role in self._access.groups.organisations(principal) if role != "member"]
        if not places:
            raise NotFoundException
        wrong, others, status = _faults(error, recipe)
        values = {one: "" if form is None else form.one(one) for one in (*(field.key for field in recipe.fields), MORE)}
        context = {
            "recipe": recipe,
            "recipes": RECIPES,
            "places": places,
            "organisation": organisation or places[0].name,
            "values": values,
            "wrong": wrong,
            "others": others,
        }
        return self._console.pages.show(request, "new.html", "/new", "New package", context, status)

    def _make(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        tag, organisation = form.one("type"), form.one("organisation")
        recipe = RECIPES.get(tag)
        if recipe is None:
            raise NotFoundException
        made = self._made
        try:
            definition = definition_of(recipe, form)
            kind: Kind = "collection" if tag == COLLECTION else "package"
            key = key_of(kind, definition)
            holding = self._access.holdings.create(
                kind, key, organisation, definition, made.check, principal, self._is_counted, self._counted
            )
        except (ConfigError, AccessError) as error:
            return self._new(request, organisation, tag, form, error)
        made.look()
        return _to(request, "/configure", kind=holding.kind, name=holding.key)

    def _is_counted(self, key: str) -> bool:
        return self._console.statistics().first_event((key,)) is not None

    def _counted(self) -> Iterable[str]:
        return self._console.statistics().packages()

    # --- one of them ---------------------------------------------------------------------------------------------------

    def _seen(self, principal: Principal, kind: Kind, key: str) -> Seen:
        try:
            seen = self._access.holdings.look(key, principal, kind)
        except UnknownError as error:
            raise NotFoundException from error
        if seen.role is None:
            raise NotFoundException
        return seen

    def _configure(
        self, request: Asking, kind: Kind, key: str, form: Form | None = None, error: Exception | None = None, wrong: str = ""
    ) -> Answer:
        principal = self._visit(request).principal
        seen = self._seen(principal, kind, key)
        recipe = _recipe_of(seen.holding)
        faults, others, status = _faults(error, recipe)
        values: Mapping[str, str] = {}
        if recipe is not None and seen.holding.definition is not None:
            values = values_of(recipe, hidden(seen.holding.definition))
            values = values if form is None else {name: form.one(name) for name in values}
        context = {
            "seen": seen,
            "recipe": recipe,
            "text": self._text(seen.holding),
            "members": self._access.holdings.members(key, principal) if kind == "package" and seen.holding.id else [],
            "grants": [one for one in ROLES if may_grant(seen.role, one)],
            "may": seen.role != "member",
            "makes": self._console.made is not None,
            "values": values,
            "wrong": faults,
            "others": [*others, *([wrong] if wrong else []), *self._left_out(seen)],
        }
        place = (("kind", kind), ("name", key))
        return self._console.pages.show(request, "configure.html", "/configure", key, context, status, place)

    def _left_out(self, seen: Seen) -> Iterator[str]:
        why = left_out(self._console.service).get((seen.holding.kind, seen.holding.key))
        if why is not None and seen.role != "member":
            yield f"It is not served as things are. {why}"

    def _text(self, holding: Holding) -> str:
        """Return what is known of how it is served, as a configuration file has it."""
        if holding.definition is not None:
            return write_yaml(hidden(holding.definition))
        known = self._console.catalogue.packages().get(holding.key)
        if known is None or not known.is_configured:
            return ""
        found = {"name": known.name, "type": known.type, "domain": known.domain, "incoming-path": known.path}
        return write_yaml({key: value for key, value in found.items() if value})

    def _change(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        kind, key = _kind(form.one("kind")), form.one("key")
        recipe = _recipe_of(self._seen(principal, kind, key).holding)
        made = self._made
        if recipe is None:
            raise NotFoundException
        try:
            definition = definition_of(recipe, form)
            if key_of(kind, definition) != key:
                raise ConfigError([_renamed(kind)])
            version = int(form.one("version")) if form.one("version").isdecimal() else None
            self._access.holdings.change(kind, key, definition, made.check, principal, version)
        except (ConfigError, AccessError) as error:
            return self._configure(request, kind, key, form, error)
        made.look()
        return _to(request, "/configure", kind=kind, name=key)

    def _delete(self, request: Asking, form: Form) -> Answer:
        principal = self._visit(request).check(form)
        kind, key = _kind(form.one("kind")), form.one("key")
        made = self._made
        try:
            self._access.holdings.delete(kind, key, principal, made.check)
        except (ConfigError, AccessError) as error:
            return self._configure(request, kind, key, error=error)
        made.look()
        return _to(request, "/")

    # --- who may see it ------------------------------------------------------------------------------------------------

    def _on_package(self, act: Callable[[Principal, str, Form], None]) -> Callable[[Asking, Form], Answer]:
        """Return what takes a form about a package, and shows its page again."""

        def take(request: Asking, form: Form) -> Answer:
            principal = self._visit(request).check(form)
            key = form.one("key")
            try:
                act(principal, key, form)
            except (ConfigError, AccessError) as error:
                return self._configure(request, "package", key, error=error)
            return _to(request, "/configure", kind="package", name=key)

        return take

    def _share(self, principal: Principal, key: str, form: Form) -> None:
        self._access.holdings.share(key, form.one("public") == "yes", principal)

    def _set_member(self, principal: Principal, key: str, form: Form) -> None:
        self._access.holdings.set_role(key, form.one("user"), cast(Role, form.one("role")), principal)

    def _remove_member(self, principal: Principal, key: str, form: Form) -> None:
        self._access.holdings.remove(key, form.one("user"), principal)


def _renamed(kind: Kind) -> Problem:
    field = "pattern" if kind == "collection" else "name"
    return Problem(field, "cannot be changed: what was counted is kept under it", "make a new one, and delete this")


def _recipe_of(holding: Holding) -> Recipe | None:
    if holding.definition is None:
        return None
    return RECIPES.get(COLLECTION if holding.kind == "collection" else str(holding.definition.get("type", "")))


def _faults(error: Exception | None, recipe: Recipe | None) -> tuple[dict[str, str], list[str], int]:
    """Return what is wrong: by field, what belongs to none, and the status."""
    if error is None:
        return {}, [], 200
    if isinstance(error, ConfigError) and recipe is not None:
        return *placed(error.problems, recipe), 400
    told, status = words(error) if isinstance(error, ConfigError | AccessError) else (str(error), 400)
    return {}, [told], status


def _kind(text: str) -> Kind:
    return "collection" if text == "collection" else "package"


def _to(request: Asking, path: str, **pairs: str) -> Answer:
    return Redirect(f"{base_of(request)}{path}{f'?{urlencode(pairs)}' if pairs else ''}", status_code=303)
