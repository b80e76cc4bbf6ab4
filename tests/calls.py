"""One plain call of every function of `cnn` that takes or makes tensors, by torch's keywords, for tests that walk.

`CALLS["add"]` is "input=x, other=y, alpha=2"; `arguments(text, module)` makes a dictionary of it, with the tensors of
the module: cnn or torch, which is `m` in the text.
"""

import numpy as np


def _counting(*shape, modulus=7):
    """Quarters around zero, with repetitions."""
    return np.float32(np.arange(np.prod(shape)) % modulus - modulus // 2).reshape(shape) / 4


_X = np.float32([[0.5, -0.25, 0.75], [0.125, 0.625, -0.875]])
_Y = np.float32([[0.25, 0.5, -0.5], [0.75, -0.125, 0.375]])
ARRAYS = {
    "x": _X,
    "y": _Y,
    "big": np.abs(_X) + 1,
    "v": _X[0],
    "w": _Y[0],
    "row": np.float32([0.25, 0.5, 0.125]),
    "square": np.float32([[2, 0.5, 0.25], [0.5, 3, 0.125], [0.25, 0.125, 4]]),
    "m34": _counting(3, 4),
    "m24": _counting(2, 4, modulus=3),
    "cube": _counting(2, 3, 4),
    "cube2": _counting(2, 4, 3, modulus=5),
    "image": _counting(1, 4, 4, 4, modulus=11),
    "planes": _counting(1, 3, 4, 4),
    "kernel": _counting(2, 3, 3, 3, modulus=5),
    "line": _counting(2, 3, 4),
    "kernel1": _counting(2, 3, 3, modulus=5),
    "i": np.array([[3, 1, 2], [5, 4, 7]]),
    "j": np.array([[1, 2, 1], [2, 3, 1]]),
    "b": np.array([[True, False, True], [False, True, True]]),
    "place": np.array([[0, 1, 1], [1, 0, 1]]),
    "at": np.array([1, 0]),
    "sorted": np.float32([-0.5, 0, 0.5]),
    "p": np.float32([[0.25, 0.5, 1], [0, 0.75, 0.125]]),
}

_LINES = """
abs absolute ceil cos cosh exp exp2 expm1 fix floor frac isfinite isinf isnan neg negative relu selu sgn: input=x
sigmoid sign sin sinh square tan tanh trunc asin arcsin acos arccos atan arctan argwhere nonzero corrcoef: input=x
fliplr flipud ravel t numel is_floating_point reciprocal atleast_1d clone logical_not: input=x
log log2 log10 log1p sqrt rsqrt: input=big
sub subtract add rsub: input=x, other=y, alpha=2
mul multiply maximum minimum atan2 arctan2 eq ne not_equal lt less le less_equal gt greater ge: input=x, other=y
greater_equal logical_and logical_or logical_xor equal true_divide floor_divide remainder fmod: input=x, other=y
div divide: input=x, other=y, rounding_mode='floor'
pow: input=big, exponent=2
lerp: input=x, end=y, weight=0.5
addcmul addcdiv: input=x, tensor1=y, tensor2=big, value=2
bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift: input=i, other=j
bitwise_not: input=i
isclose allclose: input=x, other=y, rtol=0.1, atol=0.2, equal_nan=True
isin: elements=i, test_elements=j, invert=True, assume_unique=False
round: input=x, decimals=1
clamp clip: input=x, min=-0.25, max=0.25
clamp_min: input=x, min=0.25
clamp_max: input=x, max=0.25
where: condition=b, input=x, other=y
nan_to_num: input=x, nan=1.0, posinf=2.0, neginf=3.0
sum mean prod nansum nanmean: input=x, dim=1, keepdim=True, dtype=m.float64
amax amin argmax argmin all any logsumexp aminmax max min median: input=x, dim=1, keepdim=True
var std var_mean std_mean: input=x, dim=1, correction=0, keepdim=True
norm: input=x, p=2, dim=1, keepdim=True
count_nonzero unsqueeze unbind: input=x, dim=1
quantile: input=x, q=0.5, dim=1, keepdim=True, interpolation='lower'
sort argsort: input=x, dim=0, descending=True, stable=True
topk: input=x, k=2, dim=1, largest=False, sorted=True
kthvalue: input=x, k=2, dim=1, keepdim=True
cumsum cumprod softmax log_softmax: input=x, dim=1, dtype=m.float64
bincount: input=at, weights=None, minlength=4
histc: input=x, bins=4, min=-1, max=1
cov: input=x, correction=0
reshape: input=x, shape=(3, 2)
flatten: input=cube, start_dim=1, end_dim=2
unflatten: input=x, dim=1, sizes=(3, 1)
squeeze: input=x, dim=0
transpose swapdims: input=x, dim0=0, dim1=1
swapaxes: input=x, axis0=0, axis1=1
permute: input=x, dims=(1, 0)
movedim moveaxis: input=cube, source=0, destination=2
broadcast_to: input=row, size=(2, 3)
tile: input=x, dims=(2, 1)
flip: input=x, dims=(0,)
roll: input=x, shifts=1, dims=1
rot90: input=x, k=1, dims=(0, 1)
repeat_interleave: input=x, repeats=2, dim=1, output_size=6
select: input=x, dim=1, index=2
narrow: input=x, dim=1, start=1, length=2
split: tensor=x, split_size_or_sections=2, dim=1
chunk: input=x, chunks=2, dim=1
tensor_split: input=x, sections=2, dim=1
as_strided: input=x, size=(2, 2), stride=(3, 1), storage_offset=1
diagonal: input=square, offset=1, dim1=0, dim2=1
diag tril triu: input=square, diagonal=1
trace: input=square
cat concat concatenate stack: tensors=[x, y], dim=1
hstack vstack: tensors=[x, y]
gather: input=x, dim=0, index=place, sparse_grad=False
scatter scatter_add: input=x, dim=0, index=place, src=y
index_select: input=x, dim=1, index=at
take: input=x, index=place
take_along_dim: input=x, indices=place, dim=0
masked_fill: input=x, mask=b, value=2.0
masked_select: input=x, mask=b
bucketize: input=x, boundaries=sorted, right=True, out_int32=False
searchsorted: sorted_sequence=sorted, input=x, side='right', out_int32=False, sorter=None
matmul: input=x, other=m34
mm: input=x, mat2=m34
bmm: input=cube, mat2=cube2
mv: input=x, vec=row
dot: input=v, tensor=w
inner: input=v, other=w
outer: input=v, vec2=w
addmm: input=m24, mat1=x, mat2=m34, beta=2, alpha=3
baddbmm: input=square, batch1=cube, batch2=cube2, beta=2, alpha=3
addmv: input=at*1.0, mat=x, vec=row, beta=2, alpha=3
tensordot: a=x, b=y, dims=2
zeros ones: size=(2, 3), dtype=m.float64, layout=m.strided, device='cpu', requires_grad=False, \
pin_memory=False
empty: size=(0, 3), dtype=m.float64
full: size=(2, 3), fill_value=2, dtype=m.float64
zeros_like ones_like: input=x, dtype=m.float64, memory_format=m.preserve_format
empty_like: input=x[:0], dtype=m.float64
full_like: input=x, fill_value=2, dtype=m.float64
arange: start=0, end=6, step=2, dtype=m.float64
linspace logspace: start=0, end=1, steps=4, dtype=m.float64
range: start=0, end=6, step=2
eye: n=2, m=3, dtype=m.float64
scalar_tensor: s=2, dtype=m.float64
tensor as_tensor: data=[1, 2], dtype=m.float64
asarray: obj=[1, 2], dtype=m.float64, copy=True, requires_grad=False
rand randn: size=(2, 3), dtype=m.float64, generator=None
rand_like randn_like: input=x, dtype=m.float64
randint: low=1, high=9, size=(2, 3), dtype=m.int32
randint_like: input=x, low=1, high=9, dtype=m.int32
randperm: n=5, dtype=m.int32
normal: mean=1.0, std=2.0, size=(2, 3), dtype=m.float64
bernoulli: input=p
multinomial: input=p, num_samples=2, replacement=True
promote_types: type1=m.int8, type2=m.uint8
result_type: tensor=x, other=2
can_cast: from_=m.int8, to=m.float32
celu: input=x, alpha=2.0
prelu: input=x, weight=row
pixel_shuffle: input=image, upscale_factor=2
pixel_unshuffle: input=image, downscale_factor=2
conv1d: input=line, weight=kernel1, bias=None, stride=1, padding=1, dilation=1, groups=1
conv2d: input=planes, weight=kernel, bias=None, stride=1, padding=1, dilation=1, groups=1
: input=image[:, :2], weight=kernel, bias=None, stride=1, padding=1, output_padding=0, groups=1, dilation=1
conv_transpose2d: input=image[:, :2], weight=kernel, bias=None, stride=1, padding=1, output_padding=0, \
groups=1, dilation=1
avg_pool1d: input=line, kernel_size=2, stride=2, padding=0, ceil_mode=False, count_include_pad=True
max_pool1d: input=line, kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False
max_pool2d: input=planes, kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False
batch_norm: input=planes, weight=None, bias=None, running_mean=None, running_var=None, training=True, \
momentum=0.1, eps=1e-5, cudnn_enabled=False
group_norm: input=planes, num_groups=3, weight=None, bias=None, eps=1e-5, cudnn_enabled=False
layer_norm: input=x, normalized_shape=(3,), weight=None, bias=None, eps=1e-5, cudnn_enable=False
cosine_similarity: x1=x, x2=y, dim=1, eps=1e-8
dropout: input=x, p=0.0, train=True
"""

_SPLIT = [line.split(": ", 1) for line in _LINES.strip().split("\n")]
CALLS = {name: text for names, text in _SPLIT for name in names.split()}


def arguments(text, module):
    """The keywords of a text of CALLS, with fresh tensors of the module."""
    names = {name: module.from_numpy(array.copy()) for name, array in ARRAYS.items() if name in text}
    return eval(f"dict({text})", {"m": module}, names)
