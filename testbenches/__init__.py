"""cocotb benches and their runner: Verilog, netlists and board tops against the golden model."""
