"""Random steps for tests/random_programs.py: lines of Python in which `torch` is either library.

A step is chosen by looking at the tensors that PyTorch has at that point, so that most steps fit; some are meant not
to. Tables give the forms; each is a function of (g, x, X): the generator, the name of a tensor, and that tensor.
"""

import math


class Steps:
    """Draws steps. `names` are those of PyTorch's run: tensors are called t0, t1, ... there (`prefix` + a number)."""

    def __init__(self, random, names, prefix="t"):
        self.random, self.names, self.prefix, self.count = random, names, prefix, 0

    # ---- Choices ------------------------------------------------------------------------------------------------

    def chance(self, p):
        return self.random.random() < p

    def pick(self, *choices):
        return self.random.choice(choices)

    def between(self, low, high):
        return self.random.randint(low, high)

    def new(self):
        self.count += 1
        return f"{self.prefix}{self.count}"

    def tensors(self, test=None):
        """Names of tensors, as often as they should be chosen: those made last more often."""
        kind = self.names["torch"].Tensor
        found = [n for n, v in self.names.items() if n[: len(self.prefix)] == self.prefix and isinstance(v, kind)]
        if test is not None:
            found = [n for n in found if test(self.names[n])]
        return found + found[-3:]

    def any(self, test=None):
        found = self.tensors(test)
        return self.pick(*found) if found else None

    def floating(self, test=None):
        return self.any(lambda v: v.is_floating_point() and (test is None or test(v)))

    def dim(self, X, extra=0):
        n = max(X.ndim + extra, 1)
        return n + 1 if self.chance(0.01) else self.between(-n, n - 1)

    def position(self, size):
        return size + self.between(0, 2) if self.chance(0.02) or not size else self.between(-size, size - 1)

    def number(self):
        return self.pick("2", "0.5", "-1.5", "3", "0.25", "-1")

    # ---- New tensors --------------------------------------------------------------------------------------------

    def shape(self):
        n = self.pick(0, 1, 1, 2, 2, 2, 3, 3, 4)
        return tuple(0 if self.chance(0.02) else self.pick(1, 2, 2, 3, 3, 4, 5) for _ in range(n))

    def fresh(self, shape=None, floating=True):
        shape = self.shape() if shape is None else tuple(shape)
        size = math.prod(shape)
        kind = self.random.random()
        if not floating or kind < 0.1:
            return self.pick(
                f"torch.arange({size}).reshape({shape})",
                f"torch.randint(-3, 4, {shape})",
                f"torch.randn({shape}) > 0.2",
                f"torch.randint(0, 5, {shape}, dtype=torch.int32)",
                f"torch.randint(0, 5, {shape}, dtype=torch.uint8)",
            )
        return self.pick(
            f"torch.randn({shape})", f"torch.randn({shape})", f"torch.rand({shape})", f"torch.ones({shape})",
            f"torch.zeros({shape})", f"torch.randn({shape}, dtype=torch.float64)", f"torch.full({shape}, 0.5)",
            f"(torch.arange({size}.) / 4).reshape({shape})",
        )  # fmt: skip

    def leaf(self):
        made = self.fresh(floating=self.chance(0.9))
        name = self.new()
        if "int" in made or ">" in made or made.startswith("torch.arange"):
            return f"{name} = {made}"
        return f"{name} = {made}" + self.pick("", ".requires_grad_()", ".requires_grad_()")

    def other(self, X):
        """The name of a tensor that goes with X, or an expression for one, or a number."""
        kind = self.random.random()
        if kind < 0.25:
            return self.number()
        if kind < 0.75:
            fitting = self.tensors(lambda v: _fits(v.shape, X.shape) and apart(v, X))
            if fitting:
                return self.pick(*fitting)
        if kind > 0.995:
            return self.any()
        shape = list(X.shape)
        for i in range(len(shape)):
            if self.chance(0.2):
                shape[i] = 1
        return f"torch.randn({tuple(shape[self.pick(0, 0, 1) :])})"

    def source(self, X):
        """A tensor to copy into X."""
        fitting = self.tensors(lambda v: _fits(v.shape, X.shape) and apart(v, X))
        return self.pick(*fitting) if fitting and self.chance(0.7) else f"torch.randn({tuple(X.shape)})"

    def like(self, X):
        """An expression for a tensor of X's shape."""
        same = self.tensors(lambda v: v.shape == X.shape and v.dtype == X.dtype and apart(v, X))
        return self.pick(*same) if same and self.chance(0.6) else f"torch.randn({tuple(X.shape)})"

    def scalar(self, x, X):
        """A differentiable sum of x."""
        if self.chance(0.1) and X.numel() == 1:
            return x
        weights = f"({x} * torch.arange({X.numel()}.).reshape({tuple(X.shape)}) / 8).sum()"
        return self.pick(f"{x}.sum()", f"({x} * {x}).sum()", f"{x}.mean()", weights, weights)

    def sizes(self, X):
        """A shape with as many elements as X."""
        left, shape = X.numel(), []
        for _ in range(self.between(0, 3)):
            divisors = [d for d in range(1, left + 1) if left % d == 0] if left < 200 else [1, 2, left]
            shape.append(self.pick(*divisors) if divisors else 0)
            left = left // shape[-1] if shape[-1] and left % shape[-1] == 0 else left
        if left != 1 or not shape:
            shape.append(left)
        if self.chance(0.3):
            shape[self.between(0, len(shape) - 1)] = -1
        if self.chance(0.02):
            shape.append(2)
        return tuple(shape)

    # ---- Indices ------------------------------------------------------------------------------------------------

    def index(self, X, arrays=None):
        arrays = self.chance(0.3) if arrays is None else arrays
        parts, dim = [], 0
        while dim < X.ndim:
            size, kind = X.shape[dim], self.random.random()
            if kind < 0.12 and parts:
                break
            if kind < 0.45:
                parts.append(self.slice(size))
            elif kind < 0.55:
                parts.append(":")
            elif arrays and kind < 0.85:
                text, used = self.index_array(X, dim)
                parts.append(text)
                dim += used - 1
            else:
                parts.append(str(self.position(size)))
            dim += 1
        if self.chance(0.15):
            parts.insert(self.between(0, len(parts)), "None")
        if self.chance(0.15):
            parts.insert(self.between(0, len(parts)), "...")
        if arrays and self.chance(0.03):
            parts.insert(self.between(0, len(parts)), self.pick("True", "False"))
        return ", ".join(parts) or "..."

    def slice(self, size):
        a, b = sorted((self.between(-1, size), self.between(0, size + 1)))
        return self.pick(f"{a}:", f":{b}", f"{a}:{b}", f"{max(a, 0)}:{max(b, 0)}", f"::{self.between(1, 3)}", f"{-b}:")

    def index_array(self, X, dim):
        size = X.shape[dim]
        values = [self.position(size) for _ in range(self.between(1, 3))] if size else []
        if self.chance(0.3):
            mask = [self.chance(0.6) for _ in range(size)]
            return self.pick(f"torch.tensor({mask}, dtype=torch.bool)", str(mask) if mask else "[]"), 1
        if self.chance(0.2) and X.ndim - dim >= 2:
            return f"torch.randn({tuple(X.shape[dim : dim + 2])}) > 0", 2
        if self.chance(0.2):
            return f"torch.tensor([{values}, {values[::-1]}], dtype=torch.long)", 1
        return self.pick(f"torch.tensor({values}, dtype=torch.long)", str(values)), 1

    def indices(self, size):
        return f"torch.tensor({[self.position(size) for _ in range(self.between(1, 3))] if size else []})"

    # ---- A step -------------------------------------------------------------------------------------------------

    def from_table(self, table):
        """A line for one of the forms, or None where no tensor fits it."""
        x = self.any() if self.chance(0.1) else self.floating()
        if x is None or table is IN_PLACE and self.names["torch"]._debug_has_internal_overlap(self.names[x]) == 2:
            return None  # unfold: what comes of a write depends on the order
        return self.pick(*table)(self, x, self.names[x])

    def step(self):
        kind = self.random.random()
        if len(set(self.tensors())) < 2 or kind < 0.06:
            return self.leaf()
        if kind < 0.1 and len(set(self.tensors())) > 9:
            return f"del {self.pick(*self.tensors())}"
        if kind < 0.35:
            return self.bound(VIEWS)
        if kind < 0.6:
            return self.guarded(self.from_table(IN_PLACE))
        if kind < 0.8:
            return self.bound(POINTWISE)
        if kind < 0.86:
            return self.bound(SEVERAL)
        return self.from_table(GRADIENTS)

    def bound(self, table):
        expression = self.from_table(table)
        return expression and self.guarded(f"{self.new()} = {expression}")

    def guarded(self, line):
        """The line, now and then in another mode."""
        if line is None or not self.chance(0.08) or "requires_grad" in line or "detach_" in line:
            return line
        mode = self.pick("no_grad", "no_grad", "no_grad", "enable_grad", "enable_grad", "inference_mode")
        return f"with torch.{mode}(): {line}"


