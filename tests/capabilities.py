"""Bytes and bits are the same whatever the processor can do: ``python -m tests.capabilities``.

torch, oneDNN and numba choose their kernels by what the processor offers. Each capability of this
one is imitated in a process of its own, which runs the tests of bytes and of kernels, and prints
what the arithmetic of our own kernels gave, to the bit. The processes run side by side: each has
kernels of its own to compile, which several workers would do several times.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

TESTS = (
    "tests/unit/profiler/test_known_bytes.py",
    "tests/unit/algorithms/test_int8.py",
    "tests/unit/algorithms/test_int8_convolution.py",
    "tests/unit/algorithms/test_binarised.py",
    "tests/unit/algorithms/test_bit_kernels.py",
    "tests/unit/algorithms/test_large_sums.py",
    "tests/contract/test_memory_contract.py::test_the_known_figure_is_backprops",
    "tests/contract/test_memory_contract.py::test_the_record_names_the_worst_stage_and_has_no_residual",
)
"""Bytes that are known and predicted, of every rule; products and rounding that are exact.

Not the committed predictions: they follow from shapes, by no kernel.
"""

CAPABILITIES = {
    "DEFAULT": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
    },
    "AVX2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt",
    },
}
"""What torch calls them, and how each library is kept from using more."""


def digest() -> str:
    """What our own kernels compute, as one number: products and rounding, by either kernel.

    Not whole steps: torch's float operators differ in the last bit between capabilities.
    """
    import torch

    from trainfit.algorithms.numerics.int8.convolution.products import (
        int8_convolution,
        int8_convolution_input,
        int8_convolution_weight,
    )
    from trainfit.algorithms.numerics.int8.convolution.windows import Windows
    from trainfit.algorithms.numerics.int8.products import (
        int8_grad_input,
        int8_grad_weight,
        int8_linear,
    )
    from trainfit.algorithms.numerics.int8.quantise import Int8Kernel, Rounding, quantise

    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(0)
    found = hashlib.sha256()
    for rows, inner in ((3, 5), (17, 33), (64, 100), (9, 131)):
        values = torch.randint(-1000, 1000, (rows, inner), generator=draws) / 64
        square = torch.randint(-127, 128, (inner, inner), dtype=torch.int8, generator=draws)
        for kernel, rounding in itertools.product(Int8Kernel, Rounding):
            q, scale = quantise(values, rounding=rounding, seed=7, axis=0, kernel=kernel)
            results = (
                q,
                scale,
                int8_linear(q, square, kernel=kernel),
                int8_grad_input(q, square, kernel=kernel),
                int8_grad_weight(q, q, kernel=kernel),
            )
            for result in results:
                found.update(result.numpy().tobytes())
    windows = Windows((1, 2), (1, 1))
    x, w, d = (
        torch.randint(-127, 128, shape, dtype=torch.int8, generator=draws)
        for shape in ((2, 7, 9, 20), (11, 7, 3, 3), (2, 11, 9, 10))
    )
    for kernel in Int8Kernel:
        for result in (
            int8_convolution(x, w, windows, kernel),
            int8_convolution_input(d, w, x.shape, windows, kernel),
            int8_convolution_weight(d, x, (3, 3), slice(0, 11), windows, kernel),
        ):
            found.update(result.numpy().tobytes())
    return found.hexdigest()


def ask(environment: dict[str, str], *arguments: str) -> str:
    """The output of a Python that is kept to a capability."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ).stdout.strip()


NAME = "import torch; print(torch.backends.cpu.get_cpu_capability())"
DIGEST = "from tests.capabilities import digest; print(digest())"


def tested(environment: dict[str, str]) -> tuple[str, bool, str]:
    """Our kernels' bits under a capability, whether the tests passed, and what they said."""
    with tempfile.TemporaryDirectory() as cache:  # compiled for another processor
        limits = {**environment, "NUMBA_CACHE_DIR": cache}
        found = ask(limits, "-c", DIGEST)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **limits},
        )
    return found, done.returncode == 0, done.stdout


def main() -> int:
    """Run everything under every capability of this processor; 1 if anything differs."""
    native = ask({}, "-c", NAME)
    others = {}
    for name, environment in CAPABILITIES.items():
        if name == native:
            continue
        if ask(environment, "-c", NAME) == name:
            others[name] = environment
        else:
            print(f"{name}: not on this processor, which has {native}")
    with ThreadPoolExecutor() as pool:
        running = {name: pool.submit(tested, environment) for name, environment in others.items()}
        digests = {native: ask({}, "-c", DIGEST)}
    failed = []
    for name, each in running.items():
        digests[name], passed, said = each.result()
        print(f"{name}, on a processor with {native}:\n{said}", flush=True)
        if not passed:
            failed.append(name)
    if len(set(digests.values())) > 1:
        failed.append("bits")
    print("bits of our own kernels:", *(f"{name} {found[:12]}" for name, found in digests.items()))
    print("not the same: " + ", ".join(failed) if failed else "the same under all of them")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
