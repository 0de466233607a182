"""Files and folders that appear under their names only when they are complete.

Content goes to a hidden name in the same folder, which is renamed at the end. A rename within a
file system is atomic, so a reader finds the old content, the new one, or nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType

from interp_cli.forced_exit import register

__all__ = ["AtomicPath", "flush", "hidden", "temporary_folder", "write_whole"]


# Length of a name on nearly all file systems.
_MAX_NAME_BYTES = 255


class AtomicPath:
    """A file or a folder that is written under a hidden name; a context manager.

        with AtomicPath(target) as part:
            part.write_bytes(content)

    Leaving the block without an error commits, with one it discards.

    Attributes:
        target: Final path.
        part: Hidden path until then, with the same suffix. The process id in its name keeps two
            processes apart that write one target.
    """

    def __init__(self, target: Path, part: Path | None = None, *, durable: bool = False) -> None:
        """Choose the hidden path; nothing is created.

        Args:
            target: Final path.
            part: Hidden path on the same file system; `None`: in the folder of the target.
            durable: Whether the content is on the disk before the name is.
        """
        self.target = target
        self.part = part or hidden(target, f".{os.getpid()}.part{target.suffix}", target.stem)
        self._durable = durable

    def __enter__(self) -> Path:
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

    def commit(self) -> None:
        """Rename the hidden file or folder to the target, which is replaced if it is a file.

        Raises:
            OSError: That is not possible; the hidden file stays.
        """
        if self._durable:
            flush(self.part)
        self.part.replace(self.target)
        if self._durable:
            flush(self.target.parent)

    def discard(self) -> None:
        """Remove the hidden file or folder; safe to call twice and after `commit`."""
        if self.part.is_dir():
            shutil.rmtree(self.part, ignore_errors=True)
        else:
            self.part.unlink(missing_ok=True)


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


def temporary_folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """A folder in the system's place for such, removed when its block or its owner ends."""
    folder = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
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
