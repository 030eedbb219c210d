"""The arguments of `mqttgateway map` and of its four subcommands."""

from __future__ import annotations

import argparse

from gateway.cli.arguments import add_message
from gateway.cli.parser import Parser
from gateway.core.paths import NAME

_FILE = "a map (.json), or a configuration, whose maps are used"


def add_map_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands check, explain, diff and graph."""
    subcommands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def subcommand(name: str, help_text: str, description: str) -> argparse.ArgumentParser:
        formatter = argparse.RawDescriptionHelpFormatter
        sub = subcommands.add_parser(name, help=help_text, description=description, formatter_class=formatter)
        sub.set_defaults(map_command=name)
        sub.add_argument("--name", default=NAME, help=f"the gateway's name, for a map on its own (default {NAME})")
        return sub

    check = subcommand(
        "check",
        "test a map: every word in both directions, and every topic filter",
        "Test a map: whether every word of it is written and read back, whether every alias is read, and what its\n"
        "topic filters accept and exclude. Each finding comes with a message that shows it.\n\n"
        "  mqttgateway map check dummy_map.json\n\n"
        "exit codes: 0 OK, with notes at most; 1 an error or a warning; 78 the file cannot be read.",
    )
    check.add_argument("file", metavar="FILE", help=_FILE)
    check.add_argument("--json", action="store_true", help="print one JSON document, for programs")
    explain = subcommand(
        "explain",
        "show, field by field, how a map translates a message",
        "Show, field by field, how a map translates a message: one received from MQTT, or one that is to be sent.\n\n"
        "  mqttgateway map explain --map dummy_map.json home/lights//study/lamp/me/C on\n"
        "  mqttgateway map explain --map dummy_map.json --function lighting --action LAMP_ON\n\n"
        "exit codes: 0 the message is received, or sent; 1 it is not; 78 the file cannot be used.",
    )
    explain.add_argument("topic", metavar="TOPIC", nargs="?", help="the topic of a message received from MQTT")
    explain.add_argument("payload", metavar="PAYLOAD", nargs="?", help="its payload, as text")
    explain.add_argument(
        "--retain", action="store_true", help="the broker had retained it before the gateway connected"
    )
    explain.add_argument("--map", "--conf", dest="conf", metavar="FILE", default=argparse.SUPPRESS, help=_FILE)
    add_message(explain)
    explain.add_argument("--status", action="store_true", help="explain the sending of a status instead of a command")
    diff = subcommand(
        "diff",
        "list the messages that two maps translate differently",
        "List the messages that two maps translate differently, in both directions, each with an example.\n\n"
        "  mqttgateway map diff old_map.json new_map.json\n\n"
        "exit codes: 0 they are equivalent, 1 they are not, 78 a file cannot be used.",
    )
    diff.add_argument("old", metavar="OLD", help=_FILE)
    diff.add_argument("new", metavar="NEW", help=_FILE)
    graph = subcommand(
        "graph",
        "draw a map",
        "Draw a map in the terminal, or as SVG.\n\n  mqttgateway map graph dummy_map.json --svg map.svg",
    )
    graph.add_argument("file", metavar="FILE", help=_FILE)
    graph.add_argument("--svg", "-o", metavar="OUT", help="the SVG file to write; - for standard output")
    graph.add_argument("--interface", metavar="NAME", help="draw the map of this interface, where there are several")
