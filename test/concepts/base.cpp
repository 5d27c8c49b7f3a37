// What the base types must not let through: mixed units, ordered serial numbers, a clock to read.
#include <concepts>

#include <proa/base/bytes.hpp>
#include <proa/base/seq.hpp>
#include <proa/base/time.hpp>
#include <proa/base/units.hpp>

namespace proa {
namespace {

template <class A, class B>
concept CanAdd = requires(A a, B b) {
  a + b;
};
template <class A, class B>
concept CanCompare = requires(A a, B b) {
  a == b;
};
template <class A>
concept HasOrder = requires(A a) {
  a < a;
};
template <class C>
concept CanBeRead = requires {
  C::now();
};
template <class Reader, std::size_t At>
concept ReadsWordAt = requires(const Reader& reader) {
  reader.template be<std::uint32_t, At>();
};

static_assert(CanAdd<ByteCount, ByteCount>);
static_assert(!CanAdd<ByteCount, PacketCount> && !CanCompare<ByteCount, PacketCount>);
static_assert(!std::convertible_to<int, ByteCount> && !std::convertible_to<ByteCount, int>);

static_assert(!HasOrder<PacketNumber> && !HasOrder<MessageNumber> && !HasOrder<CreditLimit>);
static_assert(CanCompare<PacketNumber, PacketNumber> && !CanCompare<PacketNumber, MessageNumber>);

static_assert(!CanBeRead<StackClock> && CanBeRead<std::chrono::steady_clock>);
static_assert(!std::convertible_to<std::chrono::steady_clock::time_point, Instant>);

static_assert(ReadsWordAt<FixedReader<8>, 4> && !ReadsWordAt<FixedReader<8>, 5>);

}  // namespace
}  // namespace proa
