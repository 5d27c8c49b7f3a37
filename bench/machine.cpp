// bench: what a measurement must know of its machine: cores, mood, other load, one bench at a time.
#include "machine.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <unordered_map>
#include <utility>

namespace proa::bench {

namespace {

using SteadyClock = std::chrono::steady_clock;

// Between the two moods' 125 ns and 550 ns, at their geometric mean.
constexpr double mood_threshold_ns = 260;
constexpr int mood_batches = 25;
constexpr int mood_batch_round_trips = 400;
// Milliseconds do on a quiet machine; the rest is for waiting until both threads run at once.
constexpr auto mood_patience = std::chrono::milliseconds{500};

struct alignas(128) Line {
  std::atomic<std::uint32_t> value{0};
};

constexpr std::uint32_t stop_bouncing = ~0U;

void bounce_back(Line& there, Line& back, int core) {
  pin(core);
  std::uint32_t last = 0;
  for (;;) {
    // pairs with the release in bounce_batch: nothing but the value itself travels
    const auto seen = there.value.load(std::memory_order_acquire);
    if (seen == stop_bouncing) return;
    if (seen == last) continue;
    last = seen;
    back.value.store(seen, std::memory_order_release);  // pairs with the acquire in bounce_batch
  }
}

// Nanoseconds per round trip of one batch; nothing when the other core did not answer in time.
std::optional<double> bounce_batch(Line& there, Line& back, std::uint32_t& number,
                                   SteadyClock::time_point deadline) {
  const auto start = ticks();
  for (int i = 0; i < mood_batch_round_trips; ++i) {
    ++number;
    there.value.store(number, std::memory_order_release);
    std::uint32_t spins = 0;
    while (back.value.load(std::memory_order_acquire) != number)
      if ((++spins & 0xfffU) == 0 && SteadyClock::now() > deadline) return std::nullopt;
  }
  return static_cast<double>(ticks() - start) * ns_per_tick() / mood_batch_round_trips;
}

class AffinityGuard {
 public:
  AffinityGuard() { ::sched_getaffinity(0, sizeof before_, &before_); }
  ~AffinityGuard() { ::sched_setaffinity(0, sizeof before_, &before_); }
  AffinityGuard(const AffinityGuard&) = delete;
  AffinityGuard& operator=(const AffinityGuard&) = delete;

 private:
  cpu_set_t before_{};
};

// The fields of /proc/PID/stat that tell whose time it is. Times in clock ticks.
struct ProcessTime {
  int pid = 0;
  int parent = 0;
  bool kernel_thread = false;
  std::uint64_t ticks = 0;  // its own and that of the children it has waited for
};

std::optional<ProcessTime> read_process(int pid) {
  std::ifstream file{fmt::format("/proc/{}/stat", pid)};
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const auto name_end = line.rfind(')');  // the name may hold blanks and parentheses itself
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest{line.substr(name_end + 1)};
  std::string state, skipped;
  ProcessTime process{.pid = pid};
  std::uint64_t flags = 0, part = 0;
  rest >> state >> process.parent >> skipped >> skipped >> skipped >> skipped >> flags;
  for (int i = 0; i < 4; ++i) rest >> skipped;  // page faults
  for (int i = 0; i < 4; ++i) {                 // utime, stime, cutime, cstime
    rest >> part;
    process.ticks += part;
  }
  constexpr std::uint64_t pf_kthread = 0x0020'0000;
  process.kernel_thread = (flags & pf_kthread) != 0;
  if (!rest) return std::nullopt;
  return process;
}

std::vector<ProcessTime> read_processes() {
  std::vector<ProcessTime> all;
  std::error_code error;
  for (std::filesystem::directory_iterator it{"/proc", error}, end; !error && it != end;
       it.increment(error)) {
    const auto name = it->path().filename().string();
    if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); }))
      continue;
    if (auto process = read_process(std::stoi(name))) all.push_back(*process);
  }
  return all;
}

// A reaped child's time moves to its parent, so the sum over all processes only grows.
std::uint64_t foreign_ticks() {
  const auto all = read_processes();
  std::unordered_map<int, int> parent_of;
  for (const auto& process : all) parent_of.emplace(process.pid, process.parent);
  const auto ours = [&](int pid) {
    for (int depth = 0; depth < 64 && pid > 1; ++depth) {
      if (pid == ::getpid()) return true;
      const auto it = parent_of.find(pid);
      if (it == parent_of.end()) return false;
      pid = it->second;
    }
    return false;
  };
  std::uint64_t sum = 0;
  for (const auto& process : all)
    if (!process.kernel_thread && !ours(process.pid)) sum += process.ticks;
  return sum;
}

