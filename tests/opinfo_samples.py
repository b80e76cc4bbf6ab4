"""What opinfo.py does to a sample: from torch's tensors to ours, how it is typed, what two results must share."""

import numpy as np
import torch

import cnn
from cnn.tensor import Tensor

_PARTS = ("dtype", "memory_format", "layout", "device", "Size")
TOLERANCE = {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7)}


class Plain:
    """input, args and kwargs of a sample, each passed through `f`, in containers as they were."""

    def __init__(self, input, args, kwargs):
        self.input, self.args, self.kwargs = input, args, kwargs

    @classmethod
    def of(cls, sample, f):
        made = {}  # a tensor that stands in two places is one tensor afterwards too

        def walk(x):
            if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
                return type(x)(map(walk, x))
            if isinstance(x, dict):
                return {k: walk(v) for k, v in x.items()}
            if not isinstance(x, torch.Tensor):
                return f(x)
            if id(x) not in made:
                made[id(x)] = f(x)
            return made[id(x)]

        return cls(walk(sample.input), walk(sample.args), walk(sample.kwargs))


def _array(t):
    """A copy of the tensor's memory, seen through the tensor's shape and strides."""
    t = t.detach()
    if t.numel() == 0 or t.is_conj() or t.is_neg():
        return t.numpy(force=True).copy()
    span = sum((n - 1) * s for n, s in zip(t.shape, t.stride(), strict=True)) + 1
    memory = torch.as_strided(t, (span,), (1,), t.storage_offset()).numpy().copy()
    strides = [s * memory.itemsize for s in t.stride()]
    return np.lib.stride_tricks.as_strided(memory, tuple(t.shape), strides)


def convert(x):
    """One item of a sample as cnn has it."""
    if isinstance(x, torch.Tensor):
        if x.layout is not torch.strided or x.is_complex() or x.is_quantized or x.ndim > 64:  # NumPy's limit
            raise NotImplementedError
        name = str(x.dtype).removeprefix("torch.")
        if name == "bfloat16" or not hasattr(cnn, name):
            raise NotImplementedError
        array = _array(x)
        if 0 in array.strides and array.size > 1:
            array = np.broadcast_to(array, array.shape) if not array.flags.writeable else array
        return cnn.from_numpy(array).requires_grad_(x.requires_grad)
    if isinstance(x, torch.dtype):
        name = str(x).removeprefix("torch.")
        if not hasattr(cnn, name):
            raise NotImplementedError
        return getattr(cnn, name)
    if isinstance(x, torch.memory_format):
        name = str(x).removeprefix("torch.")
        if not hasattr(cnn, name):
            raise NotImplementedError
        return getattr(cnn, name)
    if isinstance(x, torch.layout):
        return cnn.strided
    if isinstance(x, torch.device):
        return cnn.device(str(x))
    if isinstance(x, torch.Size):
        return cnn.Size(x)
    if isinstance(x, torch.Generator):
        return cnn.Generator().manual_seed(x.initial_seed())
    if isinstance(x, complex):
        raise NotImplementedError
    return x


def tensors_in(x):
    if isinstance(x, (torch.Tensor, Tensor)):
        return [x]
    if isinstance(x, (list, tuple)):
        return [t for item in x for t in tensors_in(item)]
    if isinstance(x, dict):
        return [t for item in x.values() for t in tensors_in(item)]
    return []


def leaves(plain):
    """The tensors of a sample that may get a gradient."""
    return tensors_in([plain.input, plain.args, plain.kwargs])


def text(op, form, sample):
    """The call as one would type it, T being cnn.tensor; larger tensors as their shape."""

    def item(x):
        if isinstance(x, torch.Tensor):
            flags = ", requires_grad=True" if x.requires_grad else ""
            kind = str(x.dtype).removeprefix("torch.")
            if 0 < x.numel() <= 8:
                values = x.detach().tolist()
                return f"T({values if not isinstance(values, list) else _rounded(values)}, dtype=cnn.{kind}{flags})"
            strided = "" if x.is_contiguous() else f" strides {x.stride()}"
            return f"<{kind} {tuple(x.shape)}{strided}{flags}>"
        if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
            inner = ", ".join(map(item, x))
            return f"[{inner}]" if isinstance(x, list) else f"({inner}{',' if len(x) == 1 else ''})"
        if isinstance(x, torch.dtype):
            return f"cnn.{str(x).removeprefix('torch.')}"
        if isinstance(x, torch.Size):
            return str(tuple(x))
        return repr(x)

    args = [item(x) for x in sample.args] + [f"{k}={item(v)}" for k, v in sample.kwargs.items()]
    first = item(sample.input)
    if form == "function":
        return f"cnn.{op.name}({', '.join([first, *args])})"
    name = form.split()[1] if form.startswith("alias") else op.name
    if form.startswith("alias") and form.count(" ") == 1:
        return f"cnn.{name}({', '.join([first, *args])})"
    return f"{first}.{name}{'_' if 'inplace' in form else ''}({', '.join(args)})"


def _rounded(values):
    return [_rounded(v) if isinstance(v, list) else round(v, 4) if isinstance(v, float) else v for v in values]


def _name(t):
    return str(t.dtype).removeprefix("torch.")


