#!/usr/bin/env python3
"""Runs a bench and looks at the rows it writes with --json: all keys, sound values, references.

usage: check_rows.py PROGRAM ARGUMENT...
"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile

TEXT = ("bench", "metric", "unit")
TEXT_OR_NULL = ("wire", "placement", "reference")
NUMBER = ("value", "min", "max", "repeats")
NUMBER_OR_NULL = ("size", "window", "reference_value", "ratio")
KEYS = {*TEXT, *TEXT_OR_NULL, *NUMBER, *NUMBER_OR_NULL}


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def complaints_of_row(row):
    if set(row) != KEYS:
        yield f"keys missing: {sorted(KEYS - set(row))}, unknown: {sorted(set(row) - KEYS)}"
        return
    for key in TEXT + TEXT_OR_NULL:
        if not (isinstance(row[key], str) and row[key]) and not (key in TEXT_OR_NULL and row[key] is None):
            yield f"{key} is {row[key]!r}"
    for key in NUMBER + NUMBER_OR_NULL:
        if not is_number(row[key]) and not (key in NUMBER_OR_NULL and row[key] is None):
            yield f"{key} is {row[key]!r}"
    if not row["min"] <= row["value"] <= row["max"]:
        yield "the median is not between the extremes"
    if row["repeats"] < 1:
        yield "it was never measured"
    if (row["reference"] is None) != (row["reference_value"] is None):
        yield "a reference is its name and its value"
    if row["reference_value"]:
        expected = row["value"] / row["reference_value"]
        if row["ratio"] is None or abs(row["ratio"] - expected) > 1e-4 * max(1, abs(expected)):
            yield f"ratio is {row['ratio']}, not {expected:.6g}"


def complaints(text, name):
    rows = [json.loads(line) for line in text.splitlines()]
    for row in rows:
        for complaint in complaints_of_row(row):
            yield f"{complaint}: {row}"
        if row.get("bench") != name:
            yield f"bench is {row.get('bench')!r}, not {name!r}"
    if not any(row.get("ratio") is not None for row in rows):
        yield "no row is compared with anything"
    seen = [tuple(row.get(key) for key in ("metric", "wire", "placement", "size", "window")) for row in rows]
    for one in sorted(set(seen), key=str):
        if seen.count(one) > 1:
            yield f"{seen.count(one)} rows cannot be told apart: {one}"


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory) / "rows.json"
        ended = subprocess.run(sys.argv[1:] + ["--json", str(file)], check=False).returncode
        if ended != 0:
            return ended
        found = list(complaints(file.read_text(encoding="utf-8"), pathlib.Path(program).name))
    for complaint in found:
        print(f"{program} --json: {complaint}")
    return 1 if found else 0


sys.exit(main())
