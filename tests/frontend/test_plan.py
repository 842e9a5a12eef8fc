"""Plans: what each goal asks for, what is pinned, exact cycles, and what is said where there is no plan."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lutwright.errors import LutwrightError, OptionError, PlanError
from lutwright.frontend.device import DEVICES, device
from lutwright.frontend.ir import Graph, Input, Node, Type
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Conv, Dense, Embedding, MatMul, Pool, Reshape
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.plan import LEAN, parse_fold, parse_goal, parse_pin, plan
from lutwright.frontend.planning import Fps, Goal, Latency, Plan, Smallest
from lutwright.frontend.search import FILL
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.network import Network

from ..hdl.networks import threshold
from .builder import Net

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"
CLOCK = 50.0
GOALS: list[Goal | None] = [None, Smallest(), Latency(), Fps(1000), Fps(20_000)]
SHARED = [
    ("tfc_1w1a", None),
    ("tfc_2w2a", None),
    ("kwsmlp_w3a3", None),
    ("jettag_qkeras_6b", "fixed<16,6>"),
    ("hls4ml_bnn_fc", None),
]


@pytest.fixture(scope="module")
def digits() -> Graph:
    return load(DIGITS).graph


def mlp(*sizes: int, seed: int = 0) -> Graph:
    """Layers of ±1 weights with one-bit activations."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input("in", (), Type((sizes[0],), 0, 1))]
    for layer, rows in enumerate(sizes[1:]):
        weight = rng.choice((-1, 1), (rows, nodes[-1].type.channels))
        nodes.append(Dense.of(f"fc{layer}", nodes[-1], weight))
        if layer < len(sizes) - 2:
            nodes.append(threshold(f"sign{layer}", nodes[-1], 1, rng))
    return Graph(tuple(nodes), nodes[-1].name)


def interval(graph: Graph, chosen: Plan) -> int:
    return Network(graph, chosen).timing().interval


def latency(graph: Graph, chosen: Plan) -> int:
    return Network(graph, chosen).timing().latency


@pytest.mark.parametrize("goal", GOALS, ids=str)
@pytest.mark.parametrize("name", list(DEVICES))
def test_plans_fit_and_their_cycles_are_those_of_the_hardware(digits: Graph, name: str, goal: Goal | None) -> None:
    """The planner's interval is the control twins', which tests/hdl proves equal to simulation."""
    chosen, known = plan(digits, device(name), goal, clock_mhz=CLOCK), device(name)
    network = Network(digits, chosen)
    if known.luts is not None:
        assert known.brams is not None and known.dsps is not None
        assert max(network.cost.luts, network.cost.ffs) <= known.luts
        assert network.cost.brams <= known.brams and network.cost.dsps <= known.dsps
    assert network.cost.cycles == network.timing().interval == max(part.cycles for part in network.parts)
    assert f"with {network.cost.cycles} cycles a frame" in " ".join(chosen.explanation)


@pytest.mark.parametrize(("name", "grid"), SHARED)
@pytest.mark.parametrize("goal", [None, Smallest(), Latency()], ids=str)
def test_shared_models(models: Path, name: str, grid: str | None, goal: Goal | None) -> None:
    graph = load(models / name / "model.onnx", grid).graph
    network = Network(graph, plan(graph, device("ecp5-85k"), goal))
    assert network.cost.cycles == network.timing().interval


def test_a_device_that_only_the_smallest_plan_fits_has_it(models: Path) -> None:
    """With a share of its block RAM less, the weights need more LUTs than it has."""
    graph = load(models / "tfc_2w2a" / "model.onnx").graph
    smallest = plan(graph, device("ice40-up5k"), Smallest())
    assert plan(graph, device("ice40-up5k")).nodes == smallest.nodes


def test_weights_stay_in_block_rams_unless_that_costs_much(models: Path) -> None:
    """Out of them the network would be twice as fast, in more than twice as many LUTs, which hardly route."""
    graph = load(models / "tfc_1w1a" / "model.onnx").graph
    cost = Network(graph, plan(graph, device("ecp5-85k"))).cost
    assert cost.brams > 0 and cost.luts <= LEAN.luts


