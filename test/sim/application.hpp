// Simulation: the scripted application at one end of one flow, and what it demands of the stack.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <proa/transport/events.hpp>

#include "checked_memory.hpp"
#include "content.hpp"
#include "plan.hpp"

namespace proa::sim {

/// An oracle spoke.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] inline void fail(const std::string& why) { throw Failure(why); }
inline void demand(bool condition, const char* why) {
  if (!condition) fail(why);
}

/// Sends its script, judges what it receives: exactly once, in order, every byte.
class Application {
 public:
  /// `memory` is its host's; the pointer may change when the host restarts.
  Application(const Script& script, CheckedMemory* const& memory, ContentKey sends,
              ContentKey receives, std::uint64_t seed)
      : script_(&script), memory_(&memory), sends_(sends), receives_(receives), prng_(seed) {}

  [[nodiscard]] bool established() const noexcept { return established_; }
  [[nodiscard]] bool ended() const noexcept { return end_.has_value(); }
  [[nodiscard]] Reason reason() const noexcept { return end_.value_or(Reason::none); }
  [[nodiscard]] bool all_submitted() const noexcept { return next_ == script_->messages.size(); }
  [[nodiscard]] std::uint64_t submitted() const noexcept { return numbers_.size(); }
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
  [[nodiscard]] std::uint64_t received_bytes() const noexcept { return received_bytes_; }
  [[nodiscard]] Instant received_at() const noexcept { return received_at_; }  // the newest
  /// The application was told that everything it wanted to know about arrived.
  [[nodiscard]] bool all_told() const noexcept { return told_ >= told_wanted_; }

  /// When it wants to act next.
  [[nodiscard]] Instant next_action() const noexcept {
    Instant at = never;
    if (established_ && !ended() && !blocked_ && !all_submitted() && !stopped_) at = next_at_;
    if (!leases_.empty()) at = std::min(at, leases_.front().until);
    return at;
  }

  /// Submits what is due and gives back what it kept long enough; true if anything happened.
  template <class Flow>
  bool act(Instant now, Flow* flow) {
    bool acted = return_leases(now);
    while (flow != nullptr && established_ && !ended() && !blocked_ && !stopped_ &&
           !all_submitted() && next_at_ <= now) {
      acted = true;
      if (!submit_one(now, *flow)) break;
    }
    return acted;
  }

  void on_event(Instant now, const FlowEvent& event, bool is_client, const Application& peer) {
    demand(!ended(), "an event came after closed");
    switch (event.kind) {
      case FlowEventKind::accepted:
        return on_established(now, !is_client);
      case FlowEventKind::connected:
        return on_established(now, is_client);
      case FlowEventKind::message:
        return on_message(now, event, peer);
      case FlowEventKind::sent:
        return on_sent(event.number, peer.received());
      case FlowEventKind::writable:
        demand(blocked_, "writable although nothing was refused");
        blocked_ = false;
        return;
      case FlowEventKind::closed:
        demand(event.reason != Reason::none, "closed without a reason");
        end_ = event.reason;
        return;
    }
  }

  void stop() noexcept { stopped_ = true; }
  /// What it has not submitted yet it never will.
  void cut_script() {
    if (made_) (*memory_)->release(*made_);
    made_.reset();
    next_ = script_->messages.size();
  }
  /// The other application is sometimes given its events later.
  void let_peer_lag() noexcept { peer_may_lag_ = true; }
  /// Gives everything back: what is not submitted, what it still reads.
  void finish() {
    if (made_) (*memory_)->release(*made_);
    made_.reset();
    for (const auto& lease : leases_) (*memory_)->release(lease.block);
    leases_.clear();
  }

 private:
  struct Lease {
    Instant until;
    MessageBlock block;
  };

  template <class Flow>
  bool submit_one(Instant now, Flow& flow) {
    const PlannedMessage& message = script_->messages[next_];
    if (!made_) made_ = (*memory_)->allocate_send(message.length);
    if (!made_) {
      next_at_ = now + std::chrono::microseconds{50};
      return false;
    }
    ContentKey key = sends_;
    key.index = numbers_.size();
    fill_content(key, {made_->data, made_->length});
    const auto number = flow.submit(now, *made_, message.notify);
    if (!number) {
      demand(number.error() == Reason::would_block || number.error() == Reason::flow_closing,
             "submit refused for a reason that is neither would_block nor flow_closing");
      blocked_ = true;
      return false;
    }
    if (!numbers_.empty())
      demand(number->since(numbers_.back()) == 1, "message numbers do not follow each other");
    numbers_.push_back(*number);
    if (message.notify) told_wanted_ = numbers_.size();
    made_.reset();
    ++next_;
    next_at_ = now;
    if (!all_submitted()) next_at_ += script_->messages[next_].gap;
    return true;
  }
  void on_established(Instant now, bool right_kind) {
    demand(right_kind, "accepted at the client or connected at the server");
    demand(!established_, "established twice");
    established_ = true;
    next_at_ = now;
  }
  void on_message(Instant now, const FlowEvent& event, const Application& peer) {
    demand(established_, "a message came before the flow was established");
    demand(received_ < peer.submitted(), "more messages came than were sent");
    demand(event.message.length == peer.script_->messages[received_].length,
           "a message has the wrong length (lost, repeated, out of order or altered)");
    ContentKey key = receives_;
    key.index = received_;
    const std::span<const std::byte> bytes{event.message.data, event.message.length};
    const std::size_t wrong = first_wrong(key, bytes);
    if (wrong < bytes.size())
      fail("message " + std::to_string(received_) + " differs at byte " + std::to_string(wrong) +
           " of " + std::to_string(bytes.size()) + " (lost, repeated, out of order or altered)");
    ++received_;
    received_bytes_ += bytes.size();
    received_at_ = now;
    const auto max = static_cast<std::uint64_t>(script_->lease_max.count());
    if (max == 0) return (*memory_)->release(event.message);
    leases_.push_back({now + Duration{static_cast<std::int64_t>(prng_.below(max))}, event.message});
    std::sort(leases_.begin(), leases_.end(),
              [](const Lease& a, const Lease& b) { return a.until < b.until; });
  }
  void on_sent(MessageNumber number, std::uint64_t peer_received) {
    demand(!numbers_.empty(), "sent although nothing was submitted");
    const std::uint32_t index = number.since(numbers_.front());
    demand(index < numbers_.size(), "sent for a message that was never submitted");
    demand(index + 1 > told_, "sent went backwards");
    demand(index < peer_received || peer_may_lag_, "sent before the peer had the message");
    told_ = index + 1;
  }
  bool return_leases(Instant now) {
    bool any = false;
    while (!leases_.empty() && leases_.front().until <= now) {
      (*memory_)->release(leases_.front().block);
      leases_.pop_front();
      any = true;
    }
    return any;
  }

  const Script* script_;
  CheckedMemory* const* memory_;
  ContentKey sends_, receives_;
  Prng prng_;
  bool established_ = false, blocked_ = false, stopped_ = false, peer_may_lag_ = false;
  std::size_t next_ = 0;
  Instant next_at_{};
  std::optional<MessageBlock> made_;
  std::vector<MessageNumber> numbers_;
  std::uint64_t received_ = 0, received_bytes_ = 0, told_ = 0, told_wanted_ = 0;
  Instant received_at_{};
  std::deque<Lease> leases_;
  std::optional<Reason> end_;
};

}  // namespace proa::sim
