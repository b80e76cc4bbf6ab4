"""Sums of products in Einstein's notation. A term's letters become numbers first; what NumPy's einsum has no gradient
for (an ellipsis, a letter twice in a term, a dimension of size 1 that broadcasts) is taken out by other operations."""

import numpy as np

from cnn.autograd.function import Operation
from cnn.errors import ShapeError
from cnn.tensor import Tensor
from cnn.types import int64

from ._register import function
from .linear_algebra import _check_types
from .promotion import refuse_types

_ELLIPSIS = -1  # stands in a term for the dimensions of "..."


class Einsum(Operation):
    """Products of `arrays`, whose dimensions are numbered in `terms`, summed over what is not in `result`."""

    @staticmethod
    def forward(ctx, terms, result, *arrays):
        wanted = [i for i in range(len(arrays)) if ctx.needs[i + 2]]
        ctx.saved = tuple([a if any(j != i for j in wanted) else None for i, a in enumerate(arrays)])
        ctx.shapes, ctx.terms, ctx.result = [a.shape for a in arrays], terms, result
        return _einsum(zip(arrays, terms, strict=True), result)

    @staticmethod
    def backward(ctx, dy):
        """Each operand's gradient is the sum of products of dy with the other operands."""
        gradients = []
        for i, (term, shape) in enumerate(zip(ctx.terms, ctx.shapes, strict=True)):
            if not ctx.needs[i + 2]:
                gradients.append(None)
                continue
            others = [(a, t) for j, (t, a) in enumerate(zip(ctx.terms, ctx.saved, strict=True)) if j != i]
            seen = set(ctx.result).union(*[t for _, t in others])
            g = _einsum([(dy, ctx.result), *others], [c for c in term if c in seen])
            index = tuple(slice(None) if c in seen else None for c in term)
            gradients.append(np.broadcast_to(g[index], shape))
        return None, None, *gradients


def _einsum(operands, result):
    return np.asarray(np.einsum(*[x for operand in operands for x in operand], result))


def _numbered(term):
    """The letters of a term as numbers, "..." as _ELLIPSIS."""
    parts = term.split("...")
    if len(parts) > 2 or "." in "".join(parts):
        raise RuntimeError(f"einsum(): found '.' in '{term}' that is not part of a single ellipsis '...'")
    for c in "".join(parts):
        if not (c.isascii() and c.isalpha()):
            raise RuntimeError(f"einsum(): invalid subscript given: {c!r}, subscripts must be in [a-zA-Z]")
    numbers = [[ord(c) for c in part] for part in parts]
    return numbers[0] if len(parts) == 1 else [*numbers[0], _ELLIPSIS, *numbers[1]]


def _from_equation(equation, operands):
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = [_numbered(term) for term in left.split(",")]
    if len(terms) != len(operands):
        raise RuntimeError(f"einsum(): the equation has {len(terms)} operands, got {len(operands)}")
    return terms, _numbered(right) if arrow else None


def _from_lists(arguments):
    """einsum(x, [0, 1], y, [1, 2], [0, 2]): (operands, terms, result)."""

    def numbered(term):
        return [_ELLIPSIS if s is Ellipsis else int(s) for s in term]

    pairs, odd = arguments[: len(arguments) // 2 * 2], len(arguments) % 2
    return pairs[::2], [numbered(term) for term in pairs[1::2]], numbered(arguments[-1]) if odd else None


def _spell_out(terms, operands, result):
    """(terms, result) with the dimensions of the ellipsis numbered from 1000, aligned at the right."""
    covered = []
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        named, n = len(term) - (_ELLIPSIS in term), x._a.ndim
        if named > n or named < n and _ELLIPSIS not in term:
            raise ShapeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the number of "
                f"dimensions ({n}) for operand {i}" + (" and no ellipsis was given" if named == len(term) else "")
            )
        covered.append(n - named)
    most = max(covered)
    dots = list(range(1000, 1000 + most))

    def spelled(term, n):
        if _ELLIPSIS not in term:
            return list(term)
        at = term.index(_ELLIPSIS)
        return [*term[:at], *dots[most - n :], *term[at + 1 :]]

    full = [spelled(term, n) for term, n in zip(terms, covered, strict=True)]
    if result is None:
        letters = [c for term in terms for c in term if c != _ELLIPSIS]
        return full, [*dots, *sorted(c for c in set(letters) if letters.count(c) == 1)]
    result = spelled(result, most)
    known = {c for term in full for c in term}
    for c in result:
        if result.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {_letter(c)} appears more than once in the output")
        if c not in known:
            raise RuntimeError(
                f"einsum(): output subscript {_letter(c)} does not appear in the equation for any input operand"
            )
    return full, result


def _letter(number):
    return chr(number) if ord("A") <= number <= ord("z") else number


def _check_sizes(terms, operands):
    """{number: size}, where sizes of 1 broadcast."""
    sizes = {}
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        for place, (c, n) in enumerate(zip(term, x._a.shape, strict=True)):
            m = x._a.shape[term.index(c)]
            if term.index(c) < place and m != n:
                raise ShapeError(f"einsum(): subscript {_letter(c)} is repeated, but the sizes don't match, {m} != {n}")
            seen = sizes.setdefault(c, n)
            if seen != n and 1 not in (seen, n):
                raise ShapeError(
                    f"einsum(): subscript {_letter(c)} has size {n} for operand {i} which does not broadcast with "
                    f"previously seen size {seen}"
                )
            if seen == 1:
                sizes[c] = n
    return sizes


def _plain(term, x, sizes):
    """The operand and its term with every number once, and without dimensions of size 1 that others stretch."""
    term = list(term)
    for c in sorted(set(term)):
        while term.count(c) > 1:
            first = term.index(c)
            second = term.index(c, first + 1)
            x = x.diagonal(0, first, second)
            del term[second], term[first]
            term.append(c)
    stretched = [d for d, c in enumerate(term) if x._a.shape[d] == 1 and sizes[c] != 1]
    if stretched:
        x = x.squeeze(tuple(stretched))
        term = [c for d, c in enumerate(term) if d not in stretched]
    return term, x


@function
def einsum(equation, *operands):
    """The sums of products that an equation like "bij,bjk->bik" means; "..." stands for any dimensions. Also
    einsum(x, [0, 1], y, [1, 2], [0, 2]). See torch.einsum."""
    if isinstance(equation, Tensor):
        operands, terms, result = _from_lists((equation, *operands))
    else:
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = operands[0]
        if not operands:
            raise RuntimeError("einsum(): must provide at least one operand")
        terms, result = _from_equation(equation, operands)
    terms, result = _spell_out(terms, operands, result)
    sizes = _check_sizes(terms, operands)
    plain = [_plain(term, x, sizes) for term, x in zip(terms, operands, strict=True)]
    terms, operands = [term for term, _ in plain], [x for _, x in plain]
    _check_types("einsum", *operands)
    if len(operands) > 1:
        refuse_types("bmm", operands[0]._a.dtype)
    if operands[0]._a.dtype.kind != "f":
        uses = [c for term in terms for c in term]
        if any(uses.count(c) == 1 and c not in result for c in uses):  # a plain sum, which of integers is int64
            operands = [x.to(int64) for x in operands]
    numbers = {c: i for i, c in enumerate(sizes)}  # NumPy knows 52
    return Einsum.apply([[numbers[c] for c in term] for term in terms], [numbers[c] for c in result], *operands)
