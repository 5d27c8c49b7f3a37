// API spin: calls of one stack's whole API at random, valid and invalid, as an application might
// make them (TEST-MATRIX B3). What arrives is checked; what is refused must say why.
#pragma once
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/stack/stack.hpp>

#include "failing_new.hpp"

namespace proa::spin {

using namespace std::chrono_literals;

inline void demand(bool condition, const char* why) {
  if (condition) return;
  std::fprintf(stderr, "spin: %s\n", why);
  std::abort();
}

/// A message begins with a seed; all that follows is made of it.
inline void fill(std::span<std::byte> bytes, std::uint64_t seed) {
  Prng prng{seed};
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    const std::uint64_t word = at == 0 ? seed : prng.next();
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at));
  }
}
inline bool intact(std::span<const std::byte> bytes) {
  if (bytes.size() < 8) return true;
  std::uint64_t seed = 0;
  std::memcpy(&seed, bytes.data(), 8);
  std::vector<std::byte> expected(bytes.size());
  fill(expected, seed);
  return std::memcmp(expected.data(), bytes.data(), bytes.size()) == 0;
}

/// Received messages that another thread will drop.
template <class Net>
class Shelf {
 public:
  using Detached = decltype(std::declval<typename Net::Message>().detach());
  void put(Detached&& message) {
    const std::lock_guard lock{mutex_};
    kept_.push_back(std::move(message));
    if (kept_.size() > 16) kept_.erase(kept_.begin());
  }

 private:
  std::mutex mutex_;
  std::vector<Detached> kept_;
};

template <class Net>
class Spinner {
 public:
  using Message = typename Net::Message;
  /// `open` makes a stack or throws; `peer` is where everybody listens. `calls_may_fail`: not only
  /// making a stack, but no call on it either may depend on an allocation (the simulated NIC does).
  template <class Open>
  Spinner(std::uint64_t seed, IpAddress peer, Shelf<Net>& shelf, bool calls_may_fail, Open&& open)
      : prng_(seed),
        peer_(peer),
        shelf_(&shelf),
        calls_may_fail_(calls_may_fail),
        open_(std::forward<Open>(open)) {}

  /// One call, or the stack's end and a new one.
  void step() {
    if (!net_ && !try_open()) return;
    call();
    if (net_) poll_some();
  }
  void stop() {
    held_.clear();
    buffers_.clear();
    net_.reset();
  }
  [[nodiscard]] std::uint64_t calls() const noexcept { return calls_; }
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
  [[nodiscard]] std::uint64_t opened() const noexcept { return opened_; }

 private:
  static constexpr std::size_t size_max = 96U << 10U;

  bool try_open() {
    flows_.clear();
    try {
      const FailingNew failing{prng_.next32()};
      net_.emplace(open_());
      ++opened_;
    } catch (const std::bad_alloc&) {
      return false;
    } catch (const ConfigurationError& error) {
      demand(error.what()[0] != '\0', "a stack was refused without a sentence");
      return false;
    }
    return true;
  }
  /// The allocations of the calls themselves fail, not this program's own.
  template <class Call>
  auto api(Call&& call) {
    if (!calls_may_fail_) return call();
    const FailingNew failing{prng_.next32()};
    return call();
  }
  FlowHandle some_flow() {
    if (flows_.empty() || prng_.chance(1, 32)) return FlowHandle{prng_.next32()};
    return flows_[prng_.below(flows_.size())];
  }
  std::uint16_t some_port() { return static_cast<std::uint16_t>(7000 + prng_.below(4)); }
  std::size_t some_size() {
    switch (prng_.below(8)) {
      case 0:
        return 0;
      case 1:
        return prng_.below(size_max);
      case 2:
        return prng_.chance(1, 16) ? std::size_t{80} << 20U : prng_.below(4096);  // above any limit
      default:
        return prng_.below(300);
    }
  }
  template <class T>
  static void judge(const Result<T>& result) {
    if (!result) demand(result.error().reason() != Reason::none, "refused without a reason");
  }

