// sidecar: every key of the configuration: name, command line option, unit, range, default.
#include <array>
#include <bit>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <proa/transport/options.hpp>
#include <proa/wire/address_text.hpp>

#include "config.hpp"
#include "units_text.hpp"

namespace proa::sidecar {
namespace {

using Complaint = std::optional<std::string>;

struct Place {
  std::string_view section, name, option, about;
};

std::string quoted(std::string_view text) { return fmt::format("\"{}\"", text); }

std::string quoted_list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) {
    if (out.size() > 1) out += ", ";
    out += quoted(text);
  }
  out += ']';
  return out;
}

template <class Field>
Key text_key(Place p, Field field, std::string expected = "text in quotes",
             bool may_be_empty = true) {
  return {p.section,
          p.name,
          p.option,
          Key::Kind::text,
          std::string{p.about},
          [=](const Target& t, const Value& v) -> Complaint {
            const auto* text = std::get_if<std::string>(&v);
            if (text == nullptr || (text->empty() && !may_be_empty)) return expected;
            field(t) = *text;
            return std::nullopt;
          },
          [=](const Target& t) { return quoted(field(t)); }};
}

template <class Field>
Key number_key(Place p, Field field, std::int64_t least, std::int64_t most) {
  return {p.section,
          p.name,
          p.option,
          Key::Kind::integer,
          fmt::format("{}; {} to {}", p.about, least, most),
          [=](const Target& t, const Value& v) -> Complaint {
            const auto* number = std::get_if<std::int64_t>(&v);
            if (number == nullptr || *number < least || *number > most)
              return fmt::format("a whole number from {} to {}", least, most);
            field(t) = static_cast<std::remove_reference_t<decltype(field(t))>>(*number);
            return std::nullopt;
          },
          [=](const Target& t) { return std::to_string(field(t)); }};
}

/// Slots of a ring.
template <class Field>
Key slots_key(Place p, Field field, std::int64_t least, std::int64_t most) {
  Key key = number_key(p, field, least, most);
  const auto in_range = key.set;
  key.set = [=](const Target& t, const Value& v) -> Complaint {
    const auto* number = std::get_if<std::int64_t>(&v);
    if (number != nullptr && *number > 0 &&
        std::has_single_bit(static_cast<std::uint64_t>(*number)))
      return in_range(t, v);
    return fmt::format("a power of two from {} to {}", least, most);
  };
  return key;
}

template <class Field>
Key bytes_key(Place p, Field field, std::uint64_t least, std::uint64_t most,
              std::uint64_t unit = 1) {
  const std::string range = fmt::format("{} to {}", bytes_text(least), bytes_text(most));
  return {p.section,
          p.name,
          p.option,
          Key::Kind::bytes,
          fmt::format("{}; a size, {}", p.about, range),
          [=](const Target& t, const Value& v) -> Complaint {
            const auto* text = std::get_if<std::string>(&v);
            const auto bytes = text == nullptr ? std::nullopt : parse_bytes(*text);
            if (!bytes || *bytes < least || *bytes > most)
              return fmt::format("a size from {}, written like \"64 MiB\" (B, KiB, MiB, GiB)",
                                 range);
            if (*bytes % unit != 0) return "a multiple of " + bytes_text(unit);
            field(t) = static_cast<std::remove_reference_t<decltype(field(t))>>(*bytes);
            return std::nullopt;
          },
          [=](const Target& t) { return quoted(bytes_text(field(t))); }};
}

template <class Field>
Key duration_key(Place p, Field field, Duration least, Duration most) {
  const std::string range = fmt::format("{} to {}", duration_text(least), duration_text(most));
  return {p.section,
          p.name,
          p.option,
          Key::Kind::duration,
          fmt::format("{}; a duration, {}", p.about, range),
          [=](const Target& t, const Value& v) -> Complaint {
            const auto* text = std::get_if<std::string>(&v);
            const auto duration = text == nullptr ? std::nullopt : parse_duration(*text);
            if (!duration || *duration < least || *duration > most)
              return fmt::format(
                  "a duration from {}, written like \"10 s\" (ns, us, ms, s, min, h)", range);
            field(t) = *duration;
            return std::nullopt;
          },
          [=](const Target& t) { return quoted(duration_text(field(t))); }};
}

