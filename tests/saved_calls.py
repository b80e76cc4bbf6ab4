"""Calls of every differentiable operation, for tests/test_saved.py: {name: (function of (T, *tensors), its inputs)},
where T is cnn or torch. Floats may want gradients; integers and bools cannot."""

import numpy as np
from harness import rng


def floats(*shape, low=0.25, high=1.75, seed=0):
    return rng(seed).uniform(low, high, shape).astype(np.float32)


def signed(*shape, seed=0):
    return floats(*shape, low=-2.0, high=2.0, seed=seed)


X, Y, ROW, ONE = floats(3, 4), floats(3, 4, seed=1), floats(4, seed=2), floats(1, seed=3)
S, UNIT = signed(3, 4), floats(3, 4, low=-0.9, high=0.9)
IMAGE, SMALL = signed(2, 4, 6, 6), signed(2, 4, 3, 3)
MASK = np.arange(12).reshape(3, 4) % 3 == 0
INDEX = np.array([2, 0, 2])
PLACES = np.array([[1, 0, 2, 1], [2, 2, 0, 0], [0, 1, 1, 2]])
TARGET = np.array([3, 0, 1])
SQUARE = floats(3, 3) + 3 * np.eye(3, dtype=np.float32)

CALLS = {}


def works_in_place(name):
    """`exp_`, `clamp_(0, 1)` and `x[1] = s_` change their first input."""
    return name.endswith("_") or name.partition("(")[0].endswith("_")


def call(name, f, *inputs):
    assert name not in CALLS, name
    CALLS[name] = f, inputs


def methods(text, *inputs):
    """One call for each `name` or `name(arguments)`, methods of the input."""
    for item in map(str.strip, text.split(";")):
        call(item, eval(f"lambda T, x: x.{item}" + "()" * ("(" not in item)), *inputs)  # noqa: S307


# ---- Of one tensor -------------------------------------------------------------------------------------------------

methods(
    """
    neg; abs; exp; exp2; expm1; log; log2; log10; log1p; sqrt; rsqrt; square; reciprocal; sin; cos; tan; asin; acos;
    atan; sinh; cosh; tanh; sigmoid; sign; floor; ceil; trunc; frac; round; relu; nan_to_num; clone; exp_; sqrt_;
    sigmoid_; tanh_; abs_; neg_; log_; rsqrt_; reciprocal_; square_; sin_; relu_; floor_; round_; zero_; fill_(2.0);
    clamp(-0.5, 0.5); clamp_(-0.5, 0.5); clamp(max=0.3); clamp_min(0.1); clamp_max_(0.4)
    """,
    UNIT,
)
methods(
    """
    sum; mean; prod; prod(1); sum(0); mean(1); var; std; var(1); std(1); amax; amin; amax(1); max; min; cumsum(1);
    cumprod(1);
    logsumexp(1); norm; norm(1); norm(3); norm(p=float('inf')); norm(dim=1); median; quantile(0.4); nansum
    """,
    S,
)
methods(
    """
    view(12); view(4, 3); reshape(-1); t; t().reshape(12); permute(1, 0); transpose(0, 1); unsqueeze(1);
    expand(2, 3, 4); repeat(2, 1); flip(0); roll(1, 0); unfold(1, 2, 1); rot90; tril; triu; diagonal;
    narrow(1, 1, 2); select(0, 1); contiguous; t().contiguous(); double; squeeze; flatten; repeat_interleave(2, 0);
    movedim(0, 1); trace
    """,
    X,
)
for name in ("max", "min", "median", "sort", "topk", "kthvalue"):
    arguments = {"topk": (2,), "kthvalue": (2,), "sort": ()}.get(name, (1,))
    call(f"{name} along", lambda T, x, name=name, arguments=arguments: getattr(x, name)(*arguments)[0], S)
call("split", lambda T, x: x.split(2, 1)[0], X)
call("chunk", lambda T, x: x.chunk(2, 1)[1], X)
call("unbind", lambda T, x: x.unbind(0)[1], X)
call("x[1]", lambda T, x: x[1], X)
call("x[:, 1:3]", lambda T, x: x[:, 1:3], X)
call("as_strided", lambda T, x: x.as_strided((2, 2), (4, 1)), X)

