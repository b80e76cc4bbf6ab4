"""Flags that scripts set; they change nothing on the CPU."""

enabled = False
benchmark = False
deterministic = True
allow_tf32 = False


def is_available():
    """False."""
    return False


def version():
    """None."""
    return None
