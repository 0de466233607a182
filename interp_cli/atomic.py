"""Files that appear under their names only when they are complete.

Content goes to a hidden name in the same folder, which is renamed at the end. A rename within a
file system is atomic, so a reader finds the old content, the new one, or nothing.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from interp_cli.forced_exit import register

__all__ = [
    "AtomicPath",
    "flush",
    "hidden",
    "move_aside",
    "real_path",
    "rename_new",
    "temporary_folder",
    "write_whole",
]

# Length of a name on nearly all file systems.
_MAX_NAME_BYTES = 255
# Numbers that are tried for a name that is free.
_MOST_NAMES = 1000


class AtomicPath:
    """A file that is written under a hidden name; a context manager.

        with AtomicPath(target) as part:
            part.write_bytes(content)

    Leaving the block without an error commits, with one it discards.

    Attributes:
        target: Final path. Where that is a link, the file that it names is written, as `cp` does.
        part: Hidden path until then, with the same suffix. The process id in its name keeps two
            processes apart that write one target.
    """

    def __init__(
        self,
        target: Path,
        part: Path | None = None,
        *,
        durable: bool = False,
        overwrite: bool = True,
    ) -> None:
        """Choose the hidden path; nothing is created.

        Args:
            target: Final path.
            part: Hidden path on the same file system; `None`: in the folder of the target.
            durable: Whether the content is on the disk before the name is.
            overwrite: Whether a file that has the name by then is replaced.
        """
        self.target = real_path(target)
        ending = f".{os.getpid()}.part{target.suffix}"
        self.part = part or hidden(self.target, ending, target.stem)
        self._durable = durable
        self._overwrite = overwrite

    def __enter__(self) -> Path:
        self.discard()  # a link of that name would be written through
        register(self.discard)
        return self.part

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            self.discard()

    def create(self) -> None:
        """Create the hidden file, empty and new.

        Raises:
            OSError: That is not possible.
        """
        self.discard()
        register(self.discard)
        self.part.open("xb").close()

    def commit(self) -> None:
        """Rename the hidden file to the target.

        Raises:
            FileExistsError: Something has that name which must not be replaced.
            OSError: That is not possible; the hidden file stays.
        """
        if self._durable:
            flush(self.part)
        if self._overwrite:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISREG(self.target.lstat().st_mode):  # a folder, a named pipe
                    raise FileExistsError(
                        errno.EEXIST, "something that is no file has the name", str(self.target)
                    )
            self.part.replace(self.target)
        else:
            rename_new(self.part, self.target)
        if self._durable:
            flush(self.target.parent)

    def discard(self) -> None:
        """Remove the hidden file; safe to call twice and after `commit`."""
        self.part.unlink(missing_ok=True)


def real_path(path: Path) -> Path:
    """The path of the file that a link names, or would name; other paths stay as they are."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def rename_new(path: Path, target: Path) -> None:
    """Rename a file or a folder to a name that nothing has.

    Raises:
        FileExistsError: Something has it, which stays.
        OSError: It cannot be renamed.
    """
    if sys.platform == "win32" or stat.S_ISDIR(path.lstat().st_mode):
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        path.rename(target)  # which fails for a folder that is not empty by now
        return
    try:
        # The one call that never replaces. A link is renamed itself.
        os.link(path, target, follow_symlinks=False)
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
    except OSError:  # FAT and some network drives have no second names
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            path.replace(target)
        except OSError:
            target.unlink()
            raise
    else:
        path.unlink()


def move_aside(path: Path, target: Path, word: str) -> Path | None:
    """Rename a finished file or folder to a free name like its target's.

    Args:
        path: What is finished.
        target: The name that it cannot take.
        word: What is added to that name: `film.WORD.mkv`, `film.WORD2.mkv` and so on.

    Returns:
        The new path; `None` if that is not possible either.
    """
    target = Path(os.path.realpath(target))
    suffix = "" if path.is_dir() else target.suffix
    stem = target.name.removesuffix(suffix) if suffix else target.name
    for number in range(1, _MOST_NAMES):
        ending = f".{word}{number if number > 1 else ''}{suffix}"
        other = target.with_name(hidden(target, ending, stem).name.removeprefix("."))
        try:
            if not os.path.lexists(other):
                rename_new(path, other)
                return other
        except FileExistsError:
            continue
        except OSError:
            return None
    return None


def hidden(path: Path, ending: str, name: str | None = None) -> Path:
    """The hidden path `.NAMEENDING` in the folder of another path, short enough for a file system.

    Args:
        path: The other path.
        ending: End of the hidden name.
        name: Text before that; `None`: the name of the other path.

    Returns:
        The same path every time. Of a name that would be too long, a part is replaced by a digest.
    """
    name = path.name if name is None else name
    if len(os.fsencode(f".{name}{ending}")) > _MAX_NAME_BYTES:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
        room = _MAX_NAME_BYTES - len(os.fsencode(f".~{digest}{ending}"))
        # No character is cut in two.
        name = f"{os.fsencode(name)[: max(room, 0)].decode(errors='ignore')}~{digest}"
    return path.with_name(f".{name}{ending}")


def write_whole(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Write a file at once, all or nothing.

    Args:
        path: The file; one that exists is replaced.
        content: Bytes, or text that is stored as UTF-8.
        durable: Whether a power cut right afterwards must not lose it.

    Raises:
        OSError: The file cannot be written, for example on a full disk.
    """
    with AtomicPath(path, durable=durable) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def temporary_folder(prefix: str, home: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A folder that is removed when its block or its owner ends.

    Args:
        prefix: Beginning of its name.
        home: Folder to make it in; `None`: the system's place for such.
    """
    folder = tempfile.TemporaryDirectory(prefix=prefix, dir=home, ignore_cleanup_errors=True)
    register(folder.cleanup)
    return folder


def flush(path: Path) -> None:
    """Have a file's content, or a folder's list of files, on the disk.

    Raises:
        OSError: The disk is full.
    """
    if path.is_dir():
        with contextlib.suppress(OSError):  # not every system can flush a folder
            _flush_open(os.open(path, os.O_RDONLY))
    else:
        _flush_open(os.open(path, os.O_RDWR))


def _flush_open(file: int) -> None:
    try:
        os.fsync(file)
    finally:
        os.close(file)
