"""Random numbers: torch's, bit for bit, where torch is there to be asked; stored ones of torch 2.13 otherwise."""

import copy
import pickle
import signal
import threading
import time
import zlib

import numpy as np
import pytest
from harness import COUNTS, needs_torch, torch

import cnn

SEEDS = [0, 1, 42, 2**32 - 1, 2**32 + 7, -1, 2**63, 2**64 - 1]
SIZES = [0, 1, 2, 5, 15, 16, 17, 31, 32, 33, 47, 623, 624, 625, 1248, 4096, 4100, 10007]
REALS = ["float32", "float64"]
ALL = ["bool", "uint8", "int8", "int16", "int32", "int64", *REALS]


def same(ours, theirs):
    """Every bit agrees, shape and type too."""
    COUNTS["torch"] += 1
    a, b = ours._a, theirs.numpy()
    assert a.dtype == b.dtype and a.shape == b.shape, f"{a.dtype}{a.shape}, torch has {b.dtype}{b.shape}"
    different = np.flatnonzero(a.ravel() != b.ravel())
    assert a.tobytes() == b.tobytes(), f"{different.size} of {a.size} differ, first at {different[:3]}"


def same_state():
    same(cnn.get_rng_state(), torch.get_rng_state())


@pytest.fixture
def seeded():
    """Both libraries at the same point of the same stream."""
    cnn.manual_seed(1234)
    torch.manual_seed(1234)


# ---- Draw for draw ---------------------------------------------------------------------------------------------------

# What is drawn, as a call on a tensor of either library.
IN_PLACE_REAL = {
    "uniform": lambda t: t.uniform_(),
    "uniform_from_to": lambda t: t.uniform_(-0.3, 0.7),
    "uniform_from_0": lambda t: t.uniform_(0, 3),
    "uniform_of_nothing": lambda t: t.uniform_(2, 2),
    "uniform_of_few": lambda t: t.uniform_(1, 1 + 2**-22),
    "normal": lambda t: t.normal_(),
    "normal_mean_std": lambda t: t.normal_(-3, 0.1),
    "normal_std_0": lambda t: t.normal_(1, 0),
    "exponential": lambda t: t.exponential_(),
    "exponential_rate": lambda t: t.exponential_(3.7),
    "cauchy": lambda t: t.cauchy_(0.5, 2),
    "log_normal": lambda t: t.log_normal_(0.1, 0.7),
}
IN_PLACE_ANY = {
    "random": lambda t: t.random_(),
    "random_to": lambda t: t.random_(2),
    "random_from_to": lambda t: t.random_(0, 2),
    "bernoulli": lambda t: t.bernoulli_(),
    "bernoulli_p": lambda t: t.bernoulli_(0.3),
    "bernoulli_0": lambda t: t.bernoulli_(0),
    "bernoulli_1": lambda t: t.bernoulli_(1),
    "geometric": lambda t: t.geometric_(0.3),
}


@needs_torch
@pytest.mark.parametrize("seed", SEEDS)
def test_every_draw_in_one_stream(seed):
    """All draws of all sizes after one another: a single word too many or too few spoils the rest."""
    cnn.manual_seed(seed)
    torch.manual_seed(seed)
    assert cnn.initial_seed() == torch.initial_seed()
    for n in SIZES:
        for kind in ALL:
            ours, theirs = cnn.empty(n, dtype=getattr(cnn, kind)), torch.empty(n, dtype=getattr(torch, kind))
            draws = {**IN_PLACE_ANY, **(IN_PLACE_REAL if kind in REALS else {})}
            for name, draw in draws.items():
                if name == "geometric" and kind == "bool":
                    continue
                same(draw(ours), draw(theirs))
        same(cnn.randperm(n), torch.randperm(n))
    same_state()


@needs_torch
def test_normal_of_many_values_per_instruction_set(every_isa, seeded):
    """float32 repeats torch's vectorised log and cos, and rounds as they do on every instruction set."""
    same(cnn.randn(1 << 18), torch.randn(1 << 18))
    same(cnn.empty(50_001).normal_(3, 0.01), torch.empty(50_001).normal_(3, 0.01))
    same(cnn.randn(50_001, dtype=cnn.float64), torch.randn(50_001, dtype=torch.float64))


