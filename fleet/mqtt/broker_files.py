"""Files that a broker reads: replaced as a whole, for its user's eyes only, by one writer at a time."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time into the block; others wait."""
    # The folder itself is the lock: it leaves no file behind and cannot be replaced under its holder.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, owned_by_folder: bool = True) -> bool:
    """Replace the file at `path` as a whole; False if it already held `content`.

    owned_by_folder: written by root it belongs to the folder's owner, since the broker must be able to read it.
    """
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        pass
    # mkstemp makes it 0600 from the first byte on.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        if owned_by_folder and os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        # The broker reads either the old file or the new one, never half of one.
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
    return True
