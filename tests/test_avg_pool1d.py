"""The 1-d poolings that are 2-d ones on rows, beside torch."""

import pytest
from harness import check_against_torch, check_exact, needs_torch, rng, torch

import cnn
from cnn.nn.adaptive_avg_pool1d import AdaptiveAvgPool1d, adaptive_avg_pool1d
from cnn.nn.avg_pool1d import AvgPool1d, avg_pool1d


def test_exact(every_isa):
    x = rng(0).integers(-9, 10, (2, 3, 12)) * 6
    check_exact(lambda x: avg_pool1d(cnn.from_numpy(x), 3), x.reshape(2, 3, 4, 3).sum(3) // 3, x)
    check_exact(lambda x: adaptive_avg_pool1d(cnn.from_numpy(x), 2), x.reshape(2, 3, 2, 6).sum(3) // 6, x)


@needs_torch
@pytest.mark.parametrize("shape", [(2, 3, 11), (3, 11), (0, 3, 11)])
@pytest.mark.parametrize("arguments", [(2,), (3, 2), (3, 2, 1), (3, 2, 1, True), (4, 3, 2, True, False)])
def test_avg_beside_torch(shape, arguments):
    f = torch.nn.functional.avg_pool1d
    check_against_torch(lambda x: avg_pool1d(x, *arguments), lambda x: f(x, *arguments), rng(1).standard_normal(shape))
    ours, theirs = AvgPool1d(*arguments), torch.nn.AvgPool1d(*arguments)
    assert repr(ours) == repr(theirs)
    check_against_torch(ours, theirs, rng(2).standard_normal(shape))


@needs_torch
@pytest.mark.parametrize("shape", [(2, 3, 11), (3, 11), (0, 3, 11)])
@pytest.mark.parametrize("size", [1, 4, 11, 20])
def test_adaptive_beside_torch(shape, size):
    f, x = torch.nn.functional.adaptive_avg_pool1d, rng(3).standard_normal(shape)
    check_against_torch(lambda x: adaptive_avg_pool1d(x, size), lambda x: f(x, size), x, terms=11)
    ours, theirs = AdaptiveAvgPool1d(size), torch.nn.AdaptiveAvgPool1d(size)
    assert repr(ours) == repr(theirs)
    check_against_torch(ours, theirs, x, terms=11)


def test_errors():
    for f in (avg_pool1d, adaptive_avg_pool1d):
        with pytest.raises(ValueError, match=r"Expected 2D or 3D input tensor, but got \[4\]"):
            f(cnn.zeros(4), 2)
    with pytest.raises(ValueError, match="exceeds the input's width 4"):
        avg_pool1d(cnn.zeros(1, 1, 4), 5)
