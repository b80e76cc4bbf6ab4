"""PyTorch's own samples (op_db, module_db, optim_db) on torch and on cnn, sample by sample.

    .venv/bin/python tests/opinfo.py                                every operator that exists here, 8 samples a type
    .venv/bin/python tests/opinfo.py --op clamp linalg.norm         these operators alone (every variant of op_db)
    .venv/bin/python tests/opinfo.py --class wrong cut              what fell into these classes, with what to type, one
                                                                    of each kind (--all: every run)
    .venv/bin/python tests/opinfo.py --dtype float32 --samples 3    fewer types or samples; --reference adds edge cases
    .venv/bin/python tests/opinfo.py --table                        a row per operator that is not right
    .venv/bin/python tests/opinfo.py --numpy raise                  ours runs under np.seterr(all="raise")
    .venv/bin/python tests/opinfo.py --modules --optimizers         module_db and optim_db in place of op_db

Every operator runs as function, method, method in place and under its aliases, where torch and cnn both have it; then
torch's error inputs run, which ours has to refuse as well. Each run falls into one class:

    agree       same values, shapes, types and gradients; or both refuse
    refused     torch computes, ours says in one line, naming the function, that it does not
    keyword     an argument is missing: unexpected keyword, too many positional arguments
    cut         torch's result (or the gradient of an argument) exists, ours does not
    wrong       another value, shape or type, beyond torch.testing.assert_close; or another gradient
    obscure     an exception that does not say what is wrong: from inside NumPy or Python, or without the name
    accepted    torch refuses, ours computes
    crash       the process died (operators run in child processes), or took minutes

`run_op(op, ...)` gives the list of Runs; test_opinfo.py asks for it as this file's main does. Needs torch.
"""

import argparse
import contextlib
import itertools
import os
import pickle
import random
import re
import signal
import sys
import types
import unittest
import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from opinfo_samples import (
    Plain,
    compare,
    compare_gradients,
    convert,
    leaves,
    no_farther,
    same_among_ties,
    tensors_in,
    text,
)

import cnn
from cnn.tensor import Tensor

CLASSES = ("agree", "refused", "keyword", "cut", "wrong", "obscure", "accepted", "crash")
FAILURES = CLASSES[2:]
DTYPES = ("float32", "float64", "int64", "uint8", "bool")
UNDEFINED_VALUES = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "Tensor"}
ANY_OF_EQUALS = {
    "argsort",
    "topk",
    "kthvalue",
    "median",
    "mode",
    "sort",
    "max",
    "min",
}  # indices of one of several equal elements


@dataclass
class Run:
    op: str
    form: str  # function, method, inplace, alias NAME, error
    dtype: str
    sample: int
    result: str  # one of CLASSES
    detail: str = ""
    typed: str = ""  # what to type to see it

    def __str__(self):
        return (
            f"{self.result:8} {self.op} [{self.form}, {self.dtype}, sample {self.sample}]  {self.typed}\n"
            + " " * 9
            + self.detail
        )


def database():
    """op_db; torch's module needs the package `expecttest` for its own tests only."""
    if "expecttest" not in sys.modules:
        try:
            import expecttest  # noqa: F401
        except ImportError:
            stand_in = types.ModuleType("expecttest")
            stand_in.TestCase = unittest.TestCase
            sys.modules["expecttest"] = stand_in
    from torch.testing._internal import common_utils
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.opinfo import core

    # It looks through the whole stack for a test to take a seed from, which is slow and not what we want here.
    common_utils.extract_test_fn = core.extract_test_fn = lambda: None
    return op_db


def full_name(op):
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


def _find(name):
    found = cnn
    for part in name.split("."):
        found = getattr(found, part, None)
        if found is None:
            return None
    return found if callable(found) else None


def _set_seed(op, *args, **kwargs):
    """torch's wrapper_set_seed, for cnn."""
    cnn.manual_seed(42)
    return op(*args, **kwargs)


