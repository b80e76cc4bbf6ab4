"""The graph: what is recorded, in which order it is walked, when it is freed, and what is refused."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
from harness import check_gradients, needs_torch, rng, torch

import cnn
from cnn.autograd.function import Operation


def leaf(*shape):
    return cnn.from_numpy(rng(1).standard_normal(shape).astype(np.float32)).requires_grad_()


class Square(cnn.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return factor * x * x

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return 2 * ctx.factor * x * dy, None


class Divide(cnn.autograd.Function):
    """Two outputs, one of them saved; new style with setup_context."""

    @staticmethod
    def forward(a, b):
        return a / b, (a > b)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output[0])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, dy, _):
        _, b, y = ctx.saved_tensors
        return dy / b, -dy * y / b


def test_user_function():
    check_gradients(lambda x: Square.apply(x, 3.0), rng(0).standard_normal((2, 3)))
    y = Square.apply(leaf(3), 2)
    assert repr(y.grad_fn).startswith("<SquareBackward object at ")
    assert "grad_fn=<SquareBackward>" in repr(y)


def test_user_function_with_several_outputs():
    random = rng(0)
    check_gradients(lambda a, b: Divide.apply(a, b)[0], random.standard_normal(4), random.uniform(1, 2, 4))
    quotient, larger = Divide.apply(leaf(3), leaf(3) + 5)
    assert quotient.requires_grad and not larger.requires_grad


def test_user_function_may_return_its_input():
    class Identity(cnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * 10

    x = leaf(3)
    Identity.apply(x).sum().backward()
    assert x.grad.tolist() == [10, 10, 10]


def test_user_function_that_changes_a_leaf():
    class Double(cnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy

    leaf = cnn.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        Double.apply(leaf)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        Double.apply(leaf[:1])
    x = leaf * 1
    Double.apply(x).sum().backward()
    assert leaf.grad.tolist() == [2, 2]


def test_user_function_with_the_wrong_number_of_gradients():
    class Wrong(cnn.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, dy):
            return dy

    with pytest.raises(
        RuntimeError, match=r"WrongBackward returned an incorrect number of gradients \(expected 2, got 1\)"
    ):
        Wrong.apply(leaf(2), leaf(2)).sum().backward()


def test_gradients_add_up_over_calls_and_uses():
    x = leaf(4)
    (x * 2 + x * 3).sum().backward()
    (x * 1).sum().backward()
    assert x.grad.tolist() == [6, 6, 6, 6]


def test_one_gradient_sent_to_two_leaves_is_not_shared():
    a, b = leaf(3), leaf(3)
    (a + b).backward(cnn.ones(3))
    a.grad += 1
    assert b.grad.tolist() == [1, 1, 1]


def test_the_callers_gradient_is_not_kept():
    x, g = leaf(3), cnn.ones(3)
    y = x * 1
    y.backward(g)
    x.grad += 1
    assert g.tolist() == [1, 1, 1]


def test_a_graph_deeper_than_the_stack():
    x = leaf(1)
    y = x
    for _ in range(20000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1
    del y
    gc.collect()


def test_saved_values_are_freed_by_backward_while_nodes_live():
    x = leaf(1000)
    hidden = x * 2
    saved = weakref.ref(hidden._a)
    loss = (hidden * hidden).sum()
    del hidden
    total = 0 + loss  # keeps every node alive
    assert saved() is not None
    loss.backward()
    assert saved() is None
    assert total.grad_fn is not None


def test_second_backward():
    x = leaf(3)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_in_place_change_of_a_saved_tensor_is_noticed():
    x = leaf(3)
    h = x * 2
    y = h * h
    h += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_in_place_change_through_a_view_or_detach_is_noticed():
    for change in (lambda h: h[0].zero_(), lambda h: h.detach().add_(1), lambda h: h.view(-1).mul_(2)):
        x = leaf(3)
        h = x * 2
        y = h * h
        change(h)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_data_is_written_past_autograd():
    x = leaf(3)
    y = x * x
    before = x.detach().clone()
    x.data[:] = 7
    y.sum().backward()
    assert x.tolist() == [7, 7, 7] and before.tolist() != [7, 7, 7]


def test_in_place_change_of_a_leaf_is_refused():
    x = leaf(3)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0)):
        with pytest.raises(
            RuntimeError, match="a leaf Variable that requires grad is being used in an in-place operation"
        ):
            change()
    with pytest.raises(RuntimeError, match="a view of a leaf Variable"):
        x[0].add_(1)
    with cnn.no_grad():
        x.add_(1)
    x.data.zero_()
    assert x.tolist() == [0, 0, 0]


def test_scalar_only():
    with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar outputs"):
        (leaf(3) * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        cnn.ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (leaf(3) * 2).backward(cnn.ones(2))


def test_double_backward_says_that_it_is_not_supported():
    x = leaf(1)
    with pytest.raises(NotImplementedError, match="double backward is not supported"):
        cnn.autograd.grad(x * x, x, create_graph=True)
    with pytest.raises(NotImplementedError, match="double backward is not supported"):
        (x * x).sum().backward(create_graph=True)
    assert x.grad is None


def test_gradients_of_a_node_that_keeps_what_it_saved_are_let_go():
    gradients = []

    class Stubborn(Operation):
        @staticmethod
        def forward(ctx, x):
            ctx.saved = (x,)
            return 2 * x

        @staticmethod
        def backward(ctx, dy):
            dx = 2 * dy
            gradients.append(weakref.ref(dx))
            return dx

        def free(self):
            raise RuntimeError("not mine")

    x = leaf(3)
    with pytest.raises(RuntimeError, match="not mine"):
        Stubborn.apply(x).sum().backward()
    gc.collect()
    assert gradients[0]() is None and x.grad is None


def test_a_gradient_takes_the_type_of_its_leaf():
    class Doubled(cnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return (2 * g).double()

    x = cnn.ones(3, requires_grad=True)
    Doubled.apply(x).sum().backward()
    assert x.grad.dtype is cnn.float32 and x.grad.tolist() == [2, 2, 2]
    handle = x.register_hook(lambda g: g.double())
    (x * 3).sum().backward()
    handle.remove()
    assert x.grad.dtype is cnn.float32 and x.grad.tolist() == [5, 5, 5]


def test_functions_with_a_vjp_or_without_a_backward():
    class Square(cnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

    class OldNames(Square):
        @staticmethod
        def vjp(ctx, g):
            (x,) = ctx.saved_variables
            return 2 * x * g

    x = cnn.tensor([3.0], requires_grad=True)
    OldNames.apply(x).sum().backward()
    assert x.grad.tolist() == [6]
    with pytest.raises(NotImplementedError, match="either the backward or vjp method"):
        Square.apply(x).sum().backward()
    with pytest.raises(NotImplementedError, match="either the backward or vjp method"):
        Square.vjp(None, x)


def test_modes():
    x = leaf(2)
    with cnn.no_grad():
        assert not (x * 2).requires_grad
        with cnn.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @cnn.no_grad()
    def f():
        return x * 2

    @cnn.no_grad
    def g():
        yield x * 2
        yield cnn.is_grad_enabled()

    assert not f().requires_grad
    first, inside = g()
    assert not first.requires_grad and inside is False and cnn.is_grad_enabled()
    with cnn.set_grad_enabled(False):
        assert not cnn.is_grad_enabled()
    assert cnn.is_grad_enabled()
    cnn.set_grad_enabled(False)
    assert not (x * 2).requires_grad
    cnn.set_grad_enabled(True)
    with cnn.inference_mode():
        assert not (x * 2).requires_grad

    @cnn.inference_mode()
    def h():
        return x * 2

    assert not h().requires_grad
    with pytest.raises(ValueError, match="boom"), cnn.no_grad():
        raise ValueError("boom")
    assert cnn.is_grad_enabled()


def test_grad_returns_and_does_not_store():
    x, w = leaf(3), leaf(3)
    h = x * w
    dx, dh = cnn.autograd.grad((h * h).sum(), [x, h])
    assert np.allclose(dh.numpy(), 2 * h.detach().numpy())
    assert np.allclose(dx.numpy(), (2 * h * w).detach().numpy())
    assert x.grad is None and w.grad is None
    with pytest.raises(RuntimeError, match="not have been used in the graph"):
        cnn.autograd.grad((x * 1).sum(), w)
    assert cnn.autograd.grad((x * 1).sum(), w, allow_unused=True) == (None,)


def test_backward_with_inputs():
    x, w = leaf(3), leaf(3)
    (x * w).sum().backward(inputs=[x])
    assert x.grad is not None and w.grad is None


def test_hooks():
    x = leaf(2)
    seen = []
    handle = x.register_hook(lambda g: g * 2)
    h = x * 3
    h.register_hook(lambda g: seen.append(g.tolist()))
    h.retain_grad()
    (h * 1).sum().backward()
    assert seen == [[1, 1]] and h.grad.tolist() == [1, 1] and x.grad.tolist() == [6, 6]
    handle.remove()
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]
    order = []
    x.register_post_accumulate_grad_hook(lambda t: order.append(t.grad.tolist()))
    (x * 1).sum().backward()
    assert order == [[4, 4]]


def test_next_functions():
    x = leaf(2)
    y = (x * 2).exp()
    mul = y.grad_fn.next_functions[0][0]
    assert mul.name() == "MulBackward0"
    accumulate = mul.next_functions[0][0]
    assert accumulate.name() == "AccumulateGrad" and accumulate.variable is x


def test_detach_and_requires_grad():
    x = leaf(2)
    y = (x * 2).detach()
    assert not y.requires_grad and y.is_leaf
    with pytest.raises(RuntimeError, match="only Tensors of floating point"):
        cnn.tensor([1]).requires_grad_()
    with pytest.raises(RuntimeError, match="you can only change requires_grad flags of leaf variables"):
        (x * 2).requires_grad_(False)
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        x.numpy()


def test_views_share_memory():
    x = cnn.zeros(2, 3)
    x.view(-1)[4] = 5
    x.t()[0, 0] = 1
    x[1, :] = cnn.tensor([7.0, 8.0, 9.0])
    x.numpy()[0, 1] = 2
    x.data[0, 2] = 3
    assert x.tolist() == [[1, 2, 3], [7, 8, 9]]
    array = np.zeros(3, np.float32)
    cnn.from_numpy(array)[1] = 4
    assert array.tolist() == [0, 4, 0]


def test_view_of_a_transposed_tensor_is_refused():
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        cnn.zeros(2, 3).t().view(-1)
    assert cnn.zeros(2, 3).t().reshape(-1).shape == (6,)


def test_channels_last_activations_look_ordinary():
    memory = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 4, 5, 3)
    x = cnn.Tensor._wrap(memory.transpose(0, 3, 1, 2).copy(order="K"))
    assert x.is_contiguous() and x.stride() == (60, 20, 5, 1)
    flat = x.view(2, -1)
    flat[0, 0] = 100
    assert x[0, 0, 0, 0].item() == 100
    assert np.array_equal(x.flatten(1).numpy(), x.numpy().reshape(2, -1))


def test_python_protocol():
    t = cnn.tensor([[1, 2], [3, 4]])
    assert len(t) == 2 and [row.tolist() for row in t] == [[1, 2], [3, 4]]
    index = cnn.tensor(1)
    assert ["a", "b"][index] == "b" and (10, 20)[index] == 20 and list(range(5))[: cnn.tensor(2)] == [0, 1]
    assert float(cnn.tensor(2.5)) == 2.5 and int(cnn.tensor(2.5)) == 2 and bool(cnn.tensor(0.0)) is False
    assert {t: 1}[t] == 1
    assert 2 in cnn.tensor([1, 2]) and 5 not in cnn.tensor([1, 2])
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(t)
    with pytest.raises(TypeError, match="len\\(\\) of a 0-d tensor"):
        len(index)
    with pytest.raises(TypeError, match="only integer tensors of a single element can be converted to an index"):
        ["a"][cnn.tensor(0.0)]
    with pytest.raises(RuntimeError, match="a Tensor with 4 elements cannot be converted to Scalar"):
        t.item()
    assert isinstance(np.asarray(t), np.ndarray)
    assert (np.float32(2) * cnn.ones(2)).tolist() == [2, 2]
    assert (np.ones(2, np.float32) + cnn.ones(2)).tolist() == [2, 2]


def test_copies():
    x = leaf(3)
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y is not x and y.requires_grad and y.grad.tolist() == [2, 2, 2]
    z = pickle.loads(pickle.dumps(x))
    assert z.requires_grad and z.tolist() == x.tolist()
    with pytest.raises(RuntimeError, match="deepcopy protocol"):
        copy.deepcopy(x * 2)


def test_errors_name_shapes():
    a, b = cnn.zeros(2, 3), cnn.zeros(2, 4)
    with pytest.raises(RuntimeError, match=r"size of tensor a \(3\) must match the size of tensor b \(4\)"):
        a + b
    with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied \(2x3 and 2x4\)"):
        a @ b
    with pytest.raises(RuntimeError, match=r"shape '\[4, 2\]' is invalid for input of size 6"):
        a.view(4, 2)
    with pytest.raises(IndexError, match=r"Dimension out of range \(expected to be in range of \[-2, 1\], but got 2\)"):
        a.sum(2)
    with pytest.raises(IndexError, match="index 5 is out of bounds for dimension 0 with size 2"):
        a[5]
    with pytest.raises(IndexError, match="too many indices for tensor of dimension 2"):
        a[0, 0, 0]
    with pytest.raises(RuntimeError, match="result type Float can't be cast to the desired output type Long"):
        cnn.tensor([1]).add_(0.5)
    with pytest.raises(RuntimeError, match="expanded size of the tensor"):
        a[0] = cnn.zeros(5)
    with pytest.raises(RuntimeError, match="Expected size 3 but got size 4"):
        cnn.cat([a, b], 0)
    with pytest.raises(TypeError, match="can't convert np.ndarray of type complex128"):
        cnn.from_numpy(np.zeros(2, complex))
    with pytest.raises(ValueError, match="rectangle"):
        cnn.tensor([[1, 2], [3]])
    with pytest.raises(RuntimeError, match="negative dimension -1"):
        cnn.zeros(-1)
    with pytest.raises(MemoryError):
        cnn.zeros(2**40, 2**40)


@needs_torch
def test_random_graphs_against_torch():
    """Random programs of views, in-place changes and arithmetic give torch's gradients."""
    steps = {
        "mul": lambda T, a, b: a * b,
        "add": lambda T, a, b: a + b,
        "tanh-like": lambda T, a, b: a / (1 + a.abs()),
        "view": lambda T, a, b: a.reshape(4, 3).t().reshape(3, 4),
        "row": lambda T, a, b: a[1:2].expand(3, 4) * 0.5 + b,
        "inplace add": lambda T, a, b: (a * 1).add_(b),
        "inplace mul on a view": lambda T, a, b: _mul_view(a * 1, b),
        "write": lambda T, a, b: _write(a * 1, b),
        "cat": lambda T, a, b: T.cat([a[:, :2], b[:, 2:]], 1),
        "sum": lambda T, a, b: a.sum(0, keepdim=True) * b,
        "flip": lambda T, a, b: a.flip(1) - b,
        "clamp": lambda T, a, b: a.clamp(-1, 1) + b,
        "max": lambda T, a, b: T.maximum(a, b),
    }
    names = list(steps)
    for seed in range(60):
        random = rng(seed)
        program = [(names[random.integers(len(names))], random.integers(2), random.integers(2)) for _ in range(8)]
        start = [random.standard_normal((3, 4)) for _ in range(2)]
        results = []
        for T in (cnn, torch):
            leaves = [T.from_numpy(a.copy()).requires_grad_() for a in start]
            values = list(leaves)
            for name, i, j in program:
                values[i] = steps[name](T, values[i], values[j])
            (values[0].sum() + (values[1] * values[1]).mean()).backward()
            results.append([np.zeros((3, 4)) if x.grad is None else x.grad.numpy() for x in leaves])
        for mine, theirs in zip(*results, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9, err_msg=str(program))


