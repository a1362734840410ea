#!/usr/bin/python3
"""Writes what the golden tests expect: optimizers.txt (from PyTorch) and initializer.txt (from the formulas).

    /usr/bin/python3 tests/golden/make_golden.py            needs python3-torch (Debian 12: PyTorch 1.13)

Gradients and first weights are not stored: both sides make them with the generator below, which gradients.h has as well,
in the same order. Everything else about a case is in its lines of optimizers.txt:

    case OPTIMIZER LABEL        an optimizer of Canyon and a name for the case
    set NAME VALUE              a hyperparameter that is not at Canyon's default (so defaults are compared, too)
    step T W0 W1 ...            the weights after step T, with the nine digits that name a float exactly; a word instead
                                of a number where PyTorch's weight ("weight") or one of its states ("state") is not finite
    end

and of initializer.txt:

    case TENSOR KIND SEED A B DIMS...
    at INDEX VALUE              the element of that index, in double (hexadecimal), before it is rounded to float
    end
"""
import hashlib
import math
import os
import struct

import torch

HERE = os.path.dirname(os.path.abspath(__file__))
ELEMENTS = 20
RECORDED = (1, 2, 5, 20, 100, 200, 300)


class Generator:
    """The 64-bit linear congruential generator of Knuth's MMIX; a number is its top 24 bits, scaled to [-1, 1)."""

    def __init__(self, seed):
        self.state = seed

    def number(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 40) / 2.0**23 - 1.0


