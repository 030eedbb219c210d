"""Reads and writes a page file: whole, or not at all; and remembers what it has replaced."""

from __future__ import annotations

import errno
import hmac
import os
import secrets
import stat
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.configuration.document import MAX_BYTES
from gateway.configuration.page_file import page_file_of, read_page_text
from gateway.core.paths import SERVICE_CONF
from gateway.errors import ConfigurationError, GatewayError

_MOST_KEPT = 20  # earlier texts
_MODE = 0o640


class StoreError(GatewayError):
    """The page file cannot be read or written; with the remedy."""


class _Step(NamedTuple):
    """A text that was replaced, and the one that is there since; None: there was no file, or is none."""

    previous: str | None
    present: str | None


class PageStore:
    """The page file of the configuration at `configuration`. The caller lets one thread change it at a time.

    `key` keeps whoever does not have it from guessing a secret of the configuration by its edition; without one, no
    edition is that of another store.
    """

    def __init__(self, configuration: Path, key: str = "") -> None:
        self._key = key.encode() or secrets.token_bytes(16)
        self._configuration = configuration
        self.file = page_file_of(configuration.absolute())
        self._unfinished = f".{self.file.name}."  # how the name of a file begins that is not complete
        self._earlier: deque[_Step] = deque(maxlen=_MOST_KEPT)

    def read(self) -> str | None:
        """Return the text of the file; None if there is no file."""
        try:
            self.file.lstat()
            return read_page_text(self.file)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise StoreError(f"{self.file} cannot be read: {err.strerror or err}") from err
        except ConfigurationError as err:
            if self.file.is_symlink() and not self.file.exists():
                raise StoreError(f"{self.file} is a link to nothing: remove it") from None
            raise StoreError(str(err)) from err

    def edition(self) -> str:
        """Return what identifies the present content of the configuration and of its page file."""
        digest = hmac.new(self._key, digestmod="sha256")
        for path in (self._configuration, self.file):
            data = _content(path)
            digest.update(b"%d:" % len(data) + data)
        return digest.hexdigest()[:32]

    def remember(self, previous: str | None) -> None:
        """Remember that the present content has replaced `previous`."""
        if self._earlier and self._earlier[-1].present != previous:
            self._earlier.clear()  # somebody else has changed the file in between
        self._earlier.append(_Step(previous, self.read()))

    def earlier(self) -> tuple[str | None] | None:
        """Return, as a tuple of one, the text that the present content has replaced; None if that is not known."""
        last = self._earlier[-1] if self._earlier else None
        return (last.previous,) if last is not None and last.present == self.read() else None

    def forget(self) -> None:
        """Forget what was replaced last: it is the content of the file again."""
        if self._earlier:
            self._earlier.pop()

    def write(self, text: str | None) -> None:
        """Replace the content of the file as a whole; None: remove the file. Raises `StoreError`."""
        try:
            status = self.file.lstat()
        except FileNotFoundError:
            status = None
        except OSError as err:
            raise self._error(err) from err
        if status is not None and not stat.S_ISREG(status.st_mode):
            kind = "a link" if stat.S_ISLNK(status.st_mode) else "no ordinary file"
            raise StoreError(f"{self.file} is {kind}, through which the page does not write: remove it")
        try:
            folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            raise self._error(err) from err
        try:
            if text is None:
                with suppress(FileNotFoundError):
                    os.unlink(self.file.name, dir_fd=folder)
            else:
                self._replace(folder, text)
            os.fsync(folder)
        except OSError as err:
            raise self._error(err) from err
        finally:
            os.close(folder)

    def _replace(self, folder: int, text: str) -> None:
        self._remove_unfinished(folder)
        name = f"{self._unfinished}{secrets.token_hex(6)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, _MODE, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(descriptor, _MODE)
                os.fsync(descriptor)
            os.rename(name, self.file.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
            raise

    def _remove_unfinished(self, folder: int) -> None:
        """Remove what is left of a text if the gateway was killed while it was written."""
        for name in os.listdir(folder):
            if name.startswith(self._unfinished) and len(name) == len(self._unfinished) + 12:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def _error(self, err: OSError) -> StoreError:
        folder = self.file.parent
        why = f"{self.file} cannot be written: {err.strerror or err}"
        if err.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            return StoreError(f"{why}: make room, or download the result and put it there yourself")
        remedy = f"let the user of the gateway write to {folder}"
        if folder == SERVICE_CONF:
            remedy = (
                f"run: chown root:mqttgateway {folder}; chmod 1770 {folder}; then 'systemctl edit mqttgateway@' with "
                f"the lines '[Service]' and 'ReadWritePaths={folder}', and restart the gateway (docs/workbench.md)"
            )
        return StoreError(f"{why}: {remedy}; or download the result and put it there yourself")


def _content(path: Path) -> bytes:
    """Return the content of a file, or why it cannot be read; what is no ordinary file is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return b"no ordinary file"
            return file.read(MAX_BYTES + 1)
    except OSError as err:
        return b"" if err.errno == errno.ENOENT else str(err).encode()
