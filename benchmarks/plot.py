"""The figures of train_step.py, inference.py and layers.py as one table and one picture.

    python benchmarks/plot.py build/bench --picture docs/speed.svg

A ratio is the peer's time over cnn's: above 1, cnn is faster. The picture shows those of the medians; the table has
those of the best times beside them, which other programs on the machine disturb less. The picture is written as text,
with two sets of colours, of which a browser takes the one for a light or a dark page.
"""

import argparse
import html
import json
import math
from pathlib import Path

PEERS = {"torch channels_last": "PyTorch, channels_last", "onnxruntime": "ONNX Runtime"}  # in the picture
GROUPS = {
    "train_step": "Training step",
    "inference": "Inference",
    "layers": "Layers, forward and backward, batch 128",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the JSON files that --json of the benchmarks wrote")
    parser.add_argument("--picture", type=Path, help="the SVG file to write")
    args = parser.parse_args()
    groups = {}
    for name, title in GROUPS.items():
        path = args.folder / f"{name}.json"
        if path.exists():
            figures = json.loads(path.read_text())
            groups[title] = whole_layers(figures) if name == "layers" else figures
        else:
            print(f"{path}: not there, left out")
    print_table(groups)
    if args.picture and any(peer in PEERS for rows in groups.values() for results in rows.values() for peer in results):
        args.picture.write_text(picture(groups))
        print(f"\n{args.picture}: written")


def whole_layers(figures):
    """Forward and both backward passes of a layer as one: the sums of their times."""
    layers = {}
    for name, results in figures.items():
        total = layers.setdefault(name.rpartition(", ")[0], {})
        for side, r in results.items():
            if side != "peak" and isinstance(r, dict):
                times = total.setdefault(side, {"median": 0.0, "best": 0.0})
                for key in times:
                    times[key] += r[key]
    return layers


def ratios(results, key="median"):
    """{peer: its time over cnn's}"""
    return {peer: r[key] / results["cnn"][key] for peer, r in results.items() if peer not in ("cnn", "peak")}


def print_table(groups):
    peers = list(
        dict.fromkeys(peer for rows in groups.values() for results in rows.values() for peer in ratios(results))
    )
    print("\nthe peer's time over cnn's: of the medians, and of the best times")
    for title, rows in groups.items():
        print(f"\n{title:42}{'cnn, ms':>9}" + "".join(f"{peer:>23}" for peer in peers))
        for name, results in rows.items():
            medians, bests = ratios(results), ratios(results, "best")
            cells = (f"{medians[peer]:15.2f}{bests[peer]:8.2f}" if peer in medians else " " * 23 for peer in peers)
            print(f"  {name:40}{results['cnn']['median']:9.2f}" + "".join(cells))
        means = ((mean(rows, peer, "median"), mean(rows, peer, "best")) for peer in peers)
        print(f"  {'geometric mean':49}" + "".join(f"{m:15.2f}{b:8.2f}" if m else " " * 23 for m, b in means))


def mean(rows, peer, key):
    logs = [math.log(ratios(results, key)[peer]) for results in rows.values() if peer in results]
    return math.exp(sum(logs) / len(logs)) if logs else None


# ---- the picture ----

LEFT, SCALE, RIGHT, LINE = 230, 440, 70, 16  # widths of names, bars and numbers; height of a bar and its gap
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #424a53 }
.title { font-weight: 600; fill: #1f2328 }
.bar0 { fill: #2f81d7 } .bar1 { fill: #d9822b }
.grid { stroke: #8c959f; stroke-opacity: .35 } .one { stroke: #cf222e; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #b1bac4 } .title { fill: #f0f6fc } .one { stroke: #ff7b72 }
}
"""


def shown_name(name):
    return html.escape(name.replace("->", "\N{RIGHTWARDS ARROW}"))


def bar(k, end, top, torn):
    """One bar from LEFT to `end`; a torn one has a slanted gap, as it should be longer."""
    low = top + LINE - 4
    if not torn:
        return f'<rect class="bar{k}" x="{LEFT}" y="{top}" width="{end - LEFT:.1f}" height="{LINE - 4}"/>'
    body = f"M{LEFT} {top}H{end - 18:.1f}L{end - 24:.1f} {low}H{LEFT}Z"
    tip = f"M{end - 13:.1f} {top}H{end:.1f}V{low}H{end - 19:.1f}Z"
    return f'<path class="bar{k}" d="{body}{tip}"/>'


def picture(groups):
    shown = [ratio for rows in groups.values() for r in rows.values() for p, ratio in ratios(r).items() if p in PEERS]
    limit = min(
        max(math.ceil(max(shown)), 2), 6
    )  # a longer bar is torn, and ends at the edge; its number says the rest
    step = 0.5 if limit <= 3 else 1

    def x(ratio):
        return LEFT + SCALE * min(ratio, limit) / limit

    body, y = [], 20
    for k, label in enumerate(PEERS.values()):
        body.append(f'<rect class="bar{k}" x="{LEFT + 210 * k}" y="{y - 10}" width="12" height="11"/>')
        body.append(f'<text x="{LEFT + 210 * k + 18}" y="{y}">{label}</text>')
    body.append(f'<text class="title" x="8" y="{y}">Time, where that of cnn is 1</text>')
    y += 14
    top = y
    for title, rows in groups.items():
        if not any(peer in PEERS for results in rows.values() for peer in results):
            continue
        y += 22
        body.append(f'<text class="title" x="8" y="{y - 6}">{title}</text>')
        for name, results in rows.items():
            bars = [(k, ratios(results)[peer]) for k, peer in enumerate(PEERS) if peer in results]
            height = LINE * len(bars)
            if bars:
                body.append(
                    f'<text x="{LEFT - 8}" y="{y + height / 2 + 4:g}" text-anchor="end">{shown_name(name)}</text>'
                )
            for k, ratio in bars:
                body.append(bar(k, x(ratio), y + 2, torn=ratio > limit))
                number_at = x(1 if 0.8 < ratio < 1 else ratio) + 5  # not on the line
                body.append(f'<text x="{number_at:.1f}" y="{y + 12}">{ratio:.2f}</text>')
                y += LINE
    if max(shown) > limit:
        body.append(f'<text x="8" y="{y + 18}">torn: longer than shown</text>')
    grid = []
    for i in range(round(limit / step) + 1):
        ratio = i * step
        kind = "one" if ratio == 1 else "grid"
        grid.append(f'<line class="{kind}" x1="{x(ratio):.1f}" x2="{x(ratio):.1f}" y1="{top}" y2="{y + 4}"/>')
        grid.append(f'<text x="{x(ratio):.1f}" y="{y + 18}" text-anchor="middle">{ratio:g}</text>')
    size = f'width="{LEFT + SCALE + RIGHT}" height="{y + 26}"'
    # The line at 1 is drawn over the bars, the other ones under them.
    lines = [line for line in grid if 'class="one"' not in line] + body + [line for line in grid if "one" in line]
    style = f"<style>{STYLE}</style>"
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', style, *lines, "</svg>", ""])


if __name__ == "__main__":
    main()
