-- Wireshark dissector for Proa, wire version 1.
-- Copy it into a plugins folder (Help > About > Folders), or: wireshark -X lua_script:proa.lua
-- The layout is described in include/proa/wire/{header,frames,setup}.hpp.

local proa = Proto("proa", "Proa messages")

local types = {
  [0] = "data", [1] = "syn", [2] = "syn_ack", [3] = "retry", [4] = "refuse",
  [5] = "unknown_flow", [6] = "path_probe", [7] = "path_result",
}
local frame_types = {
  [0] = "padding", [1] = "ping", [2] = "ack64", [3] = "ack512", [4] = "ecn", [5] = "whole",
  [6] = "part", [7] = "want", [8] = "fin", [9] = "reset",
  [10] = "room",
}
local header_bytes = 24

local f = {
  version = ProtoField.uint8("proa.version", "Version", base.DEC, nil, 0xf0),
  type = ProtoField.uint8("proa.type", "Type", base.DEC, types, 0x0f),
  flags = ProtoField.uint8("proa.flags", "Flags", base.HEX),
  acks = ProtoField.bool("proa.flags.acks", "Acknowledges", 8, nil, 0x01),
  trailer = ProtoField.bool("proa.flags.trailer", "Crc32c trailer", 8, nil, 0x02),
  misrouted = ProtoField.bool("proa.flags.misrouted", "Misrouted", 8, nil, 0x04),
  ack_delay = ProtoField.uint32("proa.ack_delay", "Ack delay (ns)"),
  destination = ProtoField.uint32("proa.flow.destination", "Destination flow", base.HEX),
  source = ProtoField.uint32("proa.flow.source", "Source flow", base.HEX),
  number = ProtoField.uint32("proa.number", "Packet number"),
  acked = ProtoField.uint32("proa.acked", "Largest acknowledged"),
  credit = ProtoField.uint32("proa.credit", "Credit (cumulative bytes)"),
  crc = ProtoField.uint32("proa.crc32c", "Crc32c", base.HEX),
  frame = ProtoField.uint8("proa.frame", "Frame", base.DEC, frame_types),
  bitmap = ProtoField.bytes("proa.ack.bitmap", "Received below the largest"),
  ce = ProtoField.uint32("proa.ecn.count", "CE-marked packets"),
  message = ProtoField.uint32("proa.message", "Message number"),
  offset = ProtoField.uint32("proa.message.offset", "Offset"),
  total = ProtoField.uint32("proa.message.total", "Message bytes"),
  payload = ProtoField.bytes("proa.payload", "Message part"),
  reason = ProtoField.uint8("proa.reason", "Reason"),
  incarnation = ProtoField.uint32("proa.incarnation", "Incarnation", base.HEX),
  server_port = ProtoField.uint16("proa.server_port", "Server's application port"),
  client_port = ProtoField.uint16("proa.client_port", "Client's application port"),
  message_max = ProtoField.uint32("proa.message_max", "Largest message (bytes)"),
  idle = ProtoField.uint32("proa.idle_ms", "Idle limit (ms)"),
  cookie = ProtoField.bytes("proa.cookie", "Cookie"),
}
proa.fields = {}
for _, field in pairs(f) do table.insert(proa.fields, field) end
local malformed = ProtoExpert.new("proa.malformed", "A frame is cut short or unknown",
                                  expert.group.MALFORMED, expert.severity.ERROR)
proa.experts = { malformed }

-- Each reader adds one frame at `at` and returns its size, or nothing if it does not fit.
local readers = {
  [1] = function() return 1 end,
  [2] = function(b, at, t) t:add(f.bitmap, b(at + 1, 8)) return 9 end,
  [3] = function(b, at, t) t:add(f.bitmap, b(at + 1, 64)) return 65 end,
  [4] = function(b, at, t) t:add(f.ce, b(at + 1, 4)) return 5 end,
  [5] = function(b, at, t)
    local size = b(at + 1, 2):uint()
    t:add(f.message, b(at + 3, 4))
    t:add(f.total, b(at + 1, 2))
    if size > 0 then t:add(f.payload, b(at + 7, size)) end
    return 7 + size
  end,
  [6] = function(b, at, t)
    local size = b(at + 1, 2):uint()
    t:add(f.message, b(at + 3, 4))
    t:add(f.offset, b(at + 7, 4))
    t:add(f.total, b(at + 11, 4))
    t:add(f.payload, b(at + 15, size))
    return 15 + size
  end,
  [7] = function(b, at, t)
    t:add(f.message, b(at + 1, 4))
    t:add(f.total, b(at + 5, 4))
    return 9
  end,
  [8] = function(b, at, t) t:add(f.message, b(at + 1, 4)) return 5 end,
  [9] = function(b, at, t) t:add(f.reason, b(at + 1, 1)) return 2 end,
  [10] = function() return 1 end,
}

