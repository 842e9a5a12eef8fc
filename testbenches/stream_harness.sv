// Feeds a stream module `DUT` with the words of a file and writes what comes out, with cycles. Stalls are drawn at random.
// Plusargs: inputs, outputs, fed (paths), wanted (beats), source, sink (stalls in 1024 cycles), seed.
// `done` rises after the last wanted beat. `broken` rises when valid or payload changes before ready.
module stream_harness #(
    parameter W_IN = 1,
    parameter W_OUT = 1
) (
    input clk  /*verilator public_flat_rw*/,
    input rst  /*verilator public_flat_rw*/,
    output reg done  /*verilator public_flat_rw*/,
    output reg broken  /*verilator public_flat_rw*/
);
  reg i_valid, o_ready, held;
  reg [W_IN-1:0] i_payload, next;
  reg [W_OUT-1:0] kept;
  wire i_ready, o_valid;
  wire [W_OUT-1:0] o_payload;
  integer inputs, outputs, fed, wanted, source, sink, taken, cycle;
  reg [31:0] lfsr;
  string path;

  `DUT dut (
      .clk(clk), .rst(rst),
      .i_payload(i_payload), .i_valid(i_valid), .i_ready(i_ready),
      .o_payload(o_payload), .o_valid(o_valid), .o_ready(o_ready)
  );

  initial begin
    if (!$value$plusargs("inputs=%s", path)) $fatal;
    inputs = $fopen(path, "r");
    if (!$value$plusargs("outputs=%s", path)) $fatal;
    outputs = $fopen(path, "w");
    if (!$value$plusargs("fed=%s", path)) $fatal;
    fed = $fopen(path, "w");
    if (!$value$plusargs("wanted=%d", wanted)) $fatal;
    if (!$value$plusargs("source=%d", source)) $fatal;
    if (!$value$plusargs("sink=%d", sink)) $fatal;
    if (!$value$plusargs("seed=%d", lfsr)) $fatal;
    done = 0;
    broken = 0;
    taken = 0;
    cycle = 0;
    i_valid = 0;
    i_payload = 0;
    o_ready = 0;
    held = 0;
    kept = 0;
  end

  // Xorshift (Marsaglia, 2003), so that a seed means the same in every simulator.
  function automatic stall(input integer of_1024);
    lfsr = lfsr ^ (lfsr << 13);
    lfsr = lfsr ^ (lfsr >> 17);
    lfsr = lfsr ^ (lfsr << 5);
    stall = of_1024 > 0 && lfsr[17:8] < of_1024;
  endfunction

  always @(posedge clk)
    if (!rst) begin
      cycle <= cycle + 1;
      if (i_valid && i_ready) $fwrite(fed, "%0d\n", cycle);
      if (!i_valid || i_ready) begin
        i_valid <= 0;
        i_payload <= ~i_payload;
        if (!stall(source))  // nested, since && need not be lazy
          if ($fscanf(inputs, "%h\n", next) == 1) begin
            i_valid <= 1;
            i_payload <= next;
          end
      end
      o_ready <= !stall(sink);
      if (held && (!o_valid || o_payload !== kept)) broken <= 1;
      held <= o_valid && !o_ready;
      kept <= o_payload;
      if (o_valid && o_ready && taken < wanted) begin
        $fwrite(outputs, "%h %0d\n", o_payload, cycle);
        taken <= taken + 1;
        if (taken + 1 == wanted) begin
          $fflush(outputs);
          $fflush(fed);
          done <= 1;
        end
      end
    end
endmodule