def _rewired(f):
    """A function of op_db that calls torch.something, calling cnn.something."""
    if not isinstance(f, types.FunctionType):
        return f
    scope = {**f.__globals__, "torch": cnn, "wrapper_set_seed": _set_seed}
    return types.FunctionType(f.__code__, scope, f.__name__, f.__defaults__, f.__closure__)


def forms(op):
    """(form, torch's callable, ours) for every way to call the operator that exists in both."""
    function, method = _find(op.name), getattr(Tensor, op.name, None)
    if function is None and method is None:
        return
    if getattr(op.op, "__name__", "") == "<lambda>":
        yield "function", op.op, _rewired(op.op)
    elif function is not None:
        yield "function", op.op, function
    if function is not None and getattr(op.op, "__name__", "") != "<lambda>":
        if callable(method) and callable(op.method_variant):
            yield "method", op.method_variant, method
    elif method is not None and getattr(op.op, "__name__", "") != "<lambda>":
        yield "method", op.op, method
    in_place = getattr(Tensor, f"{op.name}_", None)
    if callable(op.inplace_variant) and callable(in_place):
        yield "inplace", op.inplace_variant, in_place
    for alias in op.aliases:
        for suffix, theirs, ours in (
            ("", alias.op, _find(alias.name)),
            (" method", alias.method_variant, getattr(Tensor, alias.name, None)),
            (" inplace", alias.inplace_variant, getattr(Tensor, f"{alias.name}_", None)),
        ):
            if callable(ours) and callable(theirs):
                yield f"alias {alias.name}{suffix}", theirs, ours


def exists(op):
    return next(forms(op), None) is not None


def samples_of(op, dtype, count, reference=False):
    """`count` of torch's samples, the first half of them from the start, the rest spread over what follows."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    try:
        found = list(itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=_differentiable(op, dtype)), 400))
        if reference:
            found += list(itertools.islice(op.reference_inputs("cpu", dtype), 400))
    except unittest.SkipTest:
        return []
    if len(found) <= count:
        return list(enumerate(found))
    head = (count + 1) // 2
    rest = np.linspace(head, len(found) - 1, count - head).astype(int)
    return [(i, found[i]) for i in sorted({*range(head), *rest.tolist()})]


def _differentiable(op, dtype):
    return dtype.is_floating_point and op.supports_autograd


_LEAKS = (
    "ufunc", "setting an array element", "object has no attribute", "'NoneType' object", "unsupported operand",
    "numpy.ndarray",
    "not subscriptable", "could not be broadcast", "could not broadcast", "operands could not",
    "out of bounds for a", "Python integer",
    "scalar arrays", "Cannot cast", "object is not iterable", "einstein", "zero-size array", "np.", "gufunc", "astype",
    "cannot reshape array", "local variable", "same_kind", "object cannot be interpreted", "inhomogeneous", "_cnn",
    "all the input array", "repeated axis", "truth value of an array", "not enough values", "too many values",
)  # fmt: skip


def refusal_class(error, op_name):
    """keyword, refused or obscure: whether the error says what is wrong and where."""
    message = str(error)
    if isinstance(error, TypeError) and any(
        s in message
        for s in ("unexpected keyword", "positional argument", "multiple values for argument", "keyword-only")
    ):
        return "keyword"
    if not isinstance(error, (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError)) or not message:
        return "obscure"
    if message.startswith("descriptor '"):
        return "refused"  # Python's word on `Tensor.__radd__(2, x)`, and torch's
    if any(leak in message for leak in _LEAKS):
        return "obscure"
    return "refused" if isinstance(error, NotImplementedError) or names(message, op_name) else "obscure"


def names(message, op_name):
    """The message has the function's name in it, as the user would look for it."""
    short = op_name.rsplit(".", 1)[-1].strip("_")
    return any(n in message for n in (short, short.removesuffix("_"), op_name.removeprefix("nn.functional.")))


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _call(callable_, sample, in_place, seed):
    seed(0)
    args = sample.input if not in_place else sample.input.clone()
    result = callable_(args, *sample.args, **sample.kwargs)
    return result