std::uint64_t stolen_ticks() {
  std::ifstream file{"/proc/stat"};
  std::string cpu;
  std::uint64_t value = 0;
  file >> cpu;
  for (int i = 0; i < 8; ++i) file >> value;  // user nice system idle iowait irq softirq steal
  return file ? value : 0;
}

}  // namespace

double ns_per_tick() noexcept {
#if defined(__x86_64__)
  static const double calibrated = [] {
    const auto clock_start = SteadyClock::now();
    const auto tick_start = ticks();
    while (SteadyClock::now() - clock_start < std::chrono::milliseconds{10}) {
    }
    const auto tick_end = ticks();
    const auto passed = std::chrono::duration<double, std::nano>(SteadyClock::now() - clock_start);
    return passed.count() / static_cast<double>(tick_end - tick_start);
  }();
  return calibrated;
#else
  return static_cast<double>(SteadyClock::period::num) * 1e9 /
         static_cast<double>(SteadyClock::period::den);
#endif
}

std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
  return cores;
}

bool pin(int core) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

std::string temporary_directory() {
  std::error_code error;
  const auto path = std::filesystem::temp_directory_path(error);
  return error ? "/tmp" : path.string();
}

std::string_view text(Mood mood) noexcept {
  switch (mood) {
    case Mood::unknown:
      return "unknown";
    case Mood::fast:
      return "fast";
    case Mood::slow:
      return "slow";
  }
  return "unknown";
}

MoodReading read_mood(int core_a, int core_b) {
  if (core_a == core_b) return {};
  const AffinityGuard guard;
  Line there, back;
  std::thread other{bounce_back, std::ref(there), std::ref(back), core_b};
  pin(core_a);
  std::vector<double> batches;
  std::uint32_t number = 0;
  const auto deadline = SteadyClock::now() + mood_patience;
  for (int i = 0; i < mood_batches; ++i) {
    const auto batch = bounce_batch(there, back, number, deadline);
    if (!batch) break;
    batches.push_back(*batch);
  }
  there.value.store(stop_bouncing, std::memory_order_release);
  other.join();
  if (batches.empty()) return {};
  // A preempted batch is long by milliseconds; the lower quartile is what the wire can do.
  const auto quarter = batches.begin() + static_cast<std::ptrdiff_t>(batches.size() / 4);
  std::nth_element(batches.begin(), quarter, batches.end());
  return {*quarter < mood_threshold_ns ? Mood::fast : Mood::slow, *quarter};
}

double cpu_seconds(pid_t pid) {
  double sum_ns = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator it{fmt::format("/proc/{}/task", pid), error}, end;
       !error && it != end; it.increment(error)) {
    double running_ns = 0;
    std::ifstream{it->path() / "schedstat"} >> running_ns;
    sum_ns += running_ns;
  }
  return sum_ns / 1e9;
}

OtherLoad::OtherLoad()
    : foreign_ticks_(foreign_ticks()), stolen_ticks_(stolen_ticks()), since_(SteadyClock::now()) {}

double OtherLoad::percent() const {
  const auto foreign = foreign_ticks(), stolen = stolen_ticks();
  const std::chrono::duration<double> passed = SteadyClock::now() - since_;
  const auto rate = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const auto processors = static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
  const auto grown = [](std::uint64_t now, std::uint64_t before) {
    return now > before ? static_cast<double>(now - before) : 0.0;  // an unwaited child is lost
  };
  const double taken = grown(foreign, foreign_ticks_) + grown(stolen, stolen_ticks_);
  return std::clamp(100.0 * taken / (rate * processors * passed.count()), 0.0, 100.0);
}

tl::expected<MachineLock, std::string> MachineLock::take(std::chrono::seconds patience,
                                                         const std::function<void()>& on_wait) {
  MachineLock lock{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  // A name without a file: bound by one at a time, free again however its process ends.
  constexpr std::string_view name = "proa-bench";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  const auto deadline = SteadyClock::now() + patience;
  bool told = false;
  while (::bind(lock.fd_, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    if (errno != EADDRINUSE)
      return tl::unexpected(
          fmt::format("cannot bind the abstract socket {}: {}", name, std::strerror(errno)));
    if (SteadyClock::now() > deadline)
      return tl::unexpected(fmt::format(
          "another bench measures for more than {} s; end it or wait longer with --lock-wait",
          patience.count()));
    if (!std::exchange(told, true)) on_wait();
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
  return lock;
}

MachineLock::MachineLock(MachineLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
MachineLock::~MachineLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace proa::bench
