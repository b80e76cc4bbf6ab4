"""Every function of cnn._cnn with arguments that it accepts: what the tests of test_properties_*.py run through.

A function takes its arguments by position. Here they have the names that its error messages use (with _ for a space),
so that the tests can ask for them; the value of a name that starts with `also` is never looked for in a message.
`Numbers(...)` stands for several arguments in a row. Arrays are float32 or an integer type; a list is a list of arrays.
"""

import numpy as np

from cnn import _cnn

SEED = 5


class Numbers(tuple):
    """Several numbers in a row, under one name."""

    def __new__(cls, *values):
        return super().__new__(cls, values)


class EntryPoint:
    """One function: `arguments()` makes fresh ones, a dict. `changed` names those that it changes in place."""

    def __init__(self, name, function, make, changed=(), by_numpy=False):
        self.name, self.function, self.make = name, function, make
        self.changed = changed
        self.by_numpy = by_numpy  # what our kernel does not take goes to NumPy's operator

    def arguments(self):
        return self.make(np.random.default_rng(SEED))

    def __call__(self, arguments):
        """The result for a dict of arguments."""
        positional = []
        for value in arguments.values():
            positional += value if isinstance(value, Numbers) else [value]
        return self.function(*positional)


ENTRY_POINTS = {}


def entry(function=None, /, changed=(), by_numpy=False):
    """The decorated function's name is the entry point's; it makes the arguments from a random generator."""

    def add(make):
        name = make.__name__
        ENTRY_POINTS[name] = EntryPoint(name, getattr(_cnn, name), make, changed, by_numpy)
        return make

    return add if function is None else add(function)


def define(names, make, **options):
    for name in names.split():
        ENTRY_POINTS[name] = EntryPoint(name, getattr(_cnn, name), make, **options)


def real(random, *shape):
    return np.asarray(random.standard_normal(shape), np.float32)


def positive(random, *shape):
    return np.asarray(random.random(shape) + 0.5, np.float32)


def classes(random, *shape):
    return random.integers(0, 5, shape)


# ---- element by element ----

SHAPE = (2, 3, 5, 4)

define(
    "relu_forward sigmoid_forward tanh_forward silu_forward logsigmoid_forward hardswish_forward hardsigmoid_forward "
    "gelu_forward gelu_tanh_forward",
    lambda r: {"input": real(r, *SHAPE)},
)
define(
    "relu_forward_ sigmoid_forward_ tanh_forward_ silu_forward_ hardswish_forward_ hardsigmoid_forward_",
    lambda r: {"input": real(r, *SHAPE)},
    changed=("input",),
)
define(
    "relu_backward sigmoid_backward tanh_backward silu_backward logsigmoid_backward hardswish_backward "
    "hardsigmoid_backward gelu_backward gelu_tanh_backward",
    lambda r: {"grad_output": real(r, *SHAPE), "saved": real(r, *SHAPE)},
)


def pointwise(stem, numbers, forward="forward", backward="backward", in_place="forward_"):
    """Layers with constants of their own."""
    define(f"{stem}_{forward}", lambda r: {"input": real(r, *SHAPE), **numbers})
    define(
        f"{stem}_{backward}",
        lambda r: {"grad_output": real(r, *SHAPE), "saved": real(r, *SHAPE), **numbers},
    )
    if in_place is not None:
        define(f"{stem}_{in_place}", lambda r: {"input": real(r, *SHAPE), **numbers}, changed=("input",))


define("prelu_forward", lambda r: {"input": real(r, *SHAPE), "weight": real(r, 3)})
define("prelu_backward", lambda r: {"grad_output": real(r, *SHAPE), "input": real(r, *SHAPE), "weight": real(r, 3)})
pointwise("leaky_relu", {"negative_slope": 0.1})
pointwise("elu", {"alpha": 0.7, "scale": 1.0, "input_scale": 1.0})
define(
    "elu_backward_from_y",
    lambda r: {
        "grad_output": real(r, *SHAPE),
        "saved": real(r, *SHAPE),
        "alpha": 0.7,
        "scale": 1.0,
        "input_scale": 1.0,
    },
)
pointwise("softplus", {"beta": 1.5, "threshold": 20.0}, in_place=None)
pointwise("hardtanh", {"min_val": -0.5, "max_val": 0.75})

