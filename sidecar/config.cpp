// sidecar: the configuration file: TOML in, a struct or one sentence out.
#include "config.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include <fmt/format.h>

#include <proa/wire/address_text.hpp>

#include <toml++/toml.h>
#include "units_text.hpp"

namespace proa::sidecar {
namespace {

constexpr std::string_view interface_section = "interface";

/// Thrown inside this file only: TOML nests, and the first mistake ends the reading.
struct Mistake {
  std::string sentence;
};

class Reader {
 public:
  explicit Reader(std::string file) : file_(std::move(file)) {}

  Config read(const toml::table& root) {
    Config config;
    for (const auto& [name, node] : root) read_top(config, name.str(), node);
    return config;
  }

 private:
  [[noreturn]] void fail(const toml::node& at, std::string_view what) const {
    throw Mistake{fmt::format("{}:{}: {}", file_, at.source().begin.line, what)};
  }

  void read_top(Config& config, std::string_view name, const toml::node& node) const {
    if (name == interface_section) return read_interfaces(config, node);
    InterfaceConfig none;
    if (const toml::table* section = node.as_table()) {
      require_section(name, node);
      for (const auto& [key, value] : *section) read_key({config, none}, name, key.str(), value);
      return;
    }
    read_key({config, none}, "", name, node);
  }

  void require_section(std::string_view name, const toml::node& node) const {
    std::vector<std::string> known;
    for (const Key& key : keys()) {
      if (key.section == name && !name.empty()) return;
      const std::string text =
          key.section == interface_section ? "[[interface]]" : fmt::format("[{}]", key.section);
      if (!key.section.empty() && std::find(known.begin(), known.end(), text) == known.end())
        known.push_back(text);
    }
    fail(node, fmt::format("unknown section [{}], expected one of {}", name, joined(known, ", ")));
  }

  void read_interfaces(Config& config, const toml::node& node) const {
    const toml::array* list = node.as_array();
    if (list == nullptr || !list->is_homogeneous<toml::table>())
      fail(node, "interface is a list of tables, expected [[interface]]");
    for (const toml::node& entry : *list) {
      InterfaceConfig interface;
      interface.where = fmt::format("{}:{}", file_, entry.source().begin.line);
      for (const auto& [key, value] : *entry.as_table())
        read_key({config, interface}, interface_section, key.str(), value);
      config.interfaces.push_back(std::move(interface));
    }
  }

  void read_key(const Target& target, std::string_view section, std::string_view name,
                const toml::node& node) const {
    std::vector<std::string_view> known;
    for (const Key& key : keys()) {
      if (key.section != section) continue;
      known.push_back(key.name);
      if (key.name != name) continue;
      const auto value = value_of(node);
      const auto expected = value ? key.set(target, *value) : std::string{"a plain value"};
      if (expected) fail(node, fmt::format("{} is {}, expected {}", name, shown(node), *expected));
      target.config.origins.push_back(
          {key.section, key.name, fmt::format("{}:{}", file_, node.source().begin.line)});
      return;
    }
    fail(node,
         fmt::format("unknown key {}{}, expected one of {}", name,
                     section.empty() ? "" : fmt::format(" in [{}]", section), joined(known, ", ")));
  }

  static std::optional<Value> value_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return Value{text->get()};
    if (const auto* number = node.as_integer()) return Value{number->get()};
    if (const auto* truth = node.as_boolean()) return Value{truth->get()};
    const toml::array* list = node.as_array();
    if (list == nullptr) return std::nullopt;
    std::vector<std::string> texts;
    for (const toml::node& entry : *list) {
      // Numbers of users and cores may be written without quotes.
      if (const auto* text = entry.as_string())
        texts.push_back(text->get());
      else if (const auto* number = entry.as_integer())
        texts.push_back(std::to_string(number->get()));
      else
        return std::nullopt;
    }
    return Value{std::move(texts)};
  }

  static std::string shown(const toml::node& node) {
    std::ostringstream out;
    node.visit([&](const auto& value) { out << value; });
    std::string text = out.str();
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text.size() > 80 ? text.substr(0, 77) + "..." : text;
  }

  std::string file_;
};

/// `about` as comment lines of at most 100 columns.
std::string comment(std::string_view about) {
  std::string out = "#";
  std::size_t column = 1;
  for (std::size_t at = 0; at < about.size();) {
    const std::size_t end = std::min(about.find(' ', at), about.size());
    if (column + 1 + (end - at) > 96) {
      out += "\n#";
      column = 1;
    }
    out += fmt::format(" {}", about.substr(at, end - at));
    column += 1 + (end - at);
    at = end + 1;
  }
  return out + "\n";
}

std::optional<IpAddress> shared_address(const InterfaceConfig& a, const InterfaceConfig& b) {
  for (const IpPrefix& one : a.addresses)
    for (const IpPrefix& other : b.addresses)
      if (one.address == other.address) return one.address;
  return std::nullopt;
}

}  // namespace

