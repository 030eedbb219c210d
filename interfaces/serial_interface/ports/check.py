"""The mistakes in the options of a port that their schema cannot find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.tls import TlsError, tls_context
from gateway.errors import Problem
from interfaces.serial_interface.options import PortOptions
from interfaces.serial_interface.ports.address import check_address, scheme_of
from interfaces.serial_interface.ports.fifo import is_fifo
from interfaces.serial_interface.ports.tls import tls_options


def check_port(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the problems of the port. It is not opened; of files, those of TLS are read."""
    options = PortOptions.from_params(params)
    yield from check_address(options.port)
    scheme = scheme_of(options.port)
    if scheme == "ssl":
        try:
            tls_context(tls_options(options))
        except TlsError as err:
            yield Problem(("tls",), str(err))
    elif options.tls is not None:
        remedy = "write ssl://HOST:PORT as the port, or remove tls"
        yield Problem(("tls",), "only an ssl:// port uses TLS", remedy)
    if not scheme and is_fifo(options.port):
        yield from _check_read_only(params)


def _check_read_only(params: Mapping[str, Any]) -> Iterator[Problem]:
    conversation = params["conversation"]
    for path, rules in (
        (("encode",), params["encode"]),
        (("conversation", "opening"), conversation["opening"]),
        (("conversation", "polls"), conversation["polls"]),
    ):
        if rules:
            remedy = "remove these rules, or use a pseudo-terminal or a socket instead of the FIFO"
            yield Problem(path, f"{params['port']} is a FIFO, to which nothing can be written", remedy)
