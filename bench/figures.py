#!/usr/bin/env python3
"""README's table of figures, from what the benches write with --json.

usage: figures.py FILE...                   (or a directory of *.json; what is missing or missed goes to stderr)
       figures.py --measure BUILD DIRECTORY [ARGUMENT...]
                                            (first runs the benches of BUILD, half an hour, with these arguments)
       figures.py --check README            (whether its table has the rows of this one: names, order and targets)
"""
import json
import pathlib
import re
import subprocess
import sys

BRIEF = ["--seconds", "0.2"]
RUNS = {  # name of the JSON file -> bench and arguments
    "ring": ["bench_ring", *BRIEF],
    "rpc-memif": ["bench_rpc", *BRIEF, "--wire", "memif", "--size", "64"],
    "rpc-af_packet": ["bench_rpc", *BRIEF, "--wire", "veth-af_packet", "--size", "64", "--window", "1"],
    "rpc-af_xdp": ["bench_rpc", *BRIEF, "--wire", "veth-af_xdp", "--size", "64", "--window", "1",
                   "--placement", "in-process"],
    "stream": ["bench_stream", *BRIEF],
    "bulk": ["bench_bulk", *BRIEF],
    "loss": ["bench_loss", "--seconds", "0.5", "--repeats", "21", "--rates", "0.1,1", "--message", "8388608",
             "--messages-outstanding", "2"],
    "incast": ["bench_incast", "--senders", "32", "--queue", "1"],
    "idle": ["bench_idle", *BRIEF, "--repeats", "3"],
    "flows": ["bench_flows", *BRIEF],
    "integrity": ["bench_integrity", "--seconds", "0.001", "--repeats", "301", "--size", "1472"],
    "connect": ["bench_connect", *BRIEF],
    "paths": ["sim_paths", "--hashes", "10000"],
    "kernel": ["bench_kernel", *BRIEF, "--window", "1"],
}

