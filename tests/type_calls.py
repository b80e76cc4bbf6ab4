"""Every function whose result's type follows from its arguments' types, as calls that torch and cnn both understand.

tests/test_types.py walks them over all pairs of types: tensors with a dimension, 0-d tensors and Python numbers.
`T` is the library; arguments are tensors of small numbers, which every type holds.
"""

TYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
NUMBERS = {"True": True, "2": 2, "1.5": 1.5}

_METHOD_AND_FUNCTION = (
    "add", "sub", "mul", "div", "floor_divide", "remainder", "fmod", "pow", "maximum", "minimum", "atan2", "eq", "ne",
    "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor",
    "bitwise_left_shift", "bitwise_right_shift", "true_divide", "isclose",
    "rsub", "outer", "dot", "mv", "mm", "matmul", "inner", "allclose", "equal", "isin",
    "result_type", "bucketize", "take_along_dim",
)  # fmt: skip

BINARY = {
    **{name: (lambda T, a, b, name=name: getattr(T, name)(a, b)) for name in _METHOD_AND_FUNCTION},
    "a + b": lambda T, a, b: a + b,
    "a - b": lambda T, a, b: a - b,
    "a * b": lambda T, a, b: a * b,
    "a / b": lambda T, a, b: a / b,
    "a // b": lambda T, a, b: a // b,
    "a % b": lambda T, a, b: a % b,
    "a ** b": lambda T, a, b: a**b,
    "a & b": lambda T, a, b: a & b,
    "a | b": lambda T, a, b: a | b,
    "a ^ b": lambda T, a, b: a ^ b,
    "a << b": lambda T, a, b: a << b,
    "a >> b": lambda T, a, b: a >> b,
    "a < b": lambda T, a, b: a < b,
    "a == b": lambda T, a, b: a == b,
    "b + a": lambda T, a, b: b + a,
    "b - a": lambda T, a, b: b - a,
    "b * a": lambda T, a, b: b * a,
    "b / a": lambda T, a, b: b / a,
    "b // a": lambda T, a, b: b // (a + a + 1),
    "b % a": lambda T, a, b: b % (a + a + 1),
    "b ** a": lambda T, a, b: b**a,
    "b & a": lambda T, a, b: b & a,
    "b << a": lambda T, a, b: b << a,
    "b >= a": lambda T, a, b: b >= a,
    "div trunc": lambda T, a, b: T.div(a, b, rounding_mode="trunc"),
    "div floor": lambda T, a, b: T.div(a, b, rounding_mode="floor"),
    "add alpha 2": lambda T, a, b: T.add(a, b, alpha=2),
    "add alpha 1.5": lambda T, a, b: T.add(a, b, alpha=1.5),
    "sub alpha True": lambda T, a, b: T.sub(a, b, alpha=True),
    "where": lambda T, a, b: T.where(T.tensor([True, False, True, True]), a, b),
    "lerp": lambda T, a, b: T.lerp(a, b, 0.5),
    "lerp tensor": lambda T, a, b: T.lerp(a, a, b),
    "addcmul": lambda T, a, b: T.addcmul(a, b, b),
    "addcmul value": lambda T, a, b: T.addcmul(a, a, b, value=2),
    "addcdiv": lambda T, a, b: T.addcdiv(a, a, b),
    "clamp": lambda T, a, b: T.clamp(a, b),
    "clamp max": lambda T, a, b: T.clamp(a, max=b),
    "clamp both": lambda T, a, b: T.clamp(a, b, b),
    "clamp_min": lambda T, a, b: T.clamp_min(a, b),
    "masked_fill": lambda T, a, b: a.masked_fill(T.tensor([True, False, True, True]), b),
    "cat": lambda T, a, b: T.cat([a, b]),
    "stack": lambda T, a, b: T.stack([a, b]),
    "addmv": lambda T, a, b: T.addmv(b, T.outer(a, a), a),
    "addmm": lambda T, a, b: T.addmm(b, T.outer(a, a), T.outer(a, a)),
    "baddbmm beta": lambda T, a, b: T.baddbmm(b, T.outer(a, a)[None], T.outer(a, a)[None], beta=0.5),
    "addmv beta": lambda T, a, b: T.addmv(a, T.outer(a, a), a, beta=1.5),
    "einsum": lambda T, a, b: T.einsum("i,i->", a, b),
    "tensordot": lambda T, a, b: T.tensordot(a, b, 1),
    "full": lambda T, a, b: T.full_like(a, b),
    "scatter": lambda T, a, b: a.scatter(0, T.tensor([0, 1]), b),
    "index_add": lambda T, a, b: a.clone().index_add_(0, T.tensor([0, 1, 0, 2]), b),
    "copy_": lambda T, a, b: a.clone().copy_(b + 0),
    "a[1:] = b": lambda T, a, b: _assign(a.clone(), b),
    "fill_": lambda T, a, b: a.clone().fill_(b),
    "type_as": lambda T, a, b: a.type_as(b),
}
IN_PLACE = {
    name: (lambda T, a, b, name=name: getattr(a.clone(), name)(b))
    for name in (
        "add_", "sub_", "mul_", "div_", "floor_divide_", "remainder_", "fmod_", "pow_", "logical_and_",
        "bitwise_and_", "bitwise_left_shift_", "clamp_", "clamp_max_", "__iadd__", "__isub__", "__imul__",
        "__itruediv__", "__ifloordiv__", "__imod__", "__ipow__", "__iand__", "__ior__", "__ixor__", "__ilshift__",
        "lerp_",
    )
}  # fmt: skip
IN_PLACE["add_ alpha"] = lambda T, a, b: a.clone().add_(b, alpha=2)
IN_PLACE["addcmul_"] = lambda T, a, b: a.clone().addcmul_(b, b)
IN_PLACE["addcdiv_"] = lambda T, a, b: a.clone().addcdiv_(b, b)
IN_PLACE["div_ trunc"] = lambda T, a, b: a.clone().div_(b, rounding_mode="trunc")
IN_PLACE["where"] = lambda T, a, b: a.where(a == b, b)

