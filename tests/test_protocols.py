"""Protocols without a shipped example, each configured from its manual, with a simulated device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigurationError
from tests.conftest import ExpectedLogs
from tests.support.device import PtyDevice
from tests.support.running import RunningInterface
from tests.support.simulator import LineSimulator, Simulator
from tests.support.waiting import wait_until


def running(folder: Path, text: str, line: PtyDevice) -> RunningInterface:
    """Return an interface with the options in `text` (YAML)."""
    return RunningInterface(folder, text, port=str(line.path))


def contents(messages: list[Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return device, action and arguments of each message."""
    return [(msg.device, msg.action, dict(msg.arguments)) for msg in messages]


def crc_lsb_first(data: bytes, poly: int, start: int) -> int:
    """Return a 16-bit CRC with all bits reflected."""
    crc = start
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (poly if crc & 1 else 0)
    return crc


# --- an electricity meter with frames of many lines (Dutch Smart Meter Requirements, P1 5.0.2)

P1 = r"""
baudrate: 115200
framing: {type: markers, start: "/", stop: "!", after: 4, keep: true}
checksum: {type: arc, form: hex}
decode:
  - lines:
      patterns:
        - '1-0:1\.8\.1\((?P<low>[0-9.]+)\*kWh\)'
        - '1-0:1\.8\.2\((?P<high>[0-9.]+)\*kWh\)'
        - '1-0:1\.7\.0\((?P<kilowatts>[0-9.]+)\*kW\)'
        - '0-0:96\.14\.0\((?P<tariff>[0-9]+)\)'
        - '0-1:24\.2\.1\((?P<read>[0-9]+)[SW]\)\((?P<gas>[0-9.]+)\*m3\)'
    values:
      low: float
      high: float
      kilowatts: [{scale: 1000}, {round: 0}]
      tariff: {enum: {"0001": low, "0002": high}}
      gas: float
      read: {timestamp: "%y%m%d%H%M%S"}
    messages:
      - device: meter
        action: ENERGY
        arguments: {low: "{low}", high: "{high}", watts: "{kilowatts}", tariff: "{tariff}"}
      - {device: gas, action: VOLUME, arguments: {cubic_metres: "{gas}", read: "{read}"}}
"""


def telegram(watts: int, gas: bool = True, crc_error: int = 0) -> bytes:
    lines = ["/ISk5\\2MT382-1000", "", "1-3:0.2.8(50)", "0-0:1.0.0(101209113020W)", "1-0:1.8.1(123456.789*kWh)",
             "1-0:1.8.2(000001.500*kWh)", "0-0:96.14.0(0002)", f"1-0:1.7.0({watts / 1000:06.3f}*kW)",
             "1-0:99.97.0(2)(0-0:96.7.19)(101208152415W)(0000000240*s)(101208151004W)(0000000301*s)",
             "0-0:96.13.0()"]  # fmt: skip
    if gas:
        lines += ["0-1:24.1.0(003)", "0-1:24.2.1(101209112500W)(12785.123*m3)"]
    text = "".join(f"{line}\r\n" for line in lines).encode("ascii") + b"!"
    return text + b"%04X\r\n" % (crc_lsb_first(text, 0xA001, 0) ^ crc_error)


