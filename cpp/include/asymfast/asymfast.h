/* The C interface of asymfast: wide shallow networks with asymmetrical node scaling,
 *
 *   f(x) = sum_j sqrt(lam_j) a_j sigma(w_j.x / sqrt d),
 *
 * for programs in C and for every language that can call C. All that is here comes from the C++
 * interface (asymfast.hpp), which has more: ensembles and views of the caller's own arrays.
 *
 * Arrays are row-major and contiguous. X (n, d) has one sample a row; `const void*` points to
 * elements of the network's dtype. Results go to memory of the caller, who owns it. Inputs are
 * taken as they are: of a NaN among them, or of numbers whose products leave the dtype's range,
 * come results that are NaN or infinite, with ASYMFAST_OK.
 *
 * Every function that can fail returns an asymfast_status: ASYMFAST_OK, or an error, whose sentence
 * asymfast_last_error() has for the thread that made the call. No C++ exception leaves the library,
 * and none may enter it: a callback must not throw or jump out.
 *
 * Threads: networks never change, so any number of threads may use one; a run belongs to one thread
 * at a time. Free each once. A null handle may be freed.
 *
 * Structs grow at their end only. Set struct_size to sizeof the struct and the rest to zero, which
 * means the default everywhere:
 *   asymfast_execution exec = {.struct_size = sizeof exec};
 */
#ifndef ASYMFAST_ASYMFAST_H
#define ASYMFAST_ASYMFAST_H

#include <stddef.h>
#include <stdint.h>

#include "asymfast/export.h"
#include "asymfast/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- versions and errors */

/* Of this header. A library serves every program compiled with its own number or a smaller one
 * that it still names as its oldest. */
#define ASYMFAST_ABI_VERSION 2

/* Of the library that is loaded; the oldest one that it still serves; its release, "0.1.0". */
ASYMFAST_API int32_t asymfast_abi_version(void);
ASYMFAST_API int32_t asymfast_oldest_abi_version(void);
ASYMFAST_API const char* asymfast_version(void);

typedef int32_t asymfast_status;
enum {
  ASYMFAST_OK = 0,
  ASYMFAST_INVALID_ARGUMENT = 1, /* nothing was done; the message names the argument */
  ASYMFAST_OUT_OF_MEMORY = 2,
  ASYMFAST_INTERRUPTED = 3, /* a callback said so; runs keep what was recorded */
  ASYMFAST_DIVERGED = 4,    /* of a run, which keeps what was recorded */
  ASYMFAST_FAILED = 5       /* anything else */
};

/* Why the last call that this thread made and that failed did so: one sentence, "" before the first
 * failure. Valid until the thread's next call that fails. */
ASYMFAST_API const char* asymfast_last_error(void);

/* ---- the machine */

/* The instruction set of the kernels in force: "v2", "v3", "v4" (x86-64), "generic" or "reference".
 * ASYMFAST_ISA in the environment forces one at load, use_isa from now on for the whole process. */
ASYMFAST_API const char* asymfast_isa(void);
ASYMFAST_API asymfast_status asymfast_use_isa(const char* isa);

/* How many threads a call gets that asks for none: 1 without OpenMP, or in a child after fork(). */
ASYMFAST_API int32_t asymfast_max_threads(void);

/* ---- how a call is carried out */

/* Called about every 50 ms on the thread that made the call; 0 ends it. In runs: how much is done,
 * of 1, and the loss; elsewhere both are NaN. */
typedef int32_t (*asymfast_progress)(double fraction, double loss, void* user);

typedef struct asymfast_execution {
  size_t struct_size;
  const char* backend;  /* null: "cpu"; "reference": plain loops that read like the paper */
  int32_t threads;      /* 0: as many as OpenMP offers. No result depends on it. */
  int32_t reserved;     /* 0 */
  double slopes_memory; /* bytes for intermediate values, which change no result; 0: default */
  asymfast_progress progress; /* or null */
  void* progress_user;
} asymfast_execution;

/* ---- networks */

typedef int32_t asymfast_dtype;
enum { ASYMFAST_FLOAT64 = 0, ASYMFAST_FLOAT32 = 1, ASYMFAST_INT64 = 2 /* of columns only */ };

typedef struct asymfast_network asymfast_network;

/* lam (m,): gamma / m + (1 - gamma) t_j / sum t with t_j = j^(-1/alpha). gamma 1 needs no alpha. */
ASYMFAST_API asymfast_status asymfast_node_scaling(int64_t m, double gamma, double alpha,
                                                   double* lam);

/* Copies W (m, d), a (m, k) and lam (m,). activation: "swish", "relu", "tanh", "erf", "gelu",
 * "softplus", "sigmoid", "sin", "cos" or "identity". */