# ---- Of two --------------------------------------------------------------------------------------------------------

for name in ("add", "sub", "mul", "div", "atan2", "maximum", "minimum", "fmod", "remainder", "true_divide"):
    call(name, lambda T, a, b, name=name: getattr(T, name)(a, b), X, Y)
    call(f"{name} of a row", lambda T, a, b, name=name: getattr(T, name)(a, b), X, ROW)
for name in ("add_", "sub_", "mul_", "div_", "remainder_"):
    call(name, lambda T, a, b, name=name: getattr(a, name)(b), X, Y)
    call(f"{name} of a row_", lambda T, a, b, name=name: getattr(a, name)(b), X, ROW)
call("a + b", lambda T, a, b: a + b, X, Y)
call("a - b", lambda T, a, b: a - b, X, Y)
call("a * b", lambda T, a, b: a * b, X, Y)
call("a / b", lambda T, a, b: a / b, X, Y)
call("a * a", lambda T, a: a * a, X)
call("a + 2", lambda T, a: a + 2, X)
call("a * 2", lambda T, a: a * 2, X)
call("2 * a", lambda T, a: 2 * a, X)
call("a / 2", lambda T, a: a / 2, X)
call("2 / a", lambda T, a: 2 / a, X)
call("2 - a", lambda T, a: 2 - a, X)
call("a % 2", lambda T, a: a % 2, X)
call("a * 2, in place_", lambda T, a: a.mul_(2), X)
call("a / 2, in place_", lambda T, a: a.div_(2), X)
call("a + 2, in place_", lambda T, a: a.add_(2), X)
call("add, alpha", lambda T, a, b: T.add(a, b, alpha=3), X, Y)
call("add_, alpha_", lambda T, a, b: a.add_(b, alpha=3), X, Y)
call("a ** 2", lambda T, a: a**2, X)
call("a ** 3", lambda T, a: a**3, X)
call("a ** 0", lambda T, a: a**0, X)
call("a ** 1", lambda T, a: a**1, X)
call("a ** 0.5", lambda T, a: a**0.5, X)
call("2 ** a", lambda T, a: 2**a, X)
call("a ** b", lambda T, a, b: a**b, X, Y)
call("pow_(2)_", lambda T, a: a.pow_(2), X)
call("pow_(b)_", lambda T, a, b: a.pow_(b), X, Y)
call("floor division by mode", lambda T, a, b: T.div(a, b, rounding_mode="floor"), X, Y)
call("clamp by tensors", lambda T, a, b, c: a.clamp(b, c), S, signed(3, 4, seed=4) - 1, signed(3, 4, seed=5) + 1)
call("lerp", lambda T, a, b: T.lerp(a, b, 0.3), X, Y)
call("lerp by a tensor", lambda T, a, b, c: T.lerp(a, b, c), X, Y, X)
call("addcmul", lambda T, a, b, c: T.addcmul(a, b, c, value=2), X, Y, X)
call("addcdiv", lambda T, a, b, c: T.addcdiv(a, b, c, value=2), X, Y, X)
call("addcmul_", lambda T, a, b, c: a.addcmul_(b, c, value=2), X, Y, X)
call("where", lambda T, m, a, b: T.where(m, a, b), MASK, X, Y)
call("masked_fill", lambda T, a, m: a.masked_fill(m, 2.0), X, MASK)
call("masked_fill_", lambda T, a, m: a.masked_fill_(m, 2.0), X, MASK)
call("masked_select", lambda T, a, m: a.masked_select(m), X, MASK)
call("masked_fill by a tensor", lambda T, a, m, v: a.masked_fill(m, v), X, MASK, np.float32(3.0).reshape(()))
call("fill_ by a tensor_", lambda T, a, v: a.fill_(v), X, np.float32(3.0).reshape(()))
call("copy_", lambda T, a, b: a.copy_(b), X, Y)
call("copy_ of a row_", lambda T, a, b: a.copy_(b), X, ROW)
call("cat", lambda T, a, b: T.cat([a, b], 1), X, Y)
call("stack", lambda T, a, b: T.stack([a, b]), X, Y)

