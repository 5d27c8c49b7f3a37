// sidecar: the command line, made of the table of keys.
#include "options.hpp"

#include <charconv>
#include <map>
#include <vector>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include "units_text.hpp"

namespace proa::sidecar {
namespace {

using Given = std::map<const Key*, std::vector<std::string>>;

tl::unexpected<Instead> refuse(const std::string& sentence) {
  return tl::unexpected{Instead{fmt::format("proad: {}\n", sentence), 2}};
}

std::string group_of(const Key& key) {
  if (key.section.empty()) return "General";
  if (key.section == "interface") return "[[interface]]: the first, or the only one";
  return fmt::format("[{}]", key.section);
}

std::string_view type_of(Key::Kind kind) {
  switch (kind) {
    case Key::Kind::text:
      return "TEXT";
    case Key::Kind::integer:
      return "NUMBER";
    case Key::Kind::bytes:
      return "SIZE";
    case Key::Kind::duration:
      return "TIME";
    case Key::Kind::texts:
      return "TEXT...";
  }
  return "";
}

void add_keys(CLI::App& app, Given& given) {
  Config config;
  InterfaceConfig interface;
  for (const Key& key : keys()) {
    const std::string standard = key.show({config, interface});
    CLI::Option* option = app.add_option(fmt::format("--{}", key.option), given[&key],
                                         fmt::format("{} (default {})", key.about, standard));
    option->group(group_of(key))->type_name(std::string{type_of(key.kind)});
    if (key.kind != Key::Kind::texts)
      option->expected(1);
    else
      option->allow_extra_args(false);  // one each; given again for more
  }
}

std::optional<Value> value_of(const Key& key, const std::vector<std::string>& texts) {
  if (key.kind == Key::Kind::texts) return Value{texts};
  if (key.kind != Key::Kind::integer) return Value{texts.front()};
  const std::string& text = texts.front();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return Value{number};
}

/// Nothing, or a sentence.
std::optional<std::string> override_by(const Given& given, Config& config) {
  for (const auto& [key, texts] : given) {
    if (texts.empty()) continue;
    InterfaceConfig none;
    const bool of_interface = key->section == "interface";
    if (of_interface && config.interfaces.empty()) {
      config.interfaces.emplace_back();
      config.interfaces.front().where = "command line";
    }
    InterfaceConfig& interface = of_interface ? config.interfaces.front() : none;
    // A wrong number is told by what the key expects.
    const Value value = value_of(*key, texts).value_or(Value{texts.front()});
    if (const auto expected = key->set({config, interface}, value))
      return fmt::format("--{} is {}, expected {}", key->option, joined(texts, " "), *expected);
    config.origins.push_back({key->section, key->name, fmt::format("--{}", key->option)});
  }
  return std::nullopt;
}

}  // namespace

tl::expected<CommandLine, Instead> parse_command_line(int argc, const char* const* argv) {
  CLI::App app{
      "proad: Proa's sidecar. It owns the NIC and serves the applications of this machine.\n"
      "Without --config the options alone describe it:\n"
      "  proad --nic af_packet,interface=eth1 --address 10.0.0.1/24"};
  app.name("proad");
  app.get_formatter()->column_width(34);
  std::string config_file, check_file;
  bool print_default = false;
  CommandLine out;
  app.add_option("-c,--config", config_file, "read this TOML file; options override it")
      ->type_name("FILE");
  app.add_option("--check", check_file, "say whether proad could use this file, and exit")
      ->type_name("FILE");
  app.add_flag("--probe-nic", out.probe_nic,
               "show this machine's network devices, how proad could use each, what is missing for "
               "that and the remedy, and exit");
  app.add_flag("--json", out.json, "with --probe-nic: for programs, one JSON object");
  app.add_flag("--print-default-config", print_default, "print a commented file, and exit");
  app.add_option("--ready-fd", out.ready_fd,
                 "write a line to this descriptor when applications can attach (default: none)")
      ->type_name("NUMBER");
  app.set_version_flag("--version", std::string{"proad "} + PROA_VERSION);
  Given given;
  add_keys(app, given);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream text, complaint;
    const int code = app.exit(error, text, complaint);
    if (code == 0) return tl::unexpected{Instead{text.str(), 0}};
    return refuse(fmt::format("{} (--help lists the options)", error.what()));
  }
  if (print_default) return tl::unexpected{Instead{default_config_text(), 0}};
  out.check_only = !check_file.empty();
  const std::string& file = out.check_only ? check_file : config_file;
  if (!file.empty()) {
    auto loaded = load_config(file);
    if (!loaded) return refuse(loaded.error());
    out.config = std::move(*loaded);
  }
  if (const auto sentence = override_by(given, out.config)) return refuse(*sentence);
  if (out.probe_nic) return out;  // whatever else is configured
  if (const auto checked = check_config(out.config); !checked) return refuse(checked.error());
  return out;
}

}  // namespace proa::sidecar
