// bench: TCP and UDP echo over kernel sockets between two hosts, measured once.
#include "kernel_echo.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "histogram.hpp"
#include "machine.hpp"
#include "process.hpp"

namespace proa::bench {
namespace {

using tl::unexpected;
using Protocol = KernelProtocol;
using Waiting = KernelWaiting;
using Setup = KernelSetup;

class Socket {
 public:
  explicit Socket(int fd) noexcept : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int fd() const noexcept { return fd_; }

  /// Bytes moved; 0: nothing now (polled); negative: the other end is gone.
  [[nodiscard]] ssize_t read(std::span<std::byte> into, Waiting waiting) const noexcept {
    return settle(::recv(fd_, into.data(), into.size(), flags(waiting)), true);
  }
  [[nodiscard]] ssize_t write(std::span<const std::byte> from, Waiting waiting) const noexcept {
    return settle(::send(fd_, from.data(), from.size(), flags(waiting) | MSG_NOSIGNAL), false);
  }

 private:
  static int flags(Waiting waiting) noexcept {
    return waiting == Waiting::polled ? MSG_DONTWAIT : 0;
  }
  static ssize_t settle(ssize_t moved, bool reading) noexcept {
    if (moved > 0) return moved;
    if (moved == 0) return reading ? -1 : 0;
    return errno == EAGAIN || errno == EINTR || errno == ECONNREFUSED ? 0 : -1;
  }
  int fd_;
};

sockaddr_in address_of(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  ::inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) noexcept {
  return reinterpret_cast<const sockaddr*>(&address);
}

Socket make_socket(Protocol protocol) {
  const int type = protocol == Protocol::tcp ? SOCK_STREAM : SOCK_DGRAM;
  Socket socket{::socket(AF_INET, type | SOCK_CLOEXEC, 0)};
  if (protocol == Protocol::tcp) {
    const int on = 1;
    ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return socket;
}

std::optional<std::uint16_t> bind_any_port(const Socket& socket, const char* host) {
  sockaddr_in address = address_of(host, 0);
  socklen_t length = sizeof address;
  if (::bind(socket.fd(), generic(address), length) != 0) return std::nullopt;
  if (::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    return std::nullopt;
  return ntohs(address.sin_port);
}

// Sends what comes back until the peer closes or the process is killed.
void echo_stream(const Socket& socket, Waiting waiting) {
  std::vector<std::byte> buffer(256 * 1024);
  for (;;) {
    const auto got = socket.read(buffer, waiting);
    if (got < 0) return;
    std::span<const std::byte> rest{buffer.data(), static_cast<std::size_t>(got)};
    while (!rest.empty()) {
      const auto sent = socket.write(rest, waiting);
      if (sent < 0) return;
      rest = rest.subspan(static_cast<std::size_t>(sent));
    }
  }
}

void echo_datagrams(const Socket& socket, Waiting waiting) {
  std::vector<std::byte> buffer(64 * 1024);
  sockaddr_in peer{};
  const int flags = waiting == Waiting::polled ? MSG_DONTWAIT : 0;
  for (;;) {
    socklen_t length = sizeof peer;
    const auto got = ::recvfrom(socket.fd(), buffer.data(), buffer.size(), flags,
                                reinterpret_cast<sockaddr*>(&peer), &length);
    if (got >= 0)
      ::sendto(socket.fd(), buffer.data(), static_cast<std::size_t>(got), 0, generic(peer), length);
  }
}

int serve(Control& control, const Setup& setup, const char* host) {
  Socket socket = make_socket(setup.protocol);
  const auto port = bind_any_port(socket, host);
  if (!port) return 1;
  if (setup.protocol == Protocol::tcp && ::listen(socket.fd(), 1) != 0) return 1;
  control.send(*port);
  if (setup.protocol == Protocol::udp) {
    echo_datagrams(socket, setup.waiting);
    return 0;
  }
  const Socket stream{::accept4(socket.fd(), nullptr, nullptr, SOCK_CLOEXEC)};
  echo_stream(stream, setup.waiting);
  return 0;
}

// Keeps `window` messages outstanding and times each; the oldest answers first.
class Client {
 public:
  Client(const Socket& socket, const Setup& setup)
      : socket_(socket), setup_(setup), out_(setup.size), in_(64 * 1024) {}

  Outcome run(double seconds) {
    const auto measured_ticks = static_cast<std::uint64_t>(seconds * 1e9 / ns_per_tick());
    const auto start = ticks(), warm = start + measured_ticks / 10, end = warm + measured_ticks;
    const auto patience = static_cast<std::uint64_t>(10e9 / ns_per_tick());
    std::uint64_t now = last_answer_ = start;
    // A short time may go by while others have the processor.
    while (now < end || (answered_ == 0 && now < end + patience)) {
      if (!fill() || !drain()) return unexpected<std::string>("the echo server is gone");
      now = ticks();
      if (now > last_answer_ + patience)
        return unexpected<std::string>("no answer for ten seconds");
      if (first_ == 0 && now >= warm) restart(now);
    }
    if (answered_ == 0) return unexpected<std::string>("no message came back");
    Sample sample;
    add_latency(sample, histogram_);
    const double passed_s = static_cast<double>(now - first_) * ns_per_tick() / 1e9;
    sample.push_back({"rate", "messages/s", static_cast<double>(answered_) / passed_s});
    return sample;
  }

 private:
  void restart(std::uint64_t now) {
    first_ = now;
    answered_ = 0;
    histogram_.clear();
  }

  bool fill() {
    while (sent_at_.size() < setup_.window) {
      const auto now = ticks();
      const auto rest = std::span<const std::byte>{out_}.subspan(out_done_);
      // Never blocks: with a large window both ends would wait for the other to read.
      const auto sent = socket_.write(rest, Waiting::polled);
      if (sent < 0) return false;
      if (sent == 0) return true;
      out_done_ += static_cast<std::size_t>(sent);
      if (out_done_ < out_.size()) continue;
      out_done_ = 0;
      sent_at_.push_back(now);
    }
    return true;
  }

  bool drain() {
    const auto got = socket_.read(in_, setup_.waiting);
    if (got < 0) return false;
    if (got == 0) return true;
    in_done_ += static_cast<std::size_t>(got);
    const auto now = last_answer_ = ticks();
    for (; in_done_ >= setup_.size && !sent_at_.empty(); in_done_ -= setup_.size) {
      const auto passed = static_cast<double>(now - sent_at_.front()) * ns_per_tick();
      histogram_.record(static_cast<std::uint64_t>(passed));
      sent_at_.pop_front();
      ++answered_;
    }
    return true;
  }

  const Socket& socket_;
  Setup setup_;
  std::vector<std::byte> out_, in_;
  std::size_t out_done_ = 0, in_done_ = 0;
  std::deque<std::uint64_t> sent_at_;
  Histogram histogram_;
  std::uint64_t first_ = 0, last_answer_ = 0, answered_ = 0;
};

}  // namespace

// A fresh thread measures, so that the main one keeps its network namespace and its affinity.
Outcome measure_kernel(const TwoHosts* hosts, const KernelSetup& setup) {
  const char* const server_address = hosts != nullptr ? TwoHosts::address(1) : "127.0.0.1";
  auto server = ChildProcess::start([&](Control& control) {
    if (hosts != nullptr) hosts->enter(1);
    pin(setup.core_b);
    return serve(control, setup, server_address);
  });
  if (!server) return unexpected(server.error());
  const auto port = server->control().receive<std::uint16_t>();
  if (!port) return unexpected<std::string>("the echo server did not start");
  Outcome sample;
  std::thread client_thread{[&] {
    if (hosts != nullptr) hosts->enter(0);
    pin(setup.core_a);
    const Socket socket = make_socket(setup.protocol);
    const timeval patience{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(socket.fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const auto address = address_of(server_address, *port);
    if (::connect(socket.fd(), generic(address), sizeof address) != 0)
      sample = unexpected(fmt::format("cannot connect: {}", std::strerror(errno)));
    else
      sample = Client{socket, setup}.run(setup.seconds);
  }};
  client_thread.join();
  return sample;
}

}  // namespace proa::bench
