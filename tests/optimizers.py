"""Steps one of our optimizers beside torch's: the same parameters, the same gradients, step after step."""

import numpy as np
import pytest
from harness import COUNTS, assert_close, channels_last, check_threads, rng, torch

import cnn
from cnn import nn

SHAPES = [(3, 4), (), (0, 2), (2, 3, 2, 2), (10001,)]
STEPS = 22


def both(array):
    """One array as a parameter of ours and of torch's."""
    theirs = torch.nn.Parameter(torch.from_numpy(np.array(array))) if torch is not None else None
    return nn.Parameter(cnn.from_numpy(np.array(array, order="K"))), theirs


def set_gradients(pairs, random, kind, absent=None):
    for i, (ours, theirs) in enumerate(pairs):
        gradient = np.asarray(random.standard_normal(ours.shape)).astype(kind)
        ours.grad = None if i == absent else cnn.from_numpy(gradient)
        theirs.grad = None if i == absent else torch.from_numpy(gradient.copy())


def compare(name, options, kind, seed=0, steps=STEPS, shapes=SHAPES):
    """`steps` steps with random gradients, some of them absent: parameters and state agree with torch's."""
    if torch is None:
        pytest.skip("PyTorch is not installed: NOTHING is compared with it here")
    random = rng(seed)
    pairs = [both(np.asarray(random.standard_normal(shape)).astype(kind)) for shape in shapes]
    ours = getattr(cnn.optim, name)([p for p, _ in pairs], **options)
    theirs = getattr(torch.optim, name)([p for _, p in pairs], **options)
    for step in range(steps):
        set_gradients(pairs, random, kind, absent=1 if step in (0, 7) else None)
        ours.step()
        theirs.step()
        if step in (0, 1, 8, steps - 1):
            compare_parameters(pairs, f"{name}({options}), step {step}")
    compare_state(ours, theirs)
    COUNTS["torch"] += 1
    return ours, theirs, pairs


def compare_parameters(pairs, what):
    for i, (p, q) in enumerate(pairs):
        assert_close(p._a, q.detach().numpy(), STEPS, f"{what}: parameter {i}")


def compare_state(ours, theirs):
    """state_dict() has the same keys, types and values."""
    mine, reference = ours.state_dict(), theirs.state_dict()
    assert mine["param_groups"] == reference["param_groups"]
    assert list(mine["state"]) == list(reference["state"])
    for number, expected in reference["state"].items():
        got = mine["state"][number]
        assert list(got) == list(expected), f"parameter {number}: state {list(got)}, expected {list(expected)}"
        for key, value in expected.items():
            if torch.is_tensor(value):
                assert_close(got[key]._a, value.numpy(), STEPS, f"parameter {number}: {key}")
            else:
                assert got[key] == value


def as_torch(value):
    """A state_dict of ours as one of torch's."""
    if isinstance(value, cnn.Tensor):
        return torch.from_numpy(np.array(value._a))
    if isinstance(value, dict):
        return {k: as_torch(v) for k, v in value.items()}
    return [as_torch(v) for v in value] if isinstance(value, list) else value


def as_ours(value):
    """A state_dict of torch's as one of ours."""
    if torch.is_tensor(value):
        return cnn.from_numpy(np.array(value.numpy()))
    if isinstance(value, dict):
        return {k: as_ours(v) for k, v in value.items()}
    return [as_ours(v) for v in value] if isinstance(value, list) else value


def check_state_round_trip(name, options):
    """State goes to torch and back, and both sides step on from it to the same parameters."""
    ours, theirs, pairs = compare(name, options, np.float32, seed=3, steps=3)
    new_ours = getattr(cnn.optim, name)([p for p, _ in pairs], lr=99)
    new_theirs = getattr(torch.optim, name)([p for _, p in pairs], lr=99)
    new_theirs.load_state_dict(as_torch(ours.state_dict()))
    new_ours.load_state_dict(as_ours(theirs.state_dict()))
    compare_state(new_ours, new_theirs)
    random = rng(4)
    for step in range(3):
        set_gradients(pairs, random, np.float32)
        new_ours.step()
        new_theirs.step()
        compare_parameters(pairs, f"{name} after loading, step {step}")


def check_any_memory(name, options):
    """Parameters, gradients and state may lie in memory as they like; two types may share a group."""
    base = rng(5).standard_normal((2, 3, 4, 5))
    layouts = {
        "contiguous": lambda a: a.copy(),
        "Fortran": np.asfortranarray,
        "channels last": channels_last,
        "slice": lambda a: np.repeat(a, 2, axis=3)[..., ::2],
        "negative stride": lambda a: a[::-1].copy()[::-1],
    }
    arrays = {key: layout(base) for key, layout in layouts.items()}
    arrays["float32"] = base.astype(np.float32)
    params = {key: nn.Parameter(cnn.from_numpy(a)) for key, a in arrays.items()}
    optimizer = getattr(cnn.optim, name)(params.values(), **options)
    random = rng(6)
    for _ in range(4):
        gradient = random.standard_normal(base.shape)
        for i, (key, p) in enumerate(params.items()):
            other_layout = list(layouts.values())[i % len(layouts)]
            p.grad = cnn.from_numpy(other_layout(gradient.astype(arrays[key].dtype)))
        optimizer.step()
    for key, p in params.items():
        assert p._a is arrays[key] or np.shares_memory(p._a, arrays[key]), f"{key}: the memory was replaced"
        if key == "float32":
            np.testing.assert_allclose(p._a, params["contiguous"]._a, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(p._a, params["contiguous"]._a, err_msg=key)
        COUNTS["memory"] += 1


def check_thread_counts(name, options):
    def run():
        random = rng(7)
        params = [nn.Parameter(cnn.from_numpy(random.standard_normal(n).astype(np.float32))) for n in (3, 90001, 50)]
        optimizer = getattr(cnn.optim, name)(params, **options)
        for _ in range(3):
            for p in params:
                p.grad = cnn.from_numpy(random.standard_normal(p.shape).astype(np.float32))
            optimizer.step()
        return params

    check_threads(run)
