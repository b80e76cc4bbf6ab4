"""NumPy's error state and its warnings stay out of sight: whatever `np.seterr` says, a call gives the same bits.

The walk finds arguments by itself: every public function is called with each of a few dozen lists of extreme values,
and what comes through once must come through, bit for bit, where NumPy raises and every warning is an error. A function
that none of the lists fits needs an entry in ARGUMENTS.
"""

import inspect
import warnings
import weakref

import numpy as np
import pytest
from harness import COUNTS

import cnn
from cnn import nn
from cnn.tensor import Tensor

F = nn.functional
nan, inf = float("nan"), float("inf")
EXTREME = [[3e38, 1e-45, nan, 1.0], [inf, -0.0, -3e38, 1e-30], [-inf, 0.0, 2e38, -1.5]]


def x(kind=cnn.float32):
    return cnn.tensor(EXTREME, dtype=cnn.float64).to(kind)


def square(kind=cnn.float32):
    return cnn.tensor([[3e38, 2.0, 0.0], [1e38, -3e38, 1.0], [2e38, 1e-40, 3e38]], dtype=kind)


def whole(kind):
    return cnn.tensor([[7, 0, -128, 1], [5, -1, 127, 3], [0, 2, 100, -7]]).to(kind)


def image():
    return x().reshape(1, 3, 2, 2).repeat(1, 1, 2, 2)


def index():
    return cnn.tensor([[0, 2, 1, 1]])


def mask():
    return cnn.tensor([True, False, True, True])


CANDIDATES = [
    lambda: (),
    *[(lambda k=k: (x(k),)) for k in (cnn.float32, cnn.float64, cnn.float16)],
    *[(lambda k=k: (whole(k),)) for k in (cnn.int64, cnn.uint8, cnn.int8)],
    lambda: (x()[0],),
    lambda: (square(),),
    lambda: (image(),),
    lambda: (cnn.tensor(3e38),),
    lambda: (cnn.tensor([3e38, 3e38]),),
    lambda: (cnn.zeros(0),),
    lambda: (x() > 0,),
    lambda: ([x(), x()],),
    lambda: (x(), x()),
    lambda: (x(cnn.float16), x(cnn.float16)),
    lambda: (x(), cnn.zeros(4)),
    lambda: (whole(cnn.int8), whole(cnn.int8)),
    lambda: (whole(cnn.int64), cnn.zeros(4)),
    lambda: (square(), square()),
    lambda: (square()[0], square()[0]),
    lambda: (square(), square()[0]),
    lambda: (square()[None], square()[None]),
    lambda: (x(), x(), x()),
    lambda: (square(), square(), square()),
    lambda: (square()[0], square(), square()[0]),
    lambda: (square()[None], square()[None], square()[None]),
    lambda: (x(), 0),
    lambda: (x(), 1),
    lambda: (x(), 1e38),
    lambda: (x(cnn.float16), 1e38),
    lambda: (whole(cnn.uint8), 1e38),
    lambda: (whole(cnn.int8), 3),
    lambda: (x(), -1e38, 1e38),
    lambda: (x(), 2, 0),
    lambda: (x(), 0, 1),
    lambda: (x(), (4, 3)),
    lambda: (x(), (0, 1)),
    lambda: (x(), 0, index()),
    lambda: (x(), 0, index(), x()),
    lambda: (x(), 0, cnn.tensor([0, 2])),
    lambda: (x(), 0, cnn.tensor([0, 2, 1]), x()),
    lambda: (x(), 0, cnn.tensor([0, 2]), 1e38),
    lambda: (x(), mask()),
    lambda: (x(), mask(), 1e38),
    lambda: (x(), mask(), x()),
    lambda: (mask(), x(), x()),
    lambda: (x(), index()),
    lambda: (x(), cnn.tensor([1, 3, 0])),
    lambda: (x(), cnn.float16),
    lambda: (x(), cnn.int8),
    lambda: (x(), 0, 1, 2),
    lambda: (x(), (1, 1)),
    lambda: (3,),
    lambda: (3, 4),
    lambda: ((2, 2), 1e38),
    lambda: (0.0, 1e38, 5),
    lambda: (image(), 2),
    lambda: (image(), (2, 2)),
    lambda: (image(), cnn.full((2, 3, 3, 3), 1e38)),
    lambda: (image(), cnn.full((3, 2, 3, 3), 1e38)),
    lambda: (image(), None, 2),
    lambda: (image(), 3),
    lambda: (image(), cnn.zeros(3), cnn.ones(3)),
    lambda: (image(), cnn.zeros(3)),
    lambda: (x()[0].reshape(1, 1, 4), cnn.full((1, 1, 3), 1e38)),
    lambda: (x()[0].reshape(1, 1, 4), 2),
]


