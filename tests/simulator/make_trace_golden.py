#!/usr/bin/python3
"""Writes trace_golden.txt: PyTorch's weights, which canyon-sim trace is to follow, for every optimizer it has and every
setting that is common to them.

    /usr/bin/python3 tests/simulator/make_trace_golden.py         needs python3-torch (Debian 12: PyTorch 1.13)

    case OPTIMIZER[:key=value,...]      as canyon-sim trace reads it
    step T W0 W1 ...                    as in tests/golden/make_golden.py, whose first weights, gradients and words for
                                        what is not finite these are, with the number of the case as the seed
    end
"""
import os
import sys

import torch
from torch.optim import lr_scheduler as schedulers

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden"))
from make_golden import BUILDERS, Generator, as_float, gradient, written  # noqa: E402

ELEMENTS = 10
STEPS = 300
RECORDED = [1, 2, 5, 10] + list(range(20, STEPS + 1, 20))

PLAIN = {
    "sgd": dict(lr=0.03),
    "momentum": dict(lr=0.02, momentum=0.8, dampening=0.3),
    "nag": dict(lr=0.005, momentum=0.95),
    "adagrad": dict(lr=0.1, lr_decay=0.02, initial_accumulator_value=0.5, eps=1e-6),
    "adadelta": dict(lr=0.5, rho=0.95, eps=1e-5),
    "rmsprop": dict(lr=0.002, alpha=0.9, eps=1e-6, momentum=0.5),
    "adam": dict(lr=0.02, beta1=0.8, beta2=0.95, eps=1e-6),
    "adamw": dict(lr=0.02, beta1=0.8, beta2=0.95, eps=1e-6),
    "amsgrad": dict(lr=0.02, beta1=0.8, beta2=0.95, eps=1e-6),
    "adamax": dict(lr=0.01, beta1=0.8, beta2=0.95, eps=1e-6),
    "nadam": dict(lr=0.01, beta1=0.85, beta2=0.98, eps=1e-6, momentum_decay=0.02),
    "radam": dict(lr=0.02, beta1=0.8, beta2=0.95, eps=1e-6),
    "rprop": dict(lr=0.05, etaminus=0.6, etaplus=1.1, step_size_min=1e-3, step_size_max=1.0),
}

# Settings of a schedule, and PyTorch's scheduler for them.
SCHEDULES = {
    "step": (dict(step_size=70), lambda o: schedulers.StepLR(o, 70)),
    "multistep": (dict(milestone1=20, milestone2=150, gamma=0.3), lambda o: schedulers.MultiStepLR(o, [20, 150], 0.3)),
    "exponential": (dict(gamma=0.99), lambda o: schedulers.ExponentialLR(o, 0.99)),
    "cosine": (dict(T_max=80, eta_min=0.001), lambda o: schedulers.CosineAnnealingLR(o, 80, 0.001)),
    "onecycle": (dict(total_steps=301),
                 lambda o: schedulers.OneCycleLR(o, o.param_groups[0]["lr"], total_steps=301, cycle_momentum=False)),
    "polynomial": (dict(total_iters=400, power=2), lambda o: schedulers.PolynomialLR(o, 400, 2)),
    "inverse_sqrt": (dict(timescale=30), lambda o: schedulers.LambdaLR(o, lambda t: (30 / (30 + t)) ** 0.5)),
    "constant": (dict(warmup=25, warmup_start=0.1), lambda o: schedulers.LinearLR(o, 0.1, total_iters=25)),
}


def cases():
    for name, plain in PLAIN.items():
        decays = name != "rprop"
        yield name, {}, None
        yield name, plain, None
        yield name, dict(maximize=1, clip_value=0.25, loss_scale=1000), None
        if decays:
            yield name, dict(weight_decay=0.01, decoupled_weight_decay=0), None
            yield name, dict(weight_decay=0.1, decoupled_weight_decay=1, lr=0.01), None
            # Decoupled where steps are divided by the gradient's size: a weight that sees only its own L2 decay and is
            # driven through zero gets there the last bit's sign as a whole step.
            decoupled = int(name not in ("sgd", "momentum", "nag"))
            yield name, dict(plain, weight_decay=0.05, decoupled_weight_decay=decoupled, maximize=1, clip_value=0.5,
                             loss_scale=8, schedule="cosine"), "cosine"
    yield "rmsprop", dict(centered=1), None
    yield "rmsprop", dict(centered=1, momentum=0.8, alpha=0.95, eps=1e-4, lr=0.005, weight_decay=0.05), None
    for number, schedule in enumerate(SCHEDULES):
        name = ("sgd", "adam", "nadam", "momentum")[number % 4]
        yield name, dict(lr=0.02, schedule=schedule), schedule
    yield "sgd", dict(lr=0.1, nonfinite="skip"), None
    yield "adam", dict(nonfinite="clip"), None


def optimizer_of(name, settings, weights):
    """PyTorch's optimizer. What PyTorch has only in some of them is left to follow()."""
    own = {key: value for key, value in settings.items() if key not in (
        "maximize", "clip_value", "loss_scale", "decoupled_weight_decay", "schedule", "nonfinite")}
    decoupled = settings.get("decoupled_weight_decay", name == "adamw")
    if name == "adamw":
        return BUILDERS["adamw" if decoupled else "adam"]([weights], own), False
    if decoupled:
        own.pop("weight_decay")
    return BUILDERS[name]([weights], own), decoupled


def follow(name, settings, schedule, seed, out):
    generator = Generator(seed)
    weights = torch.tensor([as_float(generator.number()) for _ in range(ELEMENTS)], requires_grad=True)
    optimizer, decoupled = optimizer_of(name, settings, weights)
    scheduler = SCHEDULES[schedule][1](optimizer) if schedule else None
    limit = settings.get("clip_value", 0)
    for step in range(1, STEPS + 1):
        values = torch.tensor([gradient(generator, i) for i in range(ELEMENTS)], dtype=torch.float32)
        values *= 1 / settings.get("loss_scale", 1)  # as GradScaler.unscale_
        if limit > 0:
            values.clamp_(-limit, limit)  # as torch.nn.utils.clip_grad_value_
        if settings.get("maximize"):
            values = -values
        if decoupled:  # as AdamW, with the rate of this step
            group = optimizer.param_groups[0]
            rate = group["lr"] / (1 + (step - 1) * group.get("lr_decay", 0))
            weights.data.mul_(1 - rate * settings["weight_decay"])
        weights.grad = values
        optimizer.step()
        if scheduler:
            scheduler.step()
        if step in RECORDED:
            print("step", step, *written(optimizer, weights), file=out)


if __name__ == "__main__":
    with open(os.path.join(HERE, "trace_golden.txt"), "w", encoding="ascii") as out:
        for number, (name, settings, schedule) in enumerate(cases(), 1):
            told = dict(settings, **(SCHEDULES[schedule][0] if schedule else {}))
            text = ",".join(f"{key}={value}" for key, value in told.items())
            print("case", name + (":" + text if text else ""), file=out)
            follow(name, settings, schedule, number, out)
            print("end", file=out)