def test_many_luts_give_way_to_blocks() -> None:
    """A goal that takes over 10,000 LUTs takes DSP blocks that are there, though not for all of a layer's products."""
    rng = np.random.default_rng(0)
    source = Input("in", (), Type((128,), -8, 7))
    graph = Graph((source, Dense.of("fc", source, rng.integers(-8, 8, (128, 128)))), "fc")
    chosen = plan(graph, device("ecp5-25k"), Fps(1_000_000), clock_mhz=CLOCK)
    cost = Network(graph, chosen).cost
    inside = plan(graph, device("ecp5-25k"), Fps(1_000_000), clock_mhz=CLOCK, engines={"fc": "multiply"})
    assert chosen.nodes["fc"].engine == "multiply_dsp"
    assert 10_000 < cost.luts < Network(graph, inside).cost.luts
    assert 0 < cost.dsps <= chosen.device.dsps < chosen.nodes["fc"].folding.pe * chosen.nodes["fc"].folding.simd // 2


def test_goals_are_ordered(digits: Graph) -> None:
    """Latency has the lowest latency, Smallest needs the least, and a plan without a goal lies between."""
    for name in ("ice40-up5k", "ecp5-25k", "gw1n-9"):
        small, fast, some = (plan(digits, device(name), goal) for goal in (Smallest(), Latency(), None))
        assert latency(digits, fast) <= latency(digits, some) < latency(digits, small)
        costs = [Network(digits, chosen).cost.luts for chosen in (small, some, fast)]
        assert costs == sorted(costs)


@pytest.mark.parametrize("fps", [100, 3_000, 30_000])
def test_fps_is_reached_and_hardly_more(digits: Graph, fps: float) -> None:
    chosen = plan(digits, device("ecp5-25k"), Fps(fps), clock_mhz=CLOCK)
    reached = CLOCK * 1e6 / interval(digits, chosen)
    assert reached >= fps
    assert Network(digits, chosen).cost.luts <= Network(digits, plan(digits, device("ecp5-25k"), None)).cost.luts


def test_fps_is_as_fast_as_a_full_device_allows(models: Path) -> None:
    """BRAM binds the first layer alone: the others have to leave it nearly all, and take LUTs."""
    graph = load(models / "tfc_1w1a" / "model.onnx").graph
    chosen = plan(graph, device("ice40-up5k"), Fps(CLOCK * 1e6 / 112), clock_mhz=CLOCK)
    assert interval(graph, chosen) <= 112


@pytest.mark.parametrize("name", ["ice40-up5k", "ecp5-25k"])
def test_latency_speeds_up_more_than_the_slowest_layer(name: str) -> None:
    """Once no interval is shorter, what is left of the device goes to the other layers."""
    graph, clock = mlp(784, 64, 64, 64, 10), 1.0
    quick = plan(graph, device(name), Latency())
    for cycles in (interval(graph, quick), 2 * interval(graph, quick)):
        fast = plan(graph, device(name), Fps(clock * 1e6 / cycles), clock_mhz=clock)
        assert latency(graph, quick) < latency(graph, fast)


def test_layers_are_balanced() -> None:
    """No layer is unrolled much further than the slowest needs."""
    graph = mlp(256, 128, 64, 10)
    network = Network(graph, plan(graph, device("ice40-up5k"), None))
    cycles = {part.node: part.cycles for part in network.parts if part.node and part.node.startswith("fc")}
    slowest = max(cycles.values())
    assert all(count * 4 > slowest for name, count in cycles.items() if name != "fc2"), cycles


def test_pins_are_kept(digits: Graph) -> None:
    chosen = plan(
        digits,
        device("ecp5-25k"),
        engines={"Gemm_1": "addsub"},
        folds={"Gemm_1": Folding(3, 7), "BipolarQuant_4": Folding(5, 5)},
    )
    assert chosen.nodes["Gemm_1"].engine == "addsub"
    assert chosen.nodes["Gemm_1"].folding == Folding(3, 7)
    assert chosen.nodes["BipolarQuant_4"].folding == Folding(5, 5)
    assert interval(digits, chosen) == Network(digits, chosen).cost.cycles


def test_a_board_reserves_what_its_host_link_needs(digits: Graph) -> None:
    smallest = Network(digits, plan(digits, device("ice40-up5k"), Smallest())).cost
    tight = replace(device("ice40-up5k"), luts=round((smallest.luts + 300) / FILL))
    assert Network(digits, plan(digits, tight, Smallest())).cost.luts <= smallest.luts
    with pytest.raises(PlanError, match=r"smallest plan needs \d+ LUT of -?\d+ and \d+ FF of -?\d+ to be had"):
        plan(digits, tight, Smallest(), board=True)


REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("fps without clock", {"goal": Fps(10), "clock_mhz": None}, "--clock"),
    ("fps out of reach", {"goal": Fps(1e9)}, "reaches .* frames/s"),
    ("no fps", {"goal": Fps(0)}, "above 0"),
    ("unknown node", {"folds": {"fc9": Folding(1, 1)}}, "not 'fc9'. They are fc0, sign0, fc1"),
    ("unknown engine", {"engines": {"fc0": "magic"}}, "one of xnor, addsub"),
    ("engine of a threshold", {"engines": {"sign0": "xnor"}}, "one of threshold"),
    ("engine without DSPs", {"engines": {"fc0": "multiply_dsp"}}, "ice40-hx8k has no DSP blocks"),
    ("too wide", {"folds": {"fc0": Folding(17, 1)}}, "between 1x1 and 16x24"),
    (
        "fewer lanes out than in",
        {"folds": {"sign0": Folding(1, 4)}},
        "--fold sign0 must give 4 for 4 lanes, 4x4, not 1x4",
    ),
    ("spatial folded", {"engines": {"fc0": "spatial"}, "folds": {"fc0": Folding(2, 2)}}, "16x24"),
]


@pytest.mark.parametrize(("arguments", "says"), [pytest.param(*case[1:], id=case[0]) for case in REFUSED])
def test_refusals(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        plan(mlp(24, 16, 4), device("ice40-hx8k"), **({"clock_mhz": CLOCK} | arguments))  # type: ignore[arg-type]


def test_the_frames_a_second_that_are_said_to_be_within_reach_are() -> None:
    graph, chip, clock = mlp(24, 16, 4), device("ice40-hx8k"), 47.29998
    with pytest.raises(PlanError, match="reaches") as refused:
        plan(graph, chip, Fps(1e9), clock_mhz=clock, folds={"fc0": Folding(1, 24)}, engines={"fc1": "spatial"})
    (reach,) = re.findall(r"reaches ([0-9,]+) frames/s", str(refused.value))
    fps = Fps(int(reach.replace(",", "")))
    assert plan(graph, chip, fps, clock_mhz=clock, folds={"fc0": Folding(1, 24)}, engines={"fc1": "spatial"})


def test_a_network_that_does_not_fit_says_by_how_much_and_where_it_would() -> None:
    graph = mlp(1024, 1024, 10)
    with pytest.raises(PlanError, match=r"smallest plan needs \d+ BRAM of 30 to be had. It fits ecp5-45k, ecp5-85k"):
        plan(graph, device("ice40-up5k"))
    with pytest.raises(PlanError, match="none of the known devices"):
        plan(mlp(2048, 2048, 10), device("ice40-up5k"))


def test_a_goal_out_of_reach_says_by_what_and_where_it_is_not() -> None:
    rng = np.random.default_rng(0)
    source = Input("in", (), Type((64,), -128, 127))
    graph = Graph((source, Dense.of("fc", source, rng.integers(-128, 128, (64, 64)))), "fc")
    goal = Fps(CLOCK * 1e6 / 32)
    with pytest.raises(
        PlanError, match=r"In 32 cycles the nodes need \d+ \w+ of \d+.*, which .* would have"
    ) as refused:
        plan(graph, device("gw1n-9"), goal, clock_mhz=CLOCK)
    (others,) = re.findall(r"which ([\w, -]+) would have", str(refused.value))
    for name in others.split(", "):
        assert interval(graph, plan(graph, device(name), goal, clock_mhz=CLOCK)) <= 32
    with pytest.raises(PlanError, match=r"In 8 cycles no engine does pool\."):
        plan(pooled(), device("ecp5-85k"), Fps(CLOCK * 1e6 / 8), clock_mhz=CLOCK)


def test_more_speed_is_explained_by_what_the_whole_network_needs(digits: Graph) -> None:
    """Its figure is of the network as it would be built; where no engine is that fast, by the nodes it is so for."""
    lines = plan(digits, device("ice40-up5k"), Smallest()).explanation
    now, twice = (
        [int(share) for share in re.findall(r"(\d+)%", line)]
        for line in lines
        if line.startswith(("Of what is left", "Twice the speed takes"))
    )
    assert all(more >= share for more, share in zip(twice, now, strict=True)), lines
    lines = plan(pooled(), device("ecp5-85k"), Latency()).explanation
    assert lines[-1] == "Twice the speed is more than any engine gives pool."


@pytest.mark.parametrize("goal", [None, Fps(CLOCK * 1e6 / 24)], ids=str)
def test_nodes_that_wait_less_in_other_lanes_take_those(goal: Goal | None, tmp_path: Path) -> None:
    """The streams of a Concat of one tensor with itself wait for one another in the lanes that cost the least."""
    net = Net(3, 4, 5)
    x = net.quant("input")
    total = net.op("ReduceSum", net.op("Concat", x, x, axis=1), np.array([1]))
    (tmp_path / "model.onnx").write_bytes(net.model(net.quant(total, 1.0, 5)).SerializeToString())
    graph = load(tmp_path / "model.onnx").graph
    assert interval(graph, plan(graph, device("ecp5-85k"), goal, clock_mhz=CLOCK)) == 24


def pooled() -> Graph:
    """A pool whose windows overlap, of which no engine takes several places of the kernel at once."""
    source = Input("in", (), Type((4, 4, 2), 0, 7))
    pool = Pool.of("pool", source, "max", Window((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1))))
    return Graph((source, pool), "pool")


