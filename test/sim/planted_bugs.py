#!/usr/bin/env python3
"""Plants bugs in the product's own code, one per oracle, and demands that the simulator finds each.

usage: planted_bugs.py SOURCE LIBRARY SCRATCH COMPILER...
       (with ONLY=N in the environment: bug N alone, verbosely)

The product knows nothing of this: patched copies of its headers go to a folder that the compiler sees first. All
bugs are compiled in at once and one is chosen by PROA_PLANTED. A place that is gone is an error: the bug has to move
with the code.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is
from planted_oracles import BOTH, ENGINE, FLOW, ORACLES  # noqa: E402  (the line above comes first)

HELPER = """// Test only: which planted bug is awake.
#pragma once
#include <array>
#include <cstddef>
#include <cstdlib>
namespace proa::planted {
inline const int awake = std::getenv("PROA_PLANTED") ? std::atoi(std::getenv("PROA_PLANTED")) : 0;
inline bool bug(int number) noexcept { return awake == number; }
/// True every `n`-th time the bug is awake.
inline bool sometimes(int number, unsigned n) noexcept {
  static unsigned count = 0;
  return awake == number && ++count % n == 0;
}
/// What it was called with first.
template <class T>
const T& first(const T& value) noexcept {
  static const T kept = value;
  return kept;
}
inline constexpr std::array<std::byte, 1> wrong_byte{std::byte{0xa5}};
}  // namespace proa::planted
"""


class Bug:
    """`old` becomes `new` wherever it stands in `file`; one of `symptoms` must be what an oracle says, in each of
    `programs`."""

    def __init__(self, programs, name, file, old, new, *symptoms):
        self.programs, self.name, self.file, self.old, self.new = programs.split(), name, file, old, new
        self.symptoms = symptoms


WRONG_CONTENT = ("lost, repeated, out of order or altered", "a message has the wrong length", "more messages came")
BUGS = [
    Bug(FLOW, "a part is acknowledged and forgotten", "transport/reassembly.hpp",
        "    if (part.total > message_bytes_max) return",
        "    if (planted::sometimes(@, 64)) return Drop::none;\n"
        "    if (part.total > message_bytes_max) return",
        "no convergence after healing"),
    Bug(FLOW, "a message is delivered twice", "transport/reassembly.hpp",
        "    messages_.pop_front();\n    number = next_;",
        "    if (!planted::sometimes(@, 16)) messages_.pop_front();\n    number = next_;",
        *WRONG_CONTENT),
    Bug(FLOW, "two messages change places", "transport/reassembly.hpp",
        "    block = messages_.front().block;\n",
        "    if (planted::bug(@) && messages_.size() > 1 && messages_[1].complete()) {\n"
        "      const InMessage first = messages_[0];\n"
        "      messages_[0] = messages_[1];\n"
        "      messages_[1] = first;\n"
        "    }\n"
        "    block = messages_.front().block;\n",
        *WRONG_CONTENT),
    Bug(FLOW, "a byte of a message is altered", "transport/reassembly.hpp",
        "      message.prefix = end;\n",
        "      message.prefix = end;\n"
        "      if (size != 0 && planted::sometimes(@, 32))\n"
        "        memory.write(message.block, part.offset, planted::wrong_byte);\n",
        *WRONG_CONTENT),
    Bug(FLOW, "an end has no reason", "transport/flow_end.hpp",
        "    reason_ = told_here;",
        "    reason_ = planted::bug(@) ? Reason::none : told_here;",
        "closed without a reason"),
    Bug(FLOW, "silence is called a close", "transport/flow.hpp",
        "FlowInput::gone_silent, Reason::idle_timeout,",
        "FlowInput::gone_silent, planted::bug(@) ? Reason::closed_by_peer : Reason::idle_timeout,",
        "was told 'closed by the peer'"),
    Bug(FLOW, "silence is never noticed", "transport/flow_receive.hpp",
        "  timers_.arm(FlowTimer::idle,",
        "  if (!planted::bug(@)) timers_.arm(FlowTimer::idle,",
        "has not told its application that it ended"),
    Bug(BOTH, "half-received messages keep their memory", "transport/reassembly.hpp",
        "      if (messages_.front().known) memory.release",
        "      if (messages_.front().known && !planted::bug(@)) memory.release",
        "message memory was not given back"),
    Bug(FLOW, "unsent messages keep their memory", "transport/send_queue.hpp",
        "      memory.release(messages_.front().block);",
        "      if (!planted::bug(@)) memory.release(messages_.front().block);",
        "message memory was not given back"),
    Bug(FLOW, "an acknowledged block is released twice", "transport/send_queue.hpp",
        "      memory.release(done.block);",
        "      memory.release(done.block);\n"
        "      if (planted::sometimes(@, 16)) memory.release(done.block);",
        "a block was released twice"),
    Bug(BOTH, "a ring keeps its scratch block", "mem/grow_ring.hpp",
        "  ~GrowRing() { release_storage(); }",
        "  ~GrowRing() {\n    if (!planted::bug(@)) release_storage();\n  }",
        "scratch blocks were not given back"),
    Bug(BOTH, "credit is not put back at the end", "transport/credit.hpp",
        "    memory.retract(promised_);\n    promised_ = 0;",
        "    if (!planted::bug(@)) memory.retract(promised_);\n    promised_ = 0;",
        "credit was not put back"),
    Bug(FLOW, "timers outlive the flow", "transport/flow_end.hpp",
        "  timers_.cancel_all();\n  if (state_ == FlowState::finished) return;",
        "  if (!planted::bug(@)) timers_.cancel_all();\n  if (state_ == FlowState::finished) return;",
        "a timer is armed after the end", "a finished flow has a timer armed"),
    Bug(BOTH, "no probe timer", "transport/flow.hpp",
        "  timers_.arm(FlowTimer::probe, sender_.probe_deadline());",
        "  if (!planted::bug(@)) timers_.arm(FlowTimer::probe, sender_.probe_deadline());",
        "broken invariant: packets in flight without a probe timer"),
    Bug(FLOW, "no pace timer", "transport/flow.hpp",
        "timers_.arm(FlowTimer::pace, sender_.paced_until(now));",
        "if (!planted::bug(@)) timers_.arm(FlowTimer::pace, sender_.paced_until(now));",
        "wants to transmit and set no timer for it"),
    Bug(FLOW, "checksums are not looked at", "transport/integrity.hpp",
        "    if (!sealed || ",
        "    if (planted::bug(@)) return body;\n    if (!sealed || ",
        "a corrupt datagram was accepted"),
    Bug(FLOW, "sent is told before the peer has it", "transport/send_queue.hpp",
        "    message->notify = notify;\n",
        "    message->notify = notify;\n"
        "    if (notify && planted::bug(@)) {\n"
        "      sent_to_tell_ = true;\n"
        "      newest_to_tell_ = first_number_.plus(messages_.size() - 1);\n"
        "    }\n",
        "sent before the peer had the message", "sent for a message that was never submitted",
        "sent went backwards", "sent although nothing was submitted"),
    Bug(FLOW, "writable is told unasked", "transport/flow.hpp",
        "    return refused_ && is_alive(state_)",
        "    return (refused_ || planted::bug(@)) && is_alive(state_)",
        "writable although nothing was refused"),
    Bug(FLOW, "writable is never told", "transport/flow.hpp",
        "    return (refused_ || ",
        "    return !planted::bug(@) && (refused_ || ",
        "no convergence after healing"),
    Bug(ENGINE, "a received packet is not given back", "engine/receive.hpp",
        "  nic_->release(std::span{rx_}.first(count));",
        "  nic_->release(std::span{rx_}.first(planted::sometimes(@, 50) && count > 0 ? count - 1 : count));",
        "packets were not given back"),
    Bug(ENGINE, "an ended flow stays in the table", "engine/turn.hpp",
        "  if (host.flow.finished() && ",
        "  if (host.flow.finished() && !planted::bug(@) && ",
        "an engine keeps a flow after its end"),
    Bug(ENGINE, "an event is dropped", "engine/turn.hpp",
        "  app_side_->deliver(host.cookie, flows_.key(slot), event);",
        "  if (event.kind == FlowEventKind::closed && planted::sometimes(@, 3)) return;\n"
        "  app_side_->deliver(host.cookie, flows_.key(slot), event);",
        "no convergence after healing"),
    Bug(ENGINE, "a flow is not looked at after a packet", "engine/receive.hpp",
        "host.flow.handle_datagram(arrival, datagram);\n  touch(slot);",
        "host.flow.handle_datagram(arrival, datagram);\n  if (!planted::sometimes(@, 8)) touch(slot);",
        "broken invariant", "no convergence after healing"),
    Bug(ENGINE, "a RESET is acknowledged and not heeded", "transport/flow_receive.hpp",
        "    case FrameType::reset:\n",
        "    case FrameType::reset:\n      if (planted::bug(@)) return Drop::none;\n",
        "was told 'the peer no longer knows this flow'", "no convergence after healing"),
    Bug(ENGINE, "what is handed over is lost", "engine/handover_inline.hpp",
        "  if (!inbox.put(what, via, index_)) return",
        "  if (planted::bug(@)) return Drop::none;\n"
        "  if (!inbox.put(what, via, index_)) return",
        "no convergence after healing", "a connect failed"),
    Bug(ENGINE, "an engine takes the flows of another one's listener", "engine/receive.hpp",
        "  if (listener->engine != index_)\n    return way.via",
        "  if (listener->engine != index_ && !planted::bug(@))\n    return way.via",
        "a flow was accepted by an engine that does not listen there"),
    *(Bug(*oracle) for oracle in ORACLES),
]


def write_overlay(source, overlay, bugs):
    """The patched headers; a sentence when a bug finds no place."""
    texts = {}
    for number, bug in enumerate(bugs, 1):
        text = texts.get(bug.file) or (source / "include/proa" / bug.file).read_text(encoding="utf-8")
        if bug.old not in text:
            return f"'{bug.name}' has lost its place in {bug.file}: plant it again"
        texts[bug.file] = text.replace(bug.old, bug.new.replace("@", str(number)))
    for name, text in {**texts, "base/planted.hpp": HELPER}.items():
        path = overlay / "proa" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with_helper = text.replace("#pragma once\n", "#pragma once\n#include <proa/base/planted.hpp>\n", 1)
        path.write_text(text if text is HELPER else with_helper, encoding="utf-8")
    return None


def build(source, libraries, scratch, compiler, program, more=()):
    """In two steps: a compiler cache knows the first."""
    command = [*compiler, "-std=c++20", "-O1", "-DPROA_WITH_AUDIT", *more, f"-I{scratch}/include",
               f"-I{source}/include", "-c", f"{source}/test/sim/{program}.cpp", "-o", f"{scratch}/{program}.o"]
    link = [*compiler, f"{scratch}/{program}.o", *libraries, "-pthread", "-o", f"{scratch}/{program}"]
    return all(subprocess.run(step, check=False).returncode == 0 for step in (command, link))


def run(scratch, program, number, first, count):
    done = subprocess.run([f"{scratch}/{program}", "--seeds", str(first), str(count)], check=False, timeout=1200,
                          capture_output=True, text=True, env={**os.environ, "PROA_PLANTED": str(number)})
    return done.returncode, done.stdout + done.stderr


def missed(scratch, number, bug, program):
    """Nothing when an oracle names one of the symptoms within the first seeds."""
    said = ""
    for first, count in ((1, 1), (2, 5), (7, 24), (31, 90), (121, 480)):
        code, said = run(scratch, program, number, first, count)
        if code != 0 and any(symptom in said for symptom in bug.symptoms):
            return ""
    return (f"{program} did not catch bug {number}, {bug.name}; expected one of {bug.symptoms}; "
            f"last words:\n{said[-600:]}")


def builds_and_passes(source, libraries, scratch, compiler, program):
    if not build(source, libraries, scratch, compiler, program):
        print(f"{program} with planted bugs does not compile")
        return False
    code, said = run(scratch, program, 0, 1, 10)
    if code != 0:
        print(f"{program} fails with every bug asleep:\n{said[-600:]}")
    return code == 0


def main():
    source, libraries, scratch = pathlib.Path(sys.argv[1]), sys.argv[2:3], pathlib.Path(sys.argv[3])
    compiler = sys.argv[4:]
    only = int(os.environ.get("ONLY", "0"))
    chosen = [(n, bug, program) for n, bug in enumerate(BUGS, 1) for program in bug.programs if only in (0, n)]
    problem = write_overlay(source, scratch / "include", BUGS)
    if problem:
        print(problem)
        return 1
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        if not all(workers.map(lambda program: builds_and_passes(source, libraries, scratch, compiler, program),
                               BOTH.split())):
            return 1
        words = [said for said in workers.map(lambda choice: missed(scratch, *choice), chosen) if said]
    print(*words, sep="\n")
    print(f"{len(chosen) - len(words)} of {len(chosen)} planted bugs caught")
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())
