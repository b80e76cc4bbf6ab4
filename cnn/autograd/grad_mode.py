"""Whether operations are recorded: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`, per thread."""

import functools
import inspect

from cnn import _cnn

mode = _state = _cnn.GradMode()  # mode.enabled: a flag for each thread, at first True


def is_grad_enabled():
    """True where operations are recorded for backward."""
    return mode.enabled


class _Switch:
    """A context manager and decorator that sets the mode and puts it back."""

    value = True

    def __enter__(self):
        self.previous, mode.enabled = mode.enabled, self.value

    def __exit__(self, *exc):
        mode.enabled = self.previous

    def clone(self):
        return type(self)()

    def __call__(self, function):
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args, **kwargs):
                generator = function(*args, **kwargs)
                while True:
                    with self.clone():
                        try:
                            item = next(generator)
                        except StopIteration as stop:
                            return stop.value
                    yield item

            return generate

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self.clone():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_Switch):
    """Inside, nothing is recorded. Also a decorator, with or without parentheses. See torch.no_grad."""

    value = False

    def __new__(cls, function=None):
        switch = super().__new__(cls)
        return switch if function is None else switch(function)

    def __init__(self, function=None):
        pass


class enable_grad(_Switch):
    """Inside, operations are recorded even within `no_grad`. See torch.enable_grad."""

    def __new__(cls, function=None):
        switch = super().__new__(cls)
        return switch if function is None else switch(function)

    def __init__(self, function=None):
        pass


class set_grad_enabled(_Switch):
    """`set_grad_enabled(flag)`: takes effect at once; as a context manager it is undone at the end."""

    def __init__(self, mode):
        self.value = bool(mode)
        self.previous, _state.enabled = _state.enabled, self.value

    def __enter__(self):
        pass

    def clone(self):
        return type(self)(self.value)

    def __call__(self, function):
        mode.enabled = self.previous  # as a decorator it takes effect inside the function only
        return super().__call__(function)


class inference_mode(_Switch):
    """`no_grad` under another name: `inference_mode()`, `inference_mode(False)`, or a decorator."""

    def __new__(cls, mode=True):
        switch = super().__new__(cls)
        if callable(mode):
            switch.value = False
            return switch(mode)
        return switch

    def __init__(self, mode=True):
        self.value = not mode and _state.enabled

    def clone(self):
        return type(self)(not self.value)
