// lib: what happens to ports from outside: cables, resets, devices that go away and come back.
//
// DPDK tells some of it from its own thread; of kernel interfaces (af_packet, af_xdp, tap) the
// kernel tells more than their drivers, by rtnetlink. One thread listens to both and sets a port up
// anew with its gate closed, because that takes long and must not happen inside a callback.
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <thread>

#include "dpdk_internal.hpp"
#include "link_news.hpp"

namespace proa::detail {
namespace {

using std::chrono::steady_clock;

constexpr auto look_again = std::chrono::milliseconds(500);  // for a device that went away

enum : std::uint32_t { link_changed = 1, wants_reset = 2, went_away = 4 };

bool is_kernel_interface(const DpdkPort& port) noexcept {
  using enum DpdkDriver;
  const auto driver = port.options.driver;
  return driver == af_packet || driver == af_xdp || driver == tap;
}

/// A socket whose interface was down stays readable until somebody asks why.
void clear_errors(const DpdkPort& port) noexcept {
  for (const int fd : port.wait_fds) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
}

/// proad becomes an ordinary user after its start. This thread alone keeps what it takes to open a
/// kernel interface again that was removed and came back.
void keep_network_capabilities() noexcept { ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0); }

/// Capabilities the change of user left in the permitted set become effective; others are dropped.
void use_network_capabilities() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0 || ::geteuid() == 0) return;
  constexpr unsigned wanted[] = {CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK, CAP_PERFMON, CAP_BPF};
  std::array<std::uint32_t, 2> keep{};
  for (const unsigned one : wanted) keep[one / 32] |= 1U << (one % 32);
  for (std::size_t i = 0; i < sets.size(); ++i) {
    sets[i].permitted &= keep[i];
    sets[i].effective = sets[i].permitted;
    sets[i].inheritable = 0;
  }
  ::syscall(SYS_capset, &header, sets.data());
}

/// One port that is watched.
struct Watched {
  DpdkPort* port = nullptr;
  int netlink = -1;
  int index = 0;                          // of the kernel's interface
  bool gone = false;                      // the device; its gate stays closed
  bool complained = false;                // that it cannot be opened again
  std::atomic<std::uint32_t> pending{0};  // from DPDK's thread
  steady_clock::time_point retry_at{};
};

class PortWatch {
 public:
  static PortWatch& instance() {
    static auto* watch = new PortWatch;  // never destroyed: DPDK's thread outlives main()
    return *watch;
  }
  void add(DpdkPort& port);
  void remove(DpdkPort& port);
  std::recursive_mutex& mutex() noexcept { return mutex_; }

 private:
  static int told(std::uint16_t port, rte_eth_event_type event, void* watched, void*);
  void run();
  void listen_to(Watched& w);
  void stop_listening_to(Watched& w);
  int gather(std::vector<pollfd>& descriptors);
  void serve(Watched& w);
  void hear_kernel(Watched& w);
  void handle(Watched& w, const LinkNews& news);
  void set_carrier(Watched& w, bool carrier);
  void lose(Watched& w);
  void renew(Watched& w);
  void find_again(Watched& w);
  void wake() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_, &one, sizeof one));
  }

  std::recursive_mutex mutex_;  // the ports of this process: their list and their opening
  std::vector<std::unique_ptr<Watched>> ports_;
  std::thread thread_;
  bool leaving_ = false;
  int wake_ = -1;
};

void PortWatch::add(DpdkPort& port) {
  const std::lock_guard lock{mutex_};
  if (ports_.empty()) wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  auto& w = *ports_.emplace_back(std::make_unique<Watched>());
  w.port = &port;
  if (is_kernel_interface(port)) {
    w.netlink = open_netlink();
    w.index = static_cast<int>(::if_nametoindex(port.options.interface.c_str()));
    // What was so before is no event.
    port.carrier = has_carrier(port.options.interface).value_or(true);
    if (!port.carrier) port.gate->close();
    if (!port.carrier) port.heed_arrivals(false);
  }
  listen_to(w);
  leaving_ = false;
  if (!thread_.joinable())
    thread_ = std::thread{[this] { run(); }};
  else
    wake();
}

void PortWatch::remove(DpdkPort& port) {
  std::thread last;
  {
    const std::lock_guard lock{mutex_};
    const auto found = std::find_if(ports_.begin(), ports_.end(),
                                    [&](const auto& one) { return one->port == &port; });
    if (found == ports_.end()) return;
    if (!(*found)->gone) stop_listening_to(**found);
    if ((*found)->netlink >= 0) ::close((*found)->netlink);
    ports_.erase(found);
    if (!ports_.empty()) return;
    leaving_ = true;
    last = std::move(thread_);
    wake();
  }
  last.join();
  ::close(std::exchange(wake_, -1));
}

void PortWatch::listen_to(Watched& w) {
  for (const auto event :
       {RTE_ETH_EVENT_INTR_LSC, RTE_ETH_EVENT_INTR_RESET, RTE_ETH_EVENT_INTR_RMV})
    rte_eth_dev_callback_register(w.port->id, event, told, &w);
}

void PortWatch::stop_listening_to(Watched& w) {
  for (const auto event :
       {RTE_ETH_EVENT_INTR_LSC, RTE_ETH_EVENT_INTR_RESET, RTE_ETH_EVENT_INTR_RMV})
    while (rte_eth_dev_callback_unregister(w.port->id, event, told, &w) == -EAGAIN)
      std::this_thread::yield();
}