define("add sub mul", lambda r: {"also_a": real(r, *SHAPE), "also_b": real(r, *SHAPE)}, by_numpy=True)
define(
    "add_ sub_ mul_",
    lambda r: {"also_a": real(r, *SHAPE), "also_b": real(r, *SHAPE)},
    changed=("also_a",),
    by_numpy=True,
)


@entry
def dropout(r):
    return {"input": real(r, *SHAPE), "mask": r.integers(0, 2, SHAPE, np.uint8), "p": 0.5}


@entry
def feature_dropout(r):
    return {"input": real(r, *SHAPE), "mask": r.integers(0, 2, SHAPE[:2], np.uint8), "p": 0.5}


# ---- moving values ----


@entry
def copy_order(r):
    return {"input": real(r, *SHAPE), "also_channels_last": True}


@entry(by_numpy=True)
def cat(r):
    return {"arrays": [real(r, 2, 3, 5, 4), real(r, 2, 1, 5, 4), real(r, 2, 2, 5, 4)], "dim": 1}


@entry
def split(r):
    return {"input": real(r, *SHAPE), "sizes": [1, 2], "dim": 1}


# ---- sums ----


@entry
def matmul(r):
    return {"first_argument": real(r, 2, 5, 4), "second_argument": real(r, 2, 4, 3)}


@entry
def linear_forward(r):
    return {"input": real(r, 3, 2, 5), "weight": real(r, 4, 5), "bias": real(r, 4)}


@entry
def linear_backward(r):
    return {
        "grad_output": real(r, 3, 2, 4),
        "input": real(r, 3, 2, 5),
        "weight": real(r, 4, 5),
        "also_wants": Numbers(True, True, True),
    }


GEOMETRY = {
    "stride": Numbers(2, 1),
    "padding": Numbers(1, 1, 2, 0),
    "dilation": Numbers(1, 2),
    "groups": 2,
    "algorithm": 0,
}


@entry
def conv2d_check(r):
    return {"input": real(r, 2, 4, 7, 6), "weight": real(r, 6, 2, 3, 2), "bias": real(r, 6), **GEOMETRY}


@entry
def conv2d_explain(r):
    return {"input": real(r, 2, 4, 7, 6), "weight": real(r, 6, 2, 3, 2), **GEOMETRY}


@entry
def conv2d_backward_input(r):
    sizes = {"grad_output": real(r, 2, 6, 4, 6), "weight": real(r, 6, 2, 3, 2), "height": 7, "width": 6}
    return {**sizes, **GEOMETRY}


@entry
def conv2d_forward(r):
    return {**conv2d_check(r), "relu": False, "scale": real(r, 6)}


@entry
def conv2d_separable_forward(r):
    """Large enough: it answers None where two layers one after the other are faster."""
    return {
        "input": real(r, 2, 32, 64, 64),
        "weight": real(r, 32, 1, 3, 3),
        "bias": real(r, 32),
        "stride": Numbers(1, 1),
        "padding": Numbers(1, 1, 1, 1),
        "dilation": Numbers(1, 1),
        "groups": 32,
        "algorithm": 0,
        "scale": real(r, 32),
        "middle_relu": True,
        "pointwise_weight": real(r, 64, 32, 1, 1),
        "pointwise_bias": real(r, 64),
        "pointwise_scale": real(r, 64),
        "relu": True,
    }


@entry
def conv2d_pool_forward(r):
    """Few channels: it answers None for a shape whose results do not lie in planes."""
    geometry = {"stride": Numbers(1, 1), "padding": Numbers(1, 1, 2, 0), "dilation": Numbers(1, 1)}
    return {
        "input": real(r, 2, 3, 9, 8),
        "weight": real(r, 6, 3, 3, 3),
        "bias": real(r, 6),
        **geometry,
        "groups": 1,
        "algorithm": 0,
        "scale": real(r, 6),
        "keep": True,
    }


@entry
def conv2d_backward(r):
    return {
        "grad_output": real(r, 2, 6, 4, 6),
        "input": real(r, 2, 4, 7, 6),
        "weight": real(r, 6, 2, 3, 2),
        **GEOMETRY,
        "also_wants": Numbers(True, True, True),
        "rectified": False,
    }


# ---- windows ----

