-- The fault relay breaks what it promises to break, at the byte where it promises to. Both ends are plain
-- sockets here, so that every byte is ours.

local cqueues = require "cqueues"
local errno = require "cqueues.errno"
local eventually = require "spec.support.eventually"
local socket = require "cqueues.socket"
local relay = require "spec.servers.relay"

local patience = 5 -- seconds; only a failing spec waits this long
local silence = 0.15 -- nothing came for so long: nothing comes

local function plain(s, timeout)
  s:setmode("bn", "bn")
  s:settimeout(timeout or patience)
  s:onerror(function(_, _, why)
    return why
  end)
  return s
end

local function connect(port)
  local s = plain(socket.connect("127.0.0.1", port))
  local ok, why = s:connect(patience)
  return ok and s, why
end

local endings = { [errno.ECONNRESET] = "rst", [errno.ETIMEDOUT] = "silent" }

-- What comes until the connection ends or is silent, and how it ended: "fin", "rst" or "silent". Not with
-- xread, which drops an error that comes after some bytes; and the kernel tells of a reset only once.
local function rest(s)
  local pieces = {}
  local more, why = s:fill(1, silence)
  while more do
    pieces[#pieces + 1] = s:xread((s:pending()))
    more, why = s:fill(1, silence)
  end
  s:clearerr()
  return table.concat(pieces), why == nil and "fin" or endings[why] or errno.strerror(why)
end

local function ending(s)
  return select(2, rest(s))
end

-- How a connection ends that is cut as soon as it is accepted: that may be seen as early as by connect.
local function ending_at_once(port)
  local s, why = connect(port)
  if not s then
    return endings[why] or errno.strerror(why)
  end
  local how = ending(s)
  s:close()
  return how
end

local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return text
end

describe("relay", function()
  local listener, r, sockets

  before_each(function()
    sockets = {}
    listener = socket.listen("127.0.0.1", 0)
    listener:listen()
    r = relay.start { host = "127.0.0.1", port = select(3, listener:localname()) }
  end)

  after_each(function()
    r:stop()
    listener:close()
    for _, s in ipairs(sockets) do
      s:close()
    end
  end)

  local function keep(s)
    sockets[#sockets + 1] = s
    return s
  end

  local function accept()
    return keep(plain(assert(listener:accept(patience))))
  end

  -- A connection through the relay: the client's end, the server's end.
  local function session()
    local client = keep(assert(connect(r.port)))
    return client, accept()
  end

  -- The same, as the ends that a direction comes from and goes to.
  local function ends(way)
    local client, server = session()
    if way == "up" then
      return client, server
    end
    return server, client
  end

  local function seconds(f)
    local started = cqueues.monotime()
    f()
    return cqueues.monotime() - started
  end

  local function round_trip(client, server)
    client:xwrite "?"
    server:xread(1)
    server:xwrite "!"
    client:xread(1)
  end

  local function cpu_ticks()
    local stat = output("cat /proc/" .. r.pid .. "/stat"):match "%) (.*)"
    local user, system = stat:match(("%S+ "):rep(11) .. "(%d+) (%d+)")
    return tonumber(user) + tonumber(system)
  end

  describe("left alone", function()
    it("passes bytes on unchanged in both directions", function()
      local bytes = {}
      for i = 1, 200000 do
        bytes[i] = ("%d,"):format(i)
      end
      bytes = table.concat(bytes)
      for _, way in ipairs { "up", "down" } do
        local from, to = ends(way)
        assert(from:xwrite(bytes))
        assert.is_true(to:xread(#bytes) == bytes)
      end
    end)

    it("passes on that one side will send no more, while the other still does", function()
      local client, server = session()
      client:xwrite "last words"
      client:shutdown "w"
      assert.same({ "last words", "fin" }, { rest(server) })
      server:xwrite "answer"
      assert.equal("answer", client:xread(6))
      server:close()
      assert.equal("fin", ending(client))
      assert.equal(0, r:last().open)
    end)

    it("passes on a reset", function()
      local client, server = session()
      server:xwrite "unread bytes make the kernel send RST at close"
      assert.equal("u", client:xread(1))
      server:xwrite "these"
      cqueues.sleep(silence)
      client:close()
      assert.equal("rst", ending(server))
    end)

    it("stops a sender whose bytes are not read, and then loses none of them", function()
      local client, server = session()
      local megabyte, sent = ("x"):rep(1024 * 1024), 0
      client:settimeout(silence)
      while sent < 100 and client:xwrite(megabyte, "bf") do
        sent = sent + 1
      end
      assert.is_true(sent < 100)
      assert.equal(#megabyte, #server:xread(#megabyte))
      local read = #megabyte + #rest(server)
      assert.is_true(read > sent * #megabyte)
      assert.equal(r:last().up, read)
    end)

    it("resets the client when the server cannot be reached", function()
      local unused = socket.listen("127.0.0.1", 0)
      unused:listen()
      local port = select(3, unused:localname())
      unused:close()
      for _, target in ipairs { "127.0.0.1:" .. port, "/nonexistent/socket" } do
        local broken = relay.start(target)
        assert.equal("rst", ending_at_once(broken.port))
        broken:stop()
      end
    end)

    it("reaches a server on a unix socket", function()
      local path = os.tmpname()
      os.remove(path)
      local unix = socket.listen { path = path }
      unix:listen()
      local u = relay.start { socket = path }
      local client = keep(assert(connect(u.port)))
      local server = keep(plain(assert(unix:accept(patience))))
      os.remove(path)
      client:xwrite "hello"
      assert.equal("hello", server:xread(5))
      u:drop "fin"
      assert.equal("fin", ending(client))
      assert.equal("fin", ending(server))
      u:stop()
      unix:close()
    end)

    it("keeps no descriptor of a connection that ended", function()
      local function descriptors()
        return tonumber(output("ls /proc/" .. r.pid .. "/fd | wc -l"))
      end
      r:drop "rst"
      local before = descriptors()
      for i = 1, 300 do
        local client, server = session()
        if i % 2 == 0 then
          client:close()
          assert.is_nil(server:xread(1))
          server:close()
        else
          assert.equal(1, r:drop(i % 3 == 0 and "fin" or "rst").connections)
          client:close()
          server:close()
        end
      end
      cqueues.sleep(silence)
      assert.equal(0, r:stats().open)
      assert.equal(before, descriptors())
    end)
  end)

  describe("delay", function()
    it("adds latency to each direction", function()
      local client, server = session()
      r:delay(30)
      local took = seconds(function()
        round_trip(client, server)
      end)
      assert.is_true(took >= 0.06 and took < 10)
    end)

    it("can differ by direction", function()
      local client, server = session()
      r:delay(0, 80)
      local up = math.huge
      for _ = 1, 10 do
        up = math.min(
          up,
          seconds(function()
            client:xwrite "?"
            server:xread(1)
          end)
        )
      end
      local down = seconds(function()
        server:xwrite "!"
        client:xread(1)
      end)
      assert.is_true(down >= 0.07, down)
      assert.is_true(up < 0.07, up)
    end)

    it("delays a stream once, not each of its pieces, and keeps their order", function()
      local client, server = session()
      r:delay(50)
      local sent = {}
      local took = seconds(function()
        for i = 1, 100 do
          sent[i] = i .. ","
          client:xwrite(sent[i])
          cqueues.sleep(0.0005)
        end
        sent = table.concat(sent)
        assert.equal(sent, server:xread(#sent))
      end)
      assert.is_true(took >= 0.05 and took < 4.5)
    end)

    it("applies to the end of the stream too", function()
      local client, server = session()
      r:delay(50)
      local took = seconds(function()
        client:close()
        assert.equal("fin", ending(server))
      end)
      assert.is_true(took >= 0.045, took)
    end)
  end)

  describe("throttle", function()
    it("limits the bytes per second", function()
      local client, server = session()
      r:throttle(100000)
      client:xwrite(("x"):rep(30000))
      local took = seconds(function()
        server:xread(30000)
      end)
      assert.is_true(took >= 0.25 and took < 10)
    end)

    it("ends at once when it is set to 0", function()
      local client, server = session()
      r:throttle(1)
      client:xwrite(("x"):rep(1000))
      server:xread(1)
      r:throttle(0)
      assert.equal(999, #server:xread(999))
    end)
  end)

  describe("chunk", function()
    it("limits the bytes of a write", function()
      local client, server = session()
      r:chunk(3)
      r:throttle(20) -- so that the pieces arrive one by one
      client:xwrite "abcdefgh"
      assert.equal("abc", server:xread(-100))
      assert.equal("def", server:xread(-100))
      assert.equal("gh", server:xread(-100))
    end)

    it("of 1 loses nothing", function()
      local client, server = session()
      local bytes = ("0123456789"):rep(1000)
      r:chunk(1)
      client:xwrite(bytes)
      assert.equal(bytes, server:xread(#bytes))
    end)
  end)

  describe("cut", function()
    local bytes = "0123456789"

    for _, way in ipairs { "up", "down" } do
      for _, how in ipairs { "fin", "rst" } do
        it(("%s after every number of bytes delivers exactly those, then %s to both sides"):format(way, how), function()
          for n = 1, #bytes do
            r:cut(way, n, how)
            local from, to = ends(way)
            from:xwrite(bytes)
            assert.same({ bytes:sub(1, n), how }, { rest(to) })
            -- Bytes that come after a close are answered with RST, as by any closed socket.
            assert.is_truthy(({ [how] = true, rst = true })[ending(from)])
            assert.equal(n, r:last()[way])
            assert.equal(0, r:last().open)
          end
        end)
      end

      it(way .. " after 0 bytes cuts what is accepted", function()
        for _, how in ipairs { "fin", "rst" } do
          r:cut(way, 0, how)
          assert.equal(how, ending_at_once(r.port))
          assert.equal(how, ending(accept()))
        end
      end)

      it(way .. " into a black hole keeps both sides open and silent", function()
        r:cut(way, 4, "hold")
        local from, to = ends(way)
        from:xwrite(bytes)
        assert.same({ "0123", "silent" }, { rest(to) })
        to:xwrite "answer"
        assert.same({ "", "silent" }, { rest(from) })
        r:release()
        assert.equal("456789", to:xread(6))
        assert.equal("answer", from:xread(6))
      end)
    end

    it("gives FIN to the side that is quiet", function()
      r:cut("down", 4, "fin")
      local client, server = session()
      server:xwrite "0123"
      assert.equal("0123", client:xread(4))
      assert.equal("fin", ending(client))
      assert.equal("fin", ending(server))
    end)

    it("delivers the bytes before a reset to one who reads them late", function()
      r:cut("down", 3000000, "rst")
      local client, server = session()
      server:xwrite(("x"):rep(4000000))
      cqueues.sleep(silence)
      local got, how = rest(client)
      assert.equal(3000000, #got)
      assert.equal("rst", how)
    end)

    it("waits for the delay of the bytes before it", function()
      r:delay(40)
      r:cut("up", 4, "rst")
      local client, server = session()
      client:xwrite(bytes)
      assert.is_true(seconds(function()
        assert.equal("0123", server:xread(4))
      end) >= 0.035)
      assert.equal("rst", ending(server))
    end)

    it("is for one connection only", function()
      r:cut("up", 0, "rst")
      assert.equal("rst", ending_at_once(r.port))
      accept()
      round_trip(session())
      assert.equal(1, r:last().up)
    end)

    it("here counts from now, for every open connection and no other", function()
      local clients, servers = {}, {}
      for i = 1, 3 do
        clients[i], servers[i] = session()
        round_trip(clients[i], servers[i])
      end
      assert.equal(3, r:cut_here("up", 2, "rst").connections)
      for i = 1, 3 do
        clients[i]:xwrite(bytes)
        assert.same({ "01", "rst" }, { rest(servers[i]) })
      end
      round_trip(session())
      assert.equal(1, r:stats().open)
    end)

    it("here after 0 bytes has happened when the command returns", function()
      local client, server = session()
      r:cut_here("down", 0, "fin")
      assert.equal("fin", ending(client))
      assert.equal("fin", ending(server))
    end)
  end)

  describe("drop", function()
    for _, how in ipairs { "fin", "rst" } do
      it(how .. " closes all connections and lets new ones in", function()
        local client, server = session()
        local other = session()
        assert.equal(2, r:drop(how).connections)
        for _, s in ipairs { client, server, other } do
          assert.equal(how, ending(s))
        end
        assert.equal(0, r:stats().open)
        round_trip(session())
      end)
    end
  end)

  describe("hold", function()
    it("forwards nothing until release", function()
      local client, server = session()
      r:hold()
      client:xwrite "up"
      server:xwrite "down"
      assert.same({ "", "silent" }, { rest(server) })
      assert.same({ "", "silent" }, { rest(client) })
      r:release()
      assert.equal("up", server:xread(2))
      assert.equal("down", client:xread(4))
    end)

    it("lets the kernel accept clients, who then hear nothing", function()
      r:hold()
      local client = keep(assert(connect(r.port)))
      client:xwrite "?"
      assert.is_nil(listener:accept(silence))
      assert.equal("silent", ending(client))
      r:release()
      assert.equal("?", accept():xread(1))
    end)

    it("does not notice who goes away until release", function()
      local client, server = session()
      r:hold()
      client:close()
      assert.equal("silent", ending(server))
      r:release()
      assert.equal("fin", ending(server))
    end)

    it("sleeps while it holds", function()
      local client = session()
      r:hold()
      client:xwrite "?"
      local before = cpu_ticks()
      cqueues.sleep(0.3)
      assert.is_true(cpu_ticks() - before < 15)
    end)
  end)

  describe("refuse", function()
    it("turns clients away until it is switched off, and leaves open connections alone", function()
      local client, server = session()
      r:refuse(true)
      local refused, why = connect(r.port)
      assert.is_nil(refused)
      assert.equal(errno.ECONNREFUSED, why)
      round_trip(client, server)
      r:refuse(false)
      round_trip(session())
    end)
  end)

  describe("corrupt", function()
    for _, way in ipairs { "up", "down" } do
      it("replaces one byte " .. way .. ", of one connection", function()
        r:corrupt(way, 4, 0x58)
        r:chunk(3)
        local from, to = ends(way)
        from:xwrite "abcdefgh"
        assert.equal("abcdXfgh", to:xread(8))
        from, to = ends(way)
        from:xwrite "abcdefgh"
        assert.equal("abcdefgh", to:xread(8))
      end)
    end
  end)

  describe("corrupt here", function()
    for _, way in ipairs { "up", "down" } do
      it("replaces one byte " .. way .. ", counted from now, of every open connection and no other", function()
        local from, to = ends(way)
        from:xwrite "abc"
        assert.equal("abc", to:xread(3))
        assert.equal(1, r:corrupt_here(way, 1, 0x58).connections)
        from:xwrite "defg"
        assert.equal("dXfg", to:xread(4))
        from, to = ends(way)
        from:xwrite "defg"
        assert.equal("defg", to:xread(4))
      end)
    end
  end)

  describe("shift", function()
    local function packet(number, body)
      return ("<I3B"):pack(#body, number) .. body
    end

    local ok, eof, prepared = packet(1, "\0\0\0\2\0\0\0"), "\xFE\0\0\2\0", "\0\1\0\0\0\1\0\1\0\0\0\0"
    local replies = {
      ok,
      packet(1, "\1") .. packet(2, "column") .. packet(3, eof) .. packet(4, "row") .. packet(5, eof),
      packet(1, "\xFF an error"),
      packet(1, prepared) .. packet(2, "parameter") .. packet(3, eof) .. packet(4, "column") .. packet(5, eof),
      packet(1, "\1") .. packet(2, "column") .. packet(3, eof) .. packet(4, "\xFF an error"),
      ok,
    }
    local becomes = {
      drop = function()
        return ""
      end,
      double = function(reply)
        return reply .. reply
      end,
      add = function(reply)
        return reply .. ok
      end,
    }

    for how, becomes_of in pairs(becomes) do
      it(("makes another stream of replies: %s"):format(how), function()
        for place = 1, #replies do
          local client, server = session()
          assert.equal(1, r:shift(how, place - 1).connections)
          local expected = {}
          for i, reply in ipairs(replies) do
            expected[i] = i == place and becomes_of(reply) or reply
          end
          local all = table.concat(expected)
          for byte in table.concat(replies):gmatch "." do
            server:xwrite(byte)
          end
          assert.equal(all, client:xread(#all))
          server:xwrite "and so on"
          assert.equal("and so on", client:xread(9))
          client:close()
          server:close()
        end
      end)
    end
  end)

  describe("replace", function()
    it("puts bytes in the place of what the server says next, and that only", function()
      local client, server = session()
      assert.equal(1, r:replace("an error").connections)
      client:xwrite "question"
      assert.equal("question", server:xread(8))
      server:xwrite "answer"
      assert.equal("an error", client:xread(8))
      server:xwrite "next"
      assert.equal("next", client:xread(4))
      assert.same({ "", "silent" }, { rest(client) })
    end)

    it("leaves new connections alone", function()
      session()
      r:replace "an error"
      round_trip(session())
    end)
  end)

  describe("inject", function()
    it("sends bytes to one side of every open connection", function()
      local client, server = session()
      local other = session()
      assert.equal(2, r:inject("down", "\0\xffhello").connections)
      assert.equal("\0\xffhello", client:xread(7))
      assert.equal("\0\xffhello", other:xread(7))
      r:inject("up", "x")
      assert.equal("x", server:xread(1))
      round_trip(client, server)
    end)
  end)

  describe("answer", function()
    it("swallows what clients send and answers each chunk, until it is switched off", function()
      local client, server = session()
      assert.equal(1, r:answer("no").connections)
      for _ = 1, 2 do
        client:xwrite "question"
        assert.equal("no", client:xread(2))
      end
      assert.same({ "", "silent" }, { rest(server) })
      assert.equal(0, r:last().up)
      r:answer(nil)
      round_trip(client, server)
    end)

    it("leaves new connections alone", function()
      session()
      r:answer "no"
      round_trip(session())
    end)

    it("comes after the delay of both directions", function()
      local client = session()
      r:answer "no"
      r:delay(30)
      assert.is_true(seconds(function()
        client:xwrite "question"
        client:xread(2)
      end) >= 0.06)
    end)
  end)

  describe("record", function()
    it("keeps what clients send, until it begins anew", function()
      local client, server = session()
      client:xwrite "before"
      server:xread(6)
      r:record()
      assert.equal("", r:heard())
      client:xwrite "a\0\xff"
      server:xread(3)
      server:xwrite "answer"
      client:xread(6)
      assert.equal("a\0\xff", r:heard())
      local other, other_server = session()
      other:xwrite "b"
      other_server:xread(1)
      assert.equal("a\0\xffb", r:heard())
      r:record()
      assert.equal("", r:heard())
    end)
  end)

  describe("in the greeting", function()
    -- With these low capability flags, and this number of the connection.
    local function greeting(flags, number)
      local payload = "\10" .. "5.5.5-10.11.9-MariaDB\0" .. string.pack("<I4", number or 0x08080808)
      payload = payload .. ("\8"):rep(8) .. "\0"
      payload = payload .. string.pack("<I2", flags) .. "\8\8\8\8\8"
      return string.pack("<I3B", #payload, 0) .. payload
    end

    local function through(bytes)
      local client, server = session()
      server:xwrite(bytes)
      return client:xread(#bytes)
    end

    it("strip_tls clears CLIENT_SSL, and nothing else", function()
      assert.equal(greeting(0xffff), through(greeting(0xffff)))
      r:strip_tls(true)
      assert.equal(greeting(0xf7ff), through(greeting(0xffff)))
      assert.equal(greeting(0xf7ff) .. greeting(0xffff), through(greeting(0xffff) .. greeting(0xffff)))
      r:strip_tls(false)
      assert.equal(greeting(0xffff), through(greeting(0xffff)))
    end)

    it("renumber gives numbers from 1, again and again", function()
      r:renumber(2)
      local given = {}
      for i = 1, 4 do
        given[i] = ("<I4"):unpack(through(greeting(0xffff, 70000)), 5 + #"5.5.5-10.11.9-MariaDB" + 2)
      end
      table.sort(given)
      assert.same({ 1, 1, 2, 2 }, given)
      r:renumber(0)
      assert.equal(greeting(0xffff, 70000), through(greeting(0xffff, 70000)))
    end)

    it("both are found in one that comes in pieces", function()
      r:strip_tls(true)
      r:renumber(1)
      local client, server = session()
      for byte in greeting(0xffff):gmatch "." do
        server:xwrite(byte)
        cqueues.sleep(0.0005)
      end
      assert.equal(greeting(0xf7ff, 1), client:xread(#greeting(0xffff)))
    end)

    it("an error packet in its place is left alone", function()
      r:strip_tls(true)
      r:renumber(1)
      local packet = "\x46\0\0\0\xff\x10\x04" .. ("Too many connections\0\xff"):rep(3)
      assert.equal(packet, through(packet))
    end)
  end)

  describe("counters", function()
    it("tell the bytes of the last connection, also when it has ended", function()
      local client, server = session()
      client:xwrite "12345"
      server:xread(5)
      server:xwrite "123"
      client:xread(3)
      assert.same({ open = 1, up = 5, down = 3 }, r:last())
      r:drop "fin"
      assert.same({ open = 0, up = 5, down = 3 }, r:last())
    end)

    it("tell how many connections were cut, but not of those that ended by themselves", function()
      r:cut("up", 3, "rst")
      local client, server = session()
      client:xwrite "12"
      assert.equal("12", server:xread(2))
      assert.equal(0, r:stats().cuts)
      client:xwrite "345"
      assert.equal("rst", ending(server))
      assert.equal(1, r:stats().cuts)
      r:cut("down", 1, "hold")
      client, server = session()
      server:xwrite "12"
      assert.equal("1", client:xread(1))
      assert.equal("silent", ending(client))
      assert.equal(2, r:stats().cuts)
      r:drop()
      assert.equal(3, r:stats().cuts)
      client, server = session()
      client:close()
      assert.equal("fin", ending(server))
      server:close()
      client, server = session()
      server:xwrite "unread bytes make the kernel send RST at close"
      assert.equal("u", client:xread(1))
      server:xwrite "these"
      cqueues.sleep(silence)
      client:close()
      assert.equal("rst", ending(server))
      assert.equal(3, r:stats().cuts)
    end)

    it("tell what was forwarded since the start", function()
      local before = r:stats()
      round_trip(session())
      local now = r:stats()
      assert.equal(before.connections + 1, now.connections)
      assert.equal(1, now.open)
      assert.equal(before.up + 1, now.up)
      assert.equal(before.down + 1, now.down)
    end)
  end)

  describe("reset", function()
    it("takes everything back that was set", function()
      local client, server = session()
      r:cut_here("up", 0, "hold")
      r:cut("up", 0, "rst")
      r:corrupt("up", 0, 0)
      r:delay(1000)
      r:throttle(1)
      r:chunk(1)
      r:strip_tls(true)
      r:answer "no"
      r:hold()
      r:refuse(true)
      r:reset()
      assert.is_true(seconds(function()
        round_trip(client, server)
        client, server = session()
        client:xwrite(("x"):rep(1000))
        assert.equal(("x"):rep(1000), server:xread(1000))
      end) < 1)
    end)

    it("takes back what was to happen to open connections", function()
      local client, server = session()
      r:replace "no"
      r:corrupt_here("down", 0, 0)
      r:reset()
      server:xwrite "answer"
      assert.equal("answer", client:xread(6))
    end)
  end)

  describe("as a program", function()
    local program = "build/spec/relay"

    it("answers a command that it does not understand with an error", function()
      for _, line in ipairs {
        "make coffee",
        "delay soon",
        "delay -1",
        "throttle -1",
        "chunk x",
        "cut sideways 3",
        "cut up",
        "cut up 3 softly",
        "cut here up 3 fin now",
        "drop hold",
        "corrupt up 1 xyz",
        "corrupt here up 1",
        "shift",
        "shift drop",
        "shift sideways 1",
        "replace",
        "inject down",
        "inject down 123",
        "answer",
        "refuse maybe",
        "",
      } do
        assert.has_error(function()
          r:command(line)
        end)
      end
      round_trip(session())
    end)

    it("obeys lines on its input and ends with it", function()
      local text = output("printf 'stats\\nlast\\n' | " .. program .. " 127.0.0.1:1")
      assert.truthy(text:match "^port %d+\nok connections=0 open=0 cuts=0 up=0 down=0\nerror no connection yet\n$")
    end)

    it("ends when it is stopped, with its connections", function()
      local own = relay.start { port = select(3, listener:localname()) }
      local client = keep(assert(connect(own.port)))
      accept()
      own:stop()
      assert.equal("fin", ending(client))
      assert.is_nil((connect(own.port)))
      assert.equal("", output("ls /proc/" .. own.pid .. " 2>/dev/null"))
      own:stop()
      assert.has_error(function()
        own:stats()
      end, "the relay was stopped")
    end)

    it("says so when it cannot start", function()
      assert.has_error(function()
        relay.start ""
      end)
    end)

    it("ends when its owner is killed, even if the owner's children hold the pipe open", function()
      local pid = output [[${LUA:-lua5.4} -e '
        package.path = "./?.lua;" .. package.path
        local r = require("spec.servers.relay").start("127.0.0.1:1")
        print(r.pid)
        io.stdout:flush()
        os.execute("sleep 3 >/dev/null 2>&1 & kill -KILL $PPID")' 2>/dev/null]]
      pid = assert(tonumber(pid))
      eventually(function()
        local state = output(("cat /proc/%d/stat 2>/dev/null"):format(pid)):match "%) (%a)"
        return not state or state == "Z"
      end)
    end)
  end)
end)
