// Fuzzing: what people write: the configuration file of the sidecar and the options of stacks.
// The first byte of an input chooses the reader.
#include <array>
#include <string>

#include <proa/nic/sim.hpp>
#include <proa/stack/in_process_options.hpp>
#include <proa/stack/sidecar.hpp>

#include "config.hpp"
#include "input.hpp"
#ifdef PROA_FUZZ_DPDK
#include <proa/nic/dpdk.hpp>
#endif

namespace proa::fuzz {
namespace {

/// An error is one sentence for a person, not a dump of the file.
void judge_error(const std::string& why) { demand(!why.empty(), "refused without a sentence"); }

void configuration(std::string_view text) {
  const auto config = sidecar::parse_config(text, "proad.toml");
  if (!config) return judge_error(config.error());
  if (const auto checked = sidecar::check_config(*config); !checked) judge_error(checked.error());
}

void pairs(std::string_view text) {
  const auto parsed = parse_option_pairs(text);
  if (!parsed) return judge_error(parsed.error());
  for (const OptionPair& pair : *parsed) {
    demand(!pair.key.empty() && !pair.value.empty() && pair.line > 0, "an empty option");
    (void)parse_count(pair.value);
    (void)parse_bytes(pair.value);
    const auto duration = parse_duration(pair.value);
    demand(!duration || *duration >= Duration::zero(), "a negative duration");
  }
}

template <class Options>
void options(std::string_view text) {
  const auto parsed = Options::parse(text);
  if (!parsed) judge_error(parsed.error());
}

/// Whatever the options say, the interface made of them is refused with a sentence or possible.
void in_process(std::string_view text) {
  struct NoNic {};
  const auto parsed = InProcessOptions<NoNic>::parse(text);
  if (!parsed) return judge_error(parsed.error());
  const auto plan = InterfacePlan::make(parsed->interface);
  if (!plan) judge_error(plan.error());
}

constexpr std::array readers{
    &configuration,        &pairs, &in_process, &options<SidecarOptions>,
#ifdef PROA_FUZZ_DPDK
    &options<DpdkOptions>,
#endif
};

}  // namespace

void run(ByteView bytes) {
  Input in{bytes};
  const std::size_t reader = in.below(5);  // without DPDK the last one is missing
  if (reader < readers.size()) readers[reader](in.text());
}

}  // namespace proa::fuzz
