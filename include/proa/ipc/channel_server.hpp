// L2: one application's channel as an engine of the sidecar serves it.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <proa/base/reason.hpp>
#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/ipc/channel_fault.hpp>
#include <proa/ipc/channel_memory.hpp>
#include <proa/ipc/layout.hpp>
#include <proa/ipc/lease_table.hpp>
#include <proa/ipc/ring.hpp>
#include <proa/ipc/server_flows.hpp>
#include <proa/ipc/shm.hpp>

namespace proa {

/// What a channel asks of its engine; `key` is the engine's name of a flow.
/// would_block and out_of_memory from submit mean "ask again next turn", as does true from
/// connect_waits(peer), which a sink may have.
template <class E>
concept ChannelSink = requires(E& sink, ChannelHandle handle, const Endpoint& peer,
                               Instant deadline, std::uint32_t key, const MessageBlock& block,
                               bool notify, FlowDetails& details) {
  { sink.connect(handle, peer, deadline) }
  noexcept->std::same_as<Expected<std::uint32_t>>;
  { sink.submit(key, block, notify) }
  noexcept->std::same_as<Expected<MessageNumber>>;
  { sink.close(key, deadline) }
  noexcept->std::same_as<void>;
  { sink.reset(key) }
  noexcept->std::same_as<void>;
  { sink.describe(key, details) }
  noexcept->std::same_as<bool>;
};

/// Everything the application writes is read once, checked, and only then used. Belongs to the
/// engine's thread; made and destroyed by the control thread. Construction may throw
/// std::bad_alloc; afterwards nothing allocates or throws.
class ChannelServer {
 public:
  /// The mappings have the sizes of `g`, which is possible(); `send` needs no write access.
  ChannelServer(const ChannelGeometry& g, SharedMapping send, SharedMapping receive, Doorbell bell)
      : geometry_(g),
        send_(std::move(send)),
        receive_(std::move(receive)),
        bell_(std::move(bell)),
        memory_(g, send_.data() + send_layout(g).arena_offset(),
                receive_.data() + receive_layout(g).arena_offset()),
        flows_(g.flows_max),
        leases_(g.leases_max) {
    auto* theirs = reinterpret_cast<const ChannelHead*>(send_.data());
    auto* own = reinterpret_cast<ChannelHead*>(receive_.data());
    requests_ =
        RingReader{reinterpret_cast<const RingSlot*>(send_.data() + RegionLayout::ring_offset),
                   g.request_slots, &own->reader};
    returns_ =
        RingReader{reinterpret_cast<const RingSlot*>(send_.data() + send_layout(g).second_offset()),
                   g.return_slots, &own->second_reader};
    events_ = RingWriter{reinterpret_cast<RingSlot*>(receive_.data() + RegionLayout::ring_offset),
                         g.event_slots, &theirs->reader};
    answers_ =
        RingWriter{reinterpret_cast<RingSlot*>(receive_.data() + receive_layout(g).second_offset()),
                   answer_slots, &theirs->second_reader};
    sleep_ = SleepFlag{&own->sleep};
    watch_ = SleepWatch{&theirs->sleep};
  }
  ChannelServer(const ChannelServer&) = delete;
  ChannelServer& operator=(const ChannelServer&) = delete;

  // --- requests ---

  /// Hands at most `budget` requests to `sink`; returns how many. Stops at one that cannot be
  /// served now and at the first fault.
  template <ChannelSink Sink>
  std::uint32_t pull(Sink& sink, std::uint32_t budget) noexcept {
    take_returns();
    std::uint32_t served = 0;
    SlotBody body;
    while (served < budget && serving_ && requests_.peek(body)) {
      const std::uint32_t slots = serve(sink, body);
      if (slots == 0) break;
      if (requests_.advance(slots)) done_.room = true;
      ++served;
    }
    return served;
  }

  // --- events; the caller asked room() before each ---

