"""The scenario `faults`: whatever happens to one of two gateways, its status line in systemd names it in words.

Each fault is a function that makes it happen, and yields what the status line has to say next; `WELL` at the end, where
the fault can end. tests/faults provokes the same faults, and proves that nothing is lost by them.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.certificates import Authority
from tests.systemd.machine import Machine
from tests.systemd.service import ENTRY, installed
from tests.systemd.site import FOLDER, ONLINE, PORT, WELL, Shown, Site, write_files

Steps: TypeAlias = Iterator[str]
Fault: TypeAlias = Callable[[Site], Steps]


def faults(suite: str) -> str:
    """Each fault is named by the status line within 10 s, the other gateway does not notice, and all is well again."""
    with installed(suite) as machine:
        return provoke(machine, FAULTS)


def provoke(machine: Machine, chosen: tuple[Fault, ...]) -> str:
    """Provoke faults one after the other; return after how many seconds each was named."""
    site, took, failed = Site(machine), {}, []
    for fault in chosen:
        site.reset()
        try:
            took[fault.__name__] = max(_provoke(site, fault))
        except AssertionError:
            failed.append(f"{fault.__name__}:\n{traceback.format_exc()}")
    assert not failed, "\n".join(failed)
    names = ", ".join(f"{name} {seconds:.1f}" for name, seconds in took.items())
    return f"{len(took)} faults, named after {statistics.median(took.values()):.1f} s (median): {names}"


def _provoke(site: Site, fault: Fault) -> Iterator[float]:
    """Yield how long it took until each step of a fault was told, but for the end."""
    for pattern in fault(site):
        seconds = site.wait_told(pattern)
        if pattern not in (WELL, ONLINE):
            yield seconds


# --- the device


def plugged_in_later(site: Site) -> Steps:
    """The device is not there at the start."""
    site.unplug()
    site.start(is_well=False)
    yield "line is offline: .*there is no such device"
    site.plug_in()
    yield WELL


def unplugged(site: Site) -> Steps:
    """The device is unplugged and plugged in again, and again: that is named also while it is there."""
    site.start()
    for _ in range(3):
        site.unplug()
        yield "line is offline: "
        site.plug_in()
        yield ONLINE
    yield "line comes and goes: "


def no_permission(site: Site) -> Steps:
    """The service may not open the port."""
    port = site.run("readlink", "/run/line/entry").strip()
    site.run("chmod", "000", port)
    site.start(is_well=False)
    yield "line is offline: .*no permission: add the user to the group dialout"
    site.run("chmod", "620", port)
    yield WELL


def port_in_use(site: Site) -> Steps:
    """Another program has the port open."""
    site.start_unit("other", f"/usr/bin/flock {site.run('readlink', '/run/line/entry').strip()} sleep 1000")
    site.start(is_well=False)
    yield "line is offline: .*another program or interface has it open"
    site.run("systemctl", "stop", "other")
    yield WELL


def another_terminator(site: Site) -> Steps:
    """The device ends its lines by something else."""
    site.say("N=1;")
    site.start(is_well=False)
    yield "line: the device sends, but no frame is complete; it begins with 'N=1;"
    site.say_readings()
    yield WELL


def no_rule(site: Site) -> Steps:
    """No rule takes what the device sends."""
    site.say("X 21\n")
    site.start(is_well=False)
    yield "line: no rule matches what the device sends: 'X 21'"
    site.say_readings()
    yield WELL


def wrong_checksum(site: Site) -> Steps:
    """The device sends no checksum, or a wrong one."""
    site.say("N=2170\n")
    site.start(line={"checksum": {"type": "xor", "form": "hex"}})
    site.say("N=21\n")
    yield "line: the checksum of all that the device sends is wrong: 'N=21'"
    site.say("N=2170\n")
    yield WELL


def no_answer(site: Site) -> Steps:
    """The device does not answer what it is asked."""
    poll = {"name": "ask", "write": "N?", "every": 0.5, "timeout": 0.2,
            "response": {"regex": "N=(?P<n>[0-9]+)", "values": {"n": "int"},
                         "message": {"action": "N", "arguments": {"n": "{n}"}}}}  # fmt: skip
    site.start(line={"conversation": {"polls": [poll]}})
    site.say("")
    yield "line: 1 request is not answered: 'ask'"
    site.say_readings()
    yield WELL


def silent_device(site: Site) -> Steps:
    """A device sends nothing any more."""
    meter = {"id": "meter", "silent_after": 2, "points": {"n": {"from": "N.n"}}}
    site.start(is_well=False, line={"devices": [meter]})
    yield ONLINE
    site.say("")
    yield "meter is offline: "
    site.say_readings()
    yield WELL


# --- an interface


def _interface_that(kind: str, *patterns: str) -> Fault:
    def fault(site: Site) -> Steps:
        site.start(interfaces={"bad": {"type": f"broken.py:{kind}"}})
        site.break_interfaces()
        if kind in ("Failing", "Quitting"):
            site.machine.gateway("interface", "restart", "entry", "bad")
        else:
            site.send()
        yield from patterns
        site.mend_interfaces()
        if kind == "Hanging":  # the others count as coming and going for ten minutes
            yield WELL

    fault.__name__ = f"interface_{kind.lower()}"
    return fault


def interface_with_a_thread_that_dies(site: Site) -> Steps:
    """A thread that the interface has started ends by an error; that is only in the log, which the line ends with."""
    site.start(is_well=False, interfaces={"bad": {"type": "broken.py:Dying"}})
    yield r"last error at .*died: ValueError\('dies on purpose'\)"


def interface_lazy(site: Site) -> Steps:
    """An interface does not read its commands, until the gateway has answered them in its place."""
    site.start(interfaces={"bad": {"type": "broken.py:Lazy"}})
    site.send()
    yield "bad does not read its messages: 1 message is waiting"
    yield WELL


def interface_closed(site: Site) -> Steps:
    """Someone has closed an interface."""
    site.start()
    site.machine.gateway("interface", "close", "entry", "line")
    yield "line is closed: "
    site.machine.gateway("interface", "open", "entry", "line")
    yield WELL


def word_that_a_strict_map_lacks(site: Site) -> Steps:
    """The map has no word for what the device tells, until it is reloaded with it."""
    strict: dict[str, Any] = {"maptype": "strict", "map": {"OTHER": ["other"]}}
    gateway_map = {"root": "home", "topics": ["home/+/+/+/+/+/C"], "action": strict}
    reading = {"regex": r"(?P<word>[A-Z])=\d+", "message": {"action": "{word}"}}
    site.start(is_well=False, map=gateway_map, line={"decode": [reading]})
    yield "line: messages are not sent: action: 'N' is not in the map"
    strict["map"]["N"] = ["number"]
    site.reload(map=gateway_map, line={"decode": [reading]})
    yield WELL


# --- the broker


def broker_gone(site: Site) -> Steps:
    """The broker ends."""
    site.start()
    site.stop_broker()
    yield "^no link to the broker localhost:1884: "
    site.start_broker()
    yield WELL


def broker_that_comes_and_goes(site: Site) -> Steps:
    """The link is lost again and again: that is named also while it is up."""
    site.start()
    for _ in range(3):
        site.signal("broker", "KILL")
        site.stop_broker()
        yield "no link to the broker"
        site.start_broker()
        yield ONLINE
    yield "the link to the broker localhost:1884 is lost again and again: "


def broker_hangs(site: Site) -> Steps:
    """The broker does not answer any more."""
    site.start()
    site.signal("broker", "STOP")
    yield "does not acknowledge what it is sent|^no link to the broker localhost:1884: .*(silent|sent no CONNACK)"
    site.signal("broker", "CONT")
    yield WELL


def same_client_id(site: Site) -> Steps:
    """Another client has connected with the same client id, which it does again whenever it is disconnected."""
    site.start()
    site.start_python(
        "thief",
        f"""