@needs_torch
@pytest.mark.parametrize(
    "low, high",
    [(0, 1), (0, 10), (-7, 2**28 - 8), (-7, 2**28 - 7), (0, 2**31), (0, 2**32 - 1), (0, 2**32), (0, 2**40 + 3),
     (-(2**62), 2**62), (-(2**63), 2**63 - 1), (2**63 - 2, 2**63 - 1)],
)  # fmt: skip
def test_integers_of_any_range(low, high, seeded):
    same(cnn.randint(low, high, (1001,)), torch.randint(low, high, (1001,)))
    same_state()


@needs_torch
@pytest.mark.filterwarnings("ignore:.*out of bounds.*:UserWarning")
def test_integers_into_other_types(seeded):
    for kind, low, high in [("uint8", 0, 256), ("int8", -128, 128), ("int16", -5, 1000), ("int32", -(2**31), 2**31 - 1),
                            ("float32", 0, 100), ("float32", 0, 2**30), ("float32", -(2**30), 5), ("float64", 0, 2**60),
                            ("bool", 0, 2), ("float16", 0, 2048), ("float16", 0, 60000)]:  # fmt: skip
        ours, theirs = cnn.empty(501, dtype=getattr(cnn, kind)), torch.empty(501, dtype=getattr(torch, kind))
        same(ours.random_(low, high), theirs.random_(low, high))
        if kind != "float16":  # there torch computes the limit with a different rounding
            same(ours.random_(1, None), theirs.random_(1, None))
    for kind in ["int64", "float32", "float64"]:
        ours, theirs = cnn.empty(501, dtype=getattr(cnn, kind)), torch.empty(501, dtype=getattr(torch, kind))
        same(ours.random_(-(2**63), None), theirs.random_(-(2**63), None))
    same_state()


@needs_torch
@pytest.mark.parametrize("n", [3, 16, 17, 100, 1000])
def test_float16(n, seeded):
    same(cnn.rand(n, dtype=cnn.float16), torch.rand(n, dtype=torch.float16))
    same(cnn.empty(n, dtype=cnn.float16).random_(), torch.empty(n, dtype=torch.float16).random_())
    same_state()
    ours, theirs = cnn.randn(n, dtype=cnn.float16)._a, torch.randn(n, dtype=torch.float16).numpy()
    # torch converts back and forth in its own way here: the last bit may differ
    np.testing.assert_allclose(ours.astype(float), theirs.astype(float), rtol=2e-3, atol=2e-3)
    same_state()


@needs_torch
def test_large_permutation(seeded):
    same(cnn.randperm(70_001), torch.randperm(70_001))
    same(cnn.randperm(1000, dtype=cnn.int32), torch.randperm(1000, dtype=torch.int32))
    same(cnn.randperm(100, dtype=cnn.float32), torch.randperm(100, dtype=torch.float32))


# ---- Functions -------------------------------------------------------------------------------------------------------


