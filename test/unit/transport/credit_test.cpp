// What a receiver promises: to whom uses it, and back when he no longer does.
#include <proa/transport/credit.hpp>

#include <memory>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/mem/heap_memory.hpp>

using namespace proa;

namespace {

/// One memory of 64 MiB, as a host with many flows has it.
struct Host {
  HeapMemory memory{{.send_bytes = 1U << 20U, .receive_bytes = 64U << 20U}};
  ScratchPool pool{1U << 20U};
  FlowOptions options;

  /// A message arrives and the application reads it at once.
  void take(CreditGiver& credit, std::uint32_t number, std::uint32_t length) {
    MessageBlock block;
    REQUIRE(memory_cost(length) <= credit.left());
    REQUIRE(credit.consume(memory, MessageNumber{number}, length, block));
    memory.release(block);
    credit.raise(memory, 0);
  }
};

}  // namespace

TEST_CASE("Ten thousand silent flows leave the memory to those that use it", "[target12]") {
  Host host;
  std::vector<std::unique_ptr<CreditGiver>> silent;
  for (int i = 0; i < 10'000; ++i) {
    silent.push_back(std::make_unique<CreditGiver>(host.pool, host.options));
    silent.back()->raise(host.memory, 0);  // the packet that opened it
  }
  CreditGiver active{host.pool, host.options};
  for (std::uint32_t i = 0; i < 1000; ++i) host.take(active, i, 8192);
  CHECK(active.left() >= 1U << 20U);
  active.end(host.memory);
}

TEST_CASE("A flow that becomes idle gives its promises back and keeps its credit on trust") {
  Host host;
  const auto before = host.memory.ledger_free();
  CreditGiver credit{host.pool, host.options};
  std::uint32_t number = 0;
  for (; number < 100; ++number) host.take(credit, number, 8192);
  CHECK(host.memory.ledger_free() < before);
  const std::uint32_t left = credit.left();
  credit.rest(host.memory);
  CHECK(host.memory.ledger_free() == before);
  CHECK(credit.left() == left);
  for (; number < 400; ++number) host.take(credit, number, 8192);
  credit.end(host.memory);
  CHECK(host.memory.ledger_free() == before);
}

TEST_CASE("Without promises left small messages still need not ask for each block",
          "[rfc9000-4.1]") {
  Host host;
  while (host.memory.grant(64U << 20U) != 0) {
  }
  CreditGiver credit{host.pool, host.options};
  for (std::uint32_t i = 0; i < 10'000; ++i) host.take(credit, i, 64);
  CHECK(credit.left() <= initial_credit_bytes);
  credit.end(host.memory);
}

TEST_CASE("A message larger than the initial credit asks once, those after it do not",
          "[rfc9000-4.1]") {
  Host host;
  CreditGiver credit{host.pool, host.options};
  REQUIRE(credit.want(MessageNumber{0}, 100'000));
  credit.raise(host.memory, 0);
  for (std::uint32_t i = 0; i < 100; ++i) host.take(credit, i, 100'000);
  credit.end(host.memory);
}

TEST_CASE("a block reserved for another length than the message then has goes back") {
  Host host;
  CreditGiver credit{host.pool, host.options};
  REQUIRE(credit.want(MessageNumber{0}, 100'000));
  REQUIRE(credit.serve(host.memory, false, MessageNumber{0}));
  CHECK(host.memory.receive_arena().used() >= 100'000);
  MessageBlock block;
  REQUIRE(credit.consume(host.memory, MessageNumber{0}, 50, block));
  CHECK(block.length == 50);
  CHECK(host.memory.receive_arena().used() == memory_cost(50));
  CHECK(host.pool.arena().used() == 0);  // nothing is wanted any more
  host.memory.release(block);
  credit.end(host.memory);
  CHECK(host.memory.receive_arena().used() == 0);
}

TEST_CASE("of messages that found no block the earliest is remembered and served, once told") {
  Host host;
  CreditGiver credit{host.pool, host.options};
  CHECK_FALSE(credit.take_refusal());
  credit.want_block(host.memory, MessageNumber{7}, 1000);
  REQUIRE(credit.serve(host.memory, false, MessageNumber{7}));
  CHECK_FALSE(credit.wanted());
  credit.want_block(host.memory, MessageNumber{8}, 1000);  // a later one waits for that
  CHECK_FALSE(credit.wanted());
  credit.want_block(host.memory, MessageNumber{3}, 4000);
  CHECK(host.memory.receive_arena().used() == 0);  // what was the later one's
  CHECK(credit.take_refusal());
  CHECK_FALSE(credit.take_refusal());
  // Before a wish for a later message, and its credit is spent: the limit does not rise for it.
  REQUIRE(credit.want(MessageNumber{9}, 100'000));
  const std::uint32_t left = credit.left();
  REQUIRE(credit.serve(host.memory, false, MessageNumber{3}));
  CHECK(credit.left() == left);
  REQUIRE(credit.serve(host.memory, false, MessageNumber{3}));
  CHECK(credit.left() == left + memory_cost(100'000));
  CHECK_FALSE(credit.serve(host.memory, false, MessageNumber{3}));
  credit.end(host.memory);
  CHECK(host.memory.receive_arena().used() == 0);
}
