"""Bring a public file onto this machine once: whole, verified, and resumable. Standard library only.

A data set's home is often slow or down, so a file has several mirrors, asked in order. What has arrived stays in
NAME.part; the next mirror, or the next run, goes on from there. A file gets its final name only after its checksum
was right, so whoever finds it under that name may trust it. Proxies come from the environment, as urllib reads it.
"""

import contextlib
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes that start at the same moment both download
    fcntl = None


class DownloadError(RuntimeError):
    """A file could not be brought here; the message says why and how to bring it by hand."""


class _MirrorError(Exception):
    """This mirror failed; the next may not. `permanent`: asking it again is useless; `all_alike`: so are the others."""

    def __init__(self, reason, permanent=False, all_alike=False):
        super().__init__(reason)
        self.permanent = permanent
        self.all_alike = all_alike


@dataclass(frozen=True)
class RemoteFile:
    """A public file: where it is, and how to recognise it.

    `checksum` reads "sha256:<hex>" or "md5:<hex>"; `size` in bytes, None where it is not known;
    `magic` are the bytes the file begins with; `hint` is a line added to the message when nothing works.
    """

    name: str
    urls: tuple
    checksum: str
    size: int | None = None
    magic: bytes = b""
    hint: str = ""


@dataclass(frozen=True)
class Patience:
    """When a mirror counts as stalled or slow, in seconds and bytes a second."""

    stall: float = 6.0  # no answer, or not one byte, for so long
    window: float = 20.0  # the rate is looked at over such a window
    rate: float = 200e3  # below this, another mirror is tried first
    rounds: int = 5  # how often the list of mirrors is gone through, while each round brings something


MARGIN = 10 << 20  # bytes that stay free on the disk
BLOCK = 1 << 17


def say_on_stderr(line):
    print(line, file=sys.stderr, flush=True)


def download(remote, folder, *, offline=False, say=say_on_stderr, patience=Patience()):
    """Return the path of `remote` in `folder`, downloading it if it is not there yet.

    Ctrl-C, a crash or a lost connection keep what has arrived; the next call goes on from there. Two processes that
    call this at the same time share one download. Raises DownloadError with instructions for doing it by hand.
    """
    folder = Path(folder).expanduser()
    path = folder / remote.name
    if path.exists():
        return path
    if offline:
        raise DownloadError(
            f"{remote.name} is not in {folder}, and the network may not be used (offline)\n" + by_hand(remote, folder)
        )
    part = folder / (remote.name + ".part")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(part, path, say) as file:
            if path.exists():  # another process brought it while we waited
                return path
            _check_space(remote, folder, file)
            _fetch_from_any_mirror(remote, folder, file, say, patience)
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
            return path
    except OSError as error:
        raise DownloadError(f"cannot write {error.filename or part}: {error.strerror or error}") from error
    finally:
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()  # nothing came into it


def by_hand(remote, folder):
    """The lines that tell a person how to bring the file without us."""
    kind, _, value = remote.checksum.partition(":")
    size = f" ({remote.size:,} bytes)" if remote.size else ""
    lines = [
        "To bring it by hand:",
        f"  file    {remote.name}{size}",
        f"  from    {remote.urls[0] if remote.urls else 'any copy of it'}",
        f"  into    {Path(folder).absolute()}",
        f"  {kind:<7} {value}",
    ]
    return "\n".join(lines + ([remote.hint] if remote.hint else []))


def checksum(path, kind="sha256"):
    """The hexadecimal checksum of a file."""
    digest = hashlib.new(kind, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _locked(part, path, say):
    """The .part file, open for appending and ours alone; it is its own lock."""
    while True:
        file = open(part, "ab+")
        try:
            _lock(file, part, say)
            # Whoever held the lock before us may have given the file its final name, or removed it.
            if path.exists() or _same_file(file, part):
                break
        except BaseException:
            file.close()
            raise
        file.close()
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            file.flush()
        empty = os.fstat(file.fileno()).st_size == 0
        if empty and _same_file(file, part):
            with contextlib.suppress(OSError):
                part.unlink()
        file.close()


def _lock(file, part, say):
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"another process is downloading {part.stem}; waiting for it")
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks


def _same_file(file, path):
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except OSError:
        return False


def _check_space(remote, folder, file):
    have = os.fstat(file.fileno()).st_size
    missing = (remote.size or 0) - have + MARGIN
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise DownloadError(
            f"{remote.name} needs {missing / 1e6:,.0f} MB more in {folder}, "
            f"but only {free / 1e6:,.0f} MB are free there"
        )


def _fetch_from_any_mirror(remote, folder, file, say, patience):
    mirrors = list(remote.urls)
    failures = []
    for turn in range(patience.rounds):
        before = _size(file)
        for url in list(mirrors):
            try:
                # In the first round a slow mirror loses to the next one; later slow is better than nothing.
                _fetch(remote, url, file, say, patience, patience.rate if turn == 0 else 0.0)
                return
            except _MirrorError as error:
                failures.append(f"  {url}: {error}")
                say(f"{urllib.parse.urlsplit(url).netloc or url}: {error}")
                if error.all_alike:
                    mirrors.clear()
                    break
                if error.permanent:
                    mirrors.remove(url)
        if not mirrors or _size(file) <= before:
            break
    kept = f" ({_size(file):,} bytes are kept; the next try goes on from there)" if _size(file) else ""
    raise DownloadError(
        f"{remote.name} could not be downloaded{kept}\n"
        + "\n".join(dict.fromkeys(failures))
        + "\n"
        + by_hand(remote, folder)
    )


