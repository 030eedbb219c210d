from __future__ import annotations

import gc
import json
import os
import select
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.inbox import LONGEST_WAIT, MAX_MESSAGES, ByteBudget, MsgList, Wakeup, memory_size
from gateway.message import InternalMsg


@pytest.fixture(params=["eventfd", "pipe"])
def kind_of_wakeup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to wake: Linux has eventfd, other systems have pipes."""
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd")


@pytest.fixture
def msglist(kind_of_wakeup: None) -> Iterator[MsgList]:
    made = MsgList(limit=10)
    yield made
    made.close()


def is_readable(thing: MsgList | Wakeup) -> bool:
    return bool(select.select([thing.fileno()], [], [], 0)[0])


def message(number: int) -> InternalMsg:
    return InternalMsg(action=str(number))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- Wakeup


@pytest.mark.usefixtures("kind_of_wakeup")
def test_a_wakeup_is_readable_from_set_to_clear() -> None:
    wakeup = Wakeup()
    assert not is_readable(wakeup)
    wakeup.clear()  # of what is not set
    for _ in range(3):
        wakeup.set()
        wakeup.set()
        assert is_readable(wakeup)
        wakeup.clear()
        assert not is_readable(wakeup)
    wakeup.close()


@pytest.mark.usefixtures("kind_of_wakeup")
def test_a_wakeup_closes_its_descriptors_and_may_be_set_and_closed_again() -> None:
    before = open_descriptors()
    wakeup = Wakeup()
    wakeup.close()
    wakeup.set()
    wakeup.clear()
    wakeup.set()
    wakeup.close()
    assert open_descriptors() == before


# --- MsgList


def test_messages_come_out_in_the_order_they_went_in(msglist: MsgList) -> None:
    for number in range(3):
        assert msglist.push(message(number))
    assert len(msglist) == 3
    assert [msglist.pull(), msglist.pull(), msglist.pull(), msglist.pull()] == [*map(message, range(3)), None]


def test_a_full_inbox_rejects_messages_and_keeps_its_own(msglist: MsgList) -> None:
    assert all(msglist.push(message(number)) for number in range(10))
    assert not msglist.push(message(10))
    assert len(msglist) == msglist.limit == 10
    assert msglist.pull() == message(0)
    assert msglist.push(message(11))


def test_the_limit_is_bounded_by_default() -> None:
    msglist = MsgList()
    assert msglist.limit == MAX_MESSAGES
    msglist.close()


def test_a_pull_that_waits_returns_what_another_thread_pushes(msglist: MsgList) -> None:
    pulled: list[InternalMsg | None] = []
    thread = threading.Thread(target=lambda: pulled.append(msglist.pull(block=True, timeout=10)))
    thread.start()
    msglist.push(message(1))
    thread.join(10)
    assert pulled == [message(1)]


def test_a_pull_that_waits_ends_with_its_timeout_or_when_woken(msglist: MsgList) -> None:
    assert msglist.pull(block=True, timeout=0) is None
    assert msglist.pull(block=True, timeout=-1) is None
    pulled: list[InternalMsg | None] = []
    thread = threading.Thread(target=lambda: pulled.append(msglist.pull(block=True)))
    thread.start()
    msglist.wake()
    thread.join(10)
    assert pulled == [None]
    assert not is_readable(msglist), "one wake ends one wait"


def test_a_wake_before_the_wait_counts_and_hides_no_message(msglist: MsgList) -> None:
    msglist.wake()
    msglist.wait(10)
    msglist.wake()
    msglist.push(message(1))
    assert msglist.pull(block=True, timeout=10) == message(1)


def test_a_push_while_the_flag_comes_down_is_not_missed(msglist: MsgList, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.read

    def read_and_lose_the_race(fd: int, count: int) -> bytes:
        monkeypatch.setattr(os, "read", read)
        data = read(fd, count)
        msglist.push(message(2))  # another thread's, between the two halves of Wakeup.clear
        return data

    msglist.push(message(1))
    monkeypatch.setattr(os, "read", read_and_lose_the_race)
    assert msglist.pull() == message(1)
    assert is_readable(msglist)
    assert msglist.pull() == message(2)
    msglist.wake()
    monkeypatch.setattr(os, "read", read_and_lose_the_race)
    msglist.wait(0)
    assert is_readable(msglist)


def test_a_closed_inbox_is_empty_and_ignores_late_messages(msglist: MsgList) -> None:
    before = open_descriptors()
    other = MsgList()
    other.push(message(1))
    other.close()
    assert len(other) == 0
    other.push(message(2))
    other.wake()
    other.close()
    assert open_descriptors() == before


steps = st.lists(st.sampled_from(["push", "pull", "wake", "wait"]), max_size=40)


@given(steps)
def test_it_is_a_bounded_queue_and_readable_while_there_are_messages(done: list[str]) -> None:
    msglist, model, woken = MsgList(limit=5), list[InternalMsg](), False
    for number, step in enumerate(done):
        if step == "push":
            assert msglist.push(message(number)) == (len(model) < 5)
            model = [*model, message(number)][:5]
        elif step == "pull":
            had_messages = bool(model)
            assert msglist.pull() == (model.pop(0) if model else None)
            woken = woken and bool(model or not had_messages)  # the last message takes the flag down with it
        elif step == "wake":
            msglist.wake()
            woken = True
        else:
            msglist.wait(0)
            woken = woken and bool(model)
        assert len(msglist) == len(model)
        assert is_readable(msglist) == (bool(model) or woken)
    msglist.close()


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.usefixtures("kind_of_wakeup")
def test_between_two_threads_nothing_is_lost_and_no_wakeup_is_missed(limit: int) -> None:
    msglist, count = MsgList(limit), 20_000
    pulled: list[InternalMsg | None] = []
    room = threading.Semaphore(limit)

    def pull_all() -> None:
        while len(pulled) < count:
            began = time.monotonic()
            msg = msglist.pull(block=True, timeout=20)
            if msg is None and time.monotonic() - began < 20:  # woken late, for one that it has pulled already
                continue
            pulled.append(msg)
            room.release()

    thread = threading.Thread(target=pull_all)
    thread.start()
    for number in range(count):
        room.acquire()
        assert msglist.push(message(number))
    thread.join(30)
    msglist.close()
    assert None not in pulled, "it waited although there were messages"
    assert pulled == [message(number) for number in range(count)]


def test_pushes_of_several_threads_all_arrive_each_in_its_order() -> None:
    msglist, count = MsgList(), 2000
    threads = [
        threading.Thread(
            target=lambda name=name: [msglist.push(InternalMsg(device=name, action=str(n))) for n in range(count)]
        )
        for name in "abc"
    ]
    for thread in threads:
        thread.start()
    pulled = [msglist.pull(block=True, timeout=10) for _ in range(3 * count)]
    for thread in threads:
        thread.join()
    for name in "abc":
        assert [msg.action for msg in pulled if msg is not None and msg.device == name] == [
            str(n) for n in range(count)
        ]
    msglist.close()


def test_a_command_that_waited_too_long_is_not_returned() -> None:
    now = [0.0]
    inbox = MsgList(clock=lambda: now[0])
    stale: list[InternalMsg] = []
    inbox.on_stale = stale.append
    late, status, recent = (InternalMsg(iscmd=is_command, action=name) for name, is_command in
                           (("OPEN", True), ("STATE", False), ("CLOSE", True)))  # fmt: skip
    inbox.push(late)
    inbox.push(status)
    now[0] = LONGEST_WAIT + 0.1
    inbox.push(recent)
    assert [inbox.pull(), inbox.pull(), inbox.pull()] == [status, recent, None]
    assert stale == [late]
    inbox.close()
    assert not inbox.push(recent)


def test_a_command_with_a_lifetime_of_its_own_waits_no_longer_than_that() -> None:
    now = [0.0]
    inbox = MsgList(clock=lambda: now[0])
    stale: list[InternalMsg] = []
    inbox.on_stale = stale.append
    short, long, status = (InternalMsg(iscmd=name != "STATE", action=name) for name in ("OPEN", "CLOSE", "STATE"))
    inbox.push(short, 3.0)
    inbox.push(long, 1e9)
    inbox.push(status, 3.0)
    now[0] = 3.1
    assert [inbox.pull(), inbox.pull(), inbox.pull()] == [long, status, None]
    assert stale == [short]
    inbox.push(long, 1e9)
    now[0] += LONGEST_WAIT + 0.1
    assert inbox.pull() is None
    inbox.close()


# --- bytes


def test_the_waiting_messages_are_limited_in_bytes() -> None:
    inbox = MsgList(max_bytes=1_000_000)
    taken = 0
    while inbox.push(message(taken), size=100_000):
        taken += 1
    assert taken == 10
    assert inbox.rejection_reason() == "10 messages are already waiting, which use 1.0 MiB"
    inbox.pull()
    assert inbox.push(message(taken), size=100_000)
    inbox.close()
    assert inbox.bytes == 0


def test_the_memory_of_all_inboxes_is_limited_and_each_has_its_guaranteed_part() -> None:
    budget = ByteBudget(limit=2_000_000)
    greedy, modest = MsgList(budget=budget), MsgList(budget=budget)
    while greedy.push(message(1), size=100_000):
        pass
    assert len(greedy) == 20
    assert greedy.rejection_reason() == "20 messages are already waiting, and those for all interfaces use 1.9 MiB"
    assert modest.push(message(1), size=10_000)
    assert not modest.push(message(1), size=100_000)
    assert modest.pull() == message(1)
    assert greedy.pop_all() == [message(1)] * 20
    assert budget.used == 0
    assert modest.push(message(1), size=100_000)
    modest.close()
    greedy.close()
    assert budget.used == 0


WIDE = "x" * 100_000 + "\N{GRINNING FACE}"
VALUES = ("[1]", "[[]" + ",[]" * 20_000 + "]", json.dumps({f"k{n}": {} for n in range(5000)}),
          json.dumps({"text": "x" * 100_000}), json.dumps({"text": WIDE}), json.dumps({"value": WIDE}),
          json.dumps([0.5 + n for n in range(20_000)]))  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_the_bytes_that_a_payload_will_hold_are_not_put_too_low(text: str) -> None:
    payload = json.dumps({"action": "A", "value": json.loads(text)}, ensure_ascii="text" not in text).encode()
    json.loads(payload)
    gc.collect()
    tracemalloc.start()
    try:
        kept = json.loads(payload)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept["action"] == "A"
    assert held <= memory_size(payload) <= 3000 + 12 * held


# --- for the supervisor of the interface


def test_another_thread_can_remove_stale_commands_without_the_others() -> None:
    now = [0.0]
    inbox = MsgList(clock=lambda: now[0])
    for name in ("OPEN", "STATE", "CLOSE"):
        inbox.push(InternalMsg(iscmd=name != "STATE", action=name), 3.0 if name == "OPEN" else 1e9)
    now[0] = 3.1
    assert inbox.stalled_for() == 3.1
    assert [msg.action for msg in inbox.pop_stale()] == ["OPEN"]
    assert [inbox.pull(), inbox.pull(), inbox.pull()] == [
        InternalMsg(action="STATE"), InternalMsg(iscmd=True, action="CLOSE"), None]  # fmt: skip
    assert inbox.stalled_for() == 0.0
    assert inbox.bytes == 0
    inbox.close()


def test_an_inbox_that_accepts_no_more_still_returns_its_messages() -> None:
    inbox = MsgList()
    inbox.push(message(1))
    inbox.stop_accepting()
    assert not inbox.push(message(2))
    assert inbox.rejection_reason() == "it is stopping"
    assert inbox.pull() == message(1)
    inbox.close()


def test_the_counts_of_an_inbox() -> None:
    now = [100.0]
    inbox = MsgList(clock=lambda: now[0])
    assert set(inbox.stats().values()) == {0}
    for _ in range(3):
        inbox.push(InternalMsg(True, action="ON"), size=1000)
    inbox.pull()
    assert inbox.stats() == {
        "waiting": 2, "waiting_bytes": 2000, "pulled": 1, "stale_commands": 0, "open_commands": 1,
    }  # fmt: skip
    now[0] += LONGEST_WAIT + 1
    assert len(inbox.pop_stale()) == 2
    assert (inbox.stats()["stale_commands"], inbox.stats()["waiting"]) == (2, 0)
    inbox.close()
