// lib: what the kernel says about its network interfaces: carriers, removals. Linux alone, no DPDK.
#pragma once
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string>

namespace proa::detail {

/// Hears of every link; -1: it cannot be made.
inline int open_netlink() noexcept {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_LINK;
  if (fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

/// nullopt: it cannot say, so nothing is assumed.
inline std::optional<bool> has_carrier(const std::string& interface) noexcept {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return std::nullopt;
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const bool known = ::ioctl(fd, SIOCGIFFLAGS, &request) == 0;
  ::close(fd);
  if (!known) return std::nullopt;
  constexpr short both = IFF_UP | IFF_RUNNING;
  return (request.ifr_flags & both) == both;
}

/// What the kernel says about an interface.
struct LinkNews {
  std::string name;
  int index = 0;
  bool gone = false;
  bool carrier = false;
};

inline LinkNews news_of(const nlmsghdr& header) {
  LinkNews news;
  const auto& link = *static_cast<const ifinfomsg*>(NLMSG_DATA(&header));
  news.index = link.ifi_index;
  news.gone = header.nlmsg_type == RTM_DELLINK;
  constexpr unsigned both = IFF_UP | IFF_RUNNING;
  news.carrier = (link.ifi_flags & both) == both;
  auto left = static_cast<unsigned>(IFLA_PAYLOAD(&header));
  for (const rtattr* one = IFLA_RTA(&link); RTA_OK(one, left); one = RTA_NEXT(one, left))
    if (one->rta_type == IFLA_IFNAME) news.name = static_cast<const char*>(RTA_DATA(one));
  return news;
}

/// Calls each(news) for what waits; false: the kernel had more to say than fits.
template <class Each>
bool read_news(int fd, Each&& each) {
  alignas(nlmsghdr) std::array<char, 16384> buffer;
  for (;;) {
    const auto size = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (size < 0) return errno != ENOBUFS;
    auto left = static_cast<unsigned>(size);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
         NLMSG_OK(header, left); header = NLMSG_NEXT(header, left))
      if (header->nlmsg_type == RTM_NEWLINK || header->nlmsg_type == RTM_DELLINK)
        each(news_of(*header));
  }
}

}  // namespace proa::detail
