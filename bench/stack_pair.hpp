// bench: two processes with an in-process stack each on one wire: echo and streams.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "raw_wire.hpp"
#include "report.hpp"

namespace proa::bench {

enum class StackKind : std::uint8_t {
  echo,     // rtt_*, rate (messages/s there and back): `window` messages outstanding per flow
  stream,   // rate (messages/s that arrive), throughput (Gbit/s): `window` unacknowledged messages
  connect,  // rtt_* of a set-up, rate (set-ups/s), first (us), packets: `window` under way
};

struct StackSetup {
  StackKind kind = StackKind::echo;
  std::uint32_t size = 64;     // bytes of a message
  std::uint32_t window = 1;    // messages outstanding; stream: 0 is as many as the stack takes
  std::uint32_t flows = 1;     // echo only
  double seconds = 0.3;        // of measuring
  std::uint64_t messages = 0;  // echo so many instead of for a time
  bool verify = true;          // every byte that arrives
  bool wait = false;           // sleep instead of polling
  bool ipv6 = false;
  int core_a = 0, core_b = 1;
  std::optional<std::uint32_t> loss_ppm{};  // of what each end sends, by Lossy<DpdkNic>; 0 too
  std::string options{};                    // further stack options as text, for both ends
};

/// Starts both processes, measures once and ends them. End 0 has 10.117.0.11 and fd00:117::11, end
/// 1 10.117.0.12 and fd00:117::12: not the kernel's own addresses on that wire.
[[nodiscard]] tl::expected<Sample, std::string> measure_stacks(const Wire& wire,
                                                               const StackSetup& setup);

/// The same for streams, a sample per loss rate: fresh flows between the same two processes by
/// turns, which together take the setup's seconds for each rate. Pairs of processes differ by a
/// tenth in speed, by where their memory happens to lie; flows within one differ by a hundredth,
/// which is what a small loss costs.
[[nodiscard]] tl::expected<std::vector<Sample>, std::string> measure_lossy_streams(
    const Wire& wire, const StackSetup& setup, const std::vector<std::uint32_t>& losses_ppm);

}  // namespace proa::bench