  void call() {
    ++calls_;
    switch (prng_.below(16)) {
      case 0:
        return listen();
      case 1:
        return judge(api([&] { return net_->unlisten({.port = some_port()}); }));
      case 2:
      case 3:
        return connect();
      case 4:
        return prng_.chance(1, 4) ? judge(api([&] { return net_->close(some_flow(), 10ms); }))
                                  : judge(api([&] { return net_->flow_info(some_flow()); }));
      case 5:
        return prng_.chance(1, 8) ? judge(api([&] { return net_->reset(some_flow()); }))
                                  : net_->flush();
      case 6:
        return static_cast<void>(api([&] { return net_->wait(1ms); }));
      case 7:
        if (net_->native_handle() >= 0) static_cast<void>(net_->arm());
        return static_cast<void>(net_->counters());
      case 8:
        held_.clear();
        return;
      case 9:
        if (prng_.chance(1, 64)) net_.reset();  // messages and buffers outlive it
        return;
      case 10:
        if (prng_.chance(1, 8)) static_cast<void>(net_->drain(5ms));
        return;
      case 11:
        return make_buffer();
      case 12:
        return send_buffer();
      default:
        return send_copy();
    }
  }
  void listen() {
    const std::uint16_t port = prng_.chance(1, 16) ? std::uint16_t{0} : some_port();
    judge(api([&] { return net_->listen({.port = port}); }));
  }
  void connect() {
    if (flows_.size() > 24) flows_.erase(flows_.begin());
    const Endpoint to{prng_.chance(1, 16) ? IpAddress::v4(prng_.next32()) : peer_, some_port()};
    const bool waits = prng_.chance(1, 4);
    const auto flow = api([&] { return waits ? net_->connect(to, 2ms) : net_->connect(to); });
    judge(flow);
    if (flow) flows_.push_back(*flow);
  }
  void send_copy() {
    const std::size_t size = some_size();
    if (size > size_max) {  // too large whatever the limit: only the length is looked at
      const auto buffer = net_->allocate(size);
      return demand(!buffer, "a buffer above every limit was given");
    }
    std::array<std::byte, 512> few{};
    if (size > few.size()) return;
    fill(std::span{few}.first(size), prng_.next());
    const FlowHandle flow = some_flow();
    judge(api(
        [&] { return net_->send(flow, std::span{few}.first(size), {.notify = size % 2 == 0}); }));
  }
  void make_buffer() {
    auto buffer = net_->allocate(prng_.below(size_max));
    if (!buffer) return;
    fill(buffer.bytes(), prng_.next());
    buffers_.push_back(std::move(buffer));
    if (buffers_.size() > 8) buffers_.erase(buffers_.begin());
  }
  /// Also buffers of a stack that is no more: they must be refused.
  void send_buffer() {
    if (buffers_.empty()) return;
    auto buffer = std::move(buffers_.back());
    buffers_.pop_back();
    const FlowHandle flow = some_flow();
    judge(api([&] { return net_->send(flow, std::move(buffer), {.notify = true}); }));
  }
  void poll_some() {
    for (std::uint64_t n = prng_.below(6); net_ && n > 0; --n) {
      auto event = api([&] { return net_->poll(); });
      if (!event) return;
      if (event->kind == EventKind::accepted) flows_.push_back(event->flow);
      if (event->kind == EventKind::closed)
        demand(event->reason != Reason::none, "closed without a reason");
      if (event->kind == EventKind::message) take(std::move(event->message));
    }
  }
  void take(Message&& message) {
    ++received_;
    demand(intact(message.bytes()), "a message was altered");
    if (prng_.chance(1, 4)) return shelf_->put(message.detach());
    if (prng_.chance(1, 4)) held_.push_back(std::move(message));
    if (held_.size() > 8) held_.clear();
  }

  Prng prng_;
  IpAddress peer_;
  Shelf<Net>* shelf_;
  bool calls_may_fail_;
  std::function<Net()> open_;
  std::optional<Net> net_;
  std::vector<FlowHandle> flows_;
  std::vector<typename Net::Buffer> buffers_;
  std::vector<Message> held_;
  std::uint64_t calls_ = 0, received_ = 0, opened_ = 0;
};

}  // namespace proa::spin