def apart(v, X):
    """Whether v is X itself or other memory: in between, what is written and what is read depends on the order."""
    return v is X or v.untyped_storage().data_ptr() != X.untyped_storage().data_ptr()


def in_rows(X):
    """Whether the memory that X sees lies in row order in both libraries."""
    base = X if X._base is None else X._base
    return base.is_contiguous() and 0 not in X.stride()


def _fits(a, b):
    return len(a) <= len(b) and all(m in (1, n) for m, n in zip(reversed(a), reversed(b), strict=False))


def _expanded(g, X):
    shape = [g.between(2, 3) if n == 1 and g.chance(0.6) else g.pick(n, -1) for n in X.shape]
    return tuple([g.between(1, 3) for _ in range(g.pick(0, 0, 1))] + shape)


def _permutation(g, X):
    dims = list(range(X.ndim))
    g.random.shuffle(dims)
    return tuple(d - X.ndim if g.chance(0.2) else d for d in dims)


def _range(g, size):
    start = g.between(0, size)
    return f"{start - size if start < size and g.chance(0.2) else start}, {g.between(0, size - start)}"


def _on_dim(form):
    """A form with a dimension in it, for tensors that have one: form(g, x, dim, its size)."""

    def make(g, x, X):
        d = g.dim(X)
        size = X.shape[d] if -X.ndim <= d < X.ndim else 1
        return form(g, x, d, size)

    return make