import paho.mqtt.client as mqtt
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="entry")
client.reconnect_delay_set(1, 1)
client.connect("localhost", {PORT})
client.loop_forever()
""",
    )
    yield "client id 'entry'"


def wrong_password(site: Site) -> Steps:
    """The broker does not know the password, until it does."""
    users = "/etc/mosquitto/users"
    site.run("mosquitto_passwd", "-b", "-c", users, "gate", "other")
    site.run("chmod", "644", users)
    site.start(is_well=False, broker=f"allow_anonymous false\npassword_file {users}\n",
               mqtt={"username": "gate", "password": "open sesame"})  # fmt: skip
    yield "no link to the broker .*refused the connection: .*Not authorized"
    site.run("mosquitto_passwd", "-b", users, "gate", "open sesame")
    site.signal("broker", "HUP")
    yield WELL


def _denied(topic: str, pattern: str, *, is_kept: bool = False) -> Fault:
    """The access rules of the broker deny a topic."""

    def fault(site: Site) -> Steps:
        rules = "/etc/mosquitto/rules"
        site.machine.write(rules, f"topic readwrite #\ntopic deny {topic}\n")
        site.start(is_well=False, broker=f"acl_file {rules}\n")
        yield pattern
        site.machine.write(rules, "topic readwrite #\n")
        site.signal("broker", "HUP")
        if is_kept:
            site.machine.gateway("outbox", "retry", "entry")
        if topic.endswith("/run"):  # otherwise that is tried again on a link after ten seconds
            site.run("systemctl", "restart", ENTRY)
        yield WELL

    fault.__name__ = f"denied_{topic.removeprefix('home/').replace('/', '_').replace('#', 'all')}"
    return fault


def denied_subscription(site: Site) -> Steps:
    """The broker refuses a subscription."""
    plugin = site.run("sh", "-c", "ls /usr/lib/*/mosquitto_dynamic_security.so").strip()
    access = {"publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True}
    rules = "/etc/mosquitto/dynamic.json"
    site.machine.write(rules, json.dumps({"defaultACLAccess": access}))
    site.start(is_well=False, broker=f"plugin {plugin}\nplugin_opt_config_file {rules}\n")
    yield r"the broker refuses the subscription to home/\S+: "
    site.stop_broker()
    site.start_broker()
    site.run("systemctl", "restart", ENTRY)
    yield WELL


def message_too_large(site: Site) -> Steps:
    """A message is larger than the broker accepts."""
    site.start(is_well=False, broker="max_packet_size 2000\n", interfaces={"bad": {"type": "broken.py:Verbose"}})
    yield "the outbox has dead letters, which no broker has accepted"
    site.stop_broker()
    site.start_broker()
    site.machine.gateway("outbox", "retry", "entry")
    yield WELL


def broker_without_qos_1(site: Site) -> Steps:
    """The broker supports only QoS 0: that is only in the log, which the line ends with."""
    site.start(is_well=False, broker="max_qos 0\n")
    yield "last warning at .*does not support QoS 1"


def broker_without_retain(site: Site) -> Steps:
    """The broker retains nothing: that is only in the log, which the line ends with."""
    site.start(is_well=False, broker="retain_available false\n")
    yield "last warning at .*does not support retained messages"


def another_broker(site: Site) -> Steps:
    """The preferred of two brokers ends: the line says which one is used, and ends with why."""
    site.start_broker(listener="listener 1885 localhost", name="spare")
    site.undo("systemctl", "stop", "spare")
    site.start(mqtt={"servers": [f"localhost:{PORT}", "localhost:1885"]})
    site.stop_broker()
    yield r"^link up \(localhost:1885.*last (warning|error) at .*(lost the broker|no connection to the broker)"
    site.start_broker()
    yield ONLINE


# --- the way to the broker


def unknown_host(site: Site) -> Steps:
    """The name of the broker's machine is known only later."""
    site.start(is_well=False, mqtt={"host": "broker.invalid"})
    yield "no link to the broker broker.invalid:1884: .*cannot be resolved"
    site.run("sh", "-c", "cp /etc/hosts /run/hosts; echo 127.0.0.1 broker.invalid >> /etc/hosts")
    site.undo("sh", "-c", "cat /run/hosts > /etc/hosts")
    yield WELL


