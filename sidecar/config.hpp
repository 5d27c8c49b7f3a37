// sidecar: proad's configuration: a plain struct, and the one table of keys that the file, the
// command line, --help and --print-default-config are made of.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <proa/base/time.hpp>
#include <proa/engine/interface_options.hpp>
#include <proa/ipc/layout.hpp>

#include <tl/expected.hpp>

namespace proa::sidecar {

enum class LogLevel : std::uint8_t { error, warning, info, debug };
enum class IdleStrategy : std::uint8_t {
  spin,      // poll without end: lowest latency, a whole core
  adaptive,  // poll for `spin_for` after the last work, then sleep until something arrives
  sleep,     // sleep whenever there is nothing to do
};

/// Of one interface; an engine group has room for more (engines_max).
inline constexpr std::uint32_t engines_most = 16;

struct InterfaceConfig {
  std::string where;  // file and line, for sentences about the whole interface; or "command line"
  std::string name;
  std::string nic;  // as DpdkOptions::parse reads it
  std::vector<IpPrefix> addresses;
  std::vector<IpAddress> gateways;  // at most one per address family
  std::vector<Route> routes;
  std::uint32_t mtu_bytes = 0;  // 0: what `nic` says, or 1500
  VlanId vlan = no_vlan;
  bool detect_duplicates = true;
  std::uint16_t udp_port_first = 49152;
  std::uint16_t udp_port_last = 65535;
  std::uint32_t engines = 1;
  std::vector<std::uint32_t> cores;  // one per engine, or empty
};

/// Where a key was given.
struct Origin {
  std::string_view section, name;
  std::string place;  // "proad.toml:7", or "--user"
};

struct Config {
  std::vector<Origin> origins;  // of the keys that were given, the overriding ones last
  /// Begins a sentence about these keys: where the last of them was given, as in "proad.toml:7: ".
  [[nodiscard]] std::string where(std::string_view section,
                                  std::initializer_list<std::string_view> names) const;

  LogLevel log_level = LogLevel::info;
  std::string user;

  struct Control {
    std::string socket = "/run/proad/proad.sock";
    std::vector<std::string> allow_users;
    std::vector<std::string> allow_groups;
  } control;

  struct Applications {
    ChannelGeometry geometry;
    Duration linger = std::chrono::seconds{1};
  } applications;

  struct Quotas {
    std::uint32_t channels = 256;
    std::uint32_t channels_per_user = 64;
    std::uint32_t flows_per_user = 65'536;
    std::uint64_t memory_per_user_bytes = std::uint64_t{4} << 30U;
  } quotas;

  struct Engine {
    IdleStrategy idle = IdleStrategy::adaptive;
    Duration spin_for = std::chrono::microseconds{100};
    std::uint32_t flows = 65'536;
  } engine;

  struct Transport {
    Duration keepalive = std::chrono::seconds{10};
    Duration idle_limit = std::chrono::seconds{30};
  } transport;

  std::vector<InterfaceConfig> interfaces;
};

/// A value as a file or the command line gives it.
using Value = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;

/// What a key is written into.
struct Target {
  Config& config;
  InterfaceConfig& interface;
};

/// One setting. `set` returns nothing, or what was expected instead.
struct Key {
  enum class Kind : std::uint8_t { text, integer, bytes, duration, texts };
  std::string_view section;  // "": top level; "interface": one of several [[interface]]
  std::string_view name;
  std::string_view option;  // on the command line, without the two dashes
  Kind kind = Kind::text;
  std::string about;  // what it does, unit included
  std::function<std::optional<std::string>(const Target&, const Value&)> set;
  std::function<std::string(const Target&)> show;  // as a TOML value
};

[[nodiscard]] std::span<const Key> keys();

/// Reads TOML. An error is "file:line: what is wrong, what was expected".
[[nodiscard]] tl::expected<Config, std::string> parse_config(std::string_view toml,
                                                             const std::string& file);
[[nodiscard]] tl::expected<Config, std::string> load_config(const std::string& file);

/// What the keys one by one cannot say: an interface without a NIC, two of one name ...
[[nodiscard]] tl::expected<void, std::string> check_config(const Config& config);

/// A commented file with every key at its default.
[[nodiscard]] std::string default_config_text();

}  // namespace proa::sidecar
