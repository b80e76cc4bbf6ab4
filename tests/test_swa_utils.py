"""Averaged models and SWALR beside torch's."""

import numpy as np
import pytest
from harness import assert_close, needs_torch, rng, torch
from test_lr_scheduler import rates

import cnn
from cnn import nn
from cnn.optim import swa_utils


def networks():
    """A small network of ours and of torch's with equal weights, and a buffer."""
    pair = []
    for library in (cnn, torch):
        net = library.nn.Sequential(library.nn.Flatten(), library.nn.ReLU())
        random = rng(0)
        net.weight = library.nn.Parameter(library.from_numpy(random.standard_normal((3, 4)).astype(np.float32)))
        net.register_buffer("mean", library.from_numpy(random.standard_normal(3).astype(np.float32)))
        pair.append(net)
    return pair


@needs_torch
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize(
    "name", [None, "get_swa_avg_fn", "get_ema_avg_fn", "get_swa_multi_avg_fn", "get_ema_multi_avg_fn"]
)
def test_averages(name, use_buffers):
    nets = networks()
    models = []
    for net, module in zip(nets, (swa_utils, torch.optim.swa_utils), strict=True):
        options = {}
        if name is not None:
            make = getattr(module, name)
            key = "multi_avg_fn" if "multi" in name else "avg_fn"
            options[key] = make(0.9) if "ema" in name else make()
        models.append(module.AveragedModel(net, use_buffers=use_buffers, **options))
    random = rng(1)
    for _ in range(5):
        change = random.standard_normal((3, 4)).astype(np.float32)
        for net, library, model in zip(nets, (cnn, torch), models, strict=True):
            with library.no_grad():
                net.weight += library.from_numpy(change)
                net.mean += library.from_numpy(change[:, 0])
            model.update_parameters(net)
    mine, reference = (model.state_dict() for model in models)
    assert list(mine) == list(reference)
    for key in mine:
        assert_close(mine[key]._a, reference[key].numpy(), 5, key)
    x = np.ones((2, 3), np.float32)
    assert models[0](cnn.from_numpy(x)).tolist() == models[1](torch.from_numpy(x)).tolist()


def test_the_average_lies_on_the_device_that_was_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(cnn.nn.Linear, "to", lambda self, device: asked.append(device) or self)
    swa_utils.AveragedModel(cnn.nn.Linear(2, 2), device="cuda")
    assert asked == ["cuda"]


@needs_torch
@pytest.mark.parametrize("kwargs", [{}, {"anneal_epochs": 4, "anneal_strategy": "linear"}, {"anneal_epochs": 0}])
@pytest.mark.parametrize("swa_lr", [0.05, [0.01, 0.7]])
def test_swalr(swa_lr, kwargs):
    histories = []
    for library in (cnn, torch):
        p, q = (library.nn.Parameter(library.ones(2)) for _ in range(2))
        optimizer = library.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.2}], lr=0.4)
        decay = library.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        scheduler = library.optim.swa_utils.SWALR(optimizer, swa_lr, **kwargs)
        history = []
        for i in range(30):
            optimizer.step()
            (decay if i < 5 else scheduler).step()
            history.append((rates(optimizer), scheduler.get_last_lr()))
        histories.append(history)
        state = scheduler.state_dict()
        histories.append({k: state[k] for k in ("anneal_epochs", "_anneal_strategy", "last_epoch", "_step_count")})
    assert histories[0] == histories[2]
    assert histories[1] == histories[3]


def test_update_bn():
    class Mean(nn.Module):
        """What update_bn asks of a batch norm layer."""

        def __init__(self):
            super().__init__()
            self.momentum = 0.1
            self.seen = ["old"]

        def reset_running_stats(self):
            self.seen.clear()

        def forward(self, x):
            self.seen.append((self.training, self.momentum, x.item()))
            return x

    layer = Mean()
    net = nn.Sequential(layer).eval()
    swa_utils.update_bn([cnn.ones(1), (2 * cnn.ones(1), "label")], net)
    assert layer.seen == [(True, None, 1.0), (True, None, 2.0)]
    assert layer.momentum == 0.1
    assert not net.training
    swa_utils.update_bn([], nn.Sequential(nn.ReLU()))


def test_errors():
    optimizer = cnn.optim.SGD([nn.Parameter(cnn.ones(1))], lr=0.1)
    cases = [
        (ValueError, r"Invalid decay value 1.5", lambda: swa_utils.get_ema_avg_fn(1.5)),
        (AssertionError, "Only one of avg_fn and multi_avg_fn",
         lambda: swa_utils.AveragedModel(nn.ReLU(), avg_fn=min, multi_avg_fn=min)),
        (ValueError, "anneal_strategy must be one of", lambda: swa_utils.SWALR(optimizer, 0.1, anneal_strategy="x")),
        (ValueError, "anneal_epochs must be equal or greater than 0", lambda: swa_utils.SWALR(optimizer, 0.1, -1)),
        (ValueError, "swa_lr must have the same length", lambda: swa_utils.SWALR(optimizer, [0.1, 0.2])),
    ]  # fmt: skip
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
