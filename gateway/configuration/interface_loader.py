"""Loads code from outside the gateway: the class of an interface by its `type`, and the function of a hook."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from gateway.configuration.file_access import runs_for_all, who_may_change_code
from gateway.core.paths import NAME, expanded, is_file
from gateway.core.quoting import did_you_mean
from gateway.errors import GatewayError

BUILT_IN = {
    "dummy": "interfaces.dummy_interface:DummyInterface",
    "serial": "interfaces.serial_interface:SerialInterface",
}

ENTRY_POINTS = "mqttgateway.interfaces"
"""The entry point group in which packages register interfaces of their own."""

_MODULES_OF_PYTHON_2 = ("ConfigParser", "Queue", "StringIO", "cPickle", "httplib", "thread", "urllib2", "urlparse")
_MOVED_TO_THE_API = {
    "gateway.listeners": ("Addresses",),
    "gateway.mailbox": ("MsgList", "Wakeup"),
    "gateway.outlet": ("Outlet",),
    "gateway.receipt": ("DeliveryError", "Receipt"),
}
"""Modules that earlier documentation named, with what an interface imported from them."""

_OWN_FOLDER = str(Path(__file__).parents[1]) + os.sep

_CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from 'gateway[.\w]*'")
_SIGNS_OF_PYTHON_2 = (  # in the error texts of Python 3
    "call to 'print'",
    "call to 'exec'",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer",
    "inconsistent use of tabs",
)


class CodeNotFoundError(GatewayError):
    """There is no usable class for a type, or no function for a hook; with what is wrong, and the remedy."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def is_name(type_name: str) -> bool:
    """Return whether an interface is called `type_name`: a built-in one, or one that a package has registered."""
    return type_name in BUILT_IN or any(point.name == type_name for point in _entry_points())


def find_interface(type_name: str, folder: Path, gateway_name: str = NAME) -> type[Any]:
    """Return the interface class called `type_name`; a relative file path begins in `folder`.

    An interface that was written for a version before 3.0 is adapted to the current contract. Raises
    `CodeNotFoundError` if there is no such class, if its module cannot be imported, or if this process is root or a
    service and another user can change the file.
    """
    if type_name in BUILT_IN:
        module_name, _, class_name = BUILT_IN[type_name].partition(":")
        return getattr(importlib.import_module(module_name), class_name)  # type: ignore[no-any-return]
    from gateway.legacy_interface import (  # imported here, since the shipped interfaces do not need it
        adapt,
        legacy_modules,
    )

    path, _, class_name = type_name.partition(":")
    file = folder / expanded(path)
    directories = [str(folder), ".", str(file.parent)]
    with legacy_modules(_edition(file) or type_name, gateway_name, directories) as is_legacy:
        if path.endswith(".py"):
            cls = _choose(_load_file(file), class_name)
        elif class_name:
            cls = _choose(_load_module(path), class_name)
        else:
            cls = _load_entry_point(type_name)
        if not is_legacy():
            return cls
    _check_constructor(cls)
    return adapt(cls)


def _entry_points() -> Iterable[Any]:
    from importlib import metadata  # imported here, since it imports much of the standard library

    return metadata.entry_points(group=ENTRY_POINTS)


def _check_constructor(cls: type[Any]) -> None:
    """Raise `CodeNotFoundError` unless `cls` has three arguments; early versions had a fourth, `path`."""
    try:
        _check_call(cls, 3)
    except (TypeError, ValueError) as err:
        what = f"{cls.__name__} cannot be constructed with three arguments: {err}"
        raise CodeNotFoundError(what, "define __init__(self, params, msglist_in, msglist_out)") from err


def _check_call(target: Callable[..., Any], count: int) -> None:
    """Raise `TypeError` or `ValueError` unless a function or class can be called with `count` arguments."""
    is_class = isinstance(target, type)
    function: object = getattr(target, "__init__", None) if is_class else target
    if isinstance(function, FunctionType):  # as nearly all are: no need to import inspect
        code = function.__code__
        if code.co_argcount == count + is_class and not code.co_kwonlyargcount:
            return
    import inspect  # imported here, since it takes 10 ms, a twentieth of a start

    inspect.signature(target).bind(*[None] * count)


def _edition(file: Path) -> str:
    """Return a text that identifies the present content of a file, or `""` if there is no such file."""
    return f"{file} {file.stat().st_mtime_ns}" if is_file(file) else ""


def _load_entry_point(name: str) -> type[Any]:
    points = [point for point in _entry_points() if point.name == name]
    if not points:
        names = [*BUILT_IN, *(point.name for point in _entry_points())]
        raise CodeNotFoundError(f"no interface is called {name!r}", did_you_mean(name, names))
    try:
        cls = points[0].load()
    except (Exception, SystemExit) as err:
        remedy = _remedy(err, "fix or reinstall its package")
        raise CodeNotFoundError(_import_failed(points[0].value, err), remedy) from err
    if not isinstance(cls, type) or not _is_interface(cls):
        what = f"{points[0].value} is not a class with loop() or loop_start()"
        raise CodeNotFoundError(what, "fix or reinstall its package")
    return cls


