"""How the gateway is: what is wrong with it, and that in one line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.trouble import Trouble
from gateway.logs.last_error import LastError
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import (
    LONGEST_HEADLINE,
    MOST_PROBLEMS,
    Health,
    InterfaceHealth,
    Level,
    LinkHealth,
    OutboxHealth,
    Process,
    assess,
    headline,
    summary,
)

UP = LinkHealth(True, "up", "localhost:1883", "MQTT 5", connects=1, since=900.0, round_trip=0.001)
DOWN = LinkHealth(False, "backing off", "localhost:1883", "MQTT 5", connects=1, since=900.0,
                  failure="nothing listens at localhost:1883: is the broker running?")  # fmt: skip
ONLINE = InterfaceHealth("SerialInterface", True, since=900.0)


def health(**parts: Any) -> Health:
    return Health(**{"time": 1000.0, "name": "hall", "version": "3.0.0", "link": UP, **parts})


def boiler(**parts: Any) -> Health:
    return health(interfaces={"boiler": ONLINE._replace(**parts)})


def devices(*statuses: DeviceStatus, **parts: Any) -> Health:
    return boiler(**parts)._replace(devices={"boiler": statuses})


LAMP = DeviceStatus("lamp", True, "", 1.0, 50.0)
LOST = DeviceStatus("lost", False, "3 requests in a row were not answered", 60.0, 50.0)


def test_a_gateway_without_a_problem_is_well() -> None:
    well = devices(LAMP)
    assert assess(well) == (Level.WELL, ())
    assert headline(assess(well), well) == "link up (localhost:1883, MQTT 5); 1 of 1 device online"
    assert [str(level) for level in Level] == ["well", "degraded", "down"]


DEVICE_OFFLINE = "lost is offline: 3 requests in a row were not answered"
PROBLEMS: dict[str, tuple[Health, Level, str, float | None]] = {
    "no broker": (health(link=DOWN), Level.DOWN,
                  f"no link to the broker localhost:1883: {DOWN.failure}", 900.0),
    "never connected": (health(link=LinkHealth(False, "connecting", "b:1883")), Level.DOWN,
                        "no link to the broker b:1883: it is being connected to", None),
    "main hangs": (health(hang="it is at x.py:3 (f)", hang_since=990.0), Level.DOWN,
                   "the main thread hangs: it is at x.py:3 (f)", 990.0),
    "broker hangs": (health(link=UP._replace(stalled_for=12.0)), Level.DEGRADED,
                     "the broker localhost:1883 does not acknowledge what it is sent", 988.0),
    "device": (devices(LAMP, LOST), Level.DEGRADED, DEVICE_OFFLINE, 950.0),
    "interface": (boiler(is_available=False, reason="cannot open /dev/ttyUSB0: there is no such device"),
                  Level.DEGRADED, "boiler is offline: cannot open /dev/ttyUSB0: there is no such device", 900.0),
    "closed": (boiler(is_available=False, closed="closed on request"), Level.DEGRADED,
               "boiler is closed: closed on request", 900.0),
    "hangs": (boiler(hang="it has not returned from loop(): it is at x.py:3 (f)", hang_since=980.0), Level.DEGRADED,
              "boiler hangs: it has not returned from loop(): it is at x.py:3 (f)", 980.0),
    "fails": (boiler(is_available=True, failure="ValueError: broken", failed_at=970.0), Level.DEGRADED,
              "boiler fails, and is started again and again: ValueError: broken", 970.0),
    "useless frames": (boiler(trouble=Trouble(960.0, "no rule matches what the device sends: 'X'", "correct decode")),
                       Level.DEGRADED, "boiler: no rule matches what the device sends: 'X'", 960.0),
    "map": (boiler(refusals=(960.0, "action: 'T' is not in the map: add it there")), Level.DEGRADED,
            "boiler: messages are not sent: action: 'T' is not in the map: add it there", 960.0),
    "flapping": (boiler(interruptions=(960.0, "p has failed: unplugged")), Level.DEGRADED,
                 "boiler comes and goes: p has failed: unplugged", 960.0),
    "link flaps": (health(link=UP._replace(interruptions=(960.0, "b closed the connection"))), Level.DEGRADED,
                   "the link to the broker localhost:1883 is lost again and again: b closed the connection", 960.0),
    "unread": (boiler(unread=7), Level.DEGRADED, "boiler does not read its messages: 7 messages are waiting", None),
    "refused": (health(outbox=OutboxHealth(refusals=(960.0, "'a/b': the broker refused it: Not authorized"))),
                Level.DEGRADED, ("the broker does not accept messages, which are lost: 'a/b': the broker refused it: "
                "Not authorized"), 960.0),
    "dead letters now": (health(outbox=OutboxHealth("o", dead_letters=3, refusals=(960.0, "'a/b': refused"))),
                         Level.DEGRADED, ("the outbox has dead letters, which no broker has accepted; the last is for "
                         "'a/b': refused"), 960.0),
    "crowded": (health(outbox=OutboxHealth(is_crowded=True)), Level.DEGRADED, "the outbox is nearly full", None),
    "drops": (health(outbox=OutboxHealth(is_crowded=True, is_dropping=True)), Level.DEGRADED,
              "the outbox is full, and messages are lost", None),
    "disk full": (health(outbox=OutboxHealth("o", is_disk_full=True)), Level.DEGRADED,
                  "the disk of the outbox is full (o)", None),
    "not written": (health(outbox=OutboxHealth("o", failure="disk I/O error")), Level.DEGRADED,
                    "the outbox cannot be written to o: disk I/O error", None),
    "disk hangs": (health(outbox=OutboxHealth("o", hang="it has not returned from the disk: it is at x.py:3 (f)",
                                              hang_since=960.0)), Level.DEGRADED,
                   "the outbox hangs: it has not returned from the disk: it is at x.py:3 (f)", 960.0),
    "dead letters": (health(outbox=OutboxHealth("o", dead_letters=3)), Level.DEGRADED,
                     "the outbox has dead letters, which no broker has accepted", None),
    "filter": (health(link=UP._replace(refused_filters={"home/#": "Not authorized"})), Level.DEGRADED,
               "the broker refuses the subscription to home/#: Not authorized", None),
    "state": (health(link=UP._replace(refused_states=["home/hall/availability"])), Level.DEGRADED,
              "the broker does not accept home/hall/availability", None),
    "topic": (health(link=UP._replace(refused_topics=["home/load///d1/gw/S"])), Level.DEGRADED,
              "the broker refuses messages on home/load///d1/gw/S without saying why: they wait", None),
    "run topic": (health(link=UP._replace(forbidden_run_topic="home/hall/run")), Level.DEGRADED,
                  "the broker forbids the topic home/hall/run", None),
    "log file": (health(log_failure="gw.log: No space left on device"), Level.DEGRADED,
                 "the log file cannot be written: gw.log: No space left on device", None),
    "control": (health(control_failure="see the log"), Level.DEGRADED, "there is no control socket: see the log", None),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROBLEMS)
def test_each_state_that_lasts_is_one_problem_with_a_remedy(kind: str) -> None:
    ill, level, what, since = PROBLEMS[kind]
    verdict = assess(ill)
    assert [(each.level, each.what, each.since) for each in verdict.problems] == [(level, what, since)]
    assert verdict.level is level
    assert verdict.problems[0].remedy or ": is the broker running?" in what
    assert what in headline(verdict, ill) or len(what) > 150


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("cannot open p: there is no such device", "plug it in, or correct the port"),
        ("cannot open p: no permission", "let the user"),
        ("cannot open p: another program or interface has it open", "end the other program"),
    ],
)
def test_the_remedy_for_a_port_fits_the_reason(reason: str, remedy: str) -> None:
    (problem,) = assess(boiler(is_available=False, reason=reason)).problems
    assert (problem.interface, problem.device) == ("boiler", "")
    assert remedy in problem.remedy


def test_what_only_follows_from_another_problem_is_none() -> None:
    """The devices of an interface that does not work, and what is full because there is no link."""
    assert len(assess(devices(LOST, is_available=False, reason="unplugged")).problems) == 1
    assert len(assess(devices(LOST, hang="it is at x.py:3 (f)")).problems) == 1
    silent = Trouble(960.0, "1 request is not answered: 'ask'", "check the device", is_silence=True)
    assert [each.what for each in assess(devices(LAMP, LOST, trouble=silent)).problems] == [DEVICE_OFFLINE]
    assert len(assess(devices(LAMP, trouble=silent)).problems) == 1
    full = OutboxHealth("o", is_disk_full=True, failure="database or disk is full")
    assert [each.what for each in assess(health(outbox=full)).problems] == ["the disk of the outbox is full (o)"]
    in_memory = OutboxHealth(dead_letters=3)
    assert not assess(health(outbox=in_memory)).problems, "none is kept, so that nothing can be done"


def test_the_gravest_problem_comes_first() -> None:
    ill = devices(LOST)._replace(link=DOWN)
    assert [each.level for each in assess(ill).problems] == [Level.DOWN, Level.DEGRADED]
    assert headline(assess(ill), ill) == (
        "no link to the broker localhost:1883: nothing listens at localhost:1883: is the broker running?; "
        f"0 of 1 device online; {DEVICE_OFFLINE}"
    )
    assert summary(ill) == "no link to the broker localhost:1883; 0 of 1 device online"


def test_a_subscription_that_is_refused_is_graver_than_the_topic_of_the_gateway_itself() -> None:
    ill = health(link=UP._replace(forbidden_run_topic="home/hall/run", refused_filters={"home/#": "Not authorized"}))
    assert "the broker refuses the subscription to home/#: Not authorized, and 1 more problem" in headline(
        assess(ill), ill
    )


def test_the_headline_names_one_problem_and_counts_the_others() -> None:
    ill = devices(LAMP, LOST, LOST._replace(id="other"))
    expected = f"link up (localhost:1883, MQTT 5); 1 of 3 devices online; {DEVICE_OFFLINE}, and 1 more problem"
    assert headline(assess(ill), ill) == expected


def test_without_devices_the_interfaces_are_counted() -> None:
    assert summary(boiler()) == "link up (localhost:1883, MQTT 5); 1 of 1 interface online"
    assert summary(boiler(hang="it is at x.py:3 (f)")) == "link up (localhost:1883, MQTT 5); 0 of 1 interface online"
    assert summary(health()) == "link up (localhost:1883, MQTT 5)"


def test_the_last_error_is_named_for_some_time_if_nothing_is_wrong() -> None:
    error = LastError(995.0, "warning", "lost the broker: it closed the connection", 2)
    recent, old = health(last_error=error), health(last_error=error._replace(time=100.0))
    assert headline(assess(recent), recent).endswith(": lost the broker: it closed the connection")
    assert "lost the broker" not in headline(assess(old), old)
    ill = devices(LOST)._replace(last_error=error)
    assert "lost the broker" not in headline(assess(ill), ill)


def test_a_thousand_devices_are_few_problems() -> None:
    verdict = assess(devices(*(LOST._replace(id=f"d{number}") for number in range(1000))))
    assert len(verdict.problems) == 6
    assert verdict.problems[-1].what.startswith("995 more devices are offline: d5, d6, ")


# --- whatever the parts are

texts = st.sampled_from(("", "a", "it failed: mend it", "x\n\x1b[0m", "\ud800é", "w" * 500)) | st.text(max_size=5)
moments = st.none() | st.floats(0, 4e9)
numbers = st.integers(0, 10**9)
statuses = st.builds(
    DeviceStatus, texts, st.sampled_from([None, True, False]), texts, st.none() | st.floats(0, 1e9),
    st.none() | st.floats(0, 1e9),
)  # fmt: skip
names = st.sampled_from(("a", "b", "é x", "", "n" * 40))
counts = st.dictionaries(names, numbers, max_size=5)
healths = st.builds(
    Health,
    time=st.floats(1e9, 2e9),
    name=names,
    version=names,
    link=st.builds(LinkHealth, is_up=st.booleans(), broker=texts, protocol=names, connects=numbers, since=moments,
                   failure=texts, round_trip=st.none() | st.floats(0, 100), stalled_for=st.floats(0, 100),
                   refused_filters=st.dictionaries(texts, texts, max_size=7),
                   refused_states=st.lists(texts, max_size=7), refused_topics=st.lists(texts, max_size=7),
                   forbidden_run_topic=texts,
                   interruptions=st.none() | st.tuples(st.floats(0, 4e9), texts)),
    outbox=st.builds(OutboxHealth, file=texts, waiting=numbers, oldest=st.floats(0, 1e9),
                     dead_letters=numbers, dropped=counts, is_crowded=st.booleans(), is_dropping=st.booleans(),
                     is_disk_full=st.booleans(), failure=texts, hang=texts, hang_since=moments,
                     refusals=st.none() | st.tuples(st.floats(0, 4e9), texts)),
    interfaces=st.dictionaries(names, st.builds(
        InterfaceHealth, type=names, is_available=st.sampled_from([None, True, False]), reason=texts, since=moments,
        closed=texts, hang=texts, hang_since=moments, failure=texts,
        failed_at=moments, heard_at=moments, understood_at=moments, frames=counts,
        refusals=st.none() | st.tuples(st.floats(0, 4e9), texts), unread=numbers,
        interruptions=st.none() | st.tuples(st.floats(0, 4e9), texts),
        trouble=st.none() | st.builds(Trouble, st.floats(0, 4e9), texts, texts, st.booleans())), max_size=4),
    devices=st.dictionaries(names, st.lists(statuses, max_size=12), max_size=4),
    outcomes=counts,
    refused=counts,
    last_error=st.none() | st.builds(LastError, st.floats(0, 2e9), st.just("error"), texts, numbers),
    log_failure=texts,
    control_failure=texts,
    hang=texts,
    hang_since=moments,
    uptime=st.floats(0, 1e9),
    process=st.builds(Process, numbers, numbers, numbers),
)  # fmt: skip


@given(healths)
def test_the_verdict_is_the_worst_problem_and_everything_fits_in_lines(ill: Health) -> None:
    verdict = assess(ill)
    assert verdict.level == max((each.level for each in verdict.problems), default=Level.WELL)
    assert [each.level for each in verdict.problems] == sorted((e.level for e in verdict.problems), reverse=True)
    assert len(verdict.problems) <= MOST_PROBLEMS
    assert all(each.what.isprintable() and len(each.what) < 1000 for each in verdict.problems)
    line = headline(verdict, ill)
    assert line.isprintable() and 0 < len(line) <= LONGEST_HEADLINE
    assert verdict == assess(ill) and line == headline(verdict, ill), "it depends on nothing else"


@given(healths)
def test_it_is_down_without_a_link_or_a_main_thread_and_only_then(ill: Health) -> None:
    assert (assess(ill).level is Level.DOWN) is (not ill.link.is_up or bool(ill.hang))
