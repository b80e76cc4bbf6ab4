"""torch.utils.model_zoo is not provided: cnn fetches no models."""

from cnn.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
