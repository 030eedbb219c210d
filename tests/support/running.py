"""A gateway in a thread of this process, and its messages by way of a real broker."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from gateway.configuration.load_config import load_configuration
from gateway.configuration.settings import InterfaceOptions
from gateway.message import InternalMsg
from gateway.runtime.supervisor import Supervisor
from gateway.start_gateway import Gateway
from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import shipped_conf
from tests.support.desk import Desk
from tests.support.waiting import wait_until

_STOP = 8.0  # s; an orderly stop takes less


def with_polls_every(conf: Path, seconds: float) -> Path:
    """Rewrite the interval of all polls in a configuration."""
    text, count = re.subn(r"(?m)^(\s+every:) [0-9.]+$", rf"\1 {seconds}", conf.read_text())
    assert count, text
    conf.write_text(text)
    return conf


class RunningGateway:
    """Runs the configuration in `conf`; `interface` is the one (or the first) as it was built last."""

    def __init__(self, conf: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
        self._built: list[Any] = []
        configuration = load_configuration(conf, environment)
        interfaces = tuple(options._replace(cls=self._keeping(options)) for options in configuration.interfaces)
        self.name = configuration.name
        self.gateway = Gateway(configuration._replace(interfaces=interfaces))
        self._thread = threading.Thread(target=self.gateway.run, name="main of the gateway")

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            wait_until(lambda: self.gateway.client.is_subscribed, what="the subscription")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self.gateway.stop()
        self._thread.join(_STOP)
        assert not self._thread.is_alive(), "the gateway did not stop"
        self.gateway.close()

    @property
    def interface(self) -> Any:
        wait_until(lambda: self._built, what="the interface to be built")
        return self._built[-1]

    def _keeping(self, options: InterfaceOptions) -> type[Any]:
        """Return a class whose instance is kept, so that a test can read its counters."""
        built = self._built

        def begin(interface: Any, *parts: Any) -> None:
            options.cls.__init__(interface, *parts)
            built.append(interface)

        return type(options.cls.__name__, (options.cls,), {"__init__": begin})


class Example:
    """A running shipped example: its gateway, the broker, and a listener to everything below `root`.

    Only the ports in its configuration are changed, and the interval of the polls if `every` (s) is set.
    """

    def __init__(
        self, folder: Path, broker: Mosquitto, name: str, device: Path, root: str = "home", every: float | None = None
    ) -> None:
        conf = shipped_conf(folder, f"{name}.conf", broker.port, device)
        if every is not None:
            with_polls_every(conf, every)
        self.running = RunningGateway(conf)
        self.listener: Listener = broker.client(f"{root}/#")
        self.availability = f"{root}/{name}/serial/availability"
        self._name = name

    def __enter__(self) -> Self:
        try:
            self.running.__enter__()
        except BaseException:
            self.listener.__exit__(None, None, None)
            raise
        self.wait_availability("online")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.running.stop()
        finally:
            self.listener.__exit__(kind, err, trace)

    @property
    def interface(self) -> Any:
        return self.running.interface

    def wait_availability(self, *expected: str) -> None:
        """Return once exactly `expected` has been published for the device, in this order."""

        def published() -> list[str]:
            return [payload.decode() for topic, payload in self.listener.pairs() if topic == self.availability]

        wait_until(lambda: published() == list(expected), what=lambda: f"{expected}; got {published()}")

    def readings(self) -> list[tuple[str, Any]]:
        """Return all messages except replies and availability: topic, and payload as JSON or as plain text."""
        return [(topic, payload) for topic, payload in self._messages() if not _is_reply(payload)]

    def wait_readings(self, count: int) -> list[tuple[str, Any]]:
        """Return the readings, once there are `count` of them."""
        wait_until(lambda: len(self.readings()) >= count, what=lambda: f"{count} readings; got {self.readings()}")
        return self.readings()

    def wait_reading(self, topic: str, **payload: Any) -> None:
        """Return once this reading has been published."""
        reading = (topic, payload)
        wait_until(lambda: reading in self.readings(), what=lambda: f"{reading}; got {self.readings()}")

    def command(self, address: str, action: str, **arguments: Any) -> dict[str, Any]:
        """Send a command and return its outcome, which must be the only reply."""
        previous = len(self._replies(address))
        payload = json.dumps({"action": action, **arguments}) if arguments else action
        self.listener.publish(f"{address}/tester/C", payload)
        return self.wait_reply(address, previous)

    def wait_reply(self, address: str, previous: int = 0) -> dict[str, Any]:
        """Return the only reply of `address` after the first `previous` ones."""
        wait_until(lambda: len(self._replies(address)) > previous, what=lambda: f"a reply; got {self.listener.pairs()}")
        (reply,) = self._replies(address)[previous:]
        return reply

    def _replies(self, address: str) -> list[dict[str, Any]]:
        topic = f"{address}/{self._name}/S"
        return [payload for reply_topic, payload in self._messages() if reply_topic == topic and _is_reply(payload)]

    def _messages(self) -> list[tuple[str, Any]]:
        pairs = [pair for pair in self.listener.pairs() if f"/{self._name}/" in pair[0]]
        return [
            (topic, json.loads(payload) if payload[:1] == b"{" else payload.decode())
            for topic, payload in pairs
            if not topic.endswith(("/availability", "/run", "/health", "/state", "/event"))
        ]


def _is_reply(payload: Any) -> bool:
    return isinstance(payload, dict) and "response" in payload


class RunningInterface(Desk):
    """A serial interface in its thread, without a broker: its `Desk`, and its counters.

    Its options are those of the YAML in `text`, and `options`.
    """

    def __init__(self, folder: Path, text: str = "", **options: Any) -> None:
        super().__init__()
        lines = ["type: serial", *(f"{name}: {json.dumps(value)}" for name, value in options.items())]
        lines += text.splitlines()
        conf = folder / "gw.conf"
        conf.write_text("root: home\ntopics: []\ninterface:\n" + "".join(f"  {line}\n" for line in lines))
        (interface_options,) = load_configuration(conf, {}).interfaces
        self.built: list[Any] = []
        self._supervisor = Supervisor("dev", lambda: self._build(interface_options), self.inbox, self.outlet)

    def _build(self, interface_options: InterfaceOptions) -> Any:
        self.built.append(interface_options.cls(interface_options.params, self.inbox, self.outlet))
        return self.built[-1]

    def __enter__(self) -> Self:
        self._supervisor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._supervisor.request_stop()
        assert self._supervisor.join(_STOP), "the interface did not stop"
        assert self._supervisor.failures == 0

    @property
    def tries_to_open(self) -> int:
        """The number of consecutive tries to open the port without lasting success."""
        return int(self.interface.reopen_backoff.tries)

    def wait_tries(self, count: int) -> None:
        wait_until(lambda: self.tries_to_open >= count, what=f"{count} tries to open")

    @property
    def interface(self) -> Any:
        wait_until(lambda: self.built, what="the interface to be built")
        return self.built[-1]

    def command(self, action: str, **arguments: Any) -> None:
        """Put a command into the inbox."""
        self.command_for("", action, **arguments)

    def command_for(self, device: str, action: str, **arguments: Any) -> None:
        msg = InternalMsg(iscmd=True, device=device, sender="tester", action=action, arguments=arguments)
        assert self.inbox.push(msg)

    def replies(self) -> list[InternalMsg]:
        return [msg for msg in self.collect() if "response" in msg.arguments]

    def wait_replies(self, count: int) -> list[Any]:
        """Return the responses to all commands, once there are `count` of them."""
        wait_until(lambda: len(self.replies()) >= count, what=lambda: f"{count} replies; got {self.replies()}")
        return [msg.arguments["response"] for msg in self.replies()]
