// A simulated board `DUT` between two ends of bytes: serializes `down_count` bytes of `down_data` (the lowest first) into
// its pin rx whenever `down_turn` changes, `down_done` then follows; what comes out of its pin tx is appended to the
// ring `up_data`, `up_head` counts the bytes.
module uart_harness #(
    parameter DIVISOR = 8,
    parameter BYTES = 128
) (
    input clk  /*verilator public_flat_rw*/,
    input rst  /*verilator public_flat_rw*/
);
  reg [8*BYTES-1:0] down_data  /*verilator public_flat_rw*/, up_data  /*verilator public_flat_rw*/;
  reg [31:0] down_count  /*verilator public_flat_rw*/, up_head  /*verilator public_flat_rw*/, down_sent;
  reg down_turn  /*verilator public_flat_rw*/, down_done  /*verilator public_flat_rw*/;
  reg [9:0] down_shift;
  reg [8:0] up_shift;
  integer down_bits, down_clocks, up_bits, up_clocks;
  wire tx;

  `DUT dut (.clk(clk), .rst(rst), .rx(down_shift[0]), .tx(tx));

  initial begin
    down_turn = 0;
    down_done = 0;
    down_count = 0;
    down_sent = 0;
    down_shift = '1;
    down_bits = 0;
    up_data = 0;
    up_head = 0;
    up_bits = 0;
  end

  always @(posedge clk)
    if (down_bits == 0) begin
      if (down_turn != down_done) begin
        if (down_sent == down_count) begin
          down_done <= down_turn;
          down_sent <= 0;
        end else begin
          down_shift <= {1'b1, down_data[8*down_sent+:8], 1'b0};
          down_sent <= down_sent + 1;
          down_bits <= 10;
          down_clocks <= DIVISOR - 1;
        end
      end
    end else if (down_clocks != 0) down_clocks <= down_clocks - 1;
    else begin
      down_shift <= {1'b1, down_shift[9:1]};
      down_bits <= down_bits - 1;
      down_clocks <= DIVISOR - 1;
    end

  // The line is sampled in the middle of each bit; the start bit comes out at the bottom after eight more.
  always @(posedge clk)
    if (up_bits == 0) begin
      up_clocks <= DIVISOR / 2 - 1;
      if (!tx && !rst) up_bits <= 10;
    end else if (up_clocks != 0) up_clocks <= up_clocks - 1;
    else begin
      up_shift <= {tx, up_shift[8:1]};
      up_clocks <= DIVISOR - 1;
      up_bits <= up_bits - 1;
      if (up_bits == 1 && tx) begin
        up_data[8*(up_head%BYTES)+:8] <= up_shift[8:1];
        up_head <= up_head + 1;
      end
    end
endmodule
