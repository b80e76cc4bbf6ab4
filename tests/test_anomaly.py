"""detect_anomaly: the operation whose gradient is NaN is named, and a warning shows where it was called."""

import warnings

import pytest
from harness import needs_torch, torch

import cnn
from cnn import nn


def root_of_zero(T):
    return (T.zeros(1, requires_grad=True).sqrt() * 0).sum()


def watched(T, f, **options):
    """(error, warnings) of f under detect_anomaly."""
    with warnings.catch_warnings(record=True) as caught, T.autograd.detect_anomaly(**options):
        warnings.simplefilter("always")
        try:
            f()
            error = None
        except Exception as e:
            error = type(e).__name__, str(e)
    return error, [str(w.message) for w in caught]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
class TestAnomaly:
    def test_names_the_operation_and_shows_its_call(self):
        error, texts = watched(cnn, lambda: root_of_zero(cnn).backward())
        assert error == ("RuntimeError", "Function 'SqrtBackward0' returned nan values in its 0th output.")
        assert texts[-1].startswith("Error detected in SqrtBackward0. Traceback of forward call that caused the error:")
        assert texts[-1].rstrip().endswith("return (T.zeros(1, requires_grad=True).sqrt() * 0).sum()")

    def test_forward_outside_of_it(self):
        y = root_of_zero(cnn)
        error, texts = watched(cnn, lambda: y.backward())
        assert "SqrtBackward0" in error[1] and "No forward pass information available" in texts[-1]

    def test_without_looking_for_nan(self):
        error, texts = watched(cnn, lambda: root_of_zero(cnn).backward(), check_nan=False)
        assert error is None and not texts

    def test_an_error_in_backward(self):
        class Broken(cnn.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 1

            @staticmethod
            def backward(ctx, dy):
                raise ValueError("mine")

        error, texts = watched(cnn, lambda: Broken.apply(cnn.ones(1, requires_grad=True)).sum().backward())
        assert error == ("ValueError", "mine")
        assert texts[-1].startswith("Error detected in BrokenBackward.") and "Broken.apply(" in texts[-1]

    def test_autograd_grad_and_in_place(self):
        def f():
            x = cnn.zeros(1, requires_grad=True)
            y = (x * 1).sqrt_().mul_(0)
            cnn.autograd.grad(y.sum(), [x])

        assert "SqrtBackward0" in watched(cnn, f)[0][1]

    def test_a_gradient_that_nobody_wants_may_be_nan(self):
        x, y = cnn.zeros(1, requires_grad=True), cnn.zeros(1)
        assert watched(cnn, lambda: cnn.atan2(x + 1, y).sum().backward())[0] is None

    def test_inside_a_network(self):
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        x = cnn.randn(2, 1, 6, 6)
        watch = watched(cnn, lambda: (net(x) * float("nan")).sum().backward())
        assert watch[0] == ("RuntimeError", "Function 'MulBackward0' returned nan values in its 0th output.")
        assert watched(cnn, lambda: net(x).sum().backward())[0] is None


def test_the_mode_is_set_and_set_back():
    with cnn.autograd.set_detect_anomaly(True, check_nan=False):
        assert cnn.is_anomaly_enabled() and not cnn.is_anomaly_check_nan_enabled()
        with cnn.autograd.set_detect_anomaly(False):
            assert not cnn.is_anomaly_enabled()
        assert cnn.is_anomaly_enabled() and not cnn.is_anomaly_check_nan_enabled()
    assert not cnn.is_anomaly_enabled() and cnn.is_anomaly_check_nan_enabled()
    cnn.autograd.set_detect_anomaly(True)
    try:
        with (
            pytest.raises(RuntimeError, match="SqrtBackward0"),
            pytest.warns(UserWarning, match="Traceback of forward"),
        ):
            root_of_zero(cnn).backward()
    finally:
        cnn.autograd.set_detect_anomaly(False)
    y = root_of_zero(cnn)
    y.backward()
    assert y.grad_fn.forward_calls is None
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        cnn.autograd.detect_anomaly()


@needs_torch
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("options", [{}, {"check_nan": False}])
def test_as_torch(options):
    ours, theirs = (watched(T, lambda T=T: root_of_zero(T).backward(), **options) for T in (cnn, torch))
    assert ours[0] == theirs[0] and len(ours[1]) == len(theirs[1])
