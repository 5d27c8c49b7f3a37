// Simulation: arguments, the loop over seeds and what is printed, for both levels.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <proa/base/time.hpp>

#include "traces.hpp"

namespace proa::sim {

struct Arguments {
  std::uint64_t first = 1, count = 100;
  std::uint32_t audit_every = 16;
  std::uint64_t repeat_every = 50;  // every so many seeds one is run twice: same trace?
  bool trace = false;
  std::string pcap;
  std::string traces;  // file of expected traces
};

struct Verdict {
  std::string failure;  // empty: every oracle was content
  std::uint64_t trace = 0;
  Instant ended{};
};

[[nodiscard]] inline double seconds(Instant at) noexcept {
  return static_cast<double>(at.time_since_epoch().count()) / 1e9;
}

inline int usage(const char* program, bool captures) {
  std::printf(
      "usage: %s [--seeds FIRST COUNT | --seed N] [options]\n"
      "  --seeds FIRST COUNT  run these seeds (default 1 100)\n"
      "  --seed N             run one\n"
      "  --traces FILE        compare every seed's trace with the file's\n"
      "  --audit-every N      calls between two checks of all invariants (default 16)\n%s",
      program,
      captures ? "  --pcap FILE          write all frames as pcapng\n"
               : "  --trace              print every packet and event\n");
  return 2;
}

inline bool parse(int argc, char** argv, Arguments& out) {
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
      out.audit_every = std::max(1U, static_cast<std::uint32_t>(number()));
    } else if (a == "--pcap" && i + 1 < argc) {
      out.pcap = argv[++i];
    } else if (a == "--traces" && i + 1 < argc) {
      out.traces = argv[++i];
    } else if (a == "--trace") {
      out.trace = true;
    } else {
      return false;
    }
  }
  return true;
}

namespace detail {

inline std::array<char, 128> last_words{};

/// A failed PROA_CHECK or a sanitizer's abort shall name the seed too.
inline void on_abort(int) {
  const auto ignored = ::write(2, last_words.data(), std::strlen(last_words.data()));
  static_cast<void>(ignored);
  std::signal(SIGABRT, SIG_DFL);
}

}  // namespace detail

/// Runs `run(seed)` for every seed, prints failures with how to replay them, and the summary.
template <class Run, class Summary>
int run_seeds(const char* program, const Arguments& arguments, Run run, Summary summary) {
  std::signal(SIGABRT, detail::on_abort);
  const auto began = std::chrono::steady_clock::now();
  std::uint64_t failed = 0;
  Traces traces{arguments.traces};
  const auto n = [](std::uint64_t v) { return static_cast<unsigned long long>(v); };
  for (std::uint64_t i = 0; i < arguments.count; ++i) {
    const std::uint64_t seed = arguments.first + i;
    std::snprintf(detail::last_words.data(), detail::last_words.size(),
                  "aborted; replay with: %s --seed %llu\n", program, n(seed));
    Verdict verdict = run(seed);
    const bool repeat = arguments.count > 1 && i % arguments.repeat_every == 0;
    if (repeat && verdict.failure.empty() && run(seed).trace != verdict.trace)
      verdict.failure = "two runs of the same seed differ";
    traces.add(seed, verdict.trace);
    if (verdict.failure.empty()) continue;
    ++failed;
    std::printf("FAIL seed %llu at %.3f ms: %s\n", n(seed), seconds(verdict.ended) * 1e3,
                verdict.failure.c_str());
    std::fflush(stdout);  // the next seed may abort
  }
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - began;
  summary(wall.count());
  if (failed > 0) std::printf("%llu seeds failed\n", n(failed));
  return failed == 0 && traces.hold() ? 0 : 1;
}

}  // namespace proa::sim