# what; bench; metric (of several the largest); further fields; reference; target: of the ratio (x) or of the figure
ONE, MANY = {"size": 64, "window": 1}, {"size": 64, "window": 64}
ALONE = {"placement": "in-process"}
SIDECAR = {"placement": "sidecar"}
VETH = {"wire": "veth-af_packet"}
MEMIF = {"wire": "memif"}
MOST = {"placement": "in-process, 100000 flows"}
RAW, RELAY, TCP, LIMIT = "raw frames", "bare shared-memory relay", "kernel TCP, blocking", ""
ROWS = (
    ("round trip in process, memif", "bench_rpc", "rtt_p50", {**ONE, **ALONE, **MEMIF}, RAW, "at most 1.85x"),
    ("round trip in process, veth af_packet", "bench_rpc", "rtt_p50", {**ONE, **ALONE, **VETH}, RAW, "at most 1.15x"),
    ("round trip in process, veth af_xdp", "bench_rpc", "rtt_p50", {**ONE, **ALONE, "wire": "veth-af_xdp"}, RAW,
     "at most 1.15x"),
    ("echo, window 64, memif", "bench_rpc", "rate", {**MANY, **ALONE, **MEMIF}, RAW, "at least 1.2x"),
    ("one-way stream, memif", "bench_stream", "rate", {"size": 64, **ALONE, **MEMIF}, RAW, "at least 2x"),
    ("8 MiB messages, 1500-byte packets, memif", "bench_bulk", "throughput", {**ALONE, "wire": "memif, mtu 1500"},
     "raw, one copy a side", "at least 0.9x"),
    ("8 MiB messages, 9000-byte packets, memif", "bench_bulk", "throughput", {**ALONE, "wire": "memif, mtu 9000"},
     "raw, one copy a side", "at least 0.9x"),
    ("shared ring, there and back", "bench_ring", "rtt", {"placement": "ring"}, "cache line", "at most 1.3x"),
    ("channel of the sidecar, there and back", "bench_ring", "rtt", {"placement": "channel", "size": 48, "window": 1},
     "cache line", "at most 1.3x"),
    ("two applications on one sidecar, round trip", "bench_rpc", "rtt_p50", {**ONE, **SIDECAR, "wire": "none"}, RELAY,
     "at most 1.3x"),
    ("the same, window 32", "bench_rpc", "rate", {"size": 64, "window": 32, **SIDECAR, "wire": "none"}, RELAY,
     "at least 0.4x"),
    ("two sidecars, veth af_packet, core shared with the application", "bench_rpc", "rtt_p50",
     {**ONE, **SIDECAR, **VETH}, "kernel UDP with relays", "at most 0.6x"),
    ("32 answer one at once, 99 % complete (simulated, Swift)", "bench_incast", "completion_p99",
     {"placement": "swift", "window": 32, "wire": "simulated, queue 1 BDP"}, "the link alone", "at most 3x"),
    ("goodput of 8 MiB messages, 0.1 % of packets lost, memif", "bench_loss", "throughput",
     {"size": 8 << 20, "wire": "memif, 0.1 % lost"}, "without loss", "at least 0.98x"),
    ("the same, 1 % lost", "bench_loss", "throughput", {"size": 8 << 20, "wire": "memif, 1 % lost"}, "without loss",
     "at least 0.9x"),
    ("Crc32c of a packet of 1472 bytes, hardware instruction, each end", "bench_integrity", "cost",
     {"placement": "Crc32c", "size": 1472}, "copying it", ""),
    ("16 active flows beside 99,984 idle ones, memif: round trip", "bench_flows", "rtt_p50", MOST, "16 flows alone",
     "at most 1.2x"),
    ("the same: echo, window 1 of each", "bench_flows", "rate", MOST, "16 flows alone", "at least 0.8x"),
    ("the same: echo, window 8 of each", "bench_flows", "rate_window", MOST, "16 flows alone", "at least 0.8x"),
    ("memory of an idle flow, at the end with more", "bench_flows", ("memory_client", "memory_server"), MOST, LIMIT,
     "at most 1 KiB"),
    ("100,000 idle flows, keepalive 30 s, at the end with more", "bench_flows", ("cpu_client", "cpu_server"),
     {"placement": "in-process, idle"}, LIMIT, "at most 1x"),
    ("set-ups, memif, 64 under way", "bench_connect", "rate", {"window": 64, **ALONE, **MEMIF}, "", "at least 100 k/s"),
    ("path probes of a search in both directions, 4 x 4 engines (simulated)", "sim_paths", "probes",
     {"wire": "simulated, opaque", "placement": "4 x 4 engines"}, "by the formula", "at most 10"),
    ("path probes per flow, the first 16 between 4 x 4 engines, both ends", "bench_connect", "probes",
     {"placement": "in-process, cold"}, "", "at most 10"),
    ("the same with a remembered path", "bench_connect", "probes", {"placement": "in-process, remembered"}, "", "none"),
    ("idle sidecar, or application on it, veth af_packet", "bench_idle", ("cpu_proad", "cpu_application"),
     {**SIDECAR, **VETH}, LIMIT, "at most 1x"),
    ("idle application in process, veth af_packet", "bench_idle", "cpu_process", {**ALONE, **VETH}, LIMIT,
     "at most 1x"),
    ("echo in process, both ends always asleep, veth af_packet", "bench_idle", "rtt_p50",
     {"placement": "in-process, asleep", **VETH}, TCP, "at most 1x"),
    ("the same on sidecars: four sleepers, woken six times", "bench_idle", "rtt_p50",
     {"placement": "sidecar, asleep", **VETH}, TCP, "at most 1x"),
    ("the same on sidecars that wait as they do by default", "bench_idle", "rtt_p50",
     {"placement": "sidecar, waiting", **VETH}, TCP, "at most 1x"),
)
KERNEL = {"polled UDP": "kernel-udp-polled", "polled TCP": "kernel-tcp-polled", "blocking TCP": "kernel-tcp-blocking"}
HEAD = "| what | Proa | reference in the same run | ratio | target |"
UNITS = {"messages/s": "/s", "frames/s": "/s", "packets/s": "/s", "set-ups/s": "/s", "bytes/flow": "B", "per flow": "",
         "per connection": ""}
FACTORS = {"k": 1000, "KiB": 1024}


