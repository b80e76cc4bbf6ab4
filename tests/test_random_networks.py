"""Random whole networks beside PyTorch (see random_networks.py) and under guard bytes; alone under the sanitizers.

A failure names the network's seed: `python tests/random_networks.py --first SEED --count 1` runs it by itself.
"""

import os
import pathlib
import subprocess
import sys

import pytest
import random_networks
from harness import COUNTS, SANITIZED

TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more
PARTS = 8
EACH = int(50 * TIMES)


@pytest.mark.parametrize("part", range(PARTS))
def test_networks(part):
    decided = 0
    for seed in range(part * EACH, (part + 1) * EACH):
        if SANITIZED:
            decided += random_networks.run_alone(seed) == "ran"
        else:
            decided += random_networks.check(seed) in ("equal", "exact")
    COUNTS["random networks"] += decided
    assert decided >= 0.9 * EACH, f"of {EACH} networks only {decided} could be decided"


def test_nothing_is_written_around_a_result():
    script = pathlib.Path(random_networks.__file__)
    result = subprocess.run(
        [sys.executable, *(["-P"] if SANITIZED else []), str(script), "--alone", "--count", str(2 * EACH)],
        env={**os.environ, "CNN_GUARD": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stdout}{result.stderr}"
    assert result.stdout == f"{2 * EACH} ran\n"


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_wrong_gradient_is_seen(monkeypatch, kind):
    """The comparison itself: one value of one gradient off by a hundredth of the largest does not pass."""
    networks = (n for n in map(random_networks.describe, range(1000)) if not n.integers and n.kind.__name__ == kind)
    network = next(n for n in networks if random_networks.checked(n, 0) == "equal")
    right = random_networks.run

    def wrong(*arguments):
        found = right(*arguments)
        x = found["gradient of x"]
        x.flat[0] += abs(x).max() / 100
        return found

    monkeypatch.setattr(random_networks, "run", wrong)
    with pytest.raises(random_networks.Different, match=f"gradient(.|\n)*network {network.seed}"):
        random_networks.check(network.seed)
