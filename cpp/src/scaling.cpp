#include "asymfast/scaling.hpp"

#include <cmath>
#include <string>

#include "refuse.hpp"

namespace asymfast {

std::vector<double> node_scaling(Index m, double gamma, double alpha) {
  if (m < 1) refuse("node_scaling", "m must be at least 1, got " + std::to_string(m));
  if (!(gamma >= 0 && gamma <= 1))
    refuse("node_scaling", "gamma must be in [0, 1], got " + std::to_string(gamma));
  if (gamma == 1) return std::vector<double>(m, 1 / double(m));
  if (!(alpha > 0) || std::isinf(alpha))
    refuse("node_scaling", "alpha must be in (0, inf), got " + std::to_string(alpha));
  std::vector<double> lam(m);
  double sum = 0;
  for (std::size_t j = lam.size(); j-- > 0;)  // the small ones first
    sum += lam[j] = std::pow(double(j + 1), -1 / alpha);
  for (double& t : lam) t = gamma / double(m) + (1 - gamma) * (t / sum);
  return lam;
}

}  // namespace asymfast
