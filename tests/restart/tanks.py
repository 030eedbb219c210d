"""An interface written in Python: a tank and a pump, of which a file tells the state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from gateway.api import Addresses, DeviceInterface, InternalMsg, boolean, command

TANK = {"function": "water", "location": "cellar", "device": "tank"}
PUMP = {"function": "water", "location": "cellar", "device": "pump"}


class Tanks(DeviceInterface):
    """Reads `file` several times a second. Without it, the device counts as failed."""

    SCHEMA: ClassVar[Mapping[str, Any]] = {"properties": {"file": {"type": "string"}}}
    read_interval = 0.3
    reopen_delays = (0.2, 1.0)

    @classmethod
    def devices(cls, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the two devices: the tank reports often, the pump need not."""
        return [
            {
                "id": "tank",
                "address": TANK,
                "silent_after": 2,
                "points": {"level": {"from": "LEVEL.percent", "type": "integer"}},
            },
            {"id": "pump", "address": PUMP, "points": {"on": {"from": "PUMP.on", "write": "PUMP.on"}}},
        ]

    @classmethod
    def addresses(cls, params: Mapping[str, Any]) -> Addresses:
        """Return the address of the commands for the pump."""
        return [PUMP]

    def accepts(self, msg: InternalMsg) -> bool:
        """Return whether a message is a command for the pump."""
        return msg.iscmd and msg.has_words({"location": [PUMP["location"]], "device": [PUMP["device"]]})

    def open(self) -> None:
        """Fail if the file is missing."""
        self._state()

    def read(self) -> Iterable[InternalMsg]:
        """Report what the file tells."""
        state = self._state()
        if state["level"] is not None:
            yield _status(TANK, "LEVEL", percent=state["level"])
        yield _status(PUMP, "PUMP", on=state["on"])

    @command("PUMP", on=boolean())
    def switch(self, on: bool) -> None:
        """Execute the command PUMP."""
        file = Path(self.params["file"])
        new = file.with_suffix(".new")
        new.write_text(json.dumps({**self._state(), "on": on}))
        new.rename(file)

    def _state(self) -> Any:
        return json.loads(Path(self.params["file"]).read_text())


def _status(address: Mapping[str, str], action: str, **arguments: Any) -> InternalMsg:
    return InternalMsg(action=action, arguments=arguments).replace(**address)
