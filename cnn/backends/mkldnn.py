"""oneDNN is not used: the kernels are cnn's own."""

enabled = False


def is_available():
    """False."""
    return False
