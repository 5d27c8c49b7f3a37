// bench: what relays without any transport cost in the layouts of sidecars.
#include "relay.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include <proa/base/fixed_ring.hpp>
#include <proa/ipc/ring.hpp>

#include "histogram.hpp"
#include "machine.hpp"

namespace proa::bench {
namespace {

using tl::unexpected;

/// Times messages that come back in order, after a tenth of the time for warming up.
class Stopwatch {
 public:
  Stopwatch(double seconds, std::uint32_t window)
      : window_(window),
        sent_at_(window),
        span_(static_cast<std::uint64_t>(seconds * 1e9 / ns_per_tick())) {
    start_ = ticks();
    warm_at_ = start_ + span_ / 10;
  }
  [[nodiscard]] bool may_send() const noexcept { return sent_at_.size() < window_; }
  void sent() noexcept { static_cast<void>(sent_at_.push(ticks())); }
  void came_back() noexcept {
    const std::uint64_t now = last_ = ticks();
    const auto took = static_cast<double>(now - sent_at_.pop()) * ns_per_tick();
    if (now < warm_at_) return;
    if (answered_++ == 0) first_ = now;
    histogram_.record(static_cast<std::uint64_t>(took));
  }
  /// On a busy machine nothing may have come back when the time is over: then a little longer.
  [[nodiscard]] bool running() const noexcept {
    const std::uint64_t now = ticks();
    return now < warm_at_ + span_ || (answered_ < 2 && now < warm_at_ + patience_);
  }
  [[nodiscard]] Outcome outcome() const {
    if (answered_ < 2) return unexpected<std::string>("no message came back");
    Sample sample;
    add_latency(sample, histogram_);
    const double passed_s = static_cast<double>(last_ - first_) * ns_per_tick() / 1e9;
    sample.push_back({"rate", "messages/s", static_cast<double>(answered_ - 1) / passed_s});
    return sample;
  }

 private:
  std::uint32_t window_;
  FixedRing<std::uint64_t> sent_at_;
  std::uint64_t span_;
  std::uint64_t patience_ = static_cast<std::uint64_t>(10e9 / ns_per_tick());
  std::uint64_t start_ = 0, warm_at_ = 0, first_ = 0, last_ = 0, answered_ = 0;
  Histogram histogram_;
};

// --- over shared memory ---

constexpr std::uint32_t ring_slots = 1024;  // as a channel's
constexpr std::uint32_t head_bytes = 8;     // a channel's slot says what it is

struct SharedRing {
  std::array<RingSlot, ring_slots> slots;
  ReaderLine reader;
};
struct SharedRings {
  SharedRing to_relay[2], from_relay[2];
};

RingWriter writer_of(SharedRing& ring) {
  return RingWriter{ring.slots.data(), ring_slots, &ring.reader};
}
RingReader reader_of(SharedRing& ring) {
  return RingReader{ring.slots.data(), ring_slots, &ring.reader};
}

struct Unmap {
  void operator()(SharedRings* rings) const noexcept { ::munmap(rings, sizeof *rings); }
};

/// Messages of one or two slots.
class End {
 public:
  End(SharedRing& out, SharedRing& in, std::uint32_t size)
      : out_(writer_of(out)),
        in_(reader_of(in)),
        slots_(size + head_bytes > sizeof(SlotBody) ? 2 : 1) {}

  bool send(const std::byte* bytes, std::uint32_t size) noexcept {
    if (out_.room(slots_) < slots_) return false;
    const auto first = std::min<std::size_t>(size, sizeof(SlotBody) - head_bytes);
    std::memcpy(out_.body() + head_bytes, bytes, first);
    if (slots_ == 2) std::memcpy(out_.body(1), bytes + first, size - first);
    out_.publish(slots_);
    return true;
  }
  bool receive(std::byte* bytes, std::uint32_t size) noexcept {
    SlotBody body;
    if (!in_.peek(body)) return false;
    const auto first = std::min<std::size_t>(size, sizeof(SlotBody) - head_bytes);
    std::memcpy(bytes, body.data() + head_bytes, first);
    if (slots_ == 2) {
      SlotBody more;
      if (!in_.peek(more, 1)) return false;
      std::memcpy(bytes + first, more.data(), size - first);
    }
    in_.advance(slots_);
    return true;
  }