template <class Enum, std::size_t N, class Field>
Key choice_key(Place p, Field field, std::array<std::string_view, N> names) {
  const std::string choices = fmt::format("\"{}\"", joined(names, "\", \""));
  return {p.section,
          p.name,
          p.option,
          Key::Kind::text,
          fmt::format("{}; {}", p.about, choices),
          [=](const Target& t, const Value& v) -> Complaint {
            const auto* text = std::get_if<std::string>(&v);
            for (std::size_t i = 0; text != nullptr && i < N; ++i) {
              if (names[i] != *text) continue;
              field(t) = static_cast<Enum>(i);
              return std::nullopt;
            }
            return "one of " + choices;
          },
          [=](const Target& t) { return quoted(names[static_cast<std::size_t>(field(t))]); }};
}

/// A list of texts, each understood by `parse` (text -> optional<Item>); one text is a list too.
template <class Item, class Field, class Parse, class Show>
Key list_key(Place p, Field field, Parse parse, Show show, std::string expected) {
  return {p.section,
          p.name,
          p.option,
          Key::Kind::texts,
          std::string{p.about},
          [=](const Target& t, const Value& v) -> Complaint {
            std::vector<std::string> texts;
            if (const auto* one = std::get_if<std::string>(&v))
              texts.push_back(*one);
            else if (const auto* many = std::get_if<std::vector<std::string>>(&v))
              texts = *many;
            else
              return expected;
            std::vector<Item> items;
            for (const std::string& text : texts) {
              const std::optional<Item> item = parse(text);
              if (!item) return expected;
              items.push_back(*item);
            }
            field(t) = std::move(items);
            return std::nullopt;
          },
          [=](const Target& t) {
            std::vector<std::string> texts;
            for (const Item& item : field(t)) texts.push_back(show(item));
            return quoted_list(texts);
          }};
}

std::optional<std::string> any_text(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional{text};
}
std::string same_text(const std::string& text) { return text; }

/// "10.2.0.0/16 via 10.0.0.3", or without "via" for what is reached directly.
std::optional<Route> parse_route(const std::string& text) {
  static constexpr std::string_view via = " via ";
  const std::size_t at = text.find(via);
  const auto prefix = parse_prefix(std::string_view{text}.substr(0, at));
  if (!prefix) return std::nullopt;
  if (at == std::string::npos) return Route{*prefix, std::nullopt};
  const auto gateway = parse_ip(std::string_view{text}.substr(at + via.size()));
  if (!gateway) return std::nullopt;
  return Route{*prefix, gateway};
}
std::string route_text(const Route& route) {
  return to_text(route.prefix) + (route.gateway ? " via " + to_text(*route.gateway) : "");
}

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number > most)
    return std::nullopt;
  return number;
}

