"""Extractors: the values of frames, and a dispatch that skips rules without changing their order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interfaces.rules.extractors import Dispatch, ExtractError, Extractor, ExtractorError, make_extractor
from interfaces.rules.layout import LayoutError
from interfaces.rules.safe_regex import RegexError

PAIRS = {"separator": " ", "equals": "=", "start": "", "each": False}
METER = {"patterns": [r"1\.8\.(?P<tariff>[12])\((?P<used>[0-9.]+)\*kWh\)", r"0\.0\((?P<id>.*)\)"]}


def fields(**options: Any) -> dict[str, Any]:
    return {"fields": {"separator": ",", "is": {}, **options}}


def pairs(**options: Any) -> dict[str, Any]:
    return {"pairs": {**PAIRS, **options}}


def binary(*listed: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"binary": {"byte_order": "big", "fields": list(listed), **options}}


@pytest.mark.parametrize(
    ("options", "frame", "values"),
    [
        ({"regex": "T(?P<id>[0-9]) (?P<t>.*)"}, b"T1 20", [{"id": "1", "t": "20"}]),
        ({"regex": "T(?P<id>[0-9])( (?P<t>.*))?"}, b"T1", [{"id": "1", "t": None}]),
        ({"regex": "T"}, b"T", [{}]),
        ({"regex": "T"}, b"xT", None),
        ({"regex": "T"}, b"Tx", None),
        ({"regex": "T"}, b"T\n", None),
        ({"regex": ".*"}, b"\xff", None),
        (fields(at={"a": 1, "z": -1}), b"x,y,z", [{"a": "y", "z": "z"}]),
        (fields(at={"a": 5}), b"x,y", [{}]),
        (fields(at={"a": [0, 1]}), b"5251.0,N,", [{"a": "5251.0,N"}]),
        (fields(at={"a": [1, 2]}), b"x,,N", [{"a": ""}]),
        (fields(at={"a": 1}, **{"is": {"0": "x"}}), b"x,y", [{"a": "y"}]),
        (fields(at={"a": 1}, **{"is": {"0": "x"}}), b"xx,y", None),
        (fields(at={"a": 1}, **{"is": {"0": ["v", "x"], "-1": "y"}}), b"x,y", [{"a": "y"}]),
        (fields(at={"a": 1}, **{"is": {"7": "x"}}), b"x,y", None),
        (fields(at={"a": -2}, **{"is": {"-2": "x"}}), b"x,y", [{"a": "x"}]),
        (fields(at={"a": -3}, **{"is": {"1": "y"}}), b"x,y", [{}]),
        (fields(at={"a": 1}, **{"is": {"2": "y"}}), b"x,y", None),
        (fields(at={"a": 0}, minimum=2, maximum=3), b"a,b,c", [{"a": "a"}]),
        (fields(at={"a": 0}, minimum=2, maximum=3), b"a", None),
        (fields(at={"a": 0}, minimum=2, maximum=3), b"a,b,c,d", None),
        (fields(at={"a": 0}, separator="::"), b"a:b::c", [{"a": "a:b"}]),
        (fields(at={"a": 0}), b"\xff", None),
        (fields(at={"a": 1, "b": 2}, quote='"'), b'7,"Bath, ""up""",21', [{"a": 'Bath, "up"', "b": "21"}]),
        (fields(at={"a": 1}, quote="'", separator=";"), b"7;'a;b'", [{"a": "a;b"}]),
        (fields(at={"a": 1, "b": 2}, quote='"', separator=", "), b'7, "a, b", c', [{"a": "a, b", "b": "c"}]),
        (fields(at={"a": 1}, quote='"'), b'7,5" pipe', [{"a": '5" pipe'}]),
        (fields(at={"a": 0}, quote='"'), b"", [{"a": ""}]),
        (fields(at={"a": 1}, quote='"'), b'7,"cut', None),
        (fields(at={"a": 1}, quote='"'), b'7,"a"b', None),
        (fields(at={"a": 1}, quote='"'), b"7\n8", None),
        (fields(at={"a": 1}, quote='"', **{"is": {"0": "x"}}), b'"x",y', [{"a": "y"}]),
        (pairs(), b"a=1 b= c d=x=y =e", [{"a": "1", "b": "", "d": "x=y"}]),
        (pairs(), b"a=1 a=2", [{"a": "2"}]),
        (pairs(), b"nothing here", None),
        (pairs(), b"a=\xff", None),
        (pairs(start="WS ", separator=";", equals=":"), b"WS a: 1 ;b:2;", [{"a": "1", "b": "2"}]),
        (pairs(start="WS "), b"WT a=1", None),
        (pairs(keys=["b", "c"]), b"a=1 b=2", [{"b": "2"}]),
        (pairs(keys=["b"]), b"a=1", None),
        (pairs(each=True), b"a=1 b=2", [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]),
        (pairs(each=True), b"a=1 a=2", [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
        ({"lines": METER}, b"/X\r\n0.0(77)\r\n1.8.1(5.0*kWh)\r\n1.8.2(x)\r\n",
         [{"id": "77", "tariff": "1", "used": "5.0"}]),
        ({"lines": METER}, b"/X\r\n", None),
        ({"lines": METER}, b"0.0(\xff)", None),
        (binary({"type": "u8", "is": 1}, {"type": "u8", "name": "n"}), b"\x01\x07", [{"n": 7}]),
        (binary({"type": "u8", "is": 1}, {"type": "u8", "name": "n"}), b"\x02\x07", None),
        (binary({"type": "u8", "name": "n"}, length=2), b"\x07", None),
    ],
)  # fmt: skip
def test_the_values_of_a_frame(options: dict[str, Any], frame: bytes, values: Any) -> None:
    extractor = make_extractor(options, "utf-8")
    assert extractor.extract(frame) == values
    if extractor.names is not None:
        assert all(each.keys() <= extractor.names for each in values or [])


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"regex": "(?P<a>.)(?P<b>.)?"}, {"a", "b"}),
        (fields(at={"a": 1, "b": 2}), {"a", "b"}),
        (pairs(), None),
        (pairs(keys=["a"]), {"a"}),
        (pairs(each=True), {"key", "value"}),
        ({"lines": METER}, {"tariff", "used", "id"}),
        (binary({"type": "u8", "name": "n", "bits": {"a": 0}}, {"type": "u8", "is": 3}), {"n", "a"}),
    ],
)
def test_the_names_of_the_values(options: dict[str, Any], names: set[str] | None) -> None:
    assert make_extractor(options, "utf-8").names == names


