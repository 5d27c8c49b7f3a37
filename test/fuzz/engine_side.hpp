// Fuzzing: the application's side of an engine in the fuzzed world: judged applications for the
// connections the input opened, and none for strangers.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <proa/engine/app_side.hpp>

#include "../sim/application.hpp"

namespace proa::fuzz {

/// One flow the input asked for. [0]: the client's end.
struct FuzzConnection {
  std::uint32_t from = 0;
  std::array<sim::Script, 2> script;
  std::array<std::unique_ptr<sim::Application>, 2> app;
  std::array<FlowKey, 2> key{};
  std::array<bool, 2> has_flow{}, closed_by_us{};

  [[nodiscard]] std::uint32_t host_of(std::uint32_t end) const noexcept {
    return end == 0 ? from : 1 - from;
  }
};

/// What both sides know. `forged`: the attacker may have written anything.
struct FuzzBook {
  std::vector<std::unique_ptr<FuzzConnection>> connections;
  std::map<Endpoint, std::uint32_t> clients;  // by the client's address and port
  Instant now{1s};
  bool forged = false;
  std::string complaint;

  void note(const std::string& why) {
    if (complaint.empty()) complaint = why;
  }
};

class FuzzSide {
 public:
  using Memory = sim::CheckedMemory;
  static constexpr std::uint32_t stranger = 0xffff'ffff;

  FuzzSide(FuzzBook& book, std::uint32_t host)
      : book_(&book),
        host_(host),
        memory_({std::uint64_t{16} << 20U, std::uint64_t{8} << 20U, 256U << 10U}) {}

  template <class EngineT>
  std::uint32_t pull(EngineT&, Instant) noexcept {
    return 0;
  }
  std::optional<AppCookie> accept(std::uint32_t, FlowKey key, const Endpoint&,
                                  const Endpoint& peer) noexcept {
    const auto found = book_->clients.find(peer);
    if (found == book_->clients.end()) {
      if (!book_->forged) book_->note("a flow was accepted from nobody");
      return AppCookie{0, stranger};
    }
    FuzzConnection& connection = *book_->connections[found->second];
    const bool expected = connection.host_of(1) == host_ && !connection.has_flow[1];
    if (!expected && !book_->forged) book_->note("a connection was accepted twice");
    if (!expected) return AppCookie{0, stranger};
    connection.has_flow[1] = true;
    connection.key[1] = key;
    return AppCookie{0, found->second * 2 + 1};
  }
  bool room(std::uint32_t) noexcept { return true; }
  void deliver(AppCookie cookie, FlowKey, const FlowEvent& event) noexcept {
    if (event.kind == FlowEventKind::closed && event.reason == Reason::none)
      book_->note("closed without a reason");
    const std::uint32_t end = cookie.handle % 2;
    const bool judged =
        cookie.handle != stranger &&
        (!book_->forged || event.kind == FlowEventKind::closed ||
         event.kind == FlowEventKind::accepted || event.kind == FlowEventKind::connected);
    if (!judged) {
      if (event.kind == FlowEventKind::message) memory_.release(event.message);
      return;
    }
    FuzzConnection& connection = *book_->connections[cookie.handle / 2];
    try {
      connection.app[end]->on_event(book_->now, event, end == 0, *connection.app[1 - end]);
    } catch (const sim::Failure& failure) {
      book_->note(failure.what());
    }
  }
  Memory& memory(std::uint32_t) noexcept { return memory_; }
  void publish(Instant) noexcept {}
  [[nodiscard]] Memory& memory() noexcept { return memory_; }

 private:
  FuzzBook* book_;
  std::uint32_t host_;
  Memory memory_;
};

}  // namespace proa::fuzz
