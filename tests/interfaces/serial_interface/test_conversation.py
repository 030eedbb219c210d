"""When to write: one transaction at a time, by priority; each ends once, whatever the device does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from interfaces.rules.message_template import CodecError
from interfaces.serial_interface.conversation import Conversation
from interfaces.serial_interface.options import RateLimit
from interfaces.serial_interface.transaction import Outcome, Priority, ReadFrame, Result, Transaction

OPENING, COMMAND, POLL = Priority


def reader(expected: bytes) -> ReadFrame:
    """Return a reader of the frame `expected`, which raises an error for the same with a question mark."""

    def read(frame: bytes) -> list[dict[str, Any]] | None:
        if frame == expected + b"?":
            raise CodecError("unreadable")
        return [{"frame": frame}] if frame == expected else None

    return read


def transaction(
    name: str, priority: Priority = COMMAND, *, response: bool = True, refusal: bool = False, **options: Any
) -> Transaction:
    """Return a transaction that writes `name`; the device sends NAME to answer it, and not NAME to refuse it."""
    data = name.encode()
    answers = reader(data.upper()) if response else None
    refusals = reader(b"not " + data.upper()) if refusal else None
    return Transaction(data, priority, name, answers, refusals, **options)


def started(*transactions: Transaction, **pacing: Any) -> Conversation:
    conversation = Conversation(RateLimit(**pacing))
    assert all(conversation.submit(each, 0.0) for each in transactions)
    return conversation


def hear(conversation: Conversation, frame: bytes, now: float) -> Result | None:
    """Return the one result of a frame; None if it is not an answer."""
    results = conversation.on_frame(frame, now)
    if results is None:
        return None
    (result,) = results
    return result


def run(conversation: Conversation, until: float, now: float = 0.0) -> list[tuple[float, Any]]:
    """Step whenever something is due; return the written data and the ended transactions, with their times."""
    log: list[tuple[float, Any]] = []
    while now <= until:
        data, results = conversation.step(now)
        log += [(now, (result.transaction.subject, result.outcome)) for result in results]
        log += [(now, data)] if data else []
        if not data and not results:
            due = conversation.due()
            if due is None:
                break
            assert due > now, "it is due, but does nothing"
            now = due
    return log


# --- order


def test_transactions_are_written_by_priority_and_then_in_order() -> None:
    kinds = {"p1": POLL, "c1": COMMAND, "o1": OPENING, "p2": POLL, "c2": COMMAND, "o2": OPENING}
    conversation = started(*(transaction(name, priority, response=False) for name, priority in kinds.items()))
    written = [what for _, what in run(conversation, 0.0) if isinstance(what, bytes)]
    assert written == [b"o1", b"o2", b"c1", b"c2", b"p1", b"p2"]
    assert conversation.due() is None


def test_the_next_transaction_is_written_only_after_the_answer() -> None:
    conversation = started(transaction("a"), transaction("b"))
    assert conversation.step(0.0) == (b"a", [])
    assert conversation.step(0.5) == (b"", [])
    assert hear(conversation, b"something else", 0.6) is None
    result = hear(conversation, b"A", 0.7)
    assert result is not None
    assert (result.transaction.subject, result.outcome, result.reason) == ("a", Outcome.DONE, "")
    assert (result.frame, result.values) == (b"A", ({"frame": b"A"},))
    assert conversation.step(0.7) == (b"b", [])


def test_a_transaction_without_answer_is_done_when_it_is_written() -> None:
    assert run(started(transaction("a", response=False)), 1.0) == [(0.0, ("a", Outcome.DONE)), (0.0, b"a")]


def test_an_unsolicited_frame_answers_no_transaction() -> None:
    conversation = started()
    assert hear(conversation, b"A", 0.0) is None
    assert conversation.submit(transaction("a"), 1.0)
    assert hear(conversation, b"A", 1.0) is None, "it has not been written yet"
    assert conversation.step(1.0) == (b"a", [])


# --- answers


def test_the_device_refuses() -> None:
    conversation = started(transaction("a", refusal=True, retries=3))
    conversation.step(0.0)
    result = hear(conversation, b"not A", 0.1)
    assert result is not None
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "the device refused it")
    assert (result.frame, result.values) == (b"not A", ({"frame": b"not A"},))
    assert conversation.due() is None


def test_a_transaction_without_an_answer_times_out() -> None:
    conversation = started(transaction("a", timeout=0.5), transaction("b", timeout=2.0))
    assert conversation.step(0.0) == (b"a", [])
    data, (result,) = conversation.step(0.5)
    assert (data, result.outcome) == (b"", Outcome.TIMED_OUT)
    assert result.reason == "the device did not answer within 0.5 s"
    assert run(conversation, 9.0, now=0.5) == [(1.0, b"b"), (3.0, ("b", Outcome.TIMED_OUT))]


@pytest.mark.parametrize(("frame", "outcome"), [(b"A", Outcome.DONE), (b"not A", Outcome.REFUSED)])
def test_the_next_transaction_waits_for_a_late_answer(frame: bytes, outcome: Outcome) -> None:
    conversation = started(transaction("a", timeout=0.5, refusal=True), transaction("b"))
    run(conversation, 0.5)
    assert conversation.step(0.75) == (b"", [])
    assert hear(conversation, b"something else", 0.75) is None
    assert conversation.due() == 1.0
    result = hear(conversation, frame, 0.875)
    assert result is not None
    assert (result.transaction.subject, result.outcome, result.is_late, result.seconds) == ("a", outcome, True, 0.875)
    assert conversation.step(0.875) == (b"b", [])


def test_the_wait_for_a_late_answer_is_limited() -> None:
    conversation = started(transaction("a", timeout=0.5))
    run(conversation, 0.5)
    assert conversation.is_idle
    assert conversation.due() is None, "only a frame can cause anything"
    assert conversation.submit(transaction("b"), 0.5)
    assert conversation.due() == 1.0
    assert conversation.step(1.0) == (b"b", [])


def test_an_unreadable_late_answer_ends_the_wait() -> None:
    conversation = started(transaction("a", timeout=0.5), transaction("b"))
    run(conversation, 0.5)
    with pytest.raises(CodecError, match="unreadable"):
        hear(conversation, b"A?", 0.75)
    assert conversation.step(0.75) == (b"b", [])


@pytest.mark.parametrize("retries", [1, 2])
def test_a_transaction_is_retried(retries: int) -> None:
    conversation = started(transaction("a", timeout=0.5, retries=retries))
    assert run(conversation, 0.5 * retries) == [(0.5 * number, b"a") for number in range(retries + 1)]
    _, (result,) = conversation.step(0.5 * (retries + 1))
    assert result.reason == f"the device did not answer within 0.5 s ({retries + 1} attempts)"


def test_an_answer_to_the_second_attempt_is_an_answer() -> None:
    conversation = started(transaction("a", timeout=0.5, retries=1))
    assert run(conversation, 0.7) == [(0.0, b"a"), (0.5, b"a")]
    result = hear(conversation, b"A", 0.8)
    assert result is not None
    assert result.outcome is Outcome.DONE
    assert conversation.step(9.0) == (b"", [])


def test_an_unreadable_answer_does_not_end_the_transaction() -> None:
    conversation = started(transaction("a", timeout=0.5))
    conversation.step(0.0)
    with pytest.raises(CodecError):
        hear(conversation, b"A?", 0.1)
    assert hear(conversation, b"A", 0.2) is not None


def test_with_only_a_refusal_silence_means_success() -> None:
    conversation = started(transaction("a", response=False, refusal=True, timeout=0.5, retries=3))
    assert run(conversation, 9.0) == [(0.0, b"a"), (0.5, ("a", Outcome.DONE))]
    conversation = started(transaction("a", response=False, refusal=True, timeout=0.5))
    conversation.step(0.0)
    result = hear(conversation, b"not A", 0.1)
    assert result is not None
    assert result.outcome is Outcome.REFUSED


# --- rate limit


def test_a_pause_follows_each_frame_in_either_direction() -> None:
    conversation = started(
        transaction("a"), transaction("b", response=False), transaction("c", response=False), pause=0.25
    )
    assert run(conversation, 0.0) == [(0.0, b"a")]
    assert hear(conversation, b"A", 0.5) is not None
    assert hear(conversation, b"unsolicited", 0.625) is None
    assert run(conversation, 9.0, now=0.625) == [
        (0.875, ("b", Outcome.DONE)), (0.875, b"b"), (1.125, ("c", Outcome.DONE)), (1.125, b"c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pacing", "times"),
    [
        ({"bytes_per_second": 8}, [0.0, 0.25, 0.75]),
        ({"frames_per_second": 4}, [0.0, 0.25, 0.5]),
        ({"bytes_per_second": 8, "pause": 0.375}, [0.0, 0.375, 0.875]),
        ({}, [0.0, 0.0, 0.0]),
    ],
)
def test_the_rate_limit(pacing: dict[str, float], times: list[float]) -> None:
    conversation = started(*(transaction(name, response=False) for name in ("aa", "bbbb", "c")), **pacing)
    log = run(conversation, 9.0)
    assert [when for when, what in log if isinstance(what, bytes)] == times
    assert conversation.last_written == times[-1]


def test_a_retry_keeps_the_pause() -> None:
    conversation = started(transaction("a", timeout=0.5, retries=1), pause=0.25)
    conversation.step(0.0)
    hear(conversation, b"unsolicited", 0.375)
    assert run(conversation, 9.0, now=0.375) == [(0.625, b"a"), (1.125, ("a", Outcome.TIMED_OUT))]


# --- limits


def test_commands_over_the_limit_are_refused() -> None:
    conversation = started(transaction("under way"), max_waiting=2)
    conversation.step(0.0)
    assert [conversation.submit(transaction(name), 0.0) for name in "abc"] == [True, True, False]
    assert all(conversation.submit(transaction(name, POLL), 0.0) for name in "abc"), "polls are not limited"


def test_a_command_that_has_waited_too_long_times_out() -> None:
    conversation = started(transaction("slow", POLL, timeout=60), longest_wait=10)
    conversation.step(0.0)
    conversation.submit(transaction("open the gate"), 1.0)
    conversation.submit(transaction("poll", POLL, response=False), 1.0)
    assert conversation.due() == 11.0, "the outcome does not wait until the line is free"
    assert conversation.step(10.9) == (b"", [])
    data, (result,) = conversation.step(11.0)
    assert (data, result.transaction.subject, result.outcome) == (b"", "open the gate", Outcome.TIMED_OUT)
    assert result.reason == "timed out after 10 s in the send queue"
    assert run(conversation, 999.0, now=11.0)[-1] == (120.0, b"poll"), "a poll may be late"


def test_all_transactions_end_when_the_device_is_gone() -> None:
    conversation = started(transaction("a"), transaction("b"), transaction("o", OPENING), transaction("p", POLL))
    conversation.step(0.0)
    results = conversation.abort()
    assert {result.transaction.subject for result in results} == {"a", "b", "o", "p"}
    assert {(result.outcome, result.reason) for result in results} == {(Outcome.OFFLINE, "the device went offline")}
    assert (conversation.abort(), conversation.due(), conversation.step(9.0)) == ([], None, (b"", []))


def test_a_new_connection_does_not_inherit_pauses_late_answers_and_the_last_write() -> None:
    conversation = started(transaction("a", timeout=0.5), pause=5.0)
    run(conversation, 0.5)
    assert conversation.abort() == []
    conversation.reset(0.75)
    assert conversation.last_written == 0.0
    assert conversation.submit(transaction("b"), 0.75)
    assert conversation.step(0.75) == (b"b", [])


# --- any sequence of events


class AnyConversation(RuleBasedStateMachine):
    """Transactions of all kinds, and a device that answers, refuses, sends other frames, is silent or disappears."""

    @initialize(
        pause=st.sampled_from([0.0, 0.25]), rate=st.sampled_from([0.0, 64.0]), max_waiting=st.integers(1, 4),
        longest_wait=st.sampled_from([2.0, 10.0]),
    )  # fmt: skip
    def begin(self, pause: float, rate: float, max_waiting: int, longest_wait: float) -> None:
        self.pacing = RateLimit(pause, rate, 0.0, max_waiting, longest_wait)
        self.conversation = Conversation(self.pacing)
        self.now = 0.0
        self.accepted: list[Transaction] = []
        self.results: list[Result] = []
        self.current_transaction: Transaction | None = None
        self.last_activity = -1.0
        self.writes: list[float] = []  # of the current or the last transaction, as far as they were not answered
        self.late: Transaction | None = None  # the last one, as long as nothing else may be written
        self.late_until = 0.0
        self.silence = 0.0  # how long the device may take, as far as it has shown that

    def ended(self, results: list[Result]) -> None:
        for result in results:
            transaction = result.transaction
            if not (transaction.attempts and (transaction.response or result.outcome is Outcome.REFUSED)):
                continue
            self.late = transaction
            if result.outcome is Outcome.TIMED_OUT:
                window = max(2 * transaction.timeout, min(self.silence, 20 * transaction.timeout))
                self.late_until = self.writes[-1] + window if not transaction.error else 0.0
            else:
                self.answered(transaction)
                self.late_until = self.writes[-1] + 1.5 * result.seconds if self.writes else 0.0
            self.late = self.late if self.late_until else None
        self.results += results
        if self.current_transaction in [result.transaction for result in results]:
            self.current_transaction = None

    def answered(self, transaction: Transaction) -> None:
        first, *self.writes = self.writes
        if self.now - first > transaction.timeout:
            self.silence = max(self.silence, 2 * (self.now - first))

    def waiting(self) -> list[Transaction]:
        over = [result.transaction for result in self.results]
        return [each for each in self.accepted if each.attempts == 0 and each not in over]

    @rule(
        priority=st.sampled_from(Priority), response=st.booleans(), refusal=st.booleans(), retries=st.integers(0, 2),
        timeout=st.sampled_from([0.125, 1.0, 5.0]),
    )  # fmt: skip
    def submit(self, priority: Priority, response: bool, refusal: bool, retries: int, timeout: float) -> None:
        name = f"x{len(self.accepted)}"
        new = transaction(name, priority, response=response, refusal=refusal, retries=retries, timeout=timeout)
        has_room = sum(each.priority is COMMAND for each in self.waiting()) < self.pacing.max_waiting
        assert self.conversation.submit(new, self.now) is (has_room or priority is not COMMAND)
        has_room |= priority is not COMMAND
        self.accepted += [new] if has_room else []

    @rule(seconds=st.sampled_from([0.0, 0.125, 0.25, 1.0, 3.0]))
    def wait_and_step(self, seconds: float) -> None:
        self.now += seconds
        while self.step_once():
            pass

    @rule()
    def step_when_something_is_due(self) -> None:
        due = self.conversation.due()
        if due is not None:
            self.now = max(self.now, due)
            assert self.step_once(), "it is due, but does nothing"

    def step_once(self) -> bool:
        due, waiting = self.conversation.due(), self.waiting()
        data, results = self.conversation.step(self.now)
        self.ended(results)
        if data:
            written = next(each for each in self.accepted if each.data == data)
            assert self.current_transaction in (None, written)
            assert self.now >= self.last_activity + self.pacing.pause
            assert self.late in (None, written) or self.now >= self.late_until
            self.late = None
            assert written.attempts <= 1 + written.retries
            too_late = [result.transaction for result in results if result.outcome is Outcome.TIMED_OUT]
            others = [each for each in waiting if each not in too_late]
            assert written.attempts > 1 or written is min(others, key=lambda each: each.priority)
            self.writes = [self.now] if written.attempts == 1 else [*self.writes, self.now]
            self.current_transaction = None if written in [result.transaction for result in results] else written
            self.last_activity = self.now
        assert not (data or results) or (due is not None and self.now >= due), "it did something before that was due"
        return bool(data or results)

    @precondition(lambda self: self.current_transaction is not None)
    @rule(form=st.sampled_from([b"%s", b"not %s", b"%s?", b"something else"]))
    def receive_answer(self, form: bytes) -> None:
        assert self.current_transaction is not None
        current = self.current_transaction
        self.last_activity = self.now
        frame = form.replace(b"%s", current.data.upper())
        try:
            result = hear(self.conversation, frame, self.now)
        except CodecError:
            assert form == b"%s?"
            return
        expected = {b"%s": current.response and Outcome.DONE, b"not %s": current.refusal and Outcome.REFUSED}.get(form)
        assert (result and result.outcome) == expected
        self.ended([result] if result else [])

    @precondition(
        lambda self: self.current_transaction is None and self.late is not None and self.now < self.late_until
    )
    @rule(form=st.sampled_from([b"%s", b"not %s"]))
    def receive_late_answer(self, form: bytes) -> None:
        assert self.late is not None
        late = self.late
        result = hear(self.conversation, form.replace(b"%s", late.data.upper()), self.now)
        self.last_activity = self.now
        if (late.response if form == b"%s" else late.refusal) is None:
            assert result is None
            return
        assert result is not None
        assert (result.transaction, result.is_late) == (late, True)
        self.answered(late)
        self.late = late if self.writes else None

    @rule()
    def receive_unsolicited_frame(self) -> None:
        assert hear(self.conversation, b"unsolicited", self.now) is None
        self.last_activity = self.now

    @rule()
    def disconnect(self) -> None:
        self.ended(self.conversation.abort())
        self.late = None
        assert self.conversation.due() is None

    @invariant()
    def each_ends_once_at_most(self) -> None:
        over = [id(result.transaction) for result in self.results]
        assert len(over) == len(set(over))
        assert (self.conversation.due() is None) is (len(over) == len(self.accepted))

    def teardown(self) -> None:
        while (due := self.conversation.due()) is not None:
            self.now = max(self.now, due)
            assert self.step_once()
        assert {id(result.transaction) for result in self.results} == {id(each) for each in self.accepted}


TestAnyConversation = AnyConversation.TestCase
TestAnyConversation.settings = settings(max_examples=250, stateful_step_count=30)
