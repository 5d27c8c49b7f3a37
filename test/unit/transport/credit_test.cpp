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