 private:
  RingWriter out_;
  RingReader in_;
  std::uint32_t slots_;
};

/// Whatever comes from one end goes to the other.
int relay_slots(SharedRings& rings, Control& parent) {
  RingReader in[2] = {reader_of(rings.to_relay[0]), reader_of(rings.to_relay[1])};
  RingWriter out[2] = {writer_of(rings.from_relay[0]), writer_of(rings.from_relay[1])};
  parent.send('r');
  for (std::uint32_t turn = 1; turn % 65'536 != 0 || !parent.ready(); ++turn)
    for (int end = 0; end < 2; ++end) {
      RingWriter& to = out[1 - end];
      SlotBody body;
      while (to.room() > 0 && in[end].peek(body)) {
        std::memcpy(to.body(), body.data(), body.size());
        to.publish();
        in[end].advance();
      }
    }
  return 0;
}

Outcome echo_through(SharedRings& rings, const RelaySetup& setup) {
  End near{rings.to_relay[0], rings.from_relay[0], setup.size};
  End far{rings.to_relay[1], rings.from_relay[1], setup.size};
  std::array<std::byte, shared_relay_bytes_max> message{}, reply{};
  Stopwatch watch{setup.seconds, setup.window};
  while (watch.running()) {
    while (watch.may_send() && near.send(message.data(), setup.size)) watch.sent();
    while (far.receive(reply.data(), setup.size))
      while (!far.send(reply.data(), setup.size)) continue;
    while (near.receive(message.data(), setup.size)) watch.came_back();
  }
  return watch.outcome();
}

// --- over sockets ---

constexpr std::uint16_t far_port = 7100, near_port = 7101, end_port = 7102;

sockaddr_in address_of(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

/// A connected UDP socket that never blocks.
class Datagrams {
 public:
  Datagrams(const char* own, std::uint16_t own_port, const char* peer, std::uint16_t peer_port)
      : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const sockaddr_in from = address_of(own, own_port), to = address_of(peer, peer_port);
    good_ = ::bind(fd_, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0 &&
            ::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  Datagrams(const Datagrams&) = delete;
  Datagrams& operator=(const Datagrams&) = delete;
  ~Datagrams() { ::close(fd_); }

  [[nodiscard]] bool good() const noexcept { return good_; }
  /// 0: nothing there.
  std::size_t receive(std::span<std::byte> into) const noexcept {
    const ssize_t n = ::recv(fd_, into.data(), into.size(), 0);
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  }
  void send(std::span<const std::byte> bytes) const noexcept {
    static_cast<void>(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

 private:
  int fd_;
  bool good_ = false;
};

constexpr const char* loopback = "127.0.0.1";

int relay_datagrams(std::size_t host, Control& parent) {
  const Datagrams near{loopback, near_port, loopback, end_port};
  const Datagrams far{TwoHosts::address(host), far_port, TwoHosts::address(1 - host), far_port};
  if (!near.good() || !far.good()) return 1;
  std::vector<std::byte> buffer(64 * 1024);
  parent.send('r');
  for (std::uint32_t turn = 1; turn % 1024 != 0 || !parent.ready(); ++turn) {
    const std::size_t out = near.receive(buffer);
    if (out != 0) far.send({buffer.data(), out});
    const std::size_t in = far.receive(buffer);
    if (in != 0) near.send({buffer.data(), in});
    if (out == 0 && in == 0) ::sched_yield();
  }
  return 0;
}

int echo_datagrams(Control& parent) {
  const Datagrams socket{loopback, end_port, loopback, near_port};
  if (!socket.good()) return 1;
  std::vector<std::byte> buffer(64 * 1024);
  parent.send('r');
  for (std::uint32_t turn = 1; turn % 1024 != 0 || !parent.ready(); ++turn) {
    if (const std::size_t n = socket.receive(buffer); n != 0)
      socket.send({buffer.data(), n});
    else
      ::sched_yield();
  }
  return 0;
}

Outcome ask_datagrams(const RelaySetup& setup) {
  const Datagrams socket{loopback, end_port, loopback, near_port};
  if (!socket.good()) return unexpected<std::string>("the UDP client has no socket");
  std::vector<std::byte> message(setup.size), reply(64 * 1024);
  Stopwatch watch{setup.seconds, setup.window};
  while (watch.running()) {
    for (; watch.may_send(); watch.sent()) socket.send(message);
    if (socket.receive(reply) != 0)
      watch.came_back();
    else
      ::sched_yield();
  }
  return watch.outcome();
}

}  // namespace

Outcome measure_shared_relay(const RelaySetup& setup) {
  void* const memory = ::mmap(nullptr, sizeof(SharedRings), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return unexpected<std::string>("no memory for four rings");
  const std::unique_ptr<SharedRings, Unmap> rings{static_cast<SharedRings*>(memory)};
  auto relay = ChildProcess::start([&](Control& control) {
    pin(setup.core_b);
    return relay_slots(*rings, control);
  });
  if (!relay) return unexpected(relay.error());
  if (!relay->control().receive<char>()) return unexpected<std::string>("the relay did not start");
  auto ends = ChildProcess::start([&](Control& control) {
    pin(setup.core_a);
    control.send(ReportMessage{echo_through(*rings, setup)});
    return 0;
  });
  if (!ends) return unexpected(ends.error());
  return heard(*ends, "relay's ends", std::chrono::seconds{30});
}

Outcome measure_udp_relays(const TwoHosts& hosts, const RelaySetup& setup) {
  const auto on_host = [&](std::size_t host, auto&& body) {
    return ChildProcess::start([&, host](Control& control) {
      hosts.enter(host);
      pin(host == 0 ? setup.core_a : setup.core_b);
      return body(control);
    });
  };
  std::vector<ChildProcess> helpers;
  for (std::size_t host = 0; host < 2; ++host) {
    auto relay = on_host(host, [&](Control& control) { return relay_datagrams(host, control); });
    if (!relay) return unexpected(relay.error());
    helpers.push_back(std::move(*relay));
  }
  auto server = on_host(1, [](Control& control) { return echo_datagrams(control); });
  if (!server) return unexpected(server.error());
  helpers.push_back(std::move(*server));
  for (ChildProcess& helper : helpers)
    if (!helper.control().receive<char>()) return unexpected<std::string>("a relay did not start");
  auto client = on_host(0, [&](Control& control) {
    control.send(ReportMessage{ask_datagrams(setup)});
    return 0;
  });
  if (!client) return unexpected(client.error());
  return heard(*client, "UDP client", std::chrono::seconds{30});
}

}  // namespace proa::bench