_UNARY = (
    "abs", "neg", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square", "reciprocal",
    "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sigmoid", "sign", "sgn", "floor", "ceil",
    "trunc", "round", "frac", "isnan", "isinf", "isfinite", "logical_not", "bitwise_not", "nan_to_num", "relu",
    "sum", "mean", "prod", "var", "std", "max", "min", "amax", "amin", "aminmax", "argmax", "argmin", "median",
    "nansum", "nanmean", "norm", "all", "any", "count_nonzero", "unique",
    "bincount", "sort", "argsort", "nonzero", "argwhere", "flip", "fliplr", "diag", "clone",
    "zeros_like", "ones_like", "empty_like", "cov", "corrcoef", "trace", "tril", "cumsum", "numel", "flatten",
    "is_floating_point", "histc", "ravel", "t",
    "selu", "celu", "var_mean", "std_mean", "rand_like", "triu",
)  # fmt: skip
UNARY = {
    **{name: (lambda T, a, name=name: getattr(T, name)(a)) for name in _UNARY},
    **{
        f"{name} dim": (lambda T, a, name=name: getattr(T, name)(a, 0))
        for name in (
            "sum",
            "mean",
            "prod",
            "var",
            "std",
            "max",
            "min",
            "amax",
            "amin",
            "argmax",
            "median",
            "nansum",
            "all",
            "any",
            "count_nonzero",
            "cumsum",
            "cumprod",
            "logsumexp",
            "softmax",
            "log_softmax",
            "unbind",
            "nanmean",
            "sort",
            "topk",
            "kthvalue",
            "squeeze",
            "unsqueeze",
        )
    },
    **{
        f"{name} dtype": (lambda T, a, name=name: getattr(T, name)(a, dim=0, dtype=T.float64))
        for name in ("sum", "mean", "prod", "nansum", "cumsum", "cumprod", "softmax", "log_softmax", "norm")
    },
    **{
        f"{name} uint8": (lambda T, a, name=name: getattr(T, name)(a, dim=0, dtype=T.uint8))
        for name in ("sum", "mean", "prod", "nansum", "cumsum", "cumprod", "softmax")
    },
    "-a": lambda T, a: -a,
    "~a": lambda T, a: ~a,
    "abs(a)": lambda T, a: abs(a),
    "quantile": lambda T, a: T.quantile(a, 0.5),
    "quantile mixed": lambda T, a: T.quantile(a, T.tensor([0.5], dtype=T.float64)),
    "norm 1": lambda T, a: T.norm(a, 1),
    "norm inf": lambda T, a: T.norm(a, float("inf")),
    "norm 0": lambda T, a: T.norm(a, 0),
    "linalg.norm": lambda T, a: T.linalg.norm(a),
    "linalg.vector_norm": lambda T, a: T.linalg.vector_norm(a, 3),
    "mean of a matrix": lambda T, a: T.mean(T.outer(a, a), (0, 1)),
    "round decimals": lambda T, a: T.round(a, decimals=1),
    "clamp 1": lambda T, a: T.clamp(a, 1),
    "clamp 1.5": lambda T, a: T.clamp(a, max=1.5),
    "pow 2": lambda T, a: a**2,
    "pow 0.5": lambda T, a: a**0.5,
    "pow -1": lambda T, a: a**-1,
    "2 ** a": lambda T, a: 2**a,
    "2.0 ** a": lambda T, a: 2.0**a,
    "pow True": lambda T, a: T.pow(a, True),
    "bincount weights": lambda T, a: T.bincount(T.tensor([0, 1, 1, 2]), a),
    "one_hot": lambda T, a: T.nn.functional.one_hot(a),
    "repeat_interleave": lambda T, a: T.repeat_interleave(a),
    "repeat_interleave 2": lambda T, a: a.repeat_interleave(2),
    "index": lambda T, a: T.tensor([5, 6, 7, 8])[a],
    "gather": lambda T, a: T.tensor([5, 6, 7, 8]).gather(0, a),
    "index_select": lambda T, a: T.tensor([5, 6, 7, 8]).index_select(0, a),
    "take": lambda T, a: T.take(T.tensor([5, 6, 7, 8]), a),
    "masked_select": lambda T, a: T.tensor([5, 6, 7, 8]).masked_select(a),
    "where condition": lambda T, a: T.where(a, 1.0, 2.0),
    "scatter_add": lambda T, a: T.zeros(4, dtype=a.dtype).scatter_add(0, T.tensor([0, 1, 1, 2]), a),
    "relu function": lambda T, a: T.nn.functional.relu(a),
    "gelu": lambda T, a: T.nn.functional.gelu(a),
    "leaky_relu": lambda T, a: T.nn.functional.leaky_relu(a),
    "hardtanh": lambda T, a: T.nn.functional.hardtanh(a),
    "relu6": lambda T, a: T.nn.functional.relu6(a),
    "elu": lambda T, a: T.nn.functional.elu(a),
    "silu": lambda T, a: T.nn.functional.silu(a),
    "softplus": lambda T, a: T.nn.functional.softplus(a),
    "logsigmoid": lambda T, a: T.nn.functional.logsigmoid(a),
    "mse_loss": lambda T, a: T.nn.functional.mse_loss(a, a),
    "l1_loss": lambda T, a: T.nn.functional.l1_loss(a, a),
    "pad": lambda T, a: T.nn.functional.pad(a, (1, 1)),
    "pad value": lambda T, a: T.nn.functional.pad(a, (1, 1), value=1.5),
    "normalize": lambda T, a: T.nn.functional.normalize(a, dim=0),
    "cosine_similarity": lambda T, a: T.nn.functional.cosine_similarity(a, a, dim=0),
    "linear": lambda T, a: T.nn.functional.linear(T.outer(a, a), T.outer(a, a)),
    "dropout": lambda T, a: T.nn.functional.dropout(a, 0.0),
    "new_zeros": lambda T, a: a.new_zeros(2),
    "new_tensor": lambda T, a: a.new_tensor([1.0]),
    "new_full": lambda T, a: a.new_full((2,), 1),
    "new_ones dtype": lambda T, a: a.new_ones(2, dtype=T.int8),
    "item": lambda T, a: a.sum().item(),
    "a.zero_()": lambda T, a: a.clone().zero_(),
    "a.exp_()": lambda T, a: a.clone().exp_(),
    "a.sqrt_()": lambda T, a: a.clone().sqrt_(),
    "a.neg_()": lambda T, a: a.clone().neg_(),
    "a.abs_()": lambda T, a: a.clone().abs_(),
    "a.round_()": lambda T, a: a.clone().round_(),
    "a.clamp_(1.5)": lambda T, a: a.clone().clamp_(1.5),
    "a.bernoulli_()": lambda T, a: a.clone().bernoulli_(0.0),
    "tensor(a)": lambda T, a: T.tensor(a.tolist()),
}


