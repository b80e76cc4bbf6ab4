"""torch.distributed is not provided; scripts that ask whether it is there go on alone."""


def is_available():
    """False."""
    return False


def is_initialized():
    """False."""
    return False


def get_rank(group=None):
    """0."""
    return 0


def get_world_size(group=None):
    """1."""
    return 1


def init_process_group(*args, **kwargs):
    """Not supported."""
    raise NotImplementedError("torch.distributed is not supported by cnn: run one process")