def read(names):
    paths = [pathlib.Path(name) for name in names]
    files = [f for path in paths for f in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def measured(rows, bench, metrics, fields):
    """The largest of these metrics, each as measured last; None: there is none, or not of every metric."""
    found = []
    for metric in (metrics,) if isinstance(metrics, str) else metrics:
        wanted = {"bench": bench, "metric": metric, **fields}
        found += [row for row in rows if all(row[key] == value for key, value in wanted.items())][-1:] or [None]
    return None if None in found else max(found, key=lambda row: row["value"])


def figure(value, unit):
    unit = UNITS.get(unit, unit)
    if unit == "ns" and value >= 1000:
        value, unit = value / 1000, "us"
    if unit == "us" and value >= 1000:
        value, unit = value / 1000, "ms"
    for factor, prefix in ((1e6, "M"), (1e4, "k")):
        if unit == "/s" and value >= factor:
            return f"{value / (1e6 if prefix == 'M' else 1e3):.3g} {prefix}/s"
    return f"{value:.4g} {unit}".strip() if value >= 1000 else f"{value:.3g} {unit}".strip()


def is_met(target, row):
    if not target:
        return True
    if target == "none":
        return row["value"] == 0
    relation, limit, unit = re.fullmatch(r"(at most|at least) ([\d.]+) ?(x|k|KiB|)(?:/s)?", target).groups()
    value = row["ratio"] if unit == "x" else row["value"]
    limit = float(limit) * FACTORS.get(unit, 1)
    return value is not None and (value <= limit if relation == "at most" else value >= limit)


def line(what, row, reference, target):
    beside = f"{reference} {figure(row['reference_value'], row['unit'])}".strip() if row["reference"] else ""
    ratio = f"{row['ratio']:.2f}x" if row["ratio"] is not None else ""
    cells = (what, figure(row["value"], row["unit"]), beside, ratio, target)
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def kernel_sentence(rows):
    found = {name: measured(rows, "bench_kernel", "rtt_p50", {**ONE, "wire": "veth", "placement": placement})
             for name, placement in KERNEL.items()}
    told = [f"{name} {figure(row['value'], row['unit'])}" for name, row in found.items() if row]
    return f"The kernel on the same veth pair: {', '.join(told)}." if told else ""


def main(names):
    rows = read(names)
    print(f"{HEAD}\n| --- | --- | --- | --- | --- |")
    complete = True
    for what, bench, metrics, fields, reference, target in ROWS:
        found = measured(rows, bench, metrics, fields)
        if not found:
            complete = False
            print(f"figures.py: nothing measured for: {what} ({bench})", file=sys.stderr)
            continue
        print(line(what, found, reference, target))
        if not is_met(target, found):
            print(f"figures.py: missed: {what}", file=sys.stderr)
    print(f"\n{kernel_sentence(rows)}")
    return 0 if complete else 1


def with_arguments(more, arguments):
    """What the caller wants instead of a run's own."""
    out = []
    for option, value in zip(more[::2], more[1::2]):
        out += [] if option in arguments else [option, value]
    return out + arguments


def measure(build, directory, arguments):
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for name, (bench, *more) in RUNS.items():
        simulated = bench.startswith("sim_")  # a test that knows no bench's options
        more = more if simulated else with_arguments(more, arguments)
        print(f"figures.py: {bench} {' '.join(more)}", file=sys.stderr)
        file = pathlib.Path(directory) / f"{name}.json"
        program = pathlib.Path(build) / ("test/sim" if simulated else "bench") / bench
        with open(file.with_suffix(".txt"), "w", encoding="utf-8") as out:
            command = [program, *more, "--json", file]
            if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode != 0:
                print(f"figures.py: {bench} failed, see {out.name}", file=sys.stderr)


def table_of(text):
    """(what, target) of each row of the table of figures."""
    lines = iter(text.splitlines())
    if HEAD not in lines:
        return []
    next(lines, None)
    out = []
    for row in lines:
        if not row.startswith("|"):
            break
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        out.append((cells[0], cells[-1] if len(cells) == 5 else f"no target: {len(cells)} cells"))
    return out


def complaints(text):
    """How a README's table differs from the one that is printed here."""
    there, here = table_of(text), [(what, target) for what, *_, target in ROWS]
    named = dict(there)
    for what, target in here:
        if what not in named:
            yield f"README has no row: {what}"
        elif named[what] != target:
            yield f"README has the target '{named[what]}', not '{target}': {what}"
    for what, _ in there:
        if what not in dict(here):
            yield f"figures.py prints no row: {what}"
    if len(named) != len(there) or len(dict(here)) != len(here):
        yield "two rows have one name"
    if sorted(there) == sorted(here) and there != here:
        yield "the rows are in another order"
    for what, bench, *_ in ROWS:
        if bench not in (run[0] for run in RUNS.values()):
            yield f"--measure does not run {bench}: {what}"


def check(file):
    found = list(complaints(pathlib.Path(file).read_text(encoding="utf-8")))
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) < 2 or (sys.argv[1] == "--measure" and len(sys.argv) < 4):
        sys.exit(__doc__)
    if sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2]) if len(sys.argv) == 3 else __doc__)
    if sys.argv[1] == "--measure":
        measure(sys.argv[2], sys.argv[3], sys.argv[4:])
        sys.exit(main([sys.argv[3]]))
    sys.exit(main(sys.argv[1:]))