def _assign(a, b):
    a[1:] = b if not hasattr(b, "ndim") or b.ndim == 0 else b[1:]
    return a


CREATION = {
    **{
        f"full {value!r}": (lambda T, dtype, value=value: T.full((2,), value, **dtype))
        for value in (1, 1.5, True, -1)
    },
    **{
        f"tensor {value!r}": (lambda T, dtype, value=value: T.tensor(value, **dtype))
        for value in (1, 1.5, True, -1, [1, 1.5], [True, 2], [], [[]], [True, False])
    },
    "arange 3": lambda T, dtype: T.arange(3, **dtype),
    "arange 1.5 3": lambda T, dtype: T.arange(1.5, 3, **dtype),
    "linspace": lambda T, dtype: T.linspace(0, 7, 5, **dtype),
    "linspace down": lambda T, dtype: T.linspace(7, -0.0, 4, **dtype),
    "logspace": lambda T, dtype: T.logspace(0, 1.5, 4, **dtype),
    "eye": lambda T, dtype: T.eye(2, **dtype),
    "zeros": lambda T, dtype: T.zeros(2, **dtype),
    "ones": lambda T, dtype: T.ones(2, **dtype),
    "scalar_tensor": lambda T, dtype: T.scalar_tensor(3, **dtype),
    "as_tensor": lambda T, dtype: T.as_tensor([1, 2], **dtype),
    "randint": lambda T, dtype: T.randint(1, 2, (2,), **dtype),
    "randperm": lambda T, dtype: T.randperm(1, **dtype),
}  # fmt: skip