def as_float(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def gradient(generator, element):
    """One gradient: each of ten kinds of element has its own range. One number is drawn whatever the kind."""
    u = generator.number()
    kind = element % 10
    if kind == 1:
        return 0.0
    if kind == 2:
        return as_float(u) if u > 0.5 else 0.0  # mostly zero
    if kind == 3:
        return as_float(u * 1e-20)  # its square is subnormal
    if kind == 4:
        return as_float(u * 1e-40)  # subnormal, its square is zero
    if kind == 5:
        return as_float((u + 2.0) * 1e10)  # huge; of one sign, so that sums of them do not cancel
    if kind == 6:
        return as_float(u * 1e-4)
    if kind == 7:
        return as_float(u * 10.0)
    if kind == 8:
        return as_float(u * 1e20) if u > 0.95 else as_float(u)  # now and then its square overflows
    if kind == 9:
        return as_float(u * u * u * u * u * u * u * 1e3)  # of all sizes
    return as_float(u)


def of(torch_class, **fixed):
    """A builder of that class from Canyon's settings, which have pairs one by one and flags as numbers."""

    def build(parameters, settings):
        settings = dict(fixed, **settings)
        chosen = torch_class
        if settings.pop("decoupled_weight_decay", 0) and torch_class is torch.optim.Adam:
            chosen = torch.optim.AdamW
        betas = [settings.pop(k, v) for k, v in (("beta1", 0.9), ("beta2", 0.999))]
        etas = [settings.pop(k, v) for k, v in (("etaminus", 0.5), ("etaplus", 1.2))]
        sizes = [settings.pop(k, v) for k, v in (("step_size_min", 1e-6), ("step_size_max", 50.0))]
        if chosen is torch.optim.Rprop:
            settings.update(etas=tuple(etas), step_sizes=tuple(sizes))
        elif chosen not in (torch.optim.SGD, torch.optim.Adagrad, torch.optim.Adadelta, torch.optim.RMSprop):
            settings["betas"] = tuple(betas)
        for flag in ("maximize", "centered"):
            if flag in settings:
                settings[flag] = bool(settings[flag])
        return chosen(parameters, **settings)

    return build


# Canyon's defaults where PyTorch has none; everything else is left to PyTorch's own.
BUILDERS = {
    "sgd": of(torch.optim.SGD, lr=0.1),
    "momentum": of(torch.optim.SGD, lr=0.01, momentum=0.9),
    "nag": of(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True),
    "adagrad": of(torch.optim.Adagrad),
    "adadelta": of(torch.optim.Adadelta),
    "rmsprop": of(torch.optim.RMSprop),
    "adam": of(torch.optim.Adam),
    "adamw": of(torch.optim.AdamW),
    "amsgrad": of(torch.optim.Adam, amsgrad=True),
    "adamax": of(torch.optim.Adamax),
    "nadam": of(torch.optim.NAdam),
    "radam": of(torch.optim.RAdam),
    "rprop": of(torch.optim.Rprop),
}

MAXIMIZE = {"maximize": dict(maximize=1)}
TREATED = {
    "clipped": dict(clip_value=0.25),
    "scaled": dict(loss_scale=1024.0),
}
DECAY = {"decay": dict(weight_decay=0.01)}
BETAS = {
    "fast": dict(lr=0.1),
    "betas": dict(beta1=0.8, beta2=0.95),
    "no-momentum": dict(beta1=0.0),
    "no-averages": dict(beta1=0.0, beta2=0.0),
    "long": dict(beta1=0.99, beta2=0.99999),
    "eps": dict(eps=1e-2),
    "decay": dict(weight_decay=0.01),
    "all": dict(lr=0.002, beta1=0.7, beta2=0.9, eps=1e-3, weight_decay=0.1),
}

# No case drives a weight that sees only its own decay through zero: the adaptive optimizers divide that gradient by its
# own size there, and the last bit decides the sign of a whole step.
CASES = {
    "sgd": {
        "defaults": {},
        "slow": dict(lr=1e-4),
        "fast": dict(lr=1.5),
        "strong-decay": dict(lr=0.3, weight_decay=0.5),
        "all": dict(lr=0.03, weight_decay=0.1, maximize=1, clip_value=0.5, loss_scale=8.0),
        **DECAY,
        **MAXIMIZE,
        **TREATED,
    },
    "momentum": {
        "defaults": {},
        "none": dict(momentum=0.0),
        "none-dampened": dict(momentum=0.0, dampening=0.5),
        "heavy": dict(lr=0.05, momentum=0.99),
        "dampened": dict(dampening=0.5),
        "fully-dampened": dict(dampening=1.0),
        "all": dict(lr=0.2, momentum=0.5, dampening=0.1, weight_decay=0.1),
        **DECAY,
        **MAXIMIZE,
        **TREATED,
    },
    "nag": {
        "defaults": {},
        "light": dict(momentum=0.1),
        "heavy": dict(lr=0.05, momentum=0.99),
        "all": dict(lr=0.2, momentum=0.5, weight_decay=0.1),
        **DECAY,
        **MAXIMIZE,
        **TREATED,
    },
    "adagrad": {
        "defaults": {},
        "fast": dict(lr=0.5),
        "lr-decay": dict(lr_decay=0.1),
        "small-lr-decay": dict(lr=0.1, lr_decay=1e-4),
        "accumulator": dict(initial_accumulator_value=0.1),
        "eps": dict(eps=1e-3),
        "all": dict(lr=0.1, lr_decay=0.01, initial_accumulator_value=2.0, eps=1e-6, weight_decay=0.1),
        **DECAY,
        **MAXIMIZE,
        **TREATED,
    },
    "adadelta": {
        "defaults": {},
        "slow": dict(lr=0.1),
        "long": dict(rho=0.99),
        "none": dict(rho=0.0),
        "eps": dict(eps=1e-3),
        "small-eps": dict(eps=1e-9),
        "all": dict(lr=0.5, rho=0.95, eps=1e-5, weight_decay=0.1),
        **DECAY,
        **MAXIMIZE,
        **TREATED,
    },
    "rmsprop": {
        "defaults": {},
        "slow": dict(lr=1e-4),
        "short": dict(alpha=0.9),
        "none": dict(alpha=0.0),
        "eps": dict(eps=1e-2),
        "all": dict(lr=0.05, alpha=0.95, eps=1e-4, weight_decay=0.1),
        "moving": dict(momentum=0.9, lr=0.001),
        "moving-decay": dict(momentum=0.5, weight_decay=0.01),
        "centered": dict(centered=1),
        "centered-short": dict(centered=1, alpha=0.9, lr=0.002),
        "centered-moving": dict(centered=1, momentum=0.9, lr=0.001),
        "centered-all": dict(centered=1, momentum=0.8, alpha=0.95, eps=1e-4, lr=0.005, weight_decay=0.05),
        **DECAY,
        **MAXIMIZE,
        **TREATED,
    },
    "adam": {
        "defaults": {},
        "decoupled": dict(weight_decay=0.1, decoupled_weight_decay=1, lr=0.01),
        **BETAS,
        **MAXIMIZE,
        **TREATED,
    },
    "adamw": {
        "defaults": {},
        "strong-decay": dict(lr=0.01, weight_decay=0.5),
        "no-decay": dict(weight_decay=0.0),
        **BETAS,
        **MAXIMIZE,
        **TREATED,
    },
    "amsgrad": {
        "defaults": {},
        "decoupled": dict(weight_decay=0.1, decoupled_weight_decay=1, lr=0.01),
        **BETAS,
        **MAXIMIZE,
        **TREATED,
    },
    "adamax": {
        "defaults": {},
        **BETAS,
        **MAXIMIZE,
        **TREATED,
    },
    "nadam": {
        "defaults": {},
        "steady": dict(momentum_decay=0.0),
        "rising": dict(momentum_decay=0.3),
        "at-once": dict(momentum_decay=200.0),
        **{k: v for k, v in BETAS.items() if k not in ("no-averages", "all")},
        "all": dict(lr=0.002, beta1=0.7, beta2=0.9, eps=1e-3, weight_decay=0.1, momentum_decay=0.01),
        **TREATED,
    },
    "radam": {
        "defaults": {},
        "never-adaptive": dict(beta2=0.6),
        **BETAS,
        **TREATED,
    },
    "rprop": {
        "defaults": {},
        "bold": dict(lr=0.1, etaplus=1.5),
        "timid": dict(etaminus=0.9, etaplus=1.05),
        "bounded": dict(lr=0.5, step_size_min=1e-3, step_size_max=0.2),
        **MAXIMIZE,
        **TREATED,
    },
}


def treat(gradients, settings):
    """The settings that PyTorch has outside its optimizers."""
    scale, limit = settings.pop("loss_scale", 1.0), settings.pop("clip_value", 0.0)

    def treated():
        values = torch.tensor(gradients(), dtype=torch.float32) / scale
        if limit > 0.0:
            values.clamp_(-limit, limit)  # as torch.nn.utils.clip_grad_value_
        return values

    return treated


def written(optimizer, weights):
    """The weights, and for those that are of no use why."""
    states = [s for s in optimizer.state[weights].values() if torch.is_tensor(s) and s.shape == weights.shape]
    for i, weight in enumerate(weights.detach().tolist()):
        if not math.isfinite(weight):
            yield "weight"
        elif not all(math.isfinite(state[i].item()) for state in states):
            yield "state"
        else:
            yield "%.9g" % weight


def write_optimizers(out):
    for number, (name, label) in enumerate((n, l) for n in CASES for l in CASES[n]):
        settings = dict(CASES[name][label])
        generator = Generator(number + 1)
        weights = torch.tensor([as_float(generator.number()) for _ in range(ELEMENTS)], dtype=torch.float32)
        weights.requires_grad_(True)
        print("case", name, label, file=out)
        for key, value in settings.items():
            print("set", key, repr(float(value)), file=out)
        treated = treat(lambda: [gradient(generator, i) for i in range(ELEMENTS)], settings)
        optimizer = BUILDERS[name]([weights], settings)
        for step in range(1, max(RECORDED) + 1):
            weights.grad = treated()
            optimizer.step()
            if step in RECORDED:
                print("step", step, *written(optimizer, weights), file=out)
        print("end", file=out)


def philox(key, counter):
    k, c = list(key), list(counter)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def initial(tensor, kind, seed, a, b, dims, index):
    """An element by the formulas of server/initializer.h."""
    digest = hashlib.blake2b(tensor.encode(), digest_size=32).digest()
    counter = struct.unpack("<4I", struct.pack("<Q", index) + digest[:8])
    x = philox(struct.unpack("<2I", struct.pack("<Q", seed)), counter)
    u, v = ((x[1] << 32 | x[0]) >> 11) / 2.0**53, ((x[3] << 32 | x[2]) >> 11) / 2.0**53
    if len(dims) >= 2:  # PyTorch's own rule
        fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(dims, device="meta"))
    else:
        fan_in = fan_out = dims[0] if dims else 1
    if kind == "xavier":
        bound = as_float(a * math.sqrt(6.0 / (fan_in + fan_out)))
        kind, a, b = "uniform", -bound, bound
    elif kind == "kaiming":
        kind, a, b = "normal", 0.0, a / math.sqrt(fan_in)
    if kind == "uniform":
        a, b = as_float(a), as_float(b)
        return a + (b - a) * u
    return a + b * math.sqrt(-2.0 * math.log1p(-u)) * math.cos(2.0 * math.pi * v)


