// Placement: what is enough, and for each requirement a near miss that does not pass.
#include <proa/stack/placement.hpp>
#include <proa/stack/sidecar.hpp>

namespace proa {
namespace {

struct Releases {
  void release(const MessageBlock&) noexcept {}
};

/// `Self` is what open() makes: a near miss has to name itself, or it would fail for that alone.
template <class Self>
struct PlacementArchetype {
  using Memory = Releases;
  struct Options {};
  struct FlowInfo {};
  struct Counters {};
  static tl::expected<std::unique_ptr<Self>, std::string> open(const Options&) { return nullptr; }
  Instant now() noexcept { return {}; }
  LeaseHome<Memory>& home() noexcept { return *home_; }
  Expected<void> listen(const Listen&) noexcept { return {}; }
  Expected<void> unlisten(const Listen&) noexcept { return {}; }
  Expected<FlowHandle> connect(const Endpoint&, Instant) noexcept { return FlowHandle{}; }
  Expected<MessageBlock> allocate(std::uint32_t, FlowHandle) noexcept { return MessageBlock{}; }
  Reason send(FlowHandle, const MessageBlock&, bool, MessageNumber&) noexcept { return {}; }
  Reason send_copy(FlowHandle, std::span<const std::byte>, bool, MessageNumber&) noexcept {
    return {};
  }
  Expected<void> close(FlowHandle, Instant) noexcept { return {}; }
  Expected<void> reset(FlowHandle) noexcept { return {}; }
  bool take_event(PlacementEvent&) noexcept { return false; }
  void turn() noexcept {}
  void flush() noexcept {}
  void sleep(Instant) noexcept {}
  bool arm() noexcept { return true; }
  int native_handle() const noexcept { return -1; }
  std::uint32_t closing_flows() noexcept { return 0; }
  Expected<FlowInfo> flow_info(FlowHandle) noexcept { return FlowInfo{}; }
  Counters counters() noexcept { return {}; }
  std::vector<InterfaceInfo> interfaces() const { return {}; }
  LeaseHome<Memory>* home_ = nullptr;
};

struct Enough : PlacementArchetype<Enough> {};
static_assert(Placement<Enough>);
static_assert(Placement<Sidecar>);

struct Harmless : PlacementArchetype<Harmless> {
  void turn(int) noexcept {}  // more than is asked, and hides nothing that is
  using PlacementArchetype::turn;
};
static_assert(Placement<Harmless>);

struct OpensAnother : PlacementArchetype<Enough> {};
struct ThrowingOpen : PlacementArchetype<ThrowingOpen> {  // the sentence would be lost
  static std::unique_ptr<ThrowingOpen> open(const Options&) { return nullptr; }
};
struct Timeless : PlacementArchetype<Timeless> {
  void now() noexcept {}
};
struct HomeByPointer : PlacementArchetype<HomeByPointer> {
  LeaseHome<Memory>* home() noexcept { return home_; }
};
struct HomeOfAnotherMemory : PlacementArchetype<HomeOfAnotherMemory> {
  struct Other : Releases {};
  LeaseHome<Other>& home() noexcept { return *other_; }
  LeaseHome<Other>* other_ = nullptr;
};
struct ListensAlone : PlacementArchetype<ListensAlone> {  // cannot share, knows no interfaces
  Expected<void> listen(std::uint16_t) noexcept { return {}; }
};
struct UnlistensSilently : PlacementArchetype<UnlistensSilently> {
  void unlisten(const Listen&) noexcept {}
};
struct ConnectsWithoutEnd : PlacementArchetype<ConnectsWithoutEnd> {  // no deadline
  Expected<FlowHandle> connect(const Endpoint&) noexcept { return FlowHandle{}; }
};
struct ThrowingAllocate : PlacementArchetype<ThrowingAllocate> {
  Expected<MessageBlock> allocate(std::uint32_t, FlowHandle) { return MessageBlock{}; }
};
struct SendsSilently : PlacementArchetype<SendsSilently> {  // would_block must be heard
  void send(FlowHandle, const MessageBlock&, bool, MessageNumber&) noexcept {}
};
struct ThrowingSendCopy : PlacementArchetype<ThrowingSendCopy> {
  Reason send_copy(FlowHandle, std::span<const std::byte>, bool, MessageNumber&) { return {}; }
};
struct ClosesWithoutEnd : PlacementArchetype<ClosesWithoutEnd> {
  Expected<void> close(FlowHandle) noexcept { return {}; }
};
struct ResetsSilently : PlacementArchetype<ResetsSilently> {
  void reset(FlowHandle) noexcept {}
};
struct EventByValue : PlacementArchetype<EventByValue> {  // whether there was one is not said
  PlacementEvent take_event() noexcept { return {}; }
};
struct ThrowingTurn : PlacementArchetype<ThrowingTurn> {
  void turn() {}
};
struct FlushesPerhaps : PlacementArchetype<FlushesPerhaps> {
  bool flush() noexcept { return true; }
};
struct SleepsForEver : PlacementArchetype<SleepsForEver> {
  void sleep() noexcept {}
};
struct ArmsBlindly : PlacementArchetype<ArmsBlindly> {  // events that wait already would be missed
  void arm() noexcept {}
};
struct MovingHandle : PlacementArchetype<MovingHandle> {  // asking must not change it
  int native_handle() noexcept { return -1; }
};
struct ClosingOrNot : PlacementArchetype<ClosingOrNot> {  // drain() needs the number
  bool closing_flows() noexcept { return false; }
};
struct InfoOfAnyFlow : PlacementArchetype<InfoOfAnyFlow> {  // the flow may be gone
  FlowInfo flow_info(FlowHandle) noexcept { return {}; }
};
struct CountersElsewhere : PlacementArchetype<CountersElsewhere> {
  const Counters* counters() noexcept { return nullptr; }
};
struct AllocatesForNobody : PlacementArchetype<AllocatesForNobody> {  // each flow has its memory
  Expected<MessageBlock> allocate(std::uint32_t) noexcept { return MessageBlock{}; }
};
struct ForgetsInterfaces : PlacementArchetype<ForgetsInterfaces> {
  void interfaces() const {}
};

static_assert(!Placement<OpensAnother>);
static_assert(!Placement<ThrowingOpen>);
static_assert(!Placement<Timeless>);
static_assert(!Placement<HomeByPointer>);
static_assert(!Placement<HomeOfAnotherMemory>);
static_assert(!Placement<ListensAlone>);
static_assert(!Placement<UnlistensSilently>);
static_assert(!Placement<ConnectsWithoutEnd>);
static_assert(!Placement<ThrowingAllocate>);
static_assert(!Placement<SendsSilently>);
static_assert(!Placement<ThrowingSendCopy>);
static_assert(!Placement<ClosesWithoutEnd>);
static_assert(!Placement<ResetsSilently>);
static_assert(!Placement<EventByValue>);
static_assert(!Placement<ThrowingTurn>);
static_assert(!Placement<FlushesPerhaps>);
static_assert(!Placement<SleepsForEver>);
static_assert(!Placement<ArmsBlindly>);
static_assert(!Placement<MovingHandle>);
static_assert(!Placement<ClosingOrNot>);
static_assert(!Placement<InfoOfAnyFlow>);
static_assert(!Placement<CountersElsewhere>);
static_assert(!Placement<AllocatesForNobody>);
static_assert(!Placement<ForgetsInterfaces>);
static_assert(!Placement<int>);

}  // namespace
}  // namespace proa