def _cuts(g, size):
    first = g.between(0, size)
    return [first, size - first]


VIEWS = [
    *[lambda g, x, X: f"{x}[{g.index(X, arrays=False)}]"] * 4,
    *[lambda g, x, X: f"{x}[{g.index(X, arrays=True)}]"] * 2,
    *[lambda g, x, X: f"{x}.view({g.sizes(X)})"] * 3,
    *[lambda g, x, X: f"{x}.reshape({g.sizes(X)})" if in_rows(X) else None] * 2,
    lambda g, x, X: f"{x}.view(-1)",
    *[_on_dim(lambda g, x, d, n: f"{x}.transpose({d}, {g.pick(0, -1, d)})")] * 2,
    *[lambda g, x, X: f"{x}.permute({_permutation(g, X)})"] * 2,
    lambda g, x, X: f"{x}.{g.pick('t()', 'T', 'mT')}" if X.ndim == 2 or X.ndim < 2 and g.chance(0.1) else None,
    *[lambda g, x, X: f"{x}.expand({_expanded(g, X)})"] * 2,
    lambda g, x, X: f"{x}.{g.pick('squeeze()', f'squeeze({g.dim(X)})', f'unsqueeze({g.dim(X, 1)})')}",
    _on_dim(lambda g, x, d, n: f"{x}.narrow({d}, {_range(g, n)})"),
    _on_dim(lambda g, x, d, n: f"{x}.select({d}, {g.position(n)})"),
    lambda g, x, X: f"{x}.diagonal({g.pick(0, 0, 1, -1)}, {g.dim(X)}, {g.dim(X)})" if X.ndim > 1 else None,
    _on_dim(lambda g, x, d, n: f"{x}.unfold({d}, {g.between(1, max(n, 1))}, {g.between(1, 2)})"),
    lambda g, x, X: f"{x}.movedim({g.dim(X)}, {g.dim(X)})",
    lambda g, x, X: f"{x}.flatten({g.dim(X)}, {g.dim(X)})" if in_rows(X) else None,
    lambda g, x, X: f"{x}.view_as({g.like(X)})",
    lambda g, x, X: f"{x}.{g.pick('detach()', 'detach()', 'data', 'contiguous()', 'ravel()', 'clone()', 'mT')}",
    _on_dim(lambda g, x, d, n: f"{x}.unflatten({d}, ({g.pick(1, n)}, -1))"),
    _on_dim(lambda g, x, d, n: f"{x}.chunk({g.between(1, 3)}, {d})[{g.pick(0, -1)}]"),
    _on_dim(lambda g, x, d, n: f"{x}.split({g.pick(_cuts(g, n), max(n // 2, 1))}, {d})[{g.pick(0, -1)}]"),
    _on_dim(lambda g, x, d, n: f"{x}.unbind({d})[{g.position(n)}]"),
    _on_dim(lambda g, x, d, n: f"torch.tensor_split({x}, {g.between(1, 3)}, {d})[0]"),
    lambda g, x, X: f"torch.broadcast_tensors({x}, {g.like(X)})[0]",
    lambda g, x, X: f"torch.meshgrid({x}, {g.pick(x, 'torch.ones(2)')}, indexing='ij')[0]" if X.ndim == 1 else None,
    lambda g, x, X: f"{x}.to({g.pick(x + '.dtype', 'torch.float64', 'torch.float32', 'torch.int64')})",
    lambda g, x, X: f"torch.atleast_1d({x})",
]

