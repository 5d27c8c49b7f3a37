#!/usr/bin/env python3
"""The demo, its figures and what it leaves behind: nothing, also when Ctrl-C ends it at any stage.

usage: demo.py DEMO BUILD     (DEMO is bench/demo.sh, BUILD a directory with its programs; last line: N passed, N failed)
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

MARK = f"PROA_DEMO_TEST={os.getpid()}"  # in the environment of whatever the demo starts
WIRES = ("veth", "memif") if os.geteuid() == 0 else ("memif",)
STAGES = ("kernel TCP", "raw frames", "echo, in-process, 1 ", "echo, sidecar, 1 ")
PLACEMENTS = {"raw-l2", "in-process", "sidecar", "kernel-tcp-polled", "kernel-tcp-blocking"}


def marked_processes():
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if (entry.name.isdigit() and MARK.encode() in (entry / "environ").read_bytes().split(b"\0")
                    and not is_killed(entry)):
                found.append(f"{entry.name} ({(entry / 'cmdline').read_bytes().decode()[:60]!r})")
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found


def is_killed(entry):
    """Whether a process is dead or has SIGKILL before it: it needs a processor to be gone."""
    status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
    pending = int(status["ShdPnd"], 16) | int(status["SigPnd"], 16)
    return status["State"].split()[0] in "ZX" or bool(pending & (1 << (signal.SIGKILL - 1)))


def public_traces():
    """Files of Proa in places the demo shares with others."""
    places = (("/tmp", "proa-[db]e*"), ("/run/lock", "proa*"), ("/run/netns", "proa-demo-*"), ("/dev/shm", "*"),
              ("/dev/hugepages", "*"))
    found = {path for folder, name in places for path in pathlib.Path(folder).glob(name)}
    return found | {path for path in pathlib.Path("/run/dpdk").glob("proa*")
                    if not pathlib.Path("/proc", path.name.removeprefix("proa")).exists()}


def free_hugepages():
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return [line for line in lines if line.startswith("HugePages_Free")]


def soon_empty(look):
    """What it still finds after a while: who was killed may need a processor to take it along."""
    end = time.monotonic() + 20
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


class Run:
    """One run of the demo in a session of its own, as in a terminal of its own."""

    def __init__(self, demo, build, wire, stage=""):
        before = public_traces()
        with tempfile.TemporaryDirectory(prefix="demo-test-") as folder:
            scratch = pathlib.Path(folder)
            scratch.chmod(0o755)  # proad gives up being root and still has to get in
            self.json = scratch / "figures.json"
            mark, value = MARK.split("=")
            self.process = subprocess.Popen(
                # Whom we interrupt at a stage must not be through before we are heard.
                [demo, "--build", build, "--wire", wire, "--seconds", "1" if stage else "0.2", "--json", str(self.json)],
                env={**os.environ, "TMPDIR": folder, mark: value}, start_new_session=True, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=listen_to_interrupts)
            self.stages = []
            for line in self.process.stderr:
                self.stages.append(line.strip())
                if stage and stage in line:
                    os.killpg(self.process.pid, signal.SIGINT)  # as the terminal does
                    stage = ""
            self.output = self.process.stdout.read()
            self.code = self.process.wait(60)
            self.rows = [json.loads(row) for row in self.json.read_text().splitlines()] if self.json.exists() else []
            self.wrote = self.json.exists()
            self.json.unlink(missing_ok=True)
            self.left = [f"process {one}" for one in marked_processes()]
            self.left += [f"file {path}" for path in soon_empty(lambda: {*scratch.rglob("*"), *(public_traces() - before)})]


def listen_to_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def complaints_of_whole_run(run):
    if run.code != 0:
        yield f"exit code {run.code}: {' / '.join(run.stages[-5:])}"
    if "Every reply was compared byte for byte." not in run.output:
        yield f"no last line, only: {run.output}"
    for window in (1, 64):
        there = {row["placement"] for row in run.rows if row["window"] == window}
        missing = run.output.count("missing, ")  # on a busy machine; then it is said, with the reason
        if not there <= PLACEMENTS or len(PLACEMENTS - there) > missing or not {"in-process", "sidecar"} <= there:
            yield f"rows with {window} outstanding: {sorted(there)}, {missing} said to be missing"


def main(demo, build):
    passed = failed = 0
    if "veth" not in WIRES:
        print("skipped case: the demo over veth: needs root")
    pages = free_hugepages()
    cases = [(wire, "") for wire in WIRES] + [(WIRES[0], stage) for stage in STAGES]
    for wire, stage in cases:
        run = Run(demo, build, wire, stage)
        wrong = run.left + (["hugepages are gone"] if soon_empty(lambda: free_hugepages() != pages) else [])
        if not stage:
            wrong += complaints_of_whole_run(run)
        elif run.code != 130 or run.output or run.wrote:
            wrong.append(f"code {run.code}, output {run.output!r}, stages {run.stages}")
        print(f"{'FAILED' if wrong else 'passed'}: {wire}, {'Ctrl-C at ' + stage if stage else 'to the end'}")
        print("".join(f"  {one}\n" for one in wrong), end="", flush=True)
        passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
