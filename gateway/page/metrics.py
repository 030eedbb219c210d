"""The counters of a gateway for Prometheus, by the names that its conventions ask for.

Source: https://prometheus.io/docs/practices/naming/ and the text format of its clients, which the library writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.page.source import Source
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import Health, Level, assess
from gateway.web.app import Content, Request, Route

MOST_DEVICES = 1000
"""Devices that have metrics of their own: each label of Prometheus costs it memory for years."""

_NAME = "mqttgateway"
_REFUSED = ("refused", "for_nobody", "echo_loop", "filtered", "hook_failed")  # beside commands: see the router
_STATES = {None: "unknown", True: "online", False: "offline"}


class Metrics:
    """Answers `/metrics` for Prometheus."""

    def __init__(self, source: Source) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_GatewayCollector(source))
        ProcessCollector(registry=self._registry)

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return the addresses."""
        return {("GET", "/metrics"): Route(self._metrics)}

    def _metrics(self, _: Request) -> Content:
        return Content(CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self._registry))


class _GatewayCollector(Collector):
    """Collects the metrics at the moment at which somebody asks for them."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        return ()  # or the registry would collect everything once to find out the names

    def collect(self) -> Iterator[Metric]:
        yield from metrics_of(self._source.health(), self._source.gateway.stats())


def metrics_of(health: Health, stats: Mapping[str, Any]) -> Iterator[Metric]:
    """Yield the metrics of a gateway; `stats` as `gateway.runtime.stats` has them."""
    build = {"version": health.version, "configuration": health.configuration_hash}
    yield InfoMetricFamily(f"{_NAME}_build", "Version of the gateway, and of its configuration", build)
    yield _gauge("start_time_seconds", "When the gateway was started (Unix time)", health.time - health.uptime)
    verdict = assess(health)
    yield _gauge("level", "How the gateway is: 0 well, 1 degraded, 2 down", int(verdict.level))
    problems = [level for level in Level if level is not Level.WELL]
    counts = {str(level): sum(each.level is level for each in verdict.problems) for level in problems}
    yield _gauges("problems", "What is wrong now; 'mqttgateway status' says what and what to do", "level", counts)
    yield from _link_metrics(health, stats["mqtt"])
    yield from _outbox_metrics(health, stats["outbox"])
    yield from _message_metrics(health, stats["routing"])
    yield from _interface_metrics(health, stats["interfaces"])
    yield from _device_metrics(health)
    yield _gauge("threads", "Threads of the process", health.process.threads)
    lost = {name: stats["log"].get(name, 0) for name in ("lines_suppressed", "lines_repeated", "errors_suppressed")}
    yield _counters("log_lines_not_written", "Lines of the log that were left out, by why", "reason", lost)


def _link_metrics(health: Health, stats: Mapping[str, int]) -> Iterator[Metric]:
    link = health.link
    yield _gauge("link_up", "Whether the link to the broker is up", link.is_up)
    yield _counter("link_connects", "How often the broker has accepted the link", link.connects)
    if link.round_trip is not None:
        yield _gauge("link_round_trip_seconds", "How long the broker took to answer last", link.round_trip)
    yield _gauge("link_stalled_seconds", "How long an acknowledgement has been overdue", link.stalled_for)
    yield _counter("publications_refused", "Publications that the broker has refused", stats.get("refused", 0))
    yield _gauge("subscriptions_refused", "Topic filters that the broker refuses", len(link.refused_filters))


def _outbox_metrics(health: Health, stats: Mapping[str, int]) -> Iterator[Metric]:
    outbox = health.outbox
    yield _counter("messages_accepted", "Messages that were accepted for the broker", stats["accepted"])
    yield _counter("messages_delivered", "Messages that the broker has acknowledged, or QoS 0 sent", stats["delivered"])
    yield _counter("messages_superseded", "States that a newer one has replaced before they were sent",
                   stats["superseded"])  # fmt: skip
    reasons = dict(outbox.dropped)
    yield _counters(
        "messages_dropped", "Messages that were accepted or refused, and are lost, by why", "reason", reasons
    )
    yield _gauge("outbox_messages", "Messages that wait for the broker", outbox.waiting)
    yield _gauge("outbox_bytes", "Bytes of the messages that wait", stats["waiting_bytes"])
    yield _gauge("outbox_level_ratio", "How full the outbox is, from 0 to 1", outbox.level_percent / 100)
    yield _gauge("outbox_oldest_seconds", "Age of the oldest message that waits", outbox.oldest)
    yield _gauge("dead_letters", "Messages that no broker accepts, which are kept", outbox.dead_letters)


def _message_metrics(health: Health, stats: Mapping[str, int]) -> Iterator[Metric]:
    yield _counter("messages_received", "Messages from the broker", stats["received"])
    yield _counter("messages_passed_on", "Messages from the broker that an interface got", stats["delivered"])
    refused = {name: stats.get(name, 0) for name in _REFUSED} | dict(health.refused)
    yield _counters("messages_refused", "Messages from the broker that no interface got, by why", "reason", refused)
    outcomes = {response.lower(): count for response, count in health.outcomes.items()}
    yield _counters("commands", "Commands by their outcome", "outcome", outcomes)


def _interface_metrics(health: Health, stats: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    up = _family(GaugeMetricFamily, "interface_up", "Whether the device of an interface is reached", "interface")
    hanging = _family(GaugeMetricFamily, "interface_hanging", "Whether an interface hangs", "interface")
    heard = _family(
        GaugeMetricFamily, "interface_last_heard_timestamp_seconds", "When anything came last (Unix time)", "interface"
    )
    understood = _family(
        GaugeMetricFamily,
        "interface_last_frame_timestamp_seconds",
        "When a frame was understood last (Unix time)",
        "interface",
    )
    frames = _family(
        CounterMetricFamily, "frames", "Frames of an interface, by what became of them", "interface", "result"
    )
    counters = {
        "pushed": _family(
            CounterMetricFamily, "interface_messages", "Messages that an interface has sent", "interface"
        ),
        "failures": _family(
            CounterMetricFamily, "interface_failures", "How often an interface has failed", "interface"
        ),
        "restarts": _family(CounterMetricFamily, "interface_restarts", "How often it was started again", "interface"),
        "commands_unanswered": _family(
            CounterMetricFamily, "commands_unanswered", "Commands without answer", "interface"
        ),
    }
    waiting = _family(GaugeMetricFamily, "inbox_messages", "Messages that wait for an interface", "interface")
    for name, interface in health.interfaces.items():
        up.add_metric([name], interface.is_available is True and not interface.hang)
        hanging.add_metric([name], bool(interface.hang))
        if interface.heard_at is not None:
            heard.add_metric([name], interface.heard_at)
        if interface.understood_at is not None:
            understood.add_metric([name], interface.understood_at)
        for result, count in interface.frames.items():
            frames.add_metric([name, result], count)
        counted = stats.get(name, {})
        for kind, family in counters.items():
            family.add_metric([name], counted.get(kind, 0))
        waiting.add_metric([name], counted.get("inbox_waiting", 0))
    yield from (up, hanging, heard, understood, frames, *counters.values(), waiting)


def _device_metrics(health: Health) -> Iterator[Metric]:
    up = _family(GaugeMetricFamily, "device_up", "Whether a device is online", "interface", "device")
    heard = _family(
        GaugeMetricFamily,
        "device_last_heard_timestamp_seconds",
        "When a device was heard (Unix time)",
        "interface",
        "device",
    )
    counts = dict.fromkeys(_STATES.values(), 0)
    shown = 0
    for interface, statuses in health.devices.items():
        for status in statuses:
            counts[_STATES[status.is_online]] += 1
            if shown < MOST_DEVICES:
                shown += 1
                _add_device(up, heard, interface, status, health.time)
    yield _gauges("devices", "Devices, by their state", "state", counts)
    yield from (up, heard)


def _add_device(up: Any, heard: Any, interface: str, status: DeviceStatus, now: float) -> None:
    up.add_metric([interface, status.id], status.is_online is True)
    if status.age is not None:
        heard.add_metric([interface, status.id], now - status.age)


# --- the forms of metrics


def _family(kind: type[Any], name: str, help_text: str, *labels: str) -> Any:
    return kind(f"{_NAME}_{name}", help_text, labels=labels)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_NAME}_{name}", help_text, value=float(value))


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_NAME}_{name}", help_text, value=float(value))


def _gauges(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(GaugeMetricFamily, name, help_text, label, values)


def _counters(name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(CounterMetricFamily, name, help_text, label, values)


def _labelled(kind: type[Any], name: str, help_text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = _family(kind, name, help_text, label)
    for word, value in values.items():
        family.add_metric([word], value)
    return family  # type: ignore[no-any-return]
