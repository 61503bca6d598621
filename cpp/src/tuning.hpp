// The numbers that were chosen by measuring or by the size of a cache, and how. None of them makes
// a result right or wrong; those of the first group decide in which order sums are formed, so
// another value changes last bits. "W1" and so on are the rows of bench/README.md.
#pragma once

#include <chrono>

#include "asymfast/views.hpp"

namespace asymfast::tuning {

// ---- how nodes and samples are cut (cpu/layout.hpp, cpu/sample_pass.hpp)

// Weights and gradient of a chunk: half of a second-level cache of 1 MB, so that both stay there.
inline constexpr Index kChunkBytes = 512 * 1024;
// A larger chunk would amortise reading X further, but W2's few nodes must make work for all
// threads: at least 16 chunks where there are as many blocks.
inline constexpr Index kMostBlocksOfChunk = 4, kWantedChunks = 16;
// Partial sums of the outputs, n k doubles each, are added up by one thread: no more of them than
// keep 64 threads busy with two each.
inline constexpr Index kMostSlots = 128;
// 96 samples of a block in float64 and AVX-512 are 12 KB, of the first-level cache's 32 KB.
inline constexpr Index kLargestTile = 96;
// Samples that are in registers together where inputs are few (two accumulators each, of 32
// registers with AVX-512, 16 before): W2 0.31 -> 0.28 ms.
template <int VectorBytes>
inline constexpr int kTogether = VectorBytes == 64 ? 6 : 2;
// Pairs of accumulators of the products, beside the operands, in as many registers.
template <int VectorBytes>
inline constexpr int kMostRows = VectorBytes == 64 ? 12 : 6;
// Up to so many inputs a pre-activation is cheaper computed again from registers than stored.
inline constexpr Index kFewInputs = 16;
// Up to so many inputs a copy of a tile of X, weighed by the residual, fits the first-level cache.
inline constexpr Index kMostWeighedInputs = 128;
// Through the samples: slopes of a tile for all nodes stay in the second-level cache; tiles of
// fewer than 12 samples lost to going through the nodes, as did fewer than 16 parts of 48 samples.
inline constexpr Index kSlopeBytes = 512 * 1024, kSmallestTile = 12, kSmallestPart = 48,
                       kFewestParts = 16, kMostParts = 32;

// ---- what is kept rather than computed again

// Slopes from the forward pass to the gradient, n m of them: with few inputs while they fit a
// third-level cache, else up to half a gigabyte. Where they come from main memory, computing them
// again took less time for d <= 16.
inline constexpr double kSlopesOfFewInputs = 8e6, kSlopesOfManyInputs = 512e6;
// Working memory of a call that takes samples in pieces, and the most samples of a piece.
inline constexpr Index kPieceBytes = 32 << 20, kMostSamples = 42 * kLargestTile;

// ---- neural tangent Gram matrices (cpu/ntg.cpp, cpu/ntg_of_slopes.cpp)

// Slopes of a group of nodes; more did not pay (W4b 12.5 ms), and memory is what users run out of.
inline constexpr double kGatheredSlopes = 32e6;
// Nodes whose products are summed one after the other: the two panels of a run and their products
// fit the first-level cache. Eight runs are summed in float, then in double; the error is that of
// 64 nodes in a row.
inline constexpr Index kRun = 32, kSummed = 8 * kRun;
// Nodes whose slopes are computed at a time: 64 of a block are 8 KB. Where two threads took these
// in turn, and not four times as many, W4a was 0.45 instead of 0.40 ms.
inline constexpr Index kNodesAtOnce = 64, kNodesOfTask = 4 * kNodesAtOnce;
// Nodes of a group of the matrix of all outputs: 512 doubles of a row are 4 KB.
inline constexpr Index kNodesOfGroup = 512;

// ---- leaps (train/leading_outputs.hpp, cpu/ntg_of_slopes.cpp)

// Outputs n k of which all are treated as fast, the most directions that are where there are more,
// and the most outputs whose matrix is made where that is less work than products with it.
inline constexpr Index kAllOutputs = 200, kMostDirections = 512, kMostDense = 4096;

// ---- Cholesky factors (cpu/cholesky.hpp): columns of a panel, rows of a piece of it, columns that
// are multiplied while in the first-level cache, rows of a piece of a solve. W6: 14.7 -> 10.4 ms.
inline constexpr Index kWide = 96, kTall = 64, kDeep = 192, kMany = 256;

// ---- threads

// Multiplications that are worth a thread: some 10 us, several times what it takes to start a team.
inline constexpr double kWorkOfThread = 1e5;
// How long who waits looks for the others before it sleeps, and before it lets other threads have
// its core between two looks (bench/busy.py).
inline constexpr std::chrono::microseconds kLooking{5000}, kUndisturbed{10};

}  // namespace asymfast::tuning
