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

OWN, BOILERS = "home/gw/availability", "home/gw/boiler/availability"
COMMAND = InternalMsg(True, function="heating", location="hall", device="boiler", sender="me", action="HEAT_ON")
ONLINE = {OWN: b"online", BOILERS: b"online"}


def why(
    folder: Path, command: InternalMsg = COMMAND, there: Mapping[str, bytes] = ONLINE, **options: Any
) -> tuple[str, Path]:
    interfaces = {"boiler": dict(BOILER)}
    conf = write_conf(folder, 1883, **{"interfaces": interfaces, "topics": ["home/heating/+/+/+/+/C"], **options})
    configuration = load_configuration(conf, {})
    topic = configuration.interfaces[0].msg_map.internal2mqtt(command).topic
    return why_unanswered(configuration, configuration.interfaces, command, topic, there), conf


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({}, f"no gateway 'gw' has ever been connected to this broker (there is nothing on {OWN}): start it with"),
        ({OWN: b"offline", BOILERS: b"online"}, "the gateway 'gw' is offline: start it with 'mqttgateway --conf "),
        ({OWN: b"online", BOILERS: b"offline"}, "the gateway 'gw' is online, and the device of 'boiler' is offline"),
        (ONLINE, "the gateway 'gw' is online, and 'boiler' has not answered: no device of it may have these words"),
        ({OWN: b"online"}, "the gateway 'gw' is online, and 'boiler' has not answered: "),
    ],
)
def test_what_the_gateway_says_of_itself_is_told(there: Mapping[str, bytes], said: str, tmp_path: Path) -> None:
    assert why(tmp_path, there=there)[0].startswith(said)


def test_a_topic_that_no_filter_matches(tmp_path: Path) -> None:
    said, _ = why(tmp_path, COMMAND.replace(function="lighting"))
    assert said == (
        "the gateway 'gw' is online, and does not listen to 'home/lighting//hall/boiler/me/C': it knows "
        "home/heating/+/+/+/+/C"
    )
    said, _ = why(tmp_path, topics=[])
    assert said.endswith("does not listen to 'home/heating//hall/boiler/me/C': it takes no commands")


def test_a_device_that_is_not_known(tmp_path: Path) -> None:
    said, _ = why(tmp_path, COMMAND.replace(location="cellar"))
    assert said == (
        "the gateway 'gw' is online, and knows no such device: it knows function=heating location=hall device=boiler"
    )
    mute = {name: value for name, value in BOILER.items() if name != "encode"}
    said, _ = why(tmp_path, interfaces={"boiler": mute})
    assert said == "the gateway 'gw' is online, and knows no such device: it takes no commands"


def test_of_many_devices_the_first_are_listed(tmp_path: Path) -> None:
    many = {f"b{n}": {**BOILER, "port": f"/dev/b{n}", "address": {"location": f"r{n}"}} for n in range(30)}
    said, _ = why(tmp_path, interfaces=many)
    assert said.count("location=") == 10
    assert said.endswith(" and 20 more")


def test_addresses_are_listed_without_their_empty_words(tmp_path: Path) -> None:
    said, _ = why(tmp_path, COMMAND.replace(device="stove"), interfaces={"boiler": {"type": "dummy"}})
    assert said == (
        "the gateway 'gw' is online, and knows no such device: it knows device=lamp location=office; device=lamp; "
        "location=office; a command without device and location"
    )
    any_device = {**BOILER, "address": {}}
    assert "any command" not in why(tmp_path, COMMAND.replace(device="stove"), interfaces={"boiler": any_device})[0]


def test_an_answer_that_the_broker_may_have_refused_is_named(tmp_path: Path) -> None:
    assert why(tmp_path)[0].endswith(
        "'boiler' has not answered: no device of it may have these words, a filter may have dropped the command, the "
        "broker may have refused the answer (see 'mqttgateway outbox list gw --set-aside'), or it takes longer "
        "(--wait): see its log"
    )
