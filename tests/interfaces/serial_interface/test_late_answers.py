"""Answers that arrive later than their timeout: none is ever taken for that of another request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.conversation import Conversation
from interfaces.serial_interface.options import RateLimit
from interfaces.serial_interface.transaction import Outcome, Priority, Result, Transaction

TIMEOUT = 1.0


def number(frame: bytes) -> list[dict[str, object]] | None:
    """Read any answer of the meter: which value it is, nobody can tell from it."""
    return [{"value": frame}] if frame.startswith(b"=") else None


def poll(name: str, *, retries: int = 0) -> Transaction:
    return Transaction(name.encode(), Priority.POLL, name, number, None, TIMEOUT, retries)


def is_ok(frame: bytes) -> list[dict[str, object]] | None:
    return [{}] if frame == b"OK" else None


def is_error(frame: bytes) -> list[dict[str, object]] | None:
    return [{}] if frame == b"ERR" else None


def command(name: str, *, retries: int = 0) -> Transaction:
    return Transaction(name.encode(), Priority.COMMAND, name, is_ok, is_error, TIMEOUT, retries)


class Device:
    """A conversation with a device that answers in the order of the requests, and time that only passes here.

    `answer(request)` returns the answer to a request and how long (s) it takes, or None: it does not answer.
    """

    def __init__(
        self, answer: Callable[[bytes], tuple[bytes, float] | None], rate_limit: RateLimit | None = None
    ) -> None:
        self.conversation = Conversation(rate_limit or RateLimit())
        self.now = 0.0
        self.results: list[Result] = []
        self._answer = answer
        self._coming: list[tuple[float, bytes]] = []
        self.written: list[tuple[float, bytes]] = []

    def submit(self, *transactions: Transaction) -> None:
        for transaction in transactions:
            assert self.conversation.submit(transaction, self.now)

    def run(self, until: float) -> None:
        """Pass the time until `until`."""
        while True:
            data, results = self.conversation.step(self.now)
            self.results += results
            if data:
                self.written.append((self.now, data))
                answer = self._answer(data)
                if answer is not None:
                    earliest = self._coming[-1][0] if self._coming else 0.0
                    self._coming.append((max(self.now + answer[1], earliest), answer[0]))
                continue
            due = self.conversation.due()
            times = [when for when in (due, self._coming[0][0] if self._coming else None) if when is not None]
            following = max(self.now, min(times, default=until))
            if following >= until:
                self.now = until
                return
            self.now = following
            if self._coming and self._coming[0][0] <= self.now:
                self.results += self.conversation.on_frame(self._coming.pop(0)[1], self.now) or ()

    def hang_up(self, seconds: float) -> None:
        """Let the connection be away for this time; the device itself does not notice that, and goes on answering."""
        self.results += self.conversation.abort()
        self.now += seconds
        self._coming = [(when, frame) for when, frame in self._coming if when > self.now]
        self.conversation.reset(self.now)

    def readings(self) -> list[tuple[str, object]]:
        """Return the subject and the value of each answer that has been used."""
        return [(result.transaction.subject, result.values[0].get("value")) for result in self.results if result.frame]

    def outcomes(self) -> list[tuple[str, Outcome]]:
        """Return how the transactions have ended."""
        return [(result.transaction.subject, result.outcome) for result in self.results if not result.is_late]


def meter(latency: float) -> Device:
    return Device(lambda request: (b"=" + request, latency))


def test_the_answers_of_a_meter_that_is_slower_than_twice_the_timeout_are_its_own() -> None:
    device = meter(latency=2.3)
    for start in range(0, 60, 10):
        device.submit(poll("volts"), poll("amperes"), poll("watts"))
        device.run(start + 10)
    assert all(value == f"={subject}".encode() for subject, value in device.readings())
    last = [subject for subject, _ in device.readings()][-6:]
    assert sorted(last) == sorted(["volts", "amperes", "watts"] * 2), "once it is known how slow it is, none is lost"
    assert device.conversation.unattributed == 0


def test_a_late_answer_within_the_window_is_the_answer() -> None:
    device = meter(latency=1.3)
    device.submit(poll("volts"), poll("amperes"))
    device.run(10)
    assert device.readings() == [("volts", b"=volts"), ("amperes", b"=amperes")]
    assert [result.is_late for result in device.results if result.frame] == [True, True]
    assert device.outcomes() == [("volts", Outcome.TIMED_OUT), ("amperes", Outcome.TIMED_OUT)]


def test_after_a_lost_answer_the_next_one_like_it_is_dropped_and_none_after_it() -> None:
    requests = iter([None, (b"=amperes", 0.1), (b"=volts", 0.1), None, (b"=volts", 0.1)])
    device = Device(lambda _: next(requests))
    device.submit(poll("volts"), poll("amperes"), poll("volts"), poll("amperes"), poll("volts"))
    device.run(30)
    assert device.readings() == [("volts", b"=volts"), ("volts", b"=volts")]
    assert device.conversation.unattributed == 1
    dropped = next(result for result in device.results if result.transaction.subject == "amperes")
    assert (dropped.outcome, dropped.is_unanswered) == (Outcome.TIMED_OUT, False)
    assert dropped.reason == ("the device's answer could not be read: it may be the late answer to an earlier request")


def test_a_command_is_not_confused_by_one_that_was_not_answered_long_ago() -> None:
    requests = iter([None, (b"OK", 0.1)])
    device = Device(lambda _: next(requests))
    device.submit(command("OPEN"))
    device.run(11)
    device.submit(command("CLOSE"))
    device.run(12)
    assert device.outcomes() == [("OPEN", Outcome.TIMED_OUT), ("CLOSE", Outcome.DONE)]


def test_a_device_that_ignores_what_comes_while_it_is_busy() -> None:
    busy_until = 0.0

    def unless_busy(request: bytes) -> tuple[bytes, float] | None:
        nonlocal busy_until
        if device.now < busy_until:
            return None
        busy_until = device.now + 2.3
        return b"=" + request, 2.3

    device = Device(unless_busy)
    for start in range(0, 200, 10):
        device.submit(poll("volts"), poll("amperes"), poll("watts"))
        device.run(start + 10)
    assert all(value == f"={subject}".encode() for subject, value in device.readings())
    assert {subject for subject, _ in device.readings()} == {"volts", "amperes", "watts"}


def test_the_same_request_again_need_not_wait_for_its_earlier_answer() -> None:
    device = meter(latency=2.3)
    device.submit(poll("volts"), poll("volts"))
    device.run(2.35)
    assert device.readings() == [("volts", b"=volts")]


def test_each_attempt_may_be_answered() -> None:
    answers = {b"OPEN": b"OK", b"CLOSE": b"ERR"}
    device = Device(lambda request: (answers[request], 1.3))
    device.submit(command("OPEN", retries=1), command("CLOSE", retries=1))
    device.run(20)
    assert device.outcomes() == [("OPEN", Outcome.DONE), ("CLOSE", Outcome.REFUSED)]
    assert next(when for when, data in device.written if data == b"CLOSE") >= 2.3, "the second OK came first"


def test_a_frame_that_only_an_earlier_request_can_have_asked_for_is_its_answer() -> None:
    answers = {b"volts": (b"=230", 2.5), b"OPEN": (b"OK", 0.75)}
    device = Device(lambda request: answers[request])
    device.submit(poll("volts"))
    device.run(2.0)
    device.submit(command("OPEN"))
    device.run(10)
    assert device.readings() == [("volts", b"=230"), ("OPEN", None)]
    assert device.outcomes() == [("volts", Outcome.TIMED_OUT), ("OPEN", Outcome.DONE)]


def test_how_slow_a_device_is_also_counts_if_it_is_much_slower_than_was_expected() -> None:
    device = meter(latency=9.0)
    device.submit(poll("volts"))
    device.run(10)
    assert device.readings() == [("volts", b"=volts")], "nobody else has asked for it"
    device.submit(poll("volts"), poll("amperes"))
    device.run(60)
    assert device.readings()[1:] == [("volts", b"=volts"), ("amperes", b"=amperes")]


def test_while_a_frame_is_held_back_nothing_is_written() -> None:
    requests = iter([None, (b"=amperes", 0.1), (b"=watts", 0.1)])
    device = Device(lambda _: next(requests))
    device.submit(poll("volts"), poll("amperes"), poll("watts"))
    device.run(10)
    (first, _), (written, _), (following, _) = device.written
    assert following == pytest.approx(written + 0.1 + (written - first) + TIMEOUT)


def test_a_new_connection_knows_nothing_of_the_old_one() -> None:
    device = Device(lambda request: None if request == b"volts" else (b"=amperes", 0.1))
    device.submit(poll("volts"))
    device.run(3)
    device.conversation.abort()
    device.conversation.reset(device.now)
    device.submit(poll("amperes"))
    device.run(3.2)
    assert device.readings() == [("amperes", b"=amperes")]


def test_a_connection_that_is_back_before_the_answer_is_not_confused_by_it() -> None:
    device = meter(latency=0.8)
    device.submit(poll("watts"))
    device.run(1)
    device.submit(poll("volts"))
    device.run(1.2)
    device.hang_up(0.5)
    device.submit(poll("amperes"), poll("volts"))
    device.run(10)
    assert device.readings()[1:] == [("volts", b"=volts"), ("amperes", b"=amperes"), ("volts", b"=volts")]
    assert device.conversation.unattributed == 0


def test_the_first_connection_may_be_lost_before_the_device_has_ever_answered() -> None:
    device = meter(latency=2.5)
    device.submit(poll("volts"))
    device.run(0.2)
    device.hang_up(0.5)
    for start in range(1, 60, 10):
        device.submit(poll("amperes"), poll("volts"))
        device.run(start + 10)
    assert len(device.readings()) >= 10
    assert all(value == f"={subject}".encode() for subject, value in device.readings())


def test_how_slow_a_device_is_is_known_after_a_hang_up() -> None:
    device = meter(latency=4.5)
    device.submit(poll("volts"))
    device.run(10)
    device.submit(poll("volts"))
    device.run(12)
    device.hang_up(0.5)
    device.submit(poll("amperes"))
    device.run(30)
    assert device.readings()[1:] == [("volts", b"=volts"), ("amperes", b"=amperes")]


def test_what_is_held_back_when_the_connection_is_lost_shows_how_slow_the_device_is() -> None:
    device = meter(latency=2.9)
    device.submit(poll("volts"), poll("amperes"))
    device.run(3.0)  # that of volts has come, but might be that of amperes as well
    device.hang_up(0.5)
    assert device.conversation.unattributed == 1
    device.submit(poll("watts"))
    device.run(30)
    assert device.readings() == [("amperes", b"=amperes"), ("watts", b"=watts")]


def test_a_connection_that_is_new_waits_for_nothing_where_nothing_is_owed() -> None:
    device = meter(latency=0.3)
    device.submit(poll("volts"))
    device.run(1)
    device.hang_up(0.5)
    device.submit(poll("amperes"))
    device.run(5)
    assert [when for when, _ in device.written] == [0.0, 1.5]


def test_an_answer_that_was_lost_long_ago_does_not_hold_back_others_for_as_long() -> None:
    requests = iter([None, (b"=amperes", 0.1), (b"=watts", 0.1)])
    device = Device(lambda _: next(requests))
    device.submit(poll("volts"))
    device.run(600)
    device.submit(poll("amperes"), poll("watts"))
    device.run(630)
    assert device.readings() == [("watts", b"=watts")], "that of volts came 600 s ago, or never"


@pytest.mark.parametrize("silent_from", range(26))
def test_what_is_in_flight_after_an_answer_was_dropped_is_that_of_no_other(silent_from: int) -> None:
    def answer(request: bytes) -> tuple[bytes, float] | None:
        return None if silent_from <= device.now < silent_from + 10 else (b"=" + request, 2.5)

    device = Device(answer, RateLimit(pause=0.05, bytes_per_second=100, frames_per_second=1))
    for start in range(0, 200, 10):
        device.submit(poll("volts", retries=3), poll("amperes", retries=2))
        device.run(start + 10)
    assert len(device.readings()) > 90
    assert all(value == f"={subject}".encode() for subject, value in device.readings())


def test_of_several_answers_that_are_missing_none_is_that_of_the_next_request() -> None:
    latencies = iter([4.15, 3.79, 5.48, 5.44, 0.1])
    device = Device(lambda request: (b"=" + request, next(latencies)))
    device.submit(poll("volts", retries=1), poll("amperes", retries=1), poll("watts"))
    device.run(30)
    assert all(value == f"={subject}".encode() for subject, value in device.readings())
    assert device.readings()[-1] == ("watts", b"=watts")


def test_as_many_answers_are_awaited_as_were_asked_for_if_each_takes_its_time() -> None:
    latencies = iter([3.0, 1.2, 3.1, 0.1])
    device = Device(lambda request: (b"=" + request, next(latencies)))
    device.submit(poll("volts"))
    device.run(10)
    device.submit(poll("volts", retries=1), poll("amperes"))
    device.run(30)
    assert all(value == f"={subject}".encode() for subject, value in device.readings())


def test_a_late_refusal_is_not_that_of_the_next_command_where_silence_means_success() -> None:
    device = Device(lambda request: (b"ERR" if request == b"LOCK" else b"OK", 1.2))
    lock = Transaction(b"LOCK", Priority.COMMAND, "LOCK", None, is_error, TIMEOUT)
    device.submit(command("OPEN"), lock, command("SHUT"))
    device.run(20)
    late = [(each.transaction.subject, each.outcome) for each in device.results if each.is_late]
    assert late == [("OPEN", Outcome.DONE), ("LOCK", Outcome.REFUSED), ("SHUT", Outcome.DONE)]
    assert device.outcomes() == [
        ("OPEN", Outcome.TIMED_OUT),
        ("LOCK", Outcome.DONE),
        ("SHUT", Outcome.TIMED_OUT),
    ]


def test_a_silence_that_means_success_is_waited_for_once() -> None:
    device = Device(lambda request: None if request == b"LOCK" else (b"ERR" if request == b"SHUT" else b"OK", 1.2))
    lock = Transaction(b"LOCK", Priority.COMMAND, "LOCK", None, is_error, TIMEOUT)
    device.submit(command("OPEN"), lock, command("SHUT"))
    device.run(20)
    late = [(each.transaction.subject, each.outcome) for each in device.results if each.is_late]
    assert late == [("OPEN", Outcome.DONE), ("SHUT", Outcome.REFUSED)]
    assert device.conversation.unattributed == 0


REQUESTS = st.lists(st.sampled_from(["volts", "amperes", "watts", "volt-amperes"]), min_size=1, max_size=6)


@given(
    rounds=st.lists(REQUESTS, min_size=1, max_size=6),
    latency=st.floats(0.05, 5.5).filter(lambda seconds: abs(seconds % 0.5) > 0.01),
    period=st.sampled_from([0.0, 2.5, 10.0]),
    retries=st.integers(0, 2),
)
def test_no_answer_is_ever_taken_for_that_of_another_request(
    rounds: list[list[str]], latency: float, period: float, retries: int
) -> None:
    device = meter(latency)
    for names in rounds:
        device.submit(*(poll(name, retries=retries) for name in names))
        device.run(device.now + period)
    device.run(device.now + 1000)
    assert all(value == f"={subject}".encode() for subject, value in device.readings())
    ended = [result.transaction for result in device.results if not result.is_late]
    assert len(ended) == len(set(ended)) == sum(map(len, rounds)), "each ends once"


@given(
    rounds=st.lists(REQUESTS, min_size=1, max_size=6),
    lost=st.sets(st.integers(0, 35)),
    latency=st.floats(0.05, 0.95),
    retries=st.integers(0, 1),
)
def test_nor_if_answers_are_lost(rounds: list[list[str]], lost: set[int], latency: float, retries: int) -> None:
    count = iter(range(10_000))
    device = Device(lambda request: None if next(count) in lost else (b"=" + request, latency))
    for names in rounds:
        device.submit(*(poll(name, retries=retries) for name in names))
    device.run(10_000)
    assert all(value == f"={subject}".encode() for subject, value in device.readings())
    assert len([1 for _, outcome in device.outcomes() if outcome is Outcome.TIMED_OUT]) <= 2 * len(lost)
