"""What `mqttgateway diag` collects: each part as text, bounded and without secrets. What cannot be had says why."""

from __future__ import annotations

import grp
import importlib.metadata
import json
import os
import platform
import pwd
import re
import stat
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gateway import __version__
from gateway.cli.running import ask_gateway, reading_reply, within
from gateway.cli.tap_lines import TapLines
from gateway.configuration.load_config import load_configuration, read_document
from gateway.configuration.page_file import page_file_of
from gateway.configuration.settings import Configuration
from gateway.configuration.yaml_reader import variables
from gateway.control.client import follow
from gateway.core.counting import counted
from gateway.core.paths import SERVICE_CONF, SERVICE_STATE, expanded, find_configuration, find_map
from gateway.errors import ConfigurationError, GatewayError
from gateway.logs.redaction import Redactor, is_secret_name
from gateway.runtime.start_report import changed_options, interface_line

_LONGEST = 512 * 1024  # bytes of one file in the archive: the last ones
_FOLDERS = ("PWD", "OLDPWD")  # variables of a shell: its current folder, and the one before
_LONGEST_SECRET_FILE = 64 * 1024
_COMMAND_SECONDS = 15.0
_JOURNAL_LINES = "3000"
_TAP_SECONDS = 5.0  # for which the messages are followed
_TAP_LOOK = 0.2  # s between two looks whether that is over
_MOST_TAPS = 2000  # messages
_MOST_MAPS = 20
_MAP_IN_TEXT = re.compile(r"(?m)^\s*[\"']?map[\"']?\s*[:=]\s*[\"']?([^\s\"'#,}]+)")
_FILE_IN_TEXT = re.compile(r"(?m)[\"']?([A-Za-z_][\w.-]*_file)[\"']?\s*[:=]\s*[\"']?([^\s\"'#,}]+)")
_CREDENTIAL = re.compile(r"(?m)^\s*LoadCredential(?:Encrypted)?=[^:\n]+:(\S+)")
_ENVIRONMENT_FILE = re.compile(r"(?m)^\s*EnvironmentFiles?=-?(\S+)")
_ASSIGNMENT = re.compile(r"(?m)^\s*(?:export\s+)?([A-Za-z_]\w*)=(.*)$")
_IN_UNIT = re.compile(r"([A-Za-z_]\w*)=(\"[^\"]*\"|'[^']*'|[^\s\"']*)")


class Part(NamedTuple):
    """One file of the archive: its name there, what it is, and its text."""

    file: str
    what: str
    text: str


def collect(name: str, conf: str | None, environment: Mapping[str, str]) -> list[Part]:
    """Return all parts about the gateway called `name`, with the configuration `conf` if that is known."""
    collector = _Collector(name, conf, environment)
    parts = [part for part in collector.parts() if part.text.strip()]
    return [part._replace(text=collector.redactor.text(part.text)) for part in parts]


