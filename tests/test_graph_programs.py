"""Small programs about views, in-place changes, hooks and second passes, run with torch and with cnn: what they return
and what they raise is compared, to the words of the error."""

import pytest
from harness import needs_torch, torch

import cnn

PROGRAMS = {}


def program(f):
    PROGRAMS[f.__name__] = f
    return f


def state(t):
    """What autograd knows about a tensor."""
    name = t.grad_fn.name().removeprefix("torch::autograd::") if t.grad_fn is not None else None
    return t.requires_grad, name, t.is_leaf, t._is_view()


def plain(result):
    """Numbers, texts and lists of them."""
    if isinstance(result, (list, tuple)):
        return [plain(x) for x in result]
    return result.tolist() if hasattr(result, "tolist") else result


def observe(f, T):
    try:
        return plain(f(T))
    except (RuntimeError, TypeError, ValueError) as error:
        text = str(error)
        start = "one of the variables needed for gradient computation has been modified by an inplace operation"
        return ["error", start if text.startswith(start) else text]


def learned(T, *shape):
    return (T.arange(float(T.zeros(shape).numel())) + 1).reshape(shape).requires_grad_()


# ---- Who wants a gradient ------------------------------------------------------------------------------------------


@program
def view_whose_base_is_changed(T):
    w, b = learned(T, 4), T.zeros(4)
    v = b[:2]
    b.add_(w)
    (v * 3).sum().backward()
    return state(v), state(b), w.grad


@program
def view_of_a_base_set_later(T):
    b = T.zeros(4)
    v = b[:2]
    b.requires_grad_()
    y = (v * 2).sum()
    y.backward()
    return state(v), state(y), b.grad, v.grad


@program
def view_of_a_base_set_later_and_changed(T):
    b = T.zeros(4)
    v = b[:2]
    b.requires_grad_()
    with T.no_grad():
        b.add_(1)
    (v * 2).sum().backward()
    return state(v), b.grad, v.grad


@program
def write_to_a_view_of_a_base_set_later(T):
    b = T.zeros(4)
    v = b[:2]
    b.requires_grad_()
    v.add_(1)


@program
def view_without_grad(T):
    w = learned(T, 4)
    with T.no_grad():
        v = w[:2]
    return state(v)


@program
def view_without_grad_of_a_changed_base(T):
    w, b = learned(T, 4), T.zeros(4)
    with T.no_grad():
        v = b[:2]
    b.add_(w)
    return state(v)


@program
def write_to_a_view_without_grad(T):
    w, b = learned(T, 4), T.zeros(4)
    with T.no_grad():
        v = b[:2]
    v.add_(w[:2])


@program
def view_of_a_view_without_grad(T):
    w, b = learned(T, 4), T.zeros(4)
    with T.no_grad():
        v = b[:3]
    v[1:].mul_(w[:2])


@program
def view_of_a_leaf_that_is_stepped(T):
    w = learned(T, 4)
    v = w[:2]
    with T.no_grad():
        w.add_(1)
    (v * v.detach()).sum().backward()
    return state(v), w.grad


@program
def piece_of_split_changed(T):
    a, _ = (learned(T, 4) * 1).split(2)
    a.add_(1)


@program
def piece_of_unbind_changed(T):
    for row in learned(T, 2, 2) * 1:
        row.mul_(2)


@program
def piece_of_split_whose_base_is_changed(T):
    x = learned(T, 4) * 1
    a, _ = x.chunk(2)
    x.add_(1)
    return state(a)


@program
def piece_of_tensor_split_changed(T):
    w = learned(T, 5)
    x = w * 1
    a, b = T.tensor_split(x, 2)
    a.mul_(3)
    (x.sum() + b.sum()).backward()
    return w.grad, a


@program
def piece_of_split_changed_without_grad(T):
    with T.no_grad():
        for row in learned(T, 2, 2).unbind():
            row.mul_(2)
    return row


@program
def sibling_of_a_written_view(T):
    w, b = learned(T, 4), T.zeros(4) + 2
    v, u = b[:2], b[1:3]
    v.mul_(w[:2])
    u.sum().backward()
    return state(b), state(v), state(u), w.grad


@program
def view_set_itself(T):
    b = T.zeros(4)
    v = b[:2]
    v.requires_grad_()
    before = state(v), state(b)
    b.add_(1)
    return before, state(v), state(b)


