"""Checkpoints: what a resumed run needs to give the same bits as one that was never stopped.

last.pt is a dictionary in torch's file format:

    net, solver, schedule            state dicts of network, optimiser and schedule (None without one)
    epoch, batch, itr                whole epochs done, batches of the next one, iterations in all
    rng, epoch_rng                   the random numbers now, and where the epoch began: from there the order of the
                                     batches is drawn again
    info, history, sums              what was measured (`History`)
    seconds, best_acc, epochs_at_chance
    options, run                     the script's own options, and the name of the folder
"""

import os

import cnn
from cnn.errors import InputError, one_line

__all__ = ["load_checkpoint", "read_checkpoint"]

_COUNTS = ("epoch", "batch", "itr", "seconds", "epochs_at_chance", "best_acc", "epoch_rng")
_KEYS = {*_COUNTS, "sums", "info", "history", "rng", "options", "net", "solver", "schedule"}


def load_checkpoint(path, by="a run"):
    """The checkpoint of a run, for `Run(resume=...)` and `take_folder(resume=...)`.

    Args:
        path: a last.pt.
        by: who saves such files, for the error.

    Returns:
        The dictionary described above. It gets one more key, 'folder': where the file lies, if that is its run's
        folder, else None.

    Raises:
        InputError: there is no such file, or it is no run's checkpoint.

    Example:
        state = training.load_checkpoint("runs/mine/last.pt")
        print(state["epoch"], "epochs done")
    """
    state = read_checkpoint(path)
    _check(state, path, by)
    folder = os.path.dirname(path)
    run = state.get("run", state["options"].get("tag"))
    return {**state, "folder": folder if os.path.basename(folder) == run else None}


def _check(state, source, by):
    """An InputError that names the source, where the state is no run's."""
    if not isinstance(state, dict) or not set(state) >= _KEYS or not isinstance(state["options"], dict):
        raise InputError(f"{source}: expected a checkpoint that {by} saved as last.pt, got another file")


def read_checkpoint(path):
    """What is in any file of `cnn.save`'s.

    Raises:
        InputError: there is no such file, or it cannot be read.

    Example:
        net.load_state_dict(training.read_checkpoint("runs/mine/best.pt"))
    """
    if not os.path.isfile(path):
        raise InputError(f"{path}: no such checkpoint")
    try:
        return cnn.load(path)
    except Exception as problem:
        raise InputError(
            f"{path}: expected a checkpoint, got a file that cannot be read ({one_line(problem)})"
        ) from None


def state_of(run):
    """What last.pt holds, of a Run."""
    return {
        **{key: getattr(run, key) for key in _COUNTS},
        "sums": run.history.sums,
        "info": run.history.info,
        "history": run.history.rows,
        "rng": run.snapshot.rng,
        "options": run.options,
        "run": os.path.basename(run.folder),
        "net": run.net.state_dict(),
        "solver": run.optimizer.state_dict(),
        "schedule": None if run.scheduler is None else run.scheduler.state_dict(),
    }


def go_on_from(run, state):
    """Put a Run where the checkpoint left off: its records, network, optimiser and schedule, and the random numbers."""
    _check(state, "Run: resume", "a run")
    if (run.scheduler is None) != (state["schedule"] is None):
        words = ("without a schedule", "one with it") if run.scheduler is None else ("with a schedule", "one without")
        raise InputError(f"Run: resume: expected a checkpoint {words[0]}, got {words[1]}")
    for key in _COUNTS:
        setattr(run, key, state[key])
    run.history.sums, run.history.info, run.history.rows = state["sums"], state["info"], state["history"]
    run.net.load_state_dict(state["net"])
    run.optimizer.load_state_dict(state["solver"])
    if run.scheduler is not None:
        run.scheduler.load_state_dict(state["schedule"])
    best = run.folder and os.path.join(run.folder, "best.pt")
    if best and run.best_acc >= 0 and os.path.isfile(best):
        run.best = read_checkpoint(best)
    else:
        run.best_acc = -1.0
    cnn.set_rng_state(state["rng"])