WINDOW = {"kernel_size": Numbers(3, 2), "stride": Numbers(2, 1), "padding": Numbers(1, 1)}
PLANES = {"H": 7, "W": 5, "channels_last": False}


@entry
def max_pool2d_forward(r):
    return {"input": real(r, 2, 3, 7, 5), **WINDOW, "dilation": Numbers(1, 2), "ceil_mode": False, "keep": True}


@entry
def max_pool2d_backward(r):
    _, argmax = ENTRY_POINTS["max_pool2d_forward"](max_pool2d_forward(r))
    return {"grad_output": real(r, 2, 3, 4, 5), "argmax": argmax, **PLANES, **WINDOW, "dilation": Numbers(1, 2)}


@entry
def avg_pool2d_forward(r):
    return {
        "input": real(r, 2, 3, 7, 5),
        **WINDOW,
        "ceil_mode": False,
        "count_include_pad": True,
        "divisor_override": 0,
    }


@entry
def avg_pool2d_backward(r):
    return {
        "grad_output": real(r, 2, 3, 4, 6),
        **PLANES,
        **WINDOW,
        "count_include_pad": True,
        "divisor_override": 0,
    }


@entry
def adaptive_avg_pool2d_forward(r):
    return {"input": real(r, 2, 3, 7, 5), "output_size": Numbers(3, 4)}


@entry
def adaptive_avg_pool2d_backward(r):
    return {"grad_output": real(r, 2, 3, 3, 4), **PLANES}


@entry
def adaptive_max_pool2d_forward(r):
    return {"input": real(r, 2, 3, 7, 5), "output_size": Numbers(3, 4)}


@entry
def adaptive_max_pool2d_backward(r):
    _, argmax = ENTRY_POINTS["adaptive_max_pool2d_forward"](adaptive_max_pool2d_forward(r))
    return {"grad_output": real(r, 2, 3, 3, 4), "argmax": argmax, **PLANES}


def tables(r):
    return {
        "row_sources": r.integers(0, 7, (4, 2)),
        "row_weights": r.random((4, 2)),
        "column_sources": r.integers(0, 5, (9, 2)),
        "column_weights": r.random((9, 2)),
    }


@entry
def interpolate_forward(r):
    return {"input": real(r, 2, 3, 7, 5), **tables(r)}


@entry
def interpolate_backward(r):
    return {"grad_output": real(r, 2, 3, 4, 9), **tables(r), "height": 7, "width": 5}


# ---- normalisation, losses ----


@entry(changed=("running_mean", "running_var"))
def batch_norm_forward(r):
    return {
        "input": real(r, 2, 3, 5, 4),
        "weight": real(r, 3),
        "bias": real(r, 3),
        "running_mean": real(r, 3),
        "running_var": positive(r, 3),
        "training": True,
        "momentum": 0.1,
        "eps": 1e-5,
        "relu": True,
    }


@entry(changed=("running_mean", "running_var"))
def batch_norm_statistics(r):
    arguments = batch_norm_forward(r)
    return {name: arguments[name] for name in arguments if name not in ("training", "relu")}


@entry
def batch_norm_fold(r):
    return {
        "conv_weight": real(r, 3, 2, 3, 3),
        "conv_bias": real(r, 3),
        "weight": real(r, 3),
        "bias": real(r, 3),
        "running_mean": real(r, 3),
        "running_var": positive(r, 3),
        "eps": 1e-5,
    }


@entry
def batch_norm_backward(r):
    return {
        "grad_output": real(r, 2, 3, 5, 4),
        "input": real(r, 2, 3, 5, 4),
        "weight": real(r, 3),
        "mean": real(r, 3),
        "invstd": positive(r, 3),
        "training": True,
        "want_dx": True,
        "want_parameters": True,
        "relu": True,
        "bias": real(r, 3),
    }


@entry
def group_norm_forward(r):
    return {
        "input": real(r, 2, 6, 5, 4),
        "num_groups": 3,
        "weight": real(r, 6),
        "bias": real(r, 6),
        "eps": 1e-5,
    }


@entry
def group_norm_backward(r):
    return {
        "grad_output": real(r, 2, 6, 5, 4),
        "input": real(r, 2, 6, 5, 4),
        "num_groups": 3,
        "weight": real(r, 6),
        "mean": real(r, 6),
        "invstd": positive(r, 6),
        "want_dx": True,
        "want_parameters": True,
    }


