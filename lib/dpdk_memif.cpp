// lib: memif kept safe and awake: its control channel never runs during a burst, a lost server is
// looked for again, and a sleeping thread is woken by the peer.
//
// The driver handles its control channel in DPDK's interrupt thread. When the peer goes away it
// unmaps the rings there and then, whoever is polling them: the poller crashes (librte_net_memif
// 22.11). So Proa occupies that thread with a callback of its own which waits for the control
// sockets to become readable, closes the gates of all memif ports, and only then returns to let
// the driver run. DPDK calls it again afterwards, because its descriptor is always readable.
// Interrupt handles are marked experimental in DPDK 22.11 and became stable unchanged.
#define ALLOW_EXPERIMENTAL_API
#include <fcntl.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <rte_interrupts.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int retry_ms = 50;  // between a client's attempts to connect again
constexpr auto handshake_at_most = milliseconds(300);  // then the client starts over
constexpr int others_ms = 100;  // how long interrupts of other drivers may wait

void signal(int eventfd) noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(eventfd, &one, sizeof one));
}
void drain(int eventfd) noexcept {
  std::uint64_t count = 0;
  static_cast<void>(!::read(eventfd, &count, sizeof count));
}

/// Occupies DPDK's interrupt thread as long as there are memif ports.
class Guard {
 public:
  static Guard& instance() {
    static auto* guard = new Guard;  // never destroyed: DPDK's thread outlives main()
    return *guard;
  }
  [[nodiscard]] bool add(DpdkPort& port);
  void remove(DpdkPort& port);
  /// Runs `work` while no control message is being handled and none waits in DPDK's hands.
  void exclusively(const std::function<void()>& work);

 private:
  [[nodiscard]] bool occupy();
  void vacate();
  static void interrupted(void* self) { static_cast<Guard*>(self)->run(); }
  void run();
  void serve_visitors(std::unique_lock<std::mutex>& lock);
  void close_gates() noexcept;
  void open_gates();
  [[nodiscard]] std::vector<int> held_by_others(const DpdkPort& port) const;
  void rescan();
  [[nodiscard]] bool ready(int timeout_ms) noexcept;
  [[nodiscard]] int patience() const noexcept;
  [[nodiscard]] bool reconnect();

  std::mutex ports_mutex_;  // add() and remove(), one at a time
  std::mutex mutex_;        // everything below but `sockets_`, the interrupt thread's own
  std::condition_variable changed_;
  std::vector<DpdkPort*> ports_;
  std::vector<pollfd> sockets_;  // wake_ first, then the control sockets
  unsigned visitors_ = 0;
  bool parked_ = false, pass_ = false, leaving_ = false;
  rte_intr_handle* handle_ = nullptr;
  int always_ = -1, wake_ = -1;
};

bool Guard::add(DpdkPort& port) {
  const std::lock_guard serial{ports_mutex_};
  if (handle_ == nullptr && !occupy()) return false;
  exclusively([&] { ports_.push_back(&port); });
  return true;
}

void Guard::remove(DpdkPort& port) {
  const std::lock_guard serial{ports_mutex_};
  exclusively([&] { std::erase(ports_, &port); });
  if (ports_.empty() && handle_ != nullptr) vacate();
}

void Guard::exclusively(const std::function<void()>& work) {
  std::unique_lock lock{mutex_};
  ++visitors_;
  signal(wake_);
  changed_.wait(lock, [this] { return parked_; });
  work();
  --visitors_;
  pass_ = true;  // what `work` registered with DPDK becomes effective only after a round of it
  changed_.notify_all();
}

bool Guard::occupy() {
  always_ = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockets_ = {{wake_, POLLIN, 0}};
  leaving_ = false;
  handle_ = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
  return handle_ != nullptr && rte_intr_fd_set(handle_, always_) == 0 &&
         rte_intr_type_set(handle_, RTE_INTR_HANDLE_EXT) == 0 &&
         rte_intr_callback_register(handle_, interrupted, this) == 0;
}

void Guard::vacate() {
  {
    const std::lock_guard lock{mutex_};
    leaving_ = true;
    drain(always_);
    signal(wake_);
  }
  rte_intr_callback_unregister_sync(handle_, interrupted, this);
  rte_intr_instance_free(std::exchange(handle_, nullptr));
  ::close(always_);
  ::close(wake_);
}

/// DPDK's interrupt thread lives in here; each return lets it handle what is waiting, once.
void Guard::run() {
  std::unique_lock lock{mutex_};
  if (leaving_ || ready(0)) return;  // the gates stay closed: the driver is not done
  open_gates();
  rescan();
  for (;;) {
    const int timeout = patience();
    lock.unlock();
    const bool message = ready(timeout);
    lock.lock();
    if (leaving_) return;
    if (message) break;
    drain(wake_);
    serve_visitors(lock);
    if (std::exchange(pass_, false) || reconnect() || timeout == others_ms) break;
  }
  close_gates();
}

void Guard::serve_visitors(std::unique_lock<std::mutex>& lock) {
  if (visitors_ == 0) return;
  parked_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return visitors_ == 0; });
  parked_ = false;
}

bool Guard::ready(int timeout_ms) noexcept {
  if (::poll(sockets_.data(), sockets_.size(), timeout_ms) <= 0) return false;
  return std::any_of(sockets_.begin() + 1, sockets_.end(), [](const pollfd& socket) {
    return (socket.revents & (POLLIN | POLLHUP | POLLERR)) != 0;
  });
}

