"""How a gateway is: what is known of its parts at one moment, what is wrong with them, and that in one line. Pure.

`Health` is gathered in one place (`gather_health`), and everything that tells how the gateway is comes from it: the
health document, `mqttgateway status`, the status line of systemd. A problem is a state that lasts, never a count that
does not go back; what has no state of its own is named by the last error in the log.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from gateway.core.counting import counted
from gateway.core.quoting import escaped
from gateway.core.trouble import Trouble
from gateway.logs.last_error import LastError
from gateway.routing.device_memory import DeviceStatus

LONGEST_HEADLINE = 200
"""Characters of `headline`."""

MOST_PROBLEMS = 20
"""Problems of a verdict; of more, the last one says how many more there are."""

_MOST_DEVICES = 5  # devices of one interface that are problems of their own
_LONGEST_REASON, _LONGEST_LINE = 300, 600  # characters of what another part, or a device, has told; of a problem
_STALLED = 5.0  # s without an acknowledgement after which the broker counts as hanging
_RECENT = 600.0  # s for which the last error in the log is in the headline, if nothing is wrong

_PLUG = "check plug, cable and power"
_PORT_REMEDIES = {  # by a part of the reason why a device cannot be opened
    "there is no such device": "plug it in, or correct the port in the configuration",
    "no permission": "let the user that the gateway runs as use it",
    "another program or interface has it open": "end the other program, or correct the port in the configuration",
}

_CHECK_DEVICE = "check the device, its power and its address"
_UNKNOWN, _DROPS = "unknown", "live?drops=1"  # views of the page


class Level(enum.IntEnum):
    """How a gateway is as a whole. The value is the exit code of `mqttgateway status`."""

    WELL = 0
    DEGRADED = 1
    DOWN = 2

    def __str__(self) -> str:
        return self.name.lower()


class Problem(NamedTuple):
    """One thing that is wrong: what, the remedy (`""`: `what` has it), and since when (s, Unix time; None: unknown).

    `interface` and `device` are those that it is about; `""`: it is about none. `view` is the view of the page that
    shows more of it than the device does.
    """

    level: Level
    what: str
    remedy: str = ""
    since: float | None = None
    interface: str = ""
    device: str = ""
    view: str = ""


class Verdict(NamedTuple):
    """How a gateway is: the worst level of its problems, and the problems, the gravest first."""

    level: Level
    problems: tuple[Problem, ...] = ()


class LinkHealth(NamedTuple):
    """The link to the broker. `since`: when it was established or lost last (s, Unix time).

    `failure`: why it is down, if that is known, with the remedy. `interruptions`: since when (s, Unix time) it is lost
    again and again, and why it was the last time. `round_trip` and `stalled_for` in seconds.
    """

    is_up: bool
    state: str = ""
    broker: str = ""
    protocol: str = ""
    session_present: bool = False
    is_caught_up: bool = True
    connects: int = 0
    since: float | None = None
    failure: str = ""
    interruptions: tuple[float, str] | None = None
    round_trip: float | None = None
    stalled_for: float = 0.0
    refused_filters: Mapping[str, str] = {}
    refused_states: Sequence[str] = ()
    refused_topics: Sequence[str] = ()
    forbidden_run_topic: str = ""


class OutboxHealth(NamedTuple):
    """What waits for the broker. `oldest` is the age of the oldest message (s), `file` the path of the file, or `""`.

    `dead_letters`: those in the file; in memory, where none is kept, those since the start. `failure`: why the file
    cannot be written. `hang`: where the thread is that does not return from the disk, and since when (s, Unix time).
    `is_dropping`: messages are lost at its limit, now. `refusals`: since when (s, Unix time) no broker accepts some
    messages, and the last one with the reason.
    """

    file: str = ""
    waiting: int = 0
    oldest: float = 0.0
    dead_letters: int = 0
    dropped: Mapping[str, int] = {}
    level_percent: int = 0
    is_crowded: bool = False
    is_dropping: bool = False
    is_disk_full: bool = False
    failure: str = ""
    hang: str = ""
    hang_since: float | None = None
    refusals: tuple[float, str] | None = None


class InterfaceHealth(NamedTuple):
    """One interface. All times are Unix times (s). `is_available` None: nothing is known yet.

    `reason`: why it is not available. `closed`: why it is closed on request. `hang`: where it hangs. `failure`: why it
    failed, if it fails again and again. `trouble`: what is wrong although it works. `refusals`: since when (s, Unix
    time) messages of it are not sent, and why. `interruptions`: the same of its device, which fails again and again.
    `unread`: messages that it does not read. `heard_at`: when its device sent anything last, whatever it was;
    `understood_at`: when the last frame came that was understood. `frames`: what it counts itself, by what became of
    it.
    """

    type: str = ""
    is_available: bool | None = None
    reason: str = ""
    since: float | None = None
    closed: str = ""
    hang: str = ""
    hang_since: float | None = None
    failure: str = ""
    failed_at: float | None = None
    trouble: Trouble | None = None
    refusals: tuple[float, str] | None = None
    interruptions: tuple[float, str] | None = None
    unread: int = 0
    heard_at: float | None = None
    understood_at: float | None = None
    frames: Mapping[str, int] = {}

    @property
    def is_working(self) -> bool:
        """Whether its devices can be reached through it, as far as is known."""
        return self.is_available is not False and not self.hang and not self.closed

    @property
    def status(self) -> str:
        """Its status in one word."""
        if self.hang:
            return "hanging"
        if self.closed:
            return "closed"
        return {None: "unknown", True: "online", False: "offline"}[self.is_available]


class Process(NamedTuple):
    """What the process uses: memory (bytes), threads, file descriptors. 0: it is not known."""

    memory: int = 0
    threads: int = 0
    descriptors: int = 0


class Health(NamedTuple):
    """How a gateway is at one moment (`time`, s, Unix time), by its parts.

    `hang`: where the main thread hangs. `devices` are those of each interface, `outcomes` how many commands have ended
    in each way, `refused` how many were refused before an interface had them, by kind.
    """

    time: float
    name: str
    version: str
    link: LinkHealth
    outbox: OutboxHealth = OutboxHealth()
    interfaces: Mapping[str, InterfaceHealth] = {}
    devices: Mapping[str, Sequence[DeviceStatus]] = {}
    outcomes: Mapping[str, int] = {}
    refused: Mapping[str, int] = {}
    last_error: LastError | None = None
    log_failure: str = ""
    control_failure: str = ""
    page_failure: str = ""
    hang: str = ""
    hang_since: float | None = None
    configuration: str = ""
    configuration_hash: str = ""
    uptime: float = 0.0
    pid: int = 0
    process: Process = Process()


def assess(health: Health) -> Verdict:
    """Return what is wrong with a gateway."""
    problems = [each._replace(what=_line(each.what), remedy=_line(each.remedy)) for each in _problems(health)]
    problems.sort(key=lambda problem: -problem.level)
    more = len(problems) - MOST_PROBLEMS
    if more > 0:
        last = Problem(problems[MOST_PROBLEMS - 1].level, f"{more + 1} more problems", "mend those above first")
        problems[MOST_PROBLEMS - 1 :] = [last]
    return Verdict(max((problem.level for problem in problems), default=Level.WELL), tuple(problems))


def summary(health: Health) -> str:
    """Return how the link is, and how many devices are online, without what is wrong."""
    link = health.link
    what = f"link up ({link.broker}, {link.protocol})" if link.is_up else f"no link to the broker {link.broker}"
    return "; ".join([what, *_counts(health)])


def headline(verdict: Verdict, health: Health) -> str:
    """Return how a gateway is in one line: the link, the devices, and the gravest of what is wrong."""
    parts = [summary(health)]
    if verdict.problems:
        first, *others = verdict.problems
        parts.insert(0 if first.level is Level.DOWN else 1, first.what)
        if others and first.level is Level.DOWN:
            parts.append(others[0].what)
            del others[0]
        if others:
            parts[-1] += f", and {counted(len(others), 'more problem')}"
        if first.what == _line(_no_link(health.link)):
            parts[1] = "; ".join(_counts(health))  # the link is in the first part
    elif (error := health.last_error) is not None and health.time - error.time < _RECENT:
        parts.append(f"last {error.level} at {time_of_day(error.time)}: {error.text}")
    return _cut("; ".join(filter(None, parts)), LONGEST_HEADLINE)


def time_of_day(moment: float) -> str:
    """Return the local time of a moment (s, Unix time), for people."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%H:%M:%S")


