from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from gateway.configuration.interface_loader import BUILT_IN, find_interface
from gateway.configuration.load_config import load_configuration
from gateway.configuration.schemas import config_schema, interface_schema, map_schema
from gateway.configuration.settings import Configuration
from gateway.core.paths import shipped
from gateway.core.tls import TlsOptions
from gateway.errors import ConfigurationError, MessageError
from gateway.logs.init_logger import LogOptions
from gateway.message import InternalMsg
from gateway.mqtt.options import MqttOptions
from gateway.outbox.options import DiscardPolicy, OutboxOptions

MINIMAL = "root: home\ntopics: [home/#]\ninterface: {type: dummy}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder with a short name for error texts."""
    return tmp_path


def load(folder: Path, text: str, **environment: str) -> Configuration:
    path = folder / "gw.conf"
    path.write_text(text)
    return load_configuration(path, environment)


def findings(folder: Path, text: str, **environment: str) -> list[str]:
    """Return the findings in an invalid configuration, without the folder."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, **environment)
    assert str(caught.value) == "\n".join(map(str, caught.value.findings))
    return [str(finding).replace(f"{folder}/", "") for finding in caught.value.findings]


# --- valid configurations


def test_a_minimal_configuration_has_the_defaults(folder: Path) -> None:
    configuration = load(folder, MINIMAL)
    assert configuration.file == folder / "gw.conf"
    assert (configuration.name, configuration.root, configuration.secrets) == ("gw", "home", ())
    assert configuration.mqtt == MqttOptions(client_id="gw")
    assert configuration.outbox == OutboxOptions()
    assert configuration.log == LogOptions()
    (interface,) = configuration.interfaces
    assert (interface.name, interface.cls.__name__) == ("dummy", "DummyInterface")
    assert interface.params == {"interval": 5, "location": "office"}
    assert (interface.msg_map.topics, interface.msg_map.sender) == (("home/#",), "gw")


def test_every_part_is_adopted(folder: Path) -> None:
    configuration = load(
        folder,
        """
name: entry
root: site/home
topics: []
mqtt: {host: broker.example, port: 1884, keepalive: 10, client_id: me, username: u, password: p, qos: 0,
       connect_timeout: 2.5, reconnect_max: 30}
outbox: {store: memory, commit_interval: 0.5, max_messages: 5, max_bytes: 20000, discard: new, command_lifetime: 0,
         status_lifetime: 60}
