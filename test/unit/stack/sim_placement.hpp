// Two stacks in one thread and in virtual time, each in process over a simulated NIC.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <proa/nic/port.hpp>
#include <proa/nic/sim.hpp>
#include <proa/stack/in_process.hpp>
#include <proa/stack/stack.hpp>

namespace proa {

/// Hands out the queues of a SimPort that the test owns.
template <>
class Port<SimNic> {
 public:
  struct Options {
    SimPort* port = nullptr;
  };
  static tl::expected<Port, std::string> open(const Options& options) {
    if (options.port == nullptr) return tl::unexpected{std::string{"no port; give one"}};
    return Port{options};
  }
  explicit Port(const Options& options) : port_(options.port) {}
  tl::expected<SimNic, std::string> take_queue() {
    if (next_ == port_->queue_count())
      return tl::unexpected{std::string{"every queue pair is taken; open more of them"}};
    return port_->nic(next_++);
  }
  std::uint16_t queue_pairs() const { return static_cast<std::uint16_t>(port_->queue_count()); }
  template <class Make>
  std::shared_ptr<void> companion(Make&& make) {
    if (!companion_) companion_ = make();
    return companion_;
  }

 private:
  SimPort* port_;
  std::uint32_t next_ = 0;
  std::shared_ptr<void> companion_;
};

}  // namespace proa

namespace stack_tests {

using namespace proa;
using namespace std::chrono_literals;

/// Time passes by looking at it. Whoever sleeps lets everybody else run.
struct VirtualClock {
  Instant operator()() noexcept { return now += 20ns; }
  void sleep_until(Instant at) noexcept {
    now = std::min(std::max(at, now), now + 1us);
    if (others) others();
  }
  static inline Instant now{1h};
  static inline std::function<void()> others;
};

struct VirtualPolicy : DefaultPolicy {
  using Clock = VirtualClock;
};

/// A fixture of the placement tests: two stacks `a` and `b` that reach each other.
class SimPair {
 public:
  using Net = Stack<InProcess<SimNic, VirtualPolicy>>;

  SimPair() : network_(1), ports_{port(1), port(2)} {
    network_.advance(VirtualClock::now);
    a.emplace(options(1));
    b.emplace(Net::adopt(ports_[1]->nic(0), options(2)).value());  // the same from here on
    VirtualClock::others = [this] {
      if (a) a->placement().turn();
      if (b) b->placement().turn();
    };
  }
  ~SimPair() { VirtualClock::others = nullptr; }

  Net::Options options(std::uint8_t number) const {
    Net::Options out =
        Net::Options::parse(
            "address=10.0.0." + std::to_string(number) +
            "/24 flows=64 send_memory=32MiB receive_memory=64MiB seed=" + std::to_string(number))
            .value();
    out.nic.port = ports_[number - 1U].get();
    return out;
  }
  static Endpoint at_a(std::uint16_t port) { return {IpAddress::v4(10, 0, 0, 1), port}; }
  static Endpoint at_b(std::uint16_t port) { return {IpAddress::v4(10, 0, 0, 2), port}; }
  /// Lets time pass for both, in which nobody polls for events.
  static void run(Duration how_long) {
    VirtualClock clock;
    for (const Instant end = VirtualClock::now + how_long; VirtualClock::now < end;)
      clock.sleep_until(VirtualClock::now + 1us);
  }

 private:
  std::unique_ptr<SimPort> port(std::uint8_t number) {
    return std::make_unique<SimPort>(
        network_,
        SimPortOptions{.mac = MacAddress{{2, 0, 0, 0, 0, number}}, .link = {.delay = 1us}});
  }

  SimNetwork network_;
  std::unique_ptr<SimPort> ports_[2];

 public:
  std::optional<Net> a, b;  // they go before their ports
};

}  // namespace stack_tests
