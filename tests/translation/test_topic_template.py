"""Templates of topics: levels both ways, and whether two templates have a topic in common."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import WordError
from gateway.translation.mqtt_map import FIELDS, FieldMap
from gateway.translation.topic_template import MAX_LEVELS, Level, common_topic, parse, template_problem

PLAIN = {name: FieldMap(name) for name in FIELDS}


def level(template: str, **fields: FieldMap) -> Level:
    [actual] = parse(template, "home", {**PLAIN, **fields})
    return actual


def test_a_template_is_read_level_by_level() -> None:
    levels = parse("{root}/x-{device}-y/{function}--{action}/z", "site/home", PLAIN)
    shown = [(one.prefix, [m.field for m in one.maps], one.separators, one.suffix) for one in levels]
    assert shown == [
        ("site", [], (), ""),
        ("home", [], (), ""),
        ("x-", ["device"], (), "-y"),
        ("", ["function", "action"], ("--",), ""),
        ("z", [], (), ""),
    ]
    assert [one.is_word for one in levels] == [False] * 5
    assert level("{device}").is_word


def test_a_root_with_braces_is_no_placeholder() -> None:
    assert [one.prefix for one in parse("{root}/a", "{device}", PLAIN)] == ["{device}", "a"]


def test_the_root_may_be_part_of_a_level() -> None:
    assert [one.prefix for one in parse("a-{root}-{device}", "x/y", PLAIN)] == ["a-x", "y-"]


_ADJACENT = (
    "nothing separates {location} from {device}: location 'a', device 'bc' and location 'ab', device 'c' "
    "would both be 'a/xabc'; put text or a '/' between them"
)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("a/{room}", "{room} is no field; known here: root, function, gateway, location, device, sender, action"),
        ("a/{}", "{} is no field; known here: root, function, gateway, location, device, sender, action"),
        ("{device}/{device}", "{device} occurs twice; remove one of the two"),
        ("a/{device", "a brace is missing; a placeholder is written {device}"),
        ("a}/b", "a brace is missing; a placeholder is written {device}"),
        ("$a/b", "topics that begin with '$' belong to the broker; begin it with another word"),
        ("a/+/{device}", "'+' is not allowed in a topic; use other text"),
        ("a/#", "'#' is not allowed in a topic; use other text"),
        ("a\x00", "'\\x00' is not allowed in a topic; use other text"),
        ("/".join(["a"] * (MAX_LEVELS + 1)), "it has over 16 levels; use fewer levels"),
        ("a/x{location}{device}", _ADJACENT),
    ],
)
def test_a_template_that_cannot_be_is_refused_with_a_remedy(template: str, problem: str) -> None:
    assert "; ".join(template_problem(template)) == problem


@pytest.mark.parametrize(
    "template", ["a", "{device}", "{root}{device}", "/a/", "{location}-{device}", "/".join(["a"] * MAX_LEVELS)]
)
def test_a_template_that_can_be_has_no_problem(template: str) -> None:
    assert template_problem(template) == ("", "")


# --- a level both ways


@pytest.mark.parametrize(
    ("template", "text", "words"),
    [
        ("a", "a", []),
        ("a", "b", None),
        ("", "", []),
        ("{device}", "", [""]),
        ("x{device}y", "xay", ["a"]),
        ("x{device}y", "xy", [""]),
        ("ab{device}ba", "aba", None),
        ("{location}-{device}", "a-b-c", ["a", "b-c"]),
        ("{location}-{device}", "ab", None),
        ("{location}--{device}!", "a---b!", ["a", "-b"]),
        ("{location}-{device}-{action}", "a-b", None),
    ],
)
def test_a_level_is_split_at_the_first_separator(template: str, text: str, words: list[str] | None) -> None:
    assert level(template).split(text) == words


short_words = st.text("ab-", max_size=4)


@given(st.sampled_from(("{location}-{device}", "a{location}--{device}-", "{location}ab{device}a{action}")), short_words,
       short_words, short_words)  # fmt: skip
def test_what_a_level_writes_it_reads_back(template: str, location: str, device: str, action: str) -> None:
    words = {"location": location, "device": device, "action": action}
    one = level(template)
    try:
        text = one.write(words)
    except WordError as err:
        assert "would be read as other words: one of them contains a separator" in str(err)
        naive = template.format(**words)
        assert one.split(naive) != [words[m.field] for m in one.maps]
        return
    actual: dict[str, str] = {}
    one.read(text, actual)
    assert actual == {m.field: words[m.field] for m in one.maps}


def test_words_are_translated_and_each_is_checked() -> None:
    one = level("x-{location}-{device}", location=FieldMap("location", "strict", {"kitchen": ["kueche"]}))
    assert one.write({"location": "kitchen", "device": "lamp"}) == "x-kueche-lamp"
    for words, problem in (
        ({"location": "hall", "device": "lamp"}, "location: 'hall' is not in the map"),
        ({"location": "kitchen", "device": "a/b"}, "device: 'a/b': '/' is not allowed in a topic"),
        ({"location": "kitchen", "device": "a" * 250}, "location: 'x-kueche-.*259 bytes are too long"),
    ):
        with pytest.raises(WordError, match=problem):
            one.write(words)
    for text, problem in (("x-hall-lamp", "location: 'hall' is not"), (f"x-kueche-{'a' * 250}", "259 bytes")):
        with pytest.raises(WordError, match=problem):
            one.read(text, {})
    assert "x-kueche-lamp" in one
    assert "x-hall-lamp" not in one
    assert "kueche-lamp" not in one


# --- two templates, one topic


_TEMPLATES = (
    *("a", "b", "ab", "", "{device}", "a{device}", "{device}b", "a{device}b", "{location}a{device}"),
    *("b{location}a{device}", "{action}", "{action}b", "a{action}", "{sender}", "a-{action}", "{device}-"),
    *("{action}-{device}", "{device}-{action}", "{sender}-{action}b", "a-{device}-{action}-", "{action}ab{device}-b"),
)
_ACTION = FieldMap("action", "strict", {"on": ["a", "b"], "off": ["ab"]})
_SENDER = FieldMap("sender", "strict", {"me": ["a"]})
_TEXTS = ["".join(letters) for size in range(7) for letters in itertools.product("ab-", repeat=size)]


def _reads(parsed: Level, text: str) -> bool:
    """Return whether `parsed` reads `text`, by the words that `split` returns; any sender is accepted."""
    words = parsed.split(text)
    if words is None:
        return False
    readable = [None if field_map.field == "sender" else field_map.readable() for field_map in parsed.maps]
    return all(few is None or word in few for word, few in zip(words, readable, strict=True))


def common_text(one: Level, other: Level) -> str | None:
    """Return a text that both read as a level that is not the first."""
    topic = common_topic([level("top"), one], [level("top"), other])
    return None if topic is None else topic.removeprefix("top/")


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations_with_replacement(_TEMPLATES, 2)))
def test_two_levels_have_a_text_in_common_just_when_one_is_found_by_trying_all(one: str, other: str) -> None:
    first, second = (level(t, action=_ACTION, sender=_SENDER) for t in (one, other))
    by_trying = any(_reads(first, text) and _reads(second, text) for text in _TEXTS)
    for pair in (first, second), (second, first):
        actual = common_text(*pair)
        assert (actual is not None) == by_trying
        assert actual is None or (_reads(first, actual) and _reads(second, actual))


@st.composite
def any_level(draw: st.DrawFn) -> Level:
    """Draw a level of free and listed words; separators, and listed words that hold some, are drawn alike."""
    maps = tuple(
        FieldMap(name, "strict", {"x": words}) if (words := draw(st.lists(short_words, max_size=3))) else PLAIN[name]
        for name in draw(st.sampled_from(((), ("location",), ("location", "device"), ("device", "sender", "action"))))
    )
    separators = tuple(draw(st.text("ab-", min_size=1, max_size=2)) for _ in maps[1:])
    prefix, suffix = draw(st.text("ab-", max_size=2)), draw(st.text("ab-", max_size=2))
    return Level(prefix, maps, separators, suffix) if maps else Level(prefix)


@settings(max_examples=300)
@given(any_level(), any_level())
def test_the_text_in_common_is_read_by_both_and_is_missing_only_if_there_is_none(one: Level, other: Level) -> None:
    actual = common_text(one, other)
    if actual is None:
        assert [text for text in _TEXTS if _reads(one, text) and _reads(other, text)] == []
    else:
        assert _reads(one, actual)
        assert _reads(other, actual)


def test_the_text_in_common_is_one_that_a_person_understands() -> None:
    def common(one: str, other: str) -> str | None:
        return common_text(level(one, action=_ACTION), level(other, action=_ACTION))

    assert common("{location}-{device}", "{function}-{gateway}") == "location-device"
    assert common("x-{device}-y", "{location}") == "x-device-y"
    assert common("{device}-{action}", "a-{location}") == "a-"
    assert common("{action}", "{device}") == "a"


def test_two_levels_are_compared_in_few_steps_however_many_words_are_listed() -> None:
    many = FieldMap("action", "strict", {f"a{number}": [f"word{number}x"] for number in range(5000)})
    one, other = level("{location}-{action}", action=many), level("{action}-{device}", action=many)
    assert common_text(one, other) == "-"
    other = level("{action}x-{device}", action=many)
    assert common_text(one, other) == "x-"
    assert common_text(one, level("-x{action}y", action=many)) is None
    one, other = level("{action}-a{device}", action=many), level("{action}-b{location}", action=many)
    assert common_text(one, other) is None


def test_a_topic_is_not_empty_and_does_not_begin_with_a_dollar_sign() -> None:
    maps = {"action": FieldMap("action", "strict", {"system": ["$SYS"]}), "function": FieldMap("function", "strict")}
    strict, free, broker = (level(text, **maps) for text in ("{action}", "{device}", "{device}S-{location}"))
    assert common_topic([strict], [strict]) is None
    assert common_topic([strict], [free]) is None
    assert common_topic([strict, free], [strict, free]) == "/device"
    for template in "{action}-", "{action}-{function}":
        assert common_topic([level(template, **maps)], [broker]) is None
        assert common_topic([free, level(template, **maps)], [free, broker]) == "device/$SYS-"


def test_two_templates_have_a_topic_in_common_if_all_their_levels_have() -> None:
    def common(one: str, other: str) -> str | None:
        return common_topic(parse(one, "home", PLAIN), parse(other, "home", PLAIN))

    assert common("{root}/{device}/set", "home/a{location}/{action}") == "home/adevice/set"
    assert common("{root}/{device}/set", "{root}/{device}/get") is None
    assert common("{root}/{device}", "{root}/{device}/{action}") is None