ASYMFAST_API asymfast_status asymfast_network_create(asymfast_dtype dtype, int64_t m, int64_t d,
                                                     int64_t k, const void* W, const void* a,
                                                     const double* lam, const char* activation,
                                                     asymfast_network** network);

/* W standard normal, a uniform on {-1, +1}, lam by asymfast_node_scaling. */
ASYMFAST_API asymfast_status asymfast_network_init(asymfast_dtype dtype, int64_t m, int64_t d,
                                                   int64_t k, double gamma, double alpha,
                                                   const char* activation, uint64_t seed,
                                                   asymfast_network** network);

ASYMFAST_API void asymfast_network_free(asymfast_network* network);

/* Nodes, inputs, outputs and element type; a null pointer leaves one out. */
ASYMFAST_API asymfast_status asymfast_network_shape(const asymfast_network* network, int64_t* m,
                                                    int64_t* d, int64_t* k, asymfast_dtype* dtype);

/* Copies of W (m, d), a (m, k) and lam (m,); a null pointer leaves one out. */
ASYMFAST_API asymfast_status asymfast_network_weights(const asymfast_network* network, void* W,
                                                      void* a, double* lam);

/* f (n, k). execution may be null, here and below. */
ASYMFAST_API asymfast_status asymfast_forward(const asymfast_network* network, int64_t n,
                                              const void* X, void* f,
                                              const asymfast_execution* execution);

/* Against y (n, k). loss: "half_sse" (null, too), "mse" or "cross_entropy". */
ASYMFAST_API asymfast_status asymfast_loss(const asymfast_network* network, int64_t n,
                                           const void* X, const void* y, const char* loss,
                                           double* value, const asymfast_execution* execution);

/* G (m, d): dL/dw_j, one node a row. */
ASYMFAST_API asymfast_status asymfast_node_gradients(const asymfast_network* network, int64_t n,
                                                     const void* X, const void* y, const char* loss,
                                                     void* G, const asymfast_execution* execution);

/* H (n, m): sqrt(lam_j) sigma(w_j.x_i / sqrt d). */
ASYMFAST_API asymfast_status asymfast_features(const asymfast_network* network, int64_t n,
                                               const void* X, void* H,
                                               const asymfast_execution* execution);

/* The neural tangent Gram matrix K (n, n2), double, of outputs p and q (0 and 0 where k is 1):
 *   K_il = (x_i.x2_l / d) sum_j lam_j a_jp a_jq sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)).
 * X2 null: X once more, n2 being n; K is then exactly symmetric. */
ASYMFAST_API asymfast_status asymfast_ntg(const asymfast_network* network, int64_t p, int64_t q,
                                          int64_t n, const void* X, int64_t n2, const void* X2,
                                          double* K, const asymfast_execution* execution);

/* The smallest eigenvalue of the symmetric matrix K (n, n). */
ASYMFAST_API asymfast_status asymfast_min_eigenvalue(int64_t n, const double* K, double* value,
                                                     const asymfast_execution* execution);

/* ---- training */

/* What is recorded besides steps, time, evaluations, loss and weight_change. */
#define ASYMFAST_RECORD_NTG_CHANGE ((uint64_t)1 << 0)
#define ASYMFAST_RECORD_NTG_CHANGE_2NORM ((uint64_t)1 << 1)
#define ASYMFAST_RECORD_NTG_EIGMIN ((uint64_t)1 << 2)
#define ASYMFAST_RECORD_NTG_EIGMAX ((uint64_t)1 << 3)
#define ASYMFAST_RECORD_ALIGNMENT ((uint64_t)1 << 4)
#define ASYMFAST_RECORD_EFFECTIVE_RANK ((uint64_t)1 << 5)
#define ASYMFAST_RECORD_NTG_MATRIX ((uint64_t)1 << 6)
#define ASYMFAST_RECORD_WEIGHTS ((uint64_t)1 << 7)
#define ASYMFAST_RECORD_OUTPUT_WEIGHTS ((uint64_t)1 << 8)
#define ASYMFAST_RECORD_ACCURACY ((uint64_t)1 << 9)

/* Called after each record, test_loss being NaN without test data; 0 stops the run. */
typedef int32_t (*asymfast_on_record)(int64_t step, double time, double loss, double test_loss,
                                      void* user);

/* Gets the state of the run, valid during the call; 0 (it could not be kept) ends the run. */
typedef int32_t (*asymfast_checkpoint)(const void* state, size_t bytes, void* user);

