"""Runs legacy interfaces, written for versions before 3.0: provides the old modules, messages and lists.

Only `interface_loader` imports this module. An interface is a legacy one if its file or module imports `mqttgateway`
or anything in it. Its messages are mutable, and its lists are queues. No other module deals with that: what a legacy
interface pushes is converted to an `InternalMsg` immediately, and what it pulls was one until then.
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

_POLL_INTERVAL = 1.0  # s between two checks by a waiting thread whether its interface has been stopped

# --- messages and lists


class internalMsg:  # noqa: N801  (the legacy name)
    """A mutable message. A missing word is `""`."""

    _reply_to: ReplyTo | None = None  # not part of the content: what the outcome of a command takes along

    def __init__(  # in the legacy order: some interfaces depend on it
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
        """Clear all parts of the message."""
        self.__init__()  # type: ignore[misc]

    def copy(self) -> internalMsg:
        """Return another message with the same content."""
        other = internalMsg(self.iscmd, **_words(self), arguments=dict(self.arguments))
        if self._reply_to is not None:
            other._reply_to = self._reply_to
        return other

    def argument(self, name: str, default: Any = None) -> Any:
        """Return the argument called `name`, or `default`."""
        return self.arguments.get(name, default)

    def reply(self, response: str, reason: str = "") -> internalMsg:
        """Turn this command into the status that answers it, and return it.

        Versions before 3.0 kept the sender, so that the client dropped the answer as its own echo. Here the sender is
        cleared, and the gateway fills in its own name. The arguments of a failed command are put under `requested`,
        as in every outcome.
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
    """An unbounded queue, with `push` and `pull` for `put` and `get`."""

    def __init__(self) -> None:
        super().__init__(0)

    def push(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Append `item`."""
        self.put(item, block, timeout)

    def pull(self, block: bool = False, timeout: float | None = None) -> Any:
        """Remove and return the first item, and count it as done; return None if there is none."""
        try:
            item = self.get(block, timeout)
        except queue.Empty:
            return None
        self.task_done()
        return item


class _Incoming(MsgList):
    """The `msglist_in` of a legacy interface; any of its threads may get messages.

    Items that the interface itself puts in, for example to end a thread of its own, are returned before the messages.
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._lock = threading.Lock()  # an inbox may be used by only one thread at a time
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
                raise SystemExit  # ends the thread without a traceback: its interface has been stopped
            with self._lock:
                if super().empty():
                    msg = self._inbox.pull()
                    if msg is not None:
                        super().put(_mutable(msg))
                with contextlib.suppress(queue.Empty):
                    return super().get(block=False)
            seconds = _POLL_INTERVAL if deadline is None else min(_POLL_INTERVAL, deadline - time.monotonic())
            # The owner is woken without a message when the gateway is about to stop.
            if not block or seconds <= 0 or (is_owner and is_woken):
                raise queue.Empty
            is_woken = self._wait(seconds)

    def _wait(self, timeout: float) -> bool:
        """Wait for a message up to `timeout` seconds; return whether the wait ended earlier."""
        until = time.monotonic() + timeout
        with contextlib.suppress(OSError, ValueError):  # closed in the meantime
            self._inbox.wait(timeout)
        return time.monotonic() < until

    def qsize(self) -> int:
        return super().qsize() + len(self._inbox)

    def empty(self) -> bool:
        return self.qsize() == 0

    def close(self) -> None:
        """End the threads that wait for a message."""
        self._is_closed = True
        self._inbox.wake()


class _Outgoing(MsgList):
    """The `msglist_out` of a legacy interface: every item is sent immediately, and the queue stays empty."""

    def __init__(self, push: Callable[[InternalMsg], bool]) -> None:
        super().__init__()
        self._push = push

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        try:
            msg = InternalMsg(bool(item.iscmd), **_words(item), arguments=item.arguments or {})
            if msg.is_outcome:
                msg = msg.answered_at(getattr(item, "_reply_to", None))
        except AttributeError as err:
            raise TypeError(f"the interface pushed {item!r}, which is not an internalMsg: {err}") from err
        self._push(msg)


def _mutable(msg: InternalMsg) -> internalMsg:
    arguments = copy.deepcopy(dict(msg.arguments))  # another interface may have received the same message
    mutable = internalMsg(msg.iscmd, **_words(msg), arguments=arguments)
    if msg.iscmd:
        mutable._reply_to = msg.request  # now: the interface may turn the message itself into the outcome
    return mutable


# --- the interface


class _Adapter:
    """An interface of the current kind that wraps a legacy one."""

    legacy_class: ClassVar[type[Any]]

    def __init__(self, params: Mapping[str, Any], msglist_in: Inbox, msglist_out: Any) -> None:
        self._incoming = _Incoming(msglist_in)
        try:
            self.interface = self.legacy_class(_texts(params), self._incoming, _Outgoing(msglist_out.push))
        except BaseException:
            self._incoming.close()  # it may have started threads before the exception
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
        return self.interface.loop()  # the supervisor checks the returned value


class _StartAdapter(_Adapter):
    def loop_start(self) -> Any:
        return self.interface.loop_start()


def adapt(cls: type[Any]) -> type[Any]:
    """Return an interface class of the current kind that wraps the legacy class `cls`."""
    base = _LoopAdapter if callable(getattr(cls, "loop", None)) else _StartAdapter
    return type(cls.__name__, (base,), {"legacy_class": cls, "__module__": cls.__module__, "__doc__": cls.__doc__})


def _texts(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as versions before 3.0 passed them: numbers, true, false and null as text."""
    return {name: value if isinstance(value, str | list | dict) else _text(value) for name, value in params.items()}


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


# --- the program


class AppProperties:
    """The program as a legacy interface sees it: its name, the folders of its files, its loggers."""

    name: ClassVar[str] = NAME
    directories: ClassVar[Sequence[str]] = ()

    def __init__(self, *_: object, **__: object) -> None:
        """Accept the arguments of a launching script, and ignore them."""

    def get_name(self) -> str:
        """Return the name of the gateway."""
        return self.name

    def get_directories(self) -> Sequence[str]:
        """Return the folders that are searched: that of the configuration, the current one, the interface's."""
        return self.directories

    def get_path(
        self,
        path_given: str,
        extension: str | None = None,
        dft_name: str | None = None,
        dft_dirs: Sequence[str] | None = None,
    ) -> str:
        """Return the path of a file; a relative one is in the first of the folders that has it, or else in the first.

        An empty path, `.`, `..` and a path that ends with `/` are folders; the file in it has the name of the program.
        """
        path_text = path_given.strip() or "."
        if path_text in (".", "..") or path_text.endswith("/"):
            ending = f".{extension.removeprefix('.')}" if extension else ""
            path_text = f"{path_text}/{self.name if dft_name is None else dft_name}{ending}"
        paths = [Path(folder, path_text).resolve() for folder in (self.directories if dft_dirs is None else dft_dirs)]
        return str(next((path for path in paths if path.exists()), paths[0] if paths else Path(path_text)))

    def get_file(self, *args: Any, **kwargs: Any) -> str:
        """Return the text of the file at `get_path`."""
        return Path(self.get_path(*args, **kwargs)).read_text(encoding="utf-8")

    def get_jsonfile(self, *args: Any, **kwargs: Any) -> Any:
        """Return the data of the JSON file at `get_path`."""
        return json.loads(self.get_file(*args, **kwargs))

    def get_logger(self, name: str) -> logging.Logger:
        """Return the logger of a module."""
        return logging.getLogger(name)

    getLogger = get_logger  # noqa: N815  (the legacy name)

    def register_logger(self, logger: logging.Logger) -> None:
        """Do nothing: all loggers use the handlers of the gateway already."""

    add_handlers = register_logger


class _Throttled(ThrottledException):
    """The legacy ThrottledException; `throttlelag` in s."""

    counts_are_logged = False
    longest_period = 0.0  # the code of the interface relies on it

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
    # their names before November 2018
    "mqttgateway.gateway": {},
    "mqttgateway.gateway.mqtt_map": _MAP,
    "mqttgateway.utils": {},
    "mqttgateway.utils.app_properties": _PROPERTIES,
    "mqttgateway.utils.throttled_exception": {"ThrottledException": _Throttled},
}
_PACKAGES = ("mqttgateway", "mqttgateway.gateway", "mqttgateway.utils")


class _Server(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the legacy modules from here, even if they are installed; `is_used` says whether any was imported."""

    is_used = False

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MODULES:
            return None
        self.is_used = True
        return importlib.machinery.ModuleSpec(fullname, self, is_package=fullname in _PACKAGES)

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(_MODULES[module.__name__])


_legacy_importers: set[str] = set()


@contextlib.contextmanager
def legacy_modules(importer: str, name: str, directories: Sequence[str]) -> Iterator[Callable[[], bool]]:
    """Provide the legacy modules to imports within the context.

    Yields a function that returns whether `importer`, a file or module, is a legacy one: whether it has imported a
    legacy module now, or did so earlier. `name` and `directories` are the values for `AppProperties`.
    """
    other_modules = {module: sys.modules.pop(module) for module in list(sys.modules) if module.split(".")[0] == NAME}
    AppProperties.name, AppProperties.directories = name, directories
    server = _Server()
    sys.meta_path.insert(0, server)
    try:
        yield lambda: server.is_used or importer in _legacy_importers
        if server.is_used:
            _legacy_importers.add(importer)
            for module in _MODULES:  # since a method may import one later
                importlib.import_module(module)
    finally:
        sys.meta_path.remove(server)
        if not server.is_used:
            sys.modules.update(other_modules)
