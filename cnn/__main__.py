"""`python -m cnn script.py [args]`: run a PyTorch script, unchanged, on cnn."""

import builtins
import importlib.util
import os
import sys
import types

USAGE = """usage: python -m cnn script.py [arguments of the script]

Runs a PyTorch script, unchanged: `import torch` and `import torchvision` give cnn.
"""


def main():
    """Behave as `python script.py` does, with torch's names taken by cnn."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    script = arguments[0]
    if not os.path.isfile(script):
        print(f"cnn: can't open file '{script}': no such file", file=sys.stderr)
        return 2
    import cnn.as_torch  # noqa: F401  (registers the names)

    folder = os.path.dirname(os.path.abspath(script))
    sys.path[0] = folder
    sys.argv = arguments
    _let_the_user_have_a_cnn(folder)
    with open(script, "rb") as file:
        code = compile(file.read(), script, "exec")
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__builtins__ = builtins
    sys.modules["__main__"] = module
    exec(code, module.__dict__)
    return 0


def _let_the_user_have_a_cnn(folder):
    """A `cnn.py` beside the script is what the script's own `import cnn` means: it was written for torch, and does not
    know about us."""
    path = os.path.join(folder, "cnn.py")
    if not os.path.isfile(path):
        return
    package = os.path.dirname(os.path.abspath(__file__)) + os.sep
    original = builtins.__import__
    theirs = []

    def load():
        if not theirs:
            spec = importlib.util.spec_from_file_location("cnn", path)
            theirs.append(importlib.util.module_from_spec(spec))
            spec.loader.exec_module(theirs[0])
        return theirs[0]

    def import_(name, globals=None, locals=None, fromlist=(), level=0):
        caller = (globals or {}).get("__file__") or ""
        if name == "cnn" and level == 0 and caller.startswith(folder + os.sep) and not caller.startswith(package):
            return load()
        return original(name, globals, locals, fromlist, level)

    builtins.__import__ = import_


if __name__ == "__main__":
    sys.exit(main())
