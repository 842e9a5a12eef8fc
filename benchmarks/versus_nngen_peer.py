"""NNgen's side of `versus_nngen`, run by the Python of an environment that has NNgen and not lutwright.

Usage: versus_nngen_peer.py NET.npz PARALLEL, in a folder of its own. It writes core.v, runs every frame through it in
Icarus Verilog with NNgen's model of an AXI memory, whose bench prints "cycles N" and "out BYTE" lines.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import nngen as ng
import numpy as np
import veriloggen.thread as vthread
from veriloggen import Delay, Module, Not, Seq, Systask, simulation
from veriloggen.types import axi

BUS = 32  # bits of the AXI bus, NNgen's default
CHUNK = 64  # bytes to which tensors are aligned in memory
MEMORY = "memory.hex"
LIMIT = 1_000_000  # cycles after which a core counts as hung
# Without the attribute Yosys makes flip-flops of memories with two writing ports, which may collide.
CONFIG = {"maxi_datawidth": BUS, "onchip_ram_style": "(* no_rw_check *)"}


def built(net, parallel: int):
    """(input, output) of the network in NNgen's operators, `parallel` channels in and out at a time."""
    x = h = ng.placeholder(ng.int8, shape=(1, *net["frames"].shape[1:]), name="x")
    layers = json.loads(str(net["layers"]))
    for index, facts in enumerate(layers):
        weight, bias = net[f"weight{index}"], net[f"bias{index}"]
        w = ng.variable(ng.int8, shape=weight.shape, name=f"w{index}")
        b = ng.variable(ng.int32, shape=bias.shape, name=f"b{index}")
        w.set_value(weight)
        b.set_value(bias)
        options = {
            "bias": b, "act_func": ng.relu if facts["relu"] else None, "sum_dtype": ng.int32, "dtype": ng.int8,
            "asymmetric_clip": True, "name": f"y{index}",
        }  # fmt: skip
        if weight.ndim == 4:
            h = ng.conv2d(h, w, strides=(1, 1, 1, 1), **options)
        else:
            h = h if len(h.shape) == 2 else ng.reshape(h, [1, -1])
            h = ng.matmul(h, w, transposed_b=True, **options)
        h.attribute(par_ich=parallel, par_och=parallel, cshamt_out=facts["shift"])
        if facts["pool"] > 1:
            sides = (1, facts["pool"], facts["pool"], 1)
            h = ng.max_pool(h, ksize=sides, strides=sides)
            h.attribute(par=parallel)
    return x, h


def memory(x, y, frame, parallel: int):
    """(contents, address of the parameters' end): the frame at its address, the parameters behind it."""
    parameters = ng.export_ndarray([y], CHUNK)
    start = math.ceil((x.addr + x.memory_size) / CHUNK) * CHUNK
    words = np.zeros(1 << 14, np.int64)
    axi.set_memory(words, frame[None], BUS, 8, x.addr, max(BUS // 8, parallel))
    axi.set_memory(words, parameters, BUS, 8, start)
    return words, math.ceil((start + len(parameters)) / CHUNK) * CHUNK


def bench(core, y, words, end: int):
    """A module that starts the core once, and prints its cycles and the output's bytes."""
    m = Module("bench")
    m.copy_params(core)
    ports = m.copy_sim_ports(core)
    clock, reset_n = ports["CLK"], ports["RESETN"]
    reset = m.Wire("RST")
    reset.assign(Not(reset_n))
    ram = axi.AxiMemoryModel(
        m, "memory", clock, reset, datawidth=BUS, memimg=words, memimg_name=MEMORY, memimg_datawidth=BUS
    )
    ram.connect(ports, "maxi")
    control = vthread.AXIMLite(m, "control", clock, reset, noio=True)
    control.connect(ports, "saxi")
    cycle = m.Reg("cycle", 32, initval=0)
    Seq(m, "count", clock, reset)(cycle.inc())

    def run():
        for _ in range(100):
            pass
        ng.sim.set_global_addrs(control, end)
        start = cycle.value
        ng.sim.start(control)
        ng.sim.wait(control)
        print("cycles %d" % (cycle.value - start))  # noqa: UP031 (becomes $display)
        for index in range(y.shape[-1]):
            print("out %d" % ram.read_word(index, y.addr, 8))  # noqa: UP031
        vthread.finish()

    vthread.Thread(m, "run", clock, reset, run).start()
    m.Instance(core, "core", params=m.connect_params(core), ports=m.connect_ports(core))
    simulation.setup_clock(m, clock, hperiod=5)
    init = simulation.setup_reset(m, reset_n, m.make_reset(), period=100, polarity="low")
    init.add(Delay(10 * LIMIT), Systask("finish"))
    return m.to_verilog()


def main() -> None:
    net, parallel = np.load(sys.argv[1]), int(sys.argv[2])
    x, y = built(net, parallel)
    core = ng.to_veriloggen([y], "core", silent=True, config=CONFIG)
    Path("core.v").write_text(core.to_verilog())
    words, end = memory(x, y, net["frames"][0], parallel)
    Path("bench.v").write_text(bench(core, y, words, end))
    subprocess.run(["iverilog", "-o", "bench.out", "bench.v"], check=True)
    for frame in net["frames"]:
        axi.to_memory_image(MEMORY, memory(x, y, frame, parallel)[0], datawidth=BUS)
        subprocess.run(["vvp", "-n", "bench.out"], check=True)


if __name__ == "__main__":
    main()
