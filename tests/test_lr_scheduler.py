"""Every learning-rate schedule beside torch's: the same numbers, bit for bit."""

import inspect
import math
import pickle
import warnings

import pytest
from harness import needs_torch, torch

import cnn
from cnn import nn, optim
from cnn.optim import lr_scheduler

STEPS = 60


def decay(epoch):
    return 0.95**epoch


class Decay:
    """A callable with a state of its own, which a scheduler saves."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, epoch):
        return self.rate**epoch


def build(side, name, *args, optimizer="SGD", **kwargs):
    """An optimizer with two groups and a scheduler, of ours or of torch's."""
    library = {"ours": cnn, "torch": torch}[side]
    p, q = (library.nn.Parameter(library.ones(2)) for _ in range(2))
    options = {"momentum": 0.9} if optimizer in ("SGD", "RMSprop") else {}
    made = getattr(library.optim, optimizer)([{"params": [p]}, {"params": [q], "lr": 0.05}], lr=0.4, **options)
    make = getattr(library.optim.lr_scheduler, name)
    return made, make(made, *args, **kwargs)


def rates(optimizer):
    keys = ("lr", "momentum", "betas", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
    return [{key: group[key] for key in keys if key in group} for group in optimizer.param_groups]


def run(pair, steps=STEPS, step=lambda scheduler, i: scheduler.step()):
    optimizer, scheduler = pair
    history = []
    for i in range(steps):
        history.append((scheduler.get_last_lr(), rates(optimizer), scheduler.last_epoch))
        optimizer.step()
        step(scheduler, i)
    return history


SCHEDULES = [
    ("StepLR", (7,), {}),
    ("StepLR", (), {"step_size": 3, "gamma": 0.5}),
    ("MultiStepLR", ([5, 20, 20, 41],), {"gamma": 0.3}),
    ("MultiStepLR", ([70],), {"gamma": 0.1}),
    ("ConstantLR", (), {}),
    ("ConstantLR", (0.25,), {"total_iters": 11}),
    ("LinearLR", (), {}),
    ("LinearLR", (0.1, 0.7), {"total_iters": 23}),
    ("ExponentialLR", (0.9,), {}),
    ("PolynomialLR", (), {"total_iters": 30, "power": 2.0}),
    ("PolynomialLR", (), {}),
    ("CosineAnnealingLR", (20,), {}),
    ("CosineAnnealingLR", (9,), {"eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", (7,), {}),
    ("CosineAnnealingWarmRestarts", (4,), {"T_mult": 2, "eta_min": 0.001}),
    ("LambdaLR", (decay,), {}),
    ("LambdaLR", ([decay, Decay(0.8)],), {}),
    ("MultiplicativeLR", (lambda epoch: 0.97,), {}),
    ("OneCycleLR", (0.8,), {"total_steps": 60}),
    ("OneCycleLR", ([0.8, 0.3],), {"epochs": 6, "steps_per_epoch": 10, "anneal_strategy": "linear", "pct_start": 0.25}),
    ("OneCycleLR", (0.8,), {"total_steps": 61, "three_phase": True, "div_factor": 10, "final_div_factor": 50}),
    ("OneCycleLR", (0.8,), {"total_steps": 60, "cycle_momentum": False}),
    ("CyclicLR", (0.01, 0.2), {"step_size_up": 7}),
    ("CyclicLR", ([0.01, 0.02], 0.2), {"step_size_up": 5, "step_size_down": 9, "mode": "triangular2"}),
    ("CyclicLR", (0.01, 0.2), {"step_size_up": 6, "mode": "exp_range", "gamma": 0.98}),
    ("CyclicLR", (0.01, 0.2), {"step_size_up": 6, "scale_fn": lambda x: 1 / x, "cycle_momentum": False}),
]


@needs_torch
@pytest.mark.parametrize(("name", "args", "kwargs"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_same_numbers(name, args, kwargs):
    assert run(build("ours", name, *args, **kwargs)) == run(build("torch", name, *args, **kwargs))


@needs_torch
@pytest.mark.parametrize("name", ["OneCycleLR", "CyclicLR"])
def test_beta1_moves_where_there_is_no_momentum(name):
    args, kwargs = ((0.8,), {"total_steps": 60}) if name == "OneCycleLR" else ((0.01, 0.2), {"step_size_up": 7})
    ours = run(build("ours", name, *args, optimizer="Adam", **kwargs))
    assert ours == run(build("torch", name, *args, optimizer="Adam", **kwargs))
    with pytest.raises(ValueError, match="optimizer must support momentum or beta1"):
        build("ours", name, *args, optimizer="Adagrad", **kwargs)


@needs_torch
@pytest.mark.parametrize(("name", "args", "kwargs"), SCHEDULES[:18], ids=lambda v: v if isinstance(v, str) else "")
def test_step_with_an_epoch(name, args, kwargs):
    """The deprecated form jumps, by the closed form where there is one."""

    def step(scheduler, i):
        if i % 3 == 1:
            scheduler.step(i * 2 % 31)
        else:
            scheduler.step()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = run(build("ours", name, *args, **kwargs), step=step)
        assert ours == run(build("torch", name, *args, **kwargs), step=step)


def test_step_with_an_epoch_warns():
    optimizer, scheduler = build("ours", "StepLR", 3)
    optimizer.step()
    with pytest.warns(UserWarning, match="epoch parameter in `scheduler.step"):
        scheduler.step(4)


@needs_torch
def test_fractions_of_an_epoch():
    def step(scheduler, i):
        scheduler.step(i + 0.25)

    for kwargs in ({"T_0": 5}, {"T_0": 3, "T_mult": 2}):
        ours = run(build("ours", "CosineAnnealingWarmRestarts", **kwargs), step=step)
        assert ours == run(build("torch", "CosineAnnealingWarmRestarts", **kwargs), step=step)


PLATEAUS = [
    {},
    {"patience": 2, "factor": 0.5},
    {"mode": "max", "patience": 1, "cooldown": 3},
    {"threshold_mode": "abs", "threshold": 0.05, "patience": 3, "min_lr": [0.02, 0.01]},
    {"mode": "max", "threshold_mode": "abs", "patience": 0, "eps": 0.01, "min_lr": 1e-3},
]


@needs_torch
@pytest.mark.parametrize("kwargs", PLATEAUS, ids=str)
def test_plateau(kwargs):
    def step(scheduler, i):
        metric = 1 / (1 + i) + 0.3 * math.sin(i)
        scheduler.step(float("nan") if i == 30 else metric)

    ours, theirs = build("ours", "ReduceLROnPlateau", **kwargs), build("torch", "ReduceLROnPlateau", **kwargs)
    assert run(ours, step=step) == run(theirs, step=step)
    mine, reference = ours[1].state_dict(), theirs[1].state_dict()
    assert mine == reference


def test_plateau_takes_a_tensor():
    optimizer, scheduler = build("ours", "ReduceLROnPlateau", patience=0)
    scheduler.step(cnn.tensor(1.0, requires_grad=True))
    scheduler.step(cnn.tensor(2.0))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.04)


def chain(side):
    module = {"ours": lr_scheduler, "torch": torch.optim.lr_scheduler if torch else None}[side]
    optimizer, first = build(side, "LinearLR", 0.1, total_iters=8)
    return optimizer, module, first


@needs_torch
@pytest.mark.parametrize("milestones", [[8, 30], [0, 5], [20, 40]])
def test_sequential(milestones):
    pairs = []
    for side in ("ours", "torch"):
        optimizer, module, first = chain(side)
        schedulers = [first, module.CosineAnnealingLR(optimizer, 20), module.StepLR(optimizer, 4)]
        pairs.append((optimizer, module.SequentialLR(optimizer, schedulers, milestones)))
    assert run(pairs[0]) == run(pairs[1])


@needs_torch
def test_chained_and_nested():
    pairs = []
    for side in ("ours", "torch"):
        optimizer, module, first = chain(side)
        chained = module.ChainedScheduler([first, module.ExponentialLR(optimizer, 0.95)], optimizer=optimizer)
        pairs.append((optimizer, chained))
    histories = []
    for optimizer, scheduler in pairs:
        history = []
        for _ in range(STEPS):
            history.append((scheduler.get_last_lr(), rates(optimizer)))
            optimizer.step()
            scheduler.step()
        histories.append(history)
    assert histories[0] == histories[1]


@needs_torch
@pytest.mark.parametrize(("name", "args", "kwargs"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_state_dict(name, args, kwargs):
    """The same entries as torch's; state loaded into a new scheduler goes on as the old one would have."""
    ours, theirs = build("ours", name, *args, **kwargs), build("torch", name, *args, **kwargs)
    run(ours, 17), run(theirs, 17)
    mine, reference = ours[1].state_dict(), theirs[1].state_dict()
    assert set(mine) - {"_scale_fn_ref"} == set(reference) - {"_scale_fn_ref"}
    assert {k: v for k, v in mine.items() if k in reference} == reference
    expected = run(ours, 20)
    fresh = build("ours", name, *args, **kwargs)
    fresh[1].load_state_dict(reference)
    for group, saved in zip(fresh[0].param_groups, theirs[0].param_groups, strict=True):
        group.update({key: value for key, value in saved.items() if key != "params"})
    assert run(fresh, 20) == expected


@needs_torch
@pytest.mark.parametrize(("name", "args", "kwargs"), SCHEDULES, ids=lambda v: v if isinstance(v, str) else "")
def test_going_on_from_last_epoch(name, args, kwargs):
    """A new scheduler on an optimizer that was at epoch 12: last_epoch=12 continues there."""
    histories = []
    for side in ("ours", "torch"):
        optimizer, scheduler = build(side, name, *args, **kwargs)
        run((optimizer, scheduler), 12)
        continued = type(scheduler)(optimizer, *args, last_epoch=12, **kwargs)
        histories.append(run((optimizer, continued), 20))
    assert histories[0] == histories[1]


def test_last_epoch_needs_initial_lr():
    optimizer, _ = build("ours", "StepLR", 3)
    del optimizer.param_groups[1]["initial_lr"]
    with pytest.raises(KeyError, match=r"param 'initial_lr' is not specified in param_groups\[1\]"):
        lr_scheduler.StepLR(optimizer, 3, last_epoch=4)


def test_composed_state_dicts():
    def make():
        optimizer, _, first = chain("ours")
        cosine = lr_scheduler.CosineAnnealingLR(optimizer, 20)
        return optimizer, lr_scheduler.SequentialLR(optimizer, [first, cosine], [8])

    old = make()
    run(old, 11)
    state, optimizer_state = old[1].state_dict(), old[0].state_dict()
    assert [s["last_epoch"] for s in state["_schedulers"]] == [7, 3]
    new = make()
    new[1].load_state_dict(pickle.loads(pickle.dumps(state)))
    new[0].load_state_dict(optimizer_state)
    assert run(new, 20) == run(old, 20)


def test_saved_callables():
    _optimizer, scheduler = build("ours", "LambdaLR", [decay, Decay(0.8)])
    state = scheduler.state_dict()
    assert state["lr_lambdas"] == [None, {"rate": 0.8}]
    _, other = build("ours", "LambdaLR", [decay, Decay(0.5)])
    other.load_state_dict(state)
    assert other.lr_lambdas[1].rate == 0.8
    assert state["lr_lambdas"] == [None, {"rate": 0.8}]


def test_the_order_of_the_two_steps():
    _, scheduler = build("ours", "StepLR", 3)
    with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()
    optimizer, scheduler = build("ours", "StepLR", 3)
    optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        scheduler.step()
    optimizer, scheduler = build("ours", "StepLR", 3)
    optimizer.step = lambda: None
    with pytest.warns(UserWarning, match="has been overridden after learning rate scheduler"):
        scheduler.step()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ExponentialLR", (0.5,)), ("StepLR", (3,)), ("MultiStepLR", ([2, 3],)), ("ConstantLR", ()), ("LinearLR", ()),
        ("PolynomialLR", ()), ("CosineAnnealingLR", (5,)), ("CosineAnnealingWarmRestarts", (5,)),
        ("CyclicLR", (0.01, 0.1)), ("OneCycleLR", (0.1, 10)), ("LambdaLR", (lambda epoch: 0.9**epoch,)),
        ("MultiplicativeLR", (lambda epoch: 0.9,)),
    ],
)  # fmt: skip
def test_get_lr_from_outside_warns(name, arguments):
    _, scheduler = build("ours", name, *arguments)
    with pytest.warns(UserWarning, match="please use `get_last_lr"):
        scheduler.get_lr()


@pytest.mark.parametrize("base", [lr_scheduler.LRScheduler, lr_scheduler._LRScheduler])
def test_a_scheduler_of_the_users_own(base):
    class Warmup(base):
        """As in a well-known model collection."""

        def __init__(self, optimizer, total_iters, last_epoch=-1):
            self.total_iters = total_iters
            super().__init__(optimizer, last_epoch)

        def get_lr(self):
            return [base_lr * self.last_epoch / (self.total_iters + 1e-8) for base_lr in self.base_lrs]

    optimizer = optim.SGD([nn.Parameter(cnn.ones(1))], lr=0.4)
    scheduler = Warmup(optimizer, 4)
    seen = []
    for _ in range(4):
        optimizer.step()
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1, 0.2, 0.3, 0.4])
    with pytest.raises(NotImplementedError):
        base(optimizer)


@needs_torch
def test_signatures_are_torchs():
    for name in lr_scheduler.__all__:
        ours = inspect.signature(getattr(lr_scheduler, name).__init__)
        theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name).__init__)
        mine = {k: p.default for k, p in ours.parameters.items() if k != "verbose"}
        assert mine == {k: p.default for k, p in theirs.parameters.items()}, name


