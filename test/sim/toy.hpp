// Simulation: a toy endpoint with the API of transport/flow.hpp, so that the world can be tested:
// stop and wait, one packet in flight. Each Bug breaks what one oracle must notice.
#pragma once
#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include <proa/base/bytes.hpp>
#include <proa/base/reason.hpp>

#include "toy_bugs.hpp"
#include "world.hpp"

namespace proa::sim {

/// Items go in order, each repeated until acknowledged: syn, parts, fin or reset.
class ToyFlow {
 public:
  struct Options {};
  using Setup = FlowSetup<Options>;

  ToyFlow(bool is_client, const Setup& setup, Bug bug)
      : bug_(bug), memory_(setup.memory), scratch_(setup.scratch), deadline_(setup.deadline) {
    block_ = scratch_->allocate(256);
    credit_ = memory_->grant(4096);
    client_ = is_client;
    heard_at_ = setup.now;
    if (is_client)
      queue_.push_back({Kind::syn, {}, 0, {}, false});
    else
      events_.push_back(event(FlowEventKind::accepted));
    if (!is_client && bug_ == Bug::accepted_twice)
      events_.push_back(event(FlowEventKind::accepted));
  }
  ToyFlow(const ToyFlow&) = delete;
  ToyFlow& operator=(const ToyFlow&) = delete;
  ~ToyFlow() {
    drop_queue();
    if (receiving_) memory_->release(*receiving_);
    for (const auto& e : events_)
      if (e.kind == FlowEventKind::message) memory_->release(e.message);
    if (held_back_) memory_->release(held_back_->message);
    if (bug_ != Bug::leaks_scratch) scratch_->release(block_);
    if (bug_ != Bug::keeps_credit) memory_->retract(credit_);
  }

  Expected<MessageNumber> submit(Instant, const MessageBlock& block, bool notify) noexcept {
    if (end_) return failed(Reason::flow_closing);
    if (queue_.size() > 8) {
      refused_ = true;
      return failed(Reason::would_block);
    }
    const std::uint32_t number = next_number_;
    next_number_ += bug_ == Bug::skips_numbers && number % 8 == 7 ? 2 : 1;
    queue_.push_back({Kind::part, block, number, {}, notify});
    return MessageNumber{number};
  }
  Expected<void> close(Instant, Instant) noexcept {
    queue_.push_back({Kind::fin, {}, 0, {}, false});
    return {};
  }
  void reset(Instant, Reason reason) noexcept {
    drop_queue();
    in_flight_ = false;
    queue_.push_back({Kind::reset, {}, 0, {}, false});
    finish(reason);
  }

  Drop handle_datagram(const Arrival& arrival, std::span<const std::byte> in) noexcept {
    if (in.size() < header) return Drop::truncated;
    const bool checked = bug_ != Bug::accepts_corruption;
    if (checked && load_be<std::uint32_t>(in.data()) != checksum(in.subspan(4)))
      return Drop::bad_checksum;
    const auto kind = static_cast<Kind>(std::to_integer<std::uint8_t>(in[4]));
    const auto sequence = load_be<std::uint32_t>(in.data() + 5);
    heard_at_ = arrival.now;
    if (kind == Kind::ack) return handle_ack(sequence);
    if (end_ && kind == Kind::part) return Drop::flow_ended;
    ack_due_ = true;
    if (sequence != expected_ && kind != Kind::reset &&
        !(bug_ == Bug::delivers_twice && expected_ % 16 == 15))
      return Drop::duplicate_packet;
    if (!take(kind, in)) {
      ack_due_ = false;
      return Drop::no_memory;
    }
    ++expected_;
    return Drop::none;
  }

