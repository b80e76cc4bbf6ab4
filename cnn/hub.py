"""torch.hub is not provided: cnn fetches no models."""


def _refuse(name):
    def f(*args, **kwargs):
        raise NotImplementedError(f"torch.hub.{name} is not supported by cnn: load a local state_dict with cnn.load")

    f.__name__ = name
    return f


load, load_state_dict_from_url, download_url_to_file = (
    _refuse(name) for name in ("load", "load_state_dict_from_url", "download_url_to_file")
)
