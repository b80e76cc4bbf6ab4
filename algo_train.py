"""Supervised training: forward, loss, backward, step; and validation."""

import cnn
import cnn.nn as nn
import cnn.optim as optim
import utils


def sup_trn(net, trn_loader, val_loader, opt_dict):
    """Train net on trn_loader and validate it on val_loader, as opt_dict says (utils.OPTIONS explains its keys).

    Returns [net, trn_info]: the network with the weights of its best validation, and
        trn_loss trn_acc trn_itr    loss and accuracy (0..1) of a batch, every coll_cycle iterations
        val_loss val_acc val_itr    mean over the whole validation set, every val_cycle iterations
        trn_duration                minutes

    Raises utils.TrainingStopped where the loss is not finite or the network stays at chance.
    """
    utils.check_options(opt_dict)
    solver = make_solver(net, opt_dict)
    schedule = optim.lr_scheduler.MultiStepLR(solver, milestones=opt_dict["lr_sch"], gamma=opt_dict["lr_factor"])
    criterion = nn.CrossEntropyLoss()

    with utils.Run(net, solver, schedule, trn_loader, opt_dict) as run:
        if run.time_to_validate():  # a resumed run that was stopped in its validation
            run.validated(*validate(net, val_loader, criterion, opt_dict))

        while run.epoch < opt_dict["num_epochs"]:
            for x, t in run.batches():
                net.train()
                x, t = to_device(x, t, opt_dict)

                solver.zero_grad()
                y = net(x)
                loss = criterion(y, t)
                loss.backward()
                with run.update(loss, y, t):
                    solver.step()

                if run.time_to_validate():
                    run.validated(*validate(net, val_loader, criterion, opt_dict))

            with run.end_of_epoch():
                schedule.step()

    return run.result()


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
    raise utils.InputError(f"opt_dict['solver']: expected 'Adam' or 'SGDM', got {opt_dict['solver']!r}")


def to_device(x, t, opt_dict):
    """A batch where the network is; labels (N, 1) as (N,)."""
    if opt_dict["gpu"]:
        x, t = x.cuda(), t.cuda()
    return x, t.view(-1)