# ---- By index ------------------------------------------------------------------------------------------------------

call("x[index]", lambda T, a, i: a[i], X, INDEX)
call("x[:, index]", lambda T, a, i: a[:, i], X, INDEX)
call("x[mask]", lambda T, a, m: a[m], X, MASK)
call("x[index, index]", lambda T, a, i, j: a[i, j], X, INDEX, INDEX)
call("index_select", lambda T, a, i: a.index_select(0, i), X, INDEX)
call("gather", lambda T, a, i: a.gather(0, i), X, PLACES)
call("take", lambda T, a, i: T.take(a, i), X, PLACES)
call("take_along_dim", lambda T, a, i: T.take_along_dim(a, i, 0), X, PLACES)
call("scatter", lambda T, a, i, s: a.scatter(0, i, s), X, PLACES, Y)
call("scatter_", lambda T, a, i, s: a.scatter_(0, i, s), X, PLACES, Y)
call("scatter_add", lambda T, a, i, s: a.scatter_add(0, i, s), X, PLACES, Y)
call("scatter_add_", lambda T, a, i, s: a.scatter_add_(0, i, s), X, PLACES, Y)
call("scatter_ of a number_", lambda T, a, i: a.scatter_(0, i, 2.0), X, PLACES)
call("index_add_", lambda T, a, i, s: a.index_add_(0, i, s), X, INDEX, Y)
call("index_copy_", lambda T, a, i, s: a.index_copy_(0, i, s), X, np.array([2, 0, 1]), Y)
call("index_fill_", lambda T, a, i: a.index_fill_(0, i, 2.0), X, INDEX)


def put(a, place, value):
    a[place] = value
    return a


call("x[index] = s_", lambda T, a, i, s: put(a, i, s), X, np.array([2, 0]), Y[:2])
call("x[mask] = 2_", lambda T, a, m: put(a, m, 2.0), X, MASK)
call("x[mask] = s_", lambda T, a, m, s: put(a, m, s), X, MASK, ONE)
call("x[1] = s_", lambda T, a, s: put(a, 1, s), X, ROW)

# ---- Products ------------------------------------------------------------------------------------------------------

call("a @ b", lambda T, a, b: a @ b, X, floats(4, 2))
call("mv", lambda T, a, b: T.mv(a, b), X, ROW)
call("dot", lambda T, a, b: T.dot(a, b), ROW, floats(4, seed=7))
call("bmm", lambda T, a, b: T.bmm(a, b), floats(2, 3, 4), floats(2, 4, 2))
call("batches of matrices", lambda T, a, b: a @ b, floats(2, 3, 4), floats(4, 2))
call("outer", lambda T, a, b: T.outer(a, b), ROW, floats(3))
call("addmm", lambda T, c, a, b: T.addmm(c, a, b), floats(3, 2), X, floats(4, 2))
call("einsum", lambda T, a, b: T.einsum("ij,jk->ik", a, b), X, floats(4, 2))
call("linear", lambda T, x, w, b: T.nn.functional.linear(x, w, b), X, floats(2, 4), floats(2))
call("linear without bias", lambda T, x, w: T.nn.functional.linear(x, w), X, floats(2, 4))
call("linear of batches", lambda T, x, w, b: T.nn.functional.linear(x, w, b), floats(2, 3, 4), floats(2, 4), floats(2))

# ---- Layers --------------------------------------------------------------------------------------------------------


def layer(text, *inputs):
    """`name` or `name(arguments)` of nn.functional."""
    name, _, rest = text.removesuffix(")").partition("(")
    call(text, eval(f"lambda T, *inputs: T.nn.functional.{name}(*inputs, {rest})"), *inputs)  # noqa: S307


