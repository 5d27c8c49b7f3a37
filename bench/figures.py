#!/usr/bin/env python3
"""README's table of figures, from what the benches write with --json.

usage: figures.py FILE...                   (or a directory of *.json; what is missing goes to stderr)
       figures.py --measure BUILD DIRECTORY [ARGUMENT...]
                                            (first runs the benches of BUILD, a quarter of an hour, with these arguments)
"""
import json
import pathlib
import subprocess
import sys

RUNS = {  # name of the JSON file -> bench and arguments
    "ring": ["bench_ring"],
    "rpc-memif": ["bench_rpc", "--wire", "memif", "--size", "64"],
    "rpc-af_packet": ["bench_rpc", "--wire", "veth-af_packet", "--size", "64", "--window", "1"],
    "rpc-af_xdp": ["bench_rpc", "--wire", "veth-af_xdp", "--size", "64", "--window", "1", "--placement", "in-process"],
    "stream": ["bench_stream"],
    "bulk": ["bench_bulk"],
    "loss": ["bench_loss", "--rates", "0.1,1"],
    "incast": ["bench_incast", "--senders", "32"],
    "idle": ["bench_idle"],
    "flows": ["bench_flows"],
    "integrity": ["bench_integrity", "--size", "1472"],
    "connect": ["bench_connect"],
    "kernel": ["bench_kernel", "--window", "1"],
}

# what; bench, metric, further fields; target: at most or at least, of the reference or (unit given) by itself
SMALL = {"size": 64}
ONE, MANY = {**SMALL, "window": 1}, {**SMALL, "window": 64}
ROWS = (
    ("round trip in process, memif", "bench_rpc", "rtt_p50", {**ONE, "placement": "in-process", "wire": "memif"}, "<= 1.85x"),
    ("round trip in process, veth af_packet", "bench_rpc", "rtt_p50", {**ONE, "placement": "in-process", "wire": "veth-af_packet"}, "<= 1.15x"),
    ("round trip in process, veth af_xdp", "bench_rpc", "rtt_p50", {**ONE, "placement": "in-process", "wire": "veth-af_xdp"}, "<= 1.15x"),
    ("echo, window 64, memif", "bench_rpc", "rate", {**MANY, "placement": "in-process", "wire": "memif"}, ">= 1.2x"),
    ("one-way stream, memif", "bench_stream", "rate", {**SMALL, "placement": "in-process", "wire": "memif"}, ">= 2x"),
    ("8 MiB messages, 1500-byte packets, memif", "bench_bulk", "throughput", {"placement": "in-process", "wire": "memif, mtu 1500"}, ">= 0.9x"),
    ("8 MiB messages, 9000-byte packets, memif", "bench_bulk", "throughput", {"placement": "in-process", "wire": "memif, mtu 9000"}, ">= 0.9x"),
    ("shared ring, there and back", "bench_ring", "rtt", {"placement": "ring"}, "<= 1.3x"),
    ("channel of the sidecar, there and back", "bench_ring", "rtt", {"placement": "channel", "size": 48, "window": 1}, "<= 1.3x"),
    ("two applications on one sidecar, round trip", "bench_rpc", "rtt_p50", {**ONE, "placement": "sidecar", "wire": "none"}, "<= 1.3x"),
    ("the same, window 32", "bench_rpc", "rate", {**SMALL, "window": 32, "placement": "sidecar", "wire": "none"}, ">= 0.4x"),
    ("two sidecars, veth af_packet, core shared with the application", "bench_rpc", "rtt_p50", {**ONE, "placement": "sidecar", "wire": "veth-af_packet"}, "<= 0.6x"),
    ("goodput, 0.1 % lost, memif", "bench_loss", "throughput", {"wire": "memif, 0.1 % lost"}, ">= 0.98x"),
    ("goodput, 1 % lost, memif", "bench_loss", "throughput", {"wire": "memif, 1 % lost"}, ">= 0.9x"),
    ("32 answer one at once, 99 % complete (simulated)", "bench_incast", "completion_p99", {"placement": "swift", "window": 32}, "<= 3x"),
    ("idle sidecar, memif", "bench_idle", "cpu_proad", {"wire": "memif"}, "<= 1x"),
    ("idle sidecar, veth af_packet", "bench_idle", "cpu_proad", {"wire": "veth-af_packet"}, "<= 1x"),
    ("idle application on it", "bench_idle", "cpu_application", {"wire": "veth-af_packet"}, "<= 1x"),
    ("idle application in process, veth af_packet", "bench_idle", "cpu_process", {"wire": "veth-af_packet"}, "<= 1x"),
    ("sleeping echo in process, veth af_packet", "bench_idle", "rtt_p50", {"placement": "in-process, asleep", "wire": "veth-af_packet"}, "<= 1x"),
    ("sleeping echo on sidecars, veth af_packet", "bench_idle", "rtt_p50", {"placement": "sidecar, asleep", "wire": "veth-af_packet"}, "<= 1x"),
    ("echo in process with wait() as it is by default", "bench_idle", "rtt_p50", {"placement": "in-process, waiting", "wire": "veth-af_packet"}, "<= 1x"),
    ("16 of 100,000 flows active, round trip", "bench_flows", "rtt_p50", {"placement": "in-process, 100000 flows"}, "<= 1.2x"),
    ("16 of 100,000 flows active, rate", "bench_flows", "rate_window", {"placement": "in-process, 100000 flows"}, ">= 0.8x"),
    ("memory of an idle flow", "bench_flows", "memory_client", {"placement": "in-process, 100000 flows"}, "<= 1024 bytes/flow"),
    ("99,984 idle flows, keepalive 30 s", "bench_flows", "cpu_client", {"placement": "in-process, idle"}, "<= 1x"),
    ("Crc32c of a packet of 1472 bytes, hardware instruction, each end", "bench_integrity", "cost", {"placement": "Crc32c", "size": 1472}, ""),
    ("set-ups, memif", "bench_connect", "rate", {"window": 64, "wire": "memif"}, ">= 100000 set-ups/s"),
    ("path probes of a first flow, 4 x 4 engines, both ends", "bench_connect", "probes", {"placement": "in-process, cold"}, "<= 10 per flow"),
    ("the same with a remembered path", "bench_connect", "probes", {"placement": "in-process, remembered"}, "<= 0 per flow"),
    ("kernel UDP, polled, veth", "bench_kernel", "rtt_p50", {**ONE, "placement": "kernel-udp-polled"}, ""),
    ("kernel TCP, polled, veth", "bench_kernel", "rtt_p50", {**ONE, "placement": "kernel-tcp-polled"}, ""),
    ("kernel TCP, blocking, veth", "bench_kernel", "rtt_p50", {**ONE, "placement": "kernel-tcp-blocking"}, ""),
)


