"""torch.onnx is not provided; what is asked for says so."""


def export(*args, **kwargs):
    """Not supported."""
    raise NotImplementedError("torch.onnx.export is not supported by cnn: save the state_dict with cnn.save")


_export = export
