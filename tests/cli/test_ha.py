"""`mqttgateway ha`: what is announced, as it will be sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli.main import main
from tests.configuration.test_load_entities import DEVICES, HEAD


def printed(text: str) -> dict[str, dict[str, object]]:
    """Return the documents by topic in what was printed."""
    documents = {}
    for part in text.strip().split("\n\n"):
        topic, _, document = part.partition("\n")
        documents[topic] = json.loads(document)
    return documents


@pytest.mark.parametrize("section", ["", "home_assistant: true\n", "home_assistant: {form: components}\n"])
def test_what_is_announced_is_printed_with_and_without_the_option(
    section: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "gw.conf"
    conf.write_text(HEAD + section + DEVICES)
    assert main(["ha", "--conf", str(conf)]) == 0
    documents = printed(capsys.readouterr().out)
    topics = list(documents)
    if "components" in section:
        assert topics[0] == "homeassistant/binary_sensor/gw/-gateway_link/config"
        assert "homeassistant/sensor/gw/boiler_temperature/config" in topics
    else:
        assert topics == ["homeassistant/device/gw/-gateway/config", "homeassistant/device/gw/boiler/config"]
        assert documents[topics[1]]["device"]


def test_the_documents_of_a_template_are_printed_with_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "gw.conf"
    conf.write_text(HEAD + DEVICES.replace("id: boiler", 'id: "{device}"').replace(", device: boiler}", "}"))
    assert main(["ha", "--conf", str(conf)]) == 0
    assert "homeassistant/device/gw/{device}/config" in printed(capsys.readouterr().out)
