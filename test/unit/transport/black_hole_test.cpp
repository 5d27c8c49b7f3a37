// When lost packets say that a path has become smaller.
#include <catch2/catch.hpp>

#include <proa/transport/black_hole.hpp>

using proa::BlackHole;

namespace {

void lose(BlackHole& path, int times, std::uint16_t bytes) {
  for (int i = 0; i < times; ++i) path.on_loss(bytes);
}

}  // namespace

TEST_CASE("Three large packets lost, only smaller ones arrived: a black hole", "[rfc8899-4.3]") {
  BlackHole path{8972};
  lose(path, 2, 8972);
  CHECK(path.near());
  CHECK_FALSE(path.found());
  path.on_arrival(1472);  // the end of a message
  path.on_loss(8972);
  CHECK(path.found());
  lose(path, 253, 8972);
  CHECK(path.found());
}

TEST_CASE("A packet as large as one of the lost proves that the path carries it") {
  BlackHole path{8972};
  path.on_loss(8972);
  path.on_loss(5000);
  path.on_arrival(5000);
  lose(path, 2, 8972);
  CHECK_FALSE(path.found());
  path.on_loss(8972);
  CHECK(path.found());
}

TEST_CASE("What is lost below the size of what arrived says nothing of size") {
  BlackHole path{8972};
  path.on_loss(8972);
  path.on_arrival(4000);
  lose(path, 9, 4000);
  CHECK_FALSE(path.near());
  lose(path, 1, 4001);
  CHECK(path.near());
}

TEST_CASE("Losses of the base size, and of a size that is not in use any more, do not count") {
  BlackHole path{1472};
  lose(path, 9, proa::path_bytes_base);
  lose(path, 9, 8972);  // sent before packets became smaller
  CHECK_FALSE(path.near());
  lose(path, 2, 1472);
  path.on_packet_size(1432);
  lose(path, 2, 1432);
  CHECK_FALSE(path.found());
}
