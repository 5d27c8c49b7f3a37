// sidecar: troubles of a NIC in an operator's words.
#include "nic_watch.hpp"

#include <fmt/format.h>

namespace proa::sidecar {

std::string_view text(NicTrouble trouble) noexcept {
  switch (trouble) {
    case NicTrouble::link_down:
      return "the link is down";
    case NicTrouble::mismatch:
      return "the peer has fewer queue pairs than this end and is not served; start both ends with "
             "as many engines";
    case NicTrouble::reset:
      return "the driver asked for a reset";
    case NicTrouble::removed:
      return "the device went away";
    case NicTrouble::rx_overrun:
      return "the receive ring overran";
    case NicTrouble::rx_pool_empty:
      return "no buffer for received packets";
    case NicTrouble::rx_errors:
      return "receive errors";
    case NicTrouble::tx_ring_full:
      return "the transmit ring is full";
    case NicTrouble::tx_pool_empty:
      return "no packet to send with";
    case NicTrouble::tx_errors:
      return "transmit errors";
    case NicTrouble::count_:
      break;
  }
  return "";
}

std::string text(const NicNotice& notice) {
  if (!notice.over) return std::string{text(notice.what)};
  const double seconds = std::chrono::duration<double>(notice.lasted).count();
  return is_of_link(notice.what)
             ? fmt::format("over after {:.1f} s: {}", seconds, text(notice.what))
             : fmt::format("over, {} times in {:.1f} s: {}", notice.times, seconds,
                           text(notice.what));
}

}  // namespace proa::sidecar
