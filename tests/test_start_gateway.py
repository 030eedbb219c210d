"""The whole gateway: start, orderly stop, failures of the broker and of interfaces, and commands that must not run."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from gateway.configuration.load_config import load_configuration
from gateway.message import InternalMsg
from gateway.start_gateway import Gateway
from gateway.translation.mqtt_map import MsgMap
from tests.support.broker import Listener, Mosquitto, free_port
from tests.support.cable import Cable
from tests.support.configuration import trial, write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.peer import DISCONNECT, PUBLISH, Peer, serve
from tests.support.waiting import wait_until

EVERYTHING = "home/#"
GATEWAY = "home/gw/availability"


def actions(listener: Listener, action: str) -> list[dict[str, object]]:
    """Return the arguments of the statuses with that action, in the order in which they came."""
    statuses = [
        json.loads(payload) for topic, payload in listener.pairs() if topic.endswith("/S") and payload[:1] == b"{"
    ]
    return [status for status in statuses if status["action"] == action]


def wait_for_more(listener: Listener, action: str, count: int) -> None:
    """Return once there are `count` more statuses with that action."""
    enough = len(actions(listener, action)) + count
    wait_until(lambda: len(actions(listener, action)) >= enough, what=f"{count} more {action}")


# --- start and stop


def test_each_interface_has_a_thread_of_its_name(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interfaces = {"hall": trial("Ticker"), "door": trial("Recorder")}
    gateway = Gateway(load_configuration(write_conf(tmp_path, mosquitto.port, interfaces=interfaces), {}))
    assert gateway.outbox.on_put == gateway.client.transmitter.request_send, "interfaces send what they put"
    runner = threading.Thread(target=gateway.run, name="main of the gateway")
    with mosquitto.client(EVERYTHING) as listener:
        runner.start()
        try:
            listener.wait_topic("home/gw/hall/availability", b"online")
            listener.wait_topic("home/gw/door/availability", b"online")
            assert {"hall", "door"} <= {thread.name for thread in threading.enumerate()}
        finally:
            gateway.stop()
            runner.join(10)
            gateway.close()
        listener.wait_topic(GATEWAY, b"offline")
    assert gateway.outbox.counts().delivered == gateway.outbox.counts().accepted


def test_a_device_may_publish_a_new_retained_topic_while_a_reload_looks_for_stale_ones(
    tmp_path: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = load_configuration(write_conf(tmp_path, mosquitto.port, interface=trial("Recorder")), {})
    gateway = Gateway(configuration, lambda: configuration)
    for number in range(3):
        gateway.outbox.record_retained(f"home/lamp/{number}", b"1")
    read, seen = MsgMap.mqtt2internal, []

    def read_while_others_publish(msg_map: MsgMap, topic: str, payload: bytes) -> InternalMsg:
        seen.append(topic)
        gateway.outbox.record_retained(f"home/door/{len(seen)}", b"1")  # as an interface does when it sends
        return read(msg_map, topic, payload)

    runner = threading.Thread(target=gateway.run, name="main of the gateway")
    runner.start()
    try:
        wait_until(lambda: gateway.client.is_subscribed)
        monkeypatch.setattr(MsgMap, "mqtt2internal", read_while_others_publish)
        gateway.reload()
        wait_until(lambda: len(seen) >= 3 or not runner.is_alive())
        runner.join(0.2)
        assert runner.is_alive(), "it goes on"
    finally:
        gateway.stop()
        runner.join(10)
        gateway.close()


def test_the_order_of_an_orderly_stop(tmp_path: Path) -> None:
    interfaces = {"hall": trial("Ticker"), "own": trial("Threaded")}
    with Peer(serve()) as peer:
        conf = write_conf(tmp_path, peer.port, interfaces=interfaces)
        with GatewayProcess(conf) as gateway:
            wait_until(lambda: len(peer.packets(PUBLISH)) >= 6, what=lambda: gateway.log)
            gateway.stop()
        (conversation,) = peer.conversations
        sent = [packet for packet in conversation.packets if packet.kind in (PUBLISH, DISCONNECT)]
    assert sent[-1].kind == DISCONNECT
    assert (sent[-2].topic, sent[-2].payload) == (GATEWAY, b"offline")
    published = [(packet.topic, packet.payload) for packet in sent[:-2]]
    for name, last in (("hall", b"LAST"), ("own", b"STOPPED")):
        at_last = next(index for index, (_, payload) in enumerate(published) if last in payload)
        assert published.index((f"home/gw/{name}/availability", b"offline")) > at_last
    assert all(b"TICK" not in payload for _, payload in published[at_last:] if b"LAST" in payload)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_quick_and_clean(number: int, tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker", interval=0.001))
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: len(actions(listener, "TICK")) > 100, what=lambda: gateway.log)
        assert gateway.stop(number) < 2
        wait_until(lambda: actions(listener, "LAST"), what="the last status")
        (last,) = actions(listener, "LAST")
        numbers = [status["number"] for status in actions(listener, "TICK")]
        assert numbers == list(range(int(str(last["number"]))))
        assert "Traceback" not in gateway.log


def test_a_stop_before_the_broker_was_ever_there(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, free_port(), interface=trial("Ticker"), outbox={"store": "memory"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("nothing listens at")
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.wait(12) == 1
        assert time.monotonic() - began < 10
        assert "messages did not reach the broker and are lost" in gateway.log
        assert "Traceback" not in gateway.log


def test_messages_that_wait_at_the_stop_are_sent_by_the_next_run(tmp_path: Path) -> None:
    port = free_port()
    conf = write_conf(tmp_path, port, interface=trial("Ticker"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("nothing listens at")
        assert gateway.stop() < 3, "with a disk there is nothing to wait for"
        assert "messages wait on disk for the next start" in gateway.log
        assert re.search(r"stopped; sent: 0 delivered, \d+ kept on disk", gateway.log)
    with Mosquitto(tmp_path, port=port) as broker, broker.client(EVERYTHING) as listener, GatewayProcess(conf) as again:
        wait_until(lambda: actions(listener, "LAST"), what=lambda: again.log)
        (last,) = actions(listener, "LAST")
        numbers = [status["number"] for status in actions(listener, "TICK")][: int(str(last["number"]))]
        assert numbers == list(range(int(str(last["number"]))))
        assert "messages of an earlier run are waiting in" in again.log


def test_a_removed_outbox_file_is_noticed_without_traffic(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, free_port(), interface=trial("Recorder"), outbox={"file": "gw.outbox"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("no connection to the broker")
        (tmp_path / "gw.outbox").unlink()
        gateway.wait_log("was removed or replaced; created a new one; 0 messages lost", timeout=20)
        assert (tmp_path / "gw.outbox").exists()


def test_a_stop_while_the_broker_hangs(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker"), outbox={"store": "memory"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        mosquitto.signal(signal.SIGSTOP)
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.wait(12) == 1
        assert time.monotonic() - began < 10
        assert "messages did not reach the broker and are lost" in gateway.log


def test_a_signal_that_reaches_another_thread_stops_it_as_well(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Python runs a handler in the main thread only, which may be about to wait."""
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        gateway.wake_ups(0.2)
        pid = gateway.process.pid
        threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
        began = time.monotonic()
        os.kill(next(thread for thread in threads if thread != pid), signal.SIGTERM)
        assert gateway.wait() == 0
        assert time.monotonic() - began < 2


