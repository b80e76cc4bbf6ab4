"""What the sources promise: which way they depend on each other, and how long they are."""

import ast
import itertools
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def module_name(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "cnn").rglob("*.py"))}


def imported(name, path):
    """The modules of cnn that a file imports, anywhere in it."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module] if node.module else above) if node.level else node.module
            for alias in node.names:
                found = f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base
                if found in MODULES:
                    yield found


def circle(graph):
    """The modules of one circle, or []."""
    state, path = {}, []

    def visit(name):
        state[name] = "open"
        path.append(name)
        for other in graph[name]:
            if state.get(other) == "open":
                return path[path.index(other) :]
            if other not in state and (found := visit(other)):
                return found
        state[name] = "closed"
        path.pop()
        return []

    return next((found for name in graph if name not in state and (found := visit(name))), [])


def test_no_module_imports_one_that_imports_it():
    # `from cnn import ...` of what is no module asks the package itself, which is there by then.
    graph = {name: {m for m in imported(name, path) if m not in (name, "cnn")} for name, path in MODULES.items()}
    assert len(graph) > 150 and sum(map(len, graph.values())) > 600
    assert circle(graph) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]


def test_no_file_is_longer_than_an_idea():
    files = itertools.chain((ROOT / "csrc").rglob("*.[ch]"), (ROOT / "cnn").rglob("*.py"), ROOT.glob("*.py"))
    lines = {p.relative_to(ROOT).as_posix(): len(p.read_text().splitlines()) for p in files}
    assert len(lines) > 300
    assert {p: n for p, n in lines.items() if n > 600} == {}
    scripts_and_training = {p: n for p, n in lines.items() if "/" not in p or p.startswith("cnn/training/")}
    assert {p: n for p, n in scripts_and_training.items() if n > 300} == {}
