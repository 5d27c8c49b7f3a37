// bench: a second process of a measurement, ended with the first whatever happens to it.
#include "process.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

namespace proa::bench {

Control::~Control() {
  if (fd_ >= 0) ::close(fd_);
}

bool Control::ready() const noexcept {
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  return ::poll(&waiting, 1, 0) > 0;
}

bool Control::send_bytes(std::span<const std::byte> bytes) noexcept {
  return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

bool Control::receive_bytes(std::span<std::byte> bytes,
                            std::chrono::milliseconds patience) noexcept {
  pollfd waiting{.fd = fd_, .events = POLLIN, .revents = 0};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    const auto rest =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (rest.count() <= 0) return false;
    const int ready = ::poll(&waiting, 1, static_cast<int>(rest.count()));
    if (ready > 0) break;
    // DPDK's tap driver signals the process for every frame.
    if (ready == 0 || errno != EINTR) return false;
  }
  return ::recv(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
}

tl::expected<ChildProcess, std::string> ChildProcess::start(const Body& body) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return tl::unexpected(fmt::format("cannot make a socket pair: {}", std::strerror(errno)));
  std::fflush(nullptr);  // else the child prints our buffers again
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    ::close(ends[0]);
    ::close(ends[1]);
    return tl::unexpected(fmt::format("cannot start a process: {}", std::strerror(errno)));
  }
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);  // it died before prctl
    ::close(ends[0]);
    Control control{ends[1]};
    const int code = body(control);
    std::fflush(nullptr);
    ::_exit(code);
  }
  ::close(ends[1]);
  return ChildProcess{pid, Control{ends[0]}};
}

int ChildProcess::stop(std::chrono::milliseconds patience) noexcept {
  if (pid_ <= 0) return -1;
  control_ = Control{-1};
  const auto deadline = std::chrono::steady_clock::now() + patience;
  int status = 0;
  pid_t ended = 0;
  while ((ended = ::waitpid(pid_, &status, WNOHANG)) == 0 &&
         std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  if (ended == 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status, 0);
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace proa::bench