  bool wants_transmit(Instant now) const noexcept {
    if (bug_ == Bug::sends_unasked && ack_due_ && expected_ % 8 == 7) return false;
    if (bug_ == Bug::forgets_timer && in_flight_ && now >= resend_at_) return true;
    return ack_due_ || (!queue_.empty() && !in_flight_);
  }
  std::size_t poll_transmit(Instant now, std::span<std::byte> out) noexcept {
    if (ack_due_) {
      ack_due_ = bug_ == Bug::sends_forever && expected_ > 3;
      return write(out, Kind::ack, expected_, {});
    }
    if (queue_.empty() || in_flight_) return 0;
    in_flight_ = true;
    resend_at_ = now + rto_;
    return write_item(out);
  }
  void handle_timeout(Instant now) noexcept {
    timeout_at_ = now;
    if (now - heard_at_ >= idle_limit && !end_ && bug_ != Bug::silent_partition) {
      drop_queue();
      finish(connected_ || !client_ ? Reason::idle_timeout : Reason::handshake_timeout);
      in_flight_ = false;
      dead_ = true;
    }
    if (in_flight_ && now >= resend_at_) {
      if (bug_ == Bug::time_stands_still && next_number_ > 2) return;
      in_flight_ = false;
      if (end_ && ++tries_after_end_ > 10) {  // nobody is there to hear of our reset
        dead_ = true;
        drop_queue();
      }
      if (bug_ == Bug::gives_up_probing && ++resends_ > 3) in_flight_ = true;
      if (in_flight_) resend_at_ = never;
      rto_ = std::min(rto_ * 2, Duration{20ms});
    }
  }
  Instant next_timeout() const noexcept {
    if (bug_ == Bug::timer_after_end && finished()) return never - 1s;
    if (finished()) return never;
    const Instant idle = end_ || bug_ == Bug::silent_partition ? never : heard_at_ + idle_limit;
    if (bug_ == Bug::forgets_timer) return idle;
    if (bug_ == Bug::spins) return timeout_at_ + 1ns;
    return std::min(idle, in_flight_ ? resend_at_ : never);
  }

  bool has_event() const noexcept { return !events_.empty(); }
  std::optional<FlowEvent> poll_event() noexcept {
    if (events_.empty()) return std::nullopt;
    const FlowEvent out = events_.front();
    events_.pop_front();
    return out;
  }
  bool wants_memory() const noexcept { return false; }
  bool take_memory(Instant, bool) noexcept { return true; }
  bool finished() const noexcept {
    return end_ && events_.empty() && (queue_.empty() || dead_) && !ack_due_;
  }
  const char* broken_invariant() const noexcept {
    return bug_ == Bug::broken_invariant && next_number_ > 3 ? "planted" : nullptr;
  }
  static std::string describe(std::span<const std::byte> in) {
    return in.size() < header
               ? "short"
               : "toy kind " + std::to_string(std::to_integer<int>(in[4])) + " sequence " +
                     std::to_string(load_be<std::uint32_t>(in.data() + 5));
  }
  static bool is_syn(std::span<const std::byte> in) noexcept {
    return in.size() >= header && load_be<std::uint32_t>(in.data()) == checksum(in.subspan(4)) &&
           in[4] == static_cast<std::byte>(Kind::syn);
  }

 private:
  enum class Kind : std::uint8_t { syn, part, fin, reset, ack };
  struct Item {
    Kind kind;
    MessageBlock block;
    std::uint32_t number;
    std::uint32_t offset;
    bool notify;
  };
  static constexpr std::size_t header = 17;  // checksum 4, kind 1, sequence 4, offset 4, total 4
  static constexpr Duration idle_limit = 30s;

  static std::uint32_t checksum(std::span<const std::byte> in) noexcept {
    std::uint64_t h = in.size();
    for (const auto b : in) h = (h ^ std::to_integer<std::uint64_t>(b)) * 0x100'0000'01b3U;
    return static_cast<std::uint32_t>(h ^ (h >> 32U));
  }
  static FlowEvent event(FlowEventKind kind) noexcept {
    FlowEvent out;
    out.kind = kind;
    return out;
  }
  void finish(Reason reason) noexcept {
    if (end_) return;
    end_ = reason;
    if (bug_ == Bug::never_ends) return;
    FlowEvent out = event(FlowEventKind::closed);
    out.reason = bug_ == Bug::wrong_reason            ? Reason::peer_restarted
                 : bug_ == Bug::closed_without_reason ? Reason::none
                                                      : reason;
    events_.push_back(out);
    if (bug_ == Bug::closed_twice) events_.push_back(out);
  }
  void drop_queue() noexcept {
    for (const auto& item : queue_)
      if (item.kind == Kind::part) memory_->release(item.block);
    queue_.clear();
  }

