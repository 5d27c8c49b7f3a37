// L2: what DPDK itself sees, before anything is opened: for an operator who looks for a NIC.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <proa/wire/address.hpp>

#include <tl/expected.hpp>

namespace proa {

/// A port as its driver describes it, not configured and not started.
struct DpdkSeenPort {
  std::string device;  // DPDK's name of it: "0000:00:05.0"
  std::string driver;  // "net_ena"
  MacAddress mac;
  std::uint16_t queue_pairs_max = 0;
  std::uint16_t descriptors_min = 0, descriptors_max = 0;  // of a receive ring
  std::uint16_t mtu = 0;
  bool link_up = false;
  std::uint32_t link_mbit = 0;        // 0: it does not say
  std::vector<std::string> offloads;  // those Proa would use
  std::string remark;
};

/// Starts DPDK and lets it look at these devices ("0000:00:05.0") and no others. A device that
/// cannot be opened is missing in the answer; what DPDK says goes to `log`, a line each (empty:
/// nowhere). Once per process, before any port is opened.
[[nodiscard]] tl::expected<std::vector<DpdkSeenPort>, std::string> dpdk_ports(
    const std::vector<std::string>& devices, std::function<void(std::string_view)> log);

/// After DPDK was started: a sentence with the remedy if its driver ("net_ena") is not installed;
/// empty if it is.
[[nodiscard]] std::string missing_dpdk_driver(const std::string& driver);

/// How many queue pairs af_xdp has on a kernel's interface: its driver goes by combined channels.
[[nodiscard]] std::uint16_t xdp_queue_pairs(const std::string& interface);

}  // namespace proa
