// What may cross the trust boundary: padding-free plain data of bounded size, and its sink.
#include <array>
#include <cstdint>

#include <proa/ipc/channel_server.hpp>
#include <proa/ipc/control_messages.hpp>
#include <proa/ipc/layout.hpp>

namespace proa {
namespace {

struct Plain {
  std::uint32_t a = 0, b = 0;
};
struct Padded {  // three bytes of whatever was in memory would leave the process
  std::uint8_t a = 0;
  std::uint32_t b = 0;
};
struct WithConstructor {
  WithConstructor(const WithConstructor& other) : a(other.a) {}
  std::uint32_t a;
};
struct Fraction {  // two zeros: a value has two representations
  double share = 0;
};
static_assert(SlotContent<Plain>);
static_assert(!SlotContent<Padded> && !SlotContent<WithConstructor> && !SlotContent<Fraction>);
static_assert(SlotContent<std::array<std::byte, inline_one>>);
static_assert(!SlotContent<std::array<std::byte, inline_one + 1>>);

struct PlainMessage : Plain {
  [[maybe_unused]] static constexpr ControlType type = ControlType::status;
};
struct PaddedMessage : Padded {
  [[maybe_unused]] static constexpr ControlType type = ControlType::status;
};
struct HugeMessage {
  [[maybe_unused]] static constexpr ControlType type = ControlType::status;
  std::array<std::byte, control_bytes_max> bytes{};
};
static_assert(ControlContent<PlainMessage>);
static_assert(!ControlContent<Plain> && !ControlContent<PaddedMessage> &&
              !ControlContent<HugeMessage>);

struct SinkArchetype {
  Expected<std::uint32_t> connect(ChannelHandle, const Endpoint&, Instant) noexcept {
    return failed(Reason::no_route);
  }
  Expected<MessageNumber> submit(std::uint32_t, const MessageBlock&, bool) noexcept {
    return failed(Reason::would_block);
  }
  void close(std::uint32_t, Instant) noexcept {}
  void reset(std::uint32_t) noexcept {}
  bool describe(std::uint32_t, FlowDetails&) noexcept { return false; }
};
struct ThrowingSubmit : SinkArchetype {
  Expected<MessageNumber> submit(std::uint32_t, const MessageBlock&, bool) {
    return failed(Reason::would_block);
  }
};
struct SilentConnect : SinkArchetype {
  std::uint32_t connect(ChannelHandle, const Endpoint&, Instant) noexcept { return 0; }
};
struct EndlessClose : SinkArchetype {
  void close(std::uint32_t) noexcept {}
};
static_assert(ChannelSink<SinkArchetype>);
static_assert(!ChannelSink<ThrowingSubmit> && !ChannelSink<SilentConnect> &&
              !ChannelSink<EndlessClose>);

}  // namespace
}  // namespace proa
