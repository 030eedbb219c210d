"""The options of the serial interface as records; the files in schema/ describe each of them. Pure.

The rules (`decode`, `encode`, and what is written in the conversation) are built from the parameters in `rules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from interfaces.serial_interface.echo import echo_endings


class PortOptions(NamedTuple):
    """The options of the port. `dtr` and `rts` are None where the driver's level is to stay; `tls` is for ssl://."""

    port: str
    baudrate: int
    bytesize: int
    parity: str
    stopbits: float
    flow_control: str
    exclusive: bool
    write_timeout: float
    dtr: bool | None = None
    rts: bool | None = None
    tls: Mapping[str, Any] | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> PortOptions:
        """Return the options of the port from the parameters of an interface."""
        return cls(**{name: params[name] for name in cls._fields if name in params})


class RateLimit(NamedTuple):
    """How fast a device may be written to; 0: no limit. `pause` (s) follows each frame in either direction.

    `max_waiting` commands may wait; each of them waits for `longest_wait` seconds at most.
    """

    pause: float = 0.0
    bytes_per_second: float = 0.0
    frames_per_second: float = 0.0
    max_waiting: int = 100
    longest_wait: float = 10.0


class SerialOptions(NamedTuple):
    """The options of one serial device, except its rules. Times in seconds.

    `settle` is the time after opening in which nothing is written, `frame_timeout` the silence after which a partial
    frame is discarded (None: never), `answer_timeout` the default time to wait for an answer. After `reopen_after`
    requests in a row without an answer of anything on the line, the port is closed and opened again (0: never).
    `echo` is whether the line returns what is written (None: this is found out), `echo_endings` are the line ends by
    which it may differ from that.
    """

    port: PortOptions
    settle: float
    frame_timeout: float | None
    answer_timeout: float
    rate_limit: RateLimit
    reopen_after: int = 0
    echo: bool | None = False
    echo_endings: tuple[bytes, ...] = ()

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> SerialOptions:
        """Return the options from the parameters of an interface."""
        conversation = params["conversation"]
        return cls(
            PortOptions.from_params(params),
            params["settle"],
            frame_timeout(params["framing"]),
            conversation["timeout"],
            RateLimit(**conversation["pacing"]),
            conversation["reopen_after"],
            None if conversation["echo"] == "auto" else conversation["echo"],
            echo_endings(_write_framing(params)),
        )


def frame_timeout(framing: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> float | None:
    """Return the silence (s) that ends a partial frame; where there are several framings, the longest of theirs."""
    framings = [framing] if isinstance(framing, Mapping) else framing
    return max((options["timeout"] for options in framings if "timeout" in options), default=None)


def _write_framing(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the framing in which all is written that names no other one."""
    framing, other = params["framing"], params.get("write_framing")
    if isinstance(other, Mapping):
        return other
    framings = [framing] if isinstance(framing, Mapping) else framing
    return next((options for options in framings if other and options.get("name") == other), framings[0])
