"""Costs in counts that do not depend on the machine: calls, steps, allocations, system calls, wake-ups."""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import logging
import re
import socket
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.configuration.load_config import load_configuration
from gateway.configuration.load_map import load_map
from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import interface_schema
from gateway.core.clock import boot_time
from gateway.core.inbox import MsgList, Wakeup
from gateway.core.package_logger import TRAFFIC
from gateway.core.tap import TAP, Follower
from gateway.devices.model import Model
from gateway.devices.point import Device, Feed, Point, PointType
from gateway.message import InternalMsg, Publication, ReportRule
from gateway.mqtt.broker_limits import BrokerLimits
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.client import MgClient
from gateway.mqtt.link_state import LinkEvent
from gateway.mqtt.options import MqttOptions
from gateway.mqtt.paho_hooks import HookedClient
from gateway.mqtt.sender import Sender
from gateway.outbox.outbox import Outbox
from gateway.routing.command_index import CommandIndex
from gateway.routing.outlet import Outlet
from gateway.routing.router import Route, Router
from gateway.translation.mqtt_map import MsgMap
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.framing.framers import MarkerFramer
from interfaces.serial_interface.framing.wire import FrameCodec
from interfaces.serial_interface.rules import SerialRules
from tests.support.broker import Mosquitto, tool_or_skip
from tests.support.device import PtyDevice
from tests.support.gateway_process import GatewayProcess
from tests.support.packets import V3, publish
from tests.support.waiting import wait_until

