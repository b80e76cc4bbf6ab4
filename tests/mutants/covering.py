"""Which test files run each line: gcov for C, coverage.py for Python. Kept in build/mutants until a source changes."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict

from tree import BUILD, ROOT, Tree

FLAGS = "--coverage -O1 -Wno-error"
PYTHON = "cnn/autograd,cnn/optim"
# Tests of whole processes and of files: they run much and look at little of what is changed here.
LEFT_OUT = {
    "atomic", "cifar_files", "download", "get_data", "hostile_files", "matfile", "notebook", "safetensors", "scripts",
    "solutions", "unpickle", "vision_datasets", "vision_models", "vision_transforms", "mutants", "opinfo",
}  # fmt: skip


def test_files():
    files = sorted((ROOT / "tests").glob("test_*.py"))
    return [f"tests/{f.name}" for f in files if f.stem.removeprefix("test_") not in LEFT_OUT]


def coverage(show=print):
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
    for position, name in enumerate(files, 1):
        counters, python = tree.root / "counters", tree.root / "python.coverage"
        shutil.rmtree(counters, ignore_errors=True)
        python.unlink(missing_ok=True)
        begin = time.perf_counter()
        arguments = ["-m", "coverage", "run", f"--data-file={python}", f"--source={PYTHON}"]
        status = tree.pytest([name], 900, arguments, GCOV_PREFIX=str(counters), CNN_TEST_CASES="0.2")
        took = time.perf_counter() - begin
        show(f"[{position}/{len(files)}] {name}: {took:.0f} s{f', left out: it ends with {status}' if status else ''}")
        if status != 0:
            continue
        number = len(names)
        names.append(name)
        seconds.append(round(took, 1))
        for path, hit in [*_c_lines(tree, counters), *_python_lines(tree, python)]:
            for line in hit:
                lines[path][line].append(number)
    result = {"files": names, "seconds": seconds, "lines": lines}
    kept.write_text(json.dumps(result))
    return json.loads(kept.read_text())


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
    report = tree.root / "python.json"
    command = [sys.executable, "-m", "coverage", "json", "-q", f"--data-file={python}", "-o", str(report)]
    if subprocess.run(command, cwd=tree.root, capture_output=True).returncode:
        return []
    return [(path, file["executed_lines"]) for path, file in json.loads(report.read_text())["files"].items()]