INITIAL_CASES = [
    ("w", "uniform", 1, -0.05, 0.05, [1000]),
    ("layer1.weight", "uniform", 2**63 + 12345, 0.1, 0.7, [64, 64]),
    ("layer1/bias", "normal", 7, 0.0, 0.02, [64]),
    ("embedding-2", "normal", 0, 3.0, 10.0, [7, 9, 11]),
    ("fc", "xavier", 42, 1.0, 0.0, [64, 32]),
    ("conv", "xavier", 42, 1.5, 0.0, [16, 8, 3, 3]),
    ("bias", "xavier", 42, 1.0, 0.0, [10]),
    ("scalar", "kaiming", 42, 1.0, 0.0, []),
    ("conv", "kaiming", 2**64 - 1, 2.0**0.5, 0.0, [16, 8, 3, 3]),
    ("huge", "kaiming", 5, 2.0**0.5, 0.0, [2**20, 2**20]),
]


def write_initializer(out):
    for tensor, kind, seed, a, b, dims in INITIAL_CASES:
        print("case", tensor, kind, seed, repr(a), repr(b), *dims, file=out)
        count = math.prod(dims)
        picks = sorted({i for i in [0, 1, 2, 3, 4, 5, 6, 7, 9, 63, 64, 1023, 2**32 - 1, 2**32, 2**40 - 1] if i < count})
        for index in picks:
            print("at", index, initial(tensor, kind, seed, a, b, dims, index).hex(), file=out)
        print("end", file=out)


if __name__ == "__main__":
    print("PyTorch", torch.__version__)
    with open(os.path.join(HERE, "optimizers.txt"), "w") as out:
        write_optimizers(out)
    with open(os.path.join(HERE, "initializer.txt"), "w") as out:
        write_initializer(out)
