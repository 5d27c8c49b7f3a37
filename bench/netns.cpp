// bench: two hosts on one machine: two network namespaces with a veth pair between them.
#include "netns.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace proa::bench {

namespace {

int open_own_namespace() { return ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

// Empty on success, else what iproute2 said.
std::string ip(const std::string& arguments) {
  std::FILE* const pipe = ::popen(fmt::format("ip {} 2>&1", arguments).c_str(), "re");
  if (pipe == nullptr) return std::strerror(errno);
  std::string said(512, '\0');
  said.resize(std::fread(said.data(), 1, said.size(), pipe));
  if (::pclose(pipe) == 0) return {};
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return said.empty() ? "it failed without a word" : said;
}

bool switch_off(int socket, std::uint32_t command) {
  ethtool_value off{.cmd = command, .data = 0};
  ifreq request{};
  std::strncpy(request.ifr_name, TwoHosts::interface, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&off);
  return ::ioctl(socket, SIOCETHTOOL, &request) == 0;
}

bool switch_off_offloads() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  bool done = true;
  for (const auto command : {ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM})
    done = switch_off(socket, static_cast<std::uint32_t>(command)) && done;
  ::close(socket);
  return done;
}

// The kernel takes up to a second to say that the other end is up; drivers wait for that word.
bool has_carrier_soon() {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  ifreq request{};
  std::strncpy(request.ifr_name, TwoHosts::interface, IFNAMSIZ - 1);
  const auto running = [&] {
    return ::ioctl(socket, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_RUNNING) != 0;
  };
  for (int ms = 0; ms < 5000 && !running(); ++ms) ::usleep(1000);
  const bool came = running();
  ::close(socket);
  return came;
}

// Inside host `host`, whose wire exists already.
std::string configure(std::size_t host, std::uint32_t mtu, bool plain) {
  for (const auto& command :
       {fmt::format("link set lo up"),
        fmt::format("addr add {}/24 dev {}", TwoHosts::address(host), TwoHosts::interface),
        fmt::format("addr add fd00:117::{}/64 dev {} nodad", host + 1, TwoHosts::interface),
        fmt::format("link set {} mtu {} up", TwoHosts::interface, mtu)})
    if (auto wrong = ip(command); !wrong.empty()) return wrong;
  if (plain && !switch_off_offloads()) return "cannot switch the offloads of the veth pair off";
  return {};
}

}  // namespace

tl::expected<TwoHosts, std::string> TwoHosts::make(std::uint32_t mtu, bool plain) {
  const int origin = open_own_namespace();
  if (origin < 0)
    return tl::unexpected(fmt::format("cannot see my network namespace: {}", std::strerror(errno)));
  TwoHosts hosts;
  std::string wrong;
  for (int& one : hosts.namespaces_) {
    if (wrong.empty() && ::unshare(CLONE_NEWNET) != 0)
      wrong = fmt::format("{}: run as root to make network namespaces", std::strerror(errno));
    if (wrong.empty() && (one = open_own_namespace()) < 0) wrong = std::strerror(errno);
  }
  // This thread is in host 1 now. The peer's end goes to host 0 by its descriptor.
  if (wrong.empty())
    wrong = ip(fmt::format("link add {0} type veth peer name {0} netns /proc/{1}/fd/{2}", interface,
                           ::getpid(), hosts.namespaces_[0]));
  for (const std::size_t host : {1U, 0U}) {
    if (!wrong.empty()) break;
    hosts.enter(host);
    wrong = configure(host, mtu, plain);
  }
  for (const std::size_t host : {0U, 1U}) {
    if (!wrong.empty()) break;
    hosts.enter(host);
    if (!has_carrier_soon()) wrong = "the link does not come up";
  }
  if (::setns(origin, CLONE_NEWNET) != 0 && wrong.empty()) wrong = std::strerror(errno);
  ::close(origin);
  if (!wrong.empty()) return tl::unexpected("cannot make two hosts with a veth pair: " + wrong);
  return hosts;
}

TwoHosts::TwoHosts(TwoHosts&& other) noexcept
    : namespaces_(std::exchange(other.namespaces_, {-1, -1})) {}

TwoHosts::~TwoHosts() {
  for (const int one : namespaces_)
    if (one >= 0) ::close(one);
}

bool TwoHosts::enter(std::size_t host) const noexcept {
  return ::setns(namespaces_[host], CLONE_NEWNET) == 0;
}

}  // namespace proa::bench