interface: {type: dummy, interval: 0.5, location: hall}
log: {level: debug, file: gw.log, file_bytes: 5000, files: 2, traffic: true}
""",
    )
    assert configuration.mqtt == MqttOptions(
        "broker.example", 1884, keepalive=10, client_id="me", username="u", password="p", qos=0,
        connect_timeout=2.5, reconnect_max=30,
    )  # fmt: skip
    assert configuration.outbox == OutboxOptions(
        "memory", None, 0.5, 5, 20000, DiscardPolicy.NEW, 0, 60, is_place_chosen=True
    )
    assert configuration.log == LogOptions("debug", "gw.log", 5000, 2, traffic=True)
    assert configuration.interfaces[0].params == {"interval": 0.5, "location": "hall"}
    assert configuration.interfaces[0].msg_map.status_qos == 0
    assert configuration.availability_topic() == "site/home/entry/availability"
    assert configuration.availability_topic("dummy") == "site/home/entry/dummy/availability"


def test_several_interfaces_have_names_and_may_have_maps_and_senders_of_their_own(folder: Path) -> None:
    (folder / "boat.json").write_text('{"root": "boat", "topics": ["boat/#"]}')
    configuration = load(
        folder,
        "root: home\ntopics: [home/#]\ninterfaces:\n"
        "  lamp: {type: dummy}\n"
        "  hall: {type: dummy, sender: hall}\n"
        "  boat: {type: dummy, map: boat.json, sender: skipper}\n"
        "  shed: {type: dummy, map: {root: shed, topics: []}}\n",
    )
    assert [(i.name, i.msg_map.root, i.msg_map.sender) for i in configuration.interfaces] == [
        ("lamp", "home", "gw"),
        ("hall", "home", "hall"),
        ("boat", "boat", "skipper"),
        ("shed", "shed", "gw"),
    ]
    assert configuration.root == "home"


def test_without_a_common_map_the_root_is_that_of_the_first_interface(folder: Path) -> None:
    configuration = load(folder, "interfaces:\n  boat: {type: dummy, map: {root: boat, topics: []}}\n")
    assert configuration.root == "boat"


def test_a_map_may_stand_in_the_configuration_or_in_a_file(folder: Path) -> None:
    data = {"root": "home", "topics": [], "action": {"maptype": "strict", "map": {"ON": ["on"]}}}
    (folder / "my.json").write_text(json.dumps(data))
    for text in (f"map: {json.dumps(data)}", "map: my.json"):
        msg_map = load(folder, f"{text}\ninterface: {{type: dummy}}").interfaces[0].msg_map
        assert msg_map.internal2mqtt(InternalMsg(action="ON")).payload == b"on"
        with pytest.raises(MessageError):
            msg_map.internal2mqtt(InternalMsg(action="OFF"))


def test_an_interface_may_be_a_file_beside_the_configuration(folder: Path) -> None:
    (folder / "mine.py").write_text("class Door:\n    def loop(self): ...\n")
    configuration = load(folder, "root: home\ntopics: []\ninterface: {type: mine.py, anything: [1, {a: b}]}\n")
    assert configuration.interfaces[0].name == "mine"
    assert configuration.interfaces[0].params == {"anything": [1, {"a": "b"}]}, "without a schema all is taken"


def test_values_from_the_environment_get_the_type_of_their_option(folder: Path) -> None:
    configuration = load(
        folder,
        "name: ${NAME}\nroot: ${A}/${B}\ntopics: []\n"
        "mqtt: {port: '${PORT}', qos: '${QOS}', connect_timeout: '${T}', demo_broker: '${DEMO}', username: '${PORT}'}\n"
        "interface: {type: dummy, interval: '${T}', location: '$${A} ${PORT}'}",
        NAME="12",
        A="site",
        B="home",
        PORT="1884",
        QOS="0",
        T="2.5",
        DEMO="true",
    )
    assert (configuration.name, configuration.root) == ("12", "site/home")
    mqtt = configuration.mqtt
    assert (mqtt.port, mqtt.qos, mqtt.connect_timeout, mqtt.demo_broker, mqtt.username) == (1884, 0, 2.5, True, "1884")
    assert configuration.interfaces[0].params == {"interval": 2.5, "location": "${A} 1884"}


def test_a_serial_interface_may_take_numbers_that_are_choices_from_the_environment(folder: Path) -> None:
    text = "root: home\ntopics: []\ninterface: {type: serial, port: loop://, bytesize: '${BITS}', parity: '${PARITY}'}"
    params = load(folder, text, BITS="7", PARITY="even").interfaces[0].params
    assert (params["bytesize"], params["parity"]) == (7, "even")


def test_a_password_may_come_from_a_file(folder: Path) -> None:
    (folder / "secret").write_text("hunter2\r\n")
    configuration = load(folder, MINIMAL + "mqtt: {username: u, password_file: secret}\n")
    assert configuration.mqtt.password == "hunter2"
    assert "hunter2" in configuration.secrets
    assert "hunter2" not in repr(configuration)


@pytest.fixture
def certificate(folder: Path) -> Path:
    """A certificate with its key, both as PEM, self-signed."""
    tool = shutil.which("openssl")
    if tool is None:
        pytest.skip("openssl is missing: apt install openssl")
    command = [tool, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2"]
    command += ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return folder / "cert.pem"


def test_tls_files_lie_beside_the_configuration(folder: Path, certificate: Path) -> None:
    configuration = load(
        folder,
        MINIMAL + "mqtt: {tls: {enabled: true, ca_file: cert.pem, certificate_file: cert.pem, key_file: key.pem}}",
    )
    assert configuration.mqtt.tls == TlsOptions(
        enabled=True, ca_file=f"{folder}/cert.pem", certificate_file=f"{folder}/cert.pem", key_file=f"{folder}/key.pem"
    )


def test_the_files_of_an_interface_lie_beside_the_configuration(folder: Path, certificate: Path) -> None:
    interface = "{type: serial, port: 'ssl://boiler.home:7002', tls: {certificate_file: cert.pem, key_file: key.pem}}"
    configuration = load(folder, f"root: home\ntopics: []\ninterface: {interface}\n")
    (loaded,) = configuration.interfaces
    assert loaded.params["tls"] == {
        "certificate_file": str(certificate),
        "key_file": f"{folder}/key.pem",
        "verify": True,
    }


# --- typical mistakes: the whole text


def test_the_port_and_the_tls_options_of_a_serial_device_are_checked(folder: Path) -> None:
    head = "root: home\ntopics: []\ninterface:\n  type: serial\n"
    assert findings(folder, head + "  port: tcp://boiler.home:7002\n") == [
        "gw.conf:5:9: interface.port: there are no ports of the kind tcp://: write socket://HOST:PORT"
    ]
    [missing] = findings(folder, head + "  port: ssl://boiler.home:7002\n  tls: {ca_file: none.pem}\n")
    assert missing.startswith("gw.conf:6:8: interface.tls: TLS cannot be set up with none.pem: ")
    assert missing.endswith(": check these files")
    [unknown] = findings(folder, head + "  port: ssl://boiler.home:7002\n  tls: {enabled: true}\n")
    assert unknown.startswith("gw.conf:6:9: interface.tls.enabled: unknown option")


def test_an_unknown_option_names_the_one_that_is_near(folder: Path) -> None:
    assert findings(folder, MINIMAL + "mqtt:\n  hots: broker\n") == [
        "gw.conf:5:3: mqtt.hots: unknown option: did you mean 'host'?"
    ]


def test_a_value_of_the_wrong_type_or_size_says_what_was_expected(folder: Path) -> None:
    assert findings(folder, MINIMAL + "mqtt: {port: 70000, host: 5, keepalive: often}\nlog: {level: dbug}\n") == [
        "gw.conf:4:14: mqtt.port: expected at most 65535, found 70000: for example 1883",
        "gw.conf:4:27: mqtt.host: expected text, found 5: put it in quotes: \"5\"",
        'gw.conf:4:41: mqtt.keepalive: expected a whole number, found "often": for example 60',
        ("gw.conf:5:14: log.level: expected one of debug, info, warning, error, critical, found \"dbug\": "
        "did you mean 'debug'?"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        ("60.0", "60.0: write 60"),
        ("60.5", "60.5: for example 60"),
        ("true", "true: for example 60"),
        ("1e2", "100.0: write 100"),
        ('"60"', '"60": write it without quotes: 60'),
        ('"60.0"', '"60.0": for example 60'),
        ('"60 s"', '"60 s": for example 60'),
    ],
)
def test_a_whole_number_is_one_also_for_those_who_get_it(value: str, reported: str, folder: Path) -> None:
    assert findings(folder, MINIMAL + f"mqtt: {{keepalive: {value}}}\n") == [
        f"gw.conf:4:19: mqtt.keepalive: expected a whole number, found {reported}"
    ]


@pytest.mark.parametrize(
    ("value", "reported"),
    [
        ("2", "one of 0, 1, found 2"),
        ("1.0", "a whole number, found 1.0: write 1"),
        ("x", 'a whole number, found "x": for example 1'),
        ('"1"', 'a whole number, found "1": write it without quotes: 1'),
    ],
)
def test_a_qos_that_is_no_choice_is_one_finding(value: str, reported: str, folder: Path) -> None:
    assert findings(folder, MINIMAL + f"mqtt: {{qos: {value}}}\n") == [f"gw.conf:4:13: mqtt.qos: expected {reported}"]


def test_yaml_that_is_none_says_where(folder: Path) -> None:
    (reported,) = findings(folder, "root: home\ntopics: [a\ninterface: {type: dummy}\n")
    assert reported.startswith("gw.conf:3:10: not YAML: ")


def test_duplicate_keys_aliases_and_tags_are_refused(folder: Path) -> None:
    assert findings(folder, "root: home\nroot: &a b\ntopics: *a\nname: !!str x\ninterface: {type: dummy}\n") == [
        "gw.conf:2:1: root: duplicate option, first in line 1: remove one of the two",
        "gw.conf:2:7: root: the anchor '&a' is not supported: remove it",
        "gw.conf:3:9: topics: the alias '*a' is not supported: write the value out",
        "gw.conf:4:7: name: the tag 'tag:yaml.org,2002:str' is not supported: remove it",
    ]


def test_a_variable_that_is_not_set_is_named(folder: Path) -> None:
    assert findings(folder, MINIMAL + "mqtt: {username: u, password: '${NOPE}'}\n") == [
        ("gw.conf:4:31: mqtt.password: the environment variable 'NOPE' is not set: "
        "set it, or write $${ for a literal ${")
    ]  # fmt: skip


NOTHING = (
    "gw.conf",
    "the file is empty: a configuration is a mapping of options, or an INI file with a [SECTION]",
    "for example interface: {type: dummy}",
)
GIVE_ONE = "write one of them: interface: {type: serial, ...}"
PLAIN = "use a plain name"
SLASH, PLUS = "'/' is not allowed in a topic", "'+' is not allowed in a topic"


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", NOTHING),
        ("# nothing\n\n", NOTHING),
        ("- a\n", ("gw.conf:1:1", "a configuration is a mapping of options", "for example interface: {type: dummy}")),
        ("root: home\ntopics: []\n", ("gw.conf:1:1", "interfaces", "there is no 'interface'", GIVE_ONE)),
        (
            MINIMAL + "interfaces: {a: {type: dummy}}\n",
            ("gw.conf:4:1", "interfaces", "'interface' and 'interfaces' are mutually exclusive", GIVE_ONE),
        ),
        (
            "root: home\ntopics: []\ninterface:\n",
            (
                "gw.conf:3:11",
                "interface",
                "expected a mapping, found nothing",
                "set a value, in indented lines below it, or remove the option",
            ),
        ),
        (
            "root: home\ntopics: []\ninterface: {}\n",
            ("gw.conf:3:12", "interface", "'type' is missing", "add it: type: serial"),
        ),
        (
            "interface: {type: dummy}\n",
            ("gw.conf:1:1", "interface", "it has no map", "add 'map', or 'root' and 'topics' at the top of the file"),
        ),
        (
            "root: home\ninterface: {type: dummy}\n",
            ("gw.conf:1:1", "root", "'topics' is missing beside it", "add topics: []"),
        ),
        (
            MINIMAL.replace("dummy", "dumy"),
            ("gw.conf:3:19", "interface.type", "no interface is called 'dumy'", "did you mean 'dummy'?"),
        ),
        (
            MINIMAL.replace("dummy", "my.py"),
            (
                "gw.conf:3:19",
                "interface.type",
                "no such file: my.py",
                "check the path; a relative path starts at the folder of this file",
            ),
        ),
        (
            MINIMAL.replace("dummy", "dummy, interval: 0"),
            ("gw.conf:3:36", "interface.interval", "expected at least 0.1, found 0", "for example 5"),
        ),
        (
            MINIMAL.replace("dummy", "dummy, intervall: 1"),
            ("gw.conf:3:26", "interface.intervall", "unknown option", "did you mean 'interval'?"),
        ),
        ("name: a/b\n" + MINIMAL, ("gw.conf:1:7", "name", f"'a/b' cannot be the sender of messages: {SLASH}", PLAIN)),
        (
            MINIMAL.replace("dummy", "dummy, sender: a+b"),
            ("gw.conf:3:34", "interface.sender", f"'a+b' cannot be a sender: {PLUS}", PLAIN),
        ),
        (
            MINIMAL.replace("dummy", "dummy, sender: 5"),
            ("gw.conf:3:34", "interface.sender", "expected text, found 5", 'put it in quotes: "5"'),
        ),
        (
            "root: home\ntopics: []\ninterfaces:\n  a/b: {type: dummy}\n",
            ("gw.conf:4:3", "interfaces.a/b", f"the name 'a/b' cannot be used: {SLASH}"),
        ),
        (
            "root: home\ntopics: []\ninterfaces:\n  '': {type: dummy}\n",
            ("gw.conf:4:3", "interfaces.", "the name '' cannot be used: the name is empty"),
        ),
        (
            "root: +\ntopics: []\ninterface: {type: dummy}\n",
            ("gw.conf:1:7", "root", PLUS, "for example home or site/home"),
        ),
        (
            "root: home\ntopics: [home/+x]\ninterface: {type: dummy}\n",
            ("gw.conf:2:10", "topics[0]", "'home/+x': '+' must be a whole level", "correct the filter"),
        ),
        (
            MINIMAL + "mqtt: {demo_broker: true, host: broker.example}\n",
            (
                "gw.conf:4:21",
                "mqtt.demo_broker",
                "the embedded broker serves only this machine",
                "set mqtt.host to 127.0.0.1",
            ),
        ),
        (
            MINIMAL + "mqtt: {password: x}\n",
            ("gw.conf:4:18", "mqtt.password", "it needs 'username' too", "add 'username'"),
        ),
        (
            MINIMAL + "mqtt: {tls: {ca_file: ca.pem}}\n",
            ("gw.conf:4:13", "mqtt.tls", "files are set, but TLS is not enabled", "add enabled: true"),
        ),
    ],
)
def test_a_typical_mistake_is_one_finding_with_its_place_and_remedy(
    text: str, reported: tuple[str, ...], folder: Path
) -> None:
    assert findings(folder, text) == [": ".join(reported)]


def test_a_rule_of_a_serial_interface_is_looked_at_as_well(folder: Path) -> None:
    rules = "  decode:\n    - {regex: '(', message: {action: A}}\n"
    (reported,) = findings(folder, f"root: home\ntopics: []\ninterface:\n  type: serial\n  port: x\n{rules}")
    assert reported.startswith("gw.conf:7:15: interface.decode[0].regex: not a regular expression: ")


def test_a_map_beside_root_and_topics_is_too_much(folder: Path) -> None:
    assert findings(folder, MINIMAL + "map: dummy_map.json\n") == [
        "gw.conf:1:1: root: mutually exclusive with 'map', which contains its own: remove one of the two",
        "gw.conf:2:1: topics: mutually exclusive with 'map', which contains its own: remove one of the two",
    ]


def test_a_map_that_is_not_found_is_reported_where_it_is_named(folder: Path) -> None:
    (reported,) = findings(folder, "map: nope.json\ninterface: {type: dummy}\n", XDG_CONFIG_HOME="/xdg")
    assert reported == (
        f"gw.conf:1:6: map: nope.json: no such file (looked in {folder}, /xdg/mqttgateway, /etc/mqttgateway, "
        f"{shipped('maps')}): check the name"
    )


def test_what_is_wrong_in_a_map_is_reported_with_the_maps_place(folder: Path) -> None:
    (folder / "my.json").write_text('{"root": "home",\n "topics": [],\n "device": {"maptype": "strct"}}')
    assert findings(folder, "map: my.json\ninterface: {type: dummy}\n") == [
        ('my.json:3:24: device.maptype: expected one of none, loose, strict, found "strct": '
        "did you mean 'strict'?")
    ]  # fmt: skip


def test_everything_is_reported_together_in_the_order_of_the_file(folder: Path) -> None:
    text = "nam: x\nroot: a//b\ntopics: [5]\nmqtt: {port: 0}\ninterface: {type: dummy, interval: x}\nlog: {files: 0}\n"
    assert [reported.partition(": for example")[0] for reported in findings(folder, text)] == [
        "gw.conf:1:1: nam: unknown option: did you mean 'name'?",
        "gw.conf:2:7: root: it contains '//': write a/b",
        'gw.conf:3:10: topics[0]: expected text, found 5: put it in quotes: "5"',
        "gw.conf:4:14: mqtt.port: expected at least 1, found 0",
        'gw.conf:5:36: interface.interval: expected a number, found "x"',
        "gw.conf:6:14: log.files: expected at least 1, found 0",
    ]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("interface: dummy\n", 'interface: expected a mapping, found "dummy": write it as interface: {type: dummy}'),
        ("interface:\n  - type: dummy\n", ("interface: expected a mapping, found a list: write it without '-' "
                                           "or brackets")),
        ("interfaces: dummy\n", ('interfaces: expected a mapping, found "dummy": write it as interfaces: {NAME: {type: '
                                 "dummy}}")),
        ("interfaces: [{type: dummy}]\n", ("interfaces: expected a mapping, found a list: write a mapping with "
                                           "a name for each item, instead of a list")),
        ("mqtt: broker.home\n", 'mqtt: expected a mapping, found "broker.home": write it as mqtt: {host: broker.home}'),
        ("mqtt: 1884\n", "mqtt: expected a mapping, found 1884: write it as mqtt: {port: 1884}"),
        ("mqtt: {tls: true}\n", "mqtt.tls: expected a mapping, found true: write it as tls: {enabled: true}"),
        ("mqtt: {tls: yes}\n", 'mqtt.tls: expected a mapping, found "yes": write it as tls: {enabled: true}'),
        ("mqtt: {tls: 'off'}\n", 'mqtt.tls: expected a mapping, found "off": write it as tls: {enabled: false}'),
        ("mqtt: {servers: a.home}\n", 'mqtt.servers: expected a list, found "a.home": write it as servers: [a.home]'),
        ("mqtt: {port: '1883'}\n", 'mqtt.port: expected a whole number, found "1883": write it without quotes: 1883'),
        ("mqtt: {version: '5'}\n", 'mqtt.version: expected one of 5, 3.1.1, found "5": write it without quotes: 5'),
        ("mqtt: {version: 3.1}\n", "mqtt.version: expected one of 5, 3.1.1, found 3.1: did you mean '3.1.1'?"),
        ("mqtt: {host: [broker.home]}\n", ("mqtt.host: expected text, found a list: write it without brackets: host: "
                                           "broker.home")),
        ("mqtt: {username: 4711}\n", 'mqtt.username: expected text, found 4711: put it in quotes: "4711"'),
        ("mqtt: {password: 4711, username: a}\n", ("mqtt.password: expected text, found a value that is not shown: "
                                                   "put it in quotes")),
        ("outbox: disk\n", 'outbox: expected a mapping, found "disk": write it as outbox: {store: disk}'),
        ("log: debug\n", 'log: expected a mapping, found "debug": write it as log: {level: debug}'),
        ("log: /var/log/gw.log\n", ('log: expected a mapping, found "/var/log/gw.log": write it as log: {file: '
                                    "/var/log/gw.log}")),
        ("log: {traffic: yes}\n", 'log.traffic: expected true or false, found "yes": write true'),
        ("log: {level: INFO}\n", ("log.level: expected one of debug, info, warning, error, critical, found \"INFO\": "
                                  "did you mean 'info'?")),
        ("log:\n", ("log: expected a mapping, found nothing: set a value, in indented lines "
                    "below it, or remove the option")),
        ("host: broker.home\n", "host: unknown option: it belongs elsewhere: mqtt.host"),
        ("level: debug\n", "level: unknown option: it belongs elsewhere: log.level"),
        ("mqtt: {traffic: true}\n", "mqtt.traffic: unknown option: it belongs elsewhere: log.traffic"),
        ("mqtt: {ca_file: x}\n", "mqtt.ca_file: unknown option: it belongs elsewhere: mqtt.tls.ca_file"),
        ("interfaces: {a: {type: serial, port: /dev/y}, b: {type: dummy}}\nport: /dev/x\n",
         "port: unknown option: it belongs elsewhere: mqtt.port or interfaces.a.port"),
        ("interface: {type: dummy}\nlocation: hall\n",
         "location: unknown option: it belongs elsewhere: interface.location"),
        ("interface: {type: dummy}\nmqtt: {location: hall}\n",
         "mqtt.location: unknown option: it belongs elsewhere: interface.location"),
        ("topics: home/#\n", 'topics: expected a list, found "home/#": write it as topics: [home/#]'),
        ("topics: '#'\n", 'topics: expected a list, found "#": write it as topics: ["#"]'),
        ("interface: {typ: dummy}\n", "interface: 'type' is missing: is it misspelled as 'typ'?"),
        ("root: \u201chome\u201d\n", ("root: these quotes are typographic, and part of the text: use plain quotes: "
                                  '"')),
        ("root: /home\n", "root: it begins with '/': write home"),
        ("root: home/\n", "root: it ends with '/': write home"),
        ("root: site//home\n", "root: it contains '//': write site/home"),
        ("root: //\n", "root: it begins with '/': for example home or site/home"),
        ("topics: [/home/+/+/+/+/+/C]\n", ("topics[0]: '/home/+/+/+/+/+/C' matches no topic that this map accepts: it "
                                           "begins with '/': write home/+/+/+/+/+/C")),
        ("topics: [house/+/+/+/+/+/C]\n", ("topics[0]: 'house/+/+/+/+/+/C' matches no topic that this map accepts: its "
                                           "level 1 is 'house': a topic is home/function/gateway/location/device/"
                                           "sender/C or S, in the words of the map; one of another form needs a syntax "
                                           "in the map")),
    ],
)  # fmt: skip
def test_what_was_meant_is_shown_in_its_right_form(text: str, reported: str, folder: Path) -> None:
    option_names = {line.partition(":")[0] for line in text.splitlines()}
    base = {"root": "root: home\n", "topics": "topics: []\n", "interface": "interface: {type: dummy}\n"}
    if "interfaces" in option_names:
        del base["interface"]
    whole = text + "".join(line for name, line in base.items() if name not in option_names)
    assert [finding.partition(": ")[2] for finding in findings(folder, whole)] == [reported]


def test_an_option_of_an_interface_that_is_not_indented_is_sent_to_its_place(folder: Path) -> None:
    assert findings(folder, "root: home\ntopics: []\ninterface:\n  type: serial\nport: /dev/x\n") == [
        "gw.conf:4:3: interface: 'port' is missing: add it: port: /dev/serial/by-id/usb-FTDI_FT232R-if00-port0",
        "gw.conf:5:1: port: unknown option: it belongs elsewhere: mqtt.port or interface.port",
    ]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("root = home\ntopics = home/#\n", ("gw.conf:1:1: a configuration is a mapping of options: write NAME: VALUE "
                                            "instead of NAME = VALUE")),
        ('{"root": "home", "topics": [], "action": {"maptype": "none"}}', (
            "gw.conf:1:1: this is a map, not a configuration: check it with 'mqttgateway map check gw.conf'; a "
            "configuration refers to it by map: gw.conf")),
        ("root: home\ntopics: [#]\ninterface: {type: dummy}\n", (
            "gw.conf:4:1: not YAML: while parsing a flow sequence did not find expected ',' or ']': '#' begins a "
            "comment here: put the text in quotes")),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_one_finding(text: str, reported: str, folder: Path) -> None:
    assert [each.replace(f"{folder}/", "") for each in findings(folder, text)] == [reported]


def test_a_name_that_cannot_be_seen_is_escaped(folder: Path) -> None:
    reported = findings(folder, MINIMAL + '\u00a0mqtt: {}\n"log\\e[31m": 1\n')
    assert [each.split(": ")[1] for each in reported] == ["\\xa0mqtt", "log\\x1b[31m"]


def test_a_secret_of_the_wrong_type_is_shown_by_no_remedy(folder: Path) -> None:
    reported = findings(folder, MINIMAL + "mqtt: {port: '${P}', keepalive: '${P}', host: ['${P}']}\n", P="hunter2")
    assert reported and "hunter2" not in "".join(reported)


# --- several brokers, and other ways to them


def test_several_brokers_are_given_with_or_without_their_port(folder: Path) -> None:
    text = "mqtt: {port: 1884, servers: [a.example, 'b.example:1885', '[::1]:1886', '[fe80::1%eth0]', 10.0.0.1]}\n"
    assert load(folder, MINIMAL + text).mqtt.brokers == (
        ("a.example", 1884),
        ("b.example", 1885),
        ("::1", 1886),
        ("fe80::1%eth0", 1884),
        ("10.0.0.1", 1884),
    )


def test_one_broker_is_the_one_at_host_and_port(folder: Path) -> None:
    assert load(folder, MINIMAL + "mqtt: {host: a.example, port: 1884}\n").mqtt.brokers == (("a.example", 1884),)


@pytest.mark.parametrize(
    ("mqtt", "reported"),
    [
        (
            "servers: ['a:b']",
            "gw.conf:4:18: mqtt.servers[0]: 'a:b': it is not of the form host:port: for example broker",
        ),
        ("servers: [a, 'b:0']", "gw.conf:4:21: mqtt.servers[1]: 'b:0': 0 is no port: for example broker.home:1883"),
        ("servers: ['mqtt://a']", "gw.conf:4:18: mqtt.servers[0]: 'mqtt://a': it is not of the form host:port"),
        ("servers: ['a b:1']", "gw.conf:4:18: mqtt.servers[0]: 'a b' is not a host name or address"),
        ("servers: [a], host: b", "gw.conf:4:8: mqtt.servers: mutually exclusive with 'host': remove one of the two"),
        ("servers: []", "gw.conf:4:17: mqtt.servers: "),
        (
            "servers: [a], demo_broker: true",
            "gw.conf:4:35: mqtt.demo_broker: the embedded broker serves only this machine",
        ),
        (
            "transport: unix",
            "gw.conf:4:19: mqtt.transport: unix needs the path of a socket: set mqtt.host to this path",
        ),
        (
            "transport: unix, host: /s, tls: {enabled: true}",
            "gw.conf:4:40: mqtt.tls: a unix socket has no TLS: set mqtt",
        ),
        ("path: mqtt", "gw.conf:4:14: mqtt.path: "),
        ("version: 4", "gw.conf:4:17: mqtt.version: expected one of 5, 3.1.1, found 4"),
        (
            "transport: websockets, demo_broker: true",
            "gw.conf:4:44: mqtt.demo_broker: the embedded broker serves only this",
        ),
    ],
)
def test_what_does_not_go_together_is_reported(mqtt: str, reported: str, folder: Path) -> None:
    (actual,) = findings(folder, MINIMAL + f"mqtt: {{{mqtt}}}\n")
    assert actual.startswith(reported)


@pytest.mark.parametrize(("text", "version"), [("5", 5), ("3.1.1", "3.1.1"), ("'3.1.1'", "3.1.1")])
def test_versions(text: str, version: object, folder: Path) -> None:
    assert load(folder, MINIMAL + f"mqtt: {{version: {text}}}\n").mqtt.version == version
    assert load(folder, MINIMAL + "mqtt: {version: '${V}'}\n", V=text.strip("'")).mqtt.version == version


def test_a_unix_socket_lies_beside_the_configuration(folder: Path) -> None:
    assert load(folder, MINIMAL + "mqtt: {transport: unix, host: /run/m.sock}\n").mqtt.brokers == (("/run/m.sock", 0),)
    mqtt = load(folder, MINIMAL + "mqtt: {transport: unix, host: m.sock}\n").mqtt
    assert [str(server) for server in mqtt.brokers] == [f"{folder}/m.sock"]


# --- secrets


def test_a_credential_of_systemd_is_found_by_its_name(folder: Path, certificate: Path) -> None:
    credentials = folder / "credentials"
    credentials.mkdir()
    (credentials / "gate").write_text("from systemd\n")
    certificate.rename(credentials / "ca")
    text = MINIMAL + "mqtt: {username: u, password_file: gate, tls: {enabled: true, ca_file: ca}}\n"
    mqtt = load(folder, text, CREDENTIALS_DIRECTORY=str(credentials)).mqtt
    assert (mqtt.password, mqtt.tls.ca_file) == ("from systemd", str(credentials / "ca"))
    assert len(findings(folder, text)) == 2
    (folder / "gate").write_text("beside the configuration")
    assert load(folder, text, CREDENTIALS_DIRECTORY=str(credentials)).mqtt.password == "beside the configuration"


def test_a_password_and_a_password_file_are_one_too_many(folder: Path) -> None:
    (folder / "secret").write_text("hidden")
    assert findings(folder, MINIMAL + "mqtt: {username: u, password: p, password_file: secret}\n") == [
        "gw.conf:4:34: mqtt.password_file: mutually exclusive with 'password': remove one of the two"
    ]


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (None, "cannot be read: No such file or directory: check its path and permissions"),
        (b"\n", "is empty: write the secret into it"),
        (b"\xff", "cannot be read: not UTF-8: check its path and permissions"),
        (b"x" * 70_000, "is too large for a secret: is it the right file?"),
    ],
)
def test_a_password_file_that_cannot_be_used_says_why(content: bytes | None, reported: str, folder: Path) -> None:
    if content is not None:
        (folder / "secret").write_bytes(content)
    assert findings(folder, MINIMAL + "mqtt: {username: u, password_file: secret}\n") == [
        f"gw.conf:4:36: mqtt.password_file: secret {reported}"
    ]


@pytest.mark.parametrize("has_credentials", [False, True])
@pytest.mark.parametrize("path", ["a\\0b", "~no-such-user/x", "/", "x" * 5000])
def test_a_path_that_no_file_can_have_is_a_finding(path: str, has_credentials: bool, folder: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(folder)} if has_credentials else {}
    for option in (f'password_file: "{path}", username: u', f'tls: {{enabled: true, ca_file: "{path}"}}'):
        (reported,) = findings(folder, MINIMAL + f"mqtt: {{{option}}}\n", **environment)
        assert reported.startswith("gw.conf:4:")
    for text in (f'map: "{path}"\ninterface: {{type: dummy}}', MINIMAL.replace("dummy", f'"{path}.py"')):
        (reported,) = findings(folder, text)
        assert reported.startswith("gw.conf:")


@pytest.mark.parametrize("option", ["password: [hunter2]", "password: {a: hunter2}", "password: 5551234"])
def test_no_finding_quotes_a_password(option: str, folder: Path) -> None:
    (reported,) = findings(folder, MINIMAL + f"mqtt: {{username: u, {option}}}\n")
    assert reported.startswith("gw.conf:4:31: mqtt.password: expected text, found a value that is not shown")
    assert "hunter2" not in reported
    assert "5551234" not in reported


def test_no_finding_quotes_what_came_from_the_environment(folder: Path) -> None:
    text = MINIMAL.replace("dummy", "dummy, interval: '${CODE}', intervall: '${CODE}'") + "mqtt: {port: '${CODE}'}\n"
    actual = findings(folder, text, CODE="hunter2")
    assert len(actual) == 3
    assert not any("hunter2" in reported for reported in actual)
    assert actual[-1] == "gw.conf:4:14: mqtt.port: expected a whole number, found '${CODE}': for example 1883"


# --- TLS


def test_tls_files_that_cannot_be_used_are_findings(folder: Path) -> None:
    (folder / "ca.pem").write_text("nonsense")
    (reported,) = findings(folder, MINIMAL + "mqtt: {tls: {enabled: true, ca_file: ca.pem}}\n")
    assert reported.startswith("gw.conf:4:13: mqtt.tls: TLS cannot be set up with ca.pem: ")
    (reported,) = findings(folder, MINIMAL + "mqtt: {tls: {enabled: true, ca_file: nope.pem}}\n")
    what = "TLS cannot be set up with nope.pem: [Errno 2] No such file or directory"
    assert reported == f"gw.conf:4:13: mqtt.tls: {what}: check these files"


def test_an_encrypted_key_is_refused_and_never_asks_for_a_password(folder: Path, certificate: Path) -> None:
    tool = shutil.which("openssl") or ""
    command = [tool, "rsa", "-aes128", "-passout", "pass:secret", "-in", "key.pem", "-out", "enc.pem"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    tls = "tls: {enabled: true, certificate_file: cert.pem, key_file: enc.pem}"
    (reported,) = findings(folder, MINIMAL + f"mqtt: {{{tls}}}\n")
    assert "the key is encrypted: store it unencrypted, readable by the gateway only" in reported


# --- interfaces with arbitrary code


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ("SCHEMA = 5", "SCHEMA: 5 is not of type 'object', 'boolean': fix its SCHEMA"),
        (
            "SCHEMA = {'properties': {'x': {'type': 'strng'}}}",
            "SCHEMA.properties.x.type: 'strng' is not valid under any of the given schemas: fix its SCHEMA",
        ),
        (
            "def check(params): yield 1 / 0",
            "ZeroDivisionError: division by zero (mine.py:4): fix its SCHEMA or check()",
        ),
        ("def check(params): ...", "TypeError: 'NoneType' object is not iterable: fix its SCHEMA or check()"),
        (
            "def addresses(params): return LAMP",
            "NameError: name 'LAMP' is not defined (mine.py:4): fix its addresses()",
        ),
        ("def addresses(params): raise SystemExit(3)", "SystemExit: 3 (mine.py:4): fix its addresses()"),
        (
            "def addresses(params): return {'device': 'lamp'}",
            "TypeError: 'device' is not an address, such as {'device': 'lamp'}: fix its addresses()",
        ),
        (
            "def addresses(params): return [{'device': None}]",
            "TypeError: {'device': None} is not an address, such as {'device': 'lamp'}: fix its addresses()",
        ),
        ("def words(params): yield 1 / 0", "ZeroDivisionError: division by zero (mine.py:4): fix its words()"),
        ("def words(params): yield 'device'", "ValueError: too many values to unpack (expected 3): fix its words()"),
        (
            "def devices(params): ...",
            (
                "TypeError: devices() returned None, and not a list of devices: fix its devices(), signatures() or"
                " explain_command()"
            ),
        ),
    ],
)
def test_a_class_that_is_broken_is_a_finding(body: str, reported: str, folder: Path) -> None:
    decorator = "@staticmethod" if body.startswith("def") else "# options"
    lines = ("from gateway.api import Interface", "class Door(Interface):", decorator, body, "def loop(self): ...")
    (folder / "mine.py").write_text("\n".join([*lines[:2], *(f"    {line}" for line in lines[2:])]))
    (actual,) = findings(folder, MINIMAL.replace("dummy", "mine.py, x: 1"))
    assert actual.replace(f"{folder}/", "") == f"gw.conf:3:19: interface.type: the class Door fails: {reported}"


def test_a_class_checks_what_is_wrong_with_its_options_alone(folder: Path) -> None:
    (folder / "mine.py").write_text(
        "from gateway.errors import Problem\n"
        "class Door:\n    SCHEMA = {'properties': {'pins': {'type': 'array'}}}\n    def loop(self): ...\n"
        "    @classmethod\n    def check(cls, params):\n"
        "        yield Problem(('pins', 1), 'pin 7 is in use', 'take another')\n"
    )
    assert findings(folder, MINIMAL.replace("dummy", "mine.py, pins: [6, 7]")) == [
        "gw.conf:3:38: interface.pins[1]: pin 7 is in use: take another"
    ]


def test_a_file_whose_name_cannot_stand_in_a_topic_needs_a_name(folder: Path) -> None:
    (folder / "a+b.py").write_text("class Door:\n    def loop(self): ...\n")
    assert findings(folder, MINIMAL.replace("dummy", "a+b.py")) == [
        ("gw.conf:3:19: interface.type: the name 'a+b' cannot be used: '+' is not allowed in a topic: "
        "use 'interfaces', with a name of your choice")
    ]  # fmt: skip
    text = "root: home\ntopics: []\ninterfaces: {door: {type: a+b.py}}\n"
    assert load(folder, text).interfaces[0].name == "door"


# --- schemas


def test_the_options_of_an_interface_are_its_own_and_those_that_all_have() -> None:
    for name in BUILT_IN:
        schema = interface_schema(find_interface(name, Path()))
        assert {"type", "map", "sender"} < set(schema["properties"])
        assert "type" in schema["required"]
        assert schema["additionalProperties"] is False


# --- whatever is written


words = st.sampled_from(
    (
        *("dummy", "serial", "x.py", "home", "home/#", "dummy_map.json", "~nobody-there/x", "none", "line", "on"),
        *("${X}", "${Y}", "$${", "a/b", "+", "\0", "(", "(?P<a>.)", "{a}", "{"),
    )
)
leaves = st.none() | st.booleans() | st.integers(-2, 70000) | st.floats() | words | st.text(max_size=5)
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=4
)


def fitting(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Draw data that a schema accepts, except that one option in twenty is arbitrary."""
    return st.integers(0, 19).flatmap(lambda dice: anything if dice == 0 else exactly_fitting(schema, shared))


