#!/usr/bin/python3
"""Writes what the golden test of tables expects: sparse.txt, from PyTorch's optimizers on sparse gradients.

    /usr/bin/python3 tests/golden/make_sparse.py            needs python3-torch (Debian 12: PyTorch 1.13)

Batches and gradients are not stored: both sides draw them with make_golden.py's generator, in the same order (draw_batch
here, in test_rows.c as well). Its lines:

    case TABLE SETTINGS         a table's name (its first rows depend on it) and its settings in Canyon's text form
    row ID W0 W1 ...            a row's first weights by the formulas of server/initializer.h, in double (hexadecimal)
    step T                      what follows is as after step T
    now ID W0 W1 ...            a row's weights, with the nine digits that name a float exactly
    end

torch.optim.SparseAdam counts one step for all rows (here: steps=shard), and adds its epsilon before the correction of the
second average where Adam adds it behind; gradients of 0.1 and more leave that below the test's bound. Adagrad's learning
rate decays by one step for all rows, too.
"""
import hashlib
import math
import os
import struct

import torch

from make_golden import Generator, as_float, philox

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, DIM, STEPS = 12, 5, 200
RECORDED = (1, 2, 3, 10, 50, 200)
SEED, LOW, HIGH = 2**40 + 77, -1.0, 1.0


def row_id(index):
    return index * 0x123456789ABCDEF % 2**64


def first_row(table, identity):
    """A row by the formulas of server/initializer.h, uniform."""
    name = struct.unpack("<I", hashlib.blake2b(table.encode(), digest_size=32).digest()[:4])[0]
    values = []
    for group in range((DIM + 3) // 4):
        counter = (*struct.unpack("<2I", struct.pack("<Q", identity)), group, name)
        for word in philox(struct.unpack("<2I", struct.pack("<Q", SEED)), counter):
            values.append(LOW + (HIGH - LOW) * (word + 0.5) / 2.0**32)
    return values[:DIM]


def whole(generator, limit):
    return math.floor((generator.number() + 1.0) / 2.0 * limit)


def draw_batch(generator):
    """One to eight rows of all but the last one, the same one now and then twice; and their gradients."""
    indices, gradients = [], []
    for _ in range(1 + whole(generator, 8)):
        indices.append(min(whole(generator, ROWS - 1), whole(generator, ROWS - 1)))
        row = [generator.number() for _ in range(DIM)]
        gradients.append([as_float(u + 0.1 if u >= 0.0 else u - 0.1) for u in row])
    return indices, gradients


CASES = [
    ("sparse-adam", "adam:steps=shard", lambda p: torch.optim.SparseAdam(p)),
    ("fast/adam", "adam:steps=shard,lr=0.02,beta1=0.8,beta2=0.95",
     lambda p: torch.optim.SparseAdam(p, lr=0.02, betas=(0.8, 0.95))),
    ("adagrad", "adagrad", lambda p: torch.optim.Adagrad(p)),
    ("fast-adagrad", "adagrad:lr=0.5,initial_accumulator_value=0.1,eps=0.001",
     lambda p: torch.optim.Adagrad(p, lr=0.5, initial_accumulator_value=0.1, eps=0.001)),
    ("slowing", "adagrad:lr=0.1,lr_decay=0.1,steps=shard", lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1)),
    ("sgd", "sgd", lambda p: torch.optim.SGD(p, lr=0.1)),
    ("sgd-up", "sgd:lr=0.01,maximize=1", lambda p: torch.optim.SGD(p, lr=0.01, maximize=True)),
]


def write_case(number, table, settings, build, out):
    generator = Generator(number + 1)
    firsts = [first_row(table, row_id(i)) for i in range(ROWS)]
    weights = torch.tensor([[as_float(v) for v in row] for row in firsts], dtype=torch.float32).requires_grad_(True)
    optimizer = build([weights])
    print("case", table, settings, file=out)
    for index, row in enumerate(firsts):
        print("row", row_id(index), *(v.hex() for v in row), file=out)
    for step in range(1, STEPS + 1):
        indices, gradients = draw_batch(generator)
        weights.grad = torch.sparse_coo_tensor(torch.tensor([indices]), torch.tensor(gradients, dtype=torch.float32),
                                               (ROWS, DIM))
        optimizer.step()
        if step in RECORDED:
            print("step", step, file=out)
            for index, row in enumerate(weights.detach().tolist()):
                print("now", row_id(index), *("%.9g" % v for v in row), file=out)
    print("end", file=out)


if __name__ == "__main__":
    print("PyTorch", torch.__version__)
    with open(os.path.join(HERE, "sparse.txt"), "w") as out:
        for number, (table, settings, build) in enumerate(CASES):
            write_case(number, table, settings, build, out)
