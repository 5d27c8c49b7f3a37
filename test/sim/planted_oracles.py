"""Planted bugs that make one oracle each speak: data for planted_bugs.py and planted_rows.py.

every_oracle.py demands that each message an oracle of test/sim can say is the only symptom of some planted bug (or of
a bug of toy.hpp), so a new oracle needs a new entry here or there.
"""
FLOW, ENGINE, BOTH = "sim_world", "sim_engines", "sim_world sim_engines"

# programs, name, file, old, new, symptom: see planted_bugs.py
ORACLES = [
    # ---- what a flow says of itself, and its order of events
    (FLOW, "a flow with an event says it has none", "transport/flow.hpp",
     "    return established_pending_ || receiver_",
     "    return (established_pending_ && !planted::bug(@)) || receiver_",
     "has_event and poll_event disagree"),
    (FLOW, "a message is told before the flow", "transport/flow.hpp",
     "  if (established_pending_) [[unlikely]] {",
     "  if (established_pending_ && !(planted::bug(@) && receiver_.reassembly().deliverable())) {",
     "a message came before the flow was established"),
    (FLOW, "a client hears that it accepted", "transport/flow.hpp",
     "    event.kind = as_client_ ? FlowEventKind::connected",
     "    event.kind = as_client_ != planted::bug(@) ? FlowEventKind::connected",
     "accepted at the client or connected at the server"),
    (FLOW, "a close is refused", "transport/flow_end.hpp",
     "  if (state_ == FlowState::closing) return failed(Reason::flow_closing);",
     "  if (planted::bug(@) || state_ == FlowState::closing) return failed(Reason::flow_closing);",
     "close was refused"),
    (FLOW, "an ended flow lingers for hours", "transport/flow_end.hpp",
     "  timers_.arm(FlowTimer::deadline, later(now, patience));",
     "  timers_.arm(FlowTimer::deadline, later(now, (planted::bug(@) ? 100'000 : 1) * patience));",
     "a flow still has something to do after its end"),
    (FLOW, "a flow gives up for no reason", "transport/flow_receive.hpp",
     "  FrameReader reader{frames};\n  AckBits bits;\n",
     "  if (planted::sometimes(@, 100)) {\n"
     "    end(arrival.now, FlowInput::gone_silent, Reason::idle_timeout, Reason::none);\n"
     "    return Drop::flow_ended;\n"
     "  }\n"
     "  FrameReader reader{frames};\n  AckBits bits;\n",
     "a flow ended by itself"),
    (FLOW, "who closes waits for its FIN only", "transport/flow_end.hpp",
     "fin_acked_ && sender_.queue().empty())",
     "fin_acked_ && (planted::bug(@) || sender_.queue().empty()))",
     "closed before delivery"),
    (ENGINE, "a FIN is believed before what it follows is here", "transport/flow_receive.hpp",
     "!receiver_.reassembly().complete_before(peer_fin_)",
     "!(planted::bug(@) || receiver_.reassembly().complete_before(peer_fin_))",
     "ended before everything was delivered"),
    (FLOW, "a refused submit is forgotten", "transport/flow.hpp",
     "    refused_ = true;\n",
     "    refused_ = !planted::bug(@);\n",
     "not everything could be submitted"),
    (FLOW, "a message of any size may be too large", "transport/flow.hpp",
     "  if (block.length > message_bytes_max_) return",
     "  if (planted::sometimes(@, 16) || block.length > message_bytes_max_) return",
     "submit refused for a reason that is neither would_block nor flow_closing"),
    (FLOW, "a delivered message stays the next one", "transport/reassembly.hpp",
     "messages_.pop_front();\n    number = next_;",
     "{\n      if (!planted::bug(@)) messages_.pop_front();\n    }\n    number = next_;",
     "more messages came than were sent"),
    (FLOW, "sent is told of nothing", "transport/send_queue.hpp",
     "  bool sent_to_tell_ = false;\n",
     "  bool sent_to_tell_ = planted::bug(@);\n",
     "sent although nothing was submitted"),
    (FLOW, "sent is told of what is to come", "transport/send_queue.hpp",
     "        newest_to_tell_ = first_number_;\n",
     "        newest_to_tell_ = first_number_.plus(planted::bug(@) ? 1000 : 0);\n",
     "sent for a message that was never submitted"),
    (FLOW, "sent is told twice", "transport/send_queue.hpp",
     "    sent_to_tell_ = false;\n    number",
     "    sent_to_tell_ = planted::sometimes(@, 4);\n    number",
     "sent went backwards"),
    (FLOW, "the first packet's time depends on former runs", "transport/flow.hpp",
     "    timers_.arm(FlowTimer::handshake, now);\n",
     "    timers_.arm(FlowTimer::handshake, now + Duration{planted::sometimes(@, 3) ? 1000 : 0});\n",
     "two runs of the same seed differ"),
    # ---- what a flow does with its memory
    (FLOW, "more is retracted than was promised", "transport/credit.hpp",
     "    promised_ -= promised;\n    memory.retract(promised);",
     "    promised_ -= promised;\n    memory.retract(promised + (planted::bug(@) ? cost : 0));",
     "more credit put back than was granted"),
    (FLOW, "a block is given back a byte longer", "transport/send_queue.hpp",
     "      const OutMessage& done = messages_.front();\n",
     "      const OutMessage& done = messages_.front();\n"
     "      if (planted::sometimes(@, 16)) {\n"
     "        MessageBlock longer = done.block;\n"
     "        ++longer.length;\n"
     "        memory.release(longer);\n"
     "      }\n",
     "a block changed its length"),
    (FLOW, "a part is written beside its block", "transport/reassembly.hpp",
     "    if (part.offset <= message.prefix) {\n",
     "    if (part.offset <= message.prefix) {\n"
     "      if (size != 0 && planted::sometimes(@, 32)) {\n"
     "        MessageBlock beside = message.block;\n"
     "        ++beside.tag;\n"
     "        memory.write(beside, 0, planted::wrong_byte);\n"
     "      }\n",
     "write into a block not given out"),
    (FLOW, "a part is read from beside its block", "transport/send_queue.hpp",
     "    memory.read(message.block, offset, to);\n",
     "    memory.read(message.block, offset, to);\n"
     "    if (planted::sometimes(@, 32)) {\n"
     "      MessageBlock beside = message.block;\n"
     "      ++beside.tag;\n"
     "      memory.read(beside, offset, to);\n"
     "    }\n",
     "read from a block not given out"),
    (FLOW, "a block is given out again", "mem/heap_memory.hpp",
     "    return block(send_, send_origin, length, send_.arena.take(length));",
     "    static std::uint64_t last = 0;\n"
     "    const bool again = planted::bug(@) && send_.arena.size_of(last) >= length && length != 0;\n"
     "    if (!again) last = send_.arena.take(length);\n"
     "    return block(send_, send_origin, length, last);",
     "the memory gave a block out twice"),
    (BOTH, "half of a grant stays free", "mem/heap_memory.hpp",
     " grant(std::uint32_t n) noexcept { return ledger_.grant(n); }",
     " grant(std::uint32_t n) noexcept {\n"
     "    const std::uint32_t given = ledger_.grant(n);\n"
     "    if (planted::bug(@)) ledger_.retract(given / 2);\n"
     "    return given;\n"
     "  }",
     "the memory ledger does not add up"),
    # ---- engines
    (ENGINE, "a flow is accepted again", "transport/flow.hpp",
     "    established_pending_ = false;\n",
     "    established_pending_ = !as_client_ && planted::sometimes(@, 2);\n",
     "a connection was accepted twice"),
    (ENGINE, "an accepted flow's peer is its own end", "engine/turn.hpp",
     ", who.local, who.peer);",
     ", who.local, planted::bug(@) ? who.local : who.peer);",
     "a flow was accepted from nobody"),
    (ENGINE, "every flow is said to be from whom the first was", "engine/turn.hpp",
     "flows_.key(slot), who.local, ",
     "flows_.key(slot), who.local, planted::bug(@) ? planted::first(who.peer) : ",
     "a flow was accepted by another host"),
    (ENGINE, "an event goes to another flow", "engine/turn.hpp",
     "  app_side_->deliver(host.cookie, flows_.key(slot), event);",
     "  app_side_->deliver(host.cookie, planted::bug(@) ? FlowKey{~0U} : flows_.key(slot), event);",
     "an event of a flow with another key"),
    (ENGINE, "a reset is refused", "engine/engine.hpp",
     "    flows_[slot].flow.reset(now, why);\n",
     "    if (planted::bug(@)) return failed(Reason::no_such_flow);\n    flows_[slot].flow.reset(now, why);\n",
     "reset was refused"),
    (ENGINE, "a close is refused", "engine/engine.hpp",
     "    const auto done = flows_[slot].flow.close(now, deadline);",
     "    if (planted::bug(@)) return failed(Reason::no_such_flow);\n"
     "    const auto done = flows_[slot].flow.close(now, deadline);",
     "close was refused"),
    (ENGINE, "a connect is refused", "engine/engine_inline.hpp",
     "  if (flows_.full()) return failed(Reason::too_many_flows);",
     "  if (planted::bug(@) || flows_.full()) return failed(Reason::too_many_flows);",
     "connect was refused"),
    (ENGINE, "a listen is refused", "engine/engine.hpp",
     "    if (port == 0 || app >= apps_.size()) return failed(Reason::invalid_argument);",
     "    if (planted::bug(@) || port == 0 || app >= apps_.size())\n"
     "      return failed(Reason::invalid_argument);",
     "listen was refused"),
    (ENGINE, "a flow has no info", "engine/engine.hpp",
     "    if (slot == no_slot) return std::nullopt;\n    return flows_[slot].flow.info();",
     "    if (planted::bug(@) || slot == no_slot) return std::nullopt;\n    return flows_[slot].flow.info();",
     "a new flow has no info"),
    (ENGINE, "who listens is not found", "engine/receive.hpp",
     "  if (!listener) return refuse(",
     "  if (planted::bug(@) || !listener) return refuse(",
     "a connect failed: "),
    (ENGINE, "a connect has a microsecond", "engine/engine_inline.hpp",
     "Role::client, who, now, deadline);",
     "Role::client, who, now, planted::bug(@) ? later(now, Duration{1000}) : deadline);",
     "a connect never succeeds"),
    (ENGINE, "what takes no time is answered for ever", "transport/flow_receive.hpp",
     "  arm_timers(arrival.now);\n  return why;\n",
     "  const bool loops = identity_.local.address == identity_.peer.address;\n"
     "  if (planted::bug(@) && loops && is_established(state_)) want_control(PacketContent::ping);\n"
     "  arm_timers(arrival.now);\n  return why;\n",
     "an engine does not come to rest"),
    (ENGINE, "an engine wants a turn every nanosecond", "engine/engine.hpp",
     "    return link_up_ ? due : std::min(due, link_look_at_);",
     "    if (planted::bug(@)) return std::min(due, later(now_, Duration{1}));\n"
     "    return link_up_ ? due : std::min(due, link_look_at_);",
     "too many steps: something spins"),
    # ---- A23: partitions, crashes
    (ENGINE, "A23: seven probes without an answer are silence enough", "transport/flow.hpp",
     "  if (timers_.take_expired(FlowTimer::probe, now)) sender_",
     "  if (planted::bug(@) && sender_.probes_in_a_row() > 6)\n"
     "    return end(now, FlowInput::gone_silent, Reason::idle_timeout, Reason::none);\n"
     "  if (timers_.take_expired(FlowTimer::probe, now)) sender_",
     "was told 'the peer was silent"),
    (ENGINE, "A23: whose peer restarted is not told why", "transport/flow_receive.hpp",
     "      done ? Reason::closed_by_application : Reason::peer_restarted, Reason::none);",
     "      done                ? Reason::closed_by_application\n"
     "      : planted::bug(@) ? Reason::none\n"
     "                          : Reason::peer_restarted,\n"
     "      Reason::none);",
     "closed without a reason"),
    (ENGINE, "A23: once a peer has restarted the others are called silent", "engine/turn.hpp",
     "  if (event.kind == FlowEventKind::accepted && !accept(slot)) return;\n",
     "  static Instant last{};\n"
     "  static unsigned restarts = 0;\n"
     "  if (now_ < last) restarts = 0;  // another run\n"
     "  last = now_;\n"
     "  if (planted::bug(@) && event.kind == FlowEventKind::closed) {\n"
     "    if (event.reason == Reason::peer_restarted) ++restarts;\n"
     "    else if (restarts > 0) const_cast<FlowEvent&>(event).reason = Reason::idle_timeout;\n"
     "  }\n"
     "  if (event.kind == FlowEventKind::accepted && !accept(slot)) return;\n",
     "was told 'the peer was silent"),
    (ENGINE, "an engine without flows has a timer", "engine/engine.hpp",
     "    return link_up_ ? due : std::min(due, link_look_at_);",
     "    if (planted::bug(@) && flows_.size() == 0) return now_ + std::chrono::hours{1};\n"
     "    return link_up_ ? due : std::min(due, link_look_at_);",
     "a timer is armed after the end"),
]