def _no_broker(name: str, code: str, pattern: str) -> Fault:
    """What listens at the port of the broker is something else, until it is a broker."""

    def fault(site: Site) -> Steps:
        site.start_python("other", f"import http.server, socket, time\nplace = ('localhost', {PORT})\n{code}")
        site.start_broker(listener="listener 1885 localhost")
        site.start(is_well=False)
        yield pattern
        site.run("systemctl", "stop", "other")
        site.stop_broker()
        site.start_broker()
        yield WELL

    fault.__name__ = name
    return fault


_HTTP = "http.server.HTTPServer(place, http.server.SimpleHTTPRequestHandler).serve_forever()"
_MUTE = "listener = socket.create_server(place)\ntime.sleep(1000)"


def _certificate(name: str, sign: Callable[[Authority], tuple[Path, Path]], pattern: str) -> Fault:
    """The certificate of the broker is not to be trusted, until it is replaced."""

    def fault(site: Site) -> Steps:
        folder = "/etc/mosquitto/tls"
        listener = f"listener {PORT} localhost\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key"
        with tempfile.TemporaryDirectory() as own:
            authority = Authority(Path(own))
            write_files(site.machine, "/etc/mqttgateway", authority.ca_file)
            for pair, told in (sign(authority), pattern), (authority.sign("good", "DNS:localhost"), WELL):
                for file in pair:
                    site.machine.write(f"{folder}/server{file.suffix}", file.read_text())
                site.stop_broker()
                site.start_broker(listener=listener)
                if told != WELL:
                    site.start(is_well=False, mqtt={"tls": {"enabled": True, "ca_file": "ca.pem"}})
                yield told

    fault.__name__ = name
    return fault