def _mul_view(a, b):
    a[:, 1:3].mul_(b[:, :2])
    return a


def _write(a, b):
    a[0] = b[2]
    a[:, 3] = 1.0
    return a


def test_in_place_with_itself():
    """What backward needs of an argument in the written memory is its value before the write."""
    for write, slope in [
        (lambda y: y.mul_(y), lambda x: 2 * x),
        (lambda y: y.div_(y), lambda x: 0 * x),
        (lambda y: y.pow_(y), lambda x: x**x * (np.log(x) + 1)),
        (lambda y: y.mul_(y.view(2, 2).t().t()), lambda x: 2 * x),
    ]:
        x = cnn.tensor([[1.0, 2.0], [3.0, 0.5]], dtype=cnn.float64, requires_grad=True)
        y = x * 1
        write(y)
        y.sum().backward()
        assert np.allclose(x.grad._a, slope(x.detach()._a), atol=1e-12)


def test_a_gradient_on_the_way_is_taken_before_its_hooks():
    """As torch has it: what autograd.grad returns for a tensor has seen its hooks only where the walk ends there."""
    x = cnn.ones(1, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g + 1)
    assert [g.item() for g in cnn.autograd.grad(y.sum(), [y, x])] == [1, 4]
    y = x * 2
    y.register_hook(lambda g: g + 1)
    assert cnn.autograd.grad(y.sum(), [y])[0].item() == 2


