// L2: an application's end of a channel: what Stack<Sidecar> stands on.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include <proa/base/fixed_ring.hpp>
#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/ipc/client_flows.hpp>
#include <proa/ipc/client_memory.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/ipc/ring.hpp>
#include <proa/ipc/shm.hpp>

namespace proa {

/// In the order of the public EventKind.
enum class ChannelEventKind : std::uint8_t { accepted, connected, message, sent, writable, closed };

struct ChannelEvent {
  ChannelEventKind kind = ChannelEventKind::closed;
  Reason reason = Reason::none;
  ChannelHandle flow;
  MessageNumber number;  // message: of this one; sent: of the newest known to be received
  MessageBlock message;  // message: the receiver's, to be given to ClientMemory::release
  Endpoint local, peer;  // accepted
};

/// Requests wait in the ring until flush(); the sidecar may serve them earlier. It keeps the books
/// that make a correct application's requests always welcome: would_block is decided here. It
/// trusts the sidecar with the truth of messages, not with its memory: every value is checked, and
/// an impossible one ends the channel like the sidecar's exit does, with `stack_closed`.
/// Threading: one thread. Nothing allocates or throws after construction (std::bad_alloc).
class ChannelClient {
 public:
  ChannelClient(ClientMemory& memory, Doorbell bell)
      : memory_(memory),
        bell_(std::move(bell)),
        flows_(memory.geometry().flows_max),
        sent_(memory.geometry().blocks_max),
        ends_(flows_.slots()),
        blocked_(flows_.slots()) {
    const ChannelGeometry& g = memory.geometry();
    auto* own = reinterpret_cast<ChannelHead*>(memory.send_region());
    const auto* theirs = reinterpret_cast<const ChannelHead*>(memory.receive_region());
    requests_ =
        RingWriter{reinterpret_cast<RingSlot*>(memory.send_region() + RegionLayout::ring_offset),
                   g.request_slots, &theirs->reader};
    returns_ = RingWriter{
        reinterpret_cast<RingSlot*>(memory.send_region() + send_layout(g).second_offset()),
        g.return_slots, &theirs->second_reader};
    events_ = RingReader{
        reinterpret_cast<const RingSlot*>(memory.receive_region() + RegionLayout::ring_offset),
        g.event_slots, &own->reader};
    answers_ = RingReader{reinterpret_cast<const RingSlot*>(memory.receive_region() +
                                                            receive_layout(g).second_offset()),
                          answer_slots, &own->second_reader};
    sleep_ = SleepFlag{&own->sleep};
    watch_ = SleepWatch{&theirs->sleep};
  }
  ChannelClient(const ChannelClient&) = delete;
  ChannelClient& operator=(const ChannelClient&) = delete;

  // --- requests ---

  /// Returns at once; messages may be sent on the flow right away. connected or closed follows.
  [[nodiscard]] Expected<ChannelHandle> connect(const Endpoint& peer, Instant deadline) noexcept {
    if (lost_) return failed(Reason::stack_closed);
    if (!request_room(1)) return failed(Reason::would_block);
    ClientFlow* flow = flows_.connect();
    if (flow == nullptr) return failed(Reason::too_many_flows);
    const ChannelHandle handle{flow->handle};
    put_content(request(RequestKind::connect, handle),
                ConnectRequest{deadline.time_since_epoch().count(), ChannelEndpoint::of(peer), 0});
    write(1);
    return handle;
  }

  /// Copies. All or nothing; on would_block one writable event follows when so much fits.
  [[nodiscard]] Expected<MessageNumber> send(ChannelHandle handle, std::span<const std::byte> bytes,
                                             bool notify) noexcept {
    const auto flow = may_send(handle, bytes.size());
    if (!flow) return failed(flow.error());
    const auto length = static_cast<std::uint32_t>(bytes.size());
    if (goes_inline(length)) {
      if (!fits_inline(**flow, length)) return refuse(**flow, length);
      return put_inline(**flow, bytes, notify);
    }
    if (!fits_block(**flow, length)) return refuse(**flow, length);
    const auto block = memory_.allocate_send(length);
    if (!block) return refuse(**flow, length);
    std::memcpy(block->data, bytes.data(), length);
    return put_block(**flow, *block, notify);
  }

