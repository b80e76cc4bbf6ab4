"""The pickle interpreter: it reads what NumPy and Python 2 wrote, and refuses everything that is not data."""

import collections
import decimal
import os
import pickle
import random
import subprocess
import sys
import time

import numpy as np
import pytest

from cnn.serialization.unpickle import NUMPY_ARRAYS, UnsafePickleError, load_pickle

TIMES = float(os.environ.get("CNN_TEST_CASES", 1))  # `make test-long` asks for more
ALLOWED = {
    **NUMPY_ARRAYS,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("__builtin__", "bytearray"): bytearray,
}

VALUES = {
    "constants": [None, True, False, (), [], {}, "", (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "numbers": [0, 255, 256, 65535, 65536, -1, 2**31, -(2**31), 2**62, 2**100, -(2**2000), 0.1, -1e300, float("inf")],
    "text": ["a", "\u00e9", "\U00010348", "x" * 300, "\ud800"],
    "bytes": [b"\x00\xff", b"x" * 300],
    "nested": {"a": [{"b": ({"c": [1.5]},)}], (1, "k"): [None], 3: "three"},
    "long": [list(range(3000)), {i: str(i) for i in range(2500)}, tuple(range(10))],
    "sets": [{1, "a"}],
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", VALUES)
def test_reads_what_python_writes(name, protocol):
    value = VALUES[name]
    got = load_pickle(pickle.dumps(value, protocol), ALLOWED)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_numpy_arrays(protocol):
    arrays = [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(6, dtype=">i4"),
        np.arange(12.0).reshape(3, 4)[::2, ::2],
        np.zeros((0, 3)),
        np.array(["a", "bcd"]),
        np.array(3.5),
    ]
    got = load_pickle(pickle.dumps([*arrays, np.float32(1.5)], protocol), ALLOWED)
    for expected, array in zip(arrays, got[:-1], strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
        assert array.flags.writeable
    assert got[-1] == np.float32(1.5)
    assert got[-1].dtype == np.float32


def test_shared_values_stay_shared():
    shared = [1]
    first, second = load_pickle(pickle.dumps((shared, shared), 2), {})
    assert first is second


def python2_batch():
    """A CIFAR batch as Python 2 wrote it, with two images."""
    pixels = bytes(range(256)) * 24
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06K\te"
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T\x00\x18\x00\x00" + pixels + b"tbu."
    )


def test_reads_a_python_2_cifar_batch():
    batch = load_pickle(python2_batch(), NUMPY_ARRAYS, encoding="bytes")
    assert batch[b"labels"] == [6, 9]
    assert batch[b"batch_label"] == b"training batch 1 of 5"
    assert batch[b"data"].shape == (2, 3072)
    assert batch[b"data"].dtype == np.uint8
    assert batch[b"data"].tobytes() == bytes(range(256)) * 24
    assert load_pickle(python2_batch(), NUMPY_ARRAYS, encoding="latin1")["labels"] == [6, 9]


class Evil:
    def __init__(self, *result):
        self.result = result

    def __reduce__(self):
        return self.result


def array_with_state(state):
    return b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R" + state + b"b."


HOSTILE = {
    "os.system": pickle.dumps(Evil(os.system, ("true",)), 2),
    "eval": pickle.dumps(Evil(eval, ("1+1",)), 2),
    "exec by stack_global": pickle.dumps(Evil(exec, ("x = 1",)), 4),
    "subprocess": pickle.dumps(Evil(subprocess.Popen, (["true"],)), 2),
    "open for writing": pickle.dumps(Evil(open, ("evil.txt", "w")), 2),
    "import": pickle.dumps(Evil(__import__, ("antigravity",)), 2),
    "getattr": pickle.dumps(Evil(getattr, ("", "join")), 4),
    "unknown class": pickle.dumps(decimal.Decimal("1.5"), 2),
    "dotted name": b"\x80\x04\x8c\x0bcollections\x8c\x17OrderedDict.__reduce__\x93)R.",
    "dotted name into a listed class": b"\x80\x02ccollections\nOrderedDict.fromkeys\n]\x85R.",
    "submodule walk": b"\x80\x02cnumpy\nf2py.os.system\nU\x04true\x85R.",
    "name with a line feed in the module": b"\x80\x04\x8c\x03os\n\x8c\x06system\x93.",
    "ext1": b"\x80\x02\x82\x01.",
    "inst": b"(ios\nsystem\n.",
    "obj": b"(cos\nsystem\no.",
    "newobj_ex": b"\x80\x04ccollections\nOrderedDict\n)}\x92.",
    "text opcode": b"S'a'\n.",
    "text int": b"I1\n.",
    "persistent id as text": b"Pa\n.",
    "persistent id without a loader": b"\x80\x02U\x01aQ.",
    "next buffer": b"\x80\x05\x97.",
    "call of data": b"\x80\x02U\x01a)R.",
    "call of a built value": b"\x80\x02ccollections\nOrderedDict\n)R)R.",
    "arguments are no tuple": b"\x80\x02ccollections\nOrderedDict\n]R.",
    "build on a list": b"\x80\x02]}b.",
    "build on an ordered dict": b"\x80\x02ccollections\nOrderedDict\n)R}U\x01aU\x01bsb.",
    "state of a listed function": b"\x80\x02c_codecs\nencode\n}U\x08__code__Nsb.",
    "append to a tuple": b"\x80\x02)K\x01a.",
    "set item of a list": b"\x80\x02]K\x01K\x02s.",
    "add to a list": b"\x80\x04](K\x01\x90.",
    "list as a key": b"\x80\x02}]K\x01s.",
    "key with a list inside": b"\x80\x02}]\x85K\x01s.",
    "endless hash": b"\x80\x02}K\x01" + b"2\x86" * 60 + b"K\x01s.",
    "deep key": b"\x80\x02}K\x01" + b"\x85" * 100000 + b"K\x01s.",
    "lists in lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "lists in lists, from the outside": b"\x80\x02]q\x00" + b"]q\x01ah\x01" * 5000 + b"0h\x00.",
    "tuples in tuples": b"\x80\x02)" + b"\x85" * 200_000 + b".",
    "dictionaries in dictionaries": b"\x80\x02" + b"}K\x01" * 2000 + b"N" + b"s" * 2000 + b".",
    "a call of a deep tuple": b"\x80\x02cnumpy\ndtype\n)" + b"\x85" * 200_000 + b"R.",
    "odd items": b"\x80\x02}(K\x01u.",
    "empty": b"",
    "only a stop": b".",
    "no stop": b"\x80\x02K\x01",
    "future protocol": b"\x80\x09K\x01.",
    "pop from an empty stack": b"\x80\x020.",
    "taking below a mark": b"\x80\x02K\x01(\x85.",
    "marks without end": b"\x80\x02" + b"(" * 100000 + b".",
    "unknown memo": b"\x80\x02h\x05.",
    "string of 4 GB": b"\x80\x02X\xff\xff\xff\xffa.",
    "bytes of 2^63": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fa.",
    "negative string": b"\x80\x02T\xff\xff\xff\xffa.",
    "bad utf-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "memory: dictionaries": b"\x80\x02" + b"}" * 400_000 + b".",
    "memory: sets": b"\x80\x04" + b"\x8f" * 400_000 + b".",
    "memory: tuples": b"\x80\x02)" + b"2\x85" * 1_300_000 + b".",
    "memory: notes": b"\x80\x02K\x01" + b"".join(b"r" + n.to_bytes(4, "little") for n in range(900_000)) + b".",
    "object array": array_with_state(b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R\x89](K\x01et"),
    "structured dtype": array_with_state(b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02V8K\x00K\x01\x87R\x89U\x08abcdefght"),
    "array larger than its bytes": array_with_state(
        b"(K\x01K\x09\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89U\x08abcdefght"
    ),
    "array of negative size": array_with_state(
        b"(K\x01J\xff\xff\xff\xff\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89U\x08abcdefght"
    ),
    "array of 2^64 + 8 bytes": array_with_state(
        b"(K\x01\x8a\x09\x08\x00\x00\x00\x00\x00\x00\x00\x01\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89U\x08abcdefght"
    ),
    "array of another class": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
    "array filled twice": array_with_state(
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87Rq\x010(K\x01K\x01\x85h\x01\x89U\x01atb(K\x01K\x01\x85h\x01\x89U\x01at"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses(name):
    with pytest.raises(UnsafePickleError) as caught:
        load_pickle(HOSTILE[name], ALLOWED)
    assert 10 < len(str(caught.value)) < 300


def test_the_attacks_would_have_worked():
    # So that a typing error in the table above cannot make a test pass for the wrong reason.
    assert pickle.loads(HOSTILE["eval"]) == 2
    assert pickle.loads(HOSTILE["os.system"]) == 0


def test_nothing_is_run_imported_or_opened():
    """Reads every hostile pickle under an audit hook, in a process of its own, because a hook stays for ever."""
    script = """
import sys
sys.path[:0] = sys.argv[1:]
import encodings.ascii, encodings.latin_1
import test_unpickle as t
seen = []
forbidden = ("exec", "compile", "import", "open", "subprocess", "os.", "ctypes", "socket", "pickle", "code.__new__")
def hook(event, args):
    if watching and event.startswith(forbidden):
        seen.append((event, repr(args)[:80]))
watching = False
sys.addaudithook(hook)
for name, data in t.HOSTILE.items():
    watching = True
    try:
        t.load_pickle(data, t.ALLOWED)
    except t.UnsafePickleError:
        pass
    finally:
        watching = False
    assert not seen, (name, seen)
watching = True
compile("1", "x", "eval")
watching = False
assert seen, "the hook sees nothing"
print("quiet")
"""
    tests = os.path.dirname(__file__)
    command = [sys.executable, "-c", script, os.path.dirname(tests), tests]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.stdout == "quiet\n", result.stderr


def test_mutated_pickles_never_do_more_than_fail():
    """Random damage to real pickles: a value or UnsafePickleError, nothing else, and no memory out of proportion."""
    generator = random.Random(0)
    values = [VALUES["nested"], VALUES["numbers"], {"a": np.arange(6.0), "o": VALUES["ordered"]}]
    seeds = [pickle.dumps(value, protocol) for value in values for protocol in (2, 4, 5)] + [python2_batch()]
    opcodes = bytes([40, 48, 50, 82, 93, 97, 98, 101, 104, 113, 115, 116, 117, 125, 129, 133, 134])
    refused = 0
    end = time.monotonic() + 3 * TIMES
    count = 0
    while time.monotonic() < end:
        data = bytearray(generator.choice(seeds))
        for _ in range(generator.choice([1, 1, 2, 5, 20])):
            at = generator.randrange(len(data))
            kind = generator.random()
            if kind < 0.5:
                data[at] = generator.randrange(256)
            elif kind < 0.7 and len(data) > 20:
                del data[at : at + generator.randrange(1, 9)]
            elif kind < 0.9:
                data[at:at] = bytes(generator.choices(opcodes, k=generator.randrange(1, 5)))
            else:
                data[at:at] = data[generator.randrange(len(data)) :][: generator.randrange(30)]
        count += 1
        try:
            load_pickle(data, ALLOWED, encoding="bytes")
        except UnsafePickleError:
            refused += 1
    assert count > 1000
    assert refused > count // 3
