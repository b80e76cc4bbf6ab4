"""There is no accelerator. See torch.accelerator."""


def is_available():
    """False."""
    return False


def current_accelerator(check_available=False):
    """None."""


def device_count():
    """0."""
    return 0


def synchronize(device=None):
    """Nothing to wait for."""
