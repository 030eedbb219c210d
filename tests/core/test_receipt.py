from __future__ import annotations

import threading

import pytest

from gateway.core.receipt import Receipt
from gateway.errors import DeliveryError
from tests.support.waiting import wait_until


def test_a_message_is_accepted_then_delivered() -> None:
    receipt = Receipt()
    assert not receipt.is_accepted
    receipt.mark_accepted()
    receipt.wait_accepted(0)
    assert (receipt.is_accepted, receipt.is_delivered) == (True, False)
    receipt.mark_delivered()
    receipt.wait_delivered(0)
    assert (receipt.is_accepted, receipt.is_delivered, receipt.dropped) == (True, True, "")


def test_a_message_that_is_delivered_before_its_commit_is_safe() -> None:
    receipt = Receipt()
    receipt.mark_delivered()
    receipt.wait_accepted(0)
    assert receipt.is_accepted


def test_a_timeout_says_what_was_waited_for_and_how_long() -> None:
    receipt = Receipt()
    with pytest.raises(DeliveryError, match=r"^the message was not accepted within 0\.01 s$"):
        receipt.wait_accepted(0.01)
    receipt.mark_accepted()
    with pytest.raises(DeliveryError, match=r"^the message was not delivered within 0 s$"):
        receipt.wait_delivered(0)


def test_waiting_for_a_dropped_message_raises_with_the_reason() -> None:
    receipt = Receipt()
    receipt.mark_accepted()
    receipt.mark_dropped("the outbox is full")
    assert (receipt.is_accepted, receipt.is_delivered) == (False, False)
    for wait in (receipt.wait_accepted, receipt.wait_delivered):
        with pytest.raises(DeliveryError, match=r"^the message was dropped: the outbox is full$"):
            wait(None)


@pytest.mark.parametrize("end", ["delivered", "dropped"])
def test_another_thread_may_wait_without_end(end: str) -> None:
    receipt, raised = Receipt(), list[str]()

    def wait() -> None:
        try:
            receipt.wait_accepted()
            receipt.wait_delivered()
        except DeliveryError as err:
            raised.append(str(err))

    thread = threading.Thread(target=wait)
    thread.start()
    receipt.mark_accepted()
    if end == "delivered":
        receipt.mark_delivered()
    else:
        receipt.mark_dropped("why")
    wait_until(lambda: not thread.is_alive())
    assert raised == ([] if end == "delivered" else ["the message was dropped: why"])
