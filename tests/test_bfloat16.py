"""bfloat16: values of 8 bits of precision that lie in float32, beside torch's own."""

import copy
import io
import pickle

import numpy as np
import pytest
from harness import COUNTS, needs_torch, torch

import cnn
from cnn import nn
from cnn.autograd.bfloat16 import round_

nan, inf = float("nan"), float("inf")


def test_a_value():
    x = cnn.tensor([1.2345678]).bfloat16()
    assert x.item() == 1.234375 and x.element_size() == x.itemsize == 2 and x.nbytes == 2
    assert x.dtype is cnn.bfloat16 and x.type() == "torch.BFloat16Tensor" and "dtype=torch.bfloat16" in repr(x)
    for make in (
        lambda v: cnn.tensor(v, dtype=cnn.bfloat16),
        lambda v: cnn.as_tensor(v, dtype=cnn.bfloat16),
        lambda v: cnn.tensor(v).to(cnn.bfloat16),
        lambda v: cnn.tensor(v).type(cnn.bfloat16),
        lambda v: cnn.zeros(1, dtype=cnn.bfloat16).copy_(cnn.tensor(v)),
        lambda v: cnn.zeros(1, dtype=cnn.bfloat16) + cnn.tensor(v).bfloat16(),
        lambda v: x.new_tensor(v),
        lambda v: cnn.full_like(x, v[0]),
        lambda v: x.new_zeros(1).fill_(v[0]),
    ):
        y = make([1.2345678])
        assert y.item() == 1.234375 and y.dtype is cnn.bfloat16


def is_rounded(t):
    array = t.detach()._a
    return t.dtype is cnn.bfloat16 and np.array_equal(round_(array.copy()), array, equal_nan=True)


SPECIAL = [
    0.0,
    -0.0,
    1.0,
    1.00390625,
    1.01171875,
    -2.9999,
    3.4e38,
    -3.4e38,
    inf,
    -inf,
    nan,
    1e-40,
    -9.2e-41,
    1e-45,
    1 / 3,
]


@needs_torch
def test_rounding():
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    values = np.concatenate([np.array(SPECIAL, np.float32), bits.view(np.float32)])
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    assert np.array_equal(cnn.from_numpy(values).bfloat16().float().numpy(), expected, equal_nan=True)
    COUNTS["torch"] += 1


CALLS = {
    "+": lambda T, a, b: a + b,
    "- number": lambda T, a, b: a - 0.1,
    "* number": lambda T, a, b: 0.1 * a,
    "/": lambda T, a, b: a / b,
    "**": lambda T, a, b: a.abs() ** 1.5,
    "exp": lambda T, a, b: a.exp(),
    "sqrt": lambda T, a, b: a.abs().sqrt(),
    "sum": lambda T, a, b: a.sum(),
    "mean": lambda T, a, b: a.mean(0),
    "max": lambda T, a, b: a.max(1).values,
    "matmul": lambda T, a, b: a @ b.t(),
    "cat": lambda T, a, b: T.cat([a, b]),
    "stack": lambda T, a, b: T.stack([a, b]),
    "view": lambda T, a, b: a.view(-1)[2:5],
    "where": lambda T, a, b: T.where(a > 0, a, b),
    "clamp": lambda T, a, b: a.clamp(-0.3, 0.7),
    "float32 beside": lambda T, a, b: a + b.float(),
    "float16 beside": lambda T, a, b: a + b.half(),
    "double beside": lambda T, a, b: a * b.double(),
    "integers beside": lambda T, a, b: a + T.ones(5, dtype=T.int64),
    "0-d float32 beside": lambda T, a, b: a + T.tensor(0.1),
    "0-d bfloat16 beside": lambda T, a, b: a.float() + T.tensor(0.1, dtype=T.bfloat16),
    "in place": lambda T, a, b: a.clone().add_(b).mul_(0.3),
    "in place with float32": lambda T, a, b: a.clone().add_(b.float()),
    "through a view": lambda T, a, b: _through_view(a),
    "//": lambda T, a, b: a // b,
    "cat with integers": lambda T, a, b: T.cat([a, T.ones(1, 5, dtype=T.int64)]),
    "where with integers": lambda T, a, b: T.where(a > 0, a, T.ones(5, dtype=T.int64)),
    "clamp between": lambda T, a, b: a.clamp(-b.abs(), b.abs()),
    "diag": lambda T, a, b: T.diag(a[0]),
    "float": lambda T, a, b: a.float(),
    "comparison": lambda T, a, b: a > b,
    "zeros_like": lambda T, a, b: T.zeros_like(a),
    "relu": lambda T, a, b: T.relu(a),
    "softmax": lambda T, a, b: a.softmax(1),
    "linear": lambda T, a, b: T.nn.functional.linear(a, b),
    "mse_loss": lambda T, a, b: T.nn.functional.mse_loss(a, b),
}


