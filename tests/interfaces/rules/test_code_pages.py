"""Which character encodings a device may have."""

from __future__ import annotations

import pytest

from interfaces.rules.code_pages import CodePageError, check_encoding, check_text_encoding


@pytest.mark.parametrize(
    "name",
    ["utf-8", "UTF8", "ascii", "latin-1", "cp437", "CP1252", "koi8-r", "iso8859-15", "mac-roman", "cp424", "cp500"],
)
def test_utf_8_and_code_pages_are_accepted(name: str) -> None:
    check_encoding(name)


@pytest.mark.parametrize(
    "name",
    [
        "nonsense", "", "a\0b", "utf-16", "utf-32-le", "utf-7", "utf-8-sig", "gbk", "shift_jis", "euc-jp", "hz",
        "johab", "iso2022_jp", "iso2022_kr", "punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined",
        "rot13", "base64", "zlib", "mac_arabic",
    ],
)  # fmt: skip
def test_others_are_refused(name: str) -> None:
    with pytest.raises(CodePageError):
        check_encoding(name)


@pytest.mark.parametrize(
    "name", ["utf-8", "utf-16-le", "UTF-16", "cp437", "shift_jis", "gb18030", "latin-1", "mac_arabic"]
)
def test_a_converter_reads_texts_in_any_character_encoding(name: str) -> None:
    check_text_encoding(name)


@pytest.mark.parametrize(
    "name",
    ["idna", "punycode", "unicode_escape", "unicode-escape", "raw_unicode_escape", "undefined", "hex", "", "a\0"],
)
def test_notations_that_python_calls_encodings_are_none_of_texts(name: str) -> None:
    with pytest.raises(CodePageError, match="use utf-8, ascii, latin-1, a code page such as cp437"):
        check_text_encoding(name)