def surface():
    """{name: function}: all that is public and computes."""
    found = {}
    for place, names in (
        ("cnn", vars(cnn)),
        ("F", vars(F)),
        ("linalg", {n: getattr(cnn.linalg, n) for n in cnn.linalg.__all__}),
        ("init", vars(nn.init)),
        ("nn.utils", vars(nn.utils)),
        ("Tensor", {n: getattr(Tensor, n) for n in dir(Tensor)}),
    ):
        for name, f in names.items():
            if callable(f) and not inspect.isclass(f) and not inspect.ismodule(f) and not name.startswith("_"):
                found[f"{place}.{name}"] = f
    for name in (
        "add sub mul truediv floordiv mod pow and or xor lshift rshift eq lt ge matmul iadd imul itruediv ifloordiv "
        "imod ipow isub radd rsub rmul rtruediv rfloordiv rmod rpow"
    ).split():
        found[f"Tensor.__{name}__"] = getattr(Tensor, f"__{name}__")
    for name in ("neg", "abs", "invert", "repr", "bool", "contains"):
        found[f"Tensor.__{name}__"] = getattr(Tensor, f"__{name}__")
    return found


ARGUMENTS = {
    "cnn.as_strided": lambda: (x(), (2, 2), (1, 2)),
    "cnn.batch_norm": lambda: (image(), None, None, cnn.zeros(3), cnn.ones(3), True, 0.1, 1e-5, False),
    "cnn.bincount": lambda: (cnn.tensor([0, 1, 1]), cnn.tensor([3e38, 3e38, 3e38])),
    "cnn.broadcast_to": lambda: (x(), (2, 3, 4)),
    "cnn.can_cast": lambda: (cnn.float32, cnn.int8),
    "cnn.einsum": lambda: ("ij,jk->ik", square(), square()),
    "cnn.from_numpy": lambda: (np.array([3e38, nan]),),
    "cnn.frombuffer": lambda: (bytearray(8),),
    "cnn.histc": lambda: (cnn.tensor([1e38, 2.0, 3e38]), 4),
    "cnn.index_put": lambda: (x(), (cnn.tensor([0, 2]),), cnn.tensor(1e38), True),
    "cnn.layer_norm": lambda: (x(), (4,)),
    "cnn.multinomial": lambda: (cnn.tensor([1e38, 1e-30, 1.0]), 2),
    "F.layer_norm": lambda: (x(), (4,)),
    "F.pixel_shuffle": lambda: (x().reshape(1, 4, 3, 1), 2),
    "cnn.pixel_shuffle": lambda: (x().reshape(1, 4, 3, 1), 2),
    "cnn.promote_types": lambda: (cnn.float16, cnn.int64),
    "cnn.randint": lambda: (0, 2**40, (5,)),
    "cnn.unflatten": lambda: (x(), 1, (2, 2)),
    "F.binary_cross_entropy": lambda: (cnn.tensor([0.0, 1.0, 1e-45]), cnn.tensor([1.0, 0.0, 0.5])),
    "F.fold": lambda: (cnn.full((1, 4, 4), 3e38), (3, 3), 2),
    "F.one_hot": lambda: (cnn.tensor([0, 2]),),
    "init.calculate_gain": lambda: ("leaky_relu", 1e38),
    "linalg.cholesky": lambda: (cnn.tensor([[1e38, 0.0], [0.0, 1e-38]]),),
    "Tensor.backward": lambda: ((cnn.tensor(3e38, requires_grad=True) * 3.0).exp(),),
    "Tensor.geometric_": lambda: (x(), 0.5),
    "Tensor.register_hook": lambda: (cnn.zeros(2, requires_grad=True), print),
    "Tensor.retain_grad": lambda: (cnn.zeros(2, requires_grad=True) * 2,),
}
KEYWORDS = {"cnn.frombuffer": {"dtype": cnn.float32}}
# They compute nothing with tensors, or what they give is not defined.
LEFT_OUT = {
    "cnn": "are_deterministic_algorithms_enabled complex empty empty_cache empty_like get_default_dtype "
    "get_float32_matmul_precision get_num_interop_threads get_num_threads get_rng_state initial_seed is_grad_enabled "
    "load manual_seed save seed set_default_dtype set_grad_enabled set_num_interop_threads set_num_threads "
    "set_printoptions set_rng_state use_deterministic_algorithms vmap set_float32_matmul_precision",
    "Tensor": "data_ptr new new_empty empty_like",
    "linalg": "eig",
}
LEFT_OUT = {f"{place}.{name}" for place, names in LEFT_OUT.items() for name in names.split()}
SURFACE = {name: f for name, f in surface().items() if name not in LEFT_OUT}


