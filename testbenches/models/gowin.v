// Gowin's LUTs, with their contents as a port: netlist.py makes one of that parameter; and its blocks, which Yosys has no
// models of, in the modes that Yosys maps to.
module lutwright_LUT1 (output F, input I0, input [1:0] INIT);
  assign F = INIT[{I0}];
endmodule

module lutwright_LUT2 (output F, input I0, I1, input [3:0] INIT);
  assign F = INIT[{I1, I0}];
endmodule

module lutwright_LUT3 (output F, input I0, I1, I2, input [7:0] INIT);
  assign F = INIT[{I2, I1, I0}];
endmodule

module lutwright_LUT4 (output F, input I0, I1, I2, I3, input [15:0] INIT);
  assign F = INIT[{I3, I2, I1, I0}];
endmodule

// 64 rows of contents, of 32 bytes each.
`define ROWS \
  parameter RESET_MODE = "SYNC"; \
  parameter [32*BYTE-1:0] INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_04 = 0, INIT_RAM_05 = 0, INIT_RAM_06 = 0, INIT_RAM_07 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_10 = 0, INIT_RAM_11 = 0, INIT_RAM_12 = 0, INIT_RAM_13 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_1C = 0, INIT_RAM_1D = 0, INIT_RAM_1E = 0, INIT_RAM_1F = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_28 = 0, INIT_RAM_29 = 0, INIT_RAM_2A = 0, INIT_RAM_2B = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_34 = 0, INIT_RAM_35 = 0, INIT_RAM_36 = 0, INIT_RAM_37 = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0; \
  parameter [32*BYTE-1:0] INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0; \
  localparam [2048*BYTE-1:0] INIT = { \
      INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A, INIT_RAM_39, INIT_RAM_38, \
      INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34, INIT_RAM_33, INIT_RAM_32, INIT_RAM_31, INIT_RAM_30, \
      INIT_RAM_2F, INIT_RAM_2E, INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28, \
      INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, INIT_RAM_23, INIT_RAM_22, INIT_RAM_21, INIT_RAM_20, \
      INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, INIT_RAM_1C, INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18, \
      INIT_RAM_17, INIT_RAM_16, INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10, \
      INIT_RAM_0F, INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A, INIT_RAM_09, INIT_RAM_08, \
      INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04, INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, INIT_RAM_00};

module SP (
    input CLK, CE, OCE, WRE, RESET,
    input [2:0] BLKSEL,
    input [13:0] AD,
    input [31:0] DI,
    output [31:0] DO
);
  localparam BYTE = 8;
  parameter READ_MODE = 0, WRITE_MODE = 0, BIT_WIDTH = 32, BLK_SEL = 0;
  `ROWS
  wire [31:0] unused;
  lutwright_block_ram #(
      .BYTE(BYTE), .ASYNC(RESET_MODE == "ASYNC"), .A_BITS(BIT_WIDTH), .B_BITS(1), .A_WRITE_MODE(WRITE_MODE), .INIT(INIT)
  ) ram (
      .a_clk(CLK), .a_en(CE), .a_we(WRE), .a_reset(RESET), .a_address(AD), .a_in(DI), .a_out(DO),
      .b_clk(CLK), .b_en(1'b0), .b_we(1'b0), .b_reset(1'b0), .b_address(14'd0), .b_in(32'd0), .b_out(unused)
  );
endmodule

module DPB (
    input CLKA, CEA, OCEA, WREA, RESETA, CLKB, CEB, OCEB, WREB, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [15:0] DIA, DIB,
    output [15:0] DOA, DOB
);
  localparam BYTE = 8;
  parameter READ_MODE0 = 0, READ_MODE1 = 0, WRITE_MODE0 = 0, WRITE_MODE1 = 0;
  parameter BIT_WIDTH_0 = 16, BIT_WIDTH_1 = 16, BLK_SEL_0 = 0, BLK_SEL_1 = 0;
  `ROWS
  wire [31:0] a_out, b_out;
  assign DOA = a_out[15:0];
  assign DOB = b_out[15:0];
  lutwright_block_ram #(
      .BYTE(BYTE), .ASYNC(RESET_MODE == "ASYNC"), .A_BITS(BIT_WIDTH_0), .B_BITS(BIT_WIDTH_1), .INIT(INIT),
      .A_WRITE_MODE(WRITE_MODE0), .B_WRITE_MODE(WRITE_MODE1)
  ) ram (
      .a_clk(CLKA), .a_en(CEA), .a_we(WREA), .a_reset(RESETA), .a_address(ADA), .a_in({16'd0, DIA}), .a_out(a_out),
      .b_clk(CLKB), .b_en(CEB), .b_we(WREB), .b_reset(RESETB), .b_address(ADB), .b_in({16'd0, DIB}), .b_out(b_out)
  );
endmodule

module SDPB (
    input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [31:0] DI,
    output [31:0] DO
);
  localparam BYTE = 8;
  parameter READ_MODE = 0, BIT_WIDTH_0 = 32, BIT_WIDTH_1 = 32, BLK_SEL_0 = 0, BLK_SEL_1 = 0;
  `ROWS
  wire [31:0] unused;
  lutwright_block_ram #(
      .BYTE(BYTE), .ASYNC(RESET_MODE == "ASYNC"), .A_BITS(BIT_WIDTH_0), .B_BITS(BIT_WIDTH_1), .INIT(INIT)
  ) ram (
      .a_clk(CLKA), .a_en(CEA), .a_we(1'b1), .a_reset(RESETA), .a_address(ADA), .a_in(DI), .a_out(unused),
      .b_clk(CLKB), .b_en(CEB), .b_we(1'b0), .b_reset(RESETB), .b_address(ADB), .b_in(32'd0), .b_out(DO)
  );
endmodule

module SPX9 (
    input CLK, CE, OCE, WRE, RESET,
    input [2:0] BLKSEL,
    input [13:0] AD,
    input [35:0] DI,
    output [35:0] DO
);
  localparam BYTE = 9;
  parameter READ_MODE = 0, WRITE_MODE = 0, BIT_WIDTH = 36, BLK_SEL = 0;
  `ROWS
  wire [35:0] unused;
  lutwright_block_ram #(
      .BYTE(BYTE), .ASYNC(RESET_MODE == "ASYNC"), .A_BITS(BIT_WIDTH), .B_BITS(1), .A_WRITE_MODE(WRITE_MODE), .INIT(INIT)
  ) ram (
      .a_clk(CLK), .a_en(CE), .a_we(WRE), .a_reset(RESET), .a_address(AD), .a_in(DI), .a_out(DO),
      .b_clk(CLK), .b_en(1'b0), .b_we(1'b0), .b_reset(1'b0), .b_address(14'd0), .b_in(36'd0), .b_out(unused)
  );
endmodule

module DPX9B (
    input CLKA, CEA, OCEA, WREA, RESETA, CLKB, CEB, OCEB, WREB, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [17:0] DIA, DIB,
    output [17:0] DOA, DOB
);
  localparam BYTE = 9;
  parameter READ_MODE0 = 0, READ_MODE1 = 0, WRITE_MODE0 = 0, WRITE_MODE1 = 0;
  parameter BIT_WIDTH_0 = 18, BIT_WIDTH_1 = 18, BLK_SEL_0 = 0, BLK_SEL_1 = 0;
  `ROWS
  wire [35:0] a_out, b_out;
  assign DOA = a_out[17:0];
  assign DOB = b_out[17:0];
  lutwright_block_ram #(
      .BYTE(BYTE), .ASYNC(RESET_MODE == "ASYNC"), .A_BITS(BIT_WIDTH_0), .B_BITS(BIT_WIDTH_1), .INIT(INIT),
      .A_WRITE_MODE(WRITE_MODE0), .B_WRITE_MODE(WRITE_MODE1)
  ) ram (
      .a_clk(CLKA), .a_en(CEA), .a_we(WREA), .a_reset(RESETA), .a_address(ADA), .a_in({18'd0, DIA}), .a_out(a_out),
      .b_clk(CLKB), .b_en(CEB), .b_we(WREB), .b_reset(RESETB), .b_address(ADB), .b_in({18'd0, DIB}), .b_out(b_out)
  );
endmodule

module SDPX9B (
    input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB,
    input [2:0] BLKSELA, BLKSELB,
    input [13:0] ADA, ADB,
    input [35:0] DI,
    output [35:0] DO
);
  localparam BYTE = 9;
  parameter READ_MODE = 0, BIT_WIDTH_0 = 36, BIT_WIDTH_1 = 36, BLK_SEL_0 = 0, BLK_SEL_1 = 0;
  `ROWS
  wire [35:0] unused;
  lutwright_block_ram #(
      .BYTE(BYTE), .ASYNC(RESET_MODE == "ASYNC"), .A_BITS(BIT_WIDTH_0), .B_BITS(BIT_WIDTH_1), .INIT(INIT)
  ) ram (
      .a_clk(CLKA), .a_en(CEA), .a_we(1'b1), .a_reset(RESETA), .a_address(ADA), .a_in(DI), .a_out(unused),
      .b_clk(CLKB), .b_en(CEB), .b_we(1'b0), .b_reset(RESETB), .b_address(ADB), .b_in(36'd0), .b_out(DO)
  );
endmodule

module MULT9X9 (
    input [8:0] A, SIA, B, SIB,
    input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [17:0] DOUT
);
  wire signed [17:0] a = {{9{ASIGN & A[8]}}, A};
  wire signed [17:0] b = {{9{BSIGN & B[8]}}, B};
  assign DOUT = a * b;
endmodule

module MULT18X18 (
    input [17:0] A, SIA, B, SIB,
    input ASIGN, BSIGN, ASEL, BSEL, CE, CLK, RESET,
    output [35:0] DOUT
);
  wire signed [35:0] a = {{18{ASIGN & A[17]}}, A};
  wire signed [35:0] b = {{18{BSIGN & B[17]}}, B};
  assign DOUT = a * b;
endmodule

module MULT36X36 (
    input [35:0] A, B,
    input ASIGN, BSIGN, CE, CLK, RESET,
    output [71:0] DOUT
);
  wire signed [71:0] a = {{36{ASIGN & A[35]}}, A};
  wire signed [71:0] b = {{36{BSIGN & B[35]}}, B};
  assign DOUT = a * b;
endmodule
