"""What a live view costs: a line from its bytes to the socket, while `mqttgateway tap` follows, and while nobody does.

As in `stages`, all happens in this process. The view is emptied at the same intervals as by the control socket.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from benchmarks import contenders
from benchmarks.lab import Lab
from benchmarks.report import Figures, Metric, WrongResultError
from benchmarks.rounds import run_rounds
from benchmarks.stages import discarding_socket
from benchmarks.topics import lines
from gateway.configuration.schema_check import fill_defaults
from gateway.configuration.schemas import interface_schema
from gateway.control.server import FOLLOW_INTERVAL
from gateway.core.inbox import MsgList, Wakeup
from gateway.core.tap import TAP
from gateway.mqtt.buffered_socket import BufferedSocket
from gateway.mqtt.client import MgClient
from gateway.mqtt.link_state import LinkEvent
from gateway.mqtt.options import MqttOptions
from gateway.outbox.outbox import Outbox
from gateway.routing.outlet import Outlet
from gateway.runtime.live_view import LiveView, Wanted
from gateway.translation.mqtt_map import MsgMap
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.followed import followed

_RATE = 2000  # lines/s
_CHUNK = 20  # lines
_NOBODY, _FILTERED, _ATTACHED = "nobody follows", "tap --drops", "tap"


def run(lab: Lab) -> None:
    """Print the cost of a line in the thread that reads it, and in all threads, with and without a live view."""
    seconds = 1.0 if lab.fast else 3.0
    print(f"tap: {_RATE:,} lines/s for {seconds:g} s, processor time, from bytes to packets (QoS 0).")
    metrics = [Metric("thread of the interface", "us/line", 1), Metric("all threads", "us/line", 1)]
    run_rounds(
        lab,
        {
            _ATTACHED: lambda: _measure(seconds, Wanted()),
            _NOBODY: lambda: _measure(seconds, None),
            _FILTERED: lambda: _measure(seconds, Wanted(drops=True)),
        },
        metrics,
    )


def _measure(seconds: float, wanted: Wanted | None) -> Figures:
    outbox, wakeup = Outbox(), Wakeup()
    outlet = Outlet("device", MsgMap("bench", sender="bench", status_qos=0), outbox)
    params = fill_defaults(contenders.serial_options("loop://"), interface_schema(SerialInterface))
    session = SerialInterface(params, MsgList(), outlet).session
    client = MgClient(MqttOptions(), outbox, wakeup)
    outbox.attach(client.transmitter)
    for event in (LinkEvent.CONNECT, LinkEvent.OPENED, LinkEvent.ACCEPTED):
        client.link.state_machine.advance(event)
    client.sender.begin()
    client._sock = BufferedSocket(discarding_socket())  # type: ignore[assignment]  # a link that is up, without a broker
    view = None if wanted is None else LiveView(wanted, lambda: ())
    stopping, seen = threading.Event(), [0]

    def show() -> None:
        while view is not None and not stopping.wait(FOLLOW_INTERVAL):
            seen[0] += view.lines().count(b"\n")

    viewer = threading.Thread(target=show)
    viewer.start()
    try:
        count = int(seconds * _RATE)
        device_lines = lines(count)
        began, thread_began, process_began = time.monotonic(), time.thread_time(), time.process_time()
        for at in range(0, count, _CHUNK):
            time.sleep(max(0.0, began + at / _RATE - time.monotonic()))
            data = b"".join(device_lines[at : at + _CHUNK])
            recorder = TAP.recorder
            if recorder is None:
                outlet.push_all(session.receive(data, 0.0))
            else:
                outlet.push_all(followed(recorder, "device", session, partial(session.receive, data, 0.0), data))
        in_thread, in_all = time.thread_time() - thread_began, time.process_time() - process_began
        time.sleep(4 * FOLLOW_INTERVAL)
    finally:
        stopping.set()
        viewer.join()
        if view is not None:
            view.close()
        client._sock = None
        wakeup.close()
    if (delivered := outbox.counts().delivered) != count:
        raise WrongResultError(f"{delivered} of {count} were sent")
    if wanted == Wanted() and seen[0] < count:
        raise WrongResultError(f"{seen[0]} of {count} were shown")
    return {"thread of the interface": in_thread / count * 1e6, "all threads": in_all / count * 1e6}
