"""module_db and optim_db on torch and on cnn; see opinfo.py, whose classes and Runs these are."""

import unittest
import warnings

import numpy as np
import torch
from opinfo import Run, in_child, refusal_class
from opinfo_samples import Plain, compare, compare_gradients, convert, leaves

import cnn


def modules_here():
    """The ModuleInfos whose class cnn.nn has as well."""
    from torch.testing._internal.common_modules import module_db

    return [m for m in module_db if hasattr(cnn.nn, m.module_cls.__name__)]


def _module(info, dtype_name, training):
    dtype, name = getattr(torch, dtype_name), info.module_cls.__name__
    torch.manual_seed(0)
    try:
        inputs = info.module_inputs_func(
            info, device="cpu", dtype=dtype, requires_grad=dtype.is_floating_point, training=training
        )
    except unittest.SkipTest:
        return []
    return [_module_run(info, name, dtype_name, training, number, i) for number, i in enumerate(inputs)]


def _module_run(info, name, dtype_name, training, number, given):
    made, called = given.constructor_input, given.forward_input
    typed = f"nn.{name}({', '.join([*map(repr, made.args), *(f'{k}={v!r}' for k, v in made.kwargs.items())])[:200]})"

    def run(result, detail=""):
        return Run(
            f"nn.{name}", "training" if training else "eval", dtype_name, number, result, str(detail)[:300], typed
        )

    try:
        constructor = Plain.of(_Sample(made), convert)
        forward = Plain.of(_Sample(called), convert)
    except NotImplementedError:
        return run("agree", "complex or sparse")
    theirs = info.module_cls(*made.args, **made.kwargs)
    try:
        ours = getattr(cnn.nn, name)(*constructor.args, **constructor.kwargs)
        theirs.to(getattr(torch, dtype_name)).train(training)
        ours.to(getattr(cnn, dtype_name)).train(training)
        with torch.no_grad():
            ours.load_state_dict({k: cnn.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()})
        reference = Plain.of(_Sample(called), _leaf)
        torch.manual_seed(0)
        cnn.manual_seed(0)
        want = theirs(*reference.args, **reference.kwargs)
        got = ours(*forward.args, **forward.kwargs)
        problem = compare(got, want)
        if problem:
            return run("wrong", problem)
        result, detail = compare_gradients(
            got,
            want,
            [*leaves(forward), *ours.parameters()],
            [*leaves(reference), *theirs.parameters()],
        )
        if result == "agree":
            for key, value in theirs.state_dict().items():
                detail = detail or compare(ours.state_dict()[key], value, what=key) or ""
            result = "wrong" if detail else "agree"
        return run(result, detail)
    except Exception as error:
        return run(refusal_class(error, name), f"{type(error).__name__}: {error}")


class _Sample:
    def __init__(self, function_input):
        self.input, self.args, self.kwargs = None, function_input.args, function_input.kwargs


def _leaf(x):
    return x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x


def run_modules(names=None, dtypes=("float32", "float64")):
    runs = []
    for info in modules_here():
        if names and info.module_cls.__name__ not in names:
            continue
        wanted = [d for d in dtypes if getattr(torch, d) in info.dtypes]
        modes = (True, False) if info.train_and_eval_differ else (True,)
        runs += in_child(
            info.module_cls.__name__,
            lambda i=info, w=wanted, m=modes: [r for d in w for t in m for r in _module(i, d, t)],
        )
    return runs


def optimizers_here():
    from torch.testing._internal.common_optimizers import optim_db

    return [o for o in optim_db if hasattr(cnn.optim, o.optim_cls.__name__)]


def _optimizer(info):
    name, runs = info.optim_cls.__name__, []
    for number, given in enumerate(info.optim_inputs_func(device="cpu")):
        kwargs = dict(given.kwargs)
        typed = f"optim.{name}(params, {', '.join(f'{k}={v!r}' for k, v in kwargs.items())})"
        for dtype in ("float32", "float64"):
            try:
                problem = _steps(info.optim_cls, getattr(cnn.optim, name), kwargs, dtype)
                runs.append(
                    Run(f"optim.{name}", "step", dtype, number, "wrong" if problem else "agree", problem or "", typed)
                )
            except Exception as error:
                kind = refusal_class(error, name)
                runs.append(
                    Run(f"optim.{name}", "step", dtype, number, kind, f"{type(error).__name__}: {error}"[:300], typed)
                )
    for number, given in enumerate(info.optim_error_inputs_func(device="cpu", dtype=torch.float32)):
        wrong = given.optimizer_error_input
        ours = Plain.of(_Arguments(wrong.params, wrong.kwargs), convert)
        typed = f"optim.{name}({wrong.params!r}, {wrong.kwargs!r})"[:200]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error" if given.error_type is UserWarning else "ignore")
                getattr(cnn.optim, name)(ours.input, **ours.kwargs).step(lambda: cnn.ones(()))
        except Exception as error:
            kind = refusal_class(error, name)
            clear = kind == "refused" or isinstance(
                error, (TypeError, ValueError, RuntimeError, KeyError, given.error_type)
            )
            runs.append(Run(f"optim.{name}", "error", "-", number, "agree" if clear else kind, str(error)[:200], typed))
        else:
            runs.append(Run(f"optim.{name}", "error", "-", number, "accepted", given.error_regex, typed))
    return runs


class _Arguments:
    def __init__(self, params, kwargs):
        self.input, self.args, self.kwargs = params, (), kwargs


def _steps(theirs, ours, kwargs, dtype, steps=6):
    random = np.random.default_rng(0)
    start = [random.standard_normal(shape).astype(dtype) for shape in ((3, 4), (5,), (), (2, 3, 2))]
    a = [torch.from_numpy(np.array(x)).requires_grad_() for x in start]
    b = [cnn.from_numpy(np.array(x)).requires_grad_() for x in start]
    plain = Plain.of(_Arguments(None, kwargs), convert).kwargs
    one, two = theirs(a, **kwargs), ours(b, **plain)
    for _ in range(steps):
        for x, y in zip(a, b, strict=True):
            g = np.asarray(random.standard_normal(tuple(x.shape))).astype(dtype)
            x.grad, y.grad = torch.from_numpy(g.copy()), cnn.from_numpy(g.copy())
        one.step()
        two.step()
    return compare(b, a, what="parameters")


def run_optimizers(names=None):
    runs = []
    for info in optimizers_here():
        if not names or info.optim_cls.__name__ in names:
            runs += in_child(info.optim_cls.__name__, lambda i=info: _optimizer(i))
    return runs
