from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.unanswered import why_unanswered
from gateway.configuration.load_config import load_configuration
from gateway.message import InternalMsg
from tests.cli.test_exit_codes import BOILER
from tests.support.configuration import write_conf

GATEWAY, BOILERS = "home/gw/availability", "home/gw/boiler/availability"
COMMAND = InternalMsg(True, function="heating", location="hall", device="boiler", sender="me", action="HEAT_ON")
ONLINE = {GATEWAY: b"online", BOILERS: b"online"}


def why(
    folder: Path, command: InternalMsg = COMMAND, availability: Mapping[str, bytes] = ONLINE, **options: Any
) -> tuple[str, Path]:
    interfaces = {"boiler": dict(BOILER)}
    conf = write_conf(folder, 1883, **{"interfaces": interfaces, "topics": ["home/heating/+/+/+/+/C"], **options})
    configuration = load_configuration(conf, {})
    topic = configuration.interfaces[0].msg_map.internal2mqtt(command).topic
    return why_unanswered(configuration, configuration.interfaces, command, topic, availability), conf


@pytest.mark.parametrize(
    ("availability", "text"),
    [
        (
            {},
            f"no gateway 'gw' has ever been connected to this broker (nothing is retained on {GATEWAY}): start it with",
        ),
        ({GATEWAY: b"offline", BOILERS: b"online"}, "the gateway 'gw' is offline: start it with 'mqttgateway --conf "),
        (
            {GATEWAY: b"online", BOILERS: b"offline"},
            "the gateway 'gw' is online, but the device of its interface 'boiler' is offline",
        ),
        (ONLINE, "the gateway 'gw' is online, but its interface 'boiler' did not answer. It may have no device"),
        ({GATEWAY: b"online"}, "the gateway 'gw' is online, but its interface 'boiler' did not answer. "),
    ],
)
def test_the_availability_explains_the_missing_answer(
    availability: Mapping[str, bytes], text: str, tmp_path: Path
) -> None:
    assert why(tmp_path, availability=availability)[0].startswith(text)


def test_a_topic_that_no_filter_matches(tmp_path: Path) -> None:
    text, _ = why(tmp_path, COMMAND.replace(function="lighting"))
    assert text == (
        "the gateway 'gw' is online, but does not subscribe to 'home/lighting//hall/boiler/me/C': its map "
        "subscribes to home/heating/+/+/+/+/C (see 'topics')"
    )
    text, _ = why(tmp_path, topics=[])
    assert text.endswith(
        "does not subscribe to 'home/heating//hall/boiler/me/C': its map subscribes to nothing (see 'topics')"
    )


def test_an_unknown_address_is_explained_by_the_known_ones(tmp_path: Path) -> None:
    text, _ = why(tmp_path, COMMAND.replace(location="cellar"))
    assert text == (
        "the gateway 'gw' is online, but has no device with this address; it accepts commands for: function=heating "
        "location=hall device=boiler"
    )
    mute = {name: value for name, value in BOILER.items() if name != "encode"}
    text, _ = why(tmp_path, interfaces={"boiler": mute})
    assert text == "the gateway 'gw' is online, but none of its devices accepts commands"


def test_of_many_devices_the_first_are_listed(tmp_path: Path) -> None:
    many = {f"b{n}": {**BOILER, "port": f"/dev/b{n}", "address": {"location": f"r{n}"}} for n in range(30)}
    text, _ = why(tmp_path, interfaces=many)
    assert text.count("location=") == 10
    assert text.endswith(" and 20 more")


def test_addresses_are_listed_without_their_empty_words(tmp_path: Path) -> None:
    text, _ = why(tmp_path, COMMAND.replace(device="stove"), interfaces={"boiler": {"type": "dummy"}})
    assert text == (
        "the gateway 'gw' is online, but has no device with this address; it accepts commands for: device=lamp "
        "location=office; device=lamp; location=office; a command without device and location"
    )
    any_device = {**BOILER, "address": {}}
    assert "any command" not in why(tmp_path, COMMAND.replace(device="stove"), interfaces={"boiler": any_device})[0]


def test_an_answer_that_the_broker_may_have_refused_is_named(tmp_path: Path) -> None:
    assert why(tmp_path)[0].endswith(
        "'boiler' did not answer. It may have no device with these words, a filter may have dropped the command, the "
        "broker may have rejected the answer (see 'mqttgateway outbox list gw --dead-letters'), or the answer may take "
        "longer (see --wait). Its log says more"
    )
