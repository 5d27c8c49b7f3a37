// lib: which of this process's descriptors belong to a driver. DPDK does not tell; the kernel does.
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

std::string target_of(int fd) {
  char target[256];
  const auto path = "/proc/self/fd/" + std::to_string(fd);
  const auto length = ::readlink(path.c_str(), target, sizeof target);
  return length > 0 ? std::string{target, static_cast<std::size_t>(length)} : std::string{};
}

bool is_domain(int fd, int domain) {
  int actual = -1;
  socklen_t size = sizeof actual;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &actual, &size) == 0 && actual == domain;
}

bool is_named(const sockaddr_un& address, socklen_t size, const std::string& path) {
  return address.sun_family == AF_UNIX && size > offsetof(sockaddr_un, sun_path) &&
         path == std::string_view{address.sun_path,
                                  ::strnlen(address.sun_path, sizeof address.sun_path)};
}

}  // namespace

std::vector<int> own_descriptors() {
  std::vector<int> fds;
  DIR* directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return fds;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name{entry->d_name};
    int fd = -1;
    std::from_chars(name.data(), name.data() + name.size(), fd);
    if (fd >= 0 && fd != ::dirfd(directory)) fds.push_back(fd);
  }
  ::closedir(directory);
  std::sort(fds.begin(), fds.end());
  return fds;
}

std::vector<int> without(const std::vector<int>& fds, const std::vector<int>& others) {
  std::vector<int> left;
  std::set_difference(fds.begin(), fds.end(), others.begin(), others.end(),
                      std::back_inserter(left));
  return left;
}

std::vector<int> added_since(const std::vector<int>& before) {
  return without(own_descriptors(), before);
}

std::vector<int> of_kind(std::vector<int> fds, DescriptorKind kind) {
  std::erase_if(fds, [kind](int fd) {
    switch (kind) {
      case DescriptorKind::packet_socket:
        return !is_domain(fd, AF_PACKET);
      case DescriptorKind::xdp_socket:
        return !is_domain(fd, AF_XDP);
      case DescriptorKind::tun:
        return target_of(fd) != "/dev/net/tun";
      case DescriptorKind::memif_region:
        return !target_of(fd).starts_with("/memfd:memif_region_0");
      case DescriptorKind::plain_eventfd:
        break;
    }
    // memif makes its eventfds without FD_CLOEXEC, which hardly anything else does any more.
    return target_of(fd) != "anon_inode:[eventfd]" || (::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
  });
  return fds;
}

std::vector<int> unix_sockets_of(const std::vector<std::string>& paths) {
  auto fds = own_descriptors();
  std::erase_if(fds, [&paths](int fd) {
    if (!is_domain(fd, AF_UNIX)) return true;
    return std::none_of(paths.begin(), paths.end(), [fd](const std::string& path) {
      sockaddr_un address{};
      socklen_t size = sizeof address;
      if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
          is_named(address, size, path))
        return true;
      size = sizeof address;
      return ::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
             is_named(address, size, path);
    });
  });
  return fds;
}

}  // namespace proa::detail
