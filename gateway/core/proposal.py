"""What an interface proposes for frames that it has dropped. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gateway.message import InternalMsg


class Proposal(NamedTuple):
    """What an owner can add to the list `option` of an interface, as YAML, so that frames are no longer dropped.

    `rule` makes `messages` of them, `ignore` drops them in silence; both were tried with all of the frames, and are
    empty if there is none; `note` says then what to do. `is_taken`: the rules of the interface take them by now.
    """

    option: str = ""
    rule: str = ""
    ignore: str = ""
    messages: tuple[InternalMsg, ...] = ()
    is_taken: bool = False
    note: str = ""
