#!/usr/bin/env python3
"""Writes the golden transcripts: one whole frame of every type, as hexadecimal text.

The bytes are made here by hand from PROTOCOL.md and the protobuf encoding, without any protobuf library and without
Canyon's code, so that the C code is compared with something other than itself. Usage: make.py [--check]; with --check
nothing is written and a file that differs is an error. tests/unit/common/test_transcripts.c has the same contents as C
structs.
"""

import hashlib
import pathlib
import struct
import sys


# ---- protobuf, by hand: proto3, fields in order of their numbers, zeros and empty texts left out ----

def varint(value):
    out = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def key(number, wire):
    return varint(number << 3 | wire)


def unsigned(number, value):
    return key(number, 0) + varint(value) if value else b""


def fixed64(number, value):
    return key(number, 1) + struct.pack("<Q", value) if value else b""


def double(number, value):
    return key(number, 1) + struct.pack("<d", value) if value else b""


def nested(number, body):
    return key(number, 2) + varint(len(body)) + body


def data(number, body):
    return nested(number, body) if body else b""


def text(number, value):
    return data(number, value.encode())


def packed(number, values):
    return data(number, b"".join(varint(v) for v in values))


# ---- the messages ----

def spec(name, shape, optimizer, settings, initializer=0, seed=0, a=0.0, b=0.0, kind=0, cap=0, capacity=0):
    body = text(1, name) + packed(2, shape) + text(3, optimizer)
    for setting, value in settings:
        body += nested(4, text(1, setting) + double(2, value))
    body += unsigned(5, initializer) + unsigned(6, seed) + double(7, a) + double(8, b)
    return body + unsigned(9, kind) + unsigned(10, cap) + unsigned(11, capacity)


def info(identity, state, body, epoch=0):
    return fixed64(1, identity) + unsigned(2, state) + nested(3, body) + unsigned(4, epoch)


def pieces(*items, numbers=(), clock=0, wait=0):
    numbers = tuple(numbers) + (0,) * len(items)
    return b"".join(nested(1, fixed64(1, t) + unsigned(2, b) + unsigned(3, e) + unsigned(4, v)
                           + b"".join(unsigned(5 + i, n) for i, n in enumerate(more)) + fixed64(9, number))
                    for (t, b, e, v, *more), number in zip(items, numbers)) + unsigned(2, clock) + unsigned(3, wait)


def results(items, note=""):
    body = b"".join(nested(1, b"".join(unsigned(i + 1, n) for i, n in enumerate(item))) for item in items)
    return body + text(2, note)


def floats(*values):
    return struct.pack("<%df" % len(values), *values)


# ---- rows of tables ----

def rows(table, dim, runs, clock=0, create=0, codec=0, reply=0, wait=0):
    """Runs: (shard, version, ids), and a number where they have one."""
    return (fixed64(1, table) + unsigned(2, dim) + unsigned(3, len(runs)) + unsigned(4, sum(len(r[2]) for r in runs))
            + unsigned(5, clock) + unsigned(6, create) + unsigned(7, codec) + unsigned(8, reply)
            + unsigned(9, wait))


def lines_of_64(body, values):
    return body + bytes(-len(body) % 64) + values if values else body


def runs_payload(runs, values=b""):
    body = b"".join(struct.pack("<IIQQ", shard, len(ids), version, *(number or [0]))
                    for shard, version, ids, *number in runs)
    return lines_of_64(body + b"".join(struct.pack("<Q", i) for run in runs for i in run[2]), values)


def results_payload(items, values=b""):
    return lines_of_64(b"".join(struct.pack("<IIQQQQ", *item, *(0,) * (6 - len(item))) for item in items), values)


# ---- values in other forms ----

def filled(body):
    return body + bytes(-len(body) % 4)


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def bf16(*values):
    out = b""
    for value in values:
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        upper, lower = bits >> 16, bits & 0xFFFF
        upper += lower > 0x8000 or (lower == 0x8000 and upper & 1)
        out += struct.pack("<H", upper)
    return filled(out)


def f16(*values):
    return filled(struct.pack("<%de" % len(values), *values))


