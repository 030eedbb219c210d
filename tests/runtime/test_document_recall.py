"""What an earlier run has left at the broker: documents wait until it is known."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from gateway.runtime.document_recall import DocumentRecall
from tests.conftest import ExpectedLogs

DOCUMENT = b'{"temperature":21.5,"_status":"online","_quality":{},"_time":{}}'


def test_documents_wait_until_the_recall_has_ended() -> None:
    published: list[tuple[str, bytes]] = []
    recall = DocumentRecall(lambda topic, payload: published.append((topic, payload)))
    request = recall.request("gw/+/state")
    recall.publish("gw/a/state", b"1")
    recall.publish("gw/a/state", b"2")
    request.on_retained("gw/a/state", DOCUMENT)
    due = [recall.is_due]
    assert published == []
    request.on_end()
    assert [*due, recall.is_due] == [False, True]

    def restore(retained: Mapping[str, bytes]) -> list[str]:
        recall.publish("gw/a/state", b"3")
        return list(retained)

    assert recall.finish(restore) == []
    assert published == [("gw/a/state", b"3")], "only the latest one, with what was restored"
    recall.publish("gw/a/state", b"4")
    assert published[-1] == ("gw/a/state", b"4")


def test_where_nothing_is_asked_for_nothing_waits() -> None:
    published: list[str] = []
    recall = DocumentRecall(lambda topic, _payload: published.append(topic))
    recall.request()
    recall.publish("gw/a/state", b"1")
    assert published == ["gw/a/state"]


def test_what_was_cleared_meanwhile_is_not_recalled() -> None:
    """The file tells that a device is gone. A template could make one with its id: `m{unit}` could be `meter2`."""
    published: list[tuple[str, bytes]] = []
    recall = DocumentRecall(lambda topic, payload: published.append((topic, payload)))
    request = recall.request("gw/+/state")
    recall.publish("gw/meter2/state", b"")
    request.on_retained("gw/meter2/state", DOCUMENT)
    request.on_retained("gw/a/state", DOCUMENT)
    request.on_end()
    asked: list[str] = []

    def restore(retained: Mapping[str, bytes]) -> list[str]:
        asked.extend(retained)
        return asked

    assert recall.finish(restore) == [] and asked == ["gw/a/state"]
    assert published == [("gw/meter2/state", b"")]


def test_documents_of_devices_that_are_gone_are_named_and_nothing_else() -> None:
    recall = DocumentRecall(lambda _topic, _payload: None)
    request = recall.request("gw/+/state")
    for topic, payload in {
        "gw/a/state": DOCUMENT,
        "gw/b/state": DOCUMENT,
        "gw/c/state": b"on",
        "gw/d/state": b"[]",
    }.items():
        request.on_retained(topic, payload)
    assert recall.finish(lambda _: ["gw/a/state"]) == ["gw/b/state"]
    assert recall.finish(lambda _: []) == [], "only once"


def test_a_topic_that_is_cleared_meanwhile_stays_clear() -> None:
    published: list[tuple[str, bytes]] = []
    recall = DocumentRecall(lambda topic, payload: published.append((topic, payload)))
    request = recall.request("gw/+/state")
    recall.publish("gw/a/state", b"1")
    recall.publish("gw/b/state", b"2")
    recall.publish("gw/a/state", b"")
    assert published == [("gw/a/state", b"")], "a clear need not wait"
    request.on_end()
    recall.finish(lambda _: [])
    assert published[1:] == [("gw/b/state", b"2")]


def test_a_newer_document_is_not_published_before_the_one_that_was_held_back() -> None:
    published: list[bytes] = []
    threads: list[threading.Thread] = []

    def publish(topic: str, payload: bytes) -> None:
        if payload == b"held":
            threads.append(threading.Thread(target=lambda: recall.publish(topic, b"newer")))
            threads[0].start()
            threads[0].join(0.2)  # it has to wait
        published.append(payload)

    recall = DocumentRecall(publish)
    recall.request("gw/+/state").on_end()
    recall.publish("gw/a/state", b"held")
    recall.finish(lambda _: [])
    threads[0].join(10)
    assert published == [b"held", b"newer"]


def test_what_the_broker_retains_is_bounded(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the broker retains too many documents of devices")
    recall = DocumentRecall(lambda _topic, _payload: None, max_topics=2, max_bytes=1000)
    request = recall.request("gw/+/state")
    for device in "abcd":
        request.on_retained(f"gw/{device}/state", DOCUMENT)
    request.on_retained("gw/a/state", DOCUMENT + b" " * 1000)
    request.on_end()
    assert recall.finish(lambda _: []) == ["gw/b/state"]


def test_what_is_never_published_is_not_restored_from_the_broker() -> None:
    recall = DocumentRecall(lambda _topic, _payload: None)
    request = recall.request("gw/+/state")
    pauses = b"[1" + b"0" * 400 + b",1e308]"
    request.on_retained(
        "gw/a/state", DOCUMENT[:-1] + b',"_p\\u0061uses":' + pauses + b',"_where":{"u":1},"_points":{}}'
    )
    restored: dict[str, bytes] = {}

    def restore(retained: Mapping[str, bytes]) -> list[str]:
        restored.update(retained)
        return list(retained)

    assert recall.finish(restore) == []
    assert restored == {"gw/a/state": DOCUMENT}