void Guard::rescan() {
  std::vector<std::string> paths;
  for (const auto* port : ports_) paths.push_back(port->options.memif.socket);
  sockets_.resize(1);
  for (const int fd : unix_sockets_of(paths)) sockets_.push_back({fd, POLLIN, 0});
}

int Guard::patience() const noexcept {
  const bool looking = std::any_of(ports_.begin(), ports_.end(), [](const DpdkPort* port) {
    return port->reconnects && !port->link_up();
  });
  if (looking) return retry_ms;
  return rte_eth_dev_count_avail() > ports_.size() ? others_ms : -1;
}

void Guard::close_gates() noexcept {
  for (auto* port : ports_) port->gate->close();
}

void Guard::open_gates() {
  for (auto* port : ports_) {
    port->follow_memif_link(held_by_others(*port));
    if (!port->offline && !port->unmatched) port->gate->open();
  }
}

std::vector<int> Guard::held_by_others(const DpdkPort& port) const {
  std::vector<int> all;
  for (const auto* other : ports_)
    if (other != &port)
      all.insert(all.end(), other->of_connection.begin(), other->of_connection.end());
  std::sort(all.begin(), all.end());
  return all;
}

/// A client whose server went away starts again and again; true: DPDK has new descriptors to watch.
bool Guard::reconnect() {
  bool connecting = false;
  for (auto* port : ports_) {
    if (!port->reconnects || port->link_up() || steady_clock::now() < port->retry_at) continue;
    port->gate->close();
    rte_eth_dev_stop(port->id);
    port->offline = rte_eth_dev_start(port->id) != 0;
    port->retry_at = steady_clock::now() +
                     (port->offline ? milliseconds(retry_ms) : milliseconds(handshake_at_most));
    connecting = connecting || !port->offline;
  }
  return connecting;
}

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

PollerGate::PollerGate(std::size_t pollers) : lines_(pollers) {
  fences_ = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

void PollerGate::close() noexcept {
  if ((state_.fetch_or(closed_bit) & closed_bit) != 0) return;
  // A full fence in every running thread of this process: pairs with the signal fence in enter().
  if (fences_)
    ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  else  // refused by a seccomp filter: every store buffer has drained long before this ends
    std::this_thread::sleep_for(milliseconds(1));
  for (const auto& line : lines_)
    while (line.busy.load(std::memory_order_acquire) != 0) std::this_thread::yield();
}

// Release: pollers see what was changed while the gate was closed.
void PollerGate::open() noexcept { state_.fetch_and(~closed_bit, std::memory_order_release); }

MemifWait::MemifWait(std::size_t queues) : link_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  for (std::size_t i = 0; i < queues; ++i) {
    queues_.push_back({.epoll = ::epoll_create1(EPOLL_CLOEXEC)});
    epoll_event event{.events = EPOLLIN, .data = {}};
    ::epoll_ctl(queues_.back().epoll, EPOLL_CTL_ADD, link_, &event);
  }
}

MemifWait::~MemifWait() {
  disconnected();
  for (const auto& queue : queues_) ::close(queue.epoll);
  ::close(link_);
}

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
  signal(link_);
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
  signal(link_);
}

void MemifWait::ask_to_be_woken(std::size_t queue, bool on) noexcept {
  constexpr std::uint16_t interrupts_masked = 1;
  auto& q = queues_[queue];
  if (q.flags != nullptr) {
    const std::atomic_ref flags{*q.flags};
    flags.store(on ? 0 : interrupts_masked);  // a full fence: the ring is looked at next
  }
  if (on) return;
  drain(q.event);
  drain(link_);
}

bool guard_memif(DpdkPort& port) { return Guard::instance().add(port); }
void unguard_memif(DpdkPort& port) { Guard::instance().remove(port); }
void without_memif_control(const std::function<void()>& work) {
  Guard::instance().exclusively(work);
}

/// In the interrupt thread, gates closed: notices that the link went up or down.
///
/// A server connects to a client with fewer queue pairs as if it had all of them (librte_net_memif
/// 22.11): its other queues then use the client's first ring or where one of the client before lay,
/// two threads on one ring, or outside of the region. So such a client is not served. It is not
/// told either, the protocol has no word for it. (A client with more is refused by the driver.)
void DpdkPort::follow_memif_link(const std::vector<int>& of_others) {
  const bool up = has_link();
  if (up == link_was_up) return;
  link_was_up = up;
  if (!up) {
    if (!unmatched.exchange(false)) events.link_downs.fetch_add(1, std::memory_order_relaxed);
    memif_wait->disconnected();
    descriptors_before = own_descriptors();
    of_connection.clear();
    return;
  }
  // A region is known by its name, whatever had its number before; eventfds of others are not.
  const auto regions = of_kind(without(own_descriptors(), of_others), DescriptorKind::memif_region);
  const auto rings =
      of_kind(without(added_since(descriptors_before), of_others), DescriptorKind::plain_eventfd);
  if (regions.size() == 1)
    std::merge(regions.begin(), regions.end(), rings.begin(), rings.end(),
               std::back_inserter(of_connection));
  const std::size_t of_peer =
      memif_wait->connected(regions, rings, options.memif.role == MemifRole::client);
  if (of_peer >= queue_pairs) return;
  unmatched = true;
  events.mismatches.fetch_add(1, std::memory_order_relaxed);
  say("the client has queue pairs for " + std::to_string(of_peer) + " of " +
      std::to_string(queue_pairs) +
      " here and is not served: start both ends with as many (engines, queues)");
}

}  // namespace proa::detail