def content(result):
    """What a result holds, to the bit."""
    if isinstance(result, Tensor):
        return result._a.dtype.str, result._a.shape, result.detach().contiguous()._a.tobytes()
    if isinstance(result, (tuple, list)):
        return tuple(map(content, result))
    return result if isinstance(result, (bool, int, str, type(None))) else repr(type(result))


def outcome(f, make, keywords, gradients):
    """The results of f, what it left of its arguments, and the gradients of those that have one."""
    cnn.manual_seed(0)
    arguments = make()
    leaves = [a for a in arguments if gradients and isinstance(a, Tensor) and a.is_floating_point() and a.is_leaf]
    for leaf in leaves:
        leaf.requires_grad_()
    result = f(*arguments, **keywords)
    if leaves:
        first = result[0] if isinstance(result, tuple) and result else result
        if not isinstance(first, Tensor) or not first.requires_grad:
            return None
        first.backward(cnn.full(first.shape, 1e38, dtype=first.dtype))
    return content(result), content(arguments), content([leaf.grad for leaf in leaves])


def quietly(f, *arguments):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*arguments)


def strictly(f, *arguments):
    with np.errstate(all="raise"), warnings.catch_warnings():
        for kind in (RuntimeWarning, DeprecationWarning, np.exceptions.ComplexWarning):
            warnings.simplefilter("error", kind)
        return f(*arguments)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SURFACE)
def test_the_error_state_changes_nothing(name):
    f, keywords = SURFACE[name], KEYWORDS.get(name, {})
    own = ARGUMENTS.get(name, ARGUMENTS.get(name.replace("Tensor.", "cnn.").removesuffix("_")))
    came_through = 0
    for make in [own] if own else CANDIDATES:
        for gradients in (False, True):
            try:
                expected = quietly(outcome, f, make, keywords, gradients)
            except Exception:  # these arguments do not fit
                continue
            assert strictly(outcome, f, make, keywords, gradients) == expected
            came_through += 1
    assert came_through, f"no arguments for {name}: give it some in ARGUMENTS"
    COUNTS["NumPy state"] += 1


PICTURES = {
    "adjust_brightness": (1e38,), "adjust_contrast": (1e38,), "adjust_gamma": (1e38,), "adjust_hue": (0.4,),
    "adjust_saturation": (1e38,), "adjust_sharpness": (1e38,), "affine": (30, [1, 1], 0.5, [10, 0]), "autocontrast": (),
    "center_crop": (2,), "convert_image_dtype": (cnn.uint8,), "equalize": (), "gaussian_blur": (3,), "hflip": (),
    "invert": (), "normalize": ([1e38, 0, 0], [1e-38, 1, 1]), "pad": (1, 1e38), "posterize": (2,), "resize": ([3, 7],),
    "rgb_to_grayscale": (), "rotate": (30,), "solarize": (0.5,), "to_pil_image": (),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*PICTURES, "make_grid"])
def test_pictures(name):
    from cnn.vision import utils
    from cnn.vision.transforms import functional

    f = getattr(functional, name, None) or getattr(utils, name)
    done = 0
    for picture in (image()[0], (image()[0].nan_to_num(0.5).clamp(0, 1) * 255).byte()):
        make = lambda p=picture: (p.clone(), *PICTURES.get(name, ()))  # noqa: E731
        try:
            expected = quietly(outcome, f, make, {}, False)
        except (TypeError, RuntimeError):  # not for this type
            continue
        assert strictly(outcome, f, make, {}, False) == expected
        done += 1
    assert done
    COUNTS["NumPy state"] += 1


@pytest.mark.parametrize("name", [n for n, c in vars(cnn.optim).items() if inspect.isclass(c) and n != "Optimizer"])
def test_optimizers(name):
    def run():
        p = nn.Parameter(cnn.tensor([3e38, -1e-40, 1.0, 0.0]))
        optimizer = getattr(cnn.optim, name)([p], lr=1e30, weight_decay=1e20)
        for gradient in ([3e38, 1e-40, inf, 0.0], [nan, -1e38, 1.0, 1e-45]):
            p.grad = cnn.tensor(gradient)
            optimizer.step()
        return content([p, *optimizer.state[p].values()])

    assert strictly(run) == quietly(run)
    COUNTS["NumPy state"] += 1


