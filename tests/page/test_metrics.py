"""The metrics: by the conventions of Prometheus, and such that the alerts and the dashboard that ship find what they
ask for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.configuration.load_config import load_configuration
from gateway.page.metrics import MOST_DEVICES, Metrics, metrics_of
from gateway.page.source import Source
from gateway.routing.device_memory import DeviceStatus
from gateway.runtime.health import InterfaceHealth
from gateway.start_gateway import Gateway
from gateway.web.access import Visitor
from gateway.web.app import Content, Request
from tests.support.broker import tool_or_skip
from tests.support.docs import page

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "packaging/prometheus/mqttgateway-alerts.yaml"
ALERT_TESTS = ROOT / "packaging/prometheus/mqttgateway-alerts.test.yaml"
DASHBOARD = ROOT / "packaging/grafana/mqttgateway.json"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    device = {"id": "lamp", "address": {"device": "lamp"}, "points": {"t": {"from": "T.t", "type": "number"}}}
    conf = tmp_path / "cellar.conf"
    conf.write_text(json.dumps({
        "root": "home", "topics": [], "outbox": {"store": "memory"},
        "interface": {"type": "dummy", "devices": [device]},
    }))  # fmt: skip
    with closing(Gateway(load_configuration(conf, {}))) as gateway:
        yield gateway


def text_of(gateway: Gateway) -> str:
    route = Metrics(Source(gateway)).routes()["GET", "/metrics"]
    answer = route.answer(Request({}, {}, Visitor(may_read=True, may_write=False, is_secure=True)))
    assert isinstance(answer, Content) and answer.type.startswith("text/plain; version=0.0.4")
    return answer.data.decode()


def promtool() -> str:
    return tool_or_skip("promtool", "prometheus")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_they_tell_what_health_and_counters_tell(gateway: Gateway) -> None:
    gateway.hosts["dummy"].outlet.set_available(True)
    found = samples(text_of(gateway))
    assert found["mqttgateway_level", ()] == 2, "the link is not up"
    assert found["mqttgateway_link_up", ()] == 0
    assert found["mqttgateway_problems", (("level", "down"),)] == 1
    assert found["mqttgateway_interface_up", (("interface", "dummy"),)] == 1
    assert found["mqttgateway_device_up", (("device", "lamp"), ("interface", "dummy"))] == 1
    assert found["mqttgateway_devices", (("state", "online"),)] == 1
    assert found["mqttgateway_messages_accepted_total", ()] == 0
    assert found["mqttgateway_messages_dropped_total", (("reason", "expired"),)] == 0, "a rate needs a first value"
    assert found["process_resident_memory_bytes", ()] > 5e6


def test_promtool_finds_nothing_against_the_conventions(gateway: Gateway) -> None:
    run = subprocess.run(
        [promtool(), "check", "metrics"],
        input=text_of(gateway),
        text=True,
        capture_output=True,
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


def text_with(gateway: Gateway, **changes: Any) -> str:
    """Return the text of the metrics of a health with other parts."""

    class Changed:
        def collect(self) -> Iterator[Metric]:
            yield from metrics_of(gateway.health()._replace(**changes), gateway.stats())

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Changed())
    return generate_latest(registry).decode()


def test_names_that_a_device_chose_stay_inside_their_label(gateway: Gateway) -> None:
    name = 'x"} 1\nmqttgateway_level 0 {"\\'
    text = text_with(gateway, interfaces={name: InterfaceHealth(frames={name: 3})}, outcomes={name: 2})
    found = samples(text)
    assert found["mqttgateway_frames_total", (("interface", name), ("result", name))] == 3
    assert found["mqttgateway_commands_total", (("outcome", name.lower()),)] == 2
    assert text.count("\nmqttgateway_level ") == 1


def test_devices_with_metrics_of_their_own_are_bounded_and_all_are_counted(gateway: Gateway) -> None:
    statuses = [DeviceStatus(f"d{number}", None, "", None) for number in range(MOST_DEVICES + 5)]
    found = samples(text_with(gateway, devices={"bus": statuses}))
    assert sum(name == "mqttgateway_device_up" for name, _ in found) == MOST_DEVICES
    assert found["mqttgateway_devices", (("state", "unknown"),)] == MOST_DEVICES + 5


# --- what ships


def expressions() -> list[str]:
    dashboard = json.loads(DASHBOARD.read_text())
    in_panels = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    in_alerts = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    return in_panels + in_alerts


def test_alerts_and_dashboard_ask_for_metrics_that_there_are(gateway: Gateway) -> None:
    everything = InterfaceHealth(heard_at=1.0, understood_at=1.0, frames={"good": 1})
    link = gateway.health().link._replace(round_trip=0.1)
    text = text_with(gateway, interfaces={"dummy": everything}, link=link, outcomes={"OK": 1})
    known = {name for name, _ in samples(text)}
    asked = {name for each in expressions() for name in re.findall(r"\bmqttgateway_\w+", each)}
    assert asked and asked <= known


def test_promtool_accepts_what_the_panels_ask_for(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "5m").replace("$__range", "6h")}
        for number, text in enumerate(expressions())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run = subprocess.run([promtool(), "check", "rules", file], text=True, capture_output=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_alert_has_a_test_in_which_it_fires_and_they_pass() -> None:
    run = subprocess.run([promtool(), "test", "rules", ALERT_TESTS], text=True, capture_output=True)
    assert run.returncode == 0, run.stdout + run.stderr
    alerts = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    cases = [case for test in yaml.safe_load(ALERT_TESTS.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts


def test_the_page_about_them_has_each_as_it_is(gateway: Gateway) -> None:
    health = gateway.health()
    link = health.link._replace(round_trip=0.1)
    endings = {"counter": "_total", "info": "_info"}
    rows = [
        f"| `{each.name}{endings.get(each.type, '')}` | {each.type} | "
        f"{', '.join(f'`{label}`' for label in getattr(each, '_labelnames', ()))} | {each.documentation} |"
        for each in metrics_of(health._replace(link=link), gateway.stats())
    ]
    text = (ROOT / "docs/metrics.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("| `mqttgateway_")] == rows


def test_prometheus_reads_the_configuration_as_shown(tmp_path: Path) -> None:
    text = page("docs/metrics.md").only("yaml prometheus").text
    token = tmp_path / "mqttgateway.token"
    token.write_text("0123456789abcdef\n")
    (tmp_path / ALERTS.name).write_text(ALERTS.read_text())
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/mqttgateway.token", str(token)))
    run = subprocess.run([promtool(), "check", "config", file], text=True, capture_output=True)
    assert run.returncode == 0 and "11 rules found" in run.stdout, run.stdout + run.stderr
