"""Copies of the checkout to build and break, each with its own objects."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "mutants"
PARTS = ("csrc", "cnn", "tests", "docs", "notebooks", "benchmarks")
ADDRESS_SPACE = 12 << 30  # a mutant may ask for any amount of memory
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)


class Tree:
    """A copy of the checkout, built with `flags`."""

    def __init__(self, name, flags):
        self.root, self.flags = BUILD / name, flags
        self.root.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            ignore = shutil.ignore_patterns("__pycache__", "*.so")
            for old in [p for p in (self.root / part).rglob("*") if p.is_file() and p.suffix not in (".so", ".pyc")]:
                if not (ROOT / old.relative_to(self.root)).exists():
                    old.unlink()
            shutil.copytree(ROOT / part, self.root / part, ignore=ignore, dirs_exist_ok=True)
        for file in [*ROOT.glob("*.py"), *ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / "Makefile"]:
            shutil.copy2(file, self.root)
        shared = self.root.parent / "shared"  # data that stands beside a checkout stands beside its copies
        if (ROOT.parent / "shared").is_dir() and not shared.exists():
            shared.symlink_to(ROOT.parent / "shared")

    def environment(self, **more):
        return {**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", **more}

    def build(self):
        """Compile what changed; whether it compiled."""
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        built = subprocess.run(
            command, cwd=self.root, capture_output=True, env=self.environment(CNN_CFLAGS=self.flags), text=True
        )
        return built.returncode == 0

    def extension(self):
        return next((self.root / "cnn").glob("_cnn*.so"))

    def compiled(self, path):
        """The objects that the file `path` goes into, and the sources of these."""
        sources = [path] if path.endswith(".c") else self._includers(path)
        stems = {Path(s).with_suffix(".o").as_posix() for s in sources}
        objects = [o for o in (self.root / "build").rglob("*.o") if any(o.as_posix().endswith("/" + s) for s in stems)]
        return objects, sources

    def _includers(self, header):
        users, found = {}, set()
        for source in (self.root / "csrc").rglob("*.[ch]"):
            for name in _INCLUDE.findall(source.read_text()):
                used = os.path.normpath(source.parent / name)
                users.setdefault(os.path.relpath(used, self.root), []).append(source.relative_to(self.root).as_posix())
        pending = [header]
        while pending:
            for user in users.get(pending.pop(), ()):
                if user not in found:
                    found.add(user)
                    pending.append(user)
        return sorted(u for u in found if u.endswith(".c"))

    def pytest(self, files, seconds, arguments=(), **environment):
        """The exit status of pytest over `files`; None where it took longer than `seconds`."""
        # A test that does not end is stopped by the watchdog of faulthandler: what loops in C hears no signal, and lets
        # no thread of Python run.
        quiet = ["-x", "-q", "-p", "no:cacheprovider", "--timeout=0"]
        quiet += ["-o", "faulthandler_timeout=60", "-o", "faulthandler_exit_on_timeout=true"]
        command = [sys.executable, "-P", *arguments, "-m", "pytest", *quiet, *files]
        child = subprocess.Popen(
            ["prlimit", f"--as={ADDRESS_SPACE}", *command] if shutil.which("prlimit") else command,
            cwd=self.root, env=self.environment(**environment), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)  # it may have left children behind
            except ProcessLookupError:
                pass
            child.wait()


def fingerprint(objects):
    """What a set of objects holds: a mutant with the same is no mutant."""
    return [hashlib.sha256(o.read_bytes()).hexdigest() for o in sorted(objects)]
