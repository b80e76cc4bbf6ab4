"""The same bits for any number of threads, in a forked child too; and Ctrl-C is answered while a kernel runs."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import cnn
from cnn import nn


class EveryCommonLayer(nn.Module):
    """Convolutions of several kinds, both pools, batch norm, dropout, a residual sum, a concatenation, activations."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 16, 5, padding=2), nn.BatchNorm2d(16), nn.ReLU(inplace=True))
        self.wide = nn.Conv2d(16, 32, 3, padding="same")
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False)
        self.point = nn.Conv2d(16, 32, 1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.strided = nn.Conv2d(64, 32, 3, stride=2, padding=1)
        self.max_pool, self.avg_pool = nn.MaxPool2d(2), nn.AvgPool2d(2)
        self.drop2d, self.drop = nn.Dropout2d(0.1), nn.Dropout(0.2)
        self.gelu, self.silu, self.leaky = nn.GELU(), nn.SiLU(), nn.LeakyReLU(0.1)
        self.flat = nn.Flatten()
        self.dense1, self.norm1, self.dense2 = nn.Linear(512, 64), nn.BatchNorm1d(64), nn.Linear(64, 10)

    def forward(self, x):
        x = self.first(x)
        a = self.wide(x)
        b = self.silu(self.norm(self.point(self.depthwise(x))))
        x = self.max_pool(cnn.cat([a + b, self.gelu(a)], 1))
        x = self.drop2d(self.leaky(self.strided(x)))
        x = self.avg_pool(x)
        x = self.drop(cnn.tanh(self.norm1(self.dense1(self.flat(x)))))
        return self.dense2(x)


def train(steps, batch=16):
    """SHA-256 of all weights, buffers and losses after some steps of SGD, then Adam."""
    cnn.manual_seed(3)
    net = EveryCommonLayer()
    x, t = cnn.randn(batch, 3, 32, 32), cnn.randint(0, 10, (batch,))
    optimizers = [
        cnn.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4),
        cnn.optim.Adam(net.parameters(), lr=1e-3),
    ]
    digest = hashlib.sha256()
    for step in range(steps):
        optimizer = optimizers[step % 2]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), t, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        digest.update(np.float32(loss.item()).tobytes())
    for value in net.state_dict().values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def test_fifty_steps_give_the_same_bits_for_any_number_of_threads():
    before = cnn.get_num_threads()
    try:
        digests = {}
        for threads in (1, 2, 3, 4, 7):
            cnn.set_num_threads(threads)
            digests[threads] = train(50)
    finally:
        cnn.set_num_threads(before)
    assert len(set(digests.values())) == 1, digests


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_hundred_forks_after_a_kernel_ran():
    x, w = cnn.randn(8, 8, 32, 32), cnn.randn(16, 8, 3, 3)
    before = cnn.get_num_threads()
    cnn.set_num_threads(4)
    try:
        expected = nn.functional.conv2d(x, w)._a.tobytes()
        for number in range(200):
            child = os.fork()
            if child == 0:
                same = nn.functional.conv2d(x, w)._a.tobytes() == expected
                os._exit(0 if same else 1)
            end = time.monotonic() + 5
            while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
                if time.monotonic() > end:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    pytest.fail(f"fork {number}: the child hangs")
                time.sleep(0.0005)
            assert done[1] == 0, f"fork {number}: another result"
    finally:
        cnn.set_num_threads(before)


LONG_KERNELS = {
    "conv2d": "cnn.nn.functional.conv2d(cnn.zeros(256, 64, 64, 64), cnn.zeros(256, 64, 7, 7))",
    "linear": "cnn.nn.functional.linear(cnn.zeros(8192, 4096), cnn.zeros(8192, 4096))",
    "gelu": "cnn.nn.functional.gelu(cnn.zeros(2**28))",
}


@pytest.mark.parametrize("isa", ["plain", None])
@pytest.mark.parametrize("kernel", LONG_KERNELS)
def test_ctrl_c_in_a_long_kernel(kernel, isa, tmp_path):
    """SIGINT is answered while the kernel runs. The limit of 0.2 s is for an idle machine: here it gets three tries."""
    program = textwrap.dedent(
        f"""
        import sys, time, cnn
        cnn._cnn.set_isa({isa!r})
        print("ready", flush=True)
        try:
            while True:
                {LONG_KERNELS[kernel]}
        except KeyboardInterrupt:
            print("interrupted", time.time(), flush=True)
        """
    )
    delays = []
    for wait in (0.3, 0.55, 0.8):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "ready\n"
        time.sleep(wait)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        word, answered = process.communicate(timeout=60)[0].split()
        assert word == "interrupted" and process.returncode == 0
        delays.append(float(answered) - sent)
        if delays[-1] < 0.2:
            return
    pytest.fail(f"Ctrl-C was answered after {[f'{d:.2f}' for d in delays]} s")
