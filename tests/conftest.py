"""Every test starts from the same state, and the end of a run says what was checked."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import harness

# A runner that was started in the background ignores SIGINT, and so would the processes that the tests start and then
# interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=harness.isas())
def every_isa(request):
    """Runs a test once per instruction set."""
    harness._cnn.set_isa(request.param)
    yield request.param
    harness._cnn.set_isa(None)


@pytest.fixture(autouse=True)
def fresh_seed():
    import cnn

    if hasattr(cnn, "manual_seed"):
        cnn.manual_seed(0)


@pytest.fixture
def little_memory():
    """At most 2 GiB more than now: then what fails on a small machine fails here."""
    if not harness.CAN_LIMIT_MEMORY:
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (2 << 30), hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def pytest_terminal_summary(terminalreporter):
    counts = harness.COUNTS
    if not counts:
        return
    terminalreporter.section("what was checked")
    terminalreporter.write_line(
        f"random networks: {counts['random networks']}; random programs: {counts['programs']} "
        f"({counts['program steps']} steps); torch's own samples: {counts['opinfo']}, of which agree "
        f"{counts['opinfo agree']}, refused by name {counts['opinfo refused']}"
    )
    terminalreporter.write_line(
        f"gradient checks: {counts['gradient']} (worst relative error {harness.WORST['gradient']:.1e}); "
        f"exact integer cases: {counts['exact']}; compared with torch: {counts['torch']}; "
        f"memory layouts: {counts['memory']}; thread counts: {counts['threads']}; "
        f"functions walked for gradients: {counts['gradient walk']}, for NumPy state: {counts['NumPy state']}, "
        f"for arguments: {counts['arguments']}; calls refused in our own words: {counts['refused']}; "
        f"sums in parts: {counts['parts']}; pairs of types: {counts['pairs of types']}; "
        f"calls with 0-d and empty tensors: {counts['empty']}"
    )
