// Streams the frames of a file through the verilated module `Vdut`, and writes what comes out and in which cycles.
// Arguments: inputs, outputs, cycles (paths), beats of a frame in and out, bits of a beat in, stalls of the source and
// of the sink (in 1024 cycles), seed, and how many cycles in a row may move no beat.
// A beat is as many 32-bit words as its bits need, low word first. A frame's cycles are two int64: first beat in, last
// beat out. Standard output gets lines of frames and cycles so far. Exits with 3 where the module hangs, with 4 where
// it changes valid or payload before ready.
#include <verilated.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "Vdut.h"

namespace {

using Words = std::vector<uint32_t>;

template <typename Port>
void put(Port& port, const uint32_t* words) {
    uint64_t value = words[0];
    if (sizeof(Port) > 4) value |= uint64_t(words[1]) << 32;
    port = Port(value);
}
template <std::size_t N>
void put(VlWide<N>& port, const uint32_t* words) {
    for (std::size_t k = 0; k < N; ++k) port[k] = words[k];
}
template <typename Port>
void get(const Port& port, uint32_t* words) {
    words[0] = uint32_t(port);
    if (sizeof(Port) > 4) words[1] = uint32_t(uint64_t(port) >> 32);
}
template <std::size_t N>
void get(const VlWide<N>& port, uint32_t* words) {
    for (std::size_t k = 0; k < N; ++k) words[k] = port[k];
}

// Xorshift (Marsaglia, 2003), drawn as in stream_harness.sv: a seed means the same here and there.
struct Stalls {
    uint32_t state;

    bool operator()(unsigned of_1024) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        return (state >> 8 & 1023) < of_1024;
    }
};

Words all(const char* path) {
    FILE* file = std::fopen(path, "rb");
    if (!file) std::exit(2);
    std::fseek(file, 0, SEEK_END);
    Words words(std::ftell(file) / 4);
    std::rewind(file);
    if (std::fread(words.data(), 4, words.size(), file) != words.size()) std::exit(2);
    std::fclose(file);
    return words;
}

}  // namespace

int main(int, char** argv) {
    const Words inputs = all(argv[1]);
    FILE* outputs = std::fopen(argv[2], "wb");
    FILE* cycles = std::fopen(argv[3], "wb");
    if (!outputs || !cycles) return 2;
    const long beats_in = std::atol(argv[4]), beats_out = std::atol(argv[5]), bits = std::atol(argv[6]);
    const unsigned source = std::atol(argv[7]), sink = std::atol(argv[8]);
    Stalls stall{uint32_t(std::atol(argv[9]))};
    const long patience = std::atol(argv[10]);

    VerilatedContext context;
    context.randReset(2);  // what is not initialized is drawn at random
    context.randSeed(1);
    Vdut dut{&context};
    const std::size_t wide = (sizeof(dut.i_payload) + 3) / 4;
    Words noise(wide), taken((sizeof(dut.o_payload) + 3) / 4), kept(taken.size());
    const long total = inputs.size() / wide, frames = total / beats_in;
    std::vector<int64_t> first(frames), last(frames);

    const auto edge = [&dut] {
        dut.clk = 1;
        dut.eval();
        dut.clk = 0;
    };
    dut.clk = 0;
    dut.rst = 1;
    for (int k = 0; k < 3; ++k) {
        dut.eval();
        edge();
    }
    dut.rst = 0;

    long fed = 0, given = 0, moved = 0, cycle = 0;
    bool held = false;
    const auto offer = [&] {  // the next beat, or, where there is none or a stall, what must not be taken for one
        dut.i_valid = !stall(source) && fed < total;
        for (std::size_t k = 0; k < wide; ++k) {
            const uint32_t word = fed < total ? inputs[fed * wide + k] : 0;
            const long above = bits - 32 * long(k);
            noise[k] = dut.i_valid ? word : ~word & (above >= 32 ? ~0u : above > 0 ? (1u << above) - 1 : 0);
        }
        put(dut.i_payload, noise.data());
    };
    const auto tell = [&] {
        std::printf("%ld %ld\n", given / beats_out, cycle);
        std::fflush(stdout);
    };
    auto told = std::chrono::steady_clock::now();
    offer();
    dut.o_ready = !stall(sink);
    while (given < frames * beats_out) {
        dut.eval();
        const bool takes = dut.i_valid && dut.i_ready, gives = dut.o_valid && dut.o_ready;
        if (held || gives) get(dut.o_payload, taken.data());
        if (held && (!dut.o_valid || taken != kept)) return 4;
        held = dut.o_valid && !dut.o_ready;
        if (held) get(dut.o_payload, kept.data());
        if (gives) {
            std::fwrite(taken.data(), 4, taken.size(), outputs);
            if (++given % beats_out == 0) last[given / beats_out - 1] = cycle;
        }
        if (takes && fed++ % beats_in == 0) first[(fed - 1) / beats_in] = cycle;
        if (takes || gives) moved = cycle;
        if (cycle - moved > patience) return 3;
        edge();
        if (!dut.i_valid || takes) offer();
        dut.o_ready = !stall(sink);
        if ((++cycle & 4095) == 0) {
            const auto now = std::chrono::steady_clock::now();
            if (now - told > std::chrono::milliseconds(200)) {
                told = now;
                tell();
            }
        }
    }
    for (long frame = 0; frame < frames; ++frame) {
        const int64_t row[] = {first[frame], last[frame]};
        std::fwrite(row, sizeof row, 1, cycles);
    }
    if (std::fclose(outputs) || std::fclose(cycles)) return 2;
    tell();
    return 0;
}
