// sidecar: what the control thread and an engine's thread say to each other. They trust each other,
// so Boost.Lockfree carries it; neither ever waits for the other to make room.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <boost/lockfree/spsc_queue.hpp>

#include <proa/base/reason.hpp>
#include <proa/engine/counters.hpp>
#include <proa/engine/interface.hpp>
#include <proa/ipc/channel_server.hpp>
#include <proa/ipc/shm.hpp>
#include <proa/transport/identity.hpp>

#include "nic_watch.hpp"

namespace proa::sidecar {

struct FlowReport {
  std::uint32_t app = 0;
  FlowInfo info;
};

struct ChannelReport {
  std::uint32_t app = 0;
  std::uint32_t flows = 0;
  std::uint32_t leases = 0;
  std::uint32_t requests = 0;  // served, modulo 2^32
  std::uint32_t events = 0;    // written, modulo 2^32
  bool serving = false;
};

/// One engine as `proa status` shows it. Made by the control thread with its capacities reserved,
/// so that the engine allocates nothing when it fills it.
struct EngineReport {
  EngineCounters counters;
  InterfaceCounters interface;
  std::uint64_t neighbours = 0;
  std::uint64_t sleeps = 0;  // times the engine slept
  std::uint64_t naps = 0;    // of them without a descriptor of the NIC, so in steps
  bool gives_way = false;    // more pollers than cores: it yields between turns
  bool link_up = false;
  std::uint32_t busy_percent = 0;  // of the last whole second
  std::vector<FlowReport> flows;
  std::vector<ChannelReport> channels;
};

struct EngineCommand {
  enum class Kind : std::uint8_t {
    serve,     // `channel` is application `app` from now on
    abandon,   // application `app` is gone
    listen,    // answered
    unlisten,  // answered
    report,    // answered; `report` is the engine's until then
    stop,      // answered, and then the thread ends
  };
  Kind kind = Kind::stop;
  std::uint32_t app = 0;
  std::uint32_t user = 0;     // serve: whose flows count together
  std::uint32_t session = 0;  // repeated in the answer
  std::uint32_t request = 0;
  std::uint16_t port = 0;
  bool shared = false;               // listen: with other channels of the same user
  ChannelServer* channel = nullptr;  // stays the control thread's; used until `retired`
  EngineReport* report = nullptr;
};

struct EngineAnswer {
  enum class Kind : std::uint8_t {
    listened,  // of listen and unlisten: `reason`
    broken,    // application `app` broke the protocol: `fault`, or left: none
    retired,   // the engine has nothing of channel `app` any more
    reported,
    conflict,  // another station claims an address of the interface; told once
    noticed,   // something about the NIC: `notice`
    stopped,
  };
  Kind kind = Kind::stopped;
  Reason reason = Reason::none;
  ChannelFault fault = ChannelFault::none;
  std::uint32_t app = 0;
  std::uint32_t session = 0;
  std::uint32_t request = 0;
  NicNotice notice{};
};

/// The two queues and the bells beside them. Threading: one control thread, one engine thread.
class EngineLink {
 public:
  EngineLink();  // throws std::runtime_error when the system has no descriptors left

  // --- the control thread's ---

  /// False: 1024 commands wait already; the engine does not run.
  bool post(const EngineCommand& command) noexcept;
  bool take(EngineAnswer& answer) noexcept { return answers_.pop(answer); }
  void hush_control() noexcept;
  [[nodiscard]] int control_descriptor() const noexcept { return to_control_.get(); }
  /// As the engine said last. Relaxed, as is tell_load(): nothing else depends on it.
  [[nodiscard]] std::uint32_t load_percent() const noexcept {
    return load_percent_.load(std::memory_order_relaxed);
  }

  // --- the engine's ---

  /// Only with room for its answer.
  bool next(EngineCommand& command) noexcept { return can_answer() && commands_.pop(command); }
  [[nodiscard]] bool waiting() noexcept { return commands_.read_available() != 0; }
  [[nodiscard]] bool can_answer() noexcept { return answers_.write_available() != 0; }
  void answer(const EngineAnswer& answer) noexcept;
  void hush_engine() noexcept;
  void tell_load(std::uint32_t percent) noexcept {
    load_percent_.store(percent, std::memory_order_relaxed);
  }
  [[nodiscard]] int engine_descriptor() const noexcept { return to_engine_.get(); }

 private:
  static constexpr std::size_t depth = 1024;
  boost::lockfree::spsc_queue<EngineCommand, boost::lockfree::capacity<depth>> commands_;
  boost::lockfree::spsc_queue<EngineAnswer, boost::lockfree::capacity<depth>> answers_;
  OwnedFd to_engine_, to_control_;
  std::atomic<std::uint32_t> load_percent_{0};
};

}  // namespace proa::sidecar