def _through_view(a):
    a = a.clone()
    a[0] = 0.1
    a[:, 1].mul_(1.1)
    return a


@needs_torch
@pytest.mark.parametrize("call", CALLS)
def test_calls_beside_torch(call):
    a, b = np.random.default_rng(1).standard_normal((2, 3, 5)).astype(np.float32)
    results = []
    for T in (cnn, torch):
        x, y = T.from_numpy(a.copy()).bfloat16(), T.from_numpy(b.copy()).bfloat16()
        results.append(CALLS[call](T, x, y))
    got, want = results
    assert str(got.dtype) == str(want.dtype)
    if got.dtype is cnn.bfloat16:
        assert is_rounded(got)
    got, want = (np.array(r.double().tolist()) for r in results)
    # one bit at most: sums of a few terms may be rounded on the way
    np.testing.assert_allclose(got, want, rtol=2**-7)
    COUNTS["torch"] += 1


def test_types():
    low = cnn.bfloat16
    assert cnn.promote_types(low, cnn.int64) is low and cnn.promote_types(low, low) is low
    assert cnn.promote_types(low, cnn.float16) is cnn.float32 and cnn.promote_types(cnn.float64, low) is cnn.float64
    x = cnn.ones(2, dtype=low)
    assert cnn.result_type(x, 1.5) is low and cnn.result_type(x, cnn.ones(2)) is cnn.float32
    info = cnn.finfo(low)
    assert (info.bits, info.eps, info.max, info.tiny) == (16, 2.0**-7, 3.3895313892515355e38, 2.0**-126)
    for refused in (lambda: x.numpy(), lambda: x.view(cnn.int16), lambda: cnn.frombuffer(bytearray(4), dtype=low)):
        with pytest.raises((TypeError, NotImplementedError), match="BFloat16|bfloat16"):
            refused()


def test_what_shares_memory_is_of_the_type():
    x = cnn.tensor([0.1, 0.2], dtype=cnn.bfloat16)
    for t in (x.detach(), x.data, x[0], x.view(2, 1), x.t(), copy.copy(x), copy.deepcopy(x), nn.Parameter(x),
              pickle.loads(pickle.dumps(x))):  # fmt: skip
        assert is_rounded(t)
    x[0].add_(0.3)
    assert is_rounded(x) and x[0].item() == 0.400390625


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
def test_a_network_learns(optimizer):
    cnn.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3))
    net.bfloat16()
    x, t = cnn.randn(12, 1, 8, 8).bfloat16(), cnn.arange(12) % 3
    step = getattr(cnn.optim, optimizer)(net.parameters(), lr={"SGD": 0.2}.get(optimizer, 0.02))
    losses = []
    for _ in range(30):
        y = net(x)
        assert is_rounded(y)
        loss = nn.functional.cross_entropy(y, t)
        assert is_rounded(loss)
        step.zero_grad()
        loss.backward()
        assert all(is_rounded(p.grad) for p in net.parameters())
        step.step()
        assert all(map(is_rounded, net.parameters()))
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@needs_torch
def test_files():
    values = torch.tensor(SPECIAL).bfloat16()
    file = io.BytesIO()
    torch.save({"a": values, "b": values[3:]}, file)
    file.seek(0)
    loaded = cnn.load(file)
    assert is_rounded(loaded["a"]) and np.array_equal(loaded["a"].float().numpy(), values.float(), equal_nan=True)
    file = io.BytesIO()
    cnn.save(loaded, file)
    file.seek(0)
    back = torch.load(file)
    assert back["a"].dtype is torch.bfloat16 and back["a"].untyped_storage().nbytes() == 2 * len(SPECIAL)
    assert torch.equal(back["a"].view(torch.int16), values.view(torch.int16))
    assert back["a"][3:].data_ptr() == back["b"].data_ptr()
    COUNTS["torch"] += 1