def _foreign(authority: Authority) -> tuple[Path, Path]:
    folder = authority.ca_file.parent / "foreign"
    folder.mkdir()
    return Authority(folder).sign("server", "DNS:localhost")


def tls_to_a_port_without(site: Site) -> Steps:
    """The gateway uses TLS, and the broker does not."""
    site.start(is_well=False, mqtt={"tls": {"enabled": True}})
    yield "^no link to the broker localhost:1884: .*TLS"
    site.configure()
    site.run("systemctl", "restart", ENTRY)
    yield WELL


# --- the disk


def disk_full(site: Site) -> Steps:
    """The disk of the outbox is full, until there is room."""
    site.start()
    site.run("sh", "-c", f"cat /dev/zero > {FOLDER}/ballast || true")
    yield f"the disk of the outbox is full \\({FOLDER}/entry.outbox\\)"
    site.run("rm", f"{FOLDER}/ballast")
    yield WELL


def outbox_not_writable(site: Site) -> Steps:
    """The file of the outbox is gone, and the folder does not take a new one, until it does."""
    site.start()
    site.run("sh", "-c", f"chmod 500 {FOLDER}; rm {FOLDER}/entry.outbox*")
    yield f"the outbox cannot be written to {FOLDER}/entry.outbox: "
    site.run("chmod", "700", FOLDER)
    yield WELL


def outbox_full(site: Site) -> Steps:
    """Without a broker, more messages come than the outbox may keep."""
    site.start(interfaces={"bad": {"type": "broken.py:Talkative"}},
               outbox={"max_messages": 100, "file": f"{FOLDER}/entry.outbox"})  # fmt: skip
    site.stop_broker()
    site.break_interfaces()
    yield "^no link to the broker .*the outbox is full, and messages are lost"
    site.mend_interfaces()
    site.start_broker()
    yield WELL


def outbox_damaged(site: Site) -> Steps:
    """The file of the outbox is not one: that is in the log, which the line ends with."""
    site.run("sh", "-c", f"echo hello > {FOLDER}/entry.outbox; chown mqttgateway: {FOLDER}/entry.outbox")
    site.start(is_well=False)
    yield r"^link up .*last (warning|error) at .*moved to entry\.outbox\."


