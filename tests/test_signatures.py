"""torch's keywords everywhere: taken, or refused by name; NumPy's names beside them; out= filled."""

import re
import warnings

import numpy as np
import pytest
import signature_walk
from calls import CALLS, arguments
from harness import COUNTS, assert_close, needs_torch, torch

import cnn
from cnn.ops._keywords import NUMPY_NAMES, REFUSED, TAKES_OUT

LEARNED = signature_walk.learned()
SURFACE = dict(signature_walk.surface())
RANDOM = {"rand", "randn", "rand_like", "randn_like", "randint", "randint_like", "randperm", "normal", "bernoulli",
          "multinomial", "dropout"}  # fmt: skip
LOOK_AT_THEIR_KEYWORDS = {
    "compile",
    "load",
    "vmap",
    "vision.utils.save_image",
    "Tensor.uniform_",
    "Tensor.random_",
    "autograd.gradgradcheck",
}


def results(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


def same(got, want, what):
    for a, b in zip(results(got), results(want), strict=True):
        if isinstance(b, cnn.Tensor):
            assert a.dtype is b.dtype and a.shape == b.shape, what
            assert np.array_equal(a.detach().numpy(), b.detach().numpy(), equal_nan=a.is_floating_point()), what
        else:
            assert a == b, what


def as_torch(got, want, what):
    for a, b in zip(results(got), results(want), strict=True):
        if isinstance(b, torch.Tensor):
            assert_close(a.detach().numpy(), b.detach().numpy(), what=what)
        elif isinstance(b, torch.dtype):
            assert repr(a) == repr(b), what
        else:
            assert a == b, what


def call(module, name, text, **changed):
    kwargs = {**arguments(text, module), **changed}
    module.manual_seed(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return getattr(module, name)(**{k: v for k, v in kwargs.items() if v is not ...})


def test_every_keyword_of_torch_is_taken_or_refused_by_name():
    missing, walked = [], 0
    for name, f in SURFACE.items():
        known = signature_walk.keywords(f)
        walked += 1
        if known is not None:
            unknown = [k for k in LEARNED.get(name, ()) if k not in known[0] | known[1]]
            missing += [f"{name}({', '.join(unknown)})"] if unknown else []
        else:
            assert not LEARNED.get(name) or name in LOOK_AT_THEIR_KEYWORDS, f"{name} takes any keyword"
    COUNTS["arguments"] += walked
    assert missing == []


@needs_torch
def test_the_table_is_complete():
    """A name that torch has too, and that is new here, wants `python tests/learn_signatures.py`."""
    assert [n for n in SURFACE if n not in LEARNED and callable(signature_walk.of_torch(n))] == []
    assert [n for n in TAKES_OUT if "out" not in LEARNED[n]] == []


def test_refused_keywords_are_named():
    for path, keywords in REFUSED.items():
        for keyword in keywords:
            with pytest.raises(NotImplementedError, match=re.escape(f"cnn.{path}(): argument '{keyword}' is not")):
                SURFACE[path](**{keyword: None})
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'axes'"):
        cnn.sum(cnn.ones(2), axes=0)
    with pytest.raises(TypeError, match="multiple values for argument 'dim'"):
        cnn.sum(cnn.ones(2), dim=0, axis=0)


def test_every_function_has_a_call():
    """What takes tensors by torch's keywords is in CALLS, so that the tests below see it."""
    places = [n for n in SURFACE if "." not in n and isinstance(SURFACE[n], cnn._cnn.Function)]
    without = {"broadcast_tensors", "complex", "einsum", "from_dlpack", "from_numpy",
               "frombuffer", "index_put", "meshgrid", "unique"}  # fmt: skip
    in_place = {n for n in places if n.endswith("_")}  # see METHODS
    assert [n for n in places if n not in CALLS and n not in without | in_place and LEARNED.get(n)] == []


@pytest.mark.parametrize("name", CALLS)
def test_keywords(name):
    """By torch's keywords, as torch; by NumPy's names the same; as a method the same."""
    text = CALLS[name]
    if name == "atleast_1d":
        return
    got = call(cnn, name, text)
    if torch is not None:
        as_torch(got, call(torch, name, text), name)
    for numpy, ours in NUMPY_NAMES.items():
        if ours in arguments(text, cnn) and numpy in LEARNED[name]:
            value = arguments(text, cnn)[ours]
            same(call(cnn, name, text, **{ours: ..., numpy: value}), got, f"{name}({numpy}=)")
    rest = arguments(text, cnn)
    first = rest.pop(next(iter(rest)))
    method = f"Tensor.{name}"
    if isinstance(first, cnn.Tensor) and method in LEARNED and set(rest) <= set(LEARNED[method]):
        cnn.manual_seed(3)
        same(getattr(first, name)(**rest), got, f"Tensor.{name}")
    COUNTS["arguments"] += 1


METHODS = {
    "view": "size=(3, 2)", "reshape": "shape=(3, 2)", "expand": "size=(4, 2, 3)", "repeat": "repeats=(2, 2)",
    "permute": "dims=(1, 0)", "new_zeros": "size=(2,), dtype=m.float64", "new_ones": "size=(2,)",
    "new_full": "size=(2,), fill_value=3", "new_tensor": "data=[1, 2]", "split": "split_size=2, dim=1",
    "split_with_sizes": "split_sizes=[1, 2], dim=1", "size": "dim=1", "stride": "dim=0", "type_as": "other=i",
    "view_as": "other=x", "expand_as": "other=x", "unfold": "dimension=1, size=2, step=1",
    "where": "condition=b, other=y", "to": "dtype=m.float64", "copy_": "other=y",
    "index_add": "dim=1, index=at, source=x[:, :2]", "sum": "axis=1, keepdims=True", "add_": "other=y, alpha=2",
    "pow_": "exponent=2", "masked_fill_": "mask=b, value=2", "scatter_": "dim=0, index=place, src=y",
    "clamp_": "min=0", "squeeze": "dim=0", "tile": "dims=(2,)", "flip": "dims=(0, 1)",
    "contiguous": "memory_format=m.contiguous_format", "uniform_": "to=2.0", "requires_grad_": "requires_grad=True",
    "type": "dtype=m.float64",
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_keywords_of_methods(name):
    outcomes = []
    for module in (cnn, torch):
        if module is None or not hasattr(module.Tensor, name):
            continue
        module.manual_seed(1)
        x = arguments("x=x", module)["x"]
        outcomes.append(getattr(x, name)(**arguments(METHODS[name], module)))
    if len(outcomes) == 2:
        as_torch(*outcomes, name)
    COUNTS["arguments"] += 1


# ---- out= ----------------------------------------------------------------------------------------------------------

TYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")
FILLED = sorted(n for n in TAKES_OUT if "." not in n)


def outs(module, like, kind=None):
    """Empty tensors to fill: of the result's types, or the first of another type."""
    made = [module.empty(0, dtype=r.dtype) for r in results(like)]
    if kind is not None:
        made[0] = module.empty(0, dtype=getattr(module, kind))
    return made[0] if not isinstance(like, (tuple, list)) else tuple(made)


@pytest.mark.parametrize("name", FILLED)
def test_out_is_filled(name):
    text = CALLS[name]
    want = call(cnn, name, text)
    out = outs(cnn, want)
    got = call(cnn, name, text, out=out)
    assert all(a is b for a, b in zip(results(got), results(out), strict=True))
    same(got, want, name)
    # the memory of a larger tensor, every second element
    strided = [cnn.zeros(*r.shape, 2, dtype=r.dtype) for r in results(want)]
    views = [s[..., 0] for s in strided]
    call(cnn, name, text, out=views[0] if isinstance(want, cnn.Tensor) else tuple(views))
    same([s[..., 0] for s in strided], results(want), name)
    assert all(not s[..., 1].any() for s in strided)
    COUNTS["arguments"] += 1


@needs_torch
@pytest.mark.parametrize("name", FILLED)
def test_types_of_out(name):
    """The same types are filled with the same values as in torch; the others are refused."""
    given = dict.fromkeys(("dtype", "layout", "device", "pin_memory", "requires_grad"), ...)
    for kind in TYPES:
        # torch casts the values first, so that 0.5 becomes 0; and its nansum takes dtype=int64, but no such out
        if (name in ("all", "any") and kind == "uint8") or (name == "nansum" and kind[0] in "iub"):
            continue
        outcome = []
        for module in (torch, cnn):
            out = outs(module, call(module, name, CALLS[name], **given), kind)
            try:
                outcome.append(call(module, name, CALLS[name], out=out, **given))
            except (RuntimeError, TypeError, NotImplementedError) as error:
                outcome.append(error)
        theirs, ours = outcome
        what = f"{name}(out={kind}): torch {theirs!r:.200}, here {ours!r:.200}"
        assert isinstance(theirs, Exception) == isinstance(ours, Exception), what
        if not isinstance(theirs, Exception):
            if results(theirs)[0].dtype is torch.float16:
                assert all(
                    np.allclose(a._a, b.numpy(), 1e-3, 1e-3)
                    for a, b in zip(results(ours), results(theirs), strict=True)
                )
            else:
                as_torch(ours, theirs, what)


def test_out_of_another_size_is_resized_with_a_warning():
    x, out = cnn.ones(3, 2), cnn.zeros(5)
    with pytest.warns(UserWarning, match=r"An output with one or more elements was resized since it had shape \[5\]"):
        assert cnn.sum(x, dim=0, out=out) is out
    assert out.tolist() == [3, 3]


def test_out_refuses():
    x = cnn.ones(2)
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        cnn.add(x, x, out=cnn.empty(2, dtype=cnn.int64))
    with pytest.raises(RuntimeError, match=r"mm\(\): Expected out tensor to have dtype torch.float32, but got"):
        cnn.mm(cnn.ones(2, 2), cnn.ones(2, 2), out=cnn.empty(2, 2, dtype=cnn.float64))
    with pytest.raises(RuntimeError, match=r"add\(\): functions with out=... arguments don't support automatic"):
        cnn.add(x.clone().requires_grad_(), x, out=cnn.empty(2))
    with pytest.raises(RuntimeError, match=r"add\(\): functions with out=... arguments don't support automatic"):
        cnn.add(x, x, out=cnn.empty(2, requires_grad=True))
    with cnn.no_grad():
        assert cnn.add(x.clone().requires_grad_(), x, out=cnn.empty(2)).tolist() == [2, 2]
    with pytest.raises(TypeError, match=r"add\(\): argument 'out' must be Tensor, not list"):
        cnn.add(x, x, out=[1, 2])
    with pytest.raises(TypeError, match=r"max\(\): argument 'out' must be 2 Tensors, not 1"):
        cnn.max(x, 0, out=(cnn.empty(0),))
    with pytest.raises(RuntimeError, match="unsupported operation: more than one element of"):
        cnn.add(x, x, out=cnn.zeros(1).expand(2))
    with pytest.raises(RuntimeError, match=r"add\(\): unsupported operation: some elements of the input tensor"):
        y = cnn.ones(3)
        cnn.add(y[1:], y[1:], out=y[:2])
    with pytest.raises(TypeError, match="unexpected keyword argument 'out'"):
        x.add(x, out=x)
    with pytest.raises(RuntimeError, match=r"dtype torch.float64 does not match dtype of out tensor \(torch.float32\)"):
        cnn.zeros(2, dtype=cnn.float64, out=x)


def test_out_is_a_change_in_place():
    """Views see it, and backward notices that a value it saved is gone."""
    x = cnn.ones(2, requires_grad=True)
    buffer = cnn.zeros(2)
    half = buffer[:1]
    y = (x * buffer).sum()
    cnn.add(cnn.ones(2), 1, out=buffer)
    assert half.item() == 2
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