def _torch_plain(sample):
    """The sample with tensors of torch made anew, as leaves, so that no run sees another's gradients."""

    def fresh(x):
        if isinstance(x, torch.Tensor):
            return x.detach().clone(memory_format=torch.preserve_format).requires_grad_(x.requires_grad)
        return x

    return Plain.of(sample, fresh)


def run_sample(op, form, theirs, ours, sample, dtype, number, numpy_state="ignore"):
    """One Run of a sample; None where neither of the two can take it (complex numbers, sparse tensors)."""
    typed = text(op, form, sample)

    def run(result, detail=""):
        return Run(full_name(op), form, dtype, number, result, str(detail).split("\n")[0][:300], typed)

    in_place = "inplace" in form
    reference = _torch_plain(sample)
    try:
        mine = Plain.of(sample, convert)
    except NotImplementedError:
        return None
    try:
        with _quiet():
            want = _call(theirs, reference, in_place, torch.manual_seed)
    except Exception as error:
        want = error
    if not isinstance(want, Exception) and any(
        t.is_complex() or t.layout is not torch.strided for t in tensors_in(want)
    ):
        want = None
        expects_refusal = True
    else:
        expects_refusal = isinstance(want, Exception)
    try:
        with (
            _quiet() if numpy_state == "ignore" else contextlib.nullcontext(),
            np.errstate(**({"all": "raise"} if numpy_state == "raise" else {})),
        ):
            got = _call(ours, mine, in_place, cnn.manual_seed)
    except Exception as error:
        if str(error).startswith("module 'cnn' has no attribute"):
            return None  # what a lambda of op_db calls
        if expects_refusal:  # how it refuses is looked at with the error inputs
            return run("agree", "both refuse")
        kind = refusal_class(error, op.name if not form.startswith("alias") else form.split()[1])
        return run(kind, f"{type(error).__name__}: {error}")
    if expects_refusal:
        reason = "a complex result" if want is None else f"{type(want).__name__}: {want}"
        return run("accepted", f"torch: {reason}")
    want, got = sample.output_process_fn_grad(want), _rewired(sample.output_process_fn_grad)(got)
    problem = compare(got, want, values=op.name not in UNDEFINED_VALUES)
    if problem and op.name in ANY_OF_EQUALS and same_among_ties(op.name, got, want, sample):
        problem = None
    result, detail = ("wrong", problem) if problem else ("agree", "")
    if not _differentiable(op, getattr(torch, dtype)):
        if not problem and any(t.requires_grad for t in tensors_in(got)):
            return run("wrong", "requires grad, torch's result does not")
    elif not problem:
        try:
            with _quiet(), np.errstate(**({"all": "raise"} if numpy_state == "raise" else {})):
                result, detail = compare_gradients(got, want, leaves(mine), leaves(reference))
        except Exception as error:
            return run(refusal_class(error, op.name), f"backward: {type(error).__name__}: {error}")
    if (
        result == "wrong"
        and dtype == "float32"
        and _no_worse(op, theirs, sample, in_place, problem, got, want, mine, reference)
    ):
        return run("agree", "within torch's own error, which is beyond assert_close")
    return run(result, detail)


