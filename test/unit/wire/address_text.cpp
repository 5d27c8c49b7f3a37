// Tests of wire/address_text.hpp.
#include <catch2/catch.hpp>
#include <proa/wire/address_text.hpp>

using namespace proa;

TEST_CASE("addresses are written and read the way people do", "[wire][address]") {
  CHECK(to_text(IpAddress::v4(10, 1, 2, 3)) == "10.1.2.3");
  CHECK(parse_ip("10.1.2.3") == IpAddress::v4(10, 1, 2, 3));
  const auto six = parse_ip("fd00::1");
  REQUIRE(six);
  CHECK_FALSE(six->is_v4());
  CHECK(to_text(*six) == "fd00::1");
  CHECK(parse_prefix("10.0.0.1/24") == IpPrefix{IpAddress::v4(10, 0, 0, 1), 24});
  CHECK(parse_prefix("10.0.0.1") == IpPrefix{IpAddress::v4(10, 0, 0, 1), 32});
  CHECK(parse_prefix("fd00::/8")->bits == 8);
  CHECK(to_text(IpPrefix{IpAddress::v4(0), 0}) == "0.0.0.0/0");
  const MacAddress mac{{2, 0, 0xab, 0, 0, 0xf}};
  CHECK(to_text(mac) == "02:00:ab:00:00:0f");
  CHECK(parse_mac("02:00:AB:00:00:0f") == mac);
}

TEST_CASE("what is no address is refused", "[wire][address]") {
  for (const char* text :
       {"", "10.0.0", "10.0.0.256", "10.0.0.1 ", "host", "fd00:::1", "1.2.3.4.5"})
    CHECK_FALSE(parse_ip(text));
  CHECK_FALSE(parse_ip(std::string_view{"10.0.0.1\0x", 10}));
  for (const char* text : {"10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/2x", "/8",
                           "fd00::/129", "10.0.0.1/4294967300"})
    CHECK_FALSE(parse_prefix(text));
  for (const char* text :
       {"", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g", "02:00:00:00:00:011"})
    CHECK_FALSE(parse_mac(text));
}

TEST_CASE("IPv6 addresses are written as RFC 5952 has them, and read back",
          "[wire][address][rfc5952]") {
  const auto again = [](const char* text) { return to_text(parse_ip(text).value()); };
  CHECK(again("2001:0db8:0:0:0:0:2:1") == "2001:db8::2:1");        // 4.1, 4.2.1
  CHECK(again("2001:db8:0:1:1:1:1:1") == "2001:db8:0:1:1:1:1:1");  // 4.2.2: no single group
  CHECK(again("2001:0:0:1:0:0:0:1") == "2001:0:0:1::1");           // 4.2.3: the longest run
  CHECK(again("2001:db8:0:0:1:0:0:1") == "2001:db8::1:0:0:1");     // 4.2.3: the first of equals
  CHECK(again("2001:DB8::AbCd") == "2001:db8::abcd");              // 4.3
  CHECK(again("::") == "::");
  CHECK(again("::1") == "::1");
  CHECK(again("fe80::") == "fe80::");
  CHECK(again("::1:2") == "::1:2");  // not ::0.1.0.2
  CHECK(again("1:2:3:4:5:6:7:8") == "1:2:3:4:5:6:7:8");
  CHECK(again("0:0:1::") == "0:0:1::");
  CHECK(again("::ffff:10.0.0.1") == "10.0.0.1");  // the IPv4 node it stands for
}

TEST_CASE("endpoints carry brackets around IPv6 addresses", "[wire][address][rfc5952-6]") {
  const Endpoint four{IpAddress::v4(10, 0, 0, 2), 7000}, six{*parse_ip("fd00::2"), 65'535};
  CHECK(to_text(four) == "10.0.0.2:7000");
  CHECK(to_text(six) == "[fd00::2]:65535");
  CHECK(parse_endpoint("10.0.0.2:7000") == four);
  CHECK(parse_endpoint("[fd00::2]:65535") == six);
  for (const char* text :
       {"", "10.0.0.2", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:65536", "10.0.0.2:7x", "[10.0.0.2]:7",
        "fd00::2:7000", "[fd00::2]", "[fd00::2]7000", "[fd00::2]:123456", "[]:7", ":7"})
    CHECK_FALSE(parse_endpoint(text));
}
