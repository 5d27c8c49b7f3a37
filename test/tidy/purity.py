#!/usr/bin/env python3
"""The transport's object code reaches no clock, allocator, randomness, thread or socket.

usage: purity.py ROOT PROBE COMPILER [FLAG...]

Compiles PROBE, which instantiates the pure layer, optimised and without instrumentation, and looks at
the symbols it wants from elsewhere.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ALLOWED = re.compile(
    r"mem(cpy|move|set|cmp)|strlen"  # what compilers make of loops and copies
    r"|__gxx_personality_v0|_ZSt9terminatev|__clang_call_terminate|__stack_chk_fail"
    r"|_GLOBAL_OFFSET_TABLE_|_Unwind_Resume"
    # Which CRC-32C instruction there is: asked once, before main, for an inline variable.
    r"|__cpu_(indicator_init|model)|__cxa_guard_(acquire|release|abort)"
    r"|abort|stderr|fprintf|__fprintf_chk|fwrite"  # PROA_CHECK's last words
)


def undefined_symbols(root, probe, compiler, flags=()):
    with tempfile.TemporaryDirectory() as scratch:
        built = pathlib.Path(scratch) / "probe.o"
        command = [compiler, "-std=c++20", "-O2", f"-I{root}/include", *flags, "-c", str(probe), "-o", str(built)]
        subprocess.run(command, check=True)
        listed = subprocess.run(["nm", "-u", str(built)], check=True, capture_output=True, text=True).stdout
        defined = subprocess.run(["nm", "--defined-only", str(built)], check=True, capture_output=True, text=True)
    return [line.split()[-1] for line in listed.splitlines()], len(defined.stdout.splitlines())


def violations(root, probe, compiler, flags=()):
    wanted, defined = undefined_symbols(root, probe, compiler, flags)
    if defined == 0:
        return ["the probe instantiates nothing"]
    return [f"impure symbol: {name}" for name in wanted if not ALLOWED.fullmatch(name)]


if __name__ == "__main__":
    found = violations(*sys.argv[1:4], sys.argv[4:])
    print("\n".join(found) or "the transport is pure")
    sys.exit(1 if found else 0)
