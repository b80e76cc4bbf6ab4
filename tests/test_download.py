"""The downloader against a server that fails in every way: in the end the file is right, or there is none."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from faulty_server import FaultySite

from cnn.vision.datasets import download as downloading
from cnn.vision.datasets.download import DownloadError, Patience, RemoteFile, download

CONTENT = b"\x1f\x8b" + hashlib.shake_256(b"content").digest(200_000)
QUICK = Patience(stall=0.5, window=0.25, rate=100e3, rounds=3)


@pytest.fixture
def site():
    site = FaultySite(CONTENT)
    yield site
    site.close()


def remote(site, *paths, content=CONTENT, **changes):
    settings = {
        "name": "data.tar.gz",
        "urls": tuple(site.url(path) for path in paths or ("/a", "/b")),
        "checksum": "sha256:" + hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "magic": b"\x1f\x8b",
    }
    return RemoteFile(**{**settings, **changes})


def fetch(what, folder, **options):
    lines = []
    path = download(what, folder, say=lines.append, patience=options.pop("patience", QUICK), **options)
    assert path.read_bytes() == CONTENT
    assert sorted(os.listdir(folder)) == ["data.tar.gz"]
    return lines


@pytest.mark.parametrize(
    "first",
    [
        *(
            "stall 1000",
            "reset 5000",
            "short 5000",
            "trickle 500",
            "corrupt",
            "long",
            "html",
            "wrong_part",
            "bad_range",
        ),
        *("length 999", "length 200001", "redirect /nowhere", "403", "404", "416", "500", "503", "no_range"),
    ],
)
@pytest.mark.parametrize("have", [0, 3000])
def test_a_mirror_fails_and_the_next_one_helps(site, tmp_path, first, have):
    site.behaviours = {"/a": [first], "/nowhere": ["404"]}
    if have:
        (tmp_path / "data.tar.gz.part").write_bytes(CONTENT[:have])
    fetch(remote(site), tmp_path)
    if have and first not in ("no_range", "416"):
        assert site.requests[0] == ("/a", f"bytes={have}-")


@pytest.mark.parametrize("drops", [1, 2])
def test_one_mirror_that_breaks_again_and_again_is_resumed(site, tmp_path, drops):
    site.behaviours = {"/a": ["reset 40000"] * drops + ["ok"]}
    fetch(remote(site, "/a"), tmp_path)
    assert [asked for _, asked in site.requests] == [None] + [f"bytes={40000 * k}-" for k in range(1, drops + 1)]


def test_slow_is_better_than_nothing(site, tmp_path):
    site.behaviours = {"/a": ["trickle 5000"], "/b": ["404"]}
    lines = fetch(remote(site), tmp_path, patience=Patience(stall=1, window=0.1, rate=1e6))
    assert any("is slow" in line for line in lines)


def test_redirects_are_followed(site, tmp_path):
    site.behaviours = {"/a": ["redirect /c"]}
    fetch(remote(site, "/a"), tmp_path)


def test_what_was_kept_may_be_wrong(site, tmp_path):
    (tmp_path / "data.tar.gz.part").write_bytes(b"\x1f\x8b" + b"other" * 1000)
    lines = fetch(remote(site, "/a"), tmp_path)
    assert any("starting again" in line for line in lines)


@pytest.mark.parametrize("extra", [0, 5000])
def test_a_complete_or_too_long_part_file(site, tmp_path, extra):
    (tmp_path / "data.tar.gz.part").write_bytes(CONTENT + bytes(extra))
    fetch(remote(site, "/a"), tmp_path)
    assert len(site.requests) == (0 if extra == 0 else 2)  # 416 first, then the whole


def test_size_and_checksum_of_another_kind(site, tmp_path):
    md5 = "md5:" + hashlib.md5(CONTENT, usedforsecurity=False).hexdigest().upper()
    fetch(remote(site, "/a", size=None, checksum=md5), tmp_path)


def failure(what, folder, **options):
    with pytest.raises(DownloadError) as caught:
        download(what, folder, say=lambda line: None, patience=QUICK, **options)
    assert not (Path(folder) / "data.tar.gz").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("503", "HTTP 503"),
        ("404", "HTTP 404"),
        ("html", "a web page instead of the file"),
        ("corrupt", "expected " + hashlib.sha256(CONTENT).hexdigest()),
        ("length 999", "has 999 bytes, expected 200,002"),
        ("long", "more than the 200,002 bytes expected"),
        ("stall 0", "sent nothing for 0.5 s"),
        ("stall 10", "sent nothing for 0.5 s"),
        ("short 10", "ended after 10 of 200,002 bytes"),
    ],
)
def test_when_nothing_helps_the_message_says_what_to_do(site, tmp_path, behaviour, words):
    site.behaviours = {"/a": [behaviour]}
    message = failure(remote(site, "/a"), tmp_path)
    assert words in message
    for part in ("data.tar.gz", "200,002 bytes", str(tmp_path), hashlib.sha256(CONTENT).hexdigest(), site.url("/a")):
        assert part in message


def test_what_arrived_before_everything_failed_is_kept(site, tmp_path):
    site.behaviours = {"/a": ["short 70000", "404", "ok"]}
    assert "70,000 bytes are kept" in failure(remote(site, "/a"), tmp_path)
    fetch(remote(site, "/a"), tmp_path)
    assert site.requests[-1] == ("/a", "bytes=70000-")


def test_a_file_of_another_kind_is_refused_by_its_first_bytes(tmp_path):
    other = FaultySite(b"PK\x03\x04" + CONTENT[4:])
    assert "begins with b'PK" in failure(remote(other, "/a"), tmp_path)
    other.close()


def test_nobody_there(tmp_path, site):
    closed = site.url("/a").rsplit(":", 1)[0] + ":9"
    message = failure(remote(site, urls=(closed, "no address", "http://name.invalid/x")), tmp_path)
    assert "refused" in message
    assert "not a usable address" in message


def test_without_any_name_server_only_one_mirror_is_asked(tmp_path, site, monkeypatch):
    asked = []

    def no_names(host, *rest, **options):
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    what = remote(site, urls=("http://a.example/x", "http://b.example/x"))
    assert "Temporary failure in name resolution" in failure(what, tmp_path / "new")
    assert asked == ["a.example"]
    assert not (tmp_path / "new").exists()


def test_offline_does_not_touch_the_network(site, tmp_path):
    assert "offline" in failure(remote(site), tmp_path / "new", offline=True)
    assert site.requests == []
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_there_is_not_asked_for(site, tmp_path):
    (tmp_path / "data.tar.gz").write_bytes(CONTENT)
    fetch(remote(site), tmp_path, offline=True)
    assert site.requests == []


def test_no_space_left(site, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    message = failure(remote(site), tmp_path)
    assert "needs 11 MB more" in message
    assert str(tmp_path) in message


def test_the_disk_fills_up_on_the_way(site, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert f"cannot write {tmp_path / 'data.tar.gz.part'}: No space left" in failure(remote(site), tmp_path)


def test_a_folder_that_cannot_be_made(site, tmp_path):
    (tmp_path / "file").write_text("")
    assert f"cannot write {tmp_path / 'file'}" in failure(remote(site), tmp_path / "file" / "folder")


def test_a_proxy_from_the_environment_is_used(site, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url(""))
    monkeypatch.delenv("no_proxy", raising=False)
    fetch(remote(site, urls=("http://somewhere.invalid/a",)), tmp_path)
    assert site.requests == [("http://somewhere.invalid/a", None)]


def test_ctrl_c_keeps_what_has_arrived(site, tmp_path, monkeypatch):
    copy = downloading._copy

    def interrupted(*args):
        file = args[2]
        file.write(CONTENT[:1234])
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download(remote(site), tmp_path, say=lambda line: None)
    assert (tmp_path / "data.tar.gz.part").read_bytes() == CONTENT[:1234]
    monkeypatch.setattr(downloading, "_copy", copy)
    fetch(remote(site), tmp_path)


def test_two_threads_share_one_download(site, tmp_path):
    site.behaviours = {"/a": ["trickle 5000"]}
    lines, paths = [], []
    patient = Patience(stall=5, window=100)

    def run():
        paths.append(download(remote(site, "/a"), tmp_path, say=lines.append, patience=patient))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 3
    assert len(site.requests) == 1
    assert sum("waiting" in line for line in lines) == 2
    assert sorted(os.listdir(tmp_path)) == ["data.tar.gz"]


CHILD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("download", sys.argv[1])
module = sys.modules["download"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
remote = module.RemoteFile("data.tar.gz", (sys.argv[2],), "sha256:" + sys.argv[3], int(sys.argv[4]), b"\\x1f\\x8b")
print("ready", flush=True)
module.download(remote, sys.argv[5], say=lambda line: None)
"""


def test_a_killed_download_leaves_nothing_wrong(site, tmp_path):
    """SIGKILL at 12 moments (`make test-long`: 120) of downloads that each go on from where the last one died."""
    site.behaviours = {"/a": ["trickle 500"]}
    digest = hashlib.sha256(CONTENT).hexdigest()
    command = [
        sys.executable,
        "-S",
        "-c",
        CHILD,
        downloading.__file__,
        site.url("/a"),
        digest,
        str(len(CONTENT)),
        str(tmp_path),
    ]
    for k in range(12 * int(float(os.environ.get("CNN_TEST_CASES", 1)))):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        child.stdout.readline()
        time.sleep(0.01 + 0.03 * (k % 12))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for path in tmp_path.iterdir():
            assert path.name in ("data.tar.gz.part", "data.tar.gz")
            content = path.read_bytes()
            assert CONTENT.startswith(content)
            if path.name == "data.tar.gz":
                assert content == CONTENT
                path.unlink()  # and once more from the beginning
    site.behaviours = {}
    fetch(remote(site, "/a"), tmp_path)
