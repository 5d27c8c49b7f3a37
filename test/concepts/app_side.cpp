// AppSideOf: what is enough, and for each requirement a near miss that does not pass.
#include <proa/engine/app_side.hpp>

namespace proa {
namespace {

struct AnyEngine {};

struct SideArchetype {
  using Memory = MessageMemoryArchetype;
  std::uint32_t pull(AnyEngine&, Instant) noexcept { return 0; }
  std::optional<AppCookie> accept(std::uint32_t, FlowKey, const Endpoint&,
                                  const Endpoint&) noexcept {
    return std::nullopt;
  }
  bool room(std::uint32_t) noexcept { return true; }
  void deliver(AppCookie, FlowKey, const FlowEvent&) noexcept {}
  Memory& memory(std::uint32_t) noexcept { return memory_; }
  void publish(Instant) noexcept {}
  Memory memory_;
};
static_assert(AppSideOf<SideArchetype, AnyEngine>);

struct OtherEngine {};
struct ThrowingDeliver : SideArchetype {
  void deliver(AppCookie, FlowKey, const FlowEvent&) {}
};
struct RefusingDeliver : SideArchetype {  // whether there is room is asked before
  bool deliver(AppCookie, FlowKey, const FlowEvent&) noexcept { return false; }
};
struct AlwaysAccepts : SideArchetype {  // an application may be gone
  AppCookie accept(std::uint32_t, FlowKey, const Endpoint&, const Endpoint&) noexcept { return {}; }
};
struct MemoryByValue : SideArchetype {
  Memory memory(std::uint32_t) noexcept { return {}; }
};
struct MemoryOfAnotherKind : SideArchetype {
  struct Other : MessageMemoryArchetype {};
  Other& memory(std::uint32_t) noexcept { return other_; }
  Other other_;
};
struct WeakMemory : SideArchetype {
  struct Memory {};
  Memory& memory(std::uint32_t) noexcept { return weak_; }
  Memory weak_;
};
struct TimelessPublish : SideArchetype {
  void publish() noexcept {}
};
struct SilentPull : SideArchetype {  // the engine's idle strategy needs the count
  void pull(AnyEngine&, Instant) noexcept {}
};

static_assert(!AppSideOf<SideArchetype, OtherEngine>);
static_assert(!AppSideOf<ThrowingDeliver, AnyEngine>);
static_assert(!AppSideOf<RefusingDeliver, AnyEngine>);
static_assert(!AppSideOf<AlwaysAccepts, AnyEngine>);
static_assert(!AppSideOf<MemoryByValue, AnyEngine>);
static_assert(!AppSideOf<MemoryOfAnotherKind, AnyEngine>);
static_assert(!AppSideOf<WeakMemory, AnyEngine>);
static_assert(!AppSideOf<TimelessPublish, AnyEngine>);
static_assert(!AppSideOf<SilentPull, AnyEngine>);

}  // namespace
}  // namespace proa