tl::expected<Config, std::string> parse_config(std::string_view toml, const std::string& file) {
  try {
    return Reader{file}.read(toml::parse(toml, std::string_view{file}));
  } catch (const toml::parse_error& error) {
    return tl::unexpected{fmt::format("{}:{}: {}, expected TOML", file, error.source().begin.line,
                                      error.description())};
  } catch (const Mistake& mistake) {
    return tl::unexpected{mistake.sentence};
  }
}

tl::expected<Config, std::string> load_config(const std::string& file) {
  std::ifstream in{file};
  const std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (!in.is_open() || in.bad())
    return tl::unexpected{
        fmt::format("{}: cannot be read; expected a TOML file this user may read", file)};
  return parse_config(text, file);
}

std::string Config::where(std::string_view section,
                          std::initializer_list<std::string_view> names) const {
  const auto last = std::find_if(origins.rbegin(), origins.rend(), [&](const Origin& origin) {
    return origin.section == section &&
           std::find(names.begin(), names.end(), origin.name) != names.end();
  });
  return last == origins.rend() ? std::string{} : last->place + ": ";
}

namespace {

/// The keys one by one are in range; what they are together is checked here.
tl::expected<void, std::string> check_applications(const Config& config) {
  const ChannelGeometry& g = config.applications.geometry;
  const auto half = std::min(g.send_bytes, g.receive_bytes) / 2;
  if (g.message_bytes_max > half)
    return tl::unexpected{fmt::format(
        "{}message_max is {}, expected at most half of send_memory ({}) and of "
        "receive_memory ({})",
        config.where("applications", {"message_max", "send_memory", "receive_memory"}),
        bytes_text(g.message_bytes_max), bytes_text(g.send_bytes), bytes_text(g.receive_bytes))};
  if (const char* why = impossible(g))
    return tl::unexpected{fmt::format("[applications]: {}", why)};
  return {};
}

tl::expected<void, std::string> check_transport(const Config& config) {
  const auto& [keepalive, idle_limit] = config.transport;
  const bool given = !config.where("transport", {"keepalive"}).empty();
  if (keepalive < idle_limit || !given) return {};  // not given it follows the limit
  return tl::unexpected{
      fmt::format("{}keepalive is {}, expected less than idle_limit ({}), a third of it or so",
                  config.where("transport", {"keepalive", "idle_limit"}), duration_text(keepalive),
                  duration_text(idle_limit))};
}

}  // namespace

tl::expected<void, std::string> check_config(const Config& config) {
  if (auto done = check_applications(config); !done) return done;
  if (auto done = check_transport(config); !done) return done;
  if (config.interfaces.empty())
    return tl::unexpected{std::string{
        "no interface: expected an [[interface]] in the configuration, or options such as --nic "
        "af_packet,interface=eth1 --address 10.0.0.1/24 (--help lists them)"}};
  for (std::size_t i = 0; i < config.interfaces.size(); ++i) {
    const InterfaceConfig& one = config.interfaces[i];
    const auto refuse = [&](std::string_view what) {
      return tl::unexpected{fmt::format("{}: {}", one.where, what)};
    };
    if (one.nic.empty())
      return refuse(
          "interface without nic, expected nic = \"af_packet,interface=eth1\" or the "
          "like (--nic)");
    if (one.addresses.empty())
      return refuse(
          "interface without addresses, expected addresses = [\"10.0.0.1/24\"] or the "
          "like (--address)");
    if (!one.cores.empty() && one.cores.size() != one.engines)
      return refuse("cores and engines differ in number, expected one core per engine or none");
    for (std::size_t j = 0; j < i; ++j) {
      if (!one.name.empty() && config.interfaces[j].name == one.name)
        return refuse(
            fmt::format("two interfaces are called {}, expected different names", one.name));
      if (const auto shared = shared_address(config.interfaces[j], one))
        return refuse(fmt::format("the address {} is another interface's too, expected it once",
                                  to_text(*shared)));
    }
  }
  return {};
}

std::string default_config_text() {
  Config config;
  InterfaceConfig interface;
  std::string out = "# Configuration of proad. Every key with its default.\n";
  std::string_view section;
  for (const Key& key : keys()) {
    if (key.section != section) {
      section = key.section;
      out += section == interface_section
                 ? "\n# One for each NIC port. At least nic and addresses are needed.\n"
                   "# [[interface]]\n"
                 : fmt::format("\n[{}]\n", section);
    }
    const std::string line = fmt::format("{} = {}\n", key.name, key.show({config, interface}));
    out += comment(key.about) + (section == interface_section ? "# " : "") + line;
  }
  return out;
}

}  // namespace proa::sidecar
