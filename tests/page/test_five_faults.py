"""What docs/page.md promises: the cause of each of five faults is seen after a few clicks.

One gateway has all of them: a wrong terminator, a word that a strict map does not have, a command that a device
refuses, a unit of a bus that is silent, and a broker that denies a topic.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.configuration.yaml_reader import load_yaml
from gateway.page.page import Page
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, mosquitto_or_skip
from tests.support.browser import Browser, Tab
from tests.support.device import PtyDevice
from tests.support.running import RunningGateway
from tests.support.waiting import wait_until
from tests.support.web import LOCAL, TOKEN

_CONF = """
name: gw
map: map.json
mqtt: {port: BROKER}
interfaces:
  boiler:
    type: serial
    port: LINE0
    address: {function: heating, device: boiler}
    decode:
      - {name: temperature, regex: "T (?P<t>.*)", values: {t: float}, message: {action: TEMP, arguments: {c: "{t}"}}}
      - {name: word, regex: "W (?P<word>.*)", message: {action: "{word}"}}
      - {name: denied, regex: "D", message: {function: denied, action: TEMP}}
    encode:
      - {match: {action: HEAT}, write: "H", response: {regex: "OK"}, refusal: {regex: "ERR.*"}}
    devices:
      - {id: boiler, points: {temperature: {from: TEMP.c}, heat: {write: HEAT}}}
  meter:
    type: serial
    port: LINE1
    framing: {terminator: "\\n"}
    decode: [{name: any, regex: "(?P<x>.*)", message: {function: heating, device: meter, action: TEMP}}]
  bus:
    type: serial
    port: LINE2
    address: {function: heating}
    conversation:
      timeout: 0.3
      polls:
        - {write: R1, every: 0.5, response: {regex: "A1 (?P<t>.*)", message: {device: one, action: TEMP}}}
        - {write: R2, every: 0.5, response: {regex: "A2 (?P<t>.*)", message: {device: two, action: TEMP}}}
    devices:
      - {id: one, address: {device: one}, silent_after: 2, points: {t: {from: {TEMP: true}}}}
      - {id: two, address: {device: two}, silent_after: 2, points: {t: {from: {TEMP: true}}}}
