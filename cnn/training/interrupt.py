"""Ctrl-C at any moment: held back while weights and records change, and what it cut short is undone."""

import contextlib
import signal

import cnn

__all__ = ["Snapshot", "without_interrupt"]


@contextlib.contextmanager
def without_interrupt():
    """Hold Ctrl-C back until the block has ended; KeyboardInterrupt is raised then.

    Example:
        with without_interrupt():
            optimizer.step()
            steps += 1
    """
    held = []
    try:
        before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    except ValueError:  # not the main thread: Ctrl-C does not arrive here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


class Snapshot:
    """What a forward pass changes on the side: the random numbers, and buffers (batch norm's running statistics).

    Args:
        net: the Module whose buffers are kept.

    Example:
        snapshot = Snapshot(net)
        net(x)
        snapshot.restore()  # as if there had been no forward pass
    """

    def __init__(self, net):
        self.rng = cnn.get_rng_state()
        self._net, self._buffers = net, [buffer.clone() for buffer in net.buffers()]

    def restore(self):
        """Put the random numbers and buffers back."""
        cnn.set_rng_state(self.rng)
        with cnn.no_grad():
            for buffer, value in zip(self._net.buffers(), self._buffers, strict=True):
                buffer.copy_(value)
