// bench: what a wire can carry without any stack, measured by two processes with DpdkNic: the
// reference case of every bench that sends over one.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <proa/nic/dpdk.hpp>
#include <string>
#include <vector>

#include "netns.hpp"
#include "report.hpp"

namespace proa::bench {

/// A wire between two processes, named as on the command line. memif needs no privileges; its first
/// end is the client. The others are veth pairs between two network namespaces, for root.
class Wire {
 public:
  /// {"memif", "memif-zc", "veth-af_packet", "veth-af_xdp"}: zc is memif with zero-copy.
  [[nodiscard]] static std::vector<std::string> names();
  [[nodiscard]] static tl::expected<Wire, std::string> make(const std::string& name,
                                                            std::uint32_t mtu = 1500);
  Wire(Wire&&) noexcept;
  Wire& operator=(Wire&&) = delete;
  Wire(const Wire&) = delete;
  ~Wire();

  /// For end 0 or 1, in its own process: the calling thread moves into the end's network namespace.
  [[nodiscard]] DpdkOptions enter(std::size_t end) const;
  /// The hosts at its ends; null for memif.
  [[nodiscard]] const TwoHosts* hosts() const noexcept { return hosts_.get(); }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint32_t mtu() const noexcept { return mtu_; }

 private:
  Wire() = default;
  std::string name_;
  std::uint32_t mtu_ = 1500;
  std::string socket_;  // memif
  std::unique_ptr<TwoHosts> hosts_;
};

enum class RawKind : std::uint8_t {
  echo,     // rtt_*, rate (frames/s there and back): `window` frames outstanding
  one_way,  // rate (frames/s that arrive): as fast as the wire takes them
  bulk,     // throughput (Gbit/s of payload): 8 MiB, one copy on each side, `window` outstanding
};

struct RawSetup {
  RawKind kind = RawKind::echo;
  std::uint32_t size = 64;   // bytes of a frame, Ethernet header included
  std::uint32_t window = 1;  // frames outstanding
  double seconds = 0.3;      // of measuring
  int core_a = 0, core_b = 1;
};

/// Starts both processes, measures once and ends them.
[[nodiscard]] tl::expected<Sample, std::string> measure_raw(const Wire& wire,
                                                            const RawSetup& setup);

}  // namespace proa::bench