def test_a_second_signal_ends_the_process_immediately(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        mosquitto.signal(signal.SIGSTOP)
        gateway.process.send_signal(signal.SIGINT)
        gateway.wait_log("stopping")
        gateway.wake_ups(0.4)  # so that it does not count as the same signal sent twice
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.wait(5) == 1
        assert time.monotonic() - began < 1
        assert gateway.log.endswith("stopped immediately by a second signal\n")


def test_a_signal_that_is_sent_twice_is_one(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Ticker"))
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        gateway.process.send_signal(signal.SIGTERM)
        gateway.stop(signal.SIGTERM)
        listener.wait_topic(GATEWAY, b"offline")


def test_an_interface_that_does_not_return_is_abandoned(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interfaces = {"stuck": trial("Stuck"), "hall": trial("Ticker")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces)
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/stuck/availability", b"online")
        assert gateway.stop() < 3
        assert "stuck: interface thread did not stop within 1.5 s; abandoning it" in gateway.log
        listener.wait_topic("home/gw/hall/availability", b"offline")
        listener.wait_topic(GATEWAY, b"offline")


# --- interfaces that fail


def outcomes(listener: Listener) -> list[tuple[str, str]]:
    """Return the action and the response of each answer to a command."""
    statuses = [json.loads(payload) for topic, payload in listener.pairs() if topic.endswith("/S") and b"{" in payload]
    return [(status["action"], status["response"]) for status in statuses if "response" in status]


@pytest.mark.parametrize("quits", [False, True], ids=["ValueError", "SystemExit"])
def test_an_interface_that_fails_is_restarted_and_the_other_is_not_affected(
    quits: bool, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    interfaces = {"bad": trial("Failing", quits=quits), "good": trial("Ticker", interval=0.01)}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces)
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: actions(listener, "RUNS"), what=lambda: gateway.log)
        assert [status["start"] for status in actions(listener, "TRIED")] == [1, 2]
        gateway.stop()
        wait_until(lambda: actions(listener, "LAST"), what="the last status")
        numbers = [status["number"] for status in actions(listener, "TICK")]
        available = [payload for topic, payload in listener.pairs() if topic == "home/gw/bad/availability"]
    assert numbers == list(range(len(numbers)))
    assert available[-2:] == [b"online", b"offline"]
    assert b"offline" in available[:-2]
    assert gateway.log.count("Traceback") == 1
    failures = re.findall("bad: the interface failed and will be restarted: .*", gateway.log)
    assert len(failures) == 2
    assert " (once more in the last " in failures[1]  # logged at the stop


def test_commands_for_an_interface_that_is_down_are_answered(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Failing", failures=1000))
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        gateway.wait_log("the interface failed")
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        for number in range(50):
            listener.publish("home/f/g/l/d/other/C", f"OPEN{number}")
        wait_until(lambda: len(outcomes(listener)) == 50, what=lambda: gateway.log)
        gateway.stop()
    assert outcomes(listener) == [(f"OPEN{number}", "OFFLINE") for number in range(50)]


def test_hanging_code_is_named_and_waiting_commands_are_answered(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A device hangs, and a hook, which blocks the main thread and so the link."""
    hooks = tmp_path / "hooks.py"
    hooks.write_text(
        "import time\n\n\ndef ponder(msg):\n    if msg.action == 'PONDER':\n        time.sleep(11)\n    return msg\n"
    )
    interfaces = {"slow": trial("Slow"), "hall": trial("Recorder", filters={"in": [{"hook": "hooks.py:ponder"}]})}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces)
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        listener.wait_topic("home/gw/slow/availability", b"online")
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        for action in ("HANG", "WAIT"):
            listener.publish("home/f///slow/me/C", action)
        listener.publish("home/f///other/me/C", "PONDER")
        place = re.escape(str(hooks))
        gateway.wait_log("hall: the hook 'hooks.py:ponder' has not returned for ", timeout=11)
        assert "hook 'hooks.py:ponder' has returned" not in gateway.log
        gateway.wait_log("slow: write() has not returned for ")
        assert re.search(rf"'hooks.py:ponder' has not returned for \d+ s: it is at {place}:6 \(ponder\)", gateway.log)
        assert re.search(r"slow: write\(\) has not .* it is at \S+trial_interface.py:\d+ \(write\)", gateway.log)
        gateway.wait_log("'hooks.py:ponder' returned after 11 s", timeout=15)
        gateway.wait_log("slow: write() returned after 15 s", timeout=20)
        wait_until(lambda: len(outcomes(listener)) == 2, what=lambda: f"{outcomes(listener)} {gateway.log}")
        listener.publish("home/f///slow/me/C", "GO")
        wait_until(lambda: len(outcomes(listener)) == 3, what=lambda: gateway.log)
        gateway.stop()
    assert sorted(outcomes(listener)) == [("GO", "OK"), ("HANG", "TIMEOUT"), ("WAIT", "TIMEOUT")]
    assert "the interface answered 'OK' too late" in gateway.log


# --- an outage


def test_messages_of_an_outage_arrive_in_order_afterwards(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Cable(mosquitto.port) as cable, mosquitto.client(EVERYTHING) as listener:
        conf = write_conf(tmp_path, cable.port, interface=trial("Ticker", interval=0.005), mqtt={"reconnect_max": 1})
        with GatewayProcess(conf) as gateway:
            for connects in (2, 3):
                wait_for_more(listener, "TICK", 50)
                cable.cut()
                listener.wait_for(lambda message: message.topic == GATEWAY and message.payload == b"offline")
                gateway.wait_log("lost the broker", count=connects - 1)
                cable.restore()
                gateway.wait_log("connected to", count=connects)
            assert gateway.stop() < 2
        wait_until(lambda: actions(listener, "LAST"), what="the last status")
        numbers = [int(str(status["number"])) for status in actions(listener, "TICK")]
        made = int(str(actions(listener, "LAST")[0]["number"]))
    assert list(dict.fromkeys(numbers)) == list(range(made))


def test_retained_messages_that_a_broker_has_lost_are_published_again(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), name="gw")
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        mosquitto.kill()
        gateway.wait_log("lost the broker")
        mosquitto.start()
        with mosquitto.client(EVERYTHING) as listener:
            listener.wait_topic(GATEWAY, b"online")
            listener.wait_topic("home/gw/trial_interface/availability", b"online")
            listener.publish("home/f/g/l/d/other/C", "ON")
            wait_until(lambda: at_device(listener), what=lambda: gateway.log)
            gateway.stop()


# --- no busy loop


def test_an_interface_is_notified_of_each_change_of_the_link(tmp_path: Path, mosquitto: Mosquitto) -> None:
    up = {"action": "LINK", "up": True, "session_present": False, "connected": True, "thread": "hall"}
    down = {**up, "up": False, "connected": False}
    with Cable(mosquitto.port) as cable, mosquitto.client(EVERYTHING) as listener:
        conf = write_conf(tmp_path, cable.port, interfaces={"hall": trial("LinkReporter")})
        with GatewayProcess(conf) as gateway:
            wait_for_more(listener, "LINK", 1)
            cable.cut()
            gateway.wait_log("retrying in")
            cable.restore()

            def changes() -> list[object]:
                # The cut may take an acknowledgement with it: then the same message arrives twice.
                return [status for status, _ in itertools.groupby(actions(listener, "LINK"))]

            wait_until(lambda: changes() == [up, down, up], what=lambda: f"{changes()}\n{gateway.log}")
            gateway.stop()


def test_an_idle_gateway_sleeps(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        gateway.wake_ups(0.3)
        assert gateway.wake_ups(1.5) <= 10


def test_a_gateway_without_a_broker_sleeps(tmp_path: Path) -> None:
    conf = write_conf(tmp_path, free_port(), interface=trial("Recorder"))
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("nothing listens at")
        assert gateway.wake_ups(1.5) <= 60  # a few tries, each with a thread of its own


# --- old and invalid commands are not executed


def at_device(listener: Listener) -> list[str]:
    """Return the messages that have reached the device."""
    return [str(status["what"]) for status in actions(listener, "GOT")]


def test_a_retained_command_never_reaches_the_device(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Cable(mosquitto.port) as cable, mosquitto.client(EVERYTHING) as listener:
        listener.publish("home/f/g/l/gate/other/C", "OPEN", retain=True)
        conf = write_conf(
            tmp_path, cable.port, interface=trial("Recorder"), mqtt={"reconnect_max": 1, "version": "3.1.1"}
        )
        with GatewayProcess(conf) as gateway:
            gateway.wait_log("rejected: retained commands are never executed (on 'home/f/g/l/gate/other/C')")
            cable.cut()
            listener.wait_for(lambda message: message.topic == GATEWAY and message.payload == b"offline")
            listener.publish("home/f/g/l/gate/other/C", "OPEN AGAIN")
            listener.publish("home/f/g/l/gate/other/C", "OPEN LATER", retain=True)
            cable.restore()
            wait_until(lambda: mosquitto.log.read_text().count("Sending SUBACK to gw") == 6, what="the subscription")
            listener.publish("home/f/g/l/lamp/other/C", "ON")
            wait_until(lambda: at_device(listener), what=lambda: gateway.log)
            gateway.stop()
        assert at_device(listener) == ["command f/g/l/lamp/other ON"]
        assert "2 retained command" in gateway.log


def test_its_own_messages_are_dropped_as_echoes(tmp_path: Path, mosquitto: Mosquitto) -> None:
    topics = ["home/+/+/+/+/+/+"]
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"), topics=topics)
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        gateway.wait_log("connected to")
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        listener.publish("home/f/g/l/d/gw/C", "MINE")
        listener.publish("home/f/g/l/d/other/C", "1")
        listener.publish("home/f/g/l/d/other/S", "2")
        wait_until(lambda: len(at_device(listener)) == 2, what=lambda: gateway.log)
        gateway.stop()
        assert at_device(listener) == ["command f/g/l/d/other 1", "status f/g/l/d/other 2"]
        assert "1 echo" in gateway.log  # MINE; the broker does not send the other statuses back


def test_a_flood_of_commands_does_not_affect_other_interfaces(tmp_path: Path, mosquitto: Mosquitto) -> None:
    interfaces = {"deaf": trial("NeverReading", sender="deaf"), "hall": trial("Recorder", sender="hall")}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces, log={"level": "warning"})
    with mosquitto.client("home/+/+/+/+/hall/S") as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        for number in range(10_500):
            listener.client.publish("home/f/g/l/d/other/C", b"%d" % number)
        gateway.wait_log("deaf: dropped: 10000 messages are already waiting", timeout=20)
        wait_until(lambda: at_device(listener)[-1:] == ["command f/g/l/d/other 10499"], 20, lambda: gateway.log)
        assert at_device(listener) == [f"command f/g/l/d/other {number}" for number in range(10_500)]
        assert gateway.log.count("messages are already waiting") == 1
        assert gateway.stop() < 6  # each waiting command is answered


def test_invalid_messages_do_no_harm(tmp_path: Path, mosquitto: Mosquitto) -> None:
    deep, digits = b"[" * 10_000, b"9" * 10_000
    broken = [b"", b"\xff\xfe", b"{", b'{"a": NaN}', b'{"a": ' + deep, b'{"a": ' + digits + b"}", b'{"a": 1, "a": 2}',
              b'{"action": 5}', b'{"a": "\\ud800"}', bytes(300_000)]  # fmt: skip
    conf = write_conf(tmp_path, mosquitto.port, interface=trial("Recorder"))
    with mosquitto.client(EVERYTHING) as listener, GatewayProcess(conf) as gateway:
        wait_until(lambda: "Sending SUBACK to gw" in mosquitto.log.read_text(), what="the subscription")
        for payload in broken:
            listener.publish("home/f/g/l/d/other/C", payload)
        listener.publish("home/f/g/C", "ON")
        listener.publish("home/f/g/l/d/other/C", "ON")
        wait_until(lambda: at_device(listener), what=lambda: gateway.log)
        gateway.stop()
        assert at_device(listener) == ["command f/g/l/d/other ON"]
        assert f"{len(broken)} refused" in gateway.log
        assert "Traceback" not in gateway.log
