// sidecar: an engine on its own thread, as the control thread sees it, whatever its NIC.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <proa/engine/options.hpp>

#include <tl/expected.hpp>

#include "config.hpp"
#include "engine_link.hpp"

namespace proa::sidecar {

struct EngineHostOptions {
  EngineOptions engine;
  IdleStrategy idle = IdleStrategy::adaptive;
  Duration spin_for{};
  std::uint32_t flows_per_user = 65'536;
  Duration linger{};
  std::int32_t core = -1;  // -1: not pinned
};

class EngineHost {
 public:
  virtual ~EngineHost() = default;
  /// Starts the thread. It ends after the command `stop`.
  virtual void start() = 0;
  virtual void join() = 0;
  [[nodiscard]] virtual EngineLink& link() noexcept = 0;
  /// What the NIC really is, one line.
  [[nodiscard]] virtual std::string nic_text() const = 0;
};

/// What can be said about an interface without opening its NIC.
[[nodiscard]] tl::expected<void, std::string> check_nic(const InterfaceConfig& interface);

/// All engines of one interface over its NIC, threads not started. An error is a sentence.
struct InterfaceHost {
  std::vector<std::unique_ptr<EngineHost>> engines;
  InterfaceOptions interface;  // as it is in the end: MAC address, MTU
  std::string remark;          // what is not as configured: a sentence, or empty
};
/// It becomes one of the `local` ones.
[[nodiscard]] tl::expected<InterfaceHost, std::string> open_interface(
    const Config& config, const InterfaceConfig& interface,
    const std::shared_ptr<LocalInterfaces>& local);

}  // namespace proa::sidecar
