#!/usr/bin/env python3
"""Every header compiles alone, without a warning.

usage: headers.py ROOT COMPILER [FLAG...]     (exit code 1 when one does not)

With --together as the first FLAG all are compiled as one text: for a second compiler, whose warnings we want.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]


def compile_text(text, root, compiler, flags):
    """What the compiler says to `text`; empty when it is content."""
    command = [compiler, "-std=c++20", "-fsyntax-only", *WARNINGS, f"-I{root}/include", *flags, "-xc++", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip() or "it failed without a word"


def violations(root, compiler, flags=()):
    base = pathlib.Path(root) / "include"
    names = sorted(str(path.relative_to(base)) for path in base.rglob("*.hpp"))
    if "--together" in flags[:1]:
        said = compile_text("".join(f"#include <{name}>\n" for name in names), root, compiler, flags[1:])
        return [said] if said else []

    def complaint(name):
        # Twice: the second one shows a missing guard.
        said = compile_text(f"#include <{name}>\n#include <{name}>\n", root, compiler, flags)
        return f"{name} does not compile alone:\n{said}" if said else None

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [found for found in pool.map(complaint, names) if found]


if __name__ == "__main__":
    found = violations(sys.argv[1], sys.argv[2], sys.argv[3:])
    print("\n".join(found) or "every header compiles alone")
    sys.exit(1 if found else 0)
