"""The requests that a running gateway accepts on its control socket. None of them names a file to load."""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway.control.protocol import Answer, ControlError, RequestKind
from gateway.control.server import ControlServer
from gateway.core.own_files import open_own_folder
from gateway.core.package_logger import package_logger
from gateway.core.paths import runtime_folders
from gateway.core.topic import filter_matches, filter_problem
from gateway.errors import GatewayError
from gateway.logs.masking import Masker, masker_of
from gateway.mqtt.link_state import LinkState
from gateway.routing.device_memory import DeviceStatus
from gateway.routing.stale_retained import topics_to_forget
from gateway.runtime.health import Health, assess, headline, summary
from gateway.runtime.health_document import STATUS, as_time, interface_in_document, link_in_document
from gateway.runtime.interface_host import InterfaceHost
from gateway.runtime.management import management_kinds
from gateway.runtime.running_gateway import RunningGateway

if TYPE_CHECKING:
    from gateway.outbox.store import OutboxStore

LOG = package_logger(__name__)

_MOST_SHOWN = 200  # messages in a page of the outbox, and devices: so many fit in a reply, whatever they contain
_LONGEST_REASON = 1000  # characters of a failure that are shown
_ORDER = {False: 0, None: 1, True: 2}  # of the devices, by whether they are online
_LARGEST = 2**63 - 1  # the largest integer of SQLite


def open_control(gateway: RunningGateway, environment: Mapping[str, str]) -> ControlServer | None:
    """Return the control socket of `gateway`, in the first folder that can hold it; log a warning if none can."""
    name = gateway.configuration.name
    problems: list[str] = []
    for path in runtime_folders(environment):
        folder = -1
        try:
            folder = open_own_folder(path, create=True)
            server = ControlServer(folder, name, kinds_of(gateway), gateway.errands)
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


def kinds_of(gateway: RunningGateway) -> dict[str, RequestKind]:
    """Return the kinds of requests by name, with those of `management_kinds`. Add a new one here."""

    def kind(
        handle: Callable[[RunningGateway, Mapping[str, Any], Answer], None], *, in_main_thread: bool, **arguments: type
    ) -> RequestKind:
        return RequestKind(functools.partial(handle, gateway), arguments, in_main_thread)

    return {
        **management_kinds(gateway),
        "forget": kind(_forget, in_main_thread=True, what=str),
        "outbox list": kind(_list_outbox, in_main_thread=False, part=str, topic=str, after=int, count=int),
        "outbox retry": kind(_retry_outbox, in_main_thread=False, topic=str),
        "health": kind(_health, in_main_thread=False),
        "status": kind(_status, in_main_thread=False),  # not in the main thread, so that it works while that hangs
        "tap": kind(_tap, in_main_thread=False, raw=bool, device=str, rule=str, topic=str, outcome=str, drops=bool),
    }


def _health(gateway: RunningGateway, _: Mapping[str, Any], answer: Answer) -> None:
    """Answer with how the gateway is, in a few words."""
    answer(_verdict(gateway.health()))


def _verdict(health: Health) -> dict[str, Any]:
    verdict = assess(health)
    return {
        "name": health.name,
        "level": str(verdict.level),
        "headline": headline(verdict, health),
        "summary": summary(health),
        "is_alive": not health.hang,
        "problems": [
            {"level": str(each.level), "what": each.what, "remedy": each.remedy, "since": as_time(each.since)}
            for each in verdict.problems
        ],
    }


