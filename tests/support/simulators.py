"""The devices of the shipped examples, as their manuals describe them; made without any of our own code."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.support.simulator import LineSimulator, Simulator


class NmeaInstrument(Simulator):
    """An instrument of a boat: says sentences (NMEA 0183), hears nothing."""

    def say(self, body: str, wrong: int = 0) -> None:
        """Send a sentence; `wrong` is added to its checksum."""
        total = 0
        for byte in body.encode("ascii"):
            total ^= byte
        self.send(f"${body}*{(total + wrong) % 256:02X}\r\n".encode("ascii"))


class MySensorsGateway(LineSimulator):
    """The serial gateway of a network of sensors (serial protocol 2.x): `node;child;command;ack;type;payload`.

    It hands on what its nodes say. A node that is there echoes a message that asks for it (ack 1); from one
    that is not, nothing ever comes.
    """

    PRESENTATION, SET, REQUEST, INTERNAL = range(4)

    def __init__(self, folder: Path, nodes: tuple[int, ...] = (12,)) -> None:
        super().__init__(folder)
        self.nodes = nodes
        self.actuators: dict[tuple[int, int], str] = {}

    def start_up(self) -> None:
        """Say what a gateway says when it has started."""
        self.say(0, 255, self.INTERNAL, 14, "Gateway startup complete.")

    def say(self, node: int, child: int, command: int, kind: int, payload: str, ack: int = 0) -> None:
        self.send(f"{node};{child};{command};{ack};{kind};{payload}\n".encode())

    def hear_line(self, line: str) -> None:
        parts = line.split(";", 5)
        if len(parts) != 6 or not all(part.isdigit() for part in parts[:5]):
            self.complaints.append(line)
            return
        node, child, command, ack, kind = map(int, parts[:5])
        if self.is_silent:
            return
        if (node, command, kind) == (0, self.INTERNAL, 2):
            self.say(0, 255, self.INTERNAL, 2, "2.3.2")
        elif command == self.SET and node in self.nodes:
            self.actuators[node, child] = parts[5]
            if ack:
                self.say(node, child, command, kind, parts[5], ack=1)


class ModbusMeter(Simulator):
    """A meter that speaks Modbus RTU: reads input registers (4), switches a coil (5), answers with exceptions.

    It is silent to requests for other addresses, and to those whose CRC is wrong. All requests known here have
    8 bytes. `registers` are 16-bit words by address, `coils` what is switched; a coil that `is_stuck` fails.
    """

    ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = range(1, 5)

    def __init__(self, folder: Path, address: int = 1) -> None:
        super().__init__(folder)
        self.address = address
        self.registers: dict[int, int] = {}
        self.coils: dict[int, bool] = {0: False}
        self.is_stuck = False
        self.is_noisy = False  # its answers reach nobody whole
        self.requests: list[bytes] = []
        self.overheard = 0  # requests for others
        self._heard = b""

    def set_float(self, register: int, value: float) -> None:
        """Put a float into two registers, the high word first."""
        self.registers[register], self.registers[register + 1] = struct.unpack(">HH", struct.pack(">f", value))

    def hear(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 8:
            request, self._heard = self._heard[:8], self._heard[8:]
            if self.crc(request[:6]) != request[6:]:
                self.complaints.append(request.hex(" "))
                self._heard = b""
            elif request[0] == self.address:
                self.requests.append(request[:6])
                self.say(bytes([self.address]) + self._do(request))
            else:
                self.overheard += 1

    def say(self, frame: bytes) -> None:
        """Answer with `frame` and its CRC."""
        crc = self.crc(frame)
        self.answer(frame + (bytes(byte ^ 0x10 for byte in crc) if self.is_noisy else crc))

    def _do(self, request: bytes) -> bytes:
        function, first, number = struct.unpack(">BHH", request[1:6])
        failed = bytes([function | 0x80])
        if function == 4:
            words = [self.registers.get(first + index) for index in range(number)]
            if None in words:
                return failed + bytes([self.ILLEGAL_ADDRESS])
            return bytes([4, 2 * number]) + b"".join(struct.pack(">H", word) for word in words)
        if function == 5:
            if first not in self.coils:
                return failed + bytes([self.ILLEGAL_ADDRESS])
            if number not in (0xFF00, 0):
                return failed + bytes([self.ILLEGAL_VALUE])
            if self.is_stuck:
                return failed + bytes([self.DEVICE_FAILURE])
            self.coils[first] = number == 0xFF00
            return request[1:6]
        return failed + bytes([self.ILLEGAL_FUNCTION])

    @staticmethod
    def crc(data: bytes) -> bytes:
        """Return the CRC as it is sent, low byte first (Modbus over Serial Line, V1.02, 6.2.2)."""
        crc = 0xFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        return bytes([crc & 0xFF, crc >> 8])


class ScpiSupply(LineSimulator):
    """A power supply that speaks SCPI over IEEE 488.2: several commands a line, an error queue, answers to queries.

    A command that is not known ends its line; one whose value is out of range does not. `volts` and `output` are
    its settings, `load` (ohms) hangs at its output.
    """

    identity = "Example Instruments,PS-3005,SN0042,1.07"
    highest = 20.0  # V: less than the configuration allows

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.volts, self.output, self.load = 0.0, False, 10.0
        self.errors: list[tuple[int, str]] = []
        self._commands: dict[str, Callable[[str], str | None]] = {
            "*IDN?": lambda _: self.identity,
            "*CLS": lambda _: self.errors.clear(),
            "*OPC?": lambda _: "1",
            "VOLT": self._set_volts,
            "VOLT?": lambda _: f"{self.volts:+.8E}",
            "OUTP": self._set_output,
            "OUTP?": lambda _: str(int(self.output)),
            "MEAS:VOLT?": lambda _: f"{self.measured:+.8E}",
            "MEAS:CURR?": lambda _: f"{self.measured / self.load:+.8E}",
            "SYST:ERR?": self._next_error,
        }

    @property
    def measured(self) -> float:
        return self.volts if self.output else 0.0

    def hear_line(self, line: str) -> None:
        answers: list[str] = []
        path = ""
        for unit in line.rstrip("\r").split(";"):
            header, _, parameter = unit.strip().partition(" ")
            header = header.upper()
            if not header.startswith("*"):
                header = header[1:] if header.startswith(":") else path + header
                path = header[: header.rfind(":") + 1]
            if header not in self._commands:
                self.errors.append((-113, "Undefined header"))
                break
            answer = self._commands[header](parameter.strip())
            if answer is not None:
                answers.append(answer)
        if answers:
            self.answer(";".join(answers).encode("ascii") + b"\r\n")

    def _set_volts(self, parameter: str) -> None:
        if 0 <= float(parameter) <= self.highest:
            self.volts = float(parameter)
        else:
            self.errors.append((-222, "Data out of range"))

    def _set_output(self, parameter: str) -> None:
        self.output = parameter.upper() in ("ON", "1")

    def _next_error(self, _: str) -> str:
        code, text = self.errors.pop(0) if self.errors else (0, "No error")
        return f'{code:+d},"{text}"'


class EntrySystem(LineSimulator):
    """Bell and gate of the tutorial: a two-digit number a line. Sent 21, it opens the gate and says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_gate_open = False

    def say(self, number: int) -> None:
        self.answer(b"%d\r\n" % number)

    def hear_line(self, line: str) -> None:
        if line == "21":
            self.is_gate_open = True
            self.say(21)
        else:
            self.complaints.append(line)


class TankSensor(Simulator):
    """A level sensor with a pump, between AA 55 and 0D 0A. The checksum is the sum of the bytes between."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_pumping = False
        self._heard = b""

    @staticmethod
    def level(tenths: int, celsius: int, flags: int) -> bytes:
        """Return the content of a reading."""
        return struct.pack(">BHbB", 1, tenths, celsius, flags)

    @staticmethod
    def frame(content: bytes, wrong: int = 0) -> bytes:
        """Return the frame around `content`; `wrong` is added to its checksum."""
        return b"\xaa\x55" + content + bytes([(sum(content) + wrong) % 256]) + b"\r\n"

    def say(self, tenths: int, celsius: int, flags: int, wrong: int = 0) -> None:
        self.send(self.frame(self.level(tenths, celsius, flags), wrong))

    def hear(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 10:
            frame, self._heard = self._heard[:10], self._heard[10:]
            content = frame[2:7]
            if frame != self.frame(content) or content[0] != 2:
                self.complaints.append(frame.hex(" "))
                continue
            self.is_pumping = bool(content[4] & 1)
