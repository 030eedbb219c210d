"""Nothing of a gateway leaks to whoever has no right to it: every address is walked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gateway import __version__
from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.house import NAMES, SECRETS, House
from tests.support.waiting import wait_until
from tests.support.web import OPEN, TOKEN, Reply

GUESSES = {"interface": "serial", "device": "planted-boiler", "id": "planted-boiler", "after": "0", "wait": "0"}
"""Parameters with which most addresses answer something."""


@pytest.fixture
def house(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[House]:
    with House(tmp_path, mosquitto) as house:
        yield house


@pytest.fixture
def open_house(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[House]:
    with House(tmp_path, mosquitto, OPEN) as house:
        yield house


def walk(house: House, token: str | None = None) -> Iterator[tuple[str, str, Reply]]:
    """Request every address, with and without parameters."""
    for method, path in sorted(house.page.routes):
        if method == "POST":
            for body in ({}, GUESSES):
                yield method, path, house.fetch(path, body, token=token)
        else:
            for query in ("", f"?{urlencode(GUESSES)}"):
                yield method, path, house.fetch(path + query, token=token)


def whole(reply: Reply) -> str:
    return f"{reply.headers}{reply.data.decode('utf-8')}"


def traffic(house: House) -> None:
    """Have something pass that every view shows: readings, an unknown frame, and what contains a secret."""
    house.fetch("/api/live?after=-1", token=TOKEN)  # follow from now on
    house.fetch("/api/wire?interface=serial&after=-1", token=TOKEN)
    house.say("T 21.5")
    house.say("N a text")
    house.say(f"N {SECRETS[1]}")
    house.say(f"PIN {SECRETS[1]}")
    house.say(f"odd {SECRETS[1]}")
    house.command("PIN")
    house.line.read_until(f"PIN {SECRETS[1]}\n".encode())
    wait_until(lambda: "odd" in whole(house.fetch("/api/live?after=0", token=TOKEN)), what="the traffic")


def test_from_elsewhere_nothing_is_told_without_the_token(open_house: House, expected_logs: ExpectedLogs) -> None:
    expected_logs.allow("no rule for", "no rule")
    traffic(open_house)
    for method, path, reply in walk(open_house):
        is_public = open_house.page.routes[method, path].is_public
        assert reply.status == (200 if is_public else 401), (method, path)
        assert not [word for word in (*NAMES, *SECRETS, __version__) if word in whole(reply)], (method, path)
    session = open_house.fetch("/api/session").json
    assert set(session) == {"may_read", "may_write", "has_token", "note"}
    for path in ("/none", "/api/none", "/api/overview/../session", "/metrics", "/health"):
        reply = open_house.fetch(path)
        assert reply.status in (401, 404)
        assert not [word for word in (*NAMES, *SECRETS, __version__) if word in whole(reply)]


def test_what_is_public_are_the_files_and_the_session(open_house: House) -> None:
    public = {path for (_, path), route in open_house.page.routes.items() if route.is_public}
    files = {path for path in public if path == "/" or path.endswith((".html", ".js", ".css", ".svg"))}
    assert public - files == {"/api/session"}


def test_whatever_is_posted_needs_the_token_if_it_changes_something(house: House) -> None:
    for method, path, reply in walk(house):
        if house.page.routes[method, path].is_writing:
            assert reply.status == 401, path
            assert reply.error == "this needs the token of the page"
        else:
            assert reply.status != 401, path


def test_the_session_tells_what_one_may(house: House) -> None:
    assert house.fetch("/api/session").json == {
        "may_read": True,
        "may_write": False,
        "has_token": True,
        "note": "",
        "name": "planted-house",
        "version": __version__,
    }
    assert house.fetch("/api/session", token=TOKEN).json["may_write"] is True


def test_no_secret_is_in_any_answer_or_in_the_log(
    house: House, expected_logs: ExpectedLogs, caplog: pytest.LogCaptureFixture
) -> None:
    expected_logs.allow("no rule", "wrong token")
    traffic(house)
    for method, path, reply in walk(house, TOKEN):
        assert reply.status != 500, (method, path, reply)
        assert not [word for word in SECRETS if word in whole(reply)], (method, path)
        for secret in SECRETS:
            assert secret.encode().hex() not in whole(reply).replace(" ", ""), (method, path)
    house.fetch("/api/overview", token=f"{TOKEN}x")
    house.fetch(f"/api/overview?token={TOKEN}")
    house.fetch(f"/{TOKEN}")
    page_lines = [each.getMessage() for each in caplog.records if each.name.startswith(("mqttgateway", "waitress"))
                  and each.levelno >= logging.INFO]  # fmt: skip
    assert not [line for line in page_lines if TOKEN in line]


def test_no_file_of_the_page_has_the_token_in_an_address(house: House) -> None:
    """It is in a header, so that no log of a proxy and no history of a browser keeps it."""
    for method, path in house.page.routes:
        if method == "GET" and path.endswith((".js", ".html")):
            text = whole(house.fetch(path))
            assert "?token" not in text and "&token" not in text, path
            assert "localStorage" not in text, path  # sessionStorage ends with the tab
            for forbidden in (
                "innerHTML =",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "outerHTML =",
            ):
                assert forbidden not in text, (path, forbidden)
            for foreign in ("http://", "https://"):
                assert foreign not in text.replace("http://www.w3.org/2000/svg", ""), path


ODD: list[object] = [None, 5, -1, [], {}, True, 1.5, "\ud800", "\x00\r\n", "a" * 900, [[["x"]]], {"text": []}]
"""Values that no browser sends."""


def test_nothing_that_is_sent_is_a_bug(house: House) -> None:
    usual = {"interface": "serial", "device": "planted-boiler", "point": "heater"}
    for method, path in house.page.routes:
        if not path.startswith("/api/"):
            continue
        for name in (*usual, "value", "text", "edition", "notation"):
            for value in ODD:
                if method == "POST":
                    reply = house.fetch(path, {**usual, name: value}, token=TOKEN)
                else:
                    query = {**usual, name: str(value).encode("utf-8", "replace")}
                    reply = house.fetch(f"{path}?{urlencode(query)}", token=TOKEN)
                assert reply.status < 500, (method, path, name, value, reply)
