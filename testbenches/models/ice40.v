// The LUT, with its contents as a port: netlist.py makes one of that parameter.
module lutwright_SB_LUT4 (output O, input I0, I1, I2, I3, input [15:0] LUT_INIT);
  assign O = LUT_INIT[{I3, I2, I1, I0}];
endmodule
