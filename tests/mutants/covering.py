"""Which test files run each line: gcov for C, coverage.py for Python. Kept in build/mutants until a source changes."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from tree import BUILD, ROOT, Tree

FLAGS = "--coverage -O1 -Wno-error"
PYTHON = "cnn/autograd,cnn/optim"
# Tests of whole processes and of files: they run much and look at little of what is changed here.
LEFT_OUT = {
    "atomic", "cifar_files", "download", "get_data", "hostile_files", "matfile", "mistakes_files", "mutants",
    "notebook", "packaging", "plot", "safetensors", "scripts", "solutions", "submodules", "tensorboard",
    "training", "unpickle", "vision_datasets", "vision_models", "vision_transforms", "vision_types",
}  # fmt: skip


def test_files():
    files = sorted((ROOT / "tests").glob("test_*.py"))
    return [f"tests/{f.name}" for f in files if f.stem.removeprefix("test_") not in LEFT_OUT]


def coverage(workers, show=print):
    """{"lines": {path: {line: [numbers of test files]}}, "files": [names], "seconds": [one a file]}"""
    key = hashlib.sha256()
    for path in sorted(
        [*(ROOT / "csrc").rglob("*.[ch]"), *(ROOT / "cnn").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    ):
        key.update(path.read_bytes())
    kept = BUILD / f"coverage-{key.hexdigest()[:16]}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    tree = Tree("coverage", FLAGS)
    show("building with counters of lines")
    if not tree.build():
        raise SystemExit("the tree does not build with --coverage")
    names, seconds, lines = [], [], defaultdict(lambda: defaultdict(list))
    files = test_files()
    with ThreadPoolExecutor(workers) as pool:
        for name, (took, status, ran) in zip(files, pool.map(lambda name: _run(tree, name), files), strict=True):
            show(f"{name}: {took:.0f} s{f', left out: it ends with {status}' if status else ''}")
            if status == 0:
                for path, hit in ran:
                    for line in hit:
                        lines[path][line].append(len(names))
                names.append(name)
                seconds.append(round(took, 1))
    result = {"files": names, "seconds": seconds, "lines": lines}
    kept.write_text(json.dumps(result))
    return json.loads(kept.read_text())


def _run(tree, name):
    """(seconds, exit status, [(path, lines that ran)]) of one test file."""
    counters, python = (tree.root / f"{name.removeprefix('tests/')}.{what}" for what in ("counters", "coverage"))
    begin = time.perf_counter()
    arguments = ["-m", "coverage", "run", f"--data-file={python}", f"--source={PYTHON}"]
    status = tree.pytest([name], 900, arguments, GCOV_PREFIX=str(counters), CNN_TEST_CASES="0.2")
    took = time.perf_counter() - begin
    ran = [*_c_lines(tree, counters), *_python_lines(tree, python)] if status == 0 else []
    shutil.rmtree(counters, ignore_errors=True)
    python.unlink(missing_ok=True)
    return took, status, ran


def _c_lines(tree, counters):
    """(path, lines that ran) of every C file."""
    data = sorted(counters.rglob("*.gcda"))
    hit = defaultdict(set)
    for path in data:  # gcov looks for the notes beside the counters
        notes = tree.root / path.relative_to(counters / tree.root.relative_to("/")).with_suffix(".gcno")
        if notes.exists():
            shutil.copy2(notes, path.with_suffix(".gcno"))
    for at in range(0, len(data), 100):
        command = ["gcov", "--json-format", "--stdout", *map(str, data[at : at + 100])]
        printed = subprocess.run(command, cwd=tree.root, capture_output=True, text=True).stdout
        for report in filter(None, printed.split("\n")):
            for file in json.loads(report)["files"]:
                if file["file"].startswith("csrc/"):
                    hit[file["file"]].update(line["line_number"] for line in file["lines"] if line["count"])
    return hit.items()


def _python_lines(tree, python):
    if not python.exists():
        return []
    report = python.with_suffix(".json")
    command = [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={python}", "-o", str(report)]
    if subprocess.run(command, cwd=tree.root, capture_output=True).returncode:
        return []
    return [(path, file["executed_lines"]) for path, file in json.loads(report.read_text())["files"].items()]
