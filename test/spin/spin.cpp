// API spin (TEST-MATRIX B3): threads with a stack each call everything at random while allocations
// fail: through a sidecar in this process, and in process over simulated NICs in virtual time.
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "../boat_without_nic.hpp"
#include "../unit/stack/sim_placement.hpp"
#include "spinner.hpp"

using namespace proa;
using namespace proa::spin;

namespace {

bool time_is_left(std::chrono::steady_clock::time_point end) {
  return std::chrono::steady_clock::now() < end;
}

struct Totals {
  std::atomic<std::uint64_t> calls{0}, received{0}, opened{0};
  std::atomic<bool> any_received{false};

  /// Until that time; on a slow machine until anything was received at all.
  template <class S>
  [[nodiscard]] bool go_on(const S& spinner, std::chrono::steady_clock::time_point end) {
    if (spinner.received() != 0) any_received = true;
    return time_is_left(any_received ? end : end + std::chrono::minutes{1});
  }
  template <class S>
  void add(const S& spinner) {
    calls += spinner.calls();
    received += spinner.received();
    opened += spinner.opened();
  }
};

/// One application of the sidecar.
void spin_in_sidecar(const test::BoatWithoutNic& boat, Shelf<Stack<Sidecar>>& shelf,
                     std::uint64_t seed, std::chrono::steady_clock::time_point end,
                     Totals& totals) {
  Spinner<Stack<Sidecar>> spinner(seed, IpAddress::v4(10, 0, 0, 1), shelf, true,
                                  [&] { return boat.board("spin" + std::to_string(seed)); });
  while (totals.go_on(spinner, end)) spinner.step();
  spinner.stop();
  totals.add(spinner);
}

/// Two stacks that take turns in one thread; time passes for both.
void spin_in_process(std::uint64_t seed, std::chrono::steady_clock::time_point end,
                     Totals& totals) {
  using Net = stack_tests::SimPair::Net;
  stack_tests::SimPair pair;
  pair.a.reset();
  pair.b.reset();
  Shelf<Net> shelf;
  Spinner<Net> a(seed, IpAddress::v4(10, 0, 0, 2), shelf, false,
                 [&] { return Net{pair.options(1)}; });
  Spinner<Net> b(seed + 1, IpAddress::v4(10, 0, 0, 1), shelf, false,
                 [&] { return Net{pair.options(2)}; });
  while (totals.go_on(a.received() != 0 ? a : b, end)) {
    a.step();
    b.step();
  }
  a.stop();
  b.stop();
  totals.add(a);
  totals.add(b);
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 5;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 0) : 1;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{seconds};
  Totals sidecar, in_process;
  {
    Shelf<Stack<Sidecar>> shelf;
    test::BoatWithoutNic boat;
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 3; ++i)
      threads.emplace_back([&, i] { spin_in_sidecar(boat, shelf, seed * 100 + i, end, sidecar); });
    spin_in_process(seed, end, in_process);
    for (auto& thread : threads) thread.join();
  }
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf(
      "sidecar: %llu calls, %llu stacks, %llu messages; in process: %llu, %llu, %llu; "
      "%llu allocations failed\n",
      n(sidecar.calls), n(sidecar.opened), n(sidecar.received), n(in_process.calls),
      n(in_process.opened), n(in_process.received), n(FailingNew::failures()));
  demand(sidecar.received > 0 && in_process.received > 0, "nothing was ever received");
  demand(FailingNew::failures() > 0, "no allocation failed");
  return 0;
}
