"""The driver against a simulated board: every byte goes through the simulated pins."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lutwright.boards.driver import BoardDriver, HostConfig
from lutwright.boards.framing import Decoder, Fault, Frame, Kind, encode
from lutwright.errors import DataError, LinkError
from lutwright.frontend.nodes import Dense
from lutwright.hdl.engines.base import StreamComponent
from lutwright.testbenches.board_runner import simulate_board, simulated_board
from lutwright.testbenches.cocotb_run import Simulator

from .test_link import CORES, DIGEST, inputs, layer, results, run_frames

Simulated = tuple[Dense, StreamComponent, str, HostConfig]


@pytest.fixture(scope="module")
def simulated() -> Iterator[Simulated]:
    node, core = layer(CORES[1])
    with simulated_board(core, DIGEST) as (url, config):
        yield node, core, url, config


@contextmanager
def raw(url: str) -> Iterator[socket.socket]:
    host, port = url.removeprefix("socket://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def talk(connection: socket.socket, line: bytes, wanted: int) -> list[Frame]:
    """The first `wanted` frames that come back."""
    connection.sendall(line)
    decoder, frames = Decoder(), list[Frame]()
    while len(frames) < wanted:
        frames += decoder.feed(connection.recv(4096))
    return frames


def test_driver_equals_evaluate(simulated: Simulated) -> None:
    node, core, url, config = simulated
    samples, seen = inputs(core, 40), list[tuple[int, int]]()
    with BoardDriver(url, config, patience=60) as board:
        outputs = board.run(samples, lambda done, total: seen.append((done, total)))
        assert (board.window, board.resent) == (2, 0)
    np.testing.assert_array_equal(outputs, node.evaluate(samples))
    assert seen == [(index + 1, 40) for index in range(40)]


def test_driver_works_again_after_garbage_and_half_a_request(simulated: Simulated) -> None:
    node, core, url, config = simulated
    samples = inputs(core, 5, seed=2)
    request = encode(run_frames(core, samples)[0])
    for start in (b"\x00\xff\x7d\x13", request[:-4], request + request[:9]):
        with raw(url) as connection:
            connection.sendall(start)
        with BoardDriver(url, config, patience=60) as board:
            np.testing.assert_array_equal(board.run(samples), node.evaluate(samples))


def test_pins_answer_broken_requests_with_a_fault(simulated: Simulated) -> None:
    node, core, url, _ = simulated
    samples = inputs(core, 1, seed=3)
    (request,), (good,) = run_frames(core, samples), results(node, core, samples)
    broken = bytearray(encode(request))
    broken[6] ^= 4
    with raw(url) as connection:
        for line, fault in (
            (bytes(broken), Fault.CRC),
            (encode(request)[:-3] + b"\x7e", Fault.CRC),
            (encode(Frame(Kind.RUN, 1, request.payload * 9)), Fault.LENGTH),
            (encode(Frame(0x33, 1)), Fault.KIND),
        ):
            (status,) = talk(connection, line, 1)
            assert (status.kind, status.payload[0]) == (Kind.STATUS, fault)
            assert talk(connection, encode(request), 1) == [good]


@contextmanager
def noisy(url: str, seed: int, every: int) -> Iterator[str]:
    """A line to `url` that breaks, drops or doubles one byte of about `every`, in both directions."""
    stop = threading.Event()

    def carry(source: socket.socket, sink: socket.socket, rng: random.Random) -> None:
        while not stop.is_set():
            try:
                data = source.recv(4096)
            except TimeoutError:
                continue
            sent = bytearray()
            for byte in data:
                action = rng.randrange(3 * every)
                sent += bytes({0: [byte ^ (1 << rng.randrange(8))], 1: [], 2: [byte, byte]}.get(action, [byte]))
            sink.sendall(sent)
            if not data:
                return

    with socket.create_server(("127.0.0.1", 0)) as server, raw(url) as board:
        host: list[socket.socket] = []

        def run() -> None:
            host.append(server.accept()[0])
            for end in (host[0], board):
                end.settimeout(0.1)
            back = threading.Thread(target=carry, args=(board, host[0], random.Random(seed)))
            back.start()
            carry(host[0], board, random.Random(seed + 1))
            back.join()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"socket://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()
            host[0].close()


@pytest.mark.parametrize("seed", [1, 2])
def test_driver_is_right_over_a_noisy_line(simulated: Simulated, seed: int) -> None:
    node, core, url, config = simulated
    samples = inputs(core, 60, seed)
    with noisy(url, seed, every=150) as line, BoardDriver(line, config, patience=0.5, attempts=20) as board:
        np.testing.assert_array_equal(board.run(samples), node.evaluate(samples), f"seed {seed}")


def test_no_samples_give_no_outputs(simulated: Simulated) -> None:
    _, core, url, config = simulated
    with BoardDriver(url, config, patience=60) as board:
        assert board.run(inputs(core, 0)).shape == (0, *core.o_beats.type.shape)


def test_another_design_is_refused(simulated: Simulated) -> None:
    _, _, url, config = simulated
    with pytest.raises(LinkError, match="7e7d01c0, another model"):
        BoardDriver(url, replace(config, digest=5), patience=60)


def test_samples_that_cannot_be_are_refused(simulated: Simulated) -> None:
    _, core, url, config = simulated
    with BoardDriver(url, config, patience=60) as board:
        with pytest.raises(DataError, match="lie in"):
            board.run(inputs(core, 2) + 1000)
        with pytest.raises(DataError, match="shape"):
            board.run(inputs(core, 2)[0])


@contextmanager
def _mute() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"


def test_a_mute_board_is_an_error() -> None:
    _, core = layer(CORES[1])
    config = HostConfig(core.i_beats, core.o_beats, DIGEST, 1_000_000)
    with _mute() as url, pytest.raises(LinkError, match="nothing understandable in 2 times"):
        BoardDriver(url, config, patience=0.1, attempts=2)


def test_a_port_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    _, core = layer(CORES[1])
    with pytest.raises(LinkError, match="must open"):
        BoardDriver(str(tmp_path / "ttyUSB7"), HostConfig(core.i_beats, core.o_beats, DIGEST, 1_000_000))


def test_host_config_comes_back() -> None:
    _, core = layer(CORES[0])
    config = HostConfig(core.i_beats, core.o_beats, DIGEST, 115200, 0.25)
    assert HostConfig.from_json(json.loads(json.dumps(config.to_json() | {"more": 1}))) == config


def test_a_board_that_holds_one_sample(quick_simulator: Simulator) -> None:
    node, core = layer(CORES[2])
    samples = inputs(core, 12)
    with (
        simulated_board(core, DIGEST, window=1, simulator=quick_simulator) as (url, config),
        BoardDriver(url, config, patience=60) as driver,
    ):
        np.testing.assert_array_equal(driver.run(samples), node.evaluate(samples))
        assert (driver.window, driver.resent) == (1, 0)


@pytest.mark.icarus
def test_simulate_board_in_icarus() -> None:
    node, core = layer(CORES[0])
    samples = inputs(core, 4)
    np.testing.assert_array_equal(simulate_board(core, samples, simulator="icarus"), node.evaluate(samples))
