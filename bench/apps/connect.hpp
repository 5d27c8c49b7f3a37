// bench: an application that opens flows and ends them again, as fast as a window of them allows.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include <proa/stack/stack.hpp>

#include <tl/expected.hpp>

#include "../histogram.hpp"
#include "../machine.hpp"

namespace proa::bench {

struct ConnectOptions {
  Endpoint peer;
  std::uint32_t window = 1;  // set-ups under way at a time
  double seconds = 0.3;      // of measuring
};

struct ConnectResult {
  Histogram setup;      // from connect() to `connected`
  double rate = 0;      // set-ups per second
  double first_us = 0;  // the very first one: nothing known of the peer, not even its MAC address
  double packets = 0;   // sent and received per set-up, the flow's end included
  std::uint64_t lost = 0;  // set-ups that failed
};

/// `Net` is an in-process stack: packets are counted by its engine.
template <class Net>
class ConnectClient {
 public:
  using Outcome = tl::expected<ConnectResult, std::string>;

  ConnectClient(Net& net, const ConnectOptions& options) : net_(&net), options_(options) {}

  Outcome run() {
    if (auto first = open_first(); !first) return tl::unexpected{first.error()};
    const auto span = static_cast<std::uint64_t>(options_.seconds * 1e9 / ns_per_tick());
    const std::uint64_t began = ticks(), warm = began + span / 10, end = warm + span;
    std::uint64_t packets_before = 0, warm_at = 0;
    // A short time may go by while others have the processor.
    const auto patience = static_cast<std::uint64_t>(30e9 / ns_per_tick());
    const auto over = [&](std::uint64_t now) {
      return now >= (counted_ != 0 && warm_at != 0 ? end : end + patience);
    };
    for (std::uint64_t now = began; !over(now) && error_.empty(); now = ticks()) {
      if (warm_at == 0 && now >= warm) {
        warm_at = now;
        packets_before = packets();
        counted_ = 0;
        result_.setup.clear();
      }
      fill();
      while (auto event = net_->poll()) handle(*event);
    }
    if (!error_.empty()) return tl::unexpected{error_};
    if (counted_ == 0) return tl::unexpected{std::string{"no flow was set up"}};
    const double seconds = static_cast<double>(ticks() - warm_at) * ns_per_tick() / 1e9;
    result_.rate = static_cast<double>(counted_) / seconds;
    result_.packets =
        static_cast<double>(packets() - packets_before) / static_cast<double>(counted_);
    return std::move(result_);
  }

 private:
  tl::expected<void, std::string> open_first() {
    const std::uint64_t before = ticks();
    const auto flow = net_->connect(options_.peer, std::chrono::seconds{30});
    if (!flow) return tl::unexpected{"cannot connect: " + std::string{flow.error().text()}};
    result_.first_us = static_cast<double>(ticks() - before) * ns_per_tick() / 1e3;
    return {};
  }
  void fill() {
    while (under_way_.size() < options_.window) {
      const std::uint64_t now = ticks();
      const auto flow = net_->connect(options_.peer);
      if (!flow) return;  // too many flows linger: their ends make room
      under_way_.emplace(flow->value, now);
    }
  }
  void handle(const typename Net::Event& event) {
    const auto found = under_way_.find(event.flow.value);
    if (found == under_way_.end()) return;  // the end of one that was set up
    if (event.kind == EventKind::connected) {
      const auto passed = static_cast<double>(ticks() - found->second);
      result_.setup.record(static_cast<std::uint64_t>(passed * ns_per_tick()));
      ++counted_;
      static_cast<void>(net_->reset(event.flow));
    } else if (event.kind == EventKind::closed) {
      ++result_.lost;
      if (result_.lost > counted_ + 100)
        error_ = "set-ups fail: " + std::string{text(event.reason)};
    } else {
      return;
    }
    under_way_.erase(found);
  }
  [[nodiscard]] std::uint64_t packets() const {
    const auto counters = net_->counters();
    return counters.tx_packets + counters.rx_packets;
  }

  Net* net_;
  ConnectOptions options_;
  ConnectResult result_;
  std::unordered_map<std::uint32_t, std::uint64_t> under_way_;  // when it was asked for, in ticks
  std::uint64_t counted_ = 0;
  std::string error_;
};

}  // namespace proa::bench
