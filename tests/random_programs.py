"""The same random program on PyTorch and on cnn, compared after each step.

A program is a list of steps: text in which `torch` is either library. The same seed makes the same program. After each
step every tensor that the program holds is compared: values, shape, type, requires_grad, grad_fn, gradients; so a write
through a view shows in all that share its memory. Where a step raises, both must raise, and the same kind of error.

    python tests/random_programs.py --count 50000 --seed 1     many programs, in child processes that may crash
    python tests/random_programs.py --show 17 --seed 1         one program, shrunk to the steps that matter

tests/test_programs.py runs 2,000 of them. What differs for a reason is in EXPECTED, each with its row in
docs/differences.md.
"""

import argparse
import copy
import json
import random
import re
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import torch

import cnn

sys.path.insert(0, str(Path(__file__).parent))

from program_networks import Networks
from program_steps import Steps

STEPS = (4, 30)  # a program has so many
TOLERANCE = {"float32": 3e-4, "float64": 1e-5, "float16": 2e-2}  # relative to the largest value of a tensor, or to 1
LARGEST = 1e3  # a program ends where values grow beyond it

# What may differ: name -> (part of the step, how it differs), both as patterns. Each has its row in
# docs/differences.md.
EXPECTED = {
    "inference_mode": (
        r"",
        r"torch raises RuntimeError: (Inplace update to inference|Inference tensors |Setting req)",
    ),
    "layers of integers": (
        r"",
        r"torch computes, cnn raises (DTypeError: .*must be float32 or float64|ShapeError: .*optional 0 dim)",
    ),
    "results of transposed tensors": (r"", r"(torch|cnn) raises RuntimeError: view size is not compatible"),
    "overlapping memory": (
        r"",
        r"torch raises RuntimeError: unsupported operation: (some|more than one) ele.* cnn computes",
    ),
    "two mistakes in one call": (
        r"index_(put|fill)_",
        r"torch raises IndexError: index is out of bounds .*, cnn DTypeError|torch computes, cnn raises RangeError",
    ),
    "scatter and scatter_add of a source larger than the index, backward": (
        r"",
        r"torch raises RuntimeError: Function Scatter\w+ returned an invalid",
    ),
    "in-place draws into integers of no elements": (
        r"",
        r"torch computes, cnn raises DTypeError: (normal|exponential): expected a float",
    ),
    "copy_ of an expanded tensor into itself": (
        r"\.copy_",
        r"torch computes, cnn raises RuntimeError: unsupported operation: more than one element",
    ),
    "saved result instead of argument": (
        r"",
        r"torch computes, cnn raises RuntimeError: one of the var.* (LeakyRelu|Hardtanh)Backward0 saved",
    ),
    "second walk": (
        r"",
        r"torch raises RuntimeError: Trying to backward through the graph a second time.* cnn computes",
    ),
}