_UNARY_ = "abs_ neg_ sigmoid_ tanh_ relu_ sin_ cos_ square_ floor_ round_ sign_ trunc_ frac_".split()

IN_PLACE = [
    *[lambda g, x, X: f"{x}.add_({g.other(X)})"] * 3,
    *[lambda g, x, X: f"{x}.mul_({g.other(X)})"] * 3,
    lambda g, x, X: f"{x}.sub_({g.other(X)})",
    lambda g, x, X: f"{x}.div_({g.pick('2', '4.0', f'({g.like(X)}.abs() + 1)')})",
    lambda g, x, X: f"{x} {g.pick('+=', '-=', '*=')} {g.other(X)}",
    *[lambda g, x, X: f"{x}.{g.pick(*_UNARY_)}()"] * 3,
    *[lambda g, x, X: f"{x}.{g.pick('zero_()', 'fill_(0.5)', 'fill_(torch.tensor(2.0))')}"] * 2,
    lambda g, x, X: f"{x}.clamp_({g.pick('-0.7, 0.6', 'min=0.1', 'max=0.3')})",
    *[lambda g, x, X: f"{x}.copy_({g.source(X)})"] * 2,
    lambda g, x, X: f"{x}.masked_fill_(torch.randn({tuple(X.shape)}) > 0, {g.number()})",
    *[lambda g, x, X: f"{x}[{g.index(X)}] = {g.number()}"] * 2,
    *[lambda g, x, X: f"{x}[{g.index(X)}] {g.pick('*=', '+=')} {g.number()}"] * 2,
    lambda g, x, X: _assign(g, x, X),
    lambda g, x, X: _assign(g, x, X),
    lambda g, x, X: (
        f"{x}.index_put_((torch.tensor([0, -1]),), {g.pick('torch.tensor(1.5)', 'torch.randn(1)')}"
        f"{g.pick('', ', accumulate=True')})"
    ),
    _on_dim(lambda g, x, d, n: f"{x}.index_fill_({d}, {g.indices(n)}, {g.number()})"),
    _on_dim(lambda g, x, d, n: f"{x}.index_add_({d}, torch.tensor([0]), {x}.detach().narrow({d}, 0, 1).clone())"),
    _on_dim(lambda g, x, d, n: f"{x}.index_copy_({d}, torch.tensor([0]), {x}.narrow({d}, 0, 1) * 2)"),
    lambda g, x, X: f"{x}.scatter_({g.dim(X)}, torch.zeros({tuple(X.shape)}, dtype=torch.long), {g.like(X)} * 2)",
    lambda g, x, X: f"{x}.scatter_add_({g.dim(X)}, torch.zeros({tuple(X.shape)}, dtype=torch.long), {g.like(X)} * 2)",
    lambda g, x, X: f"{x}.masked_scatter_(torch.randn({tuple(X.shape)}) > 0, {g.like(X)}.clone())",
    lambda g, x, X: f"{x}.{g.pick('addcmul_', 'addcdiv_')}({g.like(X)}, torch.rand({tuple(X.shape)}) + 1, value=0.5)",
    lambda g, x, X: f"{x}.lerp_({g.like(X)}, 0.3)",
    lambda g, x, X: (
        f"{x}.{g.pick('normal_()', 'uniform_()', 'bernoulli_(0.4)', 'exponential_()')}" if in_rows(X) else None
    ),
    lambda g, x, X: f"F.{g.pick('relu', 'leaky_relu', 'elu', 'hardtanh', 'silu', 'relu6')}({x}, inplace=True)",
    lambda g, x, X: f"F.dropout({x}, 0.4, inplace=True)" if in_rows(X) else None,
    # Past autograd only where nothing can have saved it: one library's backward may read it, the other's a copy.
    lambda g, x, X: None if X.requires_grad else f"{x}.data{g.pick('.mul_(0.5)', '.fill_(1)', '.add_(1)')}",
    lambda g, x, X: f"{x}.detach().mul_(2)" if X.requires_grad or g.chance(0.5) else f"{x}.data = {g.like(X)}",
    lambda g, x, X: None if X.requires_grad else f"{x}.numpy()[...] = {g.number()}",
    lambda g, x, X: f"{x}.detach_()",
    lambda g, x, X: f"{x}.requires_grad_({g.pick('', 'False')})",
    lambda g, x, X: f"{x}.pow_({g.pick('2', '3', '0.5') if g.chance(0.9) else g.like(X)})",
    lambda g, x, X: f"{x}.clamp_min_(0)",
    lambda g, x, X: f"torch.{g.pick('add', 'mul', 'sub')}({g.like(X)}, 2, out={x})",
]