RULE = {
    "regex": "T (?P<celsius>[0-9.]+)",
    "values": {"celsius": "float"},
    "message": {"device": "probe", "action": "TEMPERATURE", "arguments": {"celsius": "{celsius}"}},
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Log no traffic: the tests of this project otherwise log everything."""
    traffic = logging.getLogger(TRAFFIC)
    before = traffic.level
    traffic.setLevel(logging.WARNING)
    yield
    traffic.setLevel(before)


def calls(work: Callable[[], object]) -> int:
    """Return how many Python functions `work` calls."""
    count = 0

    def record_event(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(record_event)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def steps(work: Callable[[], object]) -> int:
    """Return how many bytecode steps `work` takes; unlike calls, these reveal a loop."""
    count = 0

    def record_event(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return record_event

    before = sys.gettrace()
    sys.settrace(record_event)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def serial_rules(**options: Any) -> SerialRules:
    return SerialRules(
        fill_defaults({"port": "loop://", "decode": [RULE], **options}, interface_schema(SerialInterface))
    )


def map_file(folder: Path, entries: int) -> Path:
    path = folder / f"{entries}.json"
    words = {f"device {number}": [f"word{number}"] for number in range(entries)}
    path.write_text(json.dumps({"root": "home", "topics": ["home/#"], "device": {"maptype": "strict", "map": words}}))
    return path


# --- from a line to the outbox


def test_the_way_of_a_line_to_the_outbox_takes_few_calls() -> None:
    rules, outlet = serial_rules(), Outlet("dev", MsgMap("home", sender="gw", status_qos=0), Outbox())

    def work() -> None:
        frames = rules.codec.feed(b"T 21.5\n" * 1000)
        outlet.push_all(msg for frame, _ in frames for msg in rules.decoder.decode(frame) or ())

    work()
    assert calls(work) / 1000 < 21  # 20 when this was written


def test_once_nobody_follows_any_more_a_line_costs_what_it_did() -> None:
    rules, outlet, follower = (
        serial_rules(),
        Outlet("dev", MsgMap("home", sender="gw", status_qos=0), Outbox()),
        Follower(),
    )

    def work() -> None:
        frames = rules.codec.feed(b"T 21.5\n" * 100)
        outlet.push_all(msg for frame, _ in frames for msg in rules.decoder.decode(frame) or ())

    work()
    before = calls(work)
    TAP.follow(follower)
    try:
        assert calls(work) > before
    finally:
        TAP.unfollow(follower)
    assert calls(work) == before


def test_a_publication_is_sent_and_settled_in_few_calls() -> None:
    ours, theirs = socket.socketpair()
    client = HookedClient(CallbackAPIVersion.VERSION2)
    outbox = Outbox()
    outbox.put_all([Publication("home/x/S", b"on")] * 1000)
    ours.setblocking(False)
    with theirs, ours:
        client._sock = BufferedSocket(ours)  # type: ignore[assignment]
        sender = Sender(client, outbox, 0.0, boot_time)
        sender.link_up("nowhere", BrokerLimits(), is_v5=False)
        sender.begin()

        def work() -> None:
            while len(outbox):
                sender.send_pending()
                client.loop_write()
                sender.settle()
                theirs.recv(1 << 20)

        assert calls(work) / 1000 < 4.5  # 3.2 when this was written
        client._sock = None


COMMAND = publish("home/lighting//hall/lamp/me/C", b'{"action": "DIM", "level": 50}', version=V3)


def bring_up(client: MgClient) -> None:
    """Have `client` treat its link as up, and all subscriptions as answered."""
    for event in (LinkEvent.CONNECT, LinkEvent.OPENED, LinkEvent.ACCEPTED):
        client.link.state_machine.advance(event)
    client.sender.begin()


@contextlib.contextmanager
def commanded() -> Iterator[tuple[MgClient, socket.socket, MsgList]]:
    """A client with a link that is up, the broker's end of it, and the inbox that receives its messages."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    inbox, wakeup = MsgList(), Wakeup()
    router = Router([Route(MsgMap("home", ["home/#"], sender="gw"), {"dev": inbox})])
    client = MgClient(MqttOptions(), Outbox(), wakeup, on_msg=router.deliver)
    bring_up(client)
    with theirs, ours:
        client._sock = BufferedSocket(ours)  # type: ignore[assignment]
        yield client, theirs, inbox
        client._sock = None
    wakeup.close()


def test_a_command_comes_in_with_few_calls() -> None:
    with commanded() as (client, theirs, inbox):

        def work() -> None:
            theirs.sendall(COMMAND * 100)
            client.loop_read(1000)

        work()
        assert calls(work) / 100 < 46  # 44 when this was written
        assert len(inbox) == 200


def test_a_command_that_comes_alone_is_done_with_after_few_calls() -> None:
    """Until the main thread is through, Python's lock is not free for the interface that it has woken."""
    with commanded() as (client, theirs, inbox):

        def work() -> None:
            theirs.sendall(COMMAND)
            client._serve(readable=True, writable=False)

        work()
        assert calls(work) < 77  # 75 when this was written
        assert len(inbox) == 2


def test_a_line_that_comes_alone_is_on_its_way_after_few_calls() -> None:
    """Each function that has not been called for a while takes microseconds, because it is in no cache."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    outbox, wakeup = Outbox(), Wakeup()
    outlet = Outlet("dev", MsgMap("home", sender="gw", status_qos=0), outbox)
    client = MgClient(MqttOptions(), outbox, wakeup)
    outbox.attach(client.transmitter)
    bring_up(client)
    rules = serial_rules()

    def work() -> None:
        frames = rules.codec.feed(b"T 21.5\n")
        outlet.push_all(msg for frame, _ in frames for msg in rules.decoder.decode(frame) or ())

    with theirs, ours:
        client._sock = BufferedSocket(ours)  # type: ignore[assignment]
        work()
        assert calls(work) < 55  # 53 when this was written
        assert theirs.recv(1 << 16).count(b"21.5") == 2
        client._sock = None
    wakeup.close()


def test_a_message_that_waits_holds_little_memory() -> None:
    outbox = Outbox()
    outlet = Outlet("dev", MsgMap("home", sender="gw", status_qos=0), outbox)
    msgs = [InternalMsg(device="probe", action="T", arguments={"celsius": number}) for number in range(2000)]
    for msg in msgs[:1000]:
        outlet.push(msg)
    gc.collect()
    tracemalloc.start()
    try:
        for msg in msgs[1000:]:
            outlet.push(msg)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(outbox) == 2000
    assert held / 1000 < 500  # bytes: the publication, its payload, and its place in the queue


def test_a_frame_costs_the_same_behind_a_hundred_rules_with_prefixes() -> None:
    hundred = [{**RULE, "regex": f"K{number:02} (?P<celsius>[0-9.]+)"} for number in range(100)]
    one, many = serial_rules(decode=hundred[-1:]), serial_rules(decode=hundred)

    def decode(rules: SerialRules) -> int:
        return steps(lambda: [rules.decoder.decode(b"K99 21.5") for _ in range(100)])

    assert decode(many) <= decode(one) * 1.5


# --- devices


def device_of(number: int, points: int, report: ReportRule | None = None) -> Device:
    each = (Point(f"p{n}", PointType.NUMBER, (Feed("T", f"p{n}"),), report=report) for n in range(points))
    return Device(f"d{number}", tuple(each), address={"device": f"d{number}"})


def test_a_message_that_feeds_a_point_with_a_deadband_is_observed_in_few_calls() -> None:
    model = Model([device_of(0, 1, ReportRule(on_change=True, deadband=0.5))])
    messages = [InternalMsg(device="d0", action="T", arguments={"p0": 20 + value / 100}) for value in range(40)]
    model.observe(messages[0], 0.0, 0.0)
    assert calls(lambda: [model.observe(msg, 1.0, 1.0) for msg in messages]) / 40 < 6.5  # 6 when this was written
    assert model.suppressed == 40


def test_a_point_holds_little_memory() -> None:
    devices = [device_of(number, 100) for number in range(20)]
    gc.collect()
    tracemalloc.start()
    try:
        model = Model(devices)
        for device in devices:
            for point in device.points:
                model.observe(InternalMsg(device=device.id, action="T", arguments={point.key: 1.0}), 0.0, 0.0)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 2000 < 1024  # bytes; 352 when this was written


# --- maps


def test_translation_does_not_depend_on_the_number_of_entries(tmp_path: Path) -> None:
    msg = InternalMsg(device="device 7", action="T", arguments={"v": 1})

    def both_ways(entries: int) -> tuple[int, int]:
        msg_map = load_map(map_file(tmp_path, entries), sender="gw")
        write = steps(lambda: msg_map.internal2mqtt(msg))
        return write, steps(lambda: msg_map.mqtt2internal("home////word7/else/S", b"on"))

    assert both_ways(10) == both_ways(10_000)


def test_an_entry_of_a_map_is_checked_in_few_calls(tmp_path: Path) -> None:
    few, many = map_file(tmp_path, 1000), map_file(tmp_path, 3000)
    load_map(few, sender="gw")  # schemas are read once
    each = (calls(lambda: load_map(many, sender="gw")) - calls(lambda: load_map(few, sender="gw"))) / 2000
    assert each < 8  # 6 when this was written; jsonschema alone takes more than 60


# --- many interfaces


def test_a_command_for_one_of_a_thousand_interfaces_costs_no_more_than_for_one_of_ten() -> None:
    command = InternalMsg(True, location="hall", device="d7", action="ON")

    def find(count: int) -> int:
        listeners = CommandIndex(
            {f"d{number}": [{"location": "hall", "device": f"d{number}"}] for number in range(count)}
        )
        assert listeners.interfaces_for(command) == ("d7",)
        return steps(lambda: listeners.interfaces_for(command))

    assert find(1000) == find(10)


def test_the_load_time_of_a_configuration_grows_with_its_interfaces_and_no_faster(tmp_path: Path) -> None:
    def load(count: int) -> int:
        interfaces = {
            f"d{number}": {"type": "serial", "port": f"/dev/x{number}", "decode": [RULE]} for number in range(count)
        }
        path = tmp_path / f"{count}.conf"
        path.write_text(json.dumps({"root": "home", "topics": [], "interfaces": interfaces}))
        return calls(lambda: load_configuration(path, {}))

    load(1)
    first, second, third = load(10), load(30), load(50)
    assert third - second < (second - first) * 1.1


# --- system calls


def test_what_looks_like_many_frames_in_one_another_costs_no_more_calls_than_its_bytes_allow() -> None:
    framer = MarkerFramer(b"<", b">", is_valid=lambda frame: False)
    for _ in range(4):  # until every checksum has been used
        framer.feed(b"<>" * 500)
    assert calls(lambda: framer.feed(b"<>" * 500)) < 10 * 1000


def test_doubled_bytes_that_may_begin_many_frames_are_not_visited_one_by_one() -> None:
    options = {"type": "markers", "start": "x", "stop": "\x10\x03", "stuffing": "\x10", "max_length": 400}

    def cost(data: bytes) -> int:
        codec = FrameCodec(options)
        return steps(lambda: list(codec.feed(data)))

    assert cost(b"xx\x10\x10" * 250) < 3 * cost(b"xxxx" * 250)


def test_bytes_that_are_no_frame_are_not_copied() -> None:
    """A frame may be long, and is looked for at each of its bytes."""
    codec = FrameCodec({"type": "fixed", "start": "x", "length": 100_000, "stop": "y", "max_length": 100_000})
    tracemalloc.start()
    try:
        for _ in range(110):
            assert not list(codec.feed(b"x" * 1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000, "the bytes that wait, and room for more, but no copies of them"


def test_lines_that_come_together_share_their_system_calls(tmp_path: Path, mosquitto: Mosquitto) -> None:
    strace = tool_or_skip("strace", "strace")
    conf, trace = tmp_path / "gw.conf", tmp_path / "trace"
    with PtyDevice(tmp_path) as device, mosquitto.client("home/#") as listener:
        interface = {"type": "serial", "port": str(device.path), "decode": [RULE]}
        options = {"name": "gw", "root": "home", "topics": [], "mqtt": {"port": mosquitto.port, "qos": 0}}
        conf.write_text(json.dumps({**options, "interface": interface}))
        prefix = (strace, "-f", "-qq", "-e", "trace=read,write,sendto,recvfrom,sendmsg", "-o", str(trace))
        with GatewayProcess(conf, prefix=prefix) as gateway:
            listener.wait_topic("home/gw/serial/availability", b"online")
            gateway.wait_log("connected to")
            before = len(trace.read_text().splitlines())
            device.write(b"T 21.5\n" * 300)
            wait_until(lambda: sum(topic.endswith("/S") for topic, _ in listener.pairs()) >= 300)
            lines = trace.read_text().splitlines()[before:]
    reads = [line for line in lines if re.search(r"read\(\d+, \"T ", line)]
    assert len(reads) <= 30  # one for all available bytes, not one for each byte or line
    assert len(lines) <= 100  # 10 if nothing interrupts


def test_a_line_wakes_the_thread_of_its_interface_and_not_the_main_one(tmp_path: Path, mosquitto: Mosquitto) -> None:
    strace = tool_or_skip("strace", "strace")
    conf, trace, count = tmp_path / "gw.conf", tmp_path / "trace", 20
    with PtyDevice(tmp_path) as device, mosquitto.client("home/#") as listener:
        interface = {"type": "serial", "port": str(device.path), "decode": [RULE]}
        options = {"name": "gw", "root": "home", "topics": [], "mqtt": {"port": mosquitto.port, "qos": 0}}
        conf.write_text(json.dumps({**options, "outbox": {"store": "memory"}, "interface": interface}))
        with GatewayProcess(conf, prefix=(strace, "-f", "-qq", "-o", str(trace))):
            listener.wait_topic("home/gw/serial/availability", b"online")
            seen = len(listener.pairs())
            before = len(trace.read_text().splitlines())
            for number in range(count):
                device.write(b"T 21.5\n")
                wait_until(lambda: len(listener.pairs()) > seen + number)  # noqa: B023
            lines = trace.read_text().splitlines()
    main = lines[0].split()[0]
    of_main = [line for line in lines[before:] if line.startswith(f"{main} ")]
    assert len(of_main) < count, of_main  # some checks of the keepalive, if it takes long


def test_at_rest_nobody_wakes_but_for_the_keepalive(tmp_path: Path, mosquitto: Mosquitto) -> None:
    strace = tool_or_skip("strace", "strace")
    conf, trace = tmp_path / "gw.conf", tmp_path / "trace"
    with PtyDevice(tmp_path) as device, mosquitto.client("home/#") as listener:
        interface = {"type": "serial", "port": str(device.path), "decode": [RULE]}
        mqtt = {"port": mosquitto.port, "keepalive": 4}  # checked every half a second
        options = {"name": "gw", "root": "home", "topics": [], "mqtt": mqtt, "outbox": {"store": "memory"}}
        conf.write_text(json.dumps({**options, "interface": interface}))
        with GatewayProcess(conf, prefix=(strace, "-f", "-qq", "-o", str(trace))):
            listener.wait_topic("home/gw/serial/availability", b"online")

            def calls_between_checks() -> list[int]:
                """Return how many system calls the main thread makes between its checks of the keepalive."""
                lines = trace.read_text().splitlines()
                checks = [number for number, line in enumerate(lines) if re.search(r"\], 2, 500[) ]", line)]
                return [after - before for before, after in itertools.pairwise(checks)]

            wait_until(lambda: len(calls_between_checks()) > 6, what="checks of the keepalive")
            assert min(calls_between_checks()[-3:]) <= 2, trace.read_text()[-2000:]