def _status(gateway: RunningGateway, _: Mapping[str, Any], answer: Answer) -> None:
    """Answer with the state of the gateway. It reads only what is replaced as a whole, or has a lock of its own.

    What the health document contains as well has its names and its forms there.
    """
    configuration, hosts = gateway.configuration, gateway.hosts
    stats = gateway.stats()  # it makes the interfaces count
    health = gateway.health()
    masker = masker_of(configuration.secrets)
    devices = _devices(health.devices, health.time)
    link, error = health.link, health.last_error
    answer({
        **_verdict(health),
        "version": health.version,
        "time": as_time(health.time),
        "pid": health.pid,
        "uptime": round(health.uptime, 1),
        "configuration": health.configuration_hash,
        "configuration_file": health.configuration,
        "link": {
            **link_in_document(link),
            "state": link.state,
            "is_caught_up": link.is_caught_up,
            "last_failure": link.failure,
        },
        "interfaces": {
            name: {
                "type": interface.type,
                **interface_in_document(interface),
                "failures": hosts[name].failures,
                "last_failure": _failure_of(hosts[name], masker),
                "pushed": hosts[name].outlet.pushed,
                "refused": hosts[name].outlet.refused,
                "inbox": len(hosts[name].inbox),
                "devices": devices[name],
            }
            for name, interface in health.interfaces.items()
            if name in hosts
        },
        "outbox": {
            "file": health.outbox.file or None,
            "oldest": round(health.outbox.oldest, 1),
            **gateway.outbox.counts()._asdict(),
            "dead_letters": health.outbox.dead_letters,  # with those of earlier runs
        },
        "commands": {"outcomes": dict(health.outcomes), "refused": dict(health.refused)},
        "received": gateway.received,
        "last_error": None if error is None else {**error._asdict(), "time": as_time(error.time)},
        "process": health.process._asdict(),
        "stats": stats,
    })  # fmt: skip


def _tap(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
    from gateway.runtime.live_view import LiveView, Wanted

    view = LiveView(Wanted.of(arguments), lambda: gateway.configuration.secrets, is_raw=arguments.get("raw", False))
    answer.follow({"name": gateway.configuration.name, "version": __version__}, view)


def _devices(statuses: Mapping[str, Sequence[DeviceStatus]], now: float) -> dict[str, dict[str, Any]]:
    """Return the devices of each interface: how many have each status, and some of them, first those that are offline.

    Of all interfaces together, up to `_MOST_SHOWN` devices are shown, or the reply could become too large.
    """
    everything = [(name, status) for name, devices in statuses.items() for status in devices]
    everything.sort(key=lambda item: _ORDER[item[1].is_online])
    result: dict[str, dict[str, Any]] = {}
    for name, devices in statuses.items():
        counts = Counter(STATUS[status.is_online] for status in devices)
        result[name] = {"counts": {STATUS[is_online]: counts[STATUS[is_online]] for is_online in _ORDER}, "shown": []}
    for name, status in everything[:_MOST_SHOWN]:
        result[name]["shown"].append({
            "id": status.id,
            "status": STATUS[status.is_online],
            "reason": status.reason[:_LONGEST_REASON] if status.is_online is False else "",
            "last_heard": None if status.age is None else as_time(now - status.age),
        })  # fmt: skip
    return result


def _failure_of(host: InterfaceHost, masker: Masker) -> dict[str, Any] | None:
    """Return when the interface of `host`, or its device, failed last, and why; None if it never has."""
    if host.outlet.device_availability.last_failure is None:
        return None
    when, reason = host.outlet.device_availability.last_failure
    return {"time": as_time(when), "reason": masker.mask(reason)[:_LONGEST_REASON]}


def _forget(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
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


def _list_outbox(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
    from gateway.outbox.listing import DEAD_LETTER, PAGE_ROWS, Page, from_dead_letter, from_entry, from_row, page_of

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
    elif part not in ("waiting", DEAD_LETTER):
        raise ControlError(f"an outbox has no part {part!a:.80}: there are: waiting, memory, {DEAD_LETTER}")
    elif writer is None:
        answer(Page([], {}, None)._asdict())
    else:
        writer.run_on_file(read)


def _retry_outbox(gateway: RunningGateway, arguments: Mapping[str, Any], answer: Answer) -> None:
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
