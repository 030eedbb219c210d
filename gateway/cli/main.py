"""The command `mqttgateway`: reads the command line, does what it says, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway import __version__
from gateway.cli.parser import Parser, positive, seconds
from gateway.core.paths import NAME, find_configuration, shipped_configurations
from gateway.early_signals import EarlySignals
from gateway.errors import ConfigurationError, GatewayError, UsageError
from gateway.logs.init_logger import LEVELS, LogOptions, init_logger

EXIT_OK, EXIT_FAILED = 0, GatewayError.exit_code
EXIT_USAGE, EXIT_CONFIGURATION = UsageError.exit_code, ConfigurationError.exit_code

_DESCRIPTION = """\
Bridges devices that do not speak MQTT, serial ones first, to MQTT.

  mqttgateway --conf dummy2mqtt.conf      run a gateway; this one is an example that needs no device
  mqttgateway check --conf FILE           check a configuration and its map, without opening anything
  mqttgateway watch --conf FILE           show the traffic of its topics, as internal messages
  mqttgateway send --conf FILE ...        send a command, or a status, through its map
  mqttgateway status NAME                 show how a running gateway is
  mqttgateway reload --conf FILE          have the running gateway take over a changed configuration and map
  mqttgateway outbox list --conf FILE     show what waits for the broker; also retry, export, purge
  mqttgateway forget NAME TOPIC           have the broker forget a retained topic of a running gateway
  mqttgateway map check FILE              prove a map; also: map explain, map diff, map graph
  mqttgateway options                     print every option with its default, as a configuration file
  mqttgateway migrate OLD.conf            write the YAML that a configuration of version 0, 1 or 2 amounts to
"""

_EPILOG = """\
A running gateway is named by its configuration (--conf FILE) or by its NAME, as in its topics.
FILE is looked for as given, in $XDG_CONFIG_HOME/mqttgateway, in /etc/mqttgateway, and last among the
shipped examples: {shipped}.

exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration.
"""


def main(arguments: Sequence[str] | None = None, signals: EarlySignals | None = None) -> int:
    """Run the command line; return the exit code. `signals` are those that have come while it was loaded."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # words of a message that this terminal cannot show
    try:
        parser = _parser()
        options = parser.parse_args(arguments)
        if signals is not None:
            if options.command == "run":
                signals.wait_for_reload()
            else:
                signals.release()
        is_by_name = getattr(options, "name", None) is not None
        if options.command not in ("options", "migrate", "map") and options.conf is None and not is_by_name:
            parser.error(_what_is_missing(options))
        code = _dispatch(options, signals)
        sys.stdout.flush()
        return code
    except ConfigurationError as err:
        print(err, file=sys.stderr)  # noqa: T201
        return err.exit_code
    except GatewayError as err:
        print(f"{NAME}: {err}", file=sys.stderr)  # noqa: T201
        return err.exit_code
    except OSError as err:
        if err.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        return _stdout_failed(err)
    except KeyboardInterrupt:
        return EXIT_FAILED