  /// Sends a block from ClientMemory::allocate_send without a copy; it stays the caller's on error.
  [[nodiscard]] Expected<MessageNumber> send_block(ChannelHandle handle, const MessageBlock& block,
                                                   bool notify) noexcept {
    const auto flow = may_send(handle, block.length);
    if (!flow) return failed(flow.error());
    if (goes_inline(block.length)) {
      if (!fits_inline(**flow, block.length)) return refuse(**flow, block.length);
      const auto number = put_inline(**flow, {block.data, block.length}, notify);
      memory_.release(block);
      return number;
    }
    if (!fits_block(**flow, block.length)) return refuse(**flow, block.length);
    return put_block(**flow, block, notify);
  }

  /// Everything sent goes out first, until `deadline`; closed follows.
  [[nodiscard]] Expected<void> close(ChannelHandle handle, Instant deadline) noexcept {
    ClientFlow* flow = flows_.find(handle);
    if (flow == nullptr) return failed(Reason::no_such_flow);
    if (flow->closing) return failed(Reason::flow_closing);
    flow->close_deadline_ns = deadline.time_since_epoch().count();
    return end(*flow, ClientFlow::End::close);
  }
  /// Ends the flow at once; closed follows.
  [[nodiscard]] Expected<void> reset(ChannelHandle handle) noexcept {
    ClientFlow* flow = flows_.find(handle);
    if (flow == nullptr) return failed(Reason::no_such_flow);
    return end(*flow, ClientFlow::End::reset);
  }

  /// What the sidecar knows of a flow. Waits for its answer, at most `limit`, or for the ring.
  [[nodiscard]] Expected<FlowDetails> query(ChannelHandle handle, Duration limit) noexcept {
    if (lost_) return failed(Reason::stack_closed);
    if (flows_.find(handle) == nullptr) return failed(Reason::no_such_flow);
    if (!request_room(1)) return failed(Reason::would_block);
    const NumberEvent number{++queries_};
    put_content(request(RequestKind::query, handle), number);
    write(1);
    flush();
    for (Duration waited{}; waited < limit; waited += query_look) {
      if (auto answer = take_answer(number.number)) return *answer;
      if (answered_) return failed(Reason::no_such_flow);
      bell_.wait(query_look);
    }
    return failed(Reason::timed_out);
  }

  // --- events ---

  /// The next event, if there is one. Returns leases on the way.
  [[nodiscard]] bool poll(ChannelEvent& out) noexcept {
    SlotBody body;
    while (!lost_ && events_.peek(body)) {
      bool is_event = false;
      const std::uint32_t slots = read_event(body, out, is_event);
      if (slots == 0) break;
      if (events_.advance(slots)) done_.room = true;
      if (is_event) return true;
    }
    hand_over();
    if (lost_) return next_lost(out);
    return blocked_.empty() ? false : next_writable(out);
  }

  /// Makes the sidecar look if it sleeps. At the end of a batch of calls.
  void flush() noexcept {
    hand_over();
    if (watch_.must_ring(std::exchange(done_, Published{}))) bell_.ring();
  }

  // --- sleeping ---

  /// Before waiting on descriptor(): false means that events wait already. Undone by disarm().
  [[nodiscard]] bool arm() noexcept {
    flush();
    sleep_.declare(!blocked_.empty() || !memory_.returns().empty() || !ends_.empty());
    if (!lost_ && !events_.ready() && !any_writable()) return true;
    sleep_.awake();
    return false;
  }
  /// After waking, or instead. Finds out whether the sidecar is still there.
  void disarm() noexcept {
    sleep_.awake();
    if (!lost_ && !bell_.hush()) lose();
  }
  /// Sleeps at most `at_most`, unless events wait.
  void wait(Duration at_most) noexcept {
    if (!arm()) return;
    bell_.wait(at_most);
    disarm();
  }
  /// For those who never sleep: now and then, to notice that the sidecar is gone.
  void check() noexcept {
    if (!lost_ && !bell_.hush()) lose();
  }
  [[nodiscard]] int descriptor() const noexcept { return bell_.descriptor(); }

  /// The sidecar is gone or broke the protocol: closed(stack_closed) comes for every open flow.
  [[nodiscard]] bool lost() const noexcept { return lost_; }
  [[nodiscard]] std::uint32_t closing_flows() const noexcept { return flows_.closing_count(); }
  /// What the application has under way on a flow.
  [[nodiscard]] const ClientFlow* find(ChannelHandle handle) noexcept {
    return flows_.find(handle);
  }
  [[nodiscard]] std::uint32_t open_flows() const noexcept { return flows_.open_count(); }

 private:
  static constexpr Duration query_look = std::chrono::microseconds{20};

  void lose() noexcept { lost_ = true; }
  std::uint32_t distrust() noexcept {
    lose();
    return 0;
  }

  // --- writing requests ---