define("softmax_forward log_softmax_forward", lambda r: {"input": real(r, *SHAPE), "dim": 1})
define(
    "softmax_backward log_softmax_backward",
    lambda r: {"grad_output": real(r, *SHAPE), "output": real(r, *SHAPE), "dim": 1},
)


@entry
def cross_entropy_forward(r):
    return {
        "input": real(r, 2, 5, 4, 3),
        "target": classes(r, 2, 4, 3),
        "weight": positive(r, 5),
        "ignore_index": -100,
        "reduction": 1,
        "label_smoothing": 0.1,
        "want_gradient": True,
    }


@entry
def cross_entropy_probabilities_forward(r):
    return {
        "input": real(r, 4, 5),
        "target": positive(r, 4, 5),
        "weight": positive(r, 5),
        "reduction": 1,
        "label_smoothing": 0.1,
        "want_gradient": True,
    }


@entry
def cross_entropy_backward(r):
    return {"grad_output": real(r, 2, 4, 3), "saved": real(r, 2, 5, 4, 3)}


@entry
def nll_loss_forward(r):
    return {
        "input": real(r, 2, 5, 4, 3),
        "target": classes(r, 2, 4, 3),
        "weight": positive(r, 5),
        "ignore_index": -100,
        "reduction": 1,
    }


@entry
def nll_loss_backward(r):
    return {
        "grad_output": real(r, 2, 4, 3),
        "target": classes(r, 2, 4, 3),
        "weight": positive(r, 5),
        "ignore_index": -100,
        "scale": 1.0,
        "C": 5,
        "channels_last": False,
    }


def pair_loss(name, p=1.0, backward="backward"):
    """A loss that compares two arrays element by element; both lie in 0..1, as binary_cross_entropy wants them."""

    def make(r):
        arrays = (np.asarray(r.random(SHAPE), np.float32) for _ in range(3))
        return dict(zip(("input", "target", "pos_weight"), arrays, strict=True), parameter=p, reduction=0)

    define(f"{name}_forward", make)
    define(" ".join(f"{name}_{b}" for b in backward.split()), lambda r: {"grad_output": real(r, *SHAPE), **make(r)})


pair_loss("l1_loss")
pair_loss("mse_loss")
pair_loss("huber_loss", 0.5)
pair_loss("smooth_l1_loss", 0.5)
pair_loss("kl_div", 0.0, "backward backward_target")
pair_loss("binary_cross_entropy", 0.0, "backward backward_target")
pair_loss("binary_cross_entropy_with_logits", 0.0, "backward backward_target")
define("outside_unit", lambda r: {"input": real(r, *SHAPE)})


# ---- optimisers: lists of arrays, of which only the gradients stay as they are ----

SIZES = [(3, 2, 4, 5), (7,), ()]


def state(r, *names):
    lists = {"parameters": [real(r, *s) for s in SIZES], "gradients": [real(r, *s) for s in SIZES]}
    return {**lists, **{name: [positive(r, *s) for s in SIZES] for name in names}}


STEPS = {"steps": [1.0, 2.0, 3.0]}


def optimiser(name, lists, numbers):
    names = lists.split(", ") if lists else []
    names = [n.replace(" ", "_") for n in names]
    define(name, lambda r: {**state(r, *names), **numbers}, changed=("parameters", *names))


RATE = {"lr": 0.1}
optimiser(
    "sgd",
    "velocities",
    {
        **RATE,
        "momentum": 0.9,
        "dampening": 0.1,
        "weight_decay": 0.1,
        "nesterov": False,
        "maximize": False,
        "first": False,
    },
)
optimiser(
    "adam",
    "first moments, second moments, largest second moments",
    {**STEPS, **RATE, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "decoupled": 0, "maximize": 0},
)
optimiser(
    "rmsprop",
    "square averages, gradient averages, momentum buffers",
    {**RATE, "alpha": 0.9, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0.9, "maximize": 0},
)
optimiser(
    "adagrad", "sums of squares", {**STEPS, **RATE, "lr_decay": 0.1, "eps": 1e-8, "weight_decay": 0.1, "maximize": 0}
)
optimiser(
    "adadelta",
    "square averages, accumulated deltas",
    {**RATE, "rho": 0.9, "eps": 1e-8, "weight_decay": 0.1, "maximize": 0},
)
optimiser(
    "adamax",
    "first moments, infinity norms",
    {**STEPS, **RATE, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.1, "maximize": 0},
)
optimiser(
    "nadam",
    "first moments, second moments",
    {
        **STEPS,
        "mu_products": [0.5, 0.4, 0.3],
        **RATE,
        "beta1": 0.9,
        "beta2": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.1,
        "momentum_decay": 0.004,
        "decoupled": 0,
        "maximize": 0,
    },
)


