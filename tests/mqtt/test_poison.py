"""Which publication makes a broker close the link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.message import Publication
from gateway.mqtt.poison import PoisonDetector, Verdict

BAD, GOOD, OTHER = (Publication(name, b"", 1) for name in ("bad", "good", "other"))


def verdicts(detector: PoisonDetector, *first: Publication, in_flight: int = 5) -> list[Verdict]:
    return [detector.lost(publication, in_flight) for publication in first]


def test_three_losses_among_others_and_three_alone_prove_a_message_to_be_poison() -> None:
    detector = PoisonDetector()
    assert verdicts(detector, BAD, BAD, BAD) == [Verdict.NONE, Verdict.NONE, Verdict.ONE_BY_ONE]
    assert detector.one_by_one
    assert verdicts(detector, BAD, BAD, BAD, in_flight=1) == [Verdict.NONE, Verdict.NONE, Verdict.POISON]


def test_the_others_are_sent_one_by_one_as_well_and_together_afterwards() -> None:
    detector = PoisonDetector()
    verdicts(detector, GOOD, GOOD, GOOD, in_flight=3)
    detector.settled(acknowledged=True)  # the first was innocent
    assert detector.one_by_one
    assert verdicts(detector, BAD, BAD, BAD)[-1] is Verdict.POISON
    assert detector.one_by_one
    detector.settled(acknowledged=True)
    assert not detector.one_by_one


def test_an_acknowledgement_restarts_the_count() -> None:
    detector = PoisonDetector()
    verdicts(detector, BAD, BAD)
    detector.settled(acknowledged=True)
    assert verdicts(detector, BAD, BAD) == [Verdict.NONE, Verdict.NONE]


def test_a_loss_over_another_message_restarts_the_count() -> None:
    assert set(verdicts(PoisonDetector(), BAD, BAD, OTHER, BAD, BAD, OTHER)) == {Verdict.NONE}


def test_what_was_sent_with_qos_0_proves_nothing() -> None:
    detector = PoisonDetector()
    verdicts(detector, BAD, BAD)
    detector.settled(acknowledged=False)
    assert verdicts(detector, BAD) == [Verdict.ONE_BY_ONE]


@given(st.lists(st.sampled_from(["lost", "acknowledged"]), max_size=60))
def test_nothing_is_poison_without_three_losses_in_a_row(events: list[str]) -> None:
    detector, row = PoisonDetector(), 0
    for event in events:
        if event == "acknowledged":
            detector.settled(acknowledged=True)
            row = 0
            continue
        row += 1
        verdict = detector.lost(GOOD, 1)
        assert verdict is not Verdict.POISON or row >= 3
        if verdict is Verdict.POISON:
            row = 0


def test_a_state_that_is_acknowledged_is_cleared_and_says_nothing_about_the_others() -> None:
    detector = PoisonDetector()
    verdicts(detector, BAD, BAD)
    detector.clear(GOOD)
    assert detector.stats()["links_lost_in_a_row"] == 2
    detector.clear(BAD)
    assert not detector.is_active
    assert verdicts(detector, BAD, BAD) == [Verdict.NONE, Verdict.NONE]


def test_on_trial_one_more_loss_proves_a_message_to_be_poison() -> None:
    detector = PoisonDetector()
    detector.try_alone(BAD)
    assert detector.one_by_one
    assert verdicts(detector, BAD) == [Verdict.POISON]
    assert detector.stats() == {"links_lost_in_a_row": 0, "one_by_one": 0, "poisonous": 1}


def test_after_a_reset_nothing_is_suspected() -> None:
    detector = PoisonDetector()
    verdicts(detector, BAD, BAD, BAD)
    assert detector.stats()["one_by_one"] == 5
    detector.reset()
    assert not detector.is_active
    assert not detector.one_by_one