  [[nodiscard]] bool request_room(std::uint32_t slots) noexcept {
    if (requests_.room(slots) >= slots) return true;
    if (requests_.broken()) lose();
    return false;
  }
  std::byte* request(RequestKind kind, ChannelHandle handle, std::uint8_t flags = 0,
                     std::uint32_t length = 0) noexcept {
    std::byte* body = requests_.body();
    put_head(body, {static_cast<std::uint8_t>(kind), flags, static_cast<std::uint16_t>(length),
                    handle.value});
    return body;
  }
  void write(std::uint32_t slots) noexcept {
    requests_.publish(slots);
    done_.events = true;
  }

  [[nodiscard]] Expected<ClientFlow*> may_send(ChannelHandle handle, std::size_t bytes) noexcept {
    if (lost_) return failed(Reason::stack_closed);
    ClientFlow* flow = flows_.find(handle);
    if (flow == nullptr) return failed(Reason::no_such_flow);
    if (flow->closing) return failed(Reason::flow_closing);
    if (bytes > memory_.geometry().message_bytes_max) return failed(Reason::message_too_large);
    return flow;
  }
  [[nodiscard]] bool goes_inline(std::uint32_t length) const noexcept {
    return length <= inline_two && inline_sent_ - inline_released_ < inline_max();
  }
  [[nodiscard]] std::uint32_t inline_max() const noexcept {
    return memory_.geometry().inline_messages_max;
  }
  /// At most what the engine counts: which inline message was acknowledged is not known.
  [[nodiscard]] static std::uint64_t bytes_out(const ClientFlow& flow) noexcept {
    return flow.bytes_out + std::uint64_t{flow.inline_sent - flow.inline_released} * inline_two;
  }
  [[nodiscard]] bool fits_inline(const ClientFlow& flow, std::uint32_t length) noexcept {
    const ChannelGeometry& g = memory_.geometry();
    return flow.messages_out() < g.flow_messages_max &&
           bytes_out(flow) + length <= g.flow_bytes_max &&
           request_room(length > inline_one ? 2 : 1);
  }
  [[nodiscard]] bool fits_block(const ClientFlow& flow, std::uint32_t length) noexcept {
    const ChannelGeometry& g = memory_.geometry();
    const bool bytes_fit = flow.messages_out() == 0 || bytes_out(flow) + length <= g.flow_bytes_max;
    return bytes_fit && flow.messages_out() < g.flow_messages_max && !sent_.full() &&
           request_room(1);
  }

  tl::unexpected<Reason> refuse(ClientFlow& flow, std::uint32_t length) noexcept {
    flow.wanted = length;
    flow.blocked = true;
    if (!flow.listed) flow.listed = blocked_.push(flows_.slot_of(flow));
    sleep_.want_progress(true);
    return failed(lost_ ? Reason::stack_closed : Reason::would_block);
  }

  MessageNumber put_inline(ClientFlow& flow, std::span<const std::byte> bytes,
                           bool notify) noexcept {
    const auto length = static_cast<std::uint32_t>(bytes.size());
    const std::uint32_t first = std::min(length, inline_one);
    std::byte* body = request(RequestKind::submit_inline, {flow.handle},
                              notify ? submit_flag_notify : std::uint8_t{0}, length);
    if (first > 0) std::memcpy(body + sizeof(SlotHead), bytes.data(), first);
    if (length > first) std::memcpy(requests_.body(1), bytes.data() + first, length - first);
    write(length > first ? 2 : 1);
    ++flow.inline_sent;
    ++inline_sent_;
    return MessageNumber{flow.submitted++};
  }
  MessageNumber put_block(ClientFlow& flow, const MessageBlock& block, bool notify) noexcept {
    const ChannelHandle handle{flow.handle};
    const std::uint32_t id = sent_.add(block.tag, block.length, handle);
    put_content(
        request(RequestKind::submit_block, handle, notify ? submit_flag_notify : std::uint8_t{0}),
        SubmitBlock{block.tag, block.length, id});
    write(1);
    ++flow.blocks_out;
    flow.bytes_out += block.length;
    return MessageNumber{flow.submitted++};
  }

  /// What had to wait for room.
  void hand_over() noexcept {
    if (!memory_.returns().empty()) return_leases();
    if (!ends_.empty()) request_ends();
  }
  void return_leases() noexcept {
    FixedRing<LeaseName>& returns = memory_.returns();
    while (!lost_ && !returns.empty() && returns_.room() > 0) {
      std::array<LeaseName, leases_per_slot> names{};
      std::uint32_t n = 0;
      while (n < leases_per_slot && !returns.empty()) names[n++] = returns.pop();
      put_head(returns_.body(), {0, 0, static_cast<std::uint16_t>(n), 0});
      put_content(returns_.body(), names);
      returns_.publish();
      done_.events = true;
    }
    if (returns_.broken()) lose();
  }

