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


# Where the stubs are wrong, and where they have all overloads of two functions under one name.
KNOWN = {
    "Tensor.requires_grad_": ["requires_grad"],
    "Tensor.new": ["size", "data", "device"],
    "Tensor.uniform_": ["from", "to", "generator"],
    "Tensor.random_": ["from", "to", "generator"],
}


def from_schemas(torch, name):
    """linalg's keywords, from the schemas of its functions in C++."""
    names = []
    for schema in torch._C._jit_get_all_schemas():
        if schema.name == "aten::linalg_" + name and "out" not in schema.overload_name:
            found = ["input" if a.name == "self" else a.name for a in schema.arguments if not a.is_out]
            names += [n for n in found if n not in names]
    return [*names, "out"] if names else None


def main():
    torch = importlib.import_module("torch")
    folder = Path(torch.__file__).parent / "_C"
    functions, core = stubs(folder / "_VariableFunctions.pyi"), stubs(folder / "__init__.pyi")
    layers = stubs(folder / "_nn.pyi")
    lines = []
    for name, _ in signature_walk.surface():
        theirs = signature_walk.of_torch(name)
        if theirs is None or (isinstance(theirs, type) and issubclass(theirs, Exception)):
            continue
        place, _, last = name.rpartition(".")
        if place == "nn.init" and inspect.isfunction(theirs) and hasattr(torch.nn.init, last + "_"):
            theirs = getattr(torch.nn.init, last + "_")  # what the old name stands for
        if place == "nn.functional" and hasattr(torch.nn.functional, "_" + last):
            theirs = getattr(torch.nn.functional, "_" + last)  # one of two is called, by an argument
        learned = from_python(theirs) if inspect.isfunction(theirs) or isinstance(theirs, type) else None
        if place == "linalg":
            learned = from_schemas(torch, last)
        learned = KNOWN.get(name, learned)
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
        wrong = "out" if place == "Tensor" else "names" if name == "full" else None  # whatever the stubs say
        learned = [n for n in learned if n != wrong and not n.startswith("_")]
        lines.append(f"{name}: {' '.join(learned)}".rstrip())
    TABLE.write_text("\n".join(lines) + "\n")
    print(len(lines), "names,", sum(len(line.split()) - 1 for line in lines), "keywords")


if __name__ == "__main__":
    main()
