"""What must be true in Home Assistant: each function is a scenario, which fails by an AssertionError.

After each of them, there must be no warning and no error in Home Assistant's log.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.home_assistant import by_hand, examples
from tests.home_assistant.bench import SETTLED, Bench
from tests.home_assistant.house import CALLS, House
from tests.home_assistant.house import ENTITIES as HOUSE
from tests.home_assistant.house import write_conf as house_conf
from tests.home_assistant.plant import ENTITIES, SILENT_AFTER
from tests.support.gateway_process import GatewayProcess
from tests.support.waiting import wait_until

Scenario = Callable[[Bench], None]

_CALLS = 200
_QUIET = 0.1  # s between two calls: the kernel delays the acknowledgements of the last one by 40 ms

_READ = {each: wanted for each, wanted in ENTITIES.items() if wanted[0] != "unknown"}
_SWITCH, _TEMPERATURE, _OUTCOME = "switch.boiler_heater", "sensor.boiler_temperature", "event.boiler_outcome"


def _is_refusal(state: dict[str, Any]) -> bool:
    return bool(state["attributes"].get("event_type") == "REFUSED")


def documents_by_hand(bench: Bench) -> None:
    """Without the gateway: every platform has its state, sends its command, becomes unavailable, and comes back."""
    api = bench.ha.api
    documents = by_hand.device_document() if bench.release == "2026.11" else by_hand.component_documents()
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        by_hand.entity_id(part): (part.state, {}) for part in by_hand.PARTS
    }
    with bench.broker.client(by_hand.COMMAND) as client:
        for topic, payload in documents.items():
            client.publish(topic, payload, retain=True)
        for topic in by_hand.GATEWAY_ONLINE, by_hand.DEVICE_ONLINE:
            client.publish(topic, "online", retain=True)
        client.publish(by_hand.STATE, by_hand.state_document(), retain=True)
        bench.say(f"all entities after {bench.wait_shown(wanted):.2f} s")
        latencies = []
        for part in by_hand.PARTS:
            for service, data, command in part.calls:
                number = len(client.messages)
                began = api.call(f"{part.platform}.{service}", by_hand.entity_id(part), **data)
                wait_until(lambda: len(client.messages) > number, what=f"the command of {part.key}")  # noqa: B023
                message = client.messages[number]
                assert json.loads(message.payload) == command, f"{part.key}: {message.payload!r}, not {command}"
                latencies.append(1000 * (message.timestamp - began))
        bench.say(f"a service call is at the broker after {statistics.median(latencies):.1f} ms (median), "
                  f"{max(latencies):.1f} ms (slowest of {len(latencies)})")  # fmt: skip
        shown = [by_hand.entity_id(part) for part in by_hand.PARTS]
        for topic in by_hand.DEVICE_ONLINE, by_hand.GATEWAY_ONLINE:
            began = time.monotonic()
            client.publish(topic, "offline", retain=True)
            bench.say(f"unavailable after {bench.wait_absent(shown, began, 5):.3f} s")
            client.publish(topic, "online", retain=True)
            wait_until(lambda: all(state["state"] != "unavailable" for state in bench.shown(shown).values()))
        outcome = {"action": "HEAT", "response": "REFUSED", "reason": "the device refused it"}
        client.publish(by_hand.OUTCOME, json.dumps(outcome))
        _, event = api.wait_change(by_hand.entity_id(by_hand.EVENTS), _is_refusal)
        assert event["attributes"]["reason"] == "the device refused it"
        away = bench.ha.restart()
        del wanted["button.boiler_reset"]  # its state is the time at which it was pressed
        bench.say(f"Home Assistant was away {away:.1f} s; all right {bench.wait_shown(wanted):.1f} s after that")


def entities_are_right(bench: Bench) -> None:
    """Every entity of the gateway's device has the right state, unit and class."""
    bench.start_gateway()
    bench.say(f"all entities after {bench.wait_shown(ENTITIES):.2f} s")
    device = next((entry for entry in bench.ha.api.devices().values() if entry["name"] == "Boiler"), None)
    assert device is not None, f"no device Boiler among {bench.ha.api.devices()}"
    assert device["area_id"] == "hall", device
    assert device["via_device_id"], f"the device is not behind the gateway: {device}"


