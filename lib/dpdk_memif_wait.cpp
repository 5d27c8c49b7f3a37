// lib: how a thread sleeps on a memif queue: the peer rings an eventfd of the connection if the
// ring in the shared memory says so.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstring>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

/// The rings at the start of the region both ends map: client to server, then server to client.
struct Rings {
  std::size_t count = 0;  // 0: they are not where expected
  std::size_t ring_bytes = 0;

  [[nodiscard]] std::uint16_t* flags(std::byte* region, std::size_t ring) const noexcept {
    constexpr std::size_t flags_at = 4;
    return reinterpret_cast<std::uint16_t*>(region + ring * ring_bytes + flags_at);
  }
};
Rings find_rings(const std::byte* region, std::size_t bytes) noexcept {
  constexpr std::uint32_t cookie = 0x3E31F20;
  constexpr std::size_t header_bytes = 128, descriptor_bytes = 16;
  const auto has_cookie = [&](std::size_t at) {
    std::uint32_t found = 0;
    if (at + header_bytes > bytes) return false;
    std::memcpy(&found, region + at, sizeof found);
    return found == cookie;
  };
  // The client chose the ring size; the second ring's cookie tells the server which.
  for (unsigned log2 = 5; has_cookie(0) && log2 <= 14; ++log2) {
    Rings rings{1, header_bytes + (descriptor_bytes << log2)};
    while (has_cookie(rings.count * rings.ring_bytes)) ++rings.count;
    if (rings.count > 1) return rings;
  }
  return {};
}

int millisecond_ticks() noexcept {
  const int fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  constexpr timespec period{.tv_sec = 0, .tv_nsec = 1'000'000};
  const itimerspec ticks{.it_interval = period, .it_value = period};
  ::timerfd_settime(fd, 0, &ticks, nullptr);
  return fd;
}

}  // namespace

MemifWait::MemifWait(std::size_t queues) {
  for (std::size_t i = 0; i < queues; ++i) {
    queues_.push_back({.epoll = ::epoll_create1(EPOLL_CLOEXEC),
                       .link = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
    epoll_event event{.events = EPOLLIN, .data = {}};
    ::epoll_ctl(queues_.back().epoll, EPOLL_CTL_ADD, queues_.back().link, &event);
  }
}

MemifWait::~MemifWait() {
  disconnected();
  for (const auto& queue : queues_) {
    ::close(queue.epoll);
    ::close(queue.link);
  }
}

void MemifWait::tell_link() const noexcept {
  for (const auto& queue : queues_) signal(queue.link);
}

void MemifWait::heed_link(std::size_t queue) noexcept { drain(queues_[queue].link); }

std::size_t MemifWait::connected(const std::vector<int>& regions, const std::vector<int>& events,
                                 bool client) {
  const auto count = queues_.size();
  const bool mapped = regions.size() == 1 && map(regions[0]);
  const Rings rings = mapped ? find_rings(region_, bytes_) : Rings{};
  if (rings.count != 0 && rings.count < 2 * count) return rings.count / 2;
  const bool found = rings.count == 2 * count && events.size() == 2 * count;
  // Eventfds come in the order of the rings.
  const std::size_t first = client ? count : 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto& queue = queues_[i];
    if (found) queue.flags = rings.flags(region_, first + i);
    queue.event = queue.flags != nullptr ? ::fcntl(events[first + i], F_DUPFD_CLOEXEC, 0)
                                         : millisecond_ticks();
    epoll_event event{.events = EPOLLIN, .data = {}};
    ::epoll_ctl(queue.epoll, EPOLL_CTL_ADD, queue.event, &event);
  }
  tell_link();
  return count;
}

bool MemifWait::map(int region) {
  struct stat info {};
  if (::fstat(region, &info) != 0) return false;
  bytes_ = static_cast<std::size_t>(info.st_size);
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0);
  if (mapped == MAP_FAILED) return false;
  region_ = static_cast<std::byte*>(mapped);
  return true;
}

void MemifWait::disconnected() {
  for (auto& queue : queues_) {
    queue.flags = nullptr;
    if (queue.event < 0) continue;
    ::epoll_ctl(queue.epoll, EPOLL_CTL_DEL, queue.event, nullptr);
    ::close(std::exchange(queue.event, -1));
  }
  if (region_ != nullptr) ::munmap(std::exchange(region_, nullptr), bytes_);
  tell_link();
}

void MemifWait::ask_to_be_woken(std::size_t queue, bool on) noexcept {
  constexpr std::uint16_t interrupts_masked = 1;
  auto& q = queues_[queue];
  if (q.flags != nullptr) {
    const std::atomic_ref flags{*q.flags};
    flags.store(on ? 0 : interrupts_masked);  // a full fence: the ring is looked at next
  }
  if (!on) drain(q.event);
}

}  // namespace proa::detail