class Difference(Exception):
    """kind: what a shrunk program must show as well; text: what a reader wants to know."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind, self.text = kind, text


class Over(Exception):
    """The rest of a program says nothing: values grew too large, or PyTorch lets a tensor be seen no more."""


# ---- One step on both --------------------------------------------------------------------------------------------


def fresh_names(library):
    library.manual_seed(0)
    library.set_grad_enabled(True)
    return {"torch": library, "nn": library.nn, "F": library.nn.functional, "np": np, "copy": copy, "log": []}


def execute(code, names):
    """The error that a step raises, or None."""
    try:
        exec(code, names)
    except Exception as error:
        return error
    return None


def compare_errors(theirs, ours):
    if theirs is None and ours is None:
        return
    if theirs is None:
        raise Difference(f"raises {type(ours).__name__}", f"torch computes, cnn raises {_said(ours)}")
    if ours is None:
        raise Difference(f"computes: {str(theirs)[:40]}", f"torch raises {_said(theirs)}, cnn computes")
    if "a leaf Variable that requires grad" in str(theirs) or "is being modified inplace" in str(theirs):
        return  # torch looks at that first, we at some other mistake
    kind = RuntimeError if isinstance(theirs, NotImplementedError) else type(theirs)  # "for 'Bool'": ours a DTypeError
    if not isinstance(ours, kind):
        kind = f"{type(ours).__name__}, not {type(theirs).__name__}"
        raise Difference(kind, f"torch raises {_said(theirs)}, cnn {_said(ours)}")


def _said(error):
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error).strip() else ''}"


def _unlike(theirs, ours):
    places = np.argwhere(~np.isclose(theirs, ours, 1e-4, 1e-4, equal_nan=True))
    first = tuple(places[0].tolist()) if len(places) else ()
    return f"{len(places)} of {theirs.size} values differ, at {first} torch has {theirs[first]}, cnn {ours[first]}"


def compare_values(what, theirs, ours, scale=1.0):
    if theirs.shape != ours.shape:
        raise Difference("shape", f"{what}: torch has shape {theirs.shape}, cnn {ours.shape}")
    if theirs.dtype != ours.dtype:
        raise Difference("type", f"{what}: torch has {theirs.dtype}, cnn {ours.dtype}")
    if theirs.dtype.kind != "f":
        if not np.array_equal(theirs, ours):
            raise Difference("values", f"{what}: {_unlike(theirs, ours)}")
        return
    if np.isnan(theirs).any():
        raise Over  # PyTorch's own kernels differ there between the parts of a vector; test_not_finite.py looks at NaN
    if theirs.tobytes() == ours.tobytes():
        largest = np.abs(theirs).max(initial=0.0)
    else:
        with np.errstate(all="ignore"):
            finite = np.isfinite(theirs)
            largest = np.abs(theirs[finite]).max(initial=0.0)
            same = np.array_equal(finite, np.isfinite(ours))
            same = same and np.array_equal(theirs[~finite], ours[~finite], equal_nan=True)
            far = same and np.abs(theirs[finite] - ours[finite]).max(initial=0.0)
        if not same or far > TOLERANCE[theirs.dtype.name] * max(scale, largest):
            raise Difference("values", f"{what}: {_unlike(theirs, ours)}")
    if not largest < LARGEST:
        raise Over


def compare_tensors(name, theirs, ours, scale=1.0):
    if not isinstance(ours, cnn.Tensor):
        raise Difference("no tensor", f"{name}: torch has a Tensor, cnn {type(ours).__name__}")
    try:
        wanted = theirs.requires_grad, theirs.is_leaf, theirs.grad_fn is None
    except RuntimeError as error:
        if "has been modified inplace" in str(error):
            raise Over from None
        raise
    found = ours.requires_grad, ours.is_leaf, ours.grad_fn is None
    for what, a, b in zip(("requires_grad", "is_leaf", "grad_fn is None"), wanted, found, strict=True):
        if a != b:
            raise Difference(what, f"{name}: {what}: torch {a}, cnn {b}")
    compare_values(name, theirs.detach().numpy(), ours._a)
    gradient = theirs.grad
    if (gradient is None) != (ours.grad is None):
        none, other = ("torch", "cnn") if gradient is None else ("cnn", "torch")
        raise Difference(f".grad only in {other}", f"{name}.grad: None in {none}, a tensor in {other}")
    if gradient is not None:
        compare_values(f"{name}.grad", gradient.detach().numpy(), ours.grad._a, scale)


def compare_names(theirs, ours):
    """Everything that the program holds."""
    for name, value in theirs.items():
        if isinstance(value, torch.Tensor):
            compare_tensors(name, value, ours.get(name))
        elif isinstance(value, torch.nn.Module):
            # what a bias gets before a batch norm is 0 but for the rounding of sums as large as other gradients
            scale = max([1.0, *(float(p.grad.abs().max()) for p in value.parameters() if p.grad is not None)])
            for kind in ("named_parameters", "named_buffers"):
                mine = dict(getattr(ours[name], kind)())
                for path, tensor in getattr(value, kind)():
                    compare_tensors(f"{name}.{path}", tensor, mine.get(path), scale)
    if len(theirs["log"]) != len(ours["log"]):
        raise Difference("log", f"hooks ran {len(theirs['log'])} times in torch, {len(ours['log'])} times in cnn")
    for i, (a, b) in enumerate(zip(theirs["log"], ours["log"], strict=True)):
        if isinstance(a, torch.Tensor) and isinstance(b, cnn.Tensor):
            compare_values(f"log[{i}]", a.detach().numpy(), b._a)
        elif isinstance(a, float) and isinstance(b, float):
            compare_values(f"log[{i}]", np.float32(a), np.float32(b))
        elif a != b:
            raise Difference("log", f"log[{i}]: torch {a!r}, cnn {b!r}")


def compare_after(error, theirs, ours):
    try:
        compare_names(theirs, ours)
    except Difference as difference:
        if error is not None and difference.kind == "values":
            raise Over from None  # torch had begun to write before it saw the mistake
        raise


# ---- Programs ----------------------------------------------------------------------------------------------------


def generate(number, seed, theirs):
    """The steps of one program, drawn as it runs: `theirs` are the names of PyTorch's run."""
    draw = random.Random(f"{seed}/{number}")
    steps = (Networks if draw.random() < 0.35 else Steps)(draw, theirs)
    for _ in range(draw.randint(*STEPS)):
        step = steps.step()
        if step is not None:
            yield step


