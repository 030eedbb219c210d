"""The commands that connect to the broker, `watch` and `send`: what they print, and their exit codes."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.cli.test_exit_codes import BOILER
from tests.support.broker import Mosquitto, free_port, mosquitto_or_skip
from tests.support.configuration import shipped_conf, write_conf
from tests.support.gateway_process import COMMAND, GatewayProcess, run_command
from tests.support.peer import Peer, serve, stay_silent
from tests.support.waiting import wait_until

LAMP = ("--function", "lighting", "--location", "office", "--device", "lamp", "--action")
TIME = r"\d\d:\d\d:\d\d\.\d\d\d"


@pytest.fixture
def conf(tmp_path: Path, mosquitto: Mosquitto) -> Path:
    return shipped_conf(tmp_path, "dummy2mqtt.conf", mosquitto.port)


@pytest.fixture
def gateway(conf: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(conf) as process:
        process.wait_log("connected to")
        yield process


@pytest.fixture
def watching(conf: Path, gateway: GatewayProcess) -> Iterator[GatewayProcess]:
    with GatewayProcess(conf, "watch") as process:
        process.wait_output("home/dummy2mqtt is online")
        yield process


# --- send


def test_a_command_is_shown_with_its_answer(conf: Path, gateway: GatewayProcess) -> None:
    done = run_command(conf, "send", *LAMP, "LAMP_ON")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "command lighting/-/office/lamp/dummy2mqtt-send LAMP_ON",
        "status  lighting/-/office/lamp/dummy2mqtt LAMP_ON response='OK' reason=''",
    ]


def test_an_answer_that_is_an_error_fails(conf: Path, gateway: GatewayProcess) -> None:
    done = run_command(conf, "send", *LAMP, "LAMP_STATE")
    assert done.returncode == 1
    assert "response='REFUSED'" in done.stdout
    assert "use one of LAMP_ON, LAMP_OFF" in done.stdout


def test_a_command_without_an_answer_fails(conf: Path, mosquitto: Mosquitto) -> None:
    with mosquitto.client("home/#") as listener:
        done = run_command(conf, "send", *LAMP, "LAMP_ON", "--wait", "0.2")
        listener.wait_topic("home/lighting//office/lamp/dummy2mqtt-send/C", b"on")
    assert done.returncode == 1
    assert done.stderr == (
        "mqttgateway: no answer within 0.2 s: no gateway 'dummy2mqtt' has ever been connected to this broker (nothing "
        f"is retained on home/dummy2mqtt/availability): start it with 'mqttgateway --conf {conf}'\n"
    )


def test_a_missing_answer_of_an_offline_gateway_is_explained(conf: Path, gateway: GatewayProcess) -> None:
    gateway.stop()
    done = run_command(conf, "send", *LAMP, "LAMP_ON", "--wait", "0.5")
    assert done.returncode == 1
    assert (
        f"the gateway 'dummy2mqtt' is offline: start it with 'mqttgateway --conf {conf}', or read its log"
        in done.stderr
    )


def test_a_missing_answer_of_an_online_gateway_is_explained(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface={**BOILER, "port": "loop://"})
    with GatewayProcess(conf) as gateway:
        gateway.wait_log("loop:// is open")
        gateway.wait_log("connected to")
        words = ("send", "--function", "heating", "--location", "cellar", "--device", "boiler", "--action", "HEAT_ON")
        done = run_command(conf, *words, "--wait", "0.5")
    assert done.returncode == 1
    assert done.stderr == (
        "mqttgateway: no answer within 0.5 s: the gateway 'gw' is online, but has no device with this "
        "address; it accepts commands for: function=heating location=hall device=boiler\n"
    )


def test_of_two_maps_the_one_that_can_write_the_message_is_used(tmp_path: Path, mosquitto: Mosquitto) -> None:
    strict = {"root": "site", "topics": [], "action": {"maptype": "strict", "map": {"BELL": ["ring"]}}}
    interfaces = {"a": {"type": "dummy"}, "b": {"type": "dummy", "map": strict}}
    conf = write_conf(tmp_path, mosquitto.port, interfaces=interfaces)
    with mosquitto.client("#") as listener:
        done = run_command(conf, "send", "--action", "LAMP_ON", "--wait", "0")
        listener.wait_topic("home/////gw-send/C", b"LAMP_ON")
        assert (done.returncode, done.stderr) == (0, "")
        done = run_command(conf, "send", "--action", "BELL", "--wait", "0")
        assert done.returncode == 2
        assert done.stderr == (
            "mqttgateway: the maps of the interfaces write this message differently (a: home/////gw-send/C; b: "
            "site/////gw-send/C): choose one with --interface\n"
        )
        done = run_command(conf, "send", "--action", "BELL", "--wait", "0", "--interface", "b")
        assert (done.returncode, done.stderr) == (0, "")
        listener.wait_topic("site/////gw-send/C", b"ring")
        assert len(listener.messages) == 2


def test_without_an_action_nothing_is_sent(conf: Path) -> None:
    done = run_command(conf, "send", *LAMP[:-1])
    assert done.returncode == 2
    assert done.stderr == "mqttgateway: which action? give --action WORD, for example --action LAMP_ON\n"


def test_a_status_with_arguments(conf: Path, mosquitto: Mosquitto) -> None:
    options = ("--arg", "level=50", "--arg", "lit=true", "--arg", "note=a b", "--sender", "me")
    with mosquitto.client("home/#") as listener:
        done = run_command(conf, "send", *LAMP, "LAMP_STATE", "--status", *options)
        message = listener.wait_topic("home/lighting//office/lamp/me/S")
    assert message.payload == b'{"action": "state", "level": 50, "lit": true, "note": "a b"}'
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "status  lighting/-/office/lamp/me LAMP_STATE level=50 lit=True note='a b'\n"


def test_a_word_that_the_map_does_not_know_is_not_sent(conf: Path, mosquitto: Mosquitto) -> None:
    with mosquitto.client("home/#") as listener:
        done = run_command(conf, "send", "--function", "heating", "--action", "LAMP_ON")
        assert done.returncode == 1
        assert done.stderr.startswith("mqttgateway: not sent: function: 'heating' is not in the map")
        assert not listener.messages


def test_an_argument_without_a_value_is_refused(conf: Path) -> None:
    done = run_command(conf, "send", *LAMP, "LAMP_ON", "--arg", "level")
    assert done.returncode == 2
    assert done.stderr == "mqttgateway: --arg: 'level' is not NAME=VALUE: for example --arg level=50\n"


def test_an_interface_that_is_not_there_is_refused(conf: Path) -> None:
    done = run_command(conf, "send", *LAMP, "LAMP_ON", "--interface", "lamp")
    assert done.returncode == 2
    assert done.stderr == "mqttgateway: --interface: no interface is called 'lamp': there are: dummy\n"


def test_a_status_that_the_broker_does_not_accept_fails(tmp_path: Path) -> None:
    with Peer(serve(pubacks=0)) as peer:
        conf = write_conf(tmp_path, peer.port, interface={"type": "dummy"})
        done = run_command(conf, "send", *LAMP, "LAMP_STATE", "--status")
    assert done.returncode == 1
    assert done.stderr == f"mqttgateway: 127.0.0.1:{peer.port} did not accept the message: is it an MQTT broker?\n"


# --- no broker, or a broker that denies access


@pytest.mark.parametrize("command", [("watch",), ("send", *LAMP, "LAMP_ON")], ids=["watch", "send"])
def test_a_missing_broker_is_reported_in_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    conf = shipped_conf(tmp_path, "dummy2mqtt.conf", port := free_port())
    done = run_command(conf, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"mqttgateway: nothing listens at 127.0.0.1:{port}: is the broker running, and mqtt.port right?\n"
    )


def test_a_broker_that_refuses_the_connection_is_reported(tmp_path: Path) -> None:
    mosquitto_or_skip()
    with Mosquitto(tmp_path, "allow_anonymous false\n") as broker:
        done = run_command(shipped_conf(tmp_path, "dummy2mqtt.conf", broker.port), "watch")
    assert done.returncode == 1
    assert "refused the connection: Not authorized: check mqtt.username" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_broker_that_sends_nothing_is_abandoned_after_the_timeout(tmp_path: Path) -> None:
    with Peer(stay_silent) as peer:
        mqtt = {"connect_timeout": 0.3}
        done = run_command(write_conf(tmp_path, peer.port, interface={"type": "dummy"}, mqtt=mqtt), "watch")
    assert done.returncode == 1
    assert "sent no CONNACK within 0.3 s" in done.stderr


# --- watch


def test_traffic_is_shown_as_internal_messages(watching: GatewayProcess, conf: Path, mosquitto: Mosquitto) -> None:
    run_command(conf, "send", *LAMP, "LAMP_ON")
    with mosquitto.client() as other:
        other.publish("home/lights//study/lamp/me/C", "ON")
    watching.wait_output(f"(?m)^{TIME} home/dummy2mqtt is online \\(retained\\)$")
    watching.wait_output(f"(?m)^{TIME} home/dummy2mqtt/dummy is online \\(retained\\)$")
    watching.wait_output(f"(?m)^{TIME} command lighting/-/office/lamp/dummy2mqtt-send LAMP_ON$")
    watching.wait_output(f"(?m)^{TIME} status  lighting/-/office/lamp/dummy2mqtt LAMP_ON response='OK' reason=''$")
    watching.wait_output(f"(?m)^{TIME} command lighting/-/office/lamp/me LAMP_ON$")
    outcome = r'{"action":"LAMP_ON","arguments":{},"response":"OK","reason":"","sender":"me","_time":"[0-9TZ:.-]+"}'
    watching.wait_output(f"(?m)^{TIME} home/dummy2mqtt/lamp: outcome {outcome}$")
    with mosquitto.client() as client:
        client.publish("home/dummy2mqtt/health/check", "")
        client.publish("home/dummy2mqtt/manage", '{"request": "reload"}')
    watching.wait_output(f"(?m)^{TIME} home/dummy2mqtt/health: check $")
    watching.wait_output(f'(?m)^{TIME} home/dummy2mqtt: manage {{"request": "reload"}}$')
    assert "not read" not in watching.output
    assert watching.log == ""


def test_what_the_map_does_not_read_is_shown_harmlessly(watching: GatewayProcess, mosquitto: Mosquitto) -> None:
    with mosquitto.client() as other:
        other.publish("home/lighting/g/l/d/me/C", b"{")
        other.publish("home/lighting/g/l/d/me/C", b"on\x1b[31m\r\n\x07")
        other.publish("home/lighting/g/l/d/me/C", b"\xff")
        other.publish("home/elsewhere", b"1")
        other.publish("home/x/availability", b"\x1b]0;title\x07")
        other.publish("home/lighting/g/l/d/me/C", b"on")
        other.publish("home/g/d/state", '{"t": "it\'s \\"grün\\" \\\\ 💡"}\n\x9b31m\u202e'.encode())
        other.publish("home/g/d/outcome", b"\xff")
    watching.wait_output("(?m) command lighting/g/l/d/me LAMP_ON$")
    watching.wait_output("home/g/d: outcome")
    assert r"""home/g/d: state {"t": "it's \"grün\" \\ 💡"}\n\u009b31m\u202e""" in watching.output
    assert r"home/g/d: outcome \xff" in watching.output
    assert len(re.findall(r"(?m)^.* not read: .* \('home/", watching.output)) == 4
    assert "home/x is \\x1b]0;title\\x07" in watching.output
    assert watching.output.replace("\n", "").isprintable()
    assert watching.returncode is None


@contextlib.contextmanager
def mqtt5_client(broker: Mosquitto) -> Iterator[mqtt.Client]:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        wait_until(client.is_connected)  # what is published before that loses its properties
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def test_raw_messages_are_shown_with_all_that_belongs_to_them(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, interface={"type": "dummy"})
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ResponseTopic = "answers/me"
    properties.CorrelationData = b"\x07\xff"
    properties.UserProperty = [("from", "a\u202etest"), ("n", "2")]
    with GatewayProcess(conf, "watch", "--raw", "--topic", "elsewhere/#") as watching, mosquitto.client() as other:
        watched = ("elsewhere/state", "elsewhere/none")

        def is_subscribed() -> bool:
            other.publish(watched[1], b"", retain=False)
            return watched[1] in watching.output

        wait_until(is_subscribed, 20, pause=0.2)
        with mqtt5_client(mosquitto) as client:
            sent = client.publish(watched[0], b"\x00{\xc3\xbc}", qos=1, retain=True, properties=properties)
            sent.wait_for_publish(10)
        watching.wait_output(
            rf"(?m)^{TIME} elsewhere/state \(QoS 1\) \\x00{{ü}}\n"
            r"    ResponseTopic: answers/me\n    CorrelationData: 07ff\n"
            r"    UserProperty: from = a\\u202etest\n    UserProperty: n = 2$"
        )
        assert "home/" not in watching.output
    done = run_command(conf, "watch", "--raw", "--topic", "elsewhere/#", "--count", "1")
    assert "elsewhere/state (QoS 1, retained)" in done.stdout
    with mosquitto.client() as other:
        other.publish("elsewhere/state", b"", retain=True)


def test_one_device_can_be_watched(conf: Path, mosquitto: Mosquitto) -> None:
    with GatewayProcess(conf, "watch", "--device", "la?p") as watching, mosquitto.client() as other:

        def is_shown() -> bool:
            other.publish("home/lighting//office/heater/me/C", "ON")
            other.publish("home/elsewhere/heater", "1")
            other.publish("home/lighting//office/lamp/me/C", "ON")
            return "home/gw/lamp: state" in watching.output

        other.publish("home/gw/lamp/state", "{}", retain=True)
        wait_until(is_shown, 20, pause=0.2)
        watching.wait_output("(?m) command lighting/-/office/lamp/me LAMP_ON$")
        other.publish("home/gw/lamp/state", b"", retain=True)
        assert "heater" not in watching.output
        assert watching.log == ""
    done = run_command(conf, "watch", "--topic", "a#")
    assert done.returncode == 2
    assert done.stderr.startswith("mqttgateway: --topic 'a#': ")


def test_watching_ends_after_so_many_messages(conf: Path, gateway: GatewayProcess) -> None:
    done = run_command(conf, "watch", "--count", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2


def test_watching_ends_with_ctrl_c(watching: GatewayProcess) -> None:
    assert watching.stop(signal.SIGINT) < 3
    assert watching.log == ""


def test_watching_ends_quietly_when_standard_output_is_closed(conf: Path, gateway: GatewayProcess) -> None:
    command = [*COMMAND, "watch", "--conf", str(conf)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdout.readline()
            process.stdout.close()
            run_command(conf, "send", *LAMP, "LAMP_ON")
            assert process.wait(10) == os.EX_OK
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_watching_goes_on_after_an_outage(watching: GatewayProcess, mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    watching.wait_log("lost the broker")
    mosquitto.start()
    watching.wait_log("mqttgateway: connected again\n")
    with mosquitto.client() as other:
        other.publish("home/lighting/g/l/d/me/C", b"on", retain=True)  # seen whether it is subscribed already or not
        watching.wait_output("command lighting/g/l/d/me LAMP_ON")


# --- a syntax of its own


TASMOTA = {
    "root": "home",
    "topics": ["cmnd/lamp/+"],
    "syntax": {
        "constants": {"function": "lighting", "gateway": "", "location": "office"},
        "commands": [{"topic": "cmnd/{device}/{action}", "payload": "value"}],
        "statuses": [
            {"topic": "tele/{device}/STATE", "payload": "json", "constants": {"action": "LAMP_STATE"}},
            {"topic": "stat/{device}/RESULT", "payload": "action"},
            {"topic": "home/{device}/availability", "payload": "value", "constants": {"action": "THERE"}},
        ],
    },
    "action": {"maptype": "strict", "map": {"LAMP_ON": ["ON"], "LAMP_OFF": ["OFF"]}},
}


def test_a_gateway_of_another_syntax_is_commanded_and_watched(tmp_path: Path, mosquitto: Mosquitto) -> None:
    conf = write_conf(tmp_path, mosquitto.port, map=TASMOTA, interface={"type": "dummy"})
    with (
        mosquitto.client("stat/#", "tele/#") as listener,
        GatewayProcess(conf) as gateway,
        GatewayProcess(conf, "watch") as watching,
    ):
        gateway.wait_log("connected to")
        watching.wait_output("home/gw is online")
        listener.wait_topic("tele/lamp/STATE", b'{"on": false, "uptime": 0}')
        listener.publish("cmnd/lamp/ON", b"")
        listener.wait_topic("stat/lamp/RESULT", b'{"action": "ON", "response": "OK", "reason": ""}')
        done = run_command(conf, "send", *LAMP, "LAMP_OFF")
        listener.publish("home/plug/availability", b"online")
        watching.wait_output(f"(?m)^{TIME} status  lighting/-/office/plug/- THERE value='online'$")
        watching.wait_output(f"(?m)^{TIME} command lighting/-/office/lamp/- LAMP_ON$")
        watching.wait_output(f"(?m)^{TIME} status  lighting/-/office/lamp/- LAMP_OFF response='OK' reason=''$")
        assert "home/gw/dummy is online" in watching.output
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "command lighting/-/office/lamp/gw-send LAMP_OFF",
        "status  lighting/-/office/lamp/- LAMP_OFF response='OK' reason=''",
    ]
