#!/usr/bin/python3
"""Parameters per second of PyTorch's own optimizer steps, on one thread, to set beside bench_kernels.

    /usr/bin/python3 tests/bench/torch_step.py [OPTIMIZER ...]      needs python3-torch

The size is that of bench_kernels from memory; figures are medians of nine steps after two that warm up, in the
process's own time.
"""
import statistics
import sys
import time

try:
    import torch
except ImportError:
    print("SKIPPED: PyTorch's steps: there is no python3-torch")
    sys.exit(0)

ELEMENTS = 1 << 24
ROUNDS = 9
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-6),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-6, momentum=0.9),
    "nag": lambda p: torch.optim.SGD(p, lr=1e-6, momentum=0.9, nesterov=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-6),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=1e-6),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-6),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-6),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-6),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-6, amsgrad=True),
    "adamax": lambda p: torch.optim.Adamax(p, lr=1e-6),
    "nadam": lambda p: torch.optim.NAdam(p, lr=1e-6),
    "radam": lambda p: torch.optim.RAdam(p, lr=1e-6),
    "rprop": lambda p: torch.optim.Rprop(p, lr=1e-6),
}


def seconds(make):
    weights = torch.rand(ELEMENTS, requires_grad=True)
    weights.grad = torch.rand(ELEMENTS)
    optimizer = make([weights])
    times = []
    for round in range(ROUNDS + 2):
        begin = time.process_time()
        optimizer.step()
        times.append(time.process_time() - begin)
    return statistics.median(times[2:])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("PyTorch %s, one thread, %d parameters, medians of %d\n" % (torch.__version__, ELEMENTS, ROUNDS))
    print("%-10s %10s" % ("optimizer", "M/s"))
    for name in sys.argv[1:] or OPTIMIZERS:
        if name not in OPTIMIZERS:
            print("%-10s %10s" % (name, "-"))
            continue
        print("%-10s %10.0f" % (name, 1e-6 * ELEMENTS / seconds(OPTIMIZERS[name])), flush=True)
