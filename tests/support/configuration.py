"""Configurations for one test, written to its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.configuration.json_reader import load_json
from gateway.configuration.load_script import load_script
from gateway.configuration.schema_check import check_schema, fill_defaults
from gateway.configuration.schemas import interface_schema
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.simulation.device import SimulatedDevice
from tests.support.broker import free_port

SHIPPED = Path(__file__).parents[2]
TRIAL = Path(__file__).parent / "trial_interface.py"


def write_conf(
    folder: Path, port: int, name: str = "gw", *, mqtt: dict[str, Any] | None = None, **options: Any
) -> Path:
    """Write a configuration for the broker at `port`; return its path. JSON is YAML, too."""
    options = {"root": "home", "topics": ["home/+/+/+/+/+/C"], **options}
    if "map" in options:
        del options["root"], options["topics"]
    file = folder / f"{name}.conf"
    file.write_text(json.dumps({**options, "mqtt": {"port": port, **(mqtt or {})}}, indent=1))
    return file


def replaying_map(folder: Path) -> str:
    """Write a map in which the command `set` may arrive late, and no other may; return its name."""
    delivery = [{"match": {"action": "set"}, "replay": True}]
    document = {"root": "home", "topics": ["home/+/+/+/+/+/C"], "delivery": delivery}
    (folder / "replay_map.json").write_text(json.dumps(document))
    return "replay_map.json"


def trial(kind: str, **options: Any) -> dict[str, Any]:
    """Return the options of an interface of `trial_interface.py`."""
    return {"type": f"{TRIAL}:{kind}", **options}


def shipped_conf(folder: Path, name: str, port: int, device: Path | None = None) -> Path:
    """Copy a shipped configuration, with only the ports of broker and page and the path of the device changed."""
    text = (SHIPPED / "conf" / name).read_text()
    text = text.replace("\nweb: true\n", f'\nweb: {{listen: "127.0.0.1:{free_port()}"}}\n')
    if device is not None:
        text, count = re.subn(r"(?m)^  port: /dev/\S+$", f"  port: {device}", text)
        assert count == 1, text
    if re.search(r"(?m)^mqtt:$", text):
        text = re.sub(r"(?m)^mqtt:$", f"mqtt:\n  port: {port}", text)
    else:
        text += f"\nmqtt:\n  port: {port}\n"
    file = folder / name
    file.write_text(text)
    return file


def with_home_assistant(text: str) -> str:
    """Return the text of a shipped configuration with its commented lines for Home Assistant in use."""
    text, count = re.subn(
        r"(?m)^# home_assistant:.*(?:\n#   .*)*", lambda found: re.sub(r"(?m)^# ", "", found[0]), text
    )
    assert count == 1, text
    return text


def serial_params(**options: Any) -> dict[str, Any]:
    """Return the options of a serial device as its interface gets them: `options`, and the defaults of the others."""
    schema = interface_schema(SerialInterface)
    written = {"type": "serial", "port": "loop://", **options}
    document = load_json(json.dumps(written), "options")
    assert not list(check_schema(document, written, schema))
    params: dict[str, Any] = fill_defaults(written, schema)
    return params


def script_params(**options: Any) -> dict[str, Any]:
    """Return the options of the script of a simulated device, with the defaults of those that are not written."""
    schema = SimulatedDevice.schema()
    document = load_json(json.dumps(options), "script")
    assert not list(check_schema(document, options, schema))
    params: dict[str, Any] = fill_defaults(options, schema)
    assert not list(SimulatedDevice.check(params))
    return params


def shipped_script(name: str) -> Mapping[str, Any]:
    """Return the options of a shipped script, with their defaults."""
    return load_script(SHIPPED / "conf" / name, {}, SimulatedDevice.schema(), SimulatedDevice.check)
