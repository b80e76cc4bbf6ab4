"""The caching allocator, on its own: the C program tests/c/test_memory.c."""

import c_programs
import pytest

# Exact sizes, cached blocks and faults differ under the sanitizers by design.
PLAIN = ["sizes", "alignment", "reuse", "too_large", "bound", "no_faults"]
ANY = ["resize", "zeroed", "failing", "scratch", "threads", "fork"]


@pytest.fixture(scope="module", params=["plain", "tsan", "asan"])
def program(request, tmp_path_factory):
    return c_programs.build("test_memory", request.param, tmp_path_factory.mktemp("c"))


@pytest.fixture(scope="module")
def plain_program(tmp_path_factory):
    return c_programs.build("test_memory", "plain", tmp_path_factory.mktemp("c"))


@pytest.mark.parametrize("name", PLAIN)
def test_allocator(plain_program, name):
    plain_program.run(name)


@pytest.mark.parametrize("name", ANY)
def test_allocator_checked(program, name):
    if name == "fork" and program.path.name.endswith("asan"):
        pytest.skip("the sanitizer's own allocator may hang in the child of a fork among threads")
    program.run(name)