def _assign(g, x, X):
    index, torch = g.index(X), g.names["torch"]
    state = torch.get_rng_state()  # drawing a program draws nothing from it
    try:
        shape = eval(f"X[{index}].shape", {"X": X, "torch": torch})
    except Exception:
        shape = (2,)
    torch.set_rng_state(state)
    value = g.pick("torch.randn({})", "torch.ones({})", "torch.randn({}, dtype=torch.float64)", "torch.randint(3, {})")
    fitting = g.tensors(lambda v: _fits(v.shape, shape) and apart(v, X))
    if fitting and g.chance(0.5):
        return f"{x}[{index}] = {g.pick(*fitting)}"
    return f"{x}[{index}] = {value.format(tuple(shape[g.pick(0, 0, 1) :]))}"


_UNARY = """abs neg sigmoid tanh relu sin cos exp square floor sign sqrt log1p abs reciprocal rsqrt softplus erf
    isnan logical_not""".split()
_ACTIVATIONS = """relu leaky_relu elu gelu silu softplus hardtanh hardswish hardsigmoid relu6 selu celu logsigmoid
    tanh sigmoid""".split()
_REDUCTIONS = "sum mean amax amin prod logsumexp var std norm argmax argmin any all".split()
_ALONG = [name for name in _REDUCTIONS if name != "norm"]  # norm(1) is another norm

