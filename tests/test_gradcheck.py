"""gradcheck itself: it must accept right gradients, and find wrong ones and say where."""

import numpy as np
import pytest
from harness import needs_torch, rng, torch

import cnn
from cnn.autograd import Function, GradcheckError, gradcheck, gradgradcheck


def tensor(*shape, seed=0, grad=True):
    return cnn.from_numpy(np.asarray(rng(seed).uniform(0.5, 1.5, shape))).requires_grad_(grad)


class Wrong(Function):
    """x * w, with a gradient of x that is wrong in one entry."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dx = (dy * w).clone()
        dx[1, 2] += 0.25
        return dx, dy * x


class Random(Function):
    count = 0

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, dy):
        Random.count += 1
        return dy + 1e-9 * Random.count


def test_accepts_right_gradients():
    assert gradcheck(lambda x, w: (x * w, (x / w).sum(), x.exp()), (tensor(2, 3), tensor(2, 3, seed=1)))
    assert gradcheck(lambda x: x.t().reshape(-1)[1:], tensor(2, 3))
    assert gradcheck(lambda x, n: x * n, (tensor(3), 2.5))
    assert gradcheck(lambda x: (x * 2, x.argmax()), tensor(3))  # the second output has no gradient
    assert gradcheck(lambda x, y: x * 2, (tensor(3), tensor(3)))  # the second input has none
    assert gradcheck(lambda x: x * 2, tensor(0, 3))


def test_finds_a_wrong_entry():
    x, w = tensor(2, 3), tensor(2, 3, seed=1)
    with pytest.raises(GradcheckError) as caught:
        gradcheck(Wrong.apply, (x, w))
    message = str(caught.value)
    assert "output 0 with respect to input 0" in message
    assert "6 of 36 entries differ" in message  # the same entry for every gradient that comes in
    assert "d output[" in message
    assert "/ d input[1, 2]" in message
    assert gradcheck(Wrong.apply, (x, w), raise_exception=False) is False
    assert gradcheck(Wrong.apply, (x.detach(), w))
    assert gradcheck(Wrong.apply, (x, w), atol=0.3)


def test_finds_a_missing_gradient():
    with pytest.raises(GradcheckError, match="input 0"):
        gradcheck(lambda x: x.detach() * 2 + x * 0, tensor(3))


def test_finds_gradients_that_change():
    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Random.apply, tensor(3))
    assert gradcheck(Random.apply, tensor(3), nondet_tol=1e-6)


def test_leaves_the_inputs_as_they_were():
    x = tensor(2, 3)
    before = x.detach().clone()

    def fails_on_the_third_call(x, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 5:
            raise KeyError("stop")
        return x * 2

    with pytest.raises(KeyError):
        gradcheck(fails_on_the_third_call, x)
    assert cnn.equal(x.detach(), before)
    assert x.grad is None


def test_refuses_what_it_cannot_check():
    with pytest.raises(ValueError, match="at least one input tensor to require gradient"):
        gradcheck(lambda x: x, tensor(3, grad=False))
    with pytest.raises(ValueError, match="stride 0"):
        gradcheck(lambda x: x * 2, tensor(1).detach().expand(3).requires_grad_())
    with pytest.raises(NotImplementedError, match="forward-mode"):
        gradcheck(lambda x: x, tensor(3), check_forward_ad=True)
    with pytest.raises(NotImplementedError, match="double backward"):
        gradgradcheck(lambda x: x, tensor(3))
    with pytest.warns(UserWarning, match="double precision"):
        assert gradcheck(lambda x: x * 2, tensor(2).detach().float().requires_grad_(), eps=1e-2, atol=1e-2)


@needs_torch
@pytest.mark.parametrize("scale", [1.0, 1.0005, 1.01])
def test_same_verdict_as_torch(scale):
    """A gradient that is wrong by a factor: both libraries draw the line at rtol = 1e-3."""

    def verdict(lib, function, x):
        class Scaled(function):
            @staticmethod
            def forward(ctx, x):
                return x * 3

            @staticmethod
            def backward(ctx, dy):
                return dy * 3 * scale

        return lib.autograd.gradcheck(Scaled.apply, (x,), raise_exception=False)

    ours = verdict(cnn, Function, tensor(4))
    theirs = verdict(torch, torch.autograd.Function, torch.ones(4, dtype=torch.float64, requires_grad=True))
    assert ours == theirs == (scale < 1.001)
