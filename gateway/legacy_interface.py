"""Runs interfaces written for the original (mqttgateway before 3.0): serves its modules, its messages and its lists.

Only `interface_loader` imports this. An interface is of the original if the import of its file, or module, asks
for `mqttgateway` or anything in it. Its messages can be changed and its lists are queues; both end here: what it
pushes becomes an `InternalMsg` at once, and what it pulls was one until then.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import json
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from gateway import __version__
from gateway.core.inbox import MsgList as Inbox
from gateway.core.paths import NAME
from gateway.core.throttled_exception import ThrottledException
from gateway.message import ADDRESS_FIELDS, InternalMsg, ReplyTo

_TURN = 1.0  # s; a thread that waits for a message looks this often whether its interface has been stopped

# --- messages and lists


class internalMsg:  # noqa: N801  (the original's name)
    """A message whose parts are assigned to. A missing word is `""`."""

    _reply_to: ReplyTo | None = None  # no part of what is said: where the outcome of a command is to go as well

    def __init__(  # in the original's order: some interfaces count on it
        self,
        iscmd: bool = False,
        function: str | None = None,
        gateway: str | None = None,
        location: str | None = None,
        device: str | None = None,
        sender: str | None = None,
        action: str | None = None,
        arguments: dict[str, Any] | None = None,
    ) -> None:
        self.iscmd = iscmd
        self.function = function or ""
        self.gateway = gateway or ""
        self.location = location or ""
        self.device = device or ""
        self.sender = sender or ""
        self.action = action or ""
        self.arguments = {} if arguments is None else arguments

    def clear(self) -> None:
        """Empty the message."""
        self.__init__()  # type: ignore[misc]

    def copy(self) -> internalMsg:
        """Return another message of the same content."""
        other = internalMsg(self.iscmd, **_words(self), arguments=dict(self.arguments))
        if self._reply_to is not None:
            other._reply_to = self._reply_to
        return other

    def argument(self, name: str, default: Any = None) -> Any:
        """Return the argument called `name`, or `default`."""
        return self.arguments.get(name, default)

    def reply(self, response: str, reason: str = "") -> internalMsg:
        """Make this command the status that answers it, and return it.

        In the original it kept the asker's sender, and the asker dropped it as its own echo. Here it is emptied, so
        that the gateway fills in its own. What a failed command wanted stands apart, as in every outcome.
        """
        outcome = InternalMsg(True, arguments=self.arguments).reply(response, reason)
        self.iscmd = False
        self.sender = ""
        self.arguments = dict(outcome.arguments)
        return self

    def __str__(self) -> str:
        parts = {"type": "C" if self.iscmd else "S", **_words(self), "arguments": self.arguments}
        return " - ".join(f"{name}={value}" for name, value in parts.items())

    str = __str__  # before November 2018


def _words(msg: Any) -> dict[str, Any]:
    return {name: getattr(msg, name) for name in (*ADDRESS_FIELDS, "action")}


class MsgList(queue.Queue[Any]):
    """A queue without a limit, with `push` and `pull` for `put` and `get`."""

    def __init__(self) -> None:
        super().__init__(0)

    def push(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put `item` at the end."""
        self.put(item, block, timeout)

    def pull(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take the first item and count it as done, or return None if there is none."""
        try:
            item = self.get(block, timeout)
        except queue.Empty:
            return None
        self.task_done()
        return item


class _Incoming(MsgList):
    """The `msglist_in` of an interface of the original; any of its threads may take messages.

    What the interface itself puts in, to end a thread of its own for example, comes before the messages.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._turn = threading.Lock()  # a `mailbox.MsgList` is for one thread at a time
        self._owner = threading.get_ident()
        self._is_closed = False

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._inbox.wake()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        if block and timeout is not None and timeout < 0:
            raise ValueError("'timeout' must be a non-negative number")
        deadline = None if timeout is None else time.monotonic() + timeout
        is_owner, is_woken = threading.get_ident() == self._owner, False
        while True:
            if self._is_closed and not is_owner:
                raise SystemExit  # ends the thread quietly: its interface is gone
            with self._turn:
                if super().empty():
                    msg = self._inbox.pull()
                    if msg is not None:
                        super().put(_changeable(msg))
                with contextlib.suppress(queue.Empty):
                    return super().get(block=False)
            left = _TURN if deadline is None else min(_TURN, deadline - time.monotonic())
            if not block or left <= 0 or (is_owner and is_woken):  # woken for nothing: the gateway is about to stop
                raise queue.Empty
            is_woken = self._wait(left)

    def _wait(self, timeout: float) -> bool:
        """Wait for a message, up to `timeout` seconds; return whether something came before."""
        until = time.monotonic() + timeout
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile
            self._inbox.wait(timeout)
        return time.monotonic() < until

    def qsize(self) -> int:
        return super().qsize() + len(self._inbox)

    def empty(self) -> bool:
        return self.qsize() == 0

    def close(self) -> None:
        """Let the threads that wait for a message end."""
        self._is_closed = True
        self._inbox.wake()


class _Outgoing(MsgList):
    """The `msglist_out` of an interface of the original: what is put in goes out at once, and nothing stays."""

    def __init__(self, push: Callable[[InternalMsg], bool]) -> None:
        super().__init__()
        self._push = push

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        try:
            msg = InternalMsg(bool(item.iscmd), **_words(item), arguments=item.arguments or {})
            if msg.is_outcome:
                msg = msg.answered_at(getattr(item, "_reply_to", None))
        except AttributeError as err:
            raise TypeError(f"{item!r} was pushed, which is no internalMsg: {err}") from err
        self._push(msg)


def _changeable(msg: InternalMsg) -> internalMsg:
    arguments = copy.deepcopy(dict(msg.arguments))  # another interface may have been given the same message
    made = internalMsg(msg.iscmd, **_words(msg), arguments=arguments)
    if msg.reply_to is not None:
        made._reply_to = msg.reply_to
    return made


# --- an interface


class _Adapter:
    """An interface of today around one of the original."""

    original: ClassVar[type[Any]]

    def __init__(self, params: Mapping[str, Any], msglist_in: Inbox, msglist_out: Any) -> None:
        self._incoming = _Incoming(msglist_in)
        try:
            self.interface = self.original(_texts(params), self._incoming, _Outgoing(msglist_out.push))
        except BaseException:
            self._incoming.close()  # it may have started threads before it failed
            raise

    def loop_stop(self) -> None:
        try:
            stop = getattr(self.interface, "loop_stop", None)
            if callable(stop):
                stop()
        finally:
            self._incoming.close()


class _LoopAdapter(_Adapter):
    def loop(self) -> Any:
        return self.interface.loop()  # what it returns may show that it has done nothing


class _StartAdapter(_Adapter):
    def loop_start(self) -> Any:
        return self.interface.loop_start()


def adapted(cls: type[Any]) -> type[Any]:
    """Return `cls`, written for the original, as an interface class of today."""
    base = _LoopAdapter if callable(getattr(cls, "loop", None)) else _StartAdapter
    return type(cls.__name__, (base,), {"original": cls, "__module__": cls.__module__, "__doc__": cls.__doc__})


def _texts(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as the original gave them: numbers, true, false and nothing as text."""
    return {name: value if isinstance(value, str | list | dict) else _text(value) for name, value in params.items()}


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# --- the program


class AppProperties:
    """The program as an interface of the original sees it: its name, where its files are, its loggers."""

    name: ClassVar[str] = NAME
    directories: ClassVar[Sequence[str]] = ()

    def __init__(self, *_: object, **__: object) -> None:
        """Take what a launching script gives, and need none of it."""

    def get_name(self) -> str:
        """Return the name of the gateway."""
        return self.name

    def get_directories(self) -> Sequence[str]:
        """Return the folders where files are looked for: of the configuration, the current one, of the interface."""
        return self.directories

    def get_path(
        self,
        path_given: str,
        extension: str | None = None,
        dft_name: str | None = None,
        dft_dirs: Sequence[str] | None = None,
    ) -> str:
        """Return the path of a file: a relative one in the first of the folders that has it, or else in the first.

        Nothing, `.`, `..` and what ends with `/` are folders; the file there is called as the program.
        """
        given = path_given.strip() or "."
        if given in (".", "..") or given.endswith("/"):
            ending = f".{extension.removeprefix('.')}" if extension else ""
            given = f"{given}/{self.name if dft_name is None else dft_name}{ending}"
        paths = [Path(folder, given).resolve() for folder in (self.directories if dft_dirs is None else dft_dirs)]
        return str(next((path for path in paths if path.exists()), paths[0] if paths else Path(given)))

    def get_file(self, *args: Any, **kwargs: Any) -> str:
        """Return the text of the file that `get_path` finds."""
        return Path(self.get_path(*args, **kwargs)).read_text(encoding="utf-8")

    def get_jsonfile(self, *args: Any, **kwargs: Any) -> Any:
        """Return the data of the JSON file that `get_path` finds."""
        return json.loads(self.get_file(*args, **kwargs))

    def get_logger(self, name: str) -> logging.Logger:
        """Return the logger of a module."""
        return logging.getLogger(name)

    getLogger = get_logger  # noqa: N815  (the original's name)

    def register_logger(self, logger: logging.Logger) -> None:
        """Do nothing: every logger reaches the handlers of the gateway."""

    add_handlers = register_logger


class _Throttled(ThrottledException):
    """The original's ThrottledException: `throttlelag` in s."""

    counts_are_logged = False

    def __init__(self, msg: str = "", throttlelag: float = 10, module_name: str | None = None) -> None:
        super().__init__(f"{module_name}: {msg}" if module_name else msg, period=throttlelag)
        self.msg = msg


_MAP = {"internalMsg": internalMsg, "MsgList": MsgList}
_PROPERTIES = {"AppProperties": AppProperties, "Properties": AppProperties()}
_MODULES: Mapping[str, Mapping[str, Any]] = {
    "mqttgateway": {
        "ENCODING": "utf-8",
        "END_THREAD": object(),
        "LIBRARY_NAME": NAME,
        "PY2": False,
        "VERSION": __version__,
        "__version__": __version__,
    },
    "mqttgateway.mqtt_map": _MAP,
    "mqttgateway.app_properties": _PROPERTIES,
    "mqttgateway.app_config": {"AppConfig": AppProperties},
    "mqttgateway.throttled_exception": {"ThrottledException": _Throttled},
    # as they lay before November 2018
    "mqttgateway.gateway": {},
    "mqttgateway.gateway.mqtt_map": _MAP,
    "mqttgateway.utils": {},
    "mqttgateway.utils.app_properties": _PROPERTIES,
    "mqttgateway.utils.throttled_exception": {"ThrottledException": _Throttled},
}
_PACKAGES = ("mqttgateway", "mqttgateway.gateway", "mqttgateway.utils")


class _Server(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the original here, wherever else they may be; `is_asked` tells whether any was wanted."""

    is_asked = False

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MODULES:
            return None
        self.is_asked = True
        return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname in _PACKAGES)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_MODULES[module.__name__])


_askers: set[str] = set()


@contextlib.contextmanager
def legacy_modules(asker: str, name: str, directories: Sequence[str]) -> Iterator[Callable[[], bool]]:
    """Serve the modules of the original to what is imported meanwhile.

    Yields what tells whether `asker`, a file or module, is of the original: now, or when it was imported before.
    `name` and `directories` are what `AppProperties` knows.
    """
    others = {module: sys.modules.pop(module) for module in list(sys.modules) if module.split(".")[0] == NAME}
    AppProperties.name, AppProperties.directories = name, directories
    server = _Server()
    sys.meta_path.insert(0, server)
    try:
        yield lambda: server.is_asked or asker in _askers
        if server.is_asked:
            _askers.add(asker)
            for module in _MODULES:  # a method may import one later
                importlib.import_module(module)
    finally:
        sys.meta_path.remove(server)
        if not server.is_asked:
            sys.modules.update(others)
