"""Frames as arrays of words are what `Beats` packs one by one; memories' contents go to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.testbenches.memories import with_files
from lutwright.testbenches.words import lasts, pack_words, unpack_words, word_count

from ..hdl.networks import drawn

CASES = [
    (Type((5,), 0, 1), 5),
    (Type((3, 4), -8, 7), 2),
    (Type((2, 2, 31), 0, 1), 31),
    (Type((2, 32), 0, 1), 32),
    (Type((7,), -128, 127), 3),
    (Type((100,), -4, 3), 100),
    (Type((4, 3), -(1 << 34), 5), 3),
    (Type((2,), -(1 << 62), (1 << 62) - 1), 2),
]


@pytest.mark.parametrize(("x", "lanes"), CASES)
def test_words(x: Type, lanes: int) -> None:
    beats, samples = Beats(x, lanes), drawn(x, 9, 0)
    words = pack_words(beats, samples)
    assert words.shape == (9 * beats.per_frame, word_count(beats.bits))
    values = [sum(int(word) << 32 * index for index, word in enumerate(row)) for row in words]
    assert values == [value for sample in samples for value in beats.pack(sample)]
    np.testing.assert_array_equal(unpack_words(beats, words), samples)
    assert lasts(beats, words).tolist() == 9 * [[False] * (beats.per_frame - 1) + [True]]


VERILOG = """  reg [7:0] \\w$1  [2:0];
  initial begin
    \\w$1 [0] = 8'h2a;
    \\w$1 [1] = 8'hfe;
    \\w$1 [2] = 8'h00;
  end
  initial begin
    partly[0] = 8'hxx;
    partly[1] = 8'h01;
  end
  initial begin
    late[1] = 8'h01;
  end
"""


def test_memories_in_files(tmp_path: Path) -> None:
    made = with_files(VERILOG, tmp_path)
    assert '  initial $readmemh("memory0.hex", \\w$1 );\n' in made
    assert made.endswith(VERILOG[VERILOG.index("  initial begin\n    partly") :])
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"memory0.hex": "2a\nfe\n00\n"}