def _counts(health: Health) -> Iterator[str]:
    """Yield how many of the devices are online; without devices, how many of the interfaces."""
    devices = [device.is_online for devices in health.devices.values() for device in devices]
    what = "device"
    if not devices:
        what, devices = "interface", [each.is_working and each.is_available for each in health.interfaces.values()]
    if devices:
        yield f"{sum(is_online is True for is_online in devices)} of {counted(len(devices), what)} online"


def _no_link(link: LinkHealth) -> str:
    reason = f": {_cut(link.failure)}" if link.failure else ": it is being connected to" if not link.connects else ""
    return f"no link to the broker {link.broker}{reason}"


def _main_hang(health: Health) -> str:
    return f"the main thread hangs: {health.hang}"


def _problems(health: Health) -> Iterator[Problem]:
    """Yield what is wrong, of each level the gravest first."""
    if health.hang:
        remedy = "no message passes until it returns: correct what it waits for, or restart the gateway"
        yield Problem(Level.DOWN, _main_hang(health), remedy, health.hang_since)
    link = health.link
    if not link.is_up:
        remedy = "" if ": " in link.failure else "check the broker, and mqtt in the configuration"
        yield Problem(Level.DOWN, _no_link(link), remedy, link.since)
    elif link.stalled_for > _STALLED:
        since = health.time - link.stalled_for
        what = f"the broker {link.broker} does not acknowledge what it is sent"
        yield Problem(Level.DEGRADED, what, "restart the broker; its log may tell why", since)
    if link.is_up and link.interruptions is not None:
        since, why = link.interruptions
        what = f"the link to the broker {link.broker} is lost again and again: {_cut(why)}"
        yield Problem(Level.DEGRADED, what, "check the network, and the broker's log", since)
    yield from _outbox_problems(health)
    for name, interface in health.interfaces.items():
        yield from (each._replace(interface=name) for each in _problems_of(health, name, interface))
    yield from _refusals(link)
    if health.log_failure:
        yield Problem(Level.DEGRADED, f"the log file cannot be written: {_cut(health.log_failure)}", "make room for it")
    if health.control_failure:
        remedy = "see the log; restart the gateway once the folder can hold the socket"
        yield Problem(Level.DEGRADED, f"there is no control socket: {_cut(health.control_failure)}", remedy)
    if health.page_failure:
        yield Problem(Level.DEGRADED, _cut(health.page_failure), "free the address, or set another one in web.listen")