@needs_torch
def test_creation_functions(seeded):
    for lib in (cnn, torch):
        lib.manual_seed(9)
    calls = [
        lambda t: t.rand(3, 4),
        lambda t: t.rand((3, 4)),
        lambda t: t.rand([3, 4], dtype=t.float64),
        lambda t: t.rand(size=(2, 2)),
        lambda t: t.rand(()),
        lambda t: t.rand(0, 3),
        lambda t: t.randn(2, 3, 4),
        lambda t: t.randn(5, dtype=t.float64),
        lambda t: t.randint(10, (7,)),
        lambda t: t.randint(3, 10, (7, 2)),
        lambda t: t.randint(low=3, high=10, size=(7,)),
        lambda t: t.randint(3, high=10, size=[7]),
        lambda t: t.randint(high=10, size=(7,)),
        lambda t: t.randint(0, 255, (7,), dtype=t.uint8),
        lambda t: t.randperm(11),
        lambda t: t.rand_like(t.zeros(3, 2)),
        lambda t: t.randn_like(t.zeros(3, 20, dtype=t.float64)),
        lambda t: t.randn_like(t.zeros(3, dtype=t.int64), dtype=t.float32),
        lambda t: t.randint_like(t.zeros(3, 2), 5),
        lambda t: t.randint_like(t.zeros(3, 2, dtype=t.int64), 5, 9),
        lambda t: t.normal(1.0, 2.0, (5,)),
        lambda t: t.normal(1.0, 2.0, size=(50,)),
        lambda t: t.normal(t.arange(20.0), 0.5),
        lambda t: t.normal(2.0, t.arange(20.0)),
        lambda t: t.normal(t.arange(20.0), t.arange(1.0, 21.0)),
        lambda t: t.normal(t.zeros(3, 1), t.ones(4)),
        lambda t: t.normal(mean=t.arange(1.0, 11.0), std=t.arange(1, 0, -0.1)),
        lambda t: t.bernoulli(t.full((3, 30), 0.4)),
        lambda t: t.bernoulli(t.full((30,), 0.4, dtype=t.float64)),
        lambda t: t.bernoulli(t.zeros(30), 0.7),
        lambda t: t.full((30,), 0.4).bernoulli(),
        lambda t: t.zeros(30).bernoulli_(t.linspace(0, 1, 30)),
        lambda t: t.zeros(3, 30, dtype=t.int64).bernoulli_(t.linspace(0, 1, 30)),
        lambda t: t.empty(3, 3).uniform_(to=5),
        lambda t: t.empty(3, 3).uniform_(**{"from": -1, "to": 0}),
        lambda t: t.empty(3, 3).random_(**{"from": 5, "to": 7}),
        lambda t: t.empty(3, 3).normal_(mean=2, std=3),
        lambda t: t.empty(3, 3).exponential_(lambd=0.5),
        lambda t: t.nn.init.trunc_normal_(t.empty(1000), 0.5, 2.0),
        lambda t: t.nn.init.trunc_normal_(t.empty(100, dtype=t.float64), 0.0, 1.0, 2.0, 3.0),
        lambda t: t.nn.init.kaiming_normal_(t.empty(8, 3, 3, 3)),
        lambda t: t.nn.init.kaiming_uniform_(t.empty(8, 3, 3, 3), a=5**0.5),
    ]
    for call in calls:
        same(call(cnn), call(torch))
    same_state()


@needs_torch
def test_out(seeded):
    ours, theirs = cnn.empty(3, 4), torch.empty(3, 4)
    assert cnn.randn(3, 4, out=ours) is ours
    same(ours, torch.randn(3, 4, out=theirs))
    ours, theirs = cnn.empty(6, dtype=cnn.int64), torch.empty(6, dtype=torch.int64)
    cnn.randperm(6, out=ours)
    same(ours, torch.randperm(6, out=theirs))


@needs_torch
@pytest.mark.parametrize("kind", REALS)
def test_multinomial(kind, seeded):
    weights = np.random.default_rng(0).random((4, 57)).astype(kind)
    weights[:, 5] = 0
    ours, theirs = cnn.from_numpy(weights), torch.from_numpy(weights)
    for k, replacement in [(1, False), (1, True), (2, True), (100, True), (1000, True), (5, False), (56, False)]:
        same(cnn.multinomial(ours, k, replacement), torch.multinomial(theirs, k, replacement))
        same(ours[2].multinomial(k, replacement), theirs[2].multinomial(k, replacement))
    same_state()


@needs_torch
@pytest.mark.parametrize(
    "view",
    [
        lambda t: t.empty(7, 5).t(),
        lambda t: t.empty(3, 4, 5).permute(2, 0, 1),
        lambda t: t.empty(6, 8)[:, 1:4],
        lambda t: t.empty(6, 8)[::2],
        lambda t: t.empty(40)[::2],
        lambda t: t.empty(2, 3, 4, 5).transpose(1, 3),
        lambda t: t.empty(2, 1, 4, 1).transpose(0, 2),
        lambda t: t.empty(4, 5).t()[1:3],
    ],
)
@pytest.mark.parametrize("name", ["uniform", "normal_mean_std", "exponential", "bernoulli_p", "random_to"])
def test_views_are_filled_in_torchs_order(view, name, seeded):
    draw = {**IN_PLACE_REAL, **IN_PLACE_ANY}[name]
    same(draw(view(cnn)).contiguous(), draw(view(torch)).contiguous())
    same_state()