class _Collector:
    """Collects the parts of one gateway. Everything is read before the first text is returned: for its secrets."""

    def __init__(self, name: str, conf: str | None, environment: Mapping[str, str]) -> None:
        self.redactor = Redactor()
        self._environment = environment
        self._name = name
        self._status = _answered(lambda: ask_gateway(name, "status"))
        self._pid = self._status.get("pid") if isinstance(self._status, dict) else None
        self._path = self._find(conf)
        self._text = _read(self._path) if self._path is not None else ""
        self._page_text = _read(page_file_of(self._path)) if self._path is not None else ""
        self._unit = self._find_unit()
        self._unit_text = _run("systemctl", "cat", self._unit)
        self._unit_state = _run("systemctl", "show", "--no-pager", self._unit)
        self._configuration, self._problem = self._load()
        self._maps = {path: _read(path) for path in self._find_maps()}
        self._learn()

    def _find(self, conf: str | None) -> Path | None:
        candidates = [conf] if conf is not None else []
        if isinstance(self._status, dict) and conf is None:
            candidates.append(str(self._status.get("configuration_file", "")))
        for candidate in (*candidates, f"{self._name}.conf"):
            try:
                return find_configuration(candidate, self._environment)
            except ConfigurationError:
                continue
        return None

    def _load(self) -> tuple[Configuration | None, str]:
        if self._path is None:
            return None, f"there is no configuration {self._name}.conf: give it with --conf FILE"
        try:
            return load_configuration(self._path, self._all_variables(), is_run=False), ""
        except GatewayError as err:
            return None, str(err)
        except Exception:  # noqa: BLE001  (this command is for what should not happen)
            return None, traceback.format_exc()

    def _find_unit(self) -> str:
        """Return the unit of the running gateway, or else that which would run this configuration."""
        if isinstance(self._pid, int):
            units = re.findall(r"[^/\n]+\.service", _read(Path(f"/proc/{self._pid}/cgroup")))
            if units:
                return str(units[-1])
        return f"mqttgateway@{self._path.stem if self._path is not None else self._name}.service"

    def _find_maps(self) -> Iterator[Path]:
        """Yield the maps of the configuration, also of one that is not valid."""
        if self._path is None:
            return
        names = dict.fromkeys(_MAP_IN_TEXT.findall(self._text))
        if self._configuration is not None:
            names |= dict.fromkeys(str(path) for path in self._configuration.files if path.suffix == ".json")
        found: dict[Path, None] = {}
        for name in names:
            try:
                found[find_map(name, self._path.parent, self._environment)] = None
            except (ConfigurationError, OSError, ValueError):
                continue
        yield from list(found)[:_MOST_MAPS]

    # --- secrets

    def _all_variables(self) -> dict[str, str]:
        """Return the environment of this command, of the running gateway, and of the unit."""
        return {**self._variables_of_unit(), **self._variables_of_process(), **self._environment}

    def _variables_of_process(self) -> dict[str, str]:
        if not isinstance(self._pid, int):
            return {}
        pairs = (entry.partition("=") for entry in _read(Path(f"/proc/{self._pid}/environ")).split("\0"))
        return {name: value for name, _, value in pairs if name}

    def _environment_files(self) -> list[Path]:
        stem = self._path.stem if self._path is not None else self._name
        named = [Path(file.replace("%i", stem)) for file in _ENVIRONMENT_FILE.findall(self._unit_text)]
        beside = [] if self._path is None else [self._path.with_suffix(".env")]
        return list(dict.fromkeys([*named, *beside, SERVICE_CONF / f"{stem}.env"]))

    def _variables_of_unit(self) -> dict[str, str]:
        assignments = (pair for file in self._environment_files() for pair in _ASSIGNMENT.findall(_read(file)))
        return {name: _unquoted(value.strip()) for name, value in assignments}

    def _learn(self) -> None:
        """Let the redactor learn every secret that can be found."""
        learn = self.redactor.learn
        texts = [self._text, self._page_text, *self._maps.values()]
        used = {variable for text in texts for variable in variables(text)}
        for name, value in self._all_variables().items():
            if name in used or (is_secret_name(name) and name not in _FOLDERS):
                learn(value)
        for value in self._variables_of_unit().values():
            learn(value)
        for name, value in _IN_UNIT.findall("\n".join((self._unit_text, self._unit_state))):
            if name in used or is_secret_name(name):
                learn(_unquoted(value))
        for text in (*texts, self._unit_text, self._unit_state, *map(_read, self._environment_files())):
            self.redactor.learn_text(text)
        self._learn_data()
        for path in self._secret_files():
            content = _read(path, _LONGEST_SECRET_FILE).strip()
            for secret in (content, *content.splitlines()):
                learn(secret)
        for secret in self._configuration.secrets if self._configuration is not None else ():
            learn(secret)

    def _learn_data(self) -> None:
        """Learn from the data, in which texts stand without quotes and escapes, as far as they can be read."""
        for text in self._maps.values():
            try:
                self.redactor.learn_data(json.loads(text))
            except (ValueError, RecursionError):
                continue  # what a person can see in it has been learnt from its text
        if self._path is not None:
            try:
                self.redactor.learn_data(read_document(self._path, self._all_variables()).data)
            except (ConfigurationError, OSError):
                return

    def _secret_files(self) -> Iterator[Path]:
        folder = self._path.parent if self._path is not None else Path()
        credentials = [*_CREDENTIAL.findall(self._unit_text)]
        for name, file in _FILE_IN_TEXT.findall(self._text):
            if is_secret_name(name.removesuffix("_file")):
                yield folder / expanded(file)
                yield Path(self._environment.get("CREDENTIALS_DIRECTORY", "/nowhere")) / file
        yield from map(Path, credentials)
        yield from _files_in(Path("/run/credentials") / self._unit)

    # --- parts

    def parts(self) -> Iterator[Part]:
        """Yield all parts; one without a text was not there."""
        if self._path is not None:
            yield Part(f"configuration/{self._path.name}", f"the configuration {self._path}", self._text)
            page = page_file_of(self._path)
            yield Part(f"configuration/{page.name}", f"what the page has changed of it, {page}", self._page_text)
        for path, text in self._maps.items():
            yield Part(f"configuration/{path.name}", f"the map {path}", text)
        for path in self._environment_files():
            names = _ASSIGNMENT.sub(r"\1=***", _read(path))
            yield Part(f"configuration/{path.name}", f"the names of the variables in {path}", names)
        yield Part("check.txt", "what check says, and the options", self._check())
        if isinstance(self._status, str):
            yield Part("status.txt", "why the gateway does not tell its state", self._status)
        else:
            yield Part(
                "status.json",
                "how the gateway is, with all counters",
                json.dumps(self._status, indent=2),
            )
            yield Part("tap.txt", f"the messages of {_TAP_SECONDS:g} s, stage by stage", self._taps())
        yield Part("outbox.txt", "the files of the outbox, and their sizes", self._outbox())
        journal = _run("journalctl", "--no-pager", "-o", "short-iso-precise", "-n", _JOURNAL_LINES, "-u", self._unit)
        yield Part("journal.txt", f"the journal of {self._unit}", journal)
        for path in self._log_files():
            yield Part(f"log/{path.name}", f"the end of the log file {path}", _read(path))
        yield Part("versions.txt", "Python, packages, system", "\n".join(_versions()))
        yield Part("ports.txt", "serial ports, and who may open them", "\n".join(_ports()))
        yield Part("unit.txt", f"{self._unit} as systemd knows it", f"{self._unit_text}\n\n{self._unit_state}")
        security = _run("systemd-analyze", "security", "--no-pager", self._unit)
        yield Part("security.txt", "what the unit may do: systemd-analyze security", security)

    def _taps(self) -> str:
        """Follow the messages through the running gateway for some seconds; return their lines."""
        tap_lines = TapLines(None, colours=False)
        lines: list[str] = []
        shown = lost = 0
        try:
            for event in within(_TAP_SECONDS, follow(self._name, "tap", self._environment, _TAP_LOOK)):
                with reading_reply():
                    lost += event.get("lost", 0)
                    if "note" in event:
                        lines += tap_lines.lines(event["note"])
                        shown += 1
                if shown == _MOST_TAPS:
                    break
        except GatewayError as err:
            lines.append(str(err))
        lines.append(f"{counted(shown, 'message')} shown, {lost} missing that came too fast")
        return "\n".join(lines)

    def _check(self) -> str:
        configuration = self._configuration
        if configuration is None:
            return f"The configuration cannot be used:\n{self._problem}"
        lines = [f"{configuration.name} {__version__}: {configuration.file}"]
        lines += [*map(str, configuration.no_folders), *configuration.warnings, *configuration.notes]
        lines += [f"file: {file}" for file in configuration.files]
        lines += changed_options(configuration)
        lines += map(interface_line, configuration.interfaces)
        return "\n".join(lines)

    def _outbox(self) -> str:
        configuration = self._configuration
        file = configuration.outbox.file if configuration is not None else SERVICE_STATE / f"{self._name}.outbox"
        if file is None:
            return "in memory"
        files = dict.fromkeys((file, *(path for path in _files_in(file.parent) if path.name.startswith(file.name))))
        return "\n".join(f"{path}: {_size(path)}" for path in files)

    def _log_files(self) -> Iterator[Path]:
        file = self._configuration.log.file if self._configuration is not None else None
        if file is None:
            named = re.search(r"(?m)^\s*file:\s*[\"']?(\S+\.log)", self._text)
            file = named[1] if named else None
        if file:
            yield expanded(file)
            yield expanded(f"{file}.1")