def _problems_of(health: Health, name: str, interface: InterfaceHealth) -> Iterator[Problem]:
    """Yield what is wrong with one interface and its devices."""
    yield from _interface_problems(health.name, name, interface)
    yield from _message_problems(health.name, name, interface)
    if interface.is_working:
        devices = health.devices.get(name, ())
        yield from _trouble(name, interface, devices)
        is_useless = interface.trouble is not None and not interface.trouble.is_silence
        remedy = f"correct first what is wrong with {name}" if is_useless else _CHECK_DEVICE
        yield from _device_problems(health.time, devices, remedy)


def _outbox_problems(health: Health) -> Iterator[Problem]:
    outbox = health.outbox
    if outbox.hang:
        remedy = "check the disk: new messages are only in memory until it answers"
        yield Problem(Level.DEGRADED, f"the outbox hangs: {_cut(outbox.hang)}", remedy, outbox.hang_since)
    if outbox.is_disk_full:
        what = f"the disk of the outbox is full ({outbox.file})"
        yield Problem(Level.DEGRADED, what, "free some space: new messages may be only in memory")
    elif outbox.failure:
        what = f"the outbox cannot be written to {outbox.file}: {_cut(outbox.failure)}"
        yield Problem(Level.DEGRADED, what, "check the disk: new messages are only in memory")
    if outbox.is_dropping:
        what = "the outbox is full, and messages are lost"
        yield Problem(Level.DEGRADED, what, "the broker has to accept them faster; see outbox in the configuration")
    elif outbox.is_crowded:
        what = "the outbox is nearly full"
        yield Problem(Level.DEGRADED, what, "the broker accepts messages more slowly than the devices send them")
    since, refused = outbox.refusals or (None, "")
    if outbox.dead_letters and outbox.file:
        last = f"; the last is for {_cut(refused)}" if refused else ""
        remedy = f"see why: mqttgateway outbox list {health.name} --dead-letters; then outbox retry, or purge"
        yield Problem(Level.DEGRADED, f"the outbox has dead letters, which no broker has accepted{last}", remedy, since)
    elif refused and not outbox.file:
        what = f"the broker does not accept messages, which are lost: {_cut(refused)}"
        remedy = "allow this topic in the broker's access rules (Mosquitto: acl_file), or correct the broker's limits"
        yield Problem(Level.DEGRADED, what, remedy, since, view=_DROPS)


