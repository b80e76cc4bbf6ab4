"""`python -m cnn script.py [args]`: run a PyTorch script, unchanged, on cnn."""

import builtins
import importlib.machinery
import importlib.util
import os
import sys
import types

SCRIPT = "CNN_SCRIPT"  # the variable of the environment that names the script to processes that it starts

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
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    _keep_cnn_on_the_path()
    sys.argv = arguments
    prepare(script)
    module = types.ModuleType("__main__")
    module.__file__ = script
    module.__builtins__ = builtins
    # A process that multiprocessing spawns runs the module of this name as its main one.
    module.__spec__ = importlib.machinery.ModuleSpec("cnn.as_main", None)
    os.environ[SCRIPT] = os.path.abspath(script)
    sys.modules["__main__"] = module
    exec(code_of(script), module.__dict__)
    return 0


def prepare(script):
    """Torch's names are cnn's, and `cnn` itself is what the script means by it."""
    import cnn.as_torch  # noqa: F401  (registers the names)

    _let_the_user_have_a_cnn(os.path.dirname(os.path.abspath(script)))


def code_of(script):
    """The compiled script."""
    with open(script, "rb") as file:
        return compile(file.read(), script, "exec")


def _keep_cnn_on_the_path():
    """`python -m cnn` may have found cnn in the current folder alone, and other processes get this path."""
    if not any(finder.find_spec("cnn", None) for finder in sys.meta_path if hasattr(finder, "find_spec")):
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


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