def find_hook(name: str, folder: Path, loaded: dict[str, ModuleType]) -> Callable[..., Any]:
    """Return the function called `name`: `module:function`, or `file.py:function` with a path as for interfaces.

    `loaded` keeps the modules, so that the hooks of one file share its state. Raises `CodeNotFoundError`.
    """
    module_name, _, function_name = name.rpartition(":")
    if not module_name or not function_name:
        raise CodeNotFoundError(f"{name!r} is not MODULE:FUNCTION", "for example my_hooks.py:only_by_day")
    if module_name not in loaded:
        is_path = module_name.endswith(".py")
        loaded[module_name] = _load_file(folder / expanded(module_name)) if is_path else _load_module(module_name)
    module = loaded[module_name]
    function = getattr(module, function_name, None)
    if not callable(function) or isinstance(function, type):
        functions = [name for name, value in sorted(vars(module).items()) if isinstance(value, FunctionType)]
        raise CodeNotFoundError(
            f"{module_name} has no function {function_name!r}", did_you_mean(function_name, functions)
        )
    try:
        _check_call(function, 1)
    except (TypeError, ValueError) as err:
        remedy = "a hook accepts one message, and returns it or None"
        raise CodeNotFoundError(f"{name} cannot be called with one message: {err}", remedy) from err
    return function  # type: ignore[no-any-return]


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as err:
        if isinstance(err, ModuleNotFoundError) and err.name and f"{name}.".startswith(f"{err.name}."):
            what, remedy = f"there is no module {name!r}", "install its package, or write the path of its file"
        else:
            what, remedy = _import_failed(name, err), _remedy(err, "fix or reinstall its package")
        raise CodeNotFoundError(what, remedy) from err


def _load_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise CodeNotFoundError(
            f"no such file: {path}", "check the path; a relative path starts at the folder of this file"
        )
    access = who_may_change_code(path) if runs_for_all(os.environ) else None
    if access is not None:  # checked before any of its code runs
        raise CodeNotFoundError(f"{access.path} is not run: {access.what}", access.remedy)
    name = f"mqttgateway_interface_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CodeNotFoundError(f"{path} is not a Python file", "use a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up the module of a class there
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for the modules beside it; at the end, so that they hide no other module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as err:
        del sys.modules[name]
        raise CodeNotFoundError(_import_failed(str(path), err), _remedy(err, "fix the file")) from err
    return module


def _import_failed(what: str, err: BaseException) -> str:
    return f"{what} cannot be imported: {failure_text(err, what if what.endswith('.py') else '')}"


def failure_text(err: BaseException, file: str = "") -> str:
    """Return what an exception in code from outside the gateway says, and where in `file`, or else in any such code."""
    if isinstance(err, SyntaxError):
        return f"{type(err).__name__}: {err.msg} ({err.filename}:{err.lineno})"
    reason = f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"
    frames = [*reversed(traceback.extract_tb(err.__traceback__))]
    if file:
        frames = [frame for frame in frames if Path(frame.filename).absolute() == Path(file).absolute()]
    outside = (frame for frame in frames if file or not frame.filename.startswith((_OWN_FOLDER, "<frozen")))
    place = next(outside, None)
    return reason if place is None else f"{reason} ({place.filename}:{place.lineno})"


def file_of(cls: type[Any]) -> str:
    """Return the file in which a class is written; `""` if there is none."""
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or ""


def _remedy(err: BaseException, otherwise: str) -> str:
    """Return the remedy for code that cannot be imported: a special one if it is visibly old, else `otherwise`."""
    module = (err.name or "").partition(".")[0] if isinstance(err, ModuleNotFoundError) else ""
    if isinstance(err, ImportError) and (err.name or "").partition(".")[0] == "gateway":
        return _remedy_of_api(err)
    if module == "mqtt_gateways":
        return f"this is the first name of {NAME}: write {NAME} instead, and keep the rest of the name"
    message = err.msg if isinstance(err, SyntaxError) else ""
    if module in _MODULES_OF_PYTHON_2 or any(sign in message for sign in _SIGNS_OF_PYTHON_2):
        return "it is written for Python 2: convert it to Python 3, see docs/migration.md"
    return otherwise


def _remedy_of_api(err: ImportError) -> str:
    """Return which import to use instead of one from a module of the gateway that has moved or does not exist."""
    from gateway import api  # only for this remedy: a run does not need it

    missing = _CANNOT_IMPORT.match(str(err))
    names = (missing.group(1),) if missing else _MOVED_TO_THE_API.get(err.name or "", ())
    names = tuple(name for name in names if name in api.__all__)
    if names:
        return f"import {' or '.join(names)} from gateway.api"
    return f"import from gateway.api only; it has {', '.join(api.__all__)}"


def _is_interface(cls: type[Any]) -> bool:
    return hasattr(cls, "loop") or hasattr(cls, "loop_start")


def _choose(module: ModuleType, class_name: str) -> type[Any]:
    classes = {
        name: value
        for name, value in sorted(vars(module).items())
        if isinstance(value, type)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")  # a package may export classes of its modules
        and _is_interface(value)
    }
    if class_name:
        if class_name not in classes:
            what = f"{module.__file__} has no interface class {class_name!r}"
            raise CodeNotFoundError(what, did_you_mean(class_name, classes))
        return classes[class_name]
    if not classes:
        what = f"{module.__file__} has no class with loop() or loop_start()"
        raise CodeNotFoundError(what, "derive a class from gateway.api.DeviceInterface, or name another file")
    if len(classes) > 1:
        what = f"{module.__file__} has {len(classes)} classes with loop() or loop_start()"
        raise CodeNotFoundError(what, f"name one: FILE.py:{next(iter(classes))}")
    return next(iter(classes.values()))