def int8(*values):
    out = b""
    for at in range(0, len(values), 64):
        group = [single(v) for v in values[at:at + 64]]
        scale = single(max(abs(v) for v in group) / 127)
        out += struct.pack("<f", scale) + struct.pack("<%db" % len(group), *(round(single(v / scale)) for v in group))
    return filled(out)


def topk(kept):
    return struct.pack("<%dI" % len(kept), *kept) + floats(*kept.values())


def job_digest(name, shards, block, servers):
    body = struct.pack("<IQ", 1, len(name)) + name.encode() + struct.pack("<III", shards, block, len(servers))
    for server in servers:
        body += struct.pack("<Q", len(server)) + server.encode()
    return hashlib.blake2b(body, digest_size=32).digest()


SESSION = bytes(range(0x10, 0x20))
BOOT = bytes(range(0xA0, 0xB0))
SERVERS = ["10.0.0.1:7077", "[fd00::2]:7077"]
DIGEST = job_digest("digits", 256, 65536, SERVERS)
W1, W2 = 0x1122334455667788, 0xFFEEDDCCBBAA9988
ADAM = [("lr", 0.001), ("beta1", 0.9), ("beta2", 0.999), ("eps", 1e-8)]
WEIGHTS = spec("mlp/w1", [32, 64], "adam", ADAM, initializer=4, seed=1 << 63, a=1.0)
BIAS = spec("mlp/b1", [32], "sgd", [("lr", 0.05), ("weight_decay", 0.0)], initializer=2, seed=7, a=-0.5, b=0.5)
TENSOR = fixed64(1, W1) + text(2, "mlp/w1")
TWO = pieces((W1, 0, 3, 5), (W2, 70000, 2, 300))
SLOTS = pieces((W1, 0, 3, 0, 2), (W1, 0, 2, 0, 128), (W1, 0, 2, 0, 129))
TWO_DONE = results([(0, 6, 0), (0, 303, 2)])

# Slot, codec, reply, kept: bf16 there and int8 back, topk and f16, int8 and bf16, f16 and float32, float32 and int8.
CODED = pieces((W1, 0, 5, 5, 0, 1, 3), (W2, 70000, 600, 300, 0, 5, 2, 3), (W1, 1, 70, 6, 0, 3, 1), (W2, 1, 3, 0, 0, 2),
               (W1, 2, 2, 7, 0, 0, 4))
FIVE = (1.0, -2.00390625, 3.1415927410125732, 1e-3, -65504.0)
RAMP = tuple((i - 30) * 0.37 for i in range(70))

# A table of rows of 3, and a batch of it: two rows of shard 2, one of shard 5.
T = 0x0badcafe00c0ffee
TABLE = spec("embedding", [3], "rowwise_adagrad", [("lr", 0.1)], initializer=2, seed=9, a=-0.25, b=0.25, kind=1,
             cap=1000000, capacity=5000)
RUNS = [(2, 0, [7, 0xFFFFFFFFFFFFFFFF]), (5, 300, [1 << 40])]
NUMBERED = [(2, 0, [7, 0xFFFFFFFFFFFFFFFF], 3), (5, 300, [1 << 40], 1 << 33)]
NINE = (1, -2, 0.5, 3.25, 1e-30, -0.0, 7, 8, 9)

