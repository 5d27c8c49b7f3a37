// L2: what of the transport is chosen at compile time.
#pragma once
#include <proa/transport/any_congestion.hpp>
#include <proa/transport/integrity.hpp>

namespace proa {

/// Derive from it and replace what should differ: `struct Mine : DefaultTransportPolicy { ... };`
struct DefaultTransportPolicy {
  using Congestion = AnyCongestion;
  using Integrity = Crc32c;
};

template <class P>
concept TransportPolicy =
    CongestionController<typename P::Congestion> && Integrity<typename P::Integrity>;
static_assert(TransportPolicy<DefaultTransportPolicy>);

}  // namespace proa
