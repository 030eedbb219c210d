"""All commands of `mqttgateway`. To add one: write a module with its function, and give it an entry in `COMMANDS`."""

from __future__ import annotations

import argparse
import enum
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.cli.arguments import add_common, add_message, add_name, port_number, positive, seconds
from gateway.cli.map_arguments import add_map_arguments
from gateway.logs.levels import CONFIGURED, LEVELS


class Needs(enum.Enum):
    """What a command needs, and so how its function is called."""

    NOTHING = "nothing"
    """`function(options)`"""

    CONFIGURATION = "a configuration"
    """`function(configuration, options)`"""

    GATEWAY = "a running gateway"
    """`function(options)`; given by its name or its file, of which only the name is read, so it may be invalid"""

    GATEWAY_OR_CONFIGURATION = "a running gateway, or a configuration"
    """`function(configuration, options)`; the configuration is None if the gateway is given by its name"""


class Command(NamedTuple):
    """One command: what `--help` shows of it, its arguments, what it needs, and the function that executes it."""

    synopsis: str  # its arguments as the main help shows them
    summary: str  # one line for the main help
    add_arguments: Callable[[argparse.ArgumentParser], None]
    needs: Needs
    function: str  # `module:name`; it returns the exit code
    details: str = ""  # for its own help: what it does, with examples and exit codes
    missing: str = ""  # the error text if something is missing, where that of `needs` does not fit

    def load(self) -> Callable[..., int]:
        """Import the module of the command, and return its function. A run imports none of them, so it starts fast."""
        module, _, name = self.function.partition(":")
        function: Callable[..., int] = getattr(importlib.import_module(module), name)
        return function


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument(
        "--frame", metavar="TEXT", help="a frame from the device, as text; \\r, \\n and \\xNN are bytes"
    )
    parser.add_argument("--hex", metavar="BYTES", help="a frame from the device, in hexadecimal")
    add_message(parser)


def _watch_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--topic", metavar="FILTER", help="subscribe to this filter instead of those of the maps")
    parser.add_argument("--device", metavar="WORD", help="only messages of this device; * and ? stand for others")
    parser.add_argument(
        "--raw", action="store_true", help="show topic, QoS, retain, properties and payload as they are"
    )
    parser.add_argument("--count", type=positive, metavar="N", help="stop after N messages")


def _send_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_message(parser)
    parser.add_argument("--status", action="store_true", help="send a status instead of a command")
    parser.add_argument(
        "--wait",
        type=seconds,
        default=2.0,
        metavar="S",
        help="how many seconds to wait for the answer to a command (default 2); 0: do not wait for one",
    )


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_name(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")
    parser.add_argument(
        "--alive",
        action="store_true",
        help="only whether the gateway runs and does not hang: exit code 0, or 2; for probes that restart it",
    )


def _ha_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument(
        "--migrate",
        action="store_true",
        help="have the running gateway change over to the form in FILE; entities keep the names that people gave them",
    )


def _tap_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_name(parser)
    parser.add_argument("--raw", action="store_true", help="show only the bytes that interfaces read and write")
    parser.add_argument("--drops", action="store_true", help="show only what was dropped, and why")
    parser.add_argument("--device", metavar="WORD", help="only of this interface or device; * and ? stand for others")
    parser.add_argument("--rule", metavar="NAME", help="only what this rule has read; * and ? stand for others")
    parser.add_argument("--topic", metavar="FILTER", help="only messages whose topic matches this filter")
    parser.add_argument("--outcome", metavar="WORD", help="only with this outcome, or dropped at this stage")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each message, for programs")
    parser.add_argument("--count", type=positive, metavar="N", help="stop after N messages")
    parser.add_argument("--for", type=seconds, metavar="S", dest="duration", help="stop after S seconds")


def _reload_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_name(parser)


def _outbox_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    subcommands = ("list", "retry", "export", "purge")
    parser.add_argument("outbox_command", choices=subcommands, metavar="|".join(subcommands))
    add_name(parser)
    parser.add_argument("--topic", metavar="FILTER", help="only messages whose topic matches this filter")
    parser.add_argument("--dead-letters", action="store_true", help="only dead letters: what no broker accepted")
    parser.add_argument("--count", type=positive, default=20, metavar="N", help="list at most N messages (default 20)")
    parser.add_argument("--yes", action="store_true", help="confirm a purge")


def _forget_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_name(parser)
    parser.add_argument("what", metavar="DEVICE|TOPIC", help="the name of a device or an interface, or a topic")


def _interface_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    actions = ("restart", "close", "open")
    parser.add_argument("action", choices=actions, metavar="|".join(actions))
    add_name(parser)
    parser.add_argument("interface", metavar="INTERFACE", help="the name of the interface")


def _log_level_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_name(parser)
    levels = f"one of {', '.join(LEVELS)}; or {CONFIGURED}: as in the configuration"
    parser.add_argument("level", choices=(*LEVELS, CONFIGURED), metavar="LEVEL", help=levels)
    parser.add_argument("--part", metavar="PART", help="only this part of the log, such as mqtt, or this interface")


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("script", metavar="SCRIPT", help="the file that describes the device, or a shipped one")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--pty", type=Path, metavar="LINK", help="the path under which the device is a serial port")
    place.add_argument(
        "--tcp", type=port_number, metavar="PORT", help="the port of this machine at which the device is; 0: any"
    )


def _migrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD.conf", help="the old configuration")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NEW.conf", help="the file to write (default: the old name, with .yaml)"
    )


