// Attack tests: pulling the shared memory away, writing where one may only read.
#include <catch2/catch.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "boat.hpp"

namespace proa {
namespace {

using namespace proa::test;

/// All the ways to shrink, grow, punch, write or reseal a file that has its last seals.
void check_untouchable(int fd, std::uint64_t bytes) {
  CHECK(::ftruncate(fd, 0) != 0);
  CHECK(::ftruncate(fd, static_cast<off_t>(bytes - 4096)) != 0);
  CHECK(::ftruncate(fd, static_cast<off_t>(bytes * 2)) != 0);
  const auto all = static_cast<off_t>(bytes);
  CHECK(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, all) != 0);
  CHECK(::fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, all) != 0);
  CHECK(::fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) != 0);
  CHECK(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) != 0);
  CHECK(::pwrite(fd, "x", 1, 0) != 1);
  CHECK(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
}

}  // namespace

TEST_CASE("what the application may read it cannot change, by any way", "[attack][c9]") {
  ChannelFiles files{small_geometry()};
  const std::uint64_t bytes = receive_layout(files.geometry).bytes();
  check_untouchable(files.receive.get(), bytes);
  std::byte* mapped = files.client_receive.data();
  CHECK(::mprotect(mapped, bytes, PROT_READ | PROT_WRITE) != 0);
  CHECK(::madvise(mapped, bytes, MADV_REMOVE) != 0);
  const std::string again = "/proc/self/fd/" + std::to_string(files.receive.get());
  OwnedFd reopened{::open(again.c_str(), O_RDWR | O_CLOEXEC)};
  if (reopened) check_untouchable(reopened.get(), bytes);
}

TEST_CASE("what the application may write it cannot take away", "[attack][c9]") {
  ChannelFiles files{small_geometry()};
  const std::uint64_t bytes = send_layout(files.geometry).bytes();
  check_untouchable(files.send.get(), bytes);
  std::byte* mapped = files.client_send.data();
  CHECK(::madvise(mapped, bytes, MADV_REMOVE) != 0);
  mapped[0] = std::byte{7};  // the mapping made in time stays writable
  CHECK(files.server_send.data()[0] == std::byte{7});
}

TEST_CASE("holes punched before the seal are filled before the first look", "[attack][c9]") {
  auto setup = ChannelSetup::make(small_geometry());
  REQUIRE(setup);
  auto offer = setup->offer();
  REQUIRE(offer);
  const std::uint64_t bytes = send_layout(small_geometry()).bytes();
  auto mapped = SharedMapping::map(offer->send.get(), bytes, MapAccess::read_write);
  REQUIRE(mapped);
  REQUIRE(::fallocate(offer->send.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      static_cast<off_t>(bytes)) == 0);
  CHECK(::ftruncate(offer->send.get(), 0) != 0);  // sealed from the start
  auto server = setup->serve();
  REQUIRE(server);
  std::vector<unsigned char> resident(bytes / 4096);
  REQUIRE(::mincore(mapped->data(), bytes, resident.data()) == 0);
  CHECK(std::all_of(resident.begin(), resident.end(), [](unsigned char r) { return r & 1U; }));
  CHECK(::madvise(mapped->data(), bytes, MADV_REMOVE) != 0);
}

TEST_CASE("an application never finds bytes of others in fresh memory", "[attack][c18]") {
  for (int round = 0; round < 3; ++round) {
    ChannelPair used;
    const auto flow = used.client->connect({IpAddress::v4(1), 7}, never);
    REQUIRE(flow);
    for (int i = 0; i < 20; ++i) {
      static_cast<void>(used.client->send(*flow, pattern(1, 50'000), false));
      used.engine.turn();
    }
    ChannelFiles fresh{small_geometry()};
    const auto zero = [](const SharedMapping& m) {
      return std::all_of(m.data(), m.data() + m.size(),
                         [](std::byte b) { return b == std::byte{0}; });
    };
    CHECK(zero(fresh.client_receive));
    CHECK(zero(fresh.client_send));
  }
}

TEST_CASE("a mapping is refused when the file is not what was agreed", "[attack][c9][c17]") {
  OwnedFd unsealed{::memfd_create("proa-test", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
  REQUIRE(::ftruncate(unsealed.get(), 4096) == 0);
  CHECK_FALSE(SharedMapping::map(unsealed.get(), 4096, MapAccess::read_only));
  auto sealed = make_shared_memory("proa-test", 4096);
  REQUIRE(sealed);
  CHECK_FALSE(SharedMapping::map(sealed->get(), 8192, MapAccess::read_only));
  CHECK_FALSE(SharedMapping::map(sealed->get(), 0, MapAccess::read_only));
  CHECK_FALSE(SharedMapping::map(-1, 4096, MapAccess::read_only));
  CHECK(SharedMapping::map(sealed->get(), 4096, MapAccess::read_only));
}

}  // namespace proa