  std::size_t write_item(std::span<std::byte> out) noexcept {
    const Item& item = queue_.front();
    if (item.kind != Kind::part) return write(out, item.kind, sequence_, {});
    store_be(out.data() + 9, item.offset);
    store_be(out.data() + 13, item.block.length);
    const std::size_t room = out.size() - header;
    const std::size_t n = std::min<std::size_t>(room, item.block.length - item.offset);
    const std::size_t beyond = bug_ == Bug::reads_past_end && item.number == 3 ? 1 : 0;
    memory_->read(item.block, item.offset + static_cast<std::uint32_t>(beyond),
                  out.subspan(header, n));
    sending_ = static_cast<std::uint32_t>(n);
    const std::size_t size = write(out, Kind::part, sequence_, out.subspan(header, n));
    return bug_ == Bug::oversized_packet && item.number == 2 ? out.size() + 1 : size;
  }
  static std::size_t write(std::span<std::byte> out, Kind kind, std::uint32_t sequence,
                           std::span<const std::byte> payload) noexcept {
    out[4] = static_cast<std::byte>(kind);
    store_be(out.data() + 5, sequence);
    if (kind != Kind::part) std::memset(out.data() + 9, 0, 8);
    const std::size_t size = header + payload.size();
    store_be(out.data(), checksum(out.subspan(4, size - 4)));
    return size;
  }

  Drop handle_ack(std::uint32_t sequence) noexcept {
    if (!in_flight_ || sequence != sequence_ + 1 || queue_.empty()) return Drop::stale_packet;
    in_flight_ = false;
    rto_ = 200us;
    ++sequence_;
    Item& item = queue_.front();
    if (item.kind == Kind::part) {
      item.offset += sending_;
      if (item.offset < item.block.length) return Drop::none;
      if (bug_ != Bug::leaks_send_block || item.number != 1) memory_->release(item.block);
      if (bug_ == Bug::releases_twice && item.number == 1) memory_->release(item.block);
      tell_sent(item);
    }
    if (item.kind == Kind::syn) {
      connected_ = true;
      events_.push_back(event(FlowEventKind::connected));
    }
    if (item.kind == Kind::fin) finish(Reason::closed_by_application);
    queue_.pop_front();
    if (end_) return Drop::none;
    if (refused_ || (bug_ == Bug::writable_unasked && item.number == 1)) {
      if (bug_ != Bug::never_writable) events_.push_back(event(FlowEventKind::writable));
      refused_ = false;
    }
    return Drop::none;
  }
  void tell_sent(const Item& item) noexcept {
    if (bug_ == Bug::sent_never || (!item.notify && bug_ != Bug::sent_too_early)) return;
    FlowEvent out = event(FlowEventKind::sent);
    const bool early = bug_ == Bug::sent_too_early && queue_.size() > 1;
    out.number = MessageNumber{item.number + (early && queue_[1].kind == Kind::part ? 1 : 0)};
    events_.push_back(out);
  }

