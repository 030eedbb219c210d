from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import FilteredError, RefusedError
from gateway.message import InternalMsg, ReplyTo
from gateway.routing.message_filter import FilterRule, Filters, Hook, HookStep, MessageFilter, apply_filters
from tests.support.strategies import any_messages, messages

GATE = InternalMsg(True, function="security", location="yard", device="gate", action="OPEN")
LAMP = InternalMsg(True, function="lighting", location="kitchen", device="lamp", action="ON")


def allow(**words: tuple[str, ...]) -> FilterRule:
    return FilterRule(True, words)


def deny(**words: tuple[str, ...]) -> FilterRule:
    return FilterRule(False, words)


def hook(function: Hook) -> HookStep:
    return HookStep("hooks.py:one", function)


def passes(msg: InternalMsg, *steps: FilterRule | HookStep) -> bool:
    try:
        MessageFilter("filters.in", steps).apply(msg)
    except FilteredError:
        return False
    return True


@pytest.mark.parametrize(
    ("steps", "gate", "lamp"),
    [
        ((), True, True),
        ((deny(function=("security",)),), False, True),
        ((deny(function=("security",), action=("CLOSE",)),), True, True),
        ((deny(function=("security",), action=("CLOSE", "OPEN")),), False, True),
        ((allow(location=("kitchen",)),), False, True),
        ((allow(action=("OPEN",)), deny(device=("gate",))), True, False),
        ((deny(device=("gate",)), allow(action=("OPEN",))), False, False),
        ((allow(action=("OPEN",)), allow()), True, True),
        ((deny(),), False, False),
        ((FilterRule(False, {}, (False,)),), True, True),
        ((FilterRule(False, {}, (True,)),), False, False),
        ((deny(sender=("",), location=("yard",)),), False, True),
    ],
)
def test_the_first_rule_that_fits_decides_and_else_whether_anything_is_allowed(
    steps: tuple[FilterRule, ...], gate: bool, lamp: bool
) -> None:
    assert (passes(GATE, *steps), passes(LAMP, *steps)) == (gate, lamp)


def test_a_refusal_names_the_rule_by_its_place() -> None:
    with pytest.raises(FilteredError, match=r"^filters.in\[1\] denies it$"):
        MessageFilter("filters.in", [deny(device=("lamp",)), deny(device=("gate",))]).apply(GATE)
    with pytest.raises(FilteredError, match=r"^filters.in does not allow it$"):
        MessageFilter("filters.in", [allow(device=("lamp",))]).apply(GATE)


# --- hooks


def test_a_hook_passes_changes_or_drops() -> None:
    assert apply_filters([MessageFilter("f", [hook(lambda msg: msg)])], GATE) == GATE
    changed = apply_filters([MessageFilter("f", [hook(lambda msg: msg.replace(location="porch"))])], GATE)
    assert changed == GATE.replace(location="porch")
    with pytest.raises(FilteredError, match=r"^the hook 'hooks.py:one' drops it$"):
        apply_filters([MessageFilter("f", [hook(lambda msg: None)])], GATE)


def test_a_command_changed_by_a_hook_keeps_its_response_topic() -> None:
    asked = GATE.answered_at(ReplyTo("answers/me", b"1"))
    changed = apply_filters([MessageFilter("f", [hook(lambda msg: msg.replace(action="CLOSE"))])], asked)
    assert (changed.action, changed.reply_to) == ("CLOSE", ReplyTo("answers/me", b"1"))


def test_rules_after_a_hook_get_its_result_and_an_allow_before_it_skips_it() -> None:
    to_porch = hook(lambda msg: msg.replace(location="porch"))
    assert not passes(GATE, to_porch, deny(location=("porch",)))
    assert passes(GATE, deny(location=("porch",)), to_porch)
    assert MessageFilter("f", [allow(), to_porch]).apply(GATE) == GATE


def exits(msg: InternalMsg) -> InternalMsg:
    raise SystemExit("bye")


def fails(msg: InternalMsg) -> InternalMsg:
    raise ValueError("mis-\ntaken")


@pytest.mark.parametrize(
    ("function", "why", "remedy"),
    [
        (
            fails,
            "the hook 'hooks.py:one' failed",
            "ValueError: mis-\ntaken: fix the hook; until then it lets no message pass",
        ),
        (exits, "the hook 'hooks.py:one' failed", "SystemExit: bye: fix the hook; until then it lets no message pass"),
        (
            lambda msg: True,
            "the hook 'hooks.py:one' did not return a message",
            "it returned an object of the type bool: fix the hook; until then it lets no message pass",
        ),
    ],
)
def test_a_hook_that_fails_lets_nothing_pass(function: Any, why: str, remedy: str) -> None:
    with pytest.raises(RefusedError) as caught:
        apply_filters([MessageFilter("f", [hook(function), allow()])], GATE)
    err = caught.value
    assert (err.kind, str(err), err.remedy) == ("hook failed", why, remedy)
    assert err.key.startswith("hooks.py:one "), "the hook, whatever the topic; and what fails in it"


# --- several filters


def test_a_message_has_to_pass_each_filter_those_of_the_gateway_outside() -> None:
    def mark(name: str) -> MessageFilter:
        return MessageFilter("f", [hook(lambda msg: msg.replace(action=msg.action + name))])

    common, own = Filters([mark("c")], [mark("C")]), Filters([mark("i")], [mark("I")])
    both = own.within(common)
    assert apply_filters(both.incoming, GATE).action == "OPENci"
    assert apply_filters(both.outgoing, GATE).action == "OPENIC"


words = st.lists(st.sampled_from(("", "a", "b", "gw", "on")), min_size=1, max_size=2).map(tuple)
rules = st.builds(
    FilterRule,
    st.booleans(),
    st.dictionaries(st.sampled_from(("function", "location", "device", "sender", "action")), words, max_size=2),
    st.sampled_from(((True,), (False,), (True, False))),
)


@given(st.lists(rules, max_size=5), messages())
def test_rules_never_change_a_message_and_decide_by_the_first_that_fits(
    steps: list[FilterRule], msg: InternalMsg
) -> None:
    first = next((step.is_allowing for step in steps if step.matches(msg)), not any(step.is_allowing for step in steps))
    one = MessageFilter("f", steps)
    if first:
        assert one.apply(msg) is msg
    else:
        with pytest.raises(FilteredError):
            one.apply(msg)


@given(st.lists(rules, max_size=3), any_messages())
def test_no_message_breaks_a_rule(steps: list[FilterRule], msg: InternalMsg) -> None:
    assert passes(msg, *steps) in (True, False)


def test_no_word_that_is_none_breaks_a_rule() -> None:
    assert passes(GATE.replace(location=["yard"]), deny(location=("yard",)))


def test_a_step_describes_itself() -> None:
    assert str(deny(function=("security",), action=("OPEN", "CLOSE"))) == (
        "deny messages with function 'security' and action 'OPEN' or 'CLOSE'"
    )
    assert str(FilterRule(True, {}, (True,))) == "allow commands"
    assert str(FilterRule(True, {}, (False,))) == "allow statuses"
    assert str(hook(fails)) == "hook hooks.py:one"