def _no_worse(op, theirs, sample, in_place, values, got, want, mine, reference):
    """Where float32 is not enough for assert_close: ours is as near to torch's float64 result as torch's float32 is."""

    def double(x):
        if isinstance(x, torch.Tensor):
            wide = x.detach().clone()
            return (wide.double() if x.dtype == torch.float32 else wide).requires_grad_(x.requires_grad)
        return torch.float64 if x is torch.float32 else x

    exact_sample = Plain.of(sample, double)
    try:
        with _quiet():
            exact = sample.output_process_fn_grad(_call(theirs, exact_sample, in_place, torch.manual_seed))
            if not values:
                compare_gradients(exact, exact, [], [])
    except Exception:
        return False
    if values:
        trios = zip(tensors_in(got), tensors_in(want), tensors_in(exact), strict=True)
    else:
        grads = ([t.grad for t in leaves(x)] for x in (mine, reference, exact_sample))
        trios = [t for t in zip(*grads, strict=True) if t[1] is not None]
    return all(no_farther(*t) for t in trios)


def run_errors(op, function, limit=12):
    """torch's error inputs: what ours says to them."""
    if op.error_inputs_func is None:
        return
    torch.manual_seed(0)
    try:
        inputs = list(itertools.islice(op.error_inputs("cpu"), limit))
    except Exception:
        return
    for number, wrong in enumerate(inputs):
        sample = wrong.sample_input
        if f"__{op.name.strip('_')}__" == op.name and not isinstance(sample.input, torch.Tensor):
            continue  # Python's own error: an operator of Tensor called with something else
        try:
            mine = Plain.of(sample, convert)
            Plain.of(sample, lambda x: x)
        except (NotImplementedError, AttributeError):
            continue
        first = next((str(t.dtype).removeprefix("torch.") for t in tensors_in([sample.input, *sample.args])), "-")
        common = (full_name(op), "error", first, number)
        typed = text(op, "function", sample)
        try:
            with _quiet():
                _call(op.op, _torch_plain(sample), False, torch.manual_seed)
            continue  # refused on other devices only
        except Exception:
            pass
        try:
            with _quiet():
                _call(function, mine, False, cnn.manual_seed)
        except Exception as error:
            kind = refusal_class(error, op.name)
            # Where torch refuses as well, its own errors name the argument or the shapes at best.
            if kind == "obscure" and not any(leak in str(error) for leak in _LEAKS) and _is_clear(error):
                kind = "refused"
            detail = f"{type(error).__name__}: {error}".split("\n")[0][:300]
            yield Run(*common, "agree" if kind in ("refused", "keyword") else kind, detail, typed)
        else:
            yield Run(*common, "accepted", f"torch: {str(wrong.error_regex)[:200]}", typed)


def _is_clear(error):
    """Raised by a `raise` of cnn (or by the binding), of a kind that torch raises too."""
    return (
        isinstance(error, (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError))
        and len(str(error)) > 12
    )


