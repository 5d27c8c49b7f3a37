// What the parts of a flow do while the scratch pool is used up, and that they go on afterwards.
#include <vector>

#include <catch2/catch.hpp>

#include <proa/transport/ack_tracker.hpp>
#include <proa/transport/credit.hpp>
#include <proa/transport/reassembly.hpp>

#include "flow_pair.hpp"
#include "sender_driver.hpp"

using namespace proa;
using namespace proa::test;

namespace {

/// Takes everything that is left in a pool, until it goes out of scope.
class Hog {
 public:
  explicit Hog(ScratchPool& pool) : pool_(pool) {
    for (std::size_t bytes = 1U << 20U; bytes >= 64; bytes /= 2)
      while (std::byte* const block = pool_.allocate(bytes)) blocks_.push_back(block);
  }
  Hog(const Hog&) = delete;
  Hog& operator=(const Hog&) = delete;
  ~Hog() {
    for (std::byte* const block : blocks_) pool_.release(block);
  }

 private:
  ScratchPool& pool_;
  std::vector<std::byte*> blocks_;
};

/// The receiving half, as far as memory for messages goes.
struct Receiving {
  HeapMemory memory{HeapMemory::Options{}};
  ScratchPool pool{1U << 16U};
  FlowOptions options;
  CreditGiver credit{pool, options};
  Reassembly<HeapMemory> reassembly{pool};
  std::vector<std::byte> bytes = std::vector<std::byte>(1000);

  ~Receiving() {
    reassembly.clear(memory);
    credit.end(memory);
  }
  Drop place(std::uint32_t number, std::uint32_t offset, std::uint32_t size, std::uint32_t total) {
    Frame part;
    part.type = FrameType::part;
    part.number = MessageNumber{number};
    part.offset = offset;
    part.total = total;
    part.bytes = ByteView{bytes}.first(size);
    return reassembly.place(part, options.message_bytes_max, credit, memory);
  }
};

}  // namespace

TEST_CASE("a message nobody can remember stays the application's, who may come again") {
  FlowPair<> pair;
  pair.connect();
  pair.run_for(1ms);
  auto& side = pair.side[0];
  {
    const Hog hog{side.pool};
    const auto block = side.memory.allocate_send(100);
    REQUIRE(block);
    const auto done = side.flow->submit(pair.now, *block, false);
    REQUIRE_FALSE(done);
    CHECK(done.error() == Reason::out_of_memory);
    side.memory.release(*block);
  }
  CHECK(side.flow->info().queued_messages == 0);
  REQUIRE(pair.send(0, "again"));
  pair.run_for(1ms);
  CHECK(pair.side[1].messages == std::vector<std::string>{"again"});
}

TEST_CASE("without room for its record no packet leaves, and nothing is lost by that") {
  ScratchPool pool{1U << 16U};
  SentPackets packets{pool, 64, PacketNumber{1}};
  {
    const Hog hog{pool};
    CHECK_FALSE(packets.make_room());
  }
  CHECK(packets.make_room());
  CHECK(packets.next() == PacketNumber{1});
}

TEST_CASE("what cannot be remembered as acknowledged stays in flight until it can") {
  SenderOf<Witness> f;
  f.send(5);
  f.now += 40us;
  {
    const Hog hog{f.pool};
    const Resolved out = f.acknowledge(4, {0});
    CHECK(out.out_of_memory);
    CHECK_FALSE(out.progress);
    CHECK(f.sender.packets().in_flight_packets() == 5);
    CHECK(f.sender.lost_packets() == 0);
  }
  const Resolved out = f.acknowledge(4, {0});
  CHECK_FALSE(out.out_of_memory);
  CHECK(out.progress);
  CHECK(f.sender.lost_packets() == 1);
}

TEST_CASE("what cannot be remembered as lost is lost when there is room, by a timer if need be") {
  SenderOf<Witness> f;
  f.send(6);
  f.now += 40us;
  (void)f.acknowledge(1, {0});
  {
    const Hog hog{f.pool};
    (void)f.acknowledge(5, {0});
    CHECK(f.sender.lost_packets() == 0);
    CHECK(f.sender.packets().in_flight_packets() == 1);
    CHECK_FALSE(f.sender.queue().has_lost());
  }
  REQUIRE(f.sender.loss_deadline() != never);
  f.now = f.sender.loss_deadline();
  (void)f.sender.on_loss_timer(f.now);
  CHECK(f.sender.lost_packets() == 1);
  CHECK(f.sender.queue().has_lost());
}

TEST_CASE("a message whose record or first part finds no room is taken when it comes again") {
  Receiving r;
  const std::uint32_t credit = r.credit.left();
  {
    const Hog hog{r.pool};
    CHECK(r.place(0, 0, 100, 200) == Drop::no_memory);
  }
  CHECK(r.credit.left() == credit);
  CHECK(r.memory.receive_arena().used() == 0);
  CHECK(r.place(0, 0, 100, 200) == Drop::none);
  {
    const Hog hog{r.pool};
    CHECK(r.place(0, 150, 50, 200) == Drop::no_memory);  // beyond a hole
    CHECK(r.place(0, 100, 20, 200) == Drop::none);       // no hole, no record
  }
  CHECK(r.place(0, 150, 50, 200) == Drop::none);
  CHECK_FALSE(r.reassembly.deliverable());
  CHECK(r.place(0, 120, 30, 200) == Drop::none);
  CHECK(r.reassembly.deliverable());
  CHECK(r.reassembly.broken_invariant() == nullptr);
}

TEST_CASE("a wish for memory that finds no room is told so, and one message too many as well") {
  Receiving r;
  {
    const Hog hog{r.pool};
    CHECK_FALSE(r.credit.want(MessageNumber{0}, 100'000));
    r.credit.want_block(r.memory, MessageNumber{0}, 100'000);
    CHECK_FALSE(r.credit.wanted());
    CHECK_FALSE(r.credit.take_refusal());
  }
  CHECK(r.credit.want(MessageNumber{0}, 100'000));
  CHECK(r.credit.want(MessageNumber{1}, 100'000));
  CHECK_FALSE(r.credit.want(MessageNumber{2}, 100'000));
  CHECK(r.credit.want(MessageNumber{1}, 100'000));  // the same again
}

TEST_CASE("a packet beyond a gap that cannot be remembered is as if it had not come") {
  ScratchPool none{0};
  AckTracker tracker{none};
  (void)tracker.record(PacketNumber{5}, Instant{1ms});
  (void)tracker.record(PacketNumber{7}, Instant{2ms});
  CHECK(tracker.largest() == PacketNumber{5});
  CHECK(tracker.largest_at() == Instant{1ms});
  CHECK(tracker.judge(PacketNumber{7}) == AckTracker::Verdict::fresh);
}