for text in (
    "leaky_relu",
    "leaky_relu(negative_slope=-0.2)",
    "elu",
    "selu",
    "celu",
    "gelu",
    "gelu(approximate='tanh')",
    "silu",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "relu6",
    "softplus",
    "logsigmoid",
    "softmax(dim=1)",
    "log_softmax(dim=1)",
    "normalize",
    "elu(alpha=2.0)",
    "celu(alpha=2.0)",
):
    layer(text, S)
for text in (
    "leaky_relu_",
    "elu_",
    "selu_",
    "celu_",
    "hardtanh_",
    "silu(inplace=True)_",
    "hardsigmoid(inplace=True)_",
    "hardswish(inplace=True)_",
    "relu6(inplace=True)_",
    "relu_",
):
    name, _, rest = text.partition("(")
    arguments = ", inplace=True" if rest else ""
    call(f"F.{text}", eval(f"lambda T, x: T.nn.functional.{name}(x{arguments})"), S)  # noqa: S307
layer("prelu", S, np.float32([0.25]))
layer("prelu()", S, floats(4))
for text in (
    "max_pool2d(kernel_size=2)",
    "max_pool2d(kernel_size=3, stride=2, padding=1)",
    "avg_pool2d(kernel_size=2)",
    "adaptive_avg_pool2d(output_size=3)",
    "adaptive_max_pool2d(output_size=2)",
    "pad(pad=(1, 1))",
    "pad(pad=(1, 1, 2, 0), mode='reflect')",
    "interpolate(scale_factor=2)",
    "adaptive_avg_pool2d(output_size=1)",
    "interpolate(size=(9, 9), mode='bilinear', align_corners=False)",
    "unfold(kernel_size=2)",
    "pixel_shuffle(upscale_factor=2)",
):
    layer(text, IMAGE)
layer("fold(output_size=(4, 4), kernel_size=2)", floats(2, 8, 9))
layer("conv2d", IMAGE, signed(3, 4, 3, 3), signed(3))
layer("conv2d(stride=2, padding=1)", IMAGE, signed(3, 4, 3, 3))
layer("conv2d(groups=2)", IMAGE, signed(6, 2, 1, 1), signed(6))
layer("conv1d", floats(2, 4, 9), signed(3, 4, 3), signed(3))
layer("conv_transpose2d(stride=2)", IMAGE, signed(4, 3, 2, 2), signed(3))
call(
    "batch_norm", lambda T, x, w, b: T.nn.functional.batch_norm(x, None, None, w, b, True), SMALL, floats(4), signed(4)
)
call("batch_norm without weights", lambda T, x: T.nn.functional.batch_norm(x, None, None, training=True), SMALL)
for training in (True, False):
    call(
        f"batch_norm with statistics, training={training}",
        lambda T, x, w, b, m, v, training=training: T.nn.functional.batch_norm(
            x, m.detach(), v.detach(), w, b, training
        ),
        *(SMALL, floats(4), signed(4), floats(4), floats(4, seed=6)),
    )
call("layer_norm", lambda T, x, w, b: T.nn.functional.layer_norm(x, (4,), w, b), S, floats(4), signed(4))
call("layer_norm without weights", lambda T, x: T.nn.functional.layer_norm(x, (4,)), S)
call("group_norm", lambda T, x, w, b: T.nn.functional.group_norm(x, 2, w, b), SMALL, floats(4), signed(4))
call("cosine_similarity", lambda T, a, b: T.nn.functional.cosine_similarity(a, b), X, Y)

# ---- Inside a Module, where results wait (cnn/nn/fusion.py) --------------------------------------------------


def within(name, f, *inputs):
    def run(T, *tensors):
        class Net(T.nn.Module):
            def __init__(self):
                super().__init__()
                self.child = T.nn.Identity()

            def forward(self, *tensors):
                return f(T.nn.functional, *tensors)

        return Net()(*tensors)

    call(f"within a Module: {name}", run, *inputs)


def norm(F, x, w, b):
    return F.batch_norm(x, None, None, w, b, True)


