"""The requests that a running gateway accepts on its control socket. None of them names a file to load."""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from gateway import __version__
from gateway.configuration.settings import Configuration
from gateway.control.protocol import Answer, ControlError, RequestKind
from gateway.control.server import ControlServer, Wakes
from gateway.core.own_files import open_own_folder
from gateway.core.package_logger import package_logger
from gateway.core.paths import runtime_folders
from gateway.core.topic import filter_matches, filter_problem
from gateway.errors import GatewayError
from gateway.logs.masking import Masker
from gateway.mqtt.client import MgClient
from gateway.mqtt.link_state import LinkState
from gateway.outbox.outbox import Outbox
from gateway.routing.device_memory import DeviceStatus
from gateway.routing.stale_retained import topics_to_forget
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.stats import Stats

if TYPE_CHECKING:
    from gateway.outbox.store import OutboxStore
    from gateway.outbox.writer import OutboxWriter

LOG = package_logger(__name__)

_MOST_SHOWN = 200  # messages in a page of the outbox, and devices: so many fit in a reply, whatever they contain
_LONGEST_REASON = 1000  # characters of a failure that are shown
_STATUS = {False: "offline", None: "unknown", True: "online"}
_ORDER = {is_online: position for position, is_online in enumerate(_STATUS)}
_LARGEST = 2**63 - 1  # the largest integer of SQLite


