"""The folder that a run writes to: one of its own, in RUN_ROOT/TAG, RUN_ROOT/TAG-2, RUN_ROOT/TAG-3, ..."""

import glob
import itertools
import os
import re

from options import InputError

try:
    import fcntl
except ImportError:  # Windows: two runs are kept apart by their folders' contents only
    fcntl = None


def take_folder(opt_dict):
    """(folder, its lock) for a run: the folder that a resumed one began in, else the first of RUN_ROOT/TAG,
    RUN_ROOT/TAG-2, RUN_ROOT/TAG-3, ... that is empty and no other run's. It is this run's until the lock is closed.
    """
    stem = os.path.join(opt_dict["run_root"], opt_dict["tag"])
    resumed = opt_dict.get("resume")
    if resumed:
        folder = resumed.get("folder", os.path.join(opt_dict["run_root"], resumed.get("run", opt_dict["tag"])))
        if folder:
            lock = lock_folder(folder)
            if lock is None:
                raise InputError(f"{folder}: another run is going on there; wait for it, or stop it with Ctrl-C")
            return folder, lock
    for number in itertools.count(1):
        folder = stem if number == 1 else f"{stem}-{number}"
        lock = lock_folder(folder)
        if lock and not os.listdir(folder):
            return folder, lock
        if lock:
            lock.close()


class Lock:
    """A folder is one process's until `close`, or until the process ends."""

    def __init__(self, folder):
        self.descriptor = os.open(folder, os.O_RDONLY) if fcntl else None
        if fcntl:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.close()
                raise
            except OSError:  # a file system without locks
                pass

    def close(self):
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


def lock_folder(folder):
    """The lock of a folder, which is made where it is not there; None where another run has it."""
    os.makedirs(folder, exist_ok=True)
    try:
        return Lock(folder)
    except BlockingIOError:
        return None


def latest_checkpoint(options):
    """The last.pt of TAG, TAG-2, ... that was written last; that of TAG where there is none."""
    stem = os.path.join(options["run_root"], options["tag"])
    folders = [folder for folder in glob.glob(glob.escape(stem) + "*") if re.fullmatch(r"(-\d+)?", folder[len(stem) :])]
    files = [path for path in (os.path.join(folder, "last.pt") for folder in folders) if os.path.isfile(path)]
    return max(files, key=os.path.getmtime, default=os.path.join(stem, "last.pt"))
