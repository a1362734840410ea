#!/usr/bin/env python3
"""Writes trace_golden.txt: what PyTorch makes of gradients that test_trace.c gives to `canyon-sim trace`.

    /usr/bin/python3 tests/simulator/make_trace_golden.py > tests/simulator/trace_golden.txt

Needs Debian's python3-torch. Every case is
    case OPTIMIZER[:key=value,...]
    init W...
and STEPS pairs of lines "g G..." and "w W...": a gradient, and the weights after PyTorch's step. All numbers are
float32 with nine digits, so both sides read the same bits.
"""
import torch

STEPS = 120
SCALES = [1.0, 0.3, 0.01, 1.0, 1e-4, 0.5]  # of the gradients of each element
INIT = [1.0, -2.5, 0.125, 40.0, -0.001, 0.0]

# name -> (class, arguments where the default is Canyon's own or differs from the class's)
CLASSES = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
    "nag": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "nadam": (torch.optim.NAdam, {}),
}
CASES = [(name, {}) for name in CLASSES] + [
    ("sgd", {"lr": 0.03, "weight_decay": 0.01}),
    ("momentum", {"lr": 0.02, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.001}),
    ("nag", {"lr": 0.005, "momentum": 0.95, "weight_decay": 0.001}),
    ("adagrad", {"lr": 0.1, "lr_decay": 0.02, "initial_accumulator_value": 0.5, "eps": 1e-6}),
    ("adadelta", {"lr": 0.5, "rho": 0.95, "eps": 1e-5, "weight_decay": 0.01}),
    ("rmsprop", {"lr": 0.002, "alpha": 0.9, "eps": 1e-6, "weight_decay": 0.01}),
    ("adam", {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6, "weight_decay": 0.01}),
    ("nadam", {"lr": 0.01, "beta1": 0.85, "beta2": 0.98, "eps": 1e-6, "momentum_decay": 0.02}),
]


def optimizer_of(name, settings, parameters):
    """PyTorch's optimizer for Canyon's name and settings."""
    kind, own = CLASSES[name]
    arguments = {**own, **settings}
    beta1, beta2 = arguments.pop("beta1", None), arguments.pop("beta2", None)
    if beta1 is not None:
        arguments["betas"] = (beta1, beta2)
    return kind(parameters, **arguments)


def numbers(values):
    return " ".join("%.9g" % value for value in values.tolist())


def write_case(index, name, settings):
    torch.manual_seed(1000 + index)
    weights = torch.tensor(INIT, dtype=torch.float32, requires_grad=True)
    optimizer = optimizer_of(name, settings, [weights])
    text = ",".join("%s=%r" % item for item in settings.items())
    print("case", name + (":" + text if text else ""))
    print("init", numbers(weights.detach()))
    for step in range(STEPS):
        gradient = torch.randn(len(INIT)) * torch.tensor(SCALES) + 0.2 * torch.tensor(SCALES)
        if step % 10 == 7:
            gradient[step % len(INIT)] = 0.0
        weights.grad = gradient
        optimizer.step()
        print("g", numbers(gradient))
        print("w", numbers(weights.detach()))


if __name__ == "__main__":
    for index, (name, settings) in enumerate(CASES):
        write_case(index, name, settings)
