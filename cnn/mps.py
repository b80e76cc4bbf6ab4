"""There is no Metal device. See torch.mps."""


def is_available():
    """False."""
    return False


def device_count():
    """0."""
    return 0


def synchronize(device=None):
    """Nothing to wait for."""