  [[nodiscard]] bool room() noexcept {
    if (!serving_) return true;  // nothing more is written: everything fits
    if (events_.room(slots_kept + 2) >= slots_kept + 2) return !leases_.full();
    if (events_.broken()) fail(ChannelFault::bad_counter);
    return !serving_;
  }
  /// A flow that a peer opened, by its new name; nothing when the channel can have no more.
  [[nodiscard]] std::optional<ChannelHandle> accept(std::uint32_t key, const Endpoint& local,
                                                    const Endpoint& peer) noexcept {
    if (!serving_ || events_.room() == 0) return std::nullopt;
    const auto handle = flows_.accept(key);
    if (!handle) return std::nullopt;
    std::byte* body = event(EventKindOnChannel::accepted, *handle);
    put_content(body, AcceptedEvent{ChannelEndpoint::of(local), ChannelEndpoint::of(peer)});
    write(1);
    return handle;
  }
  void deliver_connected(ChannelHandle handle) noexcept {
    if (!serving_) return;
    event(EventKindOnChannel::connected, handle);
    write(1);
  }
  /// Takes the block: it is the application's until the lease comes back, or copied and free again.
  void deliver_message(ChannelHandle handle, const MessageBlock& block) noexcept {
    if (!serving_) {
      memory_.release(block);
    } else if (block.length <= inline_two) {
      write(put_inline(handle, block));
      memory_.release(block);
    } else {
      std::byte* body = event(EventKindOnChannel::message_block, handle);
      put_content(
          body, MessageBlockEvent{memory_.offset_of(block), block.length, 0, leases_.lend(block)});
      write(1);
    }
  }
  void deliver_sent(ChannelHandle handle, MessageNumber number) noexcept {
    const ServerFlow* flow = flows_.find(handle);
    if (!serving_ || flow == nullptr) return;
    std::byte* body = event(EventKindOnChannel::sent, handle);
    put_content(body, NumberEvent{number.since(MessageNumber{flow->first_number})});
    write(1);
  }
  /// The last event of a flow: its name is free for another one from now on.
  void deliver_closed(ChannelHandle handle, Reason reason) noexcept {
    if (ServerFlow* flow = flows_.find(handle)) flows_.close(*flow);
    if (!serving_) return;
    put_head(events_.body(), {static_cast<std::uint8_t>(EventKindOnChannel::closed),
                              static_cast<std::uint8_t>(reason), 0, handle.value});
    write(1);
  }

  /// At the end of a turn: tells of progress where it is due, wakes the application if it sleeps.
  void publish() noexcept { publish_progress(false); }

  // --- sleeping ---

  /// Before the engine sleeps on descriptor(): tells everything, declares it. False: there is work.
  /// `wants_room`: events wait for room in the ring.
  [[nodiscard]] bool arm(bool wants_room) noexcept {
    if (!serving_) return true;
    publish_progress(true);
    sleep_.declare(wants_room);
    if (!has_requests() && !(wants_room && room())) return true;
    sleep_.awake();
    return false;
  }
  /// After waking; `rung`: the descriptor was readable, or nobody knows. False: the application's
  /// end of the doorbell is gone.
  bool disarm(bool rung = true) noexcept {
    sleep_.awake();
    return !rung || bell_.hush();
  }
  [[nodiscard]] int descriptor() const noexcept { return bell_.descriptor(); }
  /// For an engine that waits for this channel alone.
  void wait(Duration at_most) noexcept { bell_.wait(at_most); }
  [[nodiscard]] bool has_requests() const noexcept {
    return serving_ && (requests_.ready() || returns_.ready());
  }
  /// A request, not just a returned lease.
  [[nodiscard]] bool request_waits() const noexcept { return serving_ && requests_.ready(); }

  // --- the end ---