typedef struct asymfast_run_options {
  size_t struct_size;
  const char* loss; /* null: "half_sse" */

  const void* X_test; /* (n_test, d) and (n_test, k), or null */
  const void* y_test;
  int64_t n_test;

  /* When to record: at the start and every N-th step; or at these steps; or, flows only, at these
   * times. The end is always recorded. */
  int64_t record_every;
  const int64_t* record_steps;
  int64_t n_record_steps;
  const double* record_times;
  int64_t n_record_times;

  uint64_t record;       /* ASYMFAST_RECORD_... | ... */
  const int64_t* ntg_on; /* the samples of X that the NTG is taken on; null: all */
  int64_t n_ntg_on;
  int64_t top_nodes; /* how many of the nodes that moved the most are recorded */

  /* Ends the run at the first record at or below the loss, or at or beyond the time; or after this
   * many seconds of this call. 0: never. */
  double stop_loss, stop_time, stop_wall_seconds;

  asymfast_on_record on_record; /* or null */
  void* on_record_user;

  /* Keeping the state, so that a run that was interrupted or killed can be resumed: the same call
   * with resume_from ends with the bits of a run that was never interrupted. */
  asymfast_checkpoint checkpoint; /* or null */
  void* checkpoint_user;
  double checkpoint_every; /* seconds; 0: 60 */
  const void* resume_from; /* what checkpoint got; null: from the start */
  size_t resume_from_bytes;
} asymfast_run_options;

typedef struct asymfast_run asymfast_run;

/* Each trains a copy of the network on X (n, d), y (n, k). options may be null. *run is made where
 * ASYMFAST_OK, ASYMFAST_INTERRUPTED or ASYMFAST_DIVERGED is returned, and is null otherwise. */

/* W <- W - lr dL/dW, `steps` times. */
ASYMFAST_API asymfast_status asymfast_gradient_descent(const asymfast_network* network, int64_t n,
                                                       const void* X, const void* y, double lr,
                                                       int64_t steps,
                                                       const asymfast_run_options* options,
                                                       const asymfast_execution* execution,
                                                       asymfast_run** run);

/* dW/dt = -dL/dW until t_end. method: "auto" (null, too), "rk4", "dopri5" or "tangent". dt > 0, rk4
 * only: equal steps of at most dt; 0: steps chosen for a relative error rtol (0: 1e-6). */
ASYMFAST_API asymfast_status asymfast_gradient_flow(
    const asymfast_network* network, int64_t n, const void* X, const void* y, const char* method,
    double t_end, double dt, double rtol, const asymfast_run_options* options,
    const asymfast_execution* execution, asymfast_run** run);

/* Mini-batches without replacement, drawn by `seed`. lr: n_lr rates, one or one for each epoch.
 * train_output, not 0: a as well. */
ASYMFAST_API asymfast_status asymfast_sgd(const asymfast_network* network, int64_t n, const void* X,
                                          const void* y, const double* lr, int64_t n_lr,
                                          int64_t epochs, int64_t batch_size, int32_t train_output,
                                          uint64_t seed, const asymfast_run_options* options,
                                          const asymfast_execution* execution, asymfast_run** run);

ASYMFAST_API void asymfast_run_free(asymfast_run* run);

/* How it ended: "finished", "stopped", "interrupted" or "diverged"; what stopped it: "callback",
 * "loss", "time", "wall_seconds" or "". */
ASYMFAST_API const char* asymfast_run_outcome(const asymfast_run* run);
ASYMFAST_API const char* asymfast_run_stopped_by(const asymfast_run* run);

/* The number T of records. */
ASYMFAST_API int64_t asymfast_run_records(const asymfast_run* run);

typedef struct asymfast_column {
  size_t struct_size;
  const void* data; /* valid as long as the run is */
  asymfast_dtype dtype;
  int32_t ndim;
  int64_t shape[4]; /* the first ndim of them: (T,), (T, m), (T, m, d), ... */
} asymfast_column;

/* Set column->struct_size before the call. A column of the record by its name: "steps", "time",
 * "evaluations", "loss", "test_loss", "accuracy", "test_accuracy", "weight_change" (T, m),
 * "top_nodes" (T, top_nodes), "ntg_change", "ntg_change_2norm", "ntg_eigmin", "ntg_eigmax",
 * "alignment", "effective_rank", "ntg_matrix" (T, q, q), "weights" (T, m, d), "output_weights" (T,
 * m, k). One that was not recorded is an ASYMFAST_INVALID_ARGUMENT. */
ASYMFAST_API asymfast_status asymfast_run_column(const asymfast_run* run, const char* name,
                                                 asymfast_column* column);

/* A network with the final weights, to be freed. */
ASYMFAST_API asymfast_status asymfast_run_network(const asymfast_run* run,
                                                  asymfast_network** network);

/* Of a run that diverged: the step, the last finite loss, and the largest stable step at the start.
 * A null pointer leaves one out. Of another run an ASYMFAST_INVALID_ARGUMENT. */
ASYMFAST_API asymfast_status asymfast_run_divergence(const asymfast_run* run, int64_t* step,
                                                     double* last_loss, double* step_bound);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ASYMFAST_ASYMFAST_H */
