"""The echo of what was written: a two-wire bus and a console return it, and it is no frame of the device. Pure.

It is taken off the bytes that have arrived, before they are split into frames: it may run into the answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MAX_EXPECTED = 16  # echoes that are waited for: what arrives is compared with all of them
_CERTAIN = 2  # requests that have come back: as many must then not come back before `auto` sees no echo any more
_NONE = 8  # requests in a row that do not come back, after which `auto` does not look for an echo any more

_LINE_ENDINGS = (b"\r\n", b"\r", b"\n")
"""With what a console may echo the end of a line, whatever was written."""


class _Echo:
    """What was written and may come back: in which forms, the longest first, and until when (s).

    `is_evidence` returns whether it is an echo for certain if it comes back; None: that it comes back proves nothing.
    """

    def __init__(self, forms: Sequence[bytes], until: float, is_evidence: Callable[[], bool] | None) -> None:
        self.forms = forms
        self.until = until
        self.is_evidence = is_evidence
        self.is_over = False  # no more bytes are waited for
        self.others_came = False  # something else has arrived since


class EchoFilter:
    """Takes what was written off what is received; everything else passes unchanged and in order.

    `mode` True: what is written comes back. False: it does not. None: this is found out. A request that waits for an
    answer must come back byte for byte and before anything else, although this is neither its answer nor matched by a
    rule: then the line has an echo, which is taken off from the next request on. `on_change` is called when that is
    found out, or when it is no longer so.

    `endings` are the line ends by which an echo may differ from what was written. Which bytes pass depends on the
    bytes, and not on the chunks in which they arrive. All times in seconds.
    """

    def __init__(
        self,
        mode: bool | None,
        endings: Sequence[bytes] = (),
        on_change: Callable[[bool], None] = lambda _has_echo: None,
    ) -> None:
        self._mode = mode
        self._endings = sorted(endings, key=len, reverse=True)
        self._on_change = on_change
        self._evidence = 0
        self._has_echo = mode is True
        self._misses = 0
        self._expected: deque[_Echo] = deque()
        self._buffer = bytearray()  # its bytes may be the beginning of an echo
        self._passed = 0  # how many of them were passed on nevertheless
        self.removed = 0
        """Echoes that were taken off."""

    def __bool__(self) -> bool:
        """Return whether anything is expected, so that `received` makes a difference."""
        return bool(self._expected)

    @property
    def is_watching(self) -> bool:
        """Whether `written` makes a difference: there is an echo, or there may be one."""
        return self._has_echo or (self._mode is None and self._misses < _NONE)

    def reset(self) -> None:
        """Expect nothing any more: the connection is a new one."""
        self._expected.clear()
        self._buffer.clear()
        self._passed = self._misses = 0

    def written(self, data: bytes, until: float, is_evidence: Callable[[], bool] | None = None) -> None:
        """Record that `data` was written, and may come back until the time `until`."""
        if not self.is_watching:
            return
        if len(self._expected) >= _MAX_EXPECTED:
            self._missed(self._expected.popleft())
        self._expected.append(_Echo(self._forms(data), until, is_evidence))

    def _forms(self, data: bytes) -> list[bytes]:
        ending = next((ending for ending in self._endings if data.endswith(ending)), b"")
        content = data[: len(data) - len(ending)]
        return [content + each for each in self._endings] if ending else [data]

    def received(self, data: bytes) -> bytes:
        """Return what is left of the bytes that have arrived; a part may follow later."""
        self._buffer += data
        return self._scan()

    def expire(self, now: float) -> bytes:
        """Return the bytes that were held back for echoes whose time is over."""
        if not self._expected or now < min(echo.until for echo in self._expected):
            return b""
        for echo in self._expected:
            echo.is_over = now >= echo.until
        passed = self._scan()
        for echo in [each for each in self._expected if each.is_over]:
            self._expected.remove(echo)
            self._missed(echo)
        return passed + self._scan()

    def due(self) -> float | None:
        """Return the time at which `expire` would return bytes, or None."""
        if len(self._buffer) == self._passed:
            return None
        return min((echo.until for echo in self._expected), default=None)

    def _scan(self) -> bytes:
        """Remove from the buffer what is decided, and return what passes."""
        passed, position = bytearray(), 0
        while position < len(self._buffer):
            start, echo, length = self._find(position)
            self._pass(position, start, passed)
            position = start
            if echo is None:
                break  # the end, or the next bytes decide
            if not self._is_taken_off(echo):
                self._pass(position, position + length, passed)
            position += length
        del self._buffer[:position]
        self._passed = max(0, self._passed - position)
        if not self._has_echo:
            passed += self._buffer[self._passed :]
            self._passed = len(self._buffer)
        return bytes(passed)

    def _pass(self, start: int, end: int, passed: bytearray) -> None:
        if start < end:
            passed += self._buffer[max(start, self._passed) : end]
            for echo in self._expected:
                echo.others_came = True

    def _find(self, position: int) -> tuple[int, _Echo | None, int]:
        """Return where the first echo from `position` on begins, which one it is, and its length.

        Without an echo: where one begins whose end is missing, or the end of the buffer.
        """
        buffer, size = self._buffer, len(self._buffer)
        forms = [(echo, form) for echo in self._expected for form in echo.forms]
        first, found = size, -1
        for rank, (_, form) in enumerate(forms):
            offset = buffer.find(form, position, min(size, first + len(form) - 1 if found >= 0 else size))
            if offset >= 0:
                first, found = offset, rank
        longest = max((len(form) for _, form in forms), default=1)
        beginnings = {form[0] for _, form in forms}
        for start in range(max(position, size - longest + 1), min(first + 1, size)):
            if buffer[start] not in beginnings:
                continue
            rest = bytes(buffer[start:])
            ahead = forms if start < first else forms[: max(found, 0)]  # of two that begin here, the first one counts
            if any(len(form) > len(rest) and form.startswith(rest) and not echo.is_over for echo, form in ahead):
                return start, None, 0
        return (first, forms[found][0], len(forms[found][1])) if found >= 0 else (size, None, 0)

    def _is_taken_off(self, echo: _Echo) -> bool:
        """Process an echo that has come, and return whether it is taken off. Echoes come in the order of writing."""
        while (earlier := self._expected.popleft()) is not echo:
            self._missed(earlier)
        is_taken_off = self._has_echo  # the first one is not: its beginning may have been passed on already
        # Behind other bytes, it may be part of an answer that contains the request.
        if self._mode is None and not echo.others_came and echo.is_evidence is not None and echo.is_evidence():
            self._evidence = min(self._evidence + 1, _CERTAIN)
            self._misses = 0
            self._set(has_echo=True)
        self.removed += is_taken_off
        return is_taken_off

    def _missed(self, echo: _Echo) -> None:
        """Record that what was written has not come back, although something else has."""
        if self._mode is None and echo.is_evidence is not None and echo.others_came:
            self._evidence = max(0, self._evidence - 1)
            self._misses += 1
            if not self._evidence:
                self._set(has_echo=False)

    def _set(self, *, has_echo: bool) -> None:
        if has_echo is not self._has_echo:
            self._has_echo = has_echo
            self._on_change(has_echo)


def echo_endings(framing: Mapping[str, Any]) -> tuple[bytes, ...]:
    """Return the line ends by which an echo may differ from what was written in `framing`; none if that is no line."""
    if framing["type"] != "line":
        return ()
    endings: list[bytes] = []
    for terminators in (framing.get("terminator", ()), framing.get("write_terminator", ())):
        texts = [terminators] if isinstance(terminators, str) else terminators
        endings += [text.encode("latin-1", "replace") for text in texts if text]
    return tuple(dict.fromkeys((*endings, *_LINE_ENDINGS)))
