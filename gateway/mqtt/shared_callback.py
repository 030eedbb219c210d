"""A callback of paho that the client needs itself, and that other code may assign nevertheless."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from gateway.core.package_logger import package_logger
from gateway.core.throttled_exception import ThrottledException

LOG = package_logger(__name__)

Callback: TypeAlias = Callable[..., None]


class OwnCallbackFailed(ThrottledException):
    """A callback that other code has assigned to the client has raised an exception."""


class SharedCallback:
    """An attribute such as `on_connect`: an assigned callback is called after the client's own, and can break nothing.

    Without this, `client.on_connect = f` would replace the client's own callback, and the link would never be up.
    """

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name
        self._inner, self._outer = f"_mg_inner_{name}", f"_mg_outer_{name}"

    def __get__(self, client: Any, owner: type[Any] | None = None) -> Any:
        return self if client is None else getattr(client, self._outer, None)

    def __set__(self, client: Any, callback: Callback | None) -> None:
        inner: Callback | None = getattr(client, self._inner, None)
        setattr(client, self._outer, inner if callback is None else self._chain(inner, callback))

    def serve(self, client: Any, inner: Callback) -> None:
        """Call `inner` first, whatever is assigned."""
        setattr(client, self._inner, inner)
        setattr(client, self._outer, inner)

    def _chain(self, inner: Callback | None, callback: Callback) -> Callback:
        def call(*arguments: Any) -> None:
            if inner is not None:
                inner(*arguments)
            try:
                callback(*arguments)
            except Exception as err:
                name = getattr(callback, "__qualname__", repr(callback))
                failed = OwnCallbackFailed(
                    f"{self._name} of the MQTT client failed, in {name}: {err!r}", key=f"{self._name} {name} {err!r}"
                )
                if failed.trigger:
                    LOG.error(failed.report, exc_info=err if failed.is_first else None)

        return call
