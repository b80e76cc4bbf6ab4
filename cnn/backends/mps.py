"""There is no Metal backend."""


def is_available():
    """False."""
    return False


def is_built():
    """False."""
    return False
