"""torch.utils.checkpoint: the functions are called as they are. Nothing is computed twice, and no memory is saved;
results and gradients are the same. See https://docs.pytorch.org/docs/stable/checkpoint.html.
"""

__all__ = ["checkpoint", "checkpoint_sequential"]


def checkpoint(
    function,
    *args,
    use_reentrant=None,
    context_fn=None,
    determinism_check="default",
    debug=False,
    early_stop=True,
    preserve_rng_state=True,
    **kwargs,
):
    """function(*args, **kwargs)."""
    return function(*args, **kwargs)


def checkpoint_sequential(functions, segments, input, use_reentrant=None, preserve_rng_state=True):
    """`input` through all functions, one after the other."""
    for function in functions.children() if hasattr(functions, "children") else functions:
        input = function(input)
    return input
