from __future__ import annotations

from gateway.outbox.retained import RetainedPayloads


def test_the_last_payload_of_each_topic_is_remembered_until_it_is_emptied() -> None:
    retained = RetainedPayloads()
    for topic, payload in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", b""), ("never there", b"")):
        assert retained.put(topic, payload)
    assert retained.payloads == {"a": b"3"}


def test_payloads_are_remembered_as_far_as_their_bytes_go() -> None:
    retained = RetainedPayloads(max_bytes=1000)
    assert all(retained.put(topic, bytes(300)) for topic in "abc")
    assert not retained.put("d", bytes(300))
    assert sorted(retained.payloads) == ["a", "b", "c"]
    assert retained.put("a", b"")
    assert retained.put("d", bytes(300))
    assert sorted(retained.payloads) == ["b", "c", "d"]
    assert not retained.put("d", bytes(900))
    assert sorted(retained.payloads) == ["b", "c"], "the older payload must not be published again either"
    assert retained.put("a", bytes(300))


def test_topics_are_remembered_as_far_as_their_number_goes() -> None:
    retained = RetainedPayloads(max_topics=2)
    assert [retained.put(topic, b"1") for topic in "abc"] == [True, True, False]
    assert retained.put("b", b"2")
    assert retained.payloads == {"a": b"1", "b": b"2"}


def test_restored_payloads_count_for_the_limit() -> None:
    retained = RetainedPayloads(max_bytes=100)
    retained.restore({"a": bytes(60)})
    assert not retained.put("b", bytes(60))
    assert retained.put("b", bytes(30))


def test_what_another_part_publishes_is_not_republished() -> None:
    retained = RetainedPayloads()
    retained.put("a", b"1")
    retained.put("b", b"2")
    retained.mark_published_elsewhere("a", is_published=True)
    assert list(retained.to_republish()) == [("b", b"2")]
