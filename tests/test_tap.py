"""What those who follow messages are told: each stage on the way, and why a message was dropped, by each reason.

Following changes nothing of what is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.inbox import MsgList
from gateway.core.tap import TAP
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import Arrival, InternalMsg, Lane, Publication, ReplyTo, ReportRule
from gateway.outbox.options import DiscardPolicy, OutboxOptions
from gateway.outbox.outbox import Outbox
from gateway.routing.message_filter import FilterRule, MessageFilter
from gateway.routing.outlet import Outlet
from gateway.routing.router import Route, Router
from gateway.translation.mqtt_map import FieldMap, MsgMap
from interfaces.serial_interface.followed import followed
from interfaces.serial_interface.options import SerialOptions
from interfaces.serial_interface.reports import Reports
from interfaces.serial_interface.rules import SerialRules
from interfaces.serial_interface.session import Session
from tests.conftest import ExpectedLogs
from tests.support.configuration import serial_params
from tests.support.fake_clock import FakeClock
from tests.support.following import Following, following, stages

DECODE: list[dict[str, Any]] = [
    {
        "name": "temperature",
        "regex": "T (?P<t>.*)",
        "values": {"t": "float"},
        "message": {"device": "probe", "action": "T", "arguments": {"t": "{t}"}},
        "publish": {"deadband": 0.5},
    },
    {"name": "noise", "regex": "N.*", "ignore": True},
    {"name": "bell", "regex": "B(?P<n>.)", "message": {"device": "bell", "action": "{n}"}},
    {"name": "secret", "regex": "S", "message": {"device": "vault", "action": "OPEN"}},
    {
        "name": "both",
        "regex": "V (?P<a>.*) (?P<b>.*)",
        "values": {"a": "float", "b": "float"},
        "message": {"device": "pair", "action": "V", "arguments": {"a": "{a}", "b": "{b}"}},
    },
]
ENCODE: list[dict[str, Any]] = [
    {
        "match": {"device": "lamp", "action": "DIM"},
        "arguments": {"level": {"type": "integer"}},
        "write": "DIM {level}",
        "response": {"regex": "OK"},
        "refusal": {"regex": "ERR"},
    }
]


class Line:
    """A serial device with a map and filters: bytes in, publications in `outbox`; commands by `router`."""

    def __init__(self, **outbox: Any) -> None:
        params = serial_params(
            decode=DECODE,
            encode=ENCODE,
            framing={"terminator": "\n"},
            checksum={"type": "xor", "form": "hex", "strip": True},
        )
        self.clock = FakeClock()
        self.outbox = Outbox(OutboxOptions(**outbox), self.clock)
        actions = {word: [word.lower()] for word in ("T", "V", "1", "DIM", "OPEN")}
        msg_map = MsgMap(
            "home", ["home/#"], {"action": FieldMap("action", "strict", actions)}, sender="gw", status_qos=1
        )
        deny = MessageFilter("outgoing", (FilterRule(False, {"device": ("vault",)}),))
        self.outlet = Outlet("dev", msg_map, self.outbox, filters=[deny])
        self.inbox = MsgList(2, name="dev")
        route = Route(msg_map, {"dev": self.inbox})
        route.outlets["dev"] = self.outlet.answer
        self.outlet.set_route(msg_map, [deny], route.loops.record_sent, route.outcomes)
        self.outlet.open_commands = self.inbox.open_commands
        self.inbox.accepts = lambda msg: msg.iscmd
        self.router = Router([route])
        self.session = Session(SerialRules(params), SerialOptions.from_params(params), Reports("dev", self.clock))
        self.session.start(0.0)
        self.written: list[bytes] = []

    def receive(self, *contents: str, now: float = 0.0) -> None:
        """Receive frames, with their checksums."""
        self.receive_bytes(b"".join(self.session.codec.wrap(content.encode()) for content in contents), now)

    def receive_bytes(self, data: bytes, now: float = 0.0) -> None:
        recorder = TAP.recorder
        if recorder is None:
            self.outlet.push_all(self.session.receive(data, now))
        else:
            work = partial(self.session.receive, data, now)
            self.outlet.push_all(followed(recorder, "dev", self.session, work, data))

    def execute(self, now: float = 0.0) -> None:
        """Have the device execute the commands that wait for it."""
        while (msg := self.inbox.pull()) is not None:
            refused = self.session.submit(msg, now)
            if refused is not None:
                self.outlet.push(refused)
        self.step(now)

    def step(self, now: float) -> None:
        self.outlet.push_each(self.session.step(now, self.written.append))

    def settle(self) -> None:
        """Send what waits, and have the broker acknowledge it."""
        self.outbox.settle(self.outbox.take(1000))

    def close(self) -> None:
        self.inbox.close()


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


@pytest.fixture
def view() -> Iterator[Following]:
    with following() as view:
        yield view


def told(view: Following) -> list[tuple[str, str, str]]:
    return [(note["outcome"], note.get("where", ""), note.get("reason", "")) for note in view.notes()]


# --- from the device to the broker


def test_a_frame_is_followed_to_the_acknowledgement(line: Line, view: Following) -> None:
    line.receive("T 21.5")
    line.settle()
    (note,) = view.notes()
    assert stages(note) == ["read", "frame", "rule", "message", "publish", "sent", "acknowledged"]
    read, frame, rule, message, publish, _, _ = note["stages"]
    assert (note["interface"], note["direction"], note["outcome"]) == ("dev", "from device", "acknowledged")
    assert (read["bytes"], frame["text"], rule["rule"]) == (9, "T 21.5", "temperature")
    assert message["message"] == "status -/-/-/probe/- T t=21.5"
    assert (publish["topic"], publish["payload"], publish["qos"]) == (
        "home////probe/gw/S",
        '{"action": "t", "t": 21.5}',
        1,
    )
    assert all(stage["ms"] >= 0 for stage in note["stages"])


@pytest.mark.parametrize(
    ("contents", "expected", "logged"),
    [
        (["X"], ("dropped", "rule", "no rule matches"), []),
        (["N1"], ("dropped", "rule", "the rule ignores it"), []),
        (["T x"], ("dropped", "value", "rule 'temperature': t: 'x' is not a number"), ["is not a number"]),
        (["V x 1"], ("dropped", "value", "rule 'both': a: 'x' is not a number"), ["value left out"]),
        (
            ["B?"],
            ("dropped", "map", "action: '?' is not in the map: add it there, or make the map loose"),
            ["not sent"],
        ),
        (["S"], ("dropped", "filter", "outgoing[0] denies it"), []),
        (["T 20", "T 20"], ("held back", "held back", "it has not changed"), []),
        (["T 20", "T 20.3"], ("held back", "held back", "it has changed by no more than its deadband"), []),
    ],
)
def test_why_a_frame_is_dropped(
    line: Line,
    view: Following,
    expected_logs: ExpectedLogs,
    contents: Sequence[str],
    expected: tuple[str, str, str],
    logged: list[str],
) -> None:
    expected_logs.expect(*logged)
    line.receive(*contents)
    assert expected in told(view)


def test_a_wrong_checksum_and_noise_are_told(line: Line, view: Following, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped")
    line.receive_bytes(b"T 21.5 00\n")
    ((outcome, where, reason),) = told(view)
    assert (outcome, where) == ("dropped", "checksum")
    assert "checksum" in reason
    line.receive_bytes(b"x" * 5000)
    ((outcome, where, reason),) = told(view)
    assert (outcome, where) == ("dropped", "framing")
    assert "bytes outside of frames" in reason


def test_a_frame_without_an_end_is_told(view: Following) -> None:
    params = serial_params(decode=DECODE, framing={"type": "markers", "start": "<", "stop": ">", "timeout": 1})
    session = Session(SerialRules(params), SerialOptions.from_params(params), Reports("dev", FakeClock()))
    assert TAP.recorder is not None
    list(followed(TAP.recorder, "dev", session, partial(session.receive, b"<T 2", 0.0), b"<T 2"))
    assert not told(view)
    list(followed(TAP.recorder, "dev", session, partial(session.expire_partial_frame, 5.0)))
    assert ("dropped", "framing", "a frame without an end") in told(view)


def test_what_the_interval_holds_back_is_told(view: Following) -> None:
    outlet = Outlet("dev", MsgMap("home", sender="gw"), Outbox())
    rule = ReportRule(interval=60.0)
    for value in (1, 2):
        outlet.push(InternalMsg(device="d", action="T", arguments={"t": value}).reported_by(rule))
    reason = "it has changed too soon: the last value goes out at the end of its interval"
    assert ("held back", "held back", reason) in told(view)


def test_a_value_that_is_none_is_told(view: Following, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("no value")
    outlet = Outlet("dev", MsgMap("home", sender="gw"), Outbox())
    point = Point("t", PointType.NUMBER, (Feed("T", "t"),))
    outlet.devices.configure([Device("d", (point,), address={"device": "d"})], {}, {})
    outlet.push(InternalMsg(device="d", action="T", arguments={"t": "warm"}))
    assert ("held back", "held back", "none of its values is one") in told(view)


def test_what_is_no_message_and_a_late_answer_are_told(view: Following, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("InternalMsg", "too late")
    outlet = Outlet("dev", MsgMap("home", sender="gw"), Outbox())
    outlet.push("T 21")  # type: ignore[arg-type]
    command = InternalMsg(iscmd=True, device="d", action="ON")
    outlet.open_commands.add(command, 1, 0.0)
    outlet.open_commands.settle()
    outlet.push(command.reply("OK"))
    reasons = told(view)
    assert [each[:2] for each in reasons] == [("dropped", "interface")] * 2
    assert reasons[0][2] == "it is not an InternalMsg"


def test_what_the_outbox_drops_is_told(view: Following, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("outbox full", "% full", "was dropped: no broker", "dead letter")

    def told_of(options: dict[str, Any], *publications: Publication, age: float = 0.0) -> list[tuple[str, str, str]]:
        clock = FakeClock()
        outbox = Outbox(OutboxOptions(**options), clock)
        for publication in publications:
            outbox.put(publication)
        clock.now += age
        outbox.take(1)
        return told(view)

    one, two = Publication("a", b"1", 1), Publication("a", b"2", 1)
    full = ("dropped", "outbox", "the outbox is full")
    assert told_of({"max_messages": 1, "discard": DiscardPolicy.NEW}, one, two) == [full]
    assert told_of({"max_messages": 1, "discard": DiscardPolicy.OLD}, one._replace(), two._replace()) == [full]
    states = [each._replace(lane=Lane.LATEST) for each in (one, two)]
    assert told_of({}, *states) == [("dropped", "outbox", "a newer value has replaced it")]
    short = one._replace(lifetime=1.0)
    assert told_of({}, short, age=2.0) == [("dropped", "outbox", "its lifetime is over")]
    outbox = Outbox()
    outbox.put(one._replace())
    outbox.dead_letter(outbox.take(1)[0], "the broker refused it: Not authorized")
    assert told(view) == [("dropped", "outbox", "the broker refused it: Not authorized")]


# --- from the broker to the device


def command(content: str = '{"action": "dim", "level": 5}', **more: Any) -> Arrival:
    return Arrival("home////lamp/me/C", content.encode(), **more)


def test_a_command_is_followed_to_its_outcome(line: Line, view: Following) -> None:
    line.router.deliver(command())
    line.execute()
    line.receive("OK", now=0.1)
    (note, *_) = [note for note in view.notes() if note["direction"] == "to device"]
    assert stages(note) == ["arrived", "message", "taken", "written", "answer", "outcome"]
    assert (note["interface"], note["outcome"]) == ("dev", "OK")
    assert note["stages"][3]["text"].startswith("DIM 5")
    assert note["stages"][4]["text"].startswith("OK")


@pytest.mark.parametrize(("answer", "outcome"), [("ERR", "REFUSED"), (None, "TIMEOUT")])
def test_a_command_that_fails_has_its_response_and_its_reason(
    line: Line, view: Following, answer: str | None, outcome: str
) -> None:
    line.router.deliver(command())
    line.execute()
    if answer is None:
        line.step(5.0)
    else:
        line.receive(answer, now=0.1)
    (note, *_) = [note for note in view.notes() if note["direction"] == "to device"]
    assert note["outcome"] == outcome
    assert note["reason"]


def test_of_two_equal_commands_each_has_its_own_outcome(line: Line, view: Following) -> None:
    line.router.deliver(command())
    line.router.deliver(command('{"action": "dim", "level": 6}'))
    line.execute()
    line.receive("OK", now=0.1)
    line.step(0.1)
    line.receive("ERR", now=0.2)
    notes = [note for note in view.notes() if note["direction"] == "to device"]
    assert [(note["stages"][0]["payload"][-2], note["outcome"]) for note in notes] == [("5", "OK"), ("6", "REFUSED")]


@pytest.mark.parametrize(
    ("arrival", "where", "reason"),
    [
        (command("{"), "map", "JSON"),
        (command("jump"), "map", "not in the map"),
        (command(retain=True), "check", "retained commands are never executed"),
        (command(resumed=True), "check", "queued while the gateway was offline"),
        (command(duplicate=True, qos=1), "check", "sent the command again"),
        (command(late=9.0), "check", "delayed"),
        (command(expiry=0), "check", "expiry"),
        (Arrival("home////lamp/gw/S", b"dim"), "echo", "this gateway has sent it itself"),
        (Arrival("home/other/availability", b"online"), "gateway", "another gateway"),
    ],
)
def test_why_a_message_from_the_broker_is_dropped(
    line: Line, view: Following, expected_logs: ExpectedLogs, arrival: Arrival, where: str, reason: str
) -> None:
    expected_logs.allow("rejected: ", "dropped: ")
    line.router.deliver(arrival)
    notes = [note for note in view.notes() if note["direction"] == "to device"]
    assert [(note["outcome"], note["where"]) for note in notes] == [("dropped", where)]
    assert reason in notes[0]["reason"]


def test_a_message_for_nobody_or_for_a_full_inbox_is_told(
    line: Line, view: Following, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("already waiting")
    for level in range(3):
        line.router.deliver(command(f'{{"action": "dim", "level": {level}}}'))
    notes = [note for note in view.notes() if note["direction"] == "to device"]
    assert [note["where"] for note in notes] == ["inbox"]
    assert "2 messages are already waiting" in notes[0]["reason"]
    heater = MsgList(name="heater")
    router = Router([Route(MsgMap("home", ["home/#"], sender="gw"), {"heater": heater}, addresses={"heater": []})])
    router.deliver(command())
    assert told(view) == [("dropped", "address", "no interface here has this address")]
    heater.close()


def test_what_one_map_is_for_nobody_is_not_told_to_be_dropped_if_another_map_delivers_it(view: Following) -> None:
    lamp, heater = MsgList(name="lamp"), MsgList(name="heater")
    routes = [
        Route(MsgMap("home", ["home/#"], sender="gw"), {name: inbox}, addresses={name: [{"device": name}]})
        for name, inbox in (("heater", heater), ("lamp", lamp))
    ]
    router = Router(routes)
    router.deliver(command())
    assert (len(lamp), len(heater), router.counts["for nobody"]) == (1, 0, 0)
    assert told(view) == [], "it is on its way to the lamp"
    lamp.close()
    heater.close()


def test_a_status_is_delivered_when_its_interface_takes_it(line: Line, view: Following) -> None:
    line.router.deliver(Arrival("home////lamp/me/S", b"1"))
    assert not view.notes()
    assert line.inbox.pull() is not None
    (note,) = view.notes()
    assert (note["outcome"], stages(note)) == ("delivered", ["arrived", "message", "taken"])


def test_an_outcome_on_a_response_topic_has_a_line_of_its_own(view: Following) -> None:
    outlet = Outlet("dev", MsgMap("home", sender="gw"), outbox := Outbox())
    asked = InternalMsg(iscmd=True, device="d", action="ON").answered_at(ReplyTo("answers", b"7"))
    outlet.push(asked.reply("OK"))
    outbox.settle(outbox.take(10))
    assert {note["stages"][1]["topic"] for note in view.notes()} == {"answers", "home////d/gw/S"}


# --- nothing of it changes what is published

CONTENTS = st.lists(
    st.one_of(
        st.sampled_from(["X", "N1", "T x", "S", "B1", "B?", "V x 1", "V 1 2", "OK"]),
        st.floats(-5, 5).map(lambda value: f"T {value:.1f}"),
    ),
    max_size=12,
)
CHUNKS = st.lists(st.one_of(CONTENTS, st.binary(max_size=20)), max_size=6)


@given(chunks=CHUNKS, is_commanded=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_published_is_the_same_whether_or_not_somebody_follows(
    expected_logs: ExpectedLogs, chunks: Sequence[list[str] | bytes], is_commanded: bool
) -> None:
    expected_logs.allow("dev: ")

    def published() -> tuple[list[Publication], list[bytes], dict[str, int], dict[str, int]]:
        line = Line()
        try:
            for number, chunk in enumerate(chunks):
                if is_commanded:
                    line.router.deliver(command(f'{{"action": "dim", "level": {number}}}'))
                    line.execute(float(number))
                if isinstance(chunk, bytes):
                    line.receive_bytes(chunk, number + 0.1)
                else:
                    line.receive(*chunk, now=number + 0.1)
            publications = [entry.publication for entry in line.outbox.take(1000)]
            return publications, line.written, line.session.stats(), line.router.stats()
        finally:
            line.close()

    without = published()
    with following() as view, following(is_raw=True):
        assert published() == without
        view.notes()
    assert TAP.recorder is None
    assert TAP.wire is None