  /// The application is gone, or shall be treated as if: nothing is read or written any more, what
  /// it held is free. The engine gives back what it holds in its own time: see idle().
  void abandon() noexcept {
    serving_ = false;
    leases_.take_back_all([this](const MessageBlock& block) { memory_.release(block); });
  }
  [[nodiscard]] bool serving() const noexcept { return serving_; }
  [[nodiscard]] ChannelFault fault() const noexcept { return fault_; }
  /// May be destroyed: abandoned, and the engine holds nothing of it.
  [[nodiscard]] bool idle() const noexcept { return !serving_ && memory_.idle(); }

  [[nodiscard]] ChannelMemory& memory() noexcept { return memory_; }
  [[nodiscard]] const ChannelGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] std::uint32_t open_flows() const noexcept { return flows_.open_count(); }
  [[nodiscard]] std::uint32_t leases_out() const noexcept { return leases_.lent(); }
  [[nodiscard]] std::uint32_t requests_served() const noexcept { return requests_.read(); }
  [[nodiscard]] std::uint32_t events_written() const noexcept { return events_.written(); }

 private:
  static constexpr std::uint32_t slots_kept = 8;  // for progress, when messages fill the ring
  static constexpr std::uint64_t block_bytes_due = 64 * 1024;  // large blocks are wanted back hot

  void fail(ChannelFault fault) noexcept {
    if (fault_ == ChannelFault::none) fault_ = fault;
    abandon();
  }
  std::uint32_t refuse(ChannelFault fault) noexcept {
    fail(fault);
    return 0;
  }

  /// Any number may be written there; time before the clock's start is only trouble.
  static constexpr Instant deadline(std::int64_t ns) noexcept {
    return Instant{Duration{std::max<std::int64_t>(ns, 0)}};
  }

  template <ChannelSink Sink>
  std::uint32_t serve(Sink& sink, const SlotBody& body) noexcept {
    const SlotHead head = head_of(body);
    const ChannelHandle handle{head.handle};
    switch (static_cast<RequestKind>(head.kind)) {
      case RequestKind::connect:
        return serve_connect(sink, handle, content_of<ConnectRequest>(body));
      case RequestKind::submit_inline:
        return serve_inline(sink, head, body);
      case RequestKind::submit_block:
        return serve_block(sink, head, content_of<SubmitBlock>(body));
      case RequestKind::close:
        if (const ServerFlow* flow = flows_.find(handle))
          sink.close(flow->key, deadline(content_of<CloseRequest>(body).deadline_ns));
        return 1;
      case RequestKind::reset:
        if (const ServerFlow* flow = flows_.find(handle)) sink.reset(flow->key);
        return 1;
      case RequestKind::query:
        return serve_query(sink, handle, content_of<NumberEvent>(body).number);
      case RequestKind::none:
        break;
    }
    return refuse(ChannelFault::unknown_request);
  }

  template <ChannelSink Sink>
  std::uint32_t serve_connect(Sink& sink, ChannelHandle handle, const ConnectRequest& c) noexcept {
    if (!flows_.may_open(handle) || c.peer.port > 0xffff) return refuse(ChannelFault::bad_handle);
    if (events_.room(2) < 2) return 0;  // a refusal must be told
    if constexpr (requires { sink.connect_waits(c.peer.endpoint()); })
      if (sink.connect_waits(c.peer.endpoint())) return 0;
    ServerFlow* flow = flows_.open(handle, 0);
    const auto key = sink.connect(handle, c.peer.endpoint(), deadline(c.deadline_ns));
    if (key)
      flow->key = *key;
    else
      deliver_closed(handle, key.error());
    return 1;
  }

  template <ChannelSink Sink>
  std::uint32_t serve_inline(Sink& sink, const SlotHead& head, const SlotBody& body) noexcept {
    if (head.length > inline_two) return refuse(ChannelFault::bad_length);
    const std::uint32_t slots = head.length > inline_one ? 2 : 1;
    SlotBody more;
    if (slots == 2 && !requests_.peek(more, 1)) return 0;
    const auto block = memory_.sent_copy(ChannelHandle{head.handle}, head.length);
    if (!block) return refuse(ChannelFault::too_many_messages);
    const std::uint32_t first = std::min<std::uint32_t>(head.length, inline_one);
    std::memcpy(block->data, body.data() + sizeof(SlotHead), first);
    if (slots == 2) std::memcpy(block->data + first, more.data(), head.length - first);
    return submit(sink, head, *block) ? slots : 0;
  }

