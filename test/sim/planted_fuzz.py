#!/usr/bin/env python3
"""Plants a bug for every oracle of the fuzzers' scripts and demands that replaying the corpus makes it speak.

usage: planted_fuzz.py SOURCE LIBRARY SCRATCH COMPILER...
       (ONLY=N in the environment: bug N alone, with its last words)

The machinery is planted_bugs.py's. It also fails when a script of test/fuzz has an oracle that no bug here has as its
symptom.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is
from planted_bugs import BUGS as SIM_BUGS  # noqa: E402  (the line above comes first)
from planted_bugs import Bug, write_overlay  # noqa: E402
from planted_rows import ROWS  # noqa: E402

FLOW, ENGINE, BOTH = "flow", "engine", "flow engine"


def like(bugs, programs, name, *symptoms):
    """The bug of that name, for the fuzzers."""
    bug = next(bug for bug in bugs if bug.name == name)
    return Bug(programs, bug.name, bug.file, bug.old, bug.new, *(symptoms or bug.symptoms))


BUGS = [
    like(SIM_BUGS, FLOW, "checksums are not looked at"),
    like(SIM_BUGS, ENGINE, "a flow gives up for no reason"),
    like(SIM_BUGS, FLOW, "an ended flow lingers for hours", "a flow never ends"),
    like(SIM_BUGS, ENGINE, "an ended flow stays in the table"),
    like(SIM_BUGS, BOTH, "no probe timer"),
    like(SIM_BUGS, ENGINE, "a connect is refused"),
    like(SIM_BUGS, ENGINE, "a listen is refused"),
    like(SIM_BUGS, BOTH, "credit is not put back at the end"),
    like(SIM_BUGS, BOTH, "half-received messages keep their memory"),
    like(SIM_BUGS, BOTH, "a part is acknowledged and forgotten"),
    like(SIM_BUGS, FLOW, "a ring keeps its scratch block"),
    like(SIM_BUGS, BOTH, "half of a grant stays free"),
    like(SIM_BUGS, FLOW, "who closes waits for its FIN only", "closed as if all was delivered", "closed before delivery"),
    like(ROWS, ENGINE, "nobody is told of an end", "an end was not told"),
    Bug(ENGINE, "a received packet is not given back", "engine/receive.hpp",
        "  nic_->release(std::span{rx_}.first(count));",
        "  nic_->release(std::span{rx_}.first(planted::sometimes(@, 4) && count > 0 ? count - 1 : count));",
        "packets were not given back"),
    Bug(FLOW, "an end is not told", "transport/flow_end.hpp",
        "  closed_pending_ = told_established_ || as_client_;",
        "  closed_pending_ = (told_established_ || as_client_) && !planted::bug(@);",
        "an end was not told"),
    Bug(FLOW, "a flow gives up after a millisecond of silence", "transport/flow_receive.hpp",
        "  timers_.arm(FlowTimer::idle, later(now, idle_limit_));",
        "  timers_.arm(FlowTimer::idle, later(now, planted::bug(@) ? Duration{1'000'000} : idle_limit_));",
        "a flow ended by itself"),
    Bug(FLOW, "a finished flow names a deadline", "transport/flow.hpp",
        "  [[nodiscard]] Instant next_timeout() const noexcept { return timers_.next(); }",
        "  [[nodiscard]] Instant next_timeout() const noexcept {\n"
        "    if (planted::bug(@) && state_ == FlowState::finished) return Instant{std::chrono::hours{9999}};\n"
        "    return timers_.next();\n"
        "  }",
        "a timer is armed after the end"),
    Bug(FLOW, "a packet is said to be longer than it is", "transport/flow_transmit.hpp",
        "  return half_open ? transmit_handshake(now, out) : transmit_data(now, out);",
        "  if (planted::sometimes(@, 50)) return 3000;\n"
        "  return half_open ? transmit_handshake(now, out) : transmit_data(now, out);",
        "a packet is larger than its room"),
    Bug(FLOW, "who does not want to transmit does all the same", "transport/flow_transmit.hpp",
        "  if (!has_more_than_ack(now)) return",
        "  if (!has_more_than_ack(now) && !planted::bug(@)) return",
        "poll_transmit wrote what wants_transmit denied"),
    Bug(FLOW, "a loss timer that fired fires again at once", "transport/flow.hpp",
        "  timers_.arm(FlowTimer::loss, sender_.loss_deadline());  // the next to become overdue",
        "  timers_.arm(FlowTimer::loss, planted::bug(@) ? now : sender_.loss_deadline());",
        "too many steps: something spins"),
    like(SIM_BUGS, ENGINE, "an engine wants a turn every nanosecond", "too many steps: something spins"),
]


def oracles(source, target):
    """What the script of a target may say, as the first words of each."""
    text = (source / f"test/fuzz/{target}_script.hpp").read_text(encoding="utf-8")
    text = re.sub(r"//[^\n]*", "", text)
    return {words for call in re.findall(r"sim::(?:demand|fail)\((.*?)\);", text, re.S)
            for words in re.findall(r'"((?:[^"\\]|\\.)*)"', call)}


def uncovered(source):
    said = []
    for target in BOTH.split():
        symptoms = {symptom for bug in BUGS if target in bug.programs for symptom in bug.symptoms}
        said += [f"{target}_script.hpp: nothing shows that it ever says '{words}'" for words in sorted(oracles(source, target))
                 if not any(words.startswith(symptom) or symptom.startswith(words.strip()) for symptom in symptoms)]
    return said


def build(source, library, scratch, compiler, target):
    command = [*compiler, "-std=c++20", "-O1", "-DPROA_WITH_AUDIT", f"-I{scratch}/include", f"-I{source}/include",
               *(f"{source}/test/fuzz/{name}.cpp" for name in (target, "entry", "replay")), library, "-pthread",
               "-o", f"{scratch}/replay_{target}"]
    return subprocess.run(command, check=False).returncode == 0


def missed(source, scratch, number, bug, target):
    """Nothing when an input of the corpus makes the oracle speak."""
    done = subprocess.run([f"{scratch}/replay_{target}", f"{source}/test/fuzz/corpus/{target}"], check=False, timeout=1200,
                          capture_output=True, text=True, env={**os.environ, "PROA_PLANTED": str(number)})
    said = done.stdout + done.stderr
    if done.returncode != 0 and any("oracle: " + symptom in said for symptom in bug.symptoms):
        return ""
    return f"{target} did not catch {number}, {bug.name}; expected one of {bug.symptoms}; last words:\n{said[-300:]}"


def main():
    source, library, scratch = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    only = int(os.environ.get("ONLY", "0"))
    chosen = [(n, bug, target) for n, bug in enumerate(BUGS, 1) for target in bug.programs if only in (0, n)]
    problem = write_overlay(source, scratch / "include", BUGS)
    if problem:
        print(problem)
        return 1
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        if not all(workers.map(lambda target: build(source, library, scratch, sys.argv[4:], target), BOTH.split())):
            print("a script with planted bugs does not compile")
            return 1
        words = [said for said in workers.map(lambda choice: missed(source, scratch, *choice), chosen) if said]
    words += uncovered(source)
    print(*words, sep="\n")
    print(f"{len(chosen)} bugs planted for the fuzzers' oracles, {len(words)} complaints")
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())
