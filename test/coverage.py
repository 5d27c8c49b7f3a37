#!/usr/bin/env python3
"""Line and branch coverage of include/proa/transport, by gcov, of what runs in virtual time and of the unit tests.

usage: test/coverage.py [BUILD]       (default build-coverage; configured, built and run here; half an hour)
       test/coverage.py --report BUILD   looks again at what was counted before, and names each branch never taken

A branch is one way out of one condition of the source: `a && b` has four. So nothing is optimised, not even where
test/meson.build asks for it: gcov would count the branches of inlined std::min and the like as if they were written in
the header, number them otherwise than the programs without optimisation do, and branches of the same number that are
not the same would be taken for one.
A line or branch of a template (and of an inline function in several programs) counts once, as taken when any
instantiation took it: the same position in the source, function and number within the line. An instantiation with
another number of branches in a line would spoil that; it ends the report.
Left out: the two ways out of a call, which returns or throws. Counted, though only a bug of Proa's could take
them: PROA_CHECK that fails, broken_invariant() that finds something. Exit code 1 below LINES_MIN or BRANCHES_MIN per cent.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys

LINES_MIN, BRANCHES_MIN = 95, 85
FOLDER = "include/proa/transport/"
OPTIONS = ["-Db_coverage=true", "--buildtype=debug", "-Dcpp_args=-O0", "-Dbench=false", "-Dtidy=false"]
GCOV = ["gcov", "--json-format", "--branch-probabilities", "--branch-counts", "--stdout"]
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
    again = ["--reconfigure"] if (build / "build.ninja").exists() else []
    subprocess.run(["meson", "setup", *again, build, *OPTIONS], cwd=root, check=True)
    targets = [program[0] for program in PROGRAMS]
    subprocess.run(["ninja", "-C", build, *targets], check=True)
    for old in build.rglob("*.gcda"):
        old.unlink()
    few_seeds = {"PROA_SIM_SEEDS": "few"} | os.environ
    for program, *arguments in PROGRAMS:
        done = subprocess.run([build / program, *arguments], cwd=root, env=few_seeds, check=False, stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            print(f"{program} failed: its coverage counts all the same")


def count(root, build):
    """Per file: {line: times}, {(line, function, branch): times}."""
    lines = collections.defaultdict(lambda: collections.defaultdict(int))
    branches = collections.defaultdict(lambda: collections.defaultdict(int))
    numbers = {}
    for data in build.rglob("*.gcda"):
        done = subprocess.run([*GCOV, data.resolve()], cwd=build, check=False, capture_output=True, text=True)
        for text in filter(None, done.stdout.splitlines()):
            counted = json.loads(text)
            for file in counted["files"]:
                path = pathlib.Path(counted["current_working_directory"], file["file"]).resolve()
                if not str(path).startswith(str(root / FOLDER)):
                    continue
                add_file(file, path.name, lines[path.name], branches[path.name], numbers)
    return lines, branches


def add_file(file, name, lines, branches, numbers):
    starts = {function["name"]: (function["start_line"], function["start_column"]) for function in file["functions"]}
    for line in file["lines"]:
        number = line["line_number"]
        lines[number] += line["count"]
        ordinary = conditions(line["branches"])
        if not ordinary:
            continue
        place = (number, starts.get(line.get("function_name")))
        if numbers.setdefault((name, place), len(ordinary)) != len(ordinary):
            sys.exit(f"{name}:{number}: instantiations with different numbers of branches")
        for at, branch in enumerate(ordinary):
            branches[*place, at] += branch["count"]


def conditions(branches):
    """Without those of calls, which return or throw: gcov counts two ways out of each."""
    throws = [branch["throw"] for branch in branches] + [False]
    return [branch for at, branch in enumerate(branches) if not throws[at] and not throws[at + 1]]


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


def report_branches(root, branches):
    for name in sorted(branches):
        source = (root / FOLDER / name).read_text().splitlines()
        for number in sorted({line for line, _, _ in branches[name]}):
            ways = [times for (line, _, _), times in branches[name].items() if line == number]
            if not all(ways):
                print(f"{name}:{number}: {ways.count(0)} of {len(ways)} never taken: {source[number - 1].strip()}")


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
    if "--report" in sys.argv:
        report_branches(root, branches)
    return 0 if report(lines, branches) else 1


if __name__ == "__main__":
    sys.exit(main())
