"""What torch's samples leave out of the walk in test_gradient_walk.py."""

_X = "T([[0.5, -0.25, 0.75], [0.125, 0.625, -0.875]])"
_Y = "T([[0.25, 0.5, -0.5], [0.75, -0.125, 0.375]])"
_B = "T([[True, False, True], [False, True, True]])"
_IMAGE = f"T([[{_X[2:-1]}, {_Y[2:-1]}, {_X[2:-1]}, {_Y[2:-1]}]])"
_WIDE = (
    "T([[[[0.5, -0.25, 0.75, 1.0], [0.125, 0.625, -0.875, 0.25], [1.5, -1.0, 0.0, 2.0], [-0.5, 0.25, 1.25, -2.0]]]])"
)

# Calls for functions that torch's samples do not reach; T makes a tensor that wants a gradient if it is floating point,
# m is torch. learn_samples.py records what torch makes of them.
EXTRA = {
    "Tensor.copy_": [f"{_X}, {_Y}", f"{_X}, T([1.0, 2.0, 3.0])", f"{_X}, T([1, 2, 3])"],
    "Tensor.detach": _X,
    "Tensor.detach_": _X,
    "Tensor.cpu": _X,
    "Tensor.to": [f"{_X}, m.float32", f"{_X}, T([1], False)", f"{_X}, m.int64", "T([1, 2]), f64"],
    "Tensor.bfloat16": _X,
    "Tensor.where": f"{_X}, {_B}, {_Y}",
    **{f"Tensor.bitwise_{name}_": "T([5, 3]), T([1, 2])" for name in ("and", "or", "xor", "left_shift", "right_shift")},
    **{f"Tensor.logical_{name}_": "T([5, 0]), T([0, 2])" for name in ("and", "or", "xor")},
    "Tensor.type": f"{_X}, m.float32",
    "Tensor.type_as": [f"{_X}, {_Y}.float()", f"{_X}, T([1])"],
    "Tensor.fill_": [f"{_X}, 2", f"{_X}, T(0.5)"],
    "Tensor.bernoulli_": f"{_X}, 0.25",
    "Tensor.normal_": f"{_X}, 1, 2",
    "Tensor.uniform_": f"{_X}, 1, 2",
    "Tensor.random_": f"{_X}, 1, 9",
    "Tensor.cauchy_": _X,
    "Tensor.exponential_": _X,
    "Tensor.geometric_": f"{_X}, 0.5",
    "Tensor.log_normal_": _X,
    "Tensor.index_add_": f"{_X}, 1, T([2, 0]), T([[1.0, 2.0], [3.0, 4.0]]), alpha=2",
    "Tensor.index_copy_": f"{_X}, 1, T([2, 0]), T([[1.0, 2.0], [3.0, 4.0]])",
    "Tensor.index_fill_": [f"{_X}, 1, T([2, 0]), 0.5", f"{_X}, 1, T([2, 0]), T(0.5)"],
    "Tensor.index_put_": [f"{_X}, (T([1, 0]), T([2, 2])), T([1.0, 2.0])"]
    + [f"{_X}, (T([1, 1]), T([2, 2])), T([1.0, 2.0]), accumulate=True"],
    "Tensor.masked_scatter_": f"{_X}, {_B}, {_Y}",
    "Tensor.new": "T([1.0, 2.0]), [1, 2]",
    "Tensor.new_tensor": f"{_X}, [1, 2]",
    "swapaxes": f"{_X}, 0, 1",
    "Tensor.swapaxes": f"{_X}, 0, 1",
    "as_tensor": "[1, 2], dtype=f64",
    "asarray": "[1.0, 2.0]",
    "tensor": "[[1, 2]], dtype=f64",
    "rand": "2, 3, dtype=f64",
    "randperm": "5",
    "range": "0, 4, 2",
    "batch_norm": f"{_IMAGE}, T([1.0, 2.0, 0.5, 1.5]), T([0.5, 0.0, 1.0, 0.25]), None, None, True, 0.1, 1e-5, False",
    "layer_norm": f"{_X}, (3,), T([1.0, 2.0, 0.5]), T([0.0, 1.0, 0.5]), 1e-5, False",
    "group_norm": f"{_IMAGE}, 2, T([1.0, 2.0, 0.5, 1.5]), T([0.5, 0.0, 1.0, 0.25]), 1e-5, False",
    "dropout": [f"{_X}, 0.5, True", f"{_X}, 0.5, False"],
    "nn.functional.dropout1d": f"{_X}, 0.5",
    "nn.functional.dropout3d": f"{_IMAGE}[:, :, None], 0.5",
    "max_pool1d": f"{_X}[None], 2",
    "max_pool2d": f"{_WIDE}, 2, 1",
    "nn.functional.max_pool1d_with_indices": f"{_X}[None], 2",
    "nn.functional.max_pool2d_with_indices": f"{_WIDE}, 2, 1",
    "nn.functional.adaptive_max_pool2d_with_indices": f"{_WIDE}, 2",
    "nn.functional.channel_shuffle": f"{_IMAGE}, 2",
    "nn.functional.fold": "T([[[1.0, 2.0, 3.0, 4.0], [0.5, 1.5, 2.5, 3.5]]]), (4, 2), (2, 1), stride=(2, 1)",
    "nn.functional.upsample": f"{_IMAGE}, scale_factor=2, mode='nearest'",
    "nn.functional.softmax": [f"{_X}, dim=1", f"{_X}, 0, dtype=m.float32"],
    "nn.functional.log_softmax": f"{_X}, dim=0",
    "selu": _X,
    "celu": f"{_X}, 0.5",
    "broadcast_to": f"{_X}, (2, 2, 3)",
}

# Nothing that could want a gradient: what makes, asks or sets something, and what is no computation of tensors.
NOTHING_TO_DIFFERENTIATE = """
Tensor.backward Tensor.cuda Tensor.data_ptr Tensor.dim Tensor.element_size Tensor.get_device Tensor.is_complex
Tensor.is_contiguous Tensor.is_floating_point Tensor.is_inference Tensor.is_pinned Tensor.is_shared Tensor.ndimension
Tensor.nelement Tensor.numel Tensor.numpy Tensor.pin_memory Tensor.register_hook
Tensor.register_post_accumulate_grad_hook Tensor.requires_grad_ Tensor.retain_grad Tensor.size Tensor.storage_offset
Tensor.stride Tensor.tolist are_deterministic_algorithms_enabled can_cast compile complex empty_cache fork_rng
from_dlpack from_numpy frombuffer get_default_dtype get_float32_matmul_precision get_num_interop_threads
get_num_threads get_rng_state initial_seed is_anomaly_check_nan_enabled is_anomaly_enabled is_floating_point
is_grad_enabled is_tensor load manual_seed numel promote_types result_type save seed set_default_dtype
set_float32_matmul_precision set_flush_denormal set_num_interop_threads set_num_threads set_printoptions set_rng_state
use_deterministic_algorithms vmap linalg.eig
""".split()

# Records that are refused here, by name: a function, or a function for one type of its result.
REFUSED = {"nn.functional.interpolate", "nn.functional.batch_norm"}

# Functions that take other arguments than one of the same short name elsewhere: they have records of their own.
OWN_ARGUMENTS = """
batch_norm layer_norm group_norm dropout max_pool1d max_pool2d Tensor.where Tensor.unfold nn.functional.unfold
Tensor.bernoulli_ Tensor.normal_
""".split()