def a_call_reaches_the_device(bench: Bench) -> None:
    """A service call becomes bytes at the device, and the state follows."""
    bench.start_gateway()
    bench.wait_shown(ENTITIES)
    at_device, back = [], []
    for number in range(1, _CALLS + 1):
        word = "on" if number % 2 else "off"
        quiet = time.monotonic() + _QUIET
        wait_until(lambda: time.monotonic() >= quiet)  # noqa: B023
        began = bench.ha.api.call(f"switch.turn_{word}", _SWITCH)
        bench.boiler.wait_received(f"H{number % 2}", (number + 1) // 2)
        at_device.append(1000 * (time.monotonic() - began))
        changed, _ = bench.ha.api.wait_change(_SWITCH, lambda state: bool(state["state"] == word), began)  # noqa: B023
        back.append(1000 * (changed - began))
    for what, times in ("to the bytes at the device", at_device), ("to its new state in Home Assistant", back):
        times.sort()
        p50, p99 = times[_CALLS // 2], times[_CALLS * 99 // 100]
        bench.say(f"service call {what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest of {_CALLS} {times[-1]:.1f} ms")
    bench.ha.api.call("number.set_value", "number.boiler_setpoint", value=20.5)
    bench.boiler.wait_received("S20.5")
    bench.ha.api.wait_state("number.boiler_setpoint", "20.5")


def a_refused_command_leaves_the_state_true(bench: Bench) -> None:
    """The switch stays off, and the event tells the reason."""
    bench.start_gateway()
    bench.wait_shown(_READ)
    bench.boiler.refuses = True
    began = bench.ha.api.call("switch.turn_on", _SWITCH)
    _, event = bench.ha.api.wait_change(_OUTCOME, _is_refusal, began)
    attributes = event["attributes"]
    assert attributes["action"] == "HEAT", attributes
    assert "refused" in attributes["reason"], attributes
    over = time.monotonic() + 1
    wait_until(lambda: time.monotonic() >= over)
    lies = [state for _, state in bench.ha.api.changes(_SWITCH, began) if state["state"] == "on"]
    assert not lies, lies
    assert bench.ha.api.state(_SWITCH) == "off"


def a_restart_in_the_middle_of_a_line_is_no_reading(bench: Bench) -> None:
    """What the device has sent of a line is not shown, however its firmware goes on; nor is it unavailable."""
    bench.start_gateway()
    bench.wait_shown(_READ)
    began = time.monotonic()
    for boot in "rst cause:4, boot mode:(3,6)\n", "\nboot 1.3\n", "\0\xff\n":
        for beginning in "T 2", "H", "T 21.":
            bench.boiler.restart_after(beginning, boot)
            reported = time.monotonic() + 0.5  # and so has nothing to hide what the beginning was taken for
            wait_until(lambda: time.monotonic() >= reported)  # noqa: B023
    bench.boiler.temperature = 22.5
    bench.ha.api.wait_state(_TEMPERATURE, "22.5")
    wanted = {each: state for each, (state, _) in _READ.items() if each != _TEMPERATURE}
    lies = [
        each for each, state in wanted.items() if bench.ha.api.changes(each, began) or bench.ha.api.state(each) != state
    ]
    assert not lies, f"changed by a line that was cut: {lies}"
    shown = [state["state"] for _, state in bench.ha.api.changes(_TEMPERATURE, began)]
    assert shown == ["22.5"], shown


def an_unplugged_port_is_unavailable(bench: Bench) -> None:
    """All entities are unavailable within a second of an unplug, and back after the device is plugged in again."""
    bench.start_gateway()
    bench.wait_shown(_READ)
    began = time.monotonic()
    bench.boiler.unplug()
    took = bench.wait_absent(_READ, began, 5)
    bench.say(f"unavailable {took:.2f} s after the unplug")
    assert took < 1, f"unavailable only after {took:.2f} s"
    bench.boiler.plug_in()
    bench.wait_shown(_READ, 60)


def a_silent_device_is_unavailable(bench: Bench) -> None:
    """All entities are unavailable when the device has been silent for its time."""
    bench.start_gateway()
    bench.wait_shown(_READ)
    bench.boiler.is_silent = True
    began = time.monotonic()
    took = bench.wait_absent(_READ, began, SILENT_AFTER + 5)
    bench.say(f"unavailable {took:.2f} s after the last line (silent_after: {SILENT_AFTER})")
    assert SILENT_AFTER - 1 < took < SILENT_AFTER + 2, f"unavailable after {took:.2f} s"
    bench.boiler.is_silent = False
    bench.wait_shown(_READ)


def restarts_in_any_order(bench: Bench) -> None:
    """Whatever restarts in whatever order: after 10 s, every entity is right and nothing is unknown."""
    chance = random.Random(bench.seed)
    bench.start_gateway()
    bench.wait_shown(_READ)
    events: dict[str, tuple[Callable[[], object], ...]] = {
        "Home Assistant restarts": (bench.ha.stop, bench.ha.start),
        "Home Assistant is killed": (bench.ha.kill, bench.ha.start),
        "the broker forgets": (bench.restart_broker,),
        "the gateway restarts": (bench.stop_gateway, bench.start_gateway),
        "the gateway is killed": (bench.kill_gateway, bench.start_gateway),
    }
    for _ in range(8):
        names = [chance.choice(list(events)) for _ in range(chance.randint(1, 2))]
        for step in [step for name in names for step in events[name]]:
            step()
        try:
            took = bench.wait_settled(
                _READ, SETTLED + 5
            )  # and what the gateway and Home Assistant wait to connect again
        except AssertionError as err:
            raise AssertionError(f"after {names} (seed {bench.seed}): {err}") from err
        bench.say(f"{' and '.join(names)}: right after {took:.1f} s")


def a_reload_renames_adds_and_removes(bench: Bench) -> None:
    """A point that is renamed, added or removed is so in Home Assistant, while both keep running."""
    bench.start_gateway()
    bench.wait_shown(_READ)
    level = bench.points.pop("level")
    bench.points["filling"] = level
    mode = bench.points.pop("mode")
    bench.reload_gateway()
    wanted = dict(_READ)
    wanted["sensor.boiler_filling"] = wanted.pop("sensor.boiler_level")
    del wanted["sensor.boiler_mode"]
    bench.wait_shown(wanted)
    gone = ("sensor.boiler_level", "sensor.boiler_mode")
    wait_until(lambda: not set(gone) & bench.ha.api.states().keys(), SETTLED, "the removed entities to be gone")
    bench.points["mode"] = mode
    bench.reload_gateway()
    wanted["sensor.boiler_mode"] = _READ["sensor.boiler_mode"]
    bench.wait_shown(wanted)
    bench.ha.restart()
    bench.wait_shown(wanted)
    assert "sensor.boiler_level" not in bench.ha.api.states()


def a_renamed_entity_survives(bench: Bench) -> None:
    """What the owner has renamed keeps its name, through restarts of everything and a reload of the gateway."""
    bench.start_gateway()
    bench.wait_shown(_READ)
    bench.ha.api.rename(_TEMPERATURE, "sensor.kettle", "Kettle")
    wanted = dict(_READ)
    wanted["sensor.kettle"] = wanted.pop(_TEMPERATURE)
    bench.wait_shown(wanted)
    bench.ha.restart()
    bench.wait_shown(wanted)
    bench.restart_broker()
    bench.wait_shown(wanted, SETTLED + 5)
    bench.stop_gateway()
    bench.start_gateway()
    bench.wait_shown(wanted)
    del bench.points["level"]
    bench.reload_gateway()
    del wanted["sensor.boiler_level"]
    bench.wait_shown(wanted)
    assert _TEMPERATURE not in bench.ha.api.states()
    assert "Kettle" in [entry["name"] for entry in bench.ha.api.entities().values()]


def another_form_keeps_names(bench: Bench) -> None:
    """What the owner has renamed keeps its name when the form of the announcements changes, there and back."""
    if bench.form == "components":
        bench.say("it knows one form only")
        return
    bench.start_gateway()
    bench.wait_shown(_READ)
    bench.ha.api.rename(_TEMPERATURE, "sensor.kettle", "Kettle")
    wanted = dict(_READ)
    wanted["sensor.kettle"] = wanted.pop(_TEMPERATURE)
    bench.wait_shown(wanted)

    def ids() -> dict[str, str]:
        return {unique_id: entry["id"] for unique_id, entry in bench.ha.api.entities().items()}

    before = ids()
    for form in ("components", "device"):
        bench.say(bench.migrate_gateway(form))
        bench.wait_settled(wanted, SETTLED)
        gone = sorted(before.items() - ids().items())
        assert [unique_id for unique_id, _ in gone if "_heard_" not in unique_id] == [], gone
        bench.ha.restart()
        bench.wait_shown(wanted)
        assert _TEMPERATURE not in bench.ha.api.states()
    assert "Kettle" in [entry["name"] for entry in bench.ha.api.entities().values()]


def entities_of_several_points(bench: Bench) -> None:
    """Light, cover, valve, lock and climate: each has its state, and each of its services reaches the device."""
    with House(bench.folder) as house:
        conf = bench.folder / "home.conf"
        house_conf(conf, bench.broker.port, house.line.path, "device" if bench.release == "2026.11" else "components")
        with GatewayProcess(conf) as gateway:
            bench.say(f"all entities after {bench.wait_shown(HOUSE):.2f} s")
            for call in CALLS:
                bench.ha.api.call(call.service, call.entity, **call.data)
                house.wait_received(call.line)
                bench.wait_shown({call.entity: (call.state, dict(call.attributes))})
            # Old releases know no unknown cover.
            house.tell("gate", "moving")
            bench.wait_shown({"cover.house_drive": ("unknown" if bench.release == "2026.11" else "closed", {})})
            bench.ha.api.call("button.press", "button.house_restart")
            house.wait_received("restart=1")
            began = time.monotonic()
            house.tell("bell", "long")
            bench.ha.api.wait_change(
                "event.house_bell", lambda state: state["attributes"].get("event_type") == "long", began
            )
            gateway.stop()


def the_shipped_examples(bench: Bench) -> None:
    """Each entity that they announce is there, with its unit and class, and with a state if the device has told it."""
    form = "device" if bench.release == "2026.11" else "components"
    api = bench.ha.api
    with (
        bench.broker.client("homeassistant/+/+/+/config") as client,
        examples.running(bench.folder, bench.broker, form) as simulators,
    ):
        settled = time.monotonic() + SETTLED
        wait_until(lambda: time.monotonic() >= settled, SETTLED + 5)
        components = examples.announced(client)
        missing = [name for name in examples.NAMES if f"{name}_-gateway_link" not in components]
        assert not missing, f"nothing was announced by {missing}"
        wrong = examples.wrong_entities(components, api)
        assert not wrong, f"wrong entities of the examples: {wrong}"
        bench.say(f"{len(components)} entities of {len(examples.NAMES)} examples are right after {SETTLED:.0f} s")
        for call in examples.CALLS:
            began = api.call(call.service, call.entity, **call.data)
            api.wait_change(call.entity, lambda state: bool(state["state"] == call.state), began)  # noqa: B023
            said = "".join(simulator.output for simulator in simulators.values())
            assert call.line in said, f"{call.line!r} of {call.service}; the simulators say:\n{said}"
        began = api.call("number.set_value", "number.supply_set_voltage", value=25)
        api.wait_change("event.supply_outcome", _is_refusal, began)
        assert api.state("number.supply_set_voltage") == "15", "the supply has refused 25 V"


BY_HAND: tuple[Scenario, ...] = (documents_by_hand,)
WITH_GATEWAY: tuple[Scenario, ...] = (
    entities_are_right,
    a_call_reaches_the_device,
    a_refused_command_leaves_the_state_true,
    a_restart_in_the_middle_of_a_line_is_no_reading,
    an_unplugged_port_is_unavailable,
    a_silent_device_is_unavailable,
    restarts_in_any_order,
    a_reload_renames_adds_and_removes,
    a_renamed_entity_survives,
    another_form_keeps_names,
    entities_of_several_points,
    the_shipped_examples,
)
