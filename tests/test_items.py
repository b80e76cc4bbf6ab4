"""`x[index]`, `x[index] = value` and index_put: one table of expressions, each run with torch and here."""

import warnings

import harness
import numpy as np
import pytest

import cnn

INDEXES = """
0, :, T([0, 1])                 |  0, T([[0, 1], [2, 2]]), None     |  -1, ..., T([0, 1])
None, 0, :, T([0, 1])           |  0, None, T([0, 1])               |  :, 0, T([3, -1])
T([[0]]), :, T([0, 1])          |  T([0, 1]), T([0, 2])             |  :, T([0, 1]), T([1, 1])
True                            |  False                            |  None, True
T(True)                         |  :, True, T([0, 1])               |  :, False, T([0, 1])
x > 5                           |  (x > 5)[0]                       |  :, (x > 5)[0]
0, (x > 5)[0]                   |  0, T([True, False, True])        |  ..., T([True, False, True, False])
0, :, T([True, True, False, False])  |  T([True, False, True])      |  :, [True, False]
[0, 1]                          |  [[0, 1], [0, 1]]                 |  [0, slice(None)]
[[0], [1, 2]]                   |  [None]                           |  [T(1), T(0)]
[1, T(0)]                       |  []                               |  range(2)
0, [0, 1]                       |  [1.5]                            |  np.array([0, 1])
np.int64(1)                     |  np.array(1)                      |  T(1)
T(1, dtype=torch.uint8)         |  T([0, 1], dtype=torch.uint8)     |  T([1], dtype=torch.int32)
T([1], dtype=torch.int8)        |  T([])                            |  T([], dtype=torch.long)
5                               |  0, 5                             |  T([5])
:, T([-4])                      |  0, :, T([4])                     |  0, 0, 0, 0
0, ..., 0, 0, 0                 |  ..., ...                         |  1.5
::-1                            |  ::0                              |  1.0:2
:, T([0, 1]), T([0, 1, 2])      |  0:T(1)                           |  T([[True, False]])
()                              |  ...                              |  :, :
1:, ::2, -3:                    |  7:                               |  ..., 0
""".replace("\n", "|").split("|")
VALUES = ["5", "torch.ones(1)", "torch.ones(1, 1, 1, 4)", "torch.ones(2)", "torch.arange(24.).reshape(2, 3, 4)", "T(3)",
          "torch.ones(2, 1, 1, 1)", "torch.ones(4).double()"]  # fmt: skip
CASES = [f"x[{index.strip()}]" for index in INDEXES if index.strip()]


def _run(library, line):
    """(kind of error, or None; what came; x afterwards)"""
    x = library.arange(24.0).reshape(2, 3, 4)
    names = {"x": x, "y": None, "T": library.tensor, "torch": library, "np": np}
    try:
        exec(line, names)
    except Exception as error:
        return error, None, x.tolist()
    y = names["y"]
    return None, y if y is None else (y.tolist(), tuple(y.shape)), x.tolist()


def _compare(line):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, theirs, their_x = _run(harness.torch, line)
    got, ours, our_x = _run(cnn, line)
    if wanted is not None:
        assert isinstance(got, type(wanted)), f"{line}: torch raises {wanted!r}, we {got!r}"
    else:
        assert got is None, f"{line}: torch computes, we raise {got!r}"
    assert ours == theirs, line
    assert our_x == their_x or wanted is not None, line  # torch looks at some mistakes when it has begun to write
    harness.COUNTS["torch"] += 1


@harness.needs_torch
@pytest.mark.parametrize("case", CASES)
def test_reading(case):
    _compare(f"y = {case}")


@harness.needs_torch
@pytest.mark.parametrize("case", CASES)
def test_writing(case):
    if "uint8" in case:
        return  # torch takes such a mask with some values and refuses it with others
    for value in VALUES:
        _compare(f"{case} = {value}")
    _compare(f"x[:, 1:].transpose(1, 2){case[1:]} = 7")


@harness.needs_torch
@pytest.mark.parametrize("case", CASES)
def test_gradients(case):
    """Of what is read and of what is written, with a gradient that differs from place to place."""
    line = f"w = x * 2; z = {case}; w{case[1:]} = z.detach() * v.sum(); y = (w * x).sum() + (z * z).sum()"
    grads = []
    for library in (harness.torch, cnn):
        x = library.arange(24.0).reshape(2, 3, 4).requires_grad_()
        v = library.ones(2, requires_grad=True)
        names = {"x": x, "v": v, "T": library.tensor, "torch": library, "np": np}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec(line, names)
        except Exception:  # test_reading looks at the errors
            grads.append(None)
            continue
        names["y"].backward()
        grads.append((x.grad.tolist(), v.grad is not None and v.grad.tolist()))
    assert grads[0] == grads[1]


