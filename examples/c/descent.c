/* Gradient descent from C: trains, shows progress, asks for a record, and handles an error. */
#include <asymfast/asymfast.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { n = 30, d = 6, m = 500 };

/* Ends the program with the library's sentence unless all is well. */
static void check(asymfast_status status) {
  if (status == ASYMFAST_OK) return;
  fprintf(stderr, "error %d: %s\n", (int)status, asymfast_last_error());
  exit(1);
}

static int32_t show(int64_t step, double time, double loss, double test_loss, void* user) {
  (void)time, (void)test_loss;
  ++*(int*)user;
  printf("step %4d  loss %.6f\n", (int)step, loss);
  return 1; /* go on */
}

int main(void) {
  double X[n * d], y[n];
  for (int i = 0; i < n; ++i) {
    for (int l = 0; l < d; ++l) X[i * d + l] = cos(0.7 * (i + 1) * (i + l * l));
    y[i] = X[i * d] * X[i * d + 1];
  }
  if (asymfast_abi_version() < ASYMFAST_ABI_VERSION) {
    fprintf(stderr, "the library is older than the header this was compiled with\n");
    return 1;
  }
  printf("asymfast %s, %s kernels\n", asymfast_version(), asymfast_isa());

  asymfast_network* net;
  check(asymfast_network_init(ASYMFAST_FLOAT64, m, d, 1, 0.5, 0.7, "swish", 1, &net));

  int records = 0;
  asymfast_execution execution = {.struct_size = sizeof execution};
  execution.threads = 2;
  asymfast_run_options options = {.struct_size = sizeof options};
  options.record_every = 50;
  options.record = ASYMFAST_RECORD_NTG_CHANGE | ASYMFAST_RECORD_NTG_EIGMIN;
  options.on_record = show;
  options.on_record_user = &records;

  asymfast_run* run;
  check(asymfast_gradient_descent(net, n, X, y, 0.2, 200, &options, &execution, &run));
  asymfast_column eigmin = {.struct_size = sizeof eigmin};
  check(asymfast_run_column(run, "ntg_eigmin", &eigmin));
  const double* values = eigmin.data;
  printf("%s after %d records; smallest eigenvalue %.3e -> %.3e\n", asymfast_run_outcome(run),
         records, values[0], values[eigmin.shape[0] - 1]);

  asymfast_network* trained;
  check(asymfast_run_network(run, &trained));
  double f[n], loss;
  check(asymfast_forward(trained, n, X, f, NULL));
  check(asymfast_loss(trained, n, X, y, NULL, &loss, NULL));
  printf("f(x_0) = %.4f, y_0 = %.4f, loss %.6f\n", f[0], y[0], loss);
  asymfast_network_free(trained);
  asymfast_run_free(run);

  /* Far too large a step: the run ends early, and says which step would have been stable. */
  double bound;
  const asymfast_status status =
      asymfast_gradient_descent(net, n, X, y, 1e6, 200, NULL, NULL, &run);
  if (status != ASYMFAST_DIVERGED) return 1;
  check(asymfast_run_divergence(run, NULL, NULL, &bound));
  printf("diverged, as it should; stable up to lr = %.2f\n", bound);
  asymfast_run_free(run);
  asymfast_network_free(net);
  return 0;
}