@pytest.mark.parametrize("text", ["fc1", "=2x3", "fc1=", "fc1=2", "fc1=2x", "fc1=axb", "fc1=-1x2"])
def test_folds_that_are_none(text: str) -> None:
    with pytest.raises(LutwrightError, match="NODE=PExSIMD"):
        parse_fold(text)


def test_options_are_parsed() -> None:
    assert parse_fold("a=b=12x3") == ("a=b", Folding(12, 3))
    assert parse_pin("fc1=xnor") == ("fc1", "xnor")
    assert parse_pin("a::b=c=xnor") == ("a::b=c", "xnor")
    assert parse_pin("a=conv3=winograd:m=2,strassen=1") == ("a=conv3", "winograd:m=2,strassen=1")
    assert parse_goal(fps=None, latency=False, smallest=False) is None
    assert parse_goal(fps=3.0, latency=False, smallest=False) == Fps(3.0)
    with pytest.raises(OptionError, match="only one"):
        parse_goal(fps=None, latency=True, smallest=True)


def test_unknown_devices() -> None:
    with pytest.raises(OptionError, match=r"ice40-up5k.*xc7"):
        device("spartan")
    assert set(engines()) >= {"xnor", "addsub", "multiply", "multiply_dsp", "spatial"}


def test_nodes_without_hardware_are_all_named() -> None:
    x = Input("in", (), Type((1, 4, 4, 2), 0, 3))
    deep = Conv.of("deep", x, np.ones((3, 1, 2, 2, 2), np.int64), np.zeros(3, np.int64), Window.of((1, 2, 2)))
    flat = Reshape.of("flat", deep, (3, 3, 3))
    pool = Pool.of("pool", flat, "max", Window.of((3, 3)))
    left, right = Reshape.of("left", pool, (1, 3)), Reshape.of("right", pool, (3, 1))
    nodes = (x, deep, flat, pool, left, right, MatMul.of("both", left, right))
    with pytest.raises(PlanError, match=r"'deep' \(Conv\) must slide.*; 'both' \(MatMul of \(1, 3\) by"):
        plan(Graph(nodes, "both"), device("ecp5-25k"))


def test_embeddings_give_as_many_elements_at_once_as_the_goal_asks() -> None:
    rng = np.random.default_rng(0)
    x = Input("in", (), Type((6,), 0, 19))
    rows = Embedding.of("rows", x, rng.integers(-2, 2, (20, 12)), 0)
    flat = Reshape.of("flat", rows, (72,))
    graph = Graph((x, rows, flat, Dense.of("fc", flat, rng.choice((-1, 1), (4, 72)))), "fc")
    ecp5 = device("ecp5-25k")
    lanes = {
        goal: plan(graph, ecp5, goal, clock_mhz=CLOCK).nodes["rows"].folding
        for goal in (Smallest(), Fps(CLOCK * 1e6 / 24), Latency())
    }
    assert lanes == {Smallest(): Folding(1, 1), Fps(CLOCK * 1e6 / 24): Folding(3, 1), Latency(): Folding(12, 1)}
    assert plan(graph, ecp5, folds={"rows": Folding(4, 1)}).nodes["rows"].folding == Folding(4, 1)
    with pytest.raises(PlanError, match="--fold rows must take one index at a time, such as 4x1, not 4x2"):
        plan(graph, ecp5, folds={"rows": Folding(4, 2)})


