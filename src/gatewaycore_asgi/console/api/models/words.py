"""Words: texts of models, and how long they may be."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

Title: TypeAlias = Annotated[str, Meta(max_length=200)]
Word: TypeAlias = Annotated[str, Meta(min_length=1, max_length=253)]
