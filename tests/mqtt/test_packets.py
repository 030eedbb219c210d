from __future__ import annotations

import pytest

from gateway.mqtt.packets import publish_packet


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"qos": 0}, "30 05 00 01 74 61 62"),
        ({"qos": 1, "mid": 258}, "32 07 00 01 74 01 02 61 62"),
        ({"qos": 1, "mid": 258, "dup": True, "retain": True}, "3b 07 00 01 74 01 02 61 62"),
        ({"qos": 0, "retain": True, "properties": b"\0"}, "31 06 00 01 74 00 61 62"),
        ({"qos": 0, "payload": bytes(124)}, "30 7f 00 01 74" + " 00" * 124),
        ({"qos": 0, "payload": bytes(125)}, "30 80 01 00 01 74" + " 00" * 125),
    ],
)
def test_packets_are_those_of_the_standard(options: dict[str, object], data: str) -> None:
    given = {"payload": b"ab", "mid": 0, "properties": b"", **options}
    assert publish_packet("t", **given).hex(" ") == data  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["", "+", "a/#", "x" * 65_536])
def test_a_topic_on_which_nothing_can_be_published_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="wildcards"):
        publish_packet(topic, b"", 0, 0, b"")


def test_any_number_of_topics_may_come() -> None:
    for number in range(10_000):
        assert publish_packet(f"t/{number}", b"", 0, 0, b"").endswith(b"t/%d" % number)