Complaint set_udp_ports(const Target& t, const Value& v) {
  const char* const expected = "first and last UDP port, 1 to 65535, as in \"49152-65535\"";
  const auto* text = std::get_if<std::string>(&v);
  if (text == nullptr) return expected;
  const std::size_t dash = text->find('-');
  if (dash == std::string::npos) return expected;
  const auto first = parse_number(std::string_view{*text}.substr(0, dash), 65'535);
  const auto last = parse_number(std::string_view{*text}.substr(dash + 1), 65'535);
  if (!first || !last || *first == 0 || *first > *last) return expected;
  t.interface.udp_port_first = static_cast<std::uint16_t>(*first);
  t.interface.udp_port_last = static_cast<std::uint16_t>(*last);
  return std::nullopt;
}

#define PROA_FIELD(path) \
  [](const Target& t) -> auto& { return t.path; }

void add_general(std::vector<Key>& out) {
  out.push_back(
      choice_key<LogLevel, 4>({"", "log_level", "log-level", "what is written to standard error"},
                              PROA_FIELD(config.log_level), {"error", "warning", "info", "debug"}));
  out.push_back(text_key({"", "user", "user",
                          "when started by root: the user to become after start; empty: \"proa\" "
                          "if there is such a user, else \"nobody\"; \"root\" stays root"},
                         PROA_FIELD(config.user)));
  out.push_back(text_key({"control", "socket", "socket", "where applications attach: a path"},
                         PROA_FIELD(config.control.socket), "a path", false));
  out.push_back(list_key<std::string>(
      {"control", "allow_users", "allow-user",
       "users (names or numbers) who may attach besides root and who started proad; \"*\": all"},
      PROA_FIELD(config.control.allow_users), any_text, same_text, "names or numbers of users"));
  out.push_back(list_key<std::string>(
      {"control", "allow_groups", "allow-group",
       "groups (names or numbers) whose processes may attach; the primary group counts"},
      PROA_FIELD(config.control.allow_groups), any_text, same_text, "names or numbers of groups"));
}

void add_applications(std::vector<Key>& out) {
  out.push_back(bytes_key({"applications", "send_memory", "send-memory",
                           "memory each channel sends from, a multiple of 64 KiB"},
                          PROA_FIELD(config.applications.geometry.send_bytes), 1U << 20U,
                          std::uint64_t{64} << 30U, Arena::page_bytes));
  out.push_back(bytes_key({"applications", "receive_memory", "receive-memory",
                           "memory each channel receives in, a multiple of 64 KiB"},
                          PROA_FIELD(config.applications.geometry.receive_bytes), 1U << 20U,
                          std::uint64_t{64} << 30U, Arena::page_bytes));
  out.push_back(bytes_key({"applications", "message_max", "message-max",
                           "the largest message; at most half of either memory"},
                          PROA_FIELD(config.applications.geometry.message_bytes_max), 64 << 10U,
                          64 << 20U));
  out.push_back(number_key(
      {"applications", "flows", "channel-flows", "flows of one channel, per side that opens them"},
      PROA_FIELD(config.applications.geometry.flows_max), 1, channel_flows_max));
  out.push_back(slots_key({"applications", "request_slots", "request-slots",
                           "ring from the application to the sidecar, a power of two"},
                          PROA_FIELD(config.applications.geometry.request_slots), 64, 65'536));
  out.push_back(slots_key({"applications", "event_slots", "event-slots",
                           "ring from the sidecar to the application, a power of two"},
                          PROA_FIELD(config.applications.geometry.event_slots), 64, 65'536));
  out.push_back(duration_key({"applications", "linger", "linger",
                              "how long flows that a gone application had closed may still drain"},
                             PROA_FIELD(config.applications.linger), Duration{},
                             std::chrono::minutes{10}));
}

void add_quotas(std::vector<Key>& out) {
  out.push_back(number_key({"quotas", "channels", "channels", "channels per engine"},
                           PROA_FIELD(config.quotas.channels), 1, 4096));
  out.push_back(
      number_key({"quotas", "channels_per_user", "channels-per-user", "channels per user"},
                 PROA_FIELD(config.quotas.channels_per_user), 1, 4096));
  out.push_back(
      number_key({"quotas", "flows_per_user", "flows-per-user", "flows per user and engine"},
                 PROA_FIELD(config.quotas.flows_per_user), 1, 1 << 24U));
  out.push_back(bytes_key(
      {"quotas", "memory_per_user", "memory-per-user", "shared memory of one user's channels"},
      PROA_FIELD(config.quotas.memory_per_user_bytes), 2U << 20U, std::uint64_t{4096} << 30U));
}

void add_engine(std::vector<Key>& out) {
  out.push_back(choice_key<IdleStrategy, 3>(
      {"engine", "idle", "idle",
       "what an engine without work does: poll on, poll for spin_for and then sleep, sleep at "
       "once"},
      PROA_FIELD(config.engine.idle), {"spin", "adaptive", "sleep"}));
  out.push_back(duration_key({"engine", "spin_for", "spin-for",
                              "how long an adaptive engine polls on after its last work"},
                             PROA_FIELD(config.engine.spin_for), Duration{},
                             std::chrono::seconds{10}));
  out.push_back(number_key({"engine", "flows", "flows", "flows per engine"},
                           PROA_FIELD(config.engine.flows), 1, 1 << 24U));
  out.push_back(duration_key({"transport", "keepalive", "keepalive",
                              "silence after which a flow asks whether its peer lives; a third of "
                              "the idle limit, if that is less"},
                             PROA_FIELD(config.transport.keepalive), keepalive_least,
                             keepalive_most));
  out.push_back(duration_key({"transport", "idle_limit", "idle-limit",
                              "silence after which a flow ends; the smaller one of both ends "
                              "counts"},
                             PROA_FIELD(config.transport.idle_limit), idle_limit_least,
                             idle_limit_most));
}

void add_interface(std::vector<Key>& out) {
  out.push_back(text_key({"interface", "name", "name", "what tools call the interface"},
                         PROA_FIELD(interface.name)));
  out.push_back(
      text_key({"interface", "nic", "nic",
                "driver and its options: \"af_xdp,interface=eth1\", \"af_packet,interface=eth1\", "
                "\"pci,address=0000:00:05.0\", \"memif,role=server,socket=/tmp/m\", "
                "\"tap,interface=proa0\"; \"none\": applications of this machine only"},
               PROA_FIELD(interface.nic),
               "a driver and its options, as in \"af_packet,interface=eth1\"", false));
  out.push_back(list_key<IpPrefix>(
      {"interface", "addresses", "address",
       "own addresses with their network, [\"10.0.0.1/24\", \"fd00::1/64\"]; IPv6 adds a "
       "link-local one"},
      PROA_FIELD(interface.addresses), [](const std::string& text) { return parse_prefix(text); },
      [](const IpPrefix& p) { return to_text(p); },
      "addresses, as in [\"10.0.0.1/24\", \"fd00::1/64\"]"));
  out.push_back(list_key<IpAddress>(
      {"interface", "gateway", "gateway",
       "the next hop to everywhere else, [\"10.0.0.254\", \"fe80::1\"]: one per address family"},
      PROA_FIELD(interface.gateways), [](const std::string& text) { return parse_ip(text); },
      [](const IpAddress& a) { return to_text(a); },
      "addresses, as in [\"10.0.0.254\", \"fe80::1\"]"));
  out.push_back(list_key<Route>({"interface", "routes", "route",
                                 "more routes, [\"10.2.0.0/16 via 10.0.0.3\"]; without \"via\": "
                                 "reached directly"},
                                PROA_FIELD(interface.routes), parse_route, route_text,
                                "routes, as in [\"10.2.0.0/16 via 10.0.0.3\"]"));
  out.push_back(
      {"interface", "mtu", "mtu", Key::Kind::integer,
       "largest IP packet in bytes, 576 (IPv6: 1280) to 9216; 0: as `nic` says, else 1500",
       [](const Target& t, const Value& v) -> Complaint {
         const auto* n = std::get_if<std::int64_t>(&v);
         if (n == nullptr || (*n != 0 && (*n < 576 || *n > 9216)))
           return "a whole number from 576 to 9216 (bytes), or 0";
         t.interface.mtu_bytes = static_cast<std::uint32_t>(*n);
         return std::nullopt;
       },
       [](const Target& t) { return std::to_string(t.interface.mtu_bytes); }});
  out.push_back(number_key({"interface", "vlan", "vlan",
                            "VLAN (IEEE 802.1Q) of every frame, in and out; 0: frames have no tag"},
                           PROA_FIELD(interface.vlan), 0, vlan_max));
  out.push_back(choice_key<bool, 2>(
      {"interface", "detect_duplicates", "detect-duplicates",
       "ask at start whether another station has our IPv6 addresses (RFC 4862); nothing waits for "
       "the answer, a duplicate is counted as address_conflicts and warned of"},
      PROA_FIELD(interface.detect_duplicates), {"off", "on"}));
  out.push_back({"interface", "udp_ports", "udp-ports", Key::Kind::text,
                 "UDP ports used at both ends, first-last; the firewall must let them in",
                 set_udp_ports, [](const Target& t) {
                   return fmt::format("\"{}-{}\"", t.interface.udp_port_first,
                                      t.interface.udp_port_last);
                 }});
  out.push_back(number_key(
      {"interface", "engines", "engines", "engines: threads, each with one queue pair of the NIC"},
      PROA_FIELD(interface.engines), 1, engines_most));
  out.push_back(list_key<std::uint32_t>(
      {"interface", "cores", "core", "core to pin each engine to, [\"2\"]; empty: not pinned"},
      PROA_FIELD(interface.cores), [](const std::string& text) { return parse_number(text, 1023); },
      [](std::uint32_t core) { return std::to_string(core); }, "numbers of cores, as in [\"2\"]"));
}

#undef PROA_FIELD

std::vector<Key> all_keys() {
  std::vector<Key> out;
  add_general(out);
  add_applications(out);
  add_quotas(out);
  add_engine(out);
  add_interface(out);
  return out;
}

}  // namespace

std::span<const Key> keys() {
  static const std::vector<Key> all = all_keys();
  return all;
}

}  // namespace proa::sidecar