def exactly_fitting(schema: Mapping[str, Any], shared: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    schema = shared[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", "any")
    return st.one_of(
        [of_kind(kind, schema, shared) for kind in ([kinds] if isinstance(kinds, str) else kinds)],
    )


def of_kind(kind: str, schema: Mapping[str, Any], shared: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "object":
        options = {name: fitting(option, shared) for name, option in schema.get("properties", {}).items()}
        required = {name: options.pop(name) for name in schema.get("required", ()) if name in options}
        return st.fixed_dictionaries(required, optional=options)
    if kind == "array":
        return st.lists(fitting(schema.get("items", {}), shared), min_size=schema.get("minItems", 0), max_size=2)
    if kind in ("integer", "number"):
        low, high = schema.get("minimum", schema.get("exclusiveMinimum", 0)), schema.get("maximum", 1e6)
        return st.integers(int(low) + 1, int(high))
    return {"boolean": st.booleans(), "string": words | st.text(max_size=5)}.get(kind, anything)


def interface_of(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    schema = interface_schema(find_interface(kind, Path()))
    return exactly_fitting(schema, schema.get("$defs", {})).map(lambda options: {**options, "type": kind})


interfaces = st.sampled_from(list(BUILT_IN)).flatmap(interface_of)
heads = st.one_of(
    st.fixed_dictionaries({"root": st.just("home") | words, "topics": st.lists(words, max_size=1)}),
    st.fixed_dictionaries({"map": exactly_fitting(map_schema(), map_schema()["$defs"])}),
    st.fixed_dictionaries({"map": words}),
)
bodies = st.fixed_dictionaries({"interface": interfaces}) | st.fixed_dictionaries(
    {"interfaces": st.dictionaries(st.text(max_size=3), interfaces, max_size=2)}
)
parts = {name: fitting(config_schema()["properties"][name], {}) for name in ("name", "mqtt", "outbox", "log")}
configurations = st.builds(
    lambda *each: {**each[0], **each[1], **each[2]}, heads, bodies, st.fixed_dictionaries({}, optional=parts)
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(configurations)
def test_whatever_options_are_given_the_answer_is_a_configuration_or_its_findings(folder: Path, data: Any) -> None:
    text = yaml.safe_dump(data, allow_unicode=True)
    path = folder / "gw.conf"
    path.write_bytes(text.encode("utf-8", "replace"))
    try:
        configuration = load_configuration(path, {"X": "5", "Y": ""})
    except ConfigurationError as err:
        assert err.findings
        for finding in err.findings:
            assert (finding.line > 0) == (finding.column > 0)
            assert finding.what
    else:
        assert configuration.interfaces


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("[0]")  # YAML for a list, and INI for a section that no version has had
@given(st.text(st.sampled_from("abc:{}[]-,'\"&*!|>%@`#? \n\t\\${}0é\x00\ud800"), max_size=40) | st.text(max_size=20))
def test_whatever_text_is_given_the_answer_is_findings(folder: Path, text: str) -> None:
    assume("[INTERFACE]" not in text)  # a section that an INI file may consist of
    path = folder / "gw.conf"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ConfigurationError):
        load_configuration(path, {})


def test_a_file_that_cannot_be_read_is_a_finding(folder: Path) -> None:
    for path, reported in (
        (folder / "nope.conf", "cannot be read: No such file or directory: check its path and permissions"),
        (folder, "cannot be read: Is a directory: check its path and permissions"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            load_configuration(path, {})
        assert str(caught.value) == f"{path}: {reported}"


def test_a_finding_shows_no_secret_that_came_from_the_environment(folder: Path) -> None:
    text = (
        "root: home\ntopics: []\ninterface:\n  type: serial\n  port: loop://\n  encode:\n"
        "    - match: {action: OPEN}\n      arguments: {pin: {type: integer, default: '${PIN}'}}\n"
        "      write: '{pin}'\n"
    )
    reported = "\n".join(findings(folder, text, PIN="s3cr3t-4711"))
    assert reported
    assert "s3cr3t" not in reported


@pytest.mark.parametrize("host", ["mqtt://127.0.0.1", "127.0.0.1:1884", "[::1]", "a b"])
def test_a_host_is_a_name_or_an_address_and_nothing_more(host: str, folder: Path) -> None:
    (reported,) = findings(folder, f"root: home\ntopics: []\nmqtt: {{host: '{host}'}}\ninterface: {{type: dummy}}\n")
    assert reported.startswith(f"gw.conf:3:14: mqtt.host: '{host}' is not a host name or address: ")


def test_words_of_rules_that_the_map_refuses_are_found(folder: Path) -> None:
    text = (
        "map: {root: home, topics: [], action: {maptype: strict, map: {RING: [ring]}}}\n"
        "interface:\n  type: serial\n  port: loop://\n  address: {location: 'a/b'}\n  decode:\n"
        "    - {regex: '1', message: {device: bell, action: RING}}\n"
        "    - {regex: '2', message: {device: '{x}', action: RIN}}\n"
    )
    reported = findings(folder, text.replace("{x}", "bell"))
    assert [line.partition(": add")[0] for line in reported] == [
        "gw.conf:5:23: interface.address.location: location: 'a/b': '/' is not allowed in a topic",
        "gw.conf:8:54: interface.decode[1].message.action: action: 'RIN' is not in the map",
    ]


def test_an_unknown_option_does_not_hide_what_else_is_wrong(folder: Path) -> None:
    text = (
        "root: home\ntopics: []\ninterface:\n  type: serial\n  port: loop://\n  baud: 9600\n  decode:\n"
        "    - {regex: '(', message: {action: A}}\n"
    )
    assert [reported.partition(": not")[0] for reported in findings(folder, text)] == [
        "gw.conf:6:3: interface.baud: unknown option: did you mean 'baudrate'?",
        "gw.conf:8:15: interface.decode[0].regex",
    ]


def test_rules_that_the_text_itself_spoils_are_no_traceback(folder: Path) -> None:
    text = (
        "root: home\ntopics: []\ninterfaces:\n"
        "  a: {type: serial, port: 'loop://', decode: [&r {regex: '1', message: {device: bell, action: RING}}]}\n"
        "  b: {type: serial, port: 'loop://', decode: [*r]}\n"
    )
    assert any("the alias '*r' is not supported" in line for line in findings(folder, text))


@pytest.mark.parametrize("name", ["response", "reason", "requested"])
def test_a_timestamp_is_not_called_by_a_word_of_outcomes(folder: Path, name: str) -> None:
    text = f"{MINIMAL}commands: {{timestamp_argument: {name}}}\n"
    (finding,) = findings(folder, text)
    assert finding.startswith(f"gw.conf:4:32: commands.timestamp_argument: {name!r} is reserved")


def test_answers_may_go_below_the_topics_of_the_gateway_and_where_the_configuration_says(folder: Path) -> None:
    actual = load(folder, f"{MINIMAL}name: hall\ncommands: {{response_topics: [app/+/inbox]}}\n")
    assert actual.response_topics == ("home/hall/", ("app/+/inbox",))
    assert load(folder, MINIMAL).response_topics == ("home/gw/", ())


def test_a_filter_for_answers_that_cannot_be_is_a_finding(folder: Path) -> None:
    text = f"{MINIMAL}commands: {{response_topics: [app/inbox, 'app/#/inbox']}}\n"
    (finding,) = findings(folder, text)
    assert finding.startswith(
        "gw.conf:4:41: commands.response_topics[1]: 'app/#/inbox': '#' must be the whole last level"
    )