@harness.needs_torch
def test_index_put():
    for line in [
        "y = x.index_put_((T([0, 0]), T([1, 1])), torch.ones(2, 4), accumulate=True)",
        "y = x.index_put((T([0, 0]), T([1, 1])), torch.ones(4), accumulate=True)",
        "y = x.index_put_((T([0, 1]),), torch.ones(1))",
        "y = torch.index_put(x, [x > 3], T([1.]))",
        "y = x.index_put_((T(0),), torch.ones(1, 3, 4))",
        "y = x.index_put_((T(0), T([0, 1])), torch.ones(3, 4))",
        "y = x.index_put_((T([0]), None), torch.ones(1))",
        "y = x.index_put_((T([0]),), torch.ones(1).double())",
        "y = x.index_put_((T([5]),), torch.ones(1))",
    ]:
        _compare(line)


@harness.needs_torch
def test_layout_of_what_is_read():
    """As torch lays it out, which decides of what view is possible and in which order random values come."""
    orders = ["x", "x.transpose(0, 2)", "x.permute(1, 2, 0)", "x.permute(2, 0, 1)"]
    indexes = ["i", ":, i", "..., i", ":, i, i", "i, :, i", ":, :, i[None]", "j", ":, j.T"]
    for order in orders:
        for index in indexes:
            strides = []
            for library in (harness.torch, cnn):
                x = library.arange(27.0).reshape(3, 3, 3)
                i, j = library.tensor([0, 1]), library.tensor([[0, 1, 2], [1, 1, 0]])
                strides.append(tuple(eval(f"({order})[{index}]", {"x": x, "i": i, "j": j}).stride()))
            assert strides[0] == strides[1], f"({order})[{index}]"


def test_what_cannot_be_assigned_is_named():
    x = cnn.zeros(2)
    with pytest.raises(TypeError, match="can't assign a NoneType to a torch.FloatTensor"):
        x[0] = None
    with pytest.raises(TypeError, match="can't assign a str"):
        x[0] = "a"
    x[:] = [1, 2]  # torch refuses
    assert x.tolist() == [1, 2]


