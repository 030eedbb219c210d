"""Masks secrets in texts: however a secret is written, it is replaced by `***`. Pure."""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

_ENCODINGS = ("utf-8", "latin-1", "cp1252", "utf-16-le", "utf-16-be")
_SEPARATORS = ("", " ", ":", "-", ",", ", ", "\\x", " 0x", ", 0x")  # between bytes in hexadecimal
_SHORTEST_PART = 4  # characters of a secret before a cut that must be masked; bytes of a secret that is part of base64
_LONGEST_PART = 300  # characters of a text that are shown at most before it is cut
_LONG_SECRET = 4096  # characters; for a longer secret only the common forms are searched, to save memory
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3
_CUT = "..."


class Masker:
    """Replaces `secrets` by `***`, in every form in which a text may contain them.

    The forms are: the secret itself; quoted or escaped by Python or JSON, also twice; decoded with a wrong encoding;
    its bytes in hexadecimal, decimal or base64 (also as part of longer data), or percent-encoded as in a URL.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        self._forms = sorted(
            filter(None, forms), key=len, reverse=True
        )  # longest first: a form that contains another one is masked as a whole

    def mask(self, text: str) -> str:
        """Return `text` with all secrets masked, also one that is cut off: its beginning stands before `...`."""
        for form in self._forms:
            text = text.replace(form, "***")
        if self._forms and _CUT in text:
            text = self._without_beginnings(text)
        return text

    def masked(self, value: Any) -> Any:
        """Return `value`, of mappings, lists and texts as JSON has them, with all secrets in its texts masked.

        Most have none, which is found out for all of their texts at once.
        """
        texts = "\n".join(texts_in(value))
        return value if self.mask(texts) == texts else _masked(value, self.mask)

    def _without_beginnings(self, text: str) -> str:
        parts = text.split(_CUT)
        return _CUT.join([*map(self._without_beginning, parts[:-1]), parts[-1]])

    def _without_beginning(self, text: str) -> str:
        """Return `text`, with the beginning of a secret masked if it ends with one."""
        tail = text[-_LONGEST_PART:]
        for form in self._forms:
            begin = tail.find(form[:_SHORTEST_PART]) if len(form) > _SHORTEST_PART else -1
            while begin >= 0:
                if form.startswith(tail[begin:]):
                    return f"{text[: len(text) - len(tail) + begin]}***"
                begin = tail.find(form[:_SHORTEST_PART], begin + 1)
        return text


@lru_cache(maxsize=4)
def masker_of(secrets: tuple[str, ...]) -> Masker:
    """Return what masks `secrets`, made once for whoever asks again and again: that takes a ms for each secret."""
    return Masker(secrets)


def texts_in(value: Any) -> Iterator[str]:
    """Yield all texts in a value of mappings, lists and texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(each)


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {name: _masked(each, mask) for name, each in value.items()}
    return [_masked(each, mask) for each in value] if isinstance(value, list | tuple) else value


def _forms(secret: str) -> Iterator[str]:
    is_long = len(secret) > _LONG_SECRET
    texts = {secret}
    for data in _encoded(secret, _ENCODINGS[:1] if is_long else _ENCODINGS):
        yield from _byte_forms(data)
        texts |= {data.decode("latin-1"), repr(data)[2:-1], repr(data + b"'\"")[2:-4]}
        for encoding in _ENCODINGS[:3]:
            for errors in ("replace", "backslashreplace", "surrogateescape"):
                texts.add(data.decode(encoding, errors))
    for text in texts:
        yield text
        for once in _escaped(text):
            yield once
            yield from _escaped(once)


def _encoded(secret: str, encodings: Iterable[str]) -> set[bytes]:
    encoded = set()
    for encoding in encodings:
        # The last two are for surrogates, which a secret has if it came from a file name or from JSON.
        for errors in ("strict", "surrogateescape", "surrogatepass"):
            try:
                encoded.add(secret.encode(encoding, errors))
                break
            except ValueError:  # the encoding cannot represent all of the characters
                continue
    return encoded


def _escaped(text: str) -> Iterator[str]:
    """Yield `text` as Python and JSON escape it between quotes, for each kind of quotes."""
    for escape in (ascii, repr):
        quoted = escape(text)[1:-1]
        yield quoted
        yield quoted.replace("\\'", "'").replace("'", "\\'")  # inside a text that has both kinds of quotes
    for only_ascii in (True, False):
        yield json.dumps(text, ensure_ascii=only_ascii)[1:-1]


def _byte_forms(data: bytes) -> Iterator[str]:
    for separator in _SEPARATORS:
        pairs = separator.join(f"{byte:02x}" for byte in data)
        yield pairs
        yield separator.join(f"{byte:02X}" for byte in data)
    for digits in ("02x", "02X"):
        url = "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:{digits}}" for byte in data)
        yield url
        yield url.replace("%20", "+")
        yield url.replace("%2f" if digits == "02x" else "%2F", "/")
    if len(data) >= _SHORTEST_PART:
        yield ", ".join(map(str, data))
        for offset, skipped in (
            (0, 0),
            (1, 2),
            (2, 3),
        ):  # base64 writes three bytes as four characters: there are three alignments
            text = binascii.b2a_base64(bytes(offset) + data, newline=False).decode("ascii")
            certain = text[skipped : (offset + len(data)) * 8 // 6]
            yield certain
            yield certain.replace("+", "-").replace("/", "_")  # RFC 4648, 5
