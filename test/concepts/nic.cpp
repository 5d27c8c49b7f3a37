// Nic: what is enough, and for each requirement a near miss that does not pass.
#include <proa/nic/lossy.hpp>
#include <proa/nic/nic.hpp>
#include <proa/nic/pcap_tap.hpp>
#include <proa/nic/sim.hpp>

namespace proa {
namespace {

// Enough.
static_assert(Nic<NicArchetype>);
static_assert(Nic<SimNic>);
static_assert(Nic<Lossy<NicArchetype>>);
static_assert(Nic<PcapTap<NicArchetype>>);
static_assert(Nic<PcapTap<Lossy<SimNic>>>);
static_assert(Nic<Lossy<PcapTap<SimNic>>>);

// Near misses: the archetype with one thing wrong. A name declared here hides the inherited one.
struct ThrowingTx : NicArchetype {
  std::size_t tx_burst(Instant, std::span<Packet>) { return 0; }
};
struct ThrowingRx : NicArchetype {
  std::size_t rx_burst(Instant, std::span<Packet>) { return 0; }
};
struct ThrowingRelease : NicArchetype {
  void release(std::span<Packet>) {}
};
struct BooleanTx : NicArchetype {  // "sent or not" cannot say which prefix
  bool tx_burst(Instant, std::span<Packet>) noexcept { return true; }
};
struct SignedRx : NicArchetype {  // a count with errors mixed in
  int rx_burst(Instant, std::span<Packet>) noexcept { return 0; }
};
struct TimelessRx : NicArchetype {  // reads a clock of its own
  std::size_t rx_burst(std::span<Packet>) noexcept { return 0; }
};
struct TimelessTx : NicArchetype {
  std::size_t tx_burst(std::span<Packet>) noexcept { return 0; }
};
struct TxOfConstPackets : NicArchetype {  // takes packets, yet promises not to; accepts the call
  std::size_t tx_burst(Instant, std::span<const Packet>) noexcept { return 0; }
};
struct OnePacketAllocate : NicArchetype {
  Packet allocate() noexcept { return {}; }
};
struct SilentAllocate : NicArchetype {
  void allocate(std::span<Packet>) noexcept {}
};
struct MutableCapabilities : NicArchetype {  // asking must not change the NIC
  NicCapabilities capabilities() noexcept { return {}; }
};
struct CountersElsewhere : NicArchetype {
  const NicCounters* counters() const noexcept { return nullptr; }
};
struct LinkAsNumber : NicArchetype {
  int link_up() const noexcept { return 1; }
};
struct LinkChangedFlag : NicArchetype {  // two interruptions between two looks are two
  bool link_interruptions() const noexcept { return false; }
};
struct BlockingArm : NicArchetype {
  void arm_wait() noexcept {}
};
struct ThrowingWait : NicArchetype {
  std::size_t wait_descriptors(std::span<int>) { return 0; }
};
struct DeletedDisarm : NicArchetype {
  void disarm_wait() = delete;
};

static_assert(!Nic<ThrowingTx>);
static_assert(!Nic<ThrowingRx>);
static_assert(!Nic<ThrowingRelease>);
static_assert(!Nic<BooleanTx>);
static_assert(!Nic<SignedRx>);
static_assert(!Nic<TimelessRx>);
static_assert(!Nic<TimelessTx>);
static_assert(!Nic<OnePacketAllocate>);
static_assert(!Nic<SilentAllocate>);
static_assert(!Nic<MutableCapabilities>);
static_assert(!Nic<CountersElsewhere>);
static_assert(!Nic<LinkAsNumber>);
static_assert(!Nic<LinkChangedFlag>);
static_assert(!Nic<BlockingArm>);
static_assert(!Nic<ThrowingWait>);
static_assert(!Nic<DeletedDisarm>);
static_assert(!Nic<int>);
// Not a near miss: std::span<Packet> converts, so the concept cannot tell.
static_assert(Nic<TxOfConstPackets>);

// Each sub-concept stands for itself: breaking one leaves the others whole.
static_assert(detail::NicDescribes<ThrowingTx> && detail::NicPools<ThrowingTx> &&
              !detail::NicBursts<ThrowingTx> && detail::NicWaits<ThrowingTx>);
static_assert(!detail::NicDescribes<LinkAsNumber> && detail::NicBursts<LinkAsNumber>);
static_assert(!detail::NicPools<SilentAllocate> && detail::NicBursts<SilentAllocate>);
static_assert(!detail::NicWaits<BlockingArm> && detail::NicBursts<BlockingArm>);

// Decorators ask for a whole NIC, at their own top.
template <class Inner>
concept CanBeLossy = requires {
  typename Lossy<Inner>;
};
template <class Inner>
concept CanBeTapped = requires {
  typename PcapTap<Inner>;
};
static_assert(CanBeLossy<NicArchetype> && CanBeTapped<NicArchetype>);
static_assert(!CanBeLossy<ThrowingTx> && !CanBeTapped<ThrowingTx>);
static_assert(!CanBeLossy<int> && !CanBeTapped<int>);

// Packets have one owner; a decorator that holds packets has one too.
static_assert(!std::is_copy_constructible_v<Packet> && !std::is_copy_assignable_v<Packet>);
static_assert(!std::is_copy_constructible_v<Lossy<SimNic>>);
static_assert(!std::is_move_assignable_v<Lossy<SimNic>>);

}  // namespace
}  // namespace proa