@needs_torch
def test_bernoulli_of_probabilities_into_views(seeded):
    p = np.linspace(0, 1, 35, dtype=np.float32).reshape(5, 7)
    for shape in [(5, 7), (7, 5)]:
        for expand in (lambda t: t, lambda t: t[:1], lambda t: t[:, :1]):
            ours, theirs = cnn.zeros(*shape), torch.zeros(*shape)
            if shape == (7, 5):
                ours, theirs = ours.t(), theirs.t()
            ours.bernoulli_(expand(cnn.from_numpy(p)))
            theirs.bernoulli_(expand(torch.from_numpy(p)))
            same(ours.contiguous(), theirs.contiguous())


def test_channels_last_memory_counts_as_c_order():
    """Only strides tell that a layer left its output channels-last: the values must not depend on it."""
    plain = cnn.empty(2, 3, 4, 5)
    channels_last = cnn.Tensor._wrap(np.empty((2, 4, 5, 3), np.float32).transpose(0, 3, 1, 2).copy("K"))
    for draw in IN_PLACE_REAL.values():
        cnn.manual_seed(5)
        draw(plain)
        cnn.manual_seed(5)
        draw(channels_last)
        assert np.array_equal(plain._a, channels_last._a)


# ---- The generator ---------------------------------------------------------------------------------------------------


@needs_torch
def test_state_goes_both_ways():
    for odd in (0, 1):  # 1: with a normal value kept for the next request
        theirs = torch.Generator().manual_seed(99)
        torch.randn(2 + odd, generator=theirs)
        torch.rand(700, generator=theirs)
        ours = cnn.Generator()
        ours.set_state(cnn.from_numpy(theirs.get_state().numpy()))
        same(ours.get_state(), theirs.get_state())
        assert ours.initial_seed() == 99
        same(cnn.randn(5, generator=ours), torch.randn(5, generator=theirs))
        same(cnn.rand(700, generator=ours), torch.rand(700, generator=theirs))
        theirs.set_state(torch.from_numpy(ours.get_state().numpy()))
        same(cnn.randperm(50, generator=ours), torch.randperm(50, generator=theirs))
    fresh = cnn.Generator()
    same(fresh.get_state(), torch.Generator().get_state())
    assert fresh.initial_seed() == torch.Generator().initial_seed()


def test_generators_have_streams_of_their_own():
    a, b = cnn.Generator().manual_seed(1), cnn.Generator().manual_seed(1)
    cnn.manual_seed(1)
    expected = [cnn.rand(3).tolist() for _ in range(3)]
    assert [cnn.rand(3, generator=a).tolist() for _ in range(2)] == expected[:2]
    assert [cnn.rand(3, generator=b).tolist() for _ in range(3)] == expected
    assert cnn.rand(3, generator=a).tolist() == expected[2]


def test_copies_of_a_generator():
    g = cnn.Generator().manual_seed(7)
    cnn.randn(3, generator=g)
    copies = [g.clone_state(), copy.copy(g), copy.deepcopy(g), pickle.loads(pickle.dumps(g))]
    expected = cnn.randn(5, generator=g).tolist()
    for c in copies:
        assert type(c) is cnn.Generator and c.initial_seed() == 7
        assert cnn.randn(5, generator=c).tolist() == expected


def test_seeds():
    assert cnn.manual_seed(5) is cnn.default_generator and cnn.initial_seed() == 5
    assert cnn.manual_seed(-1).initial_seed() == 2**64 - 1
    drawn = {cnn.seed() for _ in range(5)}
    assert len(drawn) == 5 and max(drawn) < 2**53 and cnn.initial_seed() in drawn
    g = cnn.Generator(device="cpu")
    assert g.device == cnn.device("cpu") and g.manual_seed(3) is g and g.initial_seed() == 3
    assert g.seed() == g.initial_seed()
    assert cnn.random.initial_seed is cnn.initial_seed and cnn.random.manual_seed is cnn.manual_seed


def test_fork_rng():
    cnn.manual_seed(1)
    expected = cnn.rand(4).tolist()
    cnn.manual_seed(1)
    with cnn.random.fork_rng():
        cnn.rand(10)
    assert cnn.rand(4).tolist() == expected
    cnn.manual_seed(1)
    with pytest.raises(KeyError), cnn.random.fork_rng():
        cnn.rand(10)
        raise KeyError
    assert cnn.rand(4).tolist() == expected
    cnn.manual_seed(1)
    with cnn.random.fork_rng(enabled=False):
        cnn.rand(10)
    assert cnn.rand(4).tolist() != expected


