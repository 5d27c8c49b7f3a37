// sidecar: how Proa could use each network device of this machine, and what is missing for that.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine_nics.hpp"

namespace proa::sidecar {

struct Shortfall {
  std::string what, remedy;
};

/// One way to use a device.
struct NicWay {
  std::string nic;  // the value of --nic
  std::vector<Shortfall> missing;
  std::vector<std::string> remarks;
  std::uint32_t engines_max = 0;  // as many queue pairs as there are; 0: only its driver knows
  [[nodiscard]] bool usable() const noexcept { return missing.empty(); }
};

struct NicChoice {
  NetworkDevice device;
  std::string name;          // of the hardware, as people call it
  std::string dpdk_driver;   // "net_ena"; empty: none that Proa knows
  std::vector<NicWay> ways;  // the fastest first
  [[nodiscard]] const NicWay* best() const noexcept {
    for (const NicWay& way : ways)
      if (way.usable()) return &way;
    return nullptr;
  }
};

/// What the choice depends on beside the devices.
struct NicSurroundings {
  MachineFacts facts;
  // A sentence if DPDK's driver of this name is not installed; empty if it is.
  std::function<std::string(const std::string&)> missing_driver;
  std::function<bool(const NetworkDevice&)> may_open_vfio;
  std::function<std::uint32_t(const std::string&)> xdp_queue_pairs;  // of an interface
};

[[nodiscard]] std::vector<NicChoice> nic_choices(const std::vector<NetworkDevice>& devices,
                                                 const NicSurroundings& around);

/// Devices DPDK may look at without taking anything away from the kernel.
[[nodiscard]] bool given_to_dpdk(const NetworkDevice& device) noexcept;

}  // namespace proa::sidecar