@program
def view_set_itself_and_written(T):
    v = T.zeros(4)[:2].requires_grad_()
    v.add_(1)


@program
def integers_filled_from_floats(T):
    w = learned(T, 3)
    flags, numbers = T.zeros(3, dtype=T.bool), T.zeros(3, dtype=T.int64)
    flags.copy_(w.detach() > 1)
    numbers.copy_(w)
    return state(flags), state(numbers), numbers


@program
def leaf_changed(T):
    learned(T, 3).add_(1)


@program
def view_of_a_leaf_changed(T):
    learned(T, 3)[:2].add_(1)


@program
def view_detached_in_place(T):
    (learned(T, 3) * 1)[:2].detach_()


@program
def view_made_by_a_function(T):
    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.view(-1)

        @staticmethod
        def backward(ctx, dy):
            return dy.view(2, 2) * 10

    x = learned(T, 2, 2)
    y = F.apply(x * 1)
    y.sum().backward()
    before = x.grad
    z = F.apply(x * 1)
    try:
        z.mul_(2)
    except RuntimeError as error:
        return before, "custom Function" in str(error)


@program
def input_returned_by_a_function(T):
    class F(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * 10

    x = learned(T, 2)
    y = F.apply(x * 1)
    y.sum().backward()
    try:
        y.mul_(2)
    except RuntimeError as error:
        return x.grad, "custom Function" in str(error)


# ---- Switched off between forward and backward ---------------------------------------------------------------------


@program
def weight_switched_off(T):
    layer = T.nn.Linear(2, 1)
    y = layer(T.ones(1, 2)).sum()
    layer.weight.requires_grad_(False)
    y.backward()
    return layer.weight.grad, layer.bias.grad


@program
def gradient_of_what_was_switched_off(T):
    w = learned(T, 3)
    y = (w * 2).sum()
    w.requires_grad_(False)
    T.autograd.grad(y, [w])


@program
def hooks_of_what_was_switched_off(T):
    w, seen = learned(T, 3), []
    w.register_hook(lambda g: seen.append(g.tolist()))
    w.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad))
    y = (w * 2).sum()
    w.requires_grad_(False)
    y.backward()
    return seen, w.grad


@program
def switched_off_and_on(T):
    w = learned(T, 3)
    y = (w * 2).sum()
    w.requires_grad_(False)
    y.backward(retain_graph=True)
    w.requires_grad_()
    y.backward()
    return w.grad


# ---- Kept gradients and hooks --------------------------------------------------------------------------------------


@program
def kept_gradient_moves_to_the_changed_value(T):
    w, seen = learned(T, 3), []
    h = w * 2
    h.retain_grad()
    h.register_hook(lambda g: seen.append(["before", g.tolist()]))
    h.clamp_(-1, 3)
    h.register_hook(lambda g: seen.append(["after", g.tolist()]))
    (h * 3).sum().backward()
    return seen, h.grad, w.grad, h.retains_grad


@program
def kept_gradient_of_a_base_changed_through_a_view(T):
    w = learned(T, 3)
    h = w * 2
    h.retain_grad()
    h[:2].mul_(5)
    (h * 3).sum().backward()
    return h.grad, w.grad


@program
def kept_gradient_of_a_view_of_a_changed_base(T):
    w = learned(T, 3)
    h = w * 2
    v = h[:2]
    v.retain_grad()
    h.mul_(5)
    (v * 3).sum().backward()
    return v.grad, w.grad


@program
def kept_gradient_of_a_changed_view(T):
    w = learned(T, 3)
    h = w * 2
    v = h[:2]
    v.retain_grad()
    v.mul_(5)
    (h * 3).sum().backward()
    return v.grad, w.grad


@program
def kept_gradient_comes_after_the_hooks(T):
    w = learned(T, 3)
    h = w * 2
    h.retain_grad()
    h.register_hook(lambda g: g * 10)
    h.sum().backward()
    return h.grad, w.grad


@program
def kept_gradient_of_several_changes(T):
    w = learned(T, 3)
    h = w * 2
    h.retain_grad()
    h.add_(1).mul_(3)
    h.sum().backward()
    return h.grad, w.grad