def _diag_arguments(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    add_name(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the archive to write (.zip)")


def _service_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")
    parser.add_argument(
        "--root", metavar="FOLDER", help="do it in the system that lies in FOLDER, such as an image; run no command"
    )


def _no_arguments(_parser: argparse.ArgumentParser) -> None:
    pass


COMMANDS: dict[str, Command] = {
    "check": Command(
        "--conf FILE",
        "check a configuration and its map, without opening anything",
        _check_arguments,
        Needs.CONFIGURATION,
        "gateway.cli.check:check",
        "Check a configuration and its map, without opening anything; or show how it reads a frame from the device,\n"
        "or how it writes a command to it. Without --interface, all interfaces are tried.\n\n"
        "  mqttgateway check --conf serial2mqtt.conf\n"
        "  mqttgateway check --conf serial2mqtt.conf --frame 21\n"
        "  mqttgateway check --conf tank2mqtt.conf --hex 'AA 55 01 02 8A 14 01 A2 0D 0A'\n"
        "  mqttgateway check --conf serial2mqtt.conf --function security --location gate_entry \\\n"
        "      --device gate --action GATE_OPEN\n\n"
        "exit codes: 0 the configuration can be used, and one interface accepts the frame or the command; 1 none\n"
        "does; 2 wrong command line; 78 wrong configuration.",
    ),
    "watch": Command(
        "--conf FILE",
        "show the messages on the topics of a configuration",
        _watch_arguments,
        Needs.CONFIGURATION,
        "gateway.cli.watch:watch",
        "Show the messages on the topics of a configuration, as internal messages, until Ctrl-C.\n\n"
        "  mqttgateway watch --conf serial2mqtt.conf --device gate\n"
        "  mqttgateway watch --conf serial2mqtt.conf --topic 'zigbee2mqtt/#' --raw\n\n"
        "exit codes: 0 ended with Ctrl-C, or N messages received; 1 no broker, or the broker denies access; 2 wrong\n"
        "command line; 78 wrong configuration.",
    ),
    "send": Command(
        "--conf FILE ...",
        "send a command to a device, or a status, and show the answer",
        _send_arguments,
        Needs.CONFIGURATION,
        "gateway.cli.send:send",
        "Send a command through the map of a configuration, and show the answer.\n\n"
        "  mqttgateway send --conf dummy2mqtt.conf --function lighting --location office \\\n"
        "      --device lamp --action LAMP_ON\n\n"
        "exit codes: 0 the answer is OK (with --status or --wait 0: the broker has the message); 1 the answer is not\n"
        "OK, there is none, or nothing could be sent; 2 wrong command line; 78 wrong configuration.",
    ),
    "status": Command(
        "NAME",
        "show how a running gateway is; the exit code is for monitoring",
        _status_arguments,
        Needs.GATEWAY,
        "gateway.cli.status:status",
        "Show how a running gateway is: first what is wrong and what to do, then its parts. It works while the broker\n"
        "is down, and while the gateway hangs.\n\n"
        "  mqttgateway status serial2mqtt\n"
        "  mqttgateway status serial2mqtt --alive      for a probe that restarts what does not answer\n\n"
        "exit codes: 0 well; 1 degraded, such as a device that is offline; 2 down: no broker, it hangs, or no such\n"
        "gateway runs here. With --alive: 0 it runs and its main thread does not hang; 2 otherwise.",
    ),
    "tap": Command(
        "NAME",
        "follow the messages through a running gateway, stage by stage",
        _tap_arguments,
        Needs.GATEWAY,
        "gateway.cli.tap:tap",
        "Follow the messages through a running gateway, until Ctrl-C: from the bytes of a device to the answer of the\n"
        "broker, and from a command to the answer of the device; and what was dropped at which stage, and why.\n\n"
        "  mqttgateway tap serial2mqtt\n"
        "  mqttgateway tap --conf serial2mqtt.conf --raw\n"
        "  mqttgateway tap serial2mqtt --drops --for 60\n"
        "  mqttgateway tap serial2mqtt --device gate --topic 'home/security/#' --json\n\n"
        "exit codes: 0 ended with Ctrl-C, after N messages or after S seconds; 1 no gateway of that name runs;\n"
        "2 wrong command line.",
    ),
    "reload": Command(
        "--conf FILE",
        "make the running gateway use its changed configuration and map",
        _reload_arguments,
        Needs.GATEWAY,
        "gateway.cli.reload:reload",
        "Make a running gateway check its files, and use the new map, interfaces, filters and log settings. If one is\n"
        "wrong, the gateway continues with what it has, and this ends with 78. SIGHUP does the same.\n\n"
        "  mqttgateway reload --conf serial2mqtt.conf\n"
        "  mqttgateway reload serial2mqtt",
    ),
    "diag": Command(
        "NAME",
        "collect what a report of a problem needs, without secrets",
        _diag_arguments,
        Needs.GATEWAY,
        "gateway.cli.diag:diag",
        "Write a zip archive with what a report of a problem needs: configuration, health, the messages of 5 s, log,\n"
        "versions, serial ports, the unit of systemd. Passwords, tokens and keys are replaced by ***. The gateway\n"
        "need not run, and its configuration may be wrong. Run it as root, or some of that is missing.\n\n"
        "  mqttgateway diag serial2mqtt\n"
        "  mqttgateway diag --conf serial2mqtt.conf -o report.zip",
    ),
    "interface": Command(
        "close NAME INTERFACE",
        "close, open or restart one interface of a running gateway",
        _interface_arguments,
        Needs.GATEWAY,
        "gateway.cli.interface:change_interface",
        "Close the port of one interface of a running gateway, so that another program can use it, and open it again;\n"
        "or restart the interface. While it is closed, its devices are offline and its commands are answered with\n"
        "OFFLINE. It stays closed until it is opened, or the gateway starts again.\n\n"
        "  mqttgateway interface close serial2mqtt serial\n"
        "  mqttgateway interface open serial2mqtt serial\n"
        "  mqttgateway interface restart --conf serial2mqtt.conf serial",
        missing="interface needs a gateway and an interface: mqttgateway interface close NAME INTERFACE",
    ),
    "log-level": Command(
        "NAME LEVEL",
        "change the log level of a running gateway",
        _log_level_arguments,
        Needs.GATEWAY,
        "gateway.cli.log_level:set_log_level",
        "Change the level of the log of a running gateway, of all of it, or of one part or one interface, until it is\n"
        "reloaded or starts again. A part or an interface with a level of its own keeps that.\n\n"
        "  mqttgateway log-level serial2mqtt debug --part mqtt\n"
        "  mqttgateway log-level serial2mqtt configured",
        missing="log-level needs a gateway and a level: mqttgateway log-level NAME LEVEL",
    ),
    "outbox": Command(
        "list --conf FILE",
        "show the messages that wait for the broker; also retry, export, purge",
        _outbox_arguments,
        Needs.GATEWAY_OR_CONFIGURATION,
        "gateway.cli.outbox:outbox",
        "Show the messages that wait for the broker, and send dead letters again: those that no broker accepted\n"
        "(retry). While the gateway does not run, also export or remove them.\n\n"
        "  mqttgateway outbox list serial2mqtt\n"
        "  mqttgateway outbox retry --conf serial2mqtt.conf --topic 'home/climate/#'\n"
        "  mqttgateway outbox export --conf serial2mqtt.conf > waiting.jsonl\n"
        "  mqttgateway outbox purge --conf serial2mqtt.conf --topic 'home/climate/#' --yes",
    ),
    "forget": Command(
        "NAME TOPIC",
        "remove a retained topic of a running gateway from the broker",
        _forget_arguments,
        Needs.GATEWAY,
        "gateway.cli.forget:forget",
        "Remove from the broker what it retains for a running gateway: one topic, or all topics of a device or an\n"
        "interface that no longer exists. Only topics that this gateway has published, or could publish.\n\n"
        "  mqttgateway forget serial2mqtt home/serial2mqtt/attic/availability\n"
        "  mqttgateway forget --conf serial2mqtt.conf attic",
        missing="forget needs a gateway and a topic: mqttgateway forget NAME DEVICE|TOPIC",
    ),
    "map": Command(
        "check FILE",
        "test a map; also: map explain, map diff, map graph",
        add_map_arguments,
        Needs.NOTHING,
        "gateway.cli.map:run_map_command",
        "Test a map, explain how it translates a message, compare two maps, or draw one.",
    ),
    "ha": Command(
        "--conf FILE",
        "print what is announced to Home Assistant; --migrate: announce it in another form",
        _ha_arguments,
        Needs.CONFIGURATION,
        "gateway.cli.ha:home_assistant",
        "Print the topic and the document of each device, and of the gateway, as they are announced with\n"
        "home_assistant: true. The configuration need not have that option. Devices of templates are announced\n"
        "at their first reading; of these the documents of the template are printed, with its words in braces.\n"
        "\n"
        "With --migrate, after home_assistant.form was changed in FILE: reload the running gateway, and wait until\n"
        "the broker has everything in the new form, and nothing in the old one. Home Assistant keeps its entities,\n"
        "with the names that people gave them. A gateway that is started with another form does the same itself.\n"
        "\n"
        "  mqttgateway ha --conf boiler.conf\n"
        "  mqttgateway ha --conf boiler.conf --migrate\n\n"
        "exit codes: 0 done; 1 no such gateway runs, or the broker has not accepted all documents; 2 wrong command\n"
        "line; 78 wrong configuration.",
    ),
    "options": Command(
        "",
        "print every option with its default, as a configuration file",
        _no_arguments,
        Needs.NOTHING,
        "gateway.cli.options:print_options",
    ),
    "simulate": Command(
        "SCRIPT --pty LINK",
        "play a serial device from a script, to try a configuration without the device",
        _simulate_arguments,
        Needs.NOTHING,
        "gateway.cli.simulate:simulate",
        "Play a serial device that a script describes, until Ctrl-C, and show what it hears and says. A configuration\n"
        "reaches it with port: LINK, or with port: socket://127.0.0.1:PORT.\n\n"
        "  mqttgateway simulate modbus2mqtt.sim --pty /tmp/ttyMeter\n"
        "  mqttgateway simulate my-device.sim --tcp 7001\n\n"
        "exit codes: 0 ended with Ctrl-C; 1 the port cannot be created; 2 wrong command line; 78 wrong script.",
    ),
    "install-service": Command(
        "",
        "write the files by which systemd runs gateways; needs root",
        _service_arguments,
        Needs.NOTHING,
        "gateway.cli.install_service:install_service",
        "Write the unit for systemd, with the program that this command runs, the user of the service, and rules for\n"
        "serial adapters, and have systemd read them. Files that were changed since are not overwritten. After an\n"
        "update of the program, do it again.\n\n"
        "  sudo /opt/mqttgateway/bin/mqttgateway install-service\n"
        "  mqttgateway install-service --dry-run",
    ),
    "uninstall-service": Command(
        "",
        "remove the files that install-service has written; needs root",
        _service_arguments,
        Needs.NOTHING,
        "gateway.cli.install_service:uninstall_service",
        "Remove the files that install-service has written, but not those that were changed since. The user, the\n"
        "configurations, and messages that wait for the broker stay.",
    ),
    "migrate": Command(
        "OLD.conf",
        "convert a configuration of version 0, 1 or 2 (INI) to YAML",
        _migrate_arguments,
        Needs.NOTHING,
        "gateway.cli.migrate:migrate",
        "Write a configuration of version 0, 1 or 2 (INI) as YAML, including its comments. No file is overwritten.\n"
        "The password is written to a separate file, which only its owner can read.\n\n"
        "  mqttgateway migrate dummy2mqtt.conf",
    ),
}
