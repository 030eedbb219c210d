from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.response_topics import ANSWER_LEVELS, ResponseTopics

RULE = ResponseTopics("home/hall/", ("app/+/inbox", "desk/#"))


@pytest.mark.parametrize(
    "topic",
    ["response", "app/responses/7", "reply/7", "a/b/replies", "home/hall/x", "home/hall/asked/7", "app/7/inbox",
     "desk/a/b"],
)  # fmt: skip
def test_a_topic_for_answers(topic: str) -> None:
    assert RULE.is_allowed(topic)


@pytest.mark.parametrize(
    "topic", ["home/hall", "home/hallway/x", "app/inbox", "app/7/8/inbox", "my_response/x", "Reply"]
)
def test_a_topic_that_may_be_anything(topic: str) -> None:
    assert not RULE.is_allowed(topic)


def test_without_a_prefix_only_the_level_and_the_configuration_count() -> None:
    assert not ResponseTopics().is_allowed("home/hall/x")
    assert ResponseTopics().is_allowed("x/reply")


def test_the_remedy_names_all_that_is_for_answers() -> None:
    named = "use a topic that has a level named response, responses, reply or replies"
    allow = ", or allow it in commands.response_topics"
    assert RULE.remedy(may_allow=True) == f"{named}, or below home/hall/{allow}"
    assert RULE.remedy(may_allow=False) == f"{named}, or below home/hall/"
    assert ResponseTopics().remedy(may_allow=True) == f"{named}{allow}"


_levels = st.sampled_from(["home", "hall", "app", "inbox", "S", "C", "", *ANSWER_LEVELS])


@given(st.lists(_levels, min_size=1, max_size=5))
def test_a_topic_is_for_answers_for_one_of_three_reasons(levels: list[str]) -> None:
    topic = "/".join(levels)
    reasons = (
        set(levels) & set(ANSWER_LEVELS),
        levels[:2] == ["home", "hall"] and len(levels) > 2,
        RULE.is_configured(topic),
    )
    assert RULE.is_allowed(topic) == any(reasons)
