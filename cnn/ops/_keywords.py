"""Keywords that many functions share, in tables: what _register.py takes, gives to `_out`, or refuses by name."""

# NumPy's names, which torch takes for its own everywhere.
NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}
FIRST_NAMES = ("A", "self")  # what torch calls input all the same: of linalg's functions, and of abs_(x) and the like

# The functions of torch that fill `out`.
TAKES_OUT = frozenset(
    """
    abs absolute acos add addcdiv addcmul addmm addmv all amax amin aminmax any arange arccos arcsin arctan arctan2
    argmax argmin argsort asin atan atan2 baddbmm bernoulli bitwise_and bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor bmm bucketize cat ceil clamp clamp_max clamp_min clip concat concatenate cos cosh
    cumprod cumsum diag div divide dot empty eq exp exp2 expm1 eye fix floor floor_divide fmod frac full gather ge
    greater greater_equal gt histc hstack index_select inner isin kthvalue le lerp less less_equal linspace log log10
    log1p log2 log_softmax logical_and logical_not logical_or logical_xor logspace logsumexp lt masked_select matmul
    max maximum mean median min minimum mm mul multinomial multiply mv nan_to_num nanmean nansum ne neg negative nonzero
    norm normal not_equal ones outer pow prod quantile rand randint randn randperm range reciprocal remainder round
    rsqrt scatter scatter_add searchsorted sgn sigmoid sign sin sinh softmax sort sqrt square stack std sub subtract
    sum take take_along_dim tan tanh tensordot topk tril triu true_divide trunc var vstack where zeros
    nn.functional.normalize linalg.cholesky linalg.cond linalg.det linalg.eig linalg.eigh linalg.eigvalsh linalg.inv
    linalg.matmul linalg.matrix_norm linalg.matrix_rank linalg.norm linalg.pinv linalg.qr linalg.slogdet linalg.solve
    linalg.svd linalg.svdvals linalg.vector_norm
    """.split()
)

# What torch takes and nobody here reads: refused by name.
REFUSED = {
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), ("out_dtype",)),
    "complex": ("out",),
}

# Besides its own name, what else may name the values of `*size`.
ALSO_GATHERED = {"Tensor.view": "dtype"}

# What arguments of these names must be, for errors that Python or NumPy raise where they are something else.
INTEGERS = frozenset(
    """
    bins chunks decimals diagonal dim dim0 dim1 dim2 dimension dims end_dim k length m minlength n num_samples
    offset repeats sections shape shifts size sizes split_size split_size_or_sections split_sizes start_dim steps
    storage_offset stride upscale_factor downscale_factor
    """.split()
)
NUMBERS = frozenset(
    """
    alpha atol base beta correction end exponent fill_value high lambd low max mean median min nan neginf other p
    posinf q rtol sigma start std step value weight
    """.split()
)
TYPES = frozenset("dtype type1 type2 from_ to".split())
