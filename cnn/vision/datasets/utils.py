"""torchvision.datasets.utils: what data sets of others are written with. Nothing is kept that was not verified."""

import hashlib
import os
import tarfile
import zipfile

from cnn.vision.datasets.download import RemoteFile, download

__all__ = ["calculate_md5", "check_integrity", "check_md5", "download_and_extract_archive", "download_url"]
__all__ += ["extract_archive", "verify_str_arg"]


def calculate_md5(fpath, chunk_size=1 << 20):
    """The MD5 of a file, in hexadecimal digits."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(fpath, "rb") as file:
        while block := file.read(chunk_size):
            digest.update(block)
    return digest.hexdigest()


def check_md5(fpath, md5, **kwargs):
    """Has the file this MD5?"""
    return md5 == calculate_md5(fpath, **kwargs)


def check_integrity(fpath, md5=None):
    """Is the file there, with this MD5 where one is given?"""
    return os.path.isfile(fpath) and (md5 is None or check_md5(fpath, md5))


def download_url(url, root, filename=None, md5=None, max_redirect_hops=3):
    """Bring a file to the folder `root`, unless it is there already. `md5` is needed: nothing unverified is kept."""
    if not md5:
        raise ValueError(f"download_url: expected the file's MD5 as md5=..., got {md5!r}: nothing unverified is kept")
    name = filename or os.path.basename(url)
    if not check_integrity(os.path.join(root, name), md5):
        download(RemoteFile(name, (url,), f"md5:{md5}"), root)


def extract_archive(from_path, to_path=None, remove_finished=False):
    """Unpack a .zip or .tar archive (also .tar.gz and the like) beside it or into `to_path`; returns that folder.
    Members that would land outside of it are refused."""
    folder = os.fspath(to_path) if to_path is not None else os.path.dirname(os.fspath(from_path))
    if zipfile.is_zipfile(from_path):
        with zipfile.ZipFile(from_path) as archive:
            archive.extractall(folder)  # takes ".." and the root out of names itself
    elif tarfile.is_tarfile(from_path):
        with tarfile.open(from_path) as archive:
            archive.extractall(folder, filter="data")
    else:
        raise RuntimeError(f"extract_archive: {os.fspath(from_path)!r} is neither a zip nor a tar archive")
    if remove_finished:
        os.remove(from_path)
    return folder


def download_and_extract_archive(url, download_root, extract_root=None, filename=None, md5=None, remove_finished=False):
    """download_url, then extract_archive."""
    name = filename or os.path.basename(url)
    download_url(url, download_root, name, md5)
    extract_archive(os.path.join(download_root, name), extract_root or download_root, remove_finished)


def verify_str_arg(value, arg=None, valid_values=None, custom_msg=None):
    """`value`, if it is a text and one of `valid_values`."""
    name = "" if arg is None else f" for argument {arg}"
    if not isinstance(value, str):
        raise ValueError(f"Expected type str{name}, but got type {type(value).__name__}.")
    if valid_values is not None and value not in valid_values:
        raise ValueError(custom_msg or f"Unknown value '{value}'{name}. Valid values are {set(valid_values)}.")
    return value
