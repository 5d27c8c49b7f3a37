#!/usr/bin/env python3
"""Format and house rules that a machine can see.

usage: style.py ROOT     (exit code 1 on a violation, 77 when clang-format is missing and all else is well)
"""
import pathlib
import re
import shutil
import subprocess
import sys

FOLDERS = ("include", "lib", "sidecar", "bench", "test")
FORMAT_VERSION = 14  # another version formats differently
HEADER_LINES_MAX = 400  # beyond that a file has become unreadable
LAYER_TAGS = {"base": "L0", "mem": "L1", "wire": "L1", "nic": "L2", "transport": "L2", "ipc": "L2", "engine": "L3",
              "stack": "L4"}
FORBIDDEN = {
    r"#\s*define\s+private\s+public": "opens what is private",
    r"\bsleep_(for|until)\b.*//\s*wait for": "a sleep decides a result",
    r"\busing namespace std;": "opens the standard namespace",
}


def sources(root):
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".hpp", ".cpp"):
                yield path


def house_rules(root):
    for path in sources(root):
        name = path.relative_to(root)
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if not lines or not lines[0].startswith("// "):
            yield f"{name}: the first line says in a comment what lives here"
        if path.suffix == ".hpp" and len(lines) > HEADER_LINES_MAX:
            yield f"{name}: {len(lines)} lines, a header has at most {HEADER_LINES_MAX}"
        if path.suffix == ".hpp" and "#pragma once" not in lines:
            yield f"{name}: no #pragma once"
        if name.parts[:2] == ("include", "proa") and len(name.parts) > 3:
            tag = LAYER_TAGS.get(name.parts[2], "L?")
            if lines and not lines[0].startswith(f"// {tag}: "):
                yield f"{name}: the first line begins with '// {tag}: '"
        for pattern, why in FORBIDDEN.items():
            if re.search(pattern, text):
                yield f"{name}: {why}"


def formatter():
    """clang-format of the version whose taste we follow, if it is installed."""
    for name in (f"clang-format-{FORMAT_VERSION}", "clang-format"):
        if not shutil.which(name):
            continue
        version = subprocess.run([name, "--version"], check=True, capture_output=True, text=True).stdout
        if re.search(rf"version {FORMAT_VERSION}\.", version):
            return name
    return None


def badly_formatted(root, program):
    names = [str(path) for path in sources(root)]
    if not names:
        return
    done = subprocess.run([program, "--dry-run", "-Werror", "--style=file", *names], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        wrong = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stderr, re.M)))
        for name in wrong or [done.stderr.strip()]:
            yield f"{name}: run clang-format -i on it"


def violations(root):
    root = pathlib.Path(root)
    program = formatter()
    return [*house_rules(root), *(badly_formatted(root, program) if program else [])]


if __name__ == "__main__":
    found = violations(sys.argv[1])
    print("\n".join(found) or "in good style")
    if not found and not formatter():
        print(f"format not checked: install clang-format {FORMAT_VERSION}")
        sys.exit(77)
    sys.exit(1 if found else 0)