# name: (type, request id, message, payload)
FRAMES = {
    "error": (1, 0x0102030405060708, unsigned(1, 2) + text(2, 'no tensor "mlp/w9"'), b""),
    "hello": (2, 1, unsigned(1, 1) + unsigned(2, 3) + data(3, SESSION) + data(4, DIGEST) + text(5, "worker-0"), b""),
    "welcome": (3, 1, unsigned(1, 1) + unsigned(2, 3) + unsigned(3, 4) + data(4, BOOT) + data(5, DIGEST)
                + text(6, "digits") + unsigned(7, 256) + unsigned(8, 65536) + unsigned(9, 1) + text(10, "0.1.0"),
                "\n".join(SERVERS).encode()),
    "create": (4, 2, nested(1, WEIGHTS) + unsigned(2, 10000), b""),
    "created": (5, 2, nested(1, info(W1, 1, WEIGHTS)) + unsigned(2, 1), b""),
    "open": (6, 3, text(1, "mlp/b1") + unsigned(2, 86400000), b""),
    "opened": (7, 3, nested(1, info(W2, 2, BIAS)), b""),
    "define": (8, 4, nested(1, info(W1, 1, WEIGHTS)), b""),
    "defined": (9, 4, b"", b""),
    "complete": (10, 5, TENSOR, b""),
    "completed": (11, 5, TENSOR, b""),
    "drop": (12, 6, text(2, "mlp/w1"), b""),
    "dropping": (13, 6, TENSOR, b""),
    "undefine": (14, 7, TENSOR, b""),
    "undefined": (15, 7, b"", b""),
    "dropped": (16, 8, TENSOR, b""),
    "drop_done": (17, 8, TENSOR, b""),
    "list": (18, 9, text(1, "mlp/a"), b""),
    "listed": (19, 9, nested(1, info(W2, 2, BIAS)) + nested(1, info(W1, 3, WEIGHTS)) + unsigned(2, 1), b""),
    "assign": (20, 10, TWO, floats(1, -2, 0.5, 3.25, -0.0)),
    "assigned": (21, 10, TWO_DONE, b""),
    "push": (22, 11, TWO, floats(1, -2, 0.5, 3.25, 1e-30)),
    "pushed": (23, 11, results([(9, 5, 0), (0, 301, 1)], "element 1 of the gradient is not finite"), b""),
    "pull": (24, 12, TWO, b""),
    "pulled": (25, 12, results([(0, 6, 0), (0, 301, 0)]), floats(0.25, 0.5, 0.75, 1, -1)),
    "push_pull": (26, 13, TWO, floats(1, 2, 3, 4, 5)),
    "push_pulled": (27, 13, TWO_DONE, floats(-1, -2, -3, -4, -5)),
    "join": (28, 14, text(1, "worker-0"), b""),
    "joined": (29, 14, unsigned(2, 1), b""),
    "barrier": (30, 15, text(1, "epoch-1") + unsigned(2, 4) + unsigned(3, 10000), b""),
    "barrier_passed": (31, 15, b"", b""),
    "statistics": (32, 16, b"", b""),
    "statistics_are": (33, 16, b"".join(unsigned(i, i * i * 1000003 ** (i % 3)) for i in range(1, 36)), b""),
    "digest": (34, 17, b"", b""),
    "digests": (35, 17, b"", b"".join(struct.pack("<IQ", s, s * 5000000000) + hashlib.blake2b(
        bytes([s]), digest_size=32).digest() for s in (1, 3))),
    "optimizer": (36, 18, unsigned(1, 6), b""),
    "optimizer_is": (37, 18, unsigned(1, 6) + unsigned(2, 8) + text(3, "adam") + text(4, "first and second moments")
                     + text(5, "Kingma & Ba 2015, Algorithm 1") + nested(6, b"m") + nested(6, b"v")
                     + nested(7, text(1, "lr") + double(2, 0.001) + double(4, float("inf")) + unsigned(5, 1)
                              + text(7, "step size"))
                     + nested(7, text(1, "beta1") + double(2, 0.9) + double(4, 1.0) + unsigned(6, 1)
                              + text(7, "decay of the first moment")) + nested(9, b"mu_product"), b""),
    "set": (38, 19, text(2, "mlp/b1") + nested(3, text(1, "lr") + double(2, 0.05)), b""),
    "set_done": (39, 19, nested(1, info(W2, 2, BIAS, 300)), b""),
    "adjust": (40, 20, nested(1, info(W2, 2, BIAS, 300)), b""),
    "adjusted": (41, 20, b"", b""),
    "optimizer_named": (36, 21, text(2, "nadam"), b""),
    "assign_slots": (20, 22, SLOTS, floats(1, -2, 0.5) + struct.pack("<Qd", 1000, 0.25)),
    "pull_slots": (24, 23, SLOTS, b""),
    "push_pull_codecs": (26, 24, CODED, bf16(*FIVE) + topk({0: 7.5, 9: -0.25, 599: 1e30}) + int8(*RAMP)
                         + f16(0.1, -2.0, 6e-8) + floats(1, -1)),
    "push_pulled_codecs": (27, 24, results([(0, 6, 0), (0, 301, 0), (2, 0, 0), (0, 1, 0), (0, 8, 0)], "no tensor"),
                           int8(*FIVE) + f16(*(i / 7 for i in range(600))) + floats(0.1, 0.2, 0.3) + int8(64.0, -127.0)),
    "create_table": (4, 25, nested(1, TABLE) + unsigned(2, 10000), b""),
    "opened_table": (7, 26, nested(1, info(T, 2, TABLE)), b""),
    "table_push": (42, 27, rows(T, 3, RUNS, clock=12), runs_payload(RUNS, floats(*NINE))),
    "table_pushed": (43, 27, unsigned(1, 2) + text(3, "row 7: element 1 of its gradient is not finite"),
                     results_payload([(9, 0, 0, 0), (0, 1, 302, 1)])),
    "table_pull": (44, 28, rows(T, 3, RUNS), runs_payload(RUNS)),
    "table_pulled": (45, 28, unsigned(1, 2) + unsigned(2, 3),
                     results_payload([(0, 0, 1, 0), (0, 0, 302, 0)], floats(*NINE))),
    "table_pull_creating": (44, 29, rows(T, 3, RUNS, clock=1 << 33, create=1, reply=1), runs_payload(RUNS)),
    "table_pulled_bf16": (45, 29, unsigned(1, 2) + unsigned(2, 1) + text(3, "the table is full"),
                          results_payload([(11, 0, 1, 0), (0, 1, 302, 0)], bf16(0.5, -1.0, 3.1415927410125732))),
    "table_push_pull": (46, 30, rows(T, 3, RUNS, clock=13, codec=3, reply=2),
                        runs_payload(RUNS, int8(1, -2, 0.5) + int8(3.25, 1, 0.0) + int8(7, 8, 9))),
    "table_push_pulled": (47, 30, unsigned(1, 2) + unsigned(2, 3),
                          results_payload([(0, 2, 1, 0), (0, 0, 303, 3)],
                                          f16(1, -2, 0.5) + f16(3.25, 1, 0.0) + f16(7, 8, 9))),
    "table_erase": (48, 31, rows(T, 3, RUNS), runs_payload(RUNS)),
    "table_erased": (49, 31, unsigned(1, 2), results_payload([(0, 1, 1, 0), (0, 0, 303, 0)])),
    "table_info": (50, 32, fixed64(1, T) + unsigned(2, 1) + unsigned(3, 5), b""),
    "table_info_is": (51, 32, unsigned(1, 1) + unsigned(2, 70000) + unsigned(3, 14000000) + unsigned(4, 303)
                      + unsigned(5, 13), struct.pack("<4Q", 1, 1 << 63, 3, 0xFFFFFFFFFFFFFFFF)),
    "table_rows": (52, 33, fixed64(1, T) + unsigned(2, 5) + unsigned(3, 1 << 40) + unsigned(4, 1000) + unsigned(5, 1),
                   b""),
    "table_rows_are": (53, 33, unsigned(1, 2) + unsigned(2, 4) + unsigned(3, 1) + unsigned(4, 1),
                       lines_of_64(struct.pack("<2Q4I2d", 1 << 40, (1 << 40) + 3, 4, 13, 0xFFFFFFFF, 2, 0.25, -1.0),
                                   floats(*NINE[:8]))),
    "push_numbered": (22, 34, pieces((W1, 0, 3, 5), (W2, 70000, 2, 300), numbers=(1, 1 << 40), clock=12),
                      floats(1, -2, 0.5, 3.25, 1e-30)),
    "pushed_numbered": (23, 34, results([(0, 6, 0, 1, 1), (9, 303, 2, (1 << 40) + 2, 1 << 40)], "not finite"), b""),
    "pull_waiting": (24, 35, pieces((W1, 0, 3, 0), clock=13, wait=10000), b""),
    "table_push_numbered": (42, 36, rows(T, 3, NUMBERED, clock=12), runs_payload(NUMBERED, floats(*NINE))),
    "table_pushed_numbered": (43, 36, unsigned(1, 2),
                              results_payload([(0, 1, 1, 0, 3, 2), (0, 0, 302, 1, 1 << 33, 1 << 33)])),
    "table_pull_waiting": (44, 37, rows(T, 3, RUNS, clock=13, wait=10000), runs_payload(RUNS)),
    "resume": (54, 38, b"", b""),
    "resumed": (55, 38, b"", struct.pack("<IIQQIIQQ", 1, 0, 7, 6, 200, 0, 1 << 40, 1 << 40)),
    "leave": (56, 39, b"", b""),
    "left": (57, 39, b"", b""),
    "enter": (58, 40, unsigned(1, 4) + unsigned(2, 17), b""),
    "entered": (59, 40, unsigned(1, 3) + unsigned(2, 1 << 33) + unsigned(3, 10000) + unsigned(4, 5), b""),
    "clock": (60, 41, unsigned(1, 300) + unsigned(2, 4) + unsigned(3, 1), b""),
    "clocked": (61, 41, unsigned(1, 300) + unsigned(2, 298) + unsigned(3, 3), b""),
    "consistency": (62, 42, unsigned(1, 1) + nested(2, unsigned(1, 2) + unsigned(3, 1) + unsigned(4, 1) + unsigned(5, 3))
                    + unsigned(3, 1000), b""),
    "consistency_is": (63, 42, unsigned(1, 1) + nested(2, unsigned(1, 1) + unsigned(2, 7))
                       + nested(3, unsigned(1, 2) + unsigned(3, 1) + unsigned(4, 1) + unsigned(5, 3))
                       + unsigned(4, 1000) + unsigned(5, 998) + unsigned(6, 997) + unsigned(7, 5) + unsigned(8, 10000),
                       b""),
    "members": (64, 43, unsigned(1, 129), b""),
    "members_are": (65, 43, nested(1, unsigned(1, 130) + fixed64(2, T) + text(3, "gpu-7") + unsigned(4, 3)
                                   + unsigned(5, 1) + unsigned(6, 300) + unsigned(7, 15) + unsigned(8, 9985)
                                   + unsigned(9, 70000) + unsigned(10, 140000) + unsigned(11, 9) + unsigned(12, 2500))
                    + nested(1, unsigned(1, 131) + fixed64(2, W1) + text(3, "gpu-8") + unsigned(6, 12)
                             + unsigned(7, 1 << 33)) + unsigned(2, 1), b""),
    "staleness": (66, 44, fixed64(1, W1) + fixed64(2, T), b""),
    "staleness_is": (67, 44, unsigned(1, 303) + unsigned(2, 5) + unsigned(3, 3) + packed(4, (300, 1, 2)), b""),
    "pushed_late": (23, 45, results([(24, 0, 0), (0, 303, 0)], "clock 12 is closed") + unsigned(3, 14), b""),
    "pulled_slots": (25, 23, results([(0, 6, 0), (0, 6, 0), (0, 6, 0)]),
                     floats(1, -2, 0.5) + struct.pack("<Qd", 1000, 0.25)),
}


def frame(kind, request, message, payload):
    return b"CNYN" + struct.pack("<BBHIIQ", 1, 0, kind, len(message), len(payload), request) + message + payload


def lines(title, body):
    out = ["# " + title]
    out += [body[i:i + 16].hex(" ") for i in range(0, len(body), 16)]
    return out


def transcript(name, kind, request, message, payload):
    out = lines("%s: frame type %d. Header:" % (name.upper(), kind), frame(kind, request, message, payload)[:24])
    if message:
        out += lines("message:", message)
    if payload:
        out += lines("payload:", payload)
    return "\n".join(out) + "\n"


def main():
    here = pathlib.Path(__file__).resolve().parent
    differing = []
    for name, parts in FRAMES.items():
        path, content = here / (name + ".hex"), transcript(name, *parts)
        if sys.argv[1:] == ["--check"]:
            if not path.exists() or path.read_text() != content:
                differing.append(path.name)
        else:
            path.write_text(content)
    if differing:
        sys.exit("differ from what make.py makes: " + " ".join(differing))


if __name__ == "__main__":
    main()
