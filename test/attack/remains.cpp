// Attack tests: what dead applications leave behind, and what they still hold of another life.
#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <optional>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t large = 30'000;  // too much for a slot: a block one way, a lease the other

/// Shared memory of channels that this process maps.
std::size_t mapped_channels() {
  std::ifstream maps{"/proc/self/maps"};
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);)
    count += line.find("memfd:") != std::string::npos ? 1 : 0;
  return count;
}

/// A boat whose engine takes its time: what it holds of a dead application it gives back one by
/// one, as a NIC does that still sends from it.
struct SlowBoat : Boat {
  using Boat::Boat;

  void gone(std::uint32_t session) override {
    const auto it = served.find(session);
    if (it != served.end()) {
      leases_before = it->second.server->leases_out();
      it->second.server->abandon();
      leaving = std::move(it->second);
      served.erase(it);
    }
    TestSidecar::gone(session);
  }
  /// Its one application, with `count` messages in flight; the others' echoes wait in its ring.
  EchoEngine* holding(std::uint32_t count) {
    for (auto& [session, s] : served) {
      s.engine->hold = s.engine->sent.size() + echoed >= echoed;
      if (s.engine->sent.size() >= count) return s.engine.get();
    }
    return nullptr;
  }

  std::optional<Served> leaving;
  std::uint32_t leases_before = 0;
  std::uint32_t echoed = 0;
};

}  // namespace
}  // namespace proa
