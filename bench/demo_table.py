#!/usr/bin/env python3
"""The demo's table: rows of several benches side by side, with ratios to the raw wire and the kernel's TCP.

usage: demo_table.py JSON_OUT FILE...     (JSON_OUT may be empty; a FILE.json holds one JSON object per line, a
                                          FILE.log what a bench said: there is why a row is missing)
"""
import json
import pathlib
import re
import sys

METRICS = ("messages", "rtt_p50", "rtt_p99", "rtt_p999", "rate")
ORDER = ("raw-l2", "in-process", "sidecar", "kernel-tcp-polled", "kernel-tcp-blocking")
TITLES = {
    "raw-l2": "raw frames, no stack",
    "in-process": "Proa in the process",
    "sidecar": "Proa through sidecars",
    "kernel-tcp-polled": "kernel TCP, polled",
    "kernel-tcp-blocking": "kernel TCP, blocking",
}
REFERENCES = ("raw-l2", "kernel-tcp-blocking")
# What the benches call a row, and what they say about one (if they kept it, it is not missing).
CASES = {"raw echo": "raw-l2", "tcp-polled": "kernel-tcp-polled", "tcp-blocking": "kernel-tcp-blocking"}
SAID = re.compile(r"^bench_\w+: ([a-z -]+) \d+ B, window (\d+): (?:a repeat is missing, )?(.+)$", re.M)


def read(names):
    rows = [json.loads(line) for name in names for line in pathlib.Path(name).read_text().splitlines()]
    return [row for row in rows if row["metric"] in METRICS and row["placement"] in ORDER]


def table(rows):
    """[window][placement][metric] -> value"""
    found = {}
    for row in rows:
        found.setdefault(row["window"], {}).setdefault(row["placement"], {})[row["metric"]] = row["value"]
    return found


def reasons(names):
    """(window, placement) -> why that row is missing"""
    said = [match for name in names for match in SAID.findall(pathlib.Path(name).read_text())]
    return {(int(window), CASES[case]): why for case, window, why in said if case in CASES}


def microseconds(nanoseconds):
    return "" if nanoseconds is None else f"{nanoseconds / 1000:.2f}"


def ratio(value, reference):
    return f"{value / reference:.2f}x" if value and reference else ""


def lines(window, placements):
    metric = "rtt_p50" if window == 1 else "rate"
    what = "p50" if window == 1 else "rate"
    yield ("", "messages", "p50 us", "p99 us", "p99.9 us", "messages/s", f"{what}/raw", f"{what}/TCP")
    for name in ORDER:
        values = placements.get(name)
        if not values:
            continue
        count = values.get("messages")
        yield (
            TITLES[name],
            f"{count:,.0f}" if count else "",
            *(microseconds(values.get(m)) for m in ("rtt_p50", "rtt_p99", "rtt_p999")),
            f"{values.get('rate', 0):,.0f}",
            *(ratio(values.get(metric), placements.get(r, {}).get(metric)) for r in REFERENCES),
        )


def show(rows, missing):
    for window, placements in sorted(table(rows).items()):
        size = next(row["size"] for row in rows if row["window"] == window)
        print(f"\n{size} B messages, {window} outstanding")
        grid = list(lines(window, placements))
        widths = [max(map(len, column)) for column in zip(*grid)]
        for line in grid:
            cells = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
            print("  ".join(cells).rstrip())
        for name in ORDER:
            if name not in placements:
                why = missing.get((window, name), "its bench gave no figure")
                print(f"{TITLES[name]}: missing, {why}; run it again")


def with_reference(row, found):
    """The row compared with the raw wire, where that was measured and is another row."""
    reference = REFERENCES[0]
    value = found[row["window"]].get(reference, {}).get(row["metric"])
    if row["placement"] != reference and value:
        row = {**row, "reference": reference, "reference_value": value, "ratio": round(row["value"] / value, 4)}
    return {**row, "bench": "demo"}


if __name__ == "__main__":
    all_rows = read(name for name in sys.argv[2:] if name.endswith(".json"))
    show(all_rows, reasons(name for name in sys.argv[2:] if name.endswith(".log")))
    if sys.argv[1]:
        text = "".join(json.dumps(with_reference(row, table(all_rows))) + "\n" for row in all_rows)
        pathlib.Path(sys.argv[1]).write_text(text)