  template <ChannelSink Sink>
  std::uint32_t serve_block(Sink& sink, const SlotHead& head, const SubmitBlock& s) noexcept {
    if (s.length > geometry_.message_bytes_max || s.length > geometry_.send_bytes ||
        s.offset > geometry_.send_bytes - s.length)
      return refuse(ChannelFault::bad_range);
    const auto block = memory_.sent_block(ChannelHandle{head.handle}, s);
    if (!block) return refuse(ChannelFault::too_many_messages);
    return submit(sink, head, *block) ? 1 : 0;
  }

  /// False: the request stays in the ring and is tried again.
  template <ChannelSink Sink>
  bool submit(Sink& sink, const SlotHead& head, const MessageBlock& block) noexcept {
    ServerFlow* flow = flows_.find(ChannelHandle{head.handle});
    if (flow == nullptr) {  // it ended while the request was under way: the application is told
      memory_.release(block);
      return true;
    }
    const bool notify = (head.flags & submit_flag_notify) != 0;
    const auto number = sink.submit(flow->key, block, notify);
    if (number) {
      if (!flow->has_number) flow->first_number = number->wire();
      flow->has_number = true;
      return true;
    }
    if (is_passing(number.error())) {
      memory_.undo(block);
      return false;
    }
    memory_.release(block);
    if (number.error() != Reason::no_such_flow && number.error() != Reason::flow_closing)
      sink.reset(flow->key);  // a message that cannot be sent must not be skipped
    return true;
  }
  static constexpr bool is_passing(Reason reason) noexcept {
    return reason == Reason::would_block || reason == Reason::out_of_memory;
  }

  template <ChannelSink Sink>
  std::uint32_t serve_query(Sink& sink, ChannelHandle handle, std::uint32_t number) noexcept {
    if (answers_.room(2) < 2) return 1;  // a correct client has read the earlier answers
    const ServerFlow* flow = flows_.find(handle);
    FlowDetails details;
    const bool known = flow != nullptr && sink.describe(flow->key, details);
    put_head(answers_.body(), {0, 0, known ? std::uint16_t{1} : std::uint16_t{0}, number});
    const auto* from = reinterpret_cast<const std::byte*>(&details);
    std::memcpy(answers_.body() + sizeof(SlotHead), from, inline_one);
    std::memcpy(answers_.body(1), from + inline_one, inline_two - inline_one);
    answers_.publish(2);
    done_.events = true;
    return 1;
  }

  void take_returns() noexcept {
    SlotBody body;
    // One lap at most: who fills the ring as fast as it is emptied does not hold the engine.
    for (std::uint32_t n = geometry_.return_slots; n > 0 && serving_ && returns_.peek(body); --n) {
      const SlotHead head = head_of(body);
      if (head.length > leases_per_slot) return fail(ChannelFault::bad_length);
      const auto names = content_of<std::array<LeaseName, leases_per_slot>>(body);
      for (std::uint32_t i = 0; i < head.length; ++i) {
        const auto block = leases_.take_back(names[i]);
        if (!block) return fail(ChannelFault::bad_lease);
        memory_.release(*block);
      }
      if (returns_.advance()) done_.room = true;
    }
  }

  // --- writing events ---

