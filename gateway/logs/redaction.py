"""Removes secrets from texts of any kind, by where they stand: the values of passwords, tokens and keys. Pure.

A `Masker` knows the secrets that it hides. A `Redactor` finds them: in configurations, maps, units, command lines and
logs, also in texts that are not valid. What it has found in one text, it hides in all.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from gateway.logs.masking import Masker

HIDDEN = "***"

_SECRET_WORDS = frozenset({
    "pass", "passwd", "password", "passwords", "passphrase", "pwd", "secret", "secrets", "token", "tokens", "psk",
    "pin", "key", "apikey", "credential", "credentials", "auth", "authorization", "cookie", "login", "otp",
    "passcode", "accesscode", "privatekey", "userpass",
})  # fmt: skip
_NO_SECRETS = frozenset({"file", "files", "path", "folder", "expiry", "lifetime"})  # last words of other options
_NO_SECRET_NAME = frozenset(  # of units: what stands behind them has a form of its own
    f"{verb}_credential{ending}" for verb in ("load", "set", "import") for ending in ("", "_encrypted")
)
_BLOCK_MARK = re.compile(r"[|>][-+0-9]*\s*(?:#.*)?")
_SHORTEST = 4  # characters of a secret that is hidden wherever it occurs: shorter ones are part of too many words
_SHORTEST_ENCODED = 8  # characters of base64 or hexadecimal
_NOTHING = frozenset({"true", "false", "null", "none", "basic", "bearer", "digest", HIDDEN})

_NAME = r"[A-Za-z_][\w.-]*"
_QUOTED = r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\n]|'')*'"
_LINE = (
    re.compile(rf"(?m)^[ \t]*(?:[#;]+[ \t]*)?(?:- +)?[\"']?(?P<name>{_NAME})[\"']?[ \t]*[:=][ \t]*"),
    r"(?m)(?P<value>[^\s].*)$",
)
_INLINE = (
    re.compile(rf"(?<![\w.-])(?:--?)?[\"']?(?P<name>{_NAME})[\"']?\s*[:=]\s*"),
    rf"(?P<value>{_QUOTED}|[^\s\"',;&}}\]\[{{](?:(?![ \t]+{_NAME}=|[ \t]+--?\w)[^\n\"',;&}}\]])*)",
)
_OPTION = (
    re.compile(rf"(?<!\S)--?(?P<name>{_NAME})[ \t]+"),
    rf"(?P<value>{_QUOTED}|[^\s\"'-]\S*)",
)
_BLOCK = (
    re.compile(
        rf"(?m)^(?P<indent>[ \t]*)(?:- +)?[\"']?(?P<name>{_NAME})[\"']?"
        r"[ \t]*:[ \t]*(?:[|>][-+0-9]*|)[ \t]*(?:#.*)?\n"
    ),
    r"(?P<value>(?:{indent}[ \t]+\S.*(?:\n|\Z)|[ \t]*\n)+)",
)
"""Where the name of an option stands, and its value behind that. The value is looked for only if the name is one of a
secret: a long line with many names would otherwise be read to its end for each of them."""
_SCHEME = r"\b[a-zA-Z][\w+.-]{0,30}://"
_IN_URL = 1000  # characters of a user or a password in a URL: without a limit, a line of many is read for each of them
_PLACES = tuple(re.compile(pattern) for pattern in (
    rf"(?P<head>{_SCHEME}[^\s/:@\"']{{0,{_IN_URL}}}:)(?P<value>[^\s\"']{{1,{_IN_URL}}})(?=@)",  # user and password
    rf"(?P<head>{_SCHEME})(?P<value>[^\s/:@\"']{{1,{_IN_URL}}})(?=@)",
    r"(?P<head>\b(?i:basic|bearer|digest)\s+)(?P<value>[\w+/=.~-]{6,})",
    r"(?P<head>(?<=\s)-P\s+)(?P<value>\S+)",  # of mosquitto_pub and the like
    r"(?P<head>\bSetCredential(?:Encrypted)?=[^:\n]+:)(?P<value>.+)",
    r"(?P<head>\b(?:LOGIN|AUTH|PASS|PASSWORD|PIN|UNLOCK)[ =:]+)(?P<value>[^\s\"'\\,}\]]+)",  # a device is told it
    r"(?P<head>)(?P<value>\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?)",  # a JSON web token
    r"(?P<head>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<value>(?s:.*?))(?=-----END|\Z)",
))  # fmt: skip
_IN_ADDRESS = re.compile(r"(://(?:[^\s/:@]*:)?)[^\s/]+(?=@)")


def is_secret_name(name: str) -> bool:
    """Return whether an option or a variable of this name holds a secret."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    parts = [part for part in re.split(r"[_.\-]+", words) if part]
    is_other = words in _NO_SECRET_NAME or not _NO_SECRETS.isdisjoint(parts[-1:])
    return not is_other and not _SECRET_WORDS.isdisjoint(parts)


