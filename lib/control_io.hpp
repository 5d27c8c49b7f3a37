// lib: datagrams with descriptors over a unix socket.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include <proa/ipc/control_messages.hpp>
#include <proa/ipc/shm.hpp>

namespace proa::detail {

inline constexpr std::size_t fds_max = 16;

enum class IoResult : std::uint8_t { done, would_block, ended, malformed, too_many_fds };

/// Never waits, never signals.
inline IoResult send_datagram(int fd, const ControlDatagram& d, const std::vector<int>& fds = {}) {
  iovec piece{const_cast<std::byte*>(d.bytes.data()), d.size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * fds_max)> extra{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    const std::size_t bytes = sizeof(int) * fds.size();
    message.msg_control = extra.data();
    message.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(c), fds.data(), bytes);
  }
  for (;;) {
    const ssize_t n = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n == static_cast<ssize_t>(d.size)) return IoResult::done;
    if (n < 0 && errno == EINTR) continue;
    return n < 0 && (errno == EAGAIN || errno == ENOBUFS) ? IoResult::would_block : IoResult::ended;
  }
}

/// Never waits. Whatever descriptors came are in `fds`, also when the datagram is bad.
inline IoResult receive_datagram(int fd, ControlDatagram& d, std::vector<OwnedFd>& fds) {
  iovec piece{d.bytes.data(), d.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * fds_max)> extra{};
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = extra.data();
  message.msg_controllen = extra.size();
  ssize_t n = -1;
  do {
    n = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN ? IoResult::would_block : IoResult::ended;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
      fds.emplace_back(received);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) != 0) return IoResult::too_many_fds;
  if (n == 0) return IoResult::ended;
  d.size = static_cast<std::size_t>(n);
  if ((message.msg_flags & MSG_TRUNC) != 0 || !d.well_formed()) return IoResult::malformed;
  return IoResult::done;
}

/// False when the path does not fit into a socket address.
inline bool socket_address(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

}  // namespace proa::detail