_CHANGE_VERSION = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1])
(version,) = file.execute("PRAGMA user_version").fetchone()
file.execute(f"PRAGMA user_version = {version + int(sys.argv[2])}")
"""


def outbox_of_a_later_version(site: Site) -> Steps:
    """The file of the outbox was written by a later version: the service does not start, and tells why."""
    site.start()
    site.run("systemctl", "stop", ENTRY)
    _as_service(site, _CHANGE_VERSION, f"{FOLDER}/entry.outbox", "1")
    site.start(is_well=False)
    yield Shown("was written by a later version of this program")
    _as_service(site, _CHANGE_VERSION, f"{FOLDER}/entry.outbox", "-1")
    yield WELL


def outbox_in_use(site: Site) -> Steps:
    """Another gateway uses the file of the outbox: the service does not start, and tells why."""
    site.start(is_well=False, outbox={"file": "/var/lib/mqttgateway/cellar.outbox"})
    yield Shown("is in use: does another gateway run with it")
    site.configure()
    yield WELL


def _as_service(site: Site, code: str, *arguments: str) -> None:
    """Run a program in Python as the user of the service."""
    site.run("setpriv", "--reuid=mqttgateway", "--regid=mqttgateway", "--clear-groups",
             "/opt/mqttgateway/bin/python", "-c", code, *arguments)  # fmt: skip


def log_file_full(site: Site) -> Steps:
    """The disk of the log file is full, until there is room."""
    folder = "/var/log/mqttgateway/disk"
    site.run("mkdir", "-p", folder)
    site.run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700,uid=mqttgateway", "disk", folder)
    site.undo("umount", "-l", folder)
    site.start(log={"file": f"{folder}/entry.log", "traffic": True})
    site.run("sh", "-c", f"cat /dev/zero > {folder}/ballast || true")
    yield f"the log file cannot be written: {folder}/entry.log: "
    site.run("rm", f"{folder}/ballast")
    yield WELL


# --- the process


def suspended(site: Site) -> Steps:
    """The process was stopped for longer than the broker waits; while it is, it cannot tell anything."""
    site.start()
    site.signal(ENTRY, "STOP")
    began = time.monotonic()
    site.machine.wait(lambda: time.monotonic() - began > 12, "it to be stopped", ENTRY)
    site.signal(ENTRY, "CONT")
    yield "the gateway did not run for|lost the broker"
    yield WELL


FAULTS: tuple[Fault, ...] = (
    plugged_in_later, unplugged, no_permission, port_in_use, another_terminator, no_rule, wrong_checksum, no_answer,
    silent_device,
    _interface_that("Failing", "bad fails, and is started again and again: ValueError: broken on purpose"),
    _interface_that("Quitting", "bad fails, and is started again and again: SystemExit: quits on purpose"),
    _interface_that("Hanging", r"bad hangs: it has not returned from loop\(\): it is at .*broken\.py:"),
    interface_with_a_thread_that_dies, interface_lazy, interface_closed, word_that_a_strict_map_lacks,
    broker_gone, broker_that_comes_and_goes, broker_hangs, same_client_id, wrong_password,
    _denied("home/line/#", "the outbox has dead letters, which no broker has accepted; the last is for 'home/line/",
            is_kept=True),
    _denied("home/entry/availability", "the broker does not accept home/entry/availability"),
    _denied("home/entry/run", "the broker forbids the topic home/entry/run"),
    denied_subscription, message_too_large, broker_without_qos_1, broker_without_retain, another_broker, unknown_host,
    _no_broker("no_broker_but_a_web_server", _HTTP, "^no link to the broker localhost:1884: "),
    _no_broker("no_broker_but_silence", _MUTE, "^no link to the broker localhost:1884: .*sent no CONNACK within 2 s"),
    _certificate("certificate_expired", lambda each: each.sign("old", "DNS:localhost", -1), "certificate has expired"),
    _certificate("certificate_untrusted", _foreign, "is not trusted"),
    _certificate("certificate_of_another_host", lambda each: each.sign("other", "DNS:other.example"),
                 "set mqtt.host to a name in the"),
    tls_to_a_port_without,
    disk_full, outbox_not_writable, outbox_full, outbox_damaged, outbox_of_a_later_version, outbox_in_use,
    log_file_full, suspended,
)  # fmt: skip
