"""A save is all or nothing: whatever fails or kills it, the file is the old one or the new one."""

import errno
import gc
import os
import signal
import subprocess
import sys
import zipfile

import pytest

import cnn
from cnn.serialization import atomic

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more


class FaultyFile:
    """A file whose k-th call of write, flush or close fails."""

    def __init__(self, file, faults):
        self.file, self.faults = file, faults

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.faults.step("write")
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.file.close()


class Faults:
    """Counts the calls that reach the disk; the one numbered `fail_at` fails with `code`."""

    def __init__(self, monkeypatch, fail_at=None, code=errno.ENOSPC):
        self.log, self.fail_at, self.code = [], fail_at, code
        fsync, replace = os.fsync, os.replace

        def faulty_fsync(descriptor):
            self.step("fsync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file")
            fsync(descriptor)

        def faulty_replace(source, target):
            self.step("rename")
            replace(source, target)

        monkeypatch.setattr(atomic.os, "fsync", faulty_fsync)
        monkeypatch.setattr(atomic.os, "replace", faulty_replace)
        opener = lambda file, mode: FaultyFile(open(file, mode), self) if mode == "wb" else open(file, mode)  # noqa: E731
        monkeypatch.setattr(atomic, "open", opener, raising=False)

    def step(self, what):
        self.log.append(what)
        if len(self.log) == self.fail_at:
            raise OSError(self.code, os.strerror(self.code))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_durable_order(tmp_path, monkeypatch):
    faults = Faults(monkeypatch)
    cnn.save(cnn.zeros(3), tmp_path / "x.pt")
    written, rest = faults.log[:-3], faults.log[-3:]
    assert set(written) == {"write"}
    assert rest == ["fsync file", "rename", "fsync directory"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EINTR, errno.EDQUOT])
def test_every_failing_call_keeps_a_whole_file(tmp_path, code):
    path = tmp_path / "x.pt"
    cnn.save("old", path)
    fail_at = 0
    while True:
        fail_at += 1
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fail_at, code)
            error = None
            try:
                cnn.save("new", path)
            except OSError as caught:
                error = caught
        if error is None:
            break
        assert error.errno == code
        assert str(path) in str(error)
        assert "bytes free" in str(error)
        expected = "new" if faults.log[-1] == "fsync directory" else "old"
        assert cnn.load(path) == expected
        assert os.listdir(tmp_path) == ["x.pt"]
        cnn.save("old", path)
    assert fail_at > 20
    assert cnn.load(path) == "new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_device():
    with pytest.raises(OSError, match=r"cannot save to '/dev/full': No space left"):
        cnn.save(cnn.zeros(100_000), "/dev/full")


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_real_size_limit_keeps_the_old_file(tmp_path):
    script = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
import cnn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
cnn.save("small", sys.argv[2])
try:
    cnn.save(cnn.zeros(100_000), sys.argv[2])
except OSError as error:
    print(error)
print(cnn.load(sys.argv[2]))
"""
    command = [sys.executable, "-c", script, ROOT, str(tmp_path / "x.pt")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "File too large" in result.stdout, result.stderr
    assert result.stdout.endswith("small\n")
    assert os.listdir(tmp_path) == ["x.pt"]


def test_save_through_a_link_and_with_the_old_mode(tmp_path):
    real, link = tmp_path / "real.pt", tmp_path / "link.pt"
    cnn.save(1, real)
    os.chmod(real, 0o640)
    link.symlink_to(real)
    cnn.save(2, link)
    assert link.is_symlink()
    assert cnn.load(real) == 2
    assert os.stat(real).st_mode & 0o777 == 0o640


def test_a_neighbour_who_is_saving_is_left_alone(tmp_path):
    path = tmp_path / "x.pt"
    with atomic.atomic_write(path) as file:
        file.write(b"slow ")
        cnn.save("fast", path)
        assert cnn.load(path) == "fast"
        file.write(b"writer")
    assert path.read_bytes() == b"slow writer"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_200_kills_lose_nothing(tmp_path):
    """A child saves without pause and is killed at a random moment; the file must be a whole one every time."""
    script = """
import os, random, signal, sys, time
sys.path.insert(0, sys.argv[1])
import cnn
path, kills, generator = sys.argv[2], int(sys.argv[3]), random.Random(0)
cnn.save({"n": 0, "x": cnn.zeros(50_000)}, path)
newest, orphans = 0, 0
for round in range(kills):
    child = os.fork()
    if child == 0:
        n = newest
        while True:
            n += 1
            cnn.save({"n": n, "x": cnn.full((50_000,), float(n))}, path)
    time.sleep(generator.uniform(0.001, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded = cnn.load(path)
    assert loaded["n"] >= newest, (loaded["n"], newest)
    assert bool((loaded["x"] == loaded["n"]).all()), round
    newest = loaded["n"]
    left = len(os.listdir(os.path.dirname(path))) - 1
    assert left <= 1, left
    orphans += left
cnn.save("end", path)
assert os.listdir(os.path.dirname(path)) == ["x.pt"]
print(newest, orphans)
"""
    command = [sys.executable, "-W", "ignore", "-c", script, ROOT, str(tmp_path / "x.pt"), str(int(200 * TIMES))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200 * TIMES)
    assert result.returncode == 0, result.stderr
    saves, orphans = map(int, result.stdout.split())
    assert saves > 20
    assert orphans > 0, "no save was interrupted: the test proves nothing"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs signals")
def test_ctrl_c_during_a_save(tmp_path):
    path = tmp_path / "x.pt"
    cnn.save("old", path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic.os, "fsync", lambda descriptor: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            cnn.save("new", path)
    assert cnn.load(path) == "old"
    assert os.listdir(tmp_path) == ["x.pt"]


def test_ctrl_c_between_two_steps_of_zipfile(tmp_path, monkeypatch):
    """With a member open, ZipFile's own end would raise a ValueError in place of the interrupt."""
    path, complaints = tmp_path / "x.pt", []
    cnn.save(cnn.ones(3), path)
    before, really_open = path.read_bytes(), zipfile.ZipFile.open

    def opened_and_interrupted(*args, **kwargs):
        handle = really_open(*args, **kwargs)
        raise KeyboardInterrupt(handle)

    monkeypatch.setattr(zipfile.ZipFile, "open", opened_and_interrupted)
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with pytest.raises(KeyboardInterrupt):
        cnn.save(cnn.zeros(3), path)
    gc.collect()
    assert not complaints
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["x.pt"]
