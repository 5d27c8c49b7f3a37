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
/// would_block and out_of_memory from submit mean "ask again next turn".
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
  std::uint32_t pull(Sink& sink, std::uint32_t budget) noexcept;

  // --- events; the caller asked room() before each ---

  [[nodiscard]] bool room() noexcept;
  /// A flow that a peer opened, by its new name; nothing when the channel can have no more.
  [[nodiscard]] std::optional<ChannelHandle> accept(std::uint32_t key, const Endpoint& local,
                                                    const Endpoint& peer) noexcept;
  void deliver_connected(ChannelHandle handle) noexcept;
  /// Takes the block: it is the application's until the lease comes back, or copied and free again.
  void deliver_message(ChannelHandle handle, const MessageBlock& block) noexcept;
  void deliver_sent(ChannelHandle handle, MessageNumber number) noexcept;
  /// The last event of a flow: its name is free for another one from now on.
  void deliver_closed(ChannelHandle handle, Reason reason) noexcept;

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
  std::uint32_t serve(Sink& sink, const SlotBody& body) noexcept;

  template <ChannelSink Sink>
  std::uint32_t serve_connect(Sink& sink, ChannelHandle handle, const ConnectRequest& c) noexcept;

  template <ChannelSink Sink>
  std::uint32_t serve_inline(Sink& sink, const SlotHead& head, const SlotBody& body) noexcept;

  template <ChannelSink Sink>
  std::uint32_t serve_block(Sink& sink, const SlotHead& head, const SubmitBlock& s) noexcept;

  /// False: the request stays in the ring and is tried again.
  template <ChannelSink Sink>
  bool submit(Sink& sink, const SlotHead& head, const MessageBlock& block) noexcept;
  static constexpr bool is_passing(Reason reason) noexcept {
    return reason == Reason::would_block || reason == Reason::out_of_memory;
  }

  template <ChannelSink Sink>
  std::uint32_t serve_query(Sink& sink, ChannelHandle handle, std::uint32_t number) noexcept;

  void take_returns() noexcept;

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
  std::uint32_t put_inline(ChannelHandle handle, const MessageBlock& block) noexcept;

  // --- progress ---

  void publish_progress(bool all) noexcept;
  [[nodiscard]] std::uint32_t inline_due() const noexcept {
    return std::max(1U, std::min(geometry_.flow_messages_max, geometry_.inline_messages_max) / 8);
  }

  void tell_blocks() noexcept;

  /// Adds the releases up per flow, six flows per slot.
  void tell_inline() noexcept;

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

// The out-of-line halves; include only this header.
#include <proa/ipc/channel_server_events.hpp>    // IWYU pragma: export
#include <proa/ipc/channel_server_requests.hpp>  // IWYU pragma: export
