// e2e: one of the soak's two hosts: opens flows to the other, echoes what the other sends, checks
// every byte at both ends, and knows which flows may end because the other was killed.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <proa/base/prng.hpp>
#include <proa/stack/stack.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "apps/content.hpp"

namespace proa::e2e {

/// What a flow carries, all derived from its first message: both ends know the size and the bytes
/// of every other one, so that a lost, repeated or swapped message is noticed too.
struct FlowPlan {
  static constexpr std::size_t hello_bytes = sizeof(std::uint64_t);
  std::uint64_t seed = 0;

  [[nodiscard]] std::uint32_t messages() const noexcept { return 2 + draw(0, 200); }
  [[nodiscard]] bool ends_by_reset() const noexcept { return draw(1, 4) == 0; }
  [[nodiscard]] std::uint32_t size(std::uint64_t number) const noexcept {
    constexpr std::uint32_t largest = 8U << 20U;
    const std::uint64_t place = 100 + 2 * number;
    const std::uint32_t kind = draw(place, 400);
    if (kind == 0) return largest;
    if (kind < 3) return draw(place + 1, largest);
    if (kind < 20) return draw(place + 1, 256U << 10U);
    if (kind < 100) return draw(place + 1, 16U << 10U);
    return kind < 130 ? 0 : draw(place + 1, 1400);
  }
  void fill(const bench::Content& content, std::uint64_t number,
            std::span<std::byte> out) const noexcept {
    if (number == 0)
      std::memcpy(out.data(), &seed, hello_bytes);
    else
      content.fill(tag(), number, out);
  }
  [[nodiscard]] bool matches(const bench::Content& content, std::uint64_t number,
                             std::span<const std::byte> in) const noexcept {
    if (number == 0)
      return in.size() == hello_bytes && std::memcmp(in.data(), &seed, hello_bytes) == 0;
    return in.size() == size(number) && content.matches(tag(), number, in);
  }

