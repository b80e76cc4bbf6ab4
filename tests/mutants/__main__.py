"""Makes random one-line mutants of the kernels, the engine, the binding, autograd and the optimisers, and runs the
tests that cover the changed line until one fails.

    make mutants ARGS="--count 300 --seed 1"
    make mutants ARGS="--again survivors.txt --tests tests/test_linear.py"    what a new test does to the survivors

Prints the share that the tests killed, and every survivor. A mutant that does not compile, or compiles to the same
machine code, does not count. See docs/testing.md.
"""

import argparse
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from change import candidates
from covering import coverage
from tree import ROOT, Tree, fingerprint

PLACES = ("csrc/kernels", "csrc/engine", "csrc/simd", "csrc/binding", "cnn/autograd", "cnn/optim")
FLAGS = "-O1 -Wno-error"
FIRST = 3  # so many test files are tried in a process of their own, before all the others


def all_mutants():
    """One list per line that can be changed."""
    by_line = {}
    for place in PLACES:
        for path in sorted([*(ROOT / place).rglob("*.[ch]"), *(ROOT / place).rglob("*.py")]):
            name = path.relative_to(ROOT).as_posix()
            for mutant in candidates(name, path.read_text()):
                by_line.setdefault((name, mutant.line), []).append(mutant)
    return by_line


def drawn(by_line, seed):
    """Mutants without end: a random line, then a random change of it; none twice."""
    generator, lines, seen = random.Random(seed), sorted(by_line), set()
    while len(seen) < sum(map(len, by_line.values())):
        mutant = generator.choice(by_line[generator.choice(lines)])
        if mutant not in seen:
            seen.add(mutant)
            yield mutant


def tests_for(mutant, known):
    """The test files that run the line, or the nearest counted line before it: those of its own name first, then those
    that run the least beside it, for these look the most closely."""
    lines = {int(line): tests for line, tests in known["lines"].get(mutant.path, {}).items()}
    at = max((line for line in lines if line <= mutant.line), default=None)
    tests = lines.get(mutant.line) or (lines[at] if at is not None and mutant.line - at < 8 else [])
    stem = Path(mutant.path).stem
    order = lambda t: (stem not in known["files"][t], known["seconds"][t])  # noqa: E731
    return [known["files"][t] for t in sorted(tests, key=order)]


def printed(path, by_line):
    """The mutants that a file lists, as they are printed; those whose line is another one by now are left out."""
    known = {str(m): m for mutants in by_line.values() for m in mutants}
    lines = Path(path).read_text().splitlines()
    texts = ("\n".join(lines[i : i + 3]) for i in range(len(lines)))
    return [known[text] for text in texts if text in known]


class Bench:
    """One tree in which mutants are tried one after the other."""

    def __init__(self, number):
        self.tree = Tree(f"bench-{number}", FLAGS)
        if not self.tree.build():
            raise SystemExit("the tree does not build")
        self.sound = self.tree.extension().read_bytes()

    def attempt(self, mutant, tests, budget):
        """ "killed by ...", "survived", or None for a mutant that does not count."""
        path = self.tree.root / mutant.path
        text, times = path.read_text(), os.stat(path)
        lines = text.split("\n")
        lines[mutant.line - 1] = mutant.after
        path.write_text("\n".join(lines))
        try:
            if mutant.path.endswith(".py"):
                try:
                    compile(path.read_text(), mutant.path, "exec")
                except SyntaxError:
                    return None
                return self.verdict(tests, budget)
            return self.compiled(mutant, path, times, tests, budget)
        finally:
            path.write_text(text)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    def compiled(self, mutant, path, times, tests, budget):
        objects, sources = self.tree.compiled(mutant.path)
        before = fingerprint(objects)
        aside = [(o, o.with_suffix(".sound")) for o in objects]
        kept = [(self.tree.root / s, os.stat(self.tree.root / s)) for s in sources]
        for o, sound in aside:
            o.rename(sound)
        if path.suffix == ".h":  # or everything would be compiled again
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        try:
            if not self.tree.build() or fingerprint([o for o, _ in aside]) == before:
                return None
            return self.verdict(tests, budget)
        finally:
            for o, sound in aside:
                sound.rename(o)
            for source, stat in kept:
                os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            self.tree.extension().write_bytes(self.sound)

    def verdict(self, tests, budget):
        end = time.monotonic() + budget
        for part in (tests[:FIRST], tests[FIRST:]):
            left = end - time.monotonic()
            if part and left > 0 and self.tree.pytest(part, left) not in (0, None):
                return "killed by " + part[0] + (" or others" if len(part) > 1 else "")
        return "survived"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="mutants (50)")
    parser.add_argument(
        "--seed", type=int, default=1, help="the same seed draws the same mutants from the same sources"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="mutants tried at a time (the cores)")
    parser.add_argument("--budget", type=float, default=240, help="seconds of tests a mutant at most (240)")
    parser.add_argument("--again", metavar="FILE", help="the mutants that this file lists, as --list prints them")
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="run these test files, whatever they cover")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    options = parser.parse_args()
    source = drawn(all_mutants(), options.seed)
    if options.again:
        chosen = printed(options.again, all_mutants())
        source, options.count = iter(chosen), len(chosen)
    if options.list:
        for _ in range(options.count):
            print(next(source))
        return
    known = None if options.tests else coverage(options.workers, lambda line: print(line, flush=True))
    lock, verdicts, begin = threading.Lock(), {}, time.monotonic()

    def work(number):
        bench = Bench(number)
        while True:
            with lock:
                if len(verdicts) >= options.count:
                    return
                mutant = next(source, None)
            if mutant is None:
                return
            tests = options.tests or tests_for(mutant, known)
            verdict = bench.attempt(mutant, tests, options.budget)
            with lock:
                if verdict is None or len(verdicts) >= options.count:
                    continue
                verdicts[mutant] = verdict if tests else "survived, for no test runs the line"
                place = f"{len(verdicts)}/{options.count}, {(time.monotonic() - begin) / 60:.0f} min"
                print(f"[{place}] {mutant.path}:{mutant.line} ({mutant.rule}): {verdicts[mutant]}", flush=True)

    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(work, range(options.workers)))
    survivors = sorted(m for m, verdict in verdicts.items() if verdict.startswith("survived"))
    killed = len(verdicts) - len(survivors)
    print(f"\n{killed} of {len(verdicts)} mutants killed ({100 * killed / len(verdicts):.1f} %), seed {options.seed}")
    if survivors:
        print("survivors:", *survivors, sep="\n")


if __name__ == "__main__":
    main()
