"""Writes tests/torch_signatures.txt: the keywords that torch takes, for every function, method and class that is here.

    python tests/learn_signatures.py

A line is `name: keyword keyword ...`. torch's functions in Python tell them by their signature, those in C++ by the
stubs that come with torch, a few by their documentation. What its C++ parser takes, it also takes under NumPy's names.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import signature_walk

TABLE = Path(__file__).with_name("torch_signatures.txt")
# torch/csrc/utils/python_arg_parser.cpp, numpy_compatibility_arg_names
NUMPY_NAMES = {"dim": ["axis"], "keepdim": ["keepdims"], "input": ["x", "a", "x1"], "other": ["x2"]}


def stubs(path):
    """{"f" or "Class.f": its parameters, over all overloads}"""
    found = {}

    def walk(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef):
                walk(node.body, node.name + ".")
            elif isinstance(node, ast.FunctionDef):
                arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                names = found.setdefault(prefix + node.name, [])
                names += [a.arg for a in arguments if a.arg not in (*names, "self", "cls")]

    walk(ast.parse(path.read_text()).body, "")
    return found


def from_documentation(f):
    """The keywords in `linalg.norm(A, ord=None, *, out=None) -> Tensor`, the first line of f's documentation."""
    first = re.match(r"\s*[\w.]+\((.*?)\)\s*->", f.__doc__ or "", re.DOTALL)
    return None if first is None else re.findall(r"(?:^|,)\s*(\w+)", first.group(1))


def from_python(f):
    target = f.__init__ if isinstance(f, type) else f
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return named[1:] if isinstance(f, type) or named[:1] == ["self"] else named


def main():
    torch = importlib.import_module("torch")
    folder = Path(torch.__file__).parent / "_C"
    functions, core = stubs(folder / "_VariableFunctions.pyi"), stubs(folder / "__init__.pyi")
    layers = stubs(folder / "_nn.pyi")
    lines = []
    for name, _ in signature_walk.surface():
        theirs = signature_walk.of_torch(name)
        if theirs is None:
            continue
        last = name.rpartition(".")[2]
        learned = from_python(theirs) if inspect.isfunction(theirs) or isinstance(theirs, type) else None
        if learned is None:
            if name.startswith("Tensor."):
                sources = core.get("TensorBase." + last), core.get("_TensorBase." + last)
            else:
                sources = functions.get(last), layers.get(last), core.get(last), from_documentation(theirs)
            learned = next((s for s in sources if s is not None), None)
            if learned is None:
                print("nothing known about", name)
                continue
            learned = learned + [other for n in learned for other in NUMPY_NAMES.get(n, ()) if other not in learned]
        lines.append(f"{name}: {' '.join(learned)}".rstrip())
    TABLE.write_text("\n".join(lines) + "\n")
    print(len(lines), "names,", sum(len(line.split()) - 1 for line in lines), "keywords")


if __name__ == "__main__":
    main()
