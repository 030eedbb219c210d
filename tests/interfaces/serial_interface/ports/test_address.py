from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.serial_interface.ports.address import (
    FORMS,
    Address,
    UsbAddress,
    check_address,
    network_address,
    scheme_of,
    usb_address,
)


@pytest.mark.parametrize(
    ("port", "address"),
    [
        ("socket://boiler.home:7000", Address("boiler.home", 7000)),
        ("socket://[fe80::1]:7000?logging=debug", Address("fe80::1", 7000)),
        ("ssl://10.0.0.5:7002", Address("10.0.0.5", 7002)),
        ("tcp-listen://:7003", Address("", 7003)),
        ("tcp-listen://[::1]:7003", Address("::1", 7003)),
        ("udp://127.0.0.1:7004", Address("127.0.0.1", 7004)),
    ],
)
def test_host_and_port(port: str, address: Address) -> None:
    assert network_address(port) == address
    assert not list(check_address(port))


def test_the_address_of_a_usb_adapter() -> None:
    assert usb_address("usb://0403:6001") == UsbAddress(0x0403, 0x6001)
    address = usb_address("usb://1A86:55d3/A5/02")
    assert address == UsbAddress(0x1A86, 0x55D3, "A5/02")
    assert str(address) == "1a86:55d3 with the serial number A5/02"


@pytest.mark.parametrize(
    "port",
    [
        "/dev/ttyUSB0",
        "/dev/serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0",
        "loop://",
        "spy:///dev/ttyUSB0?file=x",
        "rfc2217://u:p@h:1?timeout=3",
        "hwgrep://0403:6001",
        "ttyUSB0",
    ],
)
def test_other_ports_are_left_to_pyserial(port: str) -> None:
    assert not list(check_address(port))


@pytest.mark.parametrize(
    ("port", "problem"),
    [
        ("socket://boiler", "'socket://boiler' cannot be used: the port is missing: write socket://HOST:PORT"),
        ("socket://:7000", "'socket://:7000' cannot be used: the host is missing: write socket://HOST:PORT"),
        ("ssl://:7000", "'ssl://:7000' cannot be used: the host is missing: write ssl://HOST:PORT"),
        ("udp://", "'udp://' cannot be used: the port is missing: write udp://[HOST]:PORT"),
        (
            "udp://:70000",
            "'udp://:70000' cannot be used: its port is not a number from 1 to 65535: write udp://[HOST]:PORT",
        ),
        (
            "tcp-listen://:x",
            (
                "'tcp-listen://:x' cannot be used: its port is not a number from 1 to 65535: "
                "write tcp-listen://[HOST]:PORT"
            ),
        ),
        (
            "ssl://host:1/path",
            "'ssl://host:1/path' cannot be used: there is more in it than host and port: write ssl://HOST:PORT",
        ),
        ("udp://[::1:5", "'udp://[::1:5' cannot be used: Invalid IPv6 URL: write udp://[HOST]:PORT"),
        (
            "usb://403:6001",
            (
                "'usb://403:6001' cannot be used: vendor and product have four hexadecimal digits each, as lsusb "
                "prints them: write usb://VENDOR:PRODUCT[/SERIAL]"
            ),
        ),
        ("tcp://host:1", "there are no ports of the kind tcp://: write socket://HOST:PORT"),
        ("sockets://host:1", "there are no ports of the kind sockets://: did you mean 'socket'?"),
        ("socket:host:1", "'socket:host:1' is not a URL: write socket://HOST:PORT"),
        ("10.0.0.5:4001", "'10.0.0.5:4001' is neither a path nor a URL: for TCP write socket://10.0.0.5:4001"),
    ],
)
def test_mistakes(port: str, problem: str) -> None:
    [found] = check_address(port)
    assert (found.path, f"{found.what}: {found.remedy}") == (("port",), problem)


@given(st.sampled_from(["", *(f"{scheme}://" for scheme in (*FORMS, "x"))]), st.text())
def test_any_text_is_an_address_or_a_problem_with_a_remedy(scheme: str, text: str) -> None:
    port = scheme + text
    problems = list(check_address(port))
    assert all(problem.path == ("port",) and problem.what and problem.remedy for problem in problems)
    if not problems and scheme_of(port) in ("socket", "ssl", "tcp-listen", "udp"):
        assert 0 < network_address(port).port < 65536
    if not problems and scheme_of(port) == "usb":
        assert usb_address(port).vendor < 65536


def test_the_scheme() -> None:
    assert [scheme_of(port) for port in ("udp://:1", "/dev/a:b", "x")] == ["udp", "", ""]
