"""Optimizer: parameter groups, state, saving, hooks and messages, beside torch's."""

import copy
import pickle
import warnings

import numpy as np
import optimizers
import pytest
from harness import needs_torch, rng, torch

import cnn
from cnn import nn, optim


def parameters(*shapes):
    return [
        nn.Parameter(cnn.from_numpy(rng(i).standard_normal(shape).astype(np.float32))) for i, shape in enumerate(shapes)
    ]


def give_gradients(params, seed=0):
    random = rng(seed)
    for p in params:
        p.grad = cnn.from_numpy(random.standard_normal(p.shape).astype(np.float32))


@needs_torch
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam"])
def test_defaults_and_repr_are_torchs(name):
    ours, theirs = optimizers.both(np.zeros(3, np.float32))
    mine, reference = getattr(optim, name)([ours]), getattr(torch.optim, name)([theirs])
    assert mine.defaults == reference.defaults
    assert repr(mine) == repr(reference)


@needs_torch
def test_groups_with_options_of_their_own():
    pairs = [optimizers.both(rng(i).standard_normal((3, 4)).astype(np.float32)) for i in range(3)]
    built = []
    for side, module in enumerate((optim, torch.optim)):
        a, b, c = (pair[side] for pair in pairs)
        optimizer = module.SGD([{"params": [a], "lr": 1.0}, {"params": b, "momentum": 0.5}], lr=0.1, momentum=0.9)
        optimizer.add_param_group({"params": (p for p in [c]), "weight_decay": 0.1})
        built.append(optimizer)
    ours, theirs = built
    assert repr(ours) == repr(theirs)
    for step in range(5):
        optimizers.set_gradients(pairs, rng(step), np.float32)
        ours.step()
        theirs.step()
        for optimizer in built:
            optimizer.param_groups[0]["lr"] *= 0.5
        optimizers.compare_parameters(pairs, f"step {step}")
    optimizers.compare_state(ours, theirs)


def test_named_parameters():
    net = nn.ParameterList(parameters((2,), (3,)))
    optimizer = optim.SGD(net.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["0", "1"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["0", "1"]
    with pytest.raises(ValueError, match="should be with/without names"):
        optimizer.add_param_group({"params": parameters((4,))})


def test_zero_grad():
    params = parameters((2,), (3,))
    give_gradients(params)
    kept = params[0].grad
    optimizer = optim.SGD(params, lr=0.1)
    optimizer.zero_grad(set_to_none=False)
    assert params[0].grad is kept
    assert kept.tolist() == [0, 0]
    optimizer.zero_grad()
    assert params[0].grad is None
    assert params[1].grad is None


def test_step_returns_the_closures_loss_with_gradients_on():
    (p,) = parameters((4,))

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    for kind in (optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.Adamax, optim.NAdam):
        optimizer = kind([p])
        before = (p * p).sum().item()
        with cnn.no_grad():
            loss = optimizer.step(closure)
        assert loss.item() == pytest.approx(before)
        assert (p * p).sum().item() < before


def test_a_step_is_noticed_by_backward():
    (p,) = parameters((4,))
    loss = (p * p).sum()
    p.grad = cnn.ones(4)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_state_dict_holds_numbers_for_parameters():
    params = parameters((2,), (3,), (4,))
    optimizer = optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 1.0}], lr=0.1, momentum=0.9)
    give_gradients(params)
    optimizer.step()
    saved = optimizer.state_dict()
    assert [group["params"] for group in saved["param_groups"]] == [[0], [1, 2]]
    assert list(saved["state"]) == [0, 1, 2]
    assert list(saved["state"][0]) == ["momentum_buffer"]
    assert saved["state"][2]["momentum_buffer"] is optimizer.state[params[2]]["momentum_buffer"]


