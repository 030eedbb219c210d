"""The network hangs, breaks, is slow, or splits packets: accepted messages are delivered in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.configuration import write_conf
from tests.support.gateway_process import GatewayProcess
from tests.support.health import wait_named
from tests.support.ledger import Verdict
from tests.support.namespace import Namespace
from tests.support.proxy import Passage, Way
from tests.support.stream import Stream, load


def test_a_link_that_hangs_and_continues(tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=900, rate=600) as stream:
        stream.start()
        stream.wait_seen(100)
        stream.proxy.hang()
        stream.wait_accepted(600)
        stream.proxy.resume()
        assert stream.finish().duplicated == 0
        stream.stop()
        assert stream.proxy.connections == 1


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_link_that_drops_everything_sent(direction: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    gone = Way(after_packets=150, end="hang")
    first = Passage(
        up=gone if direction in ("up", "both") else Way(), down=gone if direction in ("down", "both") else Way()
    )
    with Stream(tmp_path, mosquitto.port, first, Passage(), count=1000, rate=800, mqtt={"keepalive": 1}) as stream:
        gateway = stream.start()
        gateway.wait_log("lost the broker: ")  # silent for 1.5 x keepalive, or closed by the broker for the same reason
        wait_named(gateway, "lost the broker: ", "no link to the broker")
        assert stream.finish().lost_by_broker == ()
        stream.stop()


@pytest.mark.parametrize("end", ["close", "reset"])
def test_links_that_break_after_some_packets(end: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    broken = [Passage(up=Way(after_packets=number, end=end)) for number in (1, 7, 60)]  # type: ignore[arg-type]
    broken += [Passage(down=Way(after_packets=number, end=end)) for number in (2, 40)]  # type: ignore[arg-type]
    with Stream(tmp_path, mosquitto.port, *broken, Passage(), count=1000, rate=1000) as stream:
        gateway = stream.start()
        assert stream.finish().lost_by_broker == ()
        wait_named(gateway, "lost the broker", "no connection to the broker", "no link to the broker")
        stream.stop()
        assert stream.proxy.connections == len(broken) + 1


def test_links_that_break_in_the_middle_of_a_packet(tmp_path: Path, mosquitto: Mosquitto) -> None:
    cut = [Passage(up=Way(after_bytes=size)) for size in (5, 1003)]
    cut += [Passage(down=Way(after_bytes=size, end="reset")) for size in (3, 101)]
    with Stream(tmp_path, mosquitto.port, *cut, Passage(), count=1000, rate=1000) as stream:
        gateway = stream.start()
        assert stream.finish().lost_by_broker == ()
        wait_named(gateway, "lost the broker", "no connection to the broker", "no link to the broker")
        stream.stop()


@pytest.mark.parametrize("longest", [1, 100])
def test_packets_that_arrive_in_pieces(longest: int, tmp_path: Path, mosquitto: Mosquitto) -> None:
    sliced = Passage(Way(longest=longest), Way(longest=longest))
    with Stream(tmp_path, mosquitto.port, sliced, count=300, rate=1000, seed=longest) as stream:
        stream.start()
        verdict = stream.finish()
        assert verdict == Verdict(300, 300, 0)
        stream.stop()


def test_a_link_slower_than_the_stream(tmp_path: Path, mosquitto: Mosquitto) -> None:
    slow = Passage(up=Way(rate=40_000))
    with Stream(tmp_path, mosquitto.port, slow, count=600, rate=1000, size=50) as stream:
        stream.start()
        assert stream.finish() == Verdict(600, 600, 0)
        stream.stop()


def test_a_connack_that_is_late(tmp_path: Path, mosquitto: Mosquitto) -> None:
    late = Passage(down=Way(delay=1.0))
    with Stream(tmp_path, mosquitto.port, late, count=300, rate=300, mqtt={"connect_timeout": 3}) as stream:
        stream.start()
        assert stream.finish() == Verdict(300, 300, 0)
        stream.stop()
        assert stream.proxy.connections == 1


def test_a_connack_that_never_comes(tmp_path: Path, mosquitto: Mosquitto) -> None:
    mute = Passage(down=Way(after_bytes=0, end="hang"))
    with Stream(tmp_path, mosquitto.port, mute, Passage(), count=300, rate=300, mqtt={"connect_timeout": 1}) as stream:
        gateway = stream.start()
        assert stream.finish() == Verdict(300, 300, 0)
        assert "sent no CONNACK within 1 s" in gateway.log
        stream.stop()


@pytest.mark.parametrize("host", ["broker.invalid", "a..b", "x" * 64 + ".org"])
def test_a_host_that_cannot_be_found_stops_nothing_else(host: str, tmp_path: Path, mosquitto: Mosquitto) -> None:
    with Stream(tmp_path, mosquitto.port, count=100, rate=1000, mqtt={"host": host}) as stream:
        gateway = stream.start()
        gateway.wait_log("no connection to the broker: ")
        wait_named(gateway, "cannot be resolved", "no link to the broker")
        stream.wait_accepted(100)
        assert "Traceback" not in gateway.log


@pytest.mark.parametrize("host", ["[::1", "bro ker", "mqtt://broker"])
def test_an_invalid_host_is_an_error_in_the_configuration(host: str, tmp_path: Path) -> None:
    with GatewayProcess(write_conf(tmp_path, 1883, interface=load(tmp_path), mqtt={"host": host})) as gateway:
        assert gateway.wait() == 78
        assert "is not a host name or address" in gateway.log


# --- in a network namespace of the kernel


@pytest.fixture
def place() -> Iterator[Namespace]:
    with Namespace() as namespace:
        yield namespace


@pytest.fixture
def far_broker(tmp_path: Path, place: Namespace) -> Iterator[Mosquitto]:
    """A broker that also listens at the near end of the cable to `place`, at `far_port`."""
    port = free_port()
    with Mosquitto(tmp_path, f"allow_anonymous true\nlistener {port} {place.address}\n") as broker:
        broker.far_port = port
        yield broker


@pytest.mark.root
def test_a_name_that_dns_resolves_only_later(tmp_path: Path, mosquitto: Mosquitto) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("")
    own_hosts = ("unshare", "--mount", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh")
    with Stream(tmp_path, mosquitto.port, count=500, rate=500, mqtt={"host": "broker.invalid"}) as stream:
        gateway = stream.start(prefix=own_hosts)
        gateway.wait_log("cannot be resolved")
        hosts.write_text("127.0.0.1 broker.invalid\n")
        assert stream.finish() == Verdict(500, 500, 0)
        stream.stop()


@pytest.mark.root
def test_a_cable_that_is_pulled_under_an_open_connection(
    tmp_path: Path, place: Namespace, far_broker: Mosquitto
) -> None:
    mqtt = {"host": place.address, "port": far_broker.far_port, "keepalive": 1, "connect_timeout": 1}
    with Stream(tmp_path, far_broker.port, count=1000, rate=500, mqtt=mqtt) as stream:
        gateway = stream.start(prefix=place.prefix)
        stream.wait_seen(100)
        place.pull()
        gateway.wait_log("has been silent for 1.5 x keepalive")
        place.plug_in()
        assert stream.finish(30).lost_by_broker == ()
        stream.stop()


@pytest.mark.root
def test_a_slow_line(tmp_path: Path, place: Namespace, far_broker: Mosquitto) -> None:
    mqtt = {"host": place.address, "port": far_broker.far_port, "keepalive": 10}
    place.slow_down("300kbit")
    with Stream(tmp_path, far_broker.port, count=400, rate=1000, size=100, mqtt=mqtt) as stream:
        stream.start(prefix=place.prefix)
        verdict = stream.finish()
        assert (verdict.accepted, verdict.delivered) == (400, 400)
        stream.stop()