def test_verbose_is_tolerated():
    optimizer = optim.SGD([nn.Parameter(cnn.ones(1))], lr=0.4)
    lr_scheduler.StepLR(optimizer, 3, verbose=True)
    lr_scheduler.CosineAnnealingLR(optimizer, 3, verbose=False)
    lr_scheduler.ReduceLROnPlateau(optimizer, verbose=True)


def test_errors():
    optimizer, first = build("ours", "StepLR", 3)
    _other, second = build("ours", "StepLR", 3)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    cases = [
        (TypeError, "int is not an Optimizer", lambda: lr_scheduler.StepLR(3, 3)),
        (ValueError, "Expected 2 lr_lambdas, but got 1", lambda: lr_scheduler.LambdaLR(optimizer, [decay])),
        (TypeError, "lr_lambda should be a function, but got float",
         lambda: lr_scheduler.MultiplicativeLR(optimizer, 0.5)),
        (ValueError, "Constant multiplicative factor", lambda: lr_scheduler.ConstantLR(optimizer, 2.0)),
        (ValueError, "Starting multiplicative factor", lambda: lr_scheduler.LinearLR(optimizer, 0.0)),
        (ValueError, "Ending multiplicative factor", lambda: lr_scheduler.LinearLR(optimizer, 0.5, 1.5)),
        (ValueError, "Expected positive integer T_0, but got 0",
         lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 0)),
        (ValueError, "Expected integer T_mult >= 1, but got 0",
         lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 1, 0)),
        (ValueError, "Expected non-negative epoch, but got -2",
         lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 1).step(-2)),
        (ValueError, "You must define either total_steps", lambda: lr_scheduler.OneCycleLR(optimizer, 1.0)),
        (ValueError, "Expected positive integer total_steps", lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 0)),
        (ValueError, "Expected positive integer epochs",
         lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=0.5, steps_per_epoch=3)),
        (ValueError, "Expected float between 0 and 1 pct_start",
         lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 10, pct_start=2.0)),
        (ValueError, "anneal_strategy must be one of",
         lambda: lr_scheduler.OneCycleLR(optimizer, 1.0, 10, anneal_strategy="x")),
        (ValueError, "max_lr must have the same length", lambda: lr_scheduler.OneCycleLR(optimizer, [1.0], 10)),
        (ValueError, "mode is invalid and scale_fn is None",
         lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 1, mode="x")),
        (ValueError, "Factor should be < 1.0", lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0)),
        (ValueError, "mode up is unknown", lambda: lr_scheduler.ReduceLROnPlateau(optimizer, "up")),
        (ValueError, "threshold mode x is unknown",
         lambda: lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="x")),
        (ValueError, "expected 2 min_lrs, got 1", lambda: lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.1])),
        (ValueError, "expects at least one scheduler", lambda: lr_scheduler.SequentialLR(optimizer, [], [])),
        (ValueError, "number of schedulers 1 and the number of milestones to be equal to 1",
         lambda: lr_scheduler.SequentialLR(optimizer, [first], [3])),
        (ValueError, "does not support `ReduceLROnPlateau`",
         lambda: lr_scheduler.SequentialLR(optimizer, [first, plateau], [3])),
        (ValueError, "belong to the same optimizer",
         lambda: lr_scheduler.SequentialLR(optimizer, [first, second], [3])),
        (ValueError, "expects at least one scheduler to be chained", lambda: lr_scheduler.ChainedScheduler([])),
        (TypeError, "should have `optimizer` as its attribute", lambda: lr_scheduler.ChainedScheduler([first, 3])),
    ]  # fmt: skip
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()


def test_stepping_past_one_cycle():
    optimizer, scheduler = build("ours", "OneCycleLR", 1.0, total_steps=3)
    optimizer.step()
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ValueError, match=r"Tried to step 4 times\. The specified number of total steps is 3"):
        scheduler.step()
