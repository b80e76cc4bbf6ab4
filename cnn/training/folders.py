"""The folder that a run writes to: one of its own, in ROOT/TAG, ROOT/TAG-2, ROOT/TAG-3, ..."""

import glob
import itertools
import os
import re

from cnn.errors import InputError

try:
    import fcntl
except ImportError:  # Windows: two runs are kept apart by their folders' contents only
    fcntl = None

__all__ = ["RunFolder", "latest_checkpoint", "take_folder"]


def take_folder(root, tag, resume=None):
    """The folder for a run, which is nobody else's until it is closed.

    Args:
        root: folder of all runs; made where it is not there.
        tag: name of the experiment.
        resume: a checkpoint (`load_checkpoint`) to go on with: its run gets the folder that it began in.

    Returns:
        A RunFolder: the first of ROOT/TAG, ROOT/TAG-2, ROOT/TAG-3, ... that is empty and no other run's.

    Raises:
        InputError: another run is going on in the folder of the one to resume.

    Example:
        with training.take_folder("runs", "mine") as folder:
            print("results go to", folder.path)
    """
    stem = os.path.join(root, tag)
    if resume:
        path = resume.get("folder", os.path.join(root, resume.get("run", tag)))
        if path:
            folder = _try_to_take(path)
            if folder is None:
                raise InputError(f"{path}: another run is going on there; wait for it, or stop it with Ctrl-C")
            return folder
    for number in itertools.count(1):
        folder = _try_to_take(stem if number == 1 else f"{stem}-{number}")
        if folder and not os.listdir(folder):
            return folder
        if folder:
            folder.close()


def _try_to_take(path):
    """The folder, or None where another run has it."""
    try:
        return RunFolder(path)
    except BlockingIOError:
        return None


class RunFolder(os.PathLike):
    """A folder with a lock on it: one process's until `close`, or until the process ends.

    Args:
        path: the folder; made where it is not there.

    Raises:
        BlockingIOError: another run has it.

    Example:
        with RunFolder("runs/mine") as folder:
            cnn.save(net.state_dict(), os.path.join(folder, "net.pt"))
    """

    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.path = os.fspath(path)
        self._descriptor = os.open(path, os.O_RDONLY) if fcntl else None
        if fcntl:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise
            except OSError:  # a file system without locks
                pass

    def __fspath__(self):
        return self.path

    def close(self):
        """Leave the folder to others."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def latest_checkpoint(root, tag):
    """The path of the last.pt in ROOT/TAG, ROOT/TAG-2, ... that was written last; ROOT/TAG/last.pt where there is none.

    Args:
        root, tag: as for `take_folder`.

    Example:
        state = training.load_checkpoint(training.latest_checkpoint("runs", "mine"))
    """
    stem = os.path.join(root, tag)
    folders = [folder for folder in glob.glob(glob.escape(stem) + "*") if re.fullmatch(r"(-\d+)?", folder[len(stem) :])]
    files = [path for path in (os.path.join(folder, "last.pt") for folder in folders) if os.path.isfile(path)]
    return max(files, key=os.path.getmtime, default=os.path.join(stem, "last.pt"))