# ---- The same node twice -------------------------------------------------------------------------------------------


@program
def two_losses_share_a_sum(T):
    w = learned(T, 3)
    h = w + 1
    h.sum().backward()
    h.mean().backward()
    return w.grad


@program
def two_losses_share_a_product(T):
    h = learned(T, 3) * 2
    h.sum().backward()
    h.sum().backward()


@program
def two_losses_share_a_write_to_a_view(T):
    b, w = T.zeros(3), learned(T, 2)
    b[:2].add_(w)
    b.sum().backward()
    b.sum().backward()


@program
def two_losses_share_a_sum_in_place(T):
    b, w = T.zeros(3), learned(T, 3)
    b.add_(w)
    b.sum().backward()
    b.sum().backward()
    return w.grad


def twice(save):
    def run(T):
        class Triple(T.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                if save:
                    ctx.save_for_backward(x)
                return x * 3

            @staticmethod
            def backward(ctx, dy):
                return dy * 3 * len(ctx.saved_tensors if save else "1")

        w = learned(T, 3)
        y = Triple.apply(w)
        y.sum().backward()
        y.sum().backward()
        return w.grad

    return run


PROGRAMS["function that saves nothing, twice"] = twice(False)
PROGRAMS["function that saves, twice"] = twice(True)


# ---- Only the way to what is asked for -----------------------------------------------------------------------------


@program
def gradient_of_a_part_then_of_the_rest(T):
    x = learned(T, 3)
    y = x * x
    z = y * y
    return T.autograd.grad(z.sum(), [y]), T.autograd.grad(y.sum(), [x])


@program
def hooks_off_the_way_stay_silent(T):
    x, u, seen = learned(T, 3), learned(T, 3), []
    h, k = x * 2, u * 3
    for name, t in {"h": h, "k": k, "x": x, "u": u}.items():
        t.register_hook(lambda g, name=name: seen.append(name))
    h.grad_fn.register_hook(lambda a, b: seen.append("node"))
    first = T.autograd.grad((h + k).sum(), [h])
    seen.append("then")
    h.sum().backward()
    k.sum().backward()
    return first, seen


@program
def backward_to_a_tensor_in_between(T):
    x = learned(T, 3)
    y = x * 2
    (y * 3).sum().backward(inputs=[y])
    kept = y.grad.tolist(), x.grad, y.retains_grad
    try:
        y.sum().backward()
    except RuntimeError:
        return kept, "a second time"


@program
def backward_to_the_same_leaf_twice(T):
    a = learned(T, 3)
    (a * 2).sum().backward(inputs=[a, a])
    return a.grad, T.autograd.grad((a * 2).sum(), [a, a])


@program
def backward_to_a_view(T):
    a = learned(T, 3)
    v = a[:2]
    (v * 2).sum().backward(inputs=[v])
    return v.grad, a.grad


@program
def backward_to_a_leaf_and_a_kept_tensor(T):
    a, u = learned(T, 3), learned(T, 3)
    h = a * 2
    h.retain_grad()
    (h * u).sum().backward(inputs=[h, a])
    return h.grad, a.grad, u.grad


@program
def backward_to_what_wants_nothing(T):
    learned(T, 2).sum().backward(inputs=[T.ones(2)])


@program
def backward_to_nothing(T):
    learned(T, 2).sum().backward(inputs=[])


@program
def gradient_of_a_piece(T):
    x = learned(T, 3)
    a, b = (x * 1).split([1, 2])
    return T.autograd.grad(a.sum() + b.sum() * 2, [a, x])


@program
def gradient_of_a_kept_tensor(T):
    x = learned(T, 3)
    h = x * 2
    h.retain_grad()
    return T.autograd.grad(h.sum(), [h, x]), h.grad


@program
def gradient_of_a_tensor_that_was_not_used(T):
    x, u = learned(T, 3), learned(T, 3)
    return T.autograd.grad(x.sum(), [u, x], allow_unused=True)


@program
def gradient_of_a_tensor_that_was_not_used_and_is_wanted(T):
    x, u = learned(T, 3), learned(T, 3)
    T.autograd.grad(x.sum(), [u, x])


@needs_torch
@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name):
    assert observe(PROGRAMS[name], cnn) == observe(PROGRAMS[name], torch)