POINTWISE = [
    *[lambda g, x, X: f"{x} {g.pick('+', '-', '*', '*', '/')} {g.other(X)}"] * 5,
    lambda g, x, X: f"{g.number()} {g.pick('+', '-', '*', '/')} {x}",
    lambda g, x, X: f"torch.{g.pick('maximum', 'minimum')}({x}, {g.like(X)})",
    lambda g, x, X: f"{x} {g.pick('>', '<', '==', '>=')} {g.pick('0.3', g.like(X))}",
    *[lambda g, x, X: f"{x}{g.pick('', '', '.abs()')}.{g.pick(*_UNARY[:10])}()"] * 3,
    lambda g, x, X: f"F.{g.pick(*_ACTIVATIONS)}({x})",
    lambda g, x, X: f"{x}.pow({g.pick('2', '3', '-1', '0')})",
    lambda g, x, X: f"{x}.clamp({g.pick('-0.7, 0.6', 'min=0.1', 'max=0.3')})",
    lambda g, x, X: f"{x}.{g.pick(*_REDUCTIONS)}()",
    *[_on_dim(lambda g, x, d, n: f"{x}.{g.pick(*_ALONG)}({d}{g.pick('', ', keepdim=True')})")] * 3,
    _on_dim(lambda g, x, d, n: f"{x}.{g.pick('max', 'min', 'max')}({d}).values"),
    _on_dim(lambda g, x, d, n: f"{x}.sort({d})[0]"),
    _on_dim(lambda g, x, d, n: f"{x}.{g.pick('cumsum', 'softmax', 'log_softmax')}({d})"),
    lambda g, x, X: f"torch.where({x} > 0.1, {x}, {g.other(X)})",
    lambda g, x, X: f"{x}.masked_fill({x} > 0.5, {g.number()})",
    lambda g, x, X: f"{x}.masked_select({x} > 0.1)",
    _on_dim(lambda g, x, d, n: f"{x}.index_select({d}, {g.indices(n)})"),
    _on_dim(lambda g, x, d, n: f"{x}.{g.pick('flip', 'flip')}({d})"),
    _on_dim(lambda g, x, d, n: f"{x}.roll({g.between(-2, 2)}, {d})"),
    lambda g, x, X: f"{x}.repeat({g.pick(*[(1,) * (X.ndim - 1) + (2,), (2,) + (1,) * X.ndim])})",
    lambda g, x, X: f"{x}.gather({g.dim(X)}, torch.zeros({tuple(X.shape)}, dtype=torch.long))",
    lambda g, x, X: f"{x}.take(torch.tensor([0, -1]))",
    lambda g, x, X: f"{x} @ {x}.{g.pick('mT', 'transpose(-1, -2)')}" if X.ndim > 1 else f"{x}.dot({x})",
    lambda g, x, X: f"torch.{g.pick('rand_like', 'randn_like', 'zeros_like')}({x})" if in_rows(X) else None,
    lambda g, x, X: f"F.dropout({x}, 0.4)" if in_rows(X) else None,
    lambda g, x, X: f"{x}.{g.pick('tril', 'triu')}()" if X.ndim > 1 else None,
    lambda g, x, X: f"F.pad({x}, (1, {g.between(-1, 1)}))",
    lambda g, x, X: f"F.{g.pick('layer_norm', 'layer_norm')}({x}, {tuple(X.shape[-1:])})" if X.ndim else None,
    lambda g, x, X: f"F.{g.pick('mse_loss', 'l1_loss', 'smooth_l1_loss')}({x}, {g.like(X)})",
    lambda g, x, X: f"torch.lerp({x}, {g.like(X)}, 0.25)",
    lambda g, x, X: f"{x}.{g.pick('double', 'float', 'int', 'bool', 'long')}()",
]

