"""Random graphs with many nodes alive at once: branches made in any order, several outputs, views, changes in place,
hooks, kept gradients, gradients of parts. Values and gradients are compared with a reference in float64 that keeps
every value that ever was, and walks all nodes in the reverse order of their making.
"""

import numpy as np
import pytest

import cnn

SHAPE = (2, 3)
PART = (slice(None), slice(1, None))  # what a view sees of a tensor: (2, 2)
MOST_ALIVE = 40


class Step:
    """A node of the reference: values (one for each output), where they came from, and the way back."""

    def __init__(self, graph, sources, values, back):
        self.sources, self.values, self.back = sources, values, back
        graph.append(self)


def walk(graph, roots, hooks):
    """Two times {(step, output): gradient}: after the hooks, and before. hooks: {(step, output): [(seen, factor)]}."""
    sums, before = {}, {}

    def add(place, gradient):
        sums[place] = sums[place] + gradient if place in sums else gradient

    for place, gradient in roots:
        add(place, gradient)
    for step in reversed(graph):
        places = [(step, i) for i in range(len(step.values))]
        if not any(p in sums for p in places):
            continue
        before.update({p: sums[p] for p in places if p in sums})
        for p in places:
            for seen, factor in hooks.get(p, ()) if p in sums else ():
                seen.append(sums[p])
                sums[p] = sums[p] * factor
        if step.back is not None:
            gradients = [sums.get(p, np.zeros_like(v)) for p, v in zip(places, step.values, strict=True)]
            for source, gradient in zip(step.sources, step.back(*gradients), strict=True):
                add(source, gradient)
    return sums, before


class Memory:
    """What one block of memory holds now, in the reference, and what was done to it."""

    def __init__(self, place, leaf=False):
        self.now = place  # (step, output)
        self.leaf = leaf
        self.may_change = not leaf  # nobody saved it


class Variable:
    """A tensor of cnn and the memory that it sees, whole or in part."""

    def __init__(self, tensor, memory, part=None):
        self.tensor, self.memory, self.part = tensor, memory, part
        self.read_of = self.place = None

    def read(self, graph):
        """The place of its value in the reference."""
        if self.part is None:
            return self.memory.now
        if self.read_of is not self.memory.now:
            step, i = self.read_of = self.memory.now

            def back(d):
                whole = np.zeros(SHAPE)
                whole[self.part] = d
                return [whole]

            self.place = Step(graph, [(step, i)], [step.values[i][self.part]], back), 0
        return self.place


class Program:
    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.graph, self.pool, self.hooks, self.checks = [], [], {}, []
        self.kept = []
        self.leaves = []
        for _ in range(self.random.integers(1, 5)):
            array = self.random.standard_normal(SHAPE)
            tensor = cnn.from_numpy(array.copy()).requires_grad_()
            self.leaves.append(Variable(tensor, Memory((Step(self.graph, [], [array], None), 0), leaf=True)))
        self.pool += self.leaves

    def choose(self, part=None, changeable=False):
        """One of the variables that may be used so, or None."""
        fit = [v for v in self.pool if v.tensor.shape == (part or SHAPE) and (v.memory.may_change or not changeable)]
        return fit[self.random.integers(len(fit))] if fit else None

    def new(self, tensor, sources, value, back, saves=()):
        for v in saves:
            v.memory.may_change = False
        self.pool.append(Variable(tensor, Memory((Step(self.graph, sources, [value], back), 0))))

    def value(self, place):
        step, i = place
        return step.values[i]

    # ---- what a step of the program may be ----

    def sine(self):
        x = self.choose()
        place = x.read(self.graph)
        a = self.value(place)
        self.new(x.tensor.sin(), [place], np.sin(a), lambda d: [d * np.cos(a)], saves=[x])

    def scale(self):
        x, c = self.choose(), float(self.random.uniform(-1, 1))
        place = x.read(self.graph)
        self.new(x.tensor * c, [place], self.value(place) * c, lambda d: [d * c])

    def add(self):
        x, y = self.choose(), self.choose()
        p, q = x.read(self.graph), y.read(self.graph)
        self.new(x.tensor - y.tensor, [p, q], self.value(p) - self.value(q), lambda d: [d, -d])

    def multiply(self):
        x, y = self.choose(), self.choose()
        p, q = x.read(self.graph), y.read(self.graph)
        a, b = self.value(p), self.value(q)
        self.new(x.tensor * y.tensor, [p, q], a * b, lambda d: [d * b, d * a], saves=[x, y])

    def split(self):
        """Several outputs, which may not be changed, nor may what they see."""
        x = self.choose()
        place = x.read(self.graph)
        a = self.value(place)
        left, right = x.tensor.split([1, 2], 1)
        step = Step(self.graph, [place], [a[:, :1], a[:, 1:]], lambda d, e: [np.concatenate([d, e], 1)])
        x.memory.may_change = False
        for i, tensor in enumerate((left, right)):
            memory = Memory((step, i))
            memory.may_change = False
            self.pool.append(Variable(tensor, memory))

    def join(self):
        x, y = self.choose((2, 1)), self.choose((2, 2))
        if x is not None and y is not None:
            p, q = x.read(self.graph), y.read(self.graph)
            value = np.concatenate([self.value(q), self.value(p)], 1)
            self.new(cnn.cat([y.tensor, x.tensor], 1), [q, p], value, lambda d: [d[:, :2], d[:, 2:]])

    def view(self):
        x = self.choose()
        if x.part is None:
            self.pool.append(Variable(x.tensor[PART], x.memory, PART))

    def change(self):
        """In place: a tensor or a view of it, by a number or by another."""
        x = self.choose(self.random.choice([None, "part"]) and (2, 2), changeable=True)
        if x is None:
            return
        place, where = x.memory.now, x.part or (slice(None),)
        value = self.value(place).copy()
        other = self.choose(x.tensor.shape if x.part else None)
        if self.random.random() < 0.5 or other is None or other.memory is x.memory:
            c = float(self.random.uniform(-1, 1))
            x.tensor.mul_(c)
            value[where] *= c

            def back(d):
                d = d.copy()
                d[where] *= c
                return [d]

            sources = [place]
        else:
            source = other.read(self.graph)
            x.tensor.add_(other.tensor, alpha=3)
            value[where] += 3 * self.value(source)
            sources, back = [place, source], lambda d: [d, 3 * d[where]]
        x.memory.now = Step(self.graph, sources, [value], back), 0

    def watch(self):
        """A hook, which may change the gradient, or a kept gradient."""
        x = self.choose()
        if x.part is not None or not x.tensor.requires_grad:
            return
        if self.random.random() < 0.4 and not x.memory.leaf:
            x.tensor.retain_grad()
            self.kept.append(x)
            return
        ours, theirs, factor = [], [], float(self.random.choice([1.0, 2.0]))

        def hook(g):
            ours.append(g.numpy().copy())
            return g * factor if factor != 1 else None

        x.tensor.register_hook(hook)
        self.hooks.setdefault(x.memory.now, []).append((theirs, factor))
        self.checks.append((ours, theirs))

    def run(self, steps):
        kinds = [self.sine, self.scale, self.add, self.multiply, self.split, self.join, self.view, self.change,
                 self.watch]  # fmt: skip
        for _ in range(steps):
            self.random.choice(kinds)()
            while len(self.pool) > MOST_ALIVE:
                self.pool.pop(self.random.integers(len(self.pool)))
        return self

    def end(self):
        """One number that depends on many of the tensors, and its roots in the reference."""
        chosen = self.random.permutation(len(self.pool))[: max(1, int(self.random.uniform(0.5, 1) * len(self.pool)))]
        roots, total = [], cnn.zeros((), dtype=cnn.float64)
        for i in chosen:
            v, c = self.pool[i], float(self.random.uniform(-1, 1))
            place = v.read(self.graph)
            roots.append((place, np.full_like(self.value(place), c)))
            total = total + (v.tensor * c).sum()
        return total, roots


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, 1e-9, 1e-9)


