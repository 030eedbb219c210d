"""The command `mqttgateway`: parses the command line, executes the command, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.cli.arguments import add_common
from gateway.cli.commands import COMMANDS, Command, Needs
from gateway.cli.parser import Parser
from gateway.core.paths import NAME, find_configuration, shipped_configurations
from gateway.early_signals import EarlySignals
from gateway.errors import ConfigurationError, GatewayError, HangError, UsageError
from gateway.logs.init_logger import init_logger

if TYPE_CHECKING:
    from gateway.configuration.settings import Configuration

EXIT_OK, EXIT_FAILED = 0, GatewayError.exit_code
EXIT_USAGE, EXIT_CONFIGURATION = UsageError.exit_code, ConfigurationError.exit_code
EXIT_HANG = HangError.exit_code

_DESCRIPTION = """\
Connects devices that do not support MQTT, mainly serial ones, to an MQTT broker.

  mqttgateway --conf dummy2mqtt.conf      run a gateway; this one is an example that needs no device
"""

_EPILOG = """\
A running gateway is given by its configuration (--conf FILE) or by its NAME, as in its topics.
FILE is looked for in the current folder, in $XDG_CONFIG_HOME/mqttgateway, in /etc/mqttgateway, and
finally among the shipped examples: {shipped}.

exit codes: 0 done, 1 failed, 2 wrong command line, 78 wrong configuration; for status see its help.
"""

_WHICH_GATEWAY = "which gateway? give its NAME, or --conf FILE"
_MISSING = {
    Needs.CONFIGURATION: "which configuration? give --conf FILE, for example --conf dummy2mqtt.conf",
    Needs.GATEWAY: _WHICH_GATEWAY,
    Needs.GATEWAY_OR_CONFIGURATION: _WHICH_GATEWAY,
}


def main(arguments: Sequence[str] | None = None, signals: EarlySignals | None = None) -> int:
    """Execute the command line; return the exit code. `signals` are those received during the start."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a message may hold characters unknown to this terminal
    try:
        words = sys.argv[1:] if arguments is None else arguments
        parser = build_parser(words)
        options = parser.parse_args(words)
        command: Command | None = COMMANDS.get(options.command)
        if signals is not None:
            if command is None:
                signals.wait_for_reload()
            else:
                signals.release()
        missing = _missing(command, options)
        if missing:
            parser.error(missing)
        code = _run_told(options, signals) if command is None else _execute(command, options)
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


def build_parser(words: Sequence[str] | None = None) -> Parser:
    """Return the parser of the command line; in what it parses, `command` is a key of `COMMANDS`, or None for a run.

    Commands that are not among the `words` of the command line get no arguments: adding those of all commands would
    delay each start by milliseconds. None for `words` means all commands.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    epilog = _EPILOG.format(shipped=", ".join(shipped_configurations()))
    parser = Parser(prog=NAME, description=_DESCRIPTION, epilog=epilog, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=f"{NAME} {__version__}")
    add_common(parser, inherit=False)
    parser.set_defaults(command=None)
    lines = (f"{name} {command.synopsis:<{24 - len(name)}} {command.summary}" for name, command in COMMANDS.items())
    commands = parser.add_subparsers(
        title="commands",
        description="\n".join(lines),
        metavar="COMMAND",
        help=f"'{NAME} COMMAND --help' shows its arguments, with examples",
        parser_class=Parser,
    )
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, description=command.details or command.summary, formatter_class=formatter)
        sub.set_defaults(command=name)
        if words is None or name in words:
            command.add_arguments(sub)
    return parser


def _missing(command: Command | None, options: argparse.Namespace) -> str:
    """Return an error text if neither a configuration nor a running gateway is given, and the command needs one."""
    needs = Needs.CONFIGURATION if command is None else command.needs
    if needs is Needs.NOTHING or options.conf is not None or getattr(options, "name", None) is not None:
        return ""
    return (command.missing if command else "") or _MISSING[needs]


def _execute(command: Command, options: argparse.Namespace) -> int:
    """Execute a command; return its exit code."""
    if command.needs in (Needs.NOTHING, Needs.GATEWAY):
        return command.load()(options)
    if command.needs is Needs.GATEWAY_OR_CONFIGURATION and options.name is not None:
        return command.load()(None, options)
    with _without_garbage_collection():
        configuration = _loader(options)()
    return command.load()(configuration, options)


def _run_told(options: argparse.Namespace, signals: EarlySignals | None) -> int:
    """Run a gateway as `_run` does; if it cannot start, systemd shows why."""
    try:
        return _run(options, signals)
    except GatewayError as err:
        if os.environ.get("NOTIFY_SOCKET"):
            from gateway.runtime.service_manager import ServiceManager

            ServiceManager(os.environ, str).tell(str(err))
        raise


def _run(options: argparse.Namespace, signals: EarlySignals | None) -> int:
    """Run a gateway until it is stopped; return the exit code."""
    with _without_garbage_collection():
        load = _loader(options, is_run=True)
        configuration = load()
        from gateway.start_gateway import start_gateway

    try:
        names = (interface.name for interface in configuration.interfaces)
        init_logger(configuration.log, configuration.secrets, interfaces=names)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL
        reason = getattr(err, "strerror", None) or err
        problem = f"the log file {configuration.log.file!a} cannot be opened: {reason}"
        raise GatewayError(f"{problem}: correct log.file, or create its folder") from err
    return EXIT_OK if start_gateway(configuration, load, signals) else EXIT_FAILED


def _loader(options: argparse.Namespace, *, is_run: bool = False) -> Callable[[], Configuration]:
    """Return the function that loads the configuration of the command line; a run calls it again for each reload."""
    # Imported inside main's try block, so that Ctrl-C during the import prints no traceback.
    from gateway.configuration.load_config import load_configuration

    path = find_configuration(options.conf, os.environ)

    def load() -> Configuration:
        configuration = load_configuration(path, os.environ, is_run=is_run)
        if options.log_level:
            return configuration._replace(log=configuration.log._replace(level=options.log_level))
        return configuration

    return load


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: it takes milliseconds, and what is loaded leaves next to no garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _stdout_failed(err: OSError) -> int:
    """Return the exit code after a failed write to standard output: its reader ended (`| head`), or the disk is full.

    Python flushes standard output once more when it exits; that goes to /dev/null, or it would fail again.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if err.errno == errno.EPIPE:
        return EXIT_OK
    print(f"{NAME}: standard output: {err.strerror}", file=sys.stderr)  # noqa: T201
    return EXIT_FAILED