def run(steps, look=1, check_changes=True):
    """Run steps (a list, or a function that draws them from torch's names) on both. Returns the steps that ran.

    Raises Difference with `.steps`, those that ran. `look` is after how many steps tensors are compared. Without
    `check_changes` PyTorch does not refuse to walk back over tensors that were changed, but uses copies of them.
    """
    if not check_changes:
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            return run(steps, look)
    theirs, ours = fresh_names(torch), fresh_names(cnn)
    done = []
    try:
        for step in steps(theirs) if callable(steps) else steps:
            done.append(step)
            code = compile(step, "<step>", "exec")
            errors = execute(code, theirs), execute(code, ours)
            compare_errors(*errors)
            if errors[0] is not None:
                if "backward" in step or "autograd.grad" in step or "modified by an inplace" in str(errors[0]):
                    raise Over  # how far the walk came is nobody's business
                torch.manual_seed(len(done))  # nor how much was drawn before it raised
                cnn.manual_seed(len(done))
            if errors[0] is not None or len(done) % look == 0:
                compare_after(errors[0], theirs, ours)
        compare_names(theirs, ours)
    except Over:
        pass
    except Difference as difference:
        difference.steps = done
        raise
    finally:
        torch.set_grad_enabled(True)
        cnn.set_grad_enabled(True)
    return done