def check_hooks(program):
    for ours, theirs in program.checks:
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            close(a, b)
        ours.clear(), theirs.clear()


def on_the_way(graph, roots, goals):
    """The steps from which a goal is reached, and those of the goals."""
    way = {step for step, _ in goals}
    for step in graph:
        if any(source in way for source, _ in step.sources):
            way.add(step)
    return way


@pytest.mark.parametrize("group", range(8))
def test_backward(group):
    alive = []
    for seed in range(15):
        program = Program((group, seed)).run(int(np.random.default_rng((seed, group)).integers(5, 160)))
        total, roots = program.end()
        alive.append(len(program.pool))
        for v in program.pool:
            close(v.tensor.detach().numpy(), program.value(v.read(program.graph)))
        if not total.requires_grad:
            continue
        total.backward()
        sums, _ = walk(program.graph, roots, program.hooks)
        for v in program.leaves:
            expected = sums.get(v.memory.now)
            assert (v.tensor.grad is None) == (expected is None)
            if expected is not None:
                close(v.tensor.grad.numpy(), expected)
        for v in program.kept:
            expected = sums.get(v.memory.now)
            if expected is not None:
                close(v.tensor.grad.numpy(), expected)
        check_hooks(program)
    assert max(alive) == MOST_ALIVE


@pytest.mark.parametrize("group", range(4))
def test_gradients_of_some(group):
    """autograd.grad of leaves and of what lies between, twice, and then backward: hooks run where the way leads."""
    for seed in range(15):
        program = Program((100 + group, seed)).run(int(np.random.default_rng((seed, group)).integers(5, 160)))
        total, roots = program.end()
        whole = [v for v in program.pool + program.leaves if v.part is None and v.tensor.requires_grad]
        if not total.requires_grad or not whole:
            continue
        goals = [whole[i] for i in program.random.permutation(len(whole))[: program.random.integers(1, 5)]]
        places = [v.memory.now for v in goals]
        way = on_the_way(program.graph, roots, places)
        reached = {p: h for p, h in program.hooks.items() if p[0] in way}
        for _ in range(2):
            got = cnn.autograd.grad(total, [v.tensor for v in goals], retain_graph=True, allow_unused=True)
            after, before = walk([s for s in program.graph if s in way], [r for r in roots if r[0][0] in way], reached)
            for g, place in zip(got, places, strict=True):
                goes_on = any(source in way for source, _ in place[0].sources)
                expected = (before if goes_on else after).get(place)  # as torch
                assert (g is None) == (expected is None)
                if g is not None:
                    close(g.numpy(), expected)
            check_hooks(program)
        for v in program.kept:
            v.tensor.grad = None
        total.backward()
        sums, _ = walk(program.graph, roots, program.hooks)
        for v in program.leaves:
            if v.memory.now in sums:
                close(v.tensor.grad.numpy(), sums[v.memory.now])
        check_hooks(program)
