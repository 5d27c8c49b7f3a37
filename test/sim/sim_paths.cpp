// What finding a path costs: searches of the product against the simulator's hashes, none of which
// is known to them, as a table and as a plot, beside what the architecture promises.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/nic/sim.hpp>
#include <proa/transport/path_probe.hpp>
#include <proa/wire/ethernet.hpp>
#include <proa/wire/ip.hpp>
#include <proa/wire/ipv6.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

struct Arguments {
  std::uint32_t hashes = 1000;  // per profile and size
  std::string svg;
};

struct Profile {
  SimRss rss;
  const char* name;
  std::uint32_t engines_reached;  // beyond, the hash reaches no queue
};
constexpr Profile profiles[] = {{SimRss::opaque, "opaque", 64},
                                {SimRss::symmetric, "symmetric", 64},
                                {SimRss::ordered, "ordered", 64},
                                {SimRss::low_bits, "low_bits", 8}};
constexpr std::array<std::uint32_t, 8> sizes{1, 2, 3, 4, 6, 8, 12, 16};

/// A host's NIC as its peers see it.
class HashedPort {
 public:
  HashedPort(std::uint64_t seed, std::uint32_t engines, SimRss rss, bool ipv6)
      : network_(seed), port_(network_, options(engines, rss)) {
    const auto far = static_cast<std::uint32_t>(0x0a00'0000U + seed % 65'521),
               near = static_cast<std::uint32_t>(0x0a01'0000U + seed % 65'519);
    const auto addresses = [&](const IpAddress& from, const IpAddress& to) -> IpFields {
      return {from, to, IpProtocol::udp, Ecn::not_capable, udp_header_bytes};
    };
    const MutableBytes ip = write_link(frame_, {}, ipv6 ? EtherType::ipv6 : EtherType::ipv4);
    if (ipv6)
      write_ipv6(ip.first<ipv6_header_bytes>(), addresses(unique_local(far), unique_local(near)));
    else
      write_ipv4(ip.first<ipv4_header_bytes>(), addresses(IpAddress::v4(far), IpAddress::v4(near)));
    udp_ = ip.data() + (ipv6 ? ipv6_header_bytes : ipv4_header_bytes);
  }
  HashedPort(const HashedPort&) = delete;
  HashedPort& operator=(const HashedPort&) = delete;
  [[nodiscard]] std::uint32_t queue_of(UdpPorts ports) {
    store_be(udp_, ports.source);
    store_be(udp_ + 2, ports.destination);
    return port_.queue_of(frame_);
  }

 private:
  static SimPortOptions options(std::uint32_t engines, SimRss rss) {
    SimPortOptions out = SimPort::least(MacAddress{{2, 0, 0, 0, 0, 1}}, engines);
    out.rss = rss;
    return out;
  }
  static IpAddress unique_local(std::uint32_t low) {
    IpAddress out{{0xfd}};
    store_be(reinterpret_cast<std::byte*>(out.octets.data()) + 12, low);
    return out;
  }
  SimNetwork network_;
  SimPort port_;
  std::array<std::byte, ethernet_header_bytes + ipv6_header_bytes + udp_header_bytes> frame_{};
  std::byte* udp_ = nullptr;
};

/// Probes until one reaches `wanted`; 0: given up.
std::uint32_t search(HashedPort& port, std::uint32_t engines, std::uint32_t wanted, Prng& random) {
  PathProbe probe;
  Instant now{1s};
  if (!probe.start(now, static_cast<std::uint8_t>(wanted), {})) return 0;
  while (probe.searching()) {
    now = std::max(now, probe.next_timeout());
    std::vector<PathProbe::Probe> wave;
    while (const auto p = probe.poll(now, 100us, PortRange{}, random)) wave.push_back(*p);
    for (const auto& p : wave) {
      const auto engine = static_cast<std::uint8_t>(port.queue_of(p.ports));
      const auto answer = probe.on_result({p.tag, engine, static_cast<std::uint8_t>(engines)});
      if (answer && answer->hit) return probe.sent();
    }
  }
  return 0;
}

struct Cost {
  std::vector<std::uint32_t> both;  // probes of both directions, sorted
  double a_to_b = 0;                // mean probes of one direction
  std::uint32_t failed = 0;

  [[nodiscard]] double mean() const {
    double sum = 0;
    for (const auto n : both) sum += n;
    return both.empty() ? 0 : sum / static_cast<double>(both.size());
  }
  [[nodiscard]] std::uint32_t quantile(double q) const {
    if (both.empty()) return 0;
    return both[static_cast<std::size_t>(q * static_cast<double>(both.size() - 1))];
  }
};

/// Half of the hosts have IPv6.
Cost measure(const Profile& profile, std::uint32_t n, std::uint32_t m, std::uint32_t hashes) {
  Cost cost;
  Prng random{n * 1000 + m};
  for (std::uint32_t i = 0; i < hashes; ++i) {
    HashedPort a{random.next(), n, profile.rss, i % 2 == 1},
        b{random.next(), m, profile.rss, i % 2 == 1};
    const auto to_b = search(b, m, static_cast<std::uint32_t>(random.below(m)), random);
    const auto to_a = search(a, n, static_cast<std::uint32_t>(random.below(n)), random);
    if (to_a == 0 || to_b == 0) {
      ++cost.failed;
      continue;
    }
    cost.both.push_back(to_a + to_b);
    cost.a_to_b += to_b;
  }
  std::sort(cost.both.begin(), cost.both.end());
  if (!cost.both.empty()) cost.a_to_b /= static_cast<double>(cost.both.size());
  return cost;
}

