// e2e: the process of one of the soak's hosts, and what it reports to its parent.
#pragma once
#include <chrono>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <proa/mem/heap_memory.hpp>
#include <proa/nic/lossy.hpp>
#include <string>
#include <utility>
#include <vector>

#include "process.hpp"
#include "soak_host.hpp"

namespace proa::e2e {

inline constexpr std::uint16_t soak_port = 7000;

/// What a host has in use besides its process's memory.
struct SoakPools {
  std::uint64_t send_used = 0, receive_used = 0;  // bytes of message memory
  std::int64_t receive_free = 0;                  // bytes not promised to peers
  friend bool operator==(const SoakPools&, const SoakPools&) = default;
};

struct SoakReport {
  SoakCounts counts;
  LossyCounters wire;  // what it sent
  SoakPools pools, pools_at_start;
  std::uint64_t flows = 0, tx_pool_empty = 0;
  bool paused = false;
  char wrong[200] = {};
};

/// Writes to all message memory once: from then on, more memory in use is a leak somewhere else.
inline void touch(HeapMemory& memory) {
  constexpr std::uint32_t bytes = 8U << 20U;
  std::vector<MessageBlock> blocks;
  while (const auto block = memory.allocate_send(bytes)) blocks.push_back(*block);
  while (const auto block = memory.reserve(bytes)) blocks.push_back(*block);
  while (const auto block = memory.reserve_last(bytes)) blocks.push_back(*block);
  for (const MessageBlock& block : blocks) std::memset(block.data, 1, block.length);
  for (const MessageBlock& block : blocks) memory.release(block);
}

/// Both roles until the parent has heard enough.
template <class Net>
class SoakProcess {
 public:
  SoakProcess(Net& net, const Endpoint& other, std::uint64_t seed, bench::Control& control)
      : net_(&net),
        control_(&control),
        opener_(net, other, epoch_, content_, counts_, seed),
        echoer_(net, epoch_, content_, counts_) {}

  int run() {
    at_start_ = pools();
    report();
    for (std::uint64_t turn = 0; wrong_.empty(); ++turn) {
      const bool idle = !look();
      if (idle || turn % 64 == 0) note(opener_.step());
      if ((idle || turn % 256 == 0) && control_->ready() && !obey()) return 0;
      if (net_->now() >= next_report_) report();
      if (idle) static_cast<void>(net_->wait(std::chrono::milliseconds{1}));
    }
    report();
    return 1;
  }

 private:
  bool look() {
    auto event = net_->poll();
    if (!event) return false;
    note(opener_.owns(event->flow) ? opener_.handle(*event) : echoer_.handle(*event));
    return true;
  }
  void note(std::string wrong) {
    if (wrong_.empty()) wrong_ = std::move(wrong);
  }
  bool obey() {
    const auto command = control_->receive<char>();
    if (!command) return false;
    if (*command == 'p') epoch_.pause();
    if (*command == 'g') epoch_.go();
    if (*command == 'f') opener_.finish();
    report();
    return true;
  }
  static constexpr bool in_process = std::same_as<typename Net::Home, LeaseHome<HeapMemory>>;

  SoakPools pools() {
    if constexpr (in_process) {
      HeapMemory& memory = net_->placement().home().memory();
      return {memory.send_arena().used(), memory.receive_arena().used(), memory.ledger_free()};
    }
    return {};
  }
  void report() {
    SoakReport out;
    out.counts = counts_;
    out.pools = pools();
    out.pools_at_start = at_start_;
    out.flows = opener_.flows() + echoer_.flows();
    if constexpr (in_process) {
      const auto counters = net_->counters();
      out.wire = net_->placement().nic().tx_counters();
      out.flows += counters.flows_now;
      out.tx_pool_empty = counters.tx_pool_empty;
    }
    out.paused = epoch_.paused();
    wrong_.copy(out.wrong, sizeof out.wrong - 1);
    control_->send(out);
    next_report_ = net_->now() + std::chrono::seconds{1};
  }

  Net* net_;
  bench::Control* control_;
  bench::Content content_;
  Epoch epoch_;
  SoakCounts counts_;
  SoakOpener<Net> opener_;
  SoakEchoer<Net> echoer_;
  SoakPools at_start_;
  Instant next_report_{};
  std::string wrong_;
};

}  // namespace proa::e2e