  bool take(Kind kind, std::span<const std::byte> in) noexcept {
    if (kind == Kind::part) return (connected_ || !client_) && take_part(in);
    if (kind == Kind::fin || kind == Kind::reset) {
      drop_queue();
      in_flight_ = false;
      finish(kind == Kind::fin ? Reason::closed_by_peer : Reason::reset_by_peer);
    }
    return true;
  }
  bool take_part(std::span<const std::byte> in) noexcept {
    const auto offset = load_be<std::uint32_t>(in.data() + 9);
    auto total = load_be<std::uint32_t>(in.data() + 13);
    if (bug_ == Bug::wrong_length && got_ == 4 && total > 0 && offset == 0) --total;
    const auto payload = in.subspan(header);
    if (bug_ == Bug::accepts_corruption && (total > (8U << 20U) || offset > total)) return true;
    if (offset == 0 && !receiving_) receiving_ = memory_->reserve_last(total);
    if (!receiving_) return bug_ == Bug::accepts_corruption;
    const std::size_t n = std::min<std::size_t>(payload.size(), receiving_->length - offset);
    const std::uint32_t beyond = bug_ == Bug::writes_past_end && got_ == 3 ? 1 : 0;
    memory_->write(*receiving_, offset + beyond, payload.first(n));
    if (offset + payload.size() < total) return true;
    deliver();
    return true;
  }
  void deliver() noexcept {
    ++got_;
    FlowEvent out = event(FlowEventKind::message);
    out.message = *receiving_;
    if (bug_ == Bug::leaks_receive_block && got_ == 2) (void)memory_->reserve(100);
    receiving_.reset();
    if (bug_ == Bug::flips_a_bit && got_ == 5 && out.message.length > 0)
      out.message.data[out.message.length / 2] ^= std::byte{4};
    if (bug_ == Bug::loses_a_message && got_ == 6) return memory_->release(out.message);
    if (bug_ == Bug::swaps_messages && got_ == 7) {
      held_back_ = out;
      return;
    }
    if (!end_)
      events_.push_back(out);
    else
      memory_->release(out.message);
    if (held_back_) events_.push_back(*held_back_);
    held_back_.reset();
  }

  Bug bug_;
  CheckedMemory* memory_;
  ScratchPool* scratch_;
  Instant deadline_;
  std::byte* block_;
  std::uint32_t credit_;
  bool client_ = false, connected_ = false, dead_ = false;
  std::deque<Item> queue_;
  std::deque<FlowEvent> events_;
  std::optional<MessageBlock> receiving_;
  std::optional<FlowEvent> held_back_;
  std::optional<Reason> end_;
  std::uint32_t next_number_ = 0, sequence_ = 0, expected_ = 0, sending_ = 0, got_ = 0;
  std::uint32_t resends_ = 0, tries_after_end_ = 0;
  bool in_flight_ = false, ack_due_ = false, refused_ = false;
  Instant resend_at_ = never, heard_at_{}, timeout_at_{};
  Duration rto_ = 200us;
};

/// A plan the toy can finish quickly: stop and wait sends no megabytes.
inline Plan small_plan(std::uint64_t seed) {
  Plan plan = make_plan(seed);
  plan.message_bytes_max = std::min(plan.message_bytes_max, 64U << 10U);
  plan.pairs = std::min(plan.pairs, 2U);
  plan.narrow = {};  // a toy knows one size of packets
  plan.script.resize(plan.pairs);
  for (auto& both : plan.script)
    for (auto& script : both) {
      if (script.messages.size() > 24) script.messages.resize(24);
      for (auto& message : script.messages) message.length = std::min(message.length, 8U << 10U);
    }
  return plan;
}

struct ToyTraits {
  using Flow = ToyFlow;
  using Options = ToyFlow::Options;
  static inline Bug bug = Bug::none;
  static Options options(const Plan&) { return {}; }
  static constexpr std::size_t head_bytes = 0;
  static void write_head(std::span<std::byte>) {}
  static Drop deliver(Flow& flow, const Arrival& arrival, std::span<const std::byte> datagram) {
    return flow.handle_datagram(arrival, datagram);
  }
  static std::unique_ptr<Flow> connect(const ToyFlow::Setup& setup) {
    return std::make_unique<Flow>(true, setup, bug);
  }
  static std::unique_ptr<Flow> accept(const ToyFlow::Setup& setup, std::span<const std::byte> in) {
    return ToyFlow::is_syn(in) ? std::make_unique<Flow>(false, setup, bug) : nullptr;
  }
  static std::string describe(std::span<const std::byte> in) { return ToyFlow::describe(in); }
};

}  // namespace proa::sim
