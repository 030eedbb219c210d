from __future__ import annotations

import json
import os
import pty
import threading
import time
import tty
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.start_gateway import Gateway
from gateway.workbench.trial import LONGEST_LOAD
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto, free_port
from tests.support.waiting import wait_until

TOKEN = "0123456789abcdef-token"
CONF = """\
map: {{root: home, topics: [home/#], argkey: {{maptype: loose, map: {{t: [temperature]}}}}}}
mqtt: {{port: {broker}, username: u, password: "{password}"}}
web: {{listen: "127.0.0.1:{port}", token: {token}}}
interfaces:
  stove:
    type: serial
    port: {device}
    # What it says
    decode:
      - name: t
        regex: 'T (?P<t>[0-9]+)'
        message: {{action: TEMP, arguments: {{t: "{{t}}"}}}}
    encode:
      - {{match: {{action: OPEN}}, write: "O#"}}
  clock: {{type: dummy}}
  lock:
    type: serial
    port: {other}
    encode:
      - {{match: {{action: UNLOCK}}, write: "${{WB_CODE}}#"}}
"""
NEW = "decode:\n  - {name: h, regex: 'H (?P<h>.*)', message: {action: HUM, arguments: {h: '{h}'}}}\n"
PASSWORD = "broker-password-1"
_HUNDRED = ",".join(map(str, range(100)))
COSTLY = f"decode: [{{for: {{a: [{_HUNDRED}], b: [{_HUNDRED}]}}, regex: '{{a}}-{{b}}', message: {{action: A}}}}]"
"""Ten thousand rules, which are checked for seconds."""