def run_number(number, seed):
    """(number of steps, None or the Difference) of one program of a seed."""
    look = random.Random(f"look {seed}/{number}").choice([1, 1, 1, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return len(run(lambda names: generate(number, seed, names), look)), None
        except Difference as difference:
            difference.look = look
            return len(difference.steps), difference


def expected(difference):
    """The name under which a difference is expected, or None."""
    if "a saved tensor that has been detached in-place" in difference.text:
        return "saved for backward"
    if re.search(r"torch raises .*modified by an inplace operation.*cnn computes", difference.text):
        # torch saved what we did not need: is our gradient that of what forward computed?
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                run(difference.steps, getattr(difference, "look", 1), check_changes=False)
            except Difference:
                return None
        return "saved for backward"
    for name, (step, how) in EXPECTED.items():
        if re.search(step, difference.steps[-1]) and re.search(how, difference.text):
            return name
    return None


# ---- Shrinking ---------------------------------------------------------------------------------------------------


def shrink(difference):
    """The same kind of difference from as few steps as dropping them one by one, and lines within them, can find."""
    steps, look = list(difference.steps), getattr(difference, "look", 1)
    best = difference

    def still(candidate):
        nonlocal best
        try:
            run(candidate, 1 if best.kind == "values" else look)
        except Difference as other:
            if other.kind == difference.kind:
                best = other
                return True
        except SyntaxError:
            pass
        return False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        progress = True
        while progress:
            progress = False
            for i in reversed(range(len(steps))):
                if still(steps[:i] + steps[i + 1 :]):
                    steps, progress = best.steps, True
                    break
                lines = steps[i].split("\n")
                for k in reversed(range(len(lines))) if len(lines) > 1 else ():
                    shorter = "\n".join(lines[:k] + lines[k + 1 :])
                    if still([*steps[:i], shorter, *steps[i + 1 :]]):
                        steps, progress = best.steps, True
                        break
                if progress:
                    break
    best.steps = steps
    return best


SCRIPT = """import copy, sys
import numpy as np
if "torch" in sys.argv:
    import torch
else:
    import cnn as torch
nn, F, log = torch.nn, torch.nn.functional, []
torch.manual_seed(0)
"""


def script(difference):
    """A program that shows the difference: with the argument `torch` on PyTorch, without on cnn."""
    lines = [SCRIPT]
    names = fresh_names(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, step in enumerate(difference.steps[:-1], 1):
            if execute(step, names) is None:
                lines.append(step + "\n")
            else:
                body = "".join(f"    {line}\n" for line in step.split("\n"))
                lines.append(
                    f"try:\n{body}except Exception as error:\n    print(repr(error))\ntorch.manual_seed({number})\n"
                )
                torch.manual_seed(number)
    torch.set_grad_enabled(True)
    lines.append(difference.steps[-1] + "\n")
    found = re.match(r"([a-z]+\d+[\w.]*)", difference.text)
    if found:
        lines.append(f"print({found.group(1)})\n")
    return "".join(lines) + "".join(f"# {line}\n" for line in difference.text.split("\n"))


# ---- Many of them ------------------------------------------------------------------------------------------------


def child(start, count, seed):
    """Run programs and print a line of JSON before and after each, for the parent that survives us."""
    for number in range(start, start + count):
        print(json.dumps({"start": number}), flush=True)
        steps, difference = run_number(number, seed)
        line = {"done": number, "steps": steps}
        if difference is not None:
            name = expected(difference)
            if name is None:
                small = shrink(difference)
                line.update(kind=small.kind, last=small.steps[-1], script=script(small))
            else:
                line.update(expected=name)
        print(json.dumps(line), flush=True)


def many(start, count, seed, chunk=2000, timeout=600):
    """Run programs in children, a chunk each; a child that dies or hangs is a crash, and the next goes on behind it."""
    totals, began, next_number, end = Counter(), time.time(), start, start + count
    while next_number < end:
        size = min(chunk, end - next_number)
        command = [
            sys.executable,
            "-X",
            "faulthandler",
            __file__,
            "--child",
            str(next_number),
            str(size),
            "--seed",
            str(seed),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        last = next_number - 1
        try:
            output, errors = process.communicate(timeout=timeout + size)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            errors += "\ntimed out"
        running = None
        for text in output.splitlines():
            line = json.loads(text)
            if "start" in line:
                running = line["start"]
                continue
            last, running = line["done"], None
            totals["programs"] += 1
            totals["steps"] += line["steps"]
            if "expected" in line:
                totals[f"expected: {line['expected']}"] += 1
            elif "kind" in line:
                totals["differences"] += 1
                print(f"---- program {last}: {line['kind']}\n{line['script']}", flush=True)
        if process.returncode:
            last = running if running is not None else last + 1
            totals["programs"] += 1
            where = next((line for line in errors.splitlines() if line.startswith("  File")), "")
            totals["crashes of PyTorch" if "/torch/" in where else "crashes"] += 1
            print(f"---- program {last}: CRASH, status {process.returncode}\n{errors[-2000:]}", flush=True)
        next_number = last + 1
        print(f"[{time.time() - began:.0f} s] {dict(totals)}", flush=True)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="how many programs")
    parser.add_argument("--start", type=int, default=0, help="the number of the first")
    parser.add_argument("--seed", default="1", help="another seed makes other programs")
    parser.add_argument("--show", type=int, help="run this one program and print it, shrunk where it differs")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        child(*arguments.child, arguments.seed)
    elif arguments.show is not None:
        steps, difference = run_number(arguments.show, arguments.seed)
        if difference is None:
            print(f"{steps} steps, no difference")
        else:
            print("\n".join(difference.steps), difference.text, "-" * 80, script(shrink(difference)), sep="\n")
    else:
        totals = many(arguments.start, arguments.count, arguments.seed)
        sys.exit(1 if totals["crashes"] or totals["differences"] else 0)


if __name__ == "__main__":
    main()
