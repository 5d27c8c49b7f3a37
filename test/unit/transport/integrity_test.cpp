// How packets are sealed: with a CRC-32C of their own, or by the UDP checksum alone.
#include <vector>

#include <catch2/catch.hpp>

#include <proa/transport/integrity.hpp>

using namespace proa;

namespace {

/// A packet with four bytes behind its header and room for a trailer.
std::vector<std::byte> packet(std::size_t trailer) {
  std::vector<std::byte> out(PacketHeader::size + 4 + trailer);
  PacketHeader{}.write(std::span{out}.first<PacketHeader::size>());
  return out;
}

}  // namespace

TEST_CASE("CRC-32C opens what it sealed, and nothing that any one bit was changed of") {
  std::vector<std::byte> sealed = packet(Crc32c::trailer_bytes);
  CHECK(Crc32c::open(sealed).empty());  // not yet
  Crc32c::seal(sealed);
  CHECK(Crc32c::open(sealed).size() == PacketHeader::size + 4);
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    std::vector<std::byte> changed = sealed;
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK(Crc32c::open(changed).empty());
  }
  for (std::size_t size = 0; size < sealed.size(); ++size)
    CHECK(Crc32c::open(ByteView{sealed}.first(size)).empty());
}

TEST_CASE("who trusts the UDP checksum takes packets without a trailer and verifies one with it") {
  std::vector<std::byte> bare = packet(UdpChecksum::trailer_bytes);
  UdpChecksum::seal(bare);
  CHECK(UdpChecksum::open(bare).size() == bare.size());
  CHECK(UdpChecksum::open(ByteView{bare}.first(PacketHeader::size - 1)).empty());
  std::vector<std::byte> sealed = packet(Crc32c::trailer_bytes);
  Crc32c::seal(sealed);
  CHECK(UdpChecksum::open(sealed).size() == PacketHeader::size + 4);
  sealed.back() ^= std::byte{1};
  CHECK(UdpChecksum::open(sealed).empty());
}
