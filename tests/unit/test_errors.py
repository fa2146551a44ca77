"""Errors: one tree, and every problem with its place."""

from __future__ import annotations

import pytest

from gatewaycore.errors import (
    ConfigError,
    GatewayError,
    MissingExtraError,
    PoisonError,
    Problem,
    RefusedError,
    RequestError,
    SinkError,
    TemplateError,
)


@pytest.mark.parametrize(
    "error",
    [ConfigError([]), TemplateError("x", "/{", (1, 2)), RequestError("x"), SinkError("x"), PoisonError([0], "x"), RefusedError("x")],
    ids=lambda error: type(error).__name__,
)
def test_everything_raised_on_purpose_is_one_tree(error: Exception) -> None:
    assert isinstance(error, GatewayError)


def test_a_problem_says_where_what_and_what_to_do() -> None:
    problem = Problem("gateway.yaml:3: packages[0].type", "unknown type 'fil'", "did you mean 'file'?")
    assert str(problem) == "gateway.yaml:3: packages[0].type: unknown type 'fil' (did you mean 'file'?)"
    assert str(Problem("a", "b")) == "a: b"
    assert repr(problem) == f"Problem({problem.where!r}, {problem.what!r}, {problem.hint!r})"
    assert problem == Problem(problem.where, problem.what, problem.hint) != Problem("a", "b")
    assert problem != "a"


def test_a_config_error_holds_them_all() -> None:
    problems = (Problem("a", "b"), Problem("c", "d"))
    error = ConfigError(problems)
    assert (error.problems, str(error)) == (list(problems), "a: b\nc: d")


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError.of("sinks: store", "shop")
    assert isinstance(error, ConfigError)
    assert str(error) == "sinks: store: needs gatewaycore[shop] (pip install 'gatewaycore[shop]')"


@pytest.mark.parametrize(("span", "carets"), [((1, 4), " ^^^"), ((0, 0), "^"), ((3, 3), "   ^")])
def test_a_template_error_shows_the_place(span: tuple[int, int], carets: str) -> None:
    assert str(TemplateError("no", "/{x}", span)).splitlines() == ["no", "    /{x}", f"    {carets}"]


def test_a_request_error_knows_its_status() -> None:
    assert (RequestError("x").status, RequestError("x", 414).status) == (400, 414)
