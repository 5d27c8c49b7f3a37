// e2e: what a process takes of the system, sampled: whether it grows with time.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace proa::e2e {

/// What a process takes of the system.
struct Taken {
  std::uint64_t resident_bytes = 0, descriptors = 0;

  /// Shared pages too, unless `own` only: channels come and go with their applications.
  static Taken of(pid_t pid, bool own = false) {
    Taken out;
    const auto proc = std::filesystem::path{"/proc"} / std::to_string(pid);
    std::uint64_t all = 0, resident = 0, shared = 0;
    std::ifstream{proc / "statm"} >> all >> resident >> shared;
    out.resident_bytes =
        (own ? resident - shared : resident) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::error_code gone;
    for (std::filesystem::directory_iterator i{proc / "fd", gone}, end; !gone && i != end;
         i.increment(gone))
      ++out.descriptors;
    return out;
  }
  void raise_to(const Taken& other) {
    resident_bytes = std::max(resident_bytes, other.resident_bytes);
    descriptors = std::max(descriptors, other.descriptors);
  }
};

/// A process that lives all the time.
class Watched {
 public:
  static constexpr std::uint64_t growth_max = 2U << 20U;  // bytes, after warming up

  Watched(std::string name, pid_t pid, bool own) : name_(std::move(name)), pid_(pid), own_(own) {}

  void sample(bool warming_up) {
    now_ = Taken::of(pid_, own_);
    (warming_up ? warm_ : after_).raise_to(now_);
  }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] const Taken& now() const noexcept { return now_; }
  [[nodiscard]] const Taken& warm() const noexcept { return warm_; }
  [[nodiscard]] const Taken& after() const noexcept { return after_; }

  /// Empty, or what has grown.
  [[nodiscard]] std::string judge() const {
    if (now_.resident_bytes == 0) return name_ + " is gone";
    if (after_.resident_bytes > warm_.resident_bytes + growth_max)
      return "the memory of " + name_ + " has grown";
    if (after_.descriptors > warm_.descriptors)
      return "the descriptors of " + name_ + " have grown";
    return "";
  }

 private:
  std::string name_;
  pid_t pid_;
  bool own_;
  Taken now_, warm_, after_;
};

}  // namespace proa::e2e
