"""The page in a real browser: what a person sees, does and must not be able to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.conftest import ExpectedLogs
from tests.support.broker import Mosquitto
from tests.support.browser import PHONE, Browser, Tab
from tests.support.house import House
from tests.support.waiting import wait_until
from tests.support.web import OPEN, TOKEN

DEVICE = "#device?interface=serial&device=planted-boiler"
VIEWS = ("#overview", DEVICE, "#live", "#unknown", "#workbench")
MARKUP = '<img src=x onerror="document.title=1"><script>document.title=2</script>&lt;b&gt;\u202e'


ASKED = "return performance.getEntriesByType('resource').filter((each) => each.name.includes('/api/')).length"


def has_asked(tab: Tab, at_least: int) -> bool:
    """Return whether a view has asked the gateway so often."""
    return int(tab.run(ASKED)) >= at_least


def test_a_reading_appears_within_a_second(browser: Browser, seen_house: House) -> None:
    with browser.tab(seen_house.page.address + DEVICE) as tab:
        tab.wait_text("Temperature")
        took = []
        for value in ("23.75", "23.25", "22.75"):
            seen_house.say(f"T {value}")
            began = time.monotonic()
            tab.wait_text(value)
            took.append(time.monotonic() - began)
        assert sorted(took)[1] < 1.0, took  # two of three: this machine may be busy
        tab.wait_text("online")


def test_a_command_is_sent_and_its_outcome_shown(browser: Browser, seen_house: House) -> None:
    with browser.tab(seen_house.page.address + DEVICE) as tab:
        tab.wait_text("Only whoever has the token of this page can send commands")
        tab.use_token(TOKEN)
        tab.click(".command[aria-label=Heater] button", "On")
        seen_house.line.read_until(b"H1\n")
        seen_house.say("H1")
        tab.wait_text("✓ OK at")
        tab.click(".command[aria-label=Heater] button", "Off")
        seen_house.line.read_until(b"H0\n")
        seen_house.say("ERR locked")
        tab.find(".command[aria-label=Heater] output", "the device refused it, and answered ERR locked")
        assert TOKEN not in tab.driver.current_url
        assert tab.run("return localStorage.length + document.cookie.length") == 0


def test_a_wrong_token_is_refused_in_words(
    browser: Browser, tmp_path: Path, shared_broker: Mosquitto, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("has sent a wrong token to the page")
    with House(tmp_path, shared_broker, OPEN) as house:
        address = house.page.address.replace("0.0.0.0", "127.0.0.1")
        with browser.tab(address) as tab:
            tab.allowed += ["401"]
            tab.wait_text("This page needs its token")
            assert "planted" not in tab.run("return document.documentElement.outerHTML")
            tab.use_token("wrong-token-wrong-token")
            tab.wait_text("this is not the token of this page")
            tab.find("#token-input").send_keys(TOKEN)
            tab.click("dialog button", "Use it")
            tab.wait_text("planted-house")
            tab.click("button", "Forget token")
            tab.wait_text("This page needs its token")
            assert "Boiler" not in tab.text


@pytest.mark.parametrize("view", ["#overview", DEVICE, "#live", "#unknown"])
def test_markup_of_a_device_is_a_text(browser: Browser, seen_house: House, view: str) -> None:
    with browser.tab(seen_house.page.address + view) as tab:
        tab.wait_text("planted-house")
        wait_until(lambda: has_asked(tab, at_least=2), pause=0.05)
        seen_house.say(f"N {MARKUP}")
        seen_house.say(f"{MARKUP} is unknown")
        if view == "#overview":
            asked = int(tab.run(ASKED))
            wait_until(lambda: has_asked(tab, asked + 3), pause=0.1)
        else:
            tab.wait_text("onerror=")
        assert tab.run("return document.title") == "planted-house"
        assert tab.run("return document.querySelectorAll('main img, main script').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_scrolls_in_one_direction_only(browser: Browser, seen_house: House, view: str, scheme: str) -> None:
    seen_house.say("T 21.5")
    seen_house.say(f"N {'x' * 300}")
    seen_house.say(f"unknown {'y' * 300}")
    with browser.tab(seen_house.page.address + view, PHONE, scheme) as tab:
        tab.wait_text("planted-house")
        wait_until(lambda: tab.run("return document.querySelector('main').innerText.length") > 0)
        wait_until(lambda: tab.overflow <= 0, 3, lambda: f"{view} to fit: {tab.overflow} pixels", pause=0.05)
        colours = tab.run("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
        assert contrast(*colours) >= 7, colours


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours, as WCAG defines it."""

    def luminance(colour: str) -> float:
        parts = [float(each) / 255 for each in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_by_keyboard_alone(browser: Browser, seen_house: House) -> None:
    with browser.tab(seen_house.page.address) as tab:
        tab.wait_text("Boiler")
        tab.tab_to("Skip to the content")
        tab.tab_to("Enter token")
        tab.press(Keys.ENTER)
        wait_until(lambda: tab.focused == "token-input")
        tab.press(*TOKEN, Keys.ENTER)
        tab.wait_text("Forget token")
        tab.tab_to("Boiler")
        tab.press(Keys.ENTER)
        tab.wait_text("Commands")
        tab.tab_to("On")
        tab.press(Keys.SPACE)
        seen_house.line.read_until(b"H1\n")
        seen_house.say("H1")
        tab.wait_text("✓ OK at")
        assert "On" in tab.focused  # the focus stays while values change


@pytest.mark.parametrize("by_keyboard", [False, True])
def test_a_line_that_is_read_in_live_stays_where_it_is(browser: Browser, seen_house: House, by_keyboard: bool) -> None:
    with browser.tab(seen_house.page.address + "#live?topic=planted-root/heating/%23") as tab:
        tab.wait_text("What passes")
        seen_house.say("T 1.5")
        tab.wait_text('"celsius": 1.5')
        place = "return document.querySelector('details.message').getBoundingClientRect().top"
        before = tab.run(place)
        if by_keyboard:
            tab.tab_to('"celsius": 1.5')
            tab.press(Keys.ENTER)
        else:
            tab.click("details.message summary", '"celsius": 1.5')
        tab.wait_text("PUBACK: the broker has it")
        for _ in range(5):
            seen_house.say("T 2.5")
        tab.wait_text("5 lines wait")
        assert tab.run(place) == before
        tab.click("button", "Continue")
        tab.wait_text('"celsius": 2.5')
        assert tab.run("return document.querySelector('details[open]')") is None


def test_times_are_of_24_hours_and_name_another_day(browser: Browser, seen_house: House) -> None:
    with browser.tab(seen_house.page.address) as tab:
        tab.wait_text("Boiler")
        clock = "return import('./words.js').then((words) => words.clock(arguments[0]))"
        midnight = int(tab.run("return new Date().setHours(0, 0, 5, 0) / 1000"))
        assert tab.run(clock, midnight) == "00:00:05"
        assert tab.run(clock, midnight - 86400).endswith("00:00:05")
        assert any(char.isalpha() for char in tab.run(clock, midnight - 86400)), "the month"


def test_all_problems_are_seen_without_scrolling_in_a_box(browser: Browser, seen_house: House) -> None:
    with browser.tab(seen_house.page.address, PHONE) as tab:
        tab.wait_text("Boiler")
        tab.run(
            "const list = document.querySelector('.headline .problems');"
            "list.hidden = false;"
            "for (let count = 0; count < 9; count++) list.append(Object.assign(document.createElement('li'),"
            " {textContent: 'a problem that takes two lines on a phone, as they often do'}))"
        )
        heights = "const list = document.querySelector('.problems'); return [list.scrollHeight, list.clientHeight]"
        whole, seen = tab.run(heights)
        assert whole == seen


def test_another_site_reads_nothing(browser: Browser, seen_house: House) -> None:
    """A page at another origin of this machine, and one that pretends to be this one by another name."""
    with browser.tab(seen_house.page.address.replace("127.0.0.1", "localhost")) as tab:
        tab.wait_text("planted-house")
        script = """
            const [address, done] = arguments;
            const ask = (options) => fetch(address, options).then((r) => r.text()).catch(() => "nothing");
            const kinds = [{}, {mode: "no-cors"}, {method: "POST", mode: "no-cors", body: "{}"}];
            Promise.all(kinds.map(ask)).then(done)
        """
        tab.allowed += ["Content Security Policy", "violates", "Refused"]
        answers = tab.driver.execute_async_script(script, f"{seen_house.page.address}api/overview")
        assert answers == ["nothing"] * 3
    with browser.tab() as tab:
        tab.driver.get(f"{seen_house.page.address}../../etc/passwd")
        tab.allowed += ["404"]
        assert "root:" not in tab.text


def test_the_gateway_goes_and_comes_back(browser: Browser, tmp_path: Path, shared_broker: Mosquitto) -> None:
    with House(tmp_path, shared_broker) as house, browser.tab(house.page.address) as tab:
        tab.allowed += ["ERR_CONNECTION", "ERR_EMPTY_RESPONSE"]
        tab.wait_text("Boiler")
        port = house.port
        house.page.close()
        tab.wait_text("The gateway does not answer. This page tries again.")
        house.begin_page(house.options._replace(listen=f"127.0.0.1:{port}"))
        wait_until(lambda: "does not answer" not in tab.text, what="the page to recover", pause=0.05)


def test_a_message_that_comes_while_bytes_are_chosen_is_shown_as_a_message(browser: Browser, seen_house: House) -> None:
    """It was read as bytes, which failed; and bytes of a device that knows a secret are explained, not shown."""
    choose = "const choice = document.querySelector('main select'); choice.value = 'serial'; return choice"
    with browser.tab(seen_house.page.address + "#live") as tab:
        tab.allowed = ["403"]
        tab.wait_text("Nothing has come yet.")
        wait_until(lambda: tab.run(f"{choose}.value") == "serial", what="the interface to be offered")
        seen_house.say("T 21.75")
        tab.wait_text('"celsius": 21.75')
        tab.run(f"{choose}.dispatchEvent(new Event('input', {{bubbles: true}}))".replace("return choice", "choice"))
        tab.wait_text("to see its bytes, enter the token of the page")