  Expected<void> end(ClientFlow& flow, ClientFlow::End how) noexcept {
    flows_.mark_closing(flow);
    flow.end = how;
    if (!flow.end_listed) flow.end_listed = ends_.push(flows_.slot_of(flow));
    request_ends();
    return {};
  }
  /// In the order they were asked for, as far as the ring has room.
  void request_ends() noexcept {
    while (!ends_.empty() && request_room(1)) {
      ClientFlow& flow = flows_.slot(ends_.pop());
      flow.end_listed = false;
      if (flow.end == ClientFlow::End::close)
        put_content(request(RequestKind::close, {flow.handle}),
                    CloseRequest{flow.close_deadline_ns});
      else if (flow.end == ClientFlow::End::reset)
        request(RequestKind::reset, {flow.handle});
      else
        continue;  // it has ended by itself
      write(1);
      flow.end = ClientFlow::End::none;
    }
  }

  /// The answer to that query; answers to earlier ones, given up, are dropped. `answered_`: it
  /// came.
  std::optional<FlowDetails> take_answer(std::uint32_t number) noexcept {
    SlotBody first, second;
    answered_ = false;
    while (!answered_ && answers_.peek(first) && answers_.peek(second, 1)) {
      answers_.advance(2);
      const SlotHead head = head_of(first);
      answered_ = head.handle == number;
      if (!answered_ || head.length == 0) continue;
      FlowDetails details;
      auto* to = reinterpret_cast<std::byte*>(&details);
      std::memcpy(to, first.data() + sizeof(SlotHead), inline_one);
      std::memcpy(to + inline_one, second.data(), inline_two - inline_one);
      return details;
    }
    return std::nullopt;
  }

  // --- reading events: returns the slots used, 0 if it cannot be read now or ever ---

  std::uint32_t read_event(const SlotBody& body, ChannelEvent& out, bool& is_event) noexcept {
    const SlotHead head = head_of(body);
    const auto kind = static_cast<EventKindOnChannel>(head.kind);
    if (kind == EventKindOnChannel::progress) return take_progress(head, body);
    if (kind == EventKindOnChannel::blocks_released) return take_blocks(head, body);
    is_event = true;
    out = ChannelEvent{};
    out.flow = ChannelHandle{head.handle};
    if (kind == EventKindOnChannel::accepted) return take_accepted(body, out);
    ClientFlow* flow = flows_.find(out.flow);
    if (flow == nullptr) return distrust();
    switch (kind) {
      case EventKindOnChannel::connected:
        out.kind = ChannelEventKind::connected;
        return 1;
      case EventKindOnChannel::message_inline:
        return take_inline(*flow, head, body, out);
      case EventKindOnChannel::message_block:
        return take_block(*flow, body, out);
      case EventKindOnChannel::sent:
        out.kind = ChannelEventKind::sent;
        out.number = MessageNumber{content_of<NumberEvent>(body).number};
        return 1;
      case EventKindOnChannel::closed:
        out.kind = ChannelEventKind::closed;
        out.reason = static_cast<Reason>(head.flags);
        flows_.close(*flow);
        return 1;
      default:
        return distrust();
    }
  }

  std::uint32_t take_accepted(const SlotBody& body, ChannelEvent& out) noexcept {
    if (flows_.accept(out.flow) == nullptr) return distrust();
    const auto accepted = content_of<AcceptedEvent>(body);
    out.kind = ChannelEventKind::accepted;
    out.local = accepted.local.endpoint();
    out.peer = accepted.peer.endpoint();
    return 1;
  }
  std::uint32_t take_inline(ClientFlow& flow, const SlotHead& head, const SlotBody& body,
                            ChannelEvent& out) noexcept {
    if (head.length > inline_two) return distrust();
    const std::uint32_t first = std::min<std::uint32_t>(head.length, inline_one);
    SlotBody more;
    if (head.length > first && !events_.peek(more, 1)) return 0;
    const auto block =
        memory_.copy({body.data() + sizeof(SlotHead), first}, {more.data(), head.length - first});
    if (!block) return 0;  // the application holds tens of thousands of messages: later
    out.kind = ChannelEventKind::message;
    out.message = *block;
    out.number = MessageNumber{flow.received++};
    return head.length > first ? 2 : 1;
  }
  std::uint32_t take_block(ClientFlow& flow, const SlotBody& body, ChannelEvent& out) noexcept {
    const auto block = memory_.lease(content_of<MessageBlockEvent>(body));
    if (!block) return distrust();
    out.kind = ChannelEventKind::message;
    out.message = *block;
    out.number = MessageNumber{flow.received++};
    return 1;
  }

