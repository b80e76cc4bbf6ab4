"""Files that are either old or new, never half written.

    write(temporary) -> fsync(temporary) -> rename over the old file -> fsync(directory)

Without the first fsync a crash could leave the new name on an empty file; without the second the old file could come
back. A process that is killed leaves its temporary behind; the next save to the same name removes it. Who writes one
holds a lock on it, which the kernel releases with the process, so that a temporary of a running neighbour is never
taken for a left-over.
"""

import contextlib
import glob
import os
import secrets
import stat

try:
    import fcntl
except ImportError:  # Windows: left-over temporaries stay
    fcntl = None

__all__ = ["atomic_write"]


@contextlib.contextmanager
def atomic_write(path):
    """A binary file to write to; when the block ends without an error, it takes the place of `path`.

    Raises:
        OSError: naming the path, and for a full disk the free space. The old file is untouched then.
    """
    path = os.fspath(path)
    target = os.path.realpath(path)  # through a symbolic link, which stays one
    directory = os.path.dirname(target)
    _check_target(path, target, directory)
    state = "the old file is unchanged"
    try:
        if os.path.exists(target) and not os.path.isfile(target):
            state = "it is a device or a pipe"  # nothing to replace
            with open(target, "wb") as file:
                yield file
        else:
            with _replacing(target) as file:
                yield file
            state = "the new file is there, but a power cut could still undo it"
            _sync_directory(directory)
    except OSError as error:
        raise _explained(error, path, directory, state) from error


@contextlib.contextmanager
def _replacing(target):
    """A temporary file that takes the place of `target` at the end."""
    _sweep(target)
    temporary = None
    try:
        file, temporary = _open_temporary(target)
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # Windows renames closed files only; elsewhere the lock must last until the rename
            os.replace(temporary, target)
            temporary = None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _check_target(path, target, directory):
    if os.path.isdir(target):
        raise IsADirectoryError(f"cannot save to {path!r}: it is a directory")
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"cannot save to {path!r}: the directory {directory!r} does not exist")


def _open_temporary(target):
    """A new file beside the target, locked; and its name."""
    while True:
        temporary = f"{_prefix(target)}{secrets.token_hex(8)}"
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
        file = open(descriptor, "wb")  # closed by the caller
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink == 0:  # a neighbour swept it before the lock was there
                file.close()
                continue
        if os.path.isfile(target):
            with contextlib.suppress(OSError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        return file, temporary


def _prefix(target):
    directory, name = os.path.split(target)
    return os.path.join(directory, f".{name}.saving-")


def _sweep(target):
    """Removes temporaries of saves that were killed."""
    if fcntl is None:
        return
    for left in glob.glob(glob.escape(_prefix(target)) + "*"):
        with contextlib.suppress(OSError), open(left, "rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where its writer lives
            os.unlink(left)


def _sync_directory(directory):
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:  # Windows cannot open directories
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error, path, directory, state):
    """The same error, saying which file it was, how much space there is, and what became of the old file."""
    try:
        disk = os.statvfs(directory)
        free = f"{disk.f_bavail * disk.f_frsize:,} bytes free in {directory!r}; "
    except (OSError, AttributeError):
        free = ""
    message = f"cannot save to {path!r}: {error.strerror or error} ({free}{state})"
    return OSError(error.errno, message) if error.errno is not None else OSError(message)