  std::byte* event(EventKindOnChannel kind, ChannelHandle handle,
                   std::uint32_t length = 0) noexcept {
    std::byte* body = events_.body();
    put_head(body, {static_cast<std::uint8_t>(kind), 0, static_cast<std::uint16_t>(length),
                    handle.value});
    return body;
  }
  void write(std::uint32_t slots) noexcept {
    events_.publish(slots);
    done_.events = true;
  }
  std::uint32_t put_inline(ChannelHandle handle, const MessageBlock& block) noexcept {
    std::byte* body = event(EventKindOnChannel::message_inline, handle, block.length);
    const std::uint32_t first = std::min(block.length, inline_one);
    std::memcpy(body + sizeof(SlotHead), block.data, first);
    if (first == block.length) return 1;
    std::memcpy(events_.body(1), block.data + first, block.length - first);
    return 2;
  }

  // --- progress ---

  void publish_progress(bool all) noexcept {
    if (serving_) {
      const bool wanted = watch_.wants_progress();
      SendReleases& r = memory_.releases();
      const std::uint32_t blocks = static_cast<std::uint32_t>(r.block_ids.size());
      if (blocks != 0 &&
          (all || wanted || blocks >= block_ids_per_slot || r.block_bytes >= block_bytes_due))
        tell_blocks();
      const std::uint32_t inlines = static_cast<std::uint32_t>(r.flows.size());
      if (inlines != 0 && (all || wanted || inlines >= inline_due())) tell_inline();
    }
    if (watch_.must_ring(std::exchange(done_, Published{}))) bell_.ring();
  }
  [[nodiscard]] std::uint32_t inline_due() const noexcept {
    return std::max(1U, std::min(geometry_.flow_messages_max, geometry_.inline_messages_max) / 8);
  }

  void tell_blocks() noexcept {
    SendReleases& r = memory_.releases();
    while (!r.block_ids.empty() && events_.room() > 0) {
      std::array<std::uint32_t, block_ids_per_slot> ids{};
      const auto n = std::min<std::uint32_t>(block_ids_per_slot,
                                             static_cast<std::uint32_t>(r.block_ids.size()));
      for (std::uint32_t i = 0; i < n; ++i) ids[i] = r.block_ids.pop();
      put_content(event(EventKindOnChannel::blocks_released, {}, n), ids);
      memory_.told_blocks(n);
      events_.publish(1);
      done_.progress = true;
    }
    if (r.block_ids.empty()) r.block_bytes = 0;
  }

  /// Adds the releases up per flow, six flows per slot.
  void tell_inline() noexcept {
    FixedRing<std::uint32_t>& names = memory_.releases().flows;
    while (!names.empty() && events_.room() > 0) {
      ProgressEvent progress;
      std::uint32_t flows = 0;
      std::array<ServerFlow*, progress_per_slot> listed{};
      while (!names.empty()) {
        ServerFlow* flow = flows_.find(ChannelHandle{names.front()});
        if (flow != nullptr && !flow->progress_due) {
          if (flows == progress_per_slot) break;
          flow->progress_due = true;
          listed[flows++] = flow;
        }
        if (flow != nullptr) ++flow->inline_released;
        ++inline_told_;
        memory_.told_inline(1);
        static_cast<void>(names.pop());
      }
      progress.inline_released = inline_told_;
      for (std::uint32_t i = 0; i < flows; ++i) {
        progress.flows[i] = {listed[i]->handle, listed[i]->inline_released};
        listed[i]->progress_due = false;
      }
      put_content(event(EventKindOnChannel::progress, {}, flows), progress);
      events_.publish(1);
      done_.progress = true;
    }
  }

  ChannelGeometry geometry_;
  SharedMapping send_;
  SharedMapping receive_;
  Doorbell bell_;
  ChannelMemory memory_;
  ServerFlows flows_;
  LeaseTable leases_;
  RingReader requests_;
  RingReader returns_;
  RingWriter events_;
  RingWriter answers_;
  SleepFlag sleep_;
  SleepWatch watch_;
  std::uint32_t inline_told_ = 0;  // cumulative
  ChannelFault fault_ = ChannelFault::none;
  bool serving_ = true;
  Published done_;
};

}  // namespace proa
