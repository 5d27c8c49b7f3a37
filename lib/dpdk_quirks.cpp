// lib: what DPDK drivers need that DPDK's own query does not say, one line a driver.
#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

/// Every driver Proa means to run on. Those marked unproven were configured by their
/// documentation and never seen running.
constexpr DriverQuirks quirk_table[] = {
    // Refuses any MTU in the configuration but carries frames up to its buffer size.
    {.name = "net_memif",
     .mtu_unset = true,
     .remark = "memif trusts its peer process; a closed server leaves one descriptor open"},
    // The interface's own MTU counts and was checked; the driver states 1514 whatever it is.
    {.name = "net_af_packet", .mtu_unset = true},
    {.name = "net_af_xdp", .mtu_unset = true},
    // Its checksum "offload" is a second pass over the packet in software; Proa's is cheaper.
    {.name = "net_tap", .mtu_unset = true, .tx_checksum = false},
    // ENA: power-of-two rings of at least 128; frames below 60 bytes are padded by the device.
    {.name = "net_ena", .descriptors_min = 128, .remark = "unproven: no such NIC here"},
    // gVNIC: the device dictates the ring sizes, DPDK's limits state them; no RSS key, no RETA.
    {.name = "net_gve", .remark = "unproven: no such NIC here"},
    // Azure's synthetic path below a VF that comes and goes; it does not pad short frames.
    {.name = "net_netvsc", .pads_runts = false, .remark = "unproven: no such NIC here"},
    // Shares the interface with the kernel; inlines small packets, vectorised with 64+ descriptors.
    {.name = "mlx5_pci", .descriptors_min = 64, .remark = "unproven: no such NIC here"},
    {.name = "net_mlx5", .descriptors_min = 64, .remark = "unproven: no such NIC here"},
    // The device dictates ring sizes. With receive checksum negotiated, the host may send packets
    // whose checksum was never computed; without it every checksum is real.
    {.name = "net_virtio",
     .pads_runts = false,
     .rx_checksum = false,
     .remark = "unproven: no such NIC here"},
};
constexpr DriverQuirks no_quirks{.name = ""};

}  // namespace

const DriverQuirks& quirks_of(std::string_view driver_name) noexcept {
  for (const auto& quirks : quirk_table)
    if (driver_name.starts_with(quirks.name)) return quirks;
  return no_quirks;
}

}  // namespace proa::detail
