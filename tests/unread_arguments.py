"""No public function takes an argument that it never reads: `python tests/unread_arguments.py`, part of `make lint`.

Looked at is the syntax tree of every function in the package. What torch takes and what means nothing here stands in a
table below, with the reason; an entry that is no longer needed is an error too.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
NO_GPU = "there is no GPU"
PROTOCOL = "who calls it gives this argument to all its kind"

# (file or folder, function or "*"): {argument: why it is not read}
UNREAD = {
    ("cnn", "*"): {
        "pin_memory": "memory is pinned for copies to a GPU",
        "non_blocking": "a copy is done when the call returns",
        "foreach": "how torch loops, not what it computes",
        "cudnn_enabled": NO_GPU,
        "cudnn_enable": NO_GPU,
        "verbose": "of schedules in old scripts: torch printed the rate once, and takes it no more",
    },
    ("cnn/as_torch.py", "*"): dict.fromkeys(("spec", "path", "target"), "Python's protocol of imports"),
    ("cnn/autograd/gradcheck.py", "gradcheck"): {
        "check_undefined_grad": "backward never gets an undefined gradient here",
        "check_grad_dtypes": "a gradient always has its tensor's type here",
        "fast_mode": "the slow check is made, which sees more",
    },
    ("cnn/cuda.py", "*"): dict.fromkeys(
        ("device", "abbreviated", "stream", "enable_timing", "blocking", "interprocess",
         "including_emulation"), NO_GPU,
    ),
    ("cnn/distributed.py", "*"): {"group": "one process"},
    ("cnn/nn", "*"): {"return_indices": "of max_pool2d_with_indices, where torch does not read it either"},
    ("cnn/nn/identity.py", "__init__"): dict.fromkeys(("args", "kwargs"), "any arguments are its purpose"),
    ("cnn/nn/fusion.py", "rectified"): {"y": PROTOCOL},
    ("cnn/autograd/engine.py", "as_plain_array"): {"target": PROTOCOL},
    ("cnn/nn/parallel.py", "*"): dict.fromkeys(("device_ids", "output_device", "dim"), "one device, nothing is split"),
    ("cnn/ops/conversion.py", "pin_memory"): {"device": NO_GPU},
    ("cnn/ops/decompositions.py", "backward"): {"dsign": "a sign has no gradient"},
    ("cnn/ops/reduction.py", "*"): {"stable": "sorting is always stable", "sorted": "what is found is always sorted"},
    ("cnn/ops/shape.py", "expand"): {"implicit": "torch's note to itself, without an effect on the result"},
    ("cnn/optim/swa_utils.py", "average"): {"num_averaged": PROTOCOL},
    ("cnn/profiler.py", "record_function"): dict.fromkeys(("name", "args"), "nothing is recorded"),
    ("cnn/random.py", "fork_rng"): dict.fromkeys(("devices", "device_type"), "one default generator, of the CPU"),
    ("cnn/serialization", "*"): {
        "pickle_module": "no module pickles or unpickles: cnn has a reader and a writer of its own",
        "pickle_load_args": "arguments of pickle.load, which is not used",
        "mmap": "where the bytes lie, not what they are",
        **dict.fromkeys(("backward_hooks", "metadata", "state", "kind", "code", "align", "copy"), "comes in the file"),
    },
    ("cnn/settings.py", "*"): {"mode": "the answer is False: there is no switch", "options": "nothing is compiled"},
    ("cnn/tensor.py", "is_pinned"): {"device": NO_GPU},
    ("cnn/testing.py", "assert_close"): dict.fromkeys(("check_device", "check_layout"), "there is one of each"),
    ("cnn/utils/data/collate.py", "*"): {"collate_fn_map": PROTOCOL},
    ("cnn/utils/checkpoint.py", "*"): dict.fromkeys(
        ("use_reentrant", "context_fn", "determinism_check", "debug", "early_stop", "preserve_rng_state", "segments"),
        "nothing is computed twice",
    ),
    ("cnn/vision/datasets/utils.py", "download_url"): {"max_redirect_hops": "Python's own limit holds"},
    ("cnn/vision/transforms/pil.py", "resize"): {"antialias": "Pillow always does"},
}  # fmt: skip

_PYTHONS_OWN = ("__init__", "__new__", "__call__")  # of the names with two underscores those whose arguments are ours


def unread(tree):
    """(line, function, argument) of a module's functions."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or is_declaration(node):
            continue
        if node.name.startswith("_") and node.name not in _PYTHONS_OWN:
            continue
        read = {n.id for statement in node.body for n in ast.walk(statement) if isinstance(n, ast.Name)}
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
        for argument in arguments:
            if argument is not None and argument.arg not in (*read, "self", "cls", "ctx"):
                if not argument.arg.startswith("_"):
                    yield argument.lineno, node.name, argument.arg


def is_declaration(node):
    """Nothing but a docstring, `pass`, `raise` or a constant to return: it says that there is nothing to do."""
    return all(
        isinstance(s, (ast.Pass, ast.Raise)) or isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)
        for s in node.body
    )


def main():
    complaints, needed = [], set()
    for path in sorted((ROOT / "cnn").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for line, function, argument in unread(ast.parse(path.read_text())):
            fits = [
                (place, argument)
                for place, arguments in UNREAD.items()
                if name.startswith(place[0]) and place[1] in (function, "*") and argument in arguments
            ]
            needed.update(fits)
            if not fits:
                complaints.append(f"{name}:{line}: {function}() never reads its argument '{argument}'")
    for place, arguments in UNREAD.items():
        complaints += [
            f"tests/unread_arguments.py: {place} {argument}: no such argument is left unread"
            for argument in arguments
            if (place, argument) not in needed
        ]
    print("\n".join(complaints) or "every argument is read")
    return bool(complaints)


if __name__ == "__main__":
    sys.exit(main())