def _answered(ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | str:
    """Return the reply of the gateway, or why there is none."""
    try:
        return ask()
    except GatewayError as err:
        return str(err)


def _read(path: Path, limit: int = _LONGEST) -> str:
    """Return the end of a file as text; "" if there is none, and the reason if it cannot be read."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # waits for no pipe
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return f"{path} is no regular file\n"
            if not str(path).startswith("/proc"):
                file.seek(max(0, os.fstat(file.fileno()).st_size - limit))
            return file.read(limit).decode("utf-8", "backslashreplace")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return ""
    except OSError as err:
        return f"{path} cannot be read: {err.strerror}\n"


def _run(*command: str) -> str:
    """Return the end of what a command prints, or why it could not run."""
    try:
        ran = subprocess.run(  # noqa: S603  (the commands are those above)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
        )
    except FileNotFoundError:
        return f"there is no {command[0]} on this machine"
    except (OSError, subprocess.TimeoutExpired) as err:
        return f"{' '.join(command)}: {err}"
    return ran.stdout[-_LONGEST:].decode("utf-8", "backslashreplace")


def _versions() -> Iterator[str]:
    yield f"mqttgateway {__version__}, installed in {sys.prefix}"
    yield f"Python {sys.version}"
    yield f"{platform.platform()}, {os.cpu_count()} processors, C library {' '.join(platform.libc_ver())}"
    yield from (line for line in _read(Path("/etc/os-release")).splitlines() if line.startswith("PRETTY_NAME"))
    yield from _read(Path("/proc/meminfo")).splitlines()[:3]
    yield f"up for {_read(Path('/proc/uptime')).partition(' ')[0]} s; {' '.join(map(str, os.getloadavg()))} load"
    packages = {(found.metadata["Name"] or "?", found.version) for found in importlib.metadata.distributions()}
    yield from (f"{name} {version}" for name, version in sorted(packages))


def _ports() -> Iterator[str]:
    groups = ", ".join(sorted({_group(number) for number in (*os.getgroups(), os.getegid())}))
    yield f"this command runs as {_user(os.geteuid())}, in the groups {groups}"
    for name in ("mqttgateway", "dialout", "uucp", "tty"):
        try:
            yield f"the group {name} has the members {', '.join(grp.getgrnam(name).gr_mem) or '(none by name)'}"
        except KeyError:
            continue
    for folder in ("by-id", "by-path"):
        yield from (f"{path} -> {os.path.realpath(path)}" for path in _files_in(Path("/dev/serial") / folder))
    try:
        from serial.tools import list_ports

        ports = sorted(list_ports.comports())
    except Exception as err:  # noqa: BLE001  (it reads files of the kernel, which differ)
        yield f"the serial ports cannot be listed: {err!r}"
        return
    yield f"{len(ports)} serial ports"
    for port in ports:
        yield f"{port.device}: {_owner(Path(port.device))}: {port.description}; {port.hwid}"


def _owner(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as err:
        return str(err.strerror)
    return f"{status.st_mode & 0o7777:04o} {_user(status.st_uid)}:{_group(status.st_gid)}"


def _size(path: Path) -> str:
    try:
        return f"{path.stat().st_size} bytes, {_owner(path)}"
    except OSError as err:
        return str(err.strerror)


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'" else text
