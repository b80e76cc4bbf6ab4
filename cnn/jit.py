"""torch.jit is not provided; what is asked for says so."""


def _refuse(name):
    def f(*args, **kwargs):
        raise NotImplementedError(f"torch.jit.{name} is not supported by cnn: run the module as it is")

    f.__name__ = name
    return f


script, trace, load, save, freeze = (_refuse(name) for name in ("script", "trace", "load", "save", "freeze"))
ScriptModule = type("ScriptModule", (), {"__init__": _refuse("ScriptModule")})


def ignore(f):
    """The function itself."""
    return f


script_method = export = unused = ignore


def is_scripting():
    """False."""
    return False


is_tracing = is_scripting
