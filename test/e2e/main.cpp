// e2e: the one main of these tests; a test forks before it starts DPDK, never after. Without root
// the cases tagged [root] are named as left out: `skipped case: NAME: WHY`, which test/count.py
// counts.
#define CATCH_CONFIG_RUNNER
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include <catch2/catch.hpp>

namespace {

bool needs_root(const Catch::TestCase& test) {
  return std::find(test.tags.begin(), test.tags.end(), "root") != test.tags.end();
}

/// Catch2 2 cannot skip: they are left out of what is asked for, by name.
void leave_out_what_needs_root(Catch::Session& session) {
  const auto& asked = session.config();
  for (const auto& test : Catch::getAllTestCasesSorted(asked)) {
    if (!needs_root(test) || (!asked.hasTestFilters() && test.isHidden())) continue;
    if (asked.hasTestFilters() && !Catch::matchTest(test, asked.testSpec(), asked)) continue;
    std::printf("skipped case: %s: needs root\n", test.name.c_str());
  }
  std::fflush(stdout);
  Catch::ConfigData data = session.configData();
  if (data.testsOrTags.empty()) data.testsOrTags.emplace_back();
  for (std::string& spec : data.testsOrTags) {
    // Before a name: behind it the exclusion would be a part of it.
    for (auto at = spec.find(','); at != std::string::npos; at = spec.find(',', at + 1))
      spec.insert(at + 1, "~[root]");
    spec.insert(0, "~[root]");
  }
  session.useConfigData(data);
}

}  // namespace

int main(int argc, char** argv) {
  Catch::Session session;
  if (const int wrong = session.applyCommandLine(argc, argv); wrong != 0) return wrong;
  const auto& given = session.configData();
  const bool runs = !given.showHelp && !given.listTests && !given.listTags;
  if (::geteuid() != 0 && runs) leave_out_what_needs_root(session);
  return session.run();
}