  std::uint32_t take_progress(const SlotHead& head, const SlotBody& body) noexcept {
    const auto progress = content_of<ProgressEvent>(body);
    if (head.length > progress_per_slot) return distrust();
    if (progress.inline_released - inline_released_ > inline_sent_ - inline_released_)
      return distrust();
    inline_released_ = progress.inline_released;
    for (std::uint32_t i = 0; i < head.length; ++i) {
      ClientFlow* flow = flows_.find(ChannelHandle{progress.flows[i].handle});
      if (flow == nullptr) continue;  // it has ended
      const std::uint32_t released = progress.flows[i].inline_released;
      if (released - flow->inline_released > flow->inline_sent - flow->inline_released)
        return distrust();
      flow->inline_released = released;
    }
    return 1;
  }
  std::uint32_t take_blocks(const SlotHead& head, const SlotBody& body) noexcept {
    if (head.length > block_ids_per_slot) return distrust();
    const auto ids = content_of<std::array<std::uint32_t, block_ids_per_slot>>(body);
    for (std::uint32_t i = 0; i < head.length; ++i) {
      const auto block = sent_.take(ids[i]);
      if (!block || !memory_.send_arena().release(block->offset)) return distrust();
      if (ClientFlow* flow = flows_.find(ChannelHandle{block->handle})) {
        --flow->blocks_out;
        flow->bytes_out -= block->length;
      }
    }
    return 1;
  }

  // --- writable, and the end ---

  [[nodiscard]] bool fits_now(const ClientFlow& flow) noexcept {
    if (goes_inline(flow.wanted)) return fits_inline(flow, flow.wanted);
    if (!fits_block(flow, flow.wanted)) return false;
    const auto trial = memory_.send_arena().allocate(flow.wanted);
    return trial && memory_.send_arena().release(*trial);
  }
  [[nodiscard]] bool next_writable(ChannelEvent& out) noexcept {
    for (std::size_t n = std::min<std::size_t>(blocked_.size(), 8); n > 0; --n) {
      const std::uint32_t slot = blocked_.pop();
      ClientFlow& flow = flows_.slot(slot);
      flow.listed = flow.open && flow.blocked;
      if (!flow.listed) continue;
      if (!fits_now(flow)) {
        static_cast<void>(blocked_.push(slot));  // each slot is listed once: it fits
        continue;
      }
      flow.listed = flow.blocked = false;
      if (blocked_.empty()) sleep_.want_progress(false);
      out = ChannelEvent{};
      out.kind = ChannelEventKind::writable;
      out.flow = ChannelHandle{flow.handle};
      return true;
    }
    if (blocked_.empty()) sleep_.want_progress(false);
    return false;
  }
  [[nodiscard]] bool any_writable() noexcept {
    for (std::size_t i = 0; i < blocked_.size(); ++i) {
      const ClientFlow& flow = flows_.slot(blocked_[i]);
      if (flow.open && flow.blocked && fits_now(flow)) return true;
    }
    return false;
  }
  [[nodiscard]] bool next_lost(ChannelEvent& out) noexcept {
    while (flows_.open_count() > 0 && lost_cursor_ < flows_.slots()) {
      ClientFlow& flow = flows_.slot(lost_cursor_++);
      if (!flow.open) continue;
      out = ChannelEvent{};
      out.reason = Reason::stack_closed;
      out.flow = ChannelHandle{flow.handle};
      flows_.close(flow);
      return true;
    }
    return false;
  }

  ClientMemory& memory_;
  Doorbell bell_;
  ClientFlows flows_;
  SentBlocks sent_;
  FixedRing<std::uint32_t> ends_;     // slots of flows whose end is still to be requested
  FixedRing<std::uint32_t> blocked_;  // slots of flows that wait to be writable
  RingWriter requests_;
  RingWriter returns_;
  RingReader events_;
  RingReader answers_;
  SleepFlag sleep_;
  SleepWatch watch_;
  Published done_;
  std::uint32_t inline_sent_ = 0;      // cumulative, all flows
  std::uint32_t inline_released_ = 0;  // cumulative, as told
  std::uint32_t lost_cursor_ = 0;
  std::uint32_t queries_ = 0;
  bool answered_ = false;
  bool lost_ = false;
};

}  // namespace proa
