"""The address of a port as a configuration has it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.core.quoting import did_you_mean
from gateway.errors import Problem

FORMS = {
    "socket": "socket://HOST:PORT",
    "ssl": "ssl://HOST:PORT",
    "tcp-listen": "tcp-listen://[HOST]:PORT",
    "udp": "udp://[HOST]:PORT",
    "usb": "usb://VENDOR:PRODUCT[/SERIAL]",
    "rfc2217": "rfc2217://HOST:PORT",
    "loop": "loop://",
    "spy": "spy://PATH",
    "alt": "alt://PATH",
    "hwgrep": "hwgrep://PATTERN",
    "cp2110": "cp2110://PATH",
}
"""How the URL of each scheme is written. From rfc2217 on, pyserial reads them."""

_OTHER_NAMES = {"tcp": "socket", "tls": "ssl"}
_USB = re.compile(r"usb://([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?:/(.+))?")


class Address(NamedTuple):
    """A host (empty: all addresses of this machine) and a port."""

    host: str
    port: int


class UsbAddress(NamedTuple):
    """What identifies a USB adapter: the numbers of its vendor and product, and its serial number (empty: any)."""

    vendor: int
    product: int
    serial: str = ""

    def __str__(self) -> str:
        return f"{self.vendor:04x}:{self.product:04x}" + (f" with the serial number {self.serial}" * bool(self.serial))


def scheme_of(port: str) -> str:
    """Return the scheme of a URL; empty for a path."""
    return port.partition("://")[0] if "://" in port else ""


def network_address(port: str) -> Address:
    """Return host and port of a URL; raise `ValueError` with what is wrong with it."""
    scheme = scheme_of(port)
    parts = urlsplit(port)
    try:
        number = parts.port
    except ValueError as err:
        raise ValueError("its port is not a number from 1 to 65535") from err
    if not number:
        raise ValueError("the port is missing")
    host = parts.hostname or ""
    if not host and scheme in ("socket", "ssl"):
        raise ValueError("the host is missing")
    if scheme != "socket" and (parts.path or parts.query or parts.fragment or "@" in parts.netloc):
        raise ValueError("there is more in it than host and port")  # pyserial knows socket://HOST:PORT?logging=debug
    return Address(host, number)


def usb_address(port: str) -> UsbAddress:
    """Return the address of a USB adapter from its URL; raise `ValueError` with what is wrong with it."""
    match = _USB.fullmatch(port)
    if match is None:
        raise ValueError("vendor and product have four hexadecimal digits each, as lsusb prints them")
    return UsbAddress(int(match[1], 16), int(match[2], 16), match[3] or "")


def check_address(port: str) -> Iterator[Problem]:
    """Yield what is wrong with the option `port`."""
    scheme = scheme_of(port)
    if not scheme:
        yield from _check_path(port)
        return
    form = FORMS.get(scheme)
    if form is None:
        other = FORMS.get(_OTHER_NAMES.get(scheme, ""))
        remedy = f"write {other}" if other else did_you_mean(scheme, FORMS)
        yield Problem(("port",), f"there are no ports of the kind {scheme}://", remedy)
        return
    try:
        if scheme == "usb":
            usb_address(port)
        elif scheme in ("socket", "ssl", "tcp-listen", "udp"):
            network_address(port)
    except ValueError as err:
        yield Problem(("port",), f"{port!a} cannot be used: {err}", f"write {form}")


def _check_path(port: str) -> Iterator[Problem]:
    """Yield what is wrong with a port that is not a URL: perhaps it was meant as one."""
    scheme, colon, rest = port.partition(":")
    if not colon or "/" in scheme:
        return
    if scheme in FORMS:
        yield Problem(("port",), f"{port!a} is not a URL", f"write {FORMS[scheme]}")
    elif rest.isdecimal():
        yield Problem(("port",), f"{port!a} is neither a path nor a URL", f"for TCP write socket://{port}")
