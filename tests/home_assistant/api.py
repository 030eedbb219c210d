"""A client of Home Assistant: its REST interface for single questions, its websocket for everything else."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any, NamedTuple

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.waiting import wait_until

_TIMEOUT = 10  # s, for an answer


class Event(NamedTuple):
    """An event, with the time at which it arrived (s, monotonic)."""

    at: float
    kind: str
    data: dict[str, Any]


class ApiError(AssertionError):
    """Home Assistant refused a request."""


class Api:
    """`get` asks over REST at any time; everything else needs the websocket: between `open` and `close`.

    `events` holds the events since the first `open`.
    """

    def __init__(self, address: str, token: str) -> None:
        self.events: list[Event] = []
        self._address = address
        self._token = token
        self._connection: ClientConnection | None = None
        self._thread: threading.Thread | None = None
        self._last_id = 0
        self._results: dict[int, dict[str, Any]] = {}
        self._has_result = threading.Condition()

    # --- the lines to it

    def get(self, path: str) -> Any:
        """Return what `/api/PATH` answers."""
        request = urllib.request.Request(
            f"{self._address}/api/{path}", headers={"Authorization": f"Bearer {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)

    def open(self) -> None:
        """Connect the websocket, and listen to all events from now on."""
        connection = connect(f"{self._address.replace('http', 'ws')}/api/websocket", max_size=None, compression=None)
        assert json.loads(connection.recv(_TIMEOUT))["type"] == "auth_required"
        connection.send(json.dumps({"type": "auth", "access_token": self._token}))
        assert json.loads(connection.recv(_TIMEOUT))["type"] == "auth_ok", "the token was refused"
        self._connection = connection
        self._thread = threading.Thread(target=self._listen, args=(connection,), name="home assistant", daemon=True)
        self._thread.start()
        self.ask("subscribe_events")

    def close(self) -> None:
        """Disconnect the websocket."""
        if self._connection is not None and self._thread is not None:
            self._connection.close()
            self._thread.join(_TIMEOUT)
            self._connection = self._thread = None

    def ask(self, kind: str, **fields: Any) -> Any:
        """Send a command of the websocket interface and return its result; raise ApiError if it is refused."""
        assert self._connection is not None, "the websocket is not open"
        with self._has_result:
            self._last_id += 1
            number = self._last_id
        self._connection.send(json.dumps({"id": number, "type": kind, **fields}))
        with self._has_result:
            assert self._has_result.wait_for(lambda: number in self._results, _TIMEOUT), f"no answer to {kind}"
            answer = self._results.pop(number)
        if not answer["success"]:
            raise ApiError(f"{kind} {fields}: {answer['error']}")
        return answer["result"]

    def _listen(self, connection: ClientConnection) -> None:
        try:
            for text in connection:
                answer, now = json.loads(text), time.monotonic()
                if answer["type"] == "event":
                    self.events.append(Event(now, answer["event"]["event_type"], answer["event"]["data"]))
                    continue
                with self._has_result:
                    self._results[answer["id"]] = answer
                    self._has_result.notify_all()
        except ConnectionClosed:
            pass

    # --- entities and devices

    def states(self) -> dict[str, dict[str, Any]]:
        """Return the state of each entity, with its attributes, by entity id."""
        return {state["entity_id"]: state for state in self.ask("get_states")}

    def state(self, entity: str) -> str:
        """Return the state of an entity; empty if there is no such entity."""
        return str(self.states().get(entity, {}).get("state", ""))

    def entities(self) -> dict[str, dict[str, Any]]:
        """Return the registry's entry of each entity of MQTT, by its unique id."""
        entries = self.ask("config/entity_registry/list")
        mqtt = [entry for entry in entries if entry["platform"] == "mqtt"]
        return {
            self.ask("config/entity_registry/get", entity_id=entry["entity_id"])["unique_id"]: entry for entry in mqtt
        }

    def devices(self) -> dict[str, dict[str, Any]]:
        """Return the registry's entry of each device of MQTT, by its identifier there."""
        return {
            identifier: entry
            for entry in self.ask("config/device_registry/list")
            for domain, identifier in entry["identifiers"]
            if domain == "mqtt"
        }

    def rename(self, entity: str, new_entity: str, name: str) -> None:
        """Give an entity another id and another name, as its owner does."""
        self.ask("config/entity_registry/update", entity_id=entity, new_entity_id=new_entity, name=name)

    def call(self, service: str, entity: str, **data: Any) -> float:
        """Call a service such as `switch.turn_on`, and return when (s, monotonic)."""
        domain, _, name = service.partition(".")
        began = time.monotonic()
        self.ask("call_service", domain=domain, service=name, service_data=data, target={"entity_id": entity})
        return began

    # --- waiting

    def wait_state(self, entity: str, state: str, timeout: float = 10) -> None:
        """Return once an entity has a state."""
        wait_until(
            lambda: self.state(entity) == state,
            timeout,
            lambda: f"{entity} to be {state!r}; it is {self.state(entity)!r} of {sorted(self.states())}",
            pause=0.02,
        )

    def changes(self, entity: str, since: float = 0.0) -> list[tuple[float, dict[str, Any]]]:
        """Return the states that an entity has had since a time (s, monotonic), each with its time."""
        return [
            (event.at, event.data["new_state"])
            for event in list(self.events)
            if event.kind == "state_changed"
            and event.at >= since
            and event.data["entity_id"] == entity
            and event.data["new_state"]
        ]

    def wait_change(
        self, entity: str, matches: Callable[[dict[str, Any]], bool], since: float = 0.0, timeout: float = 10
    ) -> tuple[float, dict[str, Any]]:
        """Return the first state of an entity that matches, of those since a time, and when it was there."""

        def first() -> tuple[float, dict[str, Any]] | None:
            return next((change for change in self.changes(entity, since) if matches(change[1])), None)

        wait_until(first, timeout, lambda: f"a change of {entity}; there were {self.changes(entity, since)}")
        change = first()
        assert change is not None
        return change
