"""gradcheck: the gradients that backward() gives, against differences. Mirrors torch.autograd.gradcheck.

    numerical    dy_j / dx_i = (y_j(x + eps e_i) - y_j(x - eps e_i)) / (2 eps)
    analytical   row j of the same matrix: backward() of e_j

The error of the difference is of order eps^2 from the curve and of order 1e-16 / eps from rounding; in float64 both
are small at eps = 1e-6, in float32 they are not.
"""

import warnings

import numpy as np

from cnn.tensor import Tensor

from .grad_mode import no_grad
from .gradients import grad

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """The two gradients differ."""


def gradcheck(
    func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, nondet_tol=0.0, check_undefined_grad=True,
    check_grad_dtypes=False, check_batched_grad=False, check_batched_forward_grad=False, check_forward_ad=False,
    check_backward_ad=True, fast_mode=False, masked=None,
):  # fmt: skip
    """True if the gradients of `func(*inputs)` agree with central differences: |a - n| <= atol + rtol |n| for every
    entry.

    Every float64 input that requires gradients is checked against every differentiable output.

    Args:
        func: takes tensors, gives a tensor or a tuple of them.
        inputs: a tensor or a tuple; they should be float64 and must not share memory between elements.
        raise_exception: False returns False instead of raising.
        nondet_tol: how much two backward passes may differ.
        check_undefined_grad, check_grad_dtypes, fast_mode: accepted; the full check of backward is always made.

    Raises:
        GradcheckError: naming the input, the output and the entry that differs most.
        ValueError: no input requires gradients, or an element of an input is used for several positions.
        NotImplementedError: another argument than these has another value than it is born with.
    """
    if check_forward_ad:
        raise NotImplementedError("gradcheck: forward-mode differentiation is not supported by cnn")
    for name, given in {
        "check_batched_grad=True": check_batched_grad, "check_batched_forward_grad=True": check_batched_forward_grad,
        "check_backward_ad=False": not check_backward_ad, "masked=True": masked,
    }.items():  # fmt: skip
        if given:
            raise NotImplementedError(f"gradcheck: {name} is not supported by cnn")
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    try:
        wanted = check_inputs(inputs)
        outputs = as_outputs(func(*inputs))
        for number, output in enumerate(outputs):
            if output.dtype.is_floating_point:
                check_output(func, inputs, wanted, outputs, number, eps, atol, rtol, nondet_tol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def check_inputs(inputs):
    """Positions of the inputs to be checked."""
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have "
            "requires_grad=True."
        )
    for i in wanted:
        array = inputs[i]._a
        if array.dtype != np.float64:
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point. This check will likely "
                "fail if all the inputs are not of double precision floating point. ",
                stacklevel=3,
            )
        if array.size and any(step == 0 and n > 1 for n, step in zip(array.shape, array.strides, strict=True)):
            raise ValueError(
                f"The {i}th input has a dimension with stride 0. gradcheck only supports inputs that are "
                "non-overlapping"
            )
    return wanted


def as_outputs(result):
    outputs = (result,) if isinstance(result, Tensor) else tuple(result)
    return [output for output in outputs if isinstance(output, Tensor)]


def check_output(func, inputs, wanted, outputs, number, eps, atol, rtol, nondet_tol):
    analytical = analytical_jacobians(func, inputs, wanted, number)
    again = analytical_jacobians(func, inputs, wanted, number)
    for i, a, b in zip(wanted, analytical, again, strict=True):
        if a.size and np.max(np.abs(a - b)) > nondet_tol:
            raise GradcheckError(
                f"Backward is not reentrant: run twice with the same grad_output, it gives gradients of input {i} from "
                f"output {number} that differ by more than nondet_tol={nondet_tol}."
            )
    for i, a in zip(wanted, analytical, strict=True):
        n = numerical_jacobian(func, inputs, i, number, eps)
        wrong = ~(np.abs(a - n) <= atol + rtol * np.abs(n)) & ~((a == n) | (np.isnan(a) & np.isnan(n)))
        if wrong.any():
            raise GradcheckError(
                difference_message(i, number, inputs[i]._a.shape, outputs[number]._a.shape, a, n, wrong)
            )


def difference_message(i, number, input_shape, output_shape, analytical, numerical, wrong):
    distance = np.where(wrong, np.nan_to_num(np.abs(analytical - numerical), nan=np.inf), -1)
    row, column = np.unravel_index(np.argmax(distance), distance.shape)
    where_in = [int(k) for k in np.unravel_index(row, input_shape)] if input_shape else []
    where_out = [int(k) for k in np.unravel_index(column, output_shape)] if output_shape else []
    return (
        f"Jacobian mismatch for output {number} with respect to input {i}: {int(wrong.sum())} of {wrong.size} entries "
        f"differ. The worst is d output{where_out} / d input{where_in}: numerical {numerical[row, column]:.9g}, "
        f"analytical {analytical[row, column]:.9g}.\n"
        f"numerical:{numerical}\nanalytical:{analytical}\n"
    )


def analytical_jacobians(func, inputs, wanted, number):
    """For each wanted input a matrix (elements of the input, elements of the output), a backward pass a column."""
    output = as_outputs(func(*inputs))[number]
    jacobians = [np.zeros((inputs[i]._a.size, output._a.size), output._a.dtype) for i in wanted]
    if not output.requires_grad:
        return jacobians
    for column in range(output._a.size):
        unit = np.zeros(output._a.shape, output._a.dtype)
        unit.reshape(-1)[column] = 1
        gradients = grad(output, [inputs[i] for i in wanted], Tensor._wrap(unit), retain_graph=True, allow_unused=True)
        for i, jacobian, gradient in zip(wanted, jacobians, gradients, strict=True):
            if gradient is not None:
                if gradient._a.shape != inputs[i]._a.shape:
                    raise GradcheckError(
                        f"the gradient of input {i} has the shape {gradient._a.shape}, the input {inputs[i]._a.shape}"
                    )
                jacobian[:, column] = gradient._a.reshape(-1)
    return jacobians


def numerical_jacobian(func, inputs, i, number, eps):
    """The matrix of differences for one input: two calls an element."""

    def output():
        return as_outputs(func(*inputs))[number]._a.astype(np.float64).reshape(-1)

    array = inputs[i]._a
    rows = []
    with no_grad():
        for position in np.ndindex(array.shape):
            value = array[position]
            try:
                array[position] = value + eps
                high = output()
                array[position] = value - eps
                low = output()
            finally:
                array[position] = value
            rows.append((high - low) / (2 * eps))
        return np.array(rows) if rows else np.zeros((0, output().size))


def gradgradcheck(*args, **kwargs):
    """Not supported: cnn has no double backward."""
    raise NotImplementedError("gradgradcheck: double backward is not supported by cnn")