def run_op(op, dtypes=DTYPES, samples=8, reference=False, errors=True, numpy_state="ignore"):
    """All Runs of one operator, in this process."""
    runs = []
    ways = list(forms(op))
    for name in dtypes:
        dtype = getattr(torch, name)
        if dtype not in op.supported_dtypes("cpu"):
            continue
        taken = samples_of(op, dtype, samples, reference)
        for form, theirs, ours in ways:
            few = taken if form == "function" or len(ways) == 1 else taken[: max(2, samples // 2)]
            for number, sample in few:
                if "inplace" in form and (sample.broadcasts_input or not isinstance(sample.input, torch.Tensor)):
                    continue
                found = run_sample(op, form, theirs, ours, sample, name, number, numpy_state)
                if found is not None:
                    runs.append(found)
    if errors and ways:
        runs += run_errors(op, ways[0][2])
    return runs


def in_child(label, work, seconds=240):
    """work() in a process of its own: its list of Runs, or one Run `crash`."""
    if not hasattr(os, "fork"):
        return work()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(seconds)
        for accelerator in (torch.cuda, torch.xpu, torch.mtia):  # whose seeds come with a copy of the stack each
            accelerator._is_in_bad_fork = lambda: True
        os.close(read)
        status = 1
        try:
            with os.fdopen(write, "wb") as stream:
                pickle.dump(work(), stream)
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(child, 0)
    if status == 0:
        return pickle.loads(data)
    how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
    return [Run(label, "process", "-", -1, "crash", how)]


def run_all(ops, together=24, **options):
    """Runs of all these operators, some in a child together, and one by one where that child died."""
    torch.set_num_threads(1)
    cnn.set_num_threads(1)
    runs = []
    for start in range(0, len(ops), together):
        group = ops[start : start + together]
        found = in_child(full_name(group[0]), lambda: [r for op in group for r in run_op(op, **options)])  # noqa: B023
        if found and found[-1].result == "crash" and len(group) > 1:
            found = run_all(group, 1, **options)
        runs += found
    return runs


def _kinds(runs):
    """One run of each kind: the same operator, and the same detail but for its numbers and the type."""
    found = {}
    for r in runs:
        kind = (r.op, re.sub(r"float\d+|u?int\d+|[-+\d.e]+", "", r.detail)[:60])
        found.setdefault(kind, []).append(r)
    for alike in found.values():
        if len(alike) > 1:
            alike[0].detail += f"   (and {len(alike) - 1} alike)"
        yield alike[0]


def report(runs, classes=(), table=False, everything=False):
    """Counts by class, and what to type for the runs of `classes`."""
    lines = []
    for kind in classes:
        chosen = [r for r in runs if r.result == kind]
        lines += [str(r) for r in (chosen if everything else _kinds(chosen))]
    counts = Counter(r.result for r in runs)
    if table:
        rows = {}
        for r in runs:
            rows.setdefault(r.op, Counter())[r.result] += 1
        lines.append(f"{'operator':44}" + "".join(f"{c:>9}" for c in CLASSES))
        for name, row in sorted(rows.items()):
            if any(row[c] for c in FAILURES):
                lines.append(f"{name:44}" + "".join(f"{row[c] or '':>9}" for c in CLASSES))
    by_type = {d: Counter(r.result for r in runs if r.dtype == d) for d in DTYPES}
    lines.append(
        f"{len({r.op for r in runs})} operators, {len(runs)} runs: " + ", ".join(f"{c} {counts[c]}" for c in CLASSES)
    )
    lines += [f"  {d:8} " + ", ".join(f"{c} {n[c]}" for c in CLASSES if n[c]) for d, n in by_type.items() if n]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--op", nargs="+", help="names as in op_db: clamp, nn.functional.pad, linalg.norm, __getitem__")
    parser.add_argument("--class", dest="classes", nargs="+", choices=CLASSES, default=(), help="print these runs")
    parser.add_argument("--dtype", nargs="+", default=DTYPES)
    parser.add_argument("--samples", type=int, default=8, help="of each operator and type (methods and aliases: half)")
    parser.add_argument("--reference", action="store_true", help="torch's reference inputs as well")
    parser.add_argument("--numpy", choices=("ignore", "raise", "warn"), default="ignore", help="NumPy's error state")
    parser.add_argument("--no-errors", action="store_true", help="leave torch's error inputs out")
    parser.add_argument("--table", action="store_true", help="a row per operator that is not right")
    parser.add_argument("--all", action="store_true", help="with --class: every run, not one of each kind")
    parser.add_argument("--modules", action="store_true", help="module_db")
    parser.add_argument("--optimizers", action="store_true", help="optim_db")
    options = parser.parse_args()
    database()
    if options.modules or options.optimizers:
        from opinfo_modules import run_modules, run_optimizers

        runs = run_modules(options.op, options.dtype) if options.modules else []
        runs += run_optimizers(options.op) if options.optimizers else []
    else:
        ops = [o for o in database() if (not options.op or o.name in options.op) and exists(o)]
        runs = run_all(
            ops,
            dtypes=options.dtype,
            samples=options.samples,
            reference=options.reference,
            errors=not options.no_errors,
            numpy_state=options.numpy,
        )
    print(report(runs, options.classes, options.table, options.all))


if __name__ == "__main__":
    main()
