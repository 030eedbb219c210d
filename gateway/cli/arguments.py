"""Arguments that several commands share, and the types of their values."""

from __future__ import annotations

import argparse
import math

from gateway.logs.levels import LEVELS

_LONGEST_WAIT = 86_400  # s


def add_common(parser: argparse.ArgumentParser, *, inherit: bool = True) -> None:
    """Add `--conf` and `--log-level`; `inherit` keeps what the command line gives before the command."""
    default = argparse.SUPPRESS if inherit else None
    parser.add_argument("--conf", metavar="FILE", default=default, help="the configuration")
    parser.add_argument(
        "--log-level",
        type=str.lower,
        choices=LEVELS,
        default=default,
        metavar="LEVEL",
        help=f"one of {', '.join(LEVELS)}",
    )


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add `NAME`, which stands for a running gateway instead of `--conf`."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="the name of a running gateway, instead of --conf")


def add_message(parser: argparse.ArgumentParser) -> None:
    """Add the options that make up a message: the words of its address, its action and its arguments."""
    for field in ("function", "gateway", "location", "device", "sender", "action"):
        parser.add_argument(f"--{field}", default="", metavar="WORD", help=f"internal word for the {field}")
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument; VALUE is read as JSON where it is JSON (5, true, [1, 2]), and as text otherwise",
    )
    parser.add_argument("--interface", metavar="NAME", help="use this interface only; without it, all are tried")


def seconds(text: str) -> float:
    """Return a time in seconds, of a day at most; raise `ArgumentTypeError` for anything else."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LONGEST_WAIT:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to {_LONGEST_WAIT}, such as 5, found {text!a}")
    return value


def positive(text: str) -> int:
    """Return a whole number of at least 1; raise `ArgumentTypeError` for anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!a}")
    return int(text)


def port_number(text: str) -> int:
    """Return a TCP port, where 0 stands for any free one; raise `ArgumentTypeError` for anything else."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, found {text!a}")
    return int(text)
