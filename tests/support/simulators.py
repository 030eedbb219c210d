"""The devices of the shipped examples, simulated after their manuals, without the code under test."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from tests.support.simulator import LineSimulator, Simulator


class NmeaInstrument(Simulator):
    """An instrument of a boat: sends sentences (NMEA 0183), receives nothing."""

    def send_sentence(self, body: str, checksum_error: int = 0) -> None:
        """Send a sentence; `checksum_error` is added to its checksum."""
        total = 0
        for byte in body.encode("ascii"):
            total ^= byte
        self.send(f"${body}*{(total + checksum_error) % 256:02X}\r\n".encode("ascii"))


class MySensorsGateway(LineSimulator):
    """The serial gateway of a network of sensors (serial protocol 2.x): `node;child;command;ack;type;payload`.

    It forwards the messages of its nodes. An existing node echoes a message that requests it (ack 1); a missing node
    does not answer.
    """

    PRESENTATION, SET, REQUEST, INTERNAL = range(4)

    def __init__(self, folder: Path, nodes: tuple[int, ...] = (12,)) -> None:
        super().__init__(folder)
        self.nodes = nodes
        self.actuators: dict[tuple[int, int], str] = {}

    def start_up(self) -> None:
        """Send the message of a gateway that has started."""
        self.send_message(0, 255, self.INTERNAL, 14, "Gateway startup complete.")

    def send_message(self, node: int, child: int, command: int, kind: int, payload: str, ack: int = 0) -> None:
        self.send(f"{node};{child};{command};{ack};{kind};{payload}\n".encode())

    def on_line(self, line: str) -> None:
        parts = line.split(";", 5)
        if len(parts) != 6 or not all(part.isdigit() for part in parts[:5]):
            self.rejected.append(line)
            return
        node, child, command, ack, kind = map(int, parts[:5])
        if self.is_silent:
            return
        if (node, command, kind) == (0, self.INTERNAL, 2):
            self.send_message(0, 255, self.INTERNAL, 2, "2.3.2")
        elif command == self.SET and node in self.nodes:
            self.actuators[node, child] = parts[5]
            if ack:
                self.send_message(node, child, command, kind, parts[5], ack=1)


class ModbusMeter(Simulator):
    """A Modbus RTU meter: reads input registers (4), switches a coil (5), answers with exceptions.

    It does not answer requests for other addresses, nor those whose CRC is wrong. All supported requests have 8 bytes.
    `registers` are 16-bit words by address, `coils` are booleans by address. With `is_stuck`, a coil cannot be
    switched; with `is_noisy`, answers arrive with a wrong CRC.
    """

    ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = range(1, 5)

    def __init__(self, folder: Path, address: int = 1) -> None:
        super().__init__(folder)
        self.address = address
        self.registers: dict[int, int] = {}
        self.coils: dict[int, bool] = {0: False}
        self.is_stuck = False
        self.is_noisy = False
        self.requests: list[bytes] = []
        self.overheard = 0  # requests for other addresses
        self._buffer = b""

    def set_float(self, register: int, value: float) -> None:
        """Put a float into two registers, the high word first."""
        self.registers[register], self.registers[register + 1] = struct.unpack(">HH", struct.pack(">f", value))

    def on_data(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            request, self._buffer = self._buffer[:8], self._buffer[8:]
            if self.crc(request[:6]) != request[6:]:
                self.rejected.append(request.hex(" "))
                self._buffer = b""
            elif request[0] == self.address:
                self.requests.append(request[:6])
                self.reply(bytes([self.address]) + self._execute(request))
            else:
                self.overheard += 1

    def reply(self, frame: bytes) -> None:
        """Answer with `frame` and its CRC."""
        crc = self.crc(frame)
        self.answer(frame + (bytes(byte ^ 0x10 for byte in crc) if self.is_noisy else crc))

    def _execute(self, request: bytes) -> bytes:
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
    """A power supply with SCPI over IEEE 488.2: several commands in a line, an error queue, answers to queries.

    The line ends at an unknown command, but not at one whose value is out of range. `volts` and `output` are the
    settings, `load` (ohms) is connected to the output.
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

    def on_line(self, line: str) -> None:
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
    """The bell and gate of the tutorial: one two-digit number per line. On 21 it opens the gate and answers 21."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_gate_open = False

    def send_number(self, number: int) -> None:
        self.answer(b"%d\r\n" % number)

    def on_line(self, line: str) -> None:
        if line == "21":
            self.is_gate_open = True
            self.send_number(21)
        else:
            self.rejected.append(line)


class TankSensor(Simulator):
    """A level sensor with a pump; frames are between AA 55 and 0D 0A, their checksum is the sum of the content."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_pumping = False
        self._buffer = b""

    @staticmethod
    def level(tenths: int, celsius: int, flags: int) -> bytes:
        """Return the content of a reading."""
        return struct.pack(">BHbB", 1, tenths, celsius, flags)

    @staticmethod
    def frame(content: bytes, checksum_error: int = 0) -> bytes:
        """Return the frame around `content`; `checksum_error` is added to its checksum."""
        return b"\xaa\x55" + content + bytes([(sum(content) + checksum_error) % 256]) + b"\r\n"

    def send_level(self, tenths: int, celsius: int, flags: int, checksum_error: int = 0) -> None:
        self.send(self.frame(self.level(tenths, celsius, flags), checksum_error))

    def on_data(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 10:
            frame, self._buffer = self._buffer[:10], self._buffer[10:]
            content = frame[2:7]
            if frame != self.frame(content) or content[0] != 2:
                self.rejected.append(frame.hex(" "))
                continue
            self.is_pumping = bool(content[4] & 1)
