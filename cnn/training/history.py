"""What a run has measured: batches, validations, and a row for each epoch, also as history.csv and history.json."""

import csv
import json
import os

import numpy as np

__all__ = ["History"]


class History:
    """Loss and accuracy over a run.

    Attributes:
        info: lists for a plot: trn_loss, trn_acc, trn_itr of some batches; val_loss, val_acc, val_itr of validations.
        rows: a dict for each epoch.
        sums: over the epoch that is going on.

    Example:
        history = History()
        history.add_batch(itr=1, loss=0.7, right=12, size=20)
        history.end_epoch(history.row(epoch=1, itr=1, lr=0.1, seconds=0.5))
        history.write("runs/mine")
    """

    def __init__(self):
        self.sums = {"loss": 0.0, "right": 0, "seen": 0}
        self.info = {key: [] for key in ("trn_loss", "val_loss", "trn_acc", "val_acc", "trn_itr", "val_itr")}
        self.rows = []

    def add_batch(self, itr, loss, right, size, note=True):
        """A training batch: its mean loss, and how many of its samples are right. note: keep it in `info` as well."""
        for key, value in (("loss", loss * size), ("right", right), ("seen", size)):
            self.sums[key] += value
        if note:
            self._note("trn", loss, right / size, itr)

    def add_validation(self, itr, loss, accuracy):
        """Means over the validation set."""
        self._note("val", loss, accuracy, itr)

    def _note(self, which, *values):
        for key, value in zip(("loss", "acc", "itr"), values, strict=True):
            self.info[f"{which}_{key}"].append(value)

    def row(self, epoch, itr, lr, seconds):
        """The epoch that is going on, as a dict. Its validation is the latest one; val_itr says when that was."""
        latest = {key: values[-1] if values else None for key, values in self.info.items()}
        return {
            "epoch": epoch,
            "itr": itr,
            "lr": lr,
            "trn_loss": self.sums["loss"] / self.sums["seen"],
            "trn_acc": self.sums["right"] / self.sums["seen"],
            "val_loss": latest["val_loss"],
            "val_acc": latest["val_acc"],
            "val_itr": latest["val_itr"],
            "minutes": seconds / 60,
        }

    def end_epoch(self, row):
        """Keep the row; what is added from now on is the next epoch's."""
        self.rows.append(row)
        self.sums = dict.fromkeys(self.sums, 0)

    def arrays(self):
        """`info` as NumPy arrays."""
        return {key: np.array(values) for key, values in self.info.items()}

    def write(self, folder, options=None):
        """Write history.csv, the rows, and history.json, rows and the options of the run, to a folder."""
        with open(os.path.join(folder, "history.csv"), "w", newline="") as file:
            table = csv.DictWriter(file, self.rows[0] if self.rows else ["epoch"])
            table.writeheader()
            table.writerows(self.rows)
        with open(os.path.join(folder, "history.json"), "w") as file:
            json.dump({"options": options or {}, "epochs": self.rows}, file, indent=1)
