"""Renders templates as Home Assistant does, and as strictly as can be: what is undefined is an error."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

ENVIRONMENT = Environment(undefined=StrictUndefined, autoescape=False)


@functools.lru_cache(4096)
def _compiled(template: str) -> Template:
    return ENVIRONMENT.from_string(template)


def rendered(template: str, document: Mapping[str, Any] | None) -> str:
    """Return what a value template gives for a document; None: for an empty payload, without `value_json`."""
    given = {} if document is None else {"value_json": document}
    # What a state is before there is one is the word for the unknown state.
    return _compiled(template).render(value="", this=SimpleNamespace(state="None"), **given)


def commanded(template: str, value: object) -> str:
    """Return the payload that a command template gives for a value."""
    return _compiled(template).render(value=value)