def test_rng_state():
    cnn.manual_seed(1)
    cnn.randn(3)
    state = cnn.get_rng_state()
    assert state.dtype is cnn.uint8 and state.shape == (5056,)
    first = cnn.randn(3).tolist()
    cnn.set_rng_state(state)
    assert cnn.randn(3).tolist() == first


def test_values_do_not_depend_on_threads():
    threads = cnn.get_num_threads()
    try:
        seen = set()
        for n in (1, 2, 3, 4, 7):
            cnn.set_num_threads(n)
            cnn.manual_seed(3)
            seen.add(cnn.randn(300_001).numpy().tobytes() + cnn.rand(100_001).numpy().tobytes())
        assert len(seen) == 1
    finally:
        cnn.set_num_threads(threads)


# What torch 2.13.0 draws after manual_seed(2024), for machines without it.
STORED = [
    (lambda: cnn.rand(4), [0.5317158699035645, 0.8312679529190063, 0.9718379974365234, 0.11930084228515625]),
    (lambda: cnn.rand(3, dtype=cnn.float64), [0.25372732026738665, 0.7747043317543358, 0.33521823650125215]),
    (lambda: cnn.randn(3), [-0.040429167449474335, 1.7259920835494995, -0.8140387535095215]),
    (lambda: cnn.randn(16)[:3], [-1.2262355089187622, -0.009314819239079952, 1.541957974433899]),
    (lambda: cnn.randint(0, 1000, (5,)), [112, 50, 184, 360, 523]),
    (lambda: cnn.randint(-(2**60), 2**60, (3,)), [470659733776551418, 214143499138665088, 12026576704730660]),
    (lambda: cnn.randperm(8), [0, 1, 6, 3, 7, 4, 2, 5]),
    (lambda: cnn.empty(12).bernoulli_(0.3), [1, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0]),
    (lambda: cnn.bernoulli(cnn.full((12,), 0.3)), [0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0]),
    (lambda: cnn.empty(2, dtype=cnn.int64).random_(), [1623581238383398394, 3672908012959206016]),
    (lambda: cnn.multinomial(cnn.tensor([1.0, 2, 3]), 6, True), [1, 2, 1, 2, 2, 1]),
    (lambda: cnn.multinomial(cnn.tensor([1.0, 2, 3]), 3), [2, 0, 1]),
    (lambda: cnn.empty(3).exponential_(), [0.29266422986984253, 1.4903416633605957, 0.40829646587371826]),
    # CRC-32 of the bytes
    (lambda: cnn.randn(1001), 1343364774),
    (lambda: cnn.rand(1001), 3811529268),
    (lambda: cnn.empty(1001).uniform_(-0.1, 0.3), 713004480),
]


@pytest.mark.parametrize("number", range(len(STORED)))
def test_stored_values(number, every_isa):
    draw, expected = STORED[number]
    cnn.manual_seed(2024)
    drawn = draw()
    assert (drawn.tolist() if isinstance(expected, list) else zlib.crc32(drawn._a)) == expected


# ---- In the graph, and mistakes --------------------------------------------------------------------------------------


def test_in_place_in_the_graph():
    x = cnn.ones(3, requires_grad=True)
    y = x * 2
    y.uniform_()
    assert y.requires_grad and repr(y.grad_fn).startswith("<UniformBackward0")
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        x.normal_()
    with cnn.no_grad():
        x.normal_()
    saved = cnn.ones(3, requires_grad=True)
    z = saved * saved
    with cnn.no_grad():
        saved.uniform_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