def _size(file):
    return file.seek(0, os.SEEK_END)


def _fetch(remote, url, file, say, patience, least_rate):
    """Append what is missing from one mirror, then check the whole."""
    begin = have = _size(file)
    if have != remote.size:  # else it is all here, and was not checked yet
        with _request(url, have, patience) as response:
            begin, total = _begin(remote, response, file)
            progress = _Progress(remote.name, total, say)
            try:
                _copy(remote, response, file, total, patience, least_rate, progress)
            finally:
                progress.close()
    wrong = _wrong_checksum(remote, file)
    if wrong:
        file.truncate(0)
        if begin == 0:
            raise _MirrorError(wrong, permanent=True)
        say(f"{remote.name}: {wrong}; starting again from its beginning")
        _fetch(remote, url, file, say, patience, least_rate)


def _request(url, have, patience):
    headers = {"User-Agent": "cnn-get-data", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        # A new opener each time: it reads the proxies from the environment as it is now.
        return urllib.request.build_opener().open(urllib.request.Request(url, headers=headers), timeout=patience.stall)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # what we have is not a beginning of the file there
            return _request(url, 0, patience)
        raise _MirrorError(f"HTTP {error.code} {error.reason}", permanent=error.code in (401, 403, 404, 410)) from error
    except urllib.error.URLError as error:
        # No name server answers: each further name would cost its whole patience again.
        no_names = isinstance(error.reason, socket.gaierror) and error.reason.errno == socket.EAI_AGAIN
        raise _MirrorError(_why(error.reason), all_alike=no_names) from error
    except (OSError, http.client.HTTPException) as error:
        raise _MirrorError(_why(error)) from error
    except ValueError as error:
        raise _MirrorError(f"not a usable address ({error})", permanent=True) from error


def _why(error):
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate could not be verified ({error.verify_message}); is the clock right, and does this Python "
            "have root certificates? (macOS: run 'Install Certificates.command')"
        )
    if isinstance(error, TimeoutError):
        return "no answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _begin(remote, response, file):
    """Check the answer's head, and cut the file to where the body goes on: (that place, the whole file's size)."""
    if response.headers.get_content_type() == "text/html":
        raise _MirrorError("answered with a web page instead of the file")
    length = response.headers.get("Content-Length")
    begin, total = 0, int(length) if length and length.isdigit() else None
    if getattr(response, "status", None) == 206:
        begin, total = _content_range(response.headers.get("Content-Range", ""))
        if begin != _size(file):
            raise _MirrorError("answered with another part of the file than was asked for", permanent=True)
    if None not in (remote.size, total) and total != remote.size:
        raise _MirrorError(f"has {total:,} bytes, expected {remote.size:,}", permanent=True)
    file.truncate(begin)  # a server that ignores Range sends everything again
    return begin, remote.size if total is None else total


def _content_range(value):
    """'bytes 100-199/200' -> (100, 200); a total of '*' -> None."""
    try:
        unit, _, rest = value.partition(" ")
        span, _, total = rest.partition("/")
        begin = int(span.partition("-")[0])
        return begin, None if total == "*" else int(total)
    except ValueError:
        raise _MirrorError(f"sent a Content-Range that cannot be read: {value!r}", permanent=True) from None


def _copy(remote, response, file, total, patience, least_rate, progress):
    have = _size(file)
    window_start, window_have = time.monotonic(), have
    progress.update(have)
    while True:
        try:
            # read1 returns what one receive brought: read would wait for a full block, however slowly it trickles in.
            block = response.read1(BLOCK)
        except TimeoutError:
            raise _MirrorError(f"sent nothing for {patience.stall:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise _MirrorError(f"the connection broke ({_why(error)})") from error
        if not block:
            break
        if have == 0 and not block.startswith(remote.magic[: len(block)]):
            raise _MirrorError(
                f"sent something else: it begins with {block[:8]!r}, not {remote.magic!r}", permanent=True
            )
        if total is not None and have + len(block) > total:
            file.truncate(0)
            raise _MirrorError(f"sent more than the {total:,} bytes expected", permanent=True)
        file.write(block)
        have += len(block)
        progress.update(have)
        now = time.monotonic()
        if now - window_start >= patience.window:
            rate = (have - window_have) / (now - window_start)
            if rate < least_rate:
                raise _MirrorError(f"is slow ({rate / 1e3:,.0f} kB/s)")
            window_start, window_have = now, have
    if total is not None and have < total:
        raise _MirrorError(f"the connection ended after {have:,} of {total:,} bytes")


def _wrong_checksum(remote, file):
    """What is wrong with the whole file, or None."""
    kind, _, expected = remote.checksum.partition(":")
    file.flush()
    got = checksum(file.name, kind)
    return None if got == expected.lower() else f"the {kind} of its {_size(file):,} bytes is {got}, expected {expected}"


class _Progress:
    """One bar on a terminal, a line for every tenth elsewhere."""

    def __init__(self, name, total, say):
        self.name, self.total, self.say = name, total, say
        self.bar, self.have, self.tenth = None, None, 0
        if sys.stderr is not None and sys.stderr.isatty():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                self.bar = tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False)

    def update(self, have):
        if self.bar is not None:
            self.bar.update(have - (self.have or 0))
        elif self.total:
            tenth = 10 * have // self.total
            if self.have is not None and tenth > self.tenth:
                self.say(f"{self.name}: {have / 1e6:,.0f} of {self.total / 1e6:,.0f} MB")
            self.tenth = tenth
        self.have = have

    def close(self):
        if self.bar is not None:
            self.bar.close()
