#!/usr/bin/env python3
"""Line and branch coverage of include/proa/transport, by gcov, of what runs in virtual time and of the unit tests.

usage: test/coverage.py [BUILD]       (default build-coverage; configured, built and run here; about ten minutes)
       test/coverage.py --report BUILD   looks again at what was counted before

A line or branch of a template counts as taken when any instantiation took it. Branches that only exceptions take are
left out. Exit code 1 below LINES_MIN or BRANCHES_MIN per cent.
"""
import collections
import json
import pathlib
import subprocess
import sys

LINES_MIN, BRANCHES_MIN = 95, 85
FOLDER = "include/proa/transport/"
OPTIONS = ["-Db_coverage=true", "--buildtype=debug", "-Dbench=false", "-Dtidy=false"]
# What runs, with its arguments.
PROGRAMS = [
    ["test/unit_tests"],
    ["test/sim/sim_world", "--seeds", "1", "300"],
    ["test/sim/sim_engines", "--seeds", "1", "60"],
    ["test/sim/sim_matrix_flow"],
    ["test/sim/sim_matrix_lifecycle"],
    ["test/sim/sim_matrix_paths"],
    ["test/sim/sim_matrix_engine"],
    ["test/fuzz/replay_flow", "test/fuzz/corpus/flow"],
    ["test/fuzz/replay_engine", "test/fuzz/corpus/engine"],
]


def build_and_run(root, build):
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", build, *OPTIONS], cwd=root, check=True)
    targets = [program[0] for program in PROGRAMS]
    subprocess.run(["ninja", "-C", build, *targets], check=True)
    for old in build.rglob("*.gcda"):
        old.unlink()
    for program, *arguments in PROGRAMS:
        done = subprocess.run([build / program, *arguments], cwd=root, check=False, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            print(f"{program} failed: its coverage counts all the same")


def count(root, build):
    """Per file: {line: times}, {(line, branch): times}."""
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(int))
    for data in build.rglob("*.gcda"):
        done = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--branch-counts", "--stdout", data.resolve()], cwd=build,
                              check=False, capture_output=True, text=True)
        for text in filter(None, done.stdout.splitlines()):
            counted = json.loads(text)
            for file in counted["files"]:
                path = pathlib.Path(counted["current_working_directory"], file["file"]).resolve()
                if not str(path).startswith(str(root / FOLDER)):
                    continue
                add_file(file, lines[path.name], branches[path.name])
    return lines, branches


def add_file(file, lines, branches):
    for line in file["lines"]:
        number = line["line_number"]
        lines[number] += line["count"]
        ordinary = [branch for branch in line["branches"] if not branch["throw"]]
        for at, branch in enumerate(ordinary):
            branches[number, at] += branch["count"]


def share(counts):
    taken = sum(1 for times in counts.values() if times)
    return taken, len(counts), 100.0 * taken / len(counts) if counts else 100.0


def report(lines, branches):
    print(f"{'file':26} {'lines':>16} {'branches':>16}   lines never run")
    for name in sorted(lines):
        missed = [str(line) for line in sorted(lines[name]) if not lines[name][line]]
        row = [f"{taken}/{of} {percent:5.1f}" for taken, of, percent in (share(lines[name]), share(branches[name]))]
        print(f"{name:26} {row[0]:>16} {row[1]:>16}   {' '.join(missed[:12])}{' ...' if len(missed) > 12 else ''}")
    every = [{(name, at): times for name in table for at, times in table[name].items()} for table in (lines, branches)]
    totals = [share(counts) for counts in every]
    print(f"all: lines {totals[0][2]:.1f} % of {totals[0][1]}, branches {totals[1][2]:.1f} % of {totals[1][1]}")
    return totals[0][2] >= LINES_MIN and totals[1][2] >= BRANCHES_MIN


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    arguments = [argument for argument in sys.argv[1:] if argument != "--report"]
    build = pathlib.Path(arguments[0] if arguments else root / "build-coverage").resolve()
    if "--report" not in sys.argv:
        build_and_run(root, build)
    lines, branches = count(root, build)
    if not lines:
        print("nothing was counted")
        return 1
    return 0 if report(lines, branches) else 1


if __name__ == "__main__":
    sys.exit(main())
