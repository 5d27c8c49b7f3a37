// Attack tests: the control socket.
#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;

OwnedFd dial(const std::string& path) {
  OwnedFd fd{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fd.reset();
  return fd;
}

bool say(const OwnedFd& fd, const void* bytes, std::size_t size, const std::vector<int>& fds = {}) {
  iovec piece{const_cast<void*>(bytes), size};
  std::vector<char> extra(CMSG_SPACE(sizeof(int) * 64));
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = extra.data();
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  return ::sendmsg(fd.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(size);
}
bool say(const OwnedFd& fd, const ControlDatagram& d, const std::vector<int>& fds = {}) {
  return say(fd, d.bytes.data(), d.size, fds);
}

/// The other end has hung up (what it said before is skipped).
bool hung_up(const OwnedFd& fd) {
  std::array<char, 8192> bytes{};
  for (;;) {
    const ssize_t n = ::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) return true;
    if (n < 0) return false;
  }
}

}  // namespace

TEST_CASE("whatever is no message of this version ends its session", "[attack][c10]") {
  Boat boat{"malformed"};
  const std::size_t descriptors = open_descriptors();
  const ControlDatagram good = control_datagram(AttachMessage{}, 1);
  Prng prng{5};
  std::uint64_t bad = 0;
  const auto expect_end = [&](const void* bytes, std::size_t size) {
    OwnedFd fd = dial(boat.path);
    REQUIRE(fd);
    REQUIRE(say(fd, bytes, size));
    boat.step();
    CHECK(hung_up(fd));
    CHECK(boat.harbour->counters().malformed == ++bad);
  };
  for (std::size_t size = 1; size < good.size; ++size) expect_end(good.bytes.data(), size);
  std::vector<std::byte> large(65'536);
  std::memcpy(large.data(), good.bytes.data(), good.size);
  for (const std::size_t size :
       {good.size + 1, good.size * 2, std::size_t{4096}, std::size_t{4097}, large.size()})
    expect_end(large.data(), size);
  for (std::size_t field = 0; field < sizeof(ControlHead) - 4; ++field) {
    ControlDatagram spoiled = good;
    spoiled.bytes[field] ^= std::byte{0x40};
    expect_end(spoiled.bytes.data(), spoiled.size);
  }
  for (int i = 0; i < 300; ++i) {
    const auto noise = pattern(prng.next(), 1 + prng.below(5'000));
    expect_end(noise.data(), noise.size());
  }
  CHECK(boat.harbour->sessions() == 0);
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("messages out of turn end their session", "[attack][c10][c11]") {
  Boat boat{"turn"};
  const auto ends = [&](const std::vector<ControlDatagram>& dialogue) {
    OwnedFd fd = dial(boat.path);
    for (const ControlDatagram& d : dialogue) static_cast<void>(say(fd, d));
    boat.step();
    boat.step();
    return hung_up(fd);
  };
  CHECK(ends({control_datagram(ConfirmMessage{}, 1)}));
  CHECK(ends({control_datagram(ListenMessage{7}, 1)}));
  CHECK(ends({control_datagram(UnlistenMessage{7}, 1)}));
  CHECK(ends({control_datagram(AttachedMessage{}, 1)}));
  CHECK(ends({control_datagram(ServingMessage{}, 1)}));
  CHECK(ends({control_datagram(DoneMessage{}, 1)}));
  CHECK(ends({control_datagram(DescribeMessage{}, 1)}));
  CHECK(ends({control_datagram(DescribedMessage{}, 1)}));
  CHECK(ends({control_datagram(AttachMessage{}, 1), control_datagram(DescribeMessage{}, 2)}));
  CHECK(ends({control_datagram(AttachMessage{}, 1), control_datagram(AttachMessage{}, 2)}));
  CHECK(ends({control_datagram(AttachMessage{}, 1), control_datagram(ListenMessage{7}, 2)}));
  CHECK(ends({control_datagram(AttachMessage{}, 1), control_datagram(ConfirmMessage{}, 2),
              control_datagram(ConfirmMessage{}, 3)}));
  CHECK(boat.channels.empty());
  CHECK(boat.served.empty());
}

TEST_CASE("descriptors brought along are closed, however many", "[attack][c10]") {
  Boat boat{"fds"};
  const std::size_t descriptors = open_descriptors();
  for (const std::size_t count : {1U, 2U, 15U, 16U, 17U, 40U, 64U}) {
    OwnedFd fd = dial(boat.path);
    REQUIRE(say(fd, control_datagram(AttachMessage{}, 1), std::vector<int>(count, 0)));
    boat.step();
    CHECK(hung_up(fd));
  }
  CHECK(boat.harbour->counters().unwanted_fds == 7);
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("another layout version is refused with a sentence", "[attack][c16]") {
  Boat boat{"version"};
  for (const std::uint32_t version : {0U, channel_layout_version + 1, 0xffff'ffffU}) {
    OwnedFd fd = dial(boat.path);
    AttachMessage wish;
    wish.layout_version = version;
    REQUIRE(say(fd, control_datagram(wish, 1)));
    boat.step();
    ControlDatagram d;
    const ssize_t n = ::recv(fd.get(), d.bytes.data(), d.bytes.size(), MSG_DONTWAIT);
    REQUIRE(n > 0);
    d.size = static_cast<std::size_t>(n);
    RefusedMessage refused;
    REQUIRE(d.read(refused));
    CHECK(to_string(refused.sentence).find("rebuild or restart") != std::string::npos);
  }
}

TEST_CASE("connections beyond the quota are turned away, the others go on", "[attack][c12]") {
  Boat boat{"flood"};
  Neighbour neighbour;
  const std::size_t descriptors = open_descriptors();
  {
    std::vector<OwnedFd> flood;
    for (int i = 0; i < 600; ++i) {
      flood.push_back(dial(boat.path));
      if (i % 32 == 0) boat.step();
    }
    for (int i = 0; i < 16; ++i) boat.step();
    neighbour.step();
    CHECK(boat.harbour->sessions() <= 512);
    CHECK(boat.harbour->counters().over_quota > 0);
  }
  for (int i = 0; i < 32; ++i) boat.step();
  CHECK(boat.harbour->sessions() == 0);
  CHECK(open_descriptors() == descriptors);
  for (int i = 0; i < 3'000; ++i) {  // one after the other: no growth
    OwnedFd fd = dial(boat.path);
    if (i % 3 == 0) static_cast<void>(say(fd, control_datagram(StatusMessage{}, 1)));
    boat.step();
  }
  boat.step();
  CHECK(boat.harbour->sessions() == 0);
  CHECK(open_descriptors() == descriptors);
}

TEST_CASE("one who asks and never reads holds up nobody", "[attack][c13]") {
  Boat boat{"deaf"};
  OwnedFd deaf = dial(boat.path);
  StatusMessage question;
  question.query = control_text<64>("long");
  for (int i = 0; i < 200; ++i) {
    static_cast<void>(say(deaf, control_datagram(question, 1)));
    boat.step();
  }
  OwnedFd polite = dial(boat.path);
  REQUIRE(say(polite, control_datagram(StatusMessage{}, 9)));
  boat.step();
  boat.step();
  ControlDatagram d;
  CHECK(::recv(polite.get(), d.bytes.data(), d.bytes.size(), MSG_DONTWAIT) > 0);
}

}  // namespace proa