CONV = IMAGE, signed(3, 4, 3, 3), signed(3)
within("conv, relu", lambda F, x, w, b: F.relu(F.conv2d(x, w, b)), *CONV)
within("conv, relu in place", lambda F, x, w, b: F.relu(F.conv2d(x, w, b), inplace=True), *CONV)
within("conv, leaky_relu", lambda F, x, w, b: F.leaky_relu(F.conv2d(x, w, b)), *CONV)
within("conv, relu, max_pool", lambda F, x, w, b: F.max_pool2d(F.relu(F.conv2d(x, w, b)), 2), *CONV)
within("conv, relu, conv", lambda F, x, w, b, v: F.conv2d(F.relu(F.conv2d(x, w, b)), v), *CONV, signed(2, 3, 1, 1))
within(
    "conv, batch_norm, relu",
    lambda F, x, w, b, v, c: F.relu(norm(F, F.conv2d(x, w, b), v, c)),
    *CONV,
    floats(3),
    signed(3),
)
within("batch_norm, relu", lambda F, x, w, b: F.relu(norm(F, x, w, b)), IMAGE, floats(4), signed(4))
within(
    "linear, relu, linear",
    lambda F, x, w, b, v: F.linear(F.relu(F.linear(x, w, b)), v),
    X,
    signed(5, 4),
    signed(5),
    signed(2, 5),
)
within("leaky_relu, added to", lambda F, x: F.leaky_relu(x).add_(x), S)
within("leaky_relu, multiplied in place", lambda F, x, y: F.leaky_relu(x).mul_(y), S, Y)
within("relu6, added to", lambda F, x: F.relu6(x).add_(x), S)
within("hardsigmoid through a view", lambda F, x: (h := F.hardsigmoid(x))[1].mul_(2) * 0 + h, S)
within("a square, doubled in place", lambda F, x: ((x - 3) ** 2).mul_(2), S)

# ---- Losses --------------------------------------------------------------------------------------------------------

layer("cross_entropy", S, TARGET)
call(
    "cross_entropy, weighted", lambda T, x, t, w: T.nn.functional.cross_entropy(x, t, w.detach()), S, TARGET, floats(4)
)
layer("cross_entropy(label_smoothing=0.1)", S, TARGET)
call(
    "cross_entropy of probabilities",
    lambda T, x, t: T.nn.functional.cross_entropy(x, t),
    S,
    X / X.sum(1, keepdims=True),
)
layer("nll_loss", S, TARGET)
call("nll_loss, weighted", lambda T, x, t, w: T.nn.functional.nll_loss(x, t, w.detach()), S, TARGET, floats(4))
for text in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"):
    layer(text, X, Y)
    layer(f"{text}(reduction='none')", X, Y)
layer("binary_cross_entropy", floats(3, 4, high=0.75), floats(3, 4, high=0.75, seed=1))
layer("binary_cross_entropy_with_logits", S, floats(3, 4, high=0.75, seed=1))
layer("kl_div(reduction='sum')", np.log(X / 2), Y / 2)
layer("kl_div(reduction='sum', log_target=True)", np.log(X / 2), np.log(Y / 2))

# ---- Matrices ------------------------------------------------------------------------------------------------------

for name in ("inv", "det", "cholesky", "pinv", "svdvals", "eigvalsh", "matrix_norm", "vector_norm", "norm"):
    spd = SQUARE @ SQUARE.T if name in ("cholesky", "eigvalsh") else SQUARE
    call(f"linalg.{name}", lambda T, a, name=name: getattr(T.linalg, name)(a), spd.astype(np.float32))
call("linalg.slogdet", lambda T, a: T.linalg.slogdet(a)[1], SQUARE)
call("linalg.solve", lambda T, a, b: T.linalg.solve(a, b), SQUARE, floats(3, 2))
call("linalg.qr", lambda T, a: T.linalg.qr(a)[1], SQUARE)
call("linalg.svd", lambda T, a: T.linalg.svd(a)[1], SQUARE)
call("linalg.eigh", lambda T, a: T.linalg.eigh(a)[0], (SQUARE + SQUARE.T) / 2)
