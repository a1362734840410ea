#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into corpus/, from the golden transcripts and by hand.

Usage: make_corpus.py [--check]; with --check nothing is written and a seed that differs or is missing is an error.
Files whose names begin with "found-" are inputs that once broke something: they are not made here, and stay.
"""

import base64
import hashlib
import importlib.util
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
SPEC = importlib.util.spec_from_file_location("make", HERE.parent / "data" / "transcripts" / "make.py")
make = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make)

# In the order of message_kinds.h.
KINDS = ["hello", "welcome", "error", "create", "created", "open", "opened", "define", "tensor", "set", "list",
         "listed", "pieces", "piece_results", "join", "joined", "barrier", "statistics",
         "optimizer_request", "optimizer", "rows", "rows_done", "table_query", "table_totals", "row_query", "row_page",
         "enter", "entered", "clock", "clocked", "consistency", "consistency_is", "members", "members_are", "staleness",
         "staleness_is"]
FRAME_OF_KIND = {"tensor": "complete", "pieces": "push", "piece_results": "pushed", "statistics": "statistics_are",
                 "optimizer": "optimizer_is", "optimizer_request": "optimizer", "rows": "table_push_pull",
                 "rows_done": "table_pushed", "table_query": "table_info", "table_totals": "table_info_is",
                 "row_query": "table_rows", "row_page": "table_rows_are"}


def whole(name, **change):
    kind, request, message, payload = make.FRAMES[name]
    return make.frame(kind, change.get("request", request), message, payload)


def frames():
    for name in make.FRAMES:
        yield name, b"\x03\x00\x00" + whole(name)
    yield "many", b"\x04\x34\x12" + b"".join(whole(n) for n in make.FRAMES)
    yield "limit", b"\x02\x01\x00" + make.frame(26, 1, make.TWO, bytes(4096)) + whole("join")
    yield "above", b"\x01\x01\x00" + make.frame(26, 1, make.TWO, bytes(65))
    yield "version", b"\x03\x00\x00" + whole("join").replace(b"CNYN\x01", b"CNYN\x02")
    yield "flags", b"\x03\x00\x00" + whole("join").replace(b"CNYN\x01\x00", b"CNYN\x01\x01")
    yield "magic", b"\x03\x00\x00" + whole("pull") + b"GET / HTTP/1.1\r\n\r\n"
    yield "huge", b"\x04\x00\x00CNYN" + struct.pack("<BBHIIQ", 1, 0, 22, 0xFFFFFFFF, 0xFFFFFFFF, 1)


def messages():
    for number, kind in enumerate(KINDS):
        yield kind, bytes([number]) + make.FRAMES[FRAME_OF_KIND.get(kind, kind)][2]
    for kind, body in BOMBS.items():
        yield "bomb-" + kind, bytes([KINDS.index(kind)]) + body


# As large as a message may be: empty submessages, a text of unknown fields, submessages in submessages.
BOMBS = {
    "pieces": b"\x0a\x00" * 2048,
    "piece_results": b"\x0a\x00" * 2048,
    "optimizer": b"\x3a\x00" * 2048,
    "create": make.nested(1, make.nested(2, b"\x01" * 4080)),
    "hello": b"\x7a\x00" * 2048,
    "listed": make.nested(1, make.nested(3, make.nested(4, b"\x0a\x00" * 2000))),
}


def greeting():
    yield "hello", whole("hello")
    kind, request, message, payload = make.FRAMES["hello"]
    yield "payload", make.frame(kind, request, message, b"x")
    yield "other", whole("pull")
    yield "long", b"CNYN" + struct.pack("<BBHIIQ", 1, 0, 2, 5000, 0, 1)
    yield "both", b"CNYN" + struct.pack("<BBHIIQ", 1, 0, 4, 5000, 0, 1)
    yield "version", b"CNYN\x02\x00\x02\x00"
    plain = make.unsigned(1, 1) + make.unsigned(2, 1) + make.data(3, make.SESSION) + make.text(5, "w")
    yield "good", make.frame(2, 9, plain, b"")
    yield "protocol", make.frame(2, 9, make.unsigned(1, 7) + plain[2:], b"")
    yield "http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


# ---- The handler ----

def ask(peer, kind, message, payload=0, pattern=b""):
    return (bytes([peer << 3, kind]) + struct.pack("<H", len(message)) + message
            + struct.pack("<HB", payload, len(pattern)) + pattern)


def come(peer):
    return bytes([5 | peer << 3])


def passes(tenths):
    return bytes([6, tenths])


STOP = b"\x07S"


def small(name, elements, optimizer="sgd", settings=(), initializer=0, a=0.0, b=0.0):
    return make.spec(name, [elements], optimizer, settings, initializer, 5, a, b)


def create(peer, spec, wait=0):
    return ask(peer, 4, make.nested(1, spec) + make.unsigned(2, wait))


def define(peer, identity, spec, state=1, epoch=0, kind=8):
    return ask(peer, kind, make.nested(1, make.info(identity, state, spec, epoch)))


def named(peer, kind, identity, name=""):
    return ask(peer, kind, make.fixed64(1, identity) + make.text(2, name))


def coded_bytes(elements, codec=0, kept=0):
    plain = [4 * elements, 2 * elements, 2 * elements, *2 * [4 * -(-elements // 64) + elements], 8 * kept]
    return -(-plain[codec] // 4) * 4


def values(peer, kind, items, numbers=b""):
    """Items as make.pieces has them."""
    sizes = (coded_bytes(e, more[1] if len(more) > 1 else 0, more[3] if len(more) > 3 else 0)
             for t, b, e, v, *more in items)
    return ask(peer, kind, make.pieces(*items), 0 if kind == 24 else sum(sizes), numbers)


def made(peer, identity, spec, name):
    return create(peer, spec) + define(peer, identity, spec) + named(peer, 10, identity, name)


# Rows of tables. Where a row lives: SipHash-1-3 of its id, with a key made of the table's name; see PROTOCOL.md.

def row_shard(name, identity, shards=4):
    mask = (1 << 64) - 1
    turn = lambda x, n: (x << n | x >> (64 - n)) & mask

    def sip_round(a, b, c, d):
        a, c = (a + b) & mask, (c + d) & mask
        b, d, a = turn(b, 13) ^ a, turn(d, 16) ^ c, turn(a, 32)
        c, a = (c + b) & mask, (a + d) & mask
        b, d, c = turn(b, 17) ^ c, turn(d, 21) ^ a, turn(c, 32)
        return a, b, c, d

    k0, k1 = struct.unpack("<2Q", hashlib.blake2b(name.encode(), digest_size=32).digest()[:16])
    state = (k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573)
    for word in (identity, 8 << 56):
        a, b, c, d = sip_round(*state[:3], state[3] ^ word)
        state = (a ^ word, b, c, d)
    state = (*state[:2], state[2] ^ 0xFF, state[3])
    for _ in range(3):
        state = sip_round(*state)
    return (state[0] ^ state[1] ^ state[2] ^ state[3]) % shards


def ids_in(shard, count, name="t", first=0):
    found = []
    while len(found) < count:
        found += [first] if row_shard(name, first) == shard else []
        first += 1
    return found


def sparse(name, dim, optimizer="sgd", settings=(), cap=0, capacity=0, initializer=2):
    return make.spec(name, [dim], optimizer, settings, initializer, 5, -1.0, 1.0, kind=1, cap=cap, capacity=capacity)


def batch(peer, kind, identity, dim, runs, numbers=b"", **more):
    """Runs as make.rows has them; the numbers are all gradients, encoded."""
    payload = make.runs_payload(runs, numbers)
    assert len(payload) < 256
    return ask(peer, kind, make.rows(identity, dim, runs, **more), len(payload), payload)


def rows_of(peer, identity, shard, most, first=0, state=0):
    return ask(peer, 52, make.fixed64(1, identity) + make.unsigned(2, shard) + make.unsigned(3, first)
               + make.unsigned(4, most) + make.unsigned(5, state))


def info_of(peer, identity, shard=None):
    return ask(peer, 50, make.fixed64(1, identity) + (b"" if shard is None else make.unsigned(2, 1) + make.unsigned(3, shard)))


ONE = make.floats(1)
LOOK = ask(0, 32, b"") + ask(0, 34, b"") + ask(0, 18, b"") + ask(0, 36, make.unsigned(1, 3))


def handler():
    sgd = small("w", 3)
    adam = small("big", 5000, "adam", [("lr", 0.01)], 2, -1.0, 1.0)
    yield "life", (made(0, 1, sgd, "w") + values(0, 20, [(1, 0, 3, 0)], ONE) + values(0, 22, [(1, 0, 3, 1)], ONE)
                   + values(0, 24, [(1, 0, 3, 0)]) + values(0, 26, [(1, 0, 3, 2)], ONE) + LOOK
                   + named(0, 12, 0, "w") + named(0, 14, 1) + named(0, 16, 1))
    yield "blocks", (made(0, 1, adam, "big")
                     + b"".join(values(0, 26, [(1, b, 1024, 0)], make.floats(0.5, -2)) for b in range(4))
                     + values(0, 26, [(1, 4, 904, 0)], ONE) + LOOK)
    yield "several", (made(0, 1, sgd, "w") + made(0, 2, small("b", 2, "adagrad"), "b")
                      + values(0, 26, [(1, 0, 3, 0), (2, 0, 2, 0)], ONE)
                      + values(0, 22, [(1, 0, 3, 0), (9, 0, 2, 0)], ONE)
                      + values(0, 22, [(1, 0, 3, 0), (1, 0, 3, 0)], ONE))
    once = lambda peer, number, kind=22, elements=3: ask(
        peer, kind, make.pieces((1, 0, elements, 0), numbers=[number]), 4 * elements, ONE)
    yield "numbers", (made(0, 1, sgd, "w") + made(0, 2, small("b", 2, "adagrad"), "b") + once(0, 1) + once(0, 1)
                      + once(0, 2, 26) + once(0, 2, 26) + once(0, 3, 22, 2) + once(0, 3) + once(0, 4, 20) + come(3)
                      + once(3, 5) + ask(3, 54, b"") + once(0, 6) + once(3, 6) + ask(3, 22, make.pieces(
                          (1, 0, 3, 0), (1, 0, 3, 0), numbers=[7, 8]), 24, ONE) + once(3, 9) + LOOK + once(3, 11) + come(3)
                      + come(3) + ask(3, 54, b"") + once(3, 10) + ask(3, 56, b"") + once(3, 11) + come(3) + come(3)
                      + once(3, 1) + come(1) + once(1, 2) + come(1) + come(1) + once(1, 1) + named(1, 16, 0, "w")
                      + ask(1, 24, make.pieces((1, 0, 3, 0), numbers=[2])) + once(1, 2))
    enter = lambda peer, rank=0, clock=0: ask(peer, 58, make.unsigned(1, rank) + make.unsigned(2, clock))
    clock = lambda peer, value, leave=0: ask(peer, 60, make.unsigned(1, value) + make.unsigned(3, leave))
    mode = lambda peer, body, first: ask(peer, 62, make.unsigned(1, 1) + make.nested(2, body) + make.unsigned(3, first))
    at = lambda peer, kind, value, number=0, wait=0: ask(
        peer, kind, make.pieces((1, 0, 3, 0), numbers=[number], clock=value, wait=wait), 0 if kind == 24 else 12, ONE)
    look = lambda peer: (ask(peer, 62, b"") + ask(peer, 64, b"") + ask(peer, 66, make.fixed64(1, 1))
                         + ask(peer, 66, make.fixed64(2, 5)) + LOOK)
    bounded, mean = make.unsigned(1, 1) + make.unsigned(2, 1), make.unsigned(1, 2)
    ranked = mean + make.unsigned(3, 1) + make.unsigned(4, 1) + make.unsigned(5, 2)
    yield "clocks", (made(0, 1, sgd, "w") + enter(0) + enter(1, 4) + enter(2, clock=1) + look(0) + mode(0, bounded, 2)
                     + clock(0, 2) + at(0, 24, 2, wait=5) + clock(0, 4) + at(0, 24, 4, wait=5) + at(0, 24, 4, wait=0)
                     + at(1, 22, 1, 1) + clock(1, 2) + clock(2, 9) + clock(1, 3) + at(2, 26, 9, 1) + clock(1, 1, 1)
                     + look(1) + come(2) + at(0, 24, 4, wait=5) + ask(1, 56, b"") + mode(0, mean, 1) + look(0))
    yield "contributions", (made(0, 1, sgd, "w") + enter(0) + enter(1) + mode(0, ranked, 2) + clock(0, 2) + clock(1, 2)
                            + at(0, 22, 2, 1) + at(0, 22, 2, 2) + at(1, 22, 2, 1) + at(0, 24, 3, wait=5) + LOOK + clock(0, 3)
                            + clock(1, 3) + look(0) + at(1, 22, 2, 2) + at(1, 26, 3, 3) + at(0, 22, 9, 3) + at(0, 20, 3, 4)
                            + mode(0, mean, 5) + clock(0, 6) + at(0, 22, 6, 5) + clock(1, 6) + come(1) + clock(0, 7) + look(0))
    table = make.spec("t", [2], "sgd", [], 1, 5, -1.0, 1.0, kind=1)
    rows_of = lambda peer, kind, numbers: b"".join(
        ask(peer, kind, make.fixed64(1, 1) + make.unsigned(3, 2) + make.unsigned(4, 1) + make.unsigned(5, 1)
            + make.unsigned(6, kind == 44), 72 if kind in (42, 46) else 32,
            struct.pack("<IIQQQ", shard, 1, 0, number, shard) + bytes(32) + make.floats(1, 2))
        for shard, number in enumerate(numbers))
    yield "numbered_rows", (made(0, 1, table, "t") + b"".join(
        rows_of(0, kind, [n, n, n, n]) for n, kind in ((1, 42), (1, 46), (2, 44), (2, 44), (3, 48), (3, 48)))
        + rows_of(0, 44, [4, 3, 9, 4]) + LOOK)
    nan, huge = make.floats(float("nan")), make.floats(3e38)
    for policy in range(3):
        spec = small("w", 3, "adam", [("nonfinite", policy)])
        yield "not_finite_%d" % policy, (made(0, 1, spec, "w") + values(0, 22, [(1, 0, 3, 0)], nan)
                                         + values(0, 22, [(1, 0, 3, 0)], make.floats(1, float("-inf")))
                                         + 4 * values(0, 26, [(1, 0, 3, 0)], huge)
                                         + values(0, 20, [(1, 0, 3, 0)], nan))
    yield "waiting", (come(2) + create(0, sgd) + create(1, sgd, 5000) + ask(2, 6, make.text(1, "w")
                      + make.unsigned(2, 9000)) + ask(2, 6, make.text(1, "x") + make.unsigned(2, 300)) + passes(4)
                      + come(0) + define(1, 1, sgd) + named(1, 10, 1, "w") + passes(200))
    state = small("w", 3, "nadam")
    some = [(1, 0, 3, 0, 1), (1, 0, 3, 0, 2), (1, 0, 2, 0, 128), (1, 0, 2, 0, 129)]
    yield "state", (made(0, 1, state, "w") + 2 * values(0, 26, [(1, 0, 3, 0)], ONE) + values(0, 24, some)
                    + values(0, 20, some, ONE) + b"".join(values(0, 20, [piece], struct.pack("<Q", 77)) for piece in some)
                    + values(0, 20, [(1, 0, 2, 0, 129)], struct.pack("<d", 0.5))
                    + values(0, 20, [(1, 0, 3, 0, 2)], make.floats(-1)) + values(0, 20, [(1, 0, 3, 0, 9)], ONE)
                    + values(0, 20, [(1, 0, 2, 0, 128)], b"\xff" * 8) + values(0, 22, some, ONE)
                    + 2 * values(0, 26, [(1, 0, 3, 0)], ONE) + ask(0, 36, make.text(2, "nadam")))
    yield "codecs", (made(0, 1, adam, "big")
                     + b"".join(values(0, 26, [(1, b, 1024, 0, 0, codec, reply, 4 if codec == 5 else 0)],
                                       struct.pack("<4I4f", 1, 2, 700, 1023, 1, -1, 0.5, 3) if codec == 5 else b"\x01\x3c")
                                for b, codec in enumerate((1, 2, 3, 5)) for reply in range(5))
                     + values(0, 22, [(1, 4, 904, 0, 0, 4)], b"\x3c") + values(0, 24, [(1, 4, 904, 0, 0, 0, 4)])
                     + values(0, 26, [(1, 4, 904, 0, 0, 1, 1), (1, 0, 1024, 0, 0, 5, 2, 0), (1, 1, 1024, 0)], b"\0") + LOOK)
    yield "bad_codecs", (made(0, 1, adam, "big") + values(0, 22, [(1, 0, 1024, 0, 0, 5, 0, 4)], b"\1")
                         + values(0, 22, [(1, 0, 1024, 0, 0, 5, 0, 2)], struct.pack("<2I2f", 5, 1024, 1, 1))
                         + values(0, 26, [(1, 0, 1024, 0, 0, 0, 5)]) + values(0, 20, [(1, 0, 1024, 0, 0, 1)])
                         + values(0, 24, [(1, 0, 1024, 0, 1, 0, 1)]) + values(0, 24, [(1, 0, 1024, 0, 0, 1)])
                         + ask(0, 22, make.pieces((1, 0, 1024, 0, 0, 6)), 4096) + ask(0, 22, make.pieces(
                             (1, 0, 1024, 0, 0, 1)), 4096) + values(0, 22, [(1, 0, 1023, 0, 0, 1)], b"\1"))
    barrier = make.text(1, "b") + make.unsigned(2, 2) + make.unsigned(3, 1000)
    yield "barriers", (ask(0, 28, make.text(1, "a")) + ask(1, 28, make.text(1, "b")) + ask(0, 30, barrier)
                       + ask(1, 30, barrier) + ask(1, 30, barrier) + passes(20) + ask(0, 30, make.text(1, "all"))
                       + come(1) + STOP + ask(0, 30, barrier))
    changed = small("w", 3, "sgd", [("lr", 0.5)])
    yield "settings", (made(0, 1, sgd, "w")
                       + ask(0, 38, make.text(2, "w") + make.nested(3, make.text(1, "lr") + make.double(2, 0.5)))
                       + define(0, 1, changed, 2, 1, 40) + values(0, 26, [(1, 0, 3, 0)], ONE)
                       + ask(0, 38, make.text(2, "w") + make.nested(3, make.text(1, "lr") + make.double(2, -1.0))))
    yield "empty", (made(0, 1, small("none", 0), "none") + values(0, 22, [(1, 0, 0, 0)]) + values(0, 24, [(1, 0, 0, 0)])
                    + LOOK)
    yield "too_large", (create(0, make.spec("w", [1 << 32, 1 << 32], "sgd", []))
                        + create(0, make.spec("v", [1 << 20, 1 << 20], "sgd", [])) + define(0, 1, make.spec(
                            "v", [1 << 20, 1 << 20], "sgd", [])) + create(0, make.spec("u", [1 << 17], "sgd", []))
                        + define(0, 2, make.spec("u", [1 << 17], "sgd", [])))
    yield "bad", (b"".join(ask(0, kind, b"\xff\xff") for kind in range(44)) + ask(0, 32, b"", 4)
                  + ask(0, 22, make.pieces((1, 0, 3, 0)), 8, ONE))
    yield "bombs", b"".join(ask(0, kind, body[:4000]) for kind, body in
                            ((22, BOMBS["pieces"]), (4, BOMBS["create"]), (8, BOMBS["listed"])))
    yield "bad_settings", b"".join(create(0, small("w%d" % i, 3, optimizer, [setting])) for i, (optimizer, setting) in
                                   enumerate([("adam", ("lr", 0.0)), ("adam", ("beta1", 1.0)), ("adam", ("eps", 0.0)),
                                              ("adam", ("lr", float("nan"))), ("sgd", ("heat", 1.0)),
                                              ("magic", ("lr", 1.0))]))
    yield "many_optimizers", b"".join(
        made(0, i + 1, small("w%d" % i, 3, optimizer), "w%d" % i) + 2 * values(0, 26, [(i + 1, 0, 3, 0)], ONE)
        for i, optimizer in enumerate(["sgd", "momentum", "nag", "adagrad", "adadelta", "rmsprop", "adam", "adamw",
                                       "nadam", "adamax", "ftrl"]))
    yield from handler_tables()


def handler_tables():
    two = [(1, 0, ids_in(1, 2)), (3, 0, ids_in(3, 3))]
    ten = make.floats(*range(1, 11))
    adam = sparse("t", 2, "adam")
    begun = made(0, 1, adam, "t") + batch(0, 46, 1, 2, two, ten, clock=3)
    yield "table", (begun + batch(0, 42, 1, 2, two, ten, clock=4) + batch(0, 44, 1, 2, [(0, 0, ids_in(0, 5))])
                    + batch(0, 44, 1, 2, [(0, 0, ids_in(0, 5))], clock=9, create=1)
                    + batch(0, 46, 1, 2, [(2, 7, 2 * ids_in(2, 3))], make.floats(*range(12)))
                    + info_of(0, 1) + info_of(0, 1, 3) + rows_of(0, 1, 3, 2) + rows_of(0, 1, 3, 2, two[1][2][1], 1)
                    + rows_of(0, 1, 2, 0) + batch(0, 48, 1, 2, two) + batch(0, 48, 1, 2, two) + rows_of(0, 1, 3, 9)
                    + batch(0, 46, 1, 2, two, ten) + LOOK + named(0, 12, 0, "t") + named(0, 14, 1) + named(0, 16, 1))
    forms = {1: make.bf16, 2: make.f16, 3: make.int8, 4: make.int8}
    yield "table_codecs", (made(0, 1, sparse("t", 3, "ftrl"), "t")
                           + b"".join(batch(0, 46, 1, 3, [(1, 0, ids_in(1, 2))], form(1, -2, 127) + form(0, 3, 4),
                                            codec=codec, reply=5 - codec) for codec, form in forms.items())
                           + b"".join(batch(0, 44, 1, 3, [(1, 0, ids_in(1, 2))], reply=codec) for codec in range(7))
                           + batch(0, 42, 1, 3, [(1, 0, ids_in(1, 2))], b"\0" * 8 + b"\0" * 7 + b"\1", codec=1)
                           + batch(0, 42, 1, 3, [(1, 0, ids_in(1, 2))], ten[:24], codec=5))
    yield "table_scalars", (made(0, 1, sparse("t", 2, "nadam"), "t") + 3 * batch(0, 46, 1, 2, two, ten)
                            + rows_of(0, 1, 1, 9, 0, 1) + made(0, 2, sparse("u", 2, "nadam", [("steps", 1)]), "u")
                            + 3 * batch(0, 46, 2, 2, [(1, 0, ids_in(1, 2, "u"))], ten[:16]) + rows_of(0, 2, 1, 9, 0, 1)
                            + made(0, 3, sparse("r", 2, "rowwise_adagrad"), "r")
                            + 2 * batch(0, 46, 3, 2, [(1, 0, ids_in(1, 2, "r"))], ten[:16])
                            + rows_of(0, 3, 1, 9, 0, 1) + LOOK)
    nan = make.floats(1, 2, float("nan"), 4, 5, 6, 7, 8, 9, 10)
    for policy in range(3):
        yield "table_not_finite_%d" % policy, (
            made(0, 1, sparse("t", 2, "adagrad", [("nonfinite", policy)]), "t") + batch(0, 46, 1, 2, two, ten)
            + batch(0, 46, 1, 2, two, nan) + batch(0, 42, 1, 2, two, make.floats(*5 * [3e38, float("-inf")]))
            + 3 * batch(0, 46, 1, 2, [(1, 0, 3 * ids_in(1, 1))], make.floats(*6 * [3e38])) + rows_of(0, 1, 1, 9, 0, 1))
    yield "table_cap", (made(0, 1, sparse("t", 1, cap=6), "t") + batch(0, 42, 1, 1, [(1, 0, ids_in(1, 1))], ONE)
                        + batch(0, 46, 1, 1, [(0, 0, ids_in(0, 2)), (1, 0, ids_in(1, 3))], make.floats(*range(5)))
                        + batch(0, 44, 1, 1, [(1, 0, ids_in(1, 3))], create=1)
                        + batch(0, 46, 1, 1, [(1, 0, ids_in(1, 2))], make.floats(1, 2)))
    yield "table_memory", (made(0, 1, sparse("t", 8192), "t")
                           + b"".join(batch(0, 44, 1, 8192, [(s, 0, ids_in(s, 1, first=100 * i))], create=1)
                                      for i in range(5) for s in range(4))
                           + batch(0, 48, 1, 8192, [(0, 0, ids_in(0, 1))]) + LOOK
                           + create(0, sparse("u", 8, capacity=1 << 40)) + define(0, 2, sparse("u", 8, capacity=1 << 40)))
    other = [(1, 0, ids_in(2, 2)), (3, 0, ids_in(3, 3))]
    short = make.runs_payload(two, ten)[:-4]
    yield "table_bad", (begun + made(0, 2, small("w", 3), "w") + batch(0, 46, 1, 2, other, ten)
                        + batch(0, 48, 1, 2, other) + batch(0, 44, 1, 2, other) + batch(0, 42, 2, 2, two, ten)
                        + batch(0, 42, 9, 2, two, ten) + batch(0, 42, 1, 5, two[:1], ten) + batch(0, 42, 1, 2, two[::-1], ten)
                        + batch(0, 42, 1, 2, [(4, 0, [1])], ten[:8]) + batch(0, 42, 1, 2, [])
                        + ask(0, 42, make.rows(1, 2, two), len(short), short)
                        + ask(0, 42, make.rows(1, 2, two, create=1), len(short), short)
                        + ask(0, 44, make.rows(1, 2, two), 88, struct.pack("<IIQQIIQQ", 1, 2, 0, 0, 3, 0xFFFFFFFF, 0, 0))
                        + ask(0, 44, make.fixed64(1, 1) + make.unsigned(2, 2) + make.unsigned(3, 4096)
                              + make.unsigned(4, 65536)) + values(0, 22, [(1, 0, 2, 0)], ONE) + values(0, 24, [(1, 0, 2, 0)])
                        + info_of(0, 2) + info_of(0, 1, 4) + rows_of(0, 2, 0, 5) + rows_of(0, 1, 4, 5) + info_of(0, 7))


# ---- Codecs ----

def codec():
    """u8 codec, u8 set, u16 elements, u16 kept, then the bytes; see target_codec.c."""
    head = lambda number, elements, kept=0: struct.pack("<BBHH", number, 7, elements, kept)
    five = make.FIVE
    yield "f32", head(0, 5) + make.floats(*five)
    yield "bf16", head(1, 5) + make.bf16(*five)
    yield "f16", head(2, 5) + make.f16(*five)
    yield "int8", head(3, 70) + make.int8(*make.RAMP)
    yield "stochastic", head(4, 70) + make.int8(*make.RAMP)
    yield "topk", head(5, 600, 3) + make.topk({0: 7.5, 9: -0.25, 599: 1e30})
    yield "topk-descends", head(5, 600, 2) + make.topk({9: 1.0, 0: 1.0})
    yield "topk-outside", head(5, 600, 1) + make.topk({600: 1.0})
    yield "topk-more", head(5, 1, 2) + make.topk({0: 1.0, 1: 1.0})
    yield "padding", head(1, 1) + b"\x80\x3f\x00\x01"
    yield "short", head(3, 70) + make.int8(*make.RAMP)[:-4]
    yield "not-finite", head(3, 64) + make.floats(float("inf")) + bytes(range(128, 192))
    yield "nan", head(2, 4) + b"\xff\x7f\x00\x7c\x01\x00\xff\x83"
    yield "unknown", head(6, 1) + bytes(4)
    yield "nothing", head(3, 0)


# ---- Rows ----

def rows():
    """See target_rows.c."""
    head = lambda what, dim, runs, count, there=0, back=0: struct.pack("<BHHHBB", what, dim, runs, count, there, back)
    payload = lambda name: make.FRAMES[name][3]
    yield "push", head(0, 3, 2, 3) + payload("table_push")
    yield "pull", head(1, 3, 2, 3, 0, 1) + payload("table_pull")
    yield "both", head(2, 3, 2, 3, 3, 2) + payload("table_push_pull")
    yield "erase", head(3, 3, 2, 3) + payload("table_erase")
    yield "short", head(0, 3, 2, 3) + payload("table_push")[:-4]
    yield "codec", head(0, 3, 2, 3, 5) + payload("table_push")
    yield "descends", head(1, 1, 2, 2) + struct.pack("<IIQQIIQQQQ", 3, 1, 0, 0, 2, 1, 0, 0, 8, 9)
    yield "wraps", head(1, 1, 2, 2) + struct.pack("<IIQQIIQQQQ", 1, 3, 0, 0, 2, 0xFFFFFFFF, 0, 0, 8, 9)
    yield "none", head(1, 1, 0, 0)
    yield "large", head(1, 16384, 1, 65535) + struct.pack("<IIQQ", 1, 65535, 0, 0)
    one = struct.pack("<IIQQQQ", 0, 0, 7, 0, 5, 4)
    yield "reply", head(4, 1, 2, 2) + make.lines_of_64(one + one, make.floats(1, 2))
    yield "reply-refused", head(4, 1, 2, 1) + make.lines_of_64(struct.pack("<IIQQQQ", 9, 0, 7, 0, 1, 1) + one, make.floats(2))
    yield "reply-push", head(5, 1, 2, 0) + one + one
    yield "split", bytes([6, 4, 20]) + bytes(range(200)) + bytes(range(0, 200, 3))
    yield "split-wide", bytes([7, 7, 200]) + b"".join(struct.pack("<Q", i * i * 0x9E3779B97F4A7C15 % 2**64) for i in range(60))
    yield "split-same", bytes([6, 0, 0]) + b"\x05" * 100
    yield "split-none", bytes([6, 3, 9])


# ---- Commands ----

def text16(value):
    return struct.pack("<H", len(value)) + value.encode()


def command_spec(name, dims, optimizer, settings, kind=0, cap=0, capacity=0, initializer=0):
    return (text16(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
            + text16(optimizer) + struct.pack("<I", len(settings))
            + b"".join(text16(n) + struct.pack("<d", v) for n, v in settings)
            + struct.pack("<IQddIQQ", initializer, 7 if initializer else 0, -1.0 if initializer else 0, float(initializer > 0),
                          kind, cap, capacity))


def one_command(kind, tensor=1, block=0, session=0, version=0, spec=b"", numbers=b"", slot=0, clock=0, number=0,
                verdict=0, ids=(), pace=b""):
    body = (struct.pack("<BBBBIQ", 2, kind, slot, verdict, len(ids) or block, tensor) + bytes([session] * 16)
            + struct.pack("<QIIQQ", version, len(spec), len(numbers) // 4, clock, number) + pace + spec
            + b"".join(struct.pack("<Q", i) for i in ids) + numbers)
    return struct.pack("<H", len(body)) + body


def evict(session):
    return one_command(16, tensor=0, session=session)


def refuse(session, number, verdict):
    return one_command(15, tensor=0, session=session, number=number, verdict=verdict)


def command():
    # Every setting an sgd has, in the order of its descriptor.
    defaults = [("lr", 0.1), ("weight_decay", 0.0), ("decoupled_weight_decay", 0.0), ("maximize", 0.0),
                ("clip_value", 0.0), ("loss_scale", 1.0)]
    spec = command_spec("w", [3], "sgd", defaults)
    yield "life", (one_command(1, session=4, spec=spec) + one_command(6, spec=spec) + one_command(3, session=4)
                   + one_command(8, numbers=make.floats(1, 2, 3)) + one_command(9, numbers=make.floats(1, 1, 1))
                   + one_command(10, version=1, spec=spec) + one_command(11, version=1, spec=spec) + one_command(4)
                   + one_command(7) + one_command(5))
    yield "adopt", one_command(1, session=4, spec=spec) + one_command(2, session=5) + one_command(3, session=5)
    yield "large", one_command(6, spec=command_spec("v", [1 << 20, 1 << 21], "sgd", defaults))
    decaying = command_spec("w", [3], "momentum", [("lr", 0.01), ("momentum", 0.9), ("dampening", 0.0)] + defaults[1:])
    yield "state", (one_command(6, spec=decaying) + one_command(8, numbers=make.floats(1, 2, 3), slot=1)
                    + one_command(8, numbers=struct.pack("<Q", 1000), slot=128)
                    + one_command(8, numbers=b"\xff" * 8, slot=128) + one_command(8, numbers=struct.pack("<d", 1), slot=129)
                    + one_command(8, numbers=make.floats(1, 2, 3), slot=2) + one_command(9, numbers=make.floats(1, 1, 1)))
    yield "short", one_command(9, numbers=make.floats(1, 1, 1))[:-3]
    push = lambda session, number, *floats: one_command(9, session=session, number=number, numbers=make.floats(*floats))
    yield "numbers", (one_command(6, spec=spec) + push(4, 1, 1, 2, 3) + push(4, 1, 1, 2, 3) + push(4, 3, 1, 1, 1)
                      + push(5, 2, 1, 1, 1) + push(4, 2, 1, 1) + push(4, 2, 1, 1, 1) + refuse(4, 3, 19) + refuse(4, 3, 10)
                      + one_command(8, session=4, number=4, numbers=make.floats(1, 2, 3)) + evict(4) + evict(4)
                      + push(4, 5, 1, 1, 1) + push(4, 1, 1, 1, 1) + refuse(6, 1, 1) + one_command(7) + push(4, 1, 1, 1, 1)
                      + push(4, 2, 1, 1, 1))


def table_command(kind, ids, numbers=b"", clock=0, version=0, tensor=1, **more):
    return one_command(kind, tensor=tensor, version=version, numbers=numbers, clock=clock, ids=ids, **more)


def table():
    common = [("weight_decay", 0.0), ("decoupled_weight_decay", 0.0), ("maximize", 0.0), ("clip_value", 0.0),
              ("loss_scale", 1.0)]
    adam = [("lr", 0.001), ("beta1", 0.9), ("beta2", 0.999), ("eps", 1e-8)] + common
    plain = command_spec("t", [2], "adam", adam, kind=1, initializer=2)
    capped = command_spec("t", [1], "sgd", [("lr", 0.1)] + common, kind=1, cap=3, capacity=2)
    nadam = command_spec("t", [3], "nadam", [("lr", 0.002)] + adam[1:4] + [("momentum_decay", 0.004)] + common, kind=1)
    shard = command_spec("t", [2], "adam", adam + [("steps", 1), ("nonfinite", 1)], kind=1)
    nan, inf = float("nan"), float("inf")
    yield "life", (one_command(1, session=4, spec=plain) + one_command(6, spec=plain) + one_command(3, session=4)
                   + table_command(13, [5, 6, 5], clock=3) + table_command(12, [6, 7], make.floats(1, 2, 3, 4), 4)
                   + table_command(12, [7, 7, 1], make.floats(1, 2, 3, 4, 5, 6), 5, version=1)
                   + table_command(14, [6, 9]) + table_command(13, [6], clock=1 << 40) + one_command(11, version=1, spec=plain)
                   + one_command(7))
    yield "cap", (one_command(6, spec=capped) + table_command(12, [1, 2], make.floats(1, 1))
                  + table_command(12, [3, 4], make.floats(1, 1)) + table_command(13, [3]) + table_command(14, [1])
                  + table_command(12, [4], make.floats(1)))
    yield "poison", (one_command(6, spec=plain) + table_command(12, [1, 2], make.floats(1, 1, nan, 1))
                     + table_command(12, [1, 1], make.floats(3e38, 1, 3e38, 1)) + table_command(12, [1], make.floats(1, inf)))
    yield "skip", (one_command(6, spec=shard) + table_command(12, [1, 2, 1], make.floats(1, 1, nan, 1, -inf, 1), 9)
                   + one_command(11, version=1, spec=plain))
    yield "scalars", (one_command(6, spec=nadam) + table_command(12, [1, 2, 3], make.floats(*range(9)))
                      + table_command(12, [3, 2, 1], make.floats(*range(9)), 2))
    by = lambda number, session=4: {"session": session, "number": number}
    yield "numbers", (one_command(6, spec=capped) + table_command(12, [1, 2], make.floats(1, 1), **by(1))
                      + table_command(12, [1, 5], make.floats(1, 1), **by(1)) + table_command(12, [3, 4], make.floats(1, 1), **by(2))
                      + table_command(12, [3, 4], make.floats(1, 1), **by(2)) + table_command(13, [3], **by(3))
                      + table_command(13, [3, 9], **by(3)) + table_command(14, [1], **by(4)) + table_command(14, [1], **by(5))
                      + table_command(14, [2], **by(4)) + table_command(12, [1], make.floats(nan), **by(6))
                      + table_command(12, [1], make.floats(1), **by(9)) + table_command(13, [8], **by(2, 5)) + refuse(5, 1, 9)
                      + evict(4) + table_command(12, [1], make.floats(1), **by(7)) + table_command(12, [], b"", **by(1)))
    mode = lambda clock, combine=0, order=0, kind=2: one_command(
        19, tensor=0, clock=clock, pace=struct.pack("<IIBBBBI", 0, 0, kind, combine, order, 0, 0))
    close = lambda clock: one_command(18, tensor=0, clock=clock)
    give = lambda clock, rank, ids, *floats, **more: table_command(
        20, ids, make.floats(*floats), clock, pace=struct.pack("<IIBBBBI", rank, 0, 0, 0, 0, 0, 0), **more)
    for name, order in (("arrival", 0), ("rank", 1)):
        yield "together-" + name, (
            one_command(6, spec=plain) + give(1, 0, [1], 1, 2) + mode(2, 0, order) + give(2, 3, [1, 2], 1, 2, 3, 4)
            + give(2, 0, [2, 1, 2], 1, 2, 3, 4, 5, 6) + give(2, 3, [2], 1, 1) + give(2, 1, [3], nan, 1) + give(3, 1, [3], 1, 1)
            + table_command(14, [1]) + give(2, 1, [1], 7, 7) + mode(2, 1, 1 - order) + give(2, 1, [1, 3], 1, 1, 1, 1)
            + close(2) + give(2, 1, [1], 1, 1) + give(3, 1, [1], 1, 1, **by(1)) + give(3, 1, [1], 1, 1, **by(1))
            + give(2, 1, [1], 1, 1, **by(2)) + table_command(14, [1]) + close(4) + give(5, 0, [], **by(3)) + one_command(7))
    yield "together-cap", (one_command(6, spec=capped) + mode(1) + give(1, 0, [1, 2], 1, 1) + give(1, 1, [3, 4], 1, 1)
                           + give(1, 1, [3, 3], 3e38, 3e38) + give(1, 1, [3], 3e38) + give(1, 2, [3], 3e38) + close(1))
    yield "together-skip", (one_command(6, spec=shard) + mode(1) + give(1, 0, [1, 2], 1, nan, 1, inf)
                            + give(1, 1, [2], 1, 1) + close(1) + close(1))
    yield "confused", (one_command(6, spec=plain) + one_command(9, numbers=make.floats(1, 1)) + table_command(12, [], b"")
                       + table_command(12, [1], make.floats(1)) + table_command(13, [1], tensor=2)
                       + one_command(6, tensor=2, spec=command_spec("u", [2], "sgd", [("lr", 0.1)] + common))
                       + table_command(13, [1], tensor=2))


# ---- Texts ----

def config():
    yield "plain", (b"# A comment.\nlisten = 127.0.0.1:7077\nthreads = 1\nmemory-limit = 8G\n"
                    b"insecure-plaintext = yes\ninsecure-plaintext-anywhere = no ; why\n")
    yield "several", (b"listen = 0.0.0.0:7001\nadvertise = 10.0.0.1:7001\nservers = 10.0.0.1:7001,\n   [fd00::2]:7001\n"
                      b"threads = 2\njob = a\nshards = 64\nblock = 4096\ndrain = 0\nlog-level = silent\n")
    yield "words", b"job = a ; comment\n# more\n\0--job=b\n--threads\n4\n--listen=[::1]:0\n--check"
    yield "faults", b"[section]\nkey = 1\n"
    yield "twice", b"job = a\njob = b\n"
    yield "long", b"servers = " + b"10.0.0.1:1," * 30 + b"\n"
    yield "continued", b"servers = 10.0.0.1:1\n  10.0.0.2:1,\n  10.0.0.3:1\njob\n"
    yield "descriptor", b"listen = fd:3\n\0--listen=fd:0\n--advertise=a:1"
    yield "help", b"\0--help"


def optimizer():
    for name, value in {"adam": "adam", "settings": "adam:lr=0.01,beta1=0.8,eps=1e-7", "words":
                        "sgd:schedule=cosine,schedule_total=100,nonfinite=skip,clip_norm=1", "twice": "sgd:lr=1,lr=2",
                        "none": ":lr=1", "unknown": "magic:x=1", "open": "sgd:", "numbers":
                        "nag:lr=-0,momentum=nan,weight_decay=1e400", "many": "sgd:" + ",".join(
                            "s%d=1" % i for i in range(40)), "hexadecimal": "sgd:lr=0x1p-3"}.items():
        yield name, value.encode()


# ---- Keys and lists of them ----

def key_text(prefix, key):
    """As common/key.h describes it."""
    checksum = hashlib.blake2b(prefix + key, digest_size=32).digest()[:4]
    return prefix + base64.b32encode(key + checksum).lower().rstrip(b"=")


PUBLIC = [key_text(b"cnp1", bytes(range(7 * i, 7 * i + 32))) for i in range(1, 6)]
SECRET = key_text(b"cns1", bytes(range(100, 132)))
POINT = key_text(b"cnp1", bytes(32))


def key():
    yield "public", PUBLIC[0]
    yield "secret", SECRET
    yield "point", POINT
    yield "mistyped", PUBLIC[0].replace(b"d", b"b")
    yield "capitals", PUBLIC[0].upper()
    yield "short", PUBLIC[0][:-1]
    yield "file", b"# comment\n" + SECRET + b"\n"
    yield "returns", b"\r\n  " + SECRET + b"\t\r\n\r\n# more\r\n"
    yield "two", SECRET + b"\n" + SECRET + b"\n"
    yield "comments", b"#\n" * 2000
    yield "long", b"#\n" * 2001


def some_lists(head, line, other):
    yield "format", head
    yield "plain", head + line % PUBLIC[0] + other % PUBLIC[1]
    yield "returns", (b"\n# comment\n" + head + b"\n\t" + line % PUBLIC[0]).replace(b"\n", b"\r\n")
    yield "comment", head + line.replace(b"\n", b" # why\n") % PUBLIC[0] + b"#" + other
    yield "key-twice", head + line % PUBLIC[0] + other % PUBLIC[0]
    yield "name-twice", head + line % PUBLIC[0] + line % PUBLIC[1]
    yield "secret", head + line % SECRET
    yield "hidden", head + line % PUBLIC[0] + b"# " + SECRET + b"\n"
    yield "point", head + line % POINT
    yield "no-format", line % PUBLIC[0]
    yield "other-format", head.replace(b"-1", b"-2") + line % PUBLIC[0]
    yield "nul", head + line % PUBLIC[0] + b"\0\n"
    yield "cut", (head + line % PUBLIC[0])[:-9]
    yield "long", head + line.replace(b"\n", b" x=" + 1000 * b"x" + b"\n") % PUBLIC[0]


def allow():
    head = b"format canyon-allow-1\n"
    yield from some_lists(head, b"worker trainer-07 %s\n", b"admin alice %s\n")
    yield "options", (head + b"worker a %s conns=16 from=10.0.0.0/8,2001:db8::/32,::1 tensors=a,b*,* push_bytes=2G/s\n"
                      % PUBLIC[0] + b"reader b %s push_bytes=64Ki conns=1\n" % PUBLIC[1])
    for name, option in {"bits": "from=10.0.0.1/8", "mapped": "from=::ffff:10.0.0.0/104", "networks": "from=" + ",".join(
            "10.%d.0.0/16" % i for i in range(60)), "comma": "tensors=a,,b", "star": "tensors=a*b", "rate":
            "push_bytes=18446744073709551615T", "zero": "conns=0", "unknown": "role=admin", "twice": "conns=1 conns=1",
            "many": " ".join("a%d=1" % i for i in range(17))}.items():
        yield name, head + b"worker a %s " % PUBLIC[0] + option.encode() + b"\n"
    yield "role", head + b"king a %s\n" % PUBLIC[0]


def known_servers():
    head = b"format canyon-known-servers-1\n"
    yield from some_lists(head, b"server 10.0.0.5:7077 %s\n", b"server trainer:* %s\n")
    for name, line in {"cipher": "a:1 %s cipher=aes256gcm", "six": "[2001:DB8:0::5]:7 %s", "every": "[::1]:* %s", "any":
                       "*:* %s", "port": "a:0 %s", "none": "a: %s", "unknown": "a:1 %s conns=1", "cipher-none":
                       "a:1 %s cipher=none"}.items():
        yield name, head + b"server " + line.encode() % PUBLIC[0] + b"\n"
    yield "spelling", head + b"server A:1 %s\nserver a:1 %s\n" % (PUBLIC[0], PUBLIC[1])
    yield "one-key", head + b"server a:1 %s\nserver b:1 %s\n" % (PUBLIC[0], PUBLIC[0])


# ---- The session ----

def submit(kind, message=0, payload=0, destination=0, deadline=255, changes=0):
    return bytes([0, kind, message, payload, destination, deadline, changes])


def feed(data, step=1):
    return bytes([step]) + struct.pack("<H", len(data)) + data


ALL_OUT = b"\x05"


def tick(now):
    return bytes([6, now])


def session():
    hello = ALL_OUT + feed(whole("welcome"))
    pulled = make.FRAMES["pulled"][2]
    asked = submit(24, 3, 0, 20) + submit(22, 3, 20, 0, 50, 1) + ALL_OUT
    answer = make.frame(25, 2, pulled, make.floats(1, 2, 3, 4, 5)) + make.frame(23, 3, make.FRAMES["pushed"][2], b"")
    yield "life", b"\x01\x02" + hello + asked + feed(answer)
    yield "before", b"\x07\x00" + asked + hello + ALL_OUT + feed(
        make.frame(23, 2, b"", b"") + make.frame(1, 1, make.FRAMES["error"][2], b""))
    yield "refused", b"\x01\x00" + ALL_OUT + feed(whole("error", request=1))
    yield "overtaken", b"\x02\x00" + hello + asked + feed(answer[-40:] + answer)
    yield "late", b"\x03\x00" + hello + asked + tick(51) + feed(answer) + tick(255)
    yield "given_up", b"\x04\x00" + hello + asked + feed(answer[:60]) + b"\x07\x00" + feed(answer[60:])
    yield "half_sent", b"\x05\x00" + hello + submit(22, 200, 200, 0, 5, 1) + b"\x04\x64\x00" + tick(6) + ALL_OUT
    yield "window", b"\x06\x00" + hello + 8 * submit(24, 10, 0, 250) + ALL_OUT + b"".join(
        feed(make.frame(25, i, b"", bytes(250))) + ALL_OUT for i in range(2, 10))
    yield "stray", b"\x07\x00" + hello + feed(make.frame(25, 77, b"", b""))
    yield "ended", b"\x08\x00" + hello + asked + feed(make.frame(1, 0, make.FRAMES["error"][2], b""))
    yield "garbage", b"\x09\x00" + hello + feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    yield "other", b"\x0a\x00" + ALL_OUT + feed(whole("joined", request=1))


# ---- Files ----

def npy_file(header, body, version=1):
    text = header.encode()
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + body


def npy():
    yield "matrix", npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n", make.floats(1, 2, 3, 4))
    yield "vector", npy_file("{'shape': (1,), 'fortran_order': False, 'descr': '<f8'}", struct.pack("<d", 0.5), 2)
    yield "number", npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", make.floats(1))
    yield "none", npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 7), }", b"")
    yield "overflow", npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", b"")
    yield "wraps", npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", b"")
    yield "beyond", npy_file("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", struct.pack("<d", 1e300))
    yield "columns", npy_file("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }", make.floats(1))
    yield "objects", npy_file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"cos\nsystem\n")
    yield "long", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"
    yield "rank", npy_file("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 33 + "), }", make.floats(1))


def digits():
    line = ",".join(str(i % 17) for i in range(64)) + ",9\n"
    yield "one", line.encode()
    yield "two", (line * 2).encode()
    yield "open", line[:-1].encode()
    yield "shade", line.replace("16", "17").encode()
    yield "label", line.replace(",9\n", ",10\n").encode()
    yield "short", line[8:].encode()
    yield "return", line.replace("\n", "\r\n").encode()
    yield "zeros", line.replace("1,", "01,", 1).encode()
    yield "long", (line[:-1] + "9" * 40 + "\n").encode()


def libsvm():
    lines = b"+1 3:0.5 7:-2 # both\n-1 18446744073709551614:1e-3\n\n0\n1 1:1 1:1\n"
    names = b"1 word=sea:1 a:b:2\n0 " + b"x" * 255 + b":1\n"
    yield "indices", b"\x00" + lines
    yield "cut", b"\x70" + lines
    yield "names", b"\x01" + names
    yield "few-names", b"\x7f" + names
    yield "long-name", b"\x01" + names.replace(b"x:", b"xx:")
    for name, line in {"label": b"2 1:1", "colon": b"1 7", "empty": b"1 :1", "value": b"1 7:", "nan": b"1 7:nan",
                       "huge": b"1 7:1e39", "hexadecimal": b"1 7:0x1", "index": b"1 18446744073709551616:1",
                       "bias": b"1 18446744073709551615:1", "nul": b"1 7:1\x002", "return": b"1 7:1\r"}.items():
        yield name, b"\x00" + line + b"\n"


def wordnet():
    line = b"00002684 03 n 02 object 0 physical_thing(a) f 001 @ 00001930 n 0000 | an object; a thing that is an object\n"
    yield "one", b"  1 licence  \n" + line
    yield "words", line.replace(b"physical_thing", b"thing")
    yield "fewer", line.replace(b" 02 ", b" 03 ")
    yield "none", line.replace(b" 02 ", b" 00 ")
    yield "gloss", line.replace(b" | ", b" ")
    yield "empty", line[:line.index(b"an object")]
    yield "text", b"It's a well-known thing: \xc3\xa9t\xc3\xa9, 1066.\n\nA thing is a thing\n \n"
    yield "joints", b"-a--b' 'c d'e-f 's x's"


def handshake():
    """Whole handshakes, and such with one message changed, made up or cut."""
    for cipher, name in ((0, "chacha"), (1, "aes")):
        yield name, bytes([cipher, 0, 0, 0, 0]) + b"a hello of some bytes"
        yield name + "-empty-hello", bytes([cipher, 0, 0, 0, 0])
        for place in (0, 15, 16, 47, 48, 63):
            yield "%s-first-%d" % (name, place), bytes([cipher, 1]) + struct.pack("<HB", place, 1)
        for place in (0, 31, 32, 47):
            yield "%s-second-%d" % (name, place), bytes([cipher, 0, 1]) + struct.pack("<HB", place, 0x80)
        for place in (0, 1, 2, 33, 34, 49, 50, 65):
            yield "%s-third-%d" % (name, place), bytes([cipher, 0, 0, 0, 1]) + struct.pack("<HB", place, 4)
        yield name + "-third-cut", bytes([cipher, 0, 0, 40, 0])
        yield name + "-made-up", bytes([cipher | 2]) + bytes(range(64)) + bytes(4)
        yield name + "-zero-point", bytes([cipher | 2]) + bytes(64) + bytes(4)


def records():
    """Streams of records: whole, in pieces, changed, cut."""
    sizes = struct.pack("<8H", 0, 1, 15, 16, 999, 32767, 32766, 4095)
    for cipher, name in ((2, "chacha"), (3, "aes")):
        yield name, bytes([cipher, 0, 0, 0, 0, 0]) + sizes
        yield name + "-single-bytes", bytes([cipher, 0, 0, 0, 1, 1]) + sizes[:8]
        yield name + "-small-reads", bytes([cipher, 0, 0, 0, 0, 7]) + sizes
        yield name + "-without-end", bytes([cipher & 1, 0, 0, 0, 0, 0]) + sizes
        yield name + "-nothing", bytes([cipher, 0, 0, 0, 0, 0])
        for cut in (1, 18, 19, 5000):
            yield "%s-cut-%d" % (name, cut), bytes([cipher, 0]) + struct.pack("<H", cut) + bytes(2) + sizes
        for place in (0, 1, 2, 18, 19, 20, 21, 60, 1100, 40000):
            change = struct.pack("<HB", place, 1)
            yield "%s-change-%d" % (name, place), bytes([cipher, 1]) + change + bytes([0, 0, 50, 0]) + sizes


TARGETS = [frames, messages, greeting, handler, command, table, config, optimizer, key, handshake, records, allow, known_servers,
           session, npy, digits, libsvm, wordnet, codec, rows]


def main():
    check = sys.argv[1:] == ["--check"]
    differing = []
    for target in TARGETS:
        folder = HERE / "corpus" / target.__name__
        seeds = dict(target())
        if not check:
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                if not old.name.startswith("found-"):
                    old.unlink()
        for name, content in seeds.items():
            path = folder / name
            if not check:
                path.write_bytes(content)
            elif not path.exists() or path.read_bytes() != content:
                differing.append("%s/%s" % (target.__name__, name))
    if differing:
        sys.exit("differ from what make_corpus.py makes: " + " ".join(differing))


if __name__ == "__main__":
    main()
