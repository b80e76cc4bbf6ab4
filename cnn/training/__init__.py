"""Training runs: progress, history, the best network, and checkpoints that resume to the same bits.

The loop stays yours; a `Run` stands around it. This is a whole script, which may be stopped with Ctrl-C:

    import cnn
    from cnn import nn, optim, training
    from cnn.utils.data import DataLoader, TensorDataset

    cnn.manual_seed(0)
    points = cnn.randn(400, 2)
    classes = (points[:, 0] > points[:, 1]).long()
    loader = DataLoader(TensorDataset(points[:300], classes[:300]), batch_size=20, shuffle=True)

    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.5)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2)

    def validate():
        with cnn.no_grad():
            y = net(points[300:])
            return criterion(y, classes[300:]).item(), (y.argmax(dim=1) == classes[300:]).float().mean().item()

    with (
        training.take_folder("runs", "points") as folder,
        training.Run(
            net, optimizer, loader, epochs=3, scheduler=scheduler, validate=validate, name="points", folder=folder
        ) as run,
    ):
        for epoch in run.epochs_left():
            for x, t in run.batches():
                optimizer.zero_grad()
                y = net(x)
                loss = criterion(y, t)
                loss.backward()
                with run.update(loss, y, t):
                    optimizer.step()
            with run.end_of_epoch():
                scheduler.step()
    run.load_best()

To go on with it later, tell both of the checkpoint:

    state = training.load_checkpoint(training.latest_checkpoint("runs", "points"))
    ... training.take_folder("runs", "points", resume=state) ... training.Run(..., resume=state)

docs/training.md says more. It is imported when it is asked for, and loads nothing heavy: tqdm with the first Run.
"""

from .checkpoint import load_checkpoint, read_checkpoint
from .diagnosis import TrainingStopped, is_guessing, not_finite
from .folders import RunFolder, latest_checkpoint, take_folder
from .history import History
from .interrupt import Snapshot, without_interrupt
from .progress import Progress
from .run import Run

__all__ = [
    "History",
    "Progress",
    "Run",
    "RunFolder",
    "Snapshot",
    "TrainingStopped",
    "is_guessing",
    "latest_checkpoint",
    "load_checkpoint",
    "not_finite",
    "read_checkpoint",
    "take_folder",
    "without_interrupt",
]
