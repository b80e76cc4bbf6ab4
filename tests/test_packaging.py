"""The source distribution holds all that the extension is built from."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_source_distribution_can_be_built_from(tmp_path):
    # In a copy by links: setuptools writes its egg-info beside setup.py.
    for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "csrc", "cnn"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", str(tmp_path / "dist")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (archive,) = (tmp_path / "dist").iterdir()
    with tarfile.open(archive) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    needed = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("csrc/**/*.[ch]")}
    needed |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("cnn/**/*.py")}
    assert len(needed) > 300
    assert needed | {"setup.py", "pyproject.toml", "LICENSE", "README.md"} <= inside, sorted(needed - inside)[:5]
    assert not [name for name in inside if name.endswith((".so", ".o", ".pyc"))]


def test_a_folder_of_the_same_name_is_not_taken_for_the_package(tmp_path):
    """Beside a clone, whose folder is called cnn and is no package."""
    (tmp_path / "cnn" / "cnn").mkdir(parents=True)
    (tmp_path / "cnn" / "cnn" / "__init__.py").write_text("")
    code = "import cnn; print(cnn.zeros(1).shape); from cnn import nn"

    def said(folder):
        return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)

    if said("/").returncode:
        pytest.skip("cnn is not installed here: NOTHING is checked")
    assert said(tmp_path).stdout == "torch.Size([1])\n", said(tmp_path).stderr
