"""The version of cnn, and what torch.version is asked for."""

__version__ = "0.1.0"
cuda = None
hip = None
git_version = None