def test_text_is_read_in_the_encoding_of_the_device() -> None:
    options = {"regex": "(?P<t>\u00fc+)"}
    assert make_extractor(options, "utf-8").extract("\u00fc".encode()) == [{"t": "\u00fc"}]
    assert make_extractor(options, "latin-1").extract(b"\xfc\xfc") == [{"t": "\u00fc\u00fc"}]
    assert make_extractor(options, "ascii").extract(b"\xfc") is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"regex": "("}, RegexError),
        ({"lines": {"patterns": ["a", "["]}}, RegexError),
        (binary({"type": "u8", "is": 300}), LayoutError),
        (fields(at={"a": 0}, quote='"', separator="::"), ExtractorError),
        (fields(at={"a": 0}, quote=","), ExtractorError),
        (fields(at={"a": 0}, quote="\n"), ExtractorError),
        (fields(at={"a": 0}, quote='"', separator="\r"), ExtractorError),
    ],
)
def test_an_invalid_option_is_rejected_at_construction(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make_extractor(options, "utf-8")


REPEAT = {"from": 2, "size": 2, "at": {"b": 0}}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (fields(at={"a": 5}, maximum=3), "there is no field 5 where maximum is 3; the first one is 0"),
        (fields(at={"a": [0, 3]}, maximum=3), "there is no field 3 where maximum is 3"),
        (fields(at={"a": -4}, maximum=3), "there is no field -4 where maximum is 3"),
        (fields(at={"a": 0}, maximum=3, **{"is": {"3": "A"}}), "there is no field 3 where maximum is 3"),
        (fields(at={"a": 0}, minimum=4, maximum=3), "no frame has at least 4 and at most 3 fields"),
        (fields(repeat=REPEAT, maximum=3), "repeat: it needs 4 fields, and maximum is 3"),
        (
            fields(at={"a": 0}, **{"is": {"1": "A,B"}}),
            "is: field 1 cannot have the text 'A,B': it contains the separator",
        ),
        (fields(at={"a": 0}, **{"is": {"1": []}}), "is: no text is listed that field 1 may have"),
        (pairs(equals=" "), "no pair is found: equals contains the separator"),
        (pairs(equals=": "), "no pair is found: equals contains the separator"),
        (pairs(keys=["V", "A=1"]), "keys: no pair can have the key 'A=1'"),
        (pairs(keys=[" V"], separator=";"), "keys: no pair can have the key ' V'"),
        (binary({"type": "u32", "name": "n"}, length=2), "n: it is beyond the frame, which has 2 bytes"),
        (binary({"type": "u8"}, {"type": "u16"}, length=2), "u16: it is beyond the frame, which has 2 bytes"),
        (binary({"type": "u8", "at": 2}, length=2), "u8: it is beyond the frame, which has 2 bytes"),
        (binary({"type": "u8", "at": -3}, length=2), "u8: it is beyond the frame, which has 2 bytes"),
        (binary({"type": "u32", "name": "n", "at": -2}), "n: of its 4 bytes, only 2 are left at -2 from the end"),
    ],
)
def test_a_rule_that_can_never_read_its_values_is_rejected_at_construction(options: dict[str, Any], text: str) -> None:
    with pytest.raises((LayoutError, ExtractorError)) as caught:
        make_extractor(options, "utf-8")
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("options", "frame"),
    [
        (fields(at={"a": 2, "b": -3}, minimum=3, maximum=3, **{"is": {"2": ["C", "A,B"]}}), b"A,B,C"),
        (fields(repeat=REPEAT, maximum=4), b"A,B,C,D"),
        (fields(at={"a": 0}, quote='"', **{"is": {"0": "A,B"}}), b'"A,B",C'),
        (pairs(separator=" = ", equals="="), b"a=1 = b=2"),
        (binary({"type": "u16"}, {"type": "u8", "name": "n", "at": 0}, {"type": "bytes"}, length=2), b"AB"),
        (binary({"type": "bytes"}, {"type": "u16", "name": "n", "at": -2}, length=2), b"AB"),
    ],
)
def test_a_rule_that_just_fits_is_accepted(options: dict[str, Any], frame: bytes) -> None:
    assert make_extractor(options, "utf-8").extract(frame)