class Served:
    """A gateway in a thread, its page, and the device at the other end of a line."""

    def __init__(self, folder: Path, broker: int) -> None:
        (self.device, line), (other, other_line) = pty.openpty(), pty.openpty()
        tty.setraw(line)
        self._descriptors = (self.device, line, other, other_line)
        self.port = free_port()
        self.conf = folder / "gw.conf"
        self.page = folder / "gw.page.yaml"
        text = CONF.format(
            broker=broker,
            port=self.port,
            token=TOKEN,
            device=os.ttyname(line),
            other=os.ttyname(other_line),
            password=PASSWORD,
        )
        self.conf.write_text(text)
        self.gateway = Gateway(self._load(), self._load)
        self._thread = threading.Thread(target=self.gateway.run, name="main of the gateway")

    def _load(self) -> Any:
        return load_configuration(self.conf, os.environ)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(self._is_there, what="the page")
        wait_until(lambda: self.gateway.client.is_subscribed, what="the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for descriptor in self._descriptors:
            os.close(descriptor)

    def end(self) -> None:
        self.gateway.stop()
        self._thread.join(10)

    def _is_there(self) -> bool:
        try:
            return self.ask("session")[0] == 200
        except OSError:
            return False

    def ask(self, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/api/{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as err:
            return err.code, json.load(err)

    def open(self, interface: str = "stove") -> dict[str, Any]:
        status, answer = self.ask(f"workbench?interface={interface}")
        assert status == 200, answer
        return dict(answer)

    def change(self, what: str, **more: Any) -> tuple[int, Any]:
        body = {"interface": "stove", "edition": self.open()["edition"], **more}
        return self.ask(f"workbench/{what}", body, TOKEN)

    @property
    def actions(self) -> list[str]:
        """The actions of the rules that are in use."""
        return [rule["message"]["action"] for rule in self.gateway.configuration.interfaces[0].params["decode"]]


@pytest.fixture
def served(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch, expected_logs: ExpectedLogs
) -> Iterator[Served]:
    monkeypatch.setenv("WB_CODE", "4711-0815")
    expected_logs.allow("contains a secret")
    with Served(tmp_path, mosquitto.port) as each:
        yield each


def test_the_text_of_an_interface_and_nothing_secret(served: Served) -> None:
    answer = served.open()
    assert answer["interfaces"] == ["stove", "clock", "lock"]
    assert answer["text"].startswith("# What it says\ndecode:\n  - name: t\n")
    assert (answer["from_page"], answer["is_undoable"], answer["is_editable"]) == ([], False, True)
    assert answer["place"] == ["interfaces", "stove"]
    other = served.open("lock")
    assert '"${WB_CODE}#"' in other["text"]
    whole = json.dumps([answer, other])
    assert "4711-0815" not in whole
    assert PASSWORD not in whole
    assert TOKEN not in whole
    assert served.open("clock")["note"].startswith("This type of interface is code and has no rules")
    status, answer = served.ask("workbench?interface=nope")
    assert (status, "there is no interface 'nope'" in answer["error"]) == (404, True)


def test_frames_are_tried_without_a_token(served: Served) -> None:
    body = {"interface": "stove", "text": NEW, "frames": ["H 50\\r\\n", "T 1", "\\q"], "commands": ["OPEN"]}
    status, answer = served.ask("workbench/try", body)
    assert (status, answer["findings"]) == (200, [])
    taken, dropped, wrong, command = (result["lines"] for result in answer["results"])
    assert next(line for line in taken if "topic" in line)["payload"] == '{"action": "HUM", "h": "50"}'
    assert any(line["is_problem"] for line in dropped)
    assert "frame 3: " in wrong[0]["text"]
    assert command[0]["text"].startswith("writes 'O#")
    assert served.actions == ["TEMP"]
    status, answer = served.ask("workbench/try", {**body, "notation": "hex", "frames": ["48 20 35"], "text": NEW})
    assert '"h": "5"' in json.dumps(answer["results"][0]).replace('\\"', '"')


def test_rules_with_variables_are_tried_with_the_token_and_without_their_values(served: Served) -> None:
    body = {"interface": "lock", "text": served.open("lock")["text"], "commands": ["UNLOCK"]}
    status, answer = served.ask("workbench/try", body)
    assert (status, "enter the token of the page" in answer["error"]) == (401, True)
    status, answer = served.ask("workbench/try", body, TOKEN)
    assert status == 200
    assert answer["results"][0]["lines"][0]["text"].startswith("writes '***#")
    assert "4711" not in json.dumps(answer)


@pytest.mark.parametrize("guess", [PASSWORD, TOKEN, "4711-0815"])
def test_no_answer_shows_whether_a_guess_of_a_secret_is_right(served: Served, guess: str) -> None:
    # Whatever masked a right guess, or the beginning of one, would tell.
    def answer(word: str) -> str:
        rule = {"name": word, "regex": word, "message": {"action": word, "arguments": {"a": f"{word[:4]}... {word}"}}}
        bodies = [{"text": json.dumps({"decode": [rule]})}, {"text": f"{word}: 5"}, {"text": f"decode: {word}"}]
        inputs = {"frames": [word, f"{word[:4]}...", f"\\q{word}"], "commands": [f"{word} {word}", word]}
        found = [served.ask("workbench/try", {"interface": "stove", **body, **inputs})[1] for body in bodies]
        assert word in json.dumps(found)
        return json.dumps(found).replace(word[:4], "WORD").replace(word[4:], "word")

    def as_hex(text: str, word: str) -> str:
        return text.replace(word.encode().hex(" "), "HEX").replace(word[:4].encode().hex(" "), "HE")

    other = guess[:4] + "z" * (len(guess) - 4)
    assert as_hex(answer(guess), guess) == as_hex(answer(other), other)


def test_what_is_wrong_is_shown_at_its_line(served: Served) -> None:
    text = "decode:\n  - regex: '('\n    message: {action: A}\nport: /dev/null\n"
    findings = served.ask("workbench/try", {"interface": "stove", "text": text})[1]["findings"]
    assert [(each["file"], each["line"], each["where"]) for each in findings] == [("", 4, "port")]
    findings = served.ask("workbench/try", {"interface": "stove", "text": text.replace("port: /dev/null\n", "")})[1][
        "findings"
    ]
    assert [(each["file"], each["line"], each["where"]) for each in findings] == [("", 2, "decode[0].regex")]


@pytest.mark.parametrize(
    "body",
    [
        {"text": 5},
        {},
        {"text": "", "frames": "x"},
        {"text": "", "frames": ["x"] * 201},
        {"text": "", "frames": [5]},
        {"text": "x" * 300_000},
        {"text": "", "commands": ["x"] * 21},
    ],
)
def test_a_trial_of_another_form_is_refused(served: Served, body: dict[str, Any]) -> None:
    status, answer = served.ask("workbench/try", {"interface": "stove", **body})
    assert status == 400, answer


def test_a_costly_trial_keeps_neither_the_page_nor_another_trial_from_an_answer(served: Served) -> None:
    body = {"interface": "stove", "text": COSTLY}
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(served.ask, "workbench/try", body) for _ in range(12)]
        began = time.monotonic()
        assert served.ask("session")[0] == 200
        assert served.open()["is_editable"]
        assert time.monotonic() - began < LONGEST_LOAD
        statuses = [answer.result()[0] for answer in answers]
    assert set(statuses) <= {200, 409, 429}  # done, or ended, or sent away
    assert statuses.count(429) >= 8


def test_a_costly_trial_does_not_keep_the_gateway_from_its_end(served: Served) -> None:
    body = {"interface": "stove", "text": COSTLY}

    def try_it() -> int:
        while (status := served.ask("workbench/try", body)[0]) == 429:
            pass
        return status

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(try_it)
        wait_until(
            lambda: served.ask("workbench/try", {**body, "text": ""})[0] == 429, what="the trial to be under way"
        )
        began = time.monotonic()
        served.end()
        assert time.monotonic() - began < LONGEST_LOAD / 2
        assert answer.exception() is not None or answer.result() != 200


def test_a_costly_save_does_not_keep_the_gateway_from_its_end(served: Served) -> None:
    edition = served.open()["edition"]
    with ThreadPoolExecutor(1) as pool:
        body = {"interface": "stove", "text": COSTLY, "edition": edition}
        answer = pool.submit(served.ask, "workbench/save", body, TOKEN)
        assert served.ask("session")[0] == 200
        began = time.monotonic()
        served.end()
        assert time.monotonic() - began < LONGEST_LOAD / 2
        assert answer.exception() is not None or answer.result()[0] == 409
    assert not served.page.exists()


def test_a_save_is_used_and_taken_back(served: Served) -> None:
    status, answer = served.change("save", text=NEW)
    assert (status, answer["is_saved"], answer["changes"]) == (200, True, "stove: options")
    assert served.actions == ["HUM"]
    assert "action: HUM" in served.page.read_text()
    opened = served.open()
    assert (opened["from_page"], opened["is_undoable"]) == (["decode"], True)
    assert served.change("save", text=opened["text"])[1]["changes"] == "nothing has changed"
    assert served.change("save", text=NEW.replace("HUM", "WET"))[0] == 200
    assert served.actions == ["WET"]
    assert served.change("undo")[0] == 200
    assert served.actions == ["HUM"]
    assert served.change("undo")[0] == 200
    assert served.actions == ["TEMP"]
    assert not served.page.exists()
    status, answer = served.change("undo")
    assert (status, "nothing to take back" in answer["error"]) == (409, True)


def test_rules_and_words_of_the_page_are_what_the_device_meets(served: Served, mosquitto: Mosquitto) -> None:
    with mosquitto.client("home/#") as listener:
        assert served.change("save", text=f"{NEW}words: {{argkey: {{h: [humidity]}}}}\n")[1]["is_saved"]
        expected = {"action": "HUM", "humidity": "50"}

        def received() -> list[object]:
            os.write(served.device, b"H 50\r\n")  # again: what comes before the port is open is not read
            return [json.loads(each.payload) for each in list(listener.messages) if each.payload[:1] == b"{"]

        wait_until(lambda: expected in received(), what=lambda: str(received()), pause=0.1)
    assert served.open()["from_page"] == ["decode", "words"]


def test_all_changes_of_an_interface_are_discarded(served: Served) -> None:
    served.change("save", text=NEW)
    assert served.change("discard")[0] == 200
    assert served.actions == ["TEMP"]
    assert not served.page.exists()
    assert served.change("discard")[1]["changes"] == "nothing has changed"
    assert served.change("undo")[0] == 200
    assert served.actions == ["HUM"]


@pytest.mark.parametrize("what", ["save", "undo", "discard"])
def test_nothing_is_changed_without_the_token(served: Served, what: str, expected_logs: ExpectedLogs) -> None:
    body = {"interface": "stove", "text": NEW, "edition": served.open()["edition"]}
    assert served.ask(f"workbench/{what}", body)[0] == 401
    expected_logs.expect("has sent a wrong token")
    assert served.ask(f"workbench/{what}", body, TOKEN[:-1])[0] == 401
    assert served.actions == ["TEMP"]
    assert not served.page.exists()


@pytest.mark.parametrize(
    "text",
    [
        "type: evil.py\n",
        "port: tcp://evil.example:1\n",
        "filters: {out: [{hook: 'evil.py:run'}]}\n",
        "decode: []\ninterfaces: {clock: {type: evil.py}}\n",
        "decode: [{regex: '${WB_CODE}', message: {action: A}}]\n",
        "encode: [{match: {action: A}, write: '${WB_CODE}#'}]\n",
        "decode: []\n---\nmqtt: {host: evil.example}\n",
        "decode: []\u2028mqtt: {}\n",
        "decode: &a []\nencode: *a\n",
        "decode: [\n",
        "5\n",
    ],
)
def test_a_hostile_text_is_not_saved(served: Served, text: str) -> None:
    status, answer = served.change("save", text=text)
    assert (status, answer["is_saved"]) == (200, False), answer
    assert answer["findings"]
    assert not served.page.exists()
    assert served.actions == ["TEMP"]


def test_a_file_that_was_changed_meanwhile_is_not_overwritten(served: Served) -> None:
    edition = served.open()["edition"]
    by_hand = "interfaces: {stove: {decode_every_rule: true}}\n"
    served.page.write_text(by_hand)
    for what in ("save", "undo", "discard"):
        status, answer = served.ask(f"workbench/{what}", {"interface": "stove", "text": NEW, "edition": edition}, TOKEN)
        assert (status, "has been changed since this was opened" in answer["error"]) == (409, True)
    assert served.page.read_text() == by_hand
    assert served.open()["text"].startswith("decode_every_rule: true\n")
    assert served.ask("workbench/save", {"interface": "stove", "text": NEW}, TOKEN)[0] == 409


def test_of_two_who_save_at_once_one_is_told(served: Served) -> None:
    edition = served.open()["edition"]

    def save(word: str) -> int:
        body = {"interface": "stove", "text": NEW.replace("HUM", word), "edition": edition}
        return served.ask("workbench/save", body, TOKEN)[0]

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(save, ["A", "B", "C", "D"]))
    assert sorted(statuses) == [200, 409, 409, 409]
    assert served.actions == [["A", "B", "C", "D"][statuses.index(200)]]


def test_a_reload_that_is_refused_puts_the_file_back(served: Served, expected_logs: ExpectedLogs) -> None:
    served.change("save", text=NEW)
    before = served.page.read_text()
    # A name that cannot change while the gateway runs: the configuration is valid, and the reload is refused.
    served.conf.write_text(f"name: other\n{served.conf.read_text()}")
    expected_logs.expect("reload rejected")
    status, answer = served.change("save", text=NEW.replace("HUM", "WET"))
    assert status == 409
    assert "the page file is as before" in answer["error"]
    assert "the name cannot change" in answer["error"]
    assert served.page.read_text() == before
    assert served.actions == ["HUM"]


def test_a_link_is_not_followed(served: Served, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("# mine\n")
    served.page.symlink_to(target)
    status, answer = served.change("save", text=NEW)
    assert (status, "is a link, through which the page does not write" in answer["error"]) == (409, True)
    assert target.read_text() == "# mine\n"
    assert served.actions == ["TEMP"]


def test_frames_that_a_device_has_sent_are_there(served: Served) -> None:
    served.ask("live?after=-1&wait=0")

    def frames() -> list[str]:
        os.write(served.device, b"X 1\r\n")
        served.ask("live?after=0&wait=0")
        return list(served.open()["frames"])

    wait_until(lambda: frames() == ["X 1"], what=lambda: str(frames()))


def test_a_password_in_an_address_that_is_not_in_use_yet_is_not_quoted(served: Served) -> None:
    """Only the secrets of the configuration in use were masked, and no token was needed."""
    text = served.conf.read_text()
    served.conf.write_text(text.replace("    port: /", "    port: socket://me:s3cr3tpw@h:0/", 1))
    status, answer = served.ask("workbench/try", {"interface": "stove", "text": NEW})
    assert (status, [finding["where"] for finding in answer["findings"]]) == (200, ["port"])
    assert "s3cr3tpw" not in json.dumps(answer)


def test_a_pipe_instead_of_the_page_file_is_not_waited_for(served: Served) -> None:
    """Each browser that opened the workbench took one of the threads, for ever."""
    os.mkfifo(served.page)
    began = time.monotonic()
    assert served.open()["note"] == f"{served.page}: no ordinary file: remove it"
    assert served.change("save", text=NEW)[0] == 409
    assert time.monotonic() - began < 5
