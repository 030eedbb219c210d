"""Bytes of which no frame ends: reported once, ten seconds after the first of them."""

from __future__ import annotations

from interfaces.serial_interface.frame_watch import FrameWatch


def test_bytes_without_a_frame_are_reported_once_after_ten_seconds() -> None:
    watch = FrameWatch()
    assert (watch.due(), watch.overdue(50.0)) == (None, None)
    watch.received(b"", 4.0)
    watch.received(b"T 21.5;", 5.0)
    watch.received(b"T 21.6;" * 10, 9.0)
    assert (watch.due(), watch.overdue(14.9)) == (15.0, None)
    assert watch.overdue(15.5) == (77, b"T 21.5;" + b"T 21.6;" * 10, 10.5)
    assert (watch.is_waiting, watch.due(), watch.overdue(30.0)) == (False, None, None)


def test_after_the_first_frame_nothing_is_reported_until_the_port_is_opened_again() -> None:
    watch = FrameWatch()
    watch.received(b"> ", 0.0)
    watch.end()
    assert (watch.is_waiting, watch.overdue(20.0)) == (False, None)
    watch.reset()
    watch.received(b"AB", 30.0)
    assert watch.overdue(40.0) == (2, b"AB", 10.0)