@pytest.mark.parametrize("options", [{"regex": "(?:a|b|ab)+x.*y.*"}, {"lines": {"patterns": ["(.*x.*y.*z)*"]}}])
def test_a_frame_that_is_too_long_for_its_expression_raises_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(ExtractError):
        make_extractor(options, "utf-8").extract(b"ab" * 1_000_000)


@given(st.lists(st.text('a,;" ', max_size=4), min_size=1, max_size=4), st.sampled_from([",", ";"]))
def test_fields_in_quotes_are_read_as_they_were_written(listed: list[str], separator: str) -> None:
    frame = separator.join('"' + field.replace('"', '""') + '"' for field in listed).encode()
    options = fields(at={f"f{index}": index for index in range(len(listed))}, quote='"', separator=separator)
    assert make_extractor(options, "utf-8").extract(frame) == [{f"f{i}": field for i, field in enumerate(listed)}]


# --- prefixes and dispatch

_texts = st.text("ab,=\u00fc", max_size=4)
_fields = st.text("ab=\u00fc", max_size=4)  # without the separator
_regexes = st.lists(
    st.sampled_from(["a", "b", "ab", "\u00fc", "a*", "a?", "[ab]", "(a|b)", "(.*)", "^", ","]), max_size=4
)


@st.composite
def extractors(draw: st.DrawFn) -> Extractor:
    options = draw(
        st.one_of(
            _regexes.map(lambda parts: {"regex": "".join(parts)}),
            _regexes.map(lambda parts: {"regex": "(?i)" + "".join(parts)}),
            _fields.map(lambda text: fields(at={"x": 0}, **{"is": {"0": text}})),
            st.builds(lambda text, more: [*more, text], _fields, st.lists(_texts, max_size=1)).map(
                lambda texts: fields(at={"x": 0}, **{"is": {"0": texts}})
            ),
            _texts.map(lambda text: pairs(start=text)),
            st.lists(st.integers(96, 98).map(lambda n: {"type": "u8", "is": n}), min_size=1, max_size=2).map(
                lambda listed: binary(*listed)
            ),
        )
    )
    return make_extractor(options, draw(st.sampled_from(["ascii", "utf-8", "latin-1"])))


