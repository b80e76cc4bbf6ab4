"""Are two checkpoints of a run the same, bit for bit?"""

import cnn


def assert_same_checkpoint(path, other, but=()):
    """The files hold the same; `but`: keys that may differ."""
    same(strip(cnn.load(path), but), strip(cnn.load(other), but), "")


def strip(state, but):
    """A checkpoint without the times and paths in it."""
    state = {key: value for key, value in state.items() if key not in ("seconds", *but)}
    state["options"] = {key: value for key, value in state["options"].items() if key not in ("num_epochs", "run_root")}
    state["history"] = [{key: value for key, value in row.items() if key != "minutes"} for row in state["history"]]
    return state


def same(a, b, where):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}/{i}")
    elif isinstance(a, cnn.Tensor):
        assert a.dtype == b.dtype, where
        assert a.numpy().tobytes() == b.numpy().tobytes(), where
    else:
        assert a == b, where
