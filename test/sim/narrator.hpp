// Simulation: what a run tells of itself: the trace hash, and every packet and event when asked.
#pragma once
#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include <proa/transport/events.hpp>
#include <proa/wire/drop.hpp>

#include "wire.hpp"

namespace proa::sim {

/// `Traits::describe` puts a packet into words.
template <class Traits>
class Narrator {
 public:
  explicit Narrator(bool print) : print_(print) {}

  [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }
  void mix(Instant now, std::uint64_t v) noexcept {
    const auto t = static_cast<std::uint64_t>(now.time_since_epoch().count());
    trace_ = (trace_ ^ v ^ (t << 8U)) * 0x100'0000'01b3U;
  }

  void note(Instant now, const char* what) const {
    if (print_) std::printf("%14.3f us  %s\n", us(now), what);
  }
  void delivered(Instant now, const Datagram& d, Drop drop) {
    mix(now, static_cast<std::uint64_t>(drop));
    if (!print_) return;
    std::printf("%14.3f us  host %u flow %u  <- %s%s%s\n", us(now), d.to, d.pair,
                Traits::describe(*d.bytes).c_str(), drop == Drop::none ? "" : "  dropped: ",
                drop == Drop::none ? "" : std::string(text(drop)).c_str());
  }
  void sent(Instant now, std::uint32_t host, std::uint32_t pair,
            std::span<const std::byte> bytes) const {
    if (!print_) return;
    std::printf("%14.3f us  host %u flow %u  -> %s\n", us(now), host, pair,
                Traits::describe(bytes).c_str());
  }
  void happened(Instant now, std::uint32_t host, std::uint32_t pair, const FlowEvent& event) {
    static constexpr std::array<const char*, 6> names{"accepted", "connected", "message",
                                                      "sent",     "writable",  "closed"};
    mix(now, static_cast<std::uint64_t>(event.kind) + 100);
    if (!print_) return;
    std::printf("%14.3f us  host %u flow %u  event %s number %u length %u %s\n", us(now), host,
                pair, names[static_cast<std::size_t>(event.kind)], event.number.wire(),
                event.message.length,
                event.kind == FlowEventKind::closed ? std::string(text(event.reason)).c_str() : "");
  }

 private:
  [[nodiscard]] static double us(Instant now) noexcept {
    return static_cast<double>(now.time_since_epoch().count()) / 1e3;
  }
  bool print_;
  std::uint64_t trace_ = 0xcbf2'9ce4'8422'2325U;
};

}  // namespace proa::sim
