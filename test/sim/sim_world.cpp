// The deterministic world, first level: the product's flows between two hosts.
#include <unistd.h>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "transport_traits.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

std::array<char, 96> last_words{};

/// A failed PROA_CHECK or a sanitizer's abort shall name the seed too.
void on_abort(int) {
  const auto ignored = ::write(2, last_words.data(), std::strlen(last_words.data()));
  static_cast<void>(ignored);
  std::signal(SIGABRT, SIG_DFL);
}

struct Arguments {
  std::uint64_t first = 1, count = 100;
  RunOptions run;
  bool quiet = false;
};

struct Totals {
  std::uint64_t trace = 0, messages = 0, steps = 0;
  double virtual_s = 0;
  std::array<std::uint64_t, mode_names.size()> modes{};
  WireCounters wire;
};

void usage() {
  std::puts(
      "usage: sim_world [--seeds FIRST COUNT | --seed N] [--trace] [--audit-every N]\n"
      "  --seeds FIRST COUNT  run these seeds (default 1 100)\n"
      "  --seed N             run one\n"
      "  --trace              print every packet and event\n"
      "  --audit-every N      calls between two checks of all invariants (default 16)");
}

bool parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    const auto number = [&] { return std::strtoull(argv[++i], nullptr, 0); };
    if (a == "--seeds" && i + 2 < argc) {
      out.first = number();
      out.count = number();
    } else if (a == "--seed" && i + 1 < argc) {
      out.first = number();
      out.count = 1;
    } else if (a == "--audit-every" && i + 1 < argc) {
      out.run.audit_every = std::max(1U, static_cast<std::uint32_t>(number()));
    } else if (a == "--trace") {
      out.run.print = true;
    } else {
      return false;
    }
  }
  return true;
}

void add(Totals& t, const Plan& plan, const Outcome& o) {
  t.trace ^= o.trace * (plan.seed | 1U);
  t.messages += o.messages;
  t.steps += o.steps;
  t.virtual_s += static_cast<double>(o.ended.time_since_epoch().count()) / 1e9;
  ++t.modes[static_cast<std::size_t>(plan.mode)];
  t.wire.sent += o.wire.sent;
  t.wire.bytes += o.wire.bytes;
  t.wire.lost += o.wire.lost;
  t.wire.duplicated += o.wire.duplicated;
  t.wire.corrupted += o.wire.corrupted;
  t.wire.reordered += o.wire.reordered;
  t.wire.overflowed += o.wire.overflowed;
}

void print(const Totals& t, std::uint64_t count, double wall_s) {
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf("%llu seeds, trace %016llx, %.1f virtual s in %.1f s\n", n(count), n(t.trace),
              t.virtual_s, wall_s);
  std::printf(
      "%llu messages, %llu packets (%llu MB): %llu lost, %llu repeated, %llu corrupted, "
      "%llu reordered, %llu overflowed\n",
      n(t.messages), n(t.wire.sent), n(t.wire.bytes >> 20U), n(t.wire.lost), n(t.wire.duplicated),
      n(t.wire.corrupted), n(t.wire.reordered), n(t.wire.overflowed));
  for (std::size_t i = 0; i < t.modes.size(); ++i)
    std::printf("%s%s %llu", i == 0 ? "" : ", ", mode_names[i], n(t.modes[i]));
  std::puts("");
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!parse(argc, argv, arguments)) {
    usage();
    return 2;
  }
  std::signal(SIGABRT, on_abort);
  const auto began = std::chrono::steady_clock::now();
  Totals totals;
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < arguments.count; ++i) {
    const std::uint64_t seed = arguments.first + i;
    std::snprintf(last_words.data(), last_words.size(),
                  "aborted; replay with: sim_world --seed %llu --trace\n",
                  static_cast<unsigned long long>(seed));
    const Plan plan = make_plan(seed);
    const Outcome outcome = World<TransportTraits<>>(plan, arguments.run).run();
    add(totals, plan, outcome);
    if (outcome.failure.empty()) continue;
    ++failed;
    std::printf("FAIL seed %llu (%s) at %.3f ms: %s\n", static_cast<unsigned long long>(seed),
                mode_names[static_cast<std::size_t>(plan.mode)],
                static_cast<double>(outcome.ended.time_since_epoch().count()) / 1e6,
                outcome.failure.c_str());
  }
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - began;
  print(totals, arguments.count, wall.count());
  if (failed > 0) std::printf("%llu seeds failed\n", static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