def _what_is_missing(options: argparse.Namespace) -> str:
    if options.command == "forget":
        return f"forget {ascii(options.what)[1:-1]}: forget what? add a device or a topic"
    if options.command in ("status", "reload", "outbox"):
        return "which gateway? give its NAME, or --conf FILE"
    return "which configuration? give --conf FILE, for example --conf dummy2mqtt.conf"


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Look for no garbage meanwhile: there is next to none in what is loaded, and it takes milliseconds."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _stdout_failed(err: OSError) -> int:
    """Standard output takes no more: the reader has what it wants (`| head`), or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again at its end
    if err.errno == errno.EPIPE:
        return EXIT_OK
    print(f"{NAME}: standard output: {err.strerror}", file=sys.stderr)  # noqa: T201
    return EXIT_FAILED


def _dispatch(options: argparse.Namespace, signals: EarlySignals | None) -> int:
    # Each command imports what it needs itself: a run must start fast.
    if options.command == "options":
        from gateway.configuration.option_docs import default_configuration

        print(default_configuration(), end="")  # noqa: T201
        return EXIT_OK
    if options.command == "migrate":
        from gateway.cli.migrate import migrate

        return migrate(find_configuration(options.old, os.environ), options.output, os.environ)
    if options.command == "map":
        from gateway.cli.map import run_map_command

        return run_map_command(options)
    if options.command in ("status", "forget") or getattr(options, "name", None) is not None:
        return _ask(options)
    with _loading():
        # Not above: Ctrl-C in the middle of it is no traceback.
        from gateway.configuration.load_config import load_configuration
        from gateway.configuration.settings import Configuration

        path = find_configuration(options.conf, os.environ)

        def load() -> Configuration:
            found = load_configuration(path, os.environ, is_run=options.command == "run")
            return found._replace(log=found.log._replace(level=options.log_level)) if options.log_level else found

        configuration = load()
    if options.command == "check":
        from gateway.cli.check import check

        return check(configuration, options)
    if options.command in ("watch", "send"):  # standard output is theirs; the log says what goes wrong
        init_logger(LogOptions(level=options.log_level or "warning"), configuration.secrets)
    if options.command == "watch":
        from gateway.cli.watch import watch

        return watch(configuration, options.count)
    if options.command == "send":
        from gateway.cli.send import send

        return send(configuration, options)
    if options.command == "reload":
        from gateway.cli.reload import reload

        return reload(options)
    if options.command == "outbox":
        from gateway.cli.outbox import outbox

        return outbox(configuration, options)
    with _loading():
        from gateway.start_gateway import start_gateway

    try:
        init_logger(configuration.log, configuration.secrets)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL
        reason = getattr(err, "strerror", None) or err
        what = f"the log file {configuration.log.file!a} cannot be opened: {reason}"
        raise GatewayError(f"{what}: correct log.file, or make its folder") from err
    return EXIT_OK if start_gateway(configuration, load, signals) else EXIT_FAILED


def _ask(options: argparse.Namespace) -> int:
    """Ask a running gateway, which needs nothing of a configuration but its name."""
    if options.command == "status":
        from gateway.cli.status import status

        return status(options)
    if options.command == "forget":
        from gateway.cli.forget import forget

        return forget(options)
    if options.command == "reload":
        from gateway.cli.reload import reload

        return reload(options)
    from gateway.cli.outbox import outbox

    return outbox(None, options)


def _parser() -> Parser:
    formatter = argparse.RawDescriptionHelpFormatter
    epilog = _EPILOG.format(shipped=", ".join(shipped_configurations()))
    parser = Parser(prog=NAME, description=_DESCRIPTION, epilog=epilog, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    _add_common(parser)
    parser.set_defaults(command="run")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    def command(name: str, text: str, description: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=description or text, formatter_class=formatter)
        sub.set_defaults(command=name)
        return sub

    check = command(
        "check",
        "check a configuration and its map, without opening anything",
        "Check a configuration and its map, without opening anything; or show what it makes of a frame from\n"
        "the device, or of a command for it. Without --interface, all interfaces are tried.\n\n"
        "  mqttgateway check --conf serial2mqtt.conf\n"
        "  mqttgateway check --conf serial2mqtt.conf --frame 21\n"
        "  mqttgateway check --conf tank2mqtt.conf --hex 'AA 55 01 02 8A 14 01 A2 0D 0A'\n"
        "  mqttgateway check --conf serial2mqtt.conf --function security --location gate_entry \\\n"
        "      --device gate --action GATE_OPEN\n\n"
        "exit codes: 0 the configuration can be used, and one interface takes the frame or the command; 1 none\n"
        "does; 2 wrong command line; 78 wrong configuration.",
    )
    _add_common(check, inherit=True)
    check.add_argument("--frame", metavar="TEXT", help="a frame from the device, as text; \\r, \\n and \\xNN are bytes")
    check.add_argument("--hex", metavar="BYTES", help="a frame from the device, in hexadecimal")
    _add_message(check)
    watch = command(
        "watch",
        "show the traffic of a configuration's topics, as internal messages",
        "Show the traffic of a configuration's topics, as internal messages, until Ctrl-C.\n\n"
        "exit codes: 0 ended with Ctrl-C, or N messages have come; 1 no broker, or it lets nobody in; 2 wrong\n"
        "command line; 78 wrong configuration.",
    )
    _add_common(watch, inherit=True)
    watch.add_argument("--count", type=positive, metavar="N", help="stop after N messages")
    send = command(
        "send",
        "send a command, or a status, through the map",
        "Send a command through the map of a configuration, and show the answer.\n\n"
        "  mqttgateway send --conf dummy2mqtt.conf --function lighting --location office \\\n"
        "      --device lamp --action LAMP_ON\n\n"
        "exit codes: 0 the answer is OK (with --status or --wait 0: the broker has the message); 1 it is not, or\n"
        "there is none, or nothing could be sent; 2 wrong command line; 78 wrong configuration.",
    )
    _add_common(send, inherit=True)
    _add_message(send)
    send.add_argument("--status", action="store_true", help="send a status instead of a command")
    send.add_argument(
        "--wait",
        type=seconds,
        default=2.0,
        metavar="S",
        help="seconds to wait for the answer to a command (default 2); 0: it is enough that the broker has it",
    )
    reload = command(
        "reload",
        "have the running gateway take over a changed configuration and map",
        "Check a configuration, and have the gateway that runs with it take over its map, interfaces,\n"
        "filters and log. A broken file leaves everything as it was. SIGHUP does the same.\n\n"
        "  mqttgateway reload --conf serial2mqtt.conf\n"
        "  mqttgateway reload serial2mqtt",
    )
    _add_common(reload, inherit=True)
    _add_name(reload)
    status = command("status", "show how a running gateway is")
    _add_common(status, inherit=True)
    _add_name(status)
    status.add_argument("--json", action="store_true", help="one JSON object, for programs")
    forget = command(
        "forget",
        "have the broker forget a retained topic of a running gateway",
        "Have the broker forget what it retains for a running gateway: one topic, or all of a device or an interface\n"
        "that is gone. Only what this gateway has published, or could.\n\n"
        "  mqttgateway forget serial2mqtt home/serial2mqtt/attic/availability\n"
        "  mqttgateway forget --conf serial2mqtt.conf attic",
    )
    _add_common(forget, inherit=True)
    _add_name(forget)
    forget.add_argument("what", metavar="DEVICE|TOPIC", help="the name of a device or an interface, or a topic")
    outbox = command(
        "outbox",
        "show, export or remove what waits for the broker, and send again what no broker took",
        "Show what waits for the broker, and send again what no broker took (retry); while the gateway does not run,\n"
        "also export or remove it.\n\n"
        "  mqttgateway outbox list serial2mqtt\n"
        "  mqttgateway outbox retry --conf serial2mqtt.conf --topic 'home/climate/#'\n"
        "  mqttgateway outbox export --conf serial2mqtt.conf > waiting.jsonl\n"
        "  mqttgateway outbox purge --conf serial2mqtt.conf --topic 'home/climate/#' --yes",
    )
    _add_common(outbox, inherit=True)
    what = ("list", "retry", "export", "purge")
    outbox.add_argument("outbox_command", choices=what, metavar="|".join(what))
    _add_name(outbox)
    outbox.add_argument("--topic", metavar="FILTER", help="only what this topic filter matches")
    outbox.add_argument("--set-aside", action="store_true", help="only what no broker took")
    outbox.add_argument(
        "--count", type=positive, default=20, metavar="N", help="how many messages a list shows (default 20)"
    )
    outbox.add_argument("--yes", action="store_true", help="purge: really")
    _add_map(command("map", "prove a map, explain what it makes of a message, compare two, draw one"))
    command("options", "print every option with its default, as a configuration file")
    migrate = command(
        "migrate",
        "write the YAML that an old configuration (INI) amounts to",
        "Write the YAML that a configuration of version 0, 1 or 2 (INI) amounts to, comments and all. Nothing is\n"
        "overwritten. The password goes into a file of its own, which only its owner can read.\n\n"
        "  mqttgateway migrate dummy2mqtt.conf",
    )
    migrate.add_argument("old", metavar="OLD.conf", help="the old configuration")
    migrate.add_argument(
        "-o", "--output", type=Path, metavar="NEW.conf", help="what to write (default: the old name, with .yaml)"
    )
    return parser


def _add_map(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def command(name: str, text: str, description: str) -> argparse.ArgumentParser:
        formatter = argparse.RawDescriptionHelpFormatter
        sub = commands.add_parser(name, help=text, description=description, formatter_class=formatter)
        sub.set_defaults(map_command=name)
        sub.add_argument("--name", default=NAME, help=f"the gateway's name, for a map on its own (default {NAME})")
        return sub

    file = "a map (.json), or a configuration, whose maps it has"
    check = command(
        "check",
        "prove a map: every word both ways, and every filter",
        "Prove a map: that every word of it is written and read back, every alias is read, and what its filters\n"
        "let in and keep out. Each finding comes with a message that shows it.\n\n"
        "  mqttgateway map check dummy_map.json\n\n"
        "exit codes: 0 proven, notes at most; 1 an error or a warning; 78 the file cannot be read.",
    )
    check.add_argument("file", metavar="FILE", help=file)
    check.add_argument("--json", action="store_true", help="one JSON document, for programs")
    explain = command(
        "explain",
        "say, field by field, what a map makes of a message",
        "Say, field by field, what a map makes of a message: one from MQTT, or one that is to be sent.\n\n"
        "  mqttgateway map explain --map dummy_map.json home/lights//study/lamp/me/C on\n"
        "  mqttgateway map explain --map dummy_map.json --function lighting --action LAMP_ON\n\n"
        "exit codes: 0 it is heard, or sent; 1 it is not; 78 the file cannot be used.",
    )
    explain.add_argument("topic", metavar="TOPIC", nargs="?", help="the topic of a message from MQTT")
    explain.add_argument("payload", metavar="PAYLOAD", nargs="?", help="its payload, as text")
    explain.add_argument("--retain", action="store_true", help="the broker has kept it, and sends it late")
    explain.add_argument("--map", "--conf", dest="conf", metavar="FILE", default=argparse.SUPPRESS, help=file)
    _add_message(explain)
    explain.add_argument("--status", action="store_true", help="a status is to be sent instead of a command")
    diff = command(
        "diff",
        "say which messages two maps treat differently",
        "Say which messages two maps treat differently, in both directions, each with an example.\n\n"
        "  mqttgateway map diff old_map.json new_map.json\n\n"
        "exit codes: 0 they mean the same, 1 they do not, 78 a file cannot be used.",
    )
    diff.add_argument("old", metavar="OLD", help=file)
    diff.add_argument("new", metavar="NEW", help=file)
    graph = command(
        "graph",
        "draw a map",
        "Draw a map in the terminal, or as SVG.\n\n  mqttgateway map graph dummy_map.json --svg map.svg",
    )
    graph.add_argument("file", metavar="FILE", help=file)
    graph.add_argument("--svg", "-o", metavar="OUT", help="the SVG file to write; - for standard output")
    graph.add_argument("--interface", metavar="NAME", help="which interface, where there are several maps")


def _add_message(parser: argparse.ArgumentParser) -> None:
    for field in ("function", "gateway", "location", "device", "sender", "action"):
        parser.add_argument(f"--{field}", default="", metavar="WORD", help=f"internal word for the {field}")
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument; JSON where VALUE is JSON (5, true, [1, 2]), text where it is not",
    )
    parser.add_argument(
        "--interface", metavar="NAME", help="which interface, where there are several; else all are tried"
    )


def _add_common(parser: argparse.ArgumentParser, *, inherit: bool = False) -> None:
    default = argparse.SUPPRESS if inherit else None  # what stands before the command counts too
    parser.add_argument("--conf", metavar="FILE", default=default, help="the configuration")
    parser.add_argument(
        "--log-level",
        type=str.lower,
        choices=LEVELS,
        default=default,
        metavar="LEVEL",
        help=f"one of {', '.join(LEVELS)}",
    )


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="a running gateway, by its name instead of --conf")
