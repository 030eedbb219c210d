"""Which publication a broker closes the link over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.message import Publication
from gateway.mqtt.poison import PoisonDetector, Verdict

BAD, GOOD, OTHER = (Publication(name, b"", 1) for name in ("bad", "good", "other"))


def verdicts(suspicion: PoisonDetector, *first: Publication, in_flight: int = 5) -> list[Verdict]:
    return [suspicion.lost(publication, in_flight) for publication in first]


def test_three_losses_among_others_and_three_alone_make_it_guilty() -> None:
    suspicion = PoisonDetector()
    assert verdicts(suspicion, BAD, BAD, BAD) == [Verdict.NONE, Verdict.NONE, Verdict.ONE_BY_ONE]
    assert suspicion.is_strong
    assert verdicts(suspicion, BAD, BAD, BAD, in_flight=1) == [Verdict.NONE, Verdict.NONE, Verdict.POISON]


def test_the_others_are_sent_one_by_one_as_well_and_then_as_before() -> None:
    suspicion = PoisonDetector()
    verdicts(suspicion, GOOD, GOOD, GOOD, in_flight=3)
    suspicion.settled(acknowledged=True)  # the first was innocent
    assert suspicion.is_strong
    assert verdicts(suspicion, BAD, BAD, BAD)[-1] is Verdict.POISON
    assert suspicion.is_strong
    suspicion.settled(acknowledged=True)
    assert not suspicion.is_strong


def test_an_acknowledgement_begins_the_count_anew() -> None:
    suspicion = PoisonDetector()
    verdicts(suspicion, BAD, BAD)
    suspicion.settled(acknowledged=True)
    assert verdicts(suspicion, BAD, BAD) == [Verdict.NONE, Verdict.NONE]


def test_a_loss_over_another_one_begins_the_count_anew() -> None:
    assert set(verdicts(PoisonDetector(), BAD, BAD, OTHER, BAD, BAD, OTHER)) == {Verdict.NONE}


def test_what_went_out_with_qos_0_proves_nothing() -> None:
    suspicion = PoisonDetector()
    verdicts(suspicion, BAD, BAD)
    suspicion.settled(acknowledged=False)
    assert verdicts(suspicion, BAD) == [Verdict.ONE_BY_ONE]


@given(st.lists(st.sampled_from(["lost", "taken"]), max_size=60))
def test_nobody_is_guilty_without_three_losses_in_a_row(events: list[str]) -> None:
    suspicion, row = PoisonDetector(), 0
    for event in events:
        if event == "taken":
            suspicion.settled(acknowledged=True)
            row = 0
            continue
        row += 1
        verdict = suspicion.lost(GOOD, 1)
        assert verdict is not Verdict.POISON or row >= 3
        if verdict is Verdict.POISON:
            row = 0
