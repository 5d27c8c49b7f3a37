#!/usr/bin/env python3
"""Counts test cases in the logs of `meson test`, not just programs.

usage: count.py NAME=TESTLOG.json...     (last line: N passed, N failed; exit code 1 unless all is well)
       NAME!=TESTLOG.json: that `meson test` failed; a log that names no failure was cut short and is one

A Catch2 program counts its cases; a program that prints `N passed, N failed` counts those; any other counts
as one. `skipped case: NAME: WHY` names a case that a program left out: it is no passed one. A program that failed
counts as one failure at least, whatever it printed. Skipped ones are named.
"""
import json
import pathlib
import re
import sys

CATCH_ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)$", re.M)
CATCH_SOME_FAILED = re.compile(r"^test cases:\s*\d+((?:\s*\|\s*\d+ [a-z ]+)+)$", re.M)
SKIPPED_CASE = re.compile(r"^skipped case: (.+)$", re.M)
OWN_LINE = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
LAST_LINES = 25
BAD = {"FAIL", "TIMEOUT", "ERROR", "INTERRUPT", "UNEXPECTEDPASS"}


def cases_in(output):
    """(passed, failed) as the program says, or None when it says nothing."""
    if found := OWN_LINE.findall(output):
        return int(found[-1][0]), int(found[-1][1])
    if found := CATCH_SOME_FAILED.findall(output):
        parts = dict(reversed(part.strip().split(" ", 1)) for part in found[-1].split("|")[1:])
        return int(parts.get("passed", 0)) + int(parts.get("failed as expected", 0)), int(parts.get("failed", 0))
    if found := CATCH_ALL_PASSED.findall(output):
        return int(found[-1]), 0
    if re.search(r"^No tests ran", output, re.M):
        return 0, 0
    return None


def count(entry):
    """(passed, failed) of one program; an empty one is a failure: it was meant to test something, or to say why not."""
    bad = entry["result"] in BAD
    passed, failed = cases_in(entry.get("stdout", "")) or ((0, 1) if bad else (1, 0))
    silent = passed == 0 and not SKIPPED_CASE.search(entry.get("stdout", ""))
    if (bad or silent) and failed == 0:
        failed = 1
    return passed, failed


def failing_cases(output):
    """Names of the Catch2 cases that failed: each report of a failure begins with its case's name, framed."""
    framed = re.compile(r"^-{70,}\n(.+?)\n-{70,}\n", re.M | re.S)
    return [" / ".join(part.strip() for part in name.splitlines()) for name in dict.fromkeys(framed.findall(output))]


def last_words(entry):
    """What a failed program said in the end, for logs of which only the end is kept."""
    output = entry.get("stdout", "") + entry.get("stderr", "")
    lines = [f"    case    {name}" for name in failing_cases(output)]
    return lines + [f"    | {line}" for line in output.rstrip().splitlines()[-LAST_LINES:]]


def main(arguments):
    passed = failed = 0
    notes = []
    for argument in arguments:
        name, log = argument.split("=", 1)
        lines = pathlib.Path(log).read_text(encoding="utf-8").splitlines() if pathlib.Path(log).exists() else []
        if not lines:
            notes.append(f"FAILED  {name}: nothing ran")
            failed += 1
        subtotal = [0, 0]
        for entry in map(json.loads, lines):
            if entry["result"] == "SKIP":
                said = entry.get("stdout", "").strip().splitlines() or entry.get("stderr", "").strip().splitlines()
                notes.append(f"skipped {name}: {entry['name']}: {said[-1] if said else 'it does not say why'}")
                continue
            notes += [f"skipped {name}: {entry['name']}: {one}" for one in SKIPPED_CASE.findall(entry.get("stdout", ""))]
            good, bad = count(entry)
            subtotal = [subtotal[0] + good, subtotal[1] + bad]
            if bad:
                notes.append(f"FAILED  {name}: {entry['name']} ({entry['result']}, {bad} failed)")
                notes += last_words(entry)
        if name.endswith("!") and lines and subtotal[1] == 0:
            notes.append(f"FAILED  {name[:-1]}: meson test ended before its time")
            subtotal[1] = 1
        print(f"{name.rstrip('!')}: {subtotal[0]} passed, {subtotal[1]} failed.")
        passed, failed = passed + subtotal[0], failed + subtotal[1]
    print("\n".join(notes) + ("\n" if notes else "") + f"{passed} passed, {failed} failed")
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
