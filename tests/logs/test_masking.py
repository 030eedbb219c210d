from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.logs.masking import Masker, masker_of

SECRETS = [
    "hunter2secret",
    "pässwörtgeheim",
    'geheim"quo\te\\',
    'it\'s "both"',
    "with space in it",
    "UPPER+/==",
    "日本語の鍵",
]
ENCODINGS = ["utf-8", "latin-1", "cp1252", "utf-16-le", "utf-16-be"]
TEXT_FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "ascii": ascii,
    "json": json.dumps,
    "json, readable": lambda s: json.dumps(s, ensure_ascii=False),
    "repr of repr": lambda s: repr(repr(s)),
    "ascii of json": lambda s: ascii(json.dumps(s)),
    "an error in an error": lambda s: repr(ValueError(f"not {s!r}")),
    "url": lambda s: urllib.parse.quote(s, safe=""),
    "url, with slashes": urllib.parse.quote,
    "form": urllib.parse.quote_plus,
}
BYTE_FORMS: dict[str, Callable[[bytes], str]] = {
    "hex": lambda b: b.hex(),
    "HEX": lambda b: b.hex().upper(),
    "hex with spaces": lambda b: b.hex(" "),
    "HEX with spaces": lambda b: b.hex(" ").upper(),
    "hex with colons": lambda b: b.hex(":"),
    "hex of C": lambda b: ", ".join(f"0x{byte:02X}" for byte in b),
    "escapes": lambda b: "".join(f"\\x{byte:02x}" for byte in b),
    "repr": repr,
    "repr among quotes": lambda b: repr(b"'\" " + b),
    "a list": lambda b: str(list(b)),
    "base64": lambda b: base64.b64encode(b).decode(),
    "base64 for URLs": lambda b: base64.urlsafe_b64encode(b).decode(),
    "base64 behind one": lambda b: base64.b64encode(b"u" + b).decode(),
    "base64 behind two": lambda b: base64.b64encode(b"u:" + b + b"more").decode(),
    "read as Latin-1": lambda b: b.decode("latin-1"),
    "read as UTF-8": lambda b: b.decode("utf-8", "replace"),
    "read as UTF-8, escaped": lambda b: b.decode("utf-8", "backslashreplace"),
    "read as UTF-8, undone": lambda b: ascii(b.decode("utf-8", "surrogateescape")),
}


@pytest.mark.parametrize("form", TEXT_FORMS)
@pytest.mark.parametrize("secret", SECRETS)
def test_text_forms(secret: str, form: str) -> None:
    shown = TEXT_FORMS[form](secret)
    masked = Masker([secret]).mask(f"got {shown} end")
    assert re.fullmatch(r"""got (ValueError\(["']not )?["'\\]*\*\*\*["'\\)]* end""", masked), masked


@pytest.mark.parametrize("form", BYTE_FORMS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("secret", SECRETS)
def test_byte_forms(secret: str, encoding: str, form: str) -> None:
    try:
        data = secret.encode(encoding)
    except UnicodeEncodeError:
        return
    masked = Masker([secret]).mask(f"<{BYTE_FORMS[form](data)}>")
    assert "***" in masked
    if "base64" not in form:  # where a character at each end may reveal two bits
        assert len(masked) <= len("<b'\"\\' ***'>") + 2
    else:
        assert len(masked) <= len("<xxxx***xxxxxxxx>")


@pytest.mark.parametrize("count", range(4, len("hunter2secret")))
def test_the_beginning_of_a_secret_before_a_cut_is_hidden(count: int) -> None:
    masker = Masker(["hunter2secret"])
    assert masker.mask(f"LOGIN {'hunter2secret'[:count]}... (90 characters)") == "LOGIN ***... (90 characters)"
    data = b"hunter2secret"[:count].hex(" ")
    assert masker.mask(f"got {data}...") == "got ***..."
    assert masker.mask(f"got {data}, and more") == f"got {data}, and more", "a whole word of its own"


def test_what_is_no_secret_stays() -> None:
    text = 'a "quoted" text, 68 75 6e, aGVsbG8= ... and %20 more'
    assert Masker(["hunter2secret", ""]).mask(text) == text
    assert Masker().mask(text) == text


def test_the_longer_secret_is_hidden_whole() -> None:
    assert Masker(["code", "codeword"]).mask("codeword code") == "*** ***"


def test_a_long_secret_is_hidden_and_costs_little() -> None:
    secret = "".join(map(str, range(15_000)))
    assert Masker([secret]).mask(f"<{secret}> {secret.encode().hex()}") == "<***> ***"


@given(st.text(st.characters(), min_size=1, max_size=30))
def test_no_text_prevents_a_secret_from_being_masked(secret: str) -> None:
    assume(not set(secret) <= set("*."))
    masker = Masker([secret])
    for form in (str, repr, ascii, json.dumps):
        assert secret not in masker.mask(f"<{form(secret)}>") or len(secret) == 1


def test_the_texts_of_a_value_are_masked_wherever_they_stand() -> None:
    masker = masker_of(("hidden-word",))
    assert masker.masked({"a": ["x hidden-word", 1, None], "b": {"c": "hidden-word"}}) == {
        "a": ["x ***", 1, None],
        "b": {"c": "***"},
    }
    plain = {"a": ["x", 1.5]}
    assert masker.masked(plain) is plain
    assert masker_of(("hidden-word",)) is masker
