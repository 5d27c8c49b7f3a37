// e2e: rings of 32, a server that looks away and a pool that is empty for a while, on real drivers:
// every message arrives whole all the same, and each want is counted.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <catch2/catch.hpp>
#include <proa/in_process.hpp>
#include <string>
#include <thread>
#include <vector>

#include "apps/echo.hpp"
#include "process.hpp"
#include "raw_wire.hpp"

namespace {

using namespace proa;
using namespace proa::bench;
using Net = Stack<InProcess<DpdkNic>>;

constexpr std::uint16_t port = 7000;
constexpr std::chrono::minutes patience{2};  // what takes seconds on an idle machine
constexpr std::uint32_t message_bytes = 1U << 20U;
constexpr std::uint64_t messages = 60;

/// What an end has to say once it is done, or why it could not.
struct Word {
  char wrong[256] = {};
  EngineCounters counters{};

  Word() = default;
  explicit Word(const std::string& what) { what.copy(wrong, sizeof wrong - 1); }
};

IpAddress address_of(std::size_t end, bool ipv6) {
  IpAddress out{{0xfd, 0, 0x01, 0x17}};
  out.octets[15] = static_cast<std::uint8_t>(11 + end);
  return ipv6 ? out : IpAddress::v4(10, 117, 0, out.octets[15]);
}

tl::expected<Net, std::string> open_stack(const Wire& wire, std::size_t end, bool ipv6) {
  Net::Options options;
  options.nic = wire.enter(end);
  options.nic.descriptors = 32;
  options.interface.mtu_bytes = wire.mtu();
  options.interface.addresses = {
      {address_of(end, ipv6), static_cast<std::uint8_t>(ipv6 ? 64 : 24)}};
  // 256 KiB whatever the network says: many times the ring.
  options.engine.flow.congestion = CongestionKind::fixed_window;
  return Net::open(options);
}

/// Of both processes of a test: whether the client has met a full ring.
std::atomic<bool>& met_full_ring() {
  static void* const shared = ::mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *static_cast<std::atomic<bool>*>(shared);
}

/// Takes every packet of the pool for a while, now and then: as if the NIC's rings held them. The
/// first time until the stack has missed them, however slow the machine is.
class Hoarder {
 public:
  explicit Hoarder(Net& net) : net_(&net), nic_(&net.placement().nic()) {}
  ~Hoarder() { give_back(); }

  void look() noexcept {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds{5};
    const EngineCounters counters = net_->counters();
    if (counters.tx_ring_full != 0) met_full_ring() = true;
    if (!held_.empty()) return counters.tx_pool_empty != 0 ? give_back() : void();
    std::array<Packet, 32> some;
    while (const std::size_t count = nic_->allocate(some))
      for (std::size_t i = 0; i < count; ++i) held_.push_back(std::move(some[i]));
  }

 private:
  void give_back() noexcept {
    nic_->release(held_);
    held_.clear();
  }
  Net* net_;
  DpdkNic* nic_;
  std::vector<Packet> held_;
  std::chrono::steady_clock::time_point next_{};
};

std::string echo(Net& net, bool ipv6) {
  EchoOptions options;
  options.peer = {address_of(1, ipv6), port};
  options.size = message_bytes;
  options.window = 2;
  options.flows = 2;
  options.messages = messages;
  options.patience = patience;
  Hoarder hoarder{net};
  const auto result = EchoClient<Net>{net, options}.run([&] {
    hoarder.look();
    return false;
  });
  if (!result) return result.error();
  return result->messages == messages ? "" : "replies are missing";
}

/// Echoes, and does not look at its NIC for 3 ms out of every 10; with messages under way longer,
/// until a ring has run over, however slow the machine is: the sender's on memif, its own on a wire
/// of the kernel's.
std::string serve(Net& net, bool memif, Control& control) {
  EchoServer<Net> echoes{net};
  std::uint32_t asked = 0;
  auto next = std::chrono::steady_clock::now();
  const auto full = [&] {
    return memif ? met_full_ring().load() : net.counters().nic.rx_missed != 0;
  };
  echoes.run(false, [&] {
    if (++asked % 64 != 0) return false;
    if (const auto now = std::chrono::steady_clock::now(); now >= next) {
      // All that the client may send may be here already: then it waits for an answer.
      const auto enough = now + std::chrono::seconds{1};
      do std::this_thread::sleep_for(std::chrono::milliseconds{3});
      while (echoes.echoed() != 0 && !full() && !control.ready() &&
             std::chrono::steady_clock::now() < enough);
      next = now + std::chrono::milliseconds{10};
    }
    return asked % 1024 == 0 && control.ready();
  });
  static_cast<void>(control.receive<char>());
  return {};
}

int run_end(const Wire& wire, std::size_t end, bool ipv6, Control& control) {
  auto net = open_stack(wire, end, ipv6);
  if (!net) return control.send(Word{net.error()}), 1;
  if (!net->listen({port})) return control.send(Word{"cannot listen"}), 1;
  control.send(Word{});
  while (!control.ready()) static_cast<void>(net->poll());  // it answers its neighbours
  static_cast<void>(control.receive<char>());
  Word word{end == 0 ? echo(*net, ipv6) : serve(*net, wire.hosts() == nullptr, control)};
  word.counters = net->counters();
  control.send(word);
  while (!control.ready()) static_cast<void>(net->poll());
  return 0;
}

Word heard(ChildProcess& end, const std::string& who) {
  const auto word = end.control().receive<Word>(patience + std::chrono::seconds{30});
  return word ? *word : Word{who + " ended or said nothing"};
}

/// The counters of client and server.
std::array<EngineCounters, 2> echo_over(const Wire& wire, bool ipv6) {
  std::vector<ChildProcess> ends;
  met_full_ring() = false;
  for (const std::size_t end : {0U, 1U}) {
    auto child = ChildProcess::start(
        [&, end](Control& control) { return run_end(wire, end, ipv6, control); });
    REQUIRE(child);
    ends.push_back(std::move(*child));
  }
  for (ChildProcess& end : ends) REQUIRE(std::string{heard(end, "an end").wrong} == "");
  ends[1].control().send('g');
  ends[0].control().send('g');
  const Word client = heard(ends[0], "client");
  CHECK(std::string{client.wrong} == "");
  ends[1].control().send('s');
  const Word server = heard(ends[1], "server");
  CHECK(std::string{server.wrong} == "");
  return {client.counters, server.counters};
}

std::optional<Wire> wire_called(const std::string& name) {
  auto wire = Wire::make(name);
  if (wire) return std::optional<Wire>{std::move(*wire)};
  if (::geteuid() == 0) FAIL(wire.error());
  WARN("left out: " + wire.error());
  return std::nullopt;
}

}  // namespace

TEST_CASE("full rings and empty pools on memif are counted and cost no message", "[scarce]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const auto wire = wire_called("memif");
  if (!wire) return;
  const auto [client, server] = echo_over(*wire, ipv6);
  CHECK(client.tx_pool_empty > 0);
  CHECK(client.tx_ring_full > 0);
}

TEST_CASE("full rings and empty pools on a veth pair are counted and cost no message",
          "[scarce][root]") {
  const bool ipv6 = GENERATE(false, true);
  CAPTURE(ipv6);
  const auto wire = wire_called("veth-af_packet");
  if (!wire) return;
  const auto [client, server] = echo_over(*wire, ipv6);
  CHECK(client.tx_pool_empty > 0);
  CHECK(server.nic.rx_missed > 0);  // the kernel's ring ran over while the server looked away
}
