"""normalize, cosine_similarity and one_hot."""

import numpy as np
import pytest
from harness import check_against_torch, check_gradients, needs_torch, rng, torch

import cnn
from cnn import nn
from cnn.nn import functional as F


@needs_torch
@pytest.mark.parametrize("options", [{}, {"dim": 0}, {"p": 1.0, "dim": -1}, {"p": 3.0}, {"eps": 2.0}])
def test_normalize(options):
    x = rng(1).standard_normal((3, 4, 5))
    check_against_torch(
        lambda x: F.normalize(x, **options), lambda x: torch.nn.functional.normalize(x, **options), x, terms=5
    )
    check_gradients(lambda x: F.normalize(x, **options), x)


def test_normalize_zeros():
    x = cnn.zeros(2, 3, requires_grad=True)
    y = F.normalize(x)
    y.sum().backward()
    assert y.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert bool(x.grad.isfinite().all())


@needs_torch
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((2, 5, 3), (2, 5, 3)), ((3, 4), (1, 4))])
def test_cosine_similarity(shapes):
    x, y = (rng(seed).standard_normal(shape) for seed, shape in enumerate(shapes))
    check_against_torch(F.cosine_similarity, torch.nn.functional.cosine_similarity, x, y, terms=5)
    check_against_torch(nn.CosineSimilarity(dim=-1), torch.nn.CosineSimilarity(dim=-1), x, y, terms=5)
    check_gradients(F.cosine_similarity, x, y)


@needs_torch
@pytest.mark.parametrize("labels", [[0, 3, 1], [[1, 2], [0, 0]], 2, []])
def test_one_hot(labels):
    ours, theirs = cnn.tensor(labels, dtype=cnn.int64), torch.tensor(labels, dtype=torch.int64)
    for classes in (5,) if labels == [] else (-1, 4, 9):
        got = F.one_hot(ours, classes)
        assert got.dtype is cnn.int64
        np.testing.assert_array_equal(got.numpy(), torch.nn.functional.one_hot(theirs, classes).numpy())


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([1, -1], -1, RuntimeError, "non-negative, got -1"),
        ([1, 5], 3, RuntimeError, "smaller than num_classes, got 5 with 3"),
        ([1.0, 2.0], -1, TypeError, "LongTensor, got torch.float32"),
        ([1], 0, RuntimeError, "smaller than num_classes"),
    ],
)
def test_one_hot_mistakes(labels, classes, error, message):
    with pytest.raises(error, match=message):
        F.one_hot(cnn.tensor(labels), classes)
    with pytest.raises(RuntimeError, match="Can not infer total number of classes"):
        F.one_hot(cnn.zeros(0, dtype=cnn.int64))