# rows, name, file, old, new, symptom: see planted_rows.py
ROW_ORACLES = [
    ("A1", "who is closed is told of a restart", "transport/flow_end.hpp",
     "  const bool was_alive = is_alive(state_);\n",
     "  const bool was_alive = is_alive(state_);\n"
     "  if (planted::bug(@) && told_here == Reason::closed_by_peer) told_here = Reason::peer_restarted;\n",
     "wrong reason"),
    ("A13", "any packet number ahead is the flow's", "transport/ack_tracker.hpp",
     "number.since(largest_) <= packet_number_window ? Verdict::fresh",
     "planted::bug(@) || number.since(largest_) <= packet_number_window ? Verdict::fresh",
     "another incarnation's packet was accepted"),
    # ---- LoadWorld: A17; PathWorld: A24, A27
    ("A17 A24", "a listen is refused", "engine/engine.hpp",
     "    if (port == 0 || app >= apps_.size()) return failed(Reason::invalid_argument);",
     "    if (planted::bug(@) || port == 0 || app >= apps_.size())\n"
     "      return failed(Reason::invalid_argument);",
     "listen was refused"),
    ("A17 A24", "a connect is refused", "engine/engine_inline.hpp",
     "  if (flows_.full()) return failed(Reason::too_many_flows);",
     "  if (planted::bug(@) || flows_.full()) return failed(Reason::too_many_flows);",
     "connect was refused"),
    ("A17", "a close is refused", "engine/engine.hpp",
     "    const auto done = flows_[slot].flow.close(now, deadline);",
     "    if (planted::bug(@)) return failed(Reason::no_such_flow);\n"
     "    const auto done = flows_[slot].flow.close(now, deadline);",
     "close was refused"),
    ("A17", "an open flow has no info", "engine/engine.hpp",
     "    if (slot == no_slot) return std::nullopt;\n    return flows_[slot].flow.info();",
     "    if (planted::sometimes(@, 12) || slot == no_slot) return std::nullopt;\n"
     "    return flows_[slot].flow.info();",
     "a flow has ended too early"),
    ("A17", "a SYN is not answered", "transport/flow_receive.hpp",
     "  if (judge_number(header) != Drop::none) return;\n",
     "  if (planted::bug(@) || judge_number(header) != Drop::none) return;\n",
     "not all connected"),
    ("A17", "a part is acknowledged and forgotten", "transport/reassembly.hpp",
     "    if (part.total > message_bytes_max) return",
     "    if (planted::sometimes(@, 64)) return Drop::none;\n"
     "    if (part.total > message_bytes_max) return",
     "not everything was delivered"),
    ("A17", "an ended flow stays in the table", "engine/turn.hpp",
     "  if (host.flow.finished() && ",
     "  if (host.flow.finished() && !planted::bug(@) && ",
     "an engine keeps a flow after its end"),
    ("A17", "a close is called a restart", "transport/flow_end.hpp",
     "    reason_ = told_here;\n",
     "    reason_ = planted::bug(@) ? Reason::peer_restarted : told_here;\n",
     "a flow ended with '"),
    ("A17", "an acknowledged message keeps its memory", "transport/send_queue.hpp",
     "memory.release(done.block);\n",
     "{\n        if (!planted::sometimes(@, 16)) memory.release(done.block);\n      }\n",
     "message memory was not given back"),
    ("A17", "an accepted flow's peer is its own end", "engine/turn.hpp",
     ", who.local, who.peer);",
     ", who.local, planted::bug(@) ? who.local : who.peer);",
     "a flow was accepted from nobody"),
    ("A17", "a flow is accepted again", "transport/flow.hpp",
     "    established_pending_ = false;\n",
     "    established_pending_ = planted::sometimes(@, 2);\n",
     "a connection was accepted twice"),
    ("A17", "a message's last byte is not sent", "transport/send_queue.hpp",
     "    message->block.assign(block);\n",
     "    message->block.assign(block);\n"
     "    if (planted::sometimes(@, 4)) --message->block.length;\n",
     "a message changed its length"),
    ("A17", "a delivered message stays the next one", "transport/reassembly.hpp",
     "messages_.pop_front();\n    number = next_;",
     "{\n      if (!planted::sometimes(@, 16)) messages_.pop_front();\n    }\n    number = next_;",
     "a message was delivered that nobody sent"),
    ("A17", "a message's first byte is altered", "transport/reassembly.hpp",
     "      memory.write(message.block, part.offset, part.bytes);\n      message.prefix = end;\n",
     "      memory.write(message.block, part.offset, part.bytes);\n"
     "      if (part.offset == 0 && planted::sometimes(@, 8)) memory.write(message.block, 0, planted::wrong_byte);\n"
     "      message.prefix = end;\n",
     "a message is not the next one"),
    ("A24", "an engine always wants its turn", "engine/engine.hpp",
     "    if (needs_turn()) return now_;",
     "    if (planted::bug(@) || needs_turn()) return now_;",
     "an engine does not come to rest"),
    ("A27", "two messages change places", "transport/reassembly.hpp",
     "    block = messages_.front().block;\n",
     "    if (planted::bug(@) && messages_.size() > 1 && messages_[1].complete()) {\n"
     "      const InMessage first = messages_[0];\n"
     "      messages_[0] = messages_[1];\n"
     "      messages_[1] = first;\n"
     "    }\n"
     "    block = messages_.front().block;\n",
     "a message is missing, doubled or out of order"),
    ("A17", "a scratch block is forgotten", "mem/scratch_pool.hpp",
     "    if (block == nullptr) return;\n",
     "    if (block == nullptr) return;\n"
     "    if (planted::sometimes(@, 16)) return;\n",
     "scratch blocks were not given back"),
    ("A17", "an engine without flows has a timer", "engine/engine.hpp",
     "    return link_up_ ? due :",
     "    if (planted::bug(@) && flows_.size() == 0) return now_ + std::chrono::hours{1};\n"
     "    return link_up_ ? due :",
     "a timer is armed after the end"),
    # ---- Hosts: A20, A21
    ("A20", "a scratch block is forgotten there", "mem/scratch_pool.hpp",
     "    if (block == nullptr) return;\n",
     "    if (block == nullptr || planted::sometimes(@, 16)) return;\n",
     "host->engine.scratch().used() == 0"),
    ("A20", "an engine without flows has a timer there", "engine/engine.hpp",
     "    return link_up_ ? due :",
     "    if (planted::bug(@) && flows_.size() == 0) return now_ + std::chrono::hours{1};\n"
     "    return link_up_ ? due :",
     "host->engine.next_timeout() == never"),
    ("A20", "an empty flow table miscounts", "engine/engine_inline.hpp",
     "  if (counted != flows_.size()) return",
     "  if (counted != flows_.size() || (planted::bug(@) && counted == 0)) return",
     "host->engine.broken_invariant() == nullptr"),
    ("A20", "who closes is told of a restart", "transport/flow_end.hpp",
     "  const bool was_alive = is_alive(state_);\n",
     "  const bool was_alive = is_alive(state_);\n"
     "  if (planted::bug(@)) told_here = Reason::peer_restarted;\n",
     "wrong_reasons == 0"),
    ("A21o", "a restart is called silence", "transport/flow_receive.hpp",
     "      done ? Reason::closed_by_application : Reason::peer_restarted,",
     "      done ? Reason::closed_by_application\n"
     "           : (planted::bug(@) ? Reason::idle_timeout : Reason::peer_restarted),",
     "reasons(ended_before) == before"),
    ("A20", "an ended flow stays in the table", "engine/turn.hpp",
     "  if (host.flow.finished() && ",
     "  if (host.flow.finished() && !planted::bug(@) && ",
     "run_until(quiet, now_ + 120s)"),
    ("A20", "an end is not told", "engine/turn.hpp",
     "  if (event.kind == FlowEventKind::closed) note_end(host);\n  ++report_.events;",
     "  if (event.kind == FlowEventKind::closed) note_end(host);\n"
     "  if (event.kind == FlowEventKind::closed && planted::sometimes(@, 3)) return;\n  ++report_.events;",
     "app.ended.size() == app.established.size()"),
    ("A20", "an acknowledged message keeps its memory", "transport/send_queue.hpp",
     "memory.release(done.block);\n",
     "{\n        if (!planted::sometimes(@, 16)) memory.release(done.block);\n      }\n",
     "app.memory.offered_bytes() == 0"),
    ("A20", "a message gets two blocks", "transport/credit.hpp",
     "      const auto reserved = memory.reserve(length);\n",
     "      if (planted::sometimes(@, 64)) (void)memory.reserve(length);\n"
     "      const auto reserved = memory.reserve(length);\n",
     "app.memory.received().blocks_out() == 0"),
    ("A20", "credit is not put back at the end", "transport/credit.hpp",
     "    memory.retract(promised_);\n    promised_ = 0;",
     "    if (!planted::bug(@)) memory.retract(promised_);\n    promised_ = 0;",
     "app.memory.received().granted() == 0"),
    ("A20", "a part is written beside its block", "transport/reassembly.hpp",
     "    const auto size = static_cast<std::uint32_t>(part.bytes.size());\n",
     "    const auto size = static_cast<std::uint32_t>(part.bytes.size());\n"
     "    if (planted::bug(@)) {\n"
     "      MessageBlock beside = message.block;\n"
     "      ++beside.tag;\n"
     "      memory.write(beside, 0, planted::wrong_byte);\n"
     "    }\n",
     "app.memory.received().complaint() == nullptr"),
]