@entry
def image_batch(r):
    """A first row of padding, then rows 1 to 4 of an image; columns from right to left."""
    move = [[0, 1, 1, 5], [4, -1, 0, 5]]
    return {
        "images": r.integers(0, 256, (4, 3, 6, 5), dtype=np.uint8),
        "indices": np.array([3, 0]),
        "moves": np.array([move, move]),
        "table": real(r, 3, 256),
        "height": 5,
        "width": 5,
    }


# ---- random numbers: methods of a Generator, which fill an array in place ----


def method(name, make, **options):
    def call(*args):
        return getattr(_cnn.Generator().manual_seed(7), name)(*args)

    ENTRY_POINTS[f"Generator.{name}"] = EntryPoint(f"Generator.{name}", call, make, **options)


def fill(name, *numbers):
    method(name, lambda r: {"also_target": real(r, 6, 5), "also_numbers": Numbers(*numbers)}, changed=("also_target",))


fill("_uniform", -1.0, 1.0)
fill("_normal", 0.5, 2.0, False)
fill("_integers", -3, 9)
fill("_integers_of_type")
fill("_bernoulli", 0.5)
fill("_exponential", 2.0)
fill("_geometric", 0.3)
fill("_cauchy", 0.0, 1.0)
fill("_log_normal", 0.0, 1.0)
method("_words", lambda r: {"n": 10})
method("_permutation", lambda r: {"n": 10})
method(
    "_bernoulli_each",
    lambda r: {"also_target": real(r, 6, 5), "p": r.random((6, 5), np.float32)},
    changed=("also_target",),
)
method("_choices", lambda r: {"input": positive(r, 3, 7), "num_samples": 4})
method("_set_state", lambda r: {"new_state": _cnn.Generator()._get_state()})
method("manual_seed", lambda r: {"also_seed": 3})
method("initial_seed", lambda r: {})
method("_get_state", lambda r: {})

# Settings and figures: they take no arrays, and what they do lasts.
SETTINGS = {
    "set_num_threads", "get_num_threads", "empty", "empty_cache", "memory_stats", "reset_peak_memory",
    "fail_allocation_after", "fma_peak", "isa", "available_isas", "set_isa",
    "apply", "backward", "set_backward", "wait", "may_wait", "increment", "settle", "set_module_hooks", "pairs",
    "wrap_dim", "view_forward", "view_backward", "set_tensor_class", "quick_attributes", "set_operator",
    "set_function_hooks", "set_quiet", "numbers", "owner_of", "owners_in", "lies", "lies_channels_last", "lend",
    "trade", "set_anomaly",
}  # fmt: skip


# ---- the arrays among arguments ----


def slots(arguments):
    """The places of the arrays: (name, None), or (name, number) in a list of arrays."""
    for name, value in arguments.items():
        if isinstance(value, np.ndarray):
            yield name, None
        elif isinstance(value, list):
            yield from ((name, i) for i, item in enumerate(value) if isinstance(item, np.ndarray))


def at(arguments, slot):
    name, number = slot
    return arguments[name] if number is None else arguments[name][number]


def put(arguments, slot, value):
    """The arguments with another value in one place."""
    name, number = slot
    if number is not None:
        value = [value if i == number else item for i, item in enumerate(arguments[name])]
    return {**arguments, name: value}


def contents(arguments):
    """The bytes of every array (of a broadcast view too large for memory, of its corner)."""
    arrays = [at(arguments, slot) for slot in slots(arguments)]
    return [a.tobytes() if a.size < 2**20 else a[(slice(0, 2),) * a.ndim].tobytes() for a in arrays]


def results(result):
    """What a call returned, as a flat list of arrays and numbers."""
    if isinstance(result, (tuple, list)):
        return [r for item in result for r in results(item)]
    return [result]
