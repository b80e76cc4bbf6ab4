"""Layers as their formulas state them, in NumPy, for tests that trust no kernel of ours. All in float64."""

import functools

import numpy as np


def taps_of(size, outputs, kernel, stride, padding, dilation):
    """For every tap of an axis: its number, the outputs that it meets inside of the image, and their inputs."""
    for k in range(kernel):
        inside = [o for o in range(outputs) if 0 <= o * stride + k * dilation - padding < size]
        yield k, np.array(inside, int), np.array([o * stride + k * dilation - padding for o in inside], int)


def pixels_of(shape, outputs, kernel, stride, padding, dilation=1):
    """For every tap of a window: (kh, kw), the index of its inputs in an array of `shape`, and that of its outputs."""
    for kh, out_h, in_h in taps_of(shape[2], outputs[0], kernel, stride, padding, dilation):
        for kw, out_w, in_w in taps_of(shape[3], outputs[1], kernel, stride, padding, dilation):
            images, channels = slice(None), slice(None)
            yield (kh, kw), (images, channels, *np.ix_(in_h, in_w)), (images, channels, *np.ix_(out_h, out_w))


def conv2d_passes(x, w, b, dy, stride=1, padding=0, dilation=1, groups=1):
    """y, dx, dw, db. What lies outside of the image takes no part in a sum."""
    x, w, b, dy = (np.asarray(a, np.float64) for a in (x, w, b, dy))
    n, ics, k, ocs = len(x), *w.shape[1:3], len(w) // groups
    y, dx, dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
    weight, gradient = w.reshape(groups, ocs, ics, k, k), dw.reshape(groups, ocs, ics, k, k)
    with np.errstate(all="ignore"):
        for (kh, kw), into, out in pixels_of(x.shape, dy.shape[2:], k, stride, padding, dilation):
            tap = weight[..., kh, kw]
            seen, shown = x[into], dy[out]
            seen = seen.reshape(n, groups, ics, *seen.shape[2:])
            shown = shown.reshape(n, groups, ocs, *shown.shape[2:])
            # einsum, not @: a product in blocks might itself carry a NaN from row to row
            y[out] += np.einsum("ngihw,goi->ngohw", seen, tap).reshape(y[out].shape)
            dx[into] += np.einsum("ngohw,goi->ngihw", shown, tap).reshape(dx[into].shape)
            gradient[..., kh, kw] = np.einsum("ngohw,ngihw->goi", shown, seen)
        return y + b[:, None, None], dx, dw, dy.sum((0, 2, 3))


# ---- optimisers: the parameter after step t (from 1 on), of its gradient g and a state s that starts empty ----


def adam(p, g, s, t, decoupled=0.0):
    s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.999 * s.get("v", 0) + 0.001 * g * g
    step = s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)
    return p * (1 - 0.01 * decoupled) - 0.01 * step


def adamax(p, g, s, t):
    s["m"], s["u"] = 0.9 * s.get("m", 0) + 0.1 * g, np.maximum(0.999 * s.get("u", 0), abs(g) + 1e-8)
    return p - 0.01 / (1 - 0.9**t) * s["m"] / s["u"]


def nadam(p, g, s, t):
    mu, after = (0.9 * (1 - 0.5 * 0.96 ** (0.004 * k)) for k in (t, t + 1))
    s["mu"] = np.float32(s.get("mu", 1)) * np.float32(mu)  # torch keeps it so
    s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.999 * s.get("v", 0) + 0.001 * g * g
    root = np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8
    return p - 0.01 * ((1 - mu) / (1 - float(s["mu"])) * g + after / (1 - float(s["mu"]) * after) * s["m"]) / root


def sgd(p, g, s, t):
    s["m"] = 0.9 * s["m"] + g if t > 1 else g
    return p - 0.01 * s["m"]


def rmsprop(p, g, s, t):
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    return p - 0.01 * g / (np.sqrt(s["v"]) + 1e-8)


def adagrad(p, g, s, t):
    s["v"] = s.get("v", 0) + g * g
    return p - 0.01 * g / (np.sqrt(s["v"]) + 1e-10)


def adadelta(p, g, s, t):
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    step = np.sqrt(s.get("d", 0) + 1e-6) / np.sqrt(s["v"] + 1e-6) * g
    s["d"] = 0.9 * s.get("d", 0) + 0.1 * step * step
    return p - 1.0 * step


OPTIMISERS = {  # name: formula, options
    "SGD": (sgd, {"lr": 0.01, "momentum": 0.9}),
    "Adam": (adam, {"lr": 0.01}),
    "AdamW": (functools.partial(adam, decoupled=0.1), {"lr": 0.01, "weight_decay": 0.1}),
    "Adamax": (adamax, {"lr": 0.01}),
    "NAdam": (nadam, {"lr": 0.01}),
    "RMSprop": (rmsprop, {"lr": 0.01}),
    "Adagrad": (adagrad, {"lr": 0.01}),
    "Adadelta": (adadelta, {"lr": 1.0}),
}
