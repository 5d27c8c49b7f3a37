// sidecar: proa: the operator's tool.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <CLI/CLI.hpp>

#include <proa/ipc/control_client.hpp>

namespace {

struct StatusArguments {
  std::string socket = proa::control_path_default;
  bool json = false;
  bool all = false;
};

int fail(const std::string& sentence) {
  std::fprintf(stderr, "proa: %s\n", sentence.c_str());
  return 1;
}

int show_status(const StatusArguments& arguments) {
  constexpr proa::Duration limit = std::chrono::seconds{5};
  auto control = proa::ControlClient::connect(arguments.socket, limit);
  if (!control) return fail(control.error());
  const auto text = control->status(arguments.json ? "json" : arguments.all ? "all" : "", limit);
  if (!text) return fail(text.error());
  std::fputs(text->c_str(), stdout);
  return std::fflush(stdout) == 0 ? 0 : fail("the output could not be written");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"proa: looks after Proa's sidecar, proad."};
  app.name("proa");
  app.set_version_flag("--version", std::string{"proa "} + PROA_VERSION);
  app.require_subcommand(1);
  StatusArguments arguments;
  CLI::App* status = app.add_subcommand(
      "status", "interfaces, engines, channels, flows and counters of a running proad");
  status->add_option("--socket", arguments.socket, "control socket of proad: a path")
      ->capture_default_str()
      ->type_name("PATH");
  status->add_flag("--json", arguments.json, "for programs: one JSON object");
  status->add_flag("--all", arguments.all, "counters that are zero, too");
  CLI11_PARSE(app, argc, argv);
  return show_status(arguments);
}
