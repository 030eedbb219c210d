from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from gateway.control.protocol import Answer, ControlError
from gateway.errors import GatewayError
from gateway.page.source import Source
from tests.support.broker import Mosquitto
from tests.support.house import House
from tests.support.waiting import wait_until


@pytest.fixture
def house(tmp_path: Path, mosquitto: Mosquitto) -> House:
    return House(tmp_path, mosquitto)


def test_the_main_thread_is_asked(house: House) -> None:
    threads: list[str] = []

    def request(answer: Answer) -> None:
        threads.append(threading.current_thread().name)
        answer({"done": True})

    with house:
        source = Source(house.running.gateway)
        assert source.ask(request) == {"done": True}
        assert threads == ["main of the gateway"]
        with pytest.raises(ControlError, match="not now"):
            source.ask(lambda answer: answer.refuse("not now"))


def test_who_waits_for_an_answer_is_let_go_when_the_page_ends(house: House) -> None:
    """The main thread would give the answer, and waits for the page to end."""
    with house:
        source = Source(house.running.gateway)
        asked: list[Answer] = []
        reasons: list[str] = []

        def ask() -> None:
            try:
                source.ask(asked.append)
            except ControlError as err:
                reasons.append(str(err))

        thread = threading.Thread(target=ask)
        thread.start()
        wait_until(lambda: asked)
        began = time.monotonic()
        source.close()
        thread.join(5)
        assert time.monotonic() - began < 2
        assert reasons == ["the page ends: what you have asked for may be done or not: see the log"]
        asked[0]({})  # too late, and harmless


def test_what_the_main_thread_has_not_begun_in_time_is_never_done(house: House) -> None:
    """It was done as soon as the main thread went on, when whoever was told that it hangs had sent it again."""
    done: list[str] = []
    go_on = threading.Event()

    def hang(answer: Answer) -> None:
        go_on.wait(10)
        answer({})

    with house:
        source = Source(house.running.gateway, longest_answer=0.2)
        with pytest.raises(
            ControlError, match=r"no answer within 0.2 s, and what you have asked for may be done or not"
        ):
            source.ask(hang)
        with pytest.raises(ControlError, match=r"no answer within 0.2 s, and nothing was done: the gateway is busy"):
            source.ask(lambda _: done.append("late"))
        go_on.set()
        Source(house.running.gateway).ask(lambda answer: answer({}))  # what comes later is done after it
        assert done == []


def test_an_error_in_what_is_asked_for_is_the_answer(house: House) -> None:
    def request(_: Answer) -> None:
        raise GatewayError("there is no such interface")

    with house, pytest.raises(ControlError, match="there is no such interface"):
        Source(house.running.gateway).ask(request)


def test_many_who_ask_at_once_get_the_same_health(house: House) -> None:
    with house:
        source = Source(house.running.gateway)
        assert source.health() is source.health()
