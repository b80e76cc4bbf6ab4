"""FloatTensor(...), x.new(...), Tensor(...): which arguments are a shape and which are data, as in torch."""

import numpy as np
import pytest
from harness import needs_torch

import cnn

S = (5, 2)  # the shape of x

#   a call, with `torch` for the package; values are looked at where there are any
CALLS = [
    "torch.FloatTensor(x.size())", "torch.FloatTensor(x.shape)", "torch.LongTensor(x.size())", "x.new(x.size())",
    "x.new(size=(2, 3))", "torch.FloatTensor(size=x.size())", "torch.FloatTensor(size=(2, 3))",
    "torch.Tensor(x.size())",
    "torch.Tensor(size=(2, 3))", "torch.FloatTensor(2, 3)", "torch.FloatTensor(np.int64(3))", "torch.FloatTensor()",
    "torch.Tensor()", "x.new()", "x.new(2, 3)", "x.long().new(x.size())", "torch.BoolTensor(x.size())",
    "torch.DoubleTensor(3, device='cpu')",
]  # fmt: skip
DATA = [
    "torch.FloatTensor([2, 3])", "torch.FloatTensor((2, 3))", "torch.FloatTensor([[1, 2], [3, 4]])", "x.new([1, 2])",
    "torch.LongTensor([1.5, 2])", "torch.FloatTensor(range(3))", "torch.FloatTensor(np.ones(2))", "x.new((4,))",
    "torch.FloatTensor(torch.ones(2))", "torch.Tensor(torch.arange(2))", "torch.Tensor([1], device='cpu')",
    "torch.Tensor(data=[1, 2])", "x.new_tensor(x.size())", "torch.tensor(x.size())", "x.long().new([1.5])",
]  # fmt: skip
REFUSED = [
    ("torch.FloatTensor(3.0)", "FloatTensor(): data must be a sequence (got float)"),
    ("torch.FloatTensor(True)", "data must be a sequence (got bool)"),
    ("torch.Tensor(1.5)", "Tensor(): data must be a sequence (got float)"),
    ("torch.Tensor(None)", "data must be a sequence (got NoneType)"),
    ("torch.LongTensor(torch.ones(2))", "LongTensor(): expected a tensor of torch.int64, got one of torch.float32"),
    ("torch.FloatTensor('a')", "invalid data type 'str'"),
    ("torch.FloatTensor([1], [2])", "expected the sizes of the shape as integers"),
    ("torch.FloatTensor(2, 3.0)", "expected the sizes of the shape as integers"),
    ("torch.FloatTensor(x.size(), 2)", "expected the sizes of the shape as integers"),
    ("torch.FloatTensor(iter([1]))", "data must be a sequence"),
    ("torch.Tensor([1], requires_grad=True)", "unexpected keyword argument 'requires_grad'"),
    ("torch.FloatTensor(2, size=(2,))", "a shape or data"),
]


def made(call, package):
    return eval(call, {"torch": package, "np": np, "x": package.ones(*S)})


@needs_torch
@pytest.mark.parametrize("call", CALLS + DATA)
def test_it_is_torchs(call):
    import torch

    ours, theirs = made(call, cnn), made(call, torch)
    assert tuple(ours.shape) == tuple(theirs.shape) and repr(ours.dtype) == repr(theirs.dtype)
    if call in DATA:
        assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("call", [call for call in CALLS if "x.size()" in call or "x.shape" in call])
def test_a_size_is_a_shape(call):
    assert made(call, cnn).shape == S


@needs_torch
@pytest.mark.parametrize(("call", "says"), REFUSED)
def test_what_torch_refuses(call, says):
    import torch

    with pytest.raises(TypeError) as problem:
        made(call, cnn)
    assert says in str(problem.value) and "\n" not in str(problem.value)
    with pytest.raises(TypeError):
        made(call, torch)


def test_a_negative_size():
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        cnn.FloatTensor(-1)


def test_names_are_good_for_isinstance():
    assert isinstance(cnn.ones(2), cnn.FloatTensor) and not isinstance(cnn.ones(2), cnn.LongTensor)
