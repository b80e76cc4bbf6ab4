"""A training run: what it counts, when it validates and saves, and how it stops and goes on."""

import contextlib
import math
import os

import cnn
from cnn.errors import InputError

from .checkpoint import go_on_from, load_checkpoint, state_of
from .diagnosis import TrainingStopped, is_guessing, not_finite
from .history import History
from .interrupt import Snapshot, without_interrupt
from .progress import Progress, counted

__all__ = ["Run"]


class Run:
    """What the training of a classifier keeps beside the mathematics: progress, history, the best network, checkpoints.

    Files, in `folder`: history.csv and history.json, a row for each epoch; best.pt, the weights of the best validation
    accuracy; last.pt, all that a resumed run needs to give the same bits as one that was never stopped.

    Ctrl-C may come at any moment. `update` and `end_of_epoch` hold it back for the few milliseconds in which weights
    and records change together. A forward or backward pass that it cuts short has moved only random numbers and buffers
    (batch norm's running statistics); a snapshot has noted where they stood after the last whole step.

    Args:
        net, optimizer: the Module, and what updates it.
        loader: batches (x, t) with a length, as a DataLoader has them; x may be anything that the net takes.
        epochs: how often to go through the loader, all in all.
        scheduler: of the learning rate, if there is one; stepped by you, in `end_of_epoch`.
        validate: called without arguments, returns (mean loss, accuracy from 0 to 1); what it gives makes best.pt.
        validate_every: validate every so many iterations; 0: at the end of each epoch.
        note_every: keep loss and accuracy of every so many batches for `records`.
        show_every: show them every so many iterations.
        name: what stands on every line that is shown.
        folder: where the files go, from `take_folder`; None: no files.
        options: a dictionary of your own numbers, texts and lists, which is written into the files.
        classes: how many there are; then a run that only guesses for three epochs is given up.
        resume: the checkpoint to go on with (`load_checkpoint`), or its path.

    Attributes:
        epoch, itr: whole epochs and iterations done.
        history: a `History`.
        best_acc: the best validation accuracy so far, -1 before the first.

    Raises:
        InputError: an argument cannot be used, or `resume` is no run's checkpoint.
        TrainingStopped: in `update`, where the loss is not finite; in `end_of_epoch`, where the network only guesses.

    Example:
        with Run(net, optimizer, loader, epochs=3, scheduler=scheduler, folder="runs/mine") as run:
            for epoch in run.epochs_left():
                for x, t in run.batches():
                    optimizer.zero_grad()
                    y = net(x)
                    loss = nn.functional.cross_entropy(y, t)
                    loss.backward()
                    with run.update(loss, y, t):
                        optimizer.step()
                with run.end_of_epoch():
                    scheduler.step()
    """

    def __init__(
        self,
        net,
        optimizer,
        loader,
        epochs,
        *,
        scheduler=None,
        validate=None,
        validate_every=0,
        note_every=10,
        show_every=50,
        name="training",
        folder=None,
        options=None,
        classes=None,
        resume=None,
    ):
        for key, value, least in (
            ("epochs", epochs, 1),
            ("note_every", note_every, 1),
            ("show_every", show_every, 1),
            ("validate_every", validate_every, 0),
        ):
            if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
                raise InputError(f"Run: {key}: expected a whole number, {least} or more, got {value!r}")
        self.net, self.optimizer, self.scheduler, self.loader = net, optimizer, scheduler, loader
        self.epochs, self.validate, self.validate_every = epochs, validate, validate_every
        self.note_every, self.show_every, self.name, self.classes = note_every, show_every, name, classes
        self.folder = None if folder is None else os.fspath(folder)
        self.options = dict(options or {})
        self.per_epoch = len(loader)
        if not self.per_epoch:
            raise InputError("Run: expected batches to train with, got an empty loader")
        self.total = self.per_epoch * epochs
        self.epoch = 0  # whole epochs done
        self.batch = 0  # batches of this epoch done
        self.itr = 0  # iterations done, in all epochs
        self.seconds = 0.0
        self.epochs_at_chance = 0  # in a row
        self.history = History()
        self.best_acc, self.best, self.best_is_saved = -1.0, None, True
        self.epoch_rng = None  # the random numbers where this epoch began
        self.resumed = resume is not None
        if self.resumed:
            go_on_from(self, load_checkpoint(resume) if isinstance(resume, (str, os.PathLike)) else resume)
        self.snapshot = Snapshot(net)

    def __enter__(self):
        self.progress = Progress(self.name, self.total, self.itr, self.show_every)
        if self.resumed:
            if self.epoch < self.epochs:
                done = counted(self.itr, "iteration")
                self.progress.say(f"resumed in epoch {self.epoch + 1}, after {done} of {self.total}")
            else:
                self.progress.say(f"this run has had its {counted(self.epoch, 'epoch')}; {self.how_to_train_longer()}")
        return self

    def __exit__(self, kind, problem, trace):
        self.progress.close()
        self.seconds += self.progress.seconds()
        if kind in (KeyboardInterrupt, TrainingStopped):
            self.snapshot.restore()
            self.save()
        if kind is KeyboardInterrupt and self.folder:
            go_on = self.how_to_go_on(os.path.join(self.folder, "last.pt"))
            self.progress.say(f"stopped after {counted(self.itr, 'iteration')}; saved. {go_on}")

    # One batch, one epoch

    def epochs_left(self):
        """The numbers of the epochs to come, the first is 1. Each of them ends with `end_of_epoch`."""
        self._validate_if_due()  # a resumed run that was stopped in its validation
        while self.epoch < self.epochs:
            number = self.epoch + 1
            yield number
            if self.epoch < number:
                raise RuntimeError(f"Run: epoch {number} was not closed: `with run.end_of_epoch():` belongs behind it")

    def batches(self):
        """The batches of this epoch; a resumed run leaves out those it has had."""
        now = cnn.get_rng_state()
        resumed = self.batch > 0  # in an epoch without a whole step, the loader's own draws are still to come
        if self.epoch_rng is None:
            self.epoch_rng = now
        cnn.set_rng_state(self.epoch_rng)
        for batch, (x, t) in enumerate(self.loader):
            if batch < self.batch:
                continue
            if resumed:
                cnn.set_rng_state(now)
                resumed = False
            self.snapshot = Snapshot(self.net)
            self.x = x
            yield x, t
        if resumed:  # it was stopped behind the last batch
            cnn.set_rng_state(now)

    @contextlib.contextmanager
    def update(self, loss, y, t):
        """Around optimizer.step(): weights and records change together. Behind it the network is validated, if due.

        Args:
            loss: mean over the batch, a tensor of one number.
            y: scores (N, classes).
            t: class indices (N,).
        """
        loss, right, size = loss.item(), (y.argmax(dim=1) == t).sum().item(), len(t)
        if not math.isfinite(loss):
            found = f"the loss is {loss} at iteration {self.itr + 1}: {not_finite(self.net, self.x)}"
            raise TrainingStopped(f"{found}. {self.how_to_stay_finite()}")
        with without_interrupt():
            yield
            self.batch += 1
            self.itr += 1
            note = self.itr % self.note_every == 0 or self.itr == 1
            self.history.add_batch(self.itr, loss, right, size, note)
            self.snapshot = Snapshot(self.net)
        best = self.best_acc if self.best else None
        self.progress.advance(loss, right / size, best, epochs_left=self.epochs - self.epoch)
        self._validate_if_due()

    def _validate_if_due(self):
        """After every validate_every iterations (0: at the end of the epoch) and after the last one, but only once."""
        every = self.validate_every or self.per_epoch
        due = self.itr and (self.itr % every == 0 or self.itr == self.total)
        if not (self.validate and due) or self.itr in self.history.info["val_itr"][-1:]:
            return
        loss, accuracy = self.validate()
        with without_interrupt():
            self.history.add_validation(self.itr, loss, accuracy)
            if accuracy > self.best_acc:
                self.best_acc = accuracy
                self.best = {name: value.clone() for name, value in self.net.state_dict().items()}
                self.best_is_saved = False
            self.snapshot = Snapshot(self.net)

    @contextlib.contextmanager
    def end_of_epoch(self):
        """Around scheduler.step(): closes the epoch, writes history and checkpoint, stops a run that learns nothing."""
        seconds = self.seconds + self.progress.seconds()
        row = self.history.row(self.epoch + 1, self.itr, self._lr(), seconds)
        guessing = self.classes is not None and is_guessing(row["trn_acc"], row["trn_loss"], self.classes)
        with without_interrupt():
            yield
            self.history.end_epoch(row)
            self.epoch += 1
            self.batch, self.epoch_rng = 0, None
            self.epochs_at_chance = self.epochs_at_chance + 1 if guessing else 0
            self.snapshot = Snapshot(self.net)
        scores = f"training loss {row['trn_loss']:.3f}, accuracy {row['trn_acc']:.1%}"
        if row["val_itr"] == row["itr"]:
            scores += f"; validation loss {row['val_loss']:.3f}, accuracy {row['val_acc']:.1%}"
        self.progress.say(f"epoch {self.epoch}/{self.epochs}: {scores}")
        if self._lr() != row["lr"]:
            self.progress.say(f"learning rate {row['lr']:g} -> {self._lr():g}")
        self.save()
        if self.epochs_at_chance >= 3 and self.itr >= 30:
            found = f"after {self.epoch} epochs the network still guesses"
            scores = f"accuracy {row['trn_acc']:.1%} of {self.classes} classes, loss {row['trn_loss']:.3f}"
            raise TrainingStopped(f"{found}: {scores}. {self.how_to_learn()}")

    def _lr(self):
        return self.optimizer.param_groups[-1]["lr"]

    # What to do, in words. Override what your script calls otherwise.

    def how_to_train_longer(self):
        """Said where a finished run is resumed."""
        return "go on with more epochs"

    def how_to_go_on(self, path):
        """Said after Ctrl-C. path: of last.pt."""
        return f"Go on with: resume={path!r}"

    def how_to_stay_finite(self):
        """Said where the loss is not finite."""
        return f"Lower the learning rate (now {self._lr():g})."

    def how_to_learn(self):
        """Said where the network only guesses."""
        return f"Lower the learning rate (now {self._lr():g}) or the batch size."

    # What is kept

    def save(self):
        """Write the files now; also done at the end of each epoch and after Ctrl-C."""
        if not self.folder:
            return
        if not self.best_is_saved:
            cnn.save(self.best, os.path.join(self.folder, "best.pt"))
            self.best_is_saved = True
        cnn.save(state_of(self), os.path.join(self.folder, "last.pt"))
        self.history.write(self.folder, self.options)

    def load_best(self):
        """Give the network the weights of its best validation, if there was one."""
        if self.best:
            self.net.load_state_dict(self.best)

    def records(self):
        """Arrays for a plot, and the minutes of training.

        Returns:
            A dictionary: trn_loss, trn_acc, trn_itr (every note_every batches), val_loss, val_acc, val_itr
            (validations), trn_duration.
        """
        return {**self.history.arrays(), "trn_duration": self.seconds / 60}
