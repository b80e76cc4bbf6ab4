"""The handle that every hook registration returns."""

import itertools

_ids = itertools.count()


class RemovableHandle:
    """`remove()` takes the hook out again; also a context manager."""

    def __init__(self, hooks, hook):
        self.id = next(_ids)
        self.hooks = hooks
        hooks[self.id] = hook

    def remove(self):
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()
