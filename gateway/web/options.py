"""The option `web`: whether and where the page is served, and to whom."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from gateway.core.option_schema import section_defaults

LEAST_TOKEN = 16
"""Characters of the shortest token: a shorter one could be guessed."""

_DEFAULT = section_defaults(__file__)


class WebOptions(NamedTuple):
    """Whether and where the page is served, and to whom; see options_schema.json."""

    enabled: bool = False
    listen: str = _DEFAULT["listen"]
    token: str | None = None
    token_file: str | None = None
    hosts: tuple[str, ...] = _DEFAULT["hosts"]
    metrics: bool = _DEFAULT["metrics"]

    def __repr__(self) -> str:
        return f"WebOptions({self.listen})"  # never the token

    @property
    def host(self) -> str:
        """The address to listen on; that of IPv6 without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen on."""
        return int(self.listen.rpartition(":")[2])

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the page, and not by way of a proxy, which has a name of its own."""
        return is_loopback(self.host) and not self.hosts


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is that of the machine for itself."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)  # a socket of IPv6 that accepts IPv4, too, names it so
    return (mapped or address).is_loopback
