"""What a run shows: one bar in a terminal or a notebook, lines in a log file, and how long it will take."""

import sys
import time

__all__ = ["Progress", "counted", "minutes"]

# 80 columns have room for it, with loss and accuracy behind it and a name of up to NAME_WIDTH letters in front.
BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining}{postfix}"
NAME_WIDTH = 14


class Progress:
    """The bar of a whole run, and the lines above it, each with the run's name in front.

    Args:
        name: what stands on every line.
        total: iterations of the whole run.
        done: iterations that a resumed run has had.
        show_every: show loss and accuracy every so many iterations.

    Example:
        progress = Progress("digits", total=100)
        for _ in range(100):
            progress.advance(loss=0.3, accuracy=0.9, best=None, epochs_left=1)
        progress.close()
    """

    def __init__(self, name, total, done=0, show_every=50):
        self.name, self.total, self.itr, self.show_every = name, total, done, show_every
        self.first, self.started = done, time.monotonic()
        self.bar = _bar(total, done, name)

    def seconds(self):
        """Since it began."""
        return time.monotonic() - self.started

    def advance(self, loss, accuracy, best, epochs_left):
        """One iteration more. best: the best validation accuracy so far, or None."""
        self.itr += 1
        done = self.itr - self.first
        left = self.seconds() / done * (self.total - self.itr)
        if done == min(20, self.total - self.first - 1):
            self.say(f"{counted(epochs_left, 'epoch')} to go, about {minutes(left)}")
        self.bar.update()
        if self.itr % self.show_every:
            return
        if self.bar.disable:
            best = "" if best is None else f", best validation {best:.1%}"
            scores = f"loss {loss:.3f}, accuracy {accuracy:.1%}{best}"
            self.say(f"iteration {self.itr}/{self.total}: {scores}, {minutes(left)} left")
        else:  # there may be 80 columns
            best = "" if best is None else f" best {best:.1%}"
            self.bar.set_postfix_str(f"loss {loss:.3f} acc {accuracy:.1%}{best}")

    def say(self, words):
        """Print a line, above the bar where there is one."""
        self.bar.write(f"{self.name} | {words}", file=sys.stdout)
        sys.stdout.flush()

    def close(self):
        """Leave the bar as it stands."""
        self.bar.close()


def _bar(total, done, name):
    """tqdm's bar; nothing moves in a log file."""
    notebook = "ipykernel" in sys.modules
    try:
        if notebook:
            import ipywidgets  # noqa: F401  (without it tqdm's own notebook bar is an error message)
        from tqdm.auto import tqdm
    except ImportError:
        from tqdm import tqdm
    return tqdm(
        total=total,
        initial=done,
        desc=name if len(name) <= NAME_WIDTH else name[: NAME_WIDTH - 1] + "…",
        bar_format=BAR,
        dynamic_ncols=True,
        disable=not (notebook or sys.stderr.isatty()),
    )


def minutes(seconds):
    """Seconds as a reader wants them: '3 min', '45 s', '1.2 s'."""
    if seconds >= 10:
        return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f"{max(seconds, 0.1):.1f} s"


def counted(number, noun):
    """1 epoch, 2 epochs"""
    return f"{number} {noun}{'' if number == 1 else 's'}"
