"""NaN, infinities, denormal numbers, -0 and the largest numbers, in every layer, forward and backward, as in torch."""

import numpy as np
import pytest
from harness import COUNTS, TOLERANCE, needs_torch, torch
from layer_calls import LAYERS, arrays, call, shapes

import cnn
from cnn.nn import functional as F

SPECIAL = {
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "-0": -0.0,
    "denormal": 1e-40,  # below the smallest normal float32; in float64 an ordinary small number
    "large": 3e38,  # its square and its exponential overflow a float32
    "-large": -3e38,
}


def made(name, special, place, kind):
    """The arrays of a layer, with the special value in one array: once, in a tenth of its values, or everywhere."""
    number, many = place
    given = arrays(name, 2, seed=1, kind=kind)
    random = np.random.default_rng(2)
    mask = random.random(given[number].shape) < many
    mask.flat[random.integers(mask.size)] = True
    given[number][mask] = special
    return given


def run(name, module, functional, given):
    """The result and the gradients, as arrays, for a gradient that is not uniform."""
    module.manual_seed(0)
    tensors = []
    for array, (letter, _, _) in zip(given, shapes(name, 2), strict=True):
        t = module.from_numpy(array.copy())
        tensors.append(t.requires_grad_(True) if letter in "fu" else t)
    y = call(name, functional, *tensors)
    if y.requires_grad:
        dy = np.random.default_rng(4).standard_normal(tuple(y.shape))
        y.backward(module.from_numpy(np.asarray(dy, given[0].dtype)))
    results = [y.detach().numpy()]
    return results + [t.grad.numpy() if t.grad is not None else t.detach().numpy() for t in tensors]


# Where a comparison says nothing, and why. (layer names, specials, arrays that hold them, results concerned): None for
# all. Result 0 is the layer's, result i + 1 the gradient of array i.
CONVOLUTIONS = "conv1d conv2d conv_transpose2d"
NORMS = "batch_norm group_norm layer_norm"
EXCEPTIONS = [
    # torch's vector loops and the scalar loops for the rest give different gradients for NaN; ours is one of the two.
    ("elu elu_ selu selu_ celu celu_ hardswish hardtanh hardtanh_ relu6", "nan", [0], [1]),
    # torch's float32 path multiplies infinity by 0 where x * Phi(x) is infinity, and overflows on the way.
    ("gelu", "inf large", [0], None),
    # Sums of numbers that overflow depend on the order in which they are added.
    (f"{CONVOLUTIONS} {NORMS} linear prelu mse_loss nll_loss cross_entropy kl_div", "large -large", None, None),
    # A neighbour of weight 0 is not looked at: see the test below.
    ("interpolate upsample", "nan inf -inf", None, None),
    # torch folds mean and weight into one number first, and that is infinity minus infinity.
    (NORMS, "inf -inf", [1, 3], None),
    # The derivative of t log t at 0 is -infinity; torch says NaN, ours leaves it out.
    ("kl_div", "-0 inf", [1], [2]),
    # log(0) counts as -100 in the loss: ours says so in the derivative too, torch says infinity.
    ("binary_cross_entropy", "-0", [0], [2]),
]


def is_exception(name, special, place, result):
    for names, specials, arrays_, results in EXCEPTIONS:
        if name in names.split() and special in specials.split():
            if (arrays_ is None or place[0] in arrays_) and (results is None or result in results):
                return True
    return False


PLACES = [(0, 0.0), (0, 0.1), (0, 1.0)]
CASES = [
    (name, special, place)
    for name in LAYERS
    if name != "one_hot"
    for special in SPECIAL
    for place in [*PLACES, *[(i, 0.3) for i, (letter, _, _) in enumerate(shapes(name, 2)) if i > 0 and letter != "c"]]
]


@needs_torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("name", [n for n in LAYERS if n != "one_hot"])
def test_as_torch(name, kind):
    problems = []
    for _, special, place in (c for c in CASES if c[0] == name):
        given = made(name, SPECIAL[special], place, kind)
        try:
            theirs = run(name, torch, torch.nn.functional, given)
        except RuntimeError:
            with pytest.raises(RuntimeError):
                run(name, cnn, F, given)
            continue
        ours = run(name, cnn, F, given)
        rtol, atol = TOLERANCE["torch"][np.dtype(kind).name]
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            if is_exception(name, special, place, number):
                continue
            what = "result" if number == 0 else f"gradient {number - 1}"
            close = np.isclose(a, b, rtol * 20, atol * 20, equal_nan=True)
            if not close.all():
                at = tuple(int(i) for i in np.argwhere(~close)[0])
                problems.append(f"{special} {place} {what}{at}: {a[at]} , torch {b[at]}; {(~close).sum()} of {a.size}")
        COUNTS["torch"] += 1
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("special", [np.nan, np.inf])
def test_a_special_pixel_of_interpolate(mode, special):
    """It shows wherever its weight is not 0, and nowhere else."""
    x = np.zeros((1, 1, 6, 5))
    x[0, 0, 2, 3] = 1
    weights = F.interpolate(cnn.from_numpy(x), size=(11, 9), mode=mode)._a
    x[0, 0, 2, 3] = special
    y = F.interpolate(cnn.from_numpy(x), size=(11, 9), mode=mode)._a
    assert np.array_equal(~np.isfinite(y), weights != 0) and (weights != 0).any()


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e4, -1e5])
@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 5)])
def test_large_logits_keep_their_differences(shift, shape):
    """log(sum e^x) may be large, the loss is a difference: taken before rounding, not after."""
    random = np.random.default_rng(6)
    x = np.float32(shift) + random.integers(-64, 64, shape).astype(np.float32) / 32
    target = cnn.from_numpy(random.integers(0, 7, (shape[0], *shape[2:])))
    for smoothing in (0.0, 0.1):
        loss = F.cross_entropy(cnn.from_numpy(x), target, label_smoothing=smoothing).item()
        exact = F.cross_entropy(cnn.from_numpy(x.astype(np.float64)), target, label_smoothing=smoothing).item()
        assert abs(loss - exact) < 1e-5, (loss, exact)
    y = F.log_softmax(cnn.from_numpy(x), 1)._a
    assert np.isfinite(y).all() and abs(np.exp(y.astype(np.float64)).sum(1) - 1).max() < 1e-5