/// The part of all pairs that leads to that engine; low_bits has eight values for n queues.
double share(const Profile& profile, std::uint32_t n, std::uint32_t engine) {
  if (profile.rss != SimRss::low_bits) return 1.0 / n;
  return ((7 - engine) / n + 1) / 8.0;
}
bool is_even(const Profile& profile, std::uint32_t n) {
  return profile.rss != SimRss::low_bits || 8 % n == 0;
}
/// Waves of two until one of them hits one of n engines.
double expected(const Profile& profile, std::uint32_t n) {
  double sum = 0;
  for (std::uint32_t engine = 0; engine < n; ++engine)
    sum += 2 / (1 - std::pow(1 - share(profile, n, engine), 2));
  return sum / n;
}

bool print_and_judge(const Profile& profile, std::uint32_t n, std::uint32_t m, const Cost& cost) {
  const double formula = expected(profile, n) + expected(profile, m);
  const double promised = static_cast<double>(n + m) + 2;  // TARGETS 13: 2N + 2 at N x N
  // Three standard errors of the mean of a geometric distribution.
  const double noise = 3 * 1.5 * std::max(n, m) /
                       std::sqrt(std::max<double>(1, static_cast<double>(cost.both.size())));
  // Nobody can promise anything of a hash that prefers some queues.
  const bool as_promised =
      !is_even(profile, n) || !is_even(profile, m) || cost.mean() <= promised + noise;
  const bool good =
      cost.failed == 0 && as_promised && std::abs(cost.mean() - formula) <= noise + 0.5;
  std::printf("%-10s %2u x %-2u %8.2f %8.2f %8.1f %8.2f %6u %6u %6u %7u  %s\n", profile.name, n, m,
              cost.mean(), formula, promised, cost.a_to_b, cost.quantile(0.5), cost.quantile(0.95),
              cost.quantile(1), cost.failed, good ? "" : "NOT AS PROMISED");
  return good;
}

/// Whether the file is a whole diagram with a curve for each size.
bool drawn(const std::string& file) {
  std::ifstream in{file};
  const std::string text{std::istreambuf_iterator<char>{in}, {}};
  for (const auto n : sizes)
    if (text.find(std::to_string(n) + " x " + std::to_string(n) + " engines") == text.npos)
      return false;
  return text.find("</svg>") != text.npos;
}

/// The distribution for the opaque hash at N x N, by gnuplot. Returns what main() does.
int plot(const std::string& file, std::uint32_t hashes) {
  constexpr int skipped = 77;  // as Meson has it
  if (std::system("gnuplot --version >/dev/null 2>&1") != 0) {
    std::puts("gnuplot is not installed: nothing is drawn");
    return skipped;
  }
  FILE* gnuplot = ::popen("gnuplot", "w");
  if (gnuplot == nullptr) return 1;
  std::fprintf(gnuplot,
               "set terminal svg size 800,500\nset output '%s'\nset key bottom right\n"
               "set xlabel 'probes of both directions'\nset ylabel 'share of connections'\n"
               "set xrange [0:120]\nset grid\nplot",
               file.c_str());
  for (const auto n : sizes)
    std::fprintf(gnuplot, " '-' with steps lw 2 title '%u x %u engines',", n, n);
  std::fprintf(gnuplot, "\n");
  for (const auto n : sizes) {
    const Cost cost = measure(profiles[0], n, n, hashes);
    for (std::size_t i = 0; i < cost.both.size(); ++i)
      std::fprintf(gnuplot, "%u %f\n", cost.both[i],
                   static_cast<double>(i + 1) / static_cast<double>(cost.both.size()));
    std::fprintf(gnuplot, "e\n");
  }
  if (::pclose(gnuplot) == 0 && drawn(file)) return 0;
  std::puts("gnuplot failed: no plot, or not all of it");
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view a = argv[i];
    if (a == "--hashes" && i + 1 < argc) {
      arguments.hashes = static_cast<std::uint32_t>(std::strtoul(argv[++i], nullptr, 10));
    } else if (a == "--svg" && i + 1 < argc) {
      arguments.svg = argv[++i];
    } else {
      std::puts(
          "usage: sim_paths [--hashes N] [--svg FILE]\n"
          "  --hashes N  random hashes per profile and pair of sizes (default 1000)\n"
          "  --svg FILE  the distribution, drawn by gnuplot, and no table");
      return 2;
    }
  }
  if (!arguments.svg.empty()) return plot(arguments.svg, arguments.hashes);
  std::printf("%-10s %-7s %8s %8s %8s %8s %6s %6s %6s %7s\n", "hash", "engines", "mean", "formula",
              "promised", "one way", "p50", "p95", "max", "failed");
  bool good = true;
  for (const Profile& profile : profiles)
    for (const auto n : sizes)
      for (const auto m : sizes)
        if (std::max(n, m) <= profile.engines_reached)
          good = print_and_judge(profile, n, m, measure(profile, n, m, arguments.hashes)) && good;
  return good ? 0 : 1;
}
