// e2e: four and sixteen engines on each of two hosts over net_af_packet: the kernel spreads packets
// over the queues by a hash that nobody here can read or set (packet(7), PACKET_FANOUT_HASH).
#include <unistd.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "engines_host.hpp"

using namespace engines_tests;

namespace {

/// What happened between two looks.
struct Phase {
  std::uint64_t messages = 0, handed_over = 0, path_changes = 0, path_returns = 0, rolled_over = 0;
  double seconds = 0;
  std::uint32_t windows = 0, quiet = 0;  // of 50 ms or a little more; nothing was handed over
  std::array<std::uint64_t, engines_at_most> received_a{}, received_b{};

  [[nodiscard]] double rate() const { return static_cast<double>(messages) / seconds; }
  [[nodiscard]] double handed_over_per_1000() const {
    return 1000.0 * static_cast<double>(handed_over) / static_cast<double>(messages);
  }
};

std::string text(const Phase& p) {
  const auto number = [](double v) { return std::to_string(static_cast<std::uint64_t>(v + 0.5)); };
  return number(p.rate()) + " messages/s, " + number(1000 * p.handed_over_per_1000()) +
         " handed over per million, nothing in " + std::to_string(p.quiet) + " of " +
         std::to_string(p.windows) + " windows, " + std::to_string(p.path_changes) +
         " paths changed, " + std::to_string(p.path_returns) + " back, " +
         std::to_string(p.handed_over) + " handed over, " + std::to_string(p.rolled_over) +
         " rolled over";
}

/// What each look saw go astray, of its messages.
std::string handed_over_in(const std::vector<Phase>& looks) {
  std::string out;
  for (const Phase& look : looks)
    out += (out.empty() ? "" : ", ") + std::to_string(look.handed_over) + " of " +
           std::to_string(look.messages);
  return out;
}

/// Both hosts, seen from the parent.
class Pair {
 public:
  Pair(const TwoHosts& hosts, std::uint32_t engines, bool ipv6)
      : server_(run(hosts, 1, engines, ipv6, serve)), client_(ready(hosts, engines, ipv6)) {}

