"""Problem 1: the formulas of docs/problem_1.md against our backward pass, against differences, and at the kink."""

import numpy as np
import pytest

import cnn
import cnn.nn as nn


def loss(W1, b1, W2, b2, x, t):
    """h = ReLU(W1 x + b1), y = W2 h + b2, L = |t - y|^2; in NumPy or with tensors."""
    h = (W1 @ x + b1).clip(0) if isinstance(x, np.ndarray) else cnn.relu(W1 @ x + b1)
    return ((t - (W2 @ h + b2)) ** 2).sum()


def derived(W1, b1, W2, b2, x, t):
    """(dL/db1, dL/db2) as docs/problem_1.md derives them."""
    z = W1 @ x + b1
    y = W2 @ np.maximum(z, 0) + b2
    D = np.diag((z > 0).astype(float))
    db2 = -2 * (t - y)
    db1 = D @ W2.T @ db2
    return db1, db2


def by_backward(*arrays):
    """(dL/db1, dL/db2) from the library: the formula written with tensors."""
    tensors = [cnn.tensor(array, dtype=cnn.float64) for array in arrays]
    b1, b2 = tensors[1], tensors[3]
    b1.requires_grad_()
    b2.requires_grad_()
    loss(*tensors).backward()
    return b1.grad.numpy(), b2.grad.numpy()


def by_layers(W1, b1, W2, b2, x, t):
    """The same from nn.Linear, nn.ReLU and nn.MSELoss."""
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with cnn.no_grad():
        for parameter, value in zip(net.parameters(), (W1, b1, W2, b2), strict=True):
            parameter.copy_(cnn.tensor(value))
    nn.MSELoss(reduction="sum")(net(cnn.tensor(x[None])), cnn.tensor(t[None])).backward()
    return net[0].bias.grad.numpy(), net[2].bias.grad.numpy()


def by_differences(*arrays, step=1e-6):
    gradients = []
    for position in (1, 3):
        gradient = np.zeros(2)
        for i in range(2):
            values = []
            for sign in (1, -1):
                moved = [array.copy() for array in arrays]
                moved[position][i] += sign * step
                values.append(loss(*moved))
            gradient[i] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


def random_network(seed):
    rng = np.random.default_rng(seed)
    W1, W2 = rng.normal(size=(2, 2, 2))
    b1, b2, x, t = rng.normal(size=(4, 2))
    return W1, b1, W2, b2, x, t


@pytest.mark.parametrize("seed", range(100))
def test_derived_formulas_equal_backward_and_central_differences(seed):
    network = random_network(seed)
    z = network[0] @ network[4] + network[1]
    assert np.abs(z).min() > 1e-4  # a difference of 1e-6 does not step over the kink
    expected = derived(*network)
    for found in (by_backward(*network), by_layers(*network)):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    for difference, theirs in zip(by_differences(*network), expected, strict=True):
        np.testing.assert_allclose(difference, theirs, rtol=1e-6, atol=1e-8)


def test_the_random_networks_have_every_pattern_of_units_on_and_off():
    patterns = set()
    for seed in range(100):
        W1, b1, _, _, x, _ = random_network(seed)
        patterns.add(tuple(W1 @ x + b1 > 0))
    assert patterns == {(False, False), (False, True), (True, False), (True, True)}


# The numbers of docs/problem_1.md; all of them are exact in binary.
W1 = np.array([[1, -1], [0.5, 1]])
W2 = np.array([[2.0, -1], [1, 3]])
b2 = np.array([0.5, -0.5])
x = np.array([1.0, 2])
t = np.array([1.0, 2])


def test_the_worked_numbers():
    network = W1, np.array([0.5, -1]), W2, b2, x, t
    assert loss(*network) == 8
    for db1, db2 in (derived(*network), by_backward(*network), by_layers(*network)):
        assert db1.tolist() == [0, 16]
        assert db2.tolist() == [-4, 4]
    raised = W1, np.array([0.5, -1]), W2, b2 + [0.001, 0], x, t
    assert loss(*raised) == pytest.approx(7.996001, rel=1e-12)


def test_at_the_kink_the_slope_of_relu_is_0():
    network = W1, np.array([1.0, -1]), W2, b2, x, t
    assert (W1 @ x + network[1])[0] == 0  # exactly
    for db1, db2 in (derived(*network), by_backward(*network), by_layers(*network)):
        assert db1.tolist() == [0, 16]
        assert db2.tolist() == [-4, 4]
    # One-sided differences: 0 when the bias falls, the -4 that arrives at the unit when it rises.
    step = 1e-6
    falls = (loss(W1, np.array([1 - step, -1]), W2, b2, x, t) - 8) / -step
    rises = (loss(W1, np.array([1 + step, -1]), W2, b2, x, t) - 8) / step
    assert falls == 0
    assert rises == pytest.approx(-4, abs=1e-4)
