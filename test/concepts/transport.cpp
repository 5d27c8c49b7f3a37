// CongestionController, Integrity, TransportPolicy: archetypes and near misses.
#include <vector>

#include <proa/transport/congestion.hpp>
#include <proa/transport/fixed_window.hpp>
#include <proa/transport/integrity.hpp>
#include <proa/transport/policy.hpp>

namespace proa {
namespace {

struct ControllerArchetype {
  void on_ack(const AckSample&) noexcept {}
  void on_loss(const LossSample&) noexcept {}
  void on_late(std::uint64_t) noexcept {}
  void on_spurious_timeout(Instant) noexcept {}
  void on_persistent_congestion(Instant) noexcept {}
  void on_packet_size(std::uint32_t) noexcept {}
  std::uint32_t window_bytes() const noexcept { return 0; }
  Duration pacing_interval(std::uint32_t) const noexcept { return {}; }
};
static_assert(CongestionController<ControllerArchetype>);
static_assert(CongestionController<FixedWindow>);

struct RemembersSamples : ControllerArchetype {  // allocates: not a value
  std::vector<AckSample> samples;
};
struct ThrowingOnLoss : ControllerArchetype {
  void on_loss(const LossSample&) {}
};
struct AnsweringOnAck : ControllerArchetype {  // leaves compute, parents decide
  bool on_ack(const AckSample&) noexcept { return true; }
};
struct SignedWindow : ControllerArchetype {
  std::int32_t window_bytes() const noexcept { return 0; }
};
struct MutableWindow : ControllerArchetype {  // asking must not change it
  std::uint32_t window_bytes() noexcept { return 0; }
};
struct RateInsteadOfInterval : ControllerArchetype {
  std::uint64_t pacing_interval(std::uint32_t) const noexcept { return 0; }
};
struct UnnamedLate : ControllerArchetype {  // which one came late decides what it proves
  void on_late(Instant) noexcept {}
};
struct ClocklessUndo : ControllerArchetype {
  void on_spurious_timeout() noexcept {}
};
static_assert(!CongestionController<RemembersSamples>);
static_assert(!CongestionController<ThrowingOnLoss>);
static_assert(!CongestionController<AnsweringOnAck>);
static_assert(!CongestionController<SignedWindow>);
static_assert(!CongestionController<MutableWindow>);
static_assert(!CongestionController<RateInsteadOfInterval>);
static_assert(!CongestionController<ClocklessUndo>);
static_assert(!CongestionController<UnnamedLate>);

struct IntegrityArchetype {
  [[maybe_unused]] static constexpr std::size_t trailer_bytes = 0;
  [[maybe_unused]] static constexpr bool needs_udp_checksum = true;
  static void seal(MutableBytes) noexcept {}
  static ByteView open(ByteView packet) noexcept { return packet; }
};
static_assert(Integrity<IntegrityArchetype>);
static_assert(Integrity<Crc32c> && Integrity<UdpChecksum>);

struct ThrowingOpen : IntegrityArchetype {
  static ByteView open(ByteView packet) { return packet; }
};
struct YesOrNoOpen : IntegrityArchetype {  // must say which bytes are left
  static bool open(ByteView) noexcept { return true; }
};
struct SealsConst : IntegrityArchetype {
  static int seal(MutableBytes) noexcept { return 0; }
};
struct KeyedSeal : IntegrityArchetype {  // needs an object: not this concept's kind
  void seal(MutableBytes) const noexcept {}
};
struct NoTrailerSize {
  [[maybe_unused]] static constexpr bool needs_udp_checksum = true;
  static void seal(MutableBytes) noexcept {}
  static ByteView open(ByteView packet) noexcept { return packet; }
};
static_assert(!Integrity<ThrowingOpen> && !Integrity<YesOrNoOpen> && !Integrity<SealsConst> &&
              !Integrity<KeyedSeal> && !Integrity<NoTrailerSize>);

struct OwnController : DefaultTransportPolicy {
  using Congestion = ControllerArchetype;
};
struct BadController : DefaultTransportPolicy {
  using Congestion = MutableWindow;
};
struct BadIntegrity : DefaultTransportPolicy {
  using Integrity = YesOrNoOpen;
};
struct NoController {
  using Integrity = Crc32c;
};
static_assert(TransportPolicy<DefaultTransportPolicy> && TransportPolicy<OwnController>);
static_assert(!TransportPolicy<BadController> && !TransportPolicy<BadIntegrity> &&
              !TransportPolicy<NoController>);

}  // namespace
}  // namespace proa
