// sidecar: what `proa status` shows, as a table for people and as JSON for programs.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <proa/engine/interface_options.hpp>
#include <proa/ipc/control_server.hpp>

#include "engine_link.hpp"

namespace proa::sidecar {

struct EngineStatus {
  std::uint32_t index = 0;
  bool answered = false;  // false: the engine did not answer in time; the rest is empty
  EngineReport report;
};

struct InterfaceStatus {
  std::string name, nic;
  InterfaceOptions options;
  std::vector<EngineStatus> engines;
};

struct ChannelStatus {
  std::uint32_t channel = 0;
  std::uint32_t engine = 0;
  std::uint32_t app = 0;  // its seat at the engine
  std::string application, state;
  ControlPeer peer;
  std::uint64_t memory_bytes = 0;
};

struct Status {
  std::int64_t pid = 0;
  double up_s = 0;
  std::string socket, user;
  std::vector<InterfaceStatus> interfaces;
  std::vector<ChannelStatus> channels;
  std::uint32_t sessions = 0;
  ControlCounters control;
  std::array<std::uint64_t, static_cast<std::size_t>(ChannelFault::count)> faults{};
};

/// `all`: counters that are zero, too.
[[nodiscard]] std::string status_text(const Status& status, bool all);
[[nodiscard]] std::string status_json(const Status& status);

}  // namespace proa::sidecar
