// When a receiver takes the block of a large message: late enough for one before it to be free.
#include <algorithm>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/mem/heap_memory.hpp>
#include <proa/mem/scratch_pool.hpp>
#include <proa/transport/receiver.hpp>

using namespace proa;

namespace {

constexpr std::uint32_t length = 16U << 20U, eighth = length / 8;

/// Receives messages of `length`, more than the window of 4 MiB.
struct LargeMessages {
  HeapMemory memory{{.send_bytes = 1U << 20U, .receive_bytes = 128U << 20U}};
  ScratchPool pool{1U << 20U};
  FlowOptions options;
  Receiver<HeapMemory> receiver{pool, options};
  std::vector<std::byte> content = std::vector<std::byte>(60'000);

  LargeMessages() {
    options.message_bytes_max = length;
    receiver.raise_credit(memory);
  }
  ~LargeMessages() { receiver.clear(memory); }

  /// The bytes from `at` up to `end`, one part after the other.
  void arrive(std::uint32_t message, std::uint32_t at, std::uint32_t end) {
    while (at < end) {
      const auto size = std::min(static_cast<std::uint32_t>(content.size()), end - at);
      REQUIRE(place(message, at, size) == Drop::none);
      at += size;
    }
  }
  Drop place(std::uint32_t message, std::uint32_t at, std::uint32_t size) {
    Frame part;
    part.type = FrameType::part;
    part.number = MessageNumber{message};
    part.offset = at;
    part.total = length;
    part.bytes = ByteView{content}.first(size);
    return receiver.reassembly().place(part, length, receiver.credit(), memory);
  }
  /// The peer asks for memory; false: it shall wait.
  bool want(std::uint32_t message) {
    REQUIRE(receiver.credit().want(MessageNumber{message}, length));
    return receiver.wants_memory();
  }
  void serve() {
    REQUIRE(receiver.wants_memory());
    REQUIRE(receiver.serve_memory(memory, false));
  }
  /// The peer asks, is served, and sends the first byte.
  void begin(std::uint32_t message) {
    REQUIRE(want(message));
    serve();
    arrive(message, 0, 1);
  }
  /// Where the message lay.
  const std::byte* deliver() {
    MessageNumber number;
    MessageBlock block;
    REQUIRE(receiver.reassembly().take(number, block));
    memory.release(block);
    return block.data;
  }
};

}  // namespace

TEST_CASE("the block after the next waits while a message is incomplete, and takes its place") {
  LargeMessages r;
  REQUIRE(r.want(0));
  r.serve();
  r.arrive(0, 0, length - 200);  // the last packets are lost
  REQUIRE(r.want(1));            // nothing has begun behind it: at once
  r.serve();
  r.arrive(1, 0, 60'000);
  CHECK_FALSE(r.want(2));
  r.arrive(0, length - 200, length - 100);  // far into another message
  CHECK_FALSE(r.receiver.wants_memory());
  r.arrive(0, length - 100, length);
  const std::byte* const place = r.deliver();
  r.serve();
  r.arrive(1, 60'000, length);
  CHECK(r.deliver() != place);
  r.arrive(2, 0, length);
  CHECK(r.deliver() == place);
}

TEST_CASE("two blocks take turns however many messages come, each with its last byte late") {
  LargeMessages r;
  REQUIRE(r.want(0));
  r.serve();
  r.arrive(0, 0, length - 1);
  REQUIRE(r.want(1));
  r.serve();
  const auto used = r.memory.receive_arena().used();
  for (std::uint32_t i = 0; i < 20; ++i) {
    r.arrive(i + 1, 0, 60'000);
    CHECK_FALSE(r.want(i + 2));
    r.arrive(i, length - 1, length);
    (void)r.deliver();
    r.serve();
    CHECK(r.memory.receive_arena().used() == used);
    r.arrive(i + 1, 60'000, length - 1);
  }
}

TEST_CASE("from an eighth of a large message on the next one's block waits for nobody") {
  LargeMessages r;
  r.begin(0);
  r.begin(1);
  r.arrive(1, 2, eighth - 1);
  CHECK_FALSE(r.want(2));
  r.arrive(1, eighth - 1, eighth);  // the furthest byte counts, not what is whole
  CHECK(r.receiver.wants_memory());
}

TEST_CASE("a message whose turn has come waits for no later one") {
  LargeMessages r;
  r.begin(0);
  r.begin(2);        // the first part of message 1 was lost
  CHECK(r.want(1));  // its block is what the peer waits for: nothing of message 2 need follow
}

TEST_CASE("messages that fit into the window get their blocks at once") {
  LargeMessages r;
  r.options.credit_window_max = length;
  r.begin(0);
  r.begin(1);
  CHECK(r.want(2));
}
