"""TLS that must not be trusted: nothing is sent over it, the reason is logged, and all is delivered later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support.broker import Mosquitto, free_port
from tests.support.certificates import Authority
from tests.support.health import wait_named
from tests.support.ledger import Verdict
from tests.support.peer import Conversation, Peer, serve, stay_silent
from tests.support.stream import Stream

Pair: TypeAlias = tuple[Path, Path]


def foreign(authority: Authority) -> Pair:
    folder = authority.ca_file.parent / "foreign"
    folder.mkdir()
    return Authority(folder).sign("server")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param(lambda a: a.sign("old", days=-1), "certificate has expired", id="expired"),
        pytest.param(foreign, "is not trusted", id="untrusted"),
        pytest.param(lambda a: a.sign("other", "DNS:other.example"), "set mqtt.host to a name in the", id="wrong host"),
    ],
)
def test_a_certificate_that_is_wrong_until_it_is_renewed(
    wrong: Callable[[Authority], Pair], reason: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    certificate, key = tmp_path / "used.pem", tmp_path / "used.key"

    def use(pair: Pair) -> None:
        certificate.write_bytes(pair[0].read_bytes())
        key.write_bytes(pair[1].read_bytes())

    use(wrong(authority))
    port = free_port()
    settings = f"allow_anonymous true\nlistener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
    with Mosquitto(tmp_path, settings) as broker:
        mqtt = {"port": port, "tls": {"enabled": True, "ca_file": str(authority.ca_file)}}
        with Stream(tmp_path, broker.port, count=300, rate=1000, mqtt=mqtt) as stream:
            assert stream.witness is not None
            gateway = stream.start()
            gateway.wait_log(reason)
            wait_named(gateway, reason)
            assert stream.seen == []
            use(authority.sign("good"))
            broker.kill()
            stream.witness.wait_lost()
            broker.start()
            stream.witness.wait_subscribed()
            assert stream.finish() == Verdict(300, 300, 0)
            stream.stop()


def test_plain_mqtt_to_a_port_with_tls(tmp_path: Path) -> None:
    with Peer(serve(), tls=Authority(tmp_path).server()) as peer:
        with Stream(tmp_path, peer.port, seen=list, count=10, mqtt={"connect_timeout": 1}) as stream:
            gateway = stream.start()
            gateway.wait_log("no connection to the broker: ")
            wait_named(gateway, "no link to the broker")
            stream.wait_accepted(10)
            assert "Traceback" not in gateway.log


def test_tls_to_a_port_without_tls_sends_nothing_in_clear(tmp_path: Path, mosquitto: Mosquitto) -> None:
    mqtt = {"tls": {"enabled": True}, "connect_timeout": 1, "username": "gw", "password": "secret"}
    with Stream(tmp_path, mosquitto.port, count=10, mqtt=mqtt) as stream:
        gateway = stream.start()
        gateway.wait_log("no connection to the broker: ")
        wait_named(gateway, "no link to the broker")
        stream.wait_accepted(10)
        assert stream.witness_pairs() == []
        assert "Traceback" not in gateway.log


def test_a_handshake_that_never_answers(tmp_path: Path) -> None:
    """The first connection does not answer; the next ones are a broker with a valid certificate."""
    authority = Authority(tmp_path)
    context = authority.server()

    def served(conversation: Conversation) -> None:
        conversation.sock = context.wrap_socket(conversation.sock, server_side=True)
        serve()(conversation)

    with Peer(stay_silent, served) as peer:
        mqtt = {"connect_timeout": 1, "tls": {"enabled": True, "ca_file": str(authority.ca_file)}}
        with Stream(tmp_path, peer.port, count=200, rate=1000, mqtt=mqtt, seen=peer.acknowledged) as stream:
            gateway = stream.start()
            assert stream.finish() == Verdict(200, 200, 0)
            assert "does not answer the TLS handshake within 1 s" in gateway.log
            stream.stop()