SEVERAL = [
    _on_dim(lambda g, x, d, n: f"torch.cat([{x}, {x}.detach(), {x}], {d})"),
    lambda g, x, X: f"torch.cat([{x}, {g.like(X)}], {g.dim(X)})",
    lambda g, x, X: f"torch.stack([{x}, {g.like(X)}], {g.dim(X, 1)})",
    lambda g, x, X: f"torch.{g.pick('hstack', 'vstack')}([{x}, {g.like(X)}])",
    lambda g, x, X: f"torch.cat({x}.chunk(2, 0)[::-1])" if X.ndim else None,
    lambda g, x, X: f"torch.stack({x}.unbind(0)[::-1], 0)" if X.ndim and X.shape[0] else None,
    lambda g, x, X: f"sum({x}.split(1, 0))" if X.ndim else None,
]

GRADIENTS = [
    *[lambda g, x, X: f"{g.scalar(x, X)}.backward({g.pick('', '', 'retain_graph=True')})"] * 4,
    lambda g, x, X: f"{x}.backward(({g.like(X)}).clone(){g.pick('', ', retain_graph=True')})",
    lambda g, x, X: f"torch.autograd.backward([{g.scalar(x, X)}, {_another(g)}.sum()])",
    *[lambda g, x, X: _grad(g, x, X)] * 2,
    lambda g, x, X: f"{g.scalar(x, X)}.backward(inputs=[{_another(g)}, {_another(g)}])",
    *[lambda g, x, X: f"{x}.retain_grad()"] * 2,
    lambda g, x, X: f"{x}.register_hook(lambda g: g * 2)" if _hookable(X) else None,
    lambda g, x, X: f"{x}.register_hook(lambda g: log.append(g.clone()))" if _hookable(X) else None,
    lambda g, x, X: f"handle = {x}.register_hook(lambda g: g + 1)" if _hookable(X) else None,
    lambda g, x, X: "handle.remove()" if "handle" in g.names else None,
    lambda g, x, X: f"{x}.register_post_accumulate_grad_hook(lambda p: log.append(p.grad.clone()))",
    lambda g, x, X: f"{x}.grad = None",
    lambda g, x, X: f"{x}.grad.zero_()" if _has_grad(X) else None,
    lambda g, x, X: f"{x}.grad = {g.like(X)}.detach()",
    lambda g, x, X: f"{g.new()} = {x}.grad" if _has_grad(X) else None,
    lambda g, x, X: f"torch.set_grad_enabled({g.pick('True', 'True', 'False')})",
    lambda g, x, X: f"with torch.no_grad(): {x} -= 0.1 * {x}.grad" if _has_grad(X) else None,
]


def _has_grad(X):
    """A leaf with a .grad; no view whose history PyTorch can no longer tell."""
    try:
        return X.is_leaf and X.grad is not None
    except RuntimeError:
        return False


def _hookable(X):
    """Not a view of what wants gradients that was made where none are recorded: PyTorch dies of a hook on that."""
    return not (X._is_view() and X.requires_grad and X.grad_fn is None)


def _another(g):
    return g.any(lambda v: v.requires_grad) or g.any()


def _grad(g, x, X):
    inputs = ", ".join(_another(g) for _ in range(g.between(1, 2)))
    options = g.pick("", ", retain_graph=True") + g.pick("", ", allow_unused=True")
    return f"log.extend(torch.autograd.grad({g.scalar(x, X)}, [{inputs}]{options}))"
