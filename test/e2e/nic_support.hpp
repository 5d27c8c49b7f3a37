// e2e: two processes with one DPDK port each, and what they say about each other.
#pragma once
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <proa/nic/dpdk.hpp>
#include <string>
#include <vector>

#include "netns.hpp"
#include "process.hpp"
#include "raw_l2.hpp"

namespace proa::e2e {

using bench::ChildProcess;
using bench::Control;
using bench::TwoHosts;
using std::chrono::steady_clock;

/// What a child has to say at its end: empty means all is well.
struct Verdict {
  char text[480] = {};
  Verdict() = default;
  explicit Verdict(const std::string& what) { what.copy(text, sizeof text - 1); }
};

/// One end of a wire: the port it opens and what it does with its first or all queue pairs.
struct End {
  DpdkOptions options{};
  std::function<std::string(DpdkNic&, Control&)> body{};
  std::function<std::string(std::span<DpdkNic>, Control&)> body_of_all{};
};

/// With what only a bug keeps from happening.
inline std::chrono::seconds patience() { return std::chrono::seconds(60); }

/// Whether what is wanted comes true before patience ends. Looks again and again, but leaves the
/// processor to DPDK's interrupt thread in between: often it is to come from there.
template <class Wanted>
bool soon(Wanted&& wanted) {
  const auto deadline = steady_clock::now() + patience();
  for (; !wanted(); ::usleep(100))
    if (steady_clock::now() > deadline) return false;
  return true;
}

/// A path of this test process, gone with the object: a killed server cannot remove its socket.
class SocketPath {
 public:
  explicit SocketPath(const std::string& name)
      : path_("/tmp/proa-nic-" + name + "-" + std::to_string(::getpid()) + ".sock") {}
  SocketPath(const SocketPath&) = delete;
  SocketPath& operator=(const SocketPath&) = delete;
  ~SocketPath() { ::unlink(path_.c_str()); }
  operator const std::string&() const noexcept { return path_; }
  [[nodiscard]] const char* c_str() const noexcept { return path_.c_str(); }