def without_secrets(value: Any) -> Any:
    """Return data with `***` for the values of options that hold secrets, and for passwords in addresses."""
    if isinstance(value, Mapping):
        return {name: HIDDEN if each and is_secret_name(str(name)) else without_secrets(each)
                for name, each in value.items()}  # fmt: skip
    if isinstance(value, str):
        return _IN_ADDRESS.sub(rf"\1{HIDDEN}", value)
    return [without_secrets(each) for each in value] if isinstance(value, list | tuple) else value


class Redactor:
    """Learns secrets, and returns texts without them. Let it learn from all texts before the first one is written."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._masker: Masker | None = None

    def learn(self, secret: str) -> None:
        """Hide `secret` in every text, and what it stands for if it is encoded."""
        for text in _meanings(secret):
            if len(text) >= _SHORTEST and text.lower() not in _NOTHING and not is_secret_name(text):
                self._secrets.add(text)
                self._masker = None

    def learn_text(self, text: str) -> None:
        """Learn the secrets in `text`."""
        for _, value in _values(text):
            self.learn(value)

    def learn_data(self, data: Any, *, is_secret: bool = False) -> None:
        """Learn the secrets in data: every value below the name of a secret, and those in texts."""
        if isinstance(data, Mapping):
            for name, value in data.items():
                self.learn_data(value, is_secret=is_secret or is_secret_name(str(name)))
        elif isinstance(data, list | tuple):
            for value in data:
                self.learn_data(value, is_secret=is_secret)
        elif is_secret and data is not None and not isinstance(data, bool):
            self.learn(str(data))
        elif isinstance(data, str):
            self.learn_text(data)

    def text(self, text: str) -> str:
        """Return `text` without secrets: those that stand in it, and those that were learnt."""
        spans = sorted({span for span, _ in _values(text)})
        parts, end = [], 0
        for begin, stop in spans:
            if begin >= end:
                parts += [text[end:begin], HIDDEN]
            end = max(end, stop)
        if self._masker is None:
            self._masker = Masker(self._secrets)
        return self._masker.mask("".join([*parts, text[end:]]))


def _values(text: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield the values of secrets in `text`: where each stands, and what it is."""
    for names, value_behind in (_LINE, _INLINE, _OPTION, _BLOCK):
        begin = 0
        while (name := names.search(text, begin)) is not None:
            begin = max(name.start() + 1, name.end("name"))
            if not is_secret_name(name["name"]):
                continue
            pattern = re.compile(value_behind.replace("{indent}", name.groupdict().get("indent", "")))
            match = pattern.match(text, name.end())
            if match is None:
                continue
            begin = match.end()
            value = match["value"].strip()
            if not value.startswith("${") and not _BLOCK_MARK.fullmatch(value):
                start = text.index(value, match.start("value"))
                yield (start, start + len(value)), value
    for pattern in _PLACES:
        for match in pattern.finditer(text):
            if not match["value"].startswith("${"):
                yield match.span("value"), match["value"]


def _meanings(secret: str) -> Iterator[str]:
    """Yield the texts that a value may stand for: without quotes and comment, its words, its lines, and decoded."""
    plain = secret.strip()
    without_comment = re.sub(r"\s+#.*$", "", plain)
    texts = {plain, without_comment, re.split(r"\s+--?\w", plain)[0]}  # on a command line, other options may follow
    texts |= {line.strip().removeprefix("- ") for line in plain.splitlines()}
    texts |= {text.rstrip(",;}]") for text in texts}
    for text in list(texts):
        if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
            texts.add(text[1:-1])
            if text[0] == "'":
                texts.add(text[1:-1].replace("''", "'"))
            else:
                try:
                    texts.add(str(json.loads(text)))
                except ValueError:
                    continue
    for text in list(texts):
        scheme, _, parameter = text.partition(" ")
        texts |= {parameter} if scheme.lower() in ("basic", "bearer", "digest") else set()
        texts.add(unquote_plus(text))
    for text in list(texts):
        for decoded in _decoded(text):
            texts |= {decoded, *decoded.split(":", 1)[1:]}
    yield from texts


def _decoded(text: str) -> Iterator[str]:
    """Yield what `text` is in base64 and in hexadecimal, if that is text."""
    if len(text) < _SHORTEST_ENCODED:
        return
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    for decode, encoded in ((_from_base64, padded), (bytes.fromhex, text)):
        try:
            decoded = decode(encoded).decode("utf-8")
        except ValueError:  # as of another encoding
            continue
        if decoded.isprintable():
            yield decoded


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
