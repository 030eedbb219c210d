"""Ids of devices: unique in a gateway, whichever interface finds a device first."""

from __future__ import annotations

import threading

from gateway.routing.device_ids import DeviceIds


def test_the_first_interface_has_an_id_until_it_releases_it() -> None:
    ids = DeviceIds()
    assert ids.claim("meter3", "a") == ids.claim("meter3", "a") == ""
    assert "'meter3' is that of a device of the interface a; change the id of the template" in ids.claim("meter3", "b")
    assert ids.is_free("meter3", "a") and not ids.is_free("meter3", "b")
    ids.release("meter3", "b")
    assert ids.claim("meter3", "b")
    ids.release("meter3", "a")
    assert ids.claim("meter3", "b") == ""


def test_what_is_reserved_goes_before_what_was_claimed() -> None:
    ids = DeviceIds()
    assert ids.claim("meter3", "a") == ""
    ids.reserve({"meter3": "a declared device of the interface b", "a": "an interface"})
    assert "a declared device of the interface b" in ids.claim("meter3", "a")
    assert "is that of an interface" in ids.claim("a", "a")
    assert not ids.is_free("meter3", "a") and not ids.is_free("a", "a") and ids.is_free("c", "a")
    ids.reserve({})
    assert ids.claim("meter3", "a") == ""


def test_of_many_threads_one_gets_an_id() -> None:
    ids, winners = DeviceIds(), list[str]()
    begin = threading.Barrier(8)

    def claim(name: str) -> None:
        begin.wait()
        winners.extend(f"{number}" for number in range(200) if not ids.claim(f"d{number}", name))

    threads = [threading.Thread(target=claim, args=(f"i{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == sorted(str(number) for number in range(200))