local function dissect_frames(b, at, stop, tree, names)
  while at < stop do
    local kind = b(at, 1):uint()
    if kind == 0 then break end  -- padding, to the end
    local t = tree:add(f.frame, b(at, 1))
    local ok, size = pcall(readers[kind] or function() error("unknown") end, b, at, t)
    if not ok then
      t:add_proto_expert_info(malformed)
      return
    end
    table.insert(names, frame_types[kind])
    at = at + size
  end
end

local function dissect_cookie(b, at, tree)
  local size = b(at, 1):uint()
  if size > 0 then tree:add(f.cookie, b(at + 1, size)) end
end

local bodies = {
  [1] = function(b, at, tree)
    tree:add(f.incarnation, b(at, 4))
    tree:add(f.server_port, b(at + 4, 2))
    tree:add(f.client_port, b(at + 6, 2))
    tree:add(f.message_max, b(at + 8, 4))
    tree:add(f.idle, b(at + 12, 4))
    dissect_cookie(b, at + 16, tree)
  end,
  [2] = function(b, at, tree)
    tree:add(f.incarnation, b(at, 4))
    tree:add(f.message_max, b(at + 4, 4))
    tree:add(f.idle, b(at + 8, 4))
  end,
  [3] = function(b, at, tree) dissect_cookie(b, at, tree) end,
  [4] = function(b, at, tree) tree:add(f.reason, b(at, 1)) end,
}

local function looks_like_proa(b)
  return b:len() >= header_bytes and b(0, 1):bitfield(0, 4) == 1 and b(0, 1):bitfield(4, 4) <= 7
end

function proa.dissector(b, pinfo, root)
  if not looks_like_proa(b) then return 0 end
  pinfo.cols.protocol = "Proa"
  local tree = root:add(proa, b())
  local kind = b(0, 1):bitfield(4, 4)
  tree:add(f.version, b(0, 1))
  tree:add(f.type, b(0, 1))
  local flags = tree:add(f.flags, b(1, 1))
  flags:add(f.acks, b(1, 1))
  flags:add(f.trailer, b(1, 1))
  flags:add(f.misrouted, b(1, 1))
  tree:add(f.ack_delay, b(2, 2), b(2, 2):uint() * 64)
  tree:add(f.destination, b(4, 4))
  tree:add(f.source, b(8, 4))
  tree:add(f.number, b(12, 4))
  tree:add(f.acked, b(16, 4))
  tree:add(f.credit, b(20, 4))

  local stop = b:len()
  if b(1, 1):bitfield(6, 1) == 1 and stop >= header_bytes + 4 then
    stop = stop - 4
    tree:add(f.crc, b(stop, 4))
  end
  local names = {}
  if kind == 0 then
    dissect_frames(b, header_bytes, stop, tree, names)
  elseif bodies[kind] then
    local ok = pcall(bodies[kind], b, header_bytes, tree)
    if not ok then tree:add_proto_expert_info(malformed) end
  end
  local what = #names > 0 and (" [" .. table.concat(names, " ") .. "]") or ""
  pinfo.cols.info = types[kind] .. " #" .. b(12, 4):uint() .. what
  return b:len()
end

-- The port range is configurable, so recognise the header rather than the ports.
proa:register_heuristic("udp", function(b, pinfo, root)
  local inside = pinfo.src_port >= 49152 and pinfo.dst_port >= 49152
  if not inside or not looks_like_proa(b) then return false end
  proa.dissector(b, pinfo, root)
  return true
end)
