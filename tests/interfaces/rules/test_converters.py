"""Converters: tables of valid and invalid values for each, and laws of reading what was written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.rules.conversion import ConversionError
from interfaces.rules.converters import CONVERTERS, pipeline
from interfaces.rules.text_converters import TableKey

ON_OFF = {"bool": {"true": ["ON", "Y"], "false": "OFF"}}
MODES = {"enum": {"0": "off", "1": "heat", "02": "cool", "A": True, "*": "other"}}

READ: Mapping[str, list[tuple[Any, Any, Any]]] = {
    "int": [
        ("int", "42", 42), ("int", " -7 ", -7), ("int", "007", 7), ("int", 5.0, 5), ("int", 9, 9),
        ({"int": 16}, "ff", 255), ({"int": 16}, "0xFF", 255), ({"int": 2}, "-101", -5), ({"int": 36}, "Zz", 1295),
        ("int", str(2**64), 2**64),
    ],
    "float": [("float", "21.50", 21.5), ("float", "-.5", -0.5), ("float", "1e-3", 0.001), ("float", 7, 7.0)],
    "decimal_comma": [("decimal_comma", "21,5", 21.5), ("decimal_comma", "21.5", 21.5), ("decimal_comma", 2, 2.0)],
    "auto": [
        ("auto", "21.5", 21.5), ("auto", "20", 20), ("auto", "open", "open"), ("auto", "", ""), ("auto", True, True),
        ("auto", "nan", "nan"), ("auto", "1_0", "1_0"), ("auto", "infinity", "infinity"), ("auto", "\u0663", "\u0663"),
    ],
    "scale": [
        ({"scale": 0.1}, 215, 21.5), ({"scale": 0.1}, 3, 0.3), ({"scale": 10}, "12", 120), ({"scale": -1}, 2.5, -2.5),
        ({"scale": 0.001}, 1_700_000_000_123, 1_700_000_000.123), ({"scale": 1000}, 2**63, 2**63 * 1000),
    ],
    "offset": [
        ({"offset": -40}, 62, 22), ({"offset": -273.15}, "300.15", 27.0), ({"offset": 0.1}, 0.2, 0.3),
        ({"offset": 1}, 2**63, 2**63 + 1),
    ],
    "round": [
        ("round", 21.5, 22), ("round", "0.4", 0), ({"round": 1}, 21.4821, 21.5), ({"round": -1}, 1234, 1230),
        ({"round": 2}, 7, 7),
    ],
    "twos_complement": [
        ({"twos_complement": 16}, 65535, -1), ({"twos_complement": 16}, 32767, 32767),
        ({"twos_complement": 16}, 32768, -32768), ({"twos_complement": 12}, "4095", -1),
    ],
    "signed_magnitude": [
        ({"signed_magnitude": 8}, 129, -1), ({"signed_magnitude": 8}, 127, 127), ({"signed_magnitude": 8}, 128, 0),
    ],
    "bcd": [("bcd", 0x42, 42), ("bcd", "0", 0), ("bcd", b"\x12\x34", 1234), ({"bcd": 4}, 0x0042, 42)],
    "text": [
        ("text", b"Z\xfcrich", "Z\u00fcrich"), ({"text": "utf-8"}, b"Z\xc3\xbcrich", "Z\u00fcrich"), ("text", 5, "5"),
    ],
    "strip": [
        ("strip", "  open\t", "open"), ({"strip": "0"}, "00420", "42"), ("strip", b" x ", "x"),
        ({"strip": "\x00"}, b"ab\x00\x00", "ab"),
    ],
    "remove": [
        ({"remove": " +"}, "+  1.234", "1.234"), ({"remove": "."}, "1.234.567", "1234567"),
        ({"remove": "x"}, b"x1", "1"),
    ],
    "upper": [("upper", "open", "OPEN"), ("upper", b"a", "A")],
    "lower": [("lower", "OPEN", "open")],
    "bool": [
        ("bool", "1", True), ("bool", "OFF", False), ("bool", " yes ", True), ("bool", 0, False), ("bool", True, True),
        (ON_OFF, "on", True), (ON_OFF, "y", True), (ON_OFF, "OFF", False),
    ],
    "enum": [
        (MODES, "0", "off"), (MODES, 1, "heat"), (MODES, " 02 ", "cool"), (MODES, "A", True), (MODES, "9", "other"),
        ({"enum": {"0": "shut", "1": "open"}}, True, "open"),
    ],
    "timestamp": [
        ({"timestamp": "unix"}, 1606737033, "2020-11-30T11:50:33Z"),
        ({"timestamp": "unix"}, "0", "1970-01-01T00:00:00Z"),
        ({"timestamp": "%d%m%y %H%M%S"}, "301120 115033", "2020-11-30T11:50:33"),
        ({"timestamp": "%H%M%S"}, "115033", "11:50:33"),
        ({"timestamp": "%H:%M %d.%m."}, "11:50 30.11.", "1900-11-30T11:50:00"),
        ({"timestamp": "%H:%M %d.%m."}, "11:50 29.02.", "1904-02-29T11:50:00"),
        ({"timestamp": "%j %H:%M"}, "60 11:50", "1900-03-01T11:50:00"),
        ({"timestamp": "%b %d %H:%M:%S"}, "Feb 29 11:50:33", "1904-02-29T11:50:33"),
        ({"timestamp": "%d.%m.%y"}, "29.02.24", "2024-02-29T00:00:00"),
        ({"timestamp": "%Y-%m-%d %H:%M %z"}, "2020-11-30 11:50 +0100", "2020-11-30T10:50:00Z"),
    ],
    "nmea_position": [
        ("nmea_position", "5251.0094,N", 52.850157), ("nmea_position", "00518.8172,W", -5.31362),
        ("nmea_position", "9000,S", -90.0), ({"nmea_position": 2}, "5251.0094 N", 52.85),
    ],
    "replace": [
        ({"replace": {"/": "_"}}, "a/b/", "a_b_"), ({"replace": {"a": "b", "b": "a"}}, "abc", "bac"),
        ({"replace": {"ab": "1", "a": "2", "c": ""}}, "aabc", "21"), ({"replace": {".": ","}}, b"1.5", "1,5"),
    ],
    "bytes": [
        ({"bytes": "hex"}, "0A ff", b"\n\xff"), ({"bytes": "hex"}, "", b""), ({"bytes": "hex"}, b"4142", b"AB"),
        ({"bytes": "base64"}, "AAEC/w==", b"\0\1\2\xff"), ({"bytes": "base64"}, "QQ", b"A"),
        ({"bytes": "sixbit"}, "13aG", b"\x04\x3a\x57"), ({"bytes": "sixbit"}, "ww", b"\xff"),
        ([{"bytes": "hex"}, {"text": "utf-8"}], "5AC3BC", "Z\u00fc"),
    ],
}  # fmt: skip
WRONG: Mapping[str, list[tuple[Any, Any]]] = {
    "int": [("int", "4.5"), ("int", ""), ("int", 4.5), ("int", True), ("int", None), ("int", b"5"), ("int", "1_0"),
            ({"int": 16}, "fg"), ({"int": 16}, "F" * 301), ({"int": 36}, "Z" * 300), ({"int": 8}, "8"),
            ("int", "\u0663")],
    "float": [("float", "x"), ("float", "nan"), ("float", "inf"), ("float", "1e999"), ("float", False), ("float", [1]),
              ("float", 10**400), ("float", "1_0"), ("float", "9" * 400)],
    "decimal_comma": [("decimal_comma", "1.234,5"), ("decimal_comma", "")],
    "auto": [],
    "scale": [({"scale": 2}, "x"), ({"scale": 1e300}, 1e300), ({"scale": 10**200}, 10**200), ({"scale": 2}, 10**400)],
    "offset": [({"offset": 2}, "x"), ({"offset": 1e308}, 1.7e308), ({"offset": 2}, None)],
    "round": [("round", "x"), ({"round": -308}, 1.7e308)],
    "twos_complement": [({"twos_complement": 8}, 256), ({"twos_complement": 8}, -1), ({"twos_complement": 8}, 1.5)],
    "signed_magnitude": [({"signed_magnitude": 8}, 256), ({"signed_magnitude": 8}, -1)],
    "bcd": [("bcd", 0x1A), ("bcd", b"\x1a"), ("bcd", b""), ("bcd", -1), ("bcd", "x")],
    "text": [({"text": "utf-8"}, b"\xff"), ({"text": "ascii"}, b"\x80"), ({"text": "punycode"}, b"\xff")],
    "strip": [],
    "remove": [], "upper": [], "lower": [],
    "bool": [("bool", "maybe"), ("bool", ""), ("bool", 2), (ON_OFF, "1"), ("bool", b"1")],
    "enum": [({"enum": {"0": "off"}}, "1"), ({"enum": {"0": "off"}}, ""), ({"enum": {"a": 1}}, "A")],
    "timestamp": [({"timestamp": "%H%M"}, "2460"), ({"timestamp": "unix"}, "x"), ({"timestamp": "unix"}, 1e20),
                  ({"timestamp": "%Y %z"}, "0001 +2359"), ({"timestamp": "%H"}, b"11"),
                  ({"timestamp": "%d.%m."}, "30.02."), ({"timestamp": "%d.%m."}, "2000 29.02."),
                  ({"timestamp": "%d.%m.%Y"}, "29.02.1900")],
    "nmea_position": [("nmea_position", "5260.0,N"), ("nmea_position", "9000.1,N"), ("nmea_position", "5251.0"),
                      ("nmea_position", ""), ("nmea_position", "18000.1,E"), ("nmea_position", 5251.0)],
    "replace": [],
    "bytes": [({"bytes": "hex"}, "0"), ({"bytes": "hex"}, "0g"), ({"bytes": "hex"}, 10), ({"bytes": "base64"}, "A"),
              ({"bytes": "base64"}, "A*=="), ({"bytes": "base64"}, "\u00fc"), ({"bytes": "sixbit"}, "X"),
              ({"bytes": "sixbit"}, "\u0660"), ({"bytes": "sixbit"}, None)],
}  # fmt: skip


def rows(table: Mapping[str, list[Any]]) -> list[Any]:
    return [row for listed in table.values() for row in listed]


def test_the_tables_contain_each_converter() -> None:
    assert READ.keys() == WRONG.keys() == CONVERTERS.keys()


@pytest.mark.parametrize(("steps", "read", "value"), rows(READ))
def test_reading(steps: Any, read: Any, value: Any) -> None:
    result = pipeline(steps).read(read)
    assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(("steps", "read"), rows(WRONG))
def test_a_value_that_does_not_fit_raises_a_conversion_error(steps: Any, read: Any) -> None:
    with pytest.raises(ConversionError) as caught:
        pipeline(steps).read(read)
    assert str(caught.value).isprintable()


WRITTEN = [
    ("int", "42", 42), ({"int": 16}, 255, "FF"), ({"int": 2}, -5, "-101"), ({"int": 16}, "12", "C"),
    ({"int": 16}, 0, "0"),
    ("float", 5, 5.0), ("decimal_comma", 21.5, "21,5"), ("decimal_comma", 1e-07, "0,0000001"), ("auto", "x", "x"),
    ({"scale": 0.1}, 21.5, 215), ({"scale": 0.1}, 0.1 + 0.2, 3), ({"scale": 0.1}, 21.55, 215.5), ({"scale": 3}, 9, 3),
    ({"offset": -273.15}, 27, 300.15), ({"offset": -40}, 22, 62), ({"round": 1}, 21.4821, 21.5),
    ({"twos_complement": 16}, -1, 65535), ({"signed_magnitude": 8}, -1, 129), ("bcd", 42, 0x42), ({"bcd": 2}, 42, 0x42),
    ("bool", True, "1"), ("bool", False, "0"), (ON_OFF, True, "ON"), (ON_OFF, False, "OFF"),
    (MODES, "heat", TableKey(1)), (MODES, "cool", "02"), (MODES, True, "A"),
    ({"timestamp": "unix"}, "2020-11-30T11:50:33Z", 1606737033), ({"timestamp": "unix"}, "2020-11-30", 1606694400),
    ({"timestamp": "%d.%m.%Y"}, "2020-11-30T11:50:33", "30.11.2020"), ({"timestamp": "%H%M"}, "11:50:33", "1150"),
    ({"timestamp": "%H%M"}, "2020-11-30T11:50", "1150"), ("text", "x", "x"), ("strip", "x", "x"), ("upper", "x", "x"),
    ({"replace": {"/": "_", ".": "_", ",": ""}}, "a_b,", "a/b,"),
    ({"bytes": "hex"}, b"\x0a\xff", "0AFF"), ({"bytes": "hex"}, "\u00fc", "FC"),
    ([{"bytes": "hex"}, {"text": "utf-8"}], "\u00fc", "C3BC"), ({"bytes": "base64"}, "A", "QQ=="),
]  # fmt: skip
NOT_WRITTEN = [
    ("int", "x"), ({"int": 16}, "ff"), ({"int": 16}, 1.5), ("float", "x"), ("decimal_comma", None),
    ({"scale": 0.1}, "x"),
    ({"scale": 1e-300}, 1e300), ({"scale": 1e-300}, 10**300), ({"offset": -1e308}, 1.7e308), ("round", None),
    ({"twos_complement": 8}, 128), ({"twos_complement": 8}, -129), ({"signed_magnitude": 8}, 128), ("bcd", -1),
    ({"bcd": 2}, 100), ("bcd", 1.5), ("bool", "yes"), ("bool", 1), (MODES, "off?"), (MODES, "other"), (MODES, None),
    ({"timestamp": "unix"}, "11:50"), ({"timestamp": "%H%M"}, "noon"), ({"timestamp": "%Y"}, 2020.5),
    ("nmea_position", 52.85), ({"bytes": "hex"}, "\u20ac"), ([{"bytes": "hex"}, {"text": "ascii"}], "\u20ac"),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "value", "written"), WRITTEN)
def test_writing(steps: Any, value: Any, written: Any) -> None:
    result = pipeline(steps).write(value)
    assert (result, type(result)) == (written, type(written))


@pytest.mark.parametrize(("steps", "value"), NOT_WRITTEN)
def test_a_value_that_cannot_be_written_raises_a_conversion_error(steps: Any, value: Any) -> None:
    with pytest.raises(ConversionError) as caught:
        pipeline(steps).write(value)
    assert str(caught.value).isprintable()


# --- reading what was written

_decimals = st.decimals(-(10**9), 10**9, places=3, allow_nan=False).map(float)
_factors = st.sampled_from([0.1, 0.01, 0.001, 0.5, 2, 10, 1000, -1, -0.25])


@given(st.integers(-(2**64), 2**64), st.integers(2, 36))
def test_numbers_of_any_base(number: int, base: int) -> None:
    written = pipeline({"int": base}).write(number)
    assert pipeline({"int": base}).read(written) == number
    assert int(str(written), base) == number


@given(_decimals)
def test_a_decimal_comma(number: float) -> None:
    written = pipeline("decimal_comma").write(number)
    assert "." not in written
    assert pipeline("decimal_comma").read(written) == number


@given(st.integers(-(10**15), 10**15), _factors, st.integers(-1000, 1000) | st.sampled_from([0.1, -273.15]))
def test_scale_and_offset(raw: int, factor: float, amount: float) -> None:
    """A count of tenths becomes a number of tenths without a rounding error, and is written as the same count."""
    steps = pipeline([{"scale": factor}, {"offset": amount}])
    exact = Decimal(raw) * Decimal(str(factor)) + Decimal(str(amount))
    assert float(steps.read(raw)) == float(exact)  # integers stay exact beyond the precision of a float
    written = steps.write(steps.read(raw))
    assert written == pytest.approx(raw, rel=1e-13, abs=1e-9)
    if abs(raw) < 10**9:
        assert (written, type(written)) == (raw, int)


@given(st.sampled_from(["twos_complement", "signed_magnitude"]), st.integers(1, 64), st.data())
def test_negative_numbers(name: str, bits: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(-(1 << bits - 1) + 1, (1 << bits - 1) - 1))
    steps = pipeline({name: bits})
    assert 0 <= steps.write(number) < 1 << bits
    assert steps.read(steps.write(number)) == number


@given(st.integers(0, 10**20))
def test_bcd(number: int) -> None:
    assert pipeline("bcd").read(pipeline("bcd").write(number)) == number
    assert f"{pipeline('bcd').write(number):x}" == str(number)


@given(st.booleans(), st.sampled_from(["bool", ON_OFF]))
def test_words_for_true_and_false(value: bool, steps: Any) -> None:
    assert pipeline(steps).read(pipeline(steps).write(value)) is value


@given(st.dictionaries(st.text("0123a", min_size=1, max_size=3), st.text("xyz", min_size=1), min_size=1), st.data())
def test_tables(table: dict[str, str], data: st.DataObject) -> None:
    meaning = data.draw(st.sampled_from(sorted(table.values())))
    assert pipeline({"enum": table}).read(pipeline({"enum": table}).write(meaning)) == meaning


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2038, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["unix", "%Y-%m-%dT%H:%M:%S%z", "%y%m%d %H%M%S %z"]),
    st.integers(-12, 12),
)
def test_times(when: datetime, form: str, hours: int) -> None:
    when = when.replace(microsecond=0)
    local = when.astimezone(timezone(timedelta(hours=hours))).isoformat()
    steps = pipeline({"timestamp": form})
    assert steps.read(steps.write(local)) == when.isoformat().replace("+00:00", "Z")


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2024, 12, 31)),  # a leap year
    st.sampled_from(["%d.%m. %H:%M:%S", "%b %d %H:%M:%S", "%m%d%H%M%S"]),
)
def test_times_without_a_year(when: datetime, form: str) -> None:
    steps = pipeline({"timestamp": form})
    read = steps.read(steps.write(when.isoformat()))
    assert read[4:] == when.replace(microsecond=0).isoformat()[4:]
    assert read[:5] == ("1904-" if (when.month, when.day) == (2, 29) else "1900-")


@given(st.binary(), st.sampled_from(["hex", "base64", "sixbit"]))
def test_bytes_in_a_text(data: bytes, form: str) -> None:
    steps = pipeline({"bytes": form})
    assert steps.read(steps.write(data)) == data
    assert steps.read(steps.write(data.decode("latin-1"))) == data
    as_text = pipeline([{"bytes": form}, {"text": "utf-8"}])
    text = data.decode("latin-1")
    assert as_text.read(as_text.write(text)) == text


@given(st.text(), st.sampled_from(["hex", "base64", "sixbit"]))
def test_any_text_is_read_as_bytes_or_refused(text: str, form: str) -> None:
    try:
        assert isinstance(pipeline({"bytes": form}).read(text), bytes)
    except ConversionError as err:
        assert form in str(err)


@given(st.text("ab/._\u00fc"), st.permutations(["_", "ab", "/"]))
def test_texts_that_are_replaced_one_for_one_are_written_back(text: str, meanings: list[str]) -> None:
    steps = pipeline({"replace": dict(zip(["_", "ab", "/"], meanings, strict=True))})
    written = steps.write(text)
    if "a" not in text.replace("ab", "") and "b" not in text.replace("ab", ""):  # no new "ab" where two texts meet
        assert steps.read(written) == text


@given(
    st.lists(st.sampled_from(["float", {"scale": 0.5}, {"offset": 2}, {"scale": -4}, "auto"]), max_size=6), _decimals
)
def test_a_pipeline_is_applied_in_order_and_written_in_reverse(steps: list[Any], number: float) -> None:
    converted = number
    for step in steps:
        converted = pipeline(step).read(converted)
    assert pipeline(steps).read(number) == converted
    written = converted
    for step in reversed(steps):
        written = pipeline(step).write(written)
    assert pipeline(steps).write(converted) == written == pytest.approx(number, rel=1e-9, abs=1e-9)


# --- any setting and any value

_settings: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, 1, 2, 8, 16, 0.1, -1, -273.15, 1e300, 10**400, "x", "utf-8", "%H%M", "unix", "%", "%y%y", "0", True, [],
     ["a"], {"true": "1", "false": "0"}, {"0": "off"}, float("inf"), float("nan"), {"true": [], "false": []},
     {"true": "1", "false": 1}]
)  # fmt: skip
_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.binary(max_size=6)
    | st.sampled_from([10**400, -(10**308), 1.7e308, "9" * 400, "F" * 300, "1_0", "[1]", "5251.0,N", "12:30", "\ud800"])
    | st.lists(st.integers(), max_size=2)
)  # fmt: skip


@settings(max_examples=1000)
@given(st.sampled_from(sorted(CONVERTERS)), _settings, _values)
def test_any_setting_and_value_raise_nothing_but_conversion_errors(name: str, setting: Any, value: Any) -> None:
    """An invalid setting is reported when the pipeline is built, not when the first frame arrives."""
    try:
        steps = pipeline({name: setting})
    except ConversionError as err:
        assert name in str(err)
        return
    for convert in (steps.read, steps.write):
        try:
            result = convert(value)
        except ConversionError:
            continue
        assert (
            not isinstance(result, float)
            or result == result
            or name in ("auto", "strip", "remove", "upper", "lower", "text")
        )


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("hex", "'hex' is not a converter: use one of int, float"),
        ({"hex": 1}, "is not a converter"),
        ({}, "is not a converter"),
        ({"int": 16, "float": 1}, "is not a converter"),
        (["float", {"scale": 0}], "scale: 0 is not a valid setting: a scale must not be 0"),
        ({"scale": "x"}, "scale: 'x' is not a valid setting: not a number"),
        ({"int": 1}, "a base is a number from 2 to 36"),
        ({"text": "klingon"}, "unknown encoding: klingon"),
        ({"int": "x"}, "int: 'x' is not a valid setting: a base is a number from 2 to 36"),
        ({"int": []}, "a base is a number from 2 to 36"),
        ({"text": "zlib"}, "unknown encoding: zlib"),
        ({"text": "undefined"}, "unknown encoding: undefined"),
        (
            {"text": "idna"},
            "unknown encoding: idna; use utf-8, ascii, latin-1, a code page such as cp437 or cp1252, or",
        ),
        ({"text": "unicode_escape"}, "unknown encoding: unicode_escape; use utf-8"),
        ({"text": 5}, "text: 5 is not a valid setting: write it as in {text: utf-8}"),
        ({"strip": []}, "write it as in {strip: "),
        ({"remove": 5}, "write it as in {remove: "),
        ({"replace": "ab"}, "write it as in {replace: "),
        ("enum", "enum: None is not a valid setting: write it as in {enum: "),
        ({"enum": {"1": {"a": 1}}}, "{'a': 1} is not a text, a number, true or false"),
        ({"bool": 5}, "write it as in {bool: "),
        ({"bool": {"true": 1}}, "no word for false"),
        ({"timestamp": {}}, "write it as in {timestamp: "),
        ({"bytes": {"a": 1}}, "use one of hex, base64, sixbit"),
        ({"bool": {"true": []}}, "no word for true"),
        ({"bool": {"true": "1", "false": 1}}, "1 means both true and false"),
        ({"twos_complement": 0}, "not a number from 1 to 256"),
        ({"float": 2}, "this converter has no setting"),
        ({"remove": ""}, "list the characters to remove"),
    ],
)
def test_an_invalid_pipeline_is_explained(steps: Any, message: str) -> None:
    with pytest.raises(ConversionError) as caught:
        pipeline(steps)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "value", "reason"),
    [
        ({"text": "utf-8"}, b"\xff", "b'\\xff' is not text in utf-8"),
        ({"bytes": "hex"}, "4", "'4' is not hex"),
        ({"bytes": "base64"}, "A", "'A' is not base64"),
        ({"bytes": "sixbit"}, "\x7f", "'\\x7f' is not sixbit"),
    ],
)
def test_why_a_text_cannot_be_converted_needs_no_knowledge_of_python(steps: Any, value: Any, reason: str) -> None:
    with pytest.raises(ConversionError) as caught:
        pipeline(steps).read(value)
    assert str(caught.value) == reason


def test_why_a_text_cannot_be_written_needs_no_knowledge_of_python() -> None:
    with pytest.raises(ConversionError) as caught:
        pipeline([{"bytes": "hex"}, {"text": "ascii"}]).write("\u20ac")
    assert str(caught.value) == "'\\u20ac' has a character that ascii does not have"
