// A 16/18-kbit block RAM of two ports, as the blocks of ECP5 and Gowin are: 2048 bytes of BYTE bits.
// An address counts bits of the narrowest word. A wider word leaves its low address bits free; from two bytes a word on, a
// writing port takes them as byte enables. Reads are registered, from 0, and see what was there before the clock edge.
// ASYNC: the resets of the outputs don't wait for the clock.
// WRITE_MODE of a port that writes: 0 keeps its output, 1 puts out what is written, 2 what was there.
module lutwright_block_ram #(
    parameter BYTE = 9,
    parameter ASYNC = 0,
    parameter A_BITS = 1,
    parameter B_BITS = 1,
    parameter A_WRITE_MODE = 0,
    parameter B_WRITE_MODE = 0,
    parameter [2048*BYTE-1:0] INIT = 0
) (
    input a_clk, a_en, a_we, a_reset, b_clk, b_en, b_we, b_reset,
    input [13:0] a_address, b_address,
    input [4*BYTE-1:0] a_in, b_in,
    output reg [4*BYTE-1:0] a_out, b_out
);
  reg [BYTE-1:0] bytes[0:2047];
  integer i;

  initial begin
    for (i = 0; i < 2048; i = i + 1) bytes[i] = INIT[BYTE*i+:BYTE];
    a_out = 0;
    b_out = 0;
  end

  // Port a.
  localparam A_BYTES = A_BITS < BYTE ? 1 : A_BITS / BYTE;
  wire [10:0] a_first = a_address[13:3] & ~(A_BYTES - 1);
  wire [2:0] a_shift = a_address[2:0] & ~(A_BITS - 1);
  wire [A_BITS-1:0] a_old;
  generate
    genvar g;
    for (g = 0; g < A_BYTES; g = g + 1)
    begin : a_byte
      if (A_BITS < BYTE) begin
        wire [BYTE-1:0] shifted = bytes[a_first] >> a_shift;
        assign a_old = shifted[A_BITS-1:0];
        always @(posedge a_clk) if (a_en && a_we) bytes[a_first][a_shift+:A_BITS] <= a_in[A_BITS-1:0];
      end else begin
        assign a_old[BYTE*g+:BYTE] = bytes[a_first+g];
        always @(posedge a_clk)
          if (a_en && a_we && (A_BYTES == 1 || a_address[g])) bytes[a_first+g] <= a_in[BYTE*g+:BYTE];
      end
    end
  endgenerate
  wire [4*BYTE-1:0] a_new = a_we && A_WRITE_MODE == 1 ? a_in : a_old;
  wire a_keeps = !a_en || (a_we && A_WRITE_MODE == 0);
  generate
    if (ASYNC) begin
      always @(posedge a_clk or posedge a_reset)
        if (a_reset) a_out <= 0;
        else if (!a_keeps) a_out <= a_new;
    end else begin
      always @(posedge a_clk)
        if (a_reset) a_out <= 0;
        else if (!a_keeps) a_out <= a_new;
    end
  endgenerate

  // Port b.
  localparam B_BYTES = B_BITS < BYTE ? 1 : B_BITS / BYTE;
  wire [10:0] b_first = b_address[13:3] & ~(B_BYTES - 1);
  wire [2:0] b_shift = b_address[2:0] & ~(B_BITS - 1);
  wire [B_BITS-1:0] b_old;
  generate
    genvar h;
    for (h = 0; h < B_BYTES; h = h + 1)
    begin : b_byte
      if (B_BITS < BYTE) begin
        wire [BYTE-1:0] shifted = bytes[b_first] >> b_shift;
        assign b_old = shifted[B_BITS-1:0];
        always @(posedge b_clk) if (b_en && b_we) bytes[b_first][b_shift+:B_BITS] <= b_in[B_BITS-1:0];
      end else begin
        assign b_old[BYTE*h+:BYTE] = bytes[b_first+h];
        always @(posedge b_clk)
          if (b_en && b_we && (B_BYTES == 1 || b_address[h])) bytes[b_first+h] <= b_in[BYTE*h+:BYTE];
      end
    end
  endgenerate
  wire [4*BYTE-1:0] b_new = b_we && B_WRITE_MODE == 1 ? b_in : b_old;
  wire b_keeps = !b_en || (b_we && B_WRITE_MODE == 0);
  generate
    if (ASYNC) begin
      always @(posedge b_clk or posedge b_reset)
        if (b_reset) b_out <= 0;
        else if (!b_keeps) b_out <= b_new;
    end else begin
      always @(posedge b_clk)
        if (b_reset) b_out <= 0;
        else if (!b_keeps) b_out <= b_new;
    end
  endgenerate
endmodule
