"""A hidden folder next to an output, for what is unfinished. One process at a time owns it.

A lock in the folder ends with its process, however that ends. What a killed process left is removed
by the next one that owns the folder. Only files that we write are ever removed, and through no
link: a folder that holds anything else is somebody else's and is refused.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from interp_cli.errors import EncodeError
from interp_cli.forced_exit import register

if sys.platform != "win32":
    import fcntl

__all__ = ["WorkFolder", "remove_files"]

_LOCK = "lock"


class WorkFolder:
    """A folder of ours; a context manager that owns it.

    Leaving the block removes the folder, unless `is_kept` was set.

    Attributes:
        path: The folder.
        is_kept: Whether the folder stays when the block ends.
    """

    def __init__(
        self, path: Path, target: Path, names: re.Pattern[str], folders: re.Pattern[str] | None
    ) -> None:
        """Say what belongs to the folder; nothing is created.

        Args:
            path: The folder.
            target: The output that it is for, which messages name.
            names: Names of all files that we write there. Those of a folder in it begin with the
                name of that folder and a slash.
            folders: Names of the folders in it.
        """
        self.path = path
        self.is_kept = False
        self._target = target
        self._names, self._folders = names, folders
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Take the folder for this process; create it if it does not exist.

        Raises:
            EncodeError: It holds something that is not ours, or another process has it.
            OSError: It cannot be created.
        """
        self.refuse_foreign()
        self.path.mkdir(exist_ok=True)
        self._lock = self._locked()
        register(self.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether this process owns the folder."""
        return self._lock is not None

    def close(self) -> None:
        """Remove the folder unless it is kept, and give it up; safe to call twice."""
        if not self.is_open:
            return
        try:
            if not self.is_kept:
                with contextlib.suppress(OSError):
                    self.clear()
                if sys.platform == "win32":
                    self.unlock()  # or the file could not be removed
                with contextlib.suppress(OSError):
                    (self.path / _LOCK).unlink()
                with contextlib.suppress(OSError):  # somebody may have put something there
                    self.path.rmdir()
        finally:
            self.unlock()

    def unlock(self) -> None:
        """Give the folder up as it is; safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def refuse_foreign(self) -> None:
        """Refuse a link, or a folder with something that we did not write.

        Raises:
            EncodeError: It is one.
        """
        try:
            status = self.path.lstat()
        except OSError:
            return  # there is none
        if not stat.S_ISDIR(status.st_mode):
            found = "a link" if stat.S_ISLNK(status.st_mode) else "a file"
            raise self._refusal(f"is {found}, where a folder is expected")
        try:
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
            foreign = next(self._foreign(entries), None)
        except OSError as error:
            raise self._refusal(f"cannot be read ({error.strerror})") from error
        if foreign is None and entries and not any(entry.name == _LOCK for entry in entries):
            foreign = entries[0].name  # we always write a lock first
        if foreign is not None:
            raise self._refusal(f"holds {foreign}, which interp did not write")

    def clear(self, keep: frozenset[str] = frozenset()) -> None:
        """Remove our files.

        Args:
            keep: Names of files that stay, as in `names`.

        Raises:
            OSError: One cannot be removed.
        """
        for entry in list(os.scandir(self.path)):
            if self._is_folder(entry):
                for inner in list(os.scandir(entry.path)):
                    name = f"{entry.name}/{inner.name}"
                    if self._is_ours(inner, name) and name not in keep:
                        os.unlink(inner.path)  # noqa: PTH108 - `scandir` gives a string
                if not any(name.startswith(f"{entry.name}/") for name in keep):
                    with contextlib.suppress(OSError):  # not empty
                        os.rmdir(entry.path)  # noqa: PTH106
            elif entry.name != _LOCK and entry.name not in keep and self._is_ours(entry):
                os.unlink(entry.path)  # noqa: PTH108

    def _foreign(self, entries: list[os.DirEntry[str]]) -> Iterator[str]:
        """Names of what we did not write."""
        for entry in entries:
            if self._is_folder(entry):
                inner = [(each, f"{entry.name}/{each.name}") for each in os.scandir(entry.path)]
                yield from (name for each, name in inner if not self._is_ours(each, name))
            elif not self._is_ours(entry):
                yield entry.name

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        is_named = self._folders is not None and self._folders.fullmatch(entry.name) is not None
        return is_named and entry.is_dir(follow_symlinks=False)

    def _is_ours(self, entry: os.DirEntry[str], name: str | None = None) -> bool:
        name = name or entry.name
        is_named = name == _LOCK or self._names.fullmatch(name) is not None
        return is_named and entry.is_file(follow_symlinks=False)

    def _refusal(self, found: str) -> EncodeError:
        return EncodeError(
            f"{self.path}: {found}. Unfinished work on {self._target.name} has its place there: "
            "move that away, or choose another name for the output."
        )

    def _locked(self) -> int:
        """Take a lock that ends with the process, however that ends."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        while True:
            lock = os.open(self.path / _LOCK, flags, 0o644)
            try:
                if sys.platform != "win32":
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                raise EncodeError(
                    f"{self._target}: another run is making it; wait for that, or choose another "
                    "name."
                ) from error
            except OSError:
                return lock  # some network drives know no locks
            if os.fstat(lock).st_nlink:
                return lock
            os.close(lock)  # its owner has just removed it


def remove_files(folder: Path, names: re.Pattern[str]) -> None:
    """Remove the files of a folder that have certain names, and the folder if it is empty then.

    Links and folders in it stay, whatever their names are.

    Raises:
        OSError: One cannot be removed, or something else is in the folder.
    """
    for entry in list(os.scandir(folder)):
        if names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)  # noqa: PTH108 - `scandir` gives a string
    folder.rmdir()
