// L2: what of the transport is chosen at compile time.
#pragma once
#include <concepts>

#include <proa/transport/any_congestion.hpp>
#include <proa/transport/integrity.hpp>
#include <proa/transport/options.hpp>

namespace proa {

/// Derive from it and replace what should differ: `struct Mine : DefaultTransportPolicy { ... };`
struct DefaultTransportPolicy {
  using Congestion = AnyCongestion;
  using Integrity = Crc32c;
  [[nodiscard]] static constexpr StreamStart stream_start() noexcept { return {}; }
};

template <class P>
concept TransportPolicy =
    CongestionController<typename P::Congestion> && Integrity<typename P::Integrity> && requires {
  { P::stream_start() }
  noexcept->std::same_as<StreamStart>;
};
static_assert(TransportPolicy<DefaultTransportPolicy>);

}  // namespace proa
