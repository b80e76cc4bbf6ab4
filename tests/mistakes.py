"""What the tests of common mistakes share (test_mistakes.py, test_mistakes_files.py, test_mistakes_learning.py).

A row is a function that makes a mistake, the error that it must end in, and texts that the message must contain.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

import cnn
import cnn.nn as nn
import cnn.nn.functional as F
import cnn.optim as optim

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Rows(list):
    """A table of mistakes."""

    def mistake(self, says, error=ValueError):
        """Note a function that makes a mistake. says: texts that the message must contain, in this order."""

        def note(make):
            self.append(pytest.param(make, error, says, id=make.__name__))
            return make

        return note

    def lines(self, *table):
        """Rows of (name, function of a folder, error, *texts)."""
        for name, make, error, *says in table:
            make.__name__ = name
            self.mistake(says, error)(make)


class Net(nn.Module):
    def __init__(self, channels=4, features=None):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Linear(features or channels * 16, 5)

    def forward(self, x):
        return self.dense(self.pool(self.conv(x).relu()).flatten(1))


def message_of(make, error, folder):
    try:
        make(folder)
    except error as problem:
        return str(problem)
    raise AssertionError(f"{make.__name__}: no error")


def check_message(make, error, says, folder):
    """The mistake ends in its error, whose message has the texts, is one line, and speaks no C."""
    message = message_of(make, error, folder)
    place = 0
    for text in says:
        found = message.find(text, place)
        assert found >= 0, f"{text!r} is not in (the rest of) {message!r}"
        place = found + 1
    # One line: load_state_dict and the data set that is to be brought by hand list things, one a line, as torch does.
    if "state_dict" not in message and "To bring it by hand" not in message:
        assert "\n" not in message
    # No C or Python jargon.
    assert not re.search(r"0x[0-9a-f]{6}|NoneType' object|object has no attribute '_|PyArray|npy_|ptrdiff", message)


def train_a_step():
    """The bits of a training step: loss and weights."""
    cnn.manual_seed(0)
    net = Net()
    solver = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    loss = F.cross_entropy(net(cnn.rand(4, 3, 8, 8)), cnn.tensor([0, 1, 2, 3]))
    loss.backward()
    solver.step()
    return [t.detach().numpy().tobytes() for t in (loss, *net.parameters())]


def start(arguments, folder, **environment):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
