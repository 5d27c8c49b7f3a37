#!/usr/bin/env python3
"""Plants a bug for every row of TEST-MATRIX part A and demands that the row's own test finds it.

usage: planted_rows.py SOURCE LIBRARY CATCH_MAIN SCRATCH COMPILER...
       (ONLY=A7 in the environment: that row alone, with the last words of a test that stays green)

The machinery is planted_bugs.py's. A row's case runs with few seeds and stops at its first failed check; what the check
says must be one of the bug's symptoms, so that a crash or another row's check counts for nothing.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is
from planted_bugs import Bug, build, write_overlay  # noqa: E402  (the line above comes first)
from planted_oracles import ROW_ORACLES  # noqa: E402

PROGRAM_OF = {
    **dict.fromkeys(("A1", "A2", "A3", "A9", "A22"), "matrix_delivery"),
    **dict.fromkeys(("A1e", "A3e"), "matrix_accepts"),
    **dict.fromkeys(("A4", "A4c"), "matrix_goodput"),
    **dict.fromkeys(("A5", "A6"), "matrix_outage"),
    **dict.fromkeys(("A7", "A8", "A10"), "matrix_gaps"),
    **dict.fromkeys(("A12", "A13", "A14"), "matrix_reordering"),
    **dict.fromkeys(("A15", "A18"), "matrix_rate"),
    **dict.fromkeys(("A21", "A21o"), "matrix_injection"),
    **dict.fromkeys(("A20", "A20c", "A28", "A28l"), "matrix_memory"),
    "A24": "matrix_paths", "A27": "matrix_moves",
    **dict.fromkeys(("A25", "A26"), "matrix_nic"),
    "fairness": "matrix_fairness", "joins": "matrix_fairness", "scheduling": "matrix_turns", "ecn": "matrix_incast",
    "A11": "matrix_tail", "A16": "matrix_strangers", "A17": "matrix_incast", "A19": "matrix_path",
}
# Where a row has cases of minutes: one that is quick. Else its tag.
CASES = {
    "A1e": "50 connects whose SYNs*",
    "A3e": "every corrupt packet*",
    "A21o": "A21: packets of an old*",
    "A4": "goodput falls*",
    "A4c": "Cubic's goodput*",
    "A20": "A20: an application that stops*",
    "A20c": "A20: a credit update*",
    "A24": "A24: *",
    "A27": "A27: *",
    "A28": "A28: memory for one message only*",
    "fairness": "*flows of one controller*",
    "A28l": "Many flows over very little memory*",
}


class Row(Bug):
    """Each of `rows` has to find it, by one of `symptoms` or by its own of a dictionary."""

    def __init__(self, rows, name, file, old, new, *symptoms):
        super().__init__("", name, file, old, new, *symptoms)
        self.rows = rows.split()

    def symptoms_in(self, row):
        own = self.symptoms[0]
        return (own[row],) if isinstance(own, dict) else self.symptoms


ROWS = [
    Row("A1", "an answer to a SYN behind a gap does not acknowledge it", "transport/receiver.hpp",
        "  std::uint8_t sent_since_news_ = 0;",
        "  std::uint8_t sent_since_news_ = planted::bug(@) ? 8 : 0;",
        "everything_arrived"),
    Row("A1", "a SYN is repeated once only", "transport/flow_transmit.hpp",
        "  timers_.arm(FlowTimer::handshake, later(now, std::min(wait, options_->probe_max)));",
        "  if (!planted::bug(@) || handshakes_sent_ < 2)\n"
        "    timers_.arm(FlowTimer::handshake, later(now, std::min(wait, options_->probe_max)));\n"
        "  else\n"
        "    timers_.cancel(FlowTimer::handshake);",
        "everything_arrived"),
    Row("A1e", "a SYN that comes again opens another flow", "engine/receive.hpp",
        "  if (duplicate == no_slot) return",
        "  if (duplicate == no_slot || planted::bug(@)) return",
        "flow_count(server) == 50"),
    Row("A2", "what comes right behind a hole closes it", "transport/reassembly.hpp",
        "    if (part.offset <= message.prefix) {",
        "    if (part.offset <= message.prefix + (planted::bug(@) && message.prefix != 0 ? size : 0)) {",
        "lost, repeated, out of order or altered"),
    Row("A3", "a packet that claims no trailer is believed", "transport/integrity.hpp",
        "    if (!sealed || crc32c",
        "    if (!sealed && planted::bug(@)) return body;\n    if (!sealed || crc32c",
        "a corrupt datagram was accepted"),
    Row("A3e", "a corrupt packet is not counted", "engine/receive.hpp",
        "    if (drop != Drop::none) [[unlikely]]",
        "    if (drop != Drop::none && !(planted::bug(@) && drop == Drop::bad_checksum)) [[unlikely]]",
        "drops[Drop::bad_checksum]"),
    Row("A3e", "UDP's checksum is not looked at", "engine/interface_receive.hpp",
        "  if (!packet.has(PacketFlag::rx_l4_checksum_good) &&",
        "  if (!planted::bug(@) && !packet.has(PacketFlag::rx_l4_checksum_good) &&",
        "drops[Drop::bad_checksum]"),
    Row("A1e", "a received packet is not given back", "engine/receive.hpp",
        "  nic_->release(std::span{rx_}.first(count));",
        "  nic_->release(std::span{rx_}.first(planted::sometimes(@, 50) && count > 0 ? count - 1 : count));",
        "packets were not given back"),
    Row("A20", "a received packet is not given back either", "engine/receive.hpp",
        " && count > 0 ? count - 1 : count));",
        " && count > 0 ? count - 1 : count - (planted::sometimes(@, 50) && count > 0 ? 1 : 0)));",
        "packets_held() <= 32"),
    Row("A21o", "nobody is told of an end", "engine/turn.hpp",
        "  app_side_->deliver(host.cookie, flows_.key(slot), event);",
        "  if (planted::bug(@) && event.kind == FlowEventKind::closed) return;\n"
        "  app_side_->deliver(host.cookie, flows_.key(slot), event);",
        "reasons(ended_before) == before"),
    Row("A4 A12", "each loss is taken for four", "transport/sender_loss.hpp",
        "  ++loss.lost_packets;",
        "  loss.lost_packets += planted::bug(@) ? 4 : 1;",
        {"A4": "rate[ppm] >= 0.90 * rate[0]", "A12": "rate >= 0.8 * best"}),
    Row("A4", "each loss is taken for 32", "transport/sender_loss.hpp",
        " ? 4 : 1;",
        " ? 4 : planted::bug(@) ? 32 : 1;",
        "rate[ppm] >= 0.98 * rate[0]"),
    Row("A4c", "Cubic forgets what Reno would have", "transport/cubic.hpp",
        "    if (scaled(now_.curve.window(now_.curve.steps(elapsed))) < now_.reno)",
        "    if (!planted::bug(@) && scaled(now_.curve.window(now_.curve.steps(elapsed))) < now_.reno)",
        "measured >= 0.7 * expected"),
    Row("A5 A11", "the wait for a probe grows fourfold", "transport/probe.hpp",
        "(doublings - 1)), options.probe_max);",
        "((planted::bug(@) ? 2 : 1) * (doublings - 1))), options.probe_max);",
        {"A5": "resumption.took <= resumption.allowed", "A11": "expected_probe_wait"}),
    Row("A6", "whoever asks counts as heard", "transport/flow.hpp",
        "  if (timers_.take_expired(FlowTimer::probe, now)) sender_.on_probe_timer(now);",
        "  if (timers_.take_expired(FlowTimer::probe, now)) {\n"
        "    sender_.on_probe_timer(now);\n"
        "    if (planted::bug(@)) timers_.arm(FlowTimer::idle, later(now, idle_limit_));\n"
        "  }",
        "scene.all_ended()"),
    Row("A6", "a partition is called a close", "transport/flow.hpp",
        "FlowInput::gone_silent, Reason::idle_timeout,",
        "FlowInput::gone_silent, planted::bug(@) ? Reason::closed_by_peer : Reason::idle_timeout,",
        "Reason::idle_timeout"),
    Row("A5 A7 A8", "what was sent again stays on the list for once more", "transport/send_queue.hpp",
        "    (void)lost_.remove(written);  // a prefix of the first range: never needs another range",
        "    if (!planted::sometimes(@, 4)) (void)lost_.remove(written);",
        {"A5": "resumption.resent_bytes <=", "A7": "lost * 110 / 100", "A8": "std::uint64_t{105}"}),
    Row("A9", "a repeated part moves the end back", "transport/reassembly.hpp",
        "    if (end <= message.prefix && part.total != 0) return repeated();",
        "    if (!planted::bug(@) && end <= message.prefix && part.total != 0) return repeated();",
        "lost, repeated, out of order or altered", "everything_arrived", "broken invariant"),
    Row("A10", "no timer for what is nearly lost", "transport/sender_loss.hpp",
        "        loss_deadline_ = std::min(loss_deadline_, overdue);",
        "        if (!planted::bug(@)) loss_deadline_ = std::min(loss_deadline_, overdue);",
        "run.probes == 0", "allowed.count()"),
    Row("A11", "the first probe is as late as the others", "transport/probe.hpp",
        "  if (sent_in_a_row == 0) return",
        "  if (sent_in_a_row == 0 && !planted::bug(@)) return",
        "tail.sent.size() == k + 1", "200us"),
    Row("A11", "the first packet of a burst speaks for all of it", "transport/swift.hpp",
        "    const bool grows = starting_ && limited_;",
        "    const bool grows = starting_ && (limited_ || planted::bug(@));",
        "Duration{200us}"),
    Row("A12", "the reordering window stays as it was", "transport/loss.hpp",
        "    window_steps_ = std::min<std::uint64_t>(window_steps_ + 1,",
        "    window_steps_ = std::min<std::uint64_t>(window_steps_ + (planted::bug(@) ? 0U : 1U),",
        "info.resent_bytes", "info.packets_lost"),
    Row("A12", "three later packets prove a loss whatever the path does", "transport/loss.hpp",
        "    return reordering_seen_ == 0 && later_acked",
        "    return (reordering_seen_ == 0 || planted::bug(@)) && later_acked",
        "info.resent_bytes", "info.packets_lost"),
    Row("A13 A1e", "a SYN that comes again is accepted again", "transport/flow_receive.hpp",
        "    if (is_established(state_)) receiver_.ack_at_once();\n    return;",
        "    if (is_established(state_)) receiver_.ack_at_once();\n"
        "    if (planted::bug(@)) established_pending_ = true;\n    return;",
        "established twice", "a connection was accepted twice"),
    Row("A13 A21", "any packet number ahead is the flow's", "transport/ack_tracker.hpp",
        "      return number.since(largest_) <= packet_number_window ? Verdict::fresh",
        "      return planted::bug(@) || number.since(largest_) <= packet_number_window ? Verdict::fresh",
        "another incarnation's packet was accepted", "world.state() == before"),
    Row("A21", "whose flow a packet is goes by one id", "transport/flow_receive.hpp",
        "  if (state_ == FlowState::finished) return Drop::flow_ended;\n"
        "  if (header.source_flow",
        "  if (state_ == FlowState::finished) return Drop::flow_ended;\n"
        "  if (!planted::bug(@) && header.source_flow",
        "world.state() == before"),
    Row("A14", "answers to repetitions are not repeated", "transport/receiver.hpp",
        "    if (repetitions_ < repeat_acks_max) ++repetitions_;",
        "    if (!planted::bug(@) && repetitions_ < repeat_acks_max) ++repetitions_;",
        "0.5 * best", "everything_arrived"),
    Row("A15", "a credit window does not grow", "transport/credit.hpp",
        "std::max(2 * window_, options_->credit_window_first);",
        "std::max(planted::bug(@) ? window_ : 2 * window_, options_->credit_window_first);",
        "filled >= path.bdp"),
    Row("A16", "an answer waits for nobody to ask", "transport/flow_transmit.hpp",
        "  if (handshakes_sent_ < 255) ++handshakes_sent_;",
        "  if (handshakes_sent_ < 255 && (!planted::bug(@) || state_ == FlowState::syn_sent)) ++handshakes_sent_;",
        "victims.bytes <= 3"),
    Row("A16", "what a stranger opened half-way stays for ten minutes", "transport/flow.hpp",
        "later(now, options.accept_limit));",
        "later(now, (planted::bug(@) ? 120 : 1) * options.accept_limit));",
        "flow_count() == 0"),
    Row("A17", "Swift's step follows its window", "transport/swift.hpp",
        "    const std::uint64_t usual = std::clamp(as_usual",
        "    const std::uint64_t usual = planted::bug(@) ? window_ / 4 : std::clamp(as_usual",
        "got.jain >= 0.9"),
    Row("A17", "the first probe is two and a half milliseconds late", "transport/probe.hpp",
        "  const Duration slack = std::max(options.probe_slack, rtt.peer_lateness());",
        "  const Duration slack = std::max(options.probe_slack, rtt.peer_lateness()) +\n"
        "                         Duration{planted::bug(@) && sent_in_a_row == 0 ? 2'500'000 : 0};",
        "got.p99 <= (hardest"),
    Row("A17", "Swift never sends more than eight packets", "transport/swift.hpp",
        "    return std::max(static_cast<std::uint32_t>(window_ >> fraction_bits), 1U);",
        "    if (planted::bug(@) && window_ > scaled(8 * packet_bytes_)) return 8 * packet_bytes_;\n"
        "    return std::max(static_cast<std::uint32_t>(window_ >> fraction_bits), 1U);",
        "got.goodput >= 0.8"),
    Row("A18 ecn", "CE marks are counted and not told", "transport/receiver.hpp",
        "    if (ce_marked_ != 0) out.ecn(ce_marked_);",
        "    if (ce_marked_ != 0 && !planted::bug(@)) out.ecn(ce_marked_);",
        "marked <= 0.7 * unmarked", "0.7 * window", "got.queue_drops == 0"),
    Row("A18", "only the first CE mark counts", "transport/flow_receive.hpp",
        "  if (more > (1U << 20U)) return 0;",
        "  if (more > (1U << 20U) || (planted::bug(@) && peer_ce_marked_ != 0)) return 0;",
        "marked <= 0.7 * unmarked", "0.7 * window"),
    Row("A18", "a mark is counted as a lost packet", "transport/sender.hpp",
        "    ce_marked_ += ack.ce_marked;",
        "    ce_marked_ += ack.ce_marked;\n    if (planted::bug(@)) lost_packets_ += ack.ce_marked;",
        "packets_lost == lost"),
    Row("A19", "a black hole needs one more loss than there are probes", "transport/black_hole.hpp",
        "return lost_ >= losses_enough;",
        "return lost_ >= (planted::bug(@) ? 64 : 1) * losses_enough;",
        "repaired", "timeouts <= 6.0"),
    Row("A19", "probes of a doubtful path are full-sized", "transport/sender.hpp",
        "    return probes_in_a_row_ > 1 || peer_refused_;",
        "    return (probes_in_a_row_ > 1 && !planted::bug(@)) || peer_refused_;",
        "repaired", "timeouts <= 6.0"),
    Row("A19", "what a sleeper's wheel is armed for comes late", "engine/timing_wheel.hpp",
        "    at = rounded(at, std::max(elapsed_, floor_tick(now)));",
        "    at = rounded(at, planted::bug(@) ? elapsed_ : std::max(elapsed_, floor_tick(now)));",
        "timeouts"),
    Row("A19", "packets of any size prove a path large", "transport/black_hole.hpp",
        "    if (bytes >= smallest_lost_) clear();",
        "    if (bytes >= smallest_lost_ || planted::bug(@)) clear();",
        "packet_bytes == 1232"),
    Row("A19", "a size once lost is never tried again", "transport/path_mtu.hpp",
        "    if (now >= raise_at_) open_search();",
        "    if (now >= raise_at_ && !planted::bug(@)) open_search();",
        "full_size"),
    Row("A19", "a router's word is believed", "transport/flow.hpp",
        "    if (is_established(state_) && mtu_.packet_bytes() > mtu_.base())\n",
        "    if (planted::bug(@)) (void)mtu_.on_black_hole();\n"
        "    if (is_established(state_) && mtu_.packet_bytes() > mtu_.base())\n",
        "packet_bytes == 8972"),
    Row("A20", "an application without room stops those behind it", "engine/turn.hpp",
        "        bits[word] &= ~(std::uint64_t{1} << bit);",
        "        bits[word] &= ~(std::uint64_t{1} << bit);\n"
        "      else if (planted::bug(@))\n        return true;",
        "sum(alone) / 0.95", "all_here"),
    Row("A20", "who reads again does not say so", "transport/flow_receive.hpp",
        "    receiver_.raise_credit(*memory_);\n",
        "    if (!planted::bug(@)) receiver_.raise_credit(*memory_);\n",
        "2 * 40us", "world.arrived(world.slow) > 50"),
    Row("A20c", "new credit is told as an acknowledgement is, once", "transport/flow.hpp",
        "  want_control(receiver_.credit().take_refusal()",
        "  if (planted::bug(@)) return receiver_.ack_at_once(), true;\n"
        "  want_control(receiver_.credit().take_refusal()",
        "resumed_at.has_value()"),
    Row("A20c", "new credit is not told", "transport/flow.hpp",
        "  // RFC-less, ours: raising credit after",
        "  if (planted::bug(@)) return true;\n  // RFC-less, ours: raising credit after",
        "lost_at.has_value()"),
    Row("A20", "who asks for memory is not heard", "transport/receiver.hpp",
        "    if (!wanted || reassembly_.is_early(",
        "    if (!wanted || planted::bug(@) || reassembly_.is_early(",
        "more, resumed_at"),
    Row("A20", "half of the receive memory is never used", "mem/heap_memory.hpp",
        "receive_(options.receive_bytes), ledger_(0)",
        "receive_(options.receive_bytes / (planted::bug(@) ? 2 : 1)), ledger_(0)",
        "most + memory_cost"),
    Row("A21", "answers are not limited", "engine/receive.hpp",
        "  if (!answers_.allow(now_)) return false;",
        "  if (!answers_.allow(now_) && !planted::bug(@)) return false;",
        "64 + 10'000 * seconds"),
    Row("A21", "a packet is heeded whose acknowledgement is of nothing", "transport/flow_receive.hpp",
        "  if (resolved.acks_unsent) return Drop",
        "  if (resolved.acks_unsent && !planted::bug(@)) return Drop",
        "world.state() == before"),
    Row("A22", "credit is compared as a number", "transport/send_queue.hpp",
        "    if (to.after(limit)) limit = to;",
        "    if (planted::bug(@) ? to.wire() > limit.wire() : to.after(limit)) limit = to;",
        "everything_arrived"),
    Row("A22", "messages are compared as numbers", "transport/reassembly.hpp",
        "    if (part.number.before(next_)) return repeated();  // delivered",
        "    if (planted::bug(@) ? part.number.wire() < next_.wire() : part.number.before(next_))\n"
        "      return repeated();",
        "everything_arrived"),
    Row("A22", "numbers are compared as numbers", "transport/sent_packets.hpp",
        "return number.before(next()); }",
        "return (planted::bug(@) ? number.wire() < next().wire() : number.before(next())); }",
        "everything_arrived"),
    Row("A22", "what is below the largest is found by size", "transport/ack_tracker.hpp",
        "    if (number.after(largest_))\n",
        "    if (planted::bug(@) ? number.wire() > largest_.wire() : number.after(largest_))\n",
        "everything_arrived"),
    Row("A24", "the first path that is answered is taken for the right one", "transport/path_probe.hpp",
        "result.engine, result.engine == wanted_};",
        "result.engine, planted::bug(@) || result.engine == wanted_};",
        "mesh.handed_over() == before"),
    Row("A24", "nobody is told that packets go astray", "engine/path_inline.hpp",
        "  host.flow.say_misrouted(host.is_misrouted());",
        "  if (!planted::bug(@)) host.flow.say_misrouted(host.is_misrouted());",
        "mesh.handed_over() == before"),
    Row("A24", "a path is not looked for when no other is known", "engine/path_inline.hpp",
        "  else\n    paths_.search(host.route, slot, now_);",
        "  else if (!planted::bug(@))\n    paths_.search(host.route, slot, now_);",
        "mesh.handed_over() == before"),
    Row("A24", "a pair that fell silent stays known", "engine/path_inline.hpp",
        "    paths_.forget(host.route, host.former);",
        "    if (!planted::bug(@)) paths_.forget(host.route, host.former);",
        "lost_by_others == 0"),
    Row("A24", "a pair that is complained of stays known", "engine/path_inline.hpp",
        "  paths_.forget(host.route, host.header.ports());",
        "  if (!planted::bug(@)) paths_.forget(host.route, host.header.ports());",
        "searches_of_later_flows == 0"),
    Row("A25", "a full ring is not counted", "engine/tx_queue.hpp",
        "      ++ring_full_;",
        "      if (!planted::bug(@)) ++ring_full_;",
        "tx_ring_full > full"),
    Row("A25", "an engine does not say what its NIC counts", "engine/engine_inline.hpp",
        "  out.nic = nic_->counters();",
        "  if (!planted::bug(@)) out.nic = nic_->counters();",
        "link_downs"),
    Row("A25", "what the NIC refuses is forgotten", "engine/tx_queue.hpp",
        "    filled_count_ -= taken;",
        "    if (planted::bug(@)) {\n"
        "      nic_->release(std::span{filled_}.first(filled_count_ - taken));\n"
        "      taken = filled_count_;\n"
        "    }\n"
        "    filled_count_ -= taken;",
        "busy.lost() == lost"),
    Row("A25", "an empty pool is not counted", "engine/tx_queue.hpp",
        "        ++pool_empty_;",
        "        if (!planted::bug(@)) ++pool_empty_;",
        "tx_pool_empty > 0"),
    Row("A25", "who found the pool empty once sends hardly anything any more", "engine/tx_queue.hpp",
        "    return &empty_[empty_count_ - 1];",
        "    static unsigned calls = 0;  // nothing of 7 times 64\n"
        "    if (planted::bug(@) && pool_empty_ > 4'000 && ++calls / 64 % 8 != 0) return nullptr;\n"
        "    return &empty_[empty_count_ - 1];",
        "0.5 * base_bits_per_second"),
    Row("A1e A25", "what is handed over over IPv6 is lost", "engine/handover_inline.hpp",
        "  return put(*group_, owner, from,",
        "  if (planted::bug(@) && !from.source.is_v4()) return Drop::none;\n  return put(*group_, owner, from,",
        "delivered > before[i].delivered", "world.run_while_not(all_delivered"),
    Row("A26", "a late poll is taken for loss and delay", "engine/receive.hpp",
        "Arrival arrival{now_, now_ - ring_read_.read_until(), false};",
        "Arrival arrival{now_, planted::bug(@) ? Duration{} : now_ - ring_read_.read_until(), false};",
        "stalling.slowest() <", "after.packets_lost == before.packets_lost", "lowest_window() >= 0.7"),
    Row("A26", "what a packet lay before a late poller is taken for delay", "transport/receiver.hpp",
        "    const bool late = arrival.uncertainty",
        "    const bool late = !planted::bug(@) && arrival.uncertainty",
        "stalling.slowest() <", "lowest_window() >= 0.7"),
    Row("A26", "a probe's wait does not double", "transport/probe.hpp",
        "  const std::uint32_t doublings = std::min(sent_in_a_row, 30U);",
        "  const std::uint32_t doublings = std::min(sent_in_a_row, planted::bug(@) ? 1U : 30U);",
        "CHECK( probes <= allowed"),
    Row("A26", "a probe waits by the shortest round trip instead of the usual one", "transport/probe.hpp",
        "      rtt.smoothed() + std::max(4 * rtt.variation(), ",
        "      planted::bug(@) ? rtt.minimum() + options.probe_variation_min + slack\n"
        "                      : rtt.smoothed() + std::max(4 * rtt.variation(), ",
        "CHECK( probes <= allowed"),
    Row("A26", "whoever gets a message is told of an end that is none", "engine/turn.hpp",
        "  ++report_.events;\n",
        "  ++report_.events;\n"
        "  if (planted::bug(@) && event.kind == FlowEventKind::message) {\n"
        "    FlowEvent end;\n"
        "    end.kind = FlowEventKind::closed;\n"
        "    app_side_->deliver(host.cookie, flows_.key(slot), end);\n"
        "  }\n",
        "flow.ended == std::array"),
    Row("A27", "a full inbox swallows without a word", "engine/handover_inline.hpp",
        "what, via, index_)) return Drop::handover_full;",
        "what, via, index_)) return planted::bug(@) ? Drop::none : Drop::handover_full;",
        "dropped > 0"),
    Row("A27", "an inbox's places get lost", "engine/handover.hpp",
        "      while (!free_.push(slot)) {  // it has room for every slot there is",
        "      while (!planted::sometimes(@, 64) && !free_.push(slot)) {",
        "dropped == 0", "received() =="),
    Row("A27", "a packet in 32 that is handed over is lost", "engine/handover_inline.hpp",
        "  return put(*group_, owner, from,",
        "  if (planted::sometimes(@, 32)) return Drop::none;\n  return put(*group_, owner, from,",
        "slowest <="),
    Row("A28", "the block kept back is kept for ever", "engine/turn.hpp",
        "!host.flow.take_memory(now_, true)) return",
        "!host.flow.take_memory(now_, !planted::bug(@))) return",
        "CHECK( all )"),
    Row("A28l", "who waits for memory is not asked again", "engine/turn.hpp",
        "  memory_wanted_ = for_each_app",
        "  if (planted::bug(@)) return;\n  memory_wanted_ = for_each_app",
        "looks <=", "stream.right()"),
    # ---- no rows: what flows get beside each other
    Row("fairness", "Swift never shrinks", "transport/swift.hpp",
        "    window_ = std::max(window_ - window_ / 256 * cut_256, window_min());",
        "    if (!planted::bug(@)) window_ = std::max(window_ - window_ / 256 * cut_256, window_min());",
        "got.jain >= 0.9", "got.settled_after <="),
    Row("joins", "nobody shrinks by more than a 32nd", "transport/swift.hpp",
        "  void shrink(std::uint64_t cut_256) noexcept {\n",
        "  void shrink(std::uint64_t cut_256) noexcept {\n    if (planted::bug(@)) cut_256 = std::min<std::uint64_t>(cut_256, 8);\n",
        "got.half_after <= soon", "got.later >= 0.5", "got.later <= 1.5"),
    Row("scheduling", "a flow is served until it is empty or the turn is over", "engine/turn.hpp",
        "  while (more && host.deficit > 0 && send_budget_ > 0) {",
        "  while (more && (host.deficit > 0 || planted::bug(@)) && send_budget_ > 0) {",
        "world.most_quanta() <= count * share"),
    Row("scheduling", "whoever finds the ring full goes to the end of the line", "engine/turn.hpp",
        "  if (next_packet(host.loopback) == nullptr) return false;",
        "  if (next_packet(host.loopback) == nullptr && !planted::bug(@)) return false;",
        "world.longest() < 500us"),
    *(Row(*oracle) for oracle in ROW_ORACLES),
]


def build_case(source, libraries, scratch, compiler, program):
    grid = f'-DPROA_GOODPUT_GRID="{source}/test/sim/goodput_grid.txt"'
    return build(source, libraries, scratch, compiler, program, [grid])


def run(scratch, row, number, how_many):
    """A row until its first failed check: the exit code and what is said of it."""
    done = subprocess.run([f"{scratch}/{PROGRAM_OF[row]}", CASES.get(row, f"[{row}]"), "--abort"], check=False,
                          timeout=1200, capture_output=True, text=True,
                          env={**os.environ, "PROA_SIM_SEEDS": how_many, "PROA_PLANTED": str(number)})
    return done.returncode, " ".join((done.stdout + done.stderr).split())  # Catch2 breaks lines


def missed(scratch, number, bug, row):
    """Nothing when the row's check names one of the symptoms."""
    said, symptoms = "", bug.symptoms_in(row)
    for how_many in ("few", "short"):
        code, said = run(scratch, row, number, how_many)
        if code != 0 and any(symptom in said for symptom in symptoms):
            return ""
    return f"{row} did not catch {number}, {bug.name}; expected one of {symptoms}; last words:\n{said[-1500:]}"


def main():
    source, libraries, scratch = pathlib.Path(sys.argv[1]), sys.argv[2:4], pathlib.Path(sys.argv[4])
    compiler = sys.argv[5:]
    only = os.environ.get("ONLY", "")
    chosen = [(n, bug, row) for n, bug in enumerate(ROWS, 1) for row in bug.rows if only in ("", row, str(n))]
    if not chosen:
        print(f"no planted bug is called {only}")
        return 1
    problem = write_overlay(source, scratch / "include", ROWS)
    if problem:
        print(problem)
        return 1
    programs = sorted({PROGRAM_OF[row] for _, _, row in chosen})
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as workers:
        if not all(workers.map(lambda program: build_case(source, libraries, scratch, compiler, program), programs)):
            print("a row with planted bugs does not compile")
            return 1
        words = [said for said in workers.map(lambda choice: missed(scratch, *choice), chosen) if said]
    print(*words, sep="\n")
    print(f"{len(chosen) - len(words)} of {len(chosen)} planted bugs caught by their rows")
    return 1 if words else 0


if __name__ == "__main__":
    sys.exit(main())