_frames = st.text("abAB,=\u00fc", max_size=5).map(str.encode) | st.text("ab,\u00fc", max_size=4).map(
    lambda text: text.encode("latin-1")
)


def matches(extractor: Extractor, frame: bytes) -> bool:
    try:
        return extractor.extract(frame) is not None
    except ExtractError:
        return True


@settings(max_examples=300)
@given(st.lists(extractors(), max_size=6), st.lists(_frames, max_size=8))
def test_a_dispatch_skips_no_rule_that_would_match(rules: list[Extractor], frames: list[bytes]) -> None:
    dispatch = Dispatch([rule.prefix for rule in rules])
    for frame in frames:
        matching = [index for index, rule in enumerate(rules) if matches(rule, frame)]
        assert [index for index in dispatch.candidates(frame) if matches(rules[index], frame)] == matching


@given(st.lists(st.text("ab", max_size=3).map(str.encode), max_size=12), st.text("ab", max_size=5).map(str.encode))
def test_a_dispatch_returns_the_rules_with_a_matching_prefix_in_order(prefixes: list[bytes], frame: bytes) -> None:
    expected = [index for index, prefix in enumerate(prefixes) if frame.startswith(prefix)]
    assert list(Dispatch(prefixes).candidates(frame)) == expected


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({"regex": "T=(?P<t>.*)"}, b"T="),
        (fields(at={"a": 1}, **{"is": {"0": "$GPGGA", "1": "x"}}), b"$GPGGA"),
        (fields(at={"a": 1}, **{"is": {"0": ["a", "b"]}}), b""),
        (fields(at={"a": 1}), b""),
        (pairs(start="WS "), b"WS "),
        ({"lines": METER}, b""),
        (binary({"type": "u8", "is": 1}, {"type": "u16", "is": 2}, {"type": "u8"}), b"\x01\x00\x02"),
    ],
)
def test_the_prefix_of_a_rule(options: dict[str, Any], prefix: bytes) -> None:
    assert make_extractor(options, "utf-8").prefix == prefix


def test_most_rules_are_skipped() -> None:
    rules = [make_extractor({"regex": f"K{number:03d}=(?P<v>.*)"}, "utf-8") for number in range(100)]
    dispatch = Dispatch([rule.prefix for rule in rules])
    assert list(dispatch.candidates(b"K042=7")) == [42]
    assert list(dispatch.candidates(b"K1")) == []


def test_a_key_that_occurs_again_is_reported_unless_each_pair_is_read() -> None:
    extractor = make_extractor(pairs(), "utf-8")
    (values,) = extractor.extract(b"a=1 b=2 a=3 b=2") or []
    assert (values, list(getattr(values, "lost", ()))) == ({"a": "3", "b": "2"}, ["a"])
    (values,) = extractor.extract(b"a=1 b=2 a=1") or []
    assert (values, hasattr(values, "lost")) == ({"a": "1", "b": "2"}, False)
