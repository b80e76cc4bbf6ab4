"""benchmarks/plot.py: the picture of the README."""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import plot  # noqa: E402

ROOT = Path(__file__).parents[1]


def test_a_bar_that_is_cut_is_torn_and_the_picture_says_so():
    def row(times):
        return {"cnn": {"median": 1.0, "best": 1.0}, "torch channels_last": {"median": times, "best": times}}

    torn = plot.picture({"steps": {"long": row(7.0), "short": row(2.0)}})
    assert torn.count('<path class="bar0"') == torn.count('height="12"/>') == 1
    assert "torn: longer than shown" in torn and ">7.00<" in torn
    whole = plot.picture({"steps": {"short": row(2.0)}})
    assert "<path" not in whole and "torn" not in whole


def test_the_picture_in_the_documentation_is_drawn_so():
    picture = (ROOT / "docs" / "speed.svg").read_text()
    numbers = [float(n) for n in re.findall(r">(\d+\.\d\d)</text>", picture)]
    assert picture.count("<path") == sum(n > 6 for n in numbers) > 0 and "torn: longer than shown" in picture