def test_a_changed_view_whose_elements_share_memory():
    """Each place gets the sum of what came for the elements that lie there."""
    x = cnn.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 1
    wide, windows = y.expand(4, 3), y.unfold(0, 2, 1)
    y.mul_(2)
    (wide.sum() + (windows * windows).sum()).backward()
    assert x.grad.tolist() == [8 + 8, 8 + 2 * 16, 8 + 24]


@pytest.mark.parametrize("seed", range(40))
def test_a_graph_of_many_live_nodes(seed):
    """A node is derived when everything that came of it has been: exact integers of linear graphs tell when it was not.
    Up to 40 nodes wait at a time, in an order that has nothing to do with how they hang together."""
    random = np.random.default_rng(seed)
    leaf = cnn.ones(1, dtype=cnn.float64, requires_grad=True)
    live, slopes = [leaf], [1]  # of each tensor: its slope with regard to the leaf, which is its value as well
    width = int(random.integers(3, 40))
    for _ in range(width + 60):
        i, j = random.integers(len(live), size=2)
        a, b = (int(v) for v in random.integers(-2, 3, 2))
        y, slope = live[i] * a + live[j] * b, slopes[i] * a + slopes[j] * b
        if len(live) < width:
            live.append(y)
            slopes.append(slope)
        elif abs(slope) < 2**40:
            place = int(random.integers(1, width))
            live[place], slopes[place] = y, slope
    weights = [int(v) for v in random.integers(1, 4, len(live))]
    total = live[0] * weights[0]
    for k in random.permutation(len(live) - 1) + 1:
        total = live[k] * weights[k] + total
    total.backward()
    assert leaf.grad.item() == total.item() == sum(w * s for w, s in zip(weights, slopes, strict=True))
