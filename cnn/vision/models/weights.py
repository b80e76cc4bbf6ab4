"""Refusing pretrained weights."""


def refuse_weights(name, weights, options):
    """RuntimeError if a constructor was asked for pretrained weights, in any of torchvision's ways."""
    weights = options.pop("pretrained", None) or weights
    options.pop("progress", None)
    if weights:
        asked = weights if isinstance(weights, str) else "pretrained=True"
        raise RuntimeError(
            f"{name}: pretrained weights are not available here (asked for {asked}); "
            "use weights=None, and load_state_dict for a file of your own"
        )
