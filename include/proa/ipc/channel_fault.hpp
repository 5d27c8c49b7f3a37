// L2: what a misbehaving application is caught at.
#pragma once
#include <cstdint>
#include <string_view>

namespace proa {

/// What an application did that no correct client does. Its channel is closed for it, nothing else
/// happens. Append only; one counter each in the sidecar.
enum class ChannelFault : std::uint8_t {
  none,
  unknown_request,    // a slot of no kind we know
  bad_length,         // an inline message or list longer than its slots
  bad_range,          // a block outside the send arena, or longer than a message may be
  too_many_messages,  // more unacknowledged ones than the channel allows
  bad_handle,         // a flow name out of range, or already in use
  bad_lease,          // a lease returned that is not out: twice, or invented
  bad_counter,        // the counter of consumed events jumped or ran backwards
  count,
};

[[nodiscard]] constexpr std::string_view text(ChannelFault fault) noexcept {
  using enum ChannelFault;
  switch (fault) {
    case none:
      return "none";
    case unknown_request:
      return "unknown request";
    case bad_length:
      return "length beyond the slot";
    case bad_range:
      return "block outside the send arena";
    case too_many_messages:
      return "too many unacknowledged messages";
    case bad_handle:
      return "flow name out of range or in use";
    case bad_lease:
      return "lease returned that was not out";
    case bad_counter:
      return "impossible event counter";
    case count:
      break;
  }
  return "unknown";
}

}  // namespace proa
