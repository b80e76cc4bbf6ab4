"""Entry points with arguments that do not fit: shapes that disagree, numbers and indices beyond every bound, lists of
the wrong length. An exception that says so, or a result; never a crash, and never a look outside of an array. That last
part only `make sanitize` can see, which runs these tests under the address and undefined-behaviour sanitizers.
"""

import numpy as np
import pytest
from entry_points import ENTRY_POINTS, Numbers, at, contents, put, slots

from cnn import _cnn

REFUSALS = (TypeError, ValueError, IndexError, OverflowError, MemoryError)
HUGE = [-(2**200), -(2**63), -(2**62), -(2**31), -1, 0, 1, 2, 2**16, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**64]
ODD = [*HUGE, True, 1.5, -0.0, float("nan"), float("inf"), None, "3", (1,), np.int64(-5), np.float32(2)]


pytestmark = pytest.mark.usefixtures("little_memory")


def attempt(point, arguments):
    """The result, or the exception; inputs are left alone in either case."""
    before = contents(arguments)
    try:
        result = point(arguments)
    except REFUSALS as error:
        assert str(error) or isinstance(error, MemoryError)
        result = error
    for slot, old, new in zip(slots(arguments), before, contents(arguments), strict=True):
        assert slot[0] in point.changed or new == old
    return result


def other_shapes(a):
    yield a[..., None]
    yield a[None]
    yield np.zeros((), a.dtype)
    yield np.zeros(0, a.dtype)
    yield np.zeros((1,) * 64, a.dtype)
    for axis in range(a.ndim):
        yield a.take(0, axis)
        yield np.concatenate([a, a], axis)
        yield a[(slice(None),) * axis + (slice(0, 0),)]
        yield a[(slice(None),) * axis + (slice(0, -1),)]
        yield np.broadcast_to(a.take([0], axis), (*a.shape[:axis], 2**40, *a.shape[axis + 1 :]))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_shapes_that_disagree(name):
    point = ENTRY_POINTS[name]
    for slot in slots(point.arguments()):
        for shape in other_shapes(at(point.arguments(), slot)):
            attempt(point, put(point.arguments(), slot, shape))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_empty_everywhere(name):
    """Every array empty, in each of its dimensions in turn."""
    point = ENTRY_POINTS[name]
    for axis in range(4):
        arguments = point.arguments()
        for slot in list(slots(arguments)):
            a = at(arguments, slot)
            arguments = put(
                arguments, slot, a[(slice(None),) * min(axis, a.ndim - 1) + (slice(0, 0),)] if a.ndim else a
            )
        attempt(point, arguments)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_numbers_beyond_every_bound(name):
    point = ENTRY_POINTS[name]
    for argument, value in point.arguments().items():
        if isinstance(value, (np.ndarray, list)):
            continue
        width = len(value) if isinstance(value, Numbers) else 1
        for place in range(width):
            for odd in ODD:
                replaced = Numbers(*value[:place], odd, *value[place + 1 :]) if isinstance(value, Numbers) else odd
                attempt(point, {**point.arguments(), argument: replaced})


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_indices_beyond_every_bound(name):
    """Targets, sources, positions of maxima: arrays of integers that a kernel follows."""
    point = ENTRY_POINTS[name]
    for slot in slots(point.arguments()):
        a = at(point.arguments(), slot)
        if a.dtype.kind != "i":
            continue
        size = np.iinfo(a.dtype)
        for value in (-1, size.min, size.max, 35, 2**31 - 1, 5, 7):
            for array in (np.full_like(a, value), np.where(np.arange(a.size).reshape(a.shape) == a.size - 1, value, a)):
                attempt(point, put(point.arguments(), slot, array.astype(a.dtype)))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_lists_that_disagree(name):
    point = ENTRY_POINTS[name]
    for argument, value in point.arguments().items():
        if not isinstance(value, list):
            continue
        for other in (value[:-1], value + value[:1], [], value[::-1], None, 5, "text", iter(value), {}):
            attempt(point, {**point.arguments(), argument: other})


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_number_of_arguments(name):
    function = getattr(_cnn, name, None) or getattr(_cnn.Generator(), name.partition(".")[2])
    for count in range(25):
        try:
            function(*[None] * count)
        except TypeError:
            continue
        except ValueError:
            pass
        else:
            assert count == 0, count


# ---- what these tests found, each on its own ----


@pytest.mark.parametrize("pool", ["max_pool2d", "adaptive_max_pool2d"])
def test_positions_outside_of_the_plane_get_no_gradient(pool):
    point = ENTRY_POINTS[f"{pool}_backward"]
    arguments = point.arguments()
    expected = point(arguments)
    arguments["argmax"][1, 2, 1, 3] = 7 * 5
    arguments["argmax"][0, 1, 2, 2] = -7
    arguments["grad_output"][1, 2, 1, 3] = arguments["grad_output"][0, 1, 2, 2] = 0
    kept = point.arguments()
    kept["grad_output"] = arguments["grad_output"]
    assert np.array_equal(point(arguments), point(kept)) and not np.array_equal(point(arguments), expected)


def test_a_list_that_shrinks_while_it_is_read():
    x, sizes = np.ones((2, 3), np.float32), []

    class Shrinks:
        def __index__(self):
            sizes.clear()
            return 1

    sizes += [Shrinks(), 1, 1]
    assert [p.shape for p in _cnn.split(x, sizes, 1)] == [(2, 1)] * 3
    numbers = []

    class Number:
        def __float__(self):
            numbers.clear()
            return 1.0

    numbers += [Number(), 2.0]
    p, g, s = ([np.ones(3, np.float32) for _ in range(2)] for _ in range(3))
    _cnn.adagrad(p, g, s, numbers, 0.1, 0.0, 1e-8, 0.0, 0)
    assert numbers == [] and all((a < 1).all() for a in p)


@pytest.mark.parametrize("name", ["lr", "momentum"])
def test_a_number_too_large_for_a_float(name):
    arguments = {**ENTRY_POINTS["sgd"].arguments(), name: 10**400}
    with pytest.raises(OverflowError, match=f"sgd: {name} is too large for a float64"):
        ENTRY_POINTS["sgd"](arguments)


def test_an_integer_of_too_many_digits_to_print():
    arguments = {**ENTRY_POINTS["softmax_forward"].arguments(), "dim": 10**5000}
    with pytest.raises(ValueError, match="softmax: dim must be between 0 and 3, got a number of more than 64 bits"):
        ENTRY_POINTS["softmax_forward"](arguments)


def test_lists_that_an_optimiser_needs():
    for name in ("sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax", "nadam"):
        point = ENTRY_POINTS[name]
        with pytest.raises(TypeError, match=f"{name}: expected a list of gradients, got NoneType"):
            point({**point.arguments(), "gradients": None})


def test_a_window_that_does_not_make_the_gradient():
    for pool in ("max_pool2d", "avg_pool2d"):
        point = ENTRY_POINTS[f"{pool}_backward"]
        with pytest.raises(ValueError, match=f"{pool}: windows of 3 x 2 .* do not give a grad_output of"):
            point({**point.arguments(), "H": 9})


def test_weights_and_targets_of_nll_loss_backward():
    point = ENTRY_POINTS["nll_loss_backward"]
    with pytest.raises(ValueError, match="nll_loss: weight must have 6 values, one for each class, got 5"):
        point({**point.arguments(), "C": 6})
    with pytest.raises(IndexError, match="Target 4 is out of bounds"):
        point({**point.arguments(), "C": 4, "weight": None, "target": np.full((2, 4, 3), 4)})
