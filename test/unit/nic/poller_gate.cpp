// nic: pollers pass the gate before a port, and learn that it was renewed.
#include "../../../lib/poller_gate.hpp"

#include <catch2/catch.hpp>

using proa::detail::PollerGate;

TEST_CASE("a closed gate lets nobody in, an open one whoever knows the port as it is") {
  PollerGate gate{1};
  auto pass = gate.pass(0);
  REQUIRE(pass.enter());
  pass.leave();
  gate.close();
  CHECK_FALSE(pass.enter());
  CHECK_FALSE(pass.enter_renewed());
  gate.open();
  CHECK(pass.enter());
  pass.leave();

  gate.close();
  gate.renew();
  gate.open();
  CHECK_FALSE(pass.enter());
  CHECK(pass.enter_renewed());
  pass.leave();
  CHECK(pass.enter());
  pass.leave();

  pass.expect_renewal();
  CHECK_FALSE(pass.enter());
  CHECK(pass.enter_renewed());
  pass.leave();
}

TEST_CASE("who was refused in between still has to read a renewed port again") {
  PollerGate gate{1};
  auto pass = gate.pass(0);
  gate.close();
  gate.renew();
  gate.open();
  const auto seen = pass.state();
  gate.close();  // between the look and the step
  CHECK_FALSE(pass.enter_as(seen));
  gate.open();
  CHECK_FALSE(pass.enter());
  CHECK(pass.enter_renewed());
  pass.leave();
}
