"""Random programs of views, writes, hooks, Modules and optimisers on PyTorch and here, step by step: see
random_programs.py, which also runs many more of them."""

import os
import re
from pathlib import Path

import harness
import pytest

torch = harness.torch
if torch is not None:
    import random_programs

TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more
PROGRAMS, EACH = int(2000 * TIMES), 50
DIFFERENCES = Path(__file__).parent.parent / "docs" / "differences.md"


@harness.needs_torch
@pytest.mark.parametrize("start", range(0, PROGRAMS, EACH))
def test_programs(start):
    for number in range(start, min(start + EACH, PROGRAMS)):
        steps, difference = random_programs.run_number(number, "ci")
        harness.COUNTS["programs"] += 1
        harness.COUNTS["program steps"] += steps
        if difference is not None and random_programs.expected(difference) is None:
            pytest.fail(
                f"program {number}, shrunk:\n{random_programs.script(random_programs.shrink(difference))}", False
            )


@harness.needs_torch
def test_the_same_seed_makes_the_same_program():
    for number in range(20):
        programs = []
        for _ in range(2):
            names = random_programs.fresh_names(torch)
            programs.append([])
            for step in random_programs.generate(number, "ci", names):
                random_programs.execute(step, names)
                programs[-1].append(step)
        torch.set_grad_enabled(True)
        assert programs[0] == programs[1]


@harness.needs_torch
def test_a_difference_is_found_and_shrunk():
    """With an addition that is wrong for three columns, of a program of eleven steps the three that matter stay."""
    steps = [f"t{i} = torch.ones(2, {i})" for i in range(1, 7)]
    steps += ["t7 = t3 + 1", "t1.add_(1)", "t8 = t7 * 2", "t9 = t8.t()", "t5.mul_(3)"]
    right = random_programs.compare_values

    def wrong(what, theirs, ours):
        right(what, theirs, ours + 1 if what == "t8" else ours)

    random_programs.compare_values = wrong
    try:
        with pytest.raises(random_programs.Difference) as found:
            random_programs.run(steps)
        small = random_programs.shrink(found.value)
    finally:
        random_programs.compare_values = right
    assert small.steps == ["t3 = torch.ones(2, 3)", "t7 = t3 + 1", "t8 = t7 * 2"]
    text = random_programs.script(small)
    assert "import cnn as torch" in text and "print(t8)" in text and "6 of 6 values differ" in text
    compile(text, "script", "exec")


@harness.needs_torch
def test_expected_differences_are_documented():
    rows = re.findall(r"^\| ([^|]+?) \|", DIFFERENCES.read_text().replace("`", ""), re.MULTILINE)
    for name in [*random_programs.EXPECTED, "saved for backward"]:
        assert name in rows, f"docs/differences.md has no row '{name}'"