@pytest.mark.parametrize(("groups", "name"), [(1, r"'nothing_window' \(Unfold\)"), (2, r"'nothing' \(Conv\)")])
def test_a_window_over_nothing_is_named(groups: int, name: str) -> None:
    """The places of this kernel lie above and below the only row."""
    x = Input("in", (), Type((1, 3, 2), 0, 3))
    window = Window((2, 1), (1, 1), (2, 1), ((1, 1), (0, 0)))
    weight = np.ones((2, 2, 1, 2 // groups), np.int64)
    conv = Conv.of("nothing", x, weight, np.zeros(2, np.int64), window, groups)
    with pytest.raises(PlanError, match=rf"{name} can't be built with 1 lanes: a window must hold some of its input"):
        plan(Graph((x, conv), "nothing"), device("ecp5-25k"))


@pytest.mark.slow
def test_no_pool_makes_other_nodes_wait(models: Path) -> None:
    """Pools without a buffer give their lines in bursts, which the small buffers behind them can't take in time."""
    graph = load(models / "neudet_v4_int8_qoperator" / "model.onnx").graph
    chosen = plan(graph, device("ecp5-85k"))
    network = Network(graph, chosen)
    assert network.timing().interval == network.cost.cycles
    assert {node.engine for name, node in chosen.nodes.items() if "max_pool" in name} == {"pool"}
    bursty = replace(
        chosen, nodes={n: replace(k, engine="separate") if k.engine == "pool" else k for n, k in chosen.nodes.items()}
    )
    assert Network(graph, bursty).timing().interval > network.timing().interval


@pytest.mark.parametrize(
    ("goal", "pool", "queues", "interval"),
    [
        (None, "separate", {"dense:0"}, 12),
        (None, None, set(), 12),
        (Smallest(), "separate", set(), 15),
        (Latency(), "separate", set(), 15),
        (Smallest(), None, set(), 12),
        (Latency(), None, set(), 12),
    ],
)
def test_bursts_are_evened_out_by_a_queue_or_another_pool(
    goal: Goal | None, pool: str | None, queues: set[str], interval: int
) -> None:
    x = Input("in", (), Type((2, 6, 1), 0, 1))
    peaks = Pool.of("pool", x, "max", Window((2, 1), (2, 1), (1, 1), ((0, 0), (0, 0))))
    graph = Graph((x, peaks, Dense.of("dense", peaks, np.array([[1], [2]]))), "dense")
    pins, folds = {"pool": pool} if pool else {}, {"dense": Folding(1, 1)}
    made = plan(graph, device("ecp5-25k"), goal, engines=pins, folds=folds)
    network = Network(graph, made)
    assert {name for name, depth in made.queues.items() if depth} == queues
    assert (network.cost.cycles, network.timing().interval) == (12, interval)


@pytest.mark.parametrize(("cycles", "queues", "interval"), [(1300, set(), 1244), (1200, {"dense:0"}, 960)])
def test_fps_evens_bursts_out_only_where_it_has_to(cycles: int, queues: set[str], interval: int) -> None:
    x, rng = Input("in", (), Type((2, 40, 8), 0, 255)), np.random.default_rng(0)
    peaks = Pool.of("pool", x, "max", Window((2, 1), (2, 1), (1, 1), ((0, 0), (0, 0))))
    graph = Graph((x, peaks, Dense.of("dense", peaks, rng.choice((97, 113, -83), (6, 8)))), "dense")
    made = plan(graph, device("ecp5-25k"), Fps(1e6 / cycles), engines={"pool": "separate"}, clock_mhz=1)
    network = Network(graph, made)
    assert {name for name, depth in made.queues.items() if depth} == queues
    assert (network.cost.cycles, network.timing().interval) == (960, interval)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_grouped_convolution_computes_its_groups_only(kernel: int) -> None:
    x, rng = Input("in", (), Type((6, 6, 8), 0, 15)), np.random.default_rng(0)
    window = Window((kernel, kernel), (1, 1), (1, 1), ((kernel // 2,) * 2,) * 2)
    weight = rng.choice((-3, -2, 2, 3), (12, kernel, kernel, 2))
    conv = Conv.of("conv", x, weight, np.zeros(12, np.int64), window, groups=4)
    graph, ecp5 = Graph((x, conv), "conv"), device("ecp5-85k")
    smallest = Network(graph, plan(graph, ecp5, Smallest()))
    assert smallest.timing().interval == smallest.cost.cycles == 36 * 12 * kernel**2 * 2
    fast = plan(graph, ecp5, Fps(CLOCK * 1e6 / 100), clock_mhz=CLOCK)
    assert fast.nodes["conv"].folding.simd >= 2 * 2 * kernel**2  # groups at once
    assert Network(graph, fast).timing().interval <= 100
