"""The shipped examples, with their lines for Home Assistant in use, and their simulators: nothing else is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from tests.home_assistant.api import Api
from tests.home_assistant.house import Call
from tests.support.broker import Listener, Mosquitto
from tests.support.configuration import SHIPPED, shipped_conf, with_home_assistant
from tests.support.gateway_process import GatewayProcess
from tests.support.simulation import SimulateProcess

NAMES = sorted(path.stem for path in (SHIPPED / "conf").glob("*2mqtt.conf"))

UNSAID = {
    "event.*_outcome": "no command has been sent",
    "event.gateway_ready": "a radio gateway says so only when it starts",
    "binary_sensor.bell_ringing": "the bell rings once a minute",
    "sensor.*_heard_bell": "the bell rings once a minute",
    "cover.gate_cover": "the gate says only when it was moved",
    "sensor.*_heard_gate": "the gate says only when it was moved",
    "sensor.*_heard_gateway": "a radio gateway says only that it starts",
    "sensor.position_course": "a boat at anchor has no course",
    "switch.meter_relay": "nothing reads the relay: it is known from the first command on",
    "*.supply_set_voltage": "nothing reads the settings: they are known from the first command on",
    "switch.supply_output": "nothing reads the settings: they are known from the first command on",
    "sensor.node12_battery": "the node tells it once an hour",
    "sensor.*_heard_node12": "the node tells its battery once an hour",
    "sensor.node12_3_[!t]*": "this child measures the temperature, and nothing else",
    "sensor.node12_3_tripped": "this child measures the temperature, and nothing else",
    "sensor.node12_4_[!s]*": "this child is a switch, and nothing else",
}
"""The entities that may be unknown, and why."""

CALLS = (
    Call("cover.open_cover", "cover.gate_cover", {}, "answer 'open the gate'", "open"),
    Call("switch.turn_on", "switch.meter_relay", {}, "answer 'relay'", "on"),
    Call("number.set_value", "number.supply_set_voltage", {"value": 15}, "VOLT 15.000", "15"),
    Call("switch.turn_off", "switch.supply_output", {}, "OUTP OFF", "off"),
    Call("switch.turn_on", "switch.tank_pump", {}, "answer 'pump'", "on"),
    Call("light.turn_on", "light.lamp_light", {}, "", "on"),
)
"""The line is what a simulator says of the command; the lamp is simulated by its interface."""


@contextmanager
def running(folder: Path, broker: Mosquitto, form: str) -> Iterator[Mapping[str, SimulateProcess]]:
    """Run all examples, until all of them are connected; give the simulators, by the name of the example."""
    simulators, gateways = {}, []
    with ExitStack() as stack:
        for name in NAMES:
            own = folder / name
            own.mkdir()
            script, device = SHIPPED / "conf" / f"{name}.sim", own / "tty"
            is_simulated = script.exists()
            if is_simulated:
                simulator = SimulateProcess(own, script.read_text(), "--pty", str(device))
                simulators[name] = stack.enter_context(simulator)
            conf = shipped_conf(own, f"{name}.conf", broker.port, device if is_simulated else None)
            text = with_home_assistant(conf.read_text())
            if form != "device":
                text = text.replace("\nhome_assistant: true\n", "\nhome_assistant:\n")
                text = text.replace("\nhome_assistant:\n", f"\nhome_assistant:\n  form: {form}\n")
            conf.write_text(text)
            gateways.append(stack.enter_context(GatewayProcess(conf)))
        for gateway in gateways:
            gateway.wait_log("mqtt: connected to")
        yield simulators
        for gateway in gateways:
            gateway.stop()


def announced(client: Listener) -> dict[str, dict[str, Any]]:
    """Return each component of the announcements that a client has received, with its platform, by its unique id."""
    documents = {topic: json.loads(payload) for topic, payload in client.pairs() if payload}
    components = [
        component
        for topic, document in documents.items()
        for component in document.get("components", {"": {"platform": topic.split("/")[1], **document}}).values()
    ]
    return {component["unique_id"]: component for component in components}


def wrong_entities(components: Mapping[str, Mapping[str, Any]], api: Api) -> dict[str, Any]:
    """Return what is wrong with the entities of these components, by the unique id."""
    registry, states, wrong = api.entities(), api.states(), {}
    for unique_id, component in components.items():
        entity = registry.get(unique_id, {"entity_id": "nowhere"})["entity_id"]
        state = states.get(entity, {"state": "missing", "attributes": {}})
        given = {name: component.get(name) for name in ("unit_of_measurement", "device_class", "state_class")}
        shown = {name: state["attributes"].get(name) for name in given}
        is_known = state["state"] not in ("unknown", "unavailable", "missing")
        if shown != given or not (is_known or (state["state"] == "unknown" and _may_be_unknown(entity))):
            wrong[unique_id] = (entity, state["state"], shown, f"announced: {given}")
    return wrong


def _may_be_unknown(entity: str) -> bool:
    """Return whether an entity may have no state: its device has not said any."""
    return entity.startswith("button.") or any(fnmatch(entity, pattern) for pattern in UNSAID)
