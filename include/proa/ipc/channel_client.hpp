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
  [[nodiscard]] Expected<ChannelHandle> connect(const Endpoint& peer, Instant deadline) noexcept;

  /// Copies. All or nothing; on would_block one writable event follows when so much fits.
  [[nodiscard]] Expected<MessageNumber> send(ChannelHandle handle, std::span<const std::byte> bytes,
                                             bool notify) noexcept;

  /// Sends a block from ClientMemory::allocate_send without a copy; it stays the caller's on error.
  [[nodiscard]] Expected<MessageNumber> send_block(ChannelHandle handle, const MessageBlock& block,
                                                   bool notify) noexcept;

  /// Everything sent goes out first, until `deadline`; closed follows.
  [[nodiscard]] Expected<void> close(ChannelHandle handle, Instant deadline) noexcept;
  /// Ends the flow at once; closed follows.
  [[nodiscard]] Expected<void> reset(ChannelHandle handle) noexcept;

  /// What the sidecar knows of a flow. Waits for its answer, at most `limit`, or for the ring.
  [[nodiscard]] Expected<FlowDetails> query(ChannelHandle handle, Duration limit) noexcept;

  // --- events ---

  /// The next event, if there is one. Returns leases on the way.
  [[nodiscard]] bool poll(ChannelEvent& out) noexcept;

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

  [[nodiscard]] bool request_room(std::uint32_t slots) noexcept;
  std::byte* request(RequestKind kind, ChannelHandle handle, std::uint8_t flags = 0,
                     std::uint32_t length = 0) noexcept;
  void write(std::uint32_t slots) noexcept {
    requests_.publish(slots);
    done_.events = true;
  }

  [[nodiscard]] Expected<ClientFlow*> may_send(ChannelHandle handle, std::size_t bytes) noexcept;
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
  [[nodiscard]] bool fits_inline(const ClientFlow& flow, std::uint32_t length) noexcept;
  [[nodiscard]] bool fits_block(const ClientFlow& flow, std::uint32_t length) noexcept;

  tl::unexpected<Reason> refuse(ClientFlow& flow, std::uint32_t length) noexcept;

  MessageNumber put_inline(ClientFlow& flow, std::span<const std::byte> bytes,
                           bool notify) noexcept;
  MessageNumber put_block(ClientFlow& flow, const MessageBlock& block, bool notify) noexcept;

  /// What had to wait for room.
  void hand_over() noexcept;
  void return_leases() noexcept;

  Expected<void> end(ClientFlow& flow, ClientFlow::End how) noexcept;
  /// In the order they were asked for, as far as the ring has room.
  void request_ends() noexcept;

  /// The answer to that query; answers to earlier ones, given up, are dropped. `answered_`: it
  /// came.
  std::optional<FlowDetails> take_answer(std::uint32_t number) noexcept;

  // --- reading events: returns the slots used, 0 if it cannot be read now or ever ---

  std::uint32_t read_event(const SlotBody& body, ChannelEvent& out, bool& is_event) noexcept;

  std::uint32_t take_accepted(const SlotBody& body, ChannelEvent& out) noexcept;
  std::uint32_t take_inline(ClientFlow& flow, const SlotHead& head, const SlotBody& body,
                            ChannelEvent& out) noexcept;
  std::uint32_t take_block(ClientFlow& flow, const SlotBody& body, ChannelEvent& out) noexcept;

  std::uint32_t take_progress(const SlotHead& head, const SlotBody& body) noexcept;
  std::uint32_t take_blocks(const SlotHead& head, const SlotBody& body) noexcept;

  // --- writable, and the end ---

  [[nodiscard]] bool fits_now(const ClientFlow& flow) noexcept;
  [[nodiscard]] bool next_writable(ChannelEvent& out) noexcept;
  [[nodiscard]] bool any_writable() noexcept;
  [[nodiscard]] bool next_lost(ChannelEvent& out) noexcept;

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

// The out-of-line halves; include only this header.
#include <proa/ipc/channel_client_events.hpp>    // IWYU pragma: export
#include <proa/ipc/channel_client_requests.hpp>  // IWYU pragma: export
