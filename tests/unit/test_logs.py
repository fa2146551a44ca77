"""The log of `serve`: what stands in its lines, in both forms, and what does not."""

from __future__ import annotations

import json
import logging
from logging.config import dictConfig

import pytest

from gatewaycore.cli.logs import log_config

ADDRESS = "203.0.113.7"


@pytest.fixture(autouse=True)
def logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the configuration under test sets from other tests."""
    for name in (None, "gatewaycore", "uvicorn", "uvicorn.error", "httpx"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "handlers", list(logger.handlers))
        monkeypatch.setattr(logger, "level", logger.level)


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_is_told_without_its_words(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(log_config("info", form))
    try:
        try:
            raise ValueError(f"no port: {ADDRESS}:x")
        except ValueError as error:
            raise RuntimeError(f"{ADDRESS} cannot be read") from error
    except RuntimeError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    logging.getLogger("gatewaycore.serve").info("it serves on")
    said = capsys.readouterr().err
    assert ADDRESS not in said
    assert "Exception in ASGI application" in said
    assert "RuntimeError" in said
    assert "test_logs.py" in said
    if form == "json":
        first, second = map(json.loads, said.splitlines())
        assert (first["error"], first["level"], second["message"]) == ("RuntimeError", "error", "it serves on")
    else:
        assert said.splitlines()[-1].endswith("INFO gatewaycore.serve: it serves on")
        assert "ERROR uvicorn.error: Exception in ASGI application" in said


def test_what_anybody_could_fill_the_disk_with_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    dictConfig(log_config("debug"))
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert capsys.readouterr().err == ""