def test_the_users_state_is_given_back():
    def hook(gradient):
        return gradient * 2

    a = cnn.ones(2, requires_grad=True)
    with np.errstate(all="raise"):
        (a / 0.0).register_hook(hook)
        (a / 0.0).sum().backward()
        assert not cnn.tensor([inf]).exp().isnan().any()
        with pytest.raises(RuntimeError):
            cnn.ones(2) / cnn.ones(3)
        with pytest.raises(FloatingPointError):
            np.ones(1) / np.zeros(1)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_norms_of_large_gradients():
    assert cnn.tensor([3e38, 3e38]).norm().item() == inf
    with np.errstate(all="raise"):
        assert repr(cnn.tensor([1e308, 1e-300], dtype=cnn.float64)).startswith("tensor([1.0000e+308,")
    p = nn.Parameter(cnn.ones(2))
    p.grad = cnn.full((2,), 1e25)
    nn.utils.clip_grad_norm_([p], 1.0)
    assert (cnn.tensor([3e38]) + cnn.tensor([[3e38], [0.0]])).tolist() == [[inf], [cnn.tensor(3e38).item()]]


MODULES = {
    "AdaptiveAvgPool2d": lambda: (nn.AdaptiveAvgPool2d(2), image()),
    "AdaptiveMaxPool2d": lambda: (nn.AdaptiveMaxPool2d(2), image()),
    "AvgPool2d": lambda: (nn.AvgPool2d(2), image()),
    "BCEWithLogitsLoss": lambda: (nn.BCEWithLogitsLoss(pos_weight=cnn.tensor(1e38)), x(), cnn.ones(3, 4)),
    "BatchNorm2d": lambda: (nn.BatchNorm2d(3), image()),
    "Conv2d": lambda: (nn.Conv2d(3, 2, 3), image()),
    "ConvTranspose2d": lambda: (nn.ConvTranspose2d(3, 2, 3), image()),
    "CosineSimilarity": lambda: (nn.CosineSimilarity(), x(), x()),
    "CrossEntropyLoss": lambda: (nn.CrossEntropyLoss(label_smoothing=0.1), x(), cnn.tensor([0, 1, 3])),
    "Dropout": lambda: (nn.Dropout(0.5), x()),
    "Fold": lambda: (nn.Fold((3, 3), 2), cnn.full((1, 4, 4), 3e38)),
    "GroupNorm": lambda: (nn.GroupNorm(1, 3), image()),
    "Linear": lambda: (nn.Linear(4, 2), x()),
    "MaxPool2d": lambda: (nn.MaxPool2d(2), image()),
    "NLLLoss": lambda: (nn.NLLLoss(weight=cnn.full((4,), 1e38)), x(), cnn.tensor([0, 1, 3])),
    "ReflectionPad2d": lambda: (nn.ReflectionPad2d(1), image()),
    "ReLU": lambda: (nn.ReLU(), x()),
    "Softmax": lambda: (nn.Softmax(1), x()),
    "Unfold": lambda: (nn.Unfold(2), image()),
    "Upsample": lambda: (nn.Upsample(scale_factor=1.7, mode="bilinear", recompute_scale_factor=True), image()),
    "Upsample bicubic": lambda: (nn.Upsample(scale_factor=2.5, mode="bicubic"), image()),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    def run():
        cnn.manual_seed(0)
        module, *arguments = MODULES[name]()
        arguments[0].requires_grad_()
        y = module(*arguments)
        y.backward(cnn.full_like(y, 1e38))
        return content([y, arguments[0].grad, *(p.grad for p in module.parameters())])

    assert strictly(run) == quietly(run)
    COUNTS["NumPy state"] += 1


def test_the_way_of_an_older_numpy():
    """Where NumPy keeps its state elsewhere, a function enters an errstate, and its __exit__ leaves it."""
    from numpy._core import umath

    calls, results = [], []

    class State:
        def __exit__(self, *exception):
            calls.append("left")
            result = State()
            results.append(weakref.ref(result))
            return result

    def enter():
        calls.append("entered")
        return State()

    for wrong in ((1, 1), (None, 1), (enter, enter)):
        with pytest.raises(TypeError, match="set_quiet"):
            cnn._cnn.set_quiet(*wrong)
    cnn._cnn.set_quiet(None, enter)
    try:
        cnn.tensor([1.0, 2.0]).sum()
    finally:
        cnn._cnn.set_quiet(umath._extobj_contextvar, umath._make_extobj(all="ignore"))
    assert calls == ["entered", "left"] and results[0]() is None