def read(names):
    paths = [pathlib.Path(name) for name in names]
    files = [f for path in paths for f in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def figure(value, unit):
    if value is None:
        return ""
    if unit == "ns" and value >= 1000:
        value, unit = value / 1000, "us"
    for factor, prefix in ((1e6, " M"), (1e4, " k")):
        if unit.endswith("/s") and value >= factor:
            return f"{value / (1e6 if prefix == ' M' else 1e3):.3g}{prefix}{unit.split('/')[0].replace('messages', '').replace('frames', '').strip()}/s"
    return f"{value:.3g} {unit}"


def is_met(target, row):
    relation, limit, *unit = target.split(maxsplit=2)
    value, limit = (row["value"], float(limit)) if unit else (row["ratio"], float(limit.rstrip("x")))
    if value is None:
        return "?"
    return "reached" if (value <= limit if relation == "<=" else value >= limit) else "missed"


def line(what, row, target):
    reference = f"{row['reference']} {figure(row['reference_value'], row['unit'])}" if row["reference"] else ""
    ratio = f"{row['ratio']:.2f}x" if row["ratio"] is not None else ""
    verdict = f"{target.replace('<=', 'at most').replace('>=', 'at least')}: {is_met(target, row)}" if target else ""
    return f"| {what} | {figure(row['value'], row['unit'])} | {reference} | {ratio} | {verdict} |"


def main(names):
    rows = read(names)
    print("| what | Proa | reference in the same run | ratio | target |\n| --- | --- | --- | --- | --- |")
    for what, bench, metric, fields, target in ROWS:
        wanted = {"bench": bench, "metric": metric, **fields}
        found = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
        if found:
            print(line(what, found[-1], target))
        else:
            print(f"figures.py: nothing measured for: {what} ({bench})", file=sys.stderr)
    return 0


def measure(build, directory, arguments):
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for name, (bench, *more) in RUNS.items():
        print(f"figures.py: {bench} {' '.join(more)}", file=sys.stderr)
        file = pathlib.Path(directory) / f"{name}.json"
        command = [pathlib.Path(build) / "bench" / bench, *more, *arguments, "--json", file]
        with open(file.with_suffix(".txt"), "w", encoding="utf-8") as out:
            if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode != 0:
                print(f"figures.py: {bench} failed, see {out.name}", file=sys.stderr)


if len(sys.argv) < 2 or (sys.argv[1] == "--measure" and len(sys.argv) < 4):
    sys.exit(__doc__)
if sys.argv[1] == "--measure":
    measure(sys.argv[2], sys.argv[3], sys.argv[4:])
    sys.exit(main([sys.argv[3]]))
sys.exit(main(sys.argv[1:]))