"""
_ACL = "topic read #\ntopic write root/gw/#\ntopic write root/+/gw/#\ntopic write root/heating/#\n"
_MAP = {
    "root": "root",
    "topics": ["root/+/+/+/+/+/C"],
    "action": {"maptype": "strict", "map": {"TEMP": ["temp"], "HEAT": ["heat"]}},
}


class Unit:
    """The unit 1 of the bus, which answers."""

    def __init__(self, line: PtyDevice) -> None:
        self._line, self._ended = line, threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.wait(0.02):
            self._line.read_available(0)
            if b"R1" in self._line.received:
                self._line.received = b""
                self._line.write(b"A1 5\n")

    def close(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def faulty(tmp_path: Path, expected_logs: ExpectedLogs) -> Iterator[tuple[str, list[PtyDevice]]]:
    """The address of the page of a gateway with all five faults, and its lines."""
    expected_logs.allow(
        "not in the map", "did not answer", "is offline", "dead letter", "lost the broker", "no frame", ""
    )
    mosquitto_or_skip()
    (tmp_path / "acl").write_text(_ACL)
    (tmp_path / "map.json").write_text(json.dumps(_MAP))
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(tmp_path, f"allow_anonymous true\nacl_file {tmp_path}/acl\n"))
        lines = [stack.enter_context(PtyDevice(tmp_path, f"line{number}")) for number in range(3)]
        text = _CONF.replace("BROKER", str(broker.port))
        for number, line in enumerate(lines):
            text = text.replace(f"LINE{number}", str(line.path))
        (tmp_path / "gw.conf").write_text(text)
        unit = Unit(lines[2])
        stack.callback(unit.close)
        running = stack.enter_context(RunningGateway(tmp_path / "gw.conf"))
        hosts = running.gateway.hosts
        wait_until(lambda: all(host.outlet.is_available for host in hosts.values()), what="the ports to be open")
        made = Page(running.gateway, LOCAL)
        stack.callback(made.close)
        yield made.address, lines


def test_each_of_five_faults_is_found(browser: Browser, faulty: tuple[str, list[PtyDevice]]) -> None:
    address, (boiler, meter, _) = faulty
    with browser.tab(address) as tab:
        tab.wait_text("boiler")
        for _ in range(3):
            boiler.write(b"T 21.5\nW DOOR\n")
            meter.write(b"21.5\r21.6\r")
        # A wrong terminator, and a silent unit: no click.
        tab.wait_text("no frame is complete; it begins with '21.5\\r21.6", 20)
        tab.wait_text("check framing (the terminator?)")
        tab.wait_text("two is offline: nothing heard for 2 s", 20)
        tab.wait_text("check the device, its power and its address")
        # A missing word: two clicks; the same view names the terminator, too.
        tab.wait_text("action: 'DOOR' is not in the map")
        tab.click("nav a", "Unknown")
        tab.wait_text("action: DOOR")
        if '"DOOR": ["door"]' not in tab.text:
            tab.click("details.unknown summary", "DOOR")
        tab.wait_text('"DOOR": ["door"]')
        tab.wait_text('framing: {terminator: "\\r"}')
        assert "workbench" not in tab.find("details.unknown", "no frame ended").text, "it cannot change the framing"
        # A refused command: the device, and the button.
        tab.use_token(TOKEN)
        tab.click("nav a", "Overview")
        tab.click("ul.devices a", "boiler")
        tab.click(".command button", "Do it")
        boiler.read_until(b"H\r\n")
        boiler.write(b"ERR the cover is open\n")
        tab.wait_text("ERR the cover is open")
        # A broker that denies a topic: no click, and two to the message.
        boiler.write(b"D\n")
        tab.click("nav a", "Overview")
        tab.wait_text("the broker refused it: Not authorized", 20)
        tab.wait_text("root/denied")


EDITOR = "return document.getElementById('wb-editor')?.value ?? ''"


def add_word(tab: Tab, word: str) -> None:
    """Bring a word from the view Unknown to the workbench."""
    tab.wait_text(f"action: {word}")
    line = f'"{word}": ["{word.lower()}"]'
    if line not in tab.text:
        tab.click("details.unknown summary", word)
    groups = "[...document.querySelectorAll('details.unknown')]"
    tab.run(f"{groups}.find((each) => each.innerText.includes('{word}')).querySelector('a').click()")
    wait_until(lambda: line in tab.run(EDITOR), what="the word")


def test_a_word_that_the_map_lacks_is_added_at_the_workbench_and_taken_back(
    browser: Browser, faulty: tuple[str, list[PtyDevice]]
) -> None:
    address, (boiler, _, _) = faulty
    with browser.tab(address) as tab:
        tab.use_token(TOKEN)
        tab.wait_text("Forget token")
        for _ in range(3):
            boiler.write(b"W DOOR\nW GATE\n")
        tab.click("ul.problems a", "See it under Unknown")
        add_word(tab, "DOOR")
        tab.click("nav a", "Unknown")
        add_word(tab, "GATE")
        assert tab.run(EDITOR).endswith('\nwords:\n  action:\n    "GATE": ["gate"]\n    "DOOR": ["door"]\n')
        tab.click("button", "Save and use")
        tab.wait_text("Saved, and in use")
        file = boiler.path.parent / "gw.page.yaml"
        page = load_yaml(file.read_text(), "gw.page.yaml", {}).data
        assert page == {"interfaces": {"boiler": {"words": {"action": {"GATE": ["gate"], "DOOR": ["door"]}}}}}
        tab.click("button", "Take back the last save")
        tab.wait_text("Taken back")
        assert not file.exists(), "there was none before"
        assert "words:" not in tab.run(EDITOR)
