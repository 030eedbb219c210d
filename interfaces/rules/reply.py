"""What is written when a rule matches a frame, or when a checksum is wrong: ACK, NAK, a login, a heartbeat. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.errors import Problem
from interfaces.rules.content import check_kinds, content_kinds, make_content
from interfaces.rules.layout import LayoutError
from interfaces.rules.message_template import CodecError
from interfaces.rules.own_values import OWN_VALUES, OwnValues
from interfaces.rules.template import TemplateError


class Reply:
    """What a reply contains, and the name of its framing (empty: that of everything which is written)."""

    def __init__(self, options: Mapping[str, Any], encoding: str) -> None:
        self.content = make_content(options, encoding)
        self.framing: str = options.get("framing", "")

    def make(self, values: Mapping[str, Any], own: OwnValues) -> bytes:
        """Return the content for the `values` of a frame; raise `CodecError` if it cannot be written."""
        needed = self.content.names - values.keys()
        missing = sorted(needed - OWN_VALUES)
        if missing:
            raise CodecError(f"the frame has no value {missing[0]!a}")
        return self.content.make({**own.take(needed), **values})


def check_reply(options: Mapping[str, Any], encoding: str, names: frozenset[str] | None) -> Iterator[Problem]:
    """Yield the problems of a reply that may use the values `names` (None: any); paths begin at it."""
    problems = list(check_kinds(options))
    yield from problems
    if problems:
        return
    try:
        content = make_content(options, encoding)
    except (TemplateError, CodecError, LayoutError) as err:
        path = err.path if isinstance(err, LayoutError) else ()
        yield Problem((next(content_kinds(options)), *path), str(err))
        return
    for name in sorted(content.names - OWN_VALUES - names if names is not None else ()):
        remedy = f"its values: {', '.join(sorted(names or ())) or 'none'}"
        yield Problem((), f"{{{name}}} is not a value of the frame that is replied to", remedy)