FUNCTIONS = """
T(3.).flip(0) | T(3.).flip(1) | x.flip(0, 0) | T(3.).unfold(0, 1, 1) | T(3.).unfold(0, 0, 1) | T(3.).unfold(0, 2, 1)
x.unfold(0, -1, 1) | x.unfold(0, 3, 1) | x.unfold(0, 1, 0) | x.unfold(2, 0, 1) | torch.zeros(0, 2).unfold(1, 2, 1)
T(3.).movedim(0, 0) | x.movedim((0, 0), (1, 2)) | x.movedim((0, 1), (1, 1)) | x.movedim((0, 1), (1,))
x.roll((1, 2), 0) | x.roll((1, 2), (0,)) | x.roll((1, 2)) | x.roll(1, (0, 1)) | T(3.).roll(1) | T(3.).roll(1, 0)
x.roll((1, 2), (0, -1)) | x.roll(5) | x[:1].squeeze((0, 0)) | x[:1].squeeze((0, 1)) | T(3.).squeeze(0)
x.unflatten(2, (2, -1)) | x.unflatten(2, (3, -1)) | x.unflatten(-1, (-1, -1)) | T(3.).unflatten(0, (1, 1))
x.transpose(0, 1).unflatten(0, (3, 1)) | x.narrow(0, -1, 1) | x.narrow(0, -3, 1) | x.narrow(0, 0, 3)
x.narrow(0, T(0), 1) | x.narrow(0, 2, 0) | x.narrow(0, 3, 0) | x.narrow(1, 4, 0) | x.narrow(0, 3, 1)
x.narrow(0, 1, -1) | T(3.).narrow(0, 0, 1) | x.select(0, 2) | x.select(1, -4)
T(3.).select(0, 0) | x[0].diagonal().fill_(1) | x.diagonal(1, -1, 0).mul_(2) | x.diagonal(0, 1, 1) | x.diagonal(9)
x[0].diag().fill_(2) | x.index_select(0, T([0.])) | x.index_select(0, T([[0]])) | x.index_select(1, T([-1]))
x.index_select(1, T([2, 0, 2])) | T(3.).index_select(0, T([0])) | T(3.).index_select(0, T(0)) | x.index_select(1, T(1))
x.index_fill_(0, T([[0]]), 3) | x.index_fill_(0, T([0]), T(3.)) | x.index_fill_(0, T([0]), T([3.]))
x.index_fill_(1, T([-1]), 2) | T(3.).index_fill_(0, T([0]), 1.) | T(3.).index_fill_(0, T([1]), 1.)
x.index_copy_(0, T([0, 0]), x + 1) | x.index_copy_(0, T([0]), x + 1) | x.index_copy_(0, T([0]), (x + 1)[:1].double())
x.index_copy_(1, T([-1]), x[:, :1]) | T(3.).index_copy_(0, T([0]), T(4.)) | x.index_copy_(2, T([1, 3]), x[:, :, :2] + 1)
x.index_add_(0, T([0, 0]), x + 1) | x.index_add_(0, T([0, 2]), x + 1) | x.index_add_(0, T([0, -1]), x + 1)
x.index_add_(0, T([0]), x + 1) | T(3.).index_add_(0, T([0]), T(4.))
x.index_add_(2, T([1, 3]), x[..., :2] + 0, alpha=2)
x.masked_scatter_(x > 3, T([1.])) | x.masked_scatter_(x > 20, T([1., 2., 3., 4.])) | x.masked_fill_(x[..., :2] > 3, 1)
x.masked_fill(x[0] > 3, 1) | x[0].masked_fill_(x > 3, 1) | T(3.).take(T(0)) | T(3.).take(T([0, -1]))
x.take(T([[24]])) | x.take(T([[-1]])) | x.take(T([0.])) | x.expand(2, 2, 3, 4).zero_() | x[:1].expand(2, 3, 4).zero_()
x[:1].expand(2, 3, 4).add_(1) | x[:1].expand(2, 3, 4).copy_(x) | x[:1].expand(2, 3, 4).mul_(2)
x[:1].expand(2, 3, 4).masked_fill_(x > 3, 1) | x[:1].expand(2, 3, 4).fill_(2) | x[:1].expand(2, 3, 4).fill_(T(2.))
x[:1].expand(2, 3, 4).clamp_(0, 1) | x[:1].expand(2, 3, 4).normal_() | x[:1].expand(2, 3, 4).relu_()
x[:1].expand(2, 3, 4).index_fill_(0, T([0]), 1.) | x[:1].expand(2, 3, 4).scatter_(0, T([[[0]]]), 1.)
x[:1].expand(2, 3, 4).index_add_(0, T([0]), x[:1]) | x[:1].expand(2, 3, 4).masked_scatter_(x > 3, x)
x[:1].expand(2, 3, 4).index_copy_(0, T([0]), x[:1]) | x[:1].expand(2, 3, 4).exp_() | x[:1].expand(2, 3, 4)[1].add_(1)
x.expand(2, 3, 4).add_(1) | x[:1].expand(1, 3, 4).add_(1) | torch.zeros(4, 0, 3).expand(4, 0, 3).add_(1)
torch.cat([]) | torch.stack([]) | torch.broadcast_tensors(x, x[0, 0])[1] | T(3.).nonzero() | T(3.).argwhere()
torch.meshgrid(x[0, 0], x[0, 1, :3], indexing="xy")[1] | torch.meshgrid(x[0, 0], x[0, 1, :3], T(2.), indexing="xy")[2]
torch.meshgrid(x[0, 0], x[0, 0].int(), indexing="ij")[1] | torch.meshgrid(x[0, 0], indexing="k")[0]
torch.meshgrid(x[0, 0][:1], x[0, 1], indexing="ij")[1].zero_()
torch.meshgrid(x[0, 0], x[0, 1], indexing="ij")[0].add_(1)
""".replace("\n", "|").split("|")
PIECES = """
torch.zeros(2, 0).chunk(2, 1) | torch.zeros(2, 0).split(2, 1) | torch.zeros(2, 0).split(0, 1) | T(3.).chunk(1)
torch.zeros(2, 5).chunk(4, 1) | torch.zeros(2, 5).tensor_split((-2, 7, 3), 1) | T(3.).split(1) | x.chunk(0) | x.split(0)
torch.zeros(2, 5).tensor_split(T(2), 1) | torch.zeros(2, 5).tensor_split(T([2, 3]), 1) | x.tensor_split(0)
x.split([1, 1], 1) | x.split([1, 2], 1) | x.split([-1, 4], 1) | x.split(-1, 1) | x.unbind(3)
x.unbind(1) | T(3.).unbind()
torch.tensor_split(x, 2, -1) | torch.tensor_split(x, 5, 1) | torch.tensor_split(x, [1], 2) | T(3.).tensor_split(2)
""".replace("\n", "|").split("|")


@harness.needs_torch
@pytest.mark.parametrize("call", [call.strip() for call in FUNCTIONS if call.strip()])
def test_functions(call):
    """What each returns, and what became of x: a view that was written through, or an error of the same kind."""
    _compare(f"y = {call}")


@harness.needs_torch
@pytest.mark.parametrize("call", [call.strip() for call in PIECES if call.strip()])
def test_pieces(call):
    _compare(f"pieces = {call}; y = T([list(p.shape) + [float(p.sum())] for p in pieces])")
    _compare(f"pieces = [p.fill_(i) for i, p in enumerate({call})]")


def test_the_gradient_of_a_value_of_another_type():
    """It comes back in the value's type: fills, masks and assignments take any."""
    for write in [
        lambda x, v: x.fill_(v),
        lambda x, v: x.masked_fill_(x > 1, v),
        lambda x, v: x.__setitem__(0, v),
        lambda x, v: x.__setitem__(x > 1, v),
        lambda x, v: x.copy_(v),
    ]:
        x = cnn.arange(3.0) + cnn.zeros(1, requires_grad=True)
        v = cnn.tensor(1.5, dtype=cnn.float64, requires_grad=True)
        write(x, v * 1)
        (gradient,) = cnn.autograd.grad(x.sum(), [v])
        assert gradient.dtype is cnn.float64
