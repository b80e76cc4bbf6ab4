"""Mutants: programs that differ from ours in one line, as a slip of the pen would (DeMillo, Lipton and Sayward 1978).

`candidates(path)` lists every change that one of the rules below makes to a line of a file; comments, strings and what
stands in the preprocessor's lines are left alone, and so is what only decides how fast something is (SPEED).
"""

import io
import re
import tokenize
from dataclasses import dataclass

# Where these names stand in a line, it decides how fast something is, or in which pieces, and never what comes out.
SPEED = re.compile(
    r"prefetch|_GRAIN|_grain|\bgrain|_BYTES\b|_cached\b|PAUSE|__builtin_expect|__slots__|static_assert|\bassert\b"
)
_ASKS_AHEAD = re.compile(r"^\w[\w ]*\bprefetch(?:_| )\w+\(")  # the head of a function that only moves memory nearer
# A declaration without a value: a longer array is as good.
_C_DECLARATION = re.compile(r"^\s+(?:(?:static|const) )*[a-z]\w* \*?\w+[\[,;][^=(]*;$|^\s+[a-z]\w* \w+;$")

SWAPS = {
    "+": "-", "-": "+", "*": "+", "/": "*", "%": "*", "+=": "-=", "-=": "+=", "*=": "=", "/=": "*=",
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "++": "--",
    "and": "or", "or": "and", "True": "False", "False": "True", "is": "is not", "is not": "is", "not": "", "!": "",
    "break": "continue", "continue": "break", "<<": ">>", ">>": "<<", "&": "|", "|": "&",
}  # fmt: skip
_C_TOKENS = re.compile(
    r"""(?P<skip>/\*.*?\*/|/\*.*$|//.*$|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*(?:[eE][-+]\d+\w*)?)"
    r"|(?P<mark><<=|>>=|\+\+|--|->|<<|>>|<=|>=|==|!=|&&|\|\||\+=|-=|\*=|/=|[-+*/%<>!&|=?:;,.(){}\[\]~^])"
)
# A call or an assignment that is a whole line: it may be left out. A declaration may not, or nothing would compile.
_C_STATEMENT = re.compile(r"^\s+(?:[\w\]\[.>*()+-]+(?:\s*[-+*/|&]?=\s.*|\+\+|--)|[A-Za-z_]\w*(?:\(\w+\))?\(.*\));$")
_PYTHON_STATEMENT = re.compile(r"^(\s+)(?:[\w.\[\]]+(?:, [\w.\[\]]+)* [-+*/]?= .*[^(\[{,]|[\w.]+\(.*\))$")


@dataclass(frozen=True, order=True)
class Mutant:
    path: str
    line: int  # from 1
    rule: str
    before: str
    after: str

    def __str__(self):
        return f"{self.path}:{self.line}  {self.rule}\n    - {self.before.strip()}\n    + {self.after.strip()}"


def candidates(path, text):
    """Every mutant of a file, by line."""
    tokens = _python_tokens(text) if path.endswith(".py") else _c_tokens(text)
    ahead = False
    for number, line in enumerate(text.split("\n"), 1):
        ahead = not path.endswith(".py") and (_ASKS_AHEAD.match(line) is not None or (ahead and line[:1] != "}"))
        if ahead or SPEED.search(line) or (not path.endswith(".py") and _C_DECLARATION.match(line)):
            continue
        for start, end, kind, previous in tokens.get(number, ()):
            for rule, new in _changes(line[start:end], kind, previous, line[end : end + 1]):
                yield Mutant(path, number, rule, line, line[:start] + new + line[end:])
        statement = (_PYTHON_STATEMENT if path.endswith(".py") else _C_STATEMENT).match(line)
        if statement and number in tokens:
            indent = line[: len(line) - len(line.lstrip())]
            yield Mutant(path, number, "left out", line, indent + ("pass" if path.endswith(".py") else ";"))


def _changes(token, kind, previous, following):
    if kind == "number" and re.fullmatch(r"\d+", token):
        yield f"{token} becomes {int(token) + 1}", str(int(token) + 1)
    elif token in SWAPS:
        unary = previous in ("", "(", "[", ",", "=", "return", "?", ":", "+=", "-=", "{", "case", "in", "lambda")
        if unary and token in "+-*&":
            if token == "-":
                yield "- left out", ""
            return  # a sign, a pointer or an address
        if kind == "mark" and token in ("*", "&") and not (previous and (previous[-1].isalnum() or previous in ")]_")):
            return
        new = SWAPS[token]
        yield f"{token} becomes {new}" if new else f"{token} left out", new


def _c_tokens(text):
    """{line: [(start, end, kind, the token before)]} without comments, strings and the preprocessor's lines."""
    found, in_comment, continued = {}, False, False
    for number, line in enumerate(text.split("\n"), 1):
        directive = continued or line.lstrip().startswith("#")
        continued = directive and line.endswith("\\")
        at = 0
        if in_comment:
            end = line.find("*/")
            if end < 0:
                continue
            at, in_comment = end + 2, False
        code = not directive and line.startswith((" ", "\t"))  # not a declaration, nor the head of a function
        previous, here = "", []
        for match in _C_TOKENS.finditer(line, at):
            if match.lastgroup == "skip":
                in_comment = match.group().startswith("/*") and not match.group().endswith("*/")
                continue
            if match.lastgroup == "mark" and match.group() == "*" and _declares(line, match, previous):
                previous = "("
                continue
            here.append((match.start(), match.end(), match.lastgroup, previous))
            previous = match.group()
        if here and code:
            found[number] = here
    return found


def _declares(line, match, previous):
    """Whether this * makes a pointer: `real *y`, `const char *name`, `(void *)p`."""
    spaced = line[match.end() : match.end() + 1] == " " and line[match.start() - 1] == " "
    return not spaced and bool(previous) and (previous[-1].isalpha() or previous[-1] == "_" or previous == "*")


def _python_tokens(text):
    found, previous = {}, ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = {tokenize.OP: "mark", tokenize.NAME: "name", tokenize.NUMBER: "number"}.get(token.type)
        if kind:
            if token.string == "*" and previous in ("(", ",", "", "[") or token.string == "**":
                previous = token.string
                continue
            found.setdefault(token.start[0], []).append((token.start[1], token.end[1], kind, previous))
            previous = token.string
        elif token.type in (tokenize.NEWLINE, tokenize.NL):
            previous = ""
    return found