def compare(got, want, values=True, what="result"):
    """What differs between our result and torch's, in a line; None where nothing does."""
    if isinstance(want, torch.Tensor):
        if not isinstance(got, Tensor):
            return f"{what}: {type(got).__name__}, torch: Tensor"
        if _name(got) != _name(want):
            return f"{what}: dtype {_name(got)}, torch: {_name(want)}"
        if tuple(got.shape) != tuple(want.shape):
            return f"{what}: shape {tuple(got.shape)}, torch: {tuple(want.shape)}"
        return _values(got, want, what) if values else None
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            size = len(got) if isinstance(got, (list, tuple)) else type(got).__name__
            return f"{what}: {size}, torch: {type(want).__name__} of {len(want)}"
        for i, (a, b) in enumerate(zip(got, want, strict=True)):
            problem = compare(a, b, values, f"{what}[{i}]")
            if problem:
                return problem
        return None
    if isinstance(want, torch.dtype):
        return None if _name_of(got) == _name_of(want) else f"{what}: {got}, torch: {want}"
    if isinstance(want, (bool, int, float)):
        same = type(got) is type(want) and (np.allclose(got, want, 1e-6, 1e-6, equal_nan=True))
        return None if same else f"{what}: {got!r}, torch: {want!r}"
    return None


def same_among_ties(name, got, want, sample):
    """(values, indices), or indices alone, that lead to torch's values: its documentation leaves open which of equal
    elements is meant."""
    if sample.kwargs.get("stable"):
        return False
    x, place = sample.input.detach(), 1 if name in ("topk", "kthvalue") else 0
    dim = sample.kwargs.get("dim", sample.args[place] if len(sample.args) > place else -1)

    def values(indices):
        indices = torch.from_numpy(np.asarray(indices.numpy()).copy())
        if x.ndim and indices.ndim < x.ndim:
            return x.gather(dim, indices.unsqueeze(dim)).squeeze(dim)
        return x.gather(dim, indices)

    ours, theirs = (got, want) if isinstance(want, torch.Tensor) else (got[1], want[1])
    if compare(ours, theirs, values=False) or not isinstance(want, torch.Tensor) and compare(got[0], want[0]):
        return False
    return bool((values(ours) == values(theirs)).all())


def _name_of(dtype):
    return str(dtype).removeprefix("torch.")


def _values(got, want, what):
    if want.dtype is torch.bfloat16:
        rounded = got.detach().float().numpy(), want.detach().float().numpy()
        same = np.allclose(*rounded, *TOLERANCE["bfloat16"], equal_nan=True)
        return None if same else f"{what}: other values than torch's in bfloat16"
    a, b = got.detach().numpy(), want.detach().numpy(force=True)
    if a.dtype.kind != "f":
        different = a != b
    else:
        rtol, atol = TOLERANCE[_name(want)]
        with np.errstate(all="ignore"):
            different = ~np.isclose(a.astype(np.float64), b.astype(np.float64), rtol, atol, equal_nan=True)
    if not different.any():
        return None
    at = tuple(int(i) for i in np.argwhere(different)[0])
    return f"{what}: {a[at]} at {list(at)}, torch: {b[at]} ({int(different.sum())} of {a.size} differ)"


def no_farther(got, want, exact):
    """`got` is not much farther from `exact` than `want` is, and of its shape and type."""
    if got is None or compare(got, want, values=False):
        return False
    if not want.is_floating_point():
        return compare(got, want) is None
    a, b, c = got.detach().numpy(), want.detach().numpy(), exact.detach().numpy()
    finite = np.isfinite(c)
    if not (np.isfinite(a) == finite).all():
        return False
    error, allowed = (np.abs(x.astype(np.float64) - c)[finite].max(initial=0) for x in (a, b))
    return bool(error <= 3 * allowed + 1e-5)


def compare_gradients(got, want, ours, theirs):
    """(class, detail): the gradients that flow back through one result and the other along random weights."""
    mine, reference = tensors_in(got), tensors_in(want)
    for i, (a, b) in enumerate(zip(mine, reference, strict=True)):
        if b.requires_grad and not a.requires_grad:
            return "cut", f"result {i} does not require grad, torch's does ({type(b.grad_fn).__name__})"
        if a.requires_grad and not b.requires_grad:
            return "wrong", f"result {i} requires grad, torch's does not"
    pairs = [(a, b) for a, b in zip(mine, reference, strict=True) if b.requires_grad and b.is_floating_point()]
    if not pairs:
        return "agree", ""
    random = np.random.default_rng(0)
    draws = [np.asarray(random.standard_normal(tuple(b.shape))).astype(np.float32) for _, b in pairs]
    weights = [w.astype(_name(b)) for w, (_, b) in zip(draws, pairs, strict=True)]
    try:
        torch.autograd.backward([b for _, b in pairs], [torch.from_numpy(w) for w in weights])
    except RuntimeError as error:
        try:
            cnn.autograd.backward([a for a, _ in pairs], [cnn.from_numpy(w) for w in weights])
        except RuntimeError:
            return "agree", "both refuse backward"
        return "accepted", f"backward; torch: {error}"
    if ours:
        cnn.autograd.backward([a for a, _ in pairs], [cnn.from_numpy(w) for w in weights])
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if not b.requires_grad:
            continue
        if b.grad is None:
            if a.grad is not None and bool((a.grad != 0).any()):
                return "wrong", f"argument {i} has a gradient, torch's has none"
            continue
        if a.grad is None:
            zero = " (of zeros)" if not bool((b.grad != 0).any()) else ""
            return "cut", f"argument {i} got no gradient, torch's has one{zero}"
        problem = compare(a.grad, b.grad, what=f"gradient of argument {i}")
        if problem:
            return "wrong", problem
    return "agree", ""
