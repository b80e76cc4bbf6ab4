"""Supervised training: forward, loss, backward, step; and validation."""

import contextlib

import cnn
import cnn.nn as nn
import cnn.optim as optim
import utils
from cnn import training
from cnn.errors import InputError


def sup_trn(net, trn_loader, val_loader, opt_dict):
    """Train net on trn_loader and validate it on val_loader, as opt_dict says (utils.OPTIONS explains its keys).

    Returns [net, trn_info]: the network with the weights of its best validation, and
        trn_loss trn_acc trn_itr    loss and accuracy (0..1) of a batch, every coll_cycle iterations
        val_loss val_acc val_itr    mean over the whole validation set, every val_cycle iterations
        trn_duration                minutes

    Raises cnn.training.TrainingStopped where the loss is not finite or the network stays at chance.
    """
    utils.check_options(opt_dict)
    solver = make_solver(net, opt_dict)
    schedule = optim.lr_scheduler.MultiStepLR(solver, milestones=opt_dict["lr_sch"], gamma=opt_dict["lr_factor"])
    criterion = nn.CrossEntropyLoss()

    if not len(trn_loader):
        raise InputError("sup_trn: expected batches to train with, got an empty trn_loader")
    with (
        run_folder(opt_dict) as folder,
        Run(
            net,
            solver,
            trn_loader,
            opt_dict["num_epochs"],
            scheduler=schedule,
            validate=lambda: validate(net, val_loader, criterion, opt_dict),
            validate_every=opt_dict["val_cycle"],
            note_every=opt_dict["coll_cycle"],
            show_every=opt_dict["display_freq"],
            name=opt_dict.get("data_name") or opt_dict["tag"],
            folder=folder,
            options=plain_options(opt_dict),
            classes=opt_dict["out_dim"],
            resume=opt_dict.get("resume"),
        ) as run,
    ):
        for _ in run.epochs_left():
            for x, t in run.batches():
                net.train()
                x, t = to_device(x, t, opt_dict)

                solver.zero_grad()
                y = net(x)
                loss = criterion(y, t)
                loss.backward()
                with run.update(loss, y, t):
                    solver.step()

            with run.end_of_epoch():
                schedule.step()

    run.load_best()
    return [net, run.records()]


def validate(net, loader, criterion, opt_dict):
    """Mean loss and accuracy of net over all images of loader."""
    loss, right, size = 0.0, 0, 0
    net.eval()
    with cnn.no_grad():
        for x, t in loader:
            x, t = to_device(x, t, opt_dict)
            y = net(x)
            # The last batch may be smaller: weigh each batch with its own size.
            loss += criterion(y, t).item() * len(t)
            right += (y.argmax(dim=1) == t).sum().item()
            size += len(t)
    return loss / size, right / size


def make_solver(net, opt_dict):
    if opt_dict["solver"] == "SGDM":
        return optim.SGD(
            net.parameters(), lr=opt_dict["lr"], momentum=opt_dict["momentum"], weight_decay=opt_dict["wd"]
        )
    if opt_dict["solver"] == "Adam":
        return optim.Adam(net.parameters(), lr=opt_dict["lr"], weight_decay=opt_dict["wd"])
    raise InputError(f"opt_dict['solver']: expected 'Adam' or 'SGDM', got {opt_dict['solver']!r}")


def to_device(x, t, opt_dict):
    """A batch where the network is; labels (N, 1) as (N,)."""
    if opt_dict["gpu"]:
        x, t = x.cuda(), t.cuda()
    return x, t.view(-1)


class Run(training.Run):
    """Says what to change by the names of main.py's options."""

    def how_to_train_longer(self):
        return "go on with more by --num-epochs"

    def how_to_go_on(self, path):
        return f"Go on with: {utils.command('main.py', '--resume', path)}"

    def how_to_stay_finite(self):
        return f"Lower --lr (now {self.options['lr']:g})."

    def how_to_learn(self):
        change = f"Lower --lr (now {self.options['lr']:g}) or --tbs (now {self.options['tbs']})"
        return f"{change}; --lr 0.001 --tbs 128 learns."


def plain_options(opt_dict):
    """The options of a run without what is added at run time: only numbers, texts and lists."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in opt_dict.items()
        if key in utils.OPTIONS
    }


def run_folder(opt_dict):
    """Where a run writes to: opt_dict['folder'], else one of its own in opt_dict['run_root']; without that nowhere."""
    if opt_dict.get("folder") or "run_root" not in opt_dict:
        return contextlib.nullcontext(opt_dict.get("folder"))
    return training.take_folder(opt_dict["run_root"], opt_dict["tag"], opt_dict.get("resume"))