def _interface_problems(gateway: str, name: str, interface: InterfaceHealth) -> Iterator[Problem]:
    if interface.hang:
        remedy = "correct that code, or the device that it waits for; then restart the gateway"
        yield Problem(Level.DEGRADED, f"{name} hangs: {_cut(interface.hang)}", remedy, interface.hang_since)
    elif interface.closed:
        remedy = f"open it: mqttgateway interface open {gateway} {name}"
        yield Problem(Level.DEGRADED, f"{name} is closed: {_cut(interface.closed)}", remedy, interface.since)
    elif interface.failure:
        what = f"{name} fails, and is started again and again: {_cut(interface.failure)}"
        yield Problem(Level.DEGRADED, what, "the log shows where", interface.failed_at)
    elif interface.is_available is False:
        reason = _cut(interface.reason) or "it reports that its device is not available"
        remedy = next((remedy for part, remedy in _PORT_REMEDIES.items() if part in reason), _PLUG)
        yield Problem(Level.DEGRADED, f"{name} is offline: {reason}", remedy, interface.since)


def _message_problems(gateway: str, name: str, interface: InterfaceHealth) -> Iterator[Problem]:
    """Yield what is wrong with the messages from and to an interface."""
    if interface.refusals is not None:
        since, reason = interface.refusals
        remedy = f"see which: the page under Unknown, or mqttgateway tap {gateway} --drops"
        what = f"{name}: messages are not sent: {_cut(reason)}"
        yield Problem(Level.DEGRADED, what, remedy, since, view=_UNKNOWN)
    if interface.interruptions is not None and interface.is_working and not interface.failure:
        since, why = interface.interruptions
        yield Problem(Level.DEGRADED, f"{name} comes and goes: {_cut(why)}", _PLUG, since)
    if interface.unread and interface.is_working:
        what = f"{name} does not read its messages: {counted(interface.unread, 'message is', 'messages are')} waiting"
        yield Problem(Level.DEGRADED, what, f"restart it: mqttgateway interface restart {gateway} {name}")


def _trouble(name: str, interface: InterfaceHealth, devices: Sequence[DeviceStatus]) -> Iterator[Problem]:
    trouble = interface.trouble
    if trouble is None or interface.failure:
        return
    if trouble.is_silence and any(device.is_online is False for device in devices):
        return  # they are named themselves
    what, remedy = f"{name}: {_cut(trouble.what)}", _cut(trouble.remedy)
    yield Problem(Level.DEGRADED, what, remedy, trouble.since, view="" if trouble.is_silence else _UNKNOWN)


def _device_problems(now: float, devices: Sequence[DeviceStatus], remedy: str) -> Iterator[Problem]:
    offline = [device for device in devices if device.is_online is False]
    for device in offline[:_MOST_DEVICES]:
        since = None if device.since is None else now - device.since
        what = f"{device.id} is offline: {_cut(device.reason)}"
        yield Problem(Level.DEGRADED, what, remedy, since, device=device.id)
    more = offline[_MOST_DEVICES:]
    if more:
        names = _cut(", ".join(device.id for device in more), 100)
        what = f"{counted(len(more), 'more device is', 'more devices are')} offline: {names}"
        yield Problem(Level.DEGRADED, what, "check what they have in common")


def _refusals(link: LinkHealth) -> Iterator[Problem]:
    if not link.is_up:
        return
    remedy = "allow it in the broker's access rules"
    for topic_filter, reason in list(link.refused_filters.items())[:_MOST_DEVICES]:
        what = f"the broker refuses the subscription to {_cut(topic_filter)}: {_cut(reason)}"
        yield Problem(Level.DEGRADED, what, remedy)
    for topic in link.refused_states[:_MOST_DEVICES]:
        yield Problem(Level.DEGRADED, f"the broker does not accept {_cut(topic)}", remedy)
    for topic in link.refused_topics[:_MOST_DEVICES]:
        what = f"the broker refuses messages on {_cut(topic)} without saying why: they wait"
        yield Problem(Level.DEGRADED, what, "see the broker's log")
    if link.forbidden_run_topic:  # the gateway manages without it
        yield Problem(Level.DEGRADED, f"the broker forbids the topic {link.forbidden_run_topic}", remedy)


def _line(text: str) -> str:
    return _cut(text, _LONGEST_LINE)


def _cut(text: str, longest: int = _LONGEST_REASON) -> str:
    """Return `text` as part of a line: printable, and not too long."""
    text = escaped(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