  /// At least that many messages under this load, and for that long.
  Phase under(const Order& order, std::uint64_t messages,
              std::chrono::milliseconds at_least = 0ms) {
    const Word a = heard(client_, order), b = heard(server_, {});
    const auto began = Clock::now();
    Phase out;
    std::uint64_t so_far = a.handed_over + b.handed_over;
    Word a_then = a;
    while (a_then.messages < a.messages + messages || Clock::now() < began + at_least) {
      ::usleep(50'000);
      a_then = heard(client_, order);
      const std::uint64_t now = a_then.handed_over + heard(server_, {}).handed_over;
      ++out.windows;
      out.quiet += now == std::exchange(so_far, now) ? 1 : 0;
    }
    out.seconds = std::chrono::duration<double>(Clock::now() - began).count();
    const Word b_then = heard(server_, {});
    out.messages = a_then.messages - a.messages;
    out.handed_over = a_then.handed_over + b_then.handed_over - a.handed_over - b.handed_over;
    out.path_changes = a_then.path_changes + b_then.path_changes - a.path_changes - b.path_changes;
    out.path_returns = a_then.path_returns + b_then.path_returns - a.path_returns - b.path_returns;
    out.rolled_over = a_then.rolled_over + b_then.rolled_over - a.rolled_over - b.rolled_over;
    for (std::uint32_t i = 0; i < engines_at_most; ++i) {
      out.received_a[i] = a_then.received[i] - a.received[i];
      out.received_b[i] = b_then.received[i] - b.received[i];
    }
    return out;
  }
  /// Lets what is under way arrive.
  void rest() {
    heard(client_, {});
    ::usleep(50'000);
  }
  [[nodiscard]] Word client() { return heard(client_, {}); }
  [[nodiscard]] Word server() { return heard(server_, {}); }

 private:
  ChildProcess ready(const TwoHosts& hosts, std::uint32_t engines, bool ipv6) {
    heard(server_, {});
    return run(hosts, 0, engines, ipv6, ask);
  }
  ChildProcess server_, client_;
};

/// Alone, a flow is received by its own engine at either end and nothing is handed over. A thread
/// that gets no processor makes the kernel use other queues: not ten times in a row.
bool runs_on_its_own(Pair& pair, std::uint32_t from, std::uint32_t to) {
  constexpr std::uint64_t count = 20;
  for (int attempt = 0; attempt < 10; ++attempt) {
    pair.rest();
    const Phase alone = pair.under({Load::one, from, to, {}}, count);
    pair.rest();
    if (alone.handed_over == 0 && alone.received_a[from] >= count && alone.received_b[to] >= count)
      return true;
  }
  return false;
}

}  // namespace

TEST_CASE("four engines on each side find paths through the kernel's fanout hash",
          "[stack][root]") {
  const bool ipv6 = GENERATE(false, true);
  constexpr std::uint32_t engines = 4;
  CAPTURE(ipv6);
  const auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  Pair pair{*hosts, engines, ipv6};
  // Sixteen flows: enough for 8 of 32 packets, and for every search.
  static_cast<void>(pair.under({Load::rounds, 0, 0, 4ms}, 16 * 60));
  // Before a path is known three of four packets go astray. With as many threads as here on two
  // cores one that gets no processor is silent and its peers try other paths. Those that they know
  // are good too, and soon every flow knows two: then nothing is handed over but what a thread
  // causes that stands still for longer than peers have patience. Not ten times in a row.
  // What full load is depends on who else wants the processors: it is measured before each look.
  // A look that was disturbed so much that it is not at half load does not count either.
  Phase full;
  const auto at_half = [&](const Phase& look) {
    return look.rate() >= full.rate() * 0.4 && look.rate() <= full.rate() * 0.6;
  };
  std::vector<Phase> looks;
  std::vector<double> astray;  // per 1000 messages, in each look at half load
  while (astray.size() < 10 && looks.size() < 40 &&
         (looks.empty() || looks.back().handed_over != 0 || looks.back().rolled_over != 0 ||
          !at_half(looks.back()))) {
    full = pair.under({Load::rounds, 0, 0, 0ms}, 16 * 60, looks.empty() ? 2s : 1s);
    const std::chrono::nanoseconds every{
        static_cast<std::int64_t>(1e9 * engines * engines / (full.rate() / 2))};
    static_cast<void>(pair.under({Load::rounds, 0, 0, every}, 16 * 60));
    looks.push_back(pair.under({Load::rounds, 0, 0, every}, 16 * 60, 2s));
    if (at_half(looks.back())) astray.push_back(looks.back().handed_over_per_1000());
  }
  const Phase& half = looks.back();
  CHECK(half.handed_over == 0);
  CHECK(half.rolled_over == 0);  // nor did the kernel use other queues
  CHECK(at_half(half));          // an idle machine hands nothing over either
  std::sort(astray.begin(), astray.end());
  REQUIRE_FALSE(astray.empty());
  CHECK(astray[astray.size() / 2] < 30);
  Phase calm;
  calm.handed_over = 1;
  for (int attempt = 0; attempt < 10 && calm.handed_over != 0; ++attempt)
    calm = pair.under({Load::rounds, 0, 0, 10ms}, 16 * 20, 1s);
  CHECK(calm.handed_over == 0);
  for (std::uint32_t from = 0; from < engines; ++from)
    for (std::uint32_t to = 0; to < engines; ++to) {
      CAPTURE(from, to);
      CHECK(runs_on_its_own(pair, from, to));
    }
  const Word a = pair.client(), b = pair.server();
  CHECK(a.hits + b.hits > 0);
  CHECK(a.handed_over + b.handed_over > 0);
  CHECK(a.dropped + b.dropped == 0);
  WARN((ipv6 ? "IPv6, " : "IPv4, ")
       << "full load: " << text(full) << "; half: " << text(looks.front()) << "; " << looks.size()
       << " looks at half: " << handed_over_in(looks) << "; the last: " << text(half)
       << "; calm: " << text(calm) << "; searches that hit: " << a.hits + b.hits
       << ", in vain: " << a.searches_in_vain + b.searches_in_vain);
}

TEST_CASE("sixteen stacks of a process share its port, and each reaches all sixteen of the peer",
          "[stack][root]") {
  const bool ipv6 = GENERATE(false, true);
  constexpr std::uint32_t engines = engines_at_most;
  CAPTURE(ipv6);
  const auto hosts = TwoHosts::make();
  REQUIRE(hosts);
  Pair pair{*hosts, engines, ipv6};
  Phase all;
  Word client;
  for (const auto until = Clock::now() + patience; Clock::now() < until;) {
    all = pair.under({Load::rounds, 0, 0, 50ms}, engines * engines, 1s);
    client = pair.client();
    if (std::count(client.rounds.begin(), client.rounds.end(), 0U) == 0) break;
  }
  const Word server = pair.server();
  for (std::uint32_t i = 0; i < engines; ++i) {
    CAPTURE(i);
    CHECK(client.rounds[i] > 0);
    CHECK(client.received[i] > 0);
    CHECK(server.received[i] > 0);
  }
  WARN("sixteen engines, " << (ipv6 ? "IPv6: " : "IPv4: ") << text(all));
}