MISTAKES = [
    (lambda: cnn.rand(3, dtype=cnn.int64), TypeError, "uniform: expected a float32 or float64 array, got int64"),
    (lambda: cnn.rand(-1), RuntimeError, "negative dimension -1"),
    (lambda: cnn.rand(2**40, 2**40), MemoryError, "too many elements"),
    (lambda: cnn.rand(2**45), MemoryError, "cannot get 140737488355328 bytes"),
    (lambda: cnn.rand(3, seed=1), TypeError, "unexpected keyword argument 'seed'"),
    (lambda: cnn.rand(3, generator=5), TypeError, "generator must be a Generator or None, got int"),
    (lambda: cnn.randint(5, 5, (2,)), RuntimeError, "from=5 >= to=5"),
    (lambda: cnn.randint(0, 300, (2,), dtype=cnn.uint8), RuntimeError, "out of bounds for uint8"),
    (lambda: cnn.randint(0, 2**64, (2,)), RuntimeError, "out of bounds for int64"),
    (lambda: cnn.randint(5), TypeError, "size must be a tuple"),
    (lambda: cnn.randint(0, 5, 3), TypeError, r"takes \(high, size\)|size must be a tuple"),
    (lambda: cnn.randperm(-1), RuntimeError, "n must be non-negative"),
    (lambda: cnn.randperm(300, dtype=cnn.uint8), RuntimeError, "too large for result tensor type"),
    (lambda: cnn.normal(0.0, 1.0), TypeError, "needs a size"),
    (lambda: cnn.normal(0.0, -1.0, (2,)), RuntimeError, "std >= 0.0"),
    (lambda: cnn.normal(0.0, cnn.tensor([1.0, -1.0])), RuntimeError, "std >= 0.0"),
    (lambda: cnn.zeros(3).uniform_(2, 1), RuntimeError, "found from=2 > to=1"),
    (lambda: cnn.zeros(3).uniform_(0, float("nan")), RuntimeError, "to return a"),
    (lambda: cnn.zeros(3).uniform_(-3e38, 3e38), RuntimeError, "within the range of float32"),
    (lambda: cnn.zeros(3).uniform_(0, 1, 2), TypeError, "at most 2 positional"),
    (lambda: cnn.zeros(3).uniform_(low=1), TypeError, "unexpected keyword argument 'low'"),
    (lambda: cnn.zeros(3, dtype=cnn.int64).normal_(), TypeError, "normal: expected a float32 or float64"),
    (lambda: cnn.zeros(3).bernoulli_(1.5), RuntimeError, "p to be in"),
    (lambda: cnn.bernoulli(cnn.tensor([0.5, -0.1])), RuntimeError, "all probabilities"),
    (lambda: cnn.bernoulli(cnn.tensor([0.5, float("nan")])), RuntimeError, "all probabilities"),
    (lambda: cnn.bernoulli(cnn.tensor([0, 1])), TypeError, "float32 or float64"),
    (lambda: cnn.zeros(3).bernoulli_(cnn.ones(2) / 2), ValueError, "shape|broadcast"),
    (lambda: cnn.zeros(3).exponential_(0), RuntimeError, "lambda > 0.0"),
    (lambda: cnn.zeros(3).geometric_(1), RuntimeError, "p to be in"),
    (lambda: cnn.zeros(1).expand(3).uniform_(), RuntimeError, "refers to a single memory location"),
    (lambda: cnn.from_numpy(np.frombuffer(bytes(4), np.float32)).uniform_(), RuntimeError, "read-only"),
    (lambda: cnn.multinomial(cnn.ones(3), 4), RuntimeError, "without replacement"),
    (lambda: cnn.multinomial(cnn.ones(3), 0), RuntimeError, "n_sample <= 0"),
    (lambda: cnn.multinomial(cnn.zeros(3), 1), RuntimeError, "sum of probabilities <= 0"),
    (lambda: cnn.multinomial(cnn.tensor([1.0, -1.0]), 1), RuntimeError, "element < 0"),
    (lambda: cnn.multinomial(cnn.ones(3, dtype=cnn.int64), 1), RuntimeError, "floating-point dtypes"),
    (lambda: cnn.multinomial(cnn.ones(2, 2, 2), 1), RuntimeError, "1 or 2 dim"),
    (lambda: cnn.Generator().manual_seed(2**64), ValueError, "from -2\\*\\*63 to 2\\*\\*64 - 1"),
    (lambda: cnn.Generator().manual_seed(1.5), TypeError, "expected an integer, got float"),
    (lambda: cnn.Generator().set_state(cnn.zeros(5056)), TypeError, "ByteTensor"),
    (lambda: cnn.set_rng_state(cnn.zeros(5, dtype=cnn.uint8)), ValueError, "5056 bytes, got 5"),
    (lambda: cnn.set_rng_state(cnn.zeros(5056, dtype=cnn.uint8)), ValueError, "no valid state"),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_mistakes(number):
    call, error, message = MISTAKES[number]
    with pytest.raises(error, match=message):
        call()
    assert cnn.rand(2).shape == (2,)  # and the generator still works


@pytest.mark.parametrize("left, following", [(0, 0), (625, 0), (2, 624), (624, 2), (-5, 0), (1, 625), (1, 2**40)])
def test_state_that_would_read_past_its_end(left, following):
    state = cnn.get_rng_state()
    state._a[8:12] = np.frombuffer(np.int32(left).tobytes(), np.uint8)
    state._a[16:24] = np.frombuffer(np.uint64(following).tobytes(), np.uint8)
    before = cnn.get_rng_state().tolist()
    with pytest.raises(ValueError, match="no valid state"):
        cnn.set_rng_state(state)
    assert cnn.get_rng_state().tolist() == before


# ---- Threads and signals ---------------------------------------------------------------------------------------------


def test_threads_share_one_generator():
    """Many threads draw from one stream: together they get each of its values once."""
    cnn.manual_seed(11)
    expected = np.sort(cnn.random.randint_array((8 * 20 * 5000,), 0, 2**62))
    cnn.manual_seed(11)
    results = []

    def draw():
        for _ in range(20):
            results.append(cnn.random.randint_array((5000,), 0, 2**62))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert np.array_equal(np.sort(np.concatenate(results)), expected)


def test_gil_is_released():
    count = 0
    stop = threading.Event()

    def tick():
        nonlocal count
        while not stop.is_set():
            count += 1
            time.sleep(0.0005)

    ticker = threading.Thread(target=tick)
    ticker.start()
    array = np.empty(20_000_000, np.float32)
    before = count
    cnn.default_generator._bernoulli(array, 0.5)
    ticks = count - before
    stop.set()
    ticker.join()
    assert ticks > 5


def test_ctrl_c_in_a_long_fill():
    array = np.empty(200_000_000, np.bool_)
    sent = []

    def send():
        sent.append(time.perf_counter())
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(0.15, send)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        cnn.default_generator._bernoulli(array, 0.5)
        time.sleep(5)  # not reached unless the fill was over too early
    assert time.perf_counter() - sent[0] < 0.3
    timer.join()
    assert cnn.rand(3).shape == (3,)


def test_a_signal_handler_that_draws_from_the_busy_generator():
    """The stream is in the middle of a step: an error says so, and it is the handler's."""
    raised = []

    def handler(number, frame):
        try:
            cnn.rand(3)
        except RuntimeError as error:
            raised.append(str(error))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        cnn.default_generator._exponential(np.empty(20_000_000, np.float32), 1.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert raised == ["this Generator is at work in the code that the signal interrupted"]
    assert cnn.rand(3).shape == (3,)


ORDERS = ["x", "x.transpose(0, 1)", "x.permute(2, 0, 1)", "x[:, ::2]", "x.transpose(0, 1)[:, ::2]", "x[0].t()",
          "x.transpose(0, 1)[None]", "x.permute(2, 0, 1)[None]", "x[:1].expand(3, 20, 4)",
          "x[:, :, [0, 1]]"]  # fmt: skip
DRAWS = ["torch.rand_like({})", "torch.randn_like({})", "torch.randint_like({}, 10)", "torch.zeros_like({}).normal_()",
         "{}.clone().normal_()", "{}.normal_()", "{}.uniform_()", "{}.bernoulli_(0.3)", "{}.exponential_()",
         "torch.bernoulli({} / 1000)", "torch.normal({}, 1.0)", "torch.nn.functional.dropout({}, 0.5)",
         "torch.nn.functional.dropout({}, 0.5, inplace=True)", "({} * 1).normal_()"]  # fmt: skip


@needs_torch
@pytest.mark.parametrize("order", ORDERS)
def test_draws_into_any_memory_order(order):
    for draw in DRAWS:
        if "expand" in order and ("inplace" in draw or draw.startswith("{}.") and "clone" not in draw):
            continue  # cannot be written to
        if "[None]" in order and "* 1" in draw:
            continue  # channels last: what a layer makes of it is in row order here
        values = []
        for library in (torch, cnn):
            library.manual_seed(1)
            x = library.arange(1.0, 241.0).reshape(3, 20, 4)
            values.append(eval(draw.format(order), {"torch": library, "x": x}).tolist())
        assert values[0] == values[1], draw.format(order)
