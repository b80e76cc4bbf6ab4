"""as_strided: a view of the memory behind a tensor, with the gradient of what lies where."""

import numpy as np
import pytest
from harness import check_against_torch, check_gradients, rng

import cnn

# of a (4, 6) tensor, and of views of one
CASES = {
    "part": lambda x: x.as_strided((2, 3), (6, 2)),
    "overlapping windows": lambda x: x.as_strided((5, 3), (4, 2), 1),
    "one element often": lambda x: x.as_strided((3, 2), (0, 0), 7),
    "of a slice, from its first element": lambda x: x[1:].as_strided((2, 2), (3, 1)),
    "of a slice, from the beginning": lambda x: x[1:].as_strided((2, 2), (3, 1), 0),
    "of a transposed view": lambda x: x.t().as_strided((3, 4), (5, 1), 2),
    "of an expanded view": lambda x: x[:, :1].expand(4, 3).as_strided((4, 3), (6, 1)),
    "empty": lambda x: x.as_strided((0, 3), (1, 1)),
    "0-d": lambda x: x.as_strided((), (), 5),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    f, x = CASES[name], rng(0).standard_normal((4, 6))
    # An expanded view shares the gradient between elements that are one in memory; none reaches elements outside x.
    if name not in ("of an expanded view", "of a slice, from the beginning"):
        check_gradients(lambda a: f(a * 1), x)
    check_against_torch(lambda a: f(a * 1), lambda a: f(a * 1), x)


def test_it_is_a_view():
    x = cnn.zeros(2, 3)
    x.as_strided((2,), (4,)).fill_(1)
    assert x.tolist() == [[1, 0, 0], [0, 1, 0]]
    w = cnn.ones(2, requires_grad=True)
    y = cnn.zeros(2, 3)
    y.as_strided((2,), (4,)).copy_(w)
    y.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_an_output_that_lies_channels_last_counts_as_contiguous():
    conv = cnn.nn.Conv2d(3, 32, 3, padding=1)
    y = conv(cnn.ones(1, 3, 8, 8)).detach()
    assert np.array_equal(y.as_strided((8, 8), (8, 1)).numpy(), y[0, 0].numpy())


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda x: x.as_strided((9,), (1,)), "need 9 elements, but the storage has 6"),
        (lambda x: x.as_strided((2,), (1, 1)), "mismatch in length"),
        (lambda x: x.as_strided((2,), (-1,)), "Negative strides"),
    ],
)
def test_refusals(call, text):
    with pytest.raises(RuntimeError, match=text):
        call(cnn.zeros(2, 3))
