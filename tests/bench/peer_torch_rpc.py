#!/usr/bin/python3
"""The same push_pull by PyTorch: gradient in by RPC, torch.optim.Adam's step, fresh weights out.

    /usr/bin/python3 tests/bench/peer_torch_rpc.py [--bytes N] [--rounds N]      needs python3-torch

A server process holds one float32 parameter and its optimizer; this process sends a gradient and gets the weights, over
TCP on loopback (TensorPipe's transport uv: its shared memory would be no network). The congestion control is the host's,
as the library has no option for it. PyTorch computes on one thread. Without --rounds it prints "ready" and does as many
rounds as each line of standard input says, printing nanoseconds and processor nanoseconds of this process for each.
"""
import argparse
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

os.environ.setdefault("GLOG_minloglevel", "2")  # before the library begins

try:
    import torch
    import torch.distributed.rpc as rpc
except ImportError:
    print("SKIPPED: there is no python3-torch")
    sys.exit(0)

state = {}


def setup(elements):
    weights = torch.zeros(elements, requires_grad=True)
    state["weights"] = weights
    state["optimizer"] = torch.optim.Adam([weights], lr=1e-6)


def push_pull(gradient):
    state["weights"].grad = gradient
    state["optimizer"].step()
    return state["weights"].detach()


def join(name, rank, port):
    torch.set_num_threads(1)
    options = rpc.TensorPipeRpcBackendOptions(
        init_method="tcp://127.0.0.1:%d" % port, _transports=["uv"], _channels=["basic"])
    rpc.init_rpc(name, rank=rank, world_size=2, rpc_backend_options=options)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def one(gradient):
    begin, processor = time.monotonic_ns(), time.process_time_ns()
    rpc.rpc_sync("server", push_pull, args=(gradient,))
    return time.monotonic_ns() - begin, time.process_time_ns() - processor


def serve(gradient, rounds):
    if rounds > 0:
        times = sorted(one(gradient)[0] for _ in range(rounds + 1))
        print("push_pull %.1f ms, %.3f GB/s" % (times[len(times) // 2] * 1e-6,
                                                gradient.numel() * 4 / times[len(times) // 2]))
        return
    print("ready PyTorch %s, RPC over TCP" % torch.__version__, flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            print("%d %d" % one(gradient), flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--bytes", type=int, default=64 << 20)
    words.add_argument("--rounds", type=int, default=0)
    words.add_argument("--server-port", type=int, default=0, help=argparse.SUPPRESS)
    given = words.parse_args()
    os.environ.setdefault("TP_SOCKET_IFNAME", "lo")
    if given.server_port != 0:
        join("server", 1, given.server_port)
        rpc.shutdown()
        return
    port = free_port()
    server = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--server-port", str(port)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=end_with_parent)
    try:
        join("client", 0, port)
        elements = given.bytes // 4
        rpc.rpc_sync("server", setup, args=(elements,))
        serve(torch.linspace(-0.1, 0.1, elements), given.rounds)
        rpc.shutdown()
        server.wait(timeout=20)
    finally:
        if server.poll() is None:
            server.kill()


if __name__ == "__main__":
    main()
