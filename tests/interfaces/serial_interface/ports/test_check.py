from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gateway.errors import Problem
from interfaces.serial_interface import SerialInterface
from interfaces.serial_interface.ports.check import check_port
from tests.support.certificates import Authority
from tests.support.configuration import serial_params

ENCODE: list[dict[str, Any]] = [{"match": {"action": "ON"}, "write": "1"}]


def problems(**options: Any) -> list[str]:
    return [f"{'.'.join(map(str, problem.path))}: {text(problem)}" for problem in check_port(serial_params(**options))]


def text(problem: Problem) -> str:
    return f"{problem.what}: {problem.remedy}" if problem.remedy else problem.what


def test_a_port_that_can_be_used() -> None:
    assert not problems(port="/dev/ttyUSB0", encode=ENCODE)
    assert not problems(port="ssl://boiler.home:7002")


def test_the_address_is_checked_with_the_other_options() -> None:
    params = serial_params(port="socket://boiler", encode=ENCODE)
    assert [problem.path for problem in SerialInterface.check(params)] == [("port",)]


def test_tls_is_for_ssl_only(tmp_path: Path) -> None:
    for port in ("socket://boiler.home:7002", "/dev/ttyUSB0", "tcp-listen://:7002"):
        assert problems(port=port, tls={}) == [
            "tls: only an ssl:// port uses TLS: write ssl://HOST:PORT as the port, or remove tls"
        ]


def test_the_files_of_tls_are_read(tmp_path: Path) -> None:
    [problem] = problems(port="ssl://boiler.home:7002", tls={"ca_file": str(tmp_path / "ca.pem")})
    assert problem.startswith(f"tls: TLS cannot be set up with {tmp_path}/ca.pem: ")
    assert problem.endswith(": check these files")
    authority = Authority(tmp_path)
    assert not problems(port="ssl://boiler.home:7002", tls={"ca_file": str(authority.ca_file)})


def test_a_fifo_cannot_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert not problems(port=str(path))
    polls = {"polls": [{"every": 1, "write": "?"}]}
    remedy = "remove these rules, or use a pseudo-terminal or a socket instead of the FIFO"
    assert problems(port=str(path), encode=ENCODE, conversation=polls) == [
        f"{at}: {path} is a FIFO, to which nothing can be written: {remedy}" for at in ("encode", "conversation.polls")
    ]