class Running(Protocol):
    """The parts of a gateway that the requests read and change."""

    @property
    def configuration(self) -> Configuration: ...  # noqa: D102
    @property
    def client(self) -> MgClient: ...  # noqa: D102
    @property
    def outbox(self) -> Outbox: ...  # noqa: D102
    @property
    def writer(self) -> OutboxWriter | None: ...  # noqa: D102
    @property
    def hosts(self) -> Mapping[str, InterfaceHost]: ...  # noqa: D102
    @property
    def received(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def started(self) -> float: ...  # noqa: D102
    def stats(self) -> Stats: ...  # noqa: D102
    @property
    def live_topics(self) -> Collection[str]: ...  # noqa: D102
    def reload_for(self, answer: Answer) -> None: ...  # noqa: D102
    def clear_retained(self, topic: str) -> bool: ...  # noqa: D102


def open_control(gateway: Running, wakeup: Wakes, environment: Mapping[str, str]) -> ControlServer | None:
    """Return the control socket of `gateway`, in the first folder that can hold it; log a warning if none can."""
    name = gateway.configuration.name
    problems: list[str] = []
    for path in runtime_folders(environment):
        folder = -1
        try:
            folder = open_own_folder(path, create=True)
            server = ControlServer(folder, name, kinds_of(gateway), wakeup)
            LOG.info("control socket %s", path / f"{name}.sock")
            return server
        except (ControlError, OSError) as err:
            if folder >= 0:
                os.close(folder)
            problems.append(f"{path}: {getattr(err, 'strerror', None) or err}")
            if isinstance(err, ControlError):  # a client would not find it in another folder
                break
    LOG.warning(
        "no control socket: 'mqttgateway status' and the like cannot reach this gateway (reload by SIGHUP works): %s",
        "; ".join(problems),
    )
    return None


def kinds_of(gateway: Running) -> dict[str, RequestKind]:
    """Return the kinds of requests by name. Add a new one here."""

    def kind(
        handle: Callable[[Running, Mapping[str, Any], Answer], None], *, in_main_thread: bool, **arguments: type
    ) -> RequestKind:
        return RequestKind(functools.partial(handle, gateway), arguments, in_main_thread)

    return {
        "forget": kind(_forget, in_main_thread=True, what=str),
        "outbox list": kind(_list_outbox, in_main_thread=False, part=str, topic=str, after=int, count=int),
        "outbox retry": kind(_retry_outbox, in_main_thread=False, topic=str),
        "reload": kind(_reload, in_main_thread=True),
        "status": kind(_status, in_main_thread=False),  # not in the main thread, so that it works while that hangs
        "tap": kind(_tap, in_main_thread=False, raw=bool, device=str, rule=str, topic=str, outcome=str, drops=bool),
    }


def _reload(gateway: Running, _: Mapping[str, Any], answer: Answer) -> None:
    gateway.reload_for(answer)


def _status(gateway: Running, _: Mapping[str, Any], answer: Answer) -> None:
    """Answer with the state of the gateway. It reads only what is replaced as a whole, or has a lock of its own."""
    configuration, client = gateway.configuration, gateway.client
    failure = client.last_failure
    masker = Masker(configuration.secrets)
    hosts = gateway.hosts
    devices = _devices({name: host.outlet.devices.statuses() for name, host in hosts.items()}, masker)
    answer({
        "name": configuration.name,
        "version": __version__,
        "pid": os.getpid(),
        "uptime": round(time.monotonic() - gateway.started, 1),
        "configuration": str(configuration.file.absolute()),
        "link": {
            "state": client.link_state.value,
            "broker": client.broker,
            "protocol": client.protocol_in_words,
            "session_present": client.session_present,
            "is_caught_up": client.is_caught_up,
            "connects": client.connects,
            "last_failure": masker.mask(str(failure)) if failure is not None else "",
        },
        "interfaces": [
            {
                "name": name,
                "type": host.options.cls.__name__,
                "available": host.outlet.is_available,
                "failures": host.failures,
                "last_failure": _failure_of(host, masker),
                "pushed": host.outlet.pushed,
                "refused": host.outlet.refused,
                "inbox": len(host.inbox),
                "devices": devices[name],
            }
            for name, host in hosts.items()
        ],
        "outbox": {
            "file": str(configuration.outbox.file) if configuration.outbox.file is not None else None,
            **gateway.outbox.counts()._asdict(),
        },
        "received": gateway.received,
        "stats": gateway.stats(),
    })  # fmt: skip


def _tap(gateway: Running, arguments: Mapping[str, Any], answer: Answer) -> None:
    from gateway.runtime.live_view import LiveView, Wanted

    view = LiveView(Wanted.of(arguments), lambda: gateway.configuration.secrets, is_raw=arguments.get("raw", False))
    answer.follow({"name": gateway.configuration.name, "version": __version__}, view)


def _devices(statuses: Mapping[str, Sequence[DeviceStatus]], masker: Masker) -> dict[str, dict[str, Any]]:
    """Return the devices of each interface: how many have each status, and some of them, first those that are offline.

    Of all interfaces together, up to `_MOST_SHOWN` devices are shown, or the reply could become too large.
    """
    everything = [(name, status) for name, devices in statuses.items() for status in devices]
    everything.sort(key=lambda item: _ORDER[item[1].is_online])
    result: dict[str, dict[str, Any]] = {}
    for name, devices in statuses.items():
        counts = Counter(_STATUS[status.is_online] for status in devices)
        result[name] = {"counts": {word: counts[word] for word in _STATUS.values()}, "shown": []}
    for name, status in everything[:_MOST_SHOWN]:
        result[name]["shown"].append({
            "id": status.id,
            "status": _STATUS[status.is_online],
            "reason": masker.mask(status.reason)[:_LONGEST_REASON] if status.is_online is False else "",
            "heard_ago": None if status.age is None else round(status.age, 1),
        })  # fmt: skip
    return result


def _failure_of(host: InterfaceHost, masker: Masker) -> dict[str, Any] | None:
    """Return when (s, Unix time) the interface of `host`, or its device, failed last, and why; None if it never has."""
    if host.outlet.last_failure is None:
        return None
    when, reason = host.outlet.last_failure
    return {"time": when, "reason": masker.mask(reason)[:_LONGEST_REASON]}


def _forget(gateway: Running, arguments: Mapping[str, Any], answer: Answer) -> None:
    configuration = gateway.configuration
    prefix = configuration.availability_topic().rpartition("/")[0]
    maps = dict.fromkeys(interface.msg_map for interface in configuration.interfaces)
    retained = dict(gateway.outbox.retained)
    topics = topics_to_forget(arguments.get("what", ""), retained, maps, prefix, gateway.live_topics)
    for topic in topics:
        if not gateway.clear_retained(topic):
            raise GatewayError("the outbox is full: try again when it has room")
    LOG.info("clearing retained topics on request: %s", ", ".join(topics))
    answer({"topics": topics, "is_up": gateway.client.link_state is LinkState.UP})


def _list_outbox(gateway: Running, arguments: Mapping[str, Any], answer: Answer) -> None:
    from gateway.outbox.listing import PAGE_ROWS, Page, from_dead_letter, from_entry, from_row, page_of

    matches = _topic_matcher(arguments)
    after, count = min(max(0, arguments.get("after", 0)), _LARGEST), max(0, arguments.get("count", 20))
    limit = PAGE_ROWS if count <= _MOST_SHOWN else _MOST_SHOWN  # for more, the client requests page after page
    part = arguments.get("part", "waiting")
    writer = gateway.writer

    def read(store: OutboxStore) -> None:
        if part == "waiting":
            messages = map(from_row, store.iterate(after))
        else:
            messages = map(from_dead_letter, store.iterate_dead_letters(after))
        answer(page_of(messages, matches, count, limit)._asdict())

    if part == "memory":
        offset = time.time() - gateway.outbox.now()
        entries = gateway.outbox.peek(after, limit)
        answer(page_of((from_entry(e, offset) for e in entries), matches, count, limit)._asdict())
    elif part not in ("waiting", "set aside"):
        raise ControlError(f"an outbox has no part {part!a:.80}: there are: waiting, memory, set aside")
    elif writer is None:
        answer(Page([], {}, None)._asdict())
    else:
        writer.run_on_file(read)


def _retry_outbox(gateway: Running, arguments: Mapping[str, Any], answer: Answer) -> None:
    matches = _topic_matcher(arguments)
    writer = gateway.writer
    if writer is None:
        raise GatewayError("its outbox is in memory, where no dead letters are kept (see outbox.store)")

    def retry(_: OutboxStore) -> None:
        retried = writer.retry(matches)
        LOG.info("sending dead letters again on request: %s", retried)
        answer(retried._asdict())

    writer.run_on_file(retry)


def _topic_matcher(arguments: Mapping[str, Any]) -> Callable[[str], bool]:
    topic_filter = arguments.get("topic")
    if topic_filter is None:
        return lambda _: True
    problem = filter_problem(topic_filter)
    if problem:
        raise ControlError(f"the filter {topic_filter!a:.200}: {problem}")
    return functools.partial(filter_matches, topic_filter)
