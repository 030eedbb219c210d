from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from gateway.core.inbox import Wakeup
from gateway.mqtt import send_lock as module
from gateway.mqtt.send_lock import STOOD_STILL, Progress, SendLock

HOUR = 3600.0  # s


class Desk:
    """A turn with what it needs; `sent` holds the threads that have sent, `progress` what comes of it."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.turn = SendLock(self._send, self.wakeup)
        self.sent: list[threading.Thread] = []
        self.progress = [Progress.DONE]

    def _send(self) -> Progress:
        assert self.turn._lock.locked()
        self.sent.append(threading.current_thread())
        return self.progress.pop(0) if len(self.progress) > 1 else self.progress[0]

    def is_woken(self) -> bool:
        """Tell whether the main thread was woken, and let it sleep again."""
        poll = select.poll()
        poll.register(self.wakeup.fileno(), select.POLLIN)
        is_woken = bool(poll.poll(0))
        self.wakeup.clear()
        return is_woken

    def alone(self) -> None:
        """Let the next one come long after the last."""
        self.turn._last_put -= HOUR

    def burst(self, count: int) -> None:
        """Let `count` come one by one, each soon after another."""
        self.turn.ask(may_wait=True)
        self.sent.clear()
        for _ in range(count):
            self.turn.ask(may_wait=True)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(module, "_SOON", 60.0)  # s; whatever this machine calls fast
    desk = Desk()
    yield desk
    desk.wakeup.close()


@pytest.mark.parametrize("may_wait", [False, True])
def test_what_comes_alone_is_sent_at_once_by_who_has_put_it(desk: Desk, may_wait: bool) -> None:
    desk.turn.ask(may_wait=may_wait)
    assert desk.sent == [threading.current_thread()]
    assert not desk.is_woken(), "the main thread may sleep on"
    assert desk.turn.before_wait(HOUR) == HOUR


def test_what_may_wait_waits_for_company_and_the_main_thread_is_told_once(desk: Desk) -> None:
    desk.burst(module._COMPANY)
    assert desk.sent == []
    assert desk.is_woken()
    desk.turn.ask(may_wait=True)
    assert len(desk.sent) == 1
    for _ in range(module._COMPANY):
        desk.turn.ask(may_wait=True)
    assert (len(desk.sent), desk.is_woken()) == (1, False), "it looks after the burst already"


def test_what_may_not_wait_takes_the_others_along(desk: Desk) -> None:
    desk.burst(3)
    desk.turn.ask()
    assert len(desk.sent) == 1


def test_who_finds_the_turn_taken_leaves_it_to_who_has_it(desk: Desk) -> None:
    with desk.turn:
        desk.turn.ask()
        assert desk.sent == []
    assert not desk.is_woken()
    assert desk.turn.before_wait(HOUR) == 0, "the main thread, which had it, is not to fall asleep"
    desk.turn.after_wait()
    assert desk.turn.before_wait(HOUR) == HOUR


def test_what_others_put_meanwhile_is_sent_as_well_but_not_for_ever(desk: Desk) -> None:
    desk.progress = [Progress.MORE, Progress.MORE, Progress.DONE]
    desk.turn.ask()
    assert (len(desk.sent), desk.is_woken()) == (3, False)
    desk.sent.clear()
    desk.progress = [Progress.MORE]
    desk.alone()
    desk.turn.ask()
    assert (len(desk.sent), desk.is_woken()) == (module._FOR_OTHERS, True)


def test_what_is_stuck_is_left_to_the_main_thread(desk: Desk) -> None:
    desk.progress = [Progress.STUCK]
    desk.turn.ask()
    assert (len(desk.sent), desk.is_woken()) == (1, True)


def test_after_a_standstill_only_the_main_thread_does_anything(desk: Desk) -> None:
    desk.turn._last_seen -= STOOD_STILL + 1
    desk.turn.ask()
    assert (desk.sent, desk.is_woken()) == ([], True)
    assert desk.turn.after_wait() > STOOD_STILL
    desk.alone()
    desk.turn.ask()
    assert len(desk.sent) == 1


def test_a_wait_that_was_meant_is_no_standstill(desk: Desk) -> None:
    desk.turn.before_wait(HOUR)
    desk.turn._last_seen -= HOUR
    desk.turn.ask()
    assert len(desk.sent) == 1
    assert -1 < desk.turn.after_wait() < STOOD_STILL


def test_in_a_burst_the_main_thread_waits_on_without_the_turn(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.turn.may_wait_on() == 0
    monkeypatch.setattr(module, "_TICK", 60.0)  # s
    monkeypatch.setattr(module, "_LONGEST_BURST", 60.0)
    desk.burst(1)
    assert desk.turn.before_wait(HOUR) == module._TICK
    assert desk.turn.may_wait_on() == module._TICK
    desk.turn._last_seen -= 61
    assert desk.turn.may_wait_on() == 0, "it has a look at the link all the same"
    desk.turn.after_wait()
    assert desk.turn.may_wait_on() == module._TICK
    desk.alone()
    assert desk.turn.may_wait_on() == 0, "the burst is over"


def test_who_gives_the_turn_back_lets_a_main_thread_that_waits_for_it_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("gateway.mqtt.send_lock.select.select", lambda *args: slept.append(args[3]))
    desk.turn.ask()
    assert slept == []
    is_there = threading.Event()
    send = desk.turn._send

    def send_while_it_waits() -> Progress:
        waiting.start()
        assert is_there.wait(10)
        while not desk.turn._is_wanted:
            pass
        return send()

    def main() -> None:
        is_there.set()
        with desk.turn:
            pass

    waiting = threading.Thread(target=main)
    desk.turn._send = send_while_it_waits
    desk.alone()
    desk.turn.ask()
    waiting.join(10)
    assert slept == [module._HAND_OVER]
    assert not desk.turn._is_wanted


def test_the_end_of_a_burst_is_looked_after_before_the_main_thread_sleeps(desk: Desk) -> None:
    """It may have looked at the outbox before the last message came, and been held up then."""
    desk.burst(1)
    desk.alone()
    assert desk.turn.before_wait(HOUR) == 0
    assert desk.turn.before_wait(HOUR) == HOUR


# --- what was not put


def test_what_nobody_has_put_is_sent_with_the_turn_if_it_is_free(desk: Desk) -> None:
    done: list[bool] = []

    def send() -> Progress:
        done.append(desk.turn._lock.locked())
        return Progress.DONE

    assert desk.turn.send_directly(send)
    with desk.turn:
        assert not desk.turn.send_directly(send)
    desk.turn._is_asked = True  # what others have put goes first
    assert not desk.turn.send_directly(send)
    assert done == [True]
    assert not desk.is_woken()


def test_what_is_to_be_put_after_all_is_not_taken_for_put(desk: Desk) -> None:
    desk.alone()
    assert not desk.turn.send_directly(lambda: None)
    desk.turn.ask(may_wait=True)
    assert desk.sent == [threading.current_thread()], "it comes alone all the same"


def test_what_may_wait_is_put_if_it_comes_soon_after_another(desk: Desk) -> None:
    desk.alone()
    assert desk.turn.send_directly(lambda: Progress.DONE, may_wait=True)
    assert not desk.turn.send_directly(lambda: Progress.DONE, may_wait=True)
    assert desk.turn.send_directly(lambda: Progress.DONE)


def test_what_the_connection_has_not_taken_is_left_to_the_main_thread(desk: Desk) -> None:
    assert desk.turn.send_directly(lambda: Progress.STUCK)
    assert desk.is_woken()


def test_what_others_put_meanwhile_is_sent_too(desk: Desk) -> None:
    def send() -> Progress:
        other = threading.Thread(target=desk.turn.ask)
        other.start()
        other.join()
        return Progress.DONE

    assert desk.turn.send_directly(send)
    assert desk.sent == [threading.current_thread()]


def test_nothing_is_passed_on_after_a_standstill(desk: Desk) -> None:
    desk.turn._last_seen -= STOOD_STILL + 1
    assert not desk.turn.send_directly(lambda: Progress.DONE)
