"""What is wrong with an interface although it works. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Trouble(NamedTuple):
    """Something that is wrong at this moment: since when (s), what, and the remedy.

    `is_silence`: devices do not answer, which their own statuses may tell.
    """

    since: float
    what: str
    remedy: str
    is_silence: bool = False