 private:
  std::string path_;
};

inline DpdkOptions memif(MemifRole role, const std::string& socket, std::uint32_t mtu = 1500) {
  DpdkOptions options;
  options.memif.role = role;
  options.memif.socket = socket;
  options.memif.connect_for = patience() / 2;
  options.mtu = mtu;
  return options;
}

inline DpdkOptions on_wire(DpdkDriver driver, std::uint32_t mtu = 1500) {
  DpdkOptions options;
  options.driver = driver;
  options.interface = TwoHosts::interface;
  options.mtu = mtu;
  return options;
}

using Nics = std::vector<DpdkNic>;
inline tl::expected<Nics, std::string> take_all(Port<DpdkNic>& port) {
  Nics nics;
  while (nics.size() < port.queue_pairs()) {
    auto nic = port.take_queue();
    if (!nic) return tl::unexpected{nic.error()};
    nics.push_back(std::move(*nic));
  }
  return nics;
}

/// How often a thread that has nothing to do is woken until it has slept that long.
inline std::uint32_t wakes(DpdkNic& nic, std::chrono::milliseconds sleep) {
  constexpr std::uint32_t enough = 1000;
  pollfd waiting{-1, POLLIN, 0};
  if (nic.wait_descriptors(std::span{&waiting.fd, 1}) != 1) return ~0U;
  std::uint32_t count = 0;
  for (auto left = sleep; left.count() > 0 && count < enough;) {
    if (!soon([&] { return nic.arm_wait(); })) return ~0U;  // the link was changing
    const auto began = steady_clock::now();
    count += ::poll(&waiting, 1, static_cast<int>(left.count())) != 0 ? 1U : 0U;
    left -= std::chrono::floor<std::chrono::milliseconds>(steady_clock::now() - began);
    nic.disarm_wait();
  }
  return count;
}
constexpr std::uint32_t wakes_at_most = 5;  // a link's news; ticks or a spin are far more

/// In the child: opens the port, waits for the start signal, runs the body, closes everything.
inline int run_end(const End& end, Control& control) {
  const auto say = [&control](const std::string& what) { control.send(Verdict{what}); };
  auto port = Port<DpdkNic>::open(end.options);
  if (!port) return say(port.error()), 1;
  auto nics = take_all(*port);
  if (!nics) return say(nics.error()), 1;
  say("");                                           // ready
  if (!control.receive<char>(patience())) return 1;  // the other end may still be opening its own
  auto wrong = end.body ? end.body(nics->front(), control) : end.body_of_all(*nics, control);
  if (wrong.empty() && nics->front().counters().rx_errors != 0)
    wrong = "a received frame was dropped";
  say(wrong);
  static_cast<void>(control.receive<char>(2 * patience()));  // leave together
  return wrong.empty() ? 0 : 1;
}

inline std::string heard(ChildProcess& child) {
  const auto verdict = child.control().receive<Verdict>(2 * patience());
  return verdict ? verdict->text : "the process died";
}

/// Runs both ends until `active` has its verdict, then ends `passive`. Empty: all is well.
inline std::string run_pair(const End& active, const End& passive,
                            const TwoHosts* hosts = nullptr) {
  const auto start = [hosts](const End& end, std::size_t host) {
    return ChildProcess::start([&, host](Control& control) {
      if (hosts != nullptr) hosts->enter(host);
      return run_end(end, control);
    });
  };
  auto second = start(passive, 1);
  auto first = start(active, 0);
  if (!first || !second) return "cannot start two processes";
  if (auto wrong = heard(*second); !wrong.empty()) return "passive end: " + wrong;
  if (auto wrong = heard(*first); !wrong.empty()) return "active end: " + wrong;
  second->control().send('g');
  first->control().send('g');
  auto wrong = heard(*first);
  second->control().send('s');  // its body ends when the control socket becomes readable
  const auto other = heard(*second);
  first->control().send('e');
  second->control().send('e');
  first->stop(patience());
  second->stop(patience());
  if (!wrong.empty()) return "active end: " + wrong + "; passive end: " + other;
  return other.empty() ? "" : "passive end: " + other;
}

/// Sends back every frame until told to stop.
inline std::string echo_until_told(DpdkNic& nic, Control& control) {
  bench::RawLink link{nic};
  const auto before = nic.pool_available();
  while (!control.ready())
    for (int i = 0; i < 64; ++i)
      if (link.echo() == 0) ::sched_yield();
  static_cast<void>(control.receive<char>());
  return nic.pool_available() == before ? "" : "packets leaked";
}

inline std::byte pattern(std::uint64_t number, std::size_t at) noexcept {
  return static_cast<std::byte>((number * 131 + at * 7 + (at >> 8U)) & 0xffU);
}

/// Sends `rounds` frames of each size with known content and expects each back, whole, in order.
inline std::string send_and_verify(DpdkNic& nic, const std::vector<std::size_t>& sizes,
                                   std::size_t rounds) {
  constexpr std::size_t window = 16;
  using Link = bench::RawLink<DpdkNic>;
  Link link{nic};
  const auto size_of = [&sizes](std::uint64_t number) { return sizes[number % sizes.size()]; };
  const std::uint64_t total = sizes.size() * rounds;
  std::uint64_t expected = 0;
  std::string wrong;
  const auto check = [&](std::uint64_t number, std::span<const std::byte> frame) {
    if (number != expected)
      wrong = "frame " + std::to_string(number) + " came instead of " + std::to_string(expected);
    else if (frame.size() != size_of(number))
      wrong = std::to_string(frame.size()) + " bytes came of " + std::to_string(size_of(number));
    for (std::size_t i = Link::frame_bytes_min; i < frame.size() && wrong.empty(); ++i)
      if (frame[i] != pattern(number, i - Link::frame_bytes_min))
        wrong = "byte " + std::to_string(i) + " of a frame of " + std::to_string(frame.size());
    ++expected;
  };
  const auto deadline = steady_clock::now() + patience();
  while (expected < total && wrong.empty()) {
    if (steady_clock::now() > deadline) return "only " + std::to_string(expected) + " came back";
    if (link.sent() < total && link.sent() - expected < window)
      link.send(1, size_of(link.sent()), [](std::uint64_t number, std::span<std::byte> payload) {
        for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = pattern(number, i);
      });
    if (link.receive(check) == 0) ::sched_yield();
  }
  return wrong;
}

}  // namespace proa::e2e
