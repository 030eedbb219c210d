"""Which character encodings a device may have."""

from __future__ import annotations

import pytest

from interfaces.rules.code_pages import CodePageError, check_encoding


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
