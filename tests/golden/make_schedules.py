#!/usr/bin/python3
"""Writes schedules.txt: the learning rates of torch.optim.lr_scheduler, update by update, and those of the formulas where
PyTorch has none.

    /usr/bin/python3 tests/golden/make_schedules.py         needs python3-torch (Debian 12: PyTorch 1.13)

    case SETTINGS               the settings as Canyon reads them
    at T RATE                   the rate of the update that T updates went before, in double (hexadecimal)
    end
"""
import math
import os
import warnings

import torch
from torch.optim import lr_scheduler as schedulers

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))


def rates(make, lr, count):
    """What a PyTorch scheduler gives the first `count` updates."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer)
    found = []
    for _ in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def warmed(make, lr, count, warmup, start=1 / 3):
    """LinearLR, then the other from its beginning: each alone, put one after the other."""
    first = rates(make, lr, count)
    rise = rates(lambda o: schedulers.LinearLR(o, start_factor=start, total_iters=warmup), first[0], warmup)
    return rise + first[: count - warmup]


def constant(optimizer):
    return schedulers.LambdaLR(optimizer, lambda t: 1.0)


def cases():
    yield "lr=0.5", rates(constant, 0.5, 5)
    yield "lr=0.1,schedule=step,step_size=7", rates(lambda o: schedulers.StepLR(o, 7), 0.1, 60)
    yield "lr=3,schedule=step,step_size=1,gamma=0.9", rates(lambda o: schedulers.StepLR(o, 1, 0.9), 3.0, 100)
    yield ("lr=0.1,schedule=multistep,milestone1=3,milestone2=10,milestone3=11,gamma=0.5",
           rates(lambda o: schedulers.MultiStepLR(o, [3, 10, 11], 0.5), 0.1, 20))
    yield ("lr=1,schedule=multistep,milestone1=1,milestone2=2,milestone3=3,milestone4=4,milestone5=5,milestone6=6,"
           "milestone7=8,milestone8=9", rates(lambda o: schedulers.MultiStepLR(o, [1, 2, 3, 4, 5, 6, 8, 9]), 1.0, 12))
    yield ("lr=0.01,schedule=exponential,gamma=0.99",
           rates(lambda o: schedulers.ExponentialLR(o, 0.99), 0.01, 500))
    yield "lr=0.2,schedule=exponential", rates(lambda o: schedulers.ExponentialLR(o, 0.1), 0.2, 30)
    yield "lr=0.1,schedule=cosine,T_max=50", rates(lambda o: schedulers.CosineAnnealingLR(o, 50), 0.1, 160)
    yield ("lr=0.1,schedule=cosine,T_max=33,eta_min=0.01",
           rates(lambda o: schedulers.CosineAnnealingLR(o, 33, 0.01), 0.1, 70))
    for total, start, div, final in ((100, 0.3, 25.0, 1e4), (37, 0.5, 10.0, 100.0), (20, 0.01, 4.0, 1.0), (10, 0.9, 2.0, 3.0)):
        yield (f"lr=0.4,schedule=onecycle,total_steps={total},pct_start={start},div_factor={div},final_div_factor={final}",
               rates(lambda o: schedulers.OneCycleLR(o, 0.4, total_steps=total, pct_start=start, div_factor=div,
                                                     final_div_factor=final, cycle_momentum=False), 0.4, total))
    for power in (1, 2, 0.5, 1.7):
        yield (f"lr=0.3,schedule=polynomial,total_iters=40,power={power}",
               rates(lambda o: schedulers.PolynomialLR(o, 40, power), 0.3, 50))
    yield "lr=0.6,warmup=10", warmed(constant, 0.6, 20, 10)
    yield ("lr=0.1,schedule=cosine,T_max=50,warmup=20,warmup_start=0.125",
           warmed(lambda o: schedulers.CosineAnnealingLR(o, 50), 0.1, 80, 20, 0.125))
    yield ("lr=0.1,schedule=step,step_size=5,warmup=3",
           warmed(lambda o: schedulers.StepLR(o, 5), 0.1, 30, 3))
    # Not PyTorch's: lr sqrt(timescale / (timescale + t)).
    yield "lr=0.5,schedule=inverse_sqrt", [0.5 * math.sqrt(1 / (1 + t)) for t in range(50)]
    yield ("lr=0.5,schedule=inverse_sqrt,timescale=100",
           [0.5 * math.sqrt(100 / (100 + t)) for t in range(300)])
    yield ("lr=0.5,schedule=inverse_sqrt,warmup=8,warmup_start=0",
           [0.5 * t / 8 for t in range(8)] + [0.5 * math.sqrt(8 / t) for t in range(8, 60)])


with open(os.path.join(HERE, "schedules.txt"), "w", encoding="ascii") as file:
    for settings, values in cases():
        print("case", settings, file=file)
        for t, value in enumerate(values):
            print("at", t, float(value).hex(), file=file)
        print("end", file=file)
