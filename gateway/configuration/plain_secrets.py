"""The secrets that stand in a configuration as they are, and not as a variable or in a file of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from gateway.configuration.document import Document, Path
from gateway.configuration.page_file import interfaces_of
from gateway.configuration.schemas import interface_schema
from gateway.configuration.settings import InterfaceOptions
from gateway.configuration.yaml_reader import variables
from gateway.logs.masking import texts_in

_SECRET = re.compile(r"(?i)(.*[_-])?(pass(word|wd|phrase)?|pwd|secret|token)")
"""The complete name of an option whose value is a secret."""

_IN_URL = re.compile(r"\b[A-Za-z][\w+.-]{0,30}://[^\s/:@]{0,200}:([^\s/@]{1,200})@")


def plain_secrets(document: Document) -> Iterator[tuple[Path, str]]:
    """Yield where options are whose names say that they are secrets, with their values; and passwords in URLs.

    URLs are those of interfaces.
    """
    data = document.data if isinstance(document.data, Mapping) else {}
    interfaces = interfaces_of(data)
    for at, options in {("mqtt",): data.get("mqtt"), ("web",): data.get("web"), **interfaces}.items():
        for name, value in (options if isinstance(options, Mapping) else {}).items():
            is_secret = isinstance(value, str) and value and _SECRET.fullmatch(name)
            if is_secret and not variables(document.raw.get((*at, name), "")):
                yield (*at, name), value
    for at, options in interfaces.items():
        for text in texts_in(options):
            for password in _IN_URL.findall(text):
                yield from ((at, each) for each in dict.fromkeys((password, unquote(password))))


def marked_secrets(interfaces: Iterable[InterfaceOptions]) -> Iterator[str]:
    """Yield the values of options that the schema of an interface marks as secret; those of a file are its path."""
    for interface in interfaces:
        for name, option in interface_schema(interface.cls)["properties"].items():
            if isinstance(option, Mapping) and option.get("writeOnly") is True and option.get("format") != "file":
                yield from filter(None, texts_in(interface.params.get(name)))