 private:
  [[nodiscard]] std::uint32_t tag() const noexcept {
    return static_cast<std::uint32_t>(seed & 0xff'ffffU);
  }
  [[nodiscard]] std::uint32_t draw(std::uint64_t place, std::uint32_t below) const noexcept {
    Prng random{seed ^ (place * 0x9e37'79b9'7f4a'7c15U)};
    return static_cast<std::uint32_t>(random.below(below));
  }
};

struct SoakCounts {
  std::uint64_t echoed = 0, checked = 0, bytes = 0;  // messages; of the bytes: both directions
  std::uint64_t opened = 0, closed = 0, reset = 0;   // flows of ours, and how they ended
  std::uint64_t accepted = 0, cut = 0;               // cut: by the other host's death
};

/// While the other host is being killed and started anew, and for the flows of that time and
/// before, any end is right.
class Epoch {
 public:
  void pause() noexcept { paused_ = true; }
  void go() noexcept {
    paused_ = false;
    ++number_;
  }
  [[nodiscard]] bool paused() const noexcept { return paused_; }
  [[nodiscard]] std::uint32_t number() const noexcept { return number_; }
  [[nodiscard]] bool excuses(std::uint32_t of_flow) const noexcept {
    return paused_ || of_flow != number_;
  }

 private:
  bool paused_ = true;
  std::uint32_t number_ = 0;
};

/// Opens flows and plays their plans: each message must come back as it was sent.
template <class Net>
class SoakOpener {
 public:
  static constexpr std::size_t flows_max = 12;

  SoakOpener(Net& net, const Endpoint& peer, const Epoch& epoch, const bench::Content& content,
             SoakCounts& counts, std::uint64_t seed)
      : net_(&net),
        peer_(peer),
        epoch_(&epoch),
        content_(&content),
        counts_(&counts),
        prng_(seed) {}

  [[nodiscard]] std::size_t flows() const noexcept { return lanes_.size(); }
  [[nodiscard]] bool owns(FlowHandle flow) const noexcept { return lanes_.contains(flow.value); }
  void finish() noexcept { finishing_ = true; }

  /// Opens what is missing and sends what fits; empty, or what went wrong.
  [[nodiscard]] std::string step() {
    if (!epoch_->paused() && !finishing_ && lanes_.size() < flows_max) {
      const auto flow = net_->connect(peer_);
      if (!flow) return "cannot connect: " + std::string{flow.error().text()};
      ++counts_->opened;
      lanes_.emplace(flow->value, Lane{*flow, {prng_.next()}, epoch_->number()});
    }
    for (auto& [value, lane] : lanes_)
      if (auto wrong = fill(lane); !wrong.empty()) return wrong;
    return "";
  }

  [[nodiscard]] std::string handle(const typename Net::Event& event) {
    Lane& lane = lanes_.at(event.flow.value);
    if (event.kind == EventKind::connected) lane.connected = true;
    if (event.kind == EventKind::writable) lane.blocked = false;
    if (event.kind == EventKind::message) return take_reply(lane, event.message.bytes());
    if (event.kind == EventKind::closed) return take_end(lane, event.reason);
    return "";
  }

 private:
  static constexpr std::uint64_t window = 8;                    // messages outstanding per flow
  static constexpr std::uint64_t outstanding_max = 24U << 20U;  // bytes, of all flows
  static constexpr std::uint32_t small_bytes = 64U << 10U;      // larger ones: without a copy

  enum class Ending : std::uint8_t { no, close, reset };
  struct Lane {
    FlowHandle flow;
    FlowPlan plan;
    std::uint32_t epoch = 0;
    std::uint64_t sent = 0, received = 0, outstanding = 0;  // messages, messages, bytes
    bool connected = false, blocked = false;
    Ending ending = Ending::no;
  };

  std::string fill(Lane& lane) {
    while (lane.connected && !lane.blocked && lane.ending == Ending::no &&
           lane.sent < lane.plan.messages() && lane.sent - lane.received < window) {
      const std::uint32_t size = size_of(lane, lane.sent);
      if (outstanding_ != 0 && outstanding_ + size > outstanding_max) return "";
      const auto sent = send(lane, size);
      if (sent) {
        ++lane.sent;
        lane.outstanding += size;
        outstanding_ += size;
      } else if (sent.error().would_block()) {
        lane.blocked = true;
      } else if (sent.error().reason() == Reason::out_of_memory) {
        return "";  // acknowledgements give memory back
      } else if (sent.error().reason() == Reason::no_such_flow) {
        return "";  // its end is among the events
      } else {
        return "cannot send: " + std::string{sent.error().text()};
      }
    }
    return "";
  }
  static std::uint32_t size_of(const Lane& lane, std::uint64_t number) noexcept {
    return number == 0 ? FlowPlan::hello_bytes : lane.plan.size(number);
  }
  Result<MessageNumber> send(Lane& lane, std::uint32_t size) {
    if (size <= small_bytes) {
      small_.resize(size);
      lane.plan.fill(*content_, lane.sent, small_);
      return net_->send(lane.flow, small_);
    }
    auto buffer = net_->allocate(size);
    if (!buffer) return tl::unexpected{Error{Reason::out_of_memory}};
    lane.plan.fill(*content_, lane.sent, buffer.bytes());
    return net_->send(lane.flow, std::move(buffer));
  }

  std::string take_reply(Lane& lane, std::span<const std::byte> bytes) {
    if (lane.received == lane.sent) return "a reply nobody waits for";
    if (!lane.plan.matches(*content_, lane.received, bytes)) return "a reply was altered or lost";
    ++lane.received;
    ++counts_->checked;
    counts_->bytes += bytes.size();
    lane.outstanding -= bytes.size();
    outstanding_ -= bytes.size();
    if (lane.ending != Ending::no) return "";
    if (lane.plan.ends_by_reset() && lane.received == lane.plan.messages() / 2) {
      lane.ending = Ending::reset;
      static_cast<void>(net_->reset(lane.flow));
    } else if (lane.received == lane.plan.messages()) {
      lane.ending = Ending::close;
      static_cast<void>(net_->close(lane.flow, std::chrono::seconds{60}));
    }
    return "";
  }

  std::string take_end(const Lane& lane, Reason reason) {
    const bool closed = lane.ending == Ending::close && reason == Reason::closed_by_application;
    const bool reset = lane.ending == Ending::reset && reason == Reason::reset_by_application;
    const bool excused = epoch_->excuses(lane.epoch);
    outstanding_ -= lane.outstanding;
    lanes_.erase(lane.flow.value);
    ++(closed ? counts_->closed : reset ? counts_->reset : counts_->cut);
    if (closed || reset || excused) return "";
    return "a flow we opened ended: " + std::string{text(reason)};
  }

  Net* net_;
  Endpoint peer_;
  const Epoch* epoch_;
  const bench::Content* content_;
  SoakCounts* counts_;
  Prng prng_;
  std::unordered_map<std::uint32_t, Lane> lanes_;
  std::vector<std::byte> small_;
  std::uint64_t outstanding_ = 0;  // bytes
  bool finishing_ = false;
};

/// Checks what the other host sends and sends it back.
template <class Net>
class SoakEchoer {
 public:
  SoakEchoer(Net& net, const Epoch& epoch, const bench::Content& content, SoakCounts& counts)
      : net_(&net), epoch_(&epoch), content_(&content), counts_(&counts) {}

  [[nodiscard]] std::size_t flows() const noexcept { return served_.size(); }

  [[nodiscard]] std::string handle(typename Net::Event& event) {
    if (event.kind == EventKind::accepted) {
      served_[event.flow.value].epoch = epoch_->number();
      ++counts_->accepted;
      return "";
    }
    const auto found = served_.find(event.flow.value);
    if (found == served_.end()) return "an event of a flow that has ended";
    Served& served = found->second;
    if (event.kind == EventKind::writable) served.blocked = false;
    if (event.kind == EventKind::message) {
      if (auto wrong = check(served, event.message.bytes()); !wrong.empty()) return wrong;
      served.held.push_back(std::move(event.message));
    }
    if (event.kind != EventKind::closed) return reply(event.flow, served);
    const std::string wrong = judge_end(served, event.reason);
    served_.erase(found);
    return wrong;
  }

 private:
  struct Served {
    std::uint32_t epoch = 0;
    std::optional<FlowPlan> plan{};
    std::uint64_t received = 0;
    bool blocked = false;
    std::deque<typename Net::Message> held{};  // not yet echoed
  };

  std::string check(Served& served, std::span<const std::byte> bytes) {
    if (!served.plan) {
      if (bytes.size() != FlowPlan::hello_bytes) return "the first message is not the first";
      std::uint64_t seed = 0;
      std::memcpy(&seed, bytes.data(), bytes.size());
      served.plan = FlowPlan{seed};
    }
    if (!served.plan->matches(*content_, served.received, bytes))
      return "a message was altered or lost";
    ++served.received;
    counts_->bytes += bytes.size();
    return "";
  }
  std::string reply(FlowHandle flow, Served& served) {
    while (!served.held.empty() && !served.blocked) {
      const auto sent = net_->send(flow, served.held.front().bytes());
      if (!sent && sent.error().would_block()) {
        served.blocked = true;
      } else {
        // The flow may have ended or be closing: its end is among the events.
        counts_->echoed += sent ? 1 : 0;
        served.held.pop_front();
      }
    }
    return "";
  }
  /// The opener closes once it has all replies, else it resets.
  std::string judge_end(const Served& served, Reason reason) {
    if (reason == Reason::reset_by_peer) return "";
    const bool whole = served.plan && served.received == served.plan->messages();
    if (reason == Reason::closed_by_peer && whole && served.held.empty()) return "";
    if (epoch_->excuses(served.epoch)) return "";
    return "a flow the other host opened ended: " + std::string{text(reason)};
  }

  Net* net_;
  const Epoch* epoch_;
  const bench::Content* content_;
  SoakCounts* counts_;
  std::unordered_map<std::uint32_t, Served> served_;
};

}  // namespace proa::e2e
