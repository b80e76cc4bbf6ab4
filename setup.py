"""Builds the extension module cnn._cnn.

Every file of csrc/kernels and csrc/engine is compiled once per (type, instruction set); csrc/dispatch.c picks one of
these builds when the module is imported. Everything else is compiled once. Objects newer than their sources and all
headers are kept. CNN_WERROR=1 turns warnings into errors (CI does); CNN_CFLAGS adds flags (sanitizers).
"""

import hashlib
import os
import platform
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

X86 = platform.machine().lower() in ("x86_64", "amd64")
TYPES = {"f32": "float", "f64": "double"}
INSTRUCTION_SETS = {"baseline": []}
if X86:
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = [
        "-mavx512f", "-mavx512vl", "-mavx512dq", "-mavx512bw", "-mavx2", "-mfma", "-mprefer-vector-width=512",
    ]  # fmt: skip

COMMON = ["-std=gnu11", "-O3", "-g0", "-fvisibility=hidden", "-pthread", "-Wall", "-Wextra", "-fno-math-errno"]
COMMON += ["-fno-trapping-math"]
if os.environ.get("CNN_WERROR"):
    COMMON += ["-Werror"]
COMMON += shlex.split(os.environ.get("CNN_CFLAGS", ""))


def sources(*folders):
    return sorted(path.as_posix() for folder in folders for path in Path(folder).glob("*.c"))


def newest_header():
    headers = [*Path("csrc").rglob("*.h"), Path("setup.py")]
    return max(path.stat().st_mtime for path in headers)


class Build(build_ext):
    """build_ext that compiles the kernels per variant, several files at a time."""

    def build_extension(self, extension):
        jobs = []
        for type_name, c_type in TYPES.items():
            for isa, flags in INSTRUCTION_SETS.items():
                variant = f"_{type_name}_{isa}"
                macros = [("CNN_REAL", c_type), ("CNN_VARIANT", variant)]
                if c_type == "double":
                    macros.append(("CNN_REAL_IS_DOUBLE", "1"))
                # A kernel may contract a*b + c into one fused operation; random.c and the like may not.
                # -fopenmp-simd obeys "#pragma omp simd", which lets a loop sum in lanes; no OpenMP comes with it.
                flags = [*COMMON, *flags, "-ffp-contract=fast", "-fopenmp-simd"]
                jobs += [(s, variant, macros, flags) for s in sources("csrc/kernels", "csrc/engine")]
        extension.extra_objects = self.compile_all(jobs)
        macros = [("CNN_X86", "1")] if X86 else []
        jobs = [(s, "", macros, [*COMMON, "-ffp-contract=off"]) for s in extension.sources]
        extension.extra_objects += self.compile_all(jobs, extension.include_dirs)
        extension.sources, extension.depends = [], extension.extra_objects  # linked again if any object is newer
        super().build_extension(extension)

    def objects(self):
        """Where objects are kept between builds, editable ones too: a folder per compiler and set of flags."""
        key = [sys.version, *getattr(self.compiler, "compiler_so", []), *COMMON]
        return Path("build") / f"objects-{hashlib.sha256(' '.join(key).encode()).hexdigest()[:12]}"

    def compile_all(self, jobs, include_dirs=()):
        headers = newest_header()

        def compile_one(job):
            source, variant, macros, flags = job
            folder = self.objects() / (variant or "common")
            target = folder / Path(source).with_suffix(".o")
            fresh = max(headers, Path(source).stat().st_mtime)
            if not self.force and target.exists() and target.stat().st_mtime > fresh:
                return target.as_posix()
            includes = [*include_dirs, *self.compiler.include_dirs]
            (compiled,) = self.compiler.compile(
                [source], output_dir=folder.as_posix(), macros=macros, include_dirs=includes, extra_postargs=flags
            )
            return compiled

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(compile_one, jobs))


extension = Extension(
    "cnn._cnn",
    sources=sources("csrc", "csrc/binding"),
    include_dirs=[numpy.get_include()],
    extra_link_args=["-pthread", *shlex.split(os.environ.get("CNN_CFLAGS", ""))]
    + (["-Wl,-undefined,dynamic_lookup"] if sys.platform == "darwin" else []),
    libraries=["m"],
)

setup(ext_modules=[extension], cmdclass={"build_ext": Build})
