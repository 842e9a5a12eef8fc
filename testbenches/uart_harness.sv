// A board's UART pins on one side, bytes on the other: `put` (as often as it toggles) queues the first `put_count` bytes of
// `put_bytes` for the pin rx; `got_bytes` holds the `got_count` bytes that came from the pin tx since `take` last toggled.
module uart_harness #(
    parameter DIVISOR = 8,
    parameter BYTES = 64
) (
    input clk,
    input rst,
    input put,
    input [15:0] put_count,
    input [8*BYTES-1:0] put_bytes,
    input take,
    output reg [15:0] got_count,
    output reg [8*BYTES-1:0] got_bytes,
    output reg idle
);
  reg rx, was_put, was_take;
  wire tx;
  byte unsigned queue[$], received[$];
  reg [9:0] sending;
  reg [8:0] taking;
  integer send_left, send_timer, take_left, take_timer, i;

  `DUT dut (.clk(clk), .rst(rst), .rx(rx), .tx(tx));

  initial begin
    rx = 1;
    was_put = 0;
    was_take = 0;
    got_count = 0;
    got_bytes = 0;
    idle = 1;
    send_left = 0;
    take_left = 0;
  end

  always @(posedge clk) begin
    was_put <= put;
    if (put != was_put) for (i = 0; i < put_count; i = i + 1) queue.push_back(put_bytes[8*i+:8]);
    if (send_left > 0) begin
      send_timer = send_timer - 1;
      if (send_timer == 0) begin
        send_timer = DIVISOR;
        send_left = send_left - 1;
        sending = {1'b1, sending[9:1]};
      end
    end
    if (send_left == 0 && queue.size() > 0) begin
      sending = {1'b1, queue.pop_front(), 1'b0};
      send_left = 10;
      send_timer = DIVISOR;
    end
    rx <= send_left > 0 ? sending[0] : 1'b1;
    idle <= send_left == 0 && queue.size() == 0;

    if (take_left == 0) begin
      if (!tx && !rst) begin
        take_left = 10;
        take_timer = DIVISOR / 2;
      end
    end else begin
      take_timer = take_timer - 1;
      if (take_timer == 0) begin
        take_timer = DIVISOR;
        take_left = take_left - 1;
        taking = {tx, taking[8:1]};
        if (take_left == 0) received.push_back(taking[7:0]);
      end
    end
    was_take <= take;
    if (take != was_take) begin
      got_count <= 0;
      got_bytes <= 0;
      for (i = 0; i < BYTES; i = i + 1)
        if (received.size() > 0) begin
          got_bytes[8*i+:8] <= received.pop_front();
          got_count <= i + 1;
        end
    end
  end
endmodule
