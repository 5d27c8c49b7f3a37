// lib: memif kept safe: its control channel never runs during a burst, a lost server is looked for
// again, and what the driver opens for a connection is noticed (for dpdk_memif_wait.cpp).
//
// The driver handles its control channel in DPDK's interrupt thread. When the peer goes away it
// unmaps the rings there and then, whoever is polling them: the poller crashes (librte_net_memif
// 22.11). So Proa occupies that thread with a callback of its own which waits for the control
// sockets to become readable, closes the gates of all memif ports, and only then returns to let
// the driver run. DPDK calls it again afterwards, because its descriptor is always readable.
// Interrupt handles are marked experimental in DPDK 22.11 and became stable unchanged.
#define ALLOW_EXPERIMENTAL_API
#include <poll.h>
#include <rte_interrupts.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int retry_ms = 50;  // between a client's attempts to connect again
constexpr auto handshake_at_most = milliseconds(300);  // then the client starts over
constexpr int others_ms = 100;  // how long interrupts of other drivers may wait

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
  void note_opened();
  void let_driver_run();
  void rescan();
  [[nodiscard]] bool ready(int timeout_ms) noexcept;
  [[nodiscard]] int patience() const noexcept;
  [[nodiscard]] bool reconnect();

  std::mutex ports_mutex_;  // add() and remove(), one at a time
  std::mutex mutex_;        // everything below but `sockets_`, the interrupt thread's own
  std::condition_variable changed_;
  std::vector<DpdkPort*> ports_;
  std::vector<pollfd> sockets_;                      // wake_ first, then the control sockets
  std::optional<std::vector<int>> eventfds_before_;  // the driver was let run; sorted
  std::vector<int> opened_;  // eventfds of connections that are not up yet, in the driver's order
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
  eventfds_before_.reset();
  opened_.clear();
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
  note_opened();
  if (leaving_) return;
  if (ready(0)) return let_driver_run();  // the gates stay closed: the driver is not done
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
  let_driver_run();
}

/// A connection's eventfds are what the driver has opened in here, whatever number they got and
/// whatever else this process opens and closes: several at a time get ascending numbers, the next
/// ones perhaps lower ones. (Only what another thread does in these microseconds may be mistaken.)
void Guard::note_opened() {
  if (!eventfds_before_) return;
  const auto now = of_kind(own_descriptors(), DescriptorKind::plain_eventfd);
  const auto closed = [&](int fd) { return !std::binary_search(now.begin(), now.end(), fd); };
  std::erase_if(opened_, closed);  // of a handshake that failed
  const auto fresh = without(now, *eventfds_before_);
  opened_.insert(opened_.end(), fresh.begin(), fresh.end());
}

void Guard::let_driver_run() {
  eventfds_before_ = of_kind(own_descriptors(), DescriptorKind::plain_eventfd);
  const auto closed = [&](int fd) {
    return !std::binary_search(eventfds_before_->begin(), eventfds_before_->end(), fd);
  };
  std::erase_if(opened_, closed);  // a port was stopped meanwhile
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
    port->follow_memif_link(held_by_others(*port), opened_);
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

}  // namespace

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
void DpdkPort::follow_memif_link(const std::vector<int>& of_others, std::vector<int>& opened) {
  const bool up = has_link();
  if (up == link_was_up) return;
  link_was_up = up;
  if (!up) {
    if (!unmatched.exchange(false)) events.link_downs.fetch_add(1, std::memory_order_relaxed);
    memif_wait->disconnected();
    of_connection.clear();
    return;
  }
  const auto regions = of_kind(without(own_descriptors(), of_others), DescriptorKind::memif_region);
  const auto rings = std::exchange(opened, {});
  if (regions.size() == 1) of_connection = regions;
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
