"""Where the documents of devices go, and who else has their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Documents(NamedTuple):
    """Where documents go. `publish` takes topic and payload of a retained state, of which only the latest counts.

    `remember` takes the same, for the next run of the gateway; `clear` takes the topic of a device that is gone.
    `topic` returns that of a document of a device, by the device's id and the kind: see `DOCUMENT_KINDS`. `wake`
    is called when `due_in` has become sooner than it was when it was asked for last: whoever waits for it must ask
    again. `claim` takes the id of a device of a template, and returns why the device cannot have it, or `""`; `release`
    takes an id that is free again; `is_free` returns whether an id could be claimed.
    """

    publish: Callable[[str, bytes], None] = lambda _topic, _payload: None
    remember: Callable[[str, bytes], None] = lambda _topic, _payload: None
    topic: Callable[[str, str], str] = lambda device, kind: f"{device}/{kind}"
    wake: Callable[[], None] = lambda: None
    clear: Callable[[str], object] = lambda _topic: None
    claim: Callable[[str], str] = lambda _device: ""
    release: Callable[[str], None] = lambda _device: None
    is_free: Callable[[str], bool] = lambda _device: True
