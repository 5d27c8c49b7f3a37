// L4: how a thread sleeps until its NIC or its timers need it.
#pragma once
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include <tl/expected.hpp>

#include <proa/base/time.hpp>
#include <proa/nic/nic.hpp>
#include <proa/stack/lazy_timer.hpp>

namespace proa {

/// One epoll descriptor over the NIC's descriptors and a timer, so that one handle tells everything
/// that can wake an engine; its own sleep() asks them without that detour. A NIC without
/// descriptors is looked at in growing steps up to 1 ms.
class Waiter {
 public:
  template <Nic NicT>
  [[nodiscard]] static tl::expected<Waiter, std::string> open(NicT& nic) {
    Waiter waiter;
    waiter.epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (waiter.epoll_ < 0 || !waiter.watch(waiter.timer_.descriptor()))
      return tl::unexpected{std::string{"no descriptors for waiting: "} + std::strerror(errno) +
                            "; raise the limit of open files (ulimit -n)"};
    std::array<int, 8> descriptors{};
    const std::size_t count = nic.wait_descriptors(descriptors);
    for (std::size_t i = 0; i < count; ++i)
      waiter.nic_tells_ = waiter.watch(descriptors[i]) || waiter.nic_tells_;
    return waiter;
  }
  Waiter(Waiter&& other) noexcept { swap(other); }
  Waiter& operator=(Waiter&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Waiter() {
    if (epoll_ >= 0) ::close(epoll_);
  }

  /// One more descriptor that wakes.
  void watch_also(int descriptor) noexcept { static_cast<void>(watch(descriptor)); }

  [[nodiscard]] int handle() const noexcept { return epoll_; }

  /// Something happened: look closely again.
  void stir() noexcept { nap_ = nap_first; }

  /// The handle becomes readable when the NIC receives or `until` comes. False: frames wait.
  template <Nic NicT>
  [[nodiscard]] bool arm(NicT& nic, Instant now, Instant until) noexcept {
    if (!nic.arm_wait()) return false;
    timer_.set(now, bounded(now, until));
    return true;
  }

  /// Sleeps until the NIC receives or `until` comes, whichever is first. True: what arrived woke
  /// it, nothing has waited in the ring for longer than that takes.
  template <Nic NicT>
  bool sleep(NicT& nic, Instant now, Instant until) noexcept {
    if (until <= now || !nic.arm_wait()) return false;
    timer_.set(now, bounded(now, until));
    ::ppoll(watched_.data(), count_, nullptr, nullptr);
    if (watched_[0].revents != 0) timer_.went_off();
    nic.disarm_wait();
    nap_ = std::min(2 * nap_, nap_max);
    return nic_tells_;
  }

 private:
  static constexpr Duration nap_first = std::chrono::microseconds{50};
  static constexpr Duration nap_max = std::chrono::milliseconds{1};

  Waiter() = default;
  void swap(Waiter& other) noexcept {
    std::swap(epoll_, other.epoll_);
    std::swap(timer_, other.timer_);
    std::swap(watched_, other.watched_);
    std::swap(count_, other.count_);
    std::swap(nic_tells_, other.nic_tells_);
    std::swap(nap_, other.nap_);
  }
  [[nodiscard]] bool watch(int descriptor) noexcept {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    if (count_ == watched_.size() || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0)
      return false;
    watched_[count_++] = {descriptor, POLLIN, 0};
    return true;
  }
  [[nodiscard]] Instant bounded(Instant now, Instant until) const noexcept {
    return nic_tells_ ? until : std::min(until, now + nap_);
  }
  int epoll_ = -1;
  LazyTimer timer_;
  std::array<pollfd, 10> watched_{};  // the timer first
  nfds_t count_ = 0;
  bool nic_tells_ = false;  // it has descriptors that become readable
  Duration nap_ = nap_first;
};

}  // namespace proa
