"""torch's own samples of every operator, module and optimiser that exists here: see opinfo.py, which also has a command
line to look at single operators."""

from collections import Counter

import pytest
from harness import COUNTS, torch

if torch is None:
    pytest.skip("PyTorch is not installed: NONE of its samples are run here", allow_module_level=True)

import opinfo
import opinfo_modules

import cnn


@pytest.fixture(scope="module", autouse=True)
def threads():
    before = cnn.get_num_threads(), torch.get_num_threads()
    yield
    cnn.set_num_threads(before[0])
    torch.set_num_threads(before[1])


def _check(runs, capsys):
    counts = Counter(r.result for r in runs)
    COUNTS["opinfo"] += len(runs)
    COUNTS["opinfo agree"] += counts["agree"]
    COUNTS["opinfo refused"] += counts["refused"]
    with capsys.disabled():
        print("\n" + opinfo.report(runs).split("\n")[0])
    over = [c for c in opinfo.FAILURES if counts[c]]
    assert not over, opinfo.report(runs, over)


def test_operators(capsys):
    ops = [op for op in opinfo.database() if opinfo.exists(op)]
    assert len(ops) > 330
    _check(opinfo.run_all(ops), capsys)


def test_more_samples_of_what_once_failed(capsys):
    names = """arange as_strided clamp cov cumprod einsum lerp linalg.norm linalg.pinv linspace logspace
        nn.functional.cosine_similarity prod quantile sign take_along_dim tensordot""".split()
    ops = [op for op in opinfo.database() if op.name in names]
    _check(opinfo.run_all(ops, samples=40, reference=True, errors=False), capsys)


def test_modules(capsys):
    opinfo.database()
    _check(opinfo_modules.run_modules(), capsys)


def test_optimizers(capsys):
    opinfo.database()
    _check(opinfo_modules.run_optimizers(), capsys)