def test_load_state_dict_copies_and_casts():
    params = parameters((2,), (3,))
    optimizer = optim.Adam(params)
    give_gradients(params)
    optimizer.step()
    double = [nn.Parameter(p.detach().double()) for p in params]
    other = optim.Adam(double, lr=7.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 1e-3
    assert other.param_groups[0]["params"][0] is double[0]
    state = other.state[double[0]]
    assert state["exp_avg"].dtype == cnn.float64
    assert state["step"].dtype == cnn.float32
    state["exp_avg"].fill_(5)
    assert optimizer.state[params[0]]["exp_avg"].tolist() != [5, 5]
    assert isinstance(other.state, dict)
    assert other.state["anything"] == {}


def test_state_of_old_versions():
    """A step that is a plain number, and options that did not exist yet."""
    (p,) = parameters((2,))
    optimizer = optim.Adam([p])
    old = {
        "state": {0: {"step": 3, "exp_avg": cnn.zeros(2), "exp_avg_sq": cnn.ones(2)}},
        "param_groups": [{"params": [0], "lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}],
    }
    optimizer.load_state_dict(old)
    give_gradients([p])
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 4
    assert optimizer.param_groups[0]["amsgrad"] is False


def test_pickle_and_deepcopy():
    net = nn.ParameterList(parameters((2,), (3,)))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    give_gradients(net)
    optimizer.step()
    optim.lr_scheduler.StepLR(optimizer, 1)  # leaves a wrapper in the instance, which must not be copied
    for twin_net, twin in (copy.deepcopy((net, optimizer)), pickle.loads(pickle.dumps((net, optimizer)))):
        assert twin.param_groups[0]["params"][1] is twin_net[1]
        give_gradients(twin_net)
        before = twin_net[1].tolist()
        twin.step()
        assert twin_net[1].tolist() != before
        assert repr(twin) == repr(optimizer)


def test_hooks():
    (p,) = parameters((2,))
    p.grad = cnn.ones(2)
    optimizer, other = optim.SGD([p], lr=0.1), optim.Adam([p])
    calls = []
    handles = [
        optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append(("pre", o, args, kwargs))),
        optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append(("post", o))),
        optim.optimizer.register_optimizer_step_pre_hook(lambda o, args, kwargs: calls.append(("all", o))),
        optimizer.register_state_dict_post_hook(lambda o, state: state | {"more": 1}),
        optimizer.register_load_state_dict_pre_hook(lambda o, state: calls.append(("load", state["more"]))),
        optimizer.register_load_state_dict_post_hook(lambda o: calls.append(("loaded", o))),
    ]
    optimizer.step()
    other.step()
    expected = [("all", optimizer), ("pre", optimizer, (optimizer,), {}), ("post", optimizer), ("all", other)]
    assert calls == expected
    optimizer.load_state_dict(optimizer.state_dict())
    assert calls[4:] == [("load", 1), ("loaded", optimizer)]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(calls) == 6
    assert "more" not in optimizer.state_dict()


def test_an_optimizer_of_the_users_own():
    """The way scripts write them: state keyed by parameter, defaults, no_grad, in-place updates."""

    class Sign(optim.Optimizer):
        def __init__(self, params, lr=0.1, beta=0.5):
            super().__init__(params, {"lr": lr, "beta": beta})

        @cnn.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if len(state) == 0:
                        state["m"] = cnn.zeros_like(p)
                    state["m"].mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                    p.add_(state["m"].sign(), alpha=-group["lr"])

    params = parameters((2, 2), (3,))
    optimizer = Sign(params)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    before = [p.detach().clone() for p in params]
    for p in params:
        p.grad = cnn.ones_like(p)
    for _ in range(2):
        optimizer.step()
        scheduler.step()
    for p, b in zip(params, before, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), b.numpy() - 0.15, rtol=1e-6)
    assert list(optimizer.state_dict()["state"]) == [0, 1]


def test_required_options():
    class Needy(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"rate": optim.optimizer.required})

    (p,) = parameters((2,))
    with pytest.raises(ValueError, match="didn't specify a value of required optimization parameter rate"):
        Needy([p])
    assert Needy([{"params": [p], "rate": 1}]).param_groups[0]["rate"] == 1


def test_a_rate_that_is_a_tensor():
    (p,) = parameters((3,))
    p.grad = cnn.ones(3)
    optimizer = optim.SGD([p], lr=cnn.tensor(0.5))
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    before = p.tolist()
    optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), np.array(before) - 0.5, rtol=1e-6)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"].item() == 0.25


def test_errors():
    p, q = parameters((2,), (2,))
    optimizer = optim.SGD([p], lr=0.1)
    cases = [
        (ValueError, "optimizer got an empty parameter list", lambda: optim.SGD([], lr=0.1)),
        (TypeError, "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                    "but got torch.FloatTensor", lambda: optim.SGD(cnn.zeros(2), lr=0.1)),
        (TypeError, "optimizer can only optimize Tensors, but one of the params is int",
         lambda: optim.SGD([1], lr=0.1)),
        (TypeError, "organized in ordered collections", lambda: optim.SGD([{"params": {p}}], lr=0.1)),
        (ValueError, "can't optimize a non-leaf Tensor", lambda: optim.SGD([p * 2], lr=0.1)),
        (TypeError, "param_group must be a dict", lambda: optimizer.add_param_group([q])),
        (ValueError, "some parameters appear in more than one", lambda: optimizer.add_param_group({"params": p})),
        (ValueError, "different number of parameter groups", lambda: optimizer.load_state_dict(
            {"state": {}, "param_groups": []})),
        (ValueError, "doesn't match the size of optimizer's group", lambda: optimizer.load_state_dict(
            {"state": {}, "param_groups": [{"params": [0, 1]}]})),
        (NotImplementedError, None, lambda: optim.Optimizer([p], {}).step()),
    ]  # fmt: skip
    for error, message, call in cases:
        with pytest.raises(error, match=message):
            call()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p], lr=0.1)


def test_an_integer_parameter_is_refused():
    t = cnn.tensor([1, 2])
    t._grad = cnn.tensor([1, 2])
    with pytest.raises(TypeError, match="sgd: parameters must be float32 or float64, got int64"):
        optim.SGD([t], lr=0.1).step()


def test_parameters_without_gradients_are_left_alone():
    params = parameters((2,), (3,))
    before = [p.tolist() for p in params]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (optim.SGD, optim.Adam, optim.RMSprop, optim.Adagrad, optim.Adadelta, optim.Adamax, optim.NAdam):
            kind(params, weight_decay=0.1).step()
    assert [p.tolist() for p in params] == before
