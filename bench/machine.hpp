// bench: what a measurement must know of its machine: cores, mood, other load, one bench at a time.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace proa::bench {

/// The cheapest monotonic counter of this machine (9 ns where the clock costs 25).
[[nodiscard]] inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  return __rdtsc();
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

/// Nanoseconds per tick, calibrated against the steady clock at the first call (10 ms).
[[nodiscard]] double ns_per_tick() noexcept;

/// Processors this process may run on, ascending.
[[nodiscard]] std::vector<int> allowed_cores();

/// Binds the calling thread to one processor; false when the system refuses.
bool pin(int core) noexcept;

/// Where sockets and directories of a bench go: TMPDIR, else /tmp.
[[nodiscard]] std::string temporary_directory();

/// Where the host has put our virtual processors: a cache line to the other core and back costs
/// about 125 ns (fast) or 550 ns (slow), and it changes while one looks away.
enum class Mood : std::uint8_t { unknown, fast, slow };
[[nodiscard]] std::string_view text(Mood mood) noexcept;

struct MoodReading {
  Mood mood = Mood::unknown;  // unknown on one core
  double round_trip_ns = 0;
};

/// Bounces a cache line between two processors for a few milliseconds.
[[nodiscard]] MoodReading read_mood(int core_a, int core_b);

/// What all threads of a process have used of processors so far, to the nanosecond; 0 if it is
/// gone.
[[nodiscard]] double cpu_seconds(pid_t pid);

/// Processor time that processes outside this one's family took, since construction. The kernel's
/// own threads are not counted: on a busy wire they work for us.
class OtherLoad {
 public:
  OtherLoad();
  /// Percent of all processors' time; 0 to 100. Includes what the host stole.
  [[nodiscard]] double percent() const;

 private:
  std::uint64_t foreign_ticks_ = 0;  // user-space processes that are not ours
  std::uint64_t stolen_ticks_ = 0;
  std::chrono::steady_clock::time_point since_;
};

/// Held while measuring, by one bench per machine. Released by the system when the process ends.
class MachineLock {
 public:
  /// Waits at most `patience`; calls `on_wait` once if it has to wait at all.
  [[nodiscard]] static tl::expected<MachineLock, std::string> take(
      std::chrono::seconds patience, const std::function<void()>& on_wait);
  MachineLock(MachineLock&& other) noexcept;
  MachineLock& operator=(MachineLock&&) = delete;
  MachineLock(const MachineLock&) = delete;
  ~MachineLock();

 private:
  explicit MachineLock(int fd) noexcept : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace proa::bench
