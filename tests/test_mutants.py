"""What makes mutants, on small programs of its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "mutants"))

from change import candidates


def changes(path, text):
    return {(m.line, m.after.strip()) for m in candidates(path, text)}


def test_a_loop_in_c():
    text = "static void f(real *y)\n{\n    for (int i = 0; i < n; i++) {\n        y[i] += a * b;\n    }\n}\n"
    assert changes("f.c", text) == {
        (3, "for (int i = 1; i < n; i++) {"),
        (3, "for (int i = 0; i <= n; i++) {"),
        (3, "for (int i = 0; i < n; i--) {"),
        (4, "y[i] -= a * b;"),
        (4, "y[i] += a + b;"),
        (4, ";"),
    }


@pytest.mark.parametrize(
    "line",
    [
        "    /* a + b */",
        '    fail("a < b");',
        "    const real *x = y;",
        "    real *restrict x, *y;",
        "    *x = (real *)y;",
        "    p->next = &list;",
        "    // a == b",
        "    __builtin_prefetch(p + 1);",
    ],
)
def test_what_is_no_arithmetic_stays(line):
    """Comments, strings, pointers, addresses, and hints to the processor; a whole statement may still be left out."""
    assert {after for _, after in changes("f.c", f"void f(void)\n{{\n{line}\n}}\n")} <= {";"}


def test_a_comment_of_several_lines_stays():
    assert not changes("f.c", "/* f: a + b\n *   c == d\n */\nvoid f(void)\n{\n}\n")
    assert not changes("f.c", "#define F(a) \\\n    a + 1\n")


def test_python():
    text = 'def f(x, eps=0):\n    """0 and 1"""\n    if x is None and eps < 2:\n        self.y = -x\n    return not x\n'
    assert changes("f.py", text) == {
        (1, "def f(x, eps=1):"),
        (3, "if x is not None and eps < 2:"),
        (3, "if x is None or eps < 2:"),
        (3, "if x is None and eps <= 2:"),
        (3, "if x is None and eps < 3:"),
        (4, "self.y = x"),
        (4, "pass"),
        (5, "return  x"),
    }
    for m in candidates("f.py", text):
        lines = text.split("\n")
        lines[m.line - 1] = m.after
        compile("\n".join(lines), "f.py", "exec")