/// In whatever thread of DPDK's.
int PortWatch::told(std::uint16_t, rte_eth_event_type event, void* watched, void*) {
  auto& w = *static_cast<Watched*>(watched);
  const std::uint32_t what = event == RTE_ETH_EVENT_INTR_LSC     ? link_changed
                             : event == RTE_ETH_EVENT_INTR_RESET ? wants_reset
                                                                 : went_away;
  w.pending.fetch_or(what, std::memory_order_relaxed);
  instance().wake();
  return 0;
}

void PortWatch::run() {
  ::prctl(PR_SET_NAME, "proa-ports");
  keep_network_capabilities();
  std::vector<pollfd> descriptors;
  for (;;) {
    int timeout = -1;
    {
      const std::lock_guard lock{mutex_};
      if (leaving_) return;
      timeout = gather(descriptors);
    }
    ::poll(descriptors.data(), descriptors.size(), timeout);
    const std::lock_guard lock{mutex_};
    if (leaving_) return;
    std::uint64_t rings = 0;
    static_cast<void>(!::read(wake_, &rings, sizeof rings));
    for (const auto& w : ports_) serve(*w);
  }
}

int PortWatch::gather(std::vector<pollfd>& descriptors) {
  descriptors.assign(1, {wake_, POLLIN, 0});
  int timeout = -1;
  for (const auto& w : ports_) {
    if (w->netlink >= 0) descriptors.push_back({w->netlink, POLLIN, 0});
    if (w->gone) timeout = static_cast<int>(look_again.count());
  }
  return timeout;
}

void PortWatch::serve(Watched& w) {
  if (w.netlink >= 0) hear_kernel(w);
  const auto pending = w.pending.exchange(0, std::memory_order_relaxed);
  if ((pending & went_away) != 0) lose(w);
  if ((pending & wants_reset) != 0) renew(w);
  if ((pending & link_changed) != 0 && w.netlink < 0 && !w.gone) {
    rte_eth_link link{};
    if (rte_eth_link_get_nowait(w.port->id, &link) == 0)
      set_carrier(w, link.link_status == RTE_ETH_LINK_UP);
  }
  if (w.gone && steady_clock::now() >= w.retry_at) find_again(w);
}

void PortWatch::hear_kernel(Watched& w) {
  if (read_news(w.netlink, [&](const LinkNews& news) { handle(w, news); })) return;
  const auto& interface = w.port->options.interface;
  if (static_cast<int>(::if_nametoindex(interface.c_str())) != w.index) return lose(w);
  set_carrier(w, has_carrier(interface).value_or(false));
}

void PortWatch::handle(Watched& w, const LinkNews& news) {
  if (w.gone) {
    if (!news.gone && news.name == w.port->options.interface) w.retry_at = {};
    return;
  }
  if (news.index != w.index) return;
  if (news.gone) return lose(w);
  set_carrier(w, news.carrier);
}

/// Without a carrier the gate is closed: drivers would take frames and lose or hoard them.
void PortWatch::set_carrier(Watched& w, bool carrier) {
  DpdkPort& port = *w.port;
  clear_errors(port);
  if (port.carrier.exchange(carrier, std::memory_order_relaxed) == carrier) return;
  if (carrier) {
    port.gate->open();
    port.heed_arrivals(true);
    return port.say("link is up");
  }
  port.gate->close();
  port.heed_arrivals(false);
  port.events.link_downs.fetch_add(1, std::memory_order_relaxed);
  port.say("link is down");
}

void PortWatch::lose(Watched& w) {
  if (std::exchange(w.gone, true)) return;
  DpdkPort& port = *w.port;
  port.gate->close();
  port.carrier.store(false, std::memory_order_relaxed);
  port.events.removals.fetch_add(1, std::memory_order_relaxed);
  port.say("the device is gone; it is looked for until it is back");
  stop_listening_to(w);
  port.close_device();
  w.complained = false;
  w.retry_at = steady_clock::now() + look_again;
}

/// The driver's reset; where it has none, the device is closed and opened.
void PortWatch::renew(Watched& w) {
  if (w.gone) return;
  DpdkPort& port = *w.port;
  port.gate->close();
  port.events.resets.fetch_add(1, std::memory_order_relaxed);
  port.say("the driver asks for a reset");
  if (port.reset()) {
    port.events.reopened.fetch_add(1, std::memory_order_relaxed);
    if (port.carrier.load(std::memory_order_relaxed)) port.gate->open();
    return;
  }
  stop_listening_to(w);
  port.close_device();
  w.gone = true;
  w.complained = false;
  w.retry_at = {};
}

void PortWatch::find_again(Watched& w) {
  DpdkPort& port = *w.port;
  use_network_capabilities();
  if (const auto opened = port.reopen(); !opened) {
    port.close_device();
    if (!std::exchange(w.complained, true)) port.say("not yet open again: " + opened.error());
    w.retry_at = steady_clock::now() + look_again;
    return;
  }
  w.gone = false;
  port.events.reopened.fetch_add(1, std::memory_order_relaxed);
  port.say("the device is back");
  listen_to(w);
  bool carrier = true;
  if (w.netlink >= 0) {
    const auto& interface = port.options.interface;
    w.index = static_cast<int>(::if_nametoindex(interface.c_str()));
    carrier = has_carrier(interface).value_or(true);
  }
  port.gate->renew();
  port.carrier.store(carrier, std::memory_order_relaxed);
  if (carrier)
    port.gate->open();
  else
    port.heed_arrivals(false);
}

}  // namespace

void watch_port(DpdkPort& port) { PortWatch::instance().add(port); }
void unwatch_port(DpdkPort& port) { PortWatch::instance().remove(port); }
std::unique_lock<std::recursive_mutex> change_ports() {
  return std::unique_lock{PortWatch::instance().mutex()};
}

}  // namespace proa::detail