def test_a_frame_of_many_lines(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped: wrong checksum: expected ")
    with PtyDevice(tmp_path) as line, running(tmp_path, P1, line) as meter:
        meter.wait_availability("online")
        line.write(telegram(999)[100:])  # the end of a frame whose beginning was missed
        line.write_chunks(telegram(1193) + telegram(50, gas=False) + telegram(60, crc_error=1) + telegram(0), seed=3)
        energy = {"low": 123456.789, "high": 1.5, "tariff": "high"}
        volume = ("gas", "VOLUME", {"cubic_metres": 12785.123, "read": "2010-12-09T11:25:00"})
        assert contents(meter.wait_messages(5)) == [
            ("meter", "ENERGY", {**energy, "watts": 1193}),
            volume,
            ("meter", "ENERGY", {**energy, "watts": 50}),
            ("meter", "ENERGY", {**energy, "watts": 0}),
            volume,
        ]
        assert meter.interface.stats()["frames_bad_checksum"] == 1


# --- a carbon dioxide sensor that is polled in binary (Winsen MH-Z19B, user's manual 1.6)

MHZ19 = r"""
framing: {type: fixed, length: 9, start: "\xFF", timeout: 0.5}
checksum: {type: lrc, from: 1, strip: true}
address: {device: air}
conversation:
  timeout: 0.3
  polls:
    - name: carbon dioxide
      every: 0.1
      hex: "FF 01 86 00 00 00 00 00"
      response:
        binary:
          length: 8
          fields: [{type: u8, is: 0xFF}, {type: u8, is: 0x86}, {type: u16, name: ppm}, {type: u8, name: celsius}]
        values: {celsius: {offset: -40}}
        message: {action: CARBON_DIOXIDE, arguments: "*"}
        publish: {deadband: {ppm: 10, celsius: 1}}
encode:
  - match: {action: SELF_CALIBRATION}
    arguments: {on: {type: boolean, convert: {bool: {"true": A0, "false": "00"}}}}
    hex: "FF 01 79 {on} 00 00 00 00"
"""


class CarbonDioxideSensor(Simulator):
    """Answers 86 (read); executes 79 (self-calibration) without an answer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ppm = 0
        self.self_calibration: list[int] = []
        self._buffer = b""

    def on_data(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 9:
            request, self._buffer = self._buffer[:9], self._buffer[9:]
            if request[:2] != b"\xff\x01" or sum(request[1:]) % 256:
                self.rejected.append(request.hex(" "))
            elif request[2] == 0x86:
                content = bytes([0x86, self.ppm >> 8, self.ppm & 0xFF, 62, 0, 0, 0])
                self.answer(b"\xff" + content + bytes([-sum(content) % 256]))
            elif request[2] == 0x79:
                self.self_calibration.append(request[3])


def test_a_sensor_that_is_polled_in_binary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, expected_logs: ExpectedLogs
) -> None:
    with CarbonDioxideSensor(tmp_path) as sensor:
        sensor.ppm = 544  # FF 86 02 20 ...: all that the manual's example has, and a start byte in the next
        with running(tmp_path, MHZ19, sensor.line) as air:
            air.wait_messages(1)
            sensor.ppm = 0x01FF
            air.wait_messages(2)
            air.command_for("air", "SELF_CALIBRATION", on=False)
            air.command_for("air", "SELF_CALIBRATION", on=True)
            assert air.wait_replies(2) == ["OK", "OK"]
            wait_until(lambda: sensor.self_calibration == [0x00, 0xA0], what="both commands")
            readings = [content for content in contents(air.messages) if content[1] == "CARBON_DIOXIDE"]
            assert readings == [("air", "CARBON_DIOXIDE", {"ppm": ppm, "celsius": 22}) for ppm in (544, 511)]
            expected_logs.expect("'carbon dioxide': the device did not answer within 0.3 s")
            sensor.is_silent = True
            wait_until(lambda: "did not answer" in caplog.text, what="the warning")
            sensor.is_silent, sensor.ppm = False, 2000
            wait_until(lambda: ("air", "CARBON_DIOXIDE", {"ppm": 2000, "celsius": 22}) in contents(air.collect()))
        assert sensor.rejected == []


# --- a radio gateway that lists key=value (RFLink protocol reference, 2022)

RFLINK = r"""
baudrate: 57600
framing: {terminator: "\r\n"}
decode:
  - regex: '20;00;(?P<version>[^;]*);'
    message: {device: rflink, action: READY, arguments: {version: "{version}"}}
  - pairs: {start: "20;", separator: ";"}
    values:
      TEMP: [{int: 16}, {signed_magnitude: 16}, {scale: 0.1}]
      HUM: int
      BAT: {bool: {"true": OK, "false": LOW}}
    messages:
      - device: "radio_{ID}"
        action: READING
        arguments: {celsius: "{TEMP}", humidity: "{HUM}", battery: "{BAT}"}
      - {device: "radio_{ID}", action: SWITCHED, arguments: {switch: "{SWITCH}", command: "{CMD}"}}
encode:
  - match: {device: rflink, action: SWITCH}
    arguments:
      protocol: {pattern: "[A-Za-z0-9]+"}
      id: {pattern: "[0-9a-f]+"}
      switch: {type: integer, minimum: 0, maximum: 15, convert: {int: 16}}
      command: {choices: ["ON", "OFF"]}
    write: "10;{protocol};{id};{switch};{command};"
    response: {regex: '20;[0-9A-F]{2};OK;'}
    refusal: {regex: '20;[0-9A-F]{2};CMD UNKNOWN;'}
    timeout: 0.5
"""


class RadioGateway(LineSimulator):
    """Numbers its packets from 00 to FF; supports one kind of switch."""

    terminator = b"\r\n"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._number = 0

    def send_text(self, text: str) -> None:
        self.answer(f"20;{self._number:02X};{text}\r\n".encode())
        self._number = (self._number + 1) % 256

    def on_line(self, line: str) -> None:
        self.send_text("OK;" if line.startswith("10;NewKaku;") else "CMD UNKNOWN;")


def test_a_list_of_keys_and_values(tmp_path: Path) -> None:
    with RadioGateway(tmp_path) as radio, running(tmp_path, RFLINK, radio.line) as rflink:
        rflink.wait_availability("online")
        radio.send_text("Nodo RadioFrequencyLink - RFLink Gateway V1.1 - R46;")
        radio.send_text("Cresta;ID=3001;TEMP=00b4;HUM=50;BAT=OK;")
        radio.send_text("Oregon TempHygro;ID=2A1D;TEMP=80d2;BAT=LOW;")
        radio.send_text("NewKaku;ID=008440e6;SWITCH=a;CMD=OFF;")
        assert contents(rflink.wait_messages(4)) == [
            ("rflink", "READY", {"version": "Nodo RadioFrequencyLink - RFLink Gateway V1.1 - R46"}),
            ("radio_3001", "READING", {"celsius": 18.0, "humidity": 50, "battery": True}),
            ("radio_2A1D", "READING", {"celsius": -21.0, "battery": False}),
            ("radio_008440e6", "SWITCHED", {"switch": "a", "command": "OFF"}),
        ]
        for protocol, switch, command in (("NewKaku", 12, "ON"), ("Blyss", 1, "OFF"), ("NewKaku", 16, "ON"),
                                          ("NewKaku", 1, "ON;10;NewKaku;0cac142;1;OFF")):  # fmt: skip
            rflink.command_for("rflink", "SWITCH", protocol=protocol, id="0cac142", switch=switch, command=command)
        assert sorted(rflink.wait_replies(4)) == ["OK", "REFUSED", "REFUSED", "REFUSED"]
        reasons = {msg.arguments["reason"] for msg in rflink.replies() if msg.arguments["response"] == "REFUSED"}
        assert reasons == {
            "the device refused it",
            "argument 'switch' is 16: expected at most 15",
            "argument 'command' is 'ON;10;NewKaku;0cac142;1;OFF': expected one of ON, OFF",
        }
        assert radio.lines == ["10;NewKaku;0cac142;C;ON;", "10;Blyss;0cac142;1;OFF;"]


# --- a meter that pushes DLMS in HDLC frames of type 3 (IEC 62056-46): no stuffing, the length in 11 of 16 bits

DLMS = r"""
baudrate: 2400
framing: {type: length, start: "\x7E", offset: 1, size: 2, correction: -40958, max_length: 512, timeout: 1}
checksum: {type: x-25, from: 1, at: -3, byte_order: little}
address: {device: meter}
decode:
  - binary:
      length: 41
      fields:
        - {type: u16, at: 19, name: year}
        - {type: u8, name: month}
        - {type: u8, name: day}
        - {type: skip}
        - {type: u8, name: hour}
        - {type: u8, name: minute}
        - {type: u8, name: second}
        - {type: u32, at: -7, name: watts}
    message:
      action: POWER
      arguments:
        watts: "{watts}"
        at: "{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
"""


def pushed(watts: int, second: int, crc_error: int = 0) -> bytes:
    """Return a frame with the one reading of a list 1; the first two bytes contain type 3 (A) and its length, 27."""
    content = bytes.fromhex("A027 01 0201 10 5A87 E6E700 0F 40000000 090C 07E1 09 0C 02 17 12")
    content += bytes([second]) + bytes.fromhex("FF 8000 00 0201 06") + watts.to_bytes(4, "big")
    fcs = crc_lsb_first(content, 0x8408, 0xFFFF) ^ 0xFFFF ^ crc_error
    return b"\x7e" + content + fcs.to_bytes(2, "little") + b"\x7e"


def test_a_length_that_shares_its_bytes_with_a_type(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped: wrong checksum: expected ")
    assert pushed(1320, 42)[-3:] == bytes.fromhex("B80C7E")  # as in a real frame
    with PtyDevice(tmp_path) as line, running(tmp_path, DLMS, line) as meter:
        meter.wait_availability("online")
        line.write_chunks(
            pushed(1320, 42) + pushed(0x7E7EA027, 44) + pushed(7, 46, crc_error=1) + b"\x7e\x7e" + pushed(8, 48), seed=2
        )
        assert contents(meter.wait_messages(3)) == [
            ("meter", "POWER", {"watts": watts, "at": f"2017-09-12T23:18:{second}"})
            for watts, second in ((1320, 42), (0x7E7EA027, 44), (8, 48))
        ]
        assert meter.interface.stats()["frames_bad_checksum"] == 1


# --- a scale between STX and ETX, followed by a BCC (XOR of all bytes after STX, ETX included)

SCALE = r"""
framing: {type: markers, start: "\x02", stop: "\x03", after: 1, keep: true, max_length: 32}
checksum: {type: xor, from: 1, strip: true}
address: {device: scale}
decode:
  - regex: '\x02(?P<state>[SUO])(?P<kilograms>[-+ ][0-9. ]+)kg\x03'
    values:
      state: {enum: {S: stable, U: moving, O: overload}}
      kilograms: [{remove: " "}, float]
    message: {action: WEIGHT, arguments: {kilograms: "{kilograms}", state: "{state}"}}
encode:
  - match: {action: TARE}
    arguments: {kilograms: {type: number, minimum: 0, maximum: 30}}
    write: "\x02T{kilograms:07.3f}\x03"
    response: {regex: '\x02T(?P<code>OK)\x03'}
    refusal: {regex: '\x02T(?P<code>E[0-9])\x03'}
    timeout: 0.5
"""


class Scale(Simulator):
    """Accepts a tare only while the weight is stable."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_moving = False
        self.tare = ""

    @staticmethod
    def frame(content: bytes) -> bytes:
        bcc = 0
        for byte in content + b"\x03":
            bcc ^= byte
        return b"\x02" + content + b"\x03" + bytes([bcc])

    def on_data(self, data: bytes) -> None:
        if data != self.frame(data[1:-2]):
            self.rejected.append(data.hex(" "))
        elif self.is_moving:
            self.answer(self.frame(b"TE3"))
        else:
            self.tare = data[2:-2].decode()
            self.answer(self.frame(b"TOK"))


def test_markers_followed_by_a_check_character(tmp_path: Path) -> None:
    with Scale(tmp_path) as scale, running(tmp_path, SCALE, scale.line) as weighed:
        weighed.wait_availability("online")
        scale.send(b"\x41\x03" + scale.frame(b"S+  1.234kg") + scale.frame(b"U-  0.020kg"))  # the first BCC is 41
        assert contents(weighed.wait_messages(2)) == [
            ("scale", "WEIGHT", {"kilograms": 1.234, "state": "stable"}),
            ("scale", "WEIGHT", {"kilograms": -0.02, "state": "moving"}),
        ]
        weighed.command_for("scale", "TARE", kilograms=0.5)
        assert weighed.wait_replies(1) == ["OK"]
        assert scale.tare == "000.500"
        scale.is_moving = True
        weighed.command_for("scale", "TARE", kilograms=1)
        assert weighed.wait_replies(2) == ["OK", "REFUSED"]
        assert weighed.replies()[1].arguments["code"] == "E3"
        assert scale.rejected == []


# --- a weather station in fixed columns of hexadecimal (Peet Bros. Ultimeter, data logging mode)

ULTIMETER = r"""
baudrate: 2400
framing: {terminator: "\r\n", start: "!!"}
address: {device: weather}
decode:
  - regex: '!!(?:----|(?P<wind>[0-9A-F]{4}))(?:----|(?P<direction>[0-9A-F]{4}))(?:----|(?P<celsius>[0-9A-F]{4})).*'
    values:
      wind: [{int: 16}, {scale: 0.1}]
      direction: [{int: 16}, {scale: 1.40625}, {round: 0}]
      celsius: [{int: 16}, {twos_complement: 16}, {scale: 0.1}, {offset: -32}, {scale: 0.5555555555555556}, {round: 1}]
    message: {action: WEATHER, arguments: "*"}
"""


def test_fixed_columns_with_missing_values(tmp_path: Path) -> None:
    with PtyDevice(tmp_path) as line, running(tmp_path, ULTIMETER, line) as station:
        station.wait_availability("online")
        line.write(b"!!0064004002D0----2743\r\n!!0000----FFF60000\r\nnoise!!----00FF----\r\n")
        assert contents(station.wait_messages(3)) == [
            ("weather", "WEATHER", {"wind": 10.0, "direction": 90, "celsius": 22.2}),
            ("weather", "WEATHER", {"wind": 0.0, "celsius": -18.3}),
            ("weather", "WEATHER", {"direction": 359}),
        ]


def test_an_unknown_value_of_an_answer_is_a_problem(tmp_path: Path) -> None:
    wrong = RFLINK.replace("response: {regex: '20;", "response: {same: [id, colour], regex: '20;(?P<number>)")
    with PtyDevice(tmp_path) as line, pytest.raises(ConfigurationError) as error:
        running(tmp_path, wrong, line)
    assert sorted(finding.what.rpartition(": ")[2] for finding in error.value.findings) == [
        "'colour' is not a value of the answer",
        "'colour' is not an argument",
        "'id' is not a value of the answer",
    ]


# --- a heat meter with an escape byte of its own (Kamstrup Meter Protocol, GetRegister)

STUFFING = r'{"\x80": "\x1B\x7F", "\x40": "\x1B\xBF", "\x0D": "\x1B\xF2", "\x06": "\x1B\xF9", "\x1B": "\x1B\xE4"}'
KMP = r"""
stopbits: 2
framing: {type: markers, start: "\x40", stop: "\x0D", stuffing: STUFFING}
checksum: {type: xmodem, strip: true}
write_framing:
  {type: markers, start: "\x80", stop: "\x0D", stuffing: STUFFING, checksum: {type: xmodem}}
address: {device: meter}
conversation:
  timeout: 0.3
  polls:
    - name: energy
      every: 0.1
      hex: "3F 10 01 00 3C"
      response:
        binary:
          fields: [{type: u8, is: 0x3F}, {type: u8, is: 0x10}, {type: u16, is: 0x3C}, {type: u8, is: 3},
                   {type: u8, is: 4}, {type: u8, bits: {decimals: [0, 5]}}, {type: u32, name: energy}]
        message: {action: ENERGY, arguments: "*"}
""".replace("STUFFING", STUFFING)


def crc_xmodem(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xFFFF
    return crc


class HeatMeter(Simulator):
    """Answers requests for the register 3C with its energy; a byte with a meaning of its own is escaped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.energies = [0x0D1B, 0x40, 0x80060D1B]
        self._buffer = b""

    def on_data(self, data: bytes) -> None:
        self._buffer += data
        while b"\x0d" in self._buffer:
            request, self._buffer = self._buffer.split(b"\x0d", 1)
            if request == b"\x80\x3f\x10\x01\x00\x3c" + crc_xmodem(b"\x3f\x10\x01\x00\x3c").to_bytes(2, "big"):
                energy = self.energies.pop(0) if len(self.energies) > 1 else self.energies[0]
                content = b"\x3f\x10\x00\x3c\x03\x04\x02" + energy.to_bytes(4, "big")
                content += crc_xmodem(content).to_bytes(2, "big")
                escaped = b"".join(
                    bytes([0x1B, byte ^ 0xFF]) if byte in b"\x80\x40\x0d\x06\x1b" else bytes([byte]) for byte in content
                )
                self.answer(b"\x40" + escaped + b"\x0d")
            else:
                self.rejected.append(request.hex(" "))


def test_bytes_with_a_meaning_are_escaped_as_the_manual_lists_them(tmp_path: Path) -> None:
    with HeatMeter(tmp_path) as device, running(tmp_path, KMP, device.line) as meter:
        assert contents(meter.wait_messages(3))[:3] == [
            ("meter", "ENERGY", {"decimals": 2, "energy": energy}) for energy in (0x0D1B, 0x40, 0x80060D1B)
        ]
        assert device.rejected == []


# --- the telegrams of a French meter, with a checksum for each line (Enedis-NOI-CPT_02E, TIC, historical mode)

TIC = r"""
baudrate: 1200
framing: {start: "\n", terminator: "\r"}
checksum: {type: {sum: add, modulo: 0x40, offset: 0x20}, from: 1, to: -2}
address: {device: linky}
decode:
  - regex: '\nBASE (?P<wh>[0-9]{9}) .'
    values: {wh: int}
    message: {action: ENERGY, arguments: "*"}
  - regex: '\nPAPP (?P<va>[0-9]{5}) .'
    values: {va: int}
    message: {action: POWER, arguments: "*"}
  - {regex: '\n(ADCO|OPTARIF|ISOUSC|PTEC|IINST|IMAX|HHPHC|MOTDETAT) .*', ignore: true}
"""


def tic_group(label: str, value: str, error: int = 0) -> bytes:
    text = f"{label} {value}".encode("ascii")
    return b"\n" + text + b" " + bytes([(sum(text) & 0x3F) + 0x20 ^ error]) + b"\r"


def test_each_line_has_a_printable_checksum(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("frame dropped: wrong checksum: expected '0', found '1'")
    head = b"\x02" + tic_group("ADCO", "031234567890") + tic_group("OPTARIF", "BASE")
    with PtyDevice(tmp_path) as line, running(tmp_path, TIC, line) as meter:
        meter.wait_availability("online")
        line.write_chunks(
            head + tic_group("BASE", "005120123") + tic_group("PAPP", "00780", error=1) + b"\x03"
            + head + tic_group("BASE", "005120124") + tic_group("PAPP", "01200") + b"\x03", seed=5,
        )  # fmt: skip
        assert contents(meter.wait_messages(3)) == [
            ("linky", "ENERGY", {"wh": 5120123}),
            ("linky", "ENERGY", {"wh": 5120124}),
            ("linky", "POWER", {"va": 1200}),
        ]


# --- a camera that first confirms a command and then reports that it is done (Sony VISCA)

VISCA = r"""
encoding: latin-1
framing: {start: "\x90", terminator: "\xFF"}
write_framing: {terminator: "\xFF"}
address: {device: camera}
defaults:
  encode:
    response: {until: '\x90[\x50-\x5F]'}
    refusal:
      regex: '\x90[\x60-\x6F](?P<error>.)'
      values: {error: {enum: {"\x02": syntax error, "\x41": not executable}}}
conversation:
  timeout: 2
  polls:
    - name: zoom
      every: 60
      hex: "81 09 04 47"
      response:
        binary:
          length: 6
          fields: [{type: u16, is: 0x9050}, {type: u8, name: p}, {type: u8, name: q}, {type: u8, name: r},
                   {type: u8, name: s}]
        nested: {of: "{p:x}{q:x}{r:x}{s:x}", convert: {bytes: hex}, binary: {fields: [{type: u16, name: position}]}}
        message: {action: ZOOM, arguments: {position: "{position}"}}
encode:
  - {match: {action: TELE}, hex: "81 01 04 07 02"}
  - match: {action: PRESET}
    arguments: {number: {type: integer, minimum: 0, maximum: 5}}
    hex: "81 01 04 3F 02 {number:02x}"
"""


class Camera(Simulator):
    """Executes TELE in two steps, and no preset."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._buffer = b""

    def on_data(self, data: bytes) -> None:
        self._buffer += data
        while b"\xff" in self._buffer:
            request, self._buffer = self._buffer.split(b"\xff", 1)
            if request == b"\x81\x09\x04\x47":
                self.answer(b"\x90\x50\x02\x03\x04\x05\xff")
            elif request == b"\x81\x01\x04\x07\x02":
                self.answer(b"\x90\x41\xff")
                self.answer(b"\x90\x51\xff")
            else:
                self.answer(b"\x90\x60\x41\xff")


def test_a_command_is_done_when_the_device_says_so_and_not_when_it_confirms_it(tmp_path: Path) -> None:
    with Camera(tmp_path) as device, running(tmp_path, VISCA, device.line) as camera:
        assert contents(camera.wait_messages(1)) == [("camera", "ZOOM", {"position": 0x2345})]
        camera.command_for("camera", "TELE")
        camera.command_for("camera", "PRESET", number=3)
        assert camera.wait_replies(2) == ["OK", "REFUSED"]
        assert camera.replies()[1].arguments["error"] == "not executable"
        assert camera.interface.stats()["frames_unmatched"] == 0
